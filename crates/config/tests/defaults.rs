//! What a file may leave out.

use std::path::Path;
use std::time::Duration;

use two_node_ha_config::*;

const SMALLEST: &str = r#"
[[node]]
name = "haone"
address = "10.0.0.1"

[[node]]
name = "hatwo"
address = "10.0.0.2"

[volume]
backing_file = "/opt/drbd0-backstore"

[[fencing.device]]
node = "haone"
agent = "fence_ipmilan"
params = { ip = "10.0.9.1", lanplus = true, port = 7 }
delay = "5s"

[[fencing.device]]
node = "hatwo"
agent = "fence_ipmilan"
"#;

fn smallest() -> Parsed {
    match parse_with_warnings(SMALLEST, "x.toml", Host::Any) {
        Ok(parsed) => parsed,
        Err(d) => panic!("{d}"),
    }
}

#[test]
fn the_defaults_are_the_guides_values_with_its_mistakes_corrected() {
    let c = smallest().config;
    assert_eq!(c.cluster.name, "ha");
    assert_eq!(c.volume.resource, "r0");
    assert_eq!(c.volume.device, Path::new("/dev/drbd0"));
    assert_eq!(c.volume.minor, 0);
    assert_eq!(
        c.volume.backing,
        Backing::File {
            path: "/opt/drbd0-backstore".into(),
            symlink: "/dev/lodrbd".into(),
            size: 2000 << 20,
            direct_io: true,
        }
    );
    assert_eq!(c.volume.mount_point, Path::new("/mnt/drbd0"));
    assert_eq!(c.volume.fstype, "ext4");
    assert_eq!(c.drbd.port, 7788);
    assert_eq!(c.drbd.after_sb_0pri, AfterSb::Disconnect);
    assert_eq!(c.drbd.shared_secret_file, None);
    assert_eq!(c.corosync.transport, Transport::Knet);
    assert_eq!(c.corosync.crypto_cipher, "aes256");
    assert_eq!(c.corosync.port, 5405);
    assert_eq!(c.pacemaker.drbd_clone, "drbd_master_slave");
    assert_eq!(c.pacemaker.no_quorum_policy, "stop");
    assert_eq!(c.pacemaker.failover_start_timeout, Duration::from_secs(480));
    assert_eq!(c.fencing.mode, FencingMode::Stonith);
    assert_eq!(c.k8s.services.len(), 8);
    assert_eq!(c.k8s.datastore_services, ["k8s-dqlite", "k8sd"]);
    assert_eq!(c.k8s.unit("k8sd"), "snap.k8s.k8sd.service");
    assert_eq!(c.peer.ssh_user, "two-node-ha");
    assert_eq!(c.agent.log_level, LogLevel::Info);
    assert_eq!(c.agent.watchdog, Duration::from_secs(600));
    assert_eq!(c.agent.health_interval, Duration::from_secs(10));
    assert_eq!(c.k8s.recovery, Recovery::Native);
    assert_eq!(c.corosync.token, Duration::from_secs(3));
    assert_eq!(c.corosync.consensus, Duration::from_millis(600));
    assert_eq!(c.hooks.no_copy, NoCopyPolicy::Proceed);
    assert_eq!(c.hooks.alert_command, None);
    assert_eq!(c.hooks.alert_attribute, None);
    for action in [
        c.hooks.on_local_io_error,
        c.hooks.on_pri_lost,
        c.hooks.on_pri_lost_after_sb,
        c.hooks.on_pri_on_incon_degr,
        c.hooks.on_out_of_sync,
        c.hooks.on_quorum_lost,
    ] {
        assert_eq!(action, LossAction::None);
    }
}

#[test]
fn what_a_node_leaves_out_follows_from_its_name_address_and_place() {
    let c = smallest().config;
    let [one, two] = &c.nodes;
    assert_eq!(one.hostname, "haone");
    assert_eq!(one.drbd_address, one.address);
    assert_eq!(two.corosync_addresses, [two.address]);
    assert_eq!((one.id, two.id), (1, 2));
    assert_eq!(c.this, None);
}

#[test]
fn a_fence_device_is_named_after_its_node_and_takes_any_scalar() {
    let c = smallest().config;
    let [one, two] = c.fencing.devices.as_slice() else {
        panic!("{:?}", c.fencing);
    };
    assert_eq!(
        (one.name.as_str(), two.name.as_str()),
        ("fence_haone", "fence_hatwo")
    );
    assert_eq!(one.params["ip"], "10.0.9.1");
    assert_eq!(one.params["lanplus"], "true");
    assert_eq!(one.params["port"], "7");
    assert_eq!(one.delay, Duration::from_secs(5));
    assert!(two.delay.is_zero());
}

#[test]
fn the_host_is_found_by_host_name_or_by_node_name() {
    let text = SMALLEST.replace(
        "name = \"hatwo\"\n",
        "name = \"hatwo\"\nhostname = \"hatwo.example.com\"\n",
    );
    let this = |host| parse(&text, "x.toml", host).map(|c| c.this);
    assert_eq!(this(Host::Hostname("haone")), Ok(Some(0)));
    assert_eq!(this(Host::Hostname("hatwo.example.com")), Ok(Some(1)));
    assert_eq!(this(Host::Node("hatwo")), Ok(Some(1)));
    assert!(this(Host::Hostname("hatwo")).is_err());
    assert!(this(Host::Node("hathree")).is_err());
}

#[test]
fn a_safe_file_has_no_warnings() {
    let parsed = smallest();
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
}

#[test]
fn udpu_has_no_crypto_unless_it_is_asked_for_which_is_an_error() {
    let udpu = format!("{SMALLEST}\n[corosync]\ntransport = \"udpu\"\n");
    let c = parse(&udpu, "x.toml", Host::Any).map(|c| c.corosync);
    let c = c.unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(
        (c.crypto_cipher.as_str(), c.crypto_hash.as_str()),
        ("none", "none")
    );
    assert!(
        parse(
            &format!("{udpu}crypto_hash = \"sha256\"\n"),
            "x.toml",
            Host::Any
        )
        .is_err()
    );
}

#[test]
fn a_low_ceiling_of_the_resync_lowers_the_floor_that_nobody_has_set() {
    let floor = |drbd: &str| {
        let text = format!("{SMALLEST}\n[drbd]\n{drbd}\n");
        parse(&text, "x.toml", Host::Any)
            .unwrap()
            .drbd
            .resync_min_rate
    };
    assert_eq!(floor(""), 10 << 20);
    assert_eq!(floor("resync_max_rate = \"100MiB\""), 10 << 20);
    assert_eq!(floor("resync_max_rate = \"2MiB\""), 2 << 20);
    assert_eq!(floor("resync_min_rate = \"40MiB\""), 40 << 20);
}

#[test]
fn the_consensus_is_a_fifth_of_the_token_within_bounds_unless_it_is_given() {
    for (token, consensus, wanted) in [
        ("1s", None, 200),
        ("3s", None, 600),
        ("10s", None, 2000),
        ("1min", None, 2000),
        ("10s", Some("10s"), 10_000),
        ("3s", Some("100ms"), 100),
    ] {
        let given = consensus.map_or(String::new(), |c| format!("consensus = \"{c}\"\n"));
        let toml = format!("{SMALLEST}\n[corosync]\ntoken = \"{token}\"\n{given}");
        let config = parse(&toml, "x.toml", Host::Any).unwrap();
        assert_eq!(
            config.corosync.consensus,
            Duration::from_millis(wanted),
            "{token} {consensus:?}"
        );
    }
}
