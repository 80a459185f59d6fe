//! `corosync.conf`.

use two_node_ha_config::{Config, Transport};

use super::{family, header};

/// `/etc/corosync/corosync.conf`, the same on both nodes.
#[must_use]
pub fn render(c: &Config) -> String {
    let corosync = &c.corosync;
    let mut out = header("corosync", "/etc/corosync/corosync.conf on both nodes.");
    match corosync.transport {
        Transport::Knet => out.push_str(
            "#\n\
             # knet encrypts with the key /etc/corosync/authkey. Make it once, on one node, with\n\
             # `corosync-keygen`, and copy it to the other; it is of mode 0400 and root's.\n",
        ),
        Transport::Udpu => out.push_str(
            "#\n\
             # udpu is clear text without authentication: anybody on the network can stop the\n\
             # cluster. transport = \"knet\" in [corosync] is the safe choice.\n",
        ),
    }

    out += &format!(
        "\ntotem {{\n    version: 2\n    cluster_name: {}\n",
        c.cluster.name
    );
    match corosync.transport {
        Transport::Knet => {
            out += &format!(
                "    transport: knet\n    crypto_cipher: {}\n    crypto_hash: {}\n",
                corosync.crypto_cipher, corosync.crypto_hash
            );
        }
        Transport::Udpu => out += "    transport: udpu\n",
    }
    out += &format!(
        "    ip_version: ipv{}\n    token: {}\n",
        family(c.nodes[0].address),
        corosync.token.as_millis()
    );
    // By default 1.2 times the token, which makes sure that of many nodes all agree. corosync.conf(5): of
    // two, it may be shorter than the token.
    out += &format!("    consensus: {}\n", corosync.consensus.as_millis());
    let links = c.nodes[0].corosync_addresses.len();
    for (link, port) in (0..links).zip(corosync.port..) {
        let number = match corosync.transport {
            Transport::Knet => "linknumber",
            Transport::Udpu => "ringnumber",
        };
        out += &format!(
            "    interface {{\n        {number}: {link}\n        mcastport: {port}\n    }}\n"
        );
    }
    out += "}\n\nnodelist {\n";
    for node in &c.nodes {
        out += "    node {\n";
        for (link, address) in node.corosync_addresses.iter().enumerate() {
            out += &format!("        ring{link}_addr: {address}\n");
        }
        out += &format!(
            "        name: {}\n        nodeid: {}\n    }}\n",
            node.name, node.id
        );
    }
    // two_node implies wait_for_all: after a start, a node waits until it has seen the other once.
    // last_man_standing does nothing with two nodes, and auto_tie_breaker would disable two_node.
    out += "}\n\n\
            quorum {\n    provider: corosync_votequorum\n    two_node: 1\n}\n\n\
            logging {\n    to_logfile: no\n    to_syslog: yes\n    to_stderr: no\n}\n";
    out
}
