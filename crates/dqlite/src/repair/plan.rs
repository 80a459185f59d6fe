//! Which steps, in which order.

use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::source::{Kinship, Source};
use super::trial::Trial;
use crate::assess::assess;
use crate::loss::Loss;
use crate::name::SnapshotName;
use crate::remedy::Step;
use crate::report::{Problem, Report, Verdict};
use crate::scan::{Scan, scan};
use crate::scan_error::ScanError;

/// A step, and the problem that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What is done.
    #[serde(flatten)]
    pub step: Step,
    /// The problem's place among [`Plan::problems`].
    pub problem: usize,
}

/// How a directory is repaired.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The directory as it is.
    pub before: Report,
    /// The directory as it will be: sound.
    pub after: Report,
    /// What is done about it, in this order. None where nothing is wrong.
    pub steps: Vec<Planned>,
    /// The problems, in the order in which they are settled. Some come to light only when others
    /// are out of the way.
    pub problems: Vec<Problem>,
    /// What is lost by it, at least.
    pub lost: Option<Loss>,
    /// The other directories that were looked at.
    pub sources: Vec<Source>,
    /// What of the directory was looked at.
    pub part: Part,
}

/// What of a directory is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// raft's own files. Those that say which node this is are about to be replaced, and whatever they are
    /// now does not matter.
    WithoutIdentity,
}

impl Part {
    /// That part of what was read.
    #[must_use]
    pub fn of(self, scan: Scan) -> Scan {
        match self {
            Self::Whole => scan,
            Self::WithoutIdentity => scan.without_identity(),
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// A directory cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// There is nothing to repair.
    #[error("it is no dqlite directory")]
    NotDqlite,
    /// Nothing here would settle that problem.
    #[error("nothing that can be done in the directory would settle this: {}", .0.detail)]
    NoRemedy(Box<Problem>),
    /// All of the log would have to be given up, and a member without any waits for a leader that is
    /// not there.
    #[error(
        "no entry of the log and no snapshot can be kept, so that there is nothing to repair: \
         restore a backup, or have this node join again ({})", .0.detail
    )]
    NothingLeft(Box<Problem>),
    /// One problem leads to the next without end.
    #[error("after {steps} steps there still is a problem: {}", problem.detail)]
    NoEnd {
        /// How many steps.
        steps: usize,
        /// The problem.
        problem: Box<Problem>,
    },
}

impl Plan {
    /// Finds the way that loses the least. What lies in `sources` is used where it is shown to be
    /// of the same log, in their order. Changes nothing.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of(dir: &Path, sources: &[&Path]) -> Result<Self, PlanError> {
        Self::of_part(Part::Whole, dir, sources)
    }

    /// The same for a part of it.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of_part(part: Part, dir: &Path, sources: &[&Path]) -> Result<Self, PlanError> {
        let scanned = part.of(scan(dir)?);
        let before = assess(&scanned);
        let sources = sources
            .iter()
            .map(|source| Source::read(source, dir, (&scanned, &before)))
            .collect::<Result<Vec<_>, _>>()?;
        let plan = Self::of_scan(dir, scanned, sources)?;
        Ok(Self { part, ..plan })
    }

    /// The same for what was read already.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of_scan(dir: &Path, scanned: Scan, sources: Vec<Source>) -> Result<Self, PlanError> {
        // Each step takes a file out or puts one right; a log has no more problems than files.
        let files = scanned.closed.len() + scanned.open.len() + scanned.snapshots.len();
        let most = 4 * files + 32;
        let mut plan = Self {
            before: assess(&scanned),
            after: assess(&scanned),
            steps: Vec::new(),
            problems: Vec::new(),
            lost: None,
            sources,
            part: Part::Whole,
        };
        let mut trial = Trial::new(dir, scanned);
        let mut given_up = None::<u64>;
        while plan.after.verdict != Verdict::Sound {
            if plan.after.verdict == Verdict::NotDqlite {
                return Err(PlanError::NotDqlite);
            }
            let next = plan.next(&trial)?;
            if plan.steps.len() > most {
                return Err(PlanError::NoEnd {
                    steps: plan.steps.len(),
                    problem: Box::new(next.problem),
                });
            }
            if next.loses && assess(&next.trial.scan).last_index == 0 {
                return Err(PlanError::NothingLeft(Box::new(next.problem)));
            }
            if next.loses {
                let last = next.problem.lost.map_or(0, |lost| lost.last);
                given_up = given_up.max(Some(last));
            }
            let problem = plan.problems.len();
            plan.problems.push(next.problem);
            plan.steps
                .extend(next.steps.into_iter().map(|step| Planned { step, problem }));
            trial = next.trial;
            plan.after = assess(&trial.scan);
        }
        plan.lost = given_up.map(|last| {
            let first = plan.after.last_index.saturating_add(1);
            let last = match plan.before.verdict {
                Verdict::Lossy(lost) => last.max(lost.last),
                _ => last,
            };
            Loss {
                first,
                last: last.max(first),
            }
        });
        Ok(plan)
    }

    /// The next problem that is settled.
    fn next<'a>(&self, trial: &Trial<'a>) -> Result<Next<'a>, PlanError> {
        let problems = &self.after.problems;
        for problem in problems.iter().filter(|problem| problem.lossless) {
            if let Some(next) = self.take(trial, problem, problem.remedy.clone(), false)? {
                return Ok(next);
            }
        }
        for problem in problems {
            if let Some(next) = self.found_elsewhere(trial, problem)? {
                return Ok(next);
            }
        }
        if let Some(next) = self.snapshot_found_elsewhere(trial)? {
            return Ok(next);
        }
        for problem in problems.iter().filter(|problem| !problem.lossless) {
            if let Some(next) = self.take(trial, problem, problem.remedy.clone(), true)? {
                return Ok(next);
            }
        }
        // The one that decides: what is lost, before what only has to be written by hand.
        let hopeless = problems.iter().find(|problem| !problem.lossless);
        match hopeless.or(problems.first()) {
            Some(problem) => Err(PlanError::NoRemedy(Box::new(problem.clone()))),
            None => Err(PlanError::NotDqlite),
        }
    }

    /// Tries some steps; `None` where there are none, or one cannot be taken.
    fn take<'a>(
        &self,
        trial: &Trial<'a>,
        problem: &Problem,
        steps: Vec<Step>,
        loses: bool,
    ) -> Result<Option<Next<'a>>, PlanError> {
        if steps.is_empty() {
            return Ok(None);
        }
        let mut trial = trial.clone();
        for step in &steps {
            if !trial.take(step, &self.sources)? {
                return Ok(None);
            }
        }
        Ok(Some(Next {
            problem: problem.clone(),
            steps,
            loses,
            trial,
        }))
    }

    /// The entries that are missing, from the first source that has them and goes with the rest.
    fn found_elsewhere<'a>(
        &self,
        trial: &Trial<'a>,
        problem: &Problem,
    ) -> Result<Option<Next<'a>>, PlanError> {
        let Some(missing) = &problem.missing else {
            return Ok(None);
        };
        for (number, source) in self.sources.iter().enumerate() {
            let Some(range) = source.gives(missing.range, missing.at_least) else {
                continue;
            };
            let mut steps = missing.steps.clone();
            steps.push(Step::Entries {
                source: number,
                range,
            });
            if let Some(next) = self.take(trial, problem, steps, false)? {
                if self.is_better(&assess(&next.trial.scan)) {
                    return Ok(Some(next));
                }
            }
        }
        Ok(None)
    }

    /// A snapshot that saves what would be lost without one.
    fn snapshot_found_elsewhere<'a>(
        &self,
        trial: &Trial<'a>,
    ) -> Result<Option<Next<'a>>, PlanError> {
        let Verdict::Lossy(lost) = self.after.verdict else {
            return Ok(None);
        };
        let Some(problem) = self.after.problems.iter().find(|problem| !problem.lossless) else {
            return Ok(None);
        };
        for (number, source) in self.sources.iter().enumerate() {
            let Kinship::Kin { same } = source.kinship else {
                continue;
            };
            let sound = source.scan.snapshots.iter().rev();
            for snapshot in sound.filter(|snapshot| snapshot.sound().is_some()) {
                // One beyond the log that was compared may be of another history.
                if snapshot.name.index > same.last.min(lost.last) {
                    continue;
                }
                let mut steps = unsound_snapshots(&trial.scan, snapshot.name);
                steps.push(Step::Snapshot {
                    source: number,
                    file: snapshot.name.to_string(),
                });
                if let Some(next) = self.take(trial, problem, steps, false)? {
                    if self.is_better(&assess(&next.trial.scan)) {
                        return Ok(Some(next));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether less is lost than as it is.
    fn is_better(&self, report: &Report) -> bool {
        match (report.verdict, self.after.verdict) {
            (Verdict::Sound | Verdict::Repairable, _) => true,
            (Verdict::Lossy(one), Verdict::Lossy(other)) => one.first > other.first,
            _ => false,
        }
    }
}

/// What takes the damaged snapshots out, and another one of that name.
fn unsound_snapshots(scan: &Scan, name: SnapshotName) -> Vec<Step> {
    let unsound = scan.snapshots.iter().filter(|snapshot| {
        snapshot.name == name || snapshot.is_candidate() && snapshot.sound().is_none()
    });
    unsound.flat_map(crate::assess::halves).collect()
}

/// Steps that settle a problem.
struct Next<'a> {
    problem: Problem,
    steps: Vec<Step>,
    /// Whether something is given up.
    loses: bool,
    trial: Trial<'a>,
}
