//! What keeps the segments from following the snapshot.

use super::{Log, Parts, promised, run};
use crate::assess::halves;
use crate::loss::Loss;
use crate::remedy::Step;
use crate::report::{Problem, ProblemKind};
use crate::scan::{Closed, Scan};
use crate::segment::End;

impl<'a> Log<'a> {
    /// Sees to it that the newest run of closed segments reaches back to the snapshot.
    pub(super) fn close_gap(&mut self, scan: &'a Scan, parts: &mut Parts<'a>) {
        let covered = self.covered();
        let newest = run(&parts.closed);
        let (Some(first), Some(last)) = (newest.first(), newest.last()) else {
            return;
        };
        let next = covered.saturating_add(1);
        if first.first <= next {
            return;
        }
        let snapshot = match self.base {
            Some(base) => format!("snapshot {}", base.name),
            None => "the beginning".to_owned(),
        };
        let older = &parts.closed[..parts.closed.len() - newest.len()];
        let prefix = run(older);
        let connected = prefix.first().is_none_or(|first| first.first <= next);
        let kept = prefix
            .last()
            .filter(|_| connected)
            .map_or(covered, |last| last.last.max(covered));

        if newest.len() == 1 && connected && self.is_misnamed(last, kept, prefix, parts) {
            let mut remedy = vec![Step::Rename {
                file: last.file.clone(),
                to: open_again(scan),
            }];
            // Behind closed segments that end before the snapshot does, dqlite would give its entries
            // indexes that the snapshot covers.
            let ends_before = older.last().is_some_and(|before| before.last < covered);
            if ends_before {
                let covered = older.iter().map(|segment| Step::leave_out(&segment.file));
                remedy.extend(covered);
            }
            self.problem(
                ProblemKind::Misnamed,
                Some(&last.file),
                format!(
                    "it holds {} sound entries and not the {} of its name; they follow index \
                     {kept}, where dqlite has closed a segment of this directory under another \
                     one's name: make it an open segment again. What its name promises was never \
                     written here: look beneath the mount point. dqlite says that it is past last \
                     {snapshot}",
                    last.content.entries,
                    promised(last),
                ),
                true,
                remedy,
            );
            if let Some(segment) = parts.closed.pop() {
                if ends_before {
                    parts.closed.clear();
                }
                parts.open.insert(0, (&segment.file, &segment.content));
            }
            return;
        }
        let reaching = scan.snapshots.iter().rev().find(|other| {
            let index = other.name.index;
            other.sound().is_some()
                && index >= first.first - 1
                && (covered..=last.last).contains(&index)
        });
        if let (Some(other), Some(base)) = (reaching, self.base) {
            let above = scan
                .snapshots
                .iter()
                .filter(|above| above.name > other.name);
            self.problem(
                ProblemKind::Gap,
                Some(&first.file),
                format!(
                    "dqlite says that it is past last {snapshot}, but snapshot {} reaches up to \
                     it: move the snapshots away that sort above that one",
                    other.name
                ),
                true,
                above.flat_map(halves).collect(),
            );
            debug_assert!(base.name > other.name);
            self.base = Some(other);
            return;
        }
        let traced = last.last.saturating_add(parts.open_entries());
        let lost = Loss {
            first: kept.saturating_add(1),
            last: traced,
        };
        let missing = Loss {
            first: kept.saturating_add(1),
            last: first.first - 1,
        };
        let detail = format!(
            "dqlite says that it is past last {snapshot}: index {} to {} are missing. Look for \
             them beneath the mount point, on the other node and in backups; without them this \
             segment and all that follows is of no use",
            missing.first, missing.last
        );
        // Left in place, dqlite would give the open ones' entries the indexes of those it misses.
        let mut remedy: Vec<_> = scan
            .open
            .iter()
            .map(|open| Step::leave_out(&open.file))
            .collect();
        let gone = if connected { newest } else { &parts.closed[..] };
        remedy.extend(gone.iter().map(|segment| Step::leave_out(&segment.file)));
        let problem = Problem::new(ProblemKind::Gap, Some(&first.file), detail, false);
        self.problems
            .push(
                problem
                    .losing(lost)
                    .settled_by(remedy)
                    .missing(Vec::new(), missing, false),
            );
        parts.closed.truncate(older.len());
        if !connected {
            parts.closed.clear();
        }
        parts.open.clear();
    }

    /// Whether a segment that is past its predecessors is one that dqlite has closed under a wrong
    /// name, and would fit right behind them.
    fn is_misnamed(
        &self,
        segment: &Closed,
        kept: u64,
        prefix: &[&Closed],
        parts: &Parts<'_>,
    ) -> bool {
        let content = &segment.content;
        let before = prefix
            .iter()
            .filter_map(|before| before.content.terms.highest)
            .max();
        content.entries > 0
            && matches!(content.end, End::Whole | End::Zeros)
            && content.entries != promised(segment)
            && kept.saturating_add(content.entries) < segment.first
            && content.terms.first >= before
            // Theirs would have to come before or behind it, and nothing says which.
            && parts.open_is_unused()
    }

    /// Closed segments that the snapshot covers are left out, where dqlite does so.
    pub(super) fn leave_what_is_covered(&mut self, parts: &mut Parts<'a>) {
        let covered = self.covered();
        let Some(last) = parts.closed.last().map(|segment| segment.last) else {
            return;
        };
        if last >= covered {
            return;
        }
        if parts.open.is_empty() {
            parts.closed.clear();
        } else if last.saturating_add(parts.open_entries()) < covered {
            self.problem(
                ProblemKind::Behind,
                None,
                format!(
                    "dqlite says that the last entry on disk is behind the snapshot's index \
                     {covered}: the snapshot has all that the segments have, move them all away"
                ),
                true,
                self.order.iter().copied().map(Step::leave_out).collect(),
            );
            parts.closed.clear();
            parts.open.clear();
        }
    }

    /// Two closed segments that claim the same indexes: dqlite sorts them as it comes
    /// (`uvSegmentInfoCompare` calls each the newer one), and then loads them or does not.
    pub(super) fn overlaps(&mut self, scan: &Scan) {
        let is_range = |segment: &&Closed| segment.first > 0 && segment.first <= segment.last;
        let closed: Vec<_> = scan.closed.iter().filter(is_range).collect();
        for pair in closed.windows(2) {
            if pair[0].last < pair[1].first {
                continue;
            }
            let is_loaded =
                |segment: &Closed| self.loaded.iter().any(|(file, _)| *file == segment.file);
            let superfluous = pair.iter().find(|segment| !is_loaded(segment));
            let file = superfluous.unwrap_or(&pair[0]).file.clone();
            self.problem(
                ProblemKind::Order,
                Some(&file),
                format!(
                    "{} and {} claim the same indexes, and it is a matter of luck which one dqlite \
                     loads and whether it starts: move this one away",
                    pair[0].file, pair[1].file
                ),
                superfluous.is_some(),
                vec![Step::leave_out(&file)],
            );
        }
    }
}

/// The name under which a segment comes behind all open ones, which are unused.
fn open_again(scan: &Scan) -> String {
    let highest = scan.open.iter().map(|open| open.counter).max();
    format!("open-{}", highest.unwrap_or(0).saturating_add(1))
}
