//! The client, with a shell script in ssh's place: it gets ssh's arguments and the request, and
//! answers as ssh would, or as it should not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use two_node_ha_planner::Database;
use two_node_ha_planner::record::Astray;
use two_node_ha_planner::world;
use two_node_ha_protocol::peer::VERSION;

use super::*;
use crate::peer::{keys, server};

/// Long enough for a busy machine; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(20);
const WAKE: Request = Request::Wake { version: VERSION };

/// A client of haone with `script` in ssh's place. In the script `$0` is the test's directory.
fn client(script: &str) -> (TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let (config, paths) = (world::config(), Paths::rooted(dir.path().join("root")));
    fs::create_dir_all(paths.peer_keys()).unwrap();
    fs::write(paths.peer_keys().join(keys::KEY), "").unwrap();
    let real = Client::new(&config, config.peer_node().unwrap(), &paths);
    let here = dir.path().display().to_string();
    let mut arguments = vec!["-c".to_owned(), script.to_owned(), here];
    arguments.extend(real.arguments.clone());
    let client = Client {
        program: "sh".into(),
        arguments,
        ..real
    };
    (dir, client)
}

/// Whether the script that wrote its process id into `$0/pid` was killed and reaped.
fn gone(dir: &TempDir) -> bool {
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    !Path::new("/proc").join(pid.trim()).exists()
}

/// An agent that has a bundle of epoch 7 with a large file and an empty one, and a log.
struct Voter(PathBuf);

impl server::Agent for Voter {
    fn answer(&self, request: Request) -> Response {
        assert_eq!(request, WAKE);
        Response::Woken
    }

    fn bundle(&self, epoch: u64) -> Result<Vec<(Database, String, PathBuf)>, String> {
        if epoch != 7 {
            return Err(format!("there is no bundle of epoch {epoch}"));
        }
        let file = |database, name: &str| (database, name.to_owned(), self.0.join(name));
        Ok(vec![
            file(Database::K8sd, "large"),
            file(Database::K8sDqlite, "empty"),
        ])
    }

    fn astray(&self) -> BTreeMap<Database, Astray> {
        BTreeMap::from([(Database::K8sd, written_off())])
    }

    fn log(&self, database: Database) -> Result<Vec<(Database, String, PathBuf)>, String> {
        Ok(vec![(database, "metadata1".into(), self.0.join("large"))])
    }
}

fn written_off() -> Astray {
    Astray {
        node: "hatwo".into(),
        first: 3,
        last: 4,
        since: 5,
        until: 6,
    }
}

/// More than a pipe or a socket holds at once.
fn large() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(700_001).collect()
}

/// A client whose script carries one request to a real server and its answer back, as ssh and the forced
/// command do. The answer comes later than the client's first look at whether it is given up.
fn served() -> (TempDir, Client) {
    let script = r#"printf '%s\n' "$@" > "$0/arguments"; head -n 1 > "$0/asked"; cat "$0/answer""#;
    let (dir, client) = client(script);
    let here = dir.path().to_path_buf();
    fs::write(here.join("large"), large()).unwrap();
    fs::write(here.join("empty"), "").unwrap();
    for pipe in ["asked", "answer"] {
        mkfifo(&here.join(pipe), Mode::S_IRWXU).unwrap();
    }
    thread::spawn(move || {
        let request = fs::read(here.join("asked")).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&request).unwrap();
        let mut script = File::options()
            .write(true)
            .open(here.join("answer"))
            .unwrap();
        thread::sleep(LOOK_UP * 3);
        let carry = thread::spawn(move || io::copy(&mut ours, &mut script));
        let _ = server::serve(theirs, &Voter(here));
        let _ = carry.join();
    });
    (dir, client)
}

/// Where a bundle of an earlier epoch lies.
fn fetched_before(dir: &TempDir) -> PathBuf {
    let fetched = dir.path().join("fetched");
    fs::create_dir(&fetched).unwrap();
    fs::write(fetched.join("old"), "of an earlier epoch").unwrap();
    fetched
}

fn bundle_of(epoch: u64) -> Request {
    Request::Bundle {
        version: VERSION,
        epoch,
    }
}

#[test]
fn a_question_reaches_the_agent_of_the_peer_by_ssh_and_its_answer_comes_back() {
    let (dir, client) = served();
    assert_eq!(client.ask(&WAKE, LONG).unwrap(), Response::Woken);
    let arguments = fs::read_to_string(dir.path().join("arguments")).unwrap();
    let pinned = format!(
        "-o\nUserKnownHostsFile={}/root/var/lib/two-node-ha/peer/known_hosts\n",
        dir.path().display()
    );
    assert!(arguments.contains(&pinned), "{arguments}");
    let host = world::config().peer_node().unwrap().address;
    let end = format!("-l\ntwo-node-ha\n-T\n--\n{host}\n");
    assert!(arguments.ends_with(&end), "{arguments}");
}

#[test]
fn a_bundle_comes_as_the_peer_has_it_and_replaces_what_was_fetched_before() {
    let (dir, client) = served();
    let fetched = fetched_before(&dir);
    let request = bundle_of(7);
    let Response::Bundle {
        epoch,
        files,
        astray,
    } = client.fetch(&request, &fetched, LONG).unwrap()
    else {
        panic!("another answer");
    };
    assert_eq!(epoch, 7);
    assert_eq!(astray, BTreeMap::from([(Database::K8sd, written_off())]));
    let announced: Vec<_> = files
        .iter()
        .map(|file| (file.database, file.name.as_str(), file.length))
        .collect();
    assert_eq!(
        announced,
        [
            (Database::K8sd, "large", 700_001),
            (Database::K8sDqlite, "empty", 0)
        ]
    );
    assert!(fs::read(fetched.join("large")).unwrap() == large());
    assert_eq!(fs::read_to_string(fetched.join("empty")).unwrap(), "");
    assert!(!fetched.join("old").exists());
    for name in ["large", "empty"] {
        let mode = fs::metadata(fetched.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_log_of_a_database_comes_as_a_bundle_without_an_epoch() {
    let (dir, client) = served();
    let fetched = dir.path().join("fetched");
    let request = Request::Log {
        version: VERSION,
        database: Database::K8sDqlite,
    };
    let answer = client.fetch(&request, &fetched, LONG).unwrap();
    assert!(
        matches!(answer, Response::Bundle { epoch: 0, ref astray, .. } if astray.is_empty()),
        "{answer:?}"
    );
    assert!(fs::read(fetched.join("metadata1")).unwrap() == large());
}

#[test]
fn a_refusal_is_an_answer_and_leaves_what_was_fetched_before() {
    let (dir, client) = served();
    let fetched = fetched_before(&dir);
    let request = bundle_of(8);
    assert_eq!(
        client.fetch(&request, &fetched, LONG).unwrap(),
        Response::Refused {
            reason: "there is no bundle of epoch 8".into()
        }
    );
    assert!(fetched.join("old").exists());
}

#[test]
fn without_a_key_ssh_is_not_run_and_the_command_that_makes_one_is_named() {
    let (dir, client) = client(r#"echo $$ > "$0/pid""#);
    fs::remove_file(&client.key).unwrap();
    let why = client.ask(&WAKE, LONG).unwrap_err().to_string();
    assert!(why.contains("run `two-node-ha peer setup`"), "{why}");
    assert!(!dir.path().join("pid").exists());
}

#[test]
fn what_ssh_complains_of_last_is_why_there_is_no_answer() {
    for (script, expected) in [
        (
            r"printf 'a banner\nssh: connect to host hatwo: Connection refused \n\n' >&2; exit 255",
            "ssh to hatwo: ssh: connect to host hatwo: Connection refused",
        ),
        (
            "exit 255",
            "ssh to hatwo: it ended without a word (exit status: 255)",
        ),
        (
            "sleep 0.3; exit 0",
            "ssh to hatwo: it ended without a word (exit status: 0)",
        ),
        (
            r#"printf '{"response":"wo'"#,
            "hatwo answered with something else: EOF while parsing a string",
        ),
        (
            "echo Welcome",
            "hatwo answered with something else: expected value",
        ),
    ] {
        let (_dir, client) = client(script);
        let why = client.ask(&WAKE, LONG).unwrap_err().to_string();
        assert!(why.starts_with(expected), "{script}: {why}");
    }
}

#[test]
fn a_question_ends_in_time_whatever_ssh_keeps_open() {
    for script in [
        "exec sleep 30",
        "exec sleep 30 >&-",
        "exec sleep 30 >&- 2>&-",
        r#"printf '{"response":'; exec sleep 30"#,
    ] {
        let (_dir, client) = client(script);
        let (began, within) = (Instant::now(), LOOK_UP * 5);
        let why = client.ask(&WAKE, within).unwrap_err();
        assert!(matches!(why, Error::Slow { .. }), "{script}: {why}");
        let took = began.elapsed();
        assert!(within <= took && took < LONG, "{script}: {took:?}");
    }
}

#[test]
fn a_question_that_is_given_up_ends_ssh() {
    let (dir, client) = client(r#"echo $$ > "$0/pid"; exec sleep 30"#);
    let interrupt = Interrupt::default();
    let client = client.interrupted_by(&interrupt);
    let pid = dir.path().join("pid");
    let raise = thread::spawn(move || {
        let began = Instant::now();
        while fs::read(&pid).unwrap_or_default().is_empty() && began.elapsed() < LONG {
            thread::sleep(LOOK_UP / 10);
        }
        interrupt.set(true);
    });
    let why = client.ask(&WAKE, LONG).unwrap_err();
    assert!(matches!(why, Error::Interrupted { .. }), "{why}");
    raise.join().unwrap();
    assert!(gone(&dir));
}

#[test]
fn what_ssh_has_started_ends_with_it() {
    let (dir, client) = client(r#"sleep 30 & echo $! > "$0/pid"; wait"#);
    let why = client.ask(&WAKE, LOOK_UP * 5).unwrap_err();
    assert!(matches!(why, Error::Slow { .. }), "{why}");
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    let began = Instant::now();
    // It is not this test's to reap.
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(began.elapsed() < LONG, "it goes on");
        thread::sleep(LOOK_UP / 10);
    }
}

/// What a peer says that announces files of these names, all alike, and then sends `content`.
fn announcing(names: &[&str], length: u64, sha256: &str, content: &str) -> String {
    let file = |name: &&str| BundleFile {
        database: Database::K8sd,
        name: (*name).to_owned(),
        length,
        sha256: sha256.into(),
    };
    let announced = Response::Bundle {
        epoch: 7,
        files: names.iter().map(file).collect(),
        astray: BTreeMap::new(),
    };
    format!("{}\n{content}", serde_json::to_string(&announced).unwrap())
}

/// Fetches from a peer that says `said`. ssh does not end after that, unless it is cut off.
fn fetch(said: &str, cut_off: bool) -> (TempDir, Result<Response, Error>) {
    let stays = if cut_off { "" } else { "; exec sleep 30" };
    let (dir, client) = client(&format!(r#"echo $$ > "$0/pid"; cat "$0/said"{stays}"#));
    fs::write(dir.path().join("said"), said).unwrap();
    let request = bundle_of(7);
    let answer = client.fetch(&request, &dir.path().join("fetched"), LONG);
    (dir, answer)
}

fn sha256(content: &str) -> String {
    hex(&Sha256::digest(content))
}

#[test]
fn a_bundle_that_is_not_what_was_announced_is_refused_and_ssh_is_ended() {
    let good = sha256("abcd");
    for (said, cut_off, expected) in [
        (
            announcing(&["a"], 4, &good, "ab"),
            true,
            "a ends 2 bytes too early",
        ),
        (
            announcing(&["a"], 4, &good, "abce"),
            false,
            "a does not match its digest",
        ),
        (
            announcing(&[""], 4, &good, "abcd"),
            false,
            r#"a file named "" in its bundle"#,
        ),
        (
            announcing(&[".a"], 4, &good, "abcd"),
            false,
            r#"a file named ".a" in its bundle"#,
        ),
        (
            announcing(&["../a"], 4, &good, "abcd"),
            false,
            r#"a file named "../a" in its bundle"#,
        ),
        (
            announcing(&["b/a"], 4, &good, "abcd"),
            false,
            r#"a file named "b/a" in its bundle"#,
        ),
        (
            announcing(&["a\0b"], 4, &good, "abcd"),
            false,
            r#"a file named "a\0b" in its bundle"#,
        ),
    ] {
        let (dir, answer) = fetch(&said, cut_off);
        let why = answer.unwrap_err();
        assert!(
            matches!(&why, Error::Garbled { detail, .. } if detail == expected),
            "{said}: {why}"
        );
        assert!(gone(&dir), "{said}");
    }
}

#[test]
fn a_bundle_that_cannot_be_stored_names_the_file_and_ssh_is_ended() {
    // The second of the same name must not replace the first.
    let said = announcing(&["a", "a"], 4, &sha256("abcd"), "abcdabcd");
    let (dir, answer) = fetch(&said, false);
    let why = answer.unwrap_err().to_string();
    let path = dir.path().join("fetched/a");
    let expected = format!("storing the peer's bundle at {}: ", path.display());
    assert!(why.starts_with(&expected), "{why}");
    assert!(gone(&dir));
}

#[test]
fn what_follows_a_complete_bundle_is_not_stored_and_not_waited_for() {
    let said = announcing(&["a"], 4, &sha256("abcd"), "abcd and more");
    let (dir, answer) = fetch(&said, false);
    answer.unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join("fetched/a")).unwrap(),
        "abcd"
    );
    assert!(gone(&dir));
}
