//! Attaching a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::blocks::{self, Allocation};
use crate::error::io as failed;
use crate::status::{Device, device, status};
use crate::{Error, Host, Link, link, map, sys};

/// What is to be attached, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// The backing file.
    pub file: PathBuf,
    /// The stable name below `/dev` (`lodrbd`, `ha/lodrbd`), if one is wanted.
    pub link: Option<String>,
    /// Past the page cache, if the file system can: a page cache below DRBD would hold data that
    /// DRBD was told is on the disk only until the next flush, and costs the memory twice.
    pub direct_io: bool,
}

/// The outcome.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The device.
    pub device: Device,
    /// Whether it was attached before.
    pub existing: bool,
    /// Bytes of holes in the file that were allocated.
    pub allocated: u64,
    /// Who made the stable name.
    pub link: Link,
    /// What the administrator should know, each a sentence.
    pub warnings: Vec<String>,
}

/// How often a free device may be taken by someone else before us.
const RACES: u32 = 64;
/// How long another instance of us may take with the same file.
const LOCK_SECONDS: u64 = 10;
/// The unit in which the kernel counts a device's size.
const SECTOR: u64 = 512;

/// Attaches a file to a free loop device, unless it is attached already, and sees to the stable
/// name.
///
/// # Errors
/// See [`Error`]. Nothing is left attached that was not before, except when only the stable name
/// failed.
pub fn attach(host: &Host, request: &Request) -> Result<Attached, Error> {
    let path = std::path::absolute(&request.file).map_err(failed("find", &request.file))?;
    let file = open_backing(&path)?;
    let _lock = lock(&path)?;
    let mut warnings = Vec::new();
    let allocated = match blocks::allocate(&path, &file).map_err(failed("allocate", &path))? {
        Allocation::Whole => 0,
        Allocation::Filled(bytes) => bytes,
        Allocation::Sparse(why) => {
            warnings.push(why);
            0
        }
    };
    // The kernel names the file with all links resolved, and so does the rule.
    let path = path.canonicalize().map_err(failed("find", &path))?;
    let wanted = match &request.link {
        Some(name) => Some((link::path(host, name)?, name)),
        None => None,
    };

    let found = find(host, &file, &path, &mut warnings)?;
    let existing = found.is_some();
    if let Some((link, name)) = &wanted {
        link::check_free(link, found.as_ref().map(|found| found.device.as_path()))?;
        map::write(host, &path, name)?;
    }
    let device = match found {
        Some(found) => adopt(host, found, request.direct_io, &mut warnings)?,
        None => configure(host, &file, &path, request.direct_io)?,
    };
    if let Err(error) = blocks::keep(host, &device.device) {
        warnings.push(format!(
            "{:?} goes on passing discards on ({error}): a trim of the file system on the volume \
             makes {path:?} sparse",
            device.device
        ));
    }
    if request.direct_io && !device.direct_io {
        warnings.push(format!(
            "{:?} goes through the page cache: the file system of {path:?} does not allow direct \
             I/O with {SECTOR} byte sectors; it works, but uses memory twice",
            device.device
        ));
    }
    let link = match wanted {
        None => Link::None,
        Some((link, _)) => {
            if existing {
                // The event of its attachment may be long past, and without our name.
                announce(host, &device);
            }
            link::settle(host, &link, &device.device)?
        }
    };
    if link == Link::OursUdevLate {
        warnings.push(
            "udev made no link in time, so it was made without udev; is \
             66-two-node-ha.rules installed?"
                .to_owned(),
        );
    }
    Ok(Attached {
        device,
        existing,
        allocated,
        link,
        warnings,
    })
}

/// Opens the backing file and looks at what it is.
fn open_backing(path: &Path) -> Result<File, Error> {
    let meta = match path.metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(path.into())),
        other => other.map_err(failed("look at", path))?,
    };
    if meta.file_type().is_block_device() {
        return Err(Error::BlockDevice(path.into()));
    }
    if !meta.is_file() {
        return Err(Error::NotRegular(path.into()));
    }
    let size = meta.len();
    if size == 0 || size % SECTOR != 0 {
        return Err(Error::Size {
            path: path.into(),
            size,
        });
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open for writing", path))
}

/// Keeps other instances of us from the same file, so that it is never attached twice.
///
/// On a descriptor of its own: the kernel keeps the one that is attached, and the lock with it.
pub(crate) fn lock(path: &Path) -> Result<Flock<File>, Error> {
    const STEP: Duration = Duration::from_millis(50);
    let steps = LOCK_SECONDS * 1000 / 50;
    let mut file = File::open(path).map_err(failed("open", path))?;
    for _ in 0..steps {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, e)) => return Err(failed("lock", path)(e)),
        };
        std::thread::sleep(STEP);
    }
    Err(Error::Locked {
        path: path.into(),
        seconds: LOCK_SECONDS,
    })
}

/// The device that the file is attached to, by file system and inode.
fn find(
    host: &Host,
    file: &File,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<Device>, Error> {
    let meta = file.metadata().map_err(failed("look at", path))?;
    let mut found: Option<Device> = None;
    for device in status(host)? {
        if device.id != (meta.dev(), meta.ino()) {
            if device.backing_file == path {
                warnings.push(format!(
                    "{:?} holds an older file that was {path:?} before; detach it, if DRBD does \
                     not use it, with `losetup -d {:?}`",
                    device.device, device.device
                ));
            }
            continue;
        }
        let foreign = if device.offset != 0 || device.size_limit != 0 {
            Some("only a part of it")
        } else if device.read_only {
            Some("read-only")
        } else if found.is_some() {
            Some("and to another loop device as well")
        } else {
            None
        };
        if let Some(how) = foreign {
            return Err(Error::Foreign {
                path: path.into(),
                device: device.device,
                how,
            });
        }
        found = Some(device);
    }
    Ok(found)
}

/// Makes a device that is attached already what was asked for.
fn adopt(
    host: &Host,
    mut found: Device,
    direct_io: bool,
    warnings: &mut Vec<String>,
) -> Result<Device, Error> {
    let opened = found.open()?;
    if found.autoclear {
        // Somebody detached it while it was in use: it would vanish beneath DRBD's next user.
        let mut info =
            sys::get_status(&opened).map_err(failed("read the status of", &found.device))?;
        info.flags &= !sys::AUTOCLEAR;
        sys::set_status(&opened, &info).map_err(failed("keep attached", &found.device))?;
        warnings.push(format!(
            "{:?} was about to be detached when closed; it stays attached",
            found.device
        ));
    }
    if direct_io && !found.direct_io {
        // Where it cannot be, the caller tells.
        let _ = sys::set_direct_io(&opened, true);
    }
    let number = found
        .number()
        .ok_or_else(|| failed("read the number of", &found.device)(Errno::EINVAL))?;
    if let Some(now) = device(host, number)? {
        found = now;
    }
    Ok(found)
}

/// Attaches the file to a free device.
fn configure(host: &Host, file: &File, path: &Path, direct_io: bool) -> Result<Device, Error> {
    let control_path = host.dev.join("loop-control");
    let control = match OpenOptions::new()
        .read(true)
        .write(true)
        .open(&control_path)
    {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NoLoop(control_path)),
        other => other.map_err(failed("open", &control_path))?,
    };
    let info = |flags| sys::Info::new(path.as_os_str().as_bytes(), flags);
    for _ in 0..RACES {
        let number = sys::get_free(&control).map_err(failed("ask for a device", &control_path))?;
        let device_path = host.dev.join(format!("loop{number}"));
        let opened = open_device(&device_path)?;
        let flags = if direct_io { sys::DIRECT_IO } else { 0 };
        match sys::configure(&opened, file.as_fd(), info(flags)) {
            Ok(()) => {}
            Err(Errno::EBUSY) => continue,
            // Before Linux 5.8.
            Err(Errno::EINVAL | Errno::ENOTTY) => {
                match configure_in_steps(&opened, file, info(0), direct_io) {
                    Err(Errno::EBUSY) => continue,
                    other => other.map_err(failed("attach", path))?,
                }
            }
            Err(e) => return Err(failed("attach", path)(e)),
        }
        if let Some(attached) = device(host, number)? {
            return Ok(attached);
        }
        return Err(failed("find what was just attached to", &device_path)(
            Errno::ENXIO,
        ));
    }
    Err(Error::Races(RACES))
}

/// As before Linux 5.8: attach, then describe; if that fails, detach.
fn configure_in_steps(
    opened: &File,
    file: &File,
    info: sys::Info,
    direct_io: bool,
) -> nix::Result<()> {
    sys::set_fd(opened, file.as_fd())?;
    let mut result = sys::set_status(opened, &info);
    for _ in 0..RACES {
        // The page cache of the device is not empty yet.
        if result != Err(Errno::EAGAIN) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        result = sys::set_status(opened, &info);
    }
    if result.is_err() {
        let _ = sys::clear(opened);
        return result;
    }
    if direct_io {
        // Where it cannot be, the caller tells.
        let _ = sys::set_direct_io(opened, true);
    }
    Ok(())
}

/// Opens a device that the kernel has just made: its node may be a moment late where `/dev` is not
/// the kernel's own.
fn open_device(path: &Path) -> Result<File, Error> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    for _ in 0..50 {
        match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other.map_err(failed("open", path)),
        }
    }
    open().map_err(failed("open", path))
}

/// Makes the kernel tell udev of the device again.
fn announce(host: &Host, device: &Device) {
    let Some(name) = device.device.file_name() else {
        return;
    };
    // Without it the link is made by us after a while.
    let _ = std::fs::write(host.sys.join("block").join(name).join("uevent"), "change");
}

#[cfg(test)]
#[path = "attach_tests.rs"]
mod tests;
