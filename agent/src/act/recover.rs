//! Taking a database over, so that this node is its only voter: natively, or by `k8sd cluster-recover`
//! with the bundle that lets the peer become its spare.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use two_node_ha_config::Recovery;
use two_node_ha_disk::{self as disk, effects, tree};
use two_node_ha_dqlite::read_cluster;
use two_node_ha_node::database::raft_directory;
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Known, LinkTarget};
use two_node_ha_planner::record::{Epoch, Phase};

use super::identity::sole_voter;
use super::{Actor, Error, Outcome, Progress};
use crate::k8s;
use crate::observe::live;
use crate::store::{Record, recovered};

impl Actor {
    /// Recovers one database and records it as done.
    pub(super) fn recover(
        &self,
        database: Database,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Error> {
        self.services_stopped()?;
        let _pin = self.volume_mounted()?;
        if live::leads(&self.paths, &self.config, database) != LinkTarget::ToVolume {
            return Err(Error::Guard(format!(
                "{database} does not lead onto the volume"
            )));
        }
        let Known::Present(mut epoch) = self.read_epoch() else {
            return Err(Error::Guard("the volume's record cannot be read".into()));
        };
        if epoch.owner != self.node.name {
            return Err(Error::Guard(format!(
                "the epoch belongs to {}",
                epoch.owner
            )));
        }
        // I7: once an epoch. What it leaves in the bundle is the last thing made before the record; until
        // that is whole, whatever was done in this epoch is undone and done again. (A tarball that an
        // interrupted attempt left would not do: k8sd does not sync it, and writes trust store and patches
        // after it.)
        let (paths, config) = (&self.paths, &self.config);
        let whole = recovered::is_whole(paths, config, epoch.epoch, database);
        if epoch.phase(database) == Phase::Pending && !whole {
            self.begin_attempt(database, epoch.epoch)?;
            let kept = match config.k8s.recovery {
                Recovery::Native => recovered::members,
                Recovery::K8sd => recovered::tarball,
            };
            let kept = kept(paths, config, epoch.epoch, database);
            if let Err(error) = self.attempt(database, &mut epoch, &kept, progress) {
                self.undo(database, epoch.epoch, &kept);
                // Whether it was put back or not: the next attempt finds out anew what it takes.
                if epoch.astray.remove(&database).is_some() {
                    if let Err(unwritten) = epoch.write(&self.paths.epoch(&self.config)) {
                        tracing::warn!("{unwritten}");
                    }
                }
                return Err(self.remember(database, error));
            }
            tracing::info!(
                database = database.name(),
                epoch = epoch.epoch,
                "{database} was recovered with {} as its only voter",
                self.node.name
            );
        }
        // The volume has all of it now, and a log beside it that names this node as the voter would have
        // to be compared with the volume's for ever.
        self.retire_own_log(database)?;
        // Also after a crash that came between the tarball and this: k8sd would take the tarball for
        // a newer database than its own at any later start, and every write since would be lost.
        self.clear_the_way(database)?;
        epoch.done(database);
        epoch.write(&self.paths.epoch(&self.config))?;
        self.end_attempt(database, epoch.epoch)?;
        self.drop_old(epoch.epoch)?;
        if epoch.complete() {
            self.drop_fetched_logs()?;
            self.drop_old_copies(epoch.epoch)?;
        }
        Ok(Outcome::Done)
    }

    /// The recovery itself, up to what of it is `kept`.
    fn attempt(
        &self,
        database: Database,
        epoch: &mut Epoch,
        kept: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        self.take_base(database, epoch)?;
        self.look(database, progress)?;
        match self.config.k8s.recovery {
            Recovery::Native => self.take_over_natively(database, kept, progress),
            Recovery::K8sd => self.take_over_by_k8sd(database, kept, progress),
        }
    }

    /// `k8sd cluster-recover`, up to the tarball for the peer that is `kept`.
    fn take_over_by_k8sd(
        &self,
        database: Database,
        kept: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let volume = self.paths.on_volume(&self.config, database);
        let yaml = raft_directory(database, &volume);
        let mut members = read_cluster(&yaml)?.unwrap_or_default();
        sole_voter(&mut members, &self.identity(database)?).map_err(|reason| {
            Error::Unfit(format!("{}: {reason}", yaml.join("cluster.yaml").display()))
        })?;
        self.install_identity(database, &members)?;
        self.clear_the_way(database)?;
        let before = self.tarballs(database)?;
        progress(&format!("recovering {database} (`k8sd cluster-recover`)"));
        k8s::recover(
            &*self.runner,
            &self.config,
            &self.paths,
            database,
            &self.interrupt,
        )?;
        let made = self
            .tarballs(database)?
            .into_iter()
            .filter(|path| !before.contains(path))
            .max_by_key(|path| path.metadata().and_then(|m| m.modified()).ok())
            .ok_or_else(|| {
                Error::Unfit(format!(
                    "`k8sd cluster-recover` succeeded for {database} but left no tarball for the \
                     peer"
                ))
            })?;
        // k8sd syncs nothing of what it writes beside raft's files, and the bundle says from here
        // on that all of it is there.
        effects::sync_all(&volume).map_err(Error::io("syncing", &volume))?;
        keep_bundle(&made, kept)?;
        if database != Database::K8sd {
            effects::remove_file(&made).map_err(Error::io("removing", &made))?;
        }
        Ok(())
    }

    /// A failed attempt leaves the database as it found it, for whoever looks at it next. Where that
    /// fails too, the mark stays, and the next attempt begins with it.
    fn undo(&self, database: Database, epoch: u64, kept: &Path) {
        let undone = disk::remove_file_if_there(kept)
            .map_err(Error::io("removing", kept))
            .and_then(|()| self.put_back(database, epoch))
            .and_then(|()| self.end_attempt(database, epoch));
        match undone {
            Ok(()) => tracing::info!(
                database = database.name(),
                "{database} is again as it was before the recovery that failed"
            ),
            Err(error) => tracing::error!(
                database = database.name(),
                "a recovery of {database} failed, and so did putting back what it changed; the \
                 next attempt tries that first: {error}"
            ),
        }
    }

    /// The tarballs that a recovery of this database leaves for the other node.
    fn tarballs(&self, database: Database) -> Result<BTreeSet<PathBuf>, Error> {
        match database {
            Database::K8sd => {
                let path = self.paths.state_directory(&self.config, database);
                let path = path.join("recovery_db.tar.gz");
                Ok(path.exists().then_some(path).into_iter().collect())
            }
            Database::K8sDqlite => self.recovery_tarballs("-post-recovery.tar.gz"),
        }
    }

    fn recovery_tarballs(&self, suffix: &str) -> Result<BTreeSet<PathBuf>, Error> {
        let directory = self.paths.at(&self.config.k8s.recovery_dir);
        let entries = std::fs::read_dir(&directory).map_err(Error::io("reading", &directory))?;
        Ok(entries
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("recovery-k8s-dqlite-") && name.ends_with(suffix)
            })
            .map(|entry| entry.path())
            .collect())
    }

    /// `cluster-recover` refuses while `control.socket` exists, even a stale one; and a tarball
    /// of an interrupted attempt would be taken for this one's.
    pub(super) fn clear_the_way(&self, database: Database) -> Result<(), Error> {
        if database != Database::K8sd {
            return Ok(());
        }
        let state = self.paths.state_directory(&self.config, database);
        let socket = state.join("control.socket");
        if std::fs::symlink_metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket()) {
            effects::remove_file(&socket).map_err(Error::io("removing the stale", &socket))?;
        }
        let stale = state.join("recovery_db.tar.gz");
        disk::remove_file_if_there(&stale).map_err(Error::io("removing the stale", &stale))?;
        disk::sync_directory(&state).map_err(Error::io("syncing", &state))
    }

    /// Bundles of earlier epochs, and the recovery's own backups beyond the configured number.
    fn drop_old(&self, epoch: u64) -> Result<(), Error> {
        let private = self.paths.private_on_volume(&self.config);
        for entry in std::fs::read_dir(&private).map_err(Error::io("reading", &private))? {
            let path = entry.map_err(Error::io("reading", &private))?.path();
            let old = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix("bundle-")?.parse::<u64>().ok())
                .is_some_and(|of| of < epoch);
            if old {
                tree::remove_if_there(&path).map_err(Error::io("removing", &path))?;
            }
        }
        self.drop_backups()
    }
}

/// Copies a tarball into the bundle's directory, private and durable, under its final name only
/// when it is whole.
fn keep_bundle(from: &Path, to: &Path) -> Result<(), Error> {
    let directory = to.parent().unwrap_or(Path::new("/"));
    disk::private_directory(directory).map_err(Error::io("creating", directory))?;
    let part = tree::staging_name(to);
    let copy = || -> io::Result<()> {
        let mut source = File::open(from)?;
        disk::remove_file_if_there(&part)?;
        let target = effects::create_private(&part)?;
        effects::write(&mut source, &target)?;
        effects::sync(&target)?;
        disk::rename(&part, to)
    };
    copy().map_err(Error::io("keeping the bundle", to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_command::{Exit, Output};
    use two_node_ha_planner::Step;

    use crate::act::tests::{NOTHING, Node, contents, names};
    use crate::store::takeover_copy;

    /// Where `k8sd cluster-recover` leaves what the peer needs.
    fn tarball(node: &Node, database: Database) -> PathBuf {
        match database {
            Database::K8sd => node.volume(database).join("recovery_db.tar.gz"),
            Database::K8sDqlite => {
                let directory = &node.actor.config.k8s.recovery_dir;
                let name = "recovery-k8s-dqlite-1-post-recovery.tar.gz";
                node.actor.paths.at(directory).join(name)
            }
        }
    }

    /// A `k8sd cluster-recover` that changes the database, leaves its tarball and ends with `code`.
    fn recovers(node: &Node, database: Database, code: i32) -> Box<Scripted> {
        let Actor { paths, config, .. } = &node.actor;
        let program = paths.at(&config.k8s.k8sd_path);
        let (volume, tarball) = (node.volume(database), tarball(node, database));
        let answer = Scripted::new().answer_with(&program.display().to_string(), move |_| {
            fs::write(volume.join("recovered"), "").unwrap();
            fs::write(&tarball, "for the peer").unwrap();
            Ok(Output {
                exit: Exit::Code(code),
                stdout: Vec::new(),
                stderr: Vec::new(),
            })
        });
        Box::new(answer)
    }

    /// haone, in the middle of taking hatwo's volume over by `k8sd cluster-recover`.
    fn by_k8sd() -> Node {
        let mut node = Node::taking_over();
        Arc::make_mut(&mut node.actor.config).k8s.recovery = Recovery::K8sd;
        node
    }

    fn bundle(node: &Node, database: Database) -> PathBuf {
        let Actor { paths, config, .. } = &node.actor;
        recovered::tarball(paths, config, 2, database)
    }

    fn mark(node: &Node, database: Database) -> PathBuf {
        takeover_copy::mark(&node.actor.paths, &node.actor.config, 2, database)
    }

    #[test]
    fn a_recovery_ends_with_the_bundle_and_the_record_and_leaves_no_tarball_behind() {
        for database in Database::ALL {
            let mut node = by_k8sd();
            node.actor.runner = recovers(&node, database, 0);
            node.actor
                .take(&Step::Recover(database), &mut |_| {})
                .unwrap();
            assert!(node.volume(database).join("recovered").exists());
            let kept = fs::read_to_string(bundle(&node, database)).unwrap();
            assert_eq!(kept, "for the peer");
            assert!(!tarball(&node, database).exists(), "{database}");
            assert!(!mark(&node, database).exists());
            assert_eq!(node.recorded().phase(database), Phase::Done);
        }
    }

    #[test]
    fn a_database_is_recovered_once_an_epoch_and_not_again_once_its_bundle_or_the_record_is_there()
    {
        let whole = [recovered::tarball, recovered::members];
        for (database, whole) in Database::ALL
            .into_iter()
            .flat_map(|d| whole.map(|w| (d, w)))
        {
            let mut node = Node::taking_over();
            let bundle = whole(&node.actor.paths, &node.actor.config, 2, database);
            disk::private_directory(bundle.parent().unwrap()).unwrap();
            fs::write(&bundle, "whole").unwrap();
            // There is no log to recover, and nobody knows `k8sd cluster-recover` here.
            node.actor.runner = Box::new(Scripted::new());
            let step = Step::Recover(database);
            node.actor.take(&step, &mut |_| {}).unwrap();
            assert_eq!(node.recorded().phase(database), Phase::Done);
            fs::remove_file(&bundle).unwrap();
            node.actor.take(&step, &mut |_| {}).unwrap();
            assert_eq!(node.recorded().phase(database), Phase::Done);
        }
    }

    #[test]
    fn a_recovery_that_fails_leaves_the_database_as_it_found_it() {
        for database in Database::ALL {
            let mut node = by_k8sd();
            let before = contents(&node.volume(database));
            node.actor.runner = recovers(&node, database, 1);
            let error = node
                .actor
                .take(&Step::Recover(database), &mut |_| {})
                .unwrap_err();
            assert!(matches!(error, Error::K8s(_)), "{error}");
            assert_eq!(contents(&node.volume(database)), before);
            assert!(!mark(&node, database).exists(), "{database}");
            assert!(!bundle(&node, database).exists());
            assert_eq!(node.recorded().phase(database), Phase::Pending);
            // What had become of it is set aside.
            let copies = takeover_copy::directory(&node.actor.paths, &node.actor.config, 2);
            let undone = format!("{database}-undone-");
            let aside = names(&copies);
            assert!(
                aside.iter().any(|name| name.starts_with(&undone)),
                "{aside:?}"
            );
        }
    }

    #[test]
    fn a_stale_socket_and_a_stale_tarball_are_out_of_k8sds_way_and_nothing_of_k8s_dqlites_is() {
        let node = Node::new(NOTHING);
        for database in Database::ALL {
            let state = node.spare(database);
            let stale = ["control.socket", "recovery_db.tar.gz"].map(|name| state.join(name));
            drop(UnixListener::bind(&stale[0]).unwrap());
            fs::write(&stale[1], "stale").unwrap();
            // Twice: there is nothing in the way the second time.
            for _ in 0..2 {
                node.actor.clear_the_way(database).unwrap();
            }
            for path in &stale {
                let is_there = fs::symlink_metadata(path).is_ok();
                assert_eq!(is_there, database != Database::K8sd, "{}", path.display());
            }
        }
        let unremovable = node.spare(Database::K8sd).join("recovery_db.tar.gz");
        fs::create_dir(&unremovable).unwrap();
        let error = node.actor.clear_the_way(Database::K8sd).unwrap_err();
        let why = error.to_string();
        assert!(why.contains("removing the stale /"), "{why}");
        assert!(why.contains("/recovery_db.tar.gz: "), "{why}");
    }

    #[test]
    fn what_is_left_of_earlier_recoveries_is_dropped_the_oldest_first_and_the_rest_is_private() {
        let node = Node::taking_over();
        let Actor { paths, config, .. } = &node.actor;
        let private = paths.private_on_volume(config);
        for of in 1..=3 {
            fs::create_dir_all(paths.volume_bundle(config, of)).unwrap();
        }
        let directory = paths.at(&config.k8s.recovery_dir);
        // The clock of the names counts for nothing.
        for (name, minutes) in [("1", 50), ("2", 40), ("3", 30), ("4", 20), ("5", 10)] {
            let path = directory.join(format!("recovery-k8s-dqlite-{name}-recovery.tar.gz"));
            let file = fs::File::create(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let age = Duration::from_secs(3600 - minutes * 60);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        node.actor.drop_old(2).unwrap();
        assert_eq!(names(&private), ["bundle-2", "bundle-3"]);
        assert_eq!(config.agent.keep_tarballs, 3);
        let mut backups = names(&directory);
        backups.retain(|name| name.starts_with("recovery-"));
        assert_eq!(
            backups,
            ["1", "2", "3"].map(|name| format!("recovery-k8s-dqlite-{name}-recovery.tar.gz"))
        );
        for name in backups {
            let backup = fs::metadata(directory.join(name)).unwrap();
            let mode = backup.permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_bundle_replaces_what_a_crash_left_half_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (
            dir.path().join("from"),
            dir.path().join("bundle/k8sd.tar.gz"),
        );
        fs::write(&from, "whole").unwrap();
        keep_bundle(&from, &to).unwrap();
        fs::remove_file(&to).unwrap();
        fs::write(tree::staging_name(&to), "half").unwrap();
        keep_bundle(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "whole");
        assert_eq!(names(&dir.path().join("bundle")), ["k8sd.tar.gz"]);
    }
}
