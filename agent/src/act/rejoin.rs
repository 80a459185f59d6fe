//! Becoming the spare of the peer's epoch: this node's own directories are made anew from the
//! voter's bundle, beside the old ones, and exchanged with them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use two_node_ha_disk::{self as disk, atomic, effects, tree};
use two_node_ha_dqlite::{NodeInfo, Role};
use two_node_ha_node::database::{CLUSTER_FILES, is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use super::identity::{copy_kept, replace_info};
use super::{Actor, Error, Outcome, Progress};
use crate::store::Record;

/// How long a bundle may travel. A big datastore has some hundred megabytes.
pub(super) const FETCH: Duration = Duration::from_secs(300);

impl Actor {
    /// Fetches the bundle, builds both directories, exchanges them.
    pub(super) fn rejoin(
        &mut self,
        epoch: u64,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome, Error> {
        self.services_stopped()?;
        let staging = self.paths.staging();
        progress(&format!(
            "fetching the bundle of epoch {epoch} from {}",
            self.peer.name
        ));
        let request = Request::Bundle {
            version: VERSION,
            epoch,
        };
        let astray = match self.client.fetch(&request, &staging, FETCH)? {
            Response::Bundle {
                epoch: of, astray, ..
            } if of == epoch => astray,
            Response::Bundle { epoch: of, .. } => {
                return Err(Error::Unfit(format!(
                    "the bundle is of epoch {of} and not {epoch}"
                )));
            }
            Response::Refused { reason } => return self.refused(reason),
            other => return Err(Error::Unfit(format!("no bundle but {other:?}"))),
        };
        for database in Database::ALL {
            progress(&format!("making this node's spare directory of {database}"));
            self.rebuild(database, &staging)?;
            self.journal.spare_epoch.insert(database, epoch);
            self.journal.write(&self.paths.journal())?;
        }
        tree::remove_if_there(&staging).map_err(Error::io("removing", &staging))?;
        for (database, astray) in astray {
            tracing::warn!(
                database = database.name(),
                first = astray.first,
                last = astray.last,
                from = astray.node,
                "the log of {database} had gone on off the volume: {astray}; {} has all of them on the \
                 volume since then",
                self.peer.name
            );
        }
        tracing::info!(epoch, "this node is ready to be the spare of epoch {epoch}");
        Ok(Outcome::Done)
    }

    fn rebuild(&self, database: Database, bundle: &Path) -> Result<(), Error> {
        let spare = self.paths.spare(database);
        let new = tree::staging_name(&spare);
        // What stands here was replaced before a crash, or was about to take its place.
        let ready = spare.with_file_name(format!(".{database}.ready"));
        if ready.exists() {
            self.quarantine(&ready, database)?;
        }
        tree::remove_if_there(&new).map_err(Error::io("removing", &new))?;
        // This node's identity, without anything of the old raft: its terms and entries belong to
        // an epoch that is over.
        copy_kept(&spare, &new)?;
        let raft = raft_directory(database, &new);
        let me = NodeInfo {
            role: Role::Spare,
            ..self.identity(database)?
        };
        self.note_identity(database, &me)?;
        self.mend(database, &me, &new)?;
        disk::private_directory(&raft).map_err(Error::io("creating", &raft))?;
        replace_info(&raft, &me)?;
        for name in CLUSTER_FILES {
            let from = bundle.join(format!("{database}.{name}"));
            match std::fs::read(&from) {
                Ok(content) => atomic::replace(&new.join(name), &content)
                    .map_err(Error::io("writing", &new.join(name)))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("reading", &from)(error)),
            }
        }
        // There is one where the voter became it by `k8sd cluster-recover`.
        let tarball = bundle.join(format!("{database}.tar.gz"));
        match (tarball.exists(), database) {
            // k8sd unpacks it itself at its start: the members' addresses and its trust store
            // come with it (k8s-snap, cluster_recover.go).
            (true, Database::K8sd) => move_private(&tarball, &new.join("recovery_db.tar.gz"))?,
            (true, Database::K8sDqlite) => unpack(&tarball, &raft)?,
            (false, _) => {
                self.without_a_log(database, bundle, &raft, &me)?;
                self.take_trust_store(database, bundle, &new)?;
            }
        }
        disk::sync_directory(&raft).map_err(Error::io("syncing", &raft))?;
        disk::sync_directory(&new).map_err(Error::io("syncing", &new))?;
        // An exchange: at no moment is this node without its identity. Not under the name that a
        // half-made directory is removed from.
        disk::rename_new(&new, &ready).map_err(Error::io("renaming", &new))?;
        effects::exchange(&ready, &spare).map_err(Error::io("exchanging", &spare))?;
        if let Some(parent) = spare.parent() {
            disk::sync_directory(parent).map_err(Error::io("syncing", parent))?;
        }
        self.quarantine(&ready, database)
    }
}

fn move_private(from: &Path, to: &Path) -> Result<(), Error> {
    let copy = || -> io::Result<()> {
        let mut source = File::open(from)?;
        let target = effects::create_private(to)?;
        effects::write(&mut source, &target)?;
        effects::sync(&target)
    };
    copy().map_err(Error::io("writing", to))
}

/// Unpacks raft's files and `cluster.yaml` of a recovery tarball; everything else in it is the
/// other node's own and stays out. Names are taken as file names only, so that no entry can
/// lead outside.
fn unpack(tarball: &Path, into: &Path) -> Result<(), Error> {
    let unpack = || -> io::Result<usize> {
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(tarball)?));
        let mut unpacked = 0;
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path: PathBuf = entry.path()?.into_owned();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name == "cluster.yaml" {
                let mut text = Vec::new();
                entry.read_to_end(&mut text)?;
                atomic::replace(&into.join(name), &text)?;
            } else if is_raft_file(name) && name != "dqlite-lock" {
                let target = effects::create_private(&into.join(name))?;
                effects::write(&mut entry, &target)?;
                effects::sync(&target)?;
                unpacked += 1;
            }
        }
        Ok(unpacked)
    };
    match unpack().map_err(Error::io("unpacking", tarball))? {
        0 => Err(Error::Unfit(format!(
            "{} holds none of raft's files",
            tarball.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    use two_node_ha_dqlite::read_info;
    use two_node_ha_planner::Step;

    use crate::act::tests::{NOTHING, Node, contents, names};
    use crate::peer::client::{self, Peer};

    fn tarball(dir: &Path, entries: &[(&str, &str)]) -> PathBuf {
        let path = dir.join("bundle.tar.gz");
        let gz = flate2::write::GzEncoder::new(
            File::create(&path).unwrap(),
            flate2::Compression::fast(),
        );
        let mut builder = tar::Builder::new(gz);
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // set_path would refuse the names that this test is about.
            let raw = &mut header.as_old_mut().name;
            raw[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn only_rafts_files_and_the_members_come_out_of_a_bundle_and_none_leads_outside() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let tarball = tarball(
            dir.path(),
            &[
                ("k8s-dqlite/cluster.yaml", "members"),
                ("./open-1", "entries"),
                ("../../0000000000000001-0000000000000002", "segment"),
                ("info.yaml", "the other's"),
                ("cluster.key", "the other's"),
            ],
        );
        unpack(&tarball, &into).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&into)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "0000000000000001-0000000000000002",
                "cluster.yaml",
                "open-1"
            ]
        );
    }

    #[test]
    fn a_bundle_without_raft_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tarball = tarball(dir.path(), &[("cluster.yaml", "members")]);
        assert!(matches!(unpack(&tarball, dir.path()), Err(Error::Unfit(_))));
    }
    /// A peer that has a bundle of this epoch, whichever it is asked for.
    #[derive(Debug)]
    struct Gives {
        epoch: u64,
        bundle: PathBuf,
    }

    impl Peer for Gives {
        fn ask(&self, _: &Request, _: Duration) -> Result<Response, client::Error> {
            panic!("nobody asked for it")
        }

        fn fetch(&self, _: &Request, into: &Path, _: Duration) -> Result<Response, client::Error> {
            fs::create_dir_all(into).unwrap();
            for name in names(&self.bundle) {
                if self.bundle.join(&name).is_dir() {
                    fs::create_dir(into.join(name)).unwrap();
                } else {
                    fs::copy(self.bundle.join(&name), into.join(name)).unwrap();
                }
            }
            Ok(Response::Bundle {
                epoch: self.epoch,
                files: Vec::new(),
                astray: BTreeMap::new(),
            })
        }
    }

    /// haone, which its files still call a voter, and the bundle that its peer gives it.
    fn given(epoch: u64) -> (Node, tempfile::TempDir) {
        let mut node = Node::new(NOTHING);
        let dir = tempfile::tempdir().unwrap();
        let entries = [("cluster.yaml", "members"), ("open-1", "entries")];
        let dqlite = tarball(dir.path(), &entries);
        fs::rename(dqlite, dir.path().join("k8s-dqlite.tar.gz")).unwrap();
        fs::write(dir.path().join("k8sd.tar.gz"), "all of k8sd").unwrap();
        fs::write(dir.path().join("k8sd.cluster.crt"), "the cluster's").unwrap();
        for database in Database::ALL {
            let raft = raft_directory(database, &node.spare(database));
            let me = NodeInfo {
                role: Role::Voter,
                ..node.actor.identity(database).unwrap()
            };
            replace_info(&raft, &me).unwrap();
        }
        let bundle = dir.path().to_path_buf();
        node.actor.client = Box::new(Gives { epoch, bundle });
        (node, dir)
    }

    #[test]
    fn a_spare_is_made_of_the_bundle_and_this_nodes_identity_which_is_noted_beside_it() {
        let (mut node, _dir) = given(2);
        let old = contents(&node.spare(Database::K8sd));
        node.actor.take(&Step::Rejoin(2), &mut |_| {}).unwrap();
        for database in Database::ALL {
            assert_eq!(node.actor.journal.spare_epoch.get(&database), Some(&2));
            let spare = node.spare(database);
            let noted = node.actor.paths.identity(database);
            for directory in [raft_directory(database, &spare), noted] {
                let info = read_info(&directory).unwrap().unwrap();
                assert_eq!(
                    (info.id, info.role),
                    (7_213_556_120_004_377_911, Role::Spare),
                    "{}",
                    directory.display()
                );
            }
        }
        let k8sd = contents(&node.spare(Database::K8sd));
        assert_eq!(k8sd["recovery_db.tar.gz"], "all of k8sd");
        assert_eq!(k8sd["cluster.crt"], "the cluster's");
        let dqlite = contents(&node.spare(Database::K8sDqlite));
        assert_eq!(dqlite["open-1"], "entries");
        assert!(
            !dqlite.contains_key("metadata1"),
            "of an epoch that is over"
        );
        let kept = contents(&node.actor.paths.quarantine());
        for (path, text) in old {
            let of_k8sd = |name: &&String| name.starts_with("k8sd-") && name.ends_with(&path);
            let kept = kept.iter().find(|(name, _)| of_k8sd(name));
            assert_eq!(kept.map(|(_, text)| text), Some(&text), "{path}");
        }
        assert!(!node.actor.paths.staging().exists());
    }

    /// Both spare directories are as they were, and so is what the journal says of them.
    fn fails(node: &mut Node, why: &str) {
        let all = |node: &Node| Database::ALL.map(|database| contents(&node.spare(database)));
        let (before, epochs) = (all(node), node.actor.journal.spare_epoch.clone());
        let error = node.actor.take(&Step::Rejoin(2), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(all(node), before);
        assert_eq!(node.actor.journal.spare_epoch, epochs);
    }

    #[test]
    fn no_spare_is_made_of_a_bundle_of_another_epoch() {
        for epoch in [1, 3] {
            let (mut node, _dir) = given(epoch);
            fails(&mut node, &format!("of epoch {epoch} and not 2"));
        }
    }

    #[test]
    fn no_spare_is_made_of_a_bundle_of_which_something_cannot_be_read() {
        let (mut node, dir) = given(2);
        for database in Database::ALL {
            let name = format!("{database}.cluster.key");
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fails(&mut node, "reading ");
    }
}
