//! The lab: two real nodes in User Mode Linux, real in everything but their hardware.
//!
//! Reading order: [`cluster`] names the nodes, [`image`] makes what they boot from, [`supervisor`]
//! owns an instance, [`launch`] are the processes around one kernel, [`control`] is the line into a
//! node, [`client`] is a running lab from the outside.

mod cli;
mod client;
mod cluster;
mod control;
mod host;
mod image;
mod interrupt;
mod launch;
mod net;
mod places;
mod progress;
mod supervisor;
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
