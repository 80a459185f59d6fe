//! The kernel's loop interface, `include/uapi/linux/loop.h`: each request behind one safe function.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::Result;

/// `LO_FLAGS_READ_ONLY`
pub const READ_ONLY: u32 = 1;
/// `LO_FLAGS_AUTOCLEAR`: detached when the last one closes it.
pub const AUTOCLEAR: u32 = 4;
/// `LO_FLAGS_DIRECT_IO`: past the page cache.
pub const DIRECT_IO: u32 = 16;

/// `LO_NAME_SIZE`, the terminating NUL included.
const NAME_SIZE: usize = 64;

/// `struct loop_info64`
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// `st_dev` of the backing file's file system.
    pub device: u64,
    /// `st_ino` of the backing file.
    pub inode: u64,
    rdevice: u64,
    /// Bytes of the file before the device's first.
    pub offset: u64,
    /// Bytes at most; 0 is all of them.
    pub size_limit: u64,
    /// The N of `/dev/loopN`.
    pub number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    /// [`READ_ONLY`], [`AUTOCLEAR`], [`DIRECT_IO`], …
    pub flags: u32,
    file_name: [u8; NAME_SIZE],
    crypt_name: [u8; NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

// The sizes are part of the interface: the kernel copies that many bytes.
const _: () = assert!(size_of::<Info>() == 232);
const _: () = assert!(size_of::<LoopConfig>() == 304);

impl Info {
    /// All zero, but for the name and the flags. The name is for people only and is cut to fit.
    pub fn new(file_name: &[u8], flags: u32) -> Self {
        let mut info = Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; NAME_SIZE],
            crypt_name: [0; NAME_SIZE],
            encrypt_key: [0; 32],
            init: [0; 2],
        };
        let fits = file_name.len().min(NAME_SIZE - 1);
        info.file_name[..fits].copy_from_slice(&file_name[..fits]);
        info
    }
}

mod raw {
    use super::{Info, LoopConfig};

    nix::ioctl_write_int_bad!(set_fd, 0x4C00);
    nix::ioctl_none_bad!(clr_fd, 0x4C01);
    nix::ioctl_write_ptr_bad!(set_status64, 0x4C04, Info);
    nix::ioctl_read_bad!(get_status64, 0x4C05, Info);
    nix::ioctl_write_int_bad!(set_direct_io, 0x4C08);
    nix::ioctl_write_ptr_bad!(configure, 0x4C0A, LoopConfig);
    nix::ioctl_write_int_bad!(ctl_remove, 0x4C81);
    nix::ioctl_none_bad!(ctl_get_free, 0x4C82);
}

/// `LOOP_CTL_GET_FREE` on `/dev/loop-control`: the number of a device that was free just now.
pub fn get_free(control: &File) -> Result<u32> {
    // SAFETY: The request has no argument; the descriptor is open for as long as the borrow.
    let number = unsafe { raw::ctl_get_free(control.as_raw_fd()) }?;
    u32::try_from(number).map_err(|_| nix::errno::Errno::ERANGE)
}

/// `LOOP_CTL_REMOVE` on `/dev/loop-control`; `EBUSY` while something is attached to the device.
pub fn remove(control: &File, number: u32) -> Result<()> {
    let number = i32::try_from(number).map_err(|_| nix::errno::Errno::ERANGE)?;
    // SAFETY: The argument is a plain number; the descriptor is open for as long as the borrow.
    unsafe { raw::ctl_remove(control.as_raw_fd(), number) }?;
    Ok(())
}

/// `LOOP_CONFIGURE` (Linux 5.8): attaches a file in one step, so that nobody sees the device half
/// set up. `EBUSY` when someone else was faster, `EINVAL` from a kernel without it.
pub fn configure(device: &File, file: BorrowedFd<'_>, info: Info) -> Result<()> {
    let config = LoopConfig {
        // Descriptors are never negative.
        fd: file.as_raw_fd().unsigned_abs(),
        block_size: 0,
        info,
        reserved: [0; 8],
    };
    // SAFETY: `config` has the layout and size of the kernel's `struct loop_config` (asserted
    // above) and outlives the call; the kernel only reads it. Both descriptors are open for as long
    // as their borrows, and the kernel takes its own reference to the file.
    unsafe { raw::configure(device.as_raw_fd(), &raw const config) }?;
    Ok(())
}

/// `LOOP_SET_FD`: the first of the two steps of old kernels.
pub fn set_fd(device: &File, file: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: The argument is a plain number; both descriptors are open for as long as their
    // borrows.
    unsafe { raw::set_fd(device.as_raw_fd(), file.as_raw_fd()) }?;
    Ok(())
}

/// `LOOP_SET_STATUS64`
pub fn set_status(device: &File, info: &Info) -> Result<()> {
    // SAFETY: `info` has the layout and size of `struct loop_info64` (asserted above) and outlives
    // the call; the kernel only reads it.
    unsafe { raw::set_status64(device.as_raw_fd(), info) }?;
    Ok(())
}

/// `LOOP_GET_STATUS64`; `ENXIO` when nothing is attached.
pub fn get_status(device: &File) -> Result<Info> {
    let mut info = Info::new(b"", 0);
    // SAFETY: The kernel writes at most one `struct loop_info64` to `info`, which has its layout
    // and size (asserted above), is exclusively borrowed, and holds plain integers, for which every
    // bit pattern is valid.
    unsafe { raw::get_status64(device.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

/// `LOOP_SET_DIRECT_IO`; `EINVAL` when the file system or the sector sizes do not allow it.
pub fn set_direct_io(device: &File, on: bool) -> Result<()> {
    // SAFETY: The argument is a plain number.
    unsafe { raw::set_direct_io(device.as_raw_fd(), i32::from(on)) }?;
    Ok(())
}

/// `LOOP_CLR_FD`: detaches, at once or when the last one closes the device.
pub fn clear(device: &File) -> Result<()> {
    // SAFETY: The request has no argument.
    unsafe { raw::clr_fd(device.as_fd().as_raw_fd()) }?;
    Ok(())
}
