//! Observations to decide from: for tests, here and in what stands on this crate.
#![allow(clippy::unwrap_used, reason = "a supply of tests")]

use std::collections::BTreeMap;

use two_node_ha_config::{Config, Host, parse};

use crate::Database;
use crate::machine::Sight;
use crate::observation::*;
use crate::record::{Epoch, Journal};
use crate::report::Report;
use crate::{Decision, State, Step, plan};

/// A configuration of two nodes, haone and hatwo, with fencing.
pub const TOML: &str = r#"
[[node]]
name = "haone"
address = "10.0.0.1"

[[node]]
name = "hatwo"
address = "10.0.0.2"

[volume]
backing_file = "/opt/drbd0-backstore"

[[fencing.device]]
node = "haone"
agent = "fence_lab"

[[fencing.device]]
node = "hatwo"
agent = "fence_lab"
"#;

/// [`TOML`], as haone reads it.
pub fn config() -> Config {
    parse(TOML, "test.toml", Host::Node("haone")).unwrap()
}

/// haone as it boots after it was set up: nothing mounted, nothing asked, everything in place.
pub fn booted() -> Observation {
    let directories = Directories {
        leads: LinkTarget::ToSpare,
        original: Contents::Missing,
        spare: Contents::Database,
        volume: Contents::Missing,
        original_voter: None,
        spare_log: Log::None,
        volume_log: Log::None,
        own: Standing::Within,
        fetched: None,
    };
    let mut journal = Journal::new("haone");
    journal.highest_epoch = 2;
    journal.spare_epoch = Database::ALL.into_iter().map(|d| (d, 2)).collect();
    Observation {
        node: "haone".into(),
        peer: "hatwo".into(),
        drbd: Drbd {
            role: Role::Secondary,
            up_to_date: true,
            connected: true,
            equal: true,
            peer_role: Role::Unknown,
            suspended: None,
            alone: false,
            seeking: true,
            summary: "Secondary UpToDate".into(),
        },
        mount: Mount::None,
        mount_point: MountPoint::Protected,
        request: Request::None,
        failover_unit: false,
        shutting_down: false,
        epoch: Known::Absent,
        volume_silent: false,
        fence_peer: FencePeer::Quiet,
        own_disconnect: false,
        just_mounted: false,
        journal,
        databases: Database::ALL
            .into_iter()
            .map(|d| (d, directories.clone()))
            .collect(),
        services: Services::Stopped,
        rest: Rest::default(),
        token: false,
        confirmed: false,
        health: Health::default(),
        peer_report: Asked::NotYet,
        peer_node: Asked::NotYet,
        promotion: Asked::Answer(Promotion::Allowed),
        peer_stopped: false,
        peer_patience_over: false,
        peer_logs_fetched: false,
        split_brain: None,
        own_disk: None,
        failure: None,
        stumbled: None,
        configuration: None,
        differences: Vec::new(),
    }
}

/// haone on its first day, a running member with real directories.
pub fn first_day(voter: bool) -> Observation {
    let mut o = booted();
    o.journal = Journal::new("haone");
    o.services = Services::Running;
    each(&mut o, |d| {
        d.leads = LinkTarget::Directory;
        d.original = Contents::Database;
        d.spare = Contents::Missing;
        d.original_voter = Some(voter);
    });
    o
}

/// Pacemaker has promoted and mounted here, and asks for the voter.
pub fn given_the_volume(o: &mut Observation, epoch: Known<Epoch>) {
    o.drbd.role = Role::Primary;
    o.mount = Mount::ReadWrite;
    o.mount_point = MountPoint::Covered;
    o.request = Request::Hold;
    let holds = if epoch == Known::Absent {
        Contents::Missing
    } else {
        Contents::Database
    };
    each(o, |d| d.volume = holds.clone());
    o.epoch = epoch;
}

/// Changes both databases' directories.
pub fn each(o: &mut Observation, change: impl Fn(&mut Directories)) {
    for directories in o.databases.values_mut() {
        change(directories);
    }
}

/// hatwo's report.
pub fn report(state: State, epoch: u64) -> Report {
    Report {
        node: "hatwo".into(),
        state,
        epoch,
        voter: state == State::PrimaryRunning,
        datastore_running: matches!(state, State::PrimaryRunning | State::SecondaryRunning),
        wants_voter: state == State::PrimaryRunning,
        original_voter: None,
        logs: BTreeMap::new(),
        fenced: None,
        config: BTreeMap::new(),
        heard: None,
    }
}

/// What haone makes of an observation.
pub fn decide(o: &Observation) -> Decision {
    plan(o, &config())
}

/// Takes the first step the way the world would answer it, without anything going wrong.
pub fn take(o: &mut Observation, step: &Step, peer: &Report) {
    use crate::Target;
    let node = o.node.clone();
    let epoch = match &mut o.epoch {
        Known::Present(epoch) => Some(epoch),
        Known::Absent | Known::Unreadable(_) => None,
    };
    match step {
        Step::AskPeer => o.peer_report = Asked::Answer(peer.clone()),
        Step::AskPacemaker => o.peer_node = Asked::Answer(PeerNode::Down),
        Step::AskPromotion => o.promotion = Asked::Answer(Promotion::Allowed),
        Step::RemoveConstraint(_) => o.promotion = Asked::NotYet,
        Step::AskFencePeer => {
            (o.drbd.suspended, o.drbd.alone) = (None, false);
            o.own_disconnect = false;
        }
        Step::StopPeer => {
            o.peer_stopped = true;
            if let Asked::Answer(report) = &mut o.peer_report {
                report.datastore_running = false;
            }
        }
        Step::ProtectMountPoint => o.mount_point = MountPoint::Protected,
        Step::StopServices => {
            o.services = Services::Stopped;
            o.token = false;
            o.confirmed = false;
        }
        Step::MoveOntoVolume => {
            o.epoch = Known::Present(Epoch::first(&node));
            o.journal.saw_epoch(1);
            each(o, |d| d.volume = Contents::Database);
        }
        Step::RememberEpoch(epoch) => o.journal.saw_epoch(*epoch),
        Step::KeepIdentity(database) => with(&mut o.databases, *database, |d| {
            if d.spare == Contents::Missing {
                d.spare = Contents::IdentityOnly;
            }
        }),
        Step::Leave(database) => with(&mut o.databases, *database, |d| {
            d.leads = LinkTarget::ToSpare;
            if d.spare == Contents::Missing {
                d.spare = Contents::IdentityOnly;
            }
        }),
        Step::KeepOriginal(database) => {
            o.journal.spare_epoch.insert(*database, 1);
            with(&mut o.databases, *database, |d| {
                d.spare = Contents::Database
            });
        }
        Step::Flip(database, target) => with(&mut o.databases, *database, |d| {
            d.leads = if *target == Target::Volume {
                LinkTarget::ToVolume
            } else {
                LinkTarget::ToSpare
            };
            d.original = Contents::Missing;
            d.original_voter = None;
        }),
        Step::BeginEpoch => {
            if let Some(epoch) = epoch {
                *epoch = epoch.taken_over_by(&node);
                o.journal.saw_epoch(epoch.epoch);
            }
        }
        Step::FencePeer => {
            o.peer_node = Asked::Answer(PeerNode::Down);
            o.peer_report = Asked::Silent("it was fenced".into());
        }
        Step::FetchLogs => {
            o.peer_logs_fetched = true;
            each(o, |d| {
                d.fetched.get_or_insert(Standing::Within);
            });
        }
        Step::RenewEpoch(_) => {
            if let Some(epoch) = epoch {
                *epoch = epoch.taken_over_by(&node);
                o.journal.saw_epoch(epoch.epoch);
            }
        }
        Step::Recover(database) => {
            // raft knows this node as its only voter then, and the volume has what was ahead.
            with(&mut o.databases, *database, |d| {
                if let Log::Ends(end) = &mut d.volume_log {
                    end.voters = Voters {
                        here: true,
                        elsewhere: false,
                    };
                }
                d.own = Standing::Within;
                d.fetched = None;
            });
            if let Some(epoch) = epoch {
                epoch
                    .databases
                    .insert(*database, crate::record::Phase::Done);
            }
        }
        Step::Rejoin(epoch) => {
            for database in Database::ALL {
                o.journal.spare_epoch.insert(database, *epoch);
            }
            each(o, |d| d.spare = Contents::Database);
        }
        Step::StartServices => {
            o.services = Services::Running;
            o.token = true;
        }
        Step::StartRest => o.rest = Rest::default(),
        Step::ConfirmVoter => o.confirmed = true,
        Step::ReportReleased => o.request = Request::None,
    }
}

fn with(
    all: &mut BTreeMap<Database, Directories>,
    database: Database,
    change: impl FnOnce(&mut Directories),
) {
    if let Some(directories) = all.get_mut(&database) {
        change(directories);
    }
}

/// Plans and takes first steps until there is nothing to do; the steps taken, in words.
pub fn live(o: &mut Observation, peer: &Report) -> (Vec<Step>, Decision) {
    let mut taken = Vec::new();
    loop {
        let decision = decide(o);
        let Some(step) = decision.steps.first().cloned() else {
            return (taken, decision);
        };
        assert!(taken.len() < 40, "no end: {taken:?}");
        take(o, &step, peer);
        taken.push(step);
    }
}

/// What the eyes see of a node of which this is known.
#[must_use]
pub fn sight(o: &Observation) -> Sight {
    let o = o.clone();
    Sight {
        drbd: o.drbd,
        mount: o.mount,
        mount_point: o.mount_point,
        request: o.request,
        hold: (o.request != Request::None).then_some(1),
        failover_unit: o.failover_unit,
        shutting_down: o.shutting_down,
        epoch: o.epoch,
        volume_silent: o.volume_silent,
        handler_at_work: o.fence_peer == FencePeer::AtWork,
        own_disconnect: o.own_disconnect,
        journal: o.journal,
        databases: o.databases,
        services: o.services,
        down: o.rest.down,
        token: o.token,
        resolution: Known::Absent,
        split_brain_reported: o.split_brain == Some(SplitBrain::Reported),
    }
}
