//! What the kernel is told. The type of the code depends on the handler, so that no handler can
//! answer what means something else to DRBD: fence-peer has no way to say 0.

use two_node_ha_config::LossAction;
use two_node_ha_drbd::Decision;

/// fence-peer's exit codes (`drbd_nl.c`, `conn_try_outdate_peer`).
///
/// 6 ("the peer is primary: outdate myself") is not among them: the only evidence for it here would
/// be a constraint of the peer's, and a stale one would then cost this node its good data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Everything else is "broken": nothing is claimed about the peer, and I/O stays suspended under
    /// resource-and-stonith.
    Broken = 1,
    /// The peer's data is unusable.
    Inconsistent = 3,
    /// The peer is outdated, or kept from being promoted, which is as good.
    Outdated = 4,
    /// The peer cannot be reached; DRBD takes it as outdated if this node is up to date.
    Unreachable = 5,
    /// The peer was powered off. Under resource-only DRBD calls this answer an error.
    Fenced = 7,
}

/// Exit codes of the handlers that are asked before a resync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resync {
    /// The resync may begin.
    Proceed = 0,
    /// It may not: DRBD drops the connection and stays stand-alone, until something connects it
    /// again.
    Refuse = 1,
}

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Of fence-peer.
    Fence(Fence),
    /// Of before-resync-target and before-resync-source.
    Resync(Resync),
    /// Of a handler whose answer DRBD ignores.
    Ignored,
}

impl Code {
    /// The number.
    pub fn number(self) -> i32 {
        match self {
            Self::Fence(code) => code as i32,
            Self::Resync(code) => code as i32,
            Self::Ignored => 0,
        }
    }
}

/// How loudly an answer is recorded, as in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Data or availability is lost unless a person acts.
    Critical = 2,
    /// Something failed.
    Error = 3,
    /// Something may fail.
    Warning = 4,
    /// In order, but rare.
    Notice = 5,
    /// In order.
    Info = 6,
    /// Frequent.
    Debug = 7,
}

/// An answer and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What the kernel is told.
    pub code: Code,
    /// One word for programs.
    pub decision: Decision,
    /// Why, and what to do next.
    pub reason: String,
    /// How loud.
    pub level: Level,
    /// Whether people are alerted.
    pub alert: bool,
    /// Whether what can be known of DRBD is kept as evidence.
    pub evidence: bool,
}

impl Answer {
    /// An answer, recorded as an error unless [`Answer::level`] says otherwise.
    pub fn new(code: Code, decision: Decision, reason: String) -> Self {
        Self {
            code,
            decision,
            reason,
            level: Level::Error,
            alert: false,
            evidence: false,
        }
    }

    /// An answer to a question whose answer DRBD ignores.
    pub fn noted(level: Level, reason: impl Into<String>) -> Self {
        Self {
            level,
            ..Self::new(Code::Ignored, Decision::Recorded, reason.into())
        }
    }

    /// An answer to the tidings of a loss, with what they set in motion.
    pub fn lost(level: Level, action: LossAction, what: &str) -> Self {
        let (decision, follows) = match action {
            LossAction::None => (Decision::Recorded, ""),
            LossAction::Demote => (
                Decision::Demote,
                ". The agent asks Pacemaker to take the primary away from this node",
            ),
            LossAction::Reboot => (Decision::Reboot, ". This node is being reset now"),
        };
        Self {
            level,
            ..Self::new(Code::Ignored, decision, format!("{what}{follows}"))
        }
    }

    /// The same, at another level.
    pub fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }
}
