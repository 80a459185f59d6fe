//! What Pacemaker's own tools make of the CIB: cibadmin applies it to a CIB in a file, crm_verify
//! checks it against the schema.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{case, cases, program, render, told};

/// A CIB without anything.
pub(crate) fn empty(file: &Path) {
    let out = program(
        Command::new("cibadmin").arg("--empty"),
        "pacemaker-cli-utils",
    );
    assert!(out.status.success(), "{}", told(&out));
    fs::write(file, out.stdout).unwrap();
}

/// What the rendered document says in its first lines: `cibadmin -M -c -o configuration -p`.
pub(crate) fn apply(file: &Path, configuration: &str) -> Output {
    let mut child = Command::new("cibadmin")
        .args(["-M", "-c", "-o", "configuration", "-p"])
        .env("CIB_file", file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cibadmin does not start ({e}): install pacemaker-cli-utils"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(configuration.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn applied(file: &Path, configuration: &str) {
    let out = apply(file, configuration);
    assert!(out.status.success(), "{}", told(&out));
}

fn verify(file: &Path) -> Output {
    program(
        Command::new("crm_verify").arg("-V").arg("-x").arg(file),
        "pacemaker-cli-utils",
    )
}

/// One attribute of the element with that id.
fn attribute(file: &Path, id: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let element = document
        .descendants()
        .find(|n| n.attribute("id") == Some(id))?;
    element.attribute(name).map(str::to_owned)
}

#[test]
fn every_case_is_applied_and_valid_and_applying_it_again_changes_nothing() {
    for (name, config) in cases() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cib.xml");
        empty(&file);
        let configuration = render(&config, &["pacemaker"]);
        applied(&file, &configuration);
        let out = verify(&file);
        assert!(out.status.success(), "{name}: {}", told(&out));
        let configured = |text: &str| {
            let (_, rest) = text.split_once("<configuration>").unwrap();
            rest.to_owned()
        };
        let once = configured(&fs::read_to_string(&file).unwrap());
        applied(&file, &configuration);
        assert_eq!(
            once,
            configured(&fs::read_to_string(&file).unwrap()),
            "{name}"
        );
    }
}

#[test]
fn crm_verify_refuses_what_is_wrong_so_that_the_test_is_not_vain() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cib.xml");
    empty(&file);
    let configuration = render(&case("guide"), &["pacemaker"]);
    applied(&file, &configuration);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"Promoted\"", "\"Elevated\"")).unwrap();
    assert!(!verify(&file).status.success());
}

#[test]
fn the_fencing_constraint_of_a_handler_survives_an_application() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cib.xml");
    empty(&file);
    let configuration = render(&case("constraint"), &["pacemaker"]);
    applied(&file, &configuration);
    let id = "drbd-fence-by-handler-r0-drbd_master_slave";
    let handlers = format!(
        "<constraints><rsc_location rsc=\"drbd_master_slave\" id=\"{id}\">\
         <rule role=\"Promoted\" score=\"-INFINITY\" id=\"{id}-rule\">\
         <expression attribute=\"#uname\" operation=\"ne\" value=\"haone\" id=\"{id}-expr\"/>\
         </rule></rsc_location></constraints>"
    );
    applied(&file, &format!("<configuration>{handlers}</configuration>"));
    applied(&file, &configuration);
    assert_eq!(
        attribute(&file, id, "rsc").as_deref(),
        Some("drbd_master_slave")
    );
}

#[test]
fn it_turns_the_guides_colocation_round_and_its_fencing_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cib.xml");
    empty(&file);
    // The guide's own commands, as far as they matter here.
    applied(
        &file,
        "<configuration><crm_config><cluster_property_set id=\"cib-bootstrap-options\">\
         <nvpair id=\"cib-bootstrap-options-stonith-enabled\" name=\"stonith-enabled\" value=\"false\"/>\
         </cluster_property_set></crm_config><resources>\
         <primitive id=\"fs_res\" class=\"ocf\" provider=\"heartbeat\" type=\"Filesystem\"/>\
         <primitive id=\"ha_k8s_failover_service\" class=\"systemd\" type=\"two-node-ha-k8s-failover\"/>\
         </resources><constraints>\
         <rsc_colocation id=\"fs_failover_colo\" score=\"INFINITY\" rsc=\"fs_res\" with-rsc=\"ha_k8s_failover_service\"/>\
         </constraints></configuration>",
    );
    applied(&file, &render(&case("example"), &["pacemaker"]));
    let of = |id, name| attribute(&file, id, name);
    assert_eq!(
        of("fs_failover_colo", "rsc").as_deref(),
        Some("ha_k8s_failover_service")
    );
    assert_eq!(
        of("fs_failover_colo", "with-rsc").as_deref(),
        Some("fs_res")
    );
    assert_eq!(
        of("cib-bootstrap-options-stonith-enabled", "value").as_deref(),
        Some("true")
    );
}

#[test]
fn values_arrive_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cib.xml");
    empty(&file);
    applied(
        &file,
        &render(&case("ipv6-two-links-device"), &["pacemaker"]),
    );
    assert_eq!(
        attribute(&file, "ipmi-one-instance_attributes-password", "value").as_deref(),
        Some("a b&<c>\"d'e\\$f=g|;#`%")
    );
    assert_eq!(
        attribute(&file, "p_fs-instance_attributes-directory", "value").as_deref(),
        Some("/srv/k8s data")
    );
}
