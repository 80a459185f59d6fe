//! fence-peer and unfence-peer.
//!
//! They place and remove Pacemaker's location constraint once this program does it; until then
//! the rendered DRBD configuration names drbd-utils' own scripts, and these names are not wired.

use crate::answer::{Answer, Code, Fence, Level};

/// Not wired in, so somebody configured it by hand. Every other code claims something about the
/// peer that nobody has checked, and 0 is no valid answer: "broken" is the truth.
pub fn fence() -> Answer {
    let reason = "this version does not fence: use DRBD's crm-fence-peer.sh (crm-fence-peer.9.sh \
                  with DRBD 9) as the fence-peer handler, as `two-node-ha render drbd` does; \
                  answered 1, nothing is claimed about the peer";
    Answer::new(Code::Fence(Fence::Broken), "broken", reason.to_owned()).at(Level::Error)
}

/// The peer is up to date again.
pub fn unfence() -> Answer {
    Answer::noted(
        Level::Warning,
        "the peer is up to date again, but this version removes no fencing constraint: use \
         DRBD's crm-unfence-peer.sh (crm-unfence-peer.9.sh with DRBD 9) as the handler",
    )
}
