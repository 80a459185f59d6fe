//! The processes around one kernel.
//!
//! ```text
//! supervisor ── keeper (new PID and mount namespace) ── init (PID 1 there) ── linux.uml ── …
//! ```
//! User Mode Linux is a dozen processes. All of them live in a PID namespace whose first process is
//! ours: when that one dies, the host kernel ends the rest at once. That is what makes a power cut
//! sudden and complete, and lets nothing survive the lab, even if the lab itself is killed: each
//! link of the chain asks to be killed when its parent dies.

use crate::clock;
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Exit code of the keeper when the kernel could not even be started.
pub const NOT_STARTED: i32 = 70;

/// The keeper: enters new namespaces and waits for the init inside. `args` is the library to preload
/// into the kernel and the kernel's command line, the program first.
///
/// # Errors
/// When the host refuses namespaces or mounts.
pub fn keeper(args: &[String]) -> Result<i32> {
    die_with_parent()?;
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)
        .context("make namespaces for the kernel")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make mounts private")?;
    // The guest's memory is a file there. A tmpfs of its own is large enough on every host and ends
    // with the namespace.
    mount(
        Some("tmpfs"),
        "/dev/shm",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=90%,mode=1777"),
    )
    .context("mount a tmpfs for the kernel's memory")?;
    let status = Command::new(crate::host::SELF)
        .arg("internal-init")
        .args(args)
        .status()
        .context("start the kernel's init")?;
    Ok(exit_code(status))
}

/// PID 1 around the kernel: starts it, buries orphans, and ends as it ends.
///
/// # Errors
/// When the kernel cannot be started.
pub fn init(args: &[String]) -> Result<i32> {
    die_with_parent()?;
    // The kernel looks itself up in /proc, which has to speak of this PID namespace.
    let none: Option<&str> = None;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("mount /proc")?;
    let [preload, program, args @ ..] = args else {
        bail!("no kernel given");
    };
    let child = Command::new(program)
        // A name that leads nowhere: at a reboot User Mode Linux starts itself anew by this name,
        // with its serial line closed. It fails, ends, and the supervisor boots the node properly.
        .arg0("two-node-ha-lab-kernel")
        .args(args)
        .env_clear()
        .env("LD_PRELOAD", preload)
        .env("PATH", "/usr/bin:/bin:/usr/lib/uml")
        .env("HOME", "/dev/shm")
        .env("TMPDIR", "/dev/shm")
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let kernel = Pid::from_raw(i32::try_from(child.id()).context("a process id too large")?);
    std::thread::spawn(move || clock::keep_going(kernel));
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == kernel => return Ok(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == kernel => {
                return Ok(128 + signal as i32);
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for the kernel"),
        }
    }
}

/// Asks to be killed when the thread that started this process ends, and makes sure that it has not
/// ended already.
fn die_with_parent() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("ask to die with the parent")?;
    // In a new PID namespace the parent's id reads 0; outside, 1 means that it is gone.
    if nix::unistd::getppid() == Pid::from_raw(1) && nix::unistd::getpid() != Pid::from_raw(1) {
        bail!("the lab ended while the kernel was being started");
    }
    Ok(())
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .or(status.signal().map(|s| 128 + s))
        .unwrap_or(NOT_STARTED)
}
