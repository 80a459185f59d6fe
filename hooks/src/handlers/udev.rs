//! A uevent: a wake-up for the agent, no more. 8.4 sends one at attach and at role changes and
//! none for anything else, so that the state is always read again.

use two_node_ha_drbd::request::Request;
use two_node_ha_fence::answer::{Answer, Level};

/// Records the action and the device.
pub fn uevent(request: &Request) -> Answer {
    let value = |key: &str| request.env.get(key).map_or("unknown", String::as_str);
    let reason = format!("{} of {}", value("ACTION"), value("DEVNAME"));
    Answer::noted(Level::Debug, reason)
}
