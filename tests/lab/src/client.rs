//! A lab from the outside: starts a supervisor or speaks with one.

use crate::cluster::Node;
use crate::places::Places;
use crate::supervisor::protocol::{Event, Input, Reply, Request, Spec, Status, receive, send};
use crate::{ending, interrupt};
use anyhow::{Context, Result, anyhow, bail};
use nix::libc::SIGKILL;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// A running instance.
pub struct Lab {
    places: Places,
    /// Set while this process answers for the instance: at its end the instance ends.
    lifeline: Option<ChildStdin>,
}

/// What a program in a node left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; 128 + N when it died by signal N.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Lab {
    /// Starts the supervisor of an instance that does not run. The lab ends with the returned value
    /// unless [`Lab::detach`] is called.
    ///
    /// # Errors
    /// When the instance runs already, or the supervisor cannot set it up.
    pub fn start(places: &Places, spec: &Spec) -> Result<Self> {
        fs::write(
            places.instance.join("spec.json"),
            serde_json::to_vec_pretty(spec)?,
        )
        .with_context(|| format!("write into {}", places.instance.display()))?;
        let log = File::create(places.supervisor_log()).context("open the supervisor's log")?;
        let mut child = Command::new(crate::host::SELF)
            .arg("internal-supervisor")
            .arg(&places.instance)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("start the supervisor")?;
        let lifeline = child.stdin.take();
        interrupt::answer_for(places);
        let lab = Self {
            places: places.clone(),
            lifeline,
        };
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out)
                .read_line(&mut said)
                .context("wait for the supervisor")?;
        }
        if said.trim() != "ready" {
            let log = fs::read_to_string(places.supervisor_log()).unwrap_or_default();
            bail!("the supervisor could not set up the lab: {}", log.trim());
        }
        ending::record(places, child.id())?;
        Ok(lab)
    }

    /// The instance that runs.
    ///
    /// # Errors
    /// When none does.
    pub fn connect(places: &Places) -> Result<Self> {
        let lab = Self {
            places: places.clone(),
            lifeline: None,
        };
        match UnixStream::connect(&places.socket) {
            Ok(_) => Ok(lab),
            Err(_) => bail!(
                "no lab called {:?} is up; start it with `two-node-ha-lab up`",
                places.name
            ),
        }
    }

    /// Whether the instance runs.
    #[must_use]
    pub fn is_up(places: &Places) -> bool {
        UnixStream::connect(&places.socket).is_ok()
    }

    /// Where this instance keeps its things.
    #[must_use]
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Lets the instance live on after this process.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn detach(mut self) -> Result<()> {
        if let Some(mut lifeline) = self.lifeline.take() {
            lifeline
                .write_all(b"d")
                .context("let go of the supervisor")?;
        }
        interrupt::answer_for_nothing();
        Ok(())
    }

    fn ask(&self, request: &Request, limit: Duration) -> Result<Reply> {
        let mut connection = self.open()?;
        send(&mut connection, request)?;
        let mut reader = BufReader::new(Patient::new(connection, limit)?);
        receive(&mut reader)?.ok_or_else(|| {
            anyhow!(
                "the supervisor hung up; see {}",
                self.places.supervisor_log().display()
            )
        })
    }

    fn open(&self) -> Result<UnixStream> {
        UnixStream::connect(&self.places.socket)
            .context("reach the supervisor of the lab; is it up?")
    }

    fn order(&self, request: &Request, limit: Duration) -> Result<()> {
        match self.ask(request, limit)? {
            Reply::Failed(why) => Err(anyhow!(why)),
            Reply::Done | Reply::Status(_) => Ok(()),
        }
    }

    /// Ends the supervisor and all that is its.
    ///
    /// # Errors
    /// When it is gone before it has answered.
    pub fn shut_down(&self) -> Result<()> {
        self.order(&Request::Shutdown, ending::LIMIT)
    }

    /// What the supervisor knows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> Result<Status> {
        match self.ask(&Request::Status, Duration::from_secs(10))? {
            Reply::Status(status) => Ok(status),
            other => bail!("an odd answer: {other:?}"),
        }
    }

    /// Starts a node, with these additional words on its kernel's command line, and returns at once.
    ///
    /// # Errors
    /// When it is on, or the host refuses.
    pub fn boot(&self, node: Node, words: &[&str]) -> Result<()> {
        let words = words.iter().map(|&w| w.to_owned()).collect();
        self.order(
            &Request::Boot(node.name().to_owned(), words),
            Duration::from_secs(20),
        )
    }

    /// Power cut; returns once the node's kernel is dead, with the time of then: whatever is sent after
    /// it, this node answers no more. One that was taken before the cut may still be answered by the dying.
    ///
    /// # Errors
    /// When it does not die.
    pub fn cut(&self, node: Node) -> Result<SystemTime> {
        self.order(
            &Request::Cut(node.name().to_owned()),
            Duration::from_secs(30),
        )?;
        Ok(SystemTime::now())
    }

    /// Waits until the node has turned itself off.
    ///
    /// # Errors
    /// When it does not within the limit.
    pub fn wait_off(&self, node: Node, limit: Duration) -> Result<()> {
        self.order(&Request::WaitOff(node.name().to_owned()), limit)
            .with_context(|| format!("wait for {node} to turn itself off"))
    }

    /// Pulls a node's cables, or cuts the nodes from each other.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn partition(&self, node: Option<Node>) -> Result<()> {
        self.order(
            &Request::Partition(node.map(|n| n.name().to_owned())),
            Duration::from_secs(10),
        )
    }

    /// Ends every partition.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn heal(&self) -> Result<()> {
        self.order(&Request::Heal, Duration::from_secs(10))
    }

    /// Whether a fenced or rebooting node is started again.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn auto_boot(&self, on: bool) -> Result<()> {
        self.order(&Request::AutoBoot(on), Duration::from_secs(10))
    }

    /// Runs a program in a node, handing its output over as it comes, until it ends or `take` has
    /// enough.
    ///
    /// # Errors
    /// When the node is off or dies, or the program takes longer than `limit`; it is killed then.
    pub fn stream(
        &self,
        node: Node,
        argv: &[&str],
        limit: Duration,
        feed: impl FnOnce(Feeder),
        mut take: impl FnMut(Event) -> bool,
    ) -> Result<i32> {
        let what = argv.join(" ");
        let mut connection = self.open()?;
        send(
            &mut connection,
            &Request::Run {
                node: node.name().to_owned(),
                argv: argv.iter().map(|&a| a.to_owned()).collect(),
                read: false,
            },
        )?;
        feed(Feeder(connection.try_clone()?));
        self.collect(node, &what, connection, limit, &mut take)
    }

    fn collect(
        &self,
        node: Node,
        what: &str,
        connection: UnixStream,
        limit: Duration,
        take: &mut dyn FnMut(Event) -> bool,
    ) -> Result<i32> {
        let mut killer = Feeder(connection.try_clone()?);
        let mut reader = BufReader::with_capacity(64 * 1024, Patient::new(connection, limit)?);
        loop {
            match receive(&mut reader) {
                Ok(Some(Event::Exit(code))) => return Ok(code),
                Ok(Some(Event::Lost(why))) => bail!("{node}: {what}: {why}"),
                Ok(Some(event)) => {
                    if !take(event) {
                        killer.signal(SIGKILL);
                        return Ok(128 + SIGKILL);
                    }
                }
                Ok(None) => bail!("{node}: {what}: the lab ended meanwhile"),
                Err(error) => {
                    killer.signal(SIGKILL);
                    return Err(error)
                        .with_context(|| format!("{node}: {what} (limit {} s)", limit.as_secs()));
                }
            }
        }
    }

    /// Runs a program in a node and returns what it left. An exit code other than 0 is no error.
    ///
    /// # Errors
    /// As [`Lab::stream`].
    pub fn try_run(&self, node: Node, argv: &[&str], limit: Duration) -> Result<Output> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = self.stream(
            node,
            argv,
            limit,
            |mut input| input.close(),
            |event| {
                match event {
                    Event::Out(data) => out.extend(data),
                    Event::Err(data) => err.extend(data),
                    Event::Exit(_) | Event::Lost(_) => {}
                }
                true
            },
        )?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output {
            code,
            out: text(out),
            err: text(err),
        })
    }

    /// Runs a program in a node that has to succeed; returns its standard output.
    ///
    /// # Errors
    /// As [`Lab::stream`], and when it fails.
    pub fn run(&self, node: Node, argv: &[&str], limit: Duration) -> Result<String> {
        let output = self.try_run(node, argv, limit)?;
        if output.code != 0 {
            bail!(
                "{node}: {}: exit {}\n  {}",
                argv.join(" "),
                output.code,
                format!("{}{}", output.err, output.out)
                    .trim()
                    .replace('\n', "\n  ")
            );
        }
        Ok(output.out)
    }

    /// Runs a line of shell in a node that has to succeed. The shell stops at the first failure.
    ///
    /// # Errors
    /// As [`Lab::run`].
    pub fn sh(&self, node: Node, script: &str, limit: Duration) -> Result<String> {
        self.run(node, &["sh", "-euc", script], limit)
    }

    /// Writes a file in a node, mode 0600, whole or not at all.
    ///
    /// # Errors
    /// As [`Lab::run`].
    pub fn write(&self, node: Node, path: &str, data: &[u8]) -> Result<()> {
        let script = "umask 077; cat >\"$1.new\"; mv \"$1.new\" \"$1\"";
        let mut said = Vec::new();
        let feed = |mut input: Feeder| {
            input.write(data);
            input.close();
        };
        let code = self.stream(
            node,
            &["sh", "-euc", script, "sh", path],
            Duration::from_secs(60),
            feed,
            |event| {
                if let Event::Err(data) = event {
                    said.extend(data);
                }
                true
            },
        )?;
        if code != 0 {
            bail!(
                "{node}: write {path}: {}",
                String::from_utf8_lossy(&said).trim()
            );
        }
        Ok(())
    }

    /// The content of a file in a node, without starting a program there; `None` if it cannot be
    /// opened.
    ///
    /// # Errors
    /// When the node is off or dies.
    pub fn read(&self, node: Node, path: &str) -> Result<Option<String>> {
        let mut connection = self.open()?;
        send(
            &mut connection,
            &Request::Run {
                node: node.name().to_owned(),
                argv: vec![path.to_owned()],
                read: true,
            },
        )?;
        let mut out = Vec::new();
        let code = self.collect(
            node,
            path,
            connection,
            Duration::from_secs(15),
            &mut |event| {
                if let Event::Out(data) = event {
                    out.extend(data);
                }
                true
            },
        )?;
        Ok((code == 0).then(|| String::from_utf8_lossy(&out).into_owned()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.lifeline.take().is_some() {
            if let Err(error) = ending::end(&self.places) {
                eprintln!("while ending the lab: {error:#}");
            }
            interrupt::answer_for_nothing();
        }
    }
}

/// Standard input of a program in a node.
pub struct Feeder(UnixStream);

impl Feeder {
    /// Sends bytes; `false` when nobody takes them any more.
    pub fn write(&mut self, data: &[u8]) -> bool {
        data.is_empty() || send(&mut self.0, &Input::Stdin(data.to_vec())).is_ok()
    }

    /// Closes standard input.
    pub fn close(&mut self) {
        let _ = send(&mut self.0, &Input::Stdin(Vec::new()));
    }

    /// Sends a signal to the program's process group.
    pub fn signal(&mut self, signal: i32) {
        let _ = send(&mut self.0, &Input::Signal(signal));
    }
}

/// A connection with a deadline for all that is to be read from it.
struct Patient {
    inner: UnixStream,
    deadline: Instant,
}

impl Patient {
    fn new(inner: UnixStream, limit: Duration) -> Result<Self> {
        Ok(Self {
            inner,
            deadline: Instant::now() + limit,
        })
    }
}

impl std::io::Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "no answer in time",
            ));
        }
        self.inner.set_read_timeout(Some(left))?;
        self.inner.read(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time")
            }
            _ => error,
        })
    }
}
