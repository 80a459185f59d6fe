//! Where the files are.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use two_node_ha_command::{Call, Error, Output, Runner};
use two_node_ha_drbd::ReadOnly;
use two_node_ha_node::ROOT_VARIABLE;

/// The root that every path is below: `/`, but for tests.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// [`ROOT_VARIABLE`], which the kernel, drbdadm and udev never set.
    pub fn from_env() -> Self {
        Self(
            std::env::var_os(ROOT_VARIABLE)
                .unwrap_or_else(|| "/".into())
                .into(),
        )
    }

    /// `TWO_NODE_HA_HOOK_DEADLINE_MS`: another first deadline, for tests, and heard only below
    /// another root.
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_real() {
            return None;
        }
        let value = std::env::var("TWO_NODE_HA_HOOK_DEADLINE_MS").ok()?;
        value.parse().ok().map(Duration::from_millis)
    }

    /// `TWO_NODE_HA_HOOK_PANIC`: a failpoint, under the same condition.
    pub fn panics(&self) -> bool {
        !self.is_real() && std::env::var_os("TWO_NODE_HA_HOOK_PANIC").is_some()
    }

    /// `TWO_NODE_HA_HOOK_HANG`: another one, for a handler that never comes to an answer.
    pub fn hangs(&self) -> bool {
        !self.is_real() && std::env::var_os("TWO_NODE_HA_HOOK_HANG").is_some()
    }

    /// Whether this is the machine itself.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The root itself.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// `TWO_NODE_HA_HOOK_PROGRAMS`: a directory whose programs go before the machine's, under the
    /// same condition.
    pub fn programs(&self) -> Option<PathBuf> {
        self.of_test("TWO_NODE_HA_HOOK_PROGRAMS")
    }

    /// `TWO_NODE_HA_HOOK_CIB`: a file that Pacemaker's tools take for the CIB, under the same
    /// condition.
    pub fn cib(&self) -> Option<PathBuf> {
        self.of_test("TWO_NODE_HA_HOOK_CIB")
    }

    fn of_test(&self, variable: &str) -> Option<PathBuf> {
        let value = std::env::var_os(variable).filter(|_| self.0 != Path::new("/"))?;
        Some(value.into())
    }

    /// An absolute path, below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0
            .join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}

/// The programs of this machine. Below another root only its own: a test must neither ask the DRBD
/// nor write to the terminals of the machine that it runs on.
impl Runner for Root {
    fn run(&self, call: &Call) -> Result<Output, Error> {
        let mut call = call.clone();
        if !self.is_real() && Path::new(&call.program).is_relative() {
            call.program = self.0.join("usr/bin").join(&call.program).into();
        }
        ReadOnly::rooted("/").run(&call)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        ReadOnly::rooted(&self.0).read(path)
    }
}
