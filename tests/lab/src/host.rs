//! Programs of the host: run, with what they said in the error when they fail.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This program, also where its file was replaced by a new build meanwhile.
pub const SELF: &str = "/proc/self/exe";

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// When it cannot be started or fails; the error holds the last lines that it wrote.
pub fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    run_command(&mut command)
}

/// As [`run`], for a command with more to it than arguments.
///
/// # Errors
/// As [`run`].
pub fn run_command(command: &mut Command) -> Result<String> {
    let what = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {what}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout)
        } else {
            said
        };
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n  ");
        bail!("{what}: {}\n  {tail}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    let line = words.join(" ");
    if line.len() > 160 {
        format!("{}…", line.chars().take(159).collect::<String>())
    } else {
        line
    }
}

/// As [`run_command`], for a program that takes long: told to end if the lab is killed meanwhile.
/// It is the calling thread's death the program is told of, and that thread waits for it here.
///
/// # Errors
/// As [`run`].
pub fn run_long(command: &Command) -> Result<String> {
    let mut wrapped = Command::new("setpriv");
    wrapped
        .args(["--pdeathsig", "TERM", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    run_command(&mut wrapped)
}

/// Where a program is, looking also where an administrator's programs are.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"])
        .map(|dir| Path::new(dir).join(program))
        .find(|file| file.is_file())
}

/// Fails with one message that names everything the host lacks.
///
/// # Errors
/// When a program or device is missing.
pub fn check_requirements() -> Result<()> {
    // Program and the Debian package that brings it.
    const PROGRAMS: [(&str, &str); 8] = [
        ("mmdebstrap", "mmdebstrap"),
        ("mke2fs", "e2fsprogs"),
        ("ip", "iproute2"),
        ("bridge", "iproute2"),
        ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
        ("chroot", "coreutils"),
        ("cc", "gcc"),
    ];
    let mut packages: Vec<&str> = Vec::new();
    for (program, package) in PROGRAMS {
        if find(program).is_none() && !packages.contains(&package) {
            packages.push(package);
        }
    }
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").is_file() {
        packages.push("debian-archive-keyring");
    }
    if !packages.is_empty() {
        bail!(
            "the host lacks packages for the lab; install them with\n  apt-get install {}",
            packages.join(" ")
        );
    }
    if !Path::new("/dev/net/tun").exists() {
        bail!("/dev/net/tun is missing: load the tun module (modprobe tun)");
    }
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "User Mode Linux runs on x86-64 only; this machine is {}",
            std::env::consts::ARCH
        );
    }
    Ok(())
}
