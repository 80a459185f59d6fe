//! One node's kernel: started, listened to, ended.

use super::protocol::{Event, NodeStatus, Spec};
use crate::cluster::{LINKS, Node, PREFIX};
use crate::control::wire::{FromGuest, ToGuest, WINDOW};
use crate::net;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A SIGKILLed kernel is gone in milliseconds; this is for a host that swaps.
const DEATH_LIMIT: Duration = Duration::from_secs(20);

/// One node, for its whole life in the lab.
pub struct Machine {
    node: Node,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    kernel: Option<Kernel>,
    boots: u32,
    off_because: Option<String>,
    jobs: HashMap<u32, Sender<Event>>,
    last_job: u32,
}

struct Kernel {
    keeper: Pid,
    line: UnixStream,
    /// Records that wait for room on the line.
    waiting: VecDeque<String>,
    /// Bytes on the line that the node has not taken yet.
    under_way: usize,
    boot_id: Option<String>,
    /// Set by a power cut, so that its end is not taken for a reboot.
    cut: bool,
}

impl Kernel {
    fn send(&mut self, order: &ToGuest) {
        self.waiting.push_back(order.encode());
        self.pump();
    }

    /// Puts on the line what it has room for. Never blocks: the socket holds more than the window.
    fn pump(&mut self) {
        while let Some(record) = self.waiting.front() {
            if self.under_way + record.len() > WINDOW {
                break;
            }
            // A broken line is seen by the reader, too, as the end of the node.
            let _ = self.line.write_all(record.as_bytes());
            self.under_way += record.len();
            self.waiting.pop_front();
        }
    }
}

/// Why a kernel is no longer there.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It asked for a reboot.
    Reboot,
    /// Anything else.
    Off,
}

/// A request of a node to fence another.
pub struct FenceRequest {
    /// To be given back with the answer.
    pub id: u32,
    /// off, reboot, on, status, list, monitor.
    pub action: String,
    /// A node's name, or `-`.
    pub target: String,
}

impl Machine {
    /// A node that is off.
    #[must_use]
    pub fn new(node: Node) -> Self {
        let state = State {
            kernel: None,
            boots: 0,
            off_because: Some("not started yet".to_owned()),
            jobs: HashMap::new(),
            last_job: 0,
        };
        Self {
            node,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which node this is.
    #[must_use]
    pub const fn node(&self) -> Node {
        self.node
    }

    /// What is known about it.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let state = self.lock();
        NodeStatus {
            name: self.node.name().to_owned(),
            on: state.kernel.is_some(),
            boot_id: state.kernel.as_ref().and_then(|k| k.boot_id.clone()),
            boots: state.boots,
            off_because: state.off_because.clone(),
        }
    }

    /// Starts the kernel. Must be called from the supervisor's main thread: the kernel dies with
    /// the thread that started it. The returned parts go to [`Machine::attend`] in a thread.
    ///
    /// # Errors
    /// When it runs already, or the host refuses.
    pub fn start(&self, spec: &Spec, words: &[String]) -> Result<(Child, UnixStream)> {
        let mut state = self.lock();
        if state.kernel.is_some() {
            bail!("{} is on already", self.node);
        }
        let dir = spec.dir.join(self.node.name());
        let (ours, theirs) = UnixStream::pair().context("make the serial line")?;
        // Rust opens with CLOEXEC; this end has to reach the kernel.
        let fd = theirs.as_raw_fd();
        nix::fcntl::fcntl(
            &theirs,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .context("pass the serial line on")?;
        let console = dir.join("console.log");
        let mut console = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&console)
            .context("open the console's log")?;
        writeln!(console, "=== boot {} of {} ===", state.boots + 1, self.node)?;
        let mut command = Command::new(crate::host::SELF);
        command
            .arg("internal-keeper")
            .arg(&spec.preload)
            .arg(&spec.kernel)
            .args([
                "uml_dir=/dev/shm/",
                "con=null",
                "con0=null,fd:1",
                "ssl=null",
                "root=/dev/ubda",
                "rw",
            ])
            .args([
                "quiet",
                "pty.legacy_count=0",
                "panic=1",
                "systemd.show_status=0",
                "systemd.log_target=journal-or-kmsg",
            ])
            .arg(format!("umid={}", self.node))
            .arg(format!("mem={}M", spec.memory))
            .arg(format!("ubda={}", dir.join("disk.img").display()))
            .arg(format!("hostfs={}", dir.join("host").display()))
            .arg(format!("ssl0=fd:{fd}"))
            .arg(format!("systemd.hostname={}", self.node))
            .arg(format!(
                "systemd.machine_id={:032x}",
                0x7ab0_0000_0000_4000_8000_0000_0000_0000_u128 + u128::from(self.node.number())
            ));
        for (link, net) in LINKS.iter().enumerate() {
            let number = self.node.number();
            command.arg(format!(
                "vec{link}:transport=tap,ifname={},depth=64,gro=1,mac=02:00:00:00:{link:02x}:{number:02x}",
                net::tap(self.node, link)
            ));
            command.arg(format!("lab.addr=vec{link}:{net}.{number}/{PREFIX}"));
        }
        let child = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .spawn()
            .context("start the kernel's keeper")?;
        let keeper = Pid::from_raw(i32::try_from(child.id()).context("a process id too large")?);
        state.kernel = Some(Kernel {
            keeper,
            line: ours.try_clone()?,
            waiting: VecDeque::new(),
            under_way: 0,
            boot_id: None,
            cut: false,
        });
        state.boots += 1;
        state.off_because = None;
        self.changed.notify_all();
        Ok((child, ours))
    }

    /// Listens to the node until its kernel is dead; the last process to hold the line closes it.
    pub fn attend(
        &self,
        mut child: Child,
        line: UnixStream,
        console: &Path,
        mut fence: impl FnMut(FenceRequest),
    ) -> End {
        let mut input = BufReader::with_capacity(64 * 1024, line);
        let mut record = Vec::new();
        loop {
            record.clear();
            match input.read_until(b'\n', &mut record) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&record);
            match FromGuest::decode(text.trim_end_matches('\n')) {
                Some(FromGuest::Hello(boot)) => {
                    if let Some(kernel) = &mut self.lock().kernel {
                        kernel.boot_id = Some(boot);
                    }
                    self.changed.notify_all();
                }
                Some(FromGuest::Took(bytes)) => {
                    if let Some(kernel) = &mut self.lock().kernel {
                        kernel.under_way = kernel.under_way.saturating_sub(bytes);
                        kernel.pump();
                    }
                }
                Some(FromGuest::Out(id, data)) => self.pass(id, Event::Out(data)),
                Some(FromGuest::Err(id, data)) => self.pass(id, Event::Err(data)),
                Some(FromGuest::Exit(id, code)) => {
                    self.pass(id, Event::Exit(code));
                    self.lock().jobs.remove(&id);
                }
                Some(FromGuest::Fence(id, action, target)) => {
                    fence(FenceRequest { id, action, target })
                }
                None => eprintln!("{}: not a record: {:?}", self.node, text.trim_end()),
            }
        }
        let status = child.wait();
        let mut state = self.lock();
        let cut = state.kernel.take().is_some_and(|k| k.cut);
        let code = status.ok().and_then(|s| s.code());
        // User Mode Linux exits 0 in both cases; its last words tell them apart.
        let rebooted = !cut && last_words(console).contains("reboot: Restarting system");
        let end = if rebooted { End::Reboot } else { End::Off };
        let why = match (cut, rebooted, code) {
            (true, ..) => "power cut".to_owned(),
            (_, true, _) => "it went down for a reboot".to_owned(),
            (_, _, Some(0)) => "it turned itself off".to_owned(),
            (_, _, code) => format!("its kernel ended with {code:?}; see its console.log"),
        };
        for (_, job) in state.jobs.drain() {
            let _ = job.send(Event::Lost(format!("{} went down: {why}", self.node)));
        }
        state.off_because = Some(why);
        self.changed.notify_all();
        end
    }

    fn pass(&self, id: u32, event: Event) {
        if let Some(job) = self.lock().jobs.get(&id) {
            let _ = job.send(event);
        }
    }

    /// Power cut. Returns once every process of the kernel is gone; at once if it is off already.
    ///
    /// # Errors
    /// When it does not die.
    pub fn cut(&self) -> Result<()> {
        let mut state = self.lock();
        let boots = state.boots;
        if let Some(kernel) = &mut state.kernel {
            kernel.cut = true;
            // The keeper is a child not yet waited for as long as `kernel` is set, so its id is its own.
            kill(kernel.keeper, Signal::SIGKILL)
                .with_context(|| format!("cut the power of {}", self.node))?;
        }
        let deadline = Instant::now() + DEATH_LIMIT;
        while state.kernel.is_some() && state.boots == boots {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "{}'s kernel still holds its serial line {DEATH_LIMIT:?} after SIGKILL",
                    self.node
                );
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
        }
        Ok(())
    }

    /// Waits until the node is off.
    pub fn wait_off(&self) {
        let mut state = self.lock();
        while state.kernel.is_some() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts a job in the node: `orders` makes its records from the job's number.
    ///
    /// # Errors
    /// When the node is off or its hands have not reported yet.
    pub fn submit(
        &self,
        orders: impl FnOnce(u32) -> Vec<ToGuest>,
    ) -> Result<(u32, Receiver<Event>)> {
        let mut state = self.lock();
        state.last_job += 1;
        let id = state.last_job;
        let why = state.off_because.clone();
        let Some(kernel) = &mut state.kernel else {
            bail!("{} is off ({})", self.node, why.unwrap_or_default());
        };
        if kernel.boot_id.is_none() {
            bail!("{} is still starting", self.node);
        }
        for order in orders(id) {
            kernel.send(&order);
        }
        let (sender, receiver) = channel();
        state.jobs.insert(id, sender);
        Ok((id, receiver))
    }

    /// Sends something on to a job, or the answer to a fence request.
    pub fn tell(&self, order: &ToGuest) {
        if let Some(kernel) = &mut self.lock().kernel {
            kernel.send(order);
        }
    }
}

/// The end of the console's log, of the boot that just ended.
fn last_words(console: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(console) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(1024)));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    text.rsplit("=== boot ")
        .next()
        .unwrap_or_default()
        .to_owned()
}
