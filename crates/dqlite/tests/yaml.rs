//! `info.yaml` and `cluster.yaml`. The fixtures were written by Go's yaml.v2, with go-dqlite's
//! tags.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use two_node_ha_dqlite::{
    NodeInfo, Role, WriteError, format_cluster, format_info, parse_cluster, parse_info,
    read_cluster, read_info, write_cluster, write_info,
};

fn node(id: u64, address: &str, role: Role) -> NodeInfo {
    NodeInfo {
        id,
        address: address.to_owned(),
        role,
    }
}

#[test]
fn what_go_dqlite_writes_is_read_and_written_back_byte_for_byte() {
    for (text, expected) in [
        (
            include_str!("fixtures/info-ipv4.yaml"),
            node(3_297_041_220_608_546_238, "10.0.0.1:9000", Role::Voter),
        ),
        (
            include_str!("fixtures/info-ipv6.yaml"),
            node(u64::MAX, "[fd00::1]:9000", Role::Spare),
        ),
    ] {
        assert_eq!(parse_info(text).unwrap(), expected);
        assert_eq!(format_info(&expected), text);
    }
    let expected = [
        node(3_297_041_220_608_546_238, "10.0.0.1:9000", Role::Voter),
        node(1, "[fd00::2]:9000", Role::StandBy),
        node(0, "10.0.0.3:9000", Role::Spare),
    ];
    let text = include_str!("fixtures/cluster.yaml");
    assert_eq!(parse_cluster(text).unwrap(), expected);
    assert_eq!(format_cluster(&expected), text);
    let text = include_str!("fixtures/cluster-empty.yaml");
    assert_eq!(parse_cluster(text).unwrap(), []);
    assert_eq!(format_cluster(&[]), text);
}

#[test]
fn the_order_of_older_versions_comments_and_a_persons_quotes_are_read() {
    let text = "# edited\n- Address: \"10.0.0.1:9000\" # primary\n  ID: 7\n  Role: 0\n\
                - {ID: 8, Address: 10.0.0.2:9000, Role: 2}\n";
    assert_eq!(
        parse_cluster(text).unwrap(),
        [
            node(7, "10.0.0.1:9000", Role::Voter),
            node(8, "10.0.0.2:9000", Role::Spare)
        ]
    );
}

#[test]
fn a_key_of_a_later_version_does_not_stop_a_failover() {
    let text = "ID: 7\nLabels:\n  zone: [a, b]\nAddress: 10.0.0.1:9000\nRole: 0\n";
    assert_eq!(
        parse_info(text).unwrap(),
        node(7, "10.0.0.1:9000", Role::Voter)
    );
}

#[test]
fn a_mistake_is_named_with_its_line() {
    for (text, line, problem) in [
        ("", 1, "empty"),
        ("# nothing\n", 2, "empty"),
        ("- ID: 1\n", 1, "one node is expected, not a list"),
        ("hello\n", 1, "one node is expected, not a single value"),
        ("Address: 10.0.0.1:9000\nRole: 0\n", 1, "no ID"),
        ("ID: 1\nRole: 0\n", 1, "no Address"),
        ("ID: 1\nAddress: 10.0.0.1:9000\n", 1, "no Role"),
        (
            "ID: -1\nAddress: 10.0.0.1:9000\nRole: 0\n",
            1,
            "no whole number",
        ),
        (
            "ID: 18446744073709551616\nAddress: 10.0.0.1:9000\nRole: 0\n",
            1,
            "no whole number",
        ),
        (
            "ID: 1.0\nAddress: 10.0.0.1:9000\nRole: 0\n",
            1,
            "no whole number",
        ),
        (
            "ID: '1'\nAddress: 10.0.0.1:9000\nRole: 0\n",
            1,
            "must be a number",
        ),
        ("ID: 1\nAddress: 10.0.0.1:9000\nRole: 3\n", 3, "0 is voter"),
        (
            "ID: 1\nAddress: 10.0.0.1\nRole: 0\n",
            2,
            "neither host:port nor",
        ),
        (
            "ID: 1\nAddress: fd00::1:9000\nRole: 0\n",
            2,
            "neither host:port nor",
        ),
        (
            "ID: 1\nAddress: [fd00::1]\nRole: 0\n",
            2,
            "must be a text, not a list",
        ),
        (
            "ID: 1\nID: 2\nAddress: 10.0.0.1:9000\nRole: 0\n",
            2,
            "twice",
        ),
        (
            "ID: 1\nAddress: 10.0.0.1:9000\nRole: 0\n---\nID: 2\n",
            4,
            "second document",
        ),
        (
            "ID: 1\nAddress: 10.0.0.1:9000\nRole: 0\0\n",
            3,
            "control character",
        ),
        ("ID: 1\n  Address: 10.0.0.1:9000\n", 1, "no whole number"),
    ] {
        let error = parse_info(text).unwrap_err();
        assert!(error.problem.contains(problem), "{text:?}: {error}");
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
    let error = parse_cluster("ID: 1\nAddress: 10.0.0.1:9000\nRole: 0\n").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a list of nodes is expected, not a mapping"),
        "{error}"
    );
}

#[test]
fn files_are_private_and_absence_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read_info(dir.path()).unwrap(), None);
    assert_eq!(read_cluster(dir.path()).unwrap(), None);
    let voter = node(7, "10.0.0.1:9000", Role::Voter);
    write_info(dir.path(), &voter).unwrap();
    write_cluster(dir.path(), std::slice::from_ref(&voter)).unwrap();
    assert_eq!(read_info(dir.path()).unwrap(), Some(voter.clone()));
    assert_eq!(read_cluster(dir.path()).unwrap(), Some(vec![voter]));
    for entry in dir.path().read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(
            entry.file_name().to_str(),
            Some("info.yaml" | "cluster.yaml")
        ));
    }
}

#[test]
fn what_dqlite_could_not_read_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = node(7, "10.0.0.1\nRole: 2", Role::Voter);
    let error = write_info(dir.path(), &wrong).unwrap_err();
    assert!(matches!(error, WriteError::Address(_)), "{error}");
    assert_eq!(read_info(dir.path()).unwrap(), None);
}

#[test]
fn a_file_that_makes_no_sense_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("info.yaml"), "ID: x\n").unwrap();
    let error = read_info(dir.path()).unwrap_err();
    assert!(error.to_string().contains("info.yaml"), "{error}");
    std::fs::write(dir.path().join("info.yaml"), vec![b'a'; 100_000]).unwrap();
    assert!(read_info(dir.path()).is_err());
}

proptest::proptest! {
    #[test]
    fn every_node_survives_being_written_and_read(
        id: u64,
        address in "([a-z0-9][a-z0-9.-]{0,20}|\\[fd00::[0-9a-f]{1,4}\\]):[1-9][0-9]{0,3}",
        role in 0u64..3,
    ) {
        let expected = node(id, &address, Role::from_yaml(role).unwrap());
        proptest::prop_assert_eq!(&parse_info(&format_info(&expected)).unwrap(), &expected);
        let cluster = [expected.clone(), expected];
        proptest::prop_assert_eq!(parse_cluster(&format_cluster(&cluster)).unwrap(), cluster);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,300}") {
        let _ = parse_info(&text);
        let _ = parse_cluster(&text);
    }

    #[test]
    fn no_yaml_like_text_makes_the_parser_panic(
        text in "([-:?,\\[\\]{}#&*!|>'\"%@` \t\n0-9aID\u{e9}]|ID: |Role: |- |\n  ){0,120}"
    ) {
        let _ = parse_info(&text);
        let _ = parse_cluster(&text);
    }
}
