//! The databases' ports on a dead peer: connections to them are refused on this node, at once.
//!
//! k8sd and k8s-dqlite dial every member of the cluster. Where the dead one's packets are dropped, each
//! call waits until its time is out: a recovery takes 14.6 s in place of 2.7, and `k8s status` never comes
//! back. A routing rule of this node answers such a call with "network is unreachable" before a packet is
//! sent.
//!
//! The rules are few and marked as ours ([`PROTOCOL`]): whoever knows the mark can take them away, with no
//! configuration and no record of what was added. They end with the boot, as all rules do.

mod dialled;
#[cfg(test)]
mod effect;
mod rules;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use two_node_ha_command::{Call, Runner, succeed};

pub use dialled::dialled;
use rules::{Family, Listed};

/// Who has added a rule, by rtnetlink's `rtm_protocol`: nobody else's. The kernel's list
/// (`include/uapi/linux/rtnetlink.h`) and iproute2's (`/etc/iproute2/rt_protos`) leave this number free;
/// it is DRBD's, as a block device.
pub const PROTOCOL: u8 = 147;

/// Where in the order of the rules ours are: before all that send a packet anywhere, such as those of a
/// node with more than one network. The first of Cilium, the network of Canonical Kubernetes, is at 9.
pub const PRIORITY: u32 = 5;

/// What one `ip` may take. It asks the kernel only, and a machine that swaps is slow.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many rules were taken away, and added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Taken away.
    pub removed: usize,
    /// Added.
    pub added: usize,
}

/// Refuses this node's own connections to these addresses and to no others.
///
/// # Errors
/// Which rules could not be changed, and why. The others are.
pub fn refuse(runner: &dyn Runner, addresses: &BTreeSet<SocketAddr>) -> Result<Changed, String> {
    let mut changed = Changed::default();
    let mut failed = Vec::new();
    for family in Family::ALL {
        if let Err(why) = bring(runner, family, addresses, &mut changed) {
            failed.push(why);
        }
    }
    if failed.is_empty() {
        Ok(changed)
    } else {
        Err(failed.join("; "))
    }
}

/// Refuses nothing any more.
///
/// # Errors
/// See [`refuse`].
pub fn open(runner: &dyn Runner) -> Result<Changed, String> {
    refuse(runner, &BTreeSet::new())
}

/// Brings the rules of one family to what is wanted. A list of ours that is not exactly that, with a rule
/// twice or one of another port, is made anew: in between a connection waits as it would without us.
fn bring(
    runner: &dyn Runner,
    family: Family,
    addresses: &BTreeSet<SocketAddr>,
    changed: &mut Changed,
) -> Result<(), String> {
    let wanted: Vec<&SocketAddr> = addresses.iter().filter(|a| family.has(a)).collect();
    let listed = list(runner, family)?;
    let ours: Vec<&Listed> = listed.iter().filter(|rule| rule.is_ours()).collect();
    let each = |address: &&SocketAddr| ours.iter().any(|rule| rule.refuses(address));
    if ours.len() == wanted.len() && wanted.iter().all(each) {
        return Ok(());
    }
    for rule in &ours {
        // By number and mark: the kernel takes the first that has both. As many are asked away as there
        // are, and none that is another's can be meant.
        succeed(
            runner,
            &ip(family).args([
                "rule",
                "del",
                "priority",
                &rule.priority.to_string(),
                "protocol",
                &PROTOCOL.to_string(),
            ]),
        )?;
        changed.removed += 1;
    }
    // A kernel before Linux 4.17 passes over what it does not know of a rule, mark and port among it: the
    // rule would cut the whole peer off, and could not be told from others. One that knows the mark has
    // learnt the port with it, and shows the mark of its own rules.
    if !wanted.is_empty() && listed.iter().all(|rule| rule.protocol.is_none()) {
        return Err(
            "the routing rules of this kernel know no protocol and port (Linux 4.17 does)".into(),
        );
    }
    for address in wanted {
        succeed(runner, &add(family, address))?;
        changed.added += 1;
    }
    Ok(())
}

/// The rules of a family; none where the kernel has no such family, or no rules.
fn list(runner: &dyn Runner, family: Family) -> Result<Vec<Listed>, String> {
    // `-details` shows whose the kernel's own rules are.
    let call = ip(family).args(["-json", "-details", "rule", "show"]);
    match runner.run(&call) {
        Ok(output) if output.success() => rules::read(&output.stdout)
            .map_err(|error| format!("the answer of `{call}` cannot be read: {error}")),
        Ok(output) if output.complaint().contains("not supported") => Ok(Vec::new()),
        Ok(output) => Err(output.failure(&call)),
        Err(error) => Err(error.to_string()),
    }
}

/// `iif lo` is what this node sends itself (ip-rule(8)): what it forwards for others goes on.
fn add(family: Family, address: &SocketAddr) -> Call {
    ip(family).args([
        "rule",
        "add",
        "priority",
        &PRIORITY.to_string(),
        "protocol",
        &PROTOCOL.to_string(),
        "iif",
        "lo",
        "to",
        &address.ip().to_string(),
        "ipproto",
        "tcp",
        "dport",
        &address.port().to_string(),
        "unreachable",
    ])
}

fn ip(family: Family) -> Call {
    Call::new("ip", DEADLINE).args([family.option()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_command::{Exit, Output};

    const NONE_4: &str = include_str!("fixtures/none.4.json");
    const NONE_6: &str = include_str!("fixtures/none.6.json");
    const OURS_4: &str = include_str!("fixtures/ours.4.json");
    const OURS_6: &str = include_str!("fixtures/ours.6.json");
    /// One of ours twice, another of a port of before, and two of an administrator's.
    const MIXED_4: &str = include_str!("fixtures/mixed.4.json");

    fn both(host: &str) -> BTreeSet<SocketAddr> {
        let at = |port: u16| format!("{host}:{port}").parse().unwrap();
        BTreeSet::from([at(6400), at(9000)])
    }

    /// A machine with these rules of the two families.
    fn with(v4: &str, v6: &str) -> Scripted {
        Scripted::new()
            .answer("ip -4 -json", 0, v4)
            .answer("ip -6 -json", 0, v6)
            .answer("ip -4 rule", 0, "")
            .answer("ip -6 rule", 0, "")
    }

    /// What was changed, by the command lines.
    fn changes(runner: &Scripted) -> Vec<String> {
        let mut calls = runner.calls();
        calls.retain(|call| !call.contains("show"));
        calls
    }

    #[test]
    fn the_rules_of_both_families_are_added_with_our_mark() {
        let runner = with(NONE_4, NONE_6);
        let changed = refuse(&runner, &both("10.9.0.2")).unwrap();
        assert_eq!((changed.removed, changed.added), (0, 2));
        let of = |family: &str, to: &str, port: u16| {
            format!(
                "ip -{family} rule add priority 5 protocol 147 iif lo to {to} ipproto tcp dport {port} \
                 unreachable"
            )
        };
        let wanted = [of("4", "10.9.0.2", 6400), of("4", "10.9.0.2", 9000)];
        assert_eq!(changes(&runner), wanted);
        let runner = with(NONE_4, NONE_6);
        refuse(&runner, &both("[fd09::2]")).unwrap();
        let wanted = [of("6", "fd09::2", 6400), of("6", "fd09::2", 9000)];
        assert_eq!(changes(&runner), wanted);
    }

    #[test]
    fn what_is_there_already_is_not_added_twice() {
        for (v4, v6, host) in [
            (OURS_4, NONE_6, "10.9.0.2"),
            (NONE_4, OURS_6, "[fd09::2]"),
            // As somebody else writes it.
            (NONE_4, OURS_6, "[fd09:0:0::0:2]"),
        ] {
            let runner = with(v4, v6);
            assert_eq!(refuse(&runner, &both(host)), Ok(Changed::default()));
            assert_eq!(changes(&runner), Vec::<String>::new());
        }
    }

    #[test]
    fn doubles_and_rules_of_another_port_or_peer_are_replaced_and_those_of_others_stay() {
        let del =
            |family, priority| format!("ip -{family} rule del priority {priority} protocol 147");
        let runner = with(MIXED_4, OURS_6);
        let changed = refuse(&runner, &both("10.9.0.2")).unwrap();
        assert_eq!((changed.removed, changed.added), (6, 2));
        let calls = changes(&runner);
        let gone: Vec<_> = calls.iter().filter(|call| call.contains("del")).collect();
        let wanted = [
            del(4, 5),
            del(4, 5),
            del(4, 5),
            del(4, 6),
            del(6, 5),
            del(6, 5),
        ];
        assert_eq!(gone, wanted.iter().collect::<Vec<_>>());
        let runner = with(OURS_4, NONE_6);
        refuse(&runner, &both("10.9.0.3")).unwrap();
        assert_eq!(changes(&runner).len(), 4, "two of the peer of before");
    }

    #[test]
    fn opening_takes_all_of_ours_away_and_nothing_else() {
        let runner = with(MIXED_4, OURS_6);
        let changed = open(&runner).unwrap();
        assert_eq!((changed.removed, changed.added), (6, 0));
        let ours = |call: &String| call.contains("del") && call.ends_with("protocol 147");
        assert!(changes(&runner).iter().all(ours));
        let runner = with(NONE_4, NONE_6);
        assert_eq!(open(&runner), Ok(Changed::default()));
        assert_eq!(changes(&runner), Vec::<String>::new());
    }

    #[test]
    fn a_kernel_that_would_pass_over_the_port_gets_no_rule_for_it_would_cut_the_whole_peer_off() {
        let old = r#"[{"priority":0,"src":"all","table":"local"},
            {"priority":32766,"src":"all","table":"main"}]"#;
        let runner = with(old, old);
        let why = refuse(&runner, &both("10.9.0.2")).unwrap_err();
        assert!(why.contains("Linux 4.17"), "{why}");
        assert_eq!(changes(&runner), Vec::<String>::new());
        assert_eq!(open(&runner), Ok(Changed::default()));
    }

    fn fails(
        complaint: &'static str,
    ) -> impl Fn(&Call) -> Result<Output, two_node_ha_command::Error> {
        move |_| {
            Ok(Output {
                exit: Exit::Code(2),
                stdout: Vec::new(),
                stderr: complaint.into(),
            })
        }
    }

    #[test]
    fn a_machine_without_ipv6_has_no_rules_of_it() {
        let runner = Scripted::new()
            .answer("ip -4 -json", 0, OURS_4)
            .answer("ip -4 rule", 0, "")
            .answer_with(
                "ip -6",
                fails(
                    "RTNETLINK answers: Address family not supported by protocol\nDump terminated",
                ),
            );
        assert_eq!(open(&runner).unwrap().removed, 2);
    }

    #[test]
    fn a_family_that_cannot_be_changed_keeps_the_other_from_nothing_and_is_told() {
        let runner = Scripted::new()
            .answer_with("ip -4", fails("Cannot talk to rtnetlink"))
            .answer("ip -6 -json", 0, OURS_6)
            .answer("ip -6 rule", 0, "");
        let why = open(&runner).unwrap_err();
        assert_eq!(
            why,
            "`ip -4 -json -details rule show` ended with exit code 2: Cannot talk to rtnetlink"
        );
        assert_eq!(changes(&runner).len(), 2);
        let runner = Scripted::new().absent("ip");
        let why = open(&runner).unwrap_err();
        assert!(why.contains("not installed"), "{why}");
    }
}
