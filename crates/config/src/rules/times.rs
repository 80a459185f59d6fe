//! Times that must be shorter than others, and sizes that must be large enough.

use std::time::Duration;

use crate::reader::{Fault, Reader};
use crate::schema::{Backing, Config, FencingMode};
use crate::times;
use crate::units::{format_duration, format_size};

/// `timeout` × `ko-count` of DRBD's defaults (drbd.conf(5): 6 s × 7): a peer that does not answer a
/// write for so long is dropped, and while a resync handler works, it does not answer.
const DRBD_KO: Duration = Duration::from_secs(42);

/// The least that a hung agent is given to answer before systemd kills it.
const LEAST_WATCHDOG: Duration = Duration::from_secs(10);

/// The least time between two reads of the datastore: it has other work.
const LEAST_HEALTH: Duration = Duration::from_secs(1);

/// What mkfs.xfs takes at least since xfsprogs 5.19.
const LEAST_XFS: u64 = 300 << 20;

pub(crate) fn check(r: &mut Reader<'_>, c: &Config) {
    let p = &c.pacemaker;
    if p.monitor_promoted == p.monitor_unpromoted
        && r.usable(&["pacemaker.monitor_promoted", "pacemaker.monitor_unpromoted"])
    {
        let at = either(
            r,
            "pacemaker.monitor_unpromoted",
            "pacemaker.monitor_promoted",
        );
        let fault = Fault::from(format!(
            "`monitor_promoted` and `monitor_unpromoted` are both {}",
            format_duration(p.monitor_promoted)
        ))
        .help("Pacemaker tells the two monitors apart by their intervals");
        r.error_at(at, 0, fault);
    }

    if c.corosync.consensus > c.corosync.token
        && r.usable(&["corosync.consensus", "corosync.token"])
    {
        let at = either(r, "corosync.consensus", "corosync.token");
        let fault = Fault::from(format!(
            "`consensus` ({}) is longer than `token` ({})",
            format_duration(c.corosync.consensus),
            format_duration(c.corosync.token)
        ))
        .help("of two nodes, only one is left to agree: a longer one only makes a failover longer");
        r.error_at(at, 0, fault);
    }

    below(
        r,
        ("hooks.fence_peer_deadline", c.hooks.fence_peer_deadline),
        ("pacemaker.promote_timeout", p.promote_timeout),
        "the handler must answer before Pacemaker gives the promotion up",
    );

    if c.hooks.resync_deadline >= DRBD_KO && r.usable(&["hooks.resync_deadline"]) {
        let fault = Fault::from(format!(
            "`resync_deadline` ({}) is not below the {} after which DRBD drops the link",
            format_duration(c.hooks.resync_deadline),
            format_duration(DRBD_KO)
        ));
        r.error_at("hooks.resync_deadline", 0, fault);
    }

    budget(
        r,
        ("pacemaker.failover_start_timeout", p.failover_start_timeout),
        &start_budget(c),
        "Pacemaker would give up a takeover that goes well",
    );
    budget(
        r,
        ("pacemaker.failover_stop_timeout", p.failover_stop_timeout),
        &stop_budget(),
        "Pacemaker would have the node fenced for a stop that goes well",
    );

    let watchdog = c.agent.watchdog;
    if !watchdog.is_zero() && watchdog < LEAST_WATCHDOG && r.usable(&["agent.watchdog"]) {
        let fault = Fault::from(format!(
            "`watchdog` ({}) is below {}",
            format_duration(watchdog),
            format_duration(LEAST_WATCHDOG)
        ))
        .help("0 turns it off");
        r.error_at("agent.watchdog", 0, fault);
    }

    let health = c.agent.health_interval;
    if !health.is_zero() && health < LEAST_HEALTH && r.usable(&["agent.health_interval"]) {
        let fault = Fault::from(format!(
            "`health_interval` ({}) is below {}",
            format_duration(health),
            format_duration(LEAST_HEALTH)
        ))
        .help("0 turns it off");
        r.error_at("agent.health_interval", 0, fault);
    }

    if let Backing::File { size, .. } = c.volume.backing {
        let too_small = c.volume.fstype == "xfs" && size < LEAST_XFS;
        if too_small && r.usable(&["volume.size", "volume.fstype"]) {
            let fault = Fault::from(format!(
                "xfs does not fit into {}; it needs {}",
                format_size(size),
                format_size(LEAST_XFS)
            ));
            r.error_at("volume.size", 0, fault);
        }
    }
}

/// What a time is made of: a key of the file, or a part that is fixed, and how long it is.
struct Part {
    name: &'static str,
    key: bool,
    takes: Duration,
}

fn key(name: &'static str, takes: Duration) -> Part {
    Part {
        name,
        key: true,
        takes,
    }
}

fn fixed(name: &'static str, takes: Duration) -> Part {
    Part {
        name,
        key: false,
        takes,
    }
}

/// The longest way from the start of the failover unit to a confirmed voter.
fn start_budget(c: &Config) -> Vec<Part> {
    let silent = match c.fencing.mode {
        FencingMode::Stonith => c.peer.silent_timeout,
        FencingMode::Constraint | FencingMode::None => Duration::ZERO,
    };
    vec![
        key("peer.silent_timeout", silent),
        // Two databases, one after the other.
        key("k8s.recover_timeout", c.k8s.recover_timeout),
        key("k8s.recover_timeout", c.k8s.recover_timeout),
        key("k8s.ready_timeout", c.k8s.ready_timeout),
    ]
}

/// The longest way from the stop of the failover unit to a volume that nobody holds, where nothing is
/// stuck in the kernel.
fn stop_budget() -> Vec<Part> {
    vec![
        fixed("the agent's release", times::AGENT_RELEASE),
        fixed("the killing after it", times::WAY_DOWN),
    ]
}

/// A time that has to be above the sum of others. The file's place is that of the first key of them
/// that it gives.
fn budget(r: &mut Reader<'_>, of: (&'static str, Duration), parts: &[Part], why: &str) {
    let sum = parts.iter().map(|part| part.takes).sum();
    let keys = parts.iter().filter(|part| part.key).map(|part| part.name);
    let paths: Vec<&'static str> = std::iter::once(of.0).chain(keys).collect();
    if of.1 > sum || !r.usable(&paths) {
        return;
    }
    let words: Vec<String> = parts
        .iter()
        .filter(|part| !part.takes.is_zero())
        .map(|part| {
            let tick = if part.key { "`" } else { "" };
            format!(
                "{tick}{}{tick} ({})",
                part.name,
                format_duration(part.takes)
            )
        })
        .collect();
    let fault = Fault::from(format!(
        "`{}` ({}) is not above {} together, which is {}",
        of.0,
        format_duration(of.1),
        words.join(", "),
        format_duration(sum),
    ))
    .help(why);
    let at = paths.iter().find(|path| r.given(path, 0));
    r.error_at(at.copied().unwrap_or(of.0), 0, fault);
}

/// The one of two keys that the file gives, the first if it gives both.
fn either(r: &Reader<'_>, a: &'static str, b: &'static str) -> &'static str {
    if r.given(a, 0) || !r.given(b, 0) {
        a
    } else {
        b
    }
}

fn below(
    r: &mut Reader<'_>,
    small: (&'static str, Duration),
    large: (&'static str, Duration),
    why: &str,
) {
    if small.1 >= large.1 && r.usable(&[small.0, large.0]) {
        let at = either(r, small.0, large.0);
        let fault = Fault::from(format!(
            "`{}` ({}) is not below `{}` ({})",
            small.0,
            format_duration(small.1),
            large.0,
            format_duration(large.1)
        ))
        .help(why);
        r.error_at(at, 0, fault);
    }
}
