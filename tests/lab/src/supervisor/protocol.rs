//! What the supervisor is asked and answers: one JSON value a line over its socket.

use crate::cluster::Node;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::path::PathBuf;

/// What an instance is made of; given to the supervisor at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The User Mode Linux program.
    pub kernel: PathBuf,
    /// The library to preload into it.
    pub preload: PathBuf,
    /// Memory of each node, in MiB.
    pub memory: u32,
    /// Name of the instance.
    pub instance: String,
    /// The instance's directory.
    pub dir: PathBuf,
    /// Its socket.
    pub socket: PathBuf,
}

/// A question or order.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// What is there.
    Status,
    /// Start a program in a node. The connection then carries [`Input`] one way and [`Event`] the other.
    Run {
        /// Name of the node.
        node: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// Send a file's content instead; `argv` is its path alone.
        read: bool,
    },
    /// Start a node that is off, with more words on its kernel's command line.
    Boot(String, Vec<String>),
    /// Power cut: answers once the node's kernel is dead.
    Cut(String),
    /// Wait until the node has turned itself off; no answer before.
    WaitOff(String),
    /// Pull the cables of one node, or cut the two from each other.
    Partition(Option<String>),
    /// End every partition.
    Heal,
    /// Whether a fenced or rebooting node is started again.
    AutoBoot(bool),
    /// End everything.
    Shutdown,
}

/// Answer to all but [`Request::Run`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// Not done, and why.
    Failed(String),
    /// To [`Request::Status`].
    Status(Status),
}

/// What the supervisor knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the supervisor; its network namespace is the lab's.
    pub supervisor: u32,
    /// Both nodes, in order.
    pub nodes: Vec<NodeStatus>,
    /// The partition in force, in words.
    pub partition: Option<String>,
    /// Whether a fenced or rebooting node is started again.
    pub auto_boot: bool,
    /// Every fencing so far.
    pub fencings: Vec<Fencing>,
}

/// One node as the supervisor sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether its kernel runs.
    pub on: bool,
    /// Boot id, once its hands have reported.
    pub boot_id: Option<String>,
    /// How often it was started.
    pub boots: u32,
    /// Why it is off.
    pub off_because: Option<String>,
}

/// One fencing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fencing {
    /// Seconds since 1970 at the request.
    pub at: f64,
    /// The node that asked.
    pub by: String,
    /// The node that was fenced.
    pub target: String,
    /// off or reboot.
    pub action: String,
    /// Seconds until the target was known to be dead.
    pub took: f64,
}

/// From the client to a running program.
#[derive(Debug, Serialize, Deserialize)]
pub enum Input {
    /// Bytes for standard input; none closes it.
    Stdin(Vec<u8>),
    /// A signal.
    Signal(i32),
}

/// From a running program to the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// Standard output.
    Out(Vec<u8>),
    /// Standard error.
    Err(Vec<u8>),
    /// The end.
    Exit(i32),
    /// The node died, or was not there to begin with.
    Lost(String),
}

/// Writes one value and its newline.
///
/// # Errors
/// When the connection is broken.
pub fn send<T: Serialize>(to: &mut impl Write, value: &T) -> Result<()> {
    let mut line = serde_json::to_vec(value).context("write a message")?;
    line.push(b'\n');
    to.write_all(&line).context("send to the other side")
}

/// Reads one value; `None` at the end of the connection.
///
/// # Errors
/// When the connection is broken or the value is none of ours.
pub fn receive<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = String::new();
    if from
        .read_line(&mut line)
        .context("hear from the other side")?
        == 0
    {
        return Ok(None);
    }
    serde_json::from_str(&line)
        .map(Some)
        .with_context(|| format!("understand {:?}", line.trim_end()))
}

impl Status {
    /// The node's part.
    #[must_use]
    pub fn node(&self, node: Node) -> &NodeStatus {
        &self.nodes[node.index()]
    }
}
