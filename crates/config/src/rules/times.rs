//! Times that must be shorter than others, and sizes that must be large enough.

use std::time::Duration;

use crate::reader::{Fault, Reader};
use crate::schema::{Backing, Config};
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

    let sum = c.k8s.recover_timeout + c.k8s.ready_timeout;
    let paths = [
        "pacemaker.failover_start_timeout",
        "k8s.recover_timeout",
        "k8s.ready_timeout",
    ];
    if p.failover_start_timeout <= sum && r.usable(&paths) {
        let fault = Fault::from(format!(
            "`failover_start_timeout` ({}) is not above `recover_timeout` ({}) and `ready_timeout` ({}) together",
            format_duration(p.failover_start_timeout),
            format_duration(c.k8s.recover_timeout),
            format_duration(c.k8s.ready_timeout),
        ))
        .help("Pacemaker would give a recovery up that goes well");
        let at = paths.into_iter().find(|path| r.given(path, 0));
        r.error_at(at.unwrap_or(paths[0]), 0, fault);
    }

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
