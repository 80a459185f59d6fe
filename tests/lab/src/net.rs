//! The network of an instance: one bridge for each link and one tap for each node, in a network
//! namespace without a name, which ends with the supervisor.

use crate::cluster::{HOST_BYTE, LINKS, NODES, Node, PREFIX};
use crate::host;
use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;

fn bridge(link: usize) -> String {
    format!("lab{link}")
}

/// The host's end of the node's cable on a link.
#[must_use]
pub fn tap(node: Node, link: usize) -> String {
    format!("lab{link}-{}", node.number())
}

fn ip(words: &str) -> Result<()> {
    host::run("ip", &words.split(' ').collect::<Vec<_>>()).map(drop)
}

/// Moves the calling process (all threads it starts from now on) into a network namespace of its
/// own, and builds the network there.
///
/// # Errors
/// When the kernel or `ip` refuses.
pub fn build() -> Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .context("make a network namespace")?;
    ip("link set lo up")?;
    for (link, net) in LINKS.iter().enumerate() {
        let bridge = bridge(link);
        ip(&format!(
            "link add {bridge} type bridge forward_delay 0 mcast_snooping 0"
        ))?;
        ip(&format!("addr add {net}.{HOST_BYTE}/{PREFIX} dev {bridge}"))?;
        ip(&format!("link set {bridge} up"))?;
        for node in NODES {
            let tap = tap(node, link);
            ip(&format!("tuntap add dev {tap} mode tap vnet_hdr"))?;
            ip(&format!("link set {tap} master {bridge} up"))?;
        }
    }
    Ok(())
}

/// Pulls the node's cables: it reaches neither its peer nor the host.
///
/// # Errors
/// When `ip` fails.
pub fn unplug(node: Node) -> Result<()> {
    (0..LINKS.len()).try_for_each(|link| ip(&format!("link set {} nomaster", tap(node, link))))
}

/// Cuts the nodes from each other; both are still reached by the host.
///
/// # Errors
/// When `bridge` fails.
pub fn isolate() -> Result<()> {
    set_isolation("on")
}

/// Ends every partition.
///
/// # Errors
/// When `ip` or `bridge` fails.
pub fn heal() -> Result<()> {
    for node in NODES {
        for link in 0..LINKS.len() {
            ip(&format!(
                "link set {} master {}",
                tap(node, link),
                bridge(link)
            ))?;
        }
    }
    set_isolation("off")
}

fn set_isolation(value: &str) -> Result<()> {
    for node in NODES {
        for link in 0..LINKS.len() {
            host::run(
                "bridge",
                &["link", "set", "dev", &tap(node, link), "isolated", value],
            )?;
        }
    }
    Ok(())
}

/// Moves the calling thread into the namespace of the instance, to speak with its nodes.
///
/// # Errors
/// When the supervisor is gone.
pub fn enter(supervisor: u32) -> Result<()> {
    let path = format!("/proc/{supervisor}/ns/net");
    let namespace = File::open(Path::new(&path)).with_context(|| format!("open {path}"))?;
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
        .context("enter the lab's network")
}
