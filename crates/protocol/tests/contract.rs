//! What is said between programs: today's form of each message, and those of the versions before.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use two_node_ha_config::Facts;
use two_node_ha_dqlite::{Position, Prints};
use two_node_ha_planner::observation::{
    Drbd, End, Known, Mount, Request as Wanted, Role, Services, Suspended, Voters,
};
use two_node_ha_planner::record::{Astray, CopyMade, Owned, Resolution};
use two_node_ha_planner::report::{Report, SpareLog};
use two_node_ha_planner::split_brain::generation::Generation;
use two_node_ha_planner::split_brain::plan::Step;
use two_node_ha_planner::split_brain::side::{Disk, Link};
use two_node_ha_planner::split_brain::{Cluster, Log, Side};
use two_node_ha_planner::{Database, State};
use two_node_ha_protocol::{control, peer};
use two_node_ha_sample::contract::{Fixtures, fixtures};

fn here() -> Fixtures {
    fixtures(env!("CARGO_MANIFEST_DIR"))
}

/// One message a line, as they travel.
fn lines<T: Serialize>(messages: &[T]) -> String {
    messages
        .iter()
        .map(|message| line(message) + "\n")
        .collect()
}

fn line(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap()
}

fn read<T: DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// With every field.
fn resolution() -> Resolution {
    let mut resolution = Resolution::new("haone", "hatwo", false)
        .marked("b7c1")
        .over("a001");
    resolution.copy = Some(CopyMade {
        name: "r0-20261124T203015Z".into(),
        generation: 7,
        writes: Some("5c0f:1024".into()),
    });
    resolution.discarding = Some(7);
    resolution
}

fn split_steps() -> Vec<Step> {
    vec![
        Step::Begin,
        Step::Ban,
        Step::Demote,
        Step::Disconnect,
        Step::Copy,
        Step::Forget(7),
        Step::Discard,
        Step::Connect,
        Step::Unban,
        Step::Finish,
    ]
}

/// With every field.
fn side() -> Side {
    let prints = Prints {
        last_term: 3,
        last_index: 90,
        first: 89,
        entries: vec![1, 2],
    };
    Side {
        node: "haone".into(),
        role: Role::Primary,
        disk: Disk::UpToDate,
        link: Link::StandAlone,
        summary: "Primary UpToDate, stand-alone".into(),
        generation: Ok(Generation {
            current: 7,
            bitmap: 6,
            history: vec![5, 0],
        }),
        writes: Some("5c0f:1024".into()),
        mount: Mount::ReadWrite,
        held: true,
        cluster: Cluster::Here {
            banned: Some("hatwo".into()),
        },
        volume: Some(Owned {
            epoch: 7,
            owner: "haone".into(),
        }),
        highest_epoch: 7,
        logs: [
            (Database::K8sd, Log::Read(prints)),
            (Database::K8sDqlite, Log::Unknown("not mounted".into())),
        ]
        .into(),
        evidence: vec!["01700000000000000000-0000004711-split-brain.json".into()],
        resolution: Known::Present(resolution()),
    }
}

fn report() -> Report {
    let end = End {
        last: Position { term: 3, index: 90 },
        voters: Voters {
            here: false,
            elsewhere: true,
        },
    };
    Report {
        node: "hatwo".into(),
        state: State::SecondaryRunning,
        epoch: 7,
        voter: false,
        datastore_running: true,
        wants_voter: false,
        original_voter: Some(true),
        logs: [(Database::K8sd, SpareLog { epoch: 7, end })].into(),
        fenced: Some("its agent was silent".into()),
        config: Facts::from([("drbd.port".into(), "7788".into())]),
        heard: Some("00ff".into()),
    }
}

fn peer_requests(version: u32) -> Vec<peer::Request> {
    let mut requests = vec![
        peer::Request::Report { version },
        peer::Request::StopSpare {
            version,
            node: "haone".into(),
            epoch: 7,
        },
        peer::Request::Bundle { version, epoch: 7 },
        peer::Request::Log {
            version,
            database: Database::K8sDqlite,
        },
        peer::Request::Side {
            version,
            logs: true,
        },
        peer::Request::Configuration {
            version,
            config: Facts::from([("drbd.port".into(), "7788".into())]),
        },
        peer::Request::Wake { version },
    ];
    requests.extend(
        split_steps()
            .into_iter()
            .map(|step| peer::Request::Resolve {
                version,
                step,
                resolution: resolution(),
            }),
    );
    requests
}

fn peer_responses() -> Vec<peer::Response> {
    let astray = Astray {
        node: "hatwo".into(),
        first: 52,
        last: 90,
        since: 1_795_552_215,
        until: 1_795_552_270,
    };
    vec![
        peer::Response::Report(report()),
        peer::Response::Stopped,
        peer::Response::Bundle {
            epoch: 7,
            files: vec![peer::BundleFile {
                database: Database::K8sd,
                name: "daemon.yaml".into(),
                length: 12,
                sha256: "00ff".into(),
            }],
            astray: [(Database::K8sd, astray)].into(),
        },
        peer::Response::Side(Box::new(side())),
        peer::Response::Taken,
        peer::Response::Compared,
        peer::Response::Woken,
        peer::Response::Refused {
            reason: "this node is the voter".into(),
        },
    ]
}

fn control_requests() -> Vec<control::Request> {
    let mut requests = vec![
        control::Request::Status,
        control::Request::Watch,
        control::Request::Plan,
        control::Request::Side { logs: true },
        control::Request::Hold,
        control::Request::Release,
    ];
    requests.extend(
        split_steps()
            .into_iter()
            .map(|step| control::Request::Resolve {
                step,
                resolution: resolution(),
            }),
    );
    requests
}

fn status() -> control::Status {
    control::Status {
        format: control::Status::VERSION,
        node: "haone".into(),
        peer: "hatwo".into(),
        state: State::Blocked,
        settled: false,
        reasons: vec!["every write stands still".into()],
        warnings: vec!["fencing is off".into()],
        remedy: Some("drbdadm status".into()),
        doing: Some("start the k8s services".into()),
        epoch: 7,
        owner: Some("haone".into()),
        drbd: Drbd {
            role: Role::Primary,
            up_to_date: true,
            connected: false,
            equal: false,
            peer_role: Role::Unknown,
            suspended: Some(Suspended::Other("no-data".into())),
            alone: true,
            seeking: false,
            summary: "Primary UpToDate, stand-alone".into(),
        },
        mount: Mount::ReadWrite,
        request: Wanted::Hold,
        services: Services::Running,
        peer_state: "silent".into(),
    }
}

fn control_responses() -> Vec<control::Response> {
    vec![
        control::Response::Status(Box::new(status())),
        control::Response::Side(Box::new(side())),
        control::Response::Taken,
        control::Response::Progress {
            text: "start the k8s services".into(),
        },
        control::Response::Working,
        control::Response::Unhealthy {
            reason: "no answer".into(),
        },
        control::Response::Released,
        control::Response::Refused {
            reason: "this is no request".into(),
        },
    ]
}

#[test]
fn the_messages_have_the_form_of_their_version() {
    let version = peer::VERSION;
    let is_todays = |version, name, text: &str| here().is_todays(version, name, text);
    is_todays(
        version,
        "peer-requests.jsonl",
        &lines(&peer_requests(version)),
    );
    is_todays(version, "peer-responses.jsonl", &lines(&peer_responses()));
    let version = control::VERSION;
    is_todays(
        version,
        "control-requests.jsonl",
        &lines(&control_requests()),
    );
    is_todays(
        version,
        "control-responses.jsonl",
        &lines(&control_responses()),
    );
    let status = serde_json::to_string(&status()).unwrap();
    is_todays(control::Status::VERSION, "status.json", &status);
}

#[test]
fn what_the_agent_of_the_version_before_says_is_understood() {
    let requests: Vec<_> = here()
        .read(1, "peer-requests.jsonl")
        .lines()
        .map(|line| peer::Request::read(line).unwrap())
        .collect();
    assert_eq!(requests, peer_requests(1));
    let responses: Vec<peer::Response> = read(&here().read(1, "peer-responses.jsonl"));
    assert_eq!(responses, peer_responses());
    // One that had no log of its own, no configuration and no fencing to tell of yet.
    let first: Vec<peer::Response> = read(&here().read(1, "peer-report-first.json"));
    let peer::Response::Report(first) = &first[0] else {
        panic!("{first:?}")
    };
    assert!(first.config.is_empty() && first.logs.is_empty() && first.heard.is_none());
}

#[test]
fn what_a_command_or_an_agent_of_the_version_before_says_is_understood() {
    let requests: Vec<_> = here()
        .read(1, "control-requests.jsonl")
        .lines()
        .map(|line| control::Request::read(line).unwrap())
        .collect();
    assert_eq!(requests, control_requests());
    // Before, DRBD was `frozen` in the status, and not `suspended`.
    for (name, format) in [
        ("control-responses-before.jsonl", 1),
        ("control-responses.jsonl", control::Status::VERSION),
    ] {
        let responses: Vec<_> = here()
            .read(1, name)
            .lines()
            .map(|line| control::Response::read(line).unwrap())
            .collect();
        let mut expected = control_responses();
        expected[0] = control::Response::Status(Box::new(control::Status { format, ..status() }));
        assert_eq!(responses, expected, "{name}");
    }
}

#[test]
fn a_status_that_was_printed_by_the_version_before_is_read() {
    for format in 1..=control::Status::VERSION {
        let read: control::Status =
            serde_json::from_str(&here().read(format, "status.json")).unwrap();
        assert_eq!(read, control::Status { format, ..status() });
    }
}

#[test]
fn a_peer_of_a_newer_version_is_told_which_it_speaks_which_is_known_and_what_to_do() {
    let newer = peer::VERSION + 1;
    // A request that is none yet, too.
    for line in [
        format!(r#"{{"request":"report","version":{newer}}}"#),
        format!(r#"{{"request":"swap-roles","version":{newer},"nodes":[]}}"#),
    ] {
        assert_eq!(
            peer::Request::read(&line).unwrap_err(),
            format!(
                "the peer speaks version {newer} of the protocol, this node {}: install the same \
                 two-node-ha on both",
                peer::VERSION
            )
        );
    }
    for nonsense in ["{}", "", "[]", r#"{"request":"swap-roles","version":1}"#] {
        let why = peer::Request::read(nonsense).unwrap_err();
        assert!(why.contains("this is no request"), "{nonsense}: {why}");
    }
}

#[test]
fn a_command_of_a_newer_version_is_told_so_and_one_of_today_need_not_say_its_own() {
    let newer = control::VERSION + 1;
    let line = format!(r#"{{"request":"swap-roles","version":{newer},"nodes":[]}}"#);
    let why = control::Request::read(&line).unwrap_err();
    assert!(
        why.contains(&format!("speaks version {newer}"))
            && why.contains("systemctl restart two-node-ha-k8s"),
        "{why}"
    );
    let line = format!(
        r#"{{"request":"side","version":{},"logs":true}}"#,
        control::VERSION
    );
    assert_eq!(
        control::Request::read(&line),
        Ok(control::Request::Side { logs: true })
    );
    for nonsense in ["{}", "", "[]", r#"{"request":"status","version":"one"}"#] {
        let why = control::Request::read(nonsense).unwrap_err();
        assert!(why.contains("this is no request"), "{nonsense}: {why}");
    }
    let why = control::Response::read(r#"{"response":"swapped"}"#).unwrap_err();
    assert!(
        why.contains("swapped") && why.contains("systemctl restart"),
        "{why}"
    );
}

prop_compose! {
    fn any_side()(
        words in vec(".*", 6),
        numbers in vec(any::<u64>(), 4),
        entries in vec(any::<u32>(), 0..5),
        (held, parsed) in any::<(bool, bool)>(),
        mount in prop_oneof![
            Just(Mount::None), Just(Mount::ReadWrite), Just(Mount::ReadOnly),
            ".*".prop_map(Mount::Foreign),
        ],
        cluster in prop_oneof![
            Just(Cluster::Absent),
            ".*".prop_map(Cluster::Silent),
            option::of(".*").prop_map(|banned| Cluster::Here { banned }),
        ],
        resolution in prop_oneof![
            Just(Known::Absent), Just(Known::Present(resolution())), ".*".prop_map(Known::Unreadable),
        ],
    ) -> Side {
        let generation = Generation {
            current: numbers[0], bitmap: numbers[1], history: numbers.clone(),
        };
        let prints = Prints {
            last_term: numbers[2], last_index: numbers[3], first: numbers[0], entries,
        };
        Side {
            node: words[0].clone(),
            summary: words[1].clone(),
            generation: if parsed { Ok(generation) } else { Err(words[2].clone()) },
            writes: parsed.then(|| words[3].clone()),
            mount, held, cluster, resolution,
            volume: held.then(|| Owned { epoch: numbers[0], owner: words[4].clone() }),
            highest_epoch: numbers[1],
            logs: [(Database::K8sd, Log::Read(prints))].into(),
            evidence: words,
            ..side()
        }
    }
}

prop_compose! {
    fn any_report()(
        words in vec(".*", 4),
        (epoch, index) in any::<(u64, u64)>(),
        (voter, wants_voter, original) in any::<(bool, bool, Option<bool>)>(),
        config in btree_map(".*", ".*", 0..4),
    ) -> Report {
        let end = End {
            last: Position { term: epoch, index },
            voters: Voters { here: voter, elsewhere: !voter },
        };
        Report {
            node: words[0].clone(),
            epoch, voter, wants_voter,
            original_voter: original,
            logs: [(Database::K8sDqlite, SpareLog { epoch, end })].into(),
            fenced: voter.then(|| words[1].clone()),
            heard: wants_voter.then(|| words[2].clone()),
            config,
            ..report()
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_said_is_heard(
        side in any_side(),
        report in any_report(),
        (node, reason) in (".*", ".*"),
        epoch in any::<u64>(),
        step in select(split_steps()),
    ) {
        for request in [
            peer::Request::StopSpare { version: peer::VERSION, node, epoch },
            peer::Request::Resolve { version: peer::VERSION, step: step.clone(), resolution: resolution() },
            peer::Request::Configuration { version: peer::VERSION, config: report.config.clone() },
        ] {
            prop_assert_eq!(peer::Request::read(&line(&request)), Ok(request));
        }
        for response in [
            peer::Response::Side(Box::new(side.clone())),
            peer::Response::Report(report),
            peer::Response::Refused { reason: reason.clone() },
        ] {
            let heard: peer::Response = serde_json::from_str(&line(&response)).unwrap();
            prop_assert_eq!(heard, response);
        }
        let request = control::Request::Resolve { step, resolution: resolution() };
        prop_assert_eq!(control::Request::read(&line(&request)), Ok(request));
        for response in [
            control::Response::Side(Box::new(side)),
            control::Response::Unhealthy { reason },
        ] {
            prop_assert_eq!(control::Response::read(&line(&response)), Ok(response));
        }
    }
}
