//! A person's shell in a node.

use crate::client::{Feeder, Lab};
use crate::cluster::Node;
use crate::supervisor::protocol::Event;
use anyhow::{Context, Result, bail};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

/// A day: whoever works longer logs in again.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Gives the terminal its ways back, however the shell ends.
struct Raw(Termios);

impl Raw {
    fn new() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).context("make the terminal raw")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

/// Runs a login shell on a terminal in the node; its exit code.
///
/// # Errors
/// When standard input is no terminal, or the node goes down.
pub fn open(lab: &Lab, node: Node) -> Result<i32> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "shell needs a terminal; for a script use: two-node-ha-lab run {node} -- sh < script"
        );
    }
    let size = crate::host::run("stty", &["-F", "/dev/tty", "size"]).unwrap_or_default();
    let mut size = size.split_whitespace().map(str::to_owned);
    let (rows, columns) = (
        size.next().unwrap_or_else(|| "24".into()),
        size.next().unwrap_or_else(|| "80".into()),
    );
    let term = std::env::var("TERM").unwrap_or_else(|_| "linux".into());
    let inner = format!("stty rows {rows} cols {columns}; TERM={term} exec bash -l");
    let raw = Raw::new()?;
    let feed = |mut input: Feeder| {
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n) = std::io::stdin().read(&mut buffer) {
                if n == 0 || !input.write(&buffer[..n]) {
                    break;
                }
            }
            input.close();
        });
    };
    let code = lab.stream(
        node,
        &["script", "-q", "-e", "-c", &inner, "/dev/null"],
        LIMIT,
        feed,
        |event| {
            if let Event::Out(data) | Event::Err(data) = event {
                let _ = std::io::stdout()
                    .write_all(&data)
                    .and_then(|()| std::io::stdout().flush());
            }
            true
        },
    );
    drop(raw);
    code
}
