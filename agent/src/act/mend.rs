//! What the snap has written in place and left torn is set aside and made again, before it is carried
//! anywhere or started with.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use two_node_ha_disk::{self as disk, atomic};
use two_node_ha_dqlite::{INFO_FILE, NodeInfo};
use two_node_ha_node::database::{CLUSTER_FILES, identity_files};
use two_node_ha_planner::Database;

use super::first_start::{drop_surplus, set_aside};
use super::{Actor, Error, whole};

impl Actor {
    /// Notes this node's own files beside its id, those that are whole.
    pub(super) fn note_files(&self, database: Database) -> Result<(), Error> {
        let (spare, noted) = (self.paths.spare(database), self.paths.identity(database));
        for name in own_files(database) {
            let Some(content) = read(&spare.join(name))? else {
                continue;
            };
            let to = noted.join(name);
            let differs = || std::fs::read(&to).ok().as_ref() != Some(&content);
            if whole::check(name, &content).is_ok() && differs() {
                atomic::replace_with_mode(&to, &content, 0o600)
                    .map_err(Error::io("noting", &to))?;
            }
        }
        Ok(())
    }

    /// Makes this node's own files in a directory of a database whole: from the spare directory, from what
    /// was noted, or, of `daemon.yaml`, from this node's name and the address in its `info.yaml`.
    pub(super) fn mend(
        &self,
        database: Database,
        me: &NodeInfo,
        directory: &Path,
    ) -> Result<(), Error> {
        for name in own_files(database) {
            let path = directory.join(name);
            let found = read(&path)?;
            let torn = match &found {
                None => None,
                Some(content) => match fits(name, content, me) {
                    Ok(()) => continue,
                    Err(why) => Some(why),
                },
            };
            let Some(made) = self.another(database, name, me)? else {
                if let Some(why) = torn {
                    tracing::error!(
                        "{} is not whole ({why}), and there is no other copy of it on this node: \
                         {database} will not start with it. Put it back from a backup of this node",
                        path.display()
                    );
                }
                continue;
            };
            if let Some(why) = torn {
                let kept = self.keep_torn(database, &path, name);
                tracing::warn!(
                    "{} was not whole ({why}), as after a power cut while k8sd wrote it: it is made \
                     again{kept}",
                    path.display()
                );
            }
            replace(&path, &made)?;
        }
        Ok(())
    }

    /// This node's own file from where it is whole; none where it is nowhere.
    fn another(
        &self,
        database: Database,
        name: &str,
        me: &NodeInfo,
    ) -> Result<Option<Vec<u8>>, Error> {
        for directory in [self.paths.spare(database), self.paths.identity(database)] {
            let found = read(&directory.join(name))?;
            if let Some(content) = found.filter(|content| fits(name, content, me).is_ok()) {
                return Ok(Some(content));
            }
        }
        let made = || whole::daemon_text(&self.node.name, &me.address).into_bytes();
        Ok((name == DAEMON).then(made))
    }

    /// Before k8sd starts here. A k8sd that cannot be helped is no reason not to start the datastore.
    pub(super) fn mend_before_start(&self) {
        let database = Database::K8sd;
        let state = self.paths.state_directory(&self.config, database);
        let mended = self
            .identity(database)
            .and_then(|me| self.mend(database, &me, &state));
        if let Err(error) = mended {
            tracing::warn!("whether k8sd can start with its files is not known: {error}");
        }
    }

    /// The cluster's own files on the volume, of which the spare directory has others: certificate, key
    /// and trust store. A recovery that does not find a member in the trust store drops it.
    pub(super) fn mend_cluster_files(&self, database: Database) -> Result<(), Error> {
        let spare = self.paths.spare(database);
        let volume = self.paths.on_volume(&self.config, database);
        let mut names: Vec<String> = CLUSTER_FILES.map(str::to_owned).into();
        match std::fs::read_dir(volume.join("truststore")) {
            Ok(entries) => {
                let names_there = entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.file_name());
                let below = |name: std::ffi::OsString| {
                    let name = name.to_str()?;
                    name.ends_with(".yaml")
                        .then(|| format!("truststore/{name}"))
                };
                names.extend(names_there.filter_map(below));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("reading", &volume.join("truststore"))(error)),
        }
        for name in names {
            let path = volume.join(&name);
            let Some(why) = read(&path)?.and_then(|found| whole::check(&name, &found).err()) else {
                continue;
            };
            let other = read(&spare.join(&name))?;
            match other.filter(|other| whole::check(&name, other).is_ok()) {
                Some(other) => {
                    let kept = self.keep_torn(database, &path, &name);
                    tracing::warn!(
                        "{} was not whole ({why}): the one of this node's spare directory takes its \
                         place{kept}",
                        path.display()
                    );
                    replace(&path, &other)?;
                }
                None => tracing::error!(
                    "{} is not whole ({why}), and this node's spare directory has no whole one",
                    path.display()
                ),
            }
        }
        Ok(())
    }

    /// A copy of what is about to be replaced. It is of use to a person only, so that a disk which takes
    /// none stops nothing. Returns where it is, in words, if it is kept.
    fn keep_torn(&self, database: Database, path: &Path, name: &str) -> String {
        let quarantine = self.paths.quarantine();
        let kept = format!("{database}-{}", name.replace('/', "-"));
        let part = quarantine.join(format!(".{kept}.part"));
        let keep = || -> Result<(), Error> {
            disk::private_directory(&quarantine).map_err(Error::io("creating", &quarantine))?;
            let content = read(path)?.unwrap_or_default();
            disk::private_directory(&part).map_err(Error::io("creating", &part))?;
            let file = part.join(name.replace('/', "-"));
            atomic::replace_with_mode(&file, &content, 0o600)
                .map_err(Error::io("writing", &file))?;
            set_aside(&part, &quarantine, &kept).map_err(Error::io("keeping", path))?;
            drop_surplus(&quarantine, &kept, self.config.agent.keep_backups)
        };
        match keep() {
            Ok(()) => format!(", and what was there is kept in {}", quarantine.display()),
            Err(error) => {
                tracing::warn!("what was left of {} is not kept: {error}", path.display());
                String::new()
            }
        }
    }
}

const DAEMON: &str = "daemon.yaml";

/// A node's own files but `info.yaml`, which is dqlite's and has its own ways.
fn own_files(database: Database) -> impl Iterator<Item = &'static str> {
    let all = identity_files(database).iter().copied();
    all.filter(|name| !name.ends_with(INFO_FILE))
}

/// Whether it is whole, and this node's as far as it says.
fn fits(name: &str, content: &[u8], me: &NodeInfo) -> Result<(), String> {
    whole::check(name, content)?;
    if name != DAEMON {
        return Ok(());
    }
    let daemon = whole::daemon(content)?;
    if daemon.address == me.address {
        Ok(())
    } else {
        Err(format!(
            "its address is {} and by info.yaml it is {}",
            daemon.address, me.address
        ))
    }
}

/// With the mode of the one that is there.
fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mode = std::fs::metadata(path).map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    atomic::replace_with_mode(path, content, mode).map_err(Error::io("writing", path))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("reading", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use two_node_ha_planner::{Step, Target};

    use crate::act::tests::{NOTHING, Node, names};
    use crate::act::whole::tests::{DAEMON as WHOLE, PEM};

    fn me(node: &Node) -> NodeInfo {
        node.actor.identity(Database::K8sd).unwrap()
    }

    fn text(node: &Node) -> String {
        WHOLE.replace("10.0.0.1:6400", &me(node).address)
    }

    #[test]
    fn a_daemon_yaml_that_was_cut_off_anywhere_is_made_again_before_it_is_carried_onto_the_volume()
    {
        for noted in [true, false] {
            let node = Node::taking_over();
            let whole = text(&node);
            let spare = node.spare(Database::K8sd).join(DAEMON);
            let volume = node.volume(Database::K8sd).join(DAEMON);
            for length in 0..=whole.len() {
                if noted {
                    fs::write(&spare, &whole).unwrap();
                    node.actor
                        .note_identity(Database::K8sd, &me(&node))
                        .unwrap();
                }
                fs::write(&spare, &whole[..length]).unwrap();
                fs::write(
                    &volume,
                    "name: hatwo\naddress: 10.0.0.2:6400\nservers: {}\n",
                )
                .unwrap();
                node.actor.install_identity(Database::K8sd, &[]).unwrap();
                let daemon = whole::daemon(&fs::read(&volume).unwrap()).unwrap();
                assert_eq!(daemon.name, "haone", "{length} bytes");
                assert_eq!(daemon.address, me(&node).address, "{length} bytes");
            }
            let kept = names(&node.actor.paths.quarantine());
            assert!(!kept.is_empty());
            assert!(
                kept.iter()
                    .all(|name| name.starts_with("k8sd-daemon.yaml-")),
                "{kept:?}"
            );
            assert!(kept.len() <= node.actor.config.agent.keep_backups.max(1) as usize);
        }
    }

    #[test]
    fn a_torn_certificate_of_this_node_is_taken_from_what_was_noted() {
        let node = Node::taking_over();
        let spare = node.spare(Database::K8sd).join("server.crt");
        fs::write(&spare, PEM).unwrap();
        let me = me(&node);
        node.actor.note_identity(Database::K8sd, &me).unwrap();
        for length in 0..PEM.len() - 1 {
            fs::write(&spare, &PEM[..length]).unwrap();
            // What is torn is not noted.
            node.actor.note_identity(Database::K8sd, &me).unwrap();
            node.actor.install_identity(Database::K8sd, &[]).unwrap();
            let installed = node.volume(Database::K8sd).join("server.crt");
            assert_eq!(fs::read_to_string(installed).unwrap(), PEM, "{length}");
        }
    }

    #[test]
    fn a_torn_file_of_the_cluster_on_the_volume_gives_way_to_the_spare_directorys() {
        let trusted = format!(
            "name: hatwo\naddress: 10.0.0.2:6400\ncertificate: |\n  {}\n",
            PEM.trim_end().replace('\n', "\n  ")
        );
        for (name, content) in [
            ("cluster.crt", PEM),
            ("truststore/hatwo.yaml", trusted.as_str()),
        ] {
            let node = Node::taking_over();
            let (spare, volume) = (node.spare(Database::K8sd), node.volume(Database::K8sd));
            for directory in [&spare, &volume] {
                fs::create_dir_all(directory.join("truststore")).unwrap();
            }
            fs::write(spare.join(name), content).unwrap();
            for length in 0..content.len() - 1 {
                fs::write(volume.join(name), &content[..length]).unwrap();
                node.actor.install_identity(Database::K8sd, &[]).unwrap();
                let now = fs::read_to_string(volume.join(name)).unwrap();
                assert_eq!(now, content, "{name}, {length} bytes");
            }
            // A newer one that is whole stays.
            let newer = content.replace("MIIB", "MIIC");
            fs::write(volume.join(name), &newer).unwrap();
            node.actor.install_identity(Database::K8sd, &[]).unwrap();
            assert_eq!(fs::read_to_string(volume.join(name)).unwrap(), newer);
        }
    }

    #[test]
    fn a_spare_whose_k8sd_was_cut_off_in_its_daemon_yaml_starts_with_a_whole_one() {
        let mut node = Node::new(NOTHING);
        node.lead_all(Target::Spare);
        let path = node.spare(Database::K8sd).join(DAEMON);
        fs::write(&path, "name: hao").unwrap();
        node.actor.take(&Step::StartServices, &mut |_| {}).unwrap();
        assert_eq!(
            whole::daemon(&fs::read(&path).unwrap()).unwrap().address,
            me(&node).address
        );
        fs::write(&path, "").unwrap();
        node.set("k8s-dqlite", crate::systemd::UnitState::Active);
        node.actor.take(&Step::StartRest, &mut |_| {}).unwrap();
        whole::daemon(&fs::read(&path).unwrap()).unwrap();
        // Beneath a k8sd that runs nothing is changed.
        fs::write(&path, "name: hao").unwrap();
        node.set("k8sd", crate::systemd::UnitState::Active);
        node.actor.take(&Step::StartRest, &mut |_| {}).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "name: hao");
    }

    #[test]
    fn a_torn_file_is_carried_from_no_directory_to_another() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for directory in [&from, &to] {
            fs::create_dir_all(directory.join("truststore")).unwrap();
        }
        fs::write(to.join(DAEMON), WHOLE).unwrap();
        fs::write(from.join(DAEMON), "name: hao").unwrap();
        fs::write(from.join("truststore/hatwo.yaml"), "name: hatwo\n").unwrap();
        fs::write(from.join("server.crt"), PEM).unwrap();
        crate::act::identity::copy_kept(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join(DAEMON)).unwrap(), WHOLE);
        assert_eq!(fs::read_to_string(to.join("server.crt")).unwrap(), PEM);
        assert!(names(&to.join("truststore")).is_empty());
    }
}
