//! The steps on one node: the command lines, and the guards right before them.

use std::fs;
use std::path::PathBuf;

use two_node_ha_command::Interrupt;
use two_node_ha_command::scripted::Scripted;
use two_node_ha_config::Config;
use two_node_ha_node::Paths;
use two_node_ha_planner::record::{CopyMade, Resolution};
use two_node_ha_planner::split_brain::plan::Step;
use two_node_ha_planner::world;

use crate::act::Progress;
use crate::act::split_brain::{Copier, Executor};
use crate::observe::split_brain::Here;
use crate::store::Record;

const GENERATION: &str = "AAAAAAAAAAAAAAAA:1111111111111110:0:4:1:1:0:0\n";

#[derive(Debug)]
struct Copies(Result<String, String>);

impl Copier for Copies {
    fn copy(&self, _: &Interrupt, _: &mut Progress<'_>) -> Result<String, String> {
        self.0.clone()
    }
}

/// The loser, `hatwo`, with its state directory.
pub(super) struct Node {
    root: tempfile::TempDir,
    config: Config,
    copies: Copies,
    held: bool,
}

impl Node {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("proc/self/mountinfo", ""),
            ("proc/sys/kernel/random/boot_id", "boot\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Self {
            root,
            config: world::config(),
            copies: Copies(Ok("r0-1".into())),
            held: false,
        }
    }

    pub(super) fn paths(&self) -> Paths {
        Paths::rooted(self.root.path().into())
    }

    pub(super) fn record(&self) -> PathBuf {
        self.paths().resolution()
    }

    /// The volume is mounted here from now on, or not; the failover unit holds the role, or not.
    pub(super) fn used(&mut self, mounted: bool, held: bool) {
        let mounts = match mounted {
            true => "40 21 147:0 / /mnt/drbd0 rw - ext4 /dev/drbd0 rw\n",
            false => "",
        };
        fs::write(self.root.path().join("proc/self/mountinfo"), mounts).unwrap();
        self.held = held;
    }

    pub(super) fn noted(&self) -> Option<Resolution> {
        Resolution::read(&self.record()).unwrap()
    }

    pub(super) fn note(&self, resolution: &Resolution) {
        fs::create_dir_all(self.record().parent().unwrap()).unwrap();
        resolution.write(&self.record()).unwrap();
    }

    pub(super) fn take(&self, runner: &Scripted, step: &Step) -> Result<(), String> {
        self.take_as(runner, step, &asked())
    }

    pub(super) fn take_as(
        &self,
        runner: &Scripted,
        step: &Step,
        asked: &Resolution,
    ) -> Result<(), String> {
        let paths = self.paths();
        let executor = Executor {
            here: Here {
                config: &self.config,
                paths: &paths,
                node: "hatwo",
            },
            runner,
            copier: &self.copies,
            held: self.held,
            interrupt: &Interrupt::default(),
        };
        executor.take(step, asked, &mut |_| {})
    }
}

pub(super) fn asked() -> Resolution {
    Resolution::new("haone", "hatwo", false)
}

pub(super) fn drbd(role: &str, connection: &str, disk: &str, written: &str) -> Scripted {
    let text = format!(
        "exists resource name:r0 role:{role} suspended:no\n\
         exists connection name:r0 peer-node-id:0 conn-name:peer connection:{connection} role:Unknown\n\
         exists device name:r0 volume:0 minor:0 disk:{disk} size:1024 read:1 written:{written}\n\
         exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no\n\
         exists -\n"
    );
    Scripted::new()
        .file("/sys/module/drbd/version", "8.4.11\n")
        .answer("drbdsetup events2", 0, text)
        .answer("drbdadm get-gi r0", 0, GENERATION)
        .answer("cibadmin --query", 0, "<constraints/>")
}

pub(super) fn quiet() -> Scripted {
    drbd("Secondary", "StandAlone", "UpToDate", "7")
}

/// What changes anything.
pub(super) fn changes(runner: &Scripted) -> Vec<String> {
    let reads = ["drbdsetup events2", "drbdadm get-gi", "cibadmin --query"];
    runner
        .calls()
        .into_iter()
        .filter(|call| !reads.iter().any(|read| call.starts_with(read)))
        .collect()
}

#[test]
fn the_data_is_given_up_after_its_copy_and_with_the_record_of_it_on_the_disk() {
    let node = Node::new();
    node.take(&quiet(), &Step::Begin).unwrap();
    let runner = quiet();
    node.take(&runner, &Step::Copy).unwrap();
    let copy = node.noted().unwrap().copy.unwrap();
    assert_eq!(
        (copy.name.as_str(), copy.generation),
        ("r0-1", 0xAAAA_AAAA_AAAA_AAAA)
    );
    assert_eq!(copy.writes.as_deref(), Some("boot:7"));
    assert_eq!(changes(&runner), Vec::<String>::new());

    let record = node.record();
    let runner = quiet().answer_with("drbdadm connect --discard-my-data r0", move |_| {
        let noted = Resolution::read(&record).unwrap().unwrap();
        assert_eq!(noted.discarding, Some(0xAAAA_AAAA_AAAA_AAAA));
        Ok(two_node_ha_command::Output {
            exit: two_node_ha_command::Exit::Code(0),
            stdout: Vec::new(),
            stderr: Vec::new(),
        })
    });
    node.take(&runner, &Step::Discard).unwrap();
    assert_eq!(changes(&runner), ["drbdadm connect --discard-my-data r0"]);
}

#[test]
fn nothing_is_given_up_without_a_copy_of_just_this_data() {
    let node = Node::new();
    let copy = |generation, writes: &str| {
        let mut noted = asked();
        noted.copy = Some(CopyMade {
            name: "old".into(),
            generation,
            writes: Some(writes.into()),
        });
        noted
    };
    for (noted, why) in [
        (asked(), "no copy"),
        (copy(0x77, "boot:7"), "generation 0000000000000077"),
        (copy(0xAAAA_AAAA_AAAA_AAAA, "boot:6"), "written to since"),
        (copy(0xAAAA_AAAA_AAAA_AAAA, "before:7"), "written to since"),
        (Resolution::new("hatwo", "haone", false), "keeps hatwo"),
    ] {
        node.note(&noted);
        let runner = quiet();
        let error = node.take(&runner, &Step::Discard).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
        assert_eq!(changes(&runner), Vec::<String>::new());
    }
}

#[test]
fn nothing_is_copied_or_given_up_while_it_could_change() {
    let node = Node::new();
    node.note(&asked());
    for runner in [
        drbd("Primary", "StandAlone", "UpToDate", "7"),
        drbd("Secondary", "WFConnection", "UpToDate", "7"),
        drbd("Secondary", "Connected", "UpToDate", "7"),
    ] {
        for step in [Step::Copy, Step::Discard] {
            assert!(node.take(&runner, &step).is_err());
        }
        assert_eq!(changes(&runner), Vec::<String>::new());
    }
}

#[test]
fn a_copy_that_fails_leaves_no_word_of_one() {
    let mut node = Node::new();
    node.copies = Copies(Err("no space".into()));
    node.note(&asked());
    assert_eq!(node.take(&quiet(), &Step::Copy), Err("no space".into()));
    assert_eq!(node.noted(), Some(asked()));
}

#[test]
fn a_node_that_is_half_overwritten_goes_on_and_never_the_other_way_round() {
    let node = Node::new();
    let mut begun = asked();
    begun.discarding = Some(0x77);
    node.note(&begun);
    let half = || drbd("Secondary", "StandAlone", "Inconsistent", "9");
    let runner = half().answer("drbdadm connect", 0, "");
    node.take(&runner, &Step::Discard).unwrap();
    assert_eq!(changes(&runner), ["drbdadm connect --discard-my-data r0"]);
    let error = node.take(&half(), &Step::Begin).unwrap_err();
    assert!(error.contains("no longer whole"), "{error}");
}

#[test]
fn pacemaker_is_asked_by_a_constraint_of_our_own_and_gets_it_taken_away() {
    let node = Node::new();
    let runner = quiet().answer("cibadmin", 0, "");
    node.take(&runner, &Step::Ban).unwrap();
    node.take(&runner, &Step::Unban).unwrap();
    assert_eq!(
        changes(&runner),
        [
            "cibadmin --modify --allow-create --scope constraints --xml-text <rsc_location \
             id=\"two-node-ha-split-brain-r0\" rsc=\"drbd_master_slave\" role=\"Promoted\" \
             node=\"hatwo\" score=\"-INFINITY\"/>",
            "cibadmin --delete --scope constraints --xml-text <rsc_location \
             id=\"two-node-ha-split-brain-r0\" node=\"hatwo\"/>",
        ]
    );
}

#[test]
fn a_pacemaker_that_does_not_answer_keeps_no_release_waiting() {
    let node = Node::new();
    for step in [Step::Ban, Step::Unban] {
        let runner = quiet().answer_with("cibadmin", |call| {
            assert!(call.interrupt.is_some());
            Err(two_node_ha_command::Error::Interrupted {
                call: call.to_string(),
            })
        });
        node.take(&runner, &step).unwrap_err();
    }
}

#[test]
fn the_kept_node_never_discards_and_the_other_never_connects_without() {
    let node = Node::new();
    node.note(&asked());
    let runner = quiet();
    assert!(node.take(&runner, &Step::Connect).is_err());
    node.note(&Resolution::new("hatwo", "haone", true));
    assert!(node.take(&runner, &Step::Discard).is_err());
    assert_eq!(changes(&runner), Vec::<String>::new());
}

/// What a command asks for that has seen the resolution of this mark on the node.
fn seen(mark: &str, step: &Step) -> Resolution {
    if *step == Step::Begin {
        asked().marked("its own").over(mark)
    } else {
        asked().marked(mark)
    }
}

#[test]
fn a_step_that_was_decided_on_another_resolution_than_the_one_that_is_noted_by_now_changes_nothing()
{
    let node = Node::new();
    let copy = Some(CopyMade {
        name: "r0-1".into(),
        generation: 0xAAAA_AAAA_AAAA_AAAA,
        writes: Some("boot:7".into()),
    });
    let mut farther = asked().marked("newer");
    (farther.copy, farther.discarding) = (copy, Some(0xAAAA_AAAA_AAAA_AAAA));
    for newer in [
        // Another command has begun anew: the same way, the other way, and has made its copy.
        asked().marked("newer"),
        Resolution::new("hatwo", "haone", false).marked("newer"),
        farther,
    ] {
        for step in [
            Step::Begin,
            Step::Ban,
            Step::Demote,
            Step::Disconnect,
            Step::Copy,
            Step::Discard,
            Step::Connect,
            Step::Unban,
            Step::Finish,
        ] {
            for old in ["older", ""] {
                node.note(&newer);
                let link = if step == Step::Finish {
                    "Connected"
                } else {
                    "StandAlone"
                };
                let runner = drbd("Secondary", link, "UpToDate", "7");
                let why = node.take_as(&runner, &step, &seen(old, &step)).unwrap_err();
                assert!(why.contains("noted since"), "{step:?}: {why}");
                assert_eq!(changes(&runner), Vec::<String>::new(), "{step:?}");
                assert_eq!(node.noted().as_ref(), Some(&newer), "{step:?}");
            }
        }
    }
}

#[test]
fn the_end_that_two_commands_ask_for_ends_one_resolution_and_not_the_one_after_it() {
    let node = Node::new();
    let connected = || drbd("Secondary", "Connected", "UpToDate", "7");
    node.note(&asked().marked("one"));
    let one = seen("one", &Step::Finish);
    node.take_as(&connected(), &Step::Finish, &one).unwrap();
    assert_eq!(node.noted(), None);
    // The other command, which saw the same.
    node.take_as(&connected(), &Step::Finish, &one).unwrap();
    // And another that is later still: a split brain was found again, and its resolution begun.
    let begin = asked().marked("two").over("");
    node.take_as(&quiet(), &Step::Begin, &begin).unwrap();
    assert!(node.take_as(&connected(), &Step::Finish, &one).is_err());
    assert_eq!(node.noted(), Some(asked().marked("two")));
}

#[test]
fn a_beginning_that_is_asked_for_twice_does_not_take_what_was_done_since_back() {
    let node = Node::new();
    let begin = asked().marked("one").over("");
    node.take_as(&quiet(), &Step::Begin, &begin).unwrap();
    node.take_as(&quiet(), &Step::Copy, &seen("one", &Step::Copy))
        .unwrap();
    let noted = node.noted();
    assert!(noted.as_ref().is_some_and(|noted| noted.copy.is_some()));
    node.take_as(&quiet(), &Step::Begin, &begin).unwrap();
    assert_eq!(node.noted(), noted);
    // Of another command that has seen nothing noted here.
    let late = asked().marked("late").over("");
    assert!(node.take_as(&quiet(), &Step::Begin, &late).is_err());
    assert_eq!(node.noted(), noted);
}
