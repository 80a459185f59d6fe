//! The log, as dqlite would put it together, and what of it can be kept where dqlite would not.
//!
//! The rules are those of `uvFilterSegments` and `uvSegmentLoadAll` (`uv.c`, `uv_segment.c`), from
//! 1.11 to 1.18: the run of contiguous closed segments that ends with the newest one must reach
//! back to the snapshot; whatever is in open segments follows it, in the order of their numbers.

use crate::batch::BatchFault;
use crate::damage::{Damage, Nature};
use crate::report::{Loss, Note, Problem, ProblemKind};
use crate::scan::{Closed, Scan, Snapshot};
use crate::segment::{Change, End, Segment};

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
}

/// The segments that are still in question.
struct Parts<'a> {
    closed: Vec<&'a Closed>,
    open: Vec<(&'a str, &'a Segment)>,
}

impl Parts<'_> {
    /// The number of entries in the open segments, as far as they can be counted.
    fn open_entries(&self) -> u64 {
        self.open.iter().map(|(_, content)| traced(content)).sum()
    }

    fn open_is_unused(&self) -> bool {
        self.open.iter().all(|(_, content)| content.is_unused())
    }
}

/// How many entries there is a trace of in a segment.
fn traced(content: &Segment) -> u64 {
    content.entries
        + match &content.end {
            End::Whole | End::Zeros | End::Empty | End::Short => 0,
            End::Format { entries, .. } => *entries,
            End::Bad(damage) if damage.nature == Nature::Torn => 0,
            End::Bad(damage) if is_nothing(content, damage) => 0,
            End::Bad(damage) => damage.entries.unwrap_or(1) + damage.behind,
        }
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
    let mut log = Log {
        base,
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
            );
        } else {
            parts.closed.push(segment);
        }
    }
    log.counters(scan);
    log.close_gap(scan, &mut parts);
    log.leave_what_is_covered(&mut parts);
    log.walk(&parts);
    log.name_the_unused(scan);
    log
}

impl<'a> Log<'a> {
    /// The index up to which the snapshot has everything.
    fn covered(&self) -> u64 {
        self.base.map_or(0, |base| base.name.index)
    }

    fn problem(&mut self, kind: ProblemKind, file: Option<&str>, detail: String, lossless: bool) {
        self.problems.push(Problem {
            kind,
            file: file.map(str::to_owned),
            detail,
            lossless,
            lost: None,
        });
    }

    fn loss(&mut self, kind: ProblemKind, file: &str, detail: String, lost: Loss) {
        self.problems.push(Problem {
            kind,
            file: Some(file.to_owned()),
            detail,
            lossless: false,
            lost: Some(lost),
        });
    }

    fn note(&mut self, file: &str, detail: String) {
        self.notes.push(Note {
            file: Some(file.to_owned()),
            detail,
        });
    }

    /// Open segments are numbered without a gap: they are closed in the order of their numbers.
    fn counters(&mut self, scan: &Scan) {
        let used: Vec<_> = scan
            .open
            .iter()
            .filter(|open| !open.content.is_unused())
            .collect();
        for pair in used.windows(2) {
            if pair[0].counter.checked_add(1) < Some(pair[1].counter) {
                self.problem(
                    ProblemKind::Order,
                    Some(&pair[1].file),
                    format!(
                        "the open segments between {} and this one are missing, and dqlite would \
                         number the entries in it as if there had been none",
                        pair[0].file
                    ),
                    false,
                );
            }
        }
    }

    /// Sees to it that the newest run of closed segments reaches back to the snapshot.
    fn close_gap(&mut self, scan: &'a Scan, parts: &mut Parts<'a>) {
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
            );
            if let Some(segment) = parts.closed.pop() {
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
            self.problem(
                ProblemKind::Gap,
                Some(&first.file),
                format!(
                    "dqlite says that it is past last {snapshot}, but snapshot {} reaches up to \
                     it: move the snapshots away that sort above that one",
                    other.name
                ),
                true,
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
        self.loss(
            ProblemKind::Gap,
            &first.file,
            format!(
                "dqlite says that it is past last {snapshot}: index {} to {} are missing. Look \
                 for them beneath the mount point, on the other node and in backups; without them \
                 this segment and all that follows is of no use",
                kept.saturating_add(1),
                first.first - 1
            ),
            lost,
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
    fn leave_what_is_covered(&mut self, parts: &mut Parts<'a>) {
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
            );
            parts.closed.clear();
            parts.open.clear();
        }
    }

    /// Goes through the segments that are left, up to the first loss.
    fn walk(&mut self, parts: &Parts<'a>) {
        let covered = self.covered();
        (self.last_index, self.last_term) = self
            .base
            .map_or((0, 0), |base| (base.name.index, base.name.term));
        let closed = run(&parts.closed);
        let mut next = closed
            .first()
            .map_or(covered.saturating_add(1), |first| first.first);
        let traced_to = closed.last().map_or(covered, |last| last.last);
        let traced_to = traced_to.saturating_add(parts.open_entries());
        for (number, segment) in closed.iter().enumerate() {
            let content = &segment.content;
            let is_last = number + 1 == closed.len();
            match fitness(segment, covered, is_last, parts) {
                Fitness::Sound => {}
                Fitness::Superfluous => {
                    self.problem(
                        ProblemKind::Damaged,
                        Some(&segment.file),
                        format!(
                            "{}, and dqlite refuses to start; the snapshot has all that is in it: \
                             move it and the segments before it away",
                            fault_of(segment)
                        ),
                        true,
                    );
                    self.forget(segment.last);
                    next = segment.last.saturating_add(1);
                    continue;
                }
                Fitness::TooLong => self.problem(
                    ProblemKind::Damaged,
                    Some(&segment.file),
                    format!(
                        "all entries of its name are sound, but bytes follow them, and dqlite does \
                         not take it: cut it off at byte {}",
                        content.used
                    ),
                    true,
                ),
                Fitness::Damaged { keep } => {
                    let lost = Loss {
                        first: segment
                            .first
                            .saturating_add(keep)
                            .max(covered.saturating_add(1)),
                        last: traced_to,
                    };
                    let silently = if is_last && !matches!(content.end, End::Short) {
                        "; dqlite starts without it and what follows, and says nothing"
                    } else {
                        ", and dqlite refuses to start"
                    };
                    self.loss(
                        ProblemKind::Damaged,
                        &segment.file,
                        format!("{}{silently}", fault_of(segment)),
                        lost,
                    );
                    if keep > 0 {
                        self.take(&segment.file, content, segment.first);
                    }
                    return;
                }
            }
            self.take(&segment.file, content, segment.first);
            next = segment.last.saturating_add(1);
        }
        for (number, (file, content)) in parts.open.iter().enumerate() {
            let behind: u64 = parts.open[number + 1..]
                .iter()
                .map(|(_, later)| traced(later))
                .sum();
            if content.entries > 0 {
                self.take(file, content, next);
                next = next.saturating_add(content.entries);
            }
            if !self.open_end(file, content, next, behind) {
                return;
            }
        }
    }

    /// What ends an open segment. False where what follows it is lost.
    fn open_end(&mut self, file: &str, content: &Segment, next: u64, behind: u64) -> bool {
        let left = content.size - content.used;
        let here = traced(content) - content.entries;
        let lost = |entries: u64| Loss {
            first: next,
            last: next.saturating_add(entries.saturating_add(behind).saturating_sub(1)),
        };
        match &content.end {
            End::Whole | End::Empty => true,
            // Too few for the start of a batch, and yet not at the end.
            End::Zeros if content.used > 0 && left < 16 => {
                self.problem(
                    ProblemKind::CutOff,
                    Some(file),
                    format!(
                        "it was cut off within the zeros behind its last entry, and dqlite refuses \
                         to start: cut it off at byte {}",
                        content.used
                    ),
                    true,
                );
                true
            }
            End::Zeros => true,
            End::Short => {
                self.problem(
                    ProblemKind::CutOff,
                    Some(file),
                    "it is too short to hold anything, and dqlite refuses to start: move it away"
                        .to_owned(),
                    true,
                );
                true
            }
            End::Format { format, entries: 0 } => {
                self.problem(
                    ProblemKind::Damaged,
                    Some(file),
                    format!("it is of format {format} and holds no entries: move it away"),
                    behind == 0,
                );
                behind == 0
            }
            End::Format { format, entries } => {
                self.loss(
                    ProblemKind::Damaged,
                    file,
                    format!(
                        "it is of format {format}, not 1, but holds {entries} whole entries; \
                         dqlite starts without them and says nothing"
                    ),
                    lost(*entries),
                );
                false
            }
            End::Bad(damage) if is_nothing(content, damage) => {
                self.problem(
                    ProblemKind::CutOff,
                    Some(file),
                    "it ends before its first entry, and dqlite refuses to start: move it away"
                        .to_owned(),
                    behind == 0,
                );
                behind == 0
            }
            End::Bad(damage) if damage.nature == Nature::Torn && behind == 0 => {
                self.note(
                    file,
                    format!(
                        "the last write, at byte {}, did not reach the disk whole ({}): a crash cut \
                         it off before it was acknowledged, and dqlite drops it when it starts",
                        damage.at, damage.fault
                    ),
                );
                true
            }
            End::Bad(damage) => {
                let consequence = match damage.fault {
                    BatchFault::Short { .. } | BatchFault::UnknownType(_) => {
                        "dqlite refuses to start"
                    }
                    BatchFault::NoEntries
                    | BatchFault::TooMany(_)
                    | BatchFault::Header { .. }
                    | BatchFault::Data { .. } => {
                        "dqlite starts without it and what follows, and says nothing"
                    }
                };
                self.loss(
                    ProblemKind::Damaged,
                    file,
                    format!("{}; {consequence}", fault_at(damage)),
                    lost(here),
                );
                false
            }
        }
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
            );
        }
        let fall = match (content.terms.first, self.highest) {
            (Some(term), Some(highest)) if term < highest => Some(0),
            _ => content.terms.falls_at,
        };
        let last = first.saturating_add(content.entries.saturating_sub(1));
        if let Some(before) = fall {
            self.loss(
                ProblemKind::Order,
                file,
                "its terms fall: it is of another log than what precedes it, or of an older copy"
                    .to_owned(),
                Loss {
                    first: first.saturating_add(before),
                    last,
                },
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

/// How a closed segment fits.
enum Fitness {
    /// As it is.
    Sound,
    /// It does not, but the snapshot has all of it.
    Superfluous,
    /// It does, once it is cut off behind its entries.
    TooLong,
    /// It does not; of its entries that many can be kept.
    Damaged { keep: u64 },
}

fn fitness(segment: &Closed, covered: u64, is_last: bool, parts: &Parts<'_>) -> Fitness {
    let content = &segment.content;
    let promised = promised(segment);
    if content.entries == promised {
        return if content.is_whole() {
            Fitness::Sound
        } else {
            Fitness::TooLong
        };
    }
    // Without the last closed segment the open ones would follow the snapshot.
    if segment.last <= covered && (!is_last || segment.last == covered || parts.open_is_unused()) {
        return Fitness::Superfluous;
    }
    Fitness::Damaged {
        keep: if content.entries < promised {
            content.entries
        } else {
            0
        },
    }
}

/// What is wrong with a closed segment.
fn fault_of(segment: &Closed) -> String {
    let content = &segment.content;
    match &content.end {
        End::Whole | End::Zeros => format!(
            "it holds {} entries and not the {} of its name",
            content.entries,
            promised(segment)
        ),
        End::Empty => "it is empty".to_owned(),
        End::Short => "it is too short to hold anything".to_owned(),
        End::Format { format, .. } => format!("it is of format {format}, not 1"),
        End::Bad(damage) => fault_at(damage),
    }
}

fn fault_at(damage: &Damage) -> String {
    let nature = match damage.nature {
        Nature::FlippedBit => ", where one bit has flipped",
        Nature::Torn | Nature::CutOff | Nature::Unknown => "",
    };
    let behind = match damage.behind {
        0 => String::new(),
        entries => format!(", and {entries} whole entries behind it are cut off from the log"),
    };
    format!(
        "the batch of entries at byte {} cannot be read: {}{nature}{behind}",
        damage.at, damage.fault
    )
}
