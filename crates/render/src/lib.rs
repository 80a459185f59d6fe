//! What DRBD, Corosync, Pacemaker and multipathd need to be told, from the one configuration. Every
//! renderer is a pure function: same configuration, same bytes, on either node.

pub mod corosync;
pub mod drbd;
pub mod multipath;
pub mod pacemaker;

use std::net::IpAddr;

/// Above every file: who wrote it, and where changes belong.
fn header(component: &str, target: &str) -> String {
    format!(
        "# Written by `two-node-ha render {component}` from /etc/two-node-ha.toml.\n\
         # Change that file and render again. Belongs to {target}\n"
    )
}

/// `4`, `6`: how Corosync and DRBD name an address family.
fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}
