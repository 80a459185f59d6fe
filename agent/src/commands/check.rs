//! `two-node-ha check [FILE]`: whether a configuration is valid, and what it means.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use two_node_ha_config::{Backing, Config, Diagnostics, FencingMode, Host, Transport, format_size};
use two_node_ha_node::Paths;

use super::config_file::{Refused, hostname, located, read};

/// Checks a configuration file and says what it means.
///
/// Errors and warnings go to standard error, each with its line; exits with 0 if there is no error,
/// else with 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to check.
    #[arg(default_value = two_node_ha_config::PATH)]
    file: PathBuf,
    /// The node to check it as, where it is not this host.
    #[arg(long, value_name = "NAME", env = "TWO_NODE_HA_NODE")]
    node: Option<String>,
    /// Prints one JSON object to standard output instead.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    /// Whether the file has no error.
    ok: bool,
    /// The file.
    file: &'a str,
    /// The node that this host is, if it is one of the two.
    this: Option<&'a str>,
    /// The words that the terminal gets; of a file with errors, how many.
    summary: String,
    /// Errors and warnings in the order of the file.
    diagnostics: &'a [two_node_ha_config::Diagnostic],
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let paths = Paths::from_env();
    let file = located(&args.file, &paths);
    let hostname = hostname(&paths).ok();
    // The installed file must name this host. Any other may be meant for other machines.
    let installed = args.file == Path::new(two_node_ha_config::PATH);
    let host = match (&args.node, &hostname) {
        (Some(node), _) => Host::Node(node),
        (None, Some(name)) if installed => Host::Hostname(name),
        (None, _) => Host::Any,
    };
    let result = read(&file, host).map(|mut parsed| {
        let c = &mut parsed.config;
        let here = |n: &two_node_ha_config::Node| Some(&n.hostname) == hostname.as_ref();
        c.this = c.this.or_else(|| c.nodes.iter().position(here));
        parsed
    });
    let (found, config) = match &result {
        Ok(parsed) => (Some(&parsed.warnings), Some(&parsed.config)),
        Err(Refused::Invalid(d)) => (Some(d), None),
        Err(Refused::Unreadable(_)) => (None, None),
    };
    let summary = match (&result, found) {
        (Ok(parsed), _) => describe(&parsed.config, hostname.as_deref()),
        (Err(Refused::Unreadable(why)), _) => why.clone(),
        (Err(Refused::Invalid(d)), _) => count(d),
    };

    if args.json {
        let report = Report {
            ok: result.is_ok(),
            file: &file.to_string_lossy(),
            this: config.and_then(Config::this_node).map(|n| n.name.as_str()),
            summary,
            diagnostics: found.map_or(&[], |d| d.items()),
        };
        match serde_json::to_string(&report) {
            Ok(json) => println!("{json}"),
            Err(e) => eprintln!("error: cannot write the report as JSON: {e}"),
        }
    } else {
        match (&result, found) {
            (Ok(_), Some(warnings)) if warnings.is_empty() => {}
            (_, Some(found)) => eprintln!("{found}"),
            (_, None) => {}
        }
        match &result {
            Ok(_) => println!("{summary}"),
            Err(_) => eprintln!("error: {summary}"),
        }
    }
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// "FILE: 2 errors, 1 warning".
fn count(d: &Diagnostics) -> String {
    let many = |n: usize, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let warnings = d.items().len() - d.errors();
    let mut out = format!("{}: {}", d.file(), many(d.errors(), "error"));
    if warnings > 0 {
        out += &format!(", {}", many(warnings, "warning"));
    }
    out
}

/// What a configuration means, in a few lines.
fn describe(c: &Config, hostname: Option<&str>) -> String {
    let mut out = format!("ok: cluster {}", c.cluster.name);
    for (i, node) in c.nodes.iter().enumerate() {
        out += if i == 0 { ", " } else { " + " };
        out += &format!("{} {}", node.name, node.address);
        if node.drbd_address != node.address {
            out += &format!(" (DRBD {})", node.drbd_address);
        }
    }
    let this = match (c.this_node(), hostname) {
        (Some(node), _) => format!("this host is {}", node.name),
        (None, Some(name)) => format!("this host, {name}, is neither"),
        (None, None) => "this host's name is not known".to_owned(),
    };
    let v = &c.volume;
    let backing = match &v.backing {
        Backing::File {
            path,
            symlink,
            size,
            ..
        } => format!(
            "file {} of {} as {}",
            path.display(),
            format_size(*size),
            symlink.display()
        ),
        Backing::Device(device) => format!("device {}", device.display()),
    };
    let fencing = match c.fencing.mode {
        FencingMode::Stonith => {
            let devices = c
                .fencing
                .devices
                .iter()
                .map(|d| format!("{} for {}", d.agent, d.node));
            format!("stonith by {}", devices.collect::<Vec<_>>().join(", "))
        }
        FencingMode::Constraint => "by DRBD's constraint only".to_owned(),
        FencingMode::None => "none".to_owned(),
    };
    let corosync = match c.corosync.transport {
        Transport::Knet => format!(
            "knet, {} and {}",
            c.corosync.crypto_cipher, c.corosync.crypto_hash
        ),
        Transport::Udpu => "udpu in clear text".to_owned(),
    };
    let links = c.nodes[0].corosync_addresses.len();
    let plural = if links == 1 { "" } else { "s" };
    let _ = write!(
        out,
        ", {this}\n    volume: DRBD {} {} over {backing}, {} on {}\n    corosync: {corosync}, {links} link{plural}, port {}\n    fencing: {fencing}",
        v.resource,
        v.device.display(),
        v.fstype,
        v.mount_point.display(),
        c.corosync.port,
    );
    out
}
