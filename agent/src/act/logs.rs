//! Logs off the volume that go on where the volume's ends: fetched from the peer, compared, and taken
//! as the base of the next epoch.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use two_node_ha_disk::linked_copy::{self, How};
use two_node_ha_disk::{self as disk, effects, tree};
use two_node_ha_node::PEER_LOG;
use two_node_ha_node::database::{is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::Standing;
use two_node_ha_planner::record::{Astray, Epoch};
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::first_start::set_aside;
use super::rejoin::FETCH;
use super::{Actor, Error, Outcome, Progress};
use crate::observe::logs;
use crate::observe::logs::Looks;
use crate::store::{Record, last_written};

/// The database's directory while it is made anew on the volume.
const NEW_BASE: &str = "new-base-";

impl Actor {
    /// Copies the peer's logs onto the volume, where they can be compared and are safe. Its databases
    /// are stopped, and it does not start one that raft makes a voter before this node has recovered.
    pub(super) fn fetch_logs(&self, progress: &mut Progress<'_>) -> Result<Outcome, Error> {
        let _pin = self.volume_mounted()?;
        for database in Database::ALL {
            let to = self.paths.peer_log(&self.config, &self.peer.name, database);
            let part = tree::staging_name(&to);
            for old in [&to, &part] {
                tree::remove_if_there(old).map_err(Error::io("removing", old))?;
            }
            if let Some(parent) = to.parent() {
                disk::private_directory(parent).map_err(Error::io("creating", parent))?;
            }
            progress(&format!("fetching {}'s log of {database}", self.peer.name));
            let request = Request::Log {
                version: VERSION,
                database,
            };
            match self.client.fetch(&request, &part, FETCH)? {
                Response::Bundle { .. } => {}
                Response::Refused { reason } => return self.refused(reason),
                other => return Err(Error::Unfit(format!("no log but {other:?}"))),
            }
            disk::rename_new(&part, &to).map_err(Error::io("renaming", &part))?;
        }
        Ok(Outcome::LogsFetched)
    }

    /// Where a log goes on from the volume's, the database on the volume is exchanged for one with that
    /// log. Compared again here, byte by byte: the plan saw it a moment ago.
    pub(super) fn take_base(&self, database: Database, epoch: &mut Epoch) -> Result<(), Error> {
        let volume = self.paths.on_volume(&self.config, database);
        let raft = raft_directory(database, &volume);
        let own = raft_directory(database, &self.paths.spare(database));
        let fetched = self.paths.peer_log(&self.config, &self.peer.name, database);
        let fetched = fetched.is_dir().then_some(fetched.as_path());
        let me = self.identity(database)?.id;
        // One after the other: the first may change the volume's.
        let beside = || Looks::default().beside(&raft, (&own, fetched), Some(me));
        self.take_from(database, epoch, (&own, &self.node.name), beside().own)?;
        match (fetched, beside().fetched) {
            (Some(fetched), Some(standing)) => {
                self.take_from(database, epoch, (fetched, &self.peer.name), standing)
            }
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn take_from(
        &self,
        database: Database,
        epoch: &mut Epoch,
        (log, node): (&Path, &str),
        standing: Standing,
    ) -> Result<(), Error> {
        match standing.given(epoch.taken.get(&database), node) {
            Standing::Within => Ok(()),
            Standing::Ahead { first, last } => {
                let volume = self.paths.on_volume(&self.config, database);
                let raft = raft_directory(database, &volume);
                let since = last_written(&raft).map_err(Error::io("reading", &raft))?;
                self.exchange_base(database, log)?;
                let astray = Astray::new(node, (first, last), (since, SystemTime::now()));
                tracing::warn!(
                    database = database.name(),
                    first,
                    last,
                    from = node,
                    "the log of {database} went on off the volume, and was taken from {}: {astray}",
                    log.display()
                );
                epoch.astray.insert(database, astray);
                epoch.write(&self.paths.epoch(&self.config))?;
                Ok(())
            }
            Standing::Parted {
                volume, other: end, ..
            } => Err(Error::Unfit(format!(
                "the log of {database} in {} has parted from the volume's (index {} there, {} on the \
                 volume); `two-node-ha raft compare` shows both",
                log.display(),
                end.index,
                volume.index
            ))),
            Standing::Unknown(why) => Err(Error::Unfit(format!(
                "whether {} has more of {database} than the volume cannot be told: {why}",
                log.display()
            ))),
        }
    }

    fn exchange_base(&self, database: Database, log: &Path) -> Result<(), Error> {
        let volume = self.paths.on_volume(&self.config, database);
        let private = self.paths.private_on_volume(&self.config);
        let new = private.join(format!("{NEW_BASE}{database}"));
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))?;
        // Everything but raft's files as it is on the volume; those come from the other log.
        linked_copy::keep(&volume, &new, &|name| {
            if is_raft_file(name) {
                How::Leave
            } else {
                How::Copy
            }
        })?;
        let raft = raft_directory(database, &new);
        for (name, from) in raft_files(log)? {
            let to = raft.join(&name);
            let copy = || -> io::Result<()> {
                let mut source = std::fs::File::open(&from)?;
                let target = effects::create_private(&to)?;
                effects::write(&mut source, &target).map(drop)
            };
            copy().map_err(Error::io("copying", &from))?;
        }
        effects::sync_all(&new).map_err(Error::io("syncing", &new))?;
        // What was copied is what is compared, before anything is replaced by it.
        for (old, whose) in [
            (raft_directory(database, &volume), "the volume"),
            (log.into(), "its source"),
        ] {
            let standing = logs::compare(&raft, &old);
            if standing != Standing::Within {
                return Err(Error::Unfit(format!(
                    "the new log of {database} reads back without all that {whose} has ({standing:?}); \
                     nothing was replaced"
                )));
            }
        }
        self.services_stopped()?;
        let _pin = self.volume_mounted()?;
        effects::exchange(&new, &volume).map_err(Error::io("exchanging", &volume))?;
        for side in [&new, &volume] {
            if let Some(parent) = side.parent() {
                disk::sync_directory(parent).map_err(Error::io("syncing", parent))?;
            }
        }
        // The copy from before the takeover is the same; this one is only in the way.
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))
    }

    /// raft's files of this node's own directory go into the quarantine: the volume has all of them.
    pub(super) fn retire_own_log(&self, database: Database) -> Result<(), Error> {
        let raft = raft_directory(database, &self.paths.spare(database));
        if !raft.is_dir() {
            return Ok(());
        }
        let all = raft_files(&raft)?;
        if all.iter().all(|(name, _)| name.starts_with("metadata")) {
            // That of a spare without a log is not worth the place of one that is.
            for (_, path) in all {
                effects::remove_file(&path).map_err(Error::io("removing", &path))?;
            }
            return disk::sync_directory(&raft).map_err(Error::io("syncing", &raft));
        }
        let quarantine = self.paths.quarantine();
        let parted = quarantine.join(format!(".{database}-log.part"));
        disk::private_directory(&parted).map_err(Error::io("creating", &parted))?;
        // Metadata last: without it, whatever is left is no log, and nothing starts on it.
        let mut all = all;
        all.sort_by_key(|(name, _)| name.starts_with("metadata"));
        for (name, from) in all {
            effects::rename(&from, &parted.join(&name)).map_err(Error::io("moving", &from))?;
        }
        disk::sync_directory(&raft).map_err(Error::io("syncing", &raft))?;
        let name = format!("{database}-log");
        set_aside(&parted, &quarantine, &name).map_err(Error::io("setting aside", &parted))?;
        super::first_start::drop_surplus(&quarantine, &name, self.config.agent.keep_backups)
    }

    /// Fetched logs of a takeover that has ended.
    pub(super) fn drop_fetched_logs(&self) -> Result<(), Error> {
        let private = self.paths.private_on_volume(&self.config);
        for entry in std::fs::read_dir(&private).map_err(Error::io("reading", &private))? {
            let entry = entry.map_err(Error::io("reading", &private))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PEER_LOG) || name.starts_with(NEW_BASE) {
                let path = entry.path();
                tree::remove_if_there(&path).map_err(Error::io("removing", &path))?;
            }
        }
        Ok(())
    }
}

/// raft's files in a directory, but for the lock: it is no part of a log.
pub(super) fn raft_files(raft: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(raft).map_err(Error::io("reading", raft))? {
        let entry = entry.map_err(Error::io("reading", raft))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_raft_file(&name) && name != "dqlite-lock" && entry.path().is_file() {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::act::tests::{NOTHING, Node, WRITABLE, contents, names};

    #[test]
    fn a_log_of_this_nodes_own_that_the_volume_has_all_of_is_retired_without_its_identity() {
        for database in Database::ALL {
            let node = Node::new(NOTHING);
            let raft = raft_directory(database, &node.spare(database));
            fs::write(raft.join("open-1"), "entries").unwrap();
            // Again and again: there is a log the first time only.
            for _ in 0..2 {
                node.actor.retire_own_log(database).unwrap();
                assert_eq!(names(&raft), ["cluster.yaml", "info.yaml"]);
                let kept = contents(&node.actor.paths.quarantine()).into_keys();
                let kept: Vec<_> = kept
                    .map(|path| path.rsplit_once('/').unwrap().1.to_owned())
                    .collect();
                assert_eq!(kept, ["metadata1", "open-1"]);
            }
        }
    }

    #[test]
    fn where_there_is_no_log_of_this_nodes_own_nothing_is_retired() {
        let node = Node::new(NOTHING);
        for database in Database::ALL {
            let raft = raft_directory(database, &node.spare(database));
            fs::remove_file(raft.join("metadata1")).unwrap();
            node.actor.retire_own_log(database).unwrap();
            fs::remove_dir_all(&raft).unwrap();
            node.actor.retire_own_log(database).unwrap();
        }
        assert!(!node.actor.paths.quarantine().exists());
    }

    #[test]
    fn fetched_logs_and_half_made_bases_go_and_nothing_else_does() {
        let node = Node::new(WRITABLE);
        let private = node.actor.paths.private_on_volume(&node.actor.config);
        for name in ["peer-log-hatwo", "new-base-k8sd", "bundle-2"] {
            fs::create_dir_all(private.join(name)).unwrap();
        }
        node.actor.drop_fetched_logs().unwrap();
        assert_eq!(names(&private), ["bundle-2"]);
    }
}
