//! Which node a directory says it is: kept when a node leaves a database, put in place when it
//! takes one over.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use two_node_ha_disk::effects::{self, Change};
use two_node_ha_disk::{self as disk, atomic, tree};
use two_node_ha_dqlite::{NodeInfo, Role, read_info, write_cluster, write_info};
use two_node_ha_node::database::{identity_files, is_raft_file, raft_directory};
use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Known, LinkTarget};
use two_node_ha_planner::record::Phase;

use super::{Actor, Error, Outcome, whole};
use crate::observe::live;
use crate::raft_repair::is_aside;
use crate::store::takeover_copy;

impl Actor {
    /// Copies everything but raft's files from where the database is now into this node's spare
    /// directory, so that certificates renewed as the voter are not lost to the spare.
    pub(super) fn keep_identity(&self, database: Database) -> Result<Outcome, Error> {
        let (from, _pin) = match live::leads(&self.paths, &self.config, database) {
            LinkTarget::Directory => (self.paths.state_directory(&self.config, database), None),
            LinkTarget::ToVolume => {
                let pin = self.volume_mounted()?;
                let volume = self.paths.on_volume(&self.config, database);
                // Half of a recovery, which could not be undone: the disk may be full. Nothing was
                // renewed on it since, and the next attempt begins with the copy.
                if let Known::Present(now) = self.read_epoch() {
                    let (paths, config) = (&self.paths, &self.config);
                    let copy = takeover_copy::interrupted(paths, config, database, now.epoch);
                    if now.phase(database) == Phase::Pending && copy.is_some() {
                        return Ok(Outcome::Done);
                    }
                }
                // A takeover that was interrupted before this node's identity was in place: the
                // directory is still the peer's, and the spare directory has the right one.
                let raft = raft_directory(database, &volume);
                let there = info(&raft)?;
                let mine = self.identity(database);
                if mine.is_ok_and(|mine| mine.id != there.id) {
                    return Ok(Outcome::Done);
                }
                (volume, Some(pin))
            }
            other => {
                return Err(Error::Guard(format!(
                    "the state directory of {database} has no identity to keep ({other:?})"
                )));
            }
        };
        let spare = self.paths.spare(database);
        if spare.exists() {
            copy_kept(&from, &spare)?;
            self.note_what_is_whole(database);
            return Ok(Outcome::Done);
        }
        // Under its own name it is whole: half of an identity would be taken for all of it.
        let part = tree::staging_name(&spare);
        tree::remove_if_there(&part).map_err(Error::io("removing", &part))?;
        copy_kept(&from, &part)?;
        disk::rename_new(&part, &spare).map_err(Error::io("renaming", &part))?;
        self.note_what_is_whole(database);
        Ok(Outcome::Done)
    }

    /// So that what k8sd leaves torn later can be made again. Without it there is only less to do that
    /// from.
    fn note_what_is_whole(&self, database: Database) {
        let noted = self
            .identity(database)
            .and_then(|me| self.note_identity(database, &me));
        if let Err(error) = noted {
            tracing::warn!("this node's identity of {database} is not noted: {error}");
        }
    }

    /// Which node this is in a database: what its spare directory says, or what was noted when that
    /// was made. k8sd removes its database, `info.yaml` and all, while it unpacks a bundle, and does
    /// not sync the new one: a crash then leaves no identity there.
    pub(super) fn identity(&self, database: Database) -> Result<NodeInfo, Error> {
        let raft = raft_directory(database, &self.paths.spare(database));
        match read_info(&raft) {
            Ok(Some(info)) => Ok(info),
            Ok(None) | Err(_) => match read_info(&self.paths.identity(database)) {
                Ok(Some(noted)) => Ok(noted),
                // What the directory itself has to say is the better message.
                Ok(None) | Err(_) => info(&raft),
            },
        }
    }

    /// Notes which node this is, and its own files as far as they are whole, before anything of a spare
    /// directory can be lost.
    pub(super) fn note_identity(&self, database: Database, me: &NodeInfo) -> Result<(), Error> {
        let noted = self.paths.identity(database);
        disk::private_directory(&noted).map_err(Error::io("creating", &noted))?;
        replace_info(&noted, me)?;
        self.note_files(database)
    }

    /// Makes the directory on the volume this node's: its files, and these members, of whom it is the only
    /// voter.
    pub(super) fn install_identity(
        &self,
        database: Database,
        members: &[NodeInfo],
    ) -> Result<(), Error> {
        let spare = self.paths.spare(database);
        let volume = self.paths.on_volume(&self.config, database);
        let me = self.identity(database)?;
        let raft = raft_directory(database, &volume);
        // Nothing of what k8sd has left torn, here or there, is to be recovered or started with.
        self.mend(database, &me, &spare)?;
        self.mend_cluster_files(database)?;
        for name in identity_files(database) {
            let from = spare.join(name);
            match std::fs::read(&from) {
                // It could not be mended, which was said.
                Ok(content) if whole::check(name, &content).is_err() => {}
                Ok(content) => atomic::replace(&volume.join(name), &content)
                    .map_err(Error::io("writing", &volume.join(name)))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    tracing::debug!(file = %from.display(), "no such identity file here");
                }
                Err(error) => return Err(Error::io("reading", &from)(error)),
            }
        }
        replace_info(
            &raft,
            &NodeInfo {
                role: Role::Voter,
                ..me
            },
        )?;
        replace_cluster(&raft, members)?;
        // Of a join that has ended: this node is a member, and with it dqlite would join once more.
        let join = raft.join("join");
        disk::remove_file_if_there(&join).map_err(Error::io("removing", &join))
    }
}

/// Replaces the `info.yaml` of a raft directory.
pub(super) fn replace_info(raft: &Path, node: &NodeInfo) -> Result<(), Error> {
    let yaml = raft.join("info.yaml");
    effects::pass(Change::Other("replace", &yaml), || {
        Ok(write_info(raft, node))
    })
    .map_err(Error::io("replacing", &yaml))??;
    Ok(())
}

/// Replaces the `cluster.yaml` of a raft directory.
pub(super) fn replace_cluster(raft: &Path, members: &[NodeInfo]) -> Result<(), Error> {
    let yaml = raft.join("cluster.yaml");
    effects::pass(Change::Other("replace", &yaml), || {
        Ok(write_cluster(raft, members))
    })
    .map_err(Error::io("replacing", &yaml))??;
    Ok(())
}

/// The identity in a raft directory, which must have one.
pub(super) fn info(raft: &Path) -> Result<NodeInfo, Error> {
    read_info(raft)?.ok_or_else(|| Error::Unfit(format!("{} has no info.yaml", raft.display())))
}

/// Makes `me` the only voter. The member is found by its id: addresses can change.
pub(super) fn sole_voter(members: &mut [NodeInfo], me: &NodeInfo) -> Result<(), String> {
    if !members.iter().any(|member| member.id == me.id) {
        return Err(format!(
            "this node (ID {}, {}) is not a member; it must be joined to the cluster again",
            me.id, me.address
        ));
    }
    for member in members {
        member.role = if member.id == me.id {
            Role::Voter
        } else {
            Role::Spare
        };
    }
    Ok(())
}

/// Copies the kept files of a directory over those of another, each atomically. One that is torn stays
/// where it is: what the other has is better, even if that is nothing.
pub(super) fn copy_kept(from: &Path, to: &Path) -> Result<(), Error> {
    copy_below(from, to, "")
}

/// The same for a directory of that name, which ends in a slash, below the state directory.
fn copy_below(from: &Path, to: &Path, below: &str) -> Result<(), Error> {
    disk::private_directory(to).map_err(Error::io("creating", to))?;
    let entries = std::fs::read_dir(from).map_err(Error::io("reading", from))?;
    for entry in entries {
        let source = entry.map_err(Error::io("reading", from))?.path();
        if !is_kept(&source) {
            continue;
        }
        let file = source.file_name().unwrap_or_default();
        let target = to.join(file);
        let name = format!("{below}{}", file.to_string_lossy());
        if source.is_dir() {
            copy_below(&source, &target, &format!("{name}/"))?;
            continue;
        }
        let content = std::fs::read(&source).map_err(Error::io("reading", &source))?;
        if let Err(why) = whole::check(&name, &content) {
            tracing::warn!(
                "{} is not whole ({why}), and is not copied to {}",
                source.display(),
                to.display()
            );
            continue;
        }
        let mode = std::fs::metadata(&source)
            .map_err(Error::io("reading", &source))?
            .permissions()
            .mode();
        atomic::replace_with_mode(&target, &content, mode & 0o777)
            .map_err(Error::io("writing", &target))?;
    }
    Ok(())
}

/// Whether a file beside raft's belongs to the node rather than to a moment of its past:
/// everything but raft's files, tarballs, sockets, what is half written, and originals that a repair has
/// kept.
fn is_kept(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !is_raft_file(&name)
        && !name.ends_with(".tar.gz")
        && !name.ends_with(".part")
        && name != "recovery_db"
        && !is_aside(&name)
        && std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() || meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use two_node_ha_dqlite::read_cluster;
    use two_node_ha_planner::Target;
    use two_node_ha_planner::record::Epoch;

    use crate::act::tests::{Node, WRITABLE};

    fn member(id: u64, role: Role) -> NodeInfo {
        NodeInfo {
            id,
            address: format!("10.0.0.{id}:9000"),
            role,
        }
    }

    #[test]
    fn the_node_becomes_the_only_voter_and_everybody_else_a_spare() {
        let mut members = vec![member(1, Role::Voter), member(2, Role::Spare)];
        sole_voter(&mut members, &member(2, Role::Spare)).unwrap();
        assert_eq!(members, [member(1, Role::Spare), member(2, Role::Voter)]);
    }

    #[test]
    fn a_node_that_is_no_member_is_refused() {
        let mut members = vec![member(1, Role::Voter)];
        assert!(sole_voter(&mut members, &member(2, Role::Spare)).is_err());
        assert_eq!(members, [member(1, Role::Voter)]);
    }
    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    /// haone as the voter, with a certificate of k8sd on the volume that its spare has not.
    fn renewed(epoch: &Epoch) -> Node {
        let node = Node::new(WRITABLE);
        node.lead_all(Target::Volume);
        node.record(epoch);
        write(&node.volume(Database::K8sd).join("server.crt"), "renewed");
        node
    }

    fn interrupted(node: &Node, epoch: u64) {
        let (paths, config) = (&node.actor.paths, &node.actor.config);
        let copy = takeover_copy::copy(paths, config, epoch, Database::K8sd);
        fs::create_dir_all(copy).unwrap();
        let mark = takeover_copy::mark(paths, config, epoch, Database::K8sd);
        write(&mark, "");
    }

    #[test]
    fn what_was_renewed_on_the_volume_is_kept_unless_it_is_half_of_a_takeover_or_the_peers() {
        let owned = Epoch::first("haone");
        let taken_over = Epoch::first("hatwo").taken_over_by("haone");
        for (epoch, cut_off, peers, kept) in [
            (&owned, false, false, true),
            // Recorded, and only the mark was not taken away any more.
            (&owned, true, false, true),
            (&taken_over, false, false, true),
            (&taken_over, true, false, false),
            (&taken_over, false, true, false),
        ] {
            let node = renewed(epoch);
            if cut_off {
                interrupted(&node, epoch.epoch);
            }
            if peers {
                let raft = raft_directory(Database::K8sd, &node.volume(Database::K8sd));
                write_info(&raft, &member(2, Role::Voter)).unwrap();
            }
            node.actor.keep_identity(Database::K8sd).unwrap();
            let spare = node.spare(Database::K8sd).join("server.crt");
            assert_eq!(
                spare.exists(),
                kept,
                "epoch {}, cut off {cut_off}, the peer's {peers}",
                epoch.epoch
            );
        }
    }

    #[test]
    fn a_kept_file_has_the_mode_that_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        for (name, mode) in [("server.key", 0o600), ("server.crt", 0o644)] {
            write(&from.join(name), "of this node");
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        copy_kept(&from, &to).unwrap();
        for (name, mode) in [("server.key", 0o600), ("server.crt", 0o644)] {
            let kept = fs::metadata(to.join(name)).unwrap().permissions().mode();
            assert_eq!(kept & 0o7777, mode, "{name}");
        }
    }

    #[test]
    fn the_directory_on_the_volume_becomes_this_nodes_with_this_node_as_its_only_voter() {
        for database in Database::ALL {
            let node = Node::taking_over();
            let me = node.actor.identity(database).unwrap();
            let raft = raft_directory(database, &node.volume(database));
            let peer = member(2, Role::Voter);
            write_info(&raft, &peer).unwrap();
            let mut members = [peer, me.clone()];
            write_cluster(&raft, &members).unwrap();
            sole_voter(&mut members, &me).unwrap();
            write(&raft.join("join"), "");
            // One identity file is there and the others are not.
            if database == Database::K8sd {
                write(&node.spare(database).join("server.crt"), "this node's");
            }
            node.actor.install_identity(database, &members).unwrap();
            let now = read_info(&raft).unwrap().unwrap();
            assert_eq!((now.id, now.role), (me.id, Role::Voter), "{database}");
            assert!(!raft.join("join").exists(), "{database} would join again");
            let members = read_cluster(&raft).unwrap().unwrap();
            let roles: Vec<_> = members.iter().map(|m| (m.id, m.role)).collect();
            assert_eq!(roles, [(2, Role::Spare), (me.id, Role::Voter)]);
            if database == Database::K8sd {
                let installed = node.volume(database).join("server.crt");
                assert_eq!(fs::read_to_string(installed).unwrap(), "this node's");
            }
        }
    }

    #[test]
    fn an_identity_file_that_cannot_be_read_is_not_taken_for_one_that_is_missing() {
        let node = Node::taking_over();
        let unreadable = node.spare(Database::K8sd).join("server.key");
        fs::create_dir(&unreadable).unwrap();
        let error = node
            .actor
            .install_identity(Database::K8sd, &[])
            .unwrap_err();
        let said = format!("reading {}", unreadable.display());
        assert!(error.to_string().contains(&said), "{error}");
    }
}
