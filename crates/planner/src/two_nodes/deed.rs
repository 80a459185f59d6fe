//! What the hands of the model do.

use super::model::index;
use crate::{Database, Step, Target};

/// A task of the hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    RemoveConstraint,
    AskFencePeer,
    StopPeer,
    StopServices,
    Remember(u8),
    Leave(usize),
    Flip(usize, bool),
    BeginEpoch,
    FencePeer,
    FetchLogs,
    Renew(u8),
    Recover(usize),
    Rejoin(u8),
    StartServices,
    Confirm,
    StopForPeer,
    Demote,
}

impl Deed {
    pub fn of(step: &Step) -> Self {
        let small = |epoch: &u64| u8::try_from(*epoch).expect("the model's epochs are few");
        match step {
            Step::RemoveConstraint(_) => Self::RemoveConstraint,
            Step::AskFencePeer => Self::AskFencePeer,
            Step::StopPeer => Self::StopPeer,
            Step::StopServices => Self::StopServices,
            Step::RememberEpoch(epoch) => Self::Remember(small(epoch)),
            Step::Leave(database) => Self::Leave(index(*database)),
            Step::Flip(database, target) => Self::Flip(index(*database), *target == Target::Volume),
            Step::BeginEpoch => Self::BeginEpoch,
            Step::FencePeer => Self::FencePeer,
            Step::FetchLogs => Self::FetchLogs,
            Step::RenewEpoch(epoch) => Self::Renew(small(epoch)),
            Step::Recover(database) => Self::Recover(index(*database)),
            Step::Rejoin(epoch) => Self::Rejoin(small(epoch)),
            Step::StartServices => Self::StartServices,
            Step::ConfirmVoter => Self::Confirm,
            Step::AskPeer
            | Step::AskPacemaker
            | Step::AskPromotion
            | Step::ReportReleased
            | Step::ProtectMountPoint
            | Step::MoveOntoVolume
            | Step::KeepIdentity(_)
            | Step::KeepOriginal(_)
            | Step::StartRest => panic!("the model has no {step:?}"),
        }
    }

    /// Whether the volume stays mounted while it is under way (the agent is killed first).
    pub fn pins(self) -> bool {
        match self {
            Self::BeginEpoch
            | Self::FetchLogs
            | Self::Renew(_)
            | Self::Recover(_)
            | Self::Leave(_)
            | Self::Flip(_, true)
            | Self::StartServices => true,
            Self::RemoveConstraint
            | Self::AskFencePeer
            | Self::StopPeer
            | Self::StopServices
            | Self::Remember(_)
            | Self::Flip(_, false)
            | Self::FencePeer
            | Self::Rejoin(_)
            | Self::Confirm
            | Self::StopForPeer
            | Self::Demote => false,
        }
    }

    /// Whether it needs the journal, as [`Step::needs_the_journal`] says.
    pub fn needs_the_journal(self) -> bool {
        let database = |d: usize| Database::ALL[d];
        let step = match self {
            Self::RemoveConstraint => Step::RemoveConstraint(String::new()),
            Self::AskFencePeer => Step::AskFencePeer,
            Self::StopPeer => Step::StopPeer,
            Self::StopServices | Self::StopForPeer => Step::StopServices,
            Self::Remember(epoch) => Step::RememberEpoch(epoch.into()),
            Self::Leave(d) => Step::Leave(database(d)),
            Self::Flip(d, true) => Step::Flip(database(d), Target::Volume),
            Self::Flip(d, false) => Step::Flip(database(d), Target::Spare),
            Self::BeginEpoch => Step::BeginEpoch,
            Self::FencePeer => Step::FencePeer,
            Self::FetchLogs => Step::FetchLogs,
            Self::Renew(epoch) => Step::RenewEpoch(epoch.into()),
            Self::Recover(d) => Step::Recover(database(d)),
            Self::Rejoin(epoch) => Step::Rejoin(epoch.into()),
            Self::StartServices => Step::StartServices,
            Self::Confirm => Step::ConfirmVoter,
            // Pacemaker's own record.
            Self::Demote => return false,
        };
        step.needs_the_journal()
    }
}
