//! Running another program, with a deadline: the one door through which this project's rooms
//! reach `drbdsetup`, `crm_mon` and their like.
//!
//! A call is a plain value ([`Call`]), what comes back is a plain value ([`Output`]), and between
//! them stands the trait [`Runner`], so that every decision made on an output is tested without
//! the program. [`System`] is the real runner; [`scripted::Scripted`] is the one for tests.
//!
//! The child gets no standard input, a clean environment (`PATH`, `LC_ALL=C` and what the call
//! adds) and a process group of its own. At the deadline the whole group is killed: a program
//! that forks cannot outlive its welcome, nor hold the pipes open.

mod run;
pub mod scripted;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;

pub use run::System;

/// Where programs are looked up. Handlers are called with the kernel's own short `PATH`, units
/// with systemd's; neither decides what runs.
pub const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The default of [`Call::output_limit`].
pub const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// A program to run, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// A name, looked up in [`SEARCH_PATH`], or an absolute path.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to the otherwise clean environment.
    pub env: Vec<(OsString, OsString)>,
    /// How long the call may take in all.
    pub deadline: Duration,
    /// How many bytes each of its two outputs may have.
    pub output_limit: usize,
    /// What may end the call before its deadline.
    pub interrupt: Option<Interrupt>,
}

/// A flag by which another thread ends what takes long. Its clones are one flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Raises the flag, or takes it down.
    pub fn set(&self, raised: bool) {
        self.0.store(raised, Ordering::SeqCst);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The same flag, not one that stands alike.
impl PartialEq for Interrupt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Interrupt {}

impl Call {
    /// A call of `program`, which may take as long as `deadline`.
    pub fn new(program: impl Into<OsString>, deadline: Duration) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            deadline,
            output_limit: OUTPUT_LIMIT,
            interrupt: None,
        }
    }

    /// The call ends as soon as this flag is raised, and the program is killed.
    #[must_use]
    pub fn interrupted_by(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }
}

/// The command line, as one would read it; not quoted for a shell.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.to_string_lossy())?;
        for arg in &self.args {
            write!(f, " {}", arg.to_string_lossy())?;
        }
        Ok(())
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What a program that ended by itself left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// The first line of its standard error that says something, for an error message.
    #[must_use]
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr)
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("it said nothing")
            .to_owned()
    }

    /// In words, that it failed: for the call that it came of.
    #[must_use]
    pub fn failure(&self, call: &Call) -> String {
        format!("`{call}` ended with {}: {}", self.exit, self.complaint())
    }
}

/// Runs a program that has to exit with 0.
///
/// # Errors
/// Why it did not, in words, down to what the system said.
pub fn succeed(runner: &dyn Runner, call: &Call) -> Result<Output, String> {
    match runner.run(call) {
        Ok(output) if output.success() => Ok(output),
        Ok(output) => Err(output.failure(call)),
        Err(error) => Err(match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }),
    }
}

/// Why a program gave no [`Output`].
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such program.
    #[error("cannot run `{call}`: the program is not installed (looked in {SEARCH_PATH})")]
    NotInstalled {
        /// The command line.
        call: String,
    },
    /// The system could not start it, or lost it.
    #[error("cannot run `{call}`")]
    Io {
        /// The command line.
        call: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ran past its deadline and was killed, with all that it had started.
    #[error("`{call}` had not ended after {:.1} s and was killed", deadline.as_secs_f64())]
    Deadline {
        /// The command line.
        call: String,
        /// What it had been given.
        deadline: Duration,
    },
    /// Somebody wanted it to end, and it was killed, with all that it had started.
    #[error("`{call}` was interrupted and killed: what it was for is wanted no more")]
    Interrupted {
        /// The command line.
        call: String,
    },
    /// It was not even started: whoever runs programs here does not run this one.
    #[error("`{call}` was not run: {why}")]
    Refused {
        /// The command line.
        call: String,
        /// Why it must not be run.
        why: &'static str,
    },
    /// It printed more than anything it could sensibly say, and was killed.
    #[error("`{call}` printed more than {limit} bytes and was killed")]
    TooMuch {
        /// The command line.
        call: String,
        /// [`Call::output_limit`].
        limit: usize,
    },
}

/// The world of programs and of the kernel's own files, behind one narrow door.
pub trait Runner: std::fmt::Debug {
    /// Runs a program to its end or to its deadline.
    ///
    /// # Errors
    /// An [`Error`]; a program that ran and failed is an [`Output`].
    fn run(&self, call: &Call) -> Result<Output, Error>;

    /// Reads a small file, such as `/proc/drbd`.
    ///
    /// # Errors
    /// What the system said; an absent file is `NotFound`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// `path` (absolute) under `root`; `root` of `/` leaves it as it is.
fn rooted(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
