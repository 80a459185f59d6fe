//! Having Pacemaker take the primary away from this node, which has lost something.

use std::time::Duration;

use two_node_ha_command::{Call, Interrupt, Runner, succeed};
use two_node_ha_config::Config;
use two_node_ha_planner::observation::Role;

use super::Actor;
use crate::observe::live;

/// How long a command of Pacemaker's may take.
const PACEMAKER: Duration = Duration::from_secs(60);

/// How long a node that lost something is kept from being promoted again, unless
/// `crm_resource --clear` says otherwise.
const BAN: &str = "PT1H";

impl Actor {
    /// Asks Pacemaker for it, unless this node is not primary any more.
    ///
    /// # Errors
    /// What Pacemaker said, in words.
    pub fn demote(&self) -> Result<String, String> {
        demote(
            &*self.runner,
            &self.config,
            &self.node.name,
            &self.interrupt,
        )
    }
}

/// A ban with an end, and not a failure of the resource: a failed DRBD would be stopped and promoted again
/// where it was. Pacemaker moves what depends on it in its usual order, to the other node if that can have
/// it.
fn demote(
    runner: &dyn Runner,
    config: &Config,
    node: &str,
    interrupt: &Interrupt,
) -> Result<String, String> {
    if live::drbd(runner, config).role != Role::Primary {
        return Ok("this node is not primary any more; nothing to take away".into());
    }
    let call = Call::new("crm_resource", PACEMAKER)
        .args([
            "--ban",
            "--resource",
            &config.pacemaker.drbd_clone,
            "--node",
            node,
            "--promoted",
            "--lifetime",
            BAN,
        ])
        // Pacemaker may be slow because it waits for just this node's release.
        .interrupted_by(interrupt);
    succeed(runner, &call)?;
    Ok(format!(
        "Pacemaker takes the primary away from {node}, for an hour; `crm_resource --clear \
         --resource {} --node {node}` ends that earlier",
        config.pacemaker.drbd_clone
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::{NOTHING, Node};
    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_planner::world;

    fn drbd(role: &str) -> Scripted {
        let text = format!(
            "exists resource name:r0 role:{role} suspended:no\n\
             exists device name:r0 volume:0 minor:0 disk:Diskless\nexists -\n"
        );
        Scripted::new()
            .file("/sys/module/drbd/version", "8.4.11\n")
            .answer("drbdsetup", 0, text)
    }

    fn demoted(runner: &Scripted) -> Result<String, String> {
        demote(runner, &world::config(), "haone", &Interrupt::default())
    }

    #[test]
    fn a_primary_that_lost_something_is_banned_from_being_promoted_for_an_hour() {
        let runner = drbd("Primary").answer("crm_resource", 0, "");
        demoted(&runner).unwrap();
        assert_eq!(
            runner.calls().last().unwrap(),
            "crm_resource --ban --resource drbd_master_slave --node haone --promoted --lifetime PT1H"
        );
    }

    #[test]
    fn a_pacemaker_that_does_not_answer_keeps_no_release_waiting() {
        let runner = drbd("Primary").answer_with("crm_resource", |call| {
            assert!(call.interrupt.is_some());
            Err(two_node_ha_command::Error::Interrupted {
                call: call.to_string(),
            })
        });
        demoted(&runner).unwrap_err();
    }

    #[test]
    fn a_node_that_is_no_longer_primary_is_left_alone_and_a_refusal_is_told() {
        let runner = drbd("Secondary");
        demoted(&runner).unwrap();
        assert_eq!(runner.calls().len(), 1);
        let runner = drbd("Primary").answer("crm_resource", 102, "");
        let why = demoted(&runner).unwrap_err();
        assert!(why.contains("exit code 102"), "{why}");
    }
    #[test]
    fn what_became_of_it_is_told_of_this_very_node() {
        for (role, said) in [
            ("Primary", "takes the primary away from haone"),
            ("Secondary", "not primary any more"),
        ] {
            let mut node = Node::new(NOTHING);
            node.actor.runner = Box::new(drbd(role).answer("crm_resource", 0, ""));
            let told = node.actor.demote().unwrap();
            assert!(told.contains(said), "{told}");
        }
        let mut node = Node::new(NOTHING);
        node.actor.runner = Box::new(drbd("Primary").answer("crm_resource", 102, ""));
        node.actor.demote().unwrap_err();
    }
}
