//! How raft stands, as its own files say it: how far a database's log reaches in a directory, who
//! votes by its last configuration, and whether one log has what another lacks.
//!
//! An epoch's number says who was meant to be the voter. Only raft says who is: k8s-dqlite hands its
//! role over to the spare when it is asked to stop, and from then on writes are acknowledged from a
//! disk that is not replicated.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use two_node_ha_dqlite::{self as dqlite, Found, Position, Relation, TailCache, Verdict};
use two_node_ha_planner::observation::{End, Log, Standing, Voters};

/// The log of a database on the volume, and those beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The volume's.
    pub log: Log,
    /// How this node's own stands to it.
    pub own: Standing,
    /// How the peer's does, where it was fetched.
    pub fetched: Option<Standing>,
}

/// Looks at logs, and remembers what it saw, so that looking again costs what has changed.
#[derive(Debug, Default)]
pub struct Looks {
    tails: HashMap<PathBuf, TailCache>,
    standings: HashMap<PathBuf, (Ends, Standing)>,
}

/// The ends of two logs.
type Ends = (Option<End>, Option<End>);

impl Looks {
    /// The log in a raft directory; `me` is this node's id in the database.
    pub fn log(&mut self, raft: &Path, me: Option<u64>) -> Log {
        if !raft.is_dir() {
            self.tails.remove(raft);
            return Log::None;
        }
        let cache = self.tails.entry(raft.to_path_buf()).or_default();
        match dqlite::tail(raft, cache) {
            Ok(Found::Nothing) => Log::None,
            Ok(Found::Damaged(why)) => Log::Unreadable(format!("{}: {why}", raft.display())),
            Ok(Found::Tail(tail)) => Log::Ends(End {
                last: tail.last,
                voters: Voters {
                    here: tail.voters.iter().any(|id| Some(*id) == me),
                    elsewhere: tail.voters.iter().any(|id| Some(*id) != me),
                },
            }),
            Err(error) => Log::Unreadable(error.to_string()),
        }
    }

    /// The volume's log, and how those beside it stand to it: this node's own, and the peer's where it
    /// was fetched. `me` is this node's id in the database.
    pub fn beside(
        &mut self,
        volume: &Path,
        (own, fetched): (&Path, Option<&Path>),
        me: Option<u64>,
    ) -> Beside {
        let log = self.log(volume, me);
        let of_own = self.log(own, me);
        let own = self.standing((volume, &log), (own, &of_own), |voters| voters.here);
        let fetched = fetched.map(|peer| {
            let of_peer = self.log(peer, me);
            // To this node the peer is elsewhere.
            self.standing((volume, &log), (peer, &of_peer), |voters| voters.elsewhere)
        });
        Beside { log, own, fetched }
    }

    /// How the log in `other` stands to the volume's. The two are compared byte by byte only where
    /// `other` could have something: where it reaches further, or names its own node as a voter, which
    /// `itself` tells. Any other log has taken no write that the volume lacks: a spare that was made
    /// anew from a bundle has a log of an epoch that is over, and its beginning may be gone from the
    /// volume's by now.
    fn standing(
        &mut self,
        volume: (&Path, &Log),
        other: (&Path, &Log),
        itself: fn(&Voters) -> bool,
    ) -> Standing {
        let end = match other.1 {
            Log::None => return Standing::Within,
            // A spare's own files may be damaged without anything being lost by it, but not those of a
            // node that the volume calls a voter. (One that it calls the only one wrote the volume.)
            Log::Unreadable(why) => {
                return match volume.1.end() {
                    Some(end) if itself(&end.voters) && !end.voters.only_here() => {
                        Standing::Unknown(why.clone())
                    }
                    Some(_) | None => Standing::Within,
                };
            }
            Log::Ends(end) => end,
        };
        let further = |of: &End| end.last.index > of.last.index;
        if !itself(&end.voters) && !volume.1.end().is_none_or(further) {
            return Standing::Within;
        }
        let ends = (volume.1.end().cloned(), Some(end.clone()));
        match self.standings.get(other.0) {
            Some((seen, standing)) if *seen == ends => standing.clone(),
            Some(_) | None => {
                let standing = compare(volume.0, other.0);
                let known = (ends, standing.clone());
                self.standings.insert(other.0.to_path_buf(), known);
                standing
            }
        }
    }
}

/// Compares two logs byte by byte; neither is touched.
#[must_use]
pub fn compare(volume: &Path, other: &Path) -> Standing {
    let comparison = match dqlite::compare(volume, other) {
        Ok(comparison) => comparison,
        Err(error) => return Standing::Unknown(error.to_string()),
    };
    let position = |side: &dqlite::Side| Position {
        term: side.last_term,
        index: side.last_index,
    };
    match (comparison.relation, comparison.only_b) {
        (Relation::Same | Relation::AAhead, _) => Standing::Within,
        (Relation::BAhead, Some(_)) if matches!(comparison.b.verdict, Verdict::Lossy(_)) => {
            Standing::Unknown(format!(
                "{} is damaged; see `two-node-ha raft verify`",
                other.display()
            ))
        }
        (Relation::BAhead, Some(range)) => Standing::Ahead {
            first: range.first,
            last: range.last,
        },
        (Relation::BAhead, None) => Standing::Within,
        (Relation::Diverged | Relation::Unconnected, _) => Standing::Parted {
            volume: position(&comparison.a),
            other: position(&comparison.b),
            at: comparison.divergence.map(|divergence| divergence.index),
        },
    }
}
