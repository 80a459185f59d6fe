//! Before and after a resync.

use two_node_ha_config::NoCopyPolicy;

use crate::answer::{Answer, Code, Level, Resync};

/// This node's data is about to be overwritten by the peer's.
///
/// `hooks.no_copy` says what to do when no copy of it can be made first. Copies are not made yet,
/// so that "refuse" would refuse every resync and leave the cluster without a second copy of its
/// data for good: until there are copies, the policy has nothing to decide, and the answer is to
/// proceed.
pub fn before_target(policy: NoCopyPolicy) -> Answer {
    let reason = match policy {
        NoCopyPolicy::Proceed => "this node's data is about to be overwritten by the peer's",
        NoCopyPolicy::Refuse => {
            "this node's data is about to be overwritten by the peer's; hooks.no_copy = \
             \"refuse\" has no effect in this version, which makes no copies"
        }
    };
    Answer::new(Code::Resync(Resync::Proceed), "proceed", reason.to_owned()).at(Level::Notice)
}

/// The peer's data is about to be overwritten by this node's.
pub fn before_source() -> Answer {
    let reason = "the peer's data is about to be overwritten by this node's";
    Answer::new(Code::Resync(Resync::Proceed), "proceed", reason.to_owned()).at(Level::Info)
}

/// DRBD calls this also when the resync failed; nothing may be concluded from it alone.
pub fn after_target() -> Answer {
    Answer::noted(
        Level::Info,
        "the resync onto this node ended; whether it completed, the disk's state tells",
    )
}
