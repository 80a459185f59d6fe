//! What a hook tells the agent.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use two_node_ha_drbd::{Decision, Handler};

/// Version of [`Event`]'s form. Fields, handlers and decisions may be added without raising it. An agent
/// that finds a newer one sets the file aside, says so, and goes on with the others.
pub const VERSION: u32 = 1;

/// One call of a handler, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// [`VERSION`] of the writer.
    pub format: u32,
    /// The handler as DRBD calls it, or `udev`. One that this version does not know is kept by its name:
    /// the hook has answered the kernel, and what is left is to say so.
    pub handler: Handler,
    /// DRBD's resource, where the kernel or drbdadm named it.
    #[serde(default)]
    pub resource: Option<String>,
    /// When the handler was called, in microseconds since 1970.
    pub time: u64,
    /// The peer, as well as it was named: its host name, else its address.
    #[serde(default)]
    pub peer: Option<String>,
    /// The minors concerned.
    #[serde(default)]
    pub minors: Vec<u32>,
    /// The volume numbers concerned.
    #[serde(default)]
    pub volumes: Vec<u32>,
    /// What was decided. One that this version does not know asks nothing of it, and is said.
    #[serde(default)]
    pub decision: Decision,
    /// What the kernel was answered.
    #[serde(default)]
    pub exit_code: i32,
    /// Why, in words.
    #[serde(default)]
    pub reason: String,
    /// How long it took up to here, in microseconds.
    #[serde(default)]
    pub duration_us: u64,
    /// The `DRBD_*` variables (for udev, those of the device) as they were passed.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Event {
    /// An event of that handler, now, with nothing else said yet.
    #[must_use]
    pub fn new(handler: Handler) -> Self {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            format: VERSION,
            handler,
            resource: None,
            time: time.as_micros().try_into().unwrap_or(u64::MAX),
            peer: None,
            minors: Vec::new(),
            volumes: Vec::new(),
            decision: Decision::default(),
            exit_code: 0,
            reason: String::new(),
            duration_us: 0,
            env: BTreeMap::new(),
        }
    }

    /// When the handler was called.
    #[must_use]
    pub fn when(&self) -> SystemTime {
        UNIX_EPOCH
            .checked_add(Duration::from_micros(self.time))
            .unwrap_or(UNIX_EPOCH)
    }
}
