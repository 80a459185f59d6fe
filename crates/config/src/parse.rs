//! From text to a [`Config`]: one function per table, then the rules between values.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use crate::diag::{Diagnostics, Severity};
use crate::places::COPIES;
use crate::reader::{Reader, Section};
use crate::schema::{
    AfterSb, Agent, Backing, Cluster, Config, Corosync, Drbd, FenceDevice, Fencing, FencingMode,
    Hooks, Host, K8s, LogLevel, LossAction, NoCopyPolicy, Node, Pacemaker, Peer, Recovery,
    RepairPolicy, Transport, Volume,
};
use crate::source::Source;
use crate::{names, rules, syntax};

/// Above Corosync's `join`, 50 ms.
const LEAST_CONSENSUS: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A valid configuration and what is unsafe about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The configuration.
    pub config: Config,
    /// Insecure but allowed values. Never an error.
    pub warnings: Diagnostics,
}

/// Reads the text of a configuration. `name` is the file's name, for diagnostics.
///
/// # Errors
/// All errors of the file.
pub fn parse(text: &str, name: &str, host: Host<'_>) -> Result<Config, Diagnostics> {
    parse_with_warnings(text, name, host)
        .map(|parsed| parsed.config)
        .map_err(Diagnostics::without_warnings)
}

/// Like [`parse`], and tells of insecure but allowed values.
///
/// # Errors
/// All errors of the file, and its warnings among them.
pub fn parse_with_warnings(text: &str, name: &str, host: Host<'_>) -> Result<Parsed, Diagnostics> {
    let source = Source::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    let (reader, config) = if errors.is_empty() {
        let mut reader = Reader::new(source, found, Vec::new());
        let config = build(&mut reader, table.get_ref(), host);
        (reader, config)
    } else {
        let (broken, rest) = syntax::report(&source, &errors, &mut found);
        let mut reader = Reader::new(source, found, broken);
        let table = DeTable::parse_recoverable(&rest).0;
        build(&mut reader, table.get_ref(), host);
        (reader, None)
    };
    let found = Diagnostics::new(name, reader.found);
    match config {
        Some(config) if found.errors() == 0 => Ok(Parsed {
            config,
            warnings: found,
        }),
        _ => Err(found),
    }
}

/// The text without the lines that are not TOML, for whoever looks for what can still be read.
#[must_use]
pub fn readable(text: &str) -> String {
    let errors = DeTable::parse_recoverable(text).1;
    if errors.is_empty() {
        return text.to_owned();
    }
    syntax::report(&Source::new(text), &errors, &mut Vec::new()).1
}

/// Reads the bytes of a configuration as UTF-8.
///
/// # Errors
/// Where the first byte stands that is not.
pub fn decode<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Diagnostics> {
    std::str::from_utf8(bytes).map_err(|e| {
        let good = e.valid_up_to();
        // What is left of that byte is text, and enough to point behind it.
        let text = std::str::from_utf8(&bytes[..good]).unwrap_or_default();
        let message = format!("the byte 0x{:02x} is not UTF-8", bytes[good]);
        let d = crate::Diagnostic::new(&Source::new(text), Severity::Error, good..good, message);
        Diagnostics::new(name, vec![d])
    })
}

/// Builds what can be built and reports the rest. `Some` means complete, but only valid if the
/// reader found no error.
fn build<'t>(r: &mut Reader<'_>, root: &'t DeTable<'t>, host: Host<'_>) -> Option<Config> {
    r.root(root);
    let section = |r: &mut Reader<'_>, name| r.section(Some(root), name);

    let cluster = section(r, "cluster");
    let cluster = Cluster {
        name: r.text(&cluster, "name", names::cluster).unwrap_or_default(),
    };
    let nodes = nodes(r, root);
    let volume = section(r, "volume");
    let volume = self::volume(r, &volume);
    let drbd = section(r, "drbd");
    let drbd = self::drbd(r, &drbd);
    let corosync = section(r, "corosync");
    let corosync = self::corosync(r, &corosync);
    let pacemaker = section(r, "pacemaker");
    let pacemaker = self::pacemaker(r, &pacemaker);
    let fencing = self::fencing(r, root);
    let k8s = section(r, "k8s");
    let k8s = self::k8s(r, &k8s);
    let peer = section(r, "peer");
    let peer = self::peer(r, &peer);
    let agent = section(r, "agent");
    let agent = self::agent(r, &agent);
    let hooks = section(r, "hooks");
    let hooks = self::hooks(r, &hooks, &volume.backing);

    let mut config = Config {
        cluster,
        nodes: nodes?,
        this: None,
        volume,
        drbd,
        corosync,
        pacemaker,
        fencing,
        k8s,
        peer,
        agent,
        hooks,
    };
    // A line that is not TOML may hold what a rule would miss.
    if r.whole() {
        config.this = rules::host(r, &config, host);
        rules::check(r, &config);
    }
    Some(config)
}

const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn nodes<'t>(r: &mut Reader<'_>, root: &'t DeTable<'t>) -> Option<[Node; 2]> {
    let sections = r.sections(root.get("node"), "node");
    let mut nodes = Vec::new();
    for (s, id) in sections.iter().zip(1..) {
        let links = r.addresses(s, "corosync_addresses");
        if let Some(links) = &links {
            rules::network::link_count(r, nodes.len(), links.len());
        }
        let name = r.text(s, "name", names::node).unwrap_or_default();
        let address = r.address(s, "address").unwrap_or(NOWHERE);
        nodes.push(Node {
            hostname: r
                .text(s, "hostname", names::hostname)
                .unwrap_or_else(|| name.clone()),
            name,
            drbd_address: r.address(s, "drbd_address").unwrap_or(address),
            corosync_addresses: links.unwrap_or_else(|| vec![address]),
            address,
            id: r.integer(s, "id").unwrap_or(id),
        });
    }
    let count = nodes.len();
    let nodes = <[Node; 2]>::try_from(nodes).ok();
    if nodes.is_none() && r.whole() {
        rules::node_count(r, count);
    }
    nodes
}

fn volume(r: &mut Reader<'_>, s: &Section<'_>) -> Volume {
    let device = r.path(s, "device", rules::drbd_device).unwrap_or_default();
    let file = r.path(s, "backing_file", names::backing_file);
    let disk = r.path(s, "backing_device", names::backing_device);
    let symlink = r.path(s, "loop_symlink", names::dev_symlink);
    // DRBD's own metadata and a file system do not fit into less.
    let size = r.size(s, "size", 64 << 20, 1 << 50);
    let direct_io = r.boolean(s, "direct_io");
    rules::backing(r);
    if file.is_none() {
        r.spoil("volume.backing_file", 0);
    }
    Volume {
        resource: r
            .text(s, "resource", names::drbd_resource)
            .unwrap_or_default(),
        minor: rules::minor(&device).unwrap_or_default(),
        device,
        backing: match (file, disk) {
            (None, Some(disk)) => Backing::Device(disk),
            (file, _) => Backing::File {
                path: file.unwrap_or_default(),
                symlink: symlink.unwrap_or_default(),
                size: size.unwrap_or_default(),
                direct_io: direct_io.unwrap_or_default(),
            },
        },
        mount_point: r
            .path(s, "mount_point", names::mount_point)
            .unwrap_or_default(),
        fstype: r.choice(s, "fstype").unwrap_or_default().to_owned(),
        mount_options: r
            .texts(s, "mount_options", names::mount_option)
            .unwrap_or_default(),
    }
}

fn drbd(r: &mut Reader<'_>, s: &Section<'_>) -> Drbd {
    // The range of c-max-rate in drbd.conf(5): 250 KiB/s to 4 GiB/s.
    let resync_max_rate = r.size(s, "resync_max_rate", 250 << 10, 4 << 30);
    // 0 is no rate to DRBD: it would not slow down at all.
    let rate = r.size(s, "resync_min_rate", 1 << 10, 4 << 30);
    let given = r.given("drbd.resync_min_rate", 0);
    let resync_min_rate = match (rate.unwrap_or_default(), resync_max_rate) {
        (rate, Some(max)) if !given => rate.min(max),
        (rate, _) => rate,
    };
    let mut after_sb = |name| match r.choice(s, name) {
        Some("discard-zero-changes") => AfterSb::DiscardZeroChanges,
        Some("discard-secondary") => AfterSb::DiscardSecondary,
        Some("consensus") => AfterSb::Consensus,
        Some("call-pri-lost-after-sb") => AfterSb::CallPriLostAfterSb,
        _ => AfterSb::Disconnect,
    };
    Drbd {
        after_sb_0pri: after_sb("after_sb_0pri"),
        after_sb_1pri: after_sb("after_sb_1pri"),
        after_sb_2pri: after_sb("after_sb_2pri"),
        port: r.port(s, "port").unwrap_or_default(),
        ready_timeout: r
            .duration(s, "ready_timeout", SECOND, HOUR)
            .unwrap_or_default(),
        verify_alg: r.choice(s, "verify_alg").unwrap_or_default().to_owned(),
        cram_hmac_alg: r.choice(s, "cram_hmac_alg").unwrap_or_default().to_owned(),
        shared_secret_file: r.path(s, "shared_secret_file", names::anything),
        resync_max_rate,
        resync_min_rate,
    }
}

fn corosync(r: &mut Reader<'_>, s: &Section<'_>) -> Corosync {
    let transport = match r.choice(s, "transport") {
        Some("udpu") => Transport::Udpu,
        _ => Transport::Knet,
    };
    let token = r.duration(s, "token", SECOND, MINUTE).unwrap_or_default();
    let consensus = r.duration(s, "consensus", LEAST_CONSENSUS, MINUTE);
    let mut crypto = |name, path| {
        let value = r.choice(s, name);
        if transport == Transport::Udpu && !r.given(path, 0) {
            return "none".to_owned();
        }
        value.unwrap_or_default().to_owned()
    };
    Corosync {
        crypto_cipher: crypto("crypto_cipher", "corosync.crypto_cipher"),
        crypto_hash: crypto("crypto_hash", "corosync.crypto_hash"),
        transport,
        port: r.port(s, "port").unwrap_or_default(),
        token,
        // As cman had it for two nodes.
        consensus: consensus.unwrap_or_else(|| {
            (token / 5).clamp(Duration::from_millis(200), Duration::from_secs(2))
        }),
    }
}

fn pacemaker(r: &mut Reader<'_>, s: &Section<'_>) -> Pacemaker {
    let mut id = |name| r.text(s, name, names::cib_id).unwrap_or_default();
    let (drbd_resource, drbd_clone) = (id("drbd_resource"), id("drbd_clone"));
    let (fs_resource, failover_resource) = (id("fs_resource"), id("failover_resource"));
    let mut time = |name, least| r.duration(s, name, least, HOUR).unwrap_or_default();
    Pacemaker {
        drbd_resource,
        drbd_clone,
        fs_resource,
        failover_resource,
        monitor_promoted: time("monitor_promoted", SECOND),
        monitor_unpromoted: time("monitor_unpromoted", SECOND),
        promote_timeout: time("promote_timeout", 10 * SECOND),
        failover_start_timeout: time("failover_start_timeout", 10 * SECOND),
        failover_stop_timeout: time("failover_stop_timeout", 10 * SECOND),
        migration_threshold: r.integer(s, "migration_threshold").unwrap_or_default(),
        failure_timeout: r
            .duration(s, "failure_timeout", Duration::ZERO, 7 * DAY)
            .unwrap_or_default(),
        no_quorum_policy: r
            .choice(s, "no_quorum_policy")
            .unwrap_or_default()
            .to_owned(),
    }
}

fn fencing<'t>(r: &mut Reader<'_>, root: &'t DeTable<'t>) -> Fencing {
    let s = r.section(Some(root), "fencing");
    let table = root.get("fencing").and_then(|v| v.get_ref().as_table());
    let devices = r.sections(table.and_then(|t| t.get("device")), "fencing.device");
    let devices = devices
        .iter()
        .map(|s| {
            let node = r.text(s, "node", names::anything).unwrap_or_default();
            FenceDevice {
                name: r
                    .text(s, "name", names::cib_id)
                    .unwrap_or_else(|| format!("fence_{node}")),
                agent: r.text(s, "agent", names::fence_agent).unwrap_or_default(),
                node,
                params: r.params(s, "params", names::fence_param),
                delay: r
                    .duration(s, "delay", Duration::ZERO, MINUTE)
                    .unwrap_or_default(),
            }
        })
        .collect();
    Fencing {
        mode: match r.choice(&s, "mode") {
            Some("constraint") => FencingMode::Constraint,
            Some("none") => FencingMode::None,
            _ => FencingMode::Stonith,
        },
        devices,
        promote_without_fencing: r.boolean(&s, "promote_without_fencing").unwrap_or_default(),
    }
}

fn k8s(r: &mut Reader<'_>, s: &Section<'_>) -> K8s {
    let mut path = |name| r.path(s, name, names::anything).unwrap_or_default();
    let dirs: [PathBuf; 6] = [
        "k8s_dqlite_dir",
        "k8sd_dir",
        "recovery_dir",
        "k8sd_path",
        "kubectl_path",
        "kubeconfig",
    ]
    .map(&mut path);
    let [
        k8s_dqlite_dir,
        k8sd_dir,
        recovery_dir,
        k8sd_path,
        kubectl_path,
        kubeconfig,
    ] = dirs;
    let mut services = |name| r.texts(s, name, names::service).unwrap_or_default();
    K8s {
        services: services("services"),
        datastore_services: services("datastore_services"),
        snap: r.text(s, "snap", names::snap).unwrap_or_default(),
        snap_channel: r
            .text(s, "snap_channel", names::snap_channel)
            .unwrap_or_default(),
        k8s_dqlite_dir,
        k8sd_dir,
        recovery_dir,
        k8sd_path,
        kubectl_path,
        kubeconfig,
        k8sd_log_level: r
            .integer(s, "k8sd_log_level")
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or_default(),
        k8s_dqlite_port: r.port(s, "k8s_dqlite_port").unwrap_or_default(),
        k8sd_port: r.port(s, "k8sd_port").unwrap_or_default(),
        ready_timeout: r
            .duration(s, "ready_timeout", SECOND, HOUR)
            .unwrap_or_default(),
        recovery: match r.choice(s, "recovery") {
            Some("k8sd") => Recovery::K8sd,
            _ => Recovery::Native,
        },
        recover_timeout: r
            .duration(s, "recover_timeout", SECOND, HOUR)
            .unwrap_or_default(),
    }
}

fn peer(r: &mut Reader<'_>, s: &Section<'_>) -> Peer {
    Peer {
        ssh_user: r.text(s, "ssh_user", names::user).unwrap_or_default(),
        ssh_port: r.port(s, "ssh_port").unwrap_or_default(),
        ssh_options: r
            .texts(s, "ssh_options", names::ssh_option)
            .unwrap_or_default(),
        connect_timeout: r
            .duration(s, "connect_timeout", SECOND, MINUTE)
            .unwrap_or_default(),
        ready_timeout: r
            .duration(s, "ready_timeout", SECOND, HOUR)
            .unwrap_or_default(),
        silent_timeout: r
            .duration(s, "silent_timeout", SECOND, HOUR)
            .unwrap_or_default(),
    }
}

fn agent(r: &mut Reader<'_>, s: &Section<'_>) -> Agent {
    Agent {
        log_level: match r.choice(s, "log_level") {
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            _ => LogLevel::Info,
        },
        watchdog: r
            .duration(s, "watchdog", Duration::ZERO, DAY)
            .unwrap_or_default(),
        health_interval: r
            .duration(s, "health_interval", Duration::ZERO, HOUR)
            .unwrap_or_default(),
        keep_backups: r.integer(s, "keep_backups").unwrap_or_default(),
        keep_tarballs: r.integer(s, "keep_tarballs").unwrap_or_default(),
        repair: match r.choice(s, "repair") {
            Some("never") => RepairPolicy::Never,
            _ => RepairPolicy::Automatic,
        },
    }
}

fn hooks(r: &mut Reader<'_>, s: &Section<'_>, backing: &Backing) -> Hooks {
    Hooks {
        fence_peer_deadline: r
            .duration(s, "fence_peer_deadline", SECOND, HOUR)
            .unwrap_or_default(),
        resync_deadline: r
            .duration(s, "resync_deadline", SECOND, HOUR)
            .unwrap_or_default(),
        no_copy: match r.choice(s, "no_copy") {
            Some("refuse") => NoCopyPolicy::Refuse,
            _ => NoCopyPolicy::Proceed,
        },
        copies: r.integer(s, "copies").unwrap_or_default(),
        copy_dir: r
            .path(s, "copy_dir", names::anything)
            .unwrap_or_else(|| match backing {
                // On its own file system, the only one that can clone it.
                Backing::File { path, .. } => path.with_file_name(".two-node-ha-copies"),
                Backing::Device(_) => COPIES.into(),
            }),
        alert_command: r.path(s, "alert_command", names::anything),
        alert_attribute: r.text(s, "alert_attribute", names::attribute),
        on_local_io_error: loss(r, s, "on_local_io_error"),
        on_pri_lost: loss(r, s, "on_pri_lost"),
        on_pri_lost_after_sb: loss(r, s, "on_pri_lost_after_sb"),
        on_pri_on_incon_degr: loss(r, s, "on_pri_on_incon_degr"),
        on_out_of_sync: loss(r, s, "on_out_of_sync"),
        on_quorum_lost: loss(r, s, "on_quorum_lost"),
    }
}

fn loss(r: &mut Reader<'_>, s: &Section<'_>, name: &'static str) -> LossAction {
    match r.choice(s, name) {
        Some("demote") => LossAction::Demote,
        Some("reboot") => LossAction::Reboot,
        _ => LossAction::None,
    }
}
