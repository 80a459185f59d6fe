//! Whether this node's own connections to the databases' ports on the peer are refused at once.
//!
//! What runs here dials each member of the cluster, and waits for one that is dead until its time is out.
//! So the ports are refused from the moment at which the peer is known to be off, and opened as soon as it
//! is heard, whoever brings the news: its agent, DRBD, or Pacemaker. Opened too early they cost a time-out;
//! refused too long they would keep a peer from being let back in. Where nobody knows, they are open.

use super::Machine;
use super::event::{Action, PeerPorts};
use crate::observation::{Asked, Drbd, PeerNode, Request};

/// What decides on the ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Ports {
    /// How they are. An agent that has just started has opened them.
    stand: PeerPorts,
    /// Whether the peer was heard since it may have died. A peer that boots is heard before it joins the
    /// cluster, and Pacemaker calls it down until then.
    heard: bool,
    /// Whether it was heard since the last look, and so perhaps after whatever the next one sees.
    fresh: bool,
    /// Whether DRBD was connected at the last look.
    linked: bool,
    /// Whether Pacemaker was asked about the peer since the link was lost.
    asked: bool,
}

impl Machine {
    /// The peer speaks, by whatever way. Whether that is news: then it is looked what has become of it, or
    /// its last word would be taken for a sign of life long after its death.
    pub(super) fn peer_is_heard(&mut self) -> bool {
        let heard = std::mem::replace(&mut self.ports.heard, true);
        let fresh = std::mem::replace(&mut self.ports.fresh, true);
        self.set_ports(PeerPorts::Open);
        !(heard && fresh)
    }

    /// What Pacemaker's answer about the peer says of the ports.
    pub(super) fn ports_by_pacemaker(&mut self, answer: &Result<PeerNode, String>) {
        match answer {
            Ok(PeerNode::Down) => self.peer_is_off(),
            Ok(PeerNode::Online | PeerNode::Lost | PeerNode::Unknown) => {
                // Should it be down later, then it has gone since.
                (self.ports.heard, self.ports.fresh) = (false, false);
                self.set_ports(PeerPorts::Open);
            }
            // It may be down all the same.
            Err(_) => {}
        }
    }

    /// The peer was fenced, or Pacemaker knows that it is down.
    pub(super) fn peer_is_off(&mut self) {
        // Only what this node does as the voter waits for the peer.
        if self.request == Request::Hold && !self.ports.heard && !self.ports.linked {
            self.set_ports(PeerPorts::Refused);
        }
    }

    /// What a look says of the ports: DRBD hears the peer, or this node is not to be the voter any more.
    pub(super) fn ports_by_look(&mut self, drbd: &Drbd, another_request: bool) {
        let was_linked = std::mem::replace(&mut self.ports.linked, drbd.connected);
        let fresh = std::mem::take(&mut self.ports.fresh);
        if drbd.connected {
            self.ports.heard = false;
        } else if was_linked || another_request {
            // The peer may have died since the last look, and what was heard before that says nothing.
            self.ports.heard = fresh;
        }
        if drbd.connected || drbd.suspended.is_some() {
            self.ports.asked = false;
        }
        if drbd.connected {
            // Once: Pacemaker may be stopped there, and goes on calling it down.
            if !was_linked && self.knowledge.node == Asked::Answer(PeerNode::Down) {
                self.knowledge.node = Asked::NotYet;
            }
            self.set_ports(PeerPorts::Open);
        }
        self.ports_by_request(self.request);
    }

    /// What Pacemaker asks says of the ports: whoever is not to be the voter needs none refused.
    pub(super) fn ports_by_request(&mut self, request: Request) {
        match request {
            Request::Hold => {}
            Request::Release | Request::None => self.set_ports(PeerPorts::Open),
        }
    }

    /// A voter that runs has no question about its peer. For the ports it asks once each time that the link
    /// was lost, after DRBD's own question has been answered: Pacemaker, and the peer itself, which may run
    /// without Pacemaker.
    pub(super) fn ask_for_the_ports(&mut self, drbd: &Drbd) {
        if !drbd.connected
            && drbd.suspended.is_none()
            && self.ports.stand == PeerPorts::Open
            && !std::mem::replace(&mut self.ports.asked, true)
        {
            self.ask_pacemaker();
            self.ask_peer();
        }
    }

    fn set_ports(&mut self, ports: PeerPorts) {
        if std::mem::replace(&mut self.ports.stand, ports) != ports {
            self.out.push_back(Action::PeerPorts(ports));
        }
    }
}
