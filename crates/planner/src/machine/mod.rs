//! One node's agent without eyes, hands and clock.
//!
//! What happens goes in as an [`Event`], what is seen as a [`Sight`], what became of a task as its
//! result, each with the time; out comes one [`Action`] after the other, and, when there is none, the
//! moment to come back at ([`Machine::wakes_at`]). Whoever drives it has the threads, the clock and the
//! disk, and decides nothing: the same input gives the same output on any machine.
//!
//! A turn is: look, [plan](crate::plan), take the first step, and again, until there is nothing to do
//! but wait. While the hands are at a task nothing is looked at; what happens meanwhile is heard, and
//! the next look sees it.

mod down;
mod event;
mod handlers;
mod knowledge;
mod orders;
mod ports;
mod reads;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod timeless;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use two_node_ha_config::Facts;

use down::Down;
pub use event::{
    Action, Event, Failure, Kind, Moment, News, Outcome, PeerPorts, Remark, Sight, Standing, Task,
    Ticket, ToHolder, Wants, Watch,
};
use handlers::Called;
pub use handlers::FRESH;
use knowledge::{Compared, Knowledge};
use orders::Order;
pub use orders::may_stop_for;
use ports::Ports;
use reads::Reads;

use crate::decision::{Decision, State};
use crate::observation::{Asked, Observation, Request};
use crate::record::Resolution;
use crate::split_brain::plan as resolve;
use crate::step::Step;

/// The first retry comes after this, each later one after twice the time, up to the longest.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(20);

/// But while every write stands still, this, from the beginning: a handler that was not seen to start
/// by then was not called.
const SUSPENDED_RETRY: Duration = Duration::from_secs(5);

/// What the hands are at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// A step, decided for that request and these reasons.
    Step {
        step: Step,
        request: Request,
        reasons: Vec<String>,
    },
    /// The databases stop for the peer.
    StopForPeer(Ticket),
    /// A step of a split brain's resolution.
    Resolve {
        ticket: Ticket,
        step: resolve::Step,
        resolution: Box<Resolution>,
    },
    /// Pacemaker is asked to take the primary away.
    Demote(String),
}

impl Work {
    /// Whether it is to end early, now that Pacemaker asks this.
    fn gives_way_to(&self, request: Request) -> bool {
        match self {
            Self::Step { step, .. } => request != Request::Hold && step.gives_way(),
            // The way down itself.
            Self::StopForPeer(_) => false,
            // A copy takes as long as the volume is large, and this node may be about to be the voter.
            Self::Resolve { step, .. } => {
                step.gives_way() && (request != Request::Hold || *step == resolve::Step::Copy)
            }
            Self::Demote(_) => request == Request::Release,
        }
    }

    /// Whether it is to end early for a peer that is about to be the voter.
    fn gives_way_to_the_peer(&self) -> bool {
        match self {
            Self::Resolve { step, .. } => *step == resolve::Step::Copy,
            Self::Step { .. } | Self::StopForPeer(_) | Self::Demote(_) => false,
        }
    }
}

/// Where the turn is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Turn {
    /// There is nothing to do until something happens, or it is time to look again.
    Over,
    /// Something happened: the next thing is a look.
    Due,
    /// The eyes are at it.
    Looking,
    /// The hands are.
    Working(Work),
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    node: String,
    peer: String,
    knowledge: Knowledge,
    turn: Turn,
    /// Whether something happened since the eyes began to look.
    again: bool,
    /// Whether the volume was seen unmounted, and Pacemaker has asked nothing since.
    unasked: bool,
    /// What Pacemaker has come to ask since then.
    asks: Option<Request>,
    /// What was seen and decided before the last step of this turn. A step that changes nothing that can
    /// be seen would be taken for ever.
    before: Option<Box<(Observation, Decision)>>,
    /// Whether the last step of this turn has failed: then one more look, so that the status says so.
    failed: bool,
    waiting: VecDeque<Order>,
    /// The handlers that want this node demoted.
    called: VecDeque<Called>,
    out: VecDeque<Action>,
    /// What Pacemaker asked when it was last looked at, and by which hold.
    request: Request,
    hold: Option<u64>,
    /// The state of the last decision.
    state: Option<State>,
    /// Whether the peer may rely on a voter here.
    promised: bool,
    /// Whether the voter here was confirmed since its services started.
    confirmed: bool,
    reads: Reads,
    down: Down,
    /// Whether connections to the databases' ports on the peer are refused.
    ports: Ports,
    /// Why this node has had its peer fenced, if it has.
    fenced: Option<String>,
    /// What the peer has said of having this node fenced.
    heard_of_fencing: Option<String>,
    /// What of this node's own disk could not be changed on the way down, and why; gone with the
    /// request, or once it is time to try again.
    own_disk: Option<String>,
    /// Why the last attempt to be the voter failed; gone with the hold.
    failure: Option<String>,
    /// What has failed since this node was last where it should be, and what is said of it.
    stumbled: Option<(Task, String)>,
    /// When to look again although nothing happened; `None` when settled.
    retry: Option<Moment>,
    /// How long until the retry after the next one.
    patience: Duration,
    /// What is compared of this node's configuration.
    facts: Facts,
    /// What is wrong with this node's configuration, in words.
    trouble: Option<String>,
}

impl Machine {
    /// Of an agent that has just started: it has seen nothing, and is about to look. `facts` is what the
    /// peer is told of this node's configuration.
    #[must_use]
    pub fn new(node: &str, peer: &str, facts: Facts) -> Self {
        Self {
            node: node.to_owned(),
            peer: peer.to_owned(),
            knowledge: Knowledge::default(),
            turn: Turn::Due,
            unasked: false,
            again: false,
            asks: None,
            before: None,
            failed: false,
            waiting: VecDeque::new(),
            called: VecDeque::new(),
            out: VecDeque::new(),
            request: Request::None,
            hold: None,
            state: None,
            promised: false,
            confirmed: false,
            reads: Reads::default(),
            down: Down::default(),
            ports: Ports::default(),
            fenced: None,
            heard_of_fencing: None,
            own_disk: None,
            failure: None,
            stumbled: None,
            retry: None,
            patience: SHORTEST_RETRY,
            facts,
            trouble: None,
        }
    }

    /// What is wrong with the configuration that the agent runs with, in words.
    pub fn configuration_trouble(&mut self, trouble: Option<String>) {
        self.trouble = trouble;
    }

    /// Something happened.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Changed => {}
            Event::LinkChanged => {
                self.knowledge.forget_promotion();
                self.patience = SHORTEST_RETRY;
            }
            Event::PeerHeard => {
                if !self.peer_is_heard() {
                    // It asks again.
                    return;
                }
            }
            Event::PeerWoke => {
                self.peer_is_heard();
                self.knowledge.forget();
                self.patience = SHORTEST_RETRY;
            }
            Event::PeerConfiguration(theirs) => {
                self.peer_is_heard();
                self.knowledge.configuration = Compared::with(&self.facts, &theirs);
            }
            Event::PeerAnswered(answer) => self.peer_answered(answer, now),
            Event::PacemakerAnswered(answer) => {
                self.knowledge.asking_pacemaker = false;
                self.ports_by_pacemaker(&answer);
                self.knowledge.node = asked(answer);
                self.knowledge.a_peer_that_is_away_is_not_silent();
            }
            Event::PromotionAnswered { round, answer } => {
                self.knowledge.asking_promotion = false;
                if round == self.knowledge.round {
                    self.knowledge.promotion = asked(answer);
                }
            }
            Event::StopSpare {
                ticket,
                node,
                epoch,
            } => {
                self.peer_is_heard();
                // Whatever becomes of it: until it is answered nothing is promised.
                self.retract();
                self.patience = SHORTEST_RETRY;
                if matches!(&self.turn, Turn::Working(work) if work.gives_way_to_the_peer()) {
                    self.out.push_back(Action::Interrupt);
                }
                self.waiting.push_back(Order::StopSpare {
                    ticket,
                    node,
                    epoch,
                });
            }
            Event::Resolve {
                ticket,
                step,
                resolution,
            } => {
                self.patience = SHORTEST_RETRY;
                self.waiting.push_back(Order::Resolve {
                    ticket,
                    step,
                    resolution,
                });
            }
            Event::Asks(request) => {
                self.patience = SHORTEST_RETRY;
                self.ports_by_request(request);
                match &self.turn {
                    // What the eyes are about to tell may be of before.
                    Turn::Looking => self.asks = Some(request),
                    Turn::Working(work) if work.gives_way_to(request) => {
                        self.out.push_back(Action::Interrupt);
                    }
                    Turn::Working(_) | Turn::Over | Turn::Due => {}
                }
            }
            Event::DatastoreAnswered {
                round,
                answer,
                elsewhere,
            } => {
                if !self.datastore_answered(round, answer) && !elsewhere {
                    return;
                }
            }
            Event::Handler {
                ticket,
                handler,
                wants,
                age,
            } => self.called(ticket, handler, wants, (age, now)),
        }
        match self.turn {
            Turn::Over => self.turn = Turn::Due,
            // Perhaps too late to be seen.
            Turn::Looking => self.again = true,
            // A look comes anyway.
            Turn::Due | Turn::Working(_) => {}
        }
    }

    /// What is to be done now, if anything is.
    pub fn poll(&mut self, now: Moment) -> Option<Action> {
        if let Some(action) = self.out.pop_front() {
            return Some(action);
        }
        match self.turn {
            Turn::Looking | Turn::Working(_) => None,
            Turn::Over if self.retry.is_some_and(|at| at <= now) => {
                self.look_again();
                self.turn = Turn::Due;
                self.poll(now)
            }
            Turn::Over if self.down.wakes_at().is_some_and(|at| at <= now) => {
                // What is known of the peer and of Pacemaker has nothing to do with it.
                self.turn = Turn::Due;
                self.poll(now)
            }
            Turn::Over => None,
            Turn::Due => {
                self.turn = Turn::Looking;
                self.again = false;
                self.asks = None;
                Some(Action::Look)
            }
        }
    }

    /// When to [`poll`](Self::poll) again although nothing happened. Never, where the node is where it
    /// should be and every service runs, or the eyes or hands are at work.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Moment> {
        match self.turn {
            Turn::Over => self.retry.into_iter().chain(self.down.wakes_at()).min(),
            Turn::Due | Turn::Looking | Turn::Working(_) => None,
        }
    }

    /// Whether there is nothing to do until something happens, or it is time to look again.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.turn == Turn::Over
    }

    /// Nothing happened for a while, and the node has not arrived: what was learnt may be old. What a
    /// spare knows of its voter holds until the new answer is there: without it each look would be a
    /// change of state, and a line in the journal.
    fn look_again(&mut self) {
        self.own_disk = None;
        match (self.request, &self.knowledge.report) {
            (Request::None, Asked::Answer(_)) => {
                self.ask_peer();
                self.knowledge.forget_promotion();
            }
            (Request::None, Asked::NotYet | Asked::Silent(_)) => {
                // As with a voter's last word: a node that waits for the volume knows by then.
                let node = std::mem::take(&mut self.knowledge.node);
                self.knowledge.forget();
                if node != Asked::NotYet {
                    self.knowledge.node = node;
                    self.ask_pacemaker();
                }
            }
            (Request::Hold | Request::Release, _) => self.knowledge.forget(),
        }
    }

    fn retry_later(&mut self, now: Moment) {
        if self.retry.is_none_or(|at| at <= now) {
            self.retry = Some(now + self.patience);
            self.patience = (self.patience * 2).min(LONGEST_RETRY);
        }
    }

    fn tell(&mut self, what: ToHolder) {
        self.out.push_back(Action::Tell(what));
    }

    fn retract(&mut self) {
        self.promised = false;
        self.out.push_back(Action::Retract);
    }

    /// Asks the peer, unless it is being asked.
    fn ask_peer(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_peer, true) {
            self.out.push_back(Action::AskPeer);
        }
    }

    fn ask_pacemaker(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_pacemaker, true) {
            self.out.push_back(Action::AskPacemaker);
        }
    }

    fn ask_promotion(&mut self) {
        if !std::mem::replace(&mut self.knowledge.asking_promotion, true) {
            let round = self.knowledge.round;
            self.out.push_back(Action::AskPromotion { round });
        }
    }

    fn peer_answered(&mut self, answer: Result<Box<crate::report::Report>, String>, now: Moment) {
        self.knowledge.asking_peer = false;
        self.knowledge.report = match answer {
            Ok(mut report) => {
                // Whoever it says that it is: names are part of what is compared. What follows needs only
                // the differences, and carries the report along with each observation.
                let theirs = std::mem::take(&mut report.config);
                self.knowledge.configuration = Compared::with(&self.facts, &theirs);
                self.hear_of_fencing(report.fenced.as_deref());
                if report.node == self.peer {
                    self.peer_is_heard();
                    Asked::Answer(*report)
                } else {
                    Asked::Silent(format!("a node named {} answers in its place", report.node))
                }
            }
            Err(why) => Asked::Silent(why),
        };
        match &self.knowledge.report {
            Asked::Answer(_) | Asked::NotYet => self.knowledge.silent_since = None,
            Asked::Silent(_) => {
                self.knowledge.silent_since.get_or_insert(now);
            }
        }
    }

    /// A node that was fenced cannot write down why; it hears it from the other when it is back.
    fn hear_of_fencing(&mut self, why: Option<&str>) {
        if let Some(why) = why.filter(|why| self.heard_of_fencing.as_deref() != Some(*why)) {
            self.out
                .push_back(Action::Say(Remark::WasFenced(why.to_owned())));
            self.heard_of_fencing = Some(why.to_owned());
        }
    }
}

fn asked<T>(answer: Result<T, String>) -> Asked<T> {
    match answer {
        Ok(answer) => Asked::Answer(answer),
        Err(why) => Asked::Silent(why),
    }
}
