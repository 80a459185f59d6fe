//! A DRBD resource file, for the in-kernel DRBD 8.4 or LINBIT's DRBD 9.

use std::net::IpAddr;

use two_node_ha_config::{AfterSb, Backing, Config, Drbd, FencingMode};
use two_node_ha_drbd::Handler;

use super::header;

/// Which grammar drbdadm wants. It follows the kernel module: the same drbdadm program runs
/// `drbdadm-84` under an 8.4 kernel, which refuses `node-id`, and refuses 8.4's place of `fencing`
/// under a 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 8.4, in every mainline kernel.
    V84,
    /// 9, LINBIT's own module.
    V9,
}

/// The handlers of fencing; never called under `fencing dont-care`.
const FENCING: [Handler; 2] = [Handler::FencePeer, Handler::UnfencePeer];

/// The handlers of a resync. The answers of the first two let it begin.
const RESYNC: [Handler; 3] = [
    Handler::BeforeResyncTarget,
    Handler::AfterResyncTarget,
    Handler::BeforeResyncSource,
];

/// The observing handlers: whatever they answer, DRBD ignores.
const OBSERVED: [Handler; 7] = [
    Handler::SplitBrain,
    Handler::InitialSplitBrain,
    Handler::PriLost,
    Handler::PriOnInconDegr,
    Handler::LocalIoError,
    Handler::OutOfSync,
    Handler::PriLostAfterSb,
];

/// The same that only DRBD 9 knows.
const OBSERVED_9: [Handler; 2] = [Handler::QuorumLost, Handler::Disconnected];

const HOOK: &str = "/usr/sbin/two-node-ha-hook";

/// `/etc/drbd.d/RESOURCE.res`, the same on both nodes. `secret` is the content of
/// `drbd.shared_secret_file`.
#[must_use]
pub fn render(c: &Config, generation: Generation, secret: Option<&str>) -> String {
    let resource = &c.volume.resource;
    let mut out = header(
        "drbd",
        &format!("/etc/drbd.d/{resource}.res on both nodes."),
    );
    if secret.is_some() {
        out += "# mode 0600: it holds the shared secret.\n";
    }
    out += &format!("\nresource {resource} {{\n");
    net(&mut out, c, generation, secret);
    disk(&mut out, c, generation);
    handlers(&mut out, c, generation);
    for node in &c.nodes {
        let disk = match &c.volume.backing {
            Backing::File { symlink, .. } => symlink,
            Backing::Device(device) => device,
        };
        out += &format!("\n    on {} {{\n", node.hostname);
        if generation == Generation::V9 {
            out += &format!("        node-id   {};\n", node.id);
        }
        out += &format!(
            "        device    {} minor {};\n        disk      {};\n        address   {};\n        meta-disk internal;\n    }}\n",
            c.volume.device.display(),
            c.volume.minor,
            quoted(&disk.to_string_lossy()),
            endpoint(node.drbd_address, c.drbd.port),
        );
    }
    out += "}\n";
    out
}

/// `10.0.0.1:7788`, `ipv6 [fd00::1]:7788`.
fn endpoint(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("ipv6 [{v6}]:{port}"),
    }
}

/// The validation refuses what drbd.conf cannot quote: `"` and `\`.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn fencing(c: &Config) -> &'static str {
    match c.fencing.mode {
        // The primary freezes until the handler has answered, so that nothing is acknowledged which
        // the survivor does not have.
        FencingMode::Stonith => "fencing resource-and-stonith;",
        FencingMode::Constraint => "fencing resource-only;",
        FencingMode::None => "fencing dont-care;",
    }
}

fn net(out: &mut String, c: &Config, generation: Generation, secret: Option<&str>) {
    let Drbd {
        after_sb_0pri,
        after_sb_1pri,
        after_sb_2pri,
        verify_alg,
        cram_hmac_alg,
        ..
    } = &c.drbd;
    *out += "    net {\n        protocol C;\n        allow-two-primaries no;\n";
    if generation == Generation::V9 {
        *out += &format!("        {}\n", fencing(c));
    }
    if let Some(secret) = secret {
        *out += &format!(
            "        cram-hmac-alg {cram_hmac_alg};\n        shared-secret {};\n",
            quoted(secret)
        );
    }
    *out += &format!(
        "        verify-alg {verify_alg};\n        after-sb-0pri {};\n        after-sb-1pri {};\n        after-sb-2pri {};\n    }}\n",
        policy(*after_sb_0pri),
        policy(*after_sb_1pri),
        policy(*after_sb_2pri),
    );
}

fn policy(policy: AfterSb) -> &'static str {
    match policy {
        AfterSb::Disconnect => "disconnect",
        AfterSb::DiscardZeroChanges => "discard-zero-changes",
        AfterSb::DiscardSecondary => "discard-secondary",
        AfterSb::Consensus => "consensus",
        AfterSb::CallPriLostAfterSb => "call-pri-lost-after-sb",
    }
}

fn disk(out: &mut String, c: &Config, generation: Generation) {
    // It detaches all the same, after the handler: with `detach` nobody would hear of it.
    *out += "\n    disk {\n        on-io-error call-local-io-error;\n";
    if generation == Generation::V84 {
        *out += &format!("        {}\n", fencing(c));
    }
    if let Some(rate) = c.drbd.resync_max_rate {
        // KiB/s, the unit of c-max-rate.
        *out += &format!("        c-max-rate {}k;\n", rate >> 10);
    }
    *out += &format!("        c-min-rate {}k;\n", c.drbd.resync_min_rate >> 10);
    *out += "    }\n";
}

fn handlers(out: &mut String, c: &Config, generation: Generation) {
    *out += "\n    handlers {\n";
    if c.fencing.mode != FencingMode::None {
        // drbd-utils' own scripts would do; under Pacemaker 2.1.7 and later those of some releases
        // wait for their whole time-out, and writes stand still meanwhile.
        for name in FENCING {
            *out += &format!("        {name} \"{HOOK} {name}\";\n");
        }
    }
    for name in RESYNC {
        *out += &format!("        {name} \"{HOOK} {name}\";\n");
    }
    let more: &[Handler] = match generation {
        Generation::V84 => &[],
        Generation::V9 => &OBSERVED_9,
    };
    for name in OBSERVED.iter().chain(more) {
        *out += &format!("        {name} \"{HOOK} {name}\";\n");
    }
    // Where `call-pri-lost-after-sb` is asked for, DRBD relies on the handler to take the node down:
    // it does so itself, since the configuration is valid only with on_pri_lost_after_sb = "reboot".
    *out += "    }\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handler_of_drbd_is_rendered() {
        let lists = [&FENCING[..], &RESYNC, &OBSERVED, &OBSERVED_9];
        let mut rendered: Vec<_> = lists.concat();
        rendered.push(Handler::Udev);
        rendered.sort_by_key(Handler::to_string);
        let mut known = Handler::KNOWN.to_vec();
        known.sort_by_key(Handler::to_string);
        assert_eq!(rendered, known);
    }
}
