//! Addresses and ports.

use std::net::IpAddr;

use crate::reader::{Fault, Reader};
use crate::schema::Config;

pub(crate) fn check(r: &mut Reader<'_>, c: &Config) {
    if r.usable(&[
        "node.address",
        "node.drbd_address",
        "node.corosync_addresses",
    ]) {
        addresses(r, c);
    }
    links(r, c);
    ports(r, c);
}

/// Every address of a node with the key that gives it. A default repeats `address` and is left out.
fn all(r: &Reader<'_>, c: &Config, i: usize) -> Vec<(&'static str, IpAddr)> {
    let node = &c.nodes[i];
    let mut all = vec![("node.address", node.address)];
    if r.given("node.drbd_address", i) {
        all.push(("node.drbd_address", node.drbd_address));
    }
    if r.given("node.corosync_addresses", i) {
        let links = node.corosync_addresses.iter();
        all.extend(links.map(|a| ("node.corosync_addresses", *a)));
    }
    all
}

/// One family, and none of the one node's is the other's.
fn addresses(r: &mut Reader<'_>, c: &Config) {
    let v4 = c.nodes[0].address.is_ipv4();
    let first = all(r, c, 0);
    for i in 0..2 {
        for (path, address) in all(r, c, i) {
            if address.is_ipv4() != v4 {
                let fault = Fault::from(format!(
                    "`{address}` is IPv{}, but the first node's address is IPv{}",
                    if v4 { 6 } else { 4 },
                    if v4 { 4 } else { 6 },
                ))
                .help("all addresses are of one family");
                r.error_at(path, i, fault);
            }
            if i == 1 && first.iter().any(|(_, a)| *a == address) {
                r.error_at(path, i, format!("both nodes have the address {address}"));
            }
        }
    }
}

/// How many links there may be: what knet and a second network need, and no more.
pub(crate) fn link_count(r: &mut Reader<'_>, node: usize, count: usize) {
    if !(1..=2).contains(&count) {
        let fault = format!("Corosync has one link or two here, not {count}");
        r.error_at("node.corosync_addresses", node, fault);
        r.spoil("node.corosync_addresses", node);
    }
}

fn links(r: &mut Reader<'_>, c: &Config) {
    let counts = c.nodes.each_ref().map(|n| n.corosync_addresses.len());
    if counts[0] != counts[1] && r.usable(&["node.corosync_addresses"]) {
        let at = usize::from(r.given("node.corosync_addresses", 1));
        let fault = Fault::from(format!(
            "the first node has {} of Corosync's links, the second {}",
            counts[0], counts[1]
        ))
        .help("each link needs an address on both nodes");
        r.error_at("node.corosync_addresses", at, fault);
    }
}

/// TCP ports of Kubernetes itself, which no key moves.
const K8S: [(u16, &str); 5] = [
    (6443, "kube-apiserver"),
    (10250, "kubelet"),
    (10256, "kube-proxy"),
    (10257, "kube-controller-manager"),
    (10259, "kube-scheduler"),
];

fn ports(r: &mut Reader<'_>, c: &Config) {
    let tcp = [
        ("peer.ssh_port", c.peer.ssh_port),
        ("k8s.k8s_dqlite_port", c.k8s.k8s_dqlite_port),
        ("k8s.k8sd_port", c.k8s.k8sd_port),
        ("drbd.port", c.drbd.port),
    ];
    for (i, (path, port)) in tcp.iter().enumerate() {
        let other = tcp[..i].iter().find(|(_, p)| p == port);
        if let Some((other, _)) = other {
            if r.usable(&[path, other]) {
                let fault = Fault::from(format!("`{path}` and `{other}` are both TCP port {port}"));
                let at = if r.given(path, 0) { path } else { other };
                r.error_at(at, 0, fault);
            }
        }
        if let Some((_, user)) = K8S.iter().find(|(p, _)| p == port) {
            if r.usable(&[path]) {
                r.error_at(path, 0, format!("TCP port {port} is {user}'s"));
            }
        }
    }
    // Each link has a port: the first link's, counted up.
    let last = c.nodes[0].corosync_addresses.len().saturating_sub(1);
    if usize::from(c.corosync.port) + last > 65535 && r.usable(&["corosync.port"]) {
        let fault = "the second link would have UDP port 65536".to_owned();
        r.error_at("corosync.port", 0, fault);
    }
}
