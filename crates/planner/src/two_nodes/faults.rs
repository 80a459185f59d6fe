//! The faults, and the operator's commands, each where it can happen.

use super::agents::{Driver, Input};
use super::cluster::may_go_up;
use super::model::*;
use super::step::{Did, Next};

/// The ticket of a request that nobody waits for.
const NOBODY: u8 = 9;

impl Driver<'_> {
    /// A fault, where it can happen.
    pub fn fault(&mut self, world: &World, did: Did) -> Option<Next> {
        let mut then = *world;
        then.faults -= 1;
        let runs = |n: N| world.nodes[n].alive();
        match did {
            Did::PowerCut(n) if world.nodes[n].on => then.power_off(n),
            Did::AgentKilled(n) if runs(n) => then.agent_dies(n, Agent::Dead),
            Did::AgentGone(n) if runs(n) && world.nodes[other(n)].agent != Agent::Gone => {
                then.agent_dies(n, Agent::Gone);
            }
            Did::Paused(n) if runs(n) => then.nodes[n].agent = Agent::Paused,
            Did::LinkLost if world.cable => {
                then.cable = false;
                then.unlink();
            }
            Did::Partition if world.network => {
                then.cable = false;
                then.network = false;
                then.unlink();
            }
            // k8s-dqlite is asked to stop, and hands its role over to a spare that runs.
            Did::Sigterm(n) => {
                let p = other(n);
                let (node, peer) = (&world.nodes[n], &world.nodes[p]);
                let spare = peer.services
                    && !peer.leads[DQLITE]
                    && peer.spare_epoch[DQLITE] == node.volume.epoch;
                if !(world.reaches() && spare && node.leads[DQLITE] && world.serves(n).is_some()) {
                    return None;
                }
                then.write(n, |v| v.log.push(Entry::BothVote, n, v.epoch));
                let volume = &then.nodes[n].volume;
                let (mut log, epoch) = (volume.log, volume.epoch);
                log.push(Entry::AloneVotes, p, epoch);
                then.nodes[p].spare_log = log;
            }
            // A handler of a primary tells of a loss that its node is to be demoted for.
            Did::LosesSomething(n) => {
                let node = &mut then.nodes[n];
                if !node.primary() || node.called != Called::No {
                    return None;
                }
                node.called = Called::Left;
            }
            // A connection ends between the answer and whoever waits for it.
            Did::AnswerIsLost(n) => {
                let node = &mut then.nodes[n];
                match (node.ask_peer, node.hand) {
                    (Question::Report(_), _) => node.ask_peer = Question::Silence,
                    (_, Hand::Answered(true)) => node.hand = Hand::Answered(false),
                    _ => return None,
                }
            }
            // A request of the peer's that has been answered long ago is delivered once more: nobody waits.
            Did::AskedAgain(n) => {
                let peer = &world.nodes[other(n)];
                if !runs(n) || !world.reaches() || peer.volume_seen.0 == 0 {
                    return None;
                }
                let epoch = peer.volume_seen.0;
                self.tell(&mut then, n, Input::StopSpare(NOBODY, epoch));
            }
            Did::Full(n) if world.nodes[n].on && !world.nodes[n].full => then.nodes[n].full = true,
            Did::Move(n) => {
                let from = &world.nodes[other(n)];
                if !(from.wanted && world.linked && world.syncing.is_none() && may_go_up(world, n))
                {
                    return None;
                }
                then.nodes[n].wanted = true;
                then.nodes[other(n)].wanted = false;
            }
            _ => return None,
        }
        Some(Next::of(did, then))
    }
}
