//! Exit codes, the same for every command.

/// It did not work; the reason is on standard error.
pub const FAILURE: u8 = 1;
/// `status`, `plan`: the agent is blocked and a person has to look.
pub const BLOCKED: u8 = 3;
/// `status`, `plan`: the agent is on its way, not settled.
pub const UNSETTLED: u8 = 4;
/// `split-brain show`: there is one.
pub const SPLIT: u8 = 3;
/// `split-brain show`: the other node cannot be asked. `split-brain resolve`: it has begun and not
/// ended yet.
pub const UNFINISHED: u8 = 4;
/// `raft verify`, `raft repair --dry-run`: the directory is damaged, and can be repaired without
/// losing anything.
pub const REPAIRABLE: u8 = 1;
/// `raft verify`, `raft repair`: the directory is damaged, and something is lost.
pub const LOSSY: u8 = 2;
/// `raft compare`: one of the two has more.
pub const AHEAD: u8 = 1;
/// `raft compare`: each has what the other has not, or that cannot be told.
pub const DIVERGED: u8 = 2;
/// `raft`: it is no dqlite directory, or cannot be read.
pub const NOT_DQLITE: u8 = 3;
/// The configuration is not valid: EX_CONFIG of sysexits.h, on which systemd does not restart.
pub const CONFIG: u8 = 78;
