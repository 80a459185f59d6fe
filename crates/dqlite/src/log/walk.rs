//! From the first segment to the last one, or to the first loss.

use super::{Log, Parts, all_traced, is_nothing, promised, run, traced};
use crate::batch::BatchFault;
use crate::damage::{Damage, Nature};
use crate::loss::Loss;
use crate::remedy::Step;
use crate::report::{Problem, ProblemKind};
use crate::scan::Closed;
use crate::segment::{End, Segment};

impl<'a> Log<'a> {
    /// Goes through the segments that are left, up to the first loss.
    pub(super) fn walk(&mut self, parts: &Parts<'a>) {
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
                        // Those of no run too: the open segments would follow one of them.
                        parts
                            .closed
                            .iter()
                            .filter(|before| {
                                let end = before.first.saturating_add(before.content.entries);
                                before.last <= segment.last
                                    || before.first <= segment.first
                                        && end <= covered.saturating_add(1)
                            })
                            .map(|segment| Step::leave_out(&segment.file))
                            .collect(),
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
                    vec![Step::cut(&segment.file, content.used)],
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
                    let detail = format!("{}{silently}", fault_of(segment));
                    let remedy =
                        self.ending(&segment.file, false, segment.first, (keep, content.used));
                    let missing = Loss {
                        first: segment.first.saturating_add(keep),
                        last: segment.last,
                    };
                    let problem =
                        Problem::new(ProblemKind::Damaged, Some(&segment.file), detail, false);
                    self.problems.push(
                        problem
                            .losing(lost)
                            .missing(remedy[..1].to_vec(), missing, false)
                            .settled_by(remedy),
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
        let mut closing = Vec::new();
        for (number, (file, content)) in parts.open.iter().enumerate() {
            let behind = all_traced(&parts.open[number + 1..]);
            let before = closing.clone();
            if content.entries > 0 {
                self.take(file, content, next);
                closing.push(Step::close(file, content.used, next, content.entries));
                next = next.saturating_add(content.entries);
            }
            if !self.open_end(file, content, before, next, behind) {
                return;
            }
        }
    }

    /// What ends an open segment. False where what follows it is lost.
    ///
    /// `before` makes the open segments before it closed ones.
    fn open_end(
        &mut self,
        file: &str,
        content: &Segment,
        before: Vec<Step>,
        next: u64,
        behind: u64,
    ) -> bool {
        let left = content.size - content.used;
        let here = traced(content) - content.entries;
        let lost = |entries: u64| Loss {
            first: next,
            last: next.saturating_add(entries.saturating_add(behind).saturating_sub(1)),
        };
        let lost_here = |entries: u64| Loss {
            first: next,
            last: next.saturating_add(entries.saturating_sub(1)),
        };
        let nothing_here = |log: &Self| {
            let mut steps = vec![Step::leave_out(file)];
            if behind > 0 {
                steps.extend(log.without_what_follows(file));
            }
            steps
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
                    vec![Step::cut(file, content.used)],
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
                    vec![Step::leave_out(file)],
                );
                true
            }
            End::Format { format, entries: 0 } => {
                self.problem(
                    ProblemKind::Damaged,
                    Some(file),
                    format!("it is of format {format} and holds no entries: move it away"),
                    behind == 0,
                    nothing_here(self),
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
                    self.ending(file, true, next, (0, 0)),
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
                    nothing_here(self),
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
                let detail = format!("{}; {consequence}", fault_at(damage));
                let remedy = self.ending(file, true, next, (content.entries, content.used));
                let problem = Problem::new(ProblemKind::Damaged, Some(file), detail, false);
                // What is missing goes into a closed segment, and so before all open ones.
                let mut steps = before;
                steps.push(match content.entries {
                    0 => Step::leave_out(file),
                    entries => {
                        Step::close(file, content.used, next.saturating_sub(entries), entries)
                    }
                });
                let (range, at_least) = match damage.entries {
                    Some(_) => (lost_here(here), false),
                    // How many entries there were, nothing tells: it takes the log's end too.
                    None => (lost(here), true),
                };
                if at_least {
                    steps.extend(self.without_what_follows(file));
                }
                self.problems.push(
                    problem
                        .losing(lost(here))
                        .settled_by(remedy)
                        .missing(steps, range, at_least),
                );
                false
            }
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
pub(super) fn fault_of(segment: &Closed) -> String {
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
