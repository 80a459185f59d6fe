//! Where words go: structured into the journal under systemd, plainly to standard error else.

use std::io;
use std::os::fd::AsFd;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use two_node_ha_config::LogLevel;

/// Starts logging. Fields become `TWO_NODE_HA_…` in the journal.
pub fn start(identifier: &str, level: LogLevel) {
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if stderr_is_journal() {
        if let Ok(journal) = tracing_journald::layer() {
            registry
                .with(
                    journal
                        .with_syslog_identifier(identifier.to_owned())
                        .with_field_prefix(Some("TWO_NODE_HA".to_owned())),
                )
                .init();
            return;
        }
    }
    registry
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_target(false)
                .without_time(),
        )
        .init();
}

/// systemd says in `JOURNAL_STREAM` which device and inode its journal stream has
/// (systemd.exec(5)); a redirected standard error is not it.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    nix::sys::stat::fstat(io::stderr().as_fd())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}
