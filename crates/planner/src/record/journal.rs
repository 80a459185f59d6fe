//! `journal.json` on the node: what it must remember even when the volume is elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Versioned, journal_v1};
use crate::{Database, Step};

/// Whose a volume's databases are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owned {
    /// The epoch.
    pub epoch: u64,
    /// Its owner.
    pub owner: String,
}

/// What was begun and had not ended when the journal was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InProgress {
    /// This step.
    Step(Step),
    /// Something that this version has no step for, as it was written. It is for people alone, so that
    /// it keeps nobody from reading the rest.
    Unknown(String),
}

impl InProgress {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Step(step) => step.describe(),
            Self::Unknown(what) => format!("do something that this version does not know: {what}"),
        }
    }
}

impl<'de> Deserialize<'de> for InProgress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Known {
            Step(Step),
            Unknown(String),
        }
        let value = serde_json::Value::deserialize(from)?;
        Ok(match (&value, Known::deserialize(&value)) {
            (_, Ok(Known::Step(step))) => Self::Step(step),
            (_, Ok(Known::Unknown(what))) => Self::Unknown(what),
            // Version 1.
            (serde_json::Value::String(sentence), Err(_)) => match journal_v1::step(sentence) {
                Some(step) => Self::Step(step),
                None => Self::Unknown(sentence.clone()),
            },
            // A step of a later version, which has the same form otherwise.
            (other, Err(_)) => Self::Unknown(other.to_string()),
        })
    }
}

/// The record itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Form")]
pub struct Journal {
    format: u32,
    /// The node that wrote it: a copied disk must not pass for its original.
    pub node: String,
    /// The highest epoch this node has ever seen on the volume or heard of. A volume with a
    /// lower one is stale.
    pub highest_epoch: u64,
    /// Epoch and owner that the volume had when it was last seen mounted here read-write: what is
    /// known of this node's own copy while it is not mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Owned>,
    /// For each database, the epoch that this node's own spare directory was made for.
    pub spare_epoch: BTreeMap<Database, u64>,
    /// What was begun and not yet ended: after a crash it says where.
    in_progress: Option<InProgress>,
}

/// What is read of it, in every version.
#[derive(Deserialize)]
struct Form {
    node: String,
    highest_epoch: u64,
    #[serde(default)]
    volume: Option<Owned>,
    spare_epoch: BTreeMap<Database, u64>,
    in_progress: Option<InProgress>,
}

impl From<Form> for Journal {
    fn from(form: Form) -> Self {
        Self {
            // It is written anew in today's form, whichever it had.
            format: version(form.in_progress.as_ref()),
            node: form.node,
            highest_epoch: form.highest_epoch,
            volume: form.volume,
            spare_epoch: form.spare_epoch,
            in_progress: form.in_progress,
        }
    }
}

impl Versioned for Journal {
    /// 2 since the step in progress is a [`Step`] and no sentence. While there is none, the form is that
    /// of version 1 and says so: the program before goes on with it. That of a step it refuses, and says
    /// to upgrade; to go back to it all the same, end the agent while it is settled.
    const VERSION: u32 = 2;
}

impl Journal {
    /// What a node knows before it has seen anything.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            format: version(None),
            node: node.to_owned(),
            highest_epoch: 0,
            volume: None,
            spare_epoch: BTreeMap::new(),
            in_progress: None,
        }
    }

    /// What was begun and not yet ended.
    #[must_use]
    pub fn in_progress(&self) -> Option<&InProgress> {
        self.in_progress.as_ref()
    }

    /// Notes that this step begins; with `None`, that none is under way any more.
    pub fn note(&mut self, step: Option<&Step>) {
        self.in_progress = step.cloned().map(InProgress::Step);
        self.format = version(self.in_progress.as_ref());
    }

    /// Forgets every epoch above `epoch`: their data has been given up by an operator's decision.
    pub fn forget_above(&mut self, epoch: u64) {
        self.highest_epoch = self.highest_epoch.min(epoch);
        self.spare_epoch.retain(|_, of| *of <= epoch);
    }

    /// Remembers that `epoch` exists.
    pub fn saw_epoch(&mut self, epoch: u64) {
        self.highest_epoch = self.highest_epoch.max(epoch);
    }
}

/// The first version that can say it.
fn version(in_progress: Option<&InProgress>) -> u32 {
    match in_progress {
        None => 1,
        Some(_) => Journal::VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_that_are_given_up_are_forgotten_and_the_directories_made_for_them_with_them() {
        let mut journal = Journal::new("haone");
        journal.saw_epoch(4);
        journal.spare_epoch = [(Database::K8sd, 3), (Database::K8sDqlite, 4)].into();
        let before = journal.clone();
        journal.forget_above(4);
        assert_eq!(journal, before);
        journal.forget_above(3);
        assert_eq!(journal.highest_epoch, 3);
        assert_eq!(journal.spare_epoch, [(Database::K8sd, 3)].into());
        journal.forget_above(2);
        assert_eq!(journal.highest_epoch, 2);
        assert_eq!(journal.spare_epoch, [].into());
    }
}
