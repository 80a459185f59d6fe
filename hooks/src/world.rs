//! The programs and files that a handler asks: this machine's, but for tests.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use two_node_ha_command::{Call, Error, Output, Runner};
use two_node_ha_drbd::ReadOnly;

use crate::root::Root;

/// Runs programs and reads files below the root.
#[derive(Debug)]
pub struct World {
    system: ReadOnly,
    /// A directory whose programs go before the machine's.
    programs: Option<PathBuf>,
    /// A file for Pacemaker's tools to take for the CIB.
    cib: Option<PathBuf>,
}

impl World {
    /// The world below this root.
    pub fn new(root: &Root) -> Self {
        Self {
            system: ReadOnly::rooted(root.path("/")),
            programs: root.programs(),
            cib: root.cib(),
        }
    }
}

impl Runner for World {
    fn run(&self, call: &Call) -> Result<Output, Error> {
        if self.programs.is_none() && self.cib.is_none() {
            return self.system.run(call);
        }
        let mut call = call.clone();
        let stand_in = self.programs.as_ref().map(|dir| dir.join(&call.program));
        if let Some(program) = stand_in.filter(|program| program.exists()) {
            call.program = program.into_os_string();
        }
        if let Some(cib) = &self.cib {
            let value = OsString::from(cib);
            call = call.env("CIB_file", value);
        }
        self.system.run(&call)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.system.read(path)
    }
}
