//! What is written beside a copy: today's form, and those of the versions before.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use two_node_ha_copies::{Copies, Generation, Method, Record, VERSION, Why};
use two_node_ha_sample::contract::{Fixtures, fixtures};

fn here() -> Fixtures {
    fixtures(env!("CARGO_MANIFEST_DIR"))
}

fn record() -> Record {
    Record {
        format: VERSION,
        resource: "r0".into(),
        time: 1_795_552_215,
        made: "2026-11-24 20:30:15 UTC".into(),
        why: Why::SplitBrain,
        method: Method::LvmSnapshot,
        backing: "/dev/vg/data".into(),
        size: 4096,
        disk_state: Some("UpToDate".into()),
        consistent: Some(true),
        generation: Some(Generation {
            drbd: "8.4".into(),
            current: "D4F60A1B2C3D4E50".into(),
            others: vec!["0000000000000004".into()],
            device: "A1".into(),
            consistent: true,
            up_to_date: true,
            just_created: false,
        }),
        snapshot: Some("vg/two-node-ha-r0-20261124T203015Z".into()),
        checksum: Some("crc64:00ff".into()),
        took_ms: 7,
    }
}

#[test]
fn the_record_of_a_copy_has_the_form_of_its_version() {
    here().is_todays(
        VERSION,
        "copy.json",
        &serde_json::to_string(&record()).unwrap(),
    );
}

#[test]
fn the_records_that_were_ever_written_are_read() {
    let read = |name: &str| serde_json::from_str::<Record>(&here().read(1, name)).unwrap();
    assert_eq!(read("copy.json"), record());
    let first = Record {
        disk_state: None,
        consistent: None,
        generation: None,
        snapshot: None,
        checksum: None,
        took_ms: 0,
        ..record()
    };
    assert_eq!(read("copy-first.json"), first);
}

#[test]
fn a_copy_with_a_newer_record_is_listed_with_its_version_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let text = format!(
        "{}[hooks]\ncopy_dir = \"/copies\"\n",
        two_node_ha_sample::UNFENCED
    );
    let host = two_node_ha_config::Host::Node("alpha");
    let config = two_node_ha_config::parse(&text, "test.toml", host).unwrap();
    let dir = root.path().join("copies");
    fs::create_dir(&dir).unwrap();
    let newer = format!(r#"{{"format": {}, "nodes": []}}"#, VERSION + 1);
    fs::write(dir.join("r0-20261124T203015Z.json"), newer).unwrap();
    let listing = Copies::open(&config, root.path()).list().unwrap();
    let (name, why) = &listing.damaged[0];
    assert_eq!(name, "r0-20261124T203015Z");
    let said = format!(
        "has format {}, and this version knows {VERSION}: upgrade",
        VERSION + 1
    );
    assert!(why.contains(".json") && why.contains(&said), "{why}");
}

prop_compose! {
    fn any_record()(
        why in select(vec![Why::BeforeResync, Why::SplitBrain, Why::BeforeRestore, Why::Asked]),
        method in select(vec![Method::Reflink, Method::LvmSnapshot, Method::Sparse]),
        (time, size, took_ms) in any::<(u64, u64, u64)>(),
        (resource, backing) in (".*", ".*"),
        (disk_state, snapshot, checksum) in (option::of(".*"), option::of(".*"), option::of(".*")),
        consistent in any::<Option<bool>>(),
        known in any::<bool>(),
    ) -> Record {
        Record {
            why, method, time, size, took_ms, resource, disk_state, snapshot, checksum, consistent,
            backing: backing.into(),
            generation: record().generation.filter(|_| known),
            ..record()
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(record in any_record()) {
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
