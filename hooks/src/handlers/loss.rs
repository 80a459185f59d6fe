//! Something was lost: a disk, the primary's right to be one, quorum, agreement.
//!
//! Recorded, and left to DRBD's own policy and to Pacemaker unless `hooks.on_…` says otherwise. The
//! reboot or power-off that DRBD's sample configuration puts here would be the end of a node on which
//! more than this runs. A handler cannot demote: the kernel's thread that waits for it may be the one
//! that the demotion would wait for.

use two_node_ha_config::LossAction;

use two_node_ha_fence::answer::{Answer, Level};

/// The backing device failed; DRBD's `on-io-error` decides whether it detaches.
pub fn local_io_error(action: LossAction) -> Answer {
    Answer::lost(
        Level::Critical,
        action,
        "the backing device failed: DRBD goes on with the peer's data if it can. Check the disk \
         (`dmesg`), replace it, then `drbdadm create-md` and `drbdadm adjust`",
    )
}

/// The handshake decided for the peer's data, and this node is primary.
pub fn primary_lost(action: LossAction) -> Answer {
    Answer::lost(
        Level::Critical,
        action,
        "the peer's data won, and this primary must become secondary before the nodes connect",
    )
}

/// As above, by an `after-sb` policy.
pub fn primary_lost_after_split_brain(action: LossAction) -> Answer {
    Answer::lost(
        Level::Critical,
        action,
        "after a split brain the peer's data won by policy, and this primary must become \
         secondary before its own changes are discarded",
    )
}

/// Primary, its own data inconsistent, no good data in reach.
pub fn primary_without_data(action: LossAction) -> Answer {
    Answer::lost(
        Level::Critical,
        action,
        "this primary has lost the last good data in reach: its own is inconsistent. Bring the \
         peer back, or replace the disk",
    )
}

/// An online verification found differences.
pub fn out_of_sync(action: LossAction) -> Answer {
    Answer::lost(
        Level::Error,
        action,
        "an online verification found blocks that differ between the nodes: disconnect and \
         connect the secondary to have them resynchronised",
    )
}

/// DRBD 9's own quorum, not Corosync's.
pub fn quorum(action: LossAction) -> Answer {
    Answer::lost(
        Level::Error,
        action,
        "DRBD lost its quorum: its policy suspends or fails the I/O",
    )
}
