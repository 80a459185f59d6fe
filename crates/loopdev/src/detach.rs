//! Detaching a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::attach::lock;
use crate::error::io as failed;
use crate::status::{Device, status};
use crate::{Error, Host, blocks, link, map, sys};

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// The devices that were detached; empty when the file was attached to none.
    pub devices: Vec<PathBuf>,
}

/// Detaches a file from its loop device, found by the file itself, or by its name if it was
/// deleted; removes the stable name. Needs nothing but the file's name.
///
/// A device that is in use stays attached, with its name: detached lazily, as the kernel offers,
/// it would vanish at a moment that nobody chose.
///
/// # Errors
/// The device is in use. All devices are tried; the first error is returned.
pub fn detach(host: &Host, file: &Path) -> Result<Detached, Error> {
    let path = std::path::absolute(file).map_err(failed("find", file))?;
    let _lock = if path.is_file() {
        Some(lock(&path)?)
    } else {
        None
    };
    let path = path.canonicalize().unwrap_or(path);
    let id = fs::metadata(&path)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()));
    let mut devices = Vec::new();
    let mut first_error = None;
    for device in status(host)? {
        let same = Some(device.id) == id || (device.deleted && device.backing_file == path);
        if !same {
            continue;
        }
        match detach_one(host, &device) {
            Ok(()) => devices.push(device.device),
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => {
            map::remove(host, &path)?;
            Ok(Detached { devices })
        }
    }
}

fn detach_one(host: &Host, device: &Device) -> Result<(), Error> {
    let path = &device.device;
    let opened = match exclusive(path) {
        Err(e) if e.raw_os_error() == Some(Errno::EBUSY as i32) => {
            return Err(Error::InUse {
                path: device.backing_file.clone(),
                device: path.clone(),
                holders: holders(host, path),
            });
        }
        other => other.map_err(failed("open", path))?,
    };
    // The rule is to find nothing any more when the event of the detachment comes.
    map::remove(host, &device.backing_file)?;
    if let Some(name) = &device.link {
        link::remove(host, name, path)?;
    }
    match sys::clear(&opened) {
        // Someone else was faster.
        Ok(()) | Err(Errno::ENXIO) => {}
        Err(e) => return Err(failed("detach", path)(e)),
    }
    // From here on the kernel detaches it when it is closed, which udev may delay a little.
    drop(opened);
    for _ in 0..250 {
        let attribute = path.file_name().map(|name| {
            let block = host.sys.join("block").join(name);
            block.join("loop/backing_file")
        });
        match attribute {
            Some(attribute) if attribute.exists() => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => {
                if let Some(number) = device.number() {
                    blocks::forget(host, number);
                }
                return Ok(());
            }
        }
    }
    Err(Error::StillOpen(path.clone()))
}

/// Opens the device for us alone: fails with `EBUSY` while DRBD or a mount has it.
fn exclusive(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_EXCL.bits())
        .open(path)
}

/// ` by NAME, NAME`, if the kernel knows who is on top of the device.
fn holders(host: &Host, path: &Path) -> String {
    let Some(name) = path.file_name() else {
        return String::new();
    };
    let names: Vec<String> = fs::read_dir(host.sys.join("block").join(name).join("holders"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!(" by {}", names.join(", "))
}
