//! Messages to the kernel's log: while generators run there is no other that would keep them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where messages go.
pub struct KernLog {
    kmsg: PathBuf,
}

impl KernLog {
    /// `kmsg` is `/dev/kmsg`, rooted.
    #[must_use]
    pub fn new(kmsg: &Path) -> Self {
        Self {
            kmsg: kmsg.to_owned(),
        }
    }

    /// Writes an error, one record for each of its lines: the kernel takes one record a write,
    /// with the syslog priority in front (`devkmsg_write` in its printk.c).
    /// Falls back to standard error where there is no `/dev/kmsg` or it is not ours to write.
    ///
    /// The file is opened at each message, as there are none unless something is wrong.
    pub fn error(&self, message: &str) {
        let mut file = OpenOptions::new().append(true).open(&self.kmsg).ok();
        for line in message.lines().filter(|line| !line.is_empty()) {
            let record = format!("<3>two-node-ha-generator: {line}\n");
            let written = file
                .as_mut()
                .is_some_and(|kmsg| kmsg.write_all(record.as_bytes()).is_ok());
            if !written {
                // Nowhere is left to complain to if this fails as well.
                let _ = writeln!(std::io::stderr(), "two-node-ha-generator: {line}");
            }
        }
    }
}
