//! The real program on a node whose `/etc/two-node-ha.toml` is broken or gone: what has to judge the
//! file judges it, and everything else goes on with the configuration that was accepted last.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

const CONFIG: &str = r#"
[[node]]
name = "alpha"
address = "10.0.0.1"
[[node]]
name = "beta"
address = "10.0.0.2"
[volume]
backing_file = "/srv/drbd0"
[[fencing.device]]
node = "alpha"
agent = "fence_x"
params = { password = "correct horse" }
[[fencing.device]]
node = "beta"
agent = "fence_x"
params = { password = "correct horse" }
"#;

struct Node(tempfile::TempDir);

impl Node {
    fn new(etc: Option<&str>, accepted: Option<&str>) -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("etc/two-node-ha.toml", etc),
            ("var/lib/two-node-ha/accepted.toml", accepted),
        ] {
            let path = node.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        node
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_two-node-ha"))
            .args(args)
            .env("TWO_NODE_HA_ROOT", self.0.path())
            .env("TWO_NODE_HA_NODE", "alpha")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

/// A line of nonsense, and another password.
fn broken() -> String {
    CONFIG
        .replace("[volume]", "[volume]\nthis is nonsense")
        .replace("correct horse", "battery staple")
}

#[test]
fn a_command_of_the_running_system_goes_on_with_the_accepted_configuration_and_says_so() {
    for etc in [Some(broken()), None] {
        let node = Node::new(etc.as_deref(), Some(CONFIG));
        let (code, out, said) = node.run(&["copies", "list"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(out.starts_with("no copies of r0"), "{out}");
        assert!(said.contains("THE CONFIGURATION CANNOT BE USED"), "{said}");
        assert!(said.contains("was accepted on 2"), "{said}");
        assert_eq!(said.contains("The lines that differ"), etc.is_some());
        for secret in ["correct horse", "battery staple"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[test]
fn with_nothing_accepted_or_a_damaged_one_it_says_what_is_wrong_with_both() {
    let half = &CONFIG[..CONFIG.len() / 2];
    for accepted in [None, Some(half)] {
        let node = Node::new(Some(&broken()), accepted);
        let (code, _, said) = node.run(&["copies", "list"]);
        assert_eq!(code, Some(1));
        assert!(said.contains("not TOML"), "{said}");
        assert_eq!(
            said.contains("accepted.toml is invalid"),
            accepted.is_some()
        );
    }
    let node = Node::new(None, None);
    let (_, _, said) = node.run(&["copies", "list"]);
    assert!(said.contains("two-node-ha.toml.example"), "{said}");
}

#[test]
fn check_and_render_judge_the_file_in_etc_and_a_file_that_is_named_is_judged_by_itself() {
    let node = Node::new(Some(&broken()), Some(CONFIG));
    for args in [&["check"][..], &["render", "corosync"]] {
        let (code, out, said) = node.run(args);
        assert_eq!(code, Some(1), "{args:?}");
        assert!(out.is_empty(), "{args:?}: {out}");
        assert!(said.contains("not TOML"), "{args:?}: {said}");
    }
    let named = node.0.path().join("named.toml");
    fs::write(&named, "nonsense").unwrap();
    let (code, ..) = node.run(&["copies", "list", "--config", named.to_str().unwrap()]);
    assert_eq!(code, Some(1));
}

#[test]
fn an_agent_without_any_configuration_ends_with_the_status_that_is_not_tried_again() {
    let node = Node::new(Some(&broken()), None);
    let (code, _, said) = node.run(&["agent"]);
    assert_eq!(code, Some(78));
    assert!(said.contains("not TOML"), "{said}");
}

#[test]
fn status_says_that_the_file_is_broken_although_the_agent_has_run_since_before() {
    let node = Node::new(Some(&broken()), Some(CONFIG));
    let run = node.0.path().join("run/two-node-ha");
    fs::create_dir_all(&run).unwrap();
    let agent = UnixListener::bind(run.join("agent.sock")).unwrap();
    fs::set_permissions(run.join("agent.sock"), fs::Permissions::from_mode(0o600)).unwrap();
    let answers = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = agent.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.contains("status"), "{line}");
        let answer = r#"{"response":"status","format":1,"node":"alpha","peer":"beta",
            "state":"primary-running","settled":true,"reasons":["x"],"warnings":[],
            "remedy":null,"doing":null,"epoch":1,"owner":"alpha",
            "drbd":{"role":"primary","up_to_date":true,"connected":true,"peer_role":"secondary",
            "summary":"x"},"mount":"read-write","request":"hold","services":"running",
            "peer_state":"x"}"#;
        stream
            .write_all(answer.replace('\n', " ").as_bytes())
            .unwrap();
        stream.write_all(b"\n").unwrap();
    });
    let (code, out, said) = node.run(&["status"]);
    answers.join().unwrap();
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("primary-running"), "{out}");
    assert!(said.contains("THE CONFIGURATION CANNOT BE USED"), "{said}");
    assert!(!said.contains("battery staple"), "{said}");
}
