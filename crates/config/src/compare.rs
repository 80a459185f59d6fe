//! The two nodes' configurations, compared.
//!
//! The file is to be the same on both nodes, and nobody but the agents can see whether it is: each
//! tells the other its [`facts`] at every contact. They travel, and `two-node-ha plan --json` shows
//! them, so they hold no secret: of a fence device's parameters and of ssh's options only the names,
//! as even a digest would give a short password away.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schema::{Backing, Config};
use crate::units::{format_duration, format_size};

/// A configuration, flat: the path of each key and its value in words, defaults included. Nodes and
/// fence devices go by their names: `node.haone.address`.
pub type Facts = BTreeMap<String, String>;

/// A key in which two configurations differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// Its value on this node.
    pub mine: String,
    /// Its value on the other one.
    pub theirs: String,
    /// Whether it can lead to two voters or to a wrong device, so that no voter is made and no spare
    /// started for the first time before it is gone.
    pub matters: bool,
}

/// What is compared of a configuration: all of it but which of the two nodes it was read on.
#[must_use]
pub fn facts(config: &Config) -> Facts {
    let mut facts = Collected(Facts::new());
    nodes(&mut facts, config);
    volume(&mut facts, config);
    replication(&mut facts, config);
    cluster(&mut facts, config);
    fencing(&mut facts, config);
    k8s(&mut facts, config);
    agents(&mut facts, config);
    facts.0
}

/// Where they differ, in the order of the keys. A key that only one of them has belongs to another
/// version of this program and is no difference: the names of nodes and devices are facts themselves.
#[must_use]
pub fn differences(mine: &Facts, theirs: &Facts) -> Vec<Difference> {
    mine.iter()
        .filter_map(|(key, mine)| Some((key, mine, theirs.get(key)?)))
        .filter(|(_, mine, theirs)| mine != theirs)
        .map(|(key, mine, theirs)| Difference {
            key: key.clone(),
            mine: mine.clone(),
            theirs: theirs.clone(),
            matters: matters(key),
        })
        .collect()
}

/// What the nodes reach each other by, which device is whose, and what may make a voter.
fn matters(key: &str) -> bool {
    match key {
        "node" | "drbd.port" | "fencing.mode" | "fencing.promote_without_fencing" => true,
        // How the file is made and read on this node alone.
        "volume.size" | "volume.direct_io" => false,
        key => key.starts_with("node.") || key.starts_with("volume."),
    }
}

/// Facts in the making.
struct Collected(Facts);

impl Collected {
    fn put(&mut self, key: impl Into<String>, value: impl Display) {
        self.0.insert(key.into(), value.to_string());
    }

    fn time(&mut self, key: &str, value: Duration) {
        self.put(key, format_duration(value));
    }

    fn list<T: Display>(&mut self, key: impl Into<String>, values: &[T]) {
        let words: Vec<String> = values.iter().map(T::to_string).collect();
        self.put(key, some_or_none(words.join(", ")));
    }

    /// The variant of an enum, as the file spells it.
    fn choice(&mut self, key: &str, value: impl Debug) {
        let mut words = String::new();
        for c in format!("{value:?}").chars() {
            if c.is_ascii_uppercase() && !words.is_empty() {
                words.push('-');
            }
            words.push(c.to_ascii_lowercase());
        }
        self.put(key, words);
    }
}

fn some_or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

fn optional<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "none".to_owned(), words)
}

fn nodes(facts: &mut Collected, config: &Config) {
    let mut names: Vec<&str> = config.nodes.iter().map(|n| n.name.as_str()).collect();
    names.sort_unstable();
    facts.list("node", &names);
    for node in &config.nodes {
        let key = |name: &str| format!("node.{}.{name}", node.name);
        facts.put(key("name"), &node.name);
        facts.put(key("hostname"), &node.hostname);
        facts.put(key("address"), node.address);
        facts.put(key("drbd_address"), node.drbd_address);
        facts.list(key("corosync_addresses"), &node.corosync_addresses);
        facts.put(key("id"), node.id);
    }
}

fn volume(facts: &mut Collected, config: &Config) {
    let volume = &config.volume;
    facts.put("volume.resource", &volume.resource);
    facts.put("volume.device", volume.device.display());
    let (file, device, symlink, size, direct_io) = match &volume.backing {
        Backing::File {
            path,
            symlink,
            size,
            direct_io,
        } => (
            Some(path),
            None,
            Some(symlink),
            Some(*size),
            Some(*direct_io),
        ),
        Backing::Device(path) => (None, Some(path), None, None, None),
    };
    for (key, path) in [
        ("volume.backing_file", file),
        ("volume.backing_device", device),
        ("volume.loop_symlink", symlink),
    ] {
        facts.put(key, optional(path, |path| path.display().to_string()));
    }
    facts.put("volume.size", optional(size, format_size));
    facts.put(
        "volume.direct_io",
        optional(direct_io, |yes| yes.to_string()),
    );
    facts.put("volume.mount_point", volume.mount_point.display());
    facts.put("volume.fstype", &volume.fstype);
    facts.list("volume.mount_options", &volume.mount_options);
}

fn replication(facts: &mut Collected, config: &Config) {
    let drbd = &config.drbd;
    facts.put("drbd.port", drbd.port);
    facts.time("drbd.ready_timeout", drbd.ready_timeout);
    facts.choice("drbd.after_sb_0pri", drbd.after_sb_0pri);
    facts.choice("drbd.after_sb_1pri", drbd.after_sb_1pri);
    facts.choice("drbd.after_sb_2pri", drbd.after_sb_2pri);
    facts.put("drbd.verify_alg", &drbd.verify_alg);
    facts.put("drbd.cram_hmac_alg", &drbd.cram_hmac_alg);
    let secret = drbd.shared_secret_file.as_ref();
    facts.put(
        "drbd.shared_secret_file",
        optional(secret, |path| path.display().to_string()),
    );
    facts.put(
        "drbd.resync_max_rate",
        optional(drbd.resync_max_rate, format_size),
    );
    facts.put("drbd.resync_min_rate", format_size(drbd.resync_min_rate));
}

fn cluster(facts: &mut Collected, config: &Config) {
    facts.put("cluster.name", &config.cluster.name);
    let corosync = &config.corosync;
    facts.choice("corosync.transport", corosync.transport);
    facts.put("corosync.port", corosync.port);
    facts.put("corosync.crypto_cipher", &corosync.crypto_cipher);
    facts.put("corosync.crypto_hash", &corosync.crypto_hash);
    facts.time("corosync.token", corosync.token);
    facts.time("corosync.consensus", corosync.consensus);
    let p = &config.pacemaker;
    facts.put("pacemaker.drbd_resource", &p.drbd_resource);
    facts.put("pacemaker.drbd_clone", &p.drbd_clone);
    facts.put("pacemaker.fs_resource", &p.fs_resource);
    facts.put("pacemaker.failover_resource", &p.failover_resource);
    facts.time("pacemaker.monitor_promoted", p.monitor_promoted);
    facts.time("pacemaker.monitor_unpromoted", p.monitor_unpromoted);
    facts.time("pacemaker.promote_timeout", p.promote_timeout);
    facts.time("pacemaker.failover_start_timeout", p.failover_start_timeout);
    facts.time("pacemaker.failover_stop_timeout", p.failover_stop_timeout);
    facts.put("pacemaker.migration_threshold", p.migration_threshold);
    facts.time("pacemaker.failure_timeout", p.failure_timeout);
    facts.put("pacemaker.no_quorum_policy", &p.no_quorum_policy);
}

fn fencing(facts: &mut Collected, config: &Config) {
    let fencing = &config.fencing;
    facts.choice("fencing.mode", fencing.mode);
    facts.put(
        "fencing.promote_without_fencing",
        fencing.promote_without_fencing,
    );
    let mut names: Vec<&str> = fencing.devices.iter().map(|d| d.name.as_str()).collect();
    names.sort_unstable();
    facts.list("fencing.device", &names);
    for device in &fencing.devices {
        let key = |name: &str| format!("fencing.device.{}.{name}", device.name);
        facts.put(key("name"), &device.name);
        facts.put(key("agent"), &device.agent);
        facts.put(key("node"), &device.node);
        let params: Vec<&str> = device.params.keys().map(String::as_str).collect();
        facts.list(key("params"), &params);
        facts.put(key("delay"), format_duration(device.delay));
    }
}

fn k8s(facts: &mut Collected, config: &Config) {
    let k8s = &config.k8s;
    facts.put("k8s.snap", &k8s.snap);
    facts.put("k8s.snap_channel", &k8s.snap_channel);
    facts.list("k8s.services", &k8s.services);
    facts.list("k8s.datastore_services", &k8s.datastore_services);
    facts.put("k8s.k8s_dqlite_dir", k8s.k8s_dqlite_dir.display());
    facts.put("k8s.k8sd_dir", k8s.k8sd_dir.display());
    facts.put("k8s.recovery_dir", k8s.recovery_dir.display());
    facts.put("k8s.k8sd_path", k8s.k8sd_path.display());
    facts.put("k8s.kubectl_path", k8s.kubectl_path.display());
    facts.put("k8s.kubeconfig", k8s.kubeconfig.display());
    facts.put("k8s.k8sd_log_level", k8s.k8sd_log_level);
    facts.put("k8s.k8s_dqlite_port", k8s.k8s_dqlite_port);
    facts.put("k8s.k8sd_port", k8s.k8sd_port);
    facts.time("k8s.ready_timeout", k8s.ready_timeout);
    facts.choice("k8s.recovery", k8s.recovery);
    facts.time("k8s.recover_timeout", k8s.recover_timeout);
}

fn agents(facts: &mut Collected, config: &Config) {
    let peer = &config.peer;
    facts.put("peer.ssh_user", &peer.ssh_user);
    facts.put("peer.ssh_port", peer.ssh_port);
    let options: Vec<&str> = peer
        .ssh_options
        .iter()
        .filter_map(|option| option.split(['=', ' ', '\t']).next())
        .collect();
    facts.list("peer.ssh_options", &options);
    facts.time("peer.connect_timeout", peer.connect_timeout);
    facts.time("peer.ready_timeout", peer.ready_timeout);
    facts.time("peer.silent_timeout", peer.silent_timeout);
    let agent = &config.agent;
    facts.choice("agent.log_level", agent.log_level);
    facts.time("agent.watchdog", agent.watchdog);
    facts.time("agent.health_interval", agent.health_interval);
    facts.put("agent.keep_backups", agent.keep_backups);
    facts.put("agent.keep_tarballs", agent.keep_tarballs);
    facts.choice("agent.repair", agent.repair);
    let hooks = &config.hooks;
    facts.time("hooks.fence_peer_deadline", hooks.fence_peer_deadline);
    facts.time("hooks.resync_deadline", hooks.resync_deadline);
    facts.choice("hooks.no_copy", hooks.no_copy);
    facts.put("hooks.copies", hooks.copies);
    facts.put("hooks.copy_dir", hooks.copy_dir.display());
    let command = hooks.alert_command.as_ref();
    facts.put(
        "hooks.alert_command",
        optional(command, |path| path.display().to_string()),
    );
    facts.put(
        "hooks.alert_attribute",
        optional(hooks.alert_attribute.as_ref(), Clone::clone),
    );
    facts.choice("hooks.on_local_io_error", hooks.on_local_io_error);
    facts.choice("hooks.on_pri_lost", hooks.on_pri_lost);
    facts.choice("hooks.on_pri_lost_after_sb", hooks.on_pri_lost_after_sb);
    facts.choice("hooks.on_pri_on_incon_degr", hooks.on_pri_on_incon_degr);
    facts.choice("hooks.on_out_of_sync", hooks.on_out_of_sync);
    facts.choice("hooks.on_quorum_lost", hooks.on_quorum_lost);
}
