//! Having Pacemaker fence a peer that is in the cluster and whose agent is silent.

use std::time::Duration;

use two_node_ha_command::{Call, succeed};
use two_node_ha_planner::observation::PeerNode;
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::{Actor, Error, Outcome, Progress};
use crate::observe::live;

/// How long the peer's agent has for a last answer.
const LAST_WORD: Duration = Duration::from_secs(10);

/// What fencing may take: a management controller is slow, and each device is tried more than once.
const FENCING: Duration = Duration::from_secs(120);

impl Actor {
    /// Guarded by one more question to the peer: an agent that answers by now is not shot. And by
    /// Pacemaker's own word: a node that has left needs no fencing, or is being fenced already.
    pub(super) fn fence_peer(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let peer = &self.peer.name;
        let question = Request::Report { version: VERSION };
        if let Ok(Response::Report(report)) = self.client.ask(&question, LAST_WORD) {
            if report.node == *peer {
                return Err(Error::Guard(format!("{peer}'s agent answers again")));
            }
        }
        match live::peer_node(&*self.runner, peer) {
            Ok(PeerNode::Online) => {}
            Ok(node) => {
                return Err(Error::Guard(format!(
                    "{peer} is not in the cluster any more ({node:?})"
                )));
            }
            Err(why) => return Err(Error::Guard(why)),
        }
        progress(&format!("having {peer} fenced, whose agent is silent"));
        let seconds = FENCING.as_secs().to_string();
        let call = Call::new("stonith_admin", FENCING + Duration::from_secs(10)).args([
            "--reboot",
            peer.as_str(),
            "--timeout",
            &seconds,
        ]);
        tracing::warn!("`{call}`: {peer} is in the cluster, and its agent does not answer");
        succeed(&*self.runner, &call).map_err(|error| {
            Error::Unfit(format!(
                "{error}. `stonith_admin --verbose --history {peer}` tells more; if you have made sure \
                 that {peer} is off: `stonith_admin --confirm {peer}`"
            ))
        })?;
        Ok(Outcome::PeerFenced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_command::{Exit, Output};
    use two_node_ha_planner::{State, Step, world};

    use crate::act::tests::{NOTHING, Node};
    use crate::peer::client::{self, Peer};

    /// Both nodes are in the cluster.
    const CRM_MON: &str =
        include_str!("../../../crates/pacemaker/tests/fixtures/healthy.3.0.0.xml");

    /// Whoever answers at the peer's address, if anybody does, calls itself this.
    #[derive(Debug)]
    struct Named(Option<&'static str>);

    impl Peer for Named {
        fn ask(&self, _: &Request, within: Duration) -> Result<Response, client::Error> {
            let host = "10.0.0.2".to_owned();
            let node = self.0.ok_or(client::Error::Slow { host, within })?;
            let mut report = world::report(State::SecondaryRunning, 2);
            report.node = node.into();
            Ok(Response::Report(report))
        }

        fn fetch(&self, _: &Request, _: &Path, _: Duration) -> Result<Response, client::Error> {
            panic!("nobody asked for it")
        }
    }

    fn node(answers: Option<&'static str>, runner: Scripted) -> Node {
        let mut node = Node::new(NOTHING);
        let status = CRM_MON.replace("alpha", "haone").replace("beta", "hatwo");
        node.actor.runner = Box::new(runner.answer("crm_mon", 0, status));
        node.actor.client = Box::new(Named(answers));
        node
    }

    #[test]
    fn a_peer_whose_agent_answers_by_now_is_not_fenced() {
        let why = node(Some("hatwo"), Scripted::new()).refused(&Step::FencePeer);
        assert!(why.contains("hatwo's agent answers again"), "{why}");
    }

    #[test]
    fn a_silent_peer_is_fenced_and_the_command_may_take_longer_than_the_fencing_it_waits_for() {
        for answers in [None, Some("haone")] {
            let runner = Scripted::new().answer_with("stonith_admin", |call| {
                assert_eq!(
                    call.to_string(),
                    "stonith_admin --reboot hatwo --timeout 120"
                );
                assert!(call.deadline > FENCING, "{:?}", call.deadline);
                Ok(Output {
                    exit: Exit::Code(0),
                    stdout: Vec::new(),
                    stderr: Vec::new(),
                })
            });
            let mut node = node(answers, runner);
            let outcome = node.actor.take(&Step::FencePeer, &mut |_| {}).unwrap();
            assert_eq!(outcome, Outcome::PeerFenced, "{answers:?}");
        }
    }
}
