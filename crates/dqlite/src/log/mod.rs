//! The log, as dqlite would put it together, and what of it can be kept where dqlite would not.
//!
//! The rules are those of `uvFilterSegments` and `uvSegmentLoadAll` (`uv.c`, `uv_segment.c`), from
//! 1.11 to 1.18: the run of contiguous closed segments that ends with the newest one must reach
//! back to the snapshot; whatever is in open segments follows it, in the order of their numbers.

mod gap;
mod walk;

use walk::fault_of;

use crate::batch::BatchFault;
use crate::damage::{Damage, Nature};
use crate::entry::Change;
use crate::loss::Loss;
use crate::remedy::Step;
use crate::report::{Note, Problem, ProblemKind};
use crate::scan::{Closed, Scan, Snapshot};
use crate::segment::{End, Segment};

/// What a log is put together of.
#[derive(Debug, Default)]
pub(crate) struct Log<'a> {
    /// The snapshot that it follows.
    pub base: Option<&'a Snapshot>,
    /// The index of the last entry that can be kept; the snapshot's where there is none.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// The highest term in it, a recovery's configuration aside.
    pub highest: Option<u64>,
    /// The last configuration and its index.
    pub change: Option<(u64, &'a Change)>,
    /// The segments that are loaded: file, index of the first entry.
    pub loaded: Vec<(&'a str, u64)>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
    /// All segments, in the order in which dqlite goes through them.
    order: Vec<&'a str>,
}

/// The segments that are still in question.
struct Parts<'a> {
    closed: Vec<&'a Closed>,
    open: Vec<(&'a str, &'a Segment)>,
}

impl Parts<'_> {
    /// The number of entries in the open segments, as far as they can be counted.
    fn open_entries(&self) -> u64 {
        all_traced(&self.open)
    }

    fn open_is_unused(&self) -> bool {
        self.open.iter().all(|(_, content)| content.is_unused())
    }
}

/// How many entries there is a trace of in a segment.
fn traced(content: &Segment) -> u64 {
    let unread = match &content.end {
        End::Whole | End::Zeros | End::Empty | End::Short => 0,
        End::Format { entries, .. } => *entries,
        End::Bad(damage) if damage.nature == Nature::Torn => 0,
        End::Bad(damage) if is_nothing(content, damage) => 0,
        End::Bad(damage) => damage.entries.unwrap_or(1).saturating_add(damage.behind),
    };
    content.entries.saturating_add(unread)
}

/// The same of some open segments.
fn all_traced(open: &[(&str, &Segment)]) -> u64 {
    let each = open.iter().map(|(_, content)| traced(content));
    each.fold(0, u64::saturating_add)
}

/// A segment that ends after the word of its format.
fn is_nothing(content: &Segment, damage: &Damage) -> bool {
    matches!(damage.fault, BatchFault::Short { .. }) && content.size == content.used
}

/// The last of these segments that follow each other.
fn run<'a, 'b>(closed: &'b [&'a Closed]) -> &'b [&'a Closed] {
    let mut start = closed.len().saturating_sub(1);
    while start > 0 && closed[start - 1].last.checked_add(1) == Some(closed[start].first) {
        start -= 1;
    }
    &closed[start..]
}

/// The number of entries that a name promises.
fn promised(segment: &Closed) -> u64 {
    (segment.last - segment.first).saturating_add(1)
}

/// Puts the log together on that snapshot.
pub(crate) fn put_together<'a>(scan: &'a Scan, base: Option<&'a Snapshot>) -> Log<'a> {
    let closed = scan.closed.iter().map(|segment| segment.file.as_str());
    let open = scan.open.iter().map(|segment| segment.file.as_str());
    let mut log = Log {
        base,
        order: closed.chain(open).collect(),
        ..Log::default()
    };
    let mut parts = Parts {
        closed: Vec::new(),
        open: scan
            .open
            .iter()
            .map(|open| (open.file.as_str(), &open.content))
            .collect(),
    };
    for segment in &scan.closed {
        if segment.first == 0 || segment.first > segment.last {
            log.problem(
                ProblemKind::Misnamed,
                Some(&segment.file),
                "its name is no range of indexes, and dqlite aborts on it: move the file away"
                    .to_owned(),
                segment.content.entries == 0,
                vec![Step::leave_out(&segment.file)],
            );
        } else {
            parts.closed.push(segment);
        }
    }
    let gap = Log::counters(scan, &mut parts);
    log.close_gap(scan, &mut parts);
    log.leave_what_is_covered(&mut parts);
    log.walk(&parts);
    if let Some(gap) = gap {
        log.without_what_is_behind_the_gap(gap);
    }
    log.overlaps(scan);
    log.name_the_unused(scan);
    log
}

impl<'a> Log<'a> {
    /// The index up to which the snapshot has everything.
    fn covered(&self) -> u64 {
        self.base.map_or(0, |base| base.name.index)
    }

    fn problem(
        &mut self,
        kind: ProblemKind,
        file: Option<&str>,
        detail: String,
        lossless: bool,
        remedy: Vec<Step>,
    ) {
        let problem = Problem::new(kind, file, detail, lossless);
        self.problems.push(problem.settled_by(remedy));
    }

    fn loss(
        &mut self,
        kind: ProblemKind,
        file: &str,
        detail: String,
        lost: Loss,
        remedy: Vec<Step>,
    ) {
        let problem = Problem::new(kind, Some(file), detail, false);
        self.problems.push(problem.losing(lost).settled_by(remedy));
    }

    /// Every segment behind that one is left out.
    fn without_what_follows(&self, file: &str) -> Vec<Step> {
        let at = self.order.iter().position(|other| *other == file);
        let behind = at.map_or(&[][..], |at| &self.order[at + 1..]);
        behind.iter().copied().map(Step::leave_out).collect()
    }

    /// A segment's first entries, which begin at index `first`, are the last ones of the log. An
    /// open segment stays one.
    fn ending(
        &self,
        file: &str,
        is_open: bool,
        first: u64,
        (entries, size): (u64, u64),
    ) -> Vec<Step> {
        let last = match (entries, is_open) {
            (0, _) => Step::leave_out(file),
            (_, true) => Step::cut(file, size),
            (entries, false) => Step::close(file, size, first, entries),
        };
        let mut steps = vec![last];
        steps.extend(self.without_what_follows(file));
        steps
    }

    fn note(&mut self, file: &str, detail: String) {
        self.notes.push(Note {
            file: Some(file.to_owned()),
            detail,
        });
    }

    /// Open segments are numbered without a gap: they are closed in the order of their numbers.
    /// What follows a gap is taken out of the parts, and returned: the file before it, the one
    /// behind it, and how many entries there are from there on.
    fn counters(scan: &'a Scan, parts: &mut Parts<'a>) -> Option<(&'a str, &'a str, u64)> {
        let mut used = scan.open.iter().filter(|open| !open.content.is_unused());
        let mut before = used.next()?;
        for open in used {
            if before.counter.checked_add(1) < Some(open.counter) {
                let at = parts.open.iter().position(|(file, _)| *file == open.file)?;
                let behind = parts.open.split_off(at);
                return Some((&before.file, &open.file, all_traced(&behind)));
            }
            before = open;
        }
        None
    }

    /// What [`Self::counters`] has found, once it is known where the log ends.
    fn without_what_is_behind_the_gap(&mut self, (before, file, entries): (&str, &str, u64)) {
        let first = self.last_index.saturating_add(1);
        self.loss(
            ProblemKind::Order,
            file,
            format!(
                "the open segments between {before} and this one are missing, and dqlite would \
                 number the entries in it as if there had been none"
            ),
            Loss {
                first,
                // One is missing at least.
                last: first.saturating_add(entries),
            },
            self.without_what_follows(before),
        );
    }

    /// Takes a segment into the log.
    fn take(&mut self, file: &'a str, content: &'a Segment, first: u64) {
        if self.base.is_none() && self.loaded.is_empty() && !content.starts_with_change {
            self.loss(
                ProblemKind::Configuration,
                file,
                "there is no snapshot, and the log does not begin with a configuration: dqlite \
                 aborts on it"
                    .to_owned(),
                Loss {
                    first,
                    last: first.saturating_add(content.entries.saturating_sub(1)),
                },
                Vec::new(),
            );
        }
        let fall = match (content.terms.first, self.highest) {
            (Some(term), Some(highest)) if term < highest => Some((0, 0, 0)),
            _ => content
                .terms
                .falls_at
                .map(|fall| (fall.before, fall.batch_before, fall.batch_at)),
        };
        let last = first.saturating_add(content.entries.saturating_sub(1));
        if let Some((before, kept, size)) = fall {
            let is_open = file.starts_with("open-");
            let remedy = self.ending(file, is_open, first, (kept, size));
            self.loss(
                ProblemKind::Order,
                file,
                "its terms fall: it is of another log than what precedes it, or of an older copy"
                    .to_owned(),
                Loss {
                    first: first.saturating_add(before),
                    last,
                },
                remedy,
            );
        }
        self.highest = self.highest.max(content.terms.highest);
        if let Some(change) = &content.change {
            self.change = Some((first.saturating_add(change.before), change));
        }
        if last >= self.last_index {
            self.last_index = last;
            self.last_term = content.terms.last.unwrap_or(self.last_term);
        }
        self.loaded.push((file, first));
    }

    /// Drops what was taken: it is to be moved away.
    fn forget(&mut self, up_to: u64) {
        debug_assert!(up_to <= self.covered());
        self.loaded.clear();
        self.change = None;
    }

    /// Names the segments that dqlite would not load.
    fn name_the_unused(&mut self, scan: &'a Scan) {
        if self
            .problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Gap && !problem.lossless)
        {
            return;
        }
        let run = self.loaded.first().map_or(u64::MAX, |(_, first)| *first);
        for segment in &scan.closed {
            let loaded = self.loaded.iter().any(|(file, _)| *file == segment.file);
            let named = |problem: &Problem| problem.file.as_deref() == Some(&segment.file);
            if loaded || self.problems.iter().any(named) || segment.first > run {
                continue;
            }
            let damage =
                if segment.content.is_whole() && segment.content.entries == promised(segment) {
                    String::new()
                } else {
                    format!(" ({})", fault_of(segment))
                };
            self.note(
                &segment.file,
                format!("not loaded: the snapshot or a newer segment takes its place{damage}"),
            );
        }
    }
}
