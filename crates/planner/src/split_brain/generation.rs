//! DRBD's generation identifiers: which of two copies of a volume has seen what.
//!
//! Each copy has a current identifier, one of the time since which it keeps a bitmap of what the
//! peer lacks, and a history. A primary that loses its peer makes a new current one; the old one
//! becomes the bitmap's. The comparison here is DRBD's own (`drbd_uuid_compare` of 8.4's
//! `drbd_receiver.c`), reduced to what decides about a split brain: it is asked about two nodes that
//! do not speak to each other, and DRBD has the last word once they do.

use serde::{Deserialize, Serialize};

/// The lowest bit of an identifier says that its node was primary, and is no part of it.
const PRIMARY_BIT: u64 = 1;

/// What DRBD gives a volume that was just created.
const JUST_CREATED: u64 = 4;

/// The identifiers of one copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// Of the data as it is.
    pub current: u64,
    /// Since when the bitmap counts; 0 where it does not.
    pub bitmap: u64,
    /// Earlier ones, the newest first.
    pub history: Vec<u64>,
}

/// What two copies are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The same generation.
    Same,
    /// The first has all that the second has, and more.
    FirstAhead,
    /// The second has all that the first has, and more.
    SecondAhead,
    /// Each has what the other does not know.
    SplitBrain,
    /// They never were copies of each other.
    Unrelated,
}

impl Generation {
    /// Reads what `drbdadm get-gi` prints: `CURRENT:BITMAP:HISTORY:HISTORY:FLAG:…`, identifiers in
    /// hexadecimal, flags 0 or 1. DRBD 9 has more of the history.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().rev().find(|line| line.contains(':'))?;
        let mut ids = line
            .trim()
            .split(':')
            // A flag has one digit, an identifier sixteen.
            .take_while(|field| field.len() > 1)
            .map(|field| u64::from_str_radix(field, 16));
        let current = ids.next()?.ok()?;
        let bitmap = ids.next()?.ok()?;
        let history = ids.collect::<Result<Vec<_>, _>>().ok()?;
        Some(Self {
            current: bare(current),
            bitmap: bare(bitmap),
            history: history.into_iter().map(bare).collect(),
        })
    }

    fn knows(&self, id: u64) -> bool {
        self.bitmap == id || self.history.contains(&id)
    }
}

fn bare(id: u64) -> u64 {
    id & !PRIMARY_BIT
}

/// Compares two copies.
#[must_use]
pub fn compare(a: &Generation, b: &Generation) -> Relation {
    let fresh = |g: &Generation| g.current == JUST_CREATED || g.current == 0;
    if fresh(a) && fresh(b) || a.current == b.current {
        return Relation::Same;
    }
    if fresh(b) || a.knows(b.current) {
        return Relation::FirstAhead;
    }
    if fresh(a) || b.knows(a.current) {
        return Relation::SecondAhead;
    }
    let common = |id: u64| id != 0 && b.knows(id);
    if common(a.bitmap) || a.history.iter().any(|id| common(*id)) {
        return Relation::SplitBrain;
    }
    Relation::Unrelated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Generation {
        Generation::parse(text).unwrap()
    }

    const COMMON: &str = "1111111111111110";

    #[test]
    fn what_drbdadm_prints_is_read_without_the_flags_and_the_primary_bit() {
        let both = of(
            "F3B46A7A1BD7DC25:0000000000000000:16E12A6F5FBF6C36:0000000000000004:1:1:0:1:0:0:0\n",
        );
        assert_eq!(both.current, 0xF3B4_6A7A_1BD7_DC24);
        assert_eq!(both.bitmap, 0);
        assert_eq!(both.history, [0x16E1_2A6F_5FBF_6C36, 4]);
        for nonsense in ["", "r0: No such resource", "x:y:z", "1:1:1"] {
            assert_eq!(Generation::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn two_primaries_that_wrote_apart_from_each_other_are_a_split_brain() {
        let a = of(&format!(
            "AAAAAAAAAAAAAAAB:{COMMON}:2222222222222222:0000000000000000:1"
        ));
        let b = of(&format!(
            "BBBBBBBBBBBBBBBB:{COMMON}:2222222222222222:0000000000000000:1"
        ));
        assert_eq!(compare(&a, &b), Relation::SplitBrain);
        // One of them has done so twice.
        let again = of(&format!(
            "CCCCCCCCCCCCCCCC:0000000000000000:BBBBBBBBBBBBBBBA:{COMMON}:1"
        ));
        assert_eq!(compare(&a, &again), Relation::SplitBrain);
        assert_eq!(compare(&again, &a), Relation::SplitBrain);
    }

    #[test]
    fn a_node_that_only_fell_behind_is_no_split_brain() {
        let ahead = of(&format!(
            "AAAAAAAAAAAAAAAB:{COMMON}:0000000000000000:0000000000000000:1"
        ));
        let behind = of(&format!(
            "{COMMON}:0000000000000000:0000000000000000:0000000000000000:1"
        ));
        assert_eq!(compare(&ahead, &behind), Relation::FirstAhead);
        assert_eq!(compare(&behind, &ahead), Relation::SecondAhead);
        assert_eq!(compare(&behind, &behind), Relation::Same);
    }

    #[test]
    fn a_new_disk_is_behind_everything_and_a_foreign_one_unrelated() {
        let new = of("0000000000000004:0000000000000000:0000000000000000:0000000000000000:1");
        let ours = of(&format!(
            "{COMMON}:0000000000000000:0000000000000000:0000000000000000:1"
        ));
        let foreign = of("9999999999999998:0000000000000000:8888888888888888:0000000000000000:1");
        assert_eq!(compare(&ours, &new), Relation::FirstAhead);
        assert_eq!(compare(&new, &ours), Relation::SecondAhead);
        assert_eq!(compare(&ours, &foreign), Relation::Unrelated);
    }
}
