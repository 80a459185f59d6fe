//! A disk of the node's own that is full, or read-only, from any change of a release on: the services
//! end up stopped, the holder hears that the volume is free, and nothing is lost.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::bench::Bench;
use super::{
    BOTH_ON_FIRST, BOTH_ON_SECOND, Tell, after, disk, invariants, log, plug_in, snap, some,
};
use crate::act::Outcome;
use crate::database::Database;
use crate::files::effects::Change;
use crate::files::effects::power::{self, Loss};
use crate::plan::Step;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing new, and nothing longer.
    Full,
    /// No change at all.
    ReadOnly,
}

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// `/` with `/var`, and not `/run`.
    Disk,
    /// `/run` as well.
    RunToo,
}

fn refuses(bench: &Bench, fault: Fault, place: Where, change: &Change<'_>) -> bool {
    let node = &bench.nodes[0];
    let grows = matches!(
        change,
        Change::Make(_) | Change::Write(_) | Change::Other(..)
    );
    let syncs = matches!(
        change,
        Change::Sync(_) | Change::SyncDirectory(_) | Change::SyncAll(_)
    );
    if syncs || (fault == Fault::Full && !grows) {
        return false;
    }
    let point = node.paths.mount_point(&node.config);
    let own = |path: &Path| {
        path.starts_with(node.paths.root())
            && !path.starts_with(&point)
            && (place == Where::RunToo || !path.starts_with(node.paths.run()))
    };
    power::paths(change).iter().any(|path| own(path))
}

/// From the `nth` change of the first node on; how many there have been is counted.
fn begin_at(bench: &Rc<Bench>, nth: u64, fault: Fault, place: Where) -> Rc<Cell<u64>> {
    let counted = Rc::new(Cell::new(0));
    let (weak, seen) = (Rc::downgrade(bench), Rc::clone(&counted));
    power::before_each(Some(Rc::new(move |index, change: &Change<'_>| {
        let Some(bench) = weak.upgrade().filter(|_| index == 0) else {
            return Ok(());
        };
        seen.set(seen.get() + 1);
        if seen.get() >= nth && refuses(&bench, fault, place, change) {
            return Err(io::Error::from(match fault {
                Fault::Full => io::ErrorKind::StorageFull,
                Fault::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            }));
        }
        Ok(())
    })));
    counted
}

#[test]
fn a_full_or_read_only_disk_does_not_keep_a_voter_running() {
    log();
    let bench = after(&[BOTH_ON_FIRST]);
    let before = disk::save(&bench);
    let mut tried = 0;
    for fault in [Fault::Full, Fault::ReadOnly] {
        for place in [Where::Disk, Where::RunToo] {
            for nth in (1..).step_by(some(11)) {
                disk::restore(&bench, &before);
                plug_in(&bench, Loss::Nothing, before.flags.clone());
                // The agents and their services are as they were.
                bench.reach(BOTH_ON_FIRST).unwrap();
                let tell = Tell(format!(
                    "{fault:?} {place:?} from change {nth} of the release on"
                ));
                let changes = begin_at(&bench, nth, fault, place);
                bench.release(0).unwrap();
                let last = changes.get() < nth;
                for database in Database::ALL {
                    let running = || {
                        bench.nodes[0]
                            .running
                            .borrow()
                            .contains_key(database.name())
                    };
                    assert!(!running(), "{database} runs");
                    // Whoever asks, k8sd or a person: also where the token could not be taken away.
                    snap::start(&bench, 0, database.name()).unwrap().unwrap();
                    assert!(!running(), "{database} could be started again");
                }
                bench.unmount(0);
                // The other takes over while the disk is as it is.
                bench.mount(1);
                for _ in 0..5 {
                    if bench.nodes[1].held.borrow().is_none() {
                        bench.hold(1, false);
                    }
                    bench.turn_all(true).unwrap();
                }
                power::before_each(None);
                bench.reach(BOTH_ON_SECOND).unwrap();
                invariants::at_rest(&bench, 1);
                drop(tell);
                tried += 1;
                if last {
                    break;
                }
            }
        }
    }
    assert!(tried > 8, "{tried}");
    eprintln!("a release on a disk that is full or read-only from any change on: {tried} tried");
}

#[test]
fn a_full_disk_makes_no_working_voter_unhealthy_and_begins_no_epoch() {
    let bench = after(&[BOTH_ON_FIRST]);
    plug_in(&bench, Loss::Nothing, BTreeSet::new());
    begin_at(&bench, 1, Fault::Full, Where::RunToo);
    let mut daemon = bench.nodes[0].daemon.borrow_mut();
    let actor = &mut daemon.as_mut().unwrap().actor;
    power::of_node(0, || {
        let confirmed = actor.take(&Step::ConfirmVoter, &mut |_| {});
        assert_eq!(confirmed.unwrap(), Outcome::VoterConfirmed);
        assert!(actor.take(&Step::RememberEpoch(7), &mut |_| {}).is_err());
    });
    power::before_each(None);
}
