//! How something came about, for people: both nodes side by side, one line after the other.

use std::fmt::Write as _;

use super::agents::Agents;
use super::handler;
use super::model::*;
use super::step::{Broken, Did, Next};
use crate::Database;

const WIDTH: usize = 58;
const AND_SO_ON: &str = "  ... and so on\n";

/// The whole story, from a world on.
pub fn tell(agents: &Agents, start: &World, way: &[Next]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  {:<WIDTH$}| {}", NAMES[0], NAMES[1]);
    let _ = writeln!(text, "  {:-<WIDTH$}+{:-<WIDTH$}", "", "");
    let mut before = *start;
    for n in [0, 1] {
        line(&mut text, n, &stands(agents, &before, n));
    }
    for next in way {
        let (who, words) = words(next.did);
        if let Some(words) = words {
            match who {
                Some(n) => line(&mut text, n, &words),
                None if text.matches(&words).count() < OFTEN => {
                    let _ = writeln!(text, "  {:-^1$}", format!(" {words} "), 2 * WIDTH);
                }
                None => {}
            }
        }
        for n in [0, 1] {
            for words in changes(agents, &before, &next.world, n) {
                line(&mut text, n, &words);
            }
        }
        if let Some(broken) = next.broken {
            let _ = writeln!(text, "  ==> {}", verdict(broken, &next.world));
        }
        before = next.world;
    }
    if way.last().is_some_and(|last| last.broken.is_none()) {
        let _ = writeln!(text, "  ==> {}", verdict(Broken::NoVoter, &before));
    }
    text
}

/// What is told more often than this is told no more: it goes on like that.
const OFTEN: usize = 4;

fn line(text: &mut String, n: N, words: &str) {
    if text.matches(words).count() >= OFTEN {
        if !text.ends_with(AND_SO_ON) {
            text.push_str(AND_SO_ON);
        }
        return;
    }
    let mut rows: Vec<String> = vec![String::new()];
    for word in words.split(' ') {
        let full = rows
            .last()
            .is_some_and(|row| row.len() + word.len() + 2 > WIDTH);
        if full {
            rows.push("  ".into());
        }
        if let Some(row) = rows.last_mut() {
            if !row.trim().is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
    }
    for row in rows {
        let _ = match n {
            0 => writeln!(text, "  {row:<WIDTH$}|"),
            _ => writeln!(text, "  {:<WIDTH$}| {row}", ""),
        };
    }
}

/// What a node is at the beginning.
fn stands(agents: &Agents, world: &World, n: N) -> String {
    let state = agents
        .state(world, n)
        .map_or("silent", |state| state.name());
    let serves = match (world.serves(n), world.nodes[n].leads[DQLITE]) {
        (None, _) => "",
        (Some(_), true) => ", k8s-dqlite accepts writes on the volume",
        (Some(_), false) => ", k8s-dqlite accepts writes on its own disk",
    };
    format!("at first: {state}{serves}")
}

/// What is different on a node, as far as anybody sees it.
fn changes(agents: &Agents, before: &World, after: &World, n: N) -> Vec<String> {
    let mut words = Vec::new();
    let state = agents.state(after, n);
    if let Some(state) = state.filter(|state| agents.state(before, n) != Some(*state)) {
        words.push(format!("agent: {state}"));
    }
    let (was, is) = (&before.nodes[n], &after.nodes[n]);
    let place = match is.leads[DQLITE] {
        true => "on the volume",
        false => "on its own, unreplicated disk",
    };
    match (before.serves(n).is_some(), after.serves(n).is_some()) {
        (false, true) => words.push(format!("k8s-dqlite accepts writes {place}")),
        (true, false) if is.on => words.push("k8s-dqlite accepts no write any more".into()),
        (true, true | false) | (false, false) => {}
    }
    if is.on && was.suspended != is.suspended {
        words.push(match is.suspended {
            true => "DRBD: every write stands still".into(),
            false => "DRBD: writes go on".into(),
        });
    }
    if is.partial != was.partial {
        words.push(match is.partial {
            true => "DRBD: this copy is brought up to date".into(),
            false => "DRBD: this copy is up to date".into(),
        });
    }
    words
}

fn verdict(broken: Broken, world: &World) -> String {
    let acknowledged = world.acknowledged.writes();
    match broken {
        Broken::TwoVoters => "TWO VOTERS accept writes at the same time".into(),
        Broken::StartedBehind(n) => {
            let log = match world.nodes[n].leads[DQLITE] {
                true => world.nodes[n].volume.log,
                false => world.nodes[n].spare_log,
            };
            let common = log.common(&world.acknowledged);
            let mut kept = world.acknowledged;
            kept.cut(common);
            format!(
                "{} is the voter, and of {acknowledged} acknowledged writes it has {}: {} LOST",
                NAMES[n],
                kept.writes(),
                acknowledged - kept.writes()
            )
        }
        Broken::ChangedBeneath => "a database RUNS while what it stands on is changed".into(),
        Broken::UnmountedBeneath(n) => {
            format!(
                "{}: the volume is unmounted UNDER A RUNNING DATABASE",
                NAMES[n]
            )
        }
        Broken::LeadsToNothing => "a state directory leads to where nothing is mounted".into(),
        Broken::RunsOnNothing(n) => {
            format!("{}: a database runs where nothing is mounted", NAMES[n])
        }
        Broken::SplitBrain => {
            "SPLIT BRAIN: both nodes have written to their copy of the volume".into()
        }
        Broken::RefusedAlthoughHeard(n) => format!(
            "{} STILL REFUSES CONNECTIONS to the databases of its peer, which was heard",
            NAMES[n]
        ),
        Broken::NoVoter => "NOBODY BECOMES THE VOTER, although every fault is over".into(),
    }
}

/// On which node it happened, and how it is told; nothing where it is not worth a line.
fn words(did: Did) -> (Option<N>, Option<String>) {
    let peer = |n: N| NAMES[other(n)];
    let (n, words) = match did {
        Did::Began(..) | Did::Hears(_) | Did::Woken(_) | Did::LooksAgain(_) => return (None, None),
        Did::AskIsRead(_) | Did::PromotionAnswered(_) | Did::Connects(_) => return (None, None),
        Did::Called(_) => return (None, None),
        Did::GaveWay(n, deed) => (
            n,
            format!("agent: gave way, and did not {}", deed_words(deed)),
        ),
        Did::SilenceComes(_) | Did::ReportComes(_) => return (None, None),
        Did::Done(n, deed) => (n, format!("agent: done: {}", deed_words(deed))),
        Did::Failed(n, deed) => (n, format!("agent: cannot {}", deed_words(deed))),
        Did::AskedToStop(n) => (n, format!("agent: asks {} to stop its databases", peer(n))),
        Did::LosesPatience(n) => (
            n,
            format!("agent: {} has been silent for too long", peer(n)),
        ),
        Did::AskIsLost(n) => (n, format!("agent: {} does not answer", peer(n))),
        Did::PacemakerAnswers(n) => (n, format!("agent: hears from Pacemaker of {}", peer(n))),
        Did::WayDown(n) => (n, "failover unit: has gone the way down, and ends".into()),
        Did::StartTimesOut(n) => (n, "failover unit: its start takes too long".into()),
        Did::UnitFails(n) => (n, "failover unit: fails, the agent is gone".into()),
        Did::StopTimesOut(n) => (n, format!("{} fences it: a stop does not end", peer(n))),
        Did::Promoted(n) => (n, "Pacemaker: promotes DRBD".into()),
        Did::Mounted(n) => (n, "Pacemaker: mounts the volume".into()),
        Did::UnitStarts(n) => (n, "Pacemaker: starts the failover unit".into()),
        Did::UnitStops(n) => (n, "Pacemaker: stops the failover unit".into()),
        Did::Unmounted(n) => (n, "Pacemaker: unmounts the volume".into()),
        Did::Demoted(n) => (n, "Pacemaker: demotes DRBD".into()),
        Did::Wanted(n) => (n, "Pacemaker: wants the voter here".into()),
        Did::FailureForgotten(n) => (n, "Pacemaker: will try here again".into()),
        Did::Misses(n) => (n, format!("Pacemaker: has lost {}", peer(n))),
        Did::Fences(n) => (n, format!("Pacemaker: fenced {}", peer(n))),
        Did::Boots(n) => (n, "BOOTS".into()),
        Did::AgentStarts(n) => (n, "agent: starts".into()),
        Did::Resumes(n) => (n, "agent: goes on after a pause".into()),
        Did::Promotes(n) => (n, "Pacemaker: promotes DRBD, which calls fence-peer".into()),
        Did::HandlerLooks(_) => return (None, None),
        Did::HandlerUnanswered(n, _) => (n, "fence-peer: the cluster does not answer".into()),
        Did::HandlerRunsOut(n) => (n, "fence-peer: has no time left".into()),
        Did::Handler(n, deed) => return (Some(n), handler_words(deed, peer(n))),
        Did::Writes(n) => (n, "A WRITE IS ACKNOWLEDGED".into()),
        Did::Freed(n) => (n, "the disk has room again".into()),
        Did::PowerCut(n) => (n, "LOSES ITS POWER".into()),
        Did::AgentKilled(n) => (n, "THE AGENT IS KILLED".into()),
        Did::AgentGone(n) => (n, "THE AGENT IS GONE, for good".into()),
        Did::Paused(n) => (n, "THE AGENT IS PAUSED".into()),
        Did::Sigterm(n) => (n, "k8s-dqlite IS ASKED TO STOP (SIGTERM)".into()),
        Did::Full(n) => (n, "THE DISK IS FULL".into()),
        Did::Move(n) => (n, "THE OPERATOR MOVES THE VOTER HERE".into()),
        Did::LosesSomething(n) => (n, "DRBD's handler: THE DISK HAS FAILED, demote".into()),
        Did::AnswerIsLost(n) => (n, format!("agent: THE ANSWER OF {} IS LOST", peer(n))),
        Did::AskedAgain(n) => (
            n,
            format!(
                "agent: AN OLD REQUEST TO STOP COMES FROM {} ONCE MORE",
                peer(n)
            ),
        ),
        Did::Joined => return (None, Some("both are in the cluster".into())),
        Did::CablesBack => return (None, Some("the cables are back".into())),
        Did::Linked => return (None, Some("DRBD sees both copies".into())),
        Did::Synced => return (None, Some("DRBD: both copies are the same".into())),
        Did::LinkLost => return (None, Some("DRBD'S LINK IS LOST".into())),
        Did::Partition => return (None, Some("THE NETWORK IS CUT".into())),
    };
    (Some(n), Some(words))
}

/// What fence-peer does, where it is worth a line.
fn handler_words(deed: handler::Deed, peer: &str) -> Option<String> {
    use handler::Deed;
    let words = match deed {
        Deed::Wait | Deed::AskPeer | Deed::AskFencer => return None,
        Deed::Place => format!("{peer} must not be promoted"),
        Deed::Renew => "relies on the constraint that stands".into(),
        Deed::Remove => "takes the constraint away: the link is back".into(),
        Deed::TakeBack => "takes its constraint back".into(),
        Deed::Claim => format!("answers that {peer} is out"),
        Deed::ClaimNothing => "can claim nothing".into(),
    };
    Some(format!("fence-peer: {words}"))
}

fn deed_words(deed: Deed) -> String {
    let name = |d: usize| Database::ALL[d].name();
    match deed {
        Deed::RemoveConstraint => "take the fencing constraint away".into(),
        Deed::AskFencePeer => "have DRBD ask fence-peer again".into(),
        Deed::StopPeer => "have the peer stop its databases".into(),
        Deed::StopServices => "stop the k8s services".into(),
        Deed::Demote => "have Pacemaker take the primary away".into(),
        Deed::StopForPeer => "stop the k8s services for the peer".into(),
        Deed::Remember(epoch) => format!("remember epoch {epoch}"),
        Deed::Leave(d) => format!("lead {} off the volume", name(d)),
        Deed::Flip(d, true) => format!("lead {} onto the volume", name(d)),
        Deed::Flip(d, false) => format!("lead {} to the own directory", name(d)),
        Deed::BeginEpoch => "begin an epoch: this node takes over".into(),
        Deed::FencePeer => "have Pacemaker fence the peer".into(),
        Deed::FetchLogs => "fetch the peer's logs".into(),
        Deed::Renew(epoch) => format!("begin epoch {epoch} from the newer log"),
        Deed::Recover(d) => format!("recover {}", name(d)),
        Deed::Rejoin(epoch) => format!("rejoin as the spare of epoch {epoch}"),
        Deed::StartServices => "start the k8s services".into(),
        Deed::Confirm => "confirm that the voter works".into(),
    }
}
