//! The stable name of the loop device below `/dev`.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::io as failed;
use crate::{Error, Host};

/// Who made the stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// None was asked for.
    None,
    /// udev, by the rule of the package.
    Udev,
    /// We: udev does not run here.
    Ours,
    /// We: udev runs, but made none in time.
    OursUdevLate,
}

/// How long udev has for one event. At boot it has hundreds of others to work on.
const UDEV_TIME: Duration = Duration::from_secs(10);

/// The path of a name below `/dev`.
pub(crate) fn path(host: &Host, name: &str) -> Result<PathBuf, Error> {
    // The rest would be changed by udev (see udev_replace_chars), and two names would come out.
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"#+-.:=@_/".contains(&b));
    let relative = Path::new(name);
    if plain
        && relative
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
    {
        return Ok(host.dev.join(relative));
    }
    Err(Error::BadLink(name.to_owned()))
}

/// Whether `link` leads to the device.
fn leads_to(link: &Path, device: &Path) -> bool {
    let rdev = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        meta.file_type().is_block_device().then(|| meta.rdev())
    };
    rdev(link).is_some_and(|rdev_| Some(rdev_) == rdev(device))
}

/// Refuses a name that is taken by something else than a link: an old link is replaced, but a
/// device node or a file was made by a person.
pub(crate) fn check_free(link: &Path, device: Option<&Path>) -> Result<(), Error> {
    match link.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("look at", link)(e)),
        Ok(meta) if meta.is_symlink() || device.is_some_and(|d| leads_to(link, d)) => Ok(()),
        Ok(_) => Err(Error::LinkTaken {
            link: link.to_owned(),
        }),
    }
}

/// Waits for udev to make the name, or makes it.
pub(crate) fn settle(host: &Host, link: &Path, device: &Path) -> Result<Link, Error> {
    check_free(link, Some(device))?;
    let udev = host.udev.exists();
    if udev && wait(link, device, UDEV_TIME)? {
        return Ok(Link::Udev);
    }
    if leads_to(link, device) {
        return Ok(Link::Ours);
    }
    make(link, device)?;
    Ok(if udev { Link::OursUdevLate } else { Link::Ours })
}

/// Waits until the link leads to the device, without polling: the nearest directory that exists
/// is watched.
fn wait(link: &Path, device: &Path, time: Duration) -> Result<bool, Error> {
    let deadline = Instant::now() + time;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
        .map_err(failed("watch", link))?;
    loop {
        let Some(dir) = link.ancestors().skip(1).find(|dir| dir.is_dir()) else {
            return Ok(false);
        };
        // Before the look, so that nothing is missed in between; adding it again is harmless.
        inotify
            .add_watch(dir, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)
            .map_err(failed("watch", dir))?;
        if leads_to(link, device) {
            return Ok(true);
        }
        if link
            .parent()
            .is_some_and(|parent| parent.is_dir() && parent != dir)
        {
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(
            std::os::fd::AsFd::as_fd(&inotify),
            PollFlags::POLLIN,
        )];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(failed("watch", dir)(e)),
        }
        // Only that something happened matters.
        let _ = inotify.read_events();
    }
}

/// Makes or replaces the link, atomically: a reader sees the old one or the new one.
fn make(link: &Path, device: &Path) -> Result<(), Error> {
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent).map_err(failed("create the directory", parent))?;
    }
    let mut temporary = link.as_os_str().to_owned();
    temporary.push(".two-node-ha");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    symlink(device, &temporary).map_err(failed("link", &temporary))?;
    fs::rename(&temporary, link).map_err(failed("link", link))
}

/// Removes the name if it still leads to the device; udev, where it runs, does so by itself.
pub(crate) fn remove(host: &Host, name: &str, device: &Path) -> Result<(), Error> {
    let link = path(host, name)?;
    let ours = link.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    if ours && leads_to(&link, device) {
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &link)(e));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_dev_are_taken() {
        let host = Host::default();
        assert_eq!(path(&host, "lodrbd").unwrap(), Path::new("/dev/lodrbd"));
        assert_eq!(path(&host, "ha/lo").unwrap(), Path::new("/dev/ha/lo"));
        for bad in [
            "",
            "/lodrbd",
            "../x",
            "a/../../etc/x",
            "a b",
            "a\nb",
            "ä",
            "a*",
        ] {
            assert!(path(&host, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn without_udev_the_name_is_made_at_once_and_an_old_link_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::rooted(dir.path());
        let device = Path::new("/dev/null"); // Any node will do to point at.
        let link = dir.path().join("dev/ha/lodrbd");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("/dev/zero", &link).unwrap();
        assert_eq!(settle(&host, &link, device).unwrap(), Link::Ours);
        assert_eq!(fs::read_link(&link).unwrap(), device);
    }

    #[test]
    fn a_file_of_that_name_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::rooted(dir.path());
        let link = dir.path().join("lodrbd");
        fs::write(&link, "precious").unwrap();
        let error = settle(&host, &link, Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, Error::LinkTaken { .. }), "{error}");
        assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
    }
}
