use super::*;

fn request(handler: &str, argument: Option<&str>, env: &[(&str, &str)]) -> Request {
    let env = env
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Request::new(Handler::of(handler).unwrap(), argument, env)
}

fn volume(number: Option<u32>, minor: u32, backing: Option<&str>) -> Volume {
    Volume {
        number,
        minor: Some(minor),
        backing: backing.map(str::to_owned),
    }
}

#[test]
fn the_kernel_of_8_4_names_a_minor_and_the_peers_address() {
    let request = request(
        "before-resync-target",
        Some("minor-3"),
        &[
            ("HOME", "/"),
            ("TERM", "linux"),
            ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
            ("DRBD_PEER_AF", "ipv4"),
            ("DRBD_PEER_ADDRESS", "10.0.0.2"),
        ],
    );
    assert_eq!(request.resource, None);
    assert_eq!(request.volumes, [volume(None, 3, None)]);
    assert_eq!(request.peer.address, Some("10.0.0.2".parse().unwrap()));
    assert_eq!(request.peer.name().as_deref(), Some("10.0.0.2"));
    assert_eq!(request.subject(), "minor 3");
    assert!(request.problems.is_empty());
    assert_eq!(request.env.len(), 2, "only DRBD's variables are kept");
}

#[test]
fn the_kernel_of_8_4_names_the_resource_to_fence_handlers() {
    let env = [
        ("DRBD_PEER_AF", "ipv6"),
        ("DRBD_PEER_ADDRESS", "fd00:0:0:0:0:0:0:2"),
    ];
    let request = request("fence-peer", Some("r0"), &env);
    assert_eq!(request.resource.as_deref(), Some("r0"));
    assert_eq!(request.volumes, []);
    assert_eq!(request.peer.address, Some("fd00::2".parse().unwrap()));
}

#[test]
fn drbdadm_of_8_4_names_one_volume_or_lists_the_minors() {
    let one = request(
        "split-brain",
        None,
        &[
            ("DRBD_RESOURCE", "r0"),
            ("DRBD_CONF", "/etc/drbd.conf"),
            ("DRBD_PEER", "beta"),
            ("DRBD_PEERS", "beta beta-alias"),
            ("DRBD_PEER_AF", "ipv6"),
            ("DRBD_PEER_ADDRESS", "[fd00::2]"),
            ("DRBD_MINOR", "0"),
            ("DRBD_VOLUME", "0"),
            ("DRBD_LL_DISK", "/dev/lodrbd"),
        ],
    );
    assert_eq!(one.resource.as_deref(), Some("r0"));
    assert_eq!(one.volumes, [volume(Some(0), 0, Some("/dev/lodrbd"))]);
    assert_eq!(one.peer.names, ["beta", "beta-alias"]);
    assert_eq!(one.peer.name().as_deref(), Some("beta"));
    assert_eq!(one.peer.address, Some("fd00::2".parse().unwrap()));

    let all = request(
        "fence-peer",
        None,
        &[
            ("DRBD_RESOURCE", "r0"),
            ("DRBD_PEER", "beta"),
            ("DRBD_MINOR", "0 1 10"),
        ],
    );
    assert_eq!(
        all.volumes,
        [0, 1, 10].map(|minor| volume(None, minor, None))
    );
    assert_eq!(all.minors(), [0, 1, 10]);
    assert!(all.volume_numbers().is_empty());
}

#[test]
fn drbdadm_of_9_lists_everything_and_names_the_peer_by_its_id() {
    let request = request(
        "before-resync-target",
        Some("r0"),
        &[
            ("DRBD_RESOURCE", "r0"),
            ("DRBD_NODE_ID_1", "alpha"),
            ("DRBD_NODE_ID_2", "beta"),
            ("DRBD_MY_NODE_ID", "1"),
            ("DRBD_PEER_NODE_ID", "2"),
            ("DRBD_PEER_ADDRESS", "10.0.0.2"),
            ("DRBD_CSTATE", "Connected"),
            ("DRBD_MINOR", "0 1"),
            ("DRBD_VOLUME", "0 1"),
            ("DRBD_LL_DISK", "/dev/vg/a none"),
        ],
    );
    assert_eq!(
        request.volumes,
        [
            volume(Some(0), 0, Some("/dev/vg/a")),
            volume(Some(1), 1, None)
        ]
    );
    assert_eq!(request.peer.names, ["beta"]);
    assert_eq!(request.peer.node_id, Some(2));
    assert_eq!(request.connection.as_deref(), Some("Connected"));
    assert!(request.problems.is_empty());
}

#[test]
fn the_kernel_of_9_numbers_the_volumes_of_a_connection() {
    let request = request(
        "unfence-peer",
        Some("r0"),
        &[
            ("DRBD_MY_ADDRESS", "10.0.0.1"),
            ("DRBD_PEER_AF", "ipv4"),
            ("DRBD_PEER_ADDRESS", "10.0.0.2"),
            ("DRBD_PEER_NODE_ID", "2"),
            ("DRBD_MINOR_10", "110"),
            ("DRBD_BACKING_DEV_10", "/dev/b"),
            ("DRBD_MINOR_2", "102"),
            ("DRBD_BACKING_DEV_2", "/dev/a"),
            ("UP_TO_DATE_NODES", "0x00000003"),
        ],
    );
    assert_eq!(
        request.volumes,
        [
            volume(Some(2), 102, Some("/dev/a")),
            volume(Some(10), 110, Some("/dev/b"))
        ]
    );
    assert_eq!(request.up_to_date_nodes, Some(0b11));
    assert_eq!(request.peer.name().as_deref(), Some("10.0.0.2"));
    let nobody = Peer {
        node_id: Some(2),
        ..Peer::default()
    };
    assert_eq!(nobody.name().as_deref(), Some("node id 2"));
}

#[test]
fn the_kernel_of_9_names_a_single_volume() {
    let env = [
        ("DRBD_MINOR", "7"),
        ("DRBD_VOLUME", "1"),
        ("DRBD_BACKING_DEV", "/dev/c"),
        ("UP_TO_DATE_NODES", "0xFFFFFFFFFFFFFFFF"),
    ];
    let request = request("local-io-error", Some("r0"), &env);
    assert_eq!(request.volumes, [volume(Some(1), 7, Some("/dev/c"))]);
    assert_eq!(request.up_to_date_nodes, Some(u64::MAX));
}

#[test]
fn nonsense_is_named_and_left_out() {
    let request = request(
        "fence-peer",
        Some("minor-league"),
        &[
            ("DRBD_MINOR", "0 x"),
            ("DRBD_VOLUME", "0 1"),
            ("DRBD_LL_DISK", "/dev/with blank /dev/b"),
            ("DRBD_PEER_ADDRESS", "example"),
            ("DRBD_PEER_NODE_ID", "-1"),
            ("UP_TO_DATE_NODES", "many"),
        ],
    );
    assert_eq!(request.resource.as_deref(), Some("minor-league"));
    assert_eq!(request.peer, Peer::default());
    assert_eq!(request.up_to_date_nodes, None);
    assert!(
        request
            .volumes
            .iter()
            .all(|volume| volume.backing.is_none())
    );
    let all = request.problems.join("\n");
    for part in ["`x`", "lists 1 and", "`example`", "`-1`", "`many`"] {
        assert!(all.contains(part), "{part}: {all}");
    }
}

#[test]
fn a_uevent_names_its_device() {
    let request = request(
        "udev",
        None,
        &[
            ("ACTION", "change"),
            ("DEVNAME", "/dev/drbd0"),
            ("MAJOR", "147"),
            ("MINOR", "0"),
            ("DISK_RO", "0"),
            ("ID_FS_UUID", "x"),
        ],
    );
    assert_eq!(request.minors(), [0]);
    assert!(!request.env.contains_key("ID_FS_UUID"));
    assert_eq!(request.env["DISK_RO"], "0");
}

#[test]
fn the_name_comes_from_the_program_or_its_first_argument() {
    let command = |args: &[&str]| {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let (name, argument) = super::command(&args);
        (name.unwrap_or_default(), argument.unwrap_or_default())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        command(&["/usr/sbin/two-node-ha-hook", "fence-peer", "r0"]),
        pair("fence-peer", "r0")
    );
    assert_eq!(
        command(&["/usr/lib/drbd/split-brain"]),
        pair("split-brain", "")
    );
    assert_eq!(command(&["fence-peer", "r0"]), pair("fence-peer", "r0"));
    assert_eq!(command(&["hook", "udev"]), pair("udev", ""));
    assert_eq!(command(&[]), pair("", ""));
}

proptest::proptest! {
    #[test]
    fn no_environment_makes_it_panic(
        argument in proptest::option::of(".{0,40}"),
        env in proptest::collection::btree_map(
            "(DRBD_(MINOR|VOLUME|LL_DISK|PEERS?|PEER_ADDRESS|PEER_NODE_ID|NODE_ID_[0-9]|MINOR_[0-9]{1,3})|UP_TO_DATE_NODES)",
            "[ 0-9a-fx:.%\\[\\]-]{0,30}",
            0..8,
        ),
    ) {
        for handler in Handler::KNOWN {
            let request = Request::new(handler.clone(), argument.as_deref(), env.clone());
            let _ = (request.subject(), request.peer.name());
        }
    }
}
