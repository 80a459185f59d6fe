//! `two-node-ha render COMPONENT`: what a component needs to be told, from the one configuration.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::ValueEnum;
use two_node_ha_config::{Config, Host};
use two_node_ha_node::Paths;
use two_node_ha_render::drbd::Generation;
use two_node_ha_render::pacemaker::Unmounting;
use two_node_ha_render::{corosync, drbd, multipath, pacemaker};

use super::config_file::{located, read};

/// Prints what DRBD, Corosync, Pacemaker or multipathd needs, from the configuration.
///
/// Nothing is changed; the first lines of what is printed say where it belongs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    component: Component,
    /// The configuration.
    #[arg(long, value_name = "FILE", global = true, default_value = two_node_ha_config::PATH)]
    config: PathBuf,
    /// The node to render for. What is printed is the same on both.
    #[arg(long, value_name = "NAME", global = true, env = "TWO_NODE_HA_NODE")]
    node: Option<String>,
}

/// Whom it is for.
#[derive(Debug, clap::Subcommand)]
enum Component {
    /// A resource file for /etc/drbd.d.
    Drbd {
        /// For which DRBD. `auto` asks the running kernel, and takes 8.4, which every mainline kernel
        /// has, where it does not know.
        #[arg(long, value_enum, default_value_t = Drbd::Auto)]
        drbd: Drbd,
    },
    /// /etc/corosync/corosync.conf.
    Corosync,
    /// The cluster's resources and constraints.
    Pacemaker {
        /// How to write them.
        #[arg(long, value_enum, default_value_t = Format::CibXml)]
        format: Format,
        /// For which resource-agents. `auto` looks at the Filesystem agent of this machine, and takes
        /// 4.12, which every later one understands, where there is none.
        #[arg(long, value_enum, default_value_t = Agents::Auto)]
        resource_agents: Agents,
    },
    /// A file for /etc/multipath/conf.d.
    Multipath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Drbd {
    Auto,
    #[value(name = "8.4")]
    V84,
    #[value(name = "9")]
    V9,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Agents {
    Auto,
    /// And before.
    #[value(name = "4.12")]
    V412,
    /// And later.
    #[value(name = "4.13")]
    V413,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For `cibadmin -M -c -o configuration -p`.
    CibXml,
    /// For `crm configure load update FILE`.
    Crm,
    /// Commands of pcs.
    Pcs,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match rendered(args) {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("error: cannot write to standard output: {e}");
                ExitCode::FAILURE
            }
        },
        Err(why) => {
            eprintln!("{}", why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn rendered(args: &Args) -> Result<String, String> {
    let host = args.node.as_deref().map_or(Host::Any, Host::Node);
    let c = read(&located(&args.config, &Paths::from_env()), host)
        .map_err(|refused| refused.to_string())?
        .config;
    Ok(match args.component {
        Component::Drbd { drbd: which } => {
            let generation = match which {
                Drbd::V84 => Generation::V84,
                Drbd::V9 => Generation::V9,
                Drbd::Auto => running_drbd().unwrap_or(Generation::V84),
            };
            let secret = shared_secret(&c).map_err(|why| format!("error: {why}"))?;
            drbd::render(&c, generation, secret.as_deref())
        }
        Component::Corosync => corosync::render(&c),
        Component::Pacemaker {
            format,
            resource_agents,
        } => {
            let unmounting = match resource_agents {
                Agents::V412 => Unmounting::NoSignals,
                Agents::V413 => Unmounting::Signals,
                Agents::Auto => installed_agent(&Paths::from_env()),
            };
            let model = pacemaker::model(&c, unmounting);
            match format {
                Format::CibXml => pacemaker::cib::render(&model),
                Format::Crm => {
                    pacemaker::crm::render(&model).map_err(|why| format!("error: {why}"))?
                }
                Format::Pcs => pacemaker::pcs::render(&model),
            }
        }
        Component::Multipath => multipath::render(),
    })
}

/// What the Filesystem agent of this machine knows. Its metadata is in its text.
fn installed_agent(paths: &Paths) -> Unmounting {
    let agent = paths.at(Path::new("/usr/lib/ocf/resource.d/heartbeat/Filesystem"));
    let knows = fs::read_to_string(agent)
        .is_ok_and(|text| text.contains("<parameter name=\"term_signals\">"));
    if knows {
        Unmounting::Signals
    } else {
        Unmounting::NoSignals
    }
}

/// The first line of `drbd.shared_secret_file`, which nobody but its owner may read.
fn shared_secret(c: &Config) -> Result<Option<String>, String> {
    let Some(file) = &c.drbd.shared_secret_file else {
        return Ok(None);
    };
    let name = file.display();
    let why = |e: std::io::Error| format!("cannot read DRBD's shared secret {name}: {e}");
    let mut handle = fs::File::open(file).map_err(why)?;
    let mode = handle.metadata().map_err(why)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "{name} holds DRBD's shared secret, but others may use it (mode {mode:04o}); run: chmod 0600 {name}"
        ));
    }
    let mut text = String::new();
    handle.read_to_string(&mut text).map_err(why)?;
    let secret = text.lines().next().unwrap_or_default();
    // SHARED_SECRET_MAX of the kernel's drbd_limits is 64, its end included.
    if secret.is_empty() || secret.len() > 63 {
        return Err(format!("the first line of {name} must hold 1 to 63 bytes"));
    }
    if let Some(c) = secret
        .chars()
        .find(|c| c.is_control() || matches!(c, '"' | '\\'))
    {
        return Err(format!(
            "the first line of {name} holds {c:?}, which drbd.conf cannot quote"
        ));
    }
    Ok(Some(secret.to_owned()))
}

/// The generation of the loaded module, or of the one that would be loaded.
fn running_drbd() -> Option<Generation> {
    let proc = fs::read_to_string(Path::new("/proc/drbd")).ok();
    proc.as_deref().and_then(from_proc).or_else(|| {
        let out = Command::new("drbdadm")
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        from_drbdadm(&String::from_utf8_lossy(&out.stdout))
    })
}

/// From `version: 8.4.11 (api:1/proto:86-101)`.
fn from_proc(text: &str) -> Option<Generation> {
    let version = text.lines().find_map(|l| l.strip_prefix("version: "))?;
    match version.split('.').next()? {
        "8" => Some(Generation::V84),
        "9" => Some(Generation::V9),
        _ => None,
    }
}

/// From `DRBD_KERNEL_VERSION_CODE=0x08040b`; 0 where no module is known.
fn from_drbdadm(text: &str) -> Option<Generation> {
    let code = text
        .lines()
        .find_map(|l| l.strip_prefix("DRBD_KERNEL_VERSION_CODE=0x"))?;
    match u32::from_str_radix(code.trim(), 16).ok()? >> 16 {
        8 => Some(Generation::V84),
        9 => Some(Generation::V9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_read_from_the_module() {
        let proc = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: C7B8F7076B8D6DB066D84D9\n";
        assert_eq!(from_proc(proc), Some(Generation::V84));
        assert_eq!(
            from_proc("version: 9.2.8 (api:2/proto:86-122)\n"),
            Some(Generation::V9)
        );
        assert_eq!(from_proc(""), None);
    }

    #[test]
    fn the_installed_filesystem_agent_is_asked_what_it_knows_and_none_is_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::rooted(dir.path().to_path_buf());
        assert_eq!(installed_agent(&paths), Unmounting::NoSignals);
        let agent = dir.path().join("usr/lib/ocf/resource.d/heartbeat");
        fs::create_dir_all(&agent).unwrap();
        let agent = agent.join("Filesystem");
        // resource-agents 4.12.0, then 4.16.0.
        fs::write(
            &agent,
            "for sig in TERM KILL; do\n<parameter name=\"force_unmount\">",
        )
        .unwrap();
        assert_eq!(installed_agent(&paths), Unmounting::NoSignals);
        fs::write(&agent, "<parameter name=\"term_signals\">\n<longdesc").unwrap();
        assert_eq!(installed_agent(&paths), Unmounting::Signals);
    }

    #[test]
    fn the_generation_is_read_from_drbdadm() {
        let out = |code| {
            format!(
                "DRBDADM_API_VERSION=2\nDRBD_KERNEL_VERSION_CODE={code}\nDRBDADM_VERSION=9.22.0\n"
            )
        };
        assert_eq!(from_drbdadm(&out("0x08040b")), Some(Generation::V84));
        assert_eq!(from_drbdadm(&out("0x090208")), Some(Generation::V9));
        assert_eq!(from_drbdadm(&out("0x000000")), None);
    }
}
