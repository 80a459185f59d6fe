//! Events on their way from a hook to the agent.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use two_node_ha_drbd::{Decision, Handler};
use two_node_ha_events::{Event, SIZE_LIMIT, UNREADABLE, VERSION, Watcher, take_all, write};

fn event(handler: &str, time: u64) -> Event {
    Event {
        time,
        resource: Some("r0".to_owned()),
        peer: Some("beta".to_owned()),
        minors: vec![0],
        volumes: vec![0],
        decision: Decision::Recorded,
        exit_code: 1,
        reason: "no policy yet".to_owned(),
        duration_us: 12,
        env: BTreeMap::from([("DRBD_RESOURCE".to_owned(), "r0".to_owned())]),
        ..Event::new(Handler::parse(handler))
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_event_survives_the_way_from_hook_to_agent() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lib/events");
    let sent = event("split-brain", 1_700_000_000_000_000);
    let path = write(&dir, &sent).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir), 0o700);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("00001700000000000000-"), "{name}");
    assert!(name.ends_with("-split-brain.json"), "{name}");

    let mut taken = take_all(&dir).unwrap();
    assert!(taken.unreadable.is_empty());
    assert_eq!(taken.events.len(), 1);
    let pending = taken.events.pop().unwrap();
    assert_eq!(pending.event, sent);
    assert_eq!(pending.path(), path);
}

#[test]
fn an_event_stays_until_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &event("pri-lost", 1)).unwrap();
    assert_eq!(take_all(dir.path()).unwrap().events.len(), 1);
    let taken = take_all(dir.path()).unwrap();
    assert_eq!(taken.events.len(), 1);
    for pending in taken.events {
        pending.ack().unwrap();
    }
    assert!(take_all(dir.path()).unwrap().events.is_empty());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn acknowledging_twice_is_in_order() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &event("pri-lost", 1)).unwrap();
    let (first, second) = (take_all(dir.path()).unwrap(), take_all(dir.path()).unwrap());
    assert_eq!(second.events.len(), 1);
    first
        .events
        .into_iter()
        .for_each(|pending| pending.ack().unwrap());
    second
        .events
        .into_iter()
        .for_each(|pending| pending.ack().unwrap());
}

#[test]
fn events_come_in_the_order_of_their_time_and_of_their_writing() {
    let dir = tempfile::tempdir().unwrap();
    for (handler, time) in [("c", 30), ("a", 10), ("b", 20), ("d", 30), ("e", 1_000_000)] {
        write(dir.path(), &event(handler, time)).unwrap();
    }
    let taken = take_all(dir.path()).unwrap();
    let order: Vec<_> = taken
        .events
        .iter()
        .map(|p| p.event.handler.as_str())
        .collect();
    assert_eq!(order, ["a", "b", "c", "d", "e"]);
}

#[test]
fn events_written_at_once_by_many_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    write(dir.path(), &event("out-of-sync", 7)).unwrap();
                }
            });
        }
    });
    assert_eq!(take_all(dir.path()).unwrap().events.len(), 160);
}

#[test]
fn what_cannot_be_read_is_set_aside_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let future = Event {
        format: VERSION + 1,
        ..event("b", 1)
    };
    write(dir.path(), &future).unwrap();
    fs::write(dir.path().join("00000000000000000002-1-0-broken.json"), "{").unwrap();
    fs::write(
        dir.path().join("00000000000000000003-1-0-large.json"),
        vec![b' '; SIZE_LIMIT + 1],
    )
    .unwrap();
    fs::create_dir(dir.path().join("00000000000000000004-1-0-dir.json")).unwrap();
    write(dir.path(), &event("good", 5)).unwrap();

    let taken = take_all(dir.path()).unwrap();
    assert_eq!(taken.events.len(), 1);
    assert_eq!(taken.events[0].event.handler.as_str(), "good");
    assert_eq!(taken.unreadable.len(), 4);
    for (path, why) in &taken.unreadable {
        assert_eq!(path.parent().unwrap(), dir.path().join(UNREADABLE));
        assert!(path.exists() && !why.is_empty());
    }
    // Only once.
    assert!(take_all(dir.path()).unwrap().unreadable.is_empty());
}

#[test]
fn no_more_than_64_unreadable_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..70 {
        fs::write(dir.path().join(format!("{index:020}-1-0-x.json")), "{").unwrap();
    }
    take_all(dir.path()).unwrap();
    let kept = fs::read_dir(dir.path().join(UNREADABLE)).unwrap().count();
    assert_eq!(kept, 64);
    assert!(
        dir.path()
            .join(UNREADABLE)
            .join(format!("{:020}-1-0-x.json", 69))
            .exists()
    );
}

#[test]
fn an_event_in_the_making_is_left_alone_and_an_abandoned_one_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (young, old) = (dir.path().join(".tmpyoung"), dir.path().join(".tmpold"));
    for path in [&young, &old] {
        fs::write(path, "{").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 60 * 60);
    fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let taken = take_all(dir.path()).unwrap();
    assert!(taken.events.is_empty() && taken.unreadable.is_empty());
    assert!(young.exists());
    assert!(!old.exists());
}

#[test]
fn an_oversized_environment_is_left_out_and_an_oversized_event_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut large = event("fence-peer", 1);
    large
        .env
        .insert("DRBD_PEERS".to_owned(), "x".repeat(SIZE_LIMIT));
    write(dir.path(), &large).unwrap();
    let taken = take_all(dir.path()).unwrap();
    assert!(taken.events[0].event.env.is_empty());
    assert_eq!(taken.events[0].event.reason, large.reason);
    large.reason = "x".repeat(SIZE_LIMIT);
    let error = write(dir.path(), &large).unwrap_err();
    assert!(error.to_string().contains("fence-peer"), "{error}");
}

#[test]
fn a_handlers_name_cannot_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &event("../../etc/x", 1)).unwrap();
    assert_eq!(path.parent().unwrap(), dir.path());
}

#[test]
fn no_directory_means_no_events() {
    let dir = tempfile::tempdir().unwrap();
    let taken = take_all(&dir.path().join("absent")).unwrap();
    assert!(taken.events.is_empty());
}

#[test]
fn an_event_wakes_the_watcher_once_and_its_removal_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    let mut watcher = Watcher::new(&events).unwrap();
    assert!(!watcher.drain().unwrap());
    write(&events, &event("pri-lost", 1)).unwrap();
    assert!(readable(&watcher));
    assert!(watcher.drain().unwrap());
    assert!(!readable(&watcher));
    for pending in take_all(&events).unwrap().events {
        pending.ack().unwrap();
    }
    assert!(!readable(&watcher));
}

#[test]
fn a_watcher_whose_directory_is_gone_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events");
    let mut watcher = Watcher::new(&events).unwrap();
    fs::remove_dir(&events).unwrap();
    assert!(watcher.drain().is_err());
}

fn readable(watcher: &Watcher) -> bool {
    let fd = rustix::event::PollFd::from_borrowed_fd(watcher.as_fd(), rustix::event::PollFlags::IN);
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut [fd], Some(&now)).unwrap() == 1
}

proptest::proptest! {
    #[test]
    fn no_content_makes_the_reader_panic(content in ".{0,200}") {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("00000000000000000001-1-0-x.json"), content).unwrap();
        let taken = take_all(dir.path()).unwrap();
        proptest::prop_assert_eq!(taken.events.len() + taken.unreadable.len(), 1);
    }
}
