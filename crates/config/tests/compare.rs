//! The two nodes' configurations, compared.

#![allow(clippy::unwrap_used)] // A test that panics has failed.

use two_node_ha_config::{Facts, Host, KEYS, differences, facts, parse};

const GOOD: &str = r#"
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
params = { ip = "10.1.0.1", password = "correct horse" }

[[fencing.device]]
node = "hatwo"
agent = "fence_ipmilan"
params = { ip = "10.1.0.2", password = "battery staple" }

[peer]
ssh_options = ["ProxyCommand=sshpass -p hunter2 ssh %h"]
"#;

fn of(text: &str, node: &str) -> Facts {
    facts(&parse(text, "t.toml", Host::Node(node)).unwrap())
}

#[test]
fn the_same_file_on_both_nodes_is_no_difference() {
    assert_eq!(of(GOOD, "haone"), of(GOOD, "hatwo"));
    let mut turned = parse(GOOD, "t.toml", Host::Any).unwrap();
    turned.nodes.reverse();
    turned.fencing.devices.reverse();
    assert_eq!(differences(&of(GOOD, "haone"), &facts(&turned)), []);
}

#[test]
fn every_key_is_compared() {
    let facts = of(GOOD, "haone");
    for key in KEYS {
        let path = key.path;
        let path = path.replace("node.", "node.haone.");
        let path = path.replace("fencing.device.", "fencing.device.fence_haone.");
        assert!(facts.contains_key(&path), "{path} is not compared");
    }
}

#[test]
fn a_value_that_differs_is_told_with_both_and_with_whether_it_matters() {
    let mine = of(GOOD, "haone");
    for (from, to, key, matters) in [
        ("10.0.0.2", "10.0.0.3", "node.hatwo.address", true),
        (
            "\"hatwo\"\na",
            "\"hatwo\"\nid = 7\na",
            "node.hatwo.id",
            true,
        ),
        (
            "\"hatwo\"\na",
            "\"hatwo\"\nhostname = \"x\"\na",
            "node.hatwo.hostname",
            true,
        ),
        ("/opt/drbd0", "/srv/drbd0", "volume.backing_file", true),
        (
            "[volume]",
            "[volume]\nmount_point = \"/mnt/x\"",
            "volume.mount_point",
            true,
        ),
        (
            "[volume]",
            "[volume]\nsize = \"1GiB\"",
            "volume.size",
            false,
        ),
        (
            "[volume]",
            "[drbd]\nport = 7000\n[volume]",
            "drbd.port",
            true,
        ),
        (
            "[peer]",
            "[hooks]\ncopies = 3\n[peer]",
            "hooks.copies",
            false,
        ),
        (
            "[volume]",
            "[fencing]\nmode = \"constraint\"\n[volume]",
            "fencing.mode",
            true,
        ),
        (
            "params = { ip = \"10.1.0.1\",",
            "params = { lan = \"1\", ip = \"10.1.0.1\",",
            "fencing.device.fence_haone.params",
            false,
        ),
    ] {
        let theirs = of(&GOOD.replacen(from, to, 1), "hatwo");
        let found = differences(&mine, &theirs);
        let found = found.iter().find(|d| d.key == key);
        let found = found.unwrap_or_else(|| panic!("{key} is not told"));
        assert_eq!(found.matters, matters, "{key}");
        assert_ne!(found.mine, found.theirs);
    }
}

#[test]
fn another_node_is_one_difference_and_not_one_for_each_of_its_keys() {
    let theirs = of(&GOOD.replace("hatwo", "hathree"), "haone");
    let found = differences(&of(GOOD, "haone"), &theirs);
    let keys: Vec<&str> = found.iter().map(|d| d.key.as_str()).collect();
    assert_eq!(keys, ["fencing.device", "node"]);
    assert_eq!(found[1].mine, "haone, hatwo");
    assert_eq!(found[1].theirs, "haone, hathree");
    assert!(found[1].matters);
}

#[test]
fn a_key_that_the_other_version_does_not_know_is_no_difference() {
    let mine = of(GOOD, "haone");
    let mut older = mine.clone();
    older.remove("hooks.copies").unwrap();
    assert_eq!(differences(&mine, &older), []);
    assert_eq!(differences(&older, &mine), []);
}

#[test]
fn no_secret_is_among_the_facts() {
    let text = format!("{:?}", of(GOOD, "haone"));
    for secret in ["correct", "battery", "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("ip, password"), "{text}");
}
