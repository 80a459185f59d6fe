//! A resync from its beginning to its end, and what comes between.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::time::{Duration, Instant};

use two_node_ha_drbd::DiskState::{Inconsistent, Outdated, UpToDate};

use super::*;
use crate::record::{Method, Why};
use crate::{After, Before, Error, Limits, Refused, Target};

fn before(node: &Node, disk: DiskState) -> Before {
    node.copies
        .before_resync(&moment(disk), Limits::default(), false)
}

fn made(before: Before) -> Copy {
    match before {
        Before::Made(copy) => *copy,
        other => panic!("{other:?}"),
    }
}

fn over(node: &Node) -> Vec<String> {
    match node
        .copies
        .after_resync(&moment(UpToDate), Limits::default())
    {
        Ok(After::Over(dropped, problems)) if problems.is_empty() => dropped,
        other => panic!("{other:?}"),
    }
}

#[test]
fn before_a_resync_the_data_is_copied_with_what_drbd_knows_of_it() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    assert_eq!(fs::read(&copy.path).unwrap(), Node::data(b'a', 0xA0));
    let record = &copy.record;
    assert_eq!((record.why, record.size), (Why::BeforeResync, SIZE as u64));
    assert_eq!(record.disk_state.as_deref(), Some("Outdated"));
    assert_eq!(record.consistent, Some(true));
    assert_eq!(
        record.generation.as_ref().unwrap().current,
        "00000000000000A0"
    );
    if record.method == Method::Sparse {
        assert!(copy.stored.unwrap() < 64 << 10, "{:?}", copy.stored);
        assert!(record.checksum.is_some());
    }
    node.copies.verify(&copy, &mut ()).unwrap();
    assert_eq!(
        node.copies.list().unwrap().unfinished.unwrap().copy,
        Some(copy.name)
    );
}

#[test]
fn copies_are_private_from_the_first_byte() {
    let node = Node::new(1);
    made(before(&node, Outdated));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&node.copies.dir), 0o700);
    let names = node.names();
    assert_eq!(names.len(), 4, "image, record, note, lock: {names:?}");
    for name in names {
        assert_eq!(mode(&node.at(&name)), 0o600, "{name}");
    }
}

#[test]
fn while_a_resync_is_unfinished_the_copy_from_before_it_is_kept() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    // Half of it is the peer's by now.
    node.write(b'x', 0xB0);
    for _ in 0..3 {
        match before(&node, Inconsistent) {
            Before::Kept(kept, _) => assert_eq!(kept.name, copy.name),
            other => panic!("{other:?}"),
        }
    }
    let after = node
        .copies
        .after_resync(&moment(Inconsistent), Limits::default());
    assert_eq!(after.unwrap(), After::NotOver);
    assert!(matches!(before(&node, Inconsistent), Before::Kept(..)));
    assert_eq!(node.byte(&copy), b'a');
    assert_eq!(over(&node), Vec::<String>::new());
    assert_eq!(node.copies.list().unwrap().unfinished, None);
    assert_eq!(node.copies.list().unwrap().copies.len(), 1);
}

#[test]
fn when_the_state_cannot_be_read_the_copy_from_before_an_unfinished_resync_is_kept() {
    let node = Node::new(1);
    let copy = made(
        node.copies
            .before_resync(&Moment::default(), Limits::default(), false),
    );
    node.write(b'x', 0xB0);
    match node
        .copies
        .before_resync(&Moment::default(), Limits::default(), false)
    {
        Before::Kept(kept, _) => assert_eq!(kept.name, copy.name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resync_that_was_let_begin_and_did_not_needs_no_second_copy() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    match before(&node, Outdated) {
        Before::Kept(kept, _) => assert_eq!(kept.name, copy.name),
        other => panic!("{other:?}"),
    }
    // It ended, and nobody said so; what is there now is whole and another generation.
    node.write(b'b', 0xB0);
    let second = made(before(&node, Outdated));
    assert_eq!(node.byte(&second), b'b');
}

#[test]
fn after_a_resync_the_copies_beyond_the_number_are_dropped_the_oldest_first() {
    let node = Node::new(2);
    for (byte, generation) in [(b'a', 1), (b'b', 2), (b'c', 3)] {
        node.write(byte, generation << 8);
        made(before(&node, Outdated));
        assert!(over(&node).len() <= 1);
    }
    let left: Vec<_> = node.copies.list().unwrap().copies;
    let bytes: Vec<_> = left.iter().map(|copy| node.byte(copy)).collect();
    assert_eq!(bytes, b"bc");
    assert_eq!(
        node.names().len(),
        5,
        "two copies and the lock: {:?}",
        node.names()
    );
}

#[test]
fn a_copy_that_somebody_asked_for_is_never_dropped_unasked() {
    let node = Node::new(1);
    let asked = node
        .copies
        .make(Why::SplitBrain, Limits::default(), &mut ())
        .unwrap();
    for generation in 1..4 {
        node.write(b'b', generation << 8);
        made(before(&node, Outdated));
        over(&node);
    }
    let left = node.copies.list().unwrap();
    assert_eq!(left.copies.len(), 2);
    assert!(left.get(&asked.name).is_some());
    node.copies.drop_copy(&asked.name).unwrap();
    assert_eq!(node.copies.list().unwrap().copies.len(), 1);
}

#[test]
fn a_disk_that_was_never_used_needs_no_copy() {
    let node = Node::new(1);
    node.write(b'a', 4);
    assert!(matches!(before(&node, Inconsistent), Before::Needless(_)));
    // Its first resync breaks off.
    node.write(b'x', 0xB0);
    assert!(matches!(before(&node, Inconsistent), Before::Needless(_)));
    assert_eq!(node.copies.list().unwrap().copies, []);
}

#[test]
fn a_disk_with_nothing_but_meta_data_needs_no_copy_whatever_its_identifiers_are() {
    // As 8.4 leaves it in the first resync of all: 44 KiB, and the peer's identifiers already there.
    const META: usize = 44 * 1024;
    let node = Node::new(1);
    let write = |at: usize, bytes: &[u8]| {
        let file = fs::File::create(&node.copies.backing).unwrap();
        file.set_len(SIZE as u64).unwrap();
        let mut block = block_84(0xA0, 0);
        block[64..68].copy_from_slice(&(META as u32 / 512).to_be_bytes());
        file.write_all_at(&block, (SIZE - 4096) as u64).unwrap();
        file.write_all_at(b"bitmap", (SIZE - META) as u64).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    };
    write(SIZE - META, b"");
    assert!(matches!(before(&node, Inconsistent), Before::Needless(_)));
    over(&node);
    // One block before it is data.
    write(SIZE - META - 4096, b"data");
    made(before(&node, Inconsistent));
    over(&node);
    // A damaged block claims all of it for itself.
    let file = fs::File::options()
        .write(true)
        .open(&node.copies.backing)
        .unwrap();
    file.write_all_at(&u32::MAX.to_be_bytes(), (SIZE - 4096 + 64) as u64)
        .unwrap();
    made(before(&node, Inconsistent));
    over(&node);
    // And whole data is copied in any case.
    write(SIZE - META, b"");
    made(before(&node, Outdated));
}

#[test]
fn data_that_somebody_invalidated_is_copied_and_displaces_no_copy_of_whole_data() {
    let node = Node::new(1);
    let whole = made(before(&node, Outdated));
    over(&node);
    node.write(b'i', 0xC0);
    let invalid = made(before(&node, Inconsistent));
    assert_eq!(invalid.record.consistent, Some(false));
    assert_eq!(over(&node), Vec::<String>::new());
    let left = node.copies.list().unwrap();
    assert!(left.get(&whole.name).is_some() && left.get(&invalid.name).is_some());
    node.write(b'j', 0xD0);
    made(before(&node, Outdated));
    assert_eq!(over(&node), [whole.name, invalid.name]);
}

#[test]
fn a_refused_resync_has_not_begun() {
    let node = Node::new(1);
    fs::remove_file(&node.copies.backing).unwrap();
    let refused = node
        .copies
        .before_resync(&moment(Outdated), Limits::default(), true);
    assert!(matches!(
        refused,
        Before::None(Refused::Failed(Error::Io { .. }))
    ));
    assert_eq!(node.copies.list().unwrap().unfinished, None);
    let allowed = node
        .copies
        .before_resync(&moment(Outdated), Limits::default(), false);
    assert!(matches!(allowed, Before::None(_)));
    let note = node.copies.list().unwrap().unfinished.unwrap();
    assert_eq!(note.copy, None);
    // And what is half overwritten then is worth nothing.
    node.write(b'x', 0xB0);
    assert!(matches!(before(&node, Inconsistent), Before::Needless(_)));
}

#[test]
fn with_copies_turned_off_there_is_none() {
    let node = Node::new(0);
    assert!(matches!(
        before(&node, Outdated),
        Before::None(Refused::TurnedOff)
    ));
}

#[test]
fn a_second_call_waits_for_the_first_and_gives_up_at_its_deadline() {
    let node = Node::new(1);
    let held = node.copies.lock(None).unwrap();
    let until = Instant::now() + Duration::from_millis(60);
    match node
        .copies
        .before_resync(&moment(Outdated), Limits::until(until), false)
    {
        Before::None(Refused::Failed(Error::Busy { .. })) => {}
        other => panic!("{other:?}"),
    }
    drop(held);
    made(before(&node, Outdated));
}

#[test]
fn a_copy_that_is_not_ready_at_the_deadline_is_given_up_and_leaves_nothing() {
    let node = Node::new(1);
    let gone = Limits::until(Instant::now());
    let refused = node
        .copies
        .make(Why::Asked, gone, &mut ())
        .map(|copy| copy.record.method);
    match refused {
        // A reflink takes no time.
        Ok(Method::Reflink) => return,
        Err(Refused::Deadline { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(node.names(), ["r0.lock"]);
}

#[test]
fn what_is_damaged_is_said_and_can_only_be_dropped() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    if copy.record.method == Method::Sparse {
        let mut bytes = fs::read(&copy.path).unwrap();
        bytes[5000] ^= 1;
        fs::write(&copy.path, &bytes).unwrap();
        let error = node.copies.verify(&copy, &mut ()).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
    fs::write(&copy.path, "short").unwrap();
    let listing = node.copies.list().unwrap();
    assert_eq!(listing.copies, []);
    assert!(listing.damaged[0].1.contains("5 bytes"), "{listing:?}");
    node.copies.drop_copy(&copy.name).unwrap();
    assert_eq!(node.copies.list().unwrap().damaged, []);
    let error = node.copies.drop_copy("r0-20260101T000000Z").unwrap_err();
    assert!(matches!(error, Error::NoSuchCopy { .. }));
    for name in ["../../etc/passwd", "r0.lock", "", "r0-"] {
        assert!(
            matches!(node.copies.get(name), Err(Error::NoSuchCopy { .. })),
            "{name}"
        );
    }
}

#[test]
fn a_copy_is_put_back_as_it_was_and_only_what_differs_is_written() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    node.write(b'b', 0xB0);
    let target = Target::claim(&node.copies.backing, &[]).unwrap();
    let restored = node.copies.restore(&copy, &target, &mut ()).unwrap();
    assert_eq!(
        fs::read(&node.copies.backing).unwrap(),
        Node::data(b'a', 0xA0)
    );
    assert!(restored.written < SIZE as u64 / 2, "{restored:?}");
    let again = node.copies.restore(&copy, &target, &mut ()).unwrap();
    assert_eq!(again.written, 0);
}

#[test]
fn a_copy_of_another_size_is_not_put_back() {
    let node = Node::new(1);
    let copy = made(before(&node, Outdated));
    fs::write(&node.copies.backing, vec![1; SIZE + 4096]).unwrap();
    let target = Target::claim(&node.copies.backing, &[]).unwrap();
    let error = node.copies.restore(&copy, &target, &mut ()).unwrap_err();
    assert!(matches!(error, Error::NotNow(_)), "{error}");
    assert_eq!(fs::read(&node.copies.backing).unwrap()[0], 1);
}

/// Wants no copy any more as soon as it has begun.
struct Over;

impl crate::Progress for Over {
    fn step(&mut self, _: u64, _: u64) {}

    fn is_over(&self) -> bool {
        true
    }
}

#[test]
fn a_copy_that_is_wanted_no_more_ends_and_leaves_nothing() {
    let node = Node::new(1);
    match node
        .copies
        .make(Why::SplitBrain, Limits::default(), &mut Over)
    {
        Err(Refused::GivenUp) => assert_eq!(node.copies.list().unwrap().copies, []),
        // By reflink it was made before anybody could be asked.
        Ok(copy) => assert_eq!(copy.record.method, Method::Reflink),
        Err(refused) => panic!("{refused}"),
    }
}
