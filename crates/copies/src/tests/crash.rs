//! Cut off before every single change, by the death of the process and by that of the machine.

use std::fs;

use two_node_ha_disk::power::{Loss, cut_before};
use two_node_ha_drbd::DiskState::{Inconsistent, Outdated, UpToDate};

use super::*;
use crate::record::Why;
use crate::{Before, Limits, Target};

const LOSSES: [Loss; 2] = [Loss::Nothing, Loss::Unsynced];

/// Every copy that is listed is one of the data that there has been, whole.
fn only_whole_copies(node: &Node, whole: &[Vec<u8>], at: &str) {
    for copy in node.copies.list().unwrap().copies {
        let bytes = fs::read(&copy.path).unwrap();
        assert!(whole.contains(&bytes), "{at}: {} is half a copy", copy.name);
        node.copies.verify(&copy, &mut ()).unwrap();
    }
}

#[test]
fn a_copy_that_was_cut_off_is_never_listed_and_the_next_call_goes_on() {
    for loss in LOSSES {
        for nth in 1.. {
            let at = format!("{loss:?} before {nth}");
            let node = Node::new(1);
            let whole = [Node::data(b'a', 0xA0)];
            let (_, cut) = cut_before(nth, loss, &node.attic(), || {
                node.copies
                    .before_resync(&moment(Outdated), Limits::default(), false)
            });
            only_whole_copies(&node, &whole, &at);
            // The resync did not begin: the handler gave no answer.
            match node
                .copies
                .before_resync(&moment(Outdated), Limits::default(), false)
            {
                Before::Made(copy) | Before::Kept(copy, _) => {
                    assert_eq!(fs::read(&copy.path).unwrap(), whole[0], "{at}");
                }
                other => panic!("{at}: {other:?}"),
            }
            let listing = node.copies.list().unwrap();
            assert_eq!(listing.leftovers, Vec::<PathBuf>::new(), "{at}");
            assert!(listing.unfinished.is_some(), "{at}");
            if cut.is_none() {
                assert!(nth > 8, "{at}");
                break;
            }
        }
    }
}

#[test]
fn the_end_of_a_resync_can_be_cut_off_anywhere_and_the_newest_copy_stays() {
    for loss in LOSSES {
        for nth in 1.. {
            let at = format!("{loss:?} before {nth}");
            let node = Node::new(1);
            let whole = [Node::data(b'a', 0xA0), Node::data(b'b', 0xB0)];
            let before = || {
                node.copies
                    .before_resync(&moment(Outdated), Limits::default(), false)
            };
            before();
            node.copies
                .after_resync(&moment(UpToDate), Limits::default())
                .unwrap();
            node.write(b'b', 0xB0);
            before();
            let (_, cut) = cut_before(nth, loss, &node.attic(), || {
                node.copies
                    .after_resync(&moment(UpToDate), Limits::default())
            });
            only_whole_copies(&node, &whole, &at);
            let newest = node.copies.list().unwrap().copies.pop().unwrap();
            assert_eq!(node.byte(&newest), b'b', "{at}");
            node.copies
                .after_resync(&moment(UpToDate), Limits::default())
                .unwrap();
            node.copies.drop_leftovers().unwrap();
            assert_eq!(node.copies.list().unwrap().copies.len(), 1, "{at}");
            assert_eq!(node.names().len(), 3, "{at}: {:?}", node.names());
            if cut.is_none() {
                break;
            }
        }
    }
}

#[test]
fn a_cut_during_the_second_resync_never_loses_the_copy_from_before() {
    for loss in LOSSES {
        for nth in 1.. {
            let at = format!("{loss:?} before {nth}");
            let node = Node::new(1);
            node.copies
                .before_resync(&moment(Outdated), Limits::default(), false);
            node.write(b'x', 0xB0);
            let (_, cut) = cut_before(nth, loss, &node.attic(), || {
                node.copies
                    .before_resync(&moment(Inconsistent), Limits::default(), false)
            });
            match node
                .copies
                .before_resync(&moment(Inconsistent), Limits::default(), false)
            {
                Before::Kept(copy, _) => assert_eq!(node.byte(&copy), b'a', "{at}"),
                other => panic!("{at}: {other:?}"),
            }
            if cut.is_none() {
                break;
            }
        }
    }
}

#[test]
fn a_restore_that_was_cut_off_leaves_no_device_that_drbd_would_attach() {
    for loss in LOSSES {
        for nth in 1.. {
            let at = format!("{loss:?} before {nth}");
            let node = Node::new(1);
            let copy = node
                .copies
                .make(Why::Asked, Limits::default(), &mut ())
                .unwrap();
            node.write(b'b', 0xB0);
            let target = Target::claim(&node.copies.backing, &[]).unwrap();
            // Of the machine's death the lost part of a file that is written in place is not what
            // the bench can show: as it does, nothing of it is left.
            let (_, cut) = cut_before(nth, Loss::Nothing, &node.attic(), || {
                node.copies.restore(&copy, &target, &mut ())
            });
            let now = fs::read(&node.copies.backing).unwrap();
            let known = crate::Generation::parse(&now[SIZE - 4096..]);
            let whole = now == Node::data(b'a', 0xA0) || now == Node::data(b'b', 0xB0);
            assert!(whole || known.is_none(), "{at}");
            node.copies.restore(&copy, &target, &mut ()).unwrap();
            assert_eq!(
                fs::read(&node.copies.backing).unwrap(),
                Node::data(b'a', 0xA0),
                "{at}"
            );
            if cut.is_none() {
                break;
            }
        }
    }
}
