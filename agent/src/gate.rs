//! Whether a service that writes a database may start: asked by systemd itself at the very start
//! (`ExecCondition=` in the gate), after everybody who could have been paused meanwhile.
//!
//! The token says what the agent wanted when it gave it. The agent may have been paused since, the
//! role taken away, the volume mounted on the other node. So the gate asks the kernel: where the state
//! directory leads, whether the volume is mounted here, and whether the failover unit's process holds
//! the role. It needs no configuration: the generator has put what it must know into the arguments.

use std::io;
use std::path::{Path, PathBuf};

use two_node_ha_disk::link::{self, Found};
use two_node_ha_node::Paths;

use crate::holder;
use crate::observe::mounts;
use crate::observe::mounts::Mounted;

/// Where a state directory leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// Onto the mounted volume.
    Volume,
    /// To this node's own disk: its spare directory, or the first day's.
    Own,
    /// Neither.
    Elsewhere(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// What the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Whether the agent has allowed the services to run.
    pub token: bool,
    /// Where the state directory leads, for a service that has one.
    pub leads: Option<Leads>,
    /// The volume, where it is mounted here.
    pub volume: Option<Mounted>,
    /// Whether the failover unit's process holds the role.
    pub held: bool,
}

/// Looks.
///
/// # Errors
/// What the system says.
pub fn look(paths: &Paths, database: Option<&Path>, minor: Option<u32>) -> io::Result<View> {
    let mountinfo = std::fs::read_to_string(paths.at(Path::new("/proc/self/mountinfo")))?;
    let all = mounts::all(&mountinfo);
    let is_ours = |m: &Mounted| m.is_drbd() && minor.is_none_or(|minor| m.device.1 == minor);
    let leads = match database {
        None => None,
        Some(database) => Some(leads(paths, database, &all, &is_ours)?),
    };
    Ok(View {
        token: paths.token().exists(),
        leads,
        volume: all.iter().rev().find(|mounted| is_ours(mounted)).cloned(),
        held: holder::is_held(paths)?,
    })
}

fn leads(
    paths: &Paths,
    database: &Path,
    all: &[Mounted],
    is_ours: &dyn Fn(&Mounted) -> bool,
) -> io::Result<Leads> {
    let to = match link::look(&paths.at(database))? {
        Found::Missing => return Ok(Leads::Nowhere),
        Found::Foreign => return Ok(Leads::Elsewhere(database.into())),
        Found::Directory => return Ok(Leads::Own),
        Found::Link(to) => to,
    };
    if to.starts_with(paths.spares()) {
        return Ok(Leads::Own);
    }
    let below = to.strip_prefix(paths.root()).unwrap_or(&to);
    let below = Path::new("/").join(below);
    // The innermost, and of several at one place the last, which is on top.
    let mount = all
        .iter()
        .filter(|mounted| below.starts_with(&mounted.point))
        .max_by_key(|mounted| mounted.point.len());
    Ok(match mount {
        Some(mount) if is_ours(mount) => Leads::Volume,
        Some(_) | None => Leads::Elsewhere(to),
    })
}

impl View {
    /// Whether the service may start; why not.
    ///
    /// # Errors
    /// In words.
    pub fn judge(&self) -> Result<(), String> {
        if !self.token {
            return Err("two-node-ha has not allowed it".into());
        }
        match (&self.leads, &self.volume) {
            (Some(Leads::Volume), Some(volume)) if volume.read_only => {
                Err("the volume is mounted read-only".into())
            }
            (Some(Leads::Volume) | None, Some(_)) if self.held => Ok(()),
            (Some(Leads::Volume) | None, Some(_)) => Err(
                "the volume is mounted here, but the failover unit does not hold the voter's role"
                    .into(),
            ),
            (Some(Leads::Volume), None) => Err("the volume is not mounted here".into()),
            (Some(Leads::Own), Some(volume)) => Err(format!(
                "it would run beside the volume, which is mounted here on {}",
                volume.point
            )),
            (Some(Leads::Own) | None, None) if self.held => Err(
                "this node holds the voter's role, and the database is not on the volume".into(),
            ),
            (Some(Leads::Own) | None, None) => Ok(()),
            (Some(Leads::Elsewhere(to)), _) => Err(format!(
                "its directory leads to {}, which is neither on the mounted volume nor this node's \
                 own",
                to.display()
            )),
            (Some(Leads::Nowhere), _) => Err("its directory is missing".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const STATE: &str = "/var/snap/k8s/common/var/lib/k8s-dqlite";
    const ROOT: &str = "21 1 98:0 / / rw - ext4 /dev/vda rw\n";
    const VOLUME: &str = "40 21 147:0 / /mnt/drbd0 rw - ext4 /dev/drbd0 rw\n";

    struct Node {
        paths: Paths,
        _dir: tempfile::TempDir,
    }

    impl Node {
        fn new(mounts: &str, leads: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let paths = Paths::rooted(dir.path().to_path_buf());
            let state = paths.at(Path::new(STATE));
            for path in [
                "proc/self".into(),
                "run/two-node-ha".into(),
                state.parent().unwrap().to_path_buf(),
            ] {
                fs::create_dir_all(dir.path().join(path)).unwrap();
            }
            fs::write(dir.path().join("proc/self/mountinfo"), mounts).unwrap();
            if leads == STATE {
                fs::create_dir(&state).unwrap();
            } else if !leads.is_empty() {
                symlink(paths.at(Path::new(leads)), &state).unwrap();
            }
            fs::write(paths.token(), "").unwrap();
            Self { paths, _dir: dir }
        }

        fn asks(&self, minor: Option<u32>) -> Result<(), String> {
            look(&self.paths, Some(Path::new(STATE)), minor)
                .unwrap()
                .judge()
        }
    }

    const SPARE: &str = "/var/lib/two-node-ha/spare/k8s-dqlite";
    const ON_VOLUME: &str = "/mnt/drbd0/k8s-dqlite";

    #[test]
    fn a_voter_starts_on_the_mounted_volume_while_the_role_is_held_and_at_no_other_time() {
        let mounted = format!("{ROOT}{VOLUME}");
        let node = Node::new(&mounted, ON_VOLUME);
        assert!(node.asks(Some(0)).unwrap_err().contains("does not hold"));
        let held = holder::take(&node.paths).unwrap().unwrap();
        assert_eq!(node.asks(Some(0)), Ok(()));
        assert_eq!(node.asks(None), Ok(()));
        // The volume of somebody else.
        assert!(node.asks(Some(1)).is_err());
        fs::remove_file(node.paths.token()).unwrap();
        assert!(node.asks(Some(0)).is_err());
        drop(held);

        for mounts in [
            ROOT.to_owned(),
            format!("{ROOT}{}", VOLUME.replace(" rw", " ro")),
            format!("{mounted}41 40 0:40 / /mnt/drbd0 rw - tmpfs tmpfs rw\n"),
        ] {
            let node = Node::new(&mounts, ON_VOLUME);
            let _held = holder::take(&node.paths).unwrap().unwrap();
            assert!(node.asks(Some(0)).is_err(), "{mounts}");
        }
    }

    #[test]
    fn a_spare_starts_while_the_volume_is_elsewhere_and_nobody_here_holds_the_role() {
        for leads in [SPARE, STATE] {
            let node = Node::new(ROOT, leads);
            assert_eq!(node.asks(Some(0)), Ok(()));
            let held = holder::take(&node.paths).unwrap().unwrap();
            assert!(node.asks(Some(0)).is_err());
            drop(held);
            let node = Node::new(&format!("{ROOT}{VOLUME}"), leads);
            assert!(node.asks(Some(0)).is_err());
            // Another volume, for something else.
            assert_eq!(node.asks(Some(1)), Ok(()));
        }
    }

    #[test]
    fn a_database_that_leads_anywhere_else_does_not_start() {
        for leads in [
            "",
            "/srv/k8s-dqlite",
            "/var/lib/two-node-ha/sparex/k8s-dqlite",
        ] {
            assert!(Node::new(ROOT, leads).asks(Some(0)).is_err(), "{leads}");
        }
    }

    #[test]
    fn a_service_without_a_known_directory_starts_with_the_voter_or_with_the_spare() {
        let asks = |node: &Node| look(&node.paths, None, Some(0)).unwrap().judge();
        let spare = Node::new(ROOT, SPARE);
        assert_eq!(asks(&spare), Ok(()));
        let voter = Node::new(VOLUME, ON_VOLUME);
        assert!(asks(&voter).is_err());
        let _held = holder::take(&voter.paths).unwrap().unwrap();
        assert_eq!(asks(&voter), Ok(()));
        let _held = holder::take(&spare.paths).unwrap().unwrap();
        assert!(asks(&spare).is_err());
    }
}
