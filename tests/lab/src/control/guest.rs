//! The hands of the lab in a node: starts programs and reads files for the host.
//!
//! It talks over a serial line, so that it works without a network (partitions are what the lab is
//! for), without polling, and from early boot to the last second of a shutdown.

use super::wire::{CHUNK, FromGuest, ToGuest};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::sys::termios;
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where programs in the node ask for fencing.
pub const FENCE_SOCKET: &str = "/run/two-node-ha-lab-fence.sock";

/// The line to the host, shared by all threads.
#[derive(Clone)]
struct Line(Arc<Mutex<File>>);

impl Line {
    fn say(&self, record: &FromGuest) {
        // A host that is gone ends this kernel too: nobody is left to tell.
        let _ = lock(&self.0).write_all(record.encode().as_bytes());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Job {
    group: Pid,
    stdin: Option<ChildStdin>,
}

/// Arguments that have arrived for programs not started yet.
type Pending = HashMap<u32, Vec<u8>>;
type Jobs = Arc<Mutex<HashMap<u32, Job>>>;
type Fences = Arc<Mutex<HashMap<u32, UnixStream>>>;

/// Serves the host until the line ends.
///
/// # Errors
/// When the line or the fence socket cannot be opened, or the line breaks.
pub fn serve(tty: &Path) -> Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(tty)
        .with_context(|| format!("open {}", tty.display()))?;
    let mut settings = termios::tcgetattr(&file).context("read the line's settings")?;
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&file, termios::SetArg::TCSANOW, &settings).context("make the line raw")?;
    let mut input = BufReader::with_capacity(16 * 1024, file.try_clone()?);
    let line = Line(Arc::new(Mutex::new(file)));
    let jobs = Jobs::default();
    let fences = Fences::default();
    listen_for_fencing(line.clone(), Arc::clone(&fences))?;

    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
    line.say(&FromGuest::Hello(boot.trim().to_owned()));
    let mut record = String::new();
    let mut pending = Pending::new();
    loop {
        record.clear();
        if input.read_line(&mut record).context("read from the host")? == 0 {
            bail!("the host closed the line");
        }
        line.say(&FromGuest::Took(record.len()));
        match ToGuest::decode(record.trim_end_matches('\n')) {
            Some(ToGuest::Args(id, piece)) => pending.entry(id).or_default().extend(piece),
            Some(ToGuest::Run(id)) => {
                let text = pending.remove(&id).unwrap_or_default();
                let argv = text.strip_suffix(b"\0").unwrap_or(&text);
                start(
                    id,
                    argv.split(|b| *b == 0).map(<[u8]>::to_vec).collect(),
                    &line,
                    &jobs,
                );
            }
            Some(order) => obey(order, &line, &jobs, &fences),
            None => {}
        }
    }
}

fn obey(order: ToGuest, line: &Line, jobs: &Jobs, fences: &Fences) {
    match order {
        // Handled by the caller, who collects the arguments.
        ToGuest::Args(..) | ToGuest::Run(_) => {}
        ToGuest::Read(id, path) => {
            let line = line.clone();
            // A thread: reading may hang (a frozen file system) without holding up the rest.
            std::thread::spawn(move || send_file(id, path, &line));
        }
        ToGuest::In(id, data) => {
            // Taken out for the write, which may block on a program that does not read.
            let stdin = lock(jobs).get_mut(&id).and_then(|job| job.stdin.take());
            // Dropped, and so closed, at the end of the input and when the program closed its side.
            let Some(mut stdin) = stdin.filter(|_| !data.is_empty()) else {
                return;
            };
            if stdin.write_all(&data).is_ok() {
                if let Some(job) = lock(jobs).get_mut(&id) {
                    job.stdin = Some(stdin);
                }
            }
        }
        ToGuest::Kill(id, signal) => {
            if let (Some(job), Ok(signal)) = (lock(jobs).get(&id), Signal::try_from(signal)) {
                let _ = killpg(job.group, signal);
            }
        }
        ToGuest::Fenced(id, code, words) => {
            if let Some(mut socket) = lock(fences).remove(&id) {
                let _ = writeln!(socket, "{code} {words}");
            }
        }
    }
}

fn start(id: u32, argv: Vec<Vec<u8>>, line: &Line, jobs: &Jobs) {
    let mut argv = argv.into_iter().map(std::ffi::OsString::from_vec);
    let Some(program) = argv.next() else { return };
    let mut command = Command::new(&program);
    command
        .args(argv)
        .current_dir("/root")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env_remove("INVOCATION_ID")
        .env_remove("JOURNAL_STREAM")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => {
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
            let mut child = child;
            let stdin = child.stdin.take();
            lock(jobs).insert(id, Job { group, stdin });
            let (line, jobs) = (line.clone(), Arc::clone(jobs));
            std::thread::spawn(move || follow(id, child, &line, &jobs));
        }
        Err(error) => {
            line.say(&FromGuest::Err(
                id,
                format!("{}: {error}\n", program.to_string_lossy()).into_bytes(),
            ));
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            line.say(&FromGuest::Exit(id, if missing { 127 } else { 126 }));
        }
    }
}

/// Sends on what the program writes, then how it ended.
fn follow(id: u32, mut child: Child, line: &Line, jobs: &Jobs) {
    // One message for each record; the channel ends with both readers.
    let (recorded, sent) = channel::<()>();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child
            .stdout
            .take()
            .map(|p| Box::new(p) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|p| Box::new(p) as Box<dyn Read + Send>),
    ];
    for (pipe, wrap) in pipes.into_iter().zip([
        FromGuest::Out as fn(u32, Vec<u8>) -> FromGuest,
        FromGuest::Err,
    ]) {
        let (line, recorded) = (line.clone(), recorded.clone());
        std::thread::spawn(move || {
            if let Some(mut pipe) = pipe {
                copy(&mut pipe, |data| {
                    line.say(&wrap(id, data));
                    let _ = recorded.send(());
                });
            }
        });
    }
    drop(recorded);
    let status = child.wait();
    // A program that left a daemon behind keeps the pipes open: what it wrote itself is in them by
    // now, so the readers go on as long as there is something, and no longer.
    while sent.recv_timeout(Duration::from_millis(200)).is_ok() {}
    lock(jobs).remove(&id);
    let code = match status {
        Ok(status) => status
            .code()
            .or(status.signal().map(|s| 128 + s))
            .unwrap_or(126),
        Err(_) => 126,
    };
    line.say(&FromGuest::Exit(id, code));
}

fn copy(from: &mut dyn Read, mut send: impl FnMut(Vec<u8>)) {
    let mut buffer = [0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => send(buffer[..n].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn send_file(id: u32, path: Vec<u8>, line: &Line) {
    let path = std::ffi::OsString::from_vec(path);
    let code = match File::open(&path) {
        Ok(mut file) => {
            copy(&mut file, |data| line.say(&FromGuest::Out(id, data)));
            0
        }
        Err(error) => {
            line.say(&FromGuest::Err(
                id,
                format!("{}: {error}\n", path.to_string_lossy()).into_bytes(),
            ));
            1
        }
    };
    line.say(&FromGuest::Exit(id, code));
}

fn listen_for_fencing(line: Line, fences: Fences) -> Result<()> {
    let _ = fs::remove_file(FENCE_SOCKET);
    let listener =
        UnixListener::bind(FENCE_SOCKET).with_context(|| format!("listen on {FENCE_SOCKET}"))?;
    fs::set_permissions(FENCE_SOCKET, fs::Permissions::from_mode(0o600))?;
    std::thread::spawn(move || {
        let mut id = 0;
        for socket in listener.incoming().flatten() {
            id += 1;
            let mut request = String::new();
            let Ok(copy) = socket.try_clone() else {
                continue;
            };
            let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
            if BufReader::new(copy).read_line(&mut request).is_err() {
                continue;
            }
            let mut words = request.split_whitespace();
            if let (Some(action), Some(node)) = (words.next(), words.next()) {
                lock(&fences).insert(id, socket);
                line.say(&FromGuest::Fence(id, action.to_owned(), node.to_owned()));
            }
        }
    });
    Ok(())
}
