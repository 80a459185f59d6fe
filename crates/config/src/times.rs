//! How long the parts of a release take, which no key says.
//!
//! Pacemaker's time-outs of the failover unit have to be above what they wait for, or it fences a node
//! for a stop, or gives up a start, that goes well. What a key says is in the file; this is the rest.

use std::time::Duration;

/// An agent that says nothing more is given up on after this.
pub const AGENT_SILENT: Duration = Duration::from_secs(20);

/// And after this an agent that goes on saying that it is at work.
pub const AGENT_RELEASE: Duration = Duration::from_secs(45);

/// An agent that is gone is waited for so long at a stop: it may be restarting.
pub const AGENT_GONE_AT_STOP: Duration = Duration::from_secs(5);

/// And so long while the role is held.
pub const AGENT_GONE_IN_HOLD: Duration = Duration::from_secs(15);

/// What the way down takes without the agent: writers are killed at once, whoever else holds the volume
/// after a grace of 5 s, and two looks in a row must find nobody.
pub const WAY_DOWN: Duration = Duration::from_secs(15);
