//! Asking the peer: one ssh call a request, with the pinned host key and our own key only.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest, Sha256};
use two_node_ha_command::Interrupt;
use two_node_ha_config::{Config, Node};
use two_node_ha_disk::{self as disk, effects};
use two_node_ha_node::Paths;
use two_node_ha_planner::report::hex;
use two_node_ha_protocol::peer::{BundleFile, LONGEST_LINE, Request, Response};

/// Why the peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys were never exchanged.
    #[error("no key for the peer at {0}; run `two-node-ha peer setup` on both nodes")]
    NotSetUp(PathBuf),
    /// ssh failed before anything was said.
    #[error("ssh to {host}: {complaint}")]
    Ssh {
        /// Where to.
        host: String,
        /// The last line ssh printed.
        complaint: String,
    },
    /// Nothing came back in time.
    #[error("{host} did not answer within {} s", within.as_secs())]
    Slow {
        /// Where to.
        host: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// What the answer was for is wanted no more.
    #[error("the question to {host} was given up")]
    Interrupted {
        /// Where to.
        host: String,
    },
    /// What came back was not an answer.
    #[error("{host} answered with something else: {detail}")]
    Garbled {
        /// Where to.
        host: String,
        /// In what way.
        detail: String,
    },
    /// A bundle's file could not be stored.
    #[error("storing the peer's bundle at {path}: {source}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a step asks of the peer, and waits for: narrow, so that the steps can be run without ssh.
pub trait Peer: std::fmt::Debug {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`Error`]. A refusal is an answer: [`Response::Refused`].
    fn ask(&self, request: &Request, within: Duration) -> Result<Response, Error>;

    /// Fetches a bundle, or a log, into `directory`, which is emptied first; each file is 0600 from
    /// its first byte, verified against its announced length and digest, and durable.
    ///
    /// # Errors
    /// See [`Error`]; then `directory` holds nothing to rely on.
    fn fetch(
        &self,
        request: &Request,
        directory: &Path,
        within: Duration,
    ) -> Result<Response, Error>;
}

/// The channel to the peer.
#[derive(Debug, Clone)]
pub struct Client {
    host: String,
    /// `ssh`; the tests have another in its place.
    program: OsString,
    arguments: Vec<String>,
    key: PathBuf,
    interrupt: Interrupt,
}

/// The process of one question. It is killed and reaped when the question is over, however it ended,
/// and what it has started with it: a `ProxyCommand` of `peer.ssh_options`.
struct Ssh(Child);

impl Drop for Ssh {
    fn drop(&mut self) {
        // Of one that was reaped the number may be another's by now.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// How often a question that may be given up looks whether it is.
const LOOK_UP: Duration = Duration::from_millis(100);

impl Client {
    /// One whose questions are given up when the flag is raised.
    #[must_use]
    pub fn interrupted_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// A client for the peer of this host.
    #[must_use]
    pub fn new(config: &Config, peer: &Node, paths: &Paths) -> Self {
        let keys = paths.peer_keys();
        let key = keys.join(super::keys::KEY);
        let mut arguments: Vec<String> = Vec::new();
        for option in [
            // Nobody is there to type, and nothing of root's own ssh set-up may interfere.
            "BatchMode=yes".to_owned(),
            "StrictHostKeyChecking=yes".into(),
            "IdentitiesOnly=yes".into(),
            "GlobalKnownHostsFile=none".into(),
            format!(
                "UserKnownHostsFile={}",
                keys.join(super::keys::KNOWN_HOSTS).display()
            ),
            format!("HostKeyAlias={}", peer.name),
            format!(
                "ConnectTimeout={}",
                config.peer.connect_timeout.as_secs().max(1)
            ),
            "ServerAliveInterval=5".into(),
            "ServerAliveCountMax=3".into(),
            "ControlMaster=no".into(),
            "ControlPath=none".into(),
            "ForwardAgent=no".into(),
            "PermitLocalCommand=no".into(),
            "LogLevel=ERROR".into(),
        ] {
            arguments.extend(["-o".into(), option]);
        }
        for option in &config.peer.ssh_options {
            arguments.extend(["-o".into(), option.clone()]);
        }
        arguments.extend(["-F".into(), "none".into()]);
        arguments.extend(["-p".into(), config.peer.ssh_port.to_string()]);
        arguments.extend(["-i".into(), key.display().to_string()]);
        arguments.extend(["-l".into(), config.peer.ssh_user.clone()]);
        arguments.extend(["-T".into(), "--".into(), peer.address.to_string()]);
        Self {
            host: peer.name.clone(),
            program: "ssh".into(),
            arguments,
            key,
            interrupt: Interrupt::default(),
        }
    }

    fn call(
        &self,
        request: &Request,
        within: Duration,
        rest: impl FnOnce(&Response, &mut dyn BufRead) -> Result<(), Error> + Send + 'static,
    ) -> Result<Response, Error> {
        if !self.key.exists() {
            return Err(Error::NotSetUp(self.key.clone()));
        }
        let ssh = |complaint: String| Error::Ssh {
            host: self.host.clone(),
            complaint,
        };
        let child = Command::new(&self.program)
            .args(&self.arguments)
            // A child must not talk to systemd in the agent's name.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| ssh(error.to_string()))?;
        let mut child = Ssh(child);
        let mut line = serde_json::to_string(request).map_err(|error| ssh(error.to_string()))?;
        line.push('\n');
        if let Some(mut stdin) = child.0.stdin.take() {
            // A broken pipe here is told better by what ssh says on its standard error.
            let _ = stdin.write_all(line.as_bytes());
        }
        let (send, said) = channel();
        let host = self.host.clone();
        let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
        std::thread::spawn(move || {
            let answer = stdout.map_or(Ok(None), |stdout| read_answer(&host, stdout, rest));
            // ssh may keep its standard error open for as long as it likes: that is read here as well,
            // so that the question ends in time.
            let _ = send.send(answer.map(|answer| answer.ok_or_else(|| complaint(stderr))));
        });
        let deadline = Instant::now() + within;
        let said = self.wait(deadline, within, |left| match said.recv_timeout(left) {
            Ok(said) => Some(said),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread has panicked.
            Err(RecvTimeoutError::Disconnected) => Some(Ok(Err(None))),
        })?;
        match said? {
            // The answer is complete; how ssh ends is of no interest any more.
            Ok(response) => Ok(response),
            Err(Some(complaint)) => Err(ssh(complaint)),
            Err(None) => {
                let status = self.wait(deadline, within, |left| {
                    let ended = child.0.try_wait().transpose();
                    if ended.is_none() {
                        std::thread::sleep(left);
                    }
                    ended
                })?;
                Err(ssh(match status {
                    Ok(status) => format!("it ended without a word ({status})"),
                    Err(error) => error.to_string(),
                }))
            }
        }
    }

    /// Looks until there is something, nobody wants it any more, or its time is over. `look` is told
    /// how long it may take.
    fn wait<T>(
        &self,
        deadline: Instant,
        within: Duration,
        mut look: impl FnMut(Duration) -> Option<T>,
    ) -> Result<T, Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(found) = look(left.min(LOOK_UP)) {
                return Ok(found);
            }
            let host = self.host.clone();
            if self.interrupt.is_set() {
                return Err(Error::Interrupted { host });
            }
            if left.is_zero() {
                return Err(Error::Slow { host, within });
            }
        }
    }
}

impl Peer for Client {
    fn ask(&self, request: &Request, within: Duration) -> Result<Response, Error> {
        self.call(request, within, |_, _| Ok(()))
    }

    fn fetch(
        &self,
        request: &Request,
        directory: &Path,
        within: Duration,
    ) -> Result<Response, Error> {
        let directory = directory.to_path_buf();
        let host = self.host.clone();
        self.call(request, within, move |response, stream| {
            receive_all(&host, response, stream, &directory)
        })
    }
}

/// `None` where the stream ended before an answer began.
pub(crate) fn read_answer(
    host: &str,
    stdout: impl Read,
    rest: impl FnOnce(&Response, &mut dyn BufRead) -> Result<(), Error>,
) -> Result<Option<Response>, Error> {
    let garbled = |detail: String| Error::Garbled {
        host: host.to_owned(),
        detail,
    };
    let mut stream = BufReader::new(stdout);
    let mut line = String::new();
    let read = (&mut stream).take(LONGEST_LINE).read_line(&mut line);
    if read.map_err(|error| garbled(error.to_string()))? == 0 {
        return Ok(None);
    }
    let response: Response =
        serde_json::from_str(&line).map_err(|error| garbled(error.to_string()))?;
    rest(&response, &mut stream)?;
    Ok(Some(response))
}

/// Stores the files that follow a bundle's announcement; after any other answer nothing follows.
pub(crate) fn receive_all(
    host: &str,
    response: &Response,
    stream: &mut dyn BufRead,
    directory: &Path,
) -> Result<(), Error> {
    let Response::Bundle { files, .. } = response else {
        return Ok(());
    };
    let store = |source| Error::Store {
        path: directory.to_path_buf(),
        source,
    };
    disk::tree::remove_if_there(directory).map_err(store)?;
    disk::private_directory(directory).map_err(store)?;
    for file in files {
        receive(host, file, stream, directory)?;
    }
    disk::sync_directory(directory).map_err(store)
}

fn receive(
    host: &str,
    file: &BundleFile,
    stream: &mut dyn BufRead,
    directory: &Path,
) -> Result<(), Error> {
    let garbled = |detail: String| Error::Garbled {
        host: host.to_owned(),
        detail,
    };
    if file.name.is_empty() || file.name.starts_with('.') || file.name.contains(['/', '\0']) {
        return Err(garbled(format!(
            "a file named {:?} in its bundle",
            file.name
        )));
    }
    let path = directory.join(&file.name);
    let store = |source| Error::Store {
        path: path.clone(),
        source,
    };
    let out = effects::create_private(&path).map_err(store)?;
    let mut digested = Digested {
        stream,
        digest: Sha256::new(),
    };
    let announced = &mut digested.by_ref().take(file.length);
    let written = effects::write(announced, &out).map_err(store)?;
    if written < file.length {
        return Err(garbled(format!(
            "{} ends {} bytes too early",
            file.name,
            file.length - written
        )));
    }
    effects::sync(&out).map_err(store)?;
    if hex(&digested.digest.finalize()) != file.sha256 {
        return Err(garbled(format!("{} does not match its digest", file.name)));
    }
    Ok(())
}

/// A stream whose bytes are digested as they are read.
struct Digested<R> {
    stream: R,
    digest: Sha256,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.digest.update(&buffer[..n]);
        Ok(n)
    }
}

/// The last line that ssh printed, which names the cause; `None` where it printed none.
fn complaint(stderr: Option<impl Read>) -> Option<String> {
    let mut text = String::new();
    let _ = stderr?.take(LONGEST_LINE).read_to_string(&mut text);
    let said = text.lines().rfind(|line| !line.trim().is_empty());
    said.map(|line| line.trim().to_owned())
}

#[cfg(test)]
mod tests;
