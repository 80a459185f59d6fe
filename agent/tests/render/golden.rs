//! `cases/NAME.COMPONENT.expected`. `UPDATE_GOLDEN=1 cargo test -p two-node-ha --test render` writes
//! them anew.

use std::path::Path;

const COMPONENTS: [(&str, &[&str]); 8] = [
    ("drbd-8.4", &["drbd", "--drbd", "8.4"]),
    ("drbd-9", &["drbd", "--drbd", "9"]),
    ("corosync", &["corosync"]),
    ("cib", &["pacemaker", "--resource-agents", "4.13"]),
    ("cib-4.12", &["pacemaker", "--resource-agents", "4.12"]),
    (
        "crm",
        &["pacemaker", "--resource-agents", "4.13", "--format", "crm"],
    ),
    (
        "pcs",
        &["pacemaker", "--resource-agents", "4.13", "--format", "pcs"],
    ),
    ("multipath", &["multipath"]),
];

#[test]
fn every_component_gets_what_was_agreed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/render/cases");
    let mut wrong = Vec::new();
    for (name, config) in super::cases() {
        for (component, args) in COMPONENTS {
            let have = super::render(&config, args);
            let expected = dir.join(format!("{name}.{component}.expected"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&expected, &have).unwrap();
            }
            if std::fs::read_to_string(&expected).unwrap_or_default() != have {
                wrong.push(format!("{}:\n{have}", expected.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn both_nodes_print_the_same() {
    for (_, config) in super::cases() {
        for (_, args) in COMPONENTS {
            let on = |node| {
                let mut args = args.to_vec();
                args.extend(["--node", node]);
                super::render(&config, &args)
            };
            assert_eq!(on("haone"), on("hatwo"));
        }
    }
}

#[test]
fn an_invalid_configuration_prints_nothing_but_its_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(&file, "[volume]\nsise = 1\n").unwrap();
    let out = super::two_node_ha(&["render", "drbd", "--config", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(out.stdout.is_empty());
    assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean `size`?"));
}
