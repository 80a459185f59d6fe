//! Rules between values. Each speaks only when the values it compares are themselves good, and
//! points at the one that is the likelier slip.

pub(crate) mod network;
mod paths;
mod times;

use std::path::Path;

use crate::reader::{Fault, Reader};
use crate::schema::{AfterSb, Config, FencingMode, Host, LossAction, NoCopyPolicy, Transport};
use crate::suggest;

/// All of them, the warnings included.
pub(crate) fn check(r: &mut Reader<'_>, c: &Config) {
    network::check(r, c);
    paths::check(r, c);
    times::check(r, c);
    names(r, c);
    corosync(r, c);
    fencing(r, c);
    services(r, c);
    losses(r, c);
    resync_rates(r, c);
    copies(r, c);
    warnings(r, c);
}

/// Not two nodes: points at the first one too many, or at the end of the file.
pub(crate) fn node_count(r: &mut Reader<'_>, count: usize) {
    let fault = match count {
        0 => Fault::from("there is no [[node]]; a cluster has exactly two"),
        1 => Fault::from("there is only one [[node]]; a cluster has exactly two"),
        n => Fault::from(format!(
            "there are {n} [[node]] tables; a cluster has exactly two"
        )),
    };
    let fault = match count {
        0 | 1 => fault.help("add a [[node]] with its name and address"),
        _ => fault,
    };
    r.error_at("node", count.saturating_sub(1).min(2), fault);
}

/// Which node this host is.
pub(crate) fn host(r: &mut Reader<'_>, c: &Config, host: Host<'_>) -> Option<usize> {
    let both = format!("`{}` and `{}`", c.nodes[0].name, c.nodes[1].name);
    match host {
        Host::Any => None,
        Host::Node(name) => {
            let this = c.nodes.iter().position(|n| n.name == name);
            if this.is_none() && r.usable(&["node.name"]) {
                let fault = Fault::from(format!("there is no node `{name}` in this file"))
                    .help(format!("the nodes are {both}"));
                r.error_at("node.name", 0, fault);
            }
            this
        }
        Host::Hostname(name) => {
            let this = c.nodes.iter().position(|n| n.hostname == name);
            if this.is_none() && r.usable(&["node.name", "node.hostname"]) {
                let short = |n: &str| n.split('.').next().unwrap_or_default().to_ascii_lowercase();
                let near = c
                    .nodes
                    .iter()
                    .position(|n| short(&n.hostname) == short(name));
                let help = match near {
                    Some(i) => format!(
                        "if this host is `{}`, write hostname = \"{name}\" in its [[node]]",
                        c.nodes[i].name
                    ),
                    None => format!("the nodes are {both}; name one of them with --node"),
                };
                let fault = Fault::from(format!(
                    "this host is called `{name}`, which is neither of the two nodes"
                ))
                .help(help);
                let at = if r.given("node.hostname", near.unwrap_or(0)) {
                    "node.hostname"
                } else {
                    "node.name"
                };
                r.error_at(at, near.unwrap_or(0), fault);
            }
            this
        }
    }
}

/// `/dev/drbdN`.
pub(crate) fn drbd_device(text: &str) -> Result<(), Fault> {
    // 2^20 - 1: what Linux has bits for.
    match minor(Path::new(text)) {
        Some(n) if n < 1 << 20 && text == format!("/dev/drbd{n}") => Ok(()),
        _ => Err(Fault::from(format!(
            "`{text}` is not /dev/drbd and a minor number"
        ))),
    }
}

/// `N` of `/dev/drbdN`.
pub(crate) fn minor(device: &Path) -> Option<u32> {
    device.to_str()?.strip_prefix("/dev/drbd")?.parse().ok()
}

/// A file or a device.
pub(crate) fn backing(r: &mut Reader<'_>) {
    let file = r.given("volume.backing_file", 0);
    let device = r.given("volume.backing_device", 0);
    if file && device {
        let line = r.line("volume.backing_file", 0);
        r.spoil("volume.backing_file", 0);
        let fault = Fault::from("the volume lies either in a file or on a device, not in both")
            .help(format!("remove this line or line {line}"));
        r.error_at("volume.backing_device", 0, fault);
    } else if !file && !device && r.whole() {
        let fault = Fault::from("[volume] lacks its `backing_file` or `backing_device`").help(
            "add, for example, backing_file = \"/opt/drbd0-backstore\" or backing_device = \"/dev/vg0/drbd0\"",
        );
        r.error_at("volume.backing_file", 0, fault);
        r.spoil("volume.backing_file", 0);
    } else if device {
        for path in ["volume.loop_symlink", "volume.size", "volume.direct_io"] {
            if r.given(path, 0) {
                let name = path.trim_start_matches("volume.");
                let fault = Fault::from(format!("`{name}` means nothing for a backing_device"))
                    .help("it is for the loop device of a backing_file; remove it");
                r.error_at(path, 0, fault);
            }
        }
    }
}

/// Names that must differ.
fn names(r: &mut Reader<'_>, c: &Config) {
    let [a, b] = &c.nodes;
    if a.name == b.name && r.usable(&["node.name"]) {
        r.error_at(
            "node.name",
            1,
            format!("both nodes are called `{}`", a.name),
        );
    } else if a.hostname == b.hostname && r.usable(&["node.name", "node.hostname"]) {
        let fault = Fault::from(format!("both nodes have the host name `{}`", a.hostname));
        let at = usize::from(r.given("node.hostname", 1));
        r.error_at("node.hostname", at, fault);
    }
    if a.id == b.id && r.usable(&["node.id"]) {
        let at = usize::from(r.given("node.id", 1));
        let fault = Fault::from(format!("both nodes have the id {}", a.id)).help(
            "a node without an `id` has 1 if it is the first of the file, 2 if it is the second",
        );
        r.error_at("node.id", at, fault);
    }

    // One name space: Pacemaker's.
    let p = &c.pacemaker;
    let mut taken: Vec<(&str, &'static str, usize)> = Vec::new();
    let resources = [
        (p.drbd_resource.as_str(), "pacemaker.drbd_resource"),
        (&p.drbd_clone, "pacemaker.drbd_clone"),
        (&p.fs_resource, "pacemaker.fs_resource"),
        (&p.failover_resource, "pacemaker.failover_resource"),
    ];
    let resources = resources.into_iter().map(|(n, path)| (n, path, 0));
    let devices = c.fencing.devices.iter().enumerate();
    let devices = devices.map(|(i, d)| (d.name.as_str(), "fencing.device.name", i));
    for (name, path, index) in resources.chain(devices) {
        let other = taken.iter().find(|(n, _, _)| *n == name);
        if let Some((_, other, at)) = other {
            if r.usable(&[other, path, "fencing.device.node"]) {
                // Points at the one that the file gives: the default of the other is not to blame.
                let ((here, i), (other, at)) = if r.given(path, index) || !r.given(other, *at) {
                    ((path, index), (*other, *at))
                } else {
                    ((*other, *at), (path, index))
                };
                let line = r.line(other, at);
                let fault = Fault::from(format!("two resources of Pacemaker are called `{name}`"))
                    .help(format!(
                        "the other is `{other}`, line {line}; each needs a name of its own"
                    ));
                r.error_at(here, i, fault);
            }
        }
        taken.push((name, path, index));
    }
}

fn corosync(r: &mut Reader<'_>, c: &Config) {
    let crypto = [
        ("corosync.crypto_cipher", &c.corosync.crypto_cipher),
        ("corosync.crypto_hash", &c.corosync.crypto_hash),
    ];
    for (path, value) in crypto {
        if !r.usable(&[path, "corosync.transport"]) {
            continue;
        }
        let name = path.trim_start_matches("corosync.");
        match c.corosync.transport {
            Transport::Udpu if value != "none" => {
                let fault = Fault::from(format!("udpu cannot do {name} = \"{value}\""))
                    .help("use transport = \"knet\", which encrypts and authenticates");
                r.error_at(path, 0, fault);
            }
            Transport::Knet if value == "none" => {
                let fault = Fault::from(format!(
                    "knet without {name}: anybody on the network could stop the cluster"
                ))
                .help("remove the line; the default is safe");
                r.error_at(path, 0, fault);
            }
            Transport::Udpu | Transport::Knet => {}
        }
    }
    for (i, node) in c.nodes.iter().enumerate() {
        if c.corosync.transport == Transport::Udpu
            && node.corosync_addresses.len() > 1
            && r.usable(&["corosync.transport", "node.corosync_addresses"])
        {
            let fault = Fault::from("udpu has only one link")
                .help("leave one address, or use transport = \"knet\"");
            r.error_at("node.corosync_addresses", i, fault);
        }
    }
}

fn fencing(r: &mut Reader<'_>, c: &Config) {
    let mut named = c.nodes[0].name != c.nodes[1].name;
    for (i, device) in c.fencing.devices.iter().enumerate() {
        if c.node(&device.node).is_none()
            && c.nodes[0].name != c.nodes[1].name
            && r.usable(&["node.name", "fencing.device.node"])
        {
            named = false;
            let near = suggest::closest(&device.node, c.nodes.iter().map(|n| n.name.as_str()));
            let help = match near {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!(
                    "the nodes are `{}` and `{}`",
                    c.nodes[0].name, c.nodes[1].name
                ),
            };
            let fault = Fault::from(format!("there is no node `{}`", device.node)).help(help);
            r.error_at("fencing.device.node", i, fault);
        }
    }
    if c.fencing.mode == FencingMode::Stonith
        && named
        && r.usable(&["fencing.mode", "fencing.device.node", "node.name"])
    {
        let lacking: Vec<_> = c
            .nodes
            .iter()
            .filter(|n| !c.fencing.devices.iter().any(|d| d.node == n.name))
            .map(|n| format!("`{}`", n.name))
            .collect();
        if !lacking.is_empty() {
            let fault = Fault::from(format!(
                "no fence device can power off {}",
                lacking.join(" or ")
            ))
            .help("add a [[fencing.device]] with `node` and `agent` for each; or set mode = \"constraint\" in [fencing], and read what that costs");
            r.error_at("fencing.mode", 0, fault);
        }
    }
    if c.fencing.mode == FencingMode::Stonith
        && c.fencing.promote_without_fencing
        && r.usable(&["fencing.mode", "fencing.promote_without_fencing"])
    {
        let fault = Fault::from("`promote_without_fencing` contradicts mode = \"stonith\"")
            .help("remove it: a node that can be powered off is never guessed dead");
        r.error_at("fencing.promote_without_fencing", 0, fault);
    }
}

fn copies(r: &mut Reader<'_>, c: &Config) {
    if c.hooks.copies == 0
        && c.hooks.no_copy == NoCopyPolicy::Refuse
        && r.usable(&["hooks.copies", "hooks.no_copy"])
    {
        let fault = Fault::from("`copies = 0` and no_copy = \"refuse\" would refuse every resync")
            .help("without resyncs the other node's data is the only copy: keep at least one, or set no_copy = \"proceed\"");
        r.error_at("hooks.copies", 0, fault);
    }
}

fn services(r: &mut Reader<'_>, c: &Config) {
    if !r.usable(&["k8s.services", "k8s.datastore_services"]) {
        return;
    }
    // Without these the databases would be switched beneath a running process.
    for must in ["k8s-dqlite", "k8sd"] {
        for (path, all) in [
            ("k8s.services", &c.k8s.services),
            ("k8s.datastore_services", &c.k8s.datastore_services),
        ] {
            if !all.iter().any(|s| s == must) {
                r.error_at(
                    path,
                    0,
                    format!("`{path}` lacks \"{must}\", which writes a database"),
                );
            }
        }
    }
    for service in &c.k8s.datastore_services {
        if !c.k8s.services.contains(service) && service != "k8s-dqlite" && service != "k8sd" {
            let fault = format!("the datastore service `{service}` is none of `services`");
            r.error_at("k8s.datastore_services", 0, fault);
        }
    }
}

/// A floor above the ceiling would say two things.
fn resync_rates(r: &mut Reader<'_>, c: &Config) {
    let path = "drbd.resync_min_rate";
    let Some(max) = c.drbd.resync_max_rate else {
        return;
    };
    if c.drbd.resync_min_rate > max && r.usable(&[path, "drbd.resync_max_rate"]) {
        r.error_at(
            path,
            0,
            Fault::from("`resync_min_rate` is more than `resync_max_rate`"),
        );
    }
}

/// DRBD goes on after `call-pri-lost-after-sb` as if the handler had taken this node down: one that
/// comes back from it leaves both nodes apart, each with its own data.
fn losses(r: &mut Reader<'_>, c: &Config) {
    let policies = [
        ("drbd.after_sb_1pri", c.drbd.after_sb_1pri),
        ("drbd.after_sb_2pri", c.drbd.after_sb_2pri),
    ];
    let action = "hooks.on_pri_lost_after_sb";
    for (path, policy) in policies {
        if policy == AfterSb::CallPriLostAfterSb
            && c.hooks.on_pri_lost_after_sb != LossAction::Reboot
            && r.usable(&[path, action])
        {
            let fault = Fault::from(
                "`call-pri-lost-after-sb` needs a handler that takes the node down at once",
            )
            .help("write on_pri_lost_after_sb = \"reboot\" in [hooks], or use \"disconnect\" here");
            r.error_at(path, 0, fault);
        }
    }
}

/// Allowed, but unsafe.
fn warnings(r: &mut Reader<'_>, c: &Config) {
    match c.fencing.mode {
        FencingMode::Stonith => {}
        FencingMode::Constraint => r.warning_at(
            "fencing.mode",
            0,
            Fault::from("a dead Corosync cannot be told from a dead node")
                .help("use mode = \"stonith\" where a fence device can be had"),
        ),
        FencingMode::None => r.warning_at(
            "fencing.mode",
            0,
            Fault::from(
                "in a partition both nodes can become primary, and one side's writes will be lost",
            )
            .help("use mode = \"stonith\" where a fence device can be had"),
        ),
    }
    if c.fencing.promote_without_fencing {
        r.warning_at(
            "fencing.promote_without_fencing",
            0,
            "a node will become the voter without knowing that the other one is dead",
        );
    }
    if c.corosync.transport == Transport::Udpu {
        r.warning_at(
            "corosync.transport",
            0,
            Fault::from("udpu is neither encrypted nor authenticated: anybody on the network can stop the cluster")
                .help("use transport = \"knet\""),
        );
    }
    if c.pacemaker.no_quorum_policy == "ignore" {
        r.warning_at(
            "pacemaker.no_quorum_policy",
            0,
            Fault::from(
                "after a start of both nodes apart from each other, both would run the database",
            )
            .help("use \"stop\": with two nodes a lone survivor has quorum anyway"),
        );
    }
    let discards = [
        ("drbd.after_sb_1pri", c.drbd.after_sb_1pri),
        ("drbd.after_sb_2pri", c.drbd.after_sb_2pri),
    ];
    for (path, policy) in discards {
        if policy != AfterSb::Disconnect {
            r.warning_at(
                path,
                0,
                Fault::from("after a split brain one side's writes are thrown away unasked")
                    .help("use \"disconnect\" and let a person decide"),
            );
        }
    }
    if let [a, b] = c.fencing.devices.as_slice() {
        if c.fencing.mode == FencingMode::Stonith && a.delay == b.delay {
            r.warning_at(
                "fencing.device.delay",
                1,
                Fault::from("when the nodes lose each other, both are shot at once")
                    .help("give one of the two devices a `delay`, such as \"5s\""),
            );
        }
    }
}
