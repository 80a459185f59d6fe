//! The table of keys against the parser and the schema.

use std::collections::BTreeSet;

use two_node_ha_config::*;

/// Table and its keys.
type Part<'a> = (&'a str, Vec<(&'a str, String)>);

fn base() -> Vec<Part<'static>> {
    let part = |name, keys: &[(&'static str, &str)]| {
        let keys = keys.iter().map(|(k, v)| (*k, format!("\"{v}\"")));
        (name, keys.collect())
    };
    vec![
        part("node", &[("name", "haone"), ("address", "10.0.0.1")]),
        part("node", &[("name", "hatwo"), ("address", "10.0.0.2")]),
        part("volume", &[("backing_file", "/opt/x")]),
        part(
            "fencing.device",
            &[
                ("node", "haone"),
                ("agent", "fence_ipmilan"),
                ("delay", "5s"),
            ],
        ),
        part(
            "fencing.device",
            &[("node", "hatwo"), ("agent", "fence_ipmilan")],
        ),
    ]
}

fn text(parts: &[Part<'_>]) -> String {
    let mut out = String::new();
    for (name, keys) in parts {
        let array = TABLES.iter().any(|t| t.name == *name && t.array);
        out += &if array {
            format!("[[{name}]]\n")
        } else {
            format!("[{name}]\n")
        };
        for (key, value) in keys {
            out += &format!("{key} = {value}\n");
        }
    }
    out
}

/// The base with one key of one table changed.
fn with(key: &Key, value: String) -> String {
    let mut parts = base();
    if !parts.iter().any(|(name, _)| *name == key.table()) {
        parts.push((key.table(), Vec::new()));
    }
    for (name, keys) in &mut parts {
        if *name == key.table() {
            let rival = key.path == "volume.backing_device";
            keys.retain(|(k, _)| *k != key.name() && !(rival && *k == "backing_file"));
            keys.push((key.name(), value));
            break;
        }
    }
    text(&parts)
}

/// A valid value that is not the default.
fn other(key: &Key) -> String {
    match key.path {
        "node.address" | "node.drbd_address" => return "\"10.0.0.9\"".into(),
        "node.corosync_addresses" => return "[\"10.0.0.9\"]".into(),
        "node.id" => return "9".into(),
        "node.hostname" => return "\"other\"".into(),
        "node.name" => return "\"haone\"".into(),
        "fencing.device.node" => return "\"haone\"".into(),
        "fencing.device.params" => return "{ ip = \"10.0.9.1\" }".into(),
        "volume.device" => return "\"/dev/drbd3\"".into(),
        "volume.loop_symlink" => return "\"/dev/other\"".into(),
        "k8s.services" => return "[\"k8s-dqlite\", \"k8sd\"]".into(),
        "k8s.datastore_services" => return "[\"k8sd\", \"k8s-dqlite\", \"kubelet\"]".into(),
        "volume.mount_options" => return "[\"noatime\"]".into(),
        "peer.ssh_options" => return "[\"Compression=yes\"]".into(),
        "fencing.mode" => return "\"none\"".into(),
        "pacemaker.failover_start_timeout"
        | "pacemaker.failover_stop_timeout"
        | "pacemaker.promote_timeout" => {
            return "\"11min\"".into();
        }
        "corosync.transport" => return "\"udpu\"".into(),
        "corosync.consensus" => return "\"1s\"".into(),
        "drbd.after_sb_0pri" => return "\"discard-zero-changes\"".into(),
        _ => {}
    }
    match key.kind {
        Kind::Text => "\"other\"".into(),
        Kind::Choice(all) => format!("\"{}\"", all[1]),
        Kind::Duration => {
            let default = key.default.unwrap_or("\"\"");
            if default == "\"33s\"" {
                "\"34s\"".into()
            } else {
                "\"33s\"".into()
            }
        }
        Kind::Size => "\"512MiB\"".into(),
        Kind::Path => {
            if key.path == "volume.backing_device" {
                "\"/dev/vg0/other\"".into()
            } else {
                "\"/opt/other/x\"".into()
            }
        }
        Kind::Address | Kind::Addresses | Kind::Texts | Kind::Params => {
            panic!("{} needs a value", key.path)
        }
        Kind::Integer(_, most) => {
            if key.default == Some("4") {
                "3".into()
            } else {
                most.min(4).to_string()
            }
        }
        Kind::Boolean => (key.default == Some("false")).to_string(),
    }
}

#[test]
fn every_key_is_read_and_changes_the_configuration() {
    let base = parse(&text(&base()), "base", Host::Any).unwrap();
    for key in KEYS {
        let text = with(key, other(key));
        match parse(&text, key.path, Host::Any) {
            Ok(c) => {
                let same = ["node.name", "fencing.device.node"].contains(&key.path);
                assert_eq!(c == base, same, "{} is not read:\n{text}", key.path);
            }
            // Contradicts what the base has.
            Err(d) if key.path == "fencing.promote_without_fencing" => {
                assert!(d.to_string().contains("contradicts"), "{d}");
            }
            // Its only other value asks for one more key.
            Err(d) if key.path == "drbd.after_sb_2pri" => {
                assert!(d.to_string().contains("on_pri_lost_after_sb"), "{d}");
            }
            Err(d) => panic!("{d}"),
        }
    }
}

/// Field names of the schema's Debug output: every field must have a key and every key a field.
#[test]
fn every_field_of_the_schema_has_a_key_and_the_reverse() {
    let debug = format!("{:#?}", parse(&text(&base()), "base", Host::Any).unwrap());
    // A name and what it belongs to, by indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut fields = BTreeSet::new();
    for line in debug.lines() {
        let indent = line.len() - line.trim_start().len();
        path.retain(|(i, _)| *i < indent);
        if let Some((name, _)) = line.trim_start().split_once(": ") {
            if name.contains(['"', ' ']) {
                continue;
            }
            path.push((indent, name.to_owned()));
            fields.insert(
                path.iter()
                    .map(|(_, n)| n.as_str())
                    .collect::<Vec<_>>()
                    .join("."),
            );
        }
    }
    let fields: BTreeSet<String> = fields
        .into_iter()
        .map(|f| {
            f.replace("nodes.", "node.")
                .replace("fencing.devices.", "fencing.device.")
                .replace("volume.backing.path", "volume.backing_file")
                .replace("volume.backing.symlink", "volume.loop_symlink")
                .replace("volume.backing.size", "volume.size")
                .replace("volume.backing.direct_io", "volume.direct_io")
        })
        .filter(|f| f.contains('.'))
        // Follows from `device`, holds the four above, and holds the tables.
        .filter(|f| !["volume.minor", "volume.backing", "fencing.devices"].contains(&f.as_str()))
        .collect();
    let mut keys: BTreeSet<String> = KEYS.iter().map(|k| k.path.to_owned()).collect();
    // The other variant of the backing.
    assert!(keys.remove("volume.backing_device"));
    assert_eq!(fields, keys);
}

#[test]
fn keys_of_a_table_stand_together_and_in_the_order_of_the_tables() {
    let mut order: Vec<&str> = KEYS.iter().map(Key::table).collect();
    order.dedup();
    let tables: Vec<&str> = TABLES.iter().map(|t| t.name).collect();
    assert_eq!(order, tables);
    let paths: BTreeSet<&str> = KEYS.iter().map(|k| k.path).collect();
    assert_eq!(paths.len(), KEYS.len());
}

/// The reader takes a default's quotes off and nothing else.
#[test]
fn defaults_are_toml_without_escapes() {
    for key in KEYS {
        for text in key.default.iter().chain([&key.example]) {
            assert!(!text.contains('\\'), "{}", key.path);
            let toml: Result<toml::Spanned<toml::de::DeValue<'_>>, _> =
                toml::de::DeValue::parse(text);
            let value = toml.unwrap_or_else(|e| panic!("{}: {e}", key.path));
            let string = value.get_ref().is_str();
            let wants = matches!(
                key.kind,
                Kind::Text
                    | Kind::Choice(_)
                    | Kind::Duration
                    | Kind::Size
                    | Kind::Path
                    | Kind::Address
            );
            assert_eq!(string, wants, "{}", key.path);
        }
        assert!(!(key.required && key.default.is_some()), "{}", key.path);
        assert!(key.doc.ends_with('.'), "{}", key.path);
    }
}
