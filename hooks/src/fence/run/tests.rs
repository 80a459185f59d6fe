//! How long a call takes, and what it makes of what it hears.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use two_node_ha_command::scripted::Scripted;
use two_node_ha_command::{Exit, Output};
use two_node_ha_config::FencingMode;
use two_node_ha_drbd::{Decision, DiskState};

use super::*;
use crate::fence::tests::world::{Peer, World, cut};

/// What `cibadmin` says where it is done, where no DC answers, where the constraint is there already,
/// and where Pacemaker does not run.
const DONE: i32 = 0;
const NO_DC: i32 = 114;
const EXISTS: i32 = 108;
const NOT_CONNECTED: i32 = 102;

fn subject(mode: FencingMode) -> Subject {
    Subject {
        resource: "r0".into(),
        me: "alpha".into(),
        peer: "beta".into(),
        mode,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a call with this deadline does, that was begun so long ago.
fn run<T>(runner: &dyn Runner, deadline: u64, ago: u64, does: impl FnOnce(&Run<'_>) -> T) -> T {
    of(FencingMode::Stonith, runner, (deadline, ago), does)
}

/// The same under this mode.
fn of<T>(
    mode: FencingMode,
    runner: &dyn Runner,
    (deadline, ago): (u64, u64),
    does: impl FnOnce(&Run<'_>) -> T,
) -> T {
    let subject = subject(mode);
    does(&Run {
        runner,
        subject: &subject,
        minors: &[0],
        started: Instant::now().checked_sub(seconds(ago)).unwrap(),
        deadline: seconds(deadline),
        note: &|_| {},
    })
}

/// A cluster whose CIB is what the function says, by the number of the look and what was placed last.
fn cluster(
    world: &World,
    placing: i32,
    cib: impl Fn(usize, &str) -> (i32, String) + 'static,
) -> Scripted {
    let placed = Rc::new(RefCell::new(String::new()));
    let looks = RefCell::new(0);
    let last = placed.clone();
    let output = |code, stdout: String| {
        Ok(Output {
            exit: Exit::Code(code),
            stdout: stdout.into_bytes(),
            stderr: Vec::new(),
        })
    };
    world
        .drbd(8)
        .answer_with("cibadmin --query --local", move |_| {
            *looks.borrow_mut() += 1;
            let (code, text) = cib(*looks.borrow(), &last.borrow());
            output(code, text)
        })
        .answer_with("cibadmin --create", move |call| {
            let mut args = call.args.iter().skip_while(|arg| *arg != "--xml-text");
            *placed.borrow_mut() = args.nth(1).unwrap().to_string_lossy().into_owned();
            output(placing, String::new())
        })
        .answer("cibadmin --delete", NO_DC, "")
}

fn with(cib: &str, constraint: &str) -> String {
    cib.replace("</constraints>", &format!("{constraint}</constraints>"))
}

fn deletes(runner: &Scripted) -> usize {
    let calls = runner.calls();
    calls
        .iter()
        .filter(|call| call.starts_with("cibadmin --delete"))
        .count()
}

#[test]
fn the_last_decision_leaves_time_to_take_the_constraint_away() {
    for (deadline, last) in [(60, 52), (12, 9), (4, 2), (2, 1)] {
        let runner = Scripted::new();
        assert_eq!(run(&runner, deadline, 0, |run| run.last()), seconds(last));
    }
}

#[test]
fn a_child_gets_what_it_may_take_or_what_is_left() {
    let within = |ago| run(&Scripted::new(), 60, ago, |run| run.within(seconds(10)));
    assert_eq!(within(0), seconds(10));
    assert!(within(55) < seconds(5));
    assert_eq!(within(70), Duration::from_millis(50));
}

#[test]
fn the_pause_grows_with_what_was_waited_and_ends_with_the_time() {
    for (elapsed, pause) in [
        (0, 50),
        (2_000, 200),
        (30_000, 400),
        (51_900, 100),
        (59_000, 50),
    ] {
        let elapsed = Duration::from_millis(elapsed);
        let paused = run(&Scripted::new(), 60, 0, |run| run.pause_after(elapsed));
        assert_eq!(paused, Duration::from_millis(pause), "{elapsed:?}");
    }
    let began = Instant::now();
    run(&Scripted::new(), 60, 0, |run| run.pause());
    assert!(began.elapsed() >= PAUSE.0);
}

#[test]
fn a_fencing_that_failed_is_no_fencing() {
    for (status, confirmed) in [("success", true), ("failed", false)] {
        let event = format!(
            "<pacemaker-result api-version=\"2.25\" request=\"x\"><fence_history target=\"beta\">\
             <fence_event action=\"off\" target=\"beta\" client=\"c\" origin=\"alpha\" status=\"{status}\" \
             delegate=\"alpha\" completed=\"2026-07-28 18:31:04\"/></fence_history>\
             <status code=\"0\" message=\"OK\"/></pacemaker-result>"
        );
        let runner = Scripted::new().answer("stonith_admin", 0, event);
        let fenced = run(&runner, 60, 0, |run| run.fenced());
        let is = matches!(&fenced, Fencing::Confirmed(how) if how.starts_with("`off` at "));
        assert_eq!(is, confirmed, "{status}: {fenced:?}");
    }
}

#[test]
fn a_pacemaker_that_does_not_run_is_told_from_one_that_does_not_answer() {
    for (code, runs) in [(NOT_CONNECTED, false), (1, true)] {
        let runner = Scripted::new().answer("cibadmin", code, "");
        match run(&runner, 60, 0, |run| run.look()) {
            Cluster::Silent { running, .. } => assert_eq!(running, runs, "{code}"),
            Cluster::Seen(_) => panic!("nothing was said"),
        }
    }
}

#[test]
fn the_same_trouble_is_noted_once() {
    let noted = RefCell::new(Vec::new());
    let (runner, subject) = (Scripted::new(), subject(FencingMode::Stonith));
    let run = Run {
        runner: &runner,
        subject: &subject,
        minors: &[0],
        started: Instant::now(),
        deadline: seconds(60),
        note: &|text| noted.borrow_mut().push(text.to_owned()),
    };
    let mut done = Done::default();
    for error in [
        ChangeError::Exists,
        ChangeError::Exists,
        ChangeError::Changed,
    ] {
        run.troubled(&mut done, &error);
    }
    let (exists, changed) = (ChangeError::Exists, ChangeError::Changed);
    assert_eq!(*noted.borrow(), [exists.to_string(), changed.to_string()]);
}

#[test]
fn where_somebody_else_was_faster_the_next_look_tells_whose_the_constraint_is() {
    let world = cut();
    let cib = world.cib(0);
    let theirs = FencingConstraint::new("r0", "drbd_master_slave", "beta").marked();
    let runner = cluster(&world, EXISTS, move |look, _| match look {
        1 => (DONE, cib.clone()),
        _ => (DONE, with(&cib, &theirs.element("Promoted"))),
    });
    let answer = run(&runner, 4, 0, |run| run.answer());
    assert_eq!(answer.decision, Decision::Rejected, "{}", answer.reason);
}

#[test]
fn a_constraint_that_stood_before_the_call_entitles_data_that_may_be_old() {
    let world = World {
        local: "Consistent",
        peer: Peer::Down,
        ..cut()
    };
    let cib = world.cib(0);
    let mine = FencingConstraint::new("r0", "drbd_master_slave", "alpha").marked();
    for (stands, decision) in [(true, false), (false, true)] {
        let (cib, mine) = (cib.clone(), mine.clone());
        let runner = cluster(&world, DONE, move |_, _| match stands {
            true => (DONE, with(&cib, &mine.element("Promoted"))),
            false => (DONE, cib.clone()),
        })
        .answer("cibadmin --replace", 0, "")
        .answer("stonith_admin", 1, "");
        let answer = run(&runner, 4, 0, |run| run.answer());
        assert_eq!(
            answer.decision == Decision::Stale,
            decision,
            "{}",
            answer.reason
        );
    }
}

#[test]
fn what_was_placed_without_an_answer_is_known_for_this_calls_own_by_its_mark_and_taken_back() {
    let world = cut();
    let cib = world.cib(0);
    let runner = cluster(&world, NO_DC, move |look, placed| match look {
        1 => (DONE, cib.clone()),
        2 => (DONE, with(&cib, placed)),
        // Then the cluster says nothing any more.
        _ => (1, String::new()),
    })
    .answer("crmadmin", 1, "");
    let answer = run(&runner, 4, 0, |run| run.answer());
    assert_eq!(answer.decision, Decision::Undecided);
    assert!(deletes(&runner) > 0, "{:?}", runner.calls());
}

#[test]
fn what_was_placed_without_an_answer_goes_once_the_peer_is_back_also_where_the_cluster_is_silent_then()
 {
    let cib = cut().cib(0);
    let looks = Rc::new(RefCell::new(0));
    let counted = looks.clone();
    let back = move || *looks.borrow() > 2;
    let silent = back.clone();
    let runner = cluster(&cut(), NO_DC, move |look, placed| {
        *counted.borrow_mut() = look;
        match (silent(), look) {
            (true, _) => (1, String::new()),
            (false, 1) => (DONE, cib.clone()),
            (false, _) => (DONE, with(&cib, placed)),
        }
    })
    .answer("crmadmin", 1, "")
    .file("/sys/module/drbd/version", "9.2.12\n")
    .answer_with("drbdsetup", move |_| {
        let disk = if back() { "UpToDate" } else { "DUnknown" };
        Ok(Output {
            exit: Exit::Code(0),
            stdout: format!(
                "exists resource name:r0 role:Primary suspended:fencing\n\
                 exists connection name:r0 peer-node-id:2 conn-name:beta connection:Connecting role:Unknown\n\
                 exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
                 exists peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off peer-disk:{disk}\n\
                 exists -\n"
            )
            .into_bytes(),
            stderr: Vec::new(),
        })
    });
    // Under "stonith" whatever was tried is taken back anyway.
    let answer = of(FencingMode::Constraint, &runner, (8, 0), |run| run.answer());
    assert!(deletes(&runner) > 0, "{}", answer.reason);
}

#[test]
fn between_two_tries_to_take_the_constraint_back_there_is_a_pause() {
    let world = cut();
    let cib = world.cib(0);
    let runner = cluster(&world, NO_DC, move |_, _| (DONE, cib.clone()));
    let answer = run(&runner, 4, 0, |run| run.answer());
    assert_eq!(answer.decision, Decision::Undecided);
    let most = seconds(4).as_millis() / PAUSE.0.as_millis();
    let tried = deletes(&runner);
    assert!(tried > 1 && (tried as u128) <= most, "{tried}");
}

#[test]
fn drbd_is_asked_for_its_disks_where_no_minor_is_known_and_a_peer_that_may_write_counts_as_primary()
{
    for (role, may_be) in [("Secondary", false), ("Unknown", true), ("Primary", true)] {
        let events = format!(
            "exists resource name:r0 role:Primary suspended:no\n\
             exists connection name:r0 peer-node-id:2 conn-name:beta connection:Connecting role:{role}\n\
             exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
             exists peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off peer-disk:DUnknown\n\
             exists -\n"
        );
        for version in ["8.4.11\n", "9.2.12\n"] {
            let runner = Scripted::new()
                .file("/sys/module/drbd/version", version)
                .answer("drbdsetup", 0, events.clone());
            let disks = disks::read(&runner, "r0", &[], seconds(1)).unwrap();
            assert_eq!(disks.local, [DiskState::UpToDate], "{version}");
            assert_eq!(disks.peer_primary, may_be, "{version} {role}");
        }
    }
}
