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
