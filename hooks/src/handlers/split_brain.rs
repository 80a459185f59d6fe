//! Split brain: both sides have changed what the other does not know.

use crate::answer::{Answer, Level};

/// DRBD could not solve it and has cut the connection. Nothing is discarded here: only a person
/// knows which side's writes are worth more.
pub fn unresolved(resource: Option<&str>) -> Answer {
    let resource = resource.unwrap_or("RESOURCE");
    let reason = format!(
        "SPLIT BRAIN: both nodes have written since they last saw each other, and DRBD has cut \
         the connection. Neither side is being discarded. Keep both nodes as they are, find out \
         which side holds the writes that count (`drbdadm status {resource}` and \
         `two-node-ha status` on both), and only then let the other one discard its own: \
         `drbdadm secondary {resource}; drbdadm connect --discard-my-data {resource}` there, \
         `drbdadm connect {resource}` here"
    );
    Answer {
        alert: true,
        ..Answer::noted(Level::Critical, reason)
    }
}

/// Found during the handshake; DRBD's policies (`after-sb-0pri` and so on) decide next. Where they
/// cannot, [`unresolved`] is called.
pub fn initial() -> Answer {
    Answer::noted(
        Level::Warning,
        "split brain found in the handshake; DRBD's after-sb policies decide what happens next",
    )
}
