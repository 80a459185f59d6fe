//! Pacemaker, DRBD, the failover unit and the messages, as far as they matter to the two agents.

use super::agents::{Driver, Input, Mutant};
use super::handler::Handler;
use super::model::*;
use super::sight::Eye;
use super::step::{Broken, Did, Next};
use crate::State;
use crate::machine::PeerPorts;

impl Driver<'_> {
    /// Everything that may happen next.
    pub fn successors(&mut self, world: &World, faults: &[Did]) -> Vec<Next> {
        let mut next = Vec::with_capacity(32);
        for n in [0, 1] {
            self.hands(world, n, &mut next);
            self.messages(world, n, &mut next);
            self.unit(world, n, &mut next);
            pacemaker(world, n, &mut next);
            self.handler(world, n, &mut next);
            self.node(world, n, &mut next);
        }
        drbd(world, &mut next);
        if world.faults > 0 {
            for fault in faults {
                next.extend(self.fault(world, *fault));
            }
        }
        for next in &mut next {
            hear(world, &mut next.world);
            next.broken = next.broken.or(next.world.broken());
            next.world = next.world.canonical();
        }
        next
    }

    fn messages(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let node = &world.nodes[n];
        if !node.alive() {
            return;
        }
        if node.ask_peer == Question::Asked {
            let mut then = *world;
            let peer = &world.nodes[other(n)];
            if world.reaches() && peer.alive() && peer.report != 0 {
                then.nodes[n].ask_peer = Question::Report(peer.report);
                then.nodes[other(n)].answered = true;
                self.tell(&mut then, other(n), Input::PeerHeard);
                next.push(Next::of(Did::AskIsRead(n), then));
            } else {
                then.nodes[n].ask_peer = Question::Silence;
                next.push(Next::of(Did::AskIsLost(n), then));
            }
        }
        let mut told = |did, change: fn(&mut Node), input: Input, driver: &mut Self| {
            let mut then = *world;
            change(&mut then.nodes[n]);
            driver.tell(&mut then, n, input);
            next.push(Next::of(did, then));
        };
        // One after the other; what Pacemaker asks is not kept waiting by the rest.
        if node.unheard & ASKS != 0 {
            let asks = Input::Asks(Eye::of(world, n).request());
            told(Did::Hears(n), |node| node.unheard &= !ASKS, asks, self);
        } else if node.unheard & LINK != 0 {
            let link = Input::LinkChanged;
            told(Did::Hears(n), |node| node.unheard = 0, link, self);
        } else if node.unheard != 0 {
            let changed = Input::Changed;
            told(Did::Hears(n), |node| node.unheard = 0, changed, self);
        }
        if node.called == Called::Left {
            let heard = |node: &mut Node| node.called = Called::Heard;
            told(Did::Called(n), heard, Input::Called, self);
        }
        if node.woken {
            told(
                Did::Woken(n),
                |node| node.woken = false,
                Input::PeerWoke,
                self,
            );
        }
        match node.ask_peer {
            Question::None | Question::Asked => {}
            Question::Report(id) => told(
                Did::ReportComes(n),
                |node| node.ask_peer = Question::None,
                Input::Report(id),
                self,
            ),
            Question::Silence => told(
                Did::SilenceComes(n),
                |node| node.ask_peer = Question::None,
                Input::Silence,
                self,
            ),
        }
        if node.ask_pacemaker {
            told(
                Did::PacemakerAnswers(n),
                |node| node.ask_pacemaker = false,
                Input::Pacemaker(node.knows),
                self,
            );
        }
        if let Some(old) = node.ask_promotion {
            let allows = node.constraint.map(|c| c.allows);
            told(
                Did::PromotionAnswered(n),
                |node| node.ask_promotion = None,
                Input::Promotion(allows, old),
                self,
            );
        }
        let waits = self.waits(world, n);
        if waits.rests && waits.wakes {
            let wake = |long| Input::Wake { long };
            told(Did::LooksAgain(n), |_| {}, wake(false), self);
            if waits.counts && self.agents.mutant != Mutant::NoEscalation {
                told(Did::LosesPatience(n), |_| {}, wake(true), self);
            }
        }
    }

    /// The failover unit's process.
    fn unit(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let node = &world.nodes[n];
        if !node.on || node.stage < Stage::Starting {
            return;
        }
        let mut then = *world;
        let now = &mut then.nodes[n];
        if node.held() && !node.connected {
            match node.agent {
                Agent::Runs => {
                    now.connected = true;
                    now.hold = now.hold % 3 + 1;
                    next.push(Next::of(Did::Connects(n), then));
                }
                Agent::Gone => {
                    now.failed = true;
                    now.stage = Stage::Stopping;
                    next.push(Next::of(Did::UnitFails(n), then));
                }
                // It is back before the unit gives it up.
                Agent::Dead | Agent::Paused => {}
            }
            return;
        }
        if node.stage == Stage::Starting {
            let blocked =
                || self.agents.state(world, n) == Some(State::Blocked) && node.hand == Hand::Idle;
            if node.agent == Agent::Paused || blocked() {
                let mut then = *world;
                let now = &mut then.nodes[n];
                now.failed = true;
                now.stage = Stage::Stopping;
                next.push(Next::of(Did::StartTimesOut(n), then));
            }
        }
        if node.stage == Stage::Stopping {
            let relies = self.agents.mutant == Mutant::JournalFirst;
            let stuck = node.suspended && node.services && node.leads[DQLITE];
            if relies {
                if !node.connected {
                    now.stage = Stage::Mounted;
                    next.push(Next::of(Did::WayDown(n), then));
                }
            } else if !stuck {
                now.token = false;
                now.services = false;
                now.connected = false;
                now.stage = Stage::Mounted;
                next.push(Next::of(Did::WayDown(n), then));
            }
        }
    }

    fn node(&mut self, world: &World, n: N, next: &mut Vec<Next>) {
        let node = &world.nodes[n];
        let mut then = *world;
        if !node.on {
            then.nodes[n].on = true;
            next.push(Next::of(Did::Boots(n), then));
            return;
        }
        match node.agent {
            Agent::Runs | Agent::Gone => {}
            Agent::Dead => {
                then.nodes[n].agent = Agent::Runs;
                then.nodes[n].ports = PeerPorts::Open;
                self.tell(&mut then, n, Input::Start(n));
                next.push(Next::of(Did::AgentStarts(n), then));
            }
            Agent::Paused => {
                then.nodes[n].agent = Agent::Runs;
                next.push(Next::of(Did::Resumes(n), then));
            }
        }
        if node.full {
            let mut then = *world;
            then.nodes[n].full = false;
            next.push(Next::of(Did::Freed(n), then));
        }
        if world.writes > 0 && world.serves(n).is_some() {
            let mut then = *world;
            then.writes -= 1;
            if node.leads[DQLITE] {
                then.write(n, |v| v.log.push(Entry::Write, n, v.epoch));
                then.acknowledged = then.nodes[n].volume.log;
            } else {
                let log = &mut then.nodes[n].spare_log;
                log.push(Entry::Write, n, node.spare_epoch[DQLITE]);
                then.acknowledged = *log;
            }
            next.push(Next::of(Did::Writes(n), then));
        }
    }
}

/// Whoever runs hears later of what is different on its node.
fn hear(before: &World, world: &mut World) {
    for n in [0, 1] {
        if !matches!(world.nodes[n].agent, Agent::Runs | Agent::Paused) || !world.nodes[n].on {
            continue;
        }
        let (was, is) = (Eye::of(before, n), Eye::of(world, n));
        // A machine that has just looked has seen it.
        if before.nodes[n].machine != world.nodes[n].machine {
            continue;
        }
        let node = &mut world.nodes[n];
        if is.request() != was.request() {
            node.unheard |= ASKS;
            node.answered = false;
        }
        if is.link_differs(&was) {
            node.unheard = node.unheard & ASKS | LINK;
        } else if is != was && node.unheard & LINK == 0 && is.request() == was.request() {
            node.unheard |= CHANGED;
        }
    }
}

/// Whether Pacemaker could promote there, but for where the peer stands.
pub fn may_go_up(world: &World, n: N) -> bool {
    let node = &world.nodes[n];
    node.on
        && node.quorate
        && !node.failed
        && !node.partial
        && !world.split
        && node.constraint.is_none_or(|c| c.allows == n)
        && match node.knows {
            Knows::Online | Knows::Down => true,
            Knows::Lost => !world.fencing,
        }
}

fn pacemaker(world: &World, n: N, next: &mut Vec<Next>) {
    let p = other(n);
    let (node, peer) = (&world.nodes[n], &world.nodes[p]);
    if !node.on {
        return;
    }
    let mut then = *world;
    if node.knows == Knows::Online && !world.reaches() {
        then.nodes[n].knows = Knows::Lost;
        next.push(Next::of(Did::Misses(n), then));
        return;
    }
    if !node.quorate {
        return;
    }
    if node.knows == Knows::Lost && world.fencing {
        then.power_off(p);
        then.nodes[n].knows = Knows::Down;
        next.push(Next::of(Did::Fences(n), then));
        return;
    }
    // Where the voter is wanted.
    let alone = match node.knows {
        Knows::Online => false,
        Knows::Lost | Knows::Down => true,
    };
    let cannot = peer.stage <= Stage::Mounted && !may_go_up(world, p);
    if !node.wanted && may_go_up(world, n) && (alone || (peer.wanted && cannot)) {
        then.nodes[n].wanted = true;
        if !alone || node.knows == Knows::Down {
            then.nodes[p].wanted = false;
        }
        next.push(Next::of(Did::Wanted(n), then));
        return;
    }
    let elsewhere = !alone && may_go_up(world, p);
    if node.failed && node.stage <= Stage::Mounted && (!node.wanted || !elsewhere) {
        then.nodes[n].failed = false;
        next.push(Next::of(Did::FailureForgotten(n), then));
    }
    let mut then = *world;
    let now = &mut then.nodes[n];
    let hangs = node.suspended && (node.stage == Stage::Mounted || node.services);
    match (node.stage, node.wanted) {
        (Stage::Secondary, true) if may_go_up(world, n) && (world.linked || world.cib(n)) => {
            if (node.knows == Knows::Online && peer.stage != Stage::Secondary)
                || (world.linked && peer.primary())
            {
                return;
            }
            if world.linked {
                now.stage = Stage::Primary;
                next.push(Next::of(Did::Promoted(n), then));
            } else if node.handler == Handler::Quiet {
                // `drbdadm primary` waits until fence-peer has said that the peer cannot be promoted.
                now.handler = Handler::called(true);
                next.push(Next::of(Did::Promotes(n), then));
            }
        }
        (Stage::Primary, true) => {
            now.stage = Stage::Mounted;
            next.push(Next::of(Did::Mounted(n), then));
        }
        (Stage::Mounted, true) if !node.failed => {
            now.stage = Stage::Starting;
            next.push(Next::of(Did::UnitStarts(n), then));
        }
        (Stage::Starting | Stage::Up, false) => {
            now.stage = Stage::Stopping;
            next.push(Next::of(Did::UnitStops(n), then));
        }
        (Stage::Mounted | Stage::Stopping, false) if hangs => {
            // The stop times out, and whoever is the DC has the node fenced.
            if world.reaches() && peer.knows == Knows::Online && peer.quorate && world.fencing {
                then.power_off(n);
                then.nodes[p].knows = Knows::Down;
                next.push(Next::of(Did::StopTimesOut(n), then));
            }
        }
        (Stage::Mounted, false) => {
            let pinned = match node.hand {
                Hand::Ready(deed, _) => deed.pins(),
                Hand::Interrupted(deed, Some(_)) => deed.pins(),
                Hand::Interrupted(_, None) | Hand::Idle | Hand::Asked(_) => false,
                Hand::Waits(_) | Hand::Answered(_) => false,
            };
            now.stage = Stage::Primary;
            let beneath = node.services && node.leads[DQLITE];
            if pinned {
                // Whoever keeps it mounted is killed first.
                let agent = match node.agent {
                    Agent::Gone => Agent::Gone,
                    Agent::Runs | Agent::Paused | Agent::Dead => Agent::Dead,
                };
                then.agent_dies(n, agent);
            }
            next.push(Next {
                did: Did::Unmounted(n),
                world: then,
                broken: beneath.then_some(Broken::UnmountedBeneath(n)),
            });
        }
        (Stage::Primary, false) => {
            now.stage = Stage::Secondary;
            now.suspended = false;
            now.handler = now.handler.overtaken();
            next.push(Next::of(Did::Demoted(n), then));
        }
        (Stage::Secondary, _) | (Stage::Mounted | Stage::Starting | Stage::Up, true) => {}
        (Stage::Stopping, _) => {}
    }
}

fn drbd(world: &World, next: &mut Vec<Next>) {
    let [a, b] = &world.nodes;
    let mut then = *world;
    let away = |n: &Node| n.knows != Knows::Online || !n.quorate;
    if world.reaches() && (away(a) || away(b)) {
        let from = world.newer.or(match (a.quorate, b.quorate) {
            (false, true) => Some(1),
            (true, false) => Some(0),
            (true, true) | (false, false) => None,
        });
        let from = from.unwrap_or(0);
        let constraint = world.nodes[from].constraint;
        for node in &mut then.nodes {
            node.constraint = constraint;
            node.knows = Knows::Online;
            node.quorate = true;
        }
        then.newer = None;
        if a.wanted && b.wanted {
            then.nodes[1].wanted = false;
        }
        next.push(Next::of(Did::Joined, then));
    }
    if !(world.cable && world.network) {
        let mut then = *world;
        then.cable = true;
        then.network = true;
        next.push(Next::of(Did::CablesBack, then));
    }
    let mut then = *world;
    if world.cable && a.on && b.on && !world.linked && !world.split {
        let parted = (a.ahead && (b.ahead || b.primary())) || (b.ahead && a.primary());
        if parted || (a.primary() && b.primary()) {
            then.split = true;
        } else {
            then.linked = true;
            then.syncing = match (a.ahead, b.ahead) {
                (true, _) => Some(1),
                (false, true) => Some(0),
                (false, false) => None,
            };
            if let Some(target) = then.syncing {
                then.nodes[target].partial = true;
            }
            for node in &mut then.nodes {
                node.suspended = false;
                node.certain = true;
                node.handler = node.handler.overtaken();
            }
        }
        next.push(Next::of(Did::Linked, then));
    }
    if let Some(target) = world.syncing {
        let source = other(target);
        let mut then = *world;
        then.syncing = None;
        then.nodes[target].partial = false;
        then.nodes[target].volume = world.nodes[source].volume;
        then.nodes[source].ahead = false;
        // unfence-peer.
        if world.nodes[source]
            .constraint
            .is_some_and(|c| c.allows == source)
        {
            then.constrain(source, None);
        }
        next.push(Next::of(Did::Synced, then));
    }
}
