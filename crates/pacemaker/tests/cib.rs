//! The CIB as a fence handler reads it, and the calls with which it changes it.

#![allow(clippy::unwrap_used)]

mod checks;

use std::path::Path;
use std::time::Duration;

use two_node_ha_command::scripted::Scripted;
use two_node_ha_command::{Exit, Output};
use two_node_ha_pacemaker::fence::{self, ChangeError};
use two_node_ha_pacemaker::{FenceStatus, FencingConstraint, PeerNode, parse_cib, query};

/// As cibadmin of Pacemaker 2.1.5 wrote what `two-node-ha render pacemaker` prints.
const CIB: &str = include_str!("fixtures/cib.2.1.5.xml");
const CLONE: &str = "drbd_master_slave";
const LIMIT: Duration = Duration::from_secs(5);

fn with_state(attributes: &str) -> String {
    CIB.lines()
        .map(
            |line| match line.contains("<node_state") && line.contains("\"beta\"") {
                true => format!("<node_state id=\"2\" uname=\"beta\" {attributes}/>\n"),
                false => format!("{line}\n"),
            },
        )
        .collect()
}

fn judged(attributes: &str) -> PeerNode {
    parse_cib(&with_state(attributes))
        .unwrap()
        .peer_state("beta")
}

#[test]
fn a_real_cib_is_read() {
    let cib = parse_cib(CIB).unwrap();
    assert_eq!(cib.schema.as_deref(), Some("pacemaker-3.9"));
    assert_eq!((cib.quorum, cib.dc.as_deref()), (Some(true), Some("1")));
    assert!(cib.fencing_enabled && !cib.maintenance_mode);
    let nodes: Vec<_> = cib.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(nodes, ["alpha", "beta"]);
    assert!(cib.knows("beta") && !cib.knows("gamma"));
    assert_eq!((cib.clone_of("r0"), cib.clone_of("r")), (Some(CLONE), None));
    assert_eq!(cib.constraints, []);
    assert_eq!(cib.peer_state("beta"), PeerNode::Online);
    assert_eq!(cib.peer_state("gamma"), PeerNode::Unknown);
}

#[test]
fn a_node_state_means_the_same_in_words_and_in_seconds() {
    for (member, online, join, expected, is) in [
        (true, true, "member", "member", PeerNode::Online),
        (true, true, "pending", "member", PeerNode::Pending),
        (true, true, "pending", "down", PeerNode::Pending),
        (true, true, "banned", "member", PeerNode::UncleanOffline),
        (true, false, "member", "member", PeerNode::UncleanOffline),
        (false, false, "down", "member", PeerNode::UncleanOffline),
        (false, true, "member", "member", PeerNode::UncleanOffline),
        (false, false, "down", "down", PeerNode::CleanOffline),
        // Pacemaker has left, Corosync has not: as after `systemctl stop pacemaker`.
        (true, false, "down", "down", PeerNode::CleanOffline),
        (true, true, "member", "down", PeerNode::Pending),
        (true, true, "nonsense", "member", PeerNode::UncleanOffline),
    ] {
        let word = |yes: bool, words: [&str; 2]| words[usize::from(!yes)].to_owned();
        for spelled in [
            format!(
                "in_ccm=\"{}\" crmd=\"{}\"",
                word(member, ["true", "false"]),
                word(online, ["online", "offline"])
            ),
            format!(
                "in_ccm=\"{}\" crmd=\"{}\"",
                word(member, ["1764000000", "0"]),
                word(online, ["1764000001", "0"])
            ),
        ] {
            let text = format!("{spelled} join=\"{join}\" expected=\"{expected}\"");
            assert_eq!(judged(&text), is, "{text}");
        }
    }
}

#[test]
fn what_is_not_said_is_not_taken_for_good_news() {
    for attributes in [
        "",
        "crmd=\"online\" join=\"member\" expected=\"member\"",
        "in_ccm=\"-5\" crmd=\"online\" join=\"member\" expected=\"member\"",
        "in_ccm=\"0\" crmd=\"0\" join=\"down\"",
        "in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"later\"",
    ] {
        assert_eq!(judged(attributes), PeerNode::UncleanOffline, "{attributes}");
    }
    let unseen: String = CIB
        .lines()
        .filter(|line| !line.contains("<node_state"))
        .collect();
    assert_eq!(
        parse_cib(&unseen).unwrap().peer_state("beta"),
        PeerNode::UncleanOffline
    );
    // With fencing disabled Pacemaker calls a lost node clean.
    let off = with_state("in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"").replace(
        "name=\"stonith-enabled\" value=\"true\"",
        "name=\"stonith-enabled\" value=\"false\"",
    );
    let off = parse_cib(&off).unwrap();
    assert!(!off.fencing_enabled);
    assert_eq!(off.peer_state("beta"), PeerNode::UncleanOffline);
}

#[test]
fn a_node_that_was_asked_to_be_fenced_is_down_when_it_is_gone() {
    let state = |attributes: &str| {
        let text = with_state(attributes).replace(
            "<node_state id=\"2\"",
            "<node_state remote_node=\"true\" uname=\"x\"/><node_state id=\"2\"",
        );
        let asked = "><transient_attributes id=\"2\"><instance_attributes id=\"s\"><nvpair id=\"t\" \
                     name=\"terminate\" value=\"1764000000\"/></instance_attributes>\
                     </transient_attributes></node_state>";
        let end = text.find("uname=\"beta\" in_ccm").unwrap();
        let close = text[end..].find("/>").unwrap() + end;
        format!("{}{asked}{}", &text[..close], &text[close + 2..])
    };
    let judge = |text: &str| parse_cib(text).unwrap().peer_state("beta");
    let gone = state("in_ccm=\"0\" crmd=\"0\" join=\"down\" expected=\"member\"");
    assert_eq!(judge(&gone), PeerNode::CleanOffline);
    let there = state("in_ccm=\"1\" crmd=\"1\" join=\"member\" expected=\"member\"");
    assert_eq!(judge(&there), PeerNode::UncleanOffline);
}

#[test]
fn the_new_name_of_a_property_and_an_old_clone_are_understood() {
    let new = CIB.replace(
        "name=\"stonith-enabled\" value=\"true\"",
        "name=\"fencing-enabled\" value=\"off\"",
    );
    assert!(!parse_cib(&new).unwrap().fencing_enabled);
    let silent = CIB.replace("name=\"stonith-enabled\"", "name=\"other\"");
    assert!(parse_cib(&silent).unwrap().fencing_enabled);
    let old = CIB
        .replace("<clone ", "<master ")
        .replace("</clone>", "</master>");
    assert_eq!(parse_cib(&old).unwrap().clone_of("r0"), Some(CLONE));
}

#[test]
fn the_role_is_called_as_the_schema_calls_it() {
    let role = |schema: &str| {
        let text = CIB.replace("pacemaker-3.9", schema);
        parse_cib(&text).unwrap().promoted_role()
    };
    for (schema, word) in [
        ("pacemaker-2.10", "Master"),
        ("pacemaker-3.6", "Master"),
        ("pacemaker-3.7", "Promoted"),
        ("pacemaker-3.10", "Promoted"),
        ("pacemaker-4.0", "Promoted"),
        ("none", "Master"),
    ] {
        assert_eq!(role(schema), word, "{schema}");
    }
}

#[test]
fn the_constraint_is_that_of_drbds_own_script() {
    let constraint = FencingConstraint::new("r0", CLONE, "alpha");
    assert_eq!(
        constraint.element("Master"),
        "<rsc_location rsc=\"drbd_master_slave\" id=\"drbd-fence-by-handler-r0-drbd_master_slave\">\
         <rule role=\"Master\" score=\"-INFINITY\" id=\"drbd-fence-by-handler-r0-rule-drbd_master_slave\">\
         <expression attribute=\"#uname\" operation=\"ne\" value=\"alpha\" \
         id=\"drbd-fence-by-handler-r0-expr-drbd_master_slave\"/></rule></rsc_location>"
    );
    assert!(constraint.allows_only("alpha") && constraint.forbids("beta"));
    let whole = CIB.replace(
        "</constraints>",
        &(constraint.element("Master") + "</constraints>"),
    );
    let cib = parse_cib(&whole).unwrap();
    assert_eq!(cib.fencing("r0").cloned().collect::<Vec<_>>(), [constraint]);
    assert_eq!(cib.fencing("r").count(), 0);
}

#[test]
fn an_exit_code_of_cibadmin_says_what_to_do_next() {
    let constraint = FencingConstraint::new("r0", CLONE, "alpha");
    let answer = |code: i32| {
        Scripted::new().answer_with("cibadmin", move |_| {
            Ok(Output {
                exit: Exit::Code(code),
                stdout: Vec::new(),
                stderr: b"Call failed: so\n<failed>\n</failed>\n".to_vec(),
            })
        })
    };
    let place = |code| fence::place(&answer(code), &constraint, "Master", LIMIT);
    assert!(place(0).is_ok());
    assert!(matches!(place(108), Err(ChangeError::Exists)));
    for code in [103, 205] {
        assert!(matches!(place(code), Err(ChangeError::Stale)), "{code}");
    }
    for code in [124, 114, 62] {
        assert!(matches!(place(code), Err(ChangeError::NoDc(_))), "{code}");
    }
    assert!(matches!(place(106), Err(ChangeError::NoQuorum(_))));
    assert!(matches!(place(102), Err(ChangeError::NotRunning(_))));
    let refused = place(78).unwrap_err().to_string();
    assert_eq!(refused, "cibadmin ended with exit code 78: Call failed: so");
    let hung = fence::place(
        &Scripted::new().hang("cibadmin"),
        &constraint,
        "Master",
        LIMIT,
    );
    assert!(matches!(hung, Err(ChangeError::NoDc(_))));
    let role = "Master";
    let renewed = constraint.marked();
    let renew = |code| fence::renew(&answer(code), &constraint, &renewed, role, LIMIT);
    assert!(renew(0).is_ok());
    for code in [105, 6] {
        assert!(matches!(renew(code), Err(ChangeError::Changed)), "{code}");
    }
    assert!(matches!(renew(103), Err(ChangeError::Stale)));
    for code in [0, 105, 6] {
        assert!(
            fence::remove(&answer(code), &constraint, LIMIT).is_ok(),
            "{code}"
        );
    }
    let runner = answer(0);
    fence::remove(&runner, &constraint, LIMIT).unwrap();
    assert_eq!(
        runner.calls(),
        [
            "cibadmin --delete --xpath /cib/configuration/constraints/rsc_location\
          [@id='drbd-fence-by-handler-r0-drbd_master_slave' and \
          .//expression[@attribute='#uname' and @operation='ne']/@id=\
          'drbd-fence-by-handler-r0-expr-drbd_master_slave'] --timeout 4"
        ]
    );
}

#[test]
fn no_mark_comes_twice_and_it_is_read_as_it_was_written() {
    let constraint = FencingConstraint::new("r0", CLONE, "alpha");
    let mut marks = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let marked = constraint.marked();
        let whole = CIB.replace(
            "</constraints>",
            &(marked.element("Promoted") + "</constraints>"),
        );
        if marks.len() < 3 {
            assert_eq!(parse_cib(&whole).unwrap().constraints, [marked.clone()]);
        }
        assert!(marks.insert(marked.mark.unwrap()));
    }
}

#[test]
fn a_constraint_that_was_renewed_stays_and_that_is_said() {
    let read = FencingConstraint::new("r0", CLONE, "alpha");
    let after = |left: Option<&FencingConstraint>| {
        let left = left.map_or(String::new(), |left| left.element("Promoted"));
        let runner = Scripted::new().answer("cibadmin --delete", 0, "").answer(
            "cibadmin --query --local --scope constraints",
            0,
            format!("<constraints>{left}</constraints>"),
        );
        fence::remove_and_look(&runner, &read, LIMIT)
    };
    assert!(after(None).is_ok());
    let renewed = after(Some(&read.marked())).unwrap_err();
    assert!(matches!(renewed, ChangeError::Renewed), "{renewed}");
    assert!(renewed.to_string().contains("somebody relies on it"));
    // A copy of the CIB that never shows the change proves nothing.
    let behind = after(Some(&read)).unwrap_err();
    assert!(matches!(behind, ChangeError::Unknown(_)), "{behind}");
    let silent =
        Scripted::new()
            .answer("cibadmin --delete", 0, "")
            .answer("cibadmin --query", 102, "");
    let silent = fence::remove_and_look(&silent, &read, LIMIT).unwrap_err();
    assert!(matches!(silent, ChangeError::Unknown(_)), "{silent}");
    // One that was refused is not looked for.
    let refused = Scripted::new().answer("cibadmin --delete", 106, "");
    let refused = fence::remove_and_look(&refused, &read, LIMIT).unwrap_err();
    assert!(matches!(refused, ChangeError::NoQuorum(_)), "{refused}");
}

#[test]
fn a_local_cib_that_cannot_be_had_is_told_from_a_pacemaker_that_does_not_run() {
    let runner = Scripted::new().answer("cibadmin --query --local", 0, CIB);
    assert_eq!(fence::local_cib(&runner, LIMIT).unwrap().nodes.len(), 2);
    let gone = fence::local_cib(&Scripted::new().answer("cibadmin", 102, ""), LIMIT);
    assert!(matches!(gone, Err(query::Error::NotRunning(_))));
    for runner in [
        Scripted::new().answer("cibadmin", 0, "<constraints/>"),
        Scripted::new().answer("cibadmin", 1, CIB),
        Scripted::new().hang("cibadmin"),
        Scripted::new().absent("cibadmin"),
    ] {
        let error = fence::local_cib(&runner, LIMIT);
        assert!(
            !matches!(error, Ok(_) | Err(query::Error::NotRunning(_))),
            "{error:?}"
        );
    }
}

#[test]
fn only_a_controller_that_says_ok_is_alive() {
    let ok = "<pacemaker-result><crmd node_name=\"beta\" state=\"S_NOT_DC\" result=\"ok\"/>\
              <status code=\"0\" message=\"OK\"/></pacemaker-result>";
    let ask = |code, text: &str| {
        let runner = Scripted::new().answer("crmadmin", code, text);
        fence::answers(&runner, "beta", LIMIT)
    };
    assert_eq!(ask(0, ok), Ok(()));
    assert!(ask(124, ok).is_err());
    assert!(ask(0, &ok.replace("beta", "alpha")).is_err());
    assert!(ask(0, &ok.replace("\"ok\"", "\"timeout\"")).is_err());
    assert!(ask(0, "Status of crmd@beta: S_NOT_DC (ok)").is_err());
    let silent = "<pacemaker-result><status code=\"124\"><errors><error>no reply</error></errors>\
                  </status></pacemaker-result>";
    assert!(ask(124, silent).unwrap_err().contains("no reply"));
    assert!(fence::answers(&Scripted::new().hang("crmadmin"), "beta", LIMIT).is_err());
}

#[test]
fn the_last_fencing_is_the_newest_that_is_over_and_none_while_one_is_under_way() {
    let event = |target: &str, status: &str| {
        format!(
            "<fence_event target=\"{target}\" action=\"reboot\" client=\"c\" origin=\"alpha\" \
             status=\"{status}\" completed=\"2026-11-24 12:00:00Z\"/>"
        )
    };
    let last = |events: &str| {
        let text =
            format!("<pacemaker-result><fence_history>{events}</fence_history></pacemaker-result>");
        fence::last_fencing(
            &Scripted::new().answer("stonith_admin", 0, text),
            "beta",
            LIMIT,
        )
    };
    let fenced = last(&(event("alpha", "failed") + &event("beta", "success"))).unwrap();
    assert!(fenced.unwrap().powered_off());
    let failed = last(&(event("beta", "failed") + &event("beta", "success"))).unwrap();
    assert_eq!(failed.unwrap().status, FenceStatus::Failed);
    assert_eq!(
        last(&(event("beta", "pending") + &event("beta", "success"))),
        Ok(None)
    );
    assert_eq!(last(""), Ok(None));
    let refused = Scripted::new().answer("stonith_admin", 102, "<pacemaker-result/>");
    assert!(fence::last_fencing(&refused, "beta", LIMIT).is_err());
}

#[test]
fn every_seed_of_the_fuzz_target_is_read_without_a_contradiction() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/cib");
    let mut count = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(parse_cib(&String::from_utf8_lossy(&bytes)).is_ok());
        checks::cib(&bytes);
        count += 1;
    }
    assert!(count >= 2, "{count}");
}

proptest::proptest! {
    #[test]
    fn no_damage_to_a_cib_is_read_as_a_contradiction(
        at in 0..CIB.len(),
        len in 0usize..60,
        by in proptest::collection::vec(proptest::num::u8::ANY, 0..10),
    ) {
        let mut bytes = CIB.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, by);
        checks::cib(&bytes);
    }
}
