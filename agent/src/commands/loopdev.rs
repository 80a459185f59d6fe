//! `two-node-ha loop attach|detach|status`: the loop device under the volume.
//!
//! Run by two-node-ha-loop@.service. Reads no configuration: what it needs is on its command line,
//! so that it also detaches after the configuration is gone.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use two_node_ha_loopdev::{Device, Error, Host, Link, Request, attach, detach, status};
use two_node_ha_node::Paths;

use crate::exit;

/// The loop device under the DRBD volume
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Attach a file to a free loop device, unless it is attached already
    Attach {
        /// The backing file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Give the device this name below /dev as well
        #[arg(long, value_name = "NAME")]
        symlink_name: Option<String>,
        /// Bypass the page cache where the file system can
        // Without the action a bool is a flag to clap, and takes no value.
        #[arg(
            long,
            value_name = "yes|no",
            default_value = "yes",
            value_parser = yes_or_no,
            action = clap::ArgAction::Set
        )]
        direct_io: bool,
    },
    /// Detach a file, unless its device is in use
    Detach {
        /// The backing file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List all loop devices and their files
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

/// Runs the command: 0, or 1 with the reason on standard error.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match execute(&Host::rooted(Paths::from_env().root()), &args.command) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAILURE.into()
        }
    }
}

fn execute(host: &Host, command: &Command) -> Result<String, Error> {
    match command {
        Command::Attach {
            file,
            symlink_name,
            direct_io,
        } => {
            let attached = attach(
                host,
                &Request {
                    file: file.clone(),
                    link: symlink_name.clone(),
                    direct_io: *direct_io,
                },
            )?;
            for warning in &attached.warnings {
                eprintln!("warning: {warning}");
            }
            let device = &attached.device;
            let name = match (attached.link, symlink_name) {
                (Link::Udev | Link::Ours | Link::OursUdevLate, Some(name)) => {
                    format!(", as {}", host.dev.join(name).display())
                }
                (Link::None, _) | (_, None) => String::new(),
            };
            let filled = match attached.allocated {
                0 => String::new(),
                bytes => format!(", {bytes} bytes of holes allocated"),
            };
            Ok(format!(
                "{} {} {}{name}{}{filled}\n",
                device.backing_file.display(),
                if attached.existing {
                    "was attached already to"
                } else {
                    "attached to"
                },
                device.device.display(),
                if device.direct_io { ", direct I/O" } else { "" },
            ))
        }
        Command::Detach { file } => {
            let devices = detach(host, file)?.devices;
            let mut text = String::new();
            for device in &devices {
                let _ = writeln!(
                    text,
                    "{} detached from {}",
                    file.display(),
                    device.display()
                );
            }
            if devices.is_empty() {
                let _ = writeln!(text, "{} is attached to no loop device", file.display());
            }
            Ok(text)
        }
        Command::Status { json } => {
            let devices = status(host)?;
            if *json {
                return serde_json::to_string(&devices)
                    .map(|text| text + "\n")
                    .map_err(|error| Error::Io {
                        doing: "write as JSON the status of",
                        path: host.dev.clone(),
                        error: error.into(),
                    });
            }
            Ok(devices.iter().map(describe).collect())
        }
    }
}

/// One line of `status`.
fn describe(device: &Device) -> String {
    let mut text = format!(
        "{} {}",
        device.device.display(),
        device.backing_file.display()
    );
    if device.deleted {
        text.push_str(" (deleted)");
    }
    if let Some(link) = &device.link {
        let _ = write!(text, ", as /dev/{link}");
    }
    for (yes, word) in [
        (device.direct_io, "direct I/O"),
        (device.read_only, "read-only"),
        (device.autoclear, "detached when closed"),
        (device.offset != 0 || device.size_limit != 0, "a part of it"),
    ] {
        if yes {
            let _ = write!(text, ", {word}");
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn direct_io(words: &[&str]) -> Result<bool, clap::Error> {
        let line = ["loop", "attach", "--file", "/opt/a b"].iter().chain(words);
        match Cli::try_parse_from(line)?.args.command {
            Command::Attach { direct_io, .. } => Ok(direct_io),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_of_the_generated_unit_is_understood() {
        assert!(direct_io(&["--symlink-name", "lodrbd", "--direct-io=yes"]).unwrap());
        assert!(!direct_io(&["--symlink-name", "ha/lodrbd", "--direct-io=no"]).unwrap());
        assert!(direct_io(&[]).unwrap());
        assert!(direct_io(&["--direct-io=maybe"]).is_err());
    }
}
