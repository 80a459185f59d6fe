//! Which loop devices are attached to what.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::error::io as failed;
use crate::{Error, Host, map, sys};

/// An attached loop device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Device {
    /// `/dev/loopN`
    pub device: PathBuf,
    /// The file, by the name that it had when it was attached.
    pub backing_file: PathBuf,
    /// Whether that file was deleted since.
    pub deleted: bool,
    /// Whether it goes past the page cache.
    pub direct_io: bool,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether the kernel detaches it when it is closed.
    pub autoclear: bool,
    /// Bytes of the file before the device's first.
    pub offset: u64,
    /// Bytes at most; 0 is all of them.
    pub size_limit: u64,
    /// The name below `/dev` that was asked for it, where it was attached by this project.
    pub link: Option<String>,
    /// The file's file system and inode.
    #[serde(skip)]
    pub(crate) id: (u64, u64),
}

impl Device {
    /// Opens it for requests.
    pub(crate) fn open(&self) -> Result<File, Error> {
        File::open(&self.device).map_err(failed("open", &self.device))
    }

    /// The N of `/dev/loopN`.
    pub(crate) fn number(&self) -> Option<u32> {
        let name = self.device.file_name()?.to_str()?;
        name.strip_prefix("loop")?.parse().ok()
    }
}

/// All attached loop devices, sorted by number.
///
/// # Errors
/// `/sys/block` cannot be listed, or a device cannot be opened (who is not root can open none).
pub fn status(host: &Host) -> Result<Vec<Device>, Error> {
    let block = host.sys.join("block");
    let mut numbers: Vec<u32> = Vec::new();
    for entry in fs::read_dir(&block).map_err(failed("list", &block))? {
        let name = entry.map_err(failed("list", &block))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop"));
        numbers.extend(number.and_then(|n| n.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    let mut devices = Vec::new();
    for number in numbers {
        devices.extend(device(host, number)?);
    }
    Ok(devices)
}

/// The file in the kernel's words, `None` when the device is not attached.
pub(crate) fn backing_file(host: &Host, number: u32) -> Option<OsString> {
    let attribute = host
        .sys
        .join(format!("block/loop{number}/loop/backing_file"));
    let mut bytes = fs::read(attribute).ok()?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Some(OsString::from_vec(bytes))
}

/// One device, `None` when nothing is attached to it (any more).
pub(crate) fn device(host: &Host, number: u32) -> Result<Option<Device>, Error> {
    let Some(file) = backing_file(host, number) else {
        return Ok(None);
    };
    let path = host.dev.join(format!("loop{number}"));
    let opened = match File::open(&path) {
        // Detached, or on its way to: nothing that we could match.
        Err(e) if gone(&e) => return Ok(None),
        other => other.map_err(failed("open", &path))?,
    };
    let info = match sys::get_status(&opened) {
        Err(Errno::ENXIO) => return Ok(None),
        other => other.map_err(failed("read the status of", &path))?,
    };
    const DELETED: &[u8] = b" (deleted)";
    let (name, deleted) = match file.as_bytes().strip_suffix(DELETED) {
        Some(name) if !Path::new(&file).exists() => (OsString::from_vec(name.to_vec()), true),
        _ => (file, false),
    };
    let backing_file = PathBuf::from(name);
    Ok(Some(Device {
        link: map::read(host, &backing_file),
        device: path,
        backing_file,
        deleted,
        direct_io: info.flags & sys::DIRECT_IO != 0,
        read_only: info.flags & sys::READ_ONLY != 0,
        autoclear: info.flags & sys::AUTOCLEAR != 0,
        offset: info.offset,
        size_limit: info.size_limit,
        id: (info.device, info.inode),
    }))
}

fn gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(code) if code == Errno::ENXIO as i32 || code == Errno::ENOENT as i32
    )
}
