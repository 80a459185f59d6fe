//! crmsh reads its commands and ends up with the same cluster as cibadmin.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{case, cases, cib, program, render, told, two_node_ha};

/// Each element of the configuration with its attributes, whatever their order.
fn elements(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let configuration = document
        .descendants()
        .find(|n| n.has_tag_name("configuration"))
        .unwrap();
    configuration
        .descendants()
        .filter(|n| n.attributes().len() > 0)
        .map(|n| {
            let mut attributes: Vec<_> = n
                .attributes()
                .map(|a| format!("{}={:?}", a.name(), a.value()))
                .collect();
            attributes.sort();
            format!("{} {}", n.tag_name().name(), attributes.join(" "))
        })
        .collect()
}

#[test]
fn crmsh_makes_the_same_cluster_as_cibadmin() {
    for (name, config) in cases() {
        let dir = tempfile::tempdir().unwrap();
        let by_cibadmin = dir.path().join("cibadmin.xml");
        cib::empty(&by_cibadmin);
        let out = cib::apply(&by_cibadmin, &render(&config, &["pacemaker"]));
        assert!(out.status.success(), "{name}: {}", told(&out));

        let by_crm = dir.path().join("crm.xml");
        cib::empty(&by_crm);
        let commands = dir.path().join("commands");
        fs::write(
            &commands,
            render(&config, &["pacemaker", "--format", "crm"]),
        )
        .unwrap();
        // Forced: the agents of a real node are not installed here.
        let out = program(
            Command::new("crm")
                .args(["-F", "configure", "load", "update"])
                .arg(&commands)
                .env("CIB_file", &by_crm)
                .env("HOME", dir.path()),
            "crmsh",
        );
        assert!(out.status.success(), "{name}: {}", told(&out));
        assert_eq!(
            elements(&by_crm),
            elements(&by_cibadmin),
            "{name}: {}",
            told(&out)
        );
    }
}

#[test]
fn what_crmsh_would_garble_is_refused_and_goes_by_xml() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("x.toml");
    let text = fs::read_to_string(case("example")).unwrap();
    fs::write(&config, text.replace("change me", "pässword")).unwrap();
    let file = config.to_str().unwrap();
    let out = two_node_ha(&["render", "pacemaker", "--format", "crm", "--config", file]);
    assert_eq!(out.status.code(), Some(1));
    assert!(out.stdout.is_empty());
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(told.contains("password of fence_haone"), "{told}");
    assert!(!told.contains("pässword"), "{told}");
    assert!(render(&config, &["pacemaker"]).contains("value=\"pässword\""));
}
