//! Taking one step of a resolution on this node. Whether it is to be taken the machine has decided; each
//! is idempotent, and rechecks its guard right before it gives anything up: what the machine's eyes do
//! not see, such as the generation of the data, and what may have changed since.

pub mod copy;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod tests;

use std::time::Duration;

use two_node_ha_command::{Call, Interrupt, Runner, succeed};
use two_node_ha_config::Config;
use two_node_ha_disk as disk;
use two_node_ha_pacemaker::{ban, ban_against};
use two_node_ha_planner::observation::{Known, Mount, Role};
use two_node_ha_planner::record::{CopyMade, Resolution};
use two_node_ha_planner::split_brain::admission::{Standing, compare};
use two_node_ha_planner::split_brain::ban_id;
use two_node_ha_planner::split_brain::plan::Step;
use two_node_ha_planner::split_brain::side::{Cluster, Disk, Link, Side};

use crate::act::Progress;
use crate::observe::split_brain::{self as sides, Here};
use crate::store::Record;

/// How long a command of DRBD's or Pacemaker's may take.
const COMMAND: Duration = Duration::from_secs(60);

/// Makes the copy of this node's data.
pub trait Copier: Send + Sync + std::fmt::Debug {
    /// Copies the data underneath DRBD, while nothing writes it, unless `interrupt` is raised. Answers with
    /// the copy's name.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn copy(&self, interrupt: &Interrupt, progress: &mut Progress<'_>) -> Result<String, String>;
}

/// Whoever takes the steps here.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// Where everything is.
    pub here: Here<'a>,
    /// The door to programs.
    pub runner: &'a dyn Runner,
    /// The door to the copies.
    pub copier: &'a dyn Copier,
    /// Whether the failover unit holds the role here.
    pub held: bool,
    /// Raised when the node has something else to do.
    pub interrupt: &'a Interrupt,
}

impl Executor<'_> {
    fn config(&self) -> &Config {
        self.here.config
    }

    fn resource(&self) -> &str {
        &self.config().volume.resource
    }

    fn look(&self) -> Side {
        sides::side(self.here, self.runner, self.held, false)
    }

    /// Takes a step, all but [`Step::Forget`], which is the agent's own.
    ///
    /// # Errors
    /// What kept it from being taken, in words with what to do.
    pub fn take(
        &self,
        step: &Step,
        asked: &Resolution,
        progress: &mut Progress<'_>,
    ) -> Result<(), String> {
        let side = self.look();
        match compare(&side.resolution, step, asked, self.here.node)? {
            Standing::Due => {}
            Standing::Taken => return Ok(()),
        }
        match step {
            Step::Begin => self.begin(&side, asked),
            Step::Ban => self.ban(&asked.loser),
            Step::Demote => {
                self.noted(&side, asked)?;
                if side.mount != Mount::None || side.held {
                    return Err("the volume is still in use here".into());
                }
                self.drbdadm(&["secondary"])
            }
            Step::Disconnect => {
                self.noted(&side, asked)?;
                self.drbdadm(&["disconnect"])
            }
            Step::Copy => self.copy(&side, asked, progress),
            Step::Discard => self.discard(&side, asked),
            Step::Connect => {
                let noted = self.noted(&side, asked)?;
                if noted.winner != self.here.node {
                    return Err(format!("{} is not the node that is kept", self.here.node));
                }
                if side.link == Link::StandAlone {
                    self.drbdadm(&["connect"])?;
                }
                Ok(())
            }
            Step::Unban => self.unban(&asked.loser),
            Step::Finish => self.finish(&side, asked),
            Step::Forget(_) => Err("the agent forgets epochs itself".into()),
        }
    }

    fn begin(&self, side: &Side, asked: &Resolution) -> Result<(), String> {
        let names = [&asked.winner, &asked.loser];
        let known = |name: &&String| self.config().node(name.as_str()).is_some();
        if asked.winner == asked.loser || !names.iter().all(known) {
            return Err(format!(
                "{} and {} are not the two nodes",
                asked.winner, asked.loser
            ));
        }
        if let Some(noted) = side.noted() {
            if noted.discarding.is_some() && side.disk != Disk::UpToDate {
                return Err(format!(
                    "the data of {} is being discarded already, and is no longer whole",
                    noted.loser
                ));
            }
        }
        let fresh =
            Resolution::new(&asked.winner, &asked.loser, asked.without_copy).marked(&asked.mark);
        self.write(&fresh)
    }

    fn write(&self, resolution: &Resolution) -> Result<(), String> {
        let state = self.here.paths.state();
        disk::private_directory(&state)
            .map_err(|error| format!("creating {}: {error}", state.display()))?;
        resolution
            .write(&self.here.paths.resolution())
            .map_err(|error| error.to_string())
    }

    /// The resolution as it is noted here, if it is the one that is asked for.
    fn noted(&self, side: &Side, asked: &Resolution) -> Result<Resolution, String> {
        match &side.resolution {
            Known::Present(noted)
                if (&noted.winner, &noted.loser) == (&asked.winner, &asked.loser) =>
            {
                Ok(noted.clone())
            }
            Known::Present(noted) => Err(format!(
                "{} has noted a resolution that keeps {}",
                self.here.node, noted.winner
            )),
            Known::Absent => Err(format!("{} has noted no resolution", self.here.node)),
            Known::Unreadable(why) => Err(why.clone()),
        }
    }

    /// This node gives its data up, nothing writes to it, and nothing is about to.
    fn quiet_loser(&self, side: &Side, asked: &Resolution) -> Result<Resolution, String> {
        let noted = self.noted(side, asked)?;
        if noted.loser != self.here.node {
            return Err(format!("the data of {} is to be kept", self.here.node));
        }
        if side.role != Role::Secondary || side.mount != Mount::None || side.held {
            return Err(format!(
                "the volume is in use on {} ({}, {:?})",
                self.here.node, side.summary, side.mount
            ));
        }
        if side.link != Link::StandAlone {
            return Err(format!("DRBD is not disconnected here ({})", side.summary));
        }
        Ok(noted)
    }

    fn copy(
        &self,
        side: &Side,
        asked: &Resolution,
        progress: &mut Progress<'_>,
    ) -> Result<(), String> {
        let mut noted = self.quiet_loser(side, asked)?;
        let before = (side.generation.clone()?.current, side.writes.clone());
        let name = self.copier.copy(self.interrupt, progress)?;
        let after = self.look();
        let after = (after.generation?.current, after.writes);
        if before != after {
            return Err(format!(
                "the data changed while it was copied ({name}): {before:?} became {after:?}"
            ));
        }
        noted.copy = Some(CopyMade {
            name,
            generation: after.0,
            writes: after.1,
        });
        self.write(&noted)
    }

    fn discard(&self, side: &Side, asked: &Resolution) -> Result<(), String> {
        let mut noted = self.quiet_loser(side, asked)?;
        let generation = side.generation.clone()?.current;
        let half = side.disk != Disk::UpToDate && noted.discarding.is_some();
        match &noted.copy {
            _ if half => {}
            Some(copy) if copy.generation == generation && copy.writes == side.writes => {}
            Some(copy) => {
                return Err(format!(
                    "the copy {} is of generation {:016X}, and the data here is of {generation:016X}, or \
                     has been written to since",
                    copy.name, copy.generation
                ));
            }
            None if noted.without_copy => {}
            None => {
                return Err(format!(
                    "there is no copy of the data of {}",
                    self.here.node
                ));
            }
        }
        if !half {
            // Before DRBD hears of it: whoever finds this node half overwritten must know why.
            noted.discarding = Some(generation);
            self.write(&noted)?;
        }
        tracing::warn!(
            "giving up the data of {} for that of {}",
            asked.loser,
            asked.winner
        );
        self.drbdadm(&["connect", "--discard-my-data"])
    }

    /// Lets the failover unit of the kept node try again what failed while the role was on its way.
    fn finish(&self, side: &Side, asked: &Resolution) -> Result<(), String> {
        if side.noted().is_some() {
            self.noted(side, asked)?;
        }
        if side.link != Link::Connected || side.disk != Disk::UpToDate {
            return Err(format!("DRBD is not done yet ({})", side.summary));
        }
        let resource = &self.config().pacemaker.failover_resource;
        if asked.winner == self.here.node && matches!(side.cluster, Cluster::Here { .. }) {
            let words = ["--cleanup", "--resource", resource];
            self.pacemaker("crm_resource", words)?;
        }
        let copy = side.noted().and_then(|noted| noted.copy.clone());
        let copy = copy.map_or_else(String::new, |copy| format!("; copy {}", copy.name));
        let words = format!("the data of {} was kept{copy}", asked.winner);
        resolve_evidence(&self.here.paths.evidence(), &words)?;
        let record = self.here.paths.resolution();
        disk::remove_file_if_there(&record)
            .map_err(|error| format!("removing {}: {error}", record.display()))?;
        disk::sync_directory(&self.here.paths.state()).map_err(|error| error.to_string())
    }

    fn ban(&self, loser: &str) -> Result<(), String> {
        let xml = ban(
            &ban_id(self.resource()),
            &self.config().pacemaker.drbd_clone,
            loser,
        );
        let words = ["--modify", "--allow-create", "--scope", "constraints"];
        self.pacemaker("cibadmin", words.into_iter().chain(["--xml-text", &xml]))
    }

    fn unban(&self, loser: &str) -> Result<(), String> {
        let xml = ban_against(&ban_id(self.resource()), loser);
        let words = ["--delete", "--scope", "constraints", "--xml-text", &xml];
        self.pacemaker("cibadmin", words)
    }

    /// A program of Pacemaker's, which changes its records at once or not at all, and may be slow because
    /// it waits for just this node.
    fn pacemaker<'s>(
        &self,
        program: &str,
        words: impl IntoIterator<Item = &'s str>,
    ) -> Result<(), String> {
        let call = Call::new(program, COMMAND).args(words);
        self.run(&call.interrupted_by(self.interrupt))
    }

    /// `drbdadm COMMAND [OPTION] RESOURCE`: the same words for 8.4 and 9.
    fn drbdadm(&self, words: &[&str]) -> Result<(), String> {
        let call = Call::new("drbdadm", COMMAND)
            .args(words.iter().copied())
            .args([self.resource()]);
        self.run(&call)
    }

    fn run(&self, call: &Call) -> Result<(), String> {
        tracing::info!("`{call}`");
        succeed(self.runner, call).map(drop)
    }
}

/// Marks all evidence as resolved.
fn resolve_evidence(directory: &std::path::Path, words: &str) -> Result<(), String> {
    let unresolved =
        two_node_ha_evidence::unresolved(directory).map_err(|error| error.to_string())?;
    for (path, _) in unresolved {
        two_node_ha_evidence::update(&path, |evidence| {
            evidence.resolved = Some(words.to_owned());
        })
        .map_err(|error| error.to_string())?;
    }
    Ok(())
}
