//! What a node has to have before it is said to have arrived, and what a step rests on that the steps
//! before it have to bring about: asked of every decision of the exploration.

use std::collections::{BTreeMap, BTreeSet};

use super::exhaustive::ensure;
use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::{Database, Decision, State, Step, Target};

/// What of it a decision breaks.
pub fn check(o: &Observation, d: &Decision) -> Result<(), &'static str> {
    arrived(o, d)?;
    let mut then = Then::of(o);
    for step in &d.steps {
        then.take(o, step)?;
    }
    Ok(())
}

fn arrived(o: &Observation, d: &Decision) -> Result<(), &'static str> {
    let now = Then::of(o);
    match d.state {
        State::PrimaryRunning => {
            ensure(o.request == Request::Hold, "a voter has been asked for")?;
            ensure(
                o.mount == Mount::ReadWrite && o.drbd.role == Role::Primary,
                "I3: a voter has the volume",
            )?;
            ensure(
                now.running && o.confirmed && now.lead(&LinkTarget::ToVolume),
                "a voter runs on the volume, with the token, and was confirmed",
            )?;
            // Of a volume that stands still nothing more is known.
            ensure(
                crate::plan::suspended_io::is(o) || now.is_own(),
                "I7: a voter's databases are all its own",
            )
        }
        State::SecondaryRunning if d.settled => {
            ensure(o.mount == Mount::None, "a spare runs off the volume")?;
            ensure(
                now.running && now.lead(&LinkTarget::ToSpare),
                "a spare runs on its own directories, with the token",
            )?;
            ensure(
                matches!(&o.peer_report, Asked::Answer(r) if r.voter),
                "a spare has a voter",
            )
        }
        State::Probing
        | State::PrimaryPrep
        | State::Recovering
        | State::Draining
        | State::SecondaryWait
        | State::Syncing
        | State::SecondaryRunning
        | State::Blocked => Ok(()),
    }
}

/// How a node stands once the steps so far are taken.
struct Then {
    running: bool,
    links: BTreeMap<Database, LinkTarget>,
    /// The databases that are this node's own.
    own: BTreeSet<Database>,
}

impl Then {
    fn of(o: &Observation) -> Self {
        let done = |epoch: &Epoch| {
            let all = Database::ALL.into_iter();
            all.filter(|d| epoch.phase(*d) == Phase::Done).collect()
        };
        Self {
            running: o.services == Services::Running && o.token,
            links: o
                .databases
                .iter()
                .map(|(database, d)| (*database, d.leads.clone()))
                .collect(),
            own: match &o.epoch {
                Known::Present(epoch) if epoch.owner == o.node => done(epoch),
                Known::Present(_) | Known::Absent | Known::Unreadable(_) => BTreeSet::new(),
            },
        }
    }

    fn lead(&self, to: &LinkTarget) -> bool {
        self.links.values().all(|leads| leads == to)
    }

    fn is_own(&self) -> bool {
        self.own.len() == Database::ALL.len()
    }

    fn take(&mut self, o: &Observation, step: &Step) -> Result<(), &'static str> {
        match step {
            Step::StopServices => self.running = false,
            Step::StartServices => {
                if o.request == Request::Hold {
                    ensure(
                        o.mount == Mount::ReadWrite && o.drbd.role == Role::Primary,
                        "I3: a voter starts without the volume",
                    )?;
                    ensure(
                        self.lead(&LinkTarget::ToVolume),
                        "I2: a voter starts off the volume",
                    )?;
                    ensure(
                        self.is_own(),
                        "I7: a voter starts before its takeover has ended",
                    )?;
                }
                self.running = true;
            }
            Step::ConfirmVoter => ensure(
                self.running && self.is_own() && self.lead(&LinkTarget::ToVolume),
                "what is confirmed is no voter on the volume",
            )?,
            Step::Flip(database, Target::Volume) => {
                self.links.insert(*database, LinkTarget::ToVolume);
            }
            Step::Flip(database, Target::Spare) => {
                self.links.insert(*database, LinkTarget::ToSpare);
            }
            Step::Leave(database) => {
                ensure(
                    o.mount == Mount::ReadWrite,
                    "what was renewed is kept from a volume that is not mounted",
                )?;
                self.links.insert(*database, LinkTarget::ToSpare);
            }
            Step::BeginEpoch | Step::RenewEpoch(_) => self.own.clear(),
            Step::Recover(database) => {
                self.own.insert(*database);
            }
            Step::MoveOntoVolume => ensure(
                matches!(&o.peer_report, Asked::Answer(r) if r.epoch == 0),
                "a volume is begun beside a peer that has seen another",
            )?,
            Step::ReportReleased => ensure(
                o.request == Request::Release,
                "Pacemaker hears of a release that it has not asked for",
            )?,
            Step::AskPeer
            | Step::AskPacemaker
            | Step::AskPromotion
            | Step::RemoveConstraint(_)
            | Step::AskFencePeer
            | Step::StopPeer
            | Step::ProtectMountPoint
            | Step::RememberEpoch(_)
            | Step::KeepIdentity(_)
            | Step::KeepOriginal(_)
            | Step::FencePeer
            | Step::FetchLogs
            | Step::StartRest
            | Step::Rejoin(_) => {}
        }
        Ok(())
    }
}
