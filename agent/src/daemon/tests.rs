//! The loop beside its worker.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use two_node_ha_planner::Step;
use two_node_ha_planner::machine::{Outcome, PeerPorts, Task};
use two_node_ha_planner::observation::{
    Known, LinkTarget, Observation, PeerNode, Request, Services,
};
use two_node_ha_planner::record::{Epoch, Phase};
use two_node_ha_planner::world;

use super::work::{Done, Job};
use super::*;

/// Nobody is asked anything.
struct Nobody;

impl Questions for Nobody {
    fn ask_peer(&self) {}
    fn ask_pacemaker(&self) {}
    fn ask_promotion(&self, _: u64) {}
    fn wake_peer(&self) {}
    fn complete_evidence(&self) {}
}

/// How the loop has set the ports.
type Set = std::rc::Rc<std::cell::RefCell<Vec<PeerPorts>>>;

struct Kept(Set);

impl Ports for Kept {
    fn set(&self, ports: PeerPorts) {
        self.0.borrow_mut().push(ports);
    }
}

/// The jobs go to the test.
struct Given(Sender<Job>);

impl Jobs for Given {
    fn put(&mut self, job: Job) {
        let _ = self.0.send(job);
    }
}

struct Bench {
    daemon: Daemon,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    ports: Set,
    events: Sender<Event>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Arc::new(world::config());
        let (events, heard) = channel();
        let (put, jobs) = channel();
        let ports = Set::default();
        let shared = Arc::new(Shared::new(
            Arc::clone(&config),
            Paths::rooted(dir.path().to_path_buf()),
            config.this_node().unwrap().clone(),
            events.clone(),
        ));
        let doors = Doors {
            questions: Box::new(Nobody),
            jobs: Box::new(Given(put)),
            ports: Box::new(Kept(Set::clone(&ports))),
            interrupt: Interrupt::default(),
            clock: Box::new(|| Duration::ZERO),
        };
        let daemon = Daemon::new(config, Arc::clone(&shared), doors, heard).unwrap();
        Self {
            daemon,
            shared,
            jobs,
            ports,
            events,
            _dir: dir,
        }
    }

    /// The worker comes to the end of a job.
    fn done(&mut self, done: Done) {
        self.daemon.handle(Event::Done(done));
        self.daemon.turn();
    }

    /// The worker has looked, and this is what it saw.
    fn sees(&mut self, o: &Observation) {
        assert_eq!(self.jobs.try_recv(), Ok(Job::Look));
        self.done(Done::Saw(Box::new(world::sight(o))));
    }
}

/// haone has the volume of an epoch of its own, and its services run on it.
fn voter() -> Observation {
    let mut o = world::booted();
    let mut epoch = Epoch::first("hatwo").taken_over_by("haone");
    for phase in epoch.databases.values_mut() {
        *phase = Phase::Done;
    }
    o.journal.volume = Some(two_node_ha_planner::record::Owned {
        epoch: epoch.epoch,
        owner: "haone".into(),
    });
    world::given_the_volume(&mut o, Known::Present(epoch));
    world::each(&mut o, |d| d.leads = LinkTarget::ToVolume);
    (o.services, o.token) = (Services::Running, true);
    o
}

#[test]
fn while_a_step_is_taken_the_loop_hears_and_a_release_raises_the_interrupt_at_once() {
    let mut bench = Bench::new();
    let (stream, _there) = std::os::unix::net::UnixStream::pair().unwrap();
    let id = bench.shared.hold(stream, false);
    bench.daemon.turn();
    bench.sees(&voter());
    assert_eq!(
        bench.jobs.try_recv(),
        Ok(Job::Do(Task::Take(Step::ConfirmVoter)))
    );
    assert!(bench.shared.status().unwrap().doing.is_some());
    bench.events.send(Happened::Changed.into()).unwrap();
    bench.daemon.turn();
    assert!(!bench.daemon.interrupt.is_set());
    bench.shared.release(id);
    bench.daemon.turn();
    assert!(bench.daemon.interrupt.is_set());
    assert!(bench.jobs.try_recv().is_err(), "one job at a time");
    // And the next one begins without it.
    bench.done(Done::Did(Ok(Outcome::VoterConfirmed)));
    let mut o = voter();
    o.request = Request::Release;
    bench.sees(&o);
    assert_eq!(
        bench.jobs.try_recv(),
        Ok(Job::Do(Task::Take(Step::StopServices)))
    );
    assert!(!bench.daemon.interrupt.is_set());
}

#[test]
fn while_the_worker_is_at_a_job_nothing_but_its_own_word_keeps_the_watchdog_quiet() {
    let mut bench = Bench::new();
    bench.events.send(Happened::Changed.into()).unwrap();
    bench.events.send(Happened::PeerWoke.into()).unwrap();
    bench.daemon.turn();
    assert!(bench.daemon.busy);
    let before = bench.daemon.notify.said();
    for event in [Happened::Changed, Happened::PeerWoke] {
        bench.events.send(event.into()).unwrap();
    }
    bench.daemon.hear_one(Duration::ZERO);
    bench.daemon.hear_one(Duration::ZERO);
    bench.daemon.hear_one(Duration::ZERO);
    assert_eq!(bench.daemon.notify.said(), before);
    let progress = Event::Progress("copying".into());
    bench.events.send(progress).unwrap();
    bench.daemon.hear_one(Duration::ZERO);
    assert_eq!(bench.daemon.notify.said(), before + 1);
    let mut idle = Bench::new();
    idle.daemon.hear_one(Duration::ZERO);
    assert!(idle.daemon.notify.said() > 0, "an idle worker is not stuck");
}

#[test]
fn an_agent_that_is_to_end_ends_after_the_job_and_begins_no_other() {
    let mut bench = Bench::new();
    bench.daemon.turn();
    assert_eq!(bench.jobs.try_recv(), Ok(Job::Look));
    bench.events.send(Event::Terminate).unwrap();
    let saw = Done::Saw(Box::new(world::sight(&voter())));
    bench.events.send(Event::Done(saw)).unwrap();
    bench.daemon.work();
    assert!(matches!(bench.daemon.end, Some(Ok(()))));
    assert!(bench.jobs.try_recv().is_err());
}

#[test]
fn a_worker_that_is_gone_ends_the_agent_which_says_so() {
    let (sender, heard) = channel();
    let _thread = work::start(|| panic!("a test"), sender).unwrap();
    let event = heard.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(event, Event::WorkerLost), "{event:?}");
    let mut bench = Bench::new();
    bench.daemon.turn();
    bench.events.send(event).unwrap();
    bench.daemon.work();
    let Some(Err(why)) = &bench.daemon.end else {
        panic!("it goes on");
    };
    assert!(why.contains("systemd starts the agent again"), "{why}");
}

#[test]
fn a_step_of_a_resolution_is_a_job_between_two_others_and_answered_when_it_is_done() {
    let mut bench = Bench::new();
    let (reply, answer) = channel();
    let resolution = Box::new(Resolution::new("haone", "hatwo", false).marked("one"));
    bench.daemon.turn();
    let step = Resolving::Begin;
    let event = Event::Resolve {
        step: step.clone(),
        resolution: resolution.clone(),
        reply,
    };
    bench.events.send(event).unwrap();
    bench.daemon.turn();
    let mut o = world::booted();
    (o.drbd.connected, o.drbd.equal, o.drbd.alone) = (false, false, true);
    bench.sees(&o);
    let task = Task::Resolve(step, resolution);
    assert_eq!(bench.jobs.try_recv(), Ok(Job::Do(task)));
    let doing = bench.shared.status().unwrap().doing;
    assert_eq!(
        doing.as_deref(),
        Some("note on haone that the data of hatwo is given up")
    );
    answer.try_recv().unwrap_err();
    bench.done(Done::Did(Ok(Outcome::Done)));
    assert_eq!(answer.try_recv(), Ok(Ok(())));
    assert_eq!(bench.jobs.try_recv(), Ok(Job::Look));
}

#[test]
fn what_a_handler_has_left_stays_until_this_node_was_demoted_for_it() {
    let mut bench = Bench::new();
    let left = tempfile::tempdir().unwrap();
    let mut event = two_node_ha_events::Event::new(two_node_ha_drbd::Handler::LocalIoError);
    event.decision = two_node_ha_drbd::Decision::Demote;
    let file = two_node_ha_events::write(left.path(), &event).unwrap();
    let mut taken = two_node_ha_events::take_all(left.path()).unwrap();
    let pending = Box::new(taken.events.remove(0));
    bench.events.send(Event::Handler(pending)).unwrap();
    bench.daemon.turn();
    bench.sees(&voter());
    let task = Task::Demote("local-io-error".into());
    assert_eq!(bench.jobs.try_recv(), Ok(Job::Do(task)));
    assert!(file.exists());
    bench.done(Done::Did(Ok(Outcome::Done)));
    assert!(!file.exists());
}

#[test]
fn the_ports_of_a_dead_peer_are_set_while_a_step_is_taken_and_no_job_is_given_for_it() {
    let mut bench = Bench::new();
    let mut o = voter();
    (o.drbd.connected, o.drbd.equal) = (false, false);
    bench.daemon.turn();
    bench.sees(&o);
    bench.jobs.try_recv().unwrap();
    assert!(bench.daemon.busy);
    let down = Happened::PacemakerAnswered(Ok(PeerNode::Down));
    for event in [down, Happened::PeerHeard] {
        bench.events.send(event.into()).unwrap();
        bench.daemon.turn();
    }
    assert_eq!(*bench.ports.borrow(), [PeerPorts::Refused, PeerPorts::Open]);
    assert!(bench.jobs.try_recv().is_err());
}
