//! `epoch.json` on the volume: how often the databases have changed hands, and to whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use two_node_ha_dqlite::Position;

use super::{Astray, Versioned};
use crate::Database;

/// How far one database has come in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The new owner's identity is to be put in place and raft to be told.
    Pending,
    /// raft knows the owner as its only voter.
    Done,
}

/// The record itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epoch {
    format: u32,
    /// 1 when the databases first came onto the volume, one more at each change of hands.
    pub epoch: u64,
    /// The node whose identity the databases carry.
    pub owner: String,
    /// Each database's progress in this epoch.
    pub databases: BTreeMap<Database, Phase>,
    /// The owner of the epoch before, whose identity a pending database still carries. The same node
    /// where it goes on from a log that its peer had written meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of each database that was still pending when this epoch began, the node whose identity it carries:
    /// the owner of the epoch before had only begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub carries: BTreeMap<Database, String>,
    /// Where each log ended when the voter was last confirmed to work: the volume's never ends before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub confirmed: BTreeMap<Database, Position>,
    /// What had been written off the volume and has become the base of this epoch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub astray: BTreeMap<Database, Astray>,
    /// The last that has become a base, in whichever epoch, noted once its database was done: the volume
    /// has it. The log that it came from may lie on its node's disk until that rejoins, and by then
    /// nothing in the volume's log may be left to compare it with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken: BTreeMap<Database, Astray>,
}

impl Versioned for Epoch {
    /// Fields were added without raising it; the first program that knew it reads what this one writes.
    const VERSION: u32 = 1;
}

impl Epoch {
    /// The first epoch: `owner` has moved its databases onto the volume.
    #[must_use]
    pub fn first(owner: &str) -> Self {
        Self::new(1, owner, Phase::Done)
    }

    /// The epoch that begins when `owner` takes over.
    #[must_use]
    pub fn taken_over_by(&self, owner: &str) -> Self {
        Self {
            from: Some(self.owner.clone()),
            carries: self.carried_on(),
            confirmed: self.confirmed.clone(),
            taken: self.taken.clone(),
            // No number of takeovers reaches the end; a record that was tampered with may.
            ..Self::new(self.epoch.saturating_add(1), owner, Phase::Pending)
        }
    }

    /// What a database that was never recovered in this epoch carries into the next one.
    fn carried_on(&self) -> BTreeMap<Database, String> {
        let pending = |d: &Database| self.phase(*d) == Phase::Pending;
        let carried = |d| Some((d, self.expected_voter(d)?.to_owned()));
        let all = Database::ALL.into_iter().filter(pending);
        all.filter_map(carried).collect()
    }

    fn new(epoch: u64, owner: &str, phase: Phase) -> Self {
        Self {
            format: Self::VERSION,
            epoch,
            owner: owner.to_owned(),
            databases: Database::ALL.into_iter().map(|d| (d, phase)).collect(),
            from: None,
            carries: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            astray: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// How far `database` has come. A database that the record does not name is pending.
    #[must_use]
    pub fn phase(&self, database: Database) -> Phase {
        self.databases
            .get(&database)
            .copied()
            .unwrap_or(Phase::Pending)
    }

    /// A database carries the owner's identity, and has all of what was written astray.
    pub fn done(&mut self, database: Database) {
        self.databases.insert(database, Phase::Done);
        if let Some(astray) = self.astray.get(&database) {
            self.taken.insert(database, astray.clone());
        }
    }

    /// The node that raft's configuration on the volume names as the only voter of `database`, unless
    /// the role was handed over behind our back.
    #[must_use]
    pub fn expected_voter(&self, database: Database) -> Option<&str> {
        match self.phase(database) {
            Phase::Done => Some(&self.owner),
            // A record of before this was noted: the other node, of which there is one.
            Phase::Pending => self
                .carries
                .get(&database)
                .or(self.from.as_ref())
                .map(String::as_str),
        }
    }

    /// Whether every database carries the owner's identity.
    #[must_use]
    pub fn complete(&self) -> bool {
        Database::ALL
            .into_iter()
            .all(|d| self.phase(d) == Phase::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_raises_the_epoch_by_one_and_leaves_every_database_pending() {
        let second = Epoch::first("haone").taken_over_by("hatwo");
        assert_eq!((second.epoch, second.owner.as_str()), (2, "hatwo"));
        assert!(
            Database::ALL
                .into_iter()
                .all(|d| second.phase(d) == Phase::Pending)
        );
        assert!(!second.complete());
    }

    #[test]
    fn a_database_that_an_epoch_never_recovered_carries_its_identity_into_the_next() {
        let mut second = Epoch::first("haone").taken_over_by("hatwo");
        second.done(Database::K8sd);
        let third = second.taken_over_by("haone");
        assert_eq!(third.expected_voter(Database::K8sd), Some("hatwo"));
        assert_eq!(third.expected_voter(Database::K8sDqlite), Some("haone"));
        let fourth = third.taken_over_by("hatwo");
        assert_eq!(fourth.expected_voter(Database::K8sd), Some("hatwo"));
        assert_eq!(fourth.expected_voter(Database::K8sDqlite), Some("haone"));
    }

    #[test]
    fn a_takeover_keeps_what_was_confirmed_and_what_has_become_a_base() {
        let mut first = Epoch::first("haone");
        let end = Position { term: 3, index: 50 };
        first.confirmed.insert(Database::K8sd, end);
        let astray = Astray {
            node: "hatwo".into(),
            first: 40,
            last: 45,
            since: 0,
            until: 9,
        };
        first.astray.insert(Database::K8sDqlite, astray.clone());
        first.done(Database::K8sDqlite);
        let second = first.taken_over_by("hatwo");
        assert_eq!(second.confirmed.get(&Database::K8sd), Some(&end));
        assert_eq!(second.taken.get(&Database::K8sDqlite), Some(&astray));
        assert!(second.astray.is_empty(), "it has come onto the volume");
    }

    #[test]
    fn a_record_without_what_was_added_since_still_reads() {
        let second = Epoch::first("haone").taken_over_by("hatwo");
        let text = serde_json::to_string(&second).unwrap();
        assert!(!text.contains("carries"), "{text}");
        assert_eq!(serde_json::from_str::<Epoch>(&text).unwrap(), second);
    }
}
