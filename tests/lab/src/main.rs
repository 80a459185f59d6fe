//! The lab: two real nodes in User Mode Linux, real in everything but their hardware.
//!
//! Reading order: [`cluster`] names the nodes, [`image`] makes what they boot from, [`supervisor`]
//! owns an instance, [`launch`] are the processes around one kernel, [`control`] is the line into a
//! node, [`client`] is a running lab from the outside. [`form`] makes a cluster of two fresh nodes;
//! [`scenario`] and [`demo`] are what the lab is for, and [`lanes`] runs scenarios on several labs.

mod agent;
mod artefacts;
mod bench;
mod cli;
mod client;
mod clock;
mod cluster;
mod control;
mod demo;
mod ending;
mod form;
mod host;
mod image;
mod interrupt;
mod lanes;
mod launch;
mod logs;
mod members;
mod net;
mod places;
mod progress;
mod scenario;
mod shell;
mod supervisor;
mod trouble;
mod up;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does the same on both nodes at once.
///
/// # Errors
/// The first error; the other node's work is waited for.
fn both<T: Send>(
    work: impl Fn(cluster::Node) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<[T; 2]> {
    let [one, two] = cluster::NODES;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(two));
        let first = work(one);
        let second = other
            .join()
            .map_err(|_| anyhow::anyhow!("the work on {two} panicked"))?;
        Ok([first?, second?])
    })
}
