//! Before and after a resync onto this node.
//!
//! 8.4 asks in `drbd_start_resync` (drbd_worker.c), from the receiver, in the state WFSyncUUID: no
//! application may write, nothing has been overwritten, and the disk is Outdated, or Inconsistent
//! where it was before (`sanitize_state`, drbd_state.c). 9 does the same.

use std::time::{Duration, Instant};

use two_node_ha_command::Runner;
use two_node_ha_drbd::query::{self, now_within};
use two_node_ha_drbd::{DiskState, Generation as Drbd, parse_proc_drbd};

use crate::error::{Error, Refused};
use crate::limits::Limits;
use crate::make::State;
use crate::record::Why;
use crate::source::Source;
use crate::store::{Copy, Unfinished};
use crate::{Copies, Generation};

/// How long asking DRBD may take: the time is the copy's.
const ASKING: Duration = Duration::from_secs(3);

/// What DRBD says at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moment {
    /// State of this node's disk; `None` where it cannot be read.
    pub disk: Option<DiskState>,
}

impl Moment {
    /// Asks DRBD, by what is safe within a handler: `/proc/drbd` of 8.4, which takes no process,
    /// `drbdsetup events2 --now` of 9.
    #[must_use]
    pub fn read(runner: &dyn Runner, resource: &str, minor: u32, until: Instant) -> Self {
        let disk = match query::generation(runner) {
            None => None,
            Some(Drbd::V84) => runner.read("/proc/drbd".as_ref()).ok().and_then(|text| {
                let proc = parse_proc_drbd(&String::from_utf8_lossy(&text));
                proc.minor(minor).map(|minor| minor.disk.clone())
            }),
            Some(Drbd::V9) => {
                let left = until.saturating_duration_since(Instant::now());
                let state = now_within(runner, left.min(ASKING)).ok();
                state.and_then(|state| {
                    let resource = state.resources.iter().find(|r| r.name == resource)?;
                    let volume = resource.volumes.iter().find(|v| v.minor == minor)?;
                    Some(volume.disk.clone())
                })
            }
        };
        Self { disk }
    }

    /// Whether DRBD takes the data for whole; `None`: not known.
    fn consistent(&self) -> Option<bool> {
        match self.disk.as_ref()? {
            DiskState::Outdated | DiskState::Consistent | DiskState::UpToDate => Some(true),
            DiskState::Inconsistent => Some(false),
            DiskState::Diskless
            | DiskState::Attaching
            | DiskState::Detaching
            | DiskState::Failed
            | DiskState::Negotiating
            | DiskState::DUnknown
            | DiskState::Unrecognised(_) => None,
        }
    }
}

/// What became of the question.
#[derive(Debug)]
pub enum Before {
    /// A copy was made.
    Made(Box<Copy>),
    /// The one there is, is the one that counts; why.
    Kept(Box<Copy>, &'static str),
    /// There is nothing worth a copy; why.
    Needless(&'static str),
    /// There should be one, and there is none.
    None(Refused),
}

/// What became of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// The data is UpToDate: these copies were dropped, and why others could not be.
    Over(Vec<String>, Vec<String>),
    /// It is not, or that cannot be read: all stays as it is.
    NotOver,
}

const NEVER_USED: &str = "this node's disk has never held data that DRBD knows of";
const HALF: &str = "an unfinished resync has overwritten a part of this node's data, and there is \
                    no copy from before that";
const SAME: &str = "the copy from before the resync that did not begin is of the same data";
const BEFORE_HALF: &str = "an unfinished resync has overwritten a part of this node's data; the \
                           copy from before it is kept";
const BEFORE: &str = "a resync that was let begin has not been seen to end; the copy from before \
                      it is kept";

impl Copies {
    /// This node's data is about to be overwritten: sees to a copy of it.
    ///
    /// DRBD asks again when the link came back before the resync was through. Then the data is
    /// half the one and half the other, and the copy from before is the one that counts.
    ///
    /// Unless it ends in [`Before::None`] and `refuse`, it notes that a resync begins now.
    pub fn before_resync(&self, moment: &Moment, limits: Limits, refuse: bool) -> Before {
        let _lock = match self.lock(limits.until) {
            Ok(lock) => lock,
            Err(error) => return Before::None(error.into()),
        };
        let left = limits.of_program() / 4;
        let _ = self.clear(left);
        let unfinished = self.unfinished();
        let before = self.see_to_it(moment, limits, unfinished.as_ref());
        let copy = match &before {
            Before::Made(copy) | Before::Kept(copy, _) => Some(copy.name.as_str()),
            Before::None(_) if refuse => return before,
            Before::Needless(_) | Before::None(_) => None,
        };
        let same = unfinished.is_some_and(|unfinished| unfinished.copy.as_deref() == copy);
        // Should the note fail, the next call finds data that is Inconsistent and copies it; the
        // newest copy of whole data is kept nonetheless.
        if !same {
            let _ = self.set_unfinished(copy);
        }
        before
    }

    fn see_to_it(
        &self,
        moment: &Moment,
        limits: Limits,
        unfinished: Option<&Unfinished>,
    ) -> Before {
        if self.keep == 0 {
            return Before::None(Refused::TurnedOff);
        }
        let earlier = unfinished.and_then(|u| self.get(u.copy.as_deref()?).ok());
        let consistent = moment.consistent();
        match (consistent, unfinished, earlier) {
            (Some(false), Some(_), Some(copy)) => return Before::Kept(copy.into(), BEFORE_HALF),
            (Some(false), Some(_), None) => return Before::Needless(HALF),
            (None, Some(_), Some(copy)) => return Before::Kept(copy.into(), BEFORE),
            // Whole data: the resync ended and nobody said so, or it never began.
            (Some(true), Some(_), Some(copy)) if self.is_of_now(&copy) => {
                return Before::Kept(copy.into(), SAME);
            }
            (Some(false), None, _) if self.never_used() => return Before::Needless(NEVER_USED),
            // Inconsistent without a resync of ours: `invalidate`, perhaps on the wrong node.
            _ => {}
        }
        let state = State {
            disk: moment.disk.as_ref().map(|disk| disk.as_str().to_owned()),
            consistent,
        };
        match self.make_locked(Why::BeforeResync, &state, limits, &mut ()) {
            Ok(copy) => Before::Made(copy.into()),
            Err(refused) => Before::None(refused),
        }
    }

    /// The resync onto this node ended, well or not.
    ///
    /// # Errors
    /// When the note cannot be removed, or the directory not be read.
    pub fn after_resync(&self, moment: &Moment, limits: Limits) -> Result<After, Error> {
        if moment.disk != Some(DiskState::UpToDate) {
            return Ok(After::NotOver);
        }
        if !self.dir.exists() {
            return Ok(After::Over(Vec::new(), Vec::new()));
        }
        let _lock = self.lock(limits.until)?;
        if self.unfinished().is_some() {
            self.clear_unfinished()?;
        }
        let (mut dropped, mut problems) = (Vec::new(), Vec::new());
        for copy in self.surplus(self.keep)? {
            match self.remove(&copy, limits.of_program()) {
                Ok(()) => dropped.push(copy.name),
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok(After::Over(dropped, problems))
    }

    /// Whether a copy is of the data as it is: the identifiers on the disk have not changed, and a
    /// secondary's data does not change without them once it has been outdated.
    fn is_of_now(&self, copy: &Copy) -> bool {
        let Some(then) = &copy.record.generation else {
            return false;
        };
        let now = self.generation();
        now.is_some_and(|now| now.current == then.current && now.device == then.device)
            && copy.record.consistent == Some(true)
    }

    /// By its identifiers, or because nothing was ever written to it: at the first resync of all, 8.4
    /// may have put the peer's identifiers on the disk before it asks.
    fn never_used(&self) -> bool {
        let Ok(source) = Source::open(&self.backing) else {
            return false;
        };
        let created = source.generation().is_some_and(|g| g.just_created);
        created || source.is_blank() == Some(true)
    }

    /// DRBD's generation identifiers as they stand on the disk now; `None` where they cannot be
    /// read.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        Source::open(&self.backing).ok()?.generation()
    }
}
