//! A cluster in a value: a CIB, as cibadmin of Pacemaker 2.1.5 wrote it from what
//! `two-node-ha render pacemaker` prints, whose node states and constraints are then as a row says;
//! DRBD's own texts; and what the peer's controller and the fencer answer. [`World::play`] does what
//! the decision asks for until it answers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use two_node_ha_command::scripted::Scripted;
use two_node_ha_config::FencingMode::{self, Stonith};
use two_node_ha_pacemaker::{Cib, FencingConstraint, parse_cib};

use crate::fence::disks;
use two_node_ha_fence::answer::Answer;
use two_node_ha_fence::decide::{Next, decide};
use two_node_ha_fence::situation::{Cluster, Done, Fencing, Removal, Situation};
use two_node_ha_fence::{Standing, Subject, View};

const CIB: &str = include_str!("../../../../crates/pacemaker/tests/fixtures/cib.2.1.5.xml");
const CLONE: &str = "drbd_master_slave";
const DEADLINE: Duration = Duration::from_secs(60);

/// The node states as two generations of Pacemaker write them: (in_ccm, crmd) for yes and no.
pub const SPELLINGS: [[[&str; 2]; 2]; 2] = [
    [["true", "false"], ["online", "offline"]],
    [["1764000000", "0"], ["1764000001", "0"]],
];

/// What is recorded of the peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Peer {
    Online,
    /// Left, or fenced.
    Down,
    /// Its Pacemaker left, its Corosync did not.
    Leaving,
    Lost,
    /// Member, but its controller is gone.
    Mute,
    Joining,
    Unseen,
}

#[derive(Debug, Clone)]
pub struct World {
    pub mode: FencingMode,
    pub peer: Peer,
    pub local: &'static str,
    pub peer_disk: &'static str,
    /// Who the constraint allows.
    pub constraint: Option<&'static [&'static str]>,
    pub dc: bool,
    pub quorum: bool,
    pub fencing: bool,
    pub maintenance: bool,
    pub alive: bool,
    pub fenced: bool,
    /// Why placing and renewing fails.
    pub refused: Option<&'static str>,
    /// How often somebody else renews the constraint in the moment before this call does.
    pub overtaken: usize,
    /// The word in the constraint's mark; drbd-utils' own where there is none.
    pub mark: Option<usize>,
    /// The cluster does not answer; whether Pacemaker runs.
    pub silent: Option<bool>,
    /// What becomes of the peer, and of its disk, after the constraint was placed.
    pub then: Option<Peer>,
    pub then_disk: Option<&'static str>,
}

/// The primary of a healthy cluster that has just lost its replication link.
pub fn cut() -> World {
    World {
        mode: Stonith,
        peer: Peer::Online,
        local: "UpToDate",
        peer_disk: "DUnknown",
        constraint: None,
        dc: true,
        quorum: true,
        fencing: true,
        maintenance: false,
        alive: true,
        fenced: false,
        refused: None,
        overtaken: 0,
        mark: None,
        silent: None,
        then: None,
        then_disk: None,
    }
}

/// What was done, and the answer.
pub struct Played {
    pub deeds: Vec<&'static str>,
    pub answer: Answer,
    /// Whom the constraint allows in the end.
    pub left: Option<Vec<String>>,
    /// Whether this call has given it the mark that it has in the end.
    pub own: bool,
}

impl World {
    pub fn cib(&self, spelling: usize) -> String {
        let [member, online] = SPELLINGS[spelling];
        let state = match self.peer {
            Peer::Online => Some((0, 0, "member", "member")),
            Peer::Down => Some((1, 1, "down", "down")),
            Peer::Leaving => Some((0, 1, "down", "down")),
            Peer::Lost => Some((1, 1, "down", "member")),
            Peer::Mute => Some((0, 1, "member", "member")),
            Peer::Joining => Some((0, 0, "pending", "member")),
            Peer::Unseen => None,
        };
        let mut text = String::new();
        for line in CIB.lines() {
            if line.contains("<node_state") && line.contains("\"beta\"") {
                if let Some((m, o, join, expected)) = state {
                    text += &format!(
                        "<node_state id=\"2\" uname=\"beta\" in_ccm=\"{}\" crmd=\"{}\" \
                         join=\"{join}\" expected=\"{expected}\"/>\n",
                        member[m], online[o]
                    );
                }
                continue;
            }
            if line.contains("</constraints>") {
                if let Some(allowed) = self.constraint {
                    let mut constraint = FencingConstraint::new("r0", CLONE, "");
                    constraint.allowed = allowed.iter().map(ToString::to_string).collect();
                    if let Some(mark) = self.mark {
                        constraint = constraint.marked_with(&mark.to_string());
                    }
                    text += &constraint.element("Master");
                }
            }
            text += line;
            text.push('\n');
        }
        let mut replace = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        };
        if !self.dc {
            replace(" dc-uuid=\"1\"", "");
        }
        if !self.quorum {
            replace("have-quorum=\"1\"", "have-quorum=\"0\"");
        }
        if !self.fencing {
            replace(
                "name=\"stonith-enabled\" value=\"true\"",
                "name=\"stonith-enabled\" value=\"false\"",
            );
        }
        if self.maintenance {
            replace(
                "</cluster_property_set>",
                "<nvpair id=\"m\" name=\"maintenance-mode\" value=\"true\"/></cluster_property_set>",
            );
        }
        text
    }

    pub fn drbd(&self, generation: u32) -> Scripted {
        let Self {
            local, peer_disk, ..
        } = self;
        if generation == 8 {
            let up = format!(
                " 0: cs:WFConnection ro:Primary/Unknown ds:{local}/{peer_disk} C s-----\n    ns:0 \
                 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
            );
            let up = if local.is_empty() { String::new() } else { up };
            return Scripted::new()
                .file("/sys/module/drbd/version", "8.4.11\n")
                .file(
                    "/proc/drbd",
                    format!("version: 8.4.11 (api:1/proto:86-101)\n{up}"),
                );
        }
        let up = format!(
            "exists resource name:r0 role:Primary suspended:fencing\n\
             exists connection name:r0 peer-node-id:2 conn-name:beta connection:Connecting role:Unknown\n\
             exists device name:r0 volume:0 minor:0 disk:{local}\n\
             exists peer-device name:r0 peer-node-id:2 conn-name:beta volume:0 replication:Off peer-disk:{peer_disk}\n\
             exists -\n"
        );
        let up = if local.is_empty() {
            "exists -\n".to_owned()
        } else {
            up
        };
        Scripted::new()
            .file("/sys/module/drbd/version", "9.2.12\n")
            .answer("drbdsetup events2 --now --statistics", 0, up)
    }

    /// Does what is asked for until the answer, and lets the time run out at the third wait.
    pub fn play(&self, generation: u32, spelling: usize) -> Played {
        let mut world = self.clone();
        let subject = Subject {
            resource: "r0".into(),
            me: "alpha".into(),
            peer: "beta".into(),
            mode: self.mode,
        };
        let mut done = Done::default();
        let mut deeds = Vec::new();
        let mut waits = 0;
        let mut mark = 0;
        for turn in 0..20 {
            let disks = disks::read(&world.drbd(generation), "r0", &[0], DEADLINE);
            let cluster = match world.silent {
                Some(running) => Cluster::Silent {
                    why: "no answer".into(),
                    running,
                },
                None => Cluster::Seen(View::of(&parsed(&world.cib(spelling)), &subject)),
            };
            if turn == 0 {
                if let Cluster::Seen(view) = &cluster {
                    done.found = matches!(view.standing, Standing::Mine(_));
                }
            }
            let last = waits > 2;
            let next = decide(&Situation {
                subject: &subject,
                disks: &disks,
                cluster: &cluster,
                done: &done,
                elapsed: if last {
                    DEADLINE
                } else {
                    Duration::from_secs(6)
                },
                last,
                over: last,
            });
            let deed = match next {
                Next::Answer(answer) => {
                    let left = world.constraint;
                    let left = left.map(|l| l.iter().map(ToString::to_string).collect());
                    let own = marked(world.mark).mark;
                    return Played {
                        deeds,
                        answer,
                        left,
                        own: own.is_some_and(|own| done.marks.contains(&own)),
                    };
                }
                Next::Place => {
                    assert!(world.constraint.is_none(), "placed over another");
                    done.trouble = world.refused.map(str::to_owned);
                    if world.refused.is_some() {
                        waits += 1;
                        continue;
                    }
                    mark += 1;
                    world.mark = Some(mark);
                    done.marks.extend(marked(world.mark).mark);
                    world.constraint = Some(&["alpha"]);
                    world.peer = world.then.unwrap_or(world.peer);
                    world.peer_disk = world.then_disk.unwrap_or(world.peer_disk);
                    done.placed = true;
                    done.tried.push(marked(world.mark));
                    "place"
                }
                Next::Renew => {
                    let Some(allowed) = world.constraint else {
                        panic!("renewed what is not there");
                    };
                    assert!(
                        allowed.contains(&"alpha") && !allowed.contains(&"beta"),
                        "renewed what forbids this node, or nobody"
                    );
                    mark += 1;
                    done.marks.extend(marked(Some(mark)).mark);
                    let overtaken = world.overtaken > 0;
                    done.trouble = match (world.refused, overtaken) {
                        (Some(refused), _) => Some(refused.to_owned()),
                        (None, true) => Some("the constraint has changed".to_owned()),
                        (None, false) => None,
                    };
                    if overtaken {
                        world.overtaken -= 1;
                        mark += 1;
                    }
                    if done.trouble.is_none() || overtaken {
                        world.mark = Some(mark);
                    }
                    if done.trouble.is_some() {
                        waits += 1;
                        continue;
                    }
                    "renew"
                }
                Next::Remove | Next::TakeBack => {
                    world.constraint = None;
                    done.removal = Removal::Settled;
                    "remove"
                }
                Next::AskPeer => {
                    let silence = || Err("timed out".to_owned());
                    done.alive = Some(if world.alive { Ok(()) } else { silence() });
                    "ask peer"
                }
                Next::AskFencer => {
                    done.fenced = Some(if world.fenced {
                        Fencing::Confirmed("`off` at 12:00".into())
                    } else {
                        Fencing::Unconfirmed("it left in good order".into())
                    });
                    "ask fencer"
                }
                Next::Wait(_) => {
                    assert!(!last, "waits beyond the end");
                    waits += 1;
                    done.alive = None;
                    done.fenced = None;
                    "wait"
                }
            };
            if deeds.last() != Some(&deed) {
                deeds.push(deed);
            }
        }
        panic!("no answer: {deeds:?}");
    }
}

/// The constraint of r0 with this word in its mark.
fn marked(mark: Option<usize>) -> FencingConstraint {
    let constraint = FencingConstraint::new("r0", CLONE, "alpha");
    match mark {
        Some(mark) => constraint.marked_with(&mark.to_string()),
        None => constraint,
    }
}

/// Most worlds share their CIB.
fn parsed(text: &str) -> Cib {
    thread_local! {
        static PARSED: RefCell<HashMap<String, Cib>> = RefCell::default();
    }
    PARSED.with_borrow_mut(|parsed| {
        let cib = parsed.entry(text.to_owned());
        cib.or_insert_with(|| parse_cib(text).unwrap()).clone()
    })
}
