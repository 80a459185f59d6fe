//! Invariants I1 and I3, asked again right before a step that could destroy something.
//!
//! Between a guard and what it guards the agent may be paused (SIGSTOP, a swapping machine, a virtual
//! one that is moved), the failover unit gives up on it, and Pacemaker goes on. What makes that harmless
//! is written at each guard.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use two_node_ha_planner::observation::Mount;

use super::{Actor, Error};
use crate::k8s::datastore_units;
use crate::observe::live;
use crate::observe::mounts::DRBD_MAJOR;
use crate::systemd::UnitState;

/// The volume, mounted here for as long as this exists: the kernel does not unmount a file system of
/// which a directory is open. Whoever must unmount it kills this process first (the way down, or
/// Pacemaker's Filesystem agent), and then what was guarded does not happen at all.
#[derive(Debug)]
#[must_use = "the volume is pinned only while this is held"]
pub struct Pin {
    _root: File,
    #[cfg(test)]
    _counted: tests::Counted,
}

impl Actor {
    /// The volume, and nothing else, is mounted here read-write, and stays so while the pin is held.
    ///
    /// A pause: the pin. Every step that writes to the volume holds it to its end.
    pub(super) fn volume_mounted(&self) -> Result<Pin, Error> {
        let point = self.paths.mount_point(&self.config);
        // Opened before the look, so that what is looked at cannot go afterwards.
        let root = File::open(&point);
        match self.mount()? {
            Mount::ReadWrite => {}
            other => {
                return Err(Error::Guard(format!(
                    "the volume is not mounted read-write on {} ({other:?})",
                    self.config.volume.mount_point.display()
                )));
            }
        }
        let root = root.map_err(|error| {
            Error::Guard(format!("{} cannot be opened: {error}", point.display()))
        })?;
        // Below a test's root nothing is really mounted.
        if self.paths.root() == Path::new("/") {
            self.is_of_volume(&root)?;
        }
        Ok(Pin {
            _root: root,
            #[cfg(test)]
            _counted: tests::Counted::one(),
        })
    }

    /// By the descriptor: the directory may have been opened just before the volume was mounted on it.
    fn is_of_volume(&self, root: &File) -> Result<(), Error> {
        let refuse = |why: String| {
            Err(Error::Guard(format!(
                "the volume is not what is open: {why}"
            )))
        };
        match nix::sys::stat::fstat(root.as_fd()) {
            Ok(stat) if is_drbd(stat.st_dev, self.config.volume.minor) => Ok(()),
            Ok(stat) => {
                let (major, minor) = (libc::major(stat.st_dev), libc::minor(stat.st_dev));
                refuse(format!("its device is {major}:{minor}"))
            }
            Err(error) => refuse(error.to_string()),
        }
    }

    /// Nothing is mounted at the mount point.
    ///
    /// A pause: it guards the immutable flag, which is set on a directory that was opened before. Had
    /// the volume been mounted then, its open root would keep it mounted, and this would say so.
    pub(super) fn nothing_mounted(&self) -> Result<(), Error> {
        match self.mount()? {
            Mount::None => Ok(()),
            other => Err(Error::Guard(format!(
                "something is mounted on {} ({other:?})",
                self.config.volume.mount_point.display()
            ))),
        }
    }

    fn mount(&self) -> Result<Mount, Error> {
        live::mount(&self.paths, &self.config)
            .map_err(|error| Error::Guard(format!("the mounts cannot be read: {error}")))
    }

    /// No service that writes a database runs or is about to, and none may start. (The others open
    /// nothing in the directories, and find the datastore's socket again by its path.)
    ///
    /// A pause: nobody but this process gives the token, and while it is away no gated service starts,
    /// whoever asks; should it be there all the same, each database's own gate asks more. Links and
    /// directories of this node's own disk may change late: nothing runs on them.
    pub(super) fn services_stopped(&self) -> Result<(), Error> {
        if self.paths.token().exists() {
            return Err(Error::Guard(
                "the services are still allowed to start".into(),
            ));
        }
        let units = datastore_units(&self.config);
        for (unit, state) in self.systemd.states(&units)? {
            match state {
                UnitState::NotThere | UnitState::Stopped | UnitState::Failed => {}
                UnitState::Active | UnitState::Changing => {
                    return Err(Error::Guard(format!("{unit} still runs")));
                }
            }
        }
        Ok(())
    }
}

/// Whether a device is DRBD's of that minor number.
fn is_drbd(device: libc::dev_t, minor: u32) -> bool {
    (libc::major(device), libc::minor(device)) == (DRBD_MAJOR, minor)
}

/// Whether a test's thread pins the volume at the moment.
#[cfg(test)]
pub use tests::pinned;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::File;

    use super::is_drbd;
    use crate::act::Error;
    use crate::act::tests::{Node, WRITABLE};

    thread_local! {
        static PINS: Cell<usize> = const { Cell::new(0) };
    }

    /// One pin of this thread.
    #[derive(Debug)]
    pub struct Counted(());

    impl Counted {
        pub fn one() -> Self {
            PINS.set(PINS.get() + 1);
            Self(())
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            PINS.set(PINS.get() - 1);
        }
    }

    pub fn pinned() -> bool {
        PINS.get() > 0
    }

    /// What the pin relies on, tried where a namespace of mounts may be made.
    #[test]
    fn the_kernel_unmounts_nothing_of_which_a_directory_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs none \"$0\" || exit 77
            exec 3<\"$0\"
            umount \"$0\" 2>/dev/null && exit 1
            exec 3<&-
            umount \"$0\"";
        let status = std::process::Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        match status.map(|status| status.code()) {
            // No namespaces here.
            Err(_) | Ok(Some(77)) => eprintln!("not tried: no namespace of mounts to be had"),
            Ok(code) => assert_eq!(code, Some(0)),
        }
    }

    #[test]
    fn a_directory_that_was_opened_before_the_volume_came_over_it_is_not_taken_for_the_volume() {
        let node = Node::new(WRITABLE);
        let point = node.actor.paths.mount_point(&node.actor.config);
        let opened = File::open(point).unwrap();
        let error = node.actor.is_of_volume(&opened).unwrap_err();
        assert!(matches!(error, Error::Guard(_)), "{error}");
        let why = error.to_string();
        assert!(why.contains("not what is open: its device is"), "{why}");
    }

    #[test]
    fn the_volume_is_known_by_drbds_major_number_and_its_own_minor_number() {
        assert!(is_drbd(libc::makedev(147, 3), 3));
        assert!(!is_drbd(libc::makedev(147, 0), 3));
        assert!(!is_drbd(libc::makedev(8, 3), 3));
    }
}
