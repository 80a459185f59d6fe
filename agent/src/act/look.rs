//! A look at a database on the volume before it is taken over: every byte that dqlite would load, and every
//! checksum.
//!
//! What is damaged without loss is mended by the machinery of `raft repair`, from nothing but what is in
//! the directory itself: another copy may end earlier than this one did, and nothing would tell. What is
//! damaged with loss waits for a person, who may know of one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use two_node_ha_config::RepairPolicy;
use two_node_ha_dqlite::repair::{Part, Plan, PlanError};
use two_node_ha_dqlite::{Report, ScanError, Verdict, assess, scan_loaded};
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;

use super::{Actor, Error, Progress};
use crate::raft_repair;
use crate::store::{damage, takeover_copy};

/// The identity is replaced right afterwards: whatever is wrong with it is of no account.
const PART: Part = Part::WithoutIdentity;

impl Actor {
    /// Reads a database on the volume as `raft verify` does, and mends what can be mended without loss.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is damaged and was not mended.
    pub(super) fn look(
        &self,
        database: Database,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let raft = raft_directory(database, &self.paths.on_volume(&self.config, database));
        progress(&format!("verifying {database} on the volume"));
        let began = Instant::now();
        let report = match scan_loaded(&raft) {
            Ok(scan) => assess(&PART.of(scan)),
            Err(error) => return Err(unreadable(error)),
        };
        match report.verdict {
            Verdict::Sound | Verdict::NotDqlite => {
                tracing::info!(
                    database = database.name(),
                    last_index = report.last_index,
                    last_term = report.last_term,
                    ms = began.elapsed().as_millis() as u64,
                    "{database} on the volume is sound"
                );
                let record = self.paths.found_damaged(database);
                damage::forget(&record).map_err(Error::io("removing", &record))
            }
            Verdict::Repairable | Verdict::Lossy(_) => self.damaged(database, &raft, progress),
        }
    }

    fn damaged(
        &self,
        database: Database,
        raft: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let dir = raft_repair::place(raft)?;
        let _lock = raft_repair::lock(&dir)?;
        raft_repair::clear_up(&dir)?;
        let plan = match Plan::of_part(PART, &dir, &[]) {
            Ok(plan) => plan,
            Err(PlanError::Scan(error)) => return Err(unreadable(error)),
            Err(error) => {
                let found = error.to_string();
                return Err(Error::Damaged(self.in_words(database, raft, &found)));
            }
        };
        if let Some(lost) = plan.lost {
            let found = format!("at least {lost} lost: {}", problems(&plan.before));
            return Err(Error::Damaged(self.in_words(database, raft, &found)));
        }
        if self.config.agent.repair == RepairPolicy::Never {
            return Err(Error::Damaged(format!(
                "{}: {}; nothing of it is lost, and agent.repair = \"never\" leaves it to you",
                raft.display(),
                problems(&plan.before)
            )));
        }
        progress(&format!(
            "mending {database} on the volume, of which nothing is lost"
        ));
        self.services_stopped()?;
        let done = raft_repair::repair(&dir, &plan, &self.interrupt, &mut |_| {})?;
        tracing::warn!(
            database = database.name(),
            problems = plan.problems.len(),
            last_index = done.report.last_index,
            last_term = done.report.last_term,
            original = %done.original().display(),
            undo = %format!("two-node-ha raft undo --yes {}", done.aside.display()),
            "{database} on the volume was damaged and has been mended, and nothing of it is lost: {}. The \
             original is in {}; once k8s is stopped, `two-node-ha raft undo --yes {}` puts it back",
            problems(&plan.before),
            done.original().display(),
            done.aside.display()
        );
        Ok(())
    }

    /// What is damaged with loss: where, what was found, and where what is missing may be.
    fn in_words(&self, database: Database, raft: &Path, found: &str) -> String {
        let elsewhere = self.elsewhere(database);
        let elsewhere: Vec<_> = elsewhere.iter().map(|p| p.display().to_string()).collect();
        let elsewhere = match &elsewhere[..] {
            [] => String::new(),
            some => format!("; what is missing may be in {}", some.join(", ")),
        };
        format!("{}: {found}{elsewhere}", raft.display())
    }

    /// Other copies on this node that may have what is missing.
    fn elsewhere(&self, database: Database) -> Vec<PathBuf> {
        let (paths, config) = (&self.paths, &self.config);
        let copies = takeover_copy::all(paths, config).unwrap_or_default();
        let copies = copies
            .into_iter()
            .rev()
            .map(|(epoch, _)| takeover_copy::copy(paths, config, epoch, database));
        [self.paths.spare(database)]
            .into_iter()
            .chain(copies)
            .map(|state| raft_directory(database, &state))
            .filter(|raft| two_node_ha_dqlite::inspect(raft).is_ok_and(|found| found.has_data()))
            .collect()
    }

    /// Remembers damage that was found, once the database is again as it was, so that this node says so and
    /// looks again only when the files are others. Any other error as it is.
    pub(super) fn remember(&self, database: Database, error: Error) -> Error {
        let Error::Damaged(found) = error else {
            return error;
        };
        tracing::error!(
            database = database.name(),
            "{database} on the volume is not taken over: {found}"
        );
        let raft = raft_directory(database, &self.paths.on_volume(&self.config, database));
        match damage::note(&self.paths.found_damaged(database), &raft, &found) {
            // The next look of this node sees it, and plans anew.
            Ok(()) => Error::Guard(found),
            Err(unwritten) => {
                tracing::warn!("what was found of {database} cannot be noted: {unwritten}");
                Error::Damaged(found)
            }
        }
    }
}

fn unreadable(error: ScanError) -> Error {
    match error {
        ScanError::Io { path, source } => Error::Io {
            action: "reading",
            path,
            source,
        },
        ScanError::Next(_) | ScanError::Unsettled(_) => Error::Damaged(error.to_string()),
    }
}

/// What is wrong, file by file; the identity aside.
fn problems(report: &Report) -> String {
    let words: Vec<_> = report
        .problems
        .iter()
        .map(|problem| match &problem.file {
            Some(file) => format!("{file}: {}", problem.detail),
            None => problem.detail.clone(),
        })
        .collect();
    words.join("; ")
}

#[cfg(test)]
mod tests;
