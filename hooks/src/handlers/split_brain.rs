//! Split brain: both sides have changed what the other does not know.

use two_node_ha_fence::answer::{Answer, Level};

/// DRBD could not solve it and has cut the connection. Nothing is discarded here: only a person
/// knows which side's writes are worth more.
pub fn unresolved() -> Answer {
    let reason = "SPLIT BRAIN: both nodes have written since they last saw each other, and DRBD has \
                  cut the connection. Neither side is being discarded. `two-node-ha split-brain \
                  show` puts both sides next to each other, and `two-node-ha split-brain resolve \
                  --keep NODE` ends it, with a copy of the other side's data first";
    Answer {
        alert: true,
        evidence: true,
        ..Answer::noted(Level::Critical, reason)
    }
}

/// Found during the handshake; DRBD's policies (`after-sb-0pri` and so on) decide next. Where they
/// cannot, [`unresolved`] is called. The evidence is kept all the same: a policy that finds an
/// answer leaves no other trace of the side that it discards.
pub fn initial() -> Answer {
    Answer {
        evidence: true,
        ..Answer::noted(
            Level::Warning,
            "split brain found in the handshake; DRBD's after-sb policies decide what happens next",
        )
    }
}
