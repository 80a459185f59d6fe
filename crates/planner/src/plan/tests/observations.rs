//! Every combination of what can be observed.

use crate::observation::*;
use crate::record::{Epoch, Phase};
use crate::world::*;
use crate::{Database, State};

fn epochs() -> Vec<Known<Epoch>> {
    let mut half = Epoch::first("hatwo").taken_over_by("haone");
    half.databases.insert(Database::K8sd, Phase::Done);
    vec![
        Known::Absent,
        Known::Unreadable("x".into()),
        Known::Present(Epoch::first("haone")),
        Known::Present(Epoch::first("hatwo")),
        Known::Present(half),
    ]
}

fn reports() -> Vec<Asked<crate::report::Report>> {
    let mut first = report(State::SecondaryWait, 0);
    first.original_voter = Some(false);
    let mut all = vec![
        Asked::NotYet,
        Asked::Silent("x".into()),
        Asked::Answer(first),
    ];
    for epoch in [1, 2, 3] {
        for state in [
            State::PrimaryRunning,
            State::SecondaryRunning,
            State::SecondaryWait,
        ] {
            all.push(Asked::Answer(report(state, epoch)));
        }
    }
    // On its way down; and one that cannot say which it was on the first day.
    let mut leaving = report(State::Draining, 1);
    leaving.datastore_running = true;
    all.push(Asked::Answer(leaving));
    all.push(Asked::Answer(report(State::Blocked, 0)));
    all
}

fn directories() -> Vec<Directories> {
    let mut all = Vec::new();
    for leads in [
        LinkTarget::Directory,
        LinkTarget::ToVolume,
        LinkTarget::ToSpare,
    ] {
        for spare in [
            Contents::Missing,
            Contents::IdentityOnly,
            Contents::Waiting,
            Contents::Database,
        ] {
            for volume in [Contents::Missing, Contents::Database] {
                let directory = leads == LinkTarget::Directory;
                all.push(Directories {
                    original: if directory {
                        Contents::Database
                    } else {
                        Contents::Missing
                    },
                    original_voter: directory.then_some(true),
                    spare_log: Log::None,
                    volume_log: Log::None,
                    own: Standing::Within,
                    fetched: None,
                    leads: leads.clone(),
                    spare: spare.clone(),
                    volume,
                });
            }
        }
    }
    all
}

/// Every combination; both databases stand alike, which the steps treat one by one anyway.
pub(super) fn every_observation(mut check: impl FnMut(&Observation)) {
    let services = [
        (Services::Stopped, false, false),
        (Services::Stopped, true, false),
        (Services::Others, false, false),
        (Services::Partly, true, false),
        // The token was taken away by hand.
        (Services::Running, false, true),
        (Services::Running, true, false),
        (Services::Running, true, true),
    ];
    let mut o = booted();
    for directories in directories() {
        each(&mut o, |d| d.clone_from(&directories));
        for epoch in epochs() {
            for (mount, role) in [
                (Mount::None, Role::Secondary),
                (Mount::ReadWrite, Role::Primary),
                // DRBD's role and the mounts are not read in one moment.
                (Mount::ReadWrite, Role::Secondary),
                (Mount::ReadOnly, Role::Primary),
            ] {
                o.drbd.role = role;
                o.mount = mount.clone();
                // Nothing of a volume can be seen that is not mounted.
                if o.mount != Mount::ReadWrite && epoch != Known::Absent {
                    continue;
                }
                o.epoch = epoch.clone();
                for request in [Request::None, Request::Hold, Request::Release] {
                    if role == Role::Secondary && mount != Mount::None && request != Request::Hold {
                        continue;
                    }
                    o.request = request;
                    o.just_mounted = request == Request::None && o.mount != Mount::None;
                    for highest in [0, 1, 2] {
                        o.journal.highest_epoch = highest;
                        for (services, token, confirmed) in services {
                            (o.services, o.token, o.confirmed) = (services, token, confirmed);
                            for report in reports() {
                                o.peer_report = report;
                                for node in [
                                    Asked::NotYet,
                                    Asked::Answer(PeerNode::Online),
                                    Asked::Answer(PeerNode::Down),
                                    Asked::Answer(PeerNode::Lost),
                                ] {
                                    // Only who holds, or is about to, asks Pacemaker.
                                    let asks = request == Request::Hold || o.just_mounted;
                                    if node == Asked::NotYet && !asks {
                                        continue;
                                    }
                                    o.peer_node = node;
                                    for stopped in [false, true] {
                                        o.peer_stopped = stopped;
                                        check(&o);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The two databases standing differently, as a crash between two steps leaves them, under fewer
/// combinations of everything else.
pub(super) fn mixed_observations(mut check: impl FnMut(&Observation)) {
    let mut o = booted();
    for first in directories() {
        for second in directories() {
            o.databases.insert(Database::K8sDqlite, first.clone());
            o.databases.insert(Database::K8sd, second);
            for (mount, role, epoch) in [
                (Mount::None, Role::Secondary, Known::Absent),
                (Mount::ReadWrite, Role::Primary, Known::Absent),
            ]
            .into_iter()
            .chain(
                epochs()
                    .into_iter()
                    .map(|epoch| (Mount::ReadWrite, Role::Primary, epoch)),
            ) {
                o.journal.highest_epoch = match &epoch {
                    Known::Present(epoch) => epoch.epoch,
                    Known::Absent | Known::Unreadable(_) => 0,
                };
                (o.mount, o.drbd.role, o.epoch) = (mount, role, epoch);
                for request in [Request::None, Request::Hold, Request::Release] {
                    o.request = request;
                    o.just_mounted = request == Request::None && o.mount != Mount::None;
                    for (services, token) in [(Services::Stopped, false), (Services::Running, true)]
                    {
                        (o.services, o.token) = (services, token);
                        for report in [
                            Asked::Answer(report(State::PrimaryRunning, 2)),
                            Asked::Answer(report(State::SecondaryWait, 1)),
                            Asked::Silent("x".into()),
                        ] {
                            o.peer_report = report;
                            o.peer_node = Asked::Answer(PeerNode::Down);
                            check(&o);
                        }
                    }
                }
            }
        }
    }
}
