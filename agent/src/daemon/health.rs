//! The watch over a voter that was confirmed: its datastore is read at an interval, and three reads in
//! a row without an answer are a voter that does not work.
//!
//! A thread of its own reads, and the loop hears of it only when the number of misses changes: a
//! datastore that answers wakes nobody but that thread, once per interval, and nothing at all wakes
//! while there is no voter here.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use two_node_ha_planner::Database;
use two_node_ha_planner::machine::Watch as Voter;
use two_node_ha_planner::observation::Health;

use crate::datastore::{Datastore, PATIENCE};

#[derive(Debug)]
struct State {
    voter: Voter,
    /// Raised whenever a read that is under way no longer counts.
    round: u64,
    /// When the next read is due.
    due: Instant,
    health: Health,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

/// The watch, as the loop sees it.
#[derive(Debug)]
pub(super) struct Watch {
    inner: Arc<Inner>,
    interval: Duration,
}

impl Watch {
    /// A watch that reads nothing by itself.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    voter: Voter::None,
                    round: 0,
                    due: Instant::now(),
                    health: Health::default(),
                }),
                changed: Condvar::new(),
            }),
            interval,
        }
    }

    /// Begins to read, from a thread; `wake` is called when the number of misses has changed. With an
    /// interval of zero nobody reads.
    ///
    /// # Errors
    /// When there is no thread: in words.
    pub(super) fn start(
        &self,
        datastore: Box<dyn Datastore + Send>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<(), String> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let (inner, interval) = (Arc::clone(&self.inner), self.interval);
        std::thread::Builder::new()
            .name("datastore".into())
            .spawn(move || {
                loop {
                    let round = inner.until_due(interval);
                    let answer = datastore.read(PATIENCE);
                    // A role that was handed over answers all the same, from the other node's disk.
                    let elsewhere = answer.is_ok()
                        && Database::ALL
                            .into_iter()
                            .any(|database| datastore.sole_voter(database) == Ok(false));
                    if inner.answered(round, answer) || elsewhere {
                        wake();
                    }
                }
            })
            .map(|_| ())
            .map_err(|error| format!("starting the thread that reads the datastore: {error}"))
    }

    /// How the voter here stands from now on. A read that is under way no longer counts.
    pub(super) fn set(&self, voter: Voter) {
        let mut state = self.inner.lock();
        if state.voter != voter {
            if state.voter == Voter::None {
                // It was confirmed a moment ago.
                state.due = Instant::now() + self.interval;
            }
            if voter == Voter::None {
                state.health = Health::default();
            }
            state.voter = voter;
            state.round += 1;
            self.inner.changed.notify_all();
        }
    }

    /// How its reads went.
    pub(super) fn health(&self) -> Health {
        self.inner.lock().health.clone()
    }

    /// In which round a read begins now.
    #[cfg(test)]
    pub(super) fn round(&self) -> u64 {
        self.inner.lock().round
    }

    /// A read that began in that round came back so.
    #[cfg(test)]
    pub(super) fn answered(&self, round: u64, answer: Result<(), String>) {
        self.inner.answered(round, answer);
    }
}

impl Inner {
    /// A thread that panicked while it held the lock left plain values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until a read is due: without any timer while no voter has to answer.
    fn until_due(&self, interval: Duration) -> u64 {
        let mut state = self.lock();
        loop {
            let left = match state.voter {
                Voter::None | Voter::Excused => None,
                Voter::Running => Some(state.due.saturating_duration_since(Instant::now())),
            };
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => {
                    state.due = Instant::now() + interval;
                    return state.round;
                }
                Some(left) => {
                    let woken = self.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Counts an answer, unless it no longer counts; whether the number of misses has changed.
    fn answered(&self, round: u64, answer: Result<(), String>) -> bool {
        let mut state = self.lock();
        if state.round != round {
            return false;
        }
        let before = state.health.misses;
        state.health = match answer {
            Ok(()) => Health::default(),
            Err(why) => Health {
                misses: before.saturating_add(1),
                last: Some(why),
            },
        };
        state.health.misses != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(20);
    /// How long nothing must happen to be believed.
    const QUIET: Duration = Duration::from_millis(200);

    /// Each read tells that it has begun, and waits to be told its answer.
    #[derive(Debug)]
    struct Asked {
        begun: Sender<()>,
        answers: Receiver<Result<(), String>>,
        elsewhere: Arc<AtomicBool>,
    }

    impl Datastore for Asked {
        fn read(&self, _: Duration) -> Result<(), String> {
            let _ = self.begun.send(());
            self.answers.recv().unwrap_or(Ok(()))
        }

        fn k8sd(&self, _: Duration) -> Result<(), String> {
            panic!("nobody asked for it")
        }

        fn sole_voter(&self, _: Database) -> Result<bool, String> {
            Ok(!self.elsewhere.load(Ordering::SeqCst))
        }

        fn api(&self, _: Duration) -> Result<(), String> {
            panic!("nobody asked for it")
        }
    }

    struct Bench {
        watch: Watch,
        elsewhere: Arc<AtomicBool>,
        begun: Receiver<()>,
        answer: Sender<Result<(), String>>,
        woken: Receiver<()>,
    }

    impl Bench {
        fn new() -> Self {
            let watch = Watch::new(SOON);
            let (begin, begun) = channel();
            let (answer, answers) = channel();
            let (wake, woken) = channel();
            let elsewhere = Arc::new(AtomicBool::new(false));
            let datastore = Asked {
                begun: begin,
                answers,
                elsewhere: Arc::clone(&elsewhere),
            };
            let wake = move || {
                let _ = wake.send(());
            };
            watch.start(Box::new(datastore), wake).unwrap();
            Self {
                watch,
                elsewhere,
                begun,
                answer,
                woken,
            }
        }

        /// The next read begins and ends so.
        fn read(&self, answer: Result<(), &str>) {
            self.begun.recv_timeout(LONG).unwrap();
            self.answer.send(answer.map_err(str::to_owned)).unwrap();
        }

        fn misses(&self) -> u32 {
            self.watch.set(Voter::Running);
            self.watch.health().misses
        }

        fn idle(&self) {
            self.begun.recv_timeout(QUIET).unwrap_err();
        }
    }

    #[test]
    fn the_loop_is_woken_by_each_miss_and_by_the_first_answer_after_them_and_by_no_other() {
        let bench = Bench::new();
        assert_eq!(bench.misses(), 0);
        for misses in 1..=3 {
            bench.read(Err("nothing within 5.0 s"));
            bench.woken.recv_timeout(LONG).unwrap();
            assert_eq!(bench.misses(), misses);
        }
        bench.watch.set(Voter::Running);
        let health = bench.watch.health();
        assert_eq!(health.last.as_deref(), Some("nothing within 5.0 s"));
        bench.read(Ok(()));
        bench.woken.recv_timeout(LONG).unwrap();
        assert_eq!(bench.watch.health(), Health::default());
        for _ in 0..3 {
            bench.read(Ok(()));
        }
        bench.begun.recv_timeout(LONG).unwrap();
        bench.woken.try_recv().unwrap_err();
    }

    #[test]
    fn a_datastore_that_answers_while_raft_has_another_voter_wakes_the_loop_within_an_interval() {
        let bench = Bench::new();
        assert_eq!(bench.misses(), 0);
        bench.elsewhere.store(true, Ordering::SeqCst);
        bench.read(Ok(()));
        bench.woken.recv_timeout(LONG).unwrap();
        assert_eq!(bench.misses(), 0, "it answers");
    }

    #[test]
    fn without_a_confirmed_voter_nothing_is_read_and_what_was_counted_is_forgotten() {
        let bench = Bench::new();
        bench.idle();
        bench.misses();
        bench.read(Err("silent"));
        bench.woken.recv_timeout(LONG).unwrap();
        // The next one is on its way when the voter stops.
        bench.begun.recv_timeout(LONG).unwrap();
        bench.watch.set(Voter::None);
        assert_eq!(bench.watch.health(), Health::default());
        bench.answer.send(Err("killed".into())).unwrap();
        bench.idle();
        bench.woken.try_recv().unwrap_err();
        assert_eq!(bench.misses(), 0);
    }

    #[test]
    fn misses_do_not_count_while_writes_are_suspended_or_a_step_is_taken_and_earlier_ones_stand() {
        {
            let bench = Bench::new();
            bench.misses();
            bench.read(Err("silent"));
            bench.woken.recv_timeout(LONG).unwrap();
            // It begins while a read is under way.
            bench.begun.recv_timeout(LONG).unwrap();
            bench.watch.set(Voter::Excused);
            bench.answer.send(Err("suspended".into())).unwrap();
            bench.idle();
            bench.woken.try_recv().unwrap_err();
            // A miss of before is one still: a step now and then must not hide a datastore that is
            // stuck.
            assert_eq!(bench.misses(), 1);
            bench.read(Err("silent"));
            bench.woken.recv_timeout(LONG).unwrap();
            assert_eq!(bench.misses(), 2);
        }
    }

    #[test]
    fn an_interval_of_zero_reads_nothing() {
        let watch = Watch::new(Duration::ZERO);
        let (begun, none) = channel();
        let (_, answers) = channel();
        watch
            .start(
                Box::new(Asked {
                    begun,
                    answers,
                    elsewhere: Arc::default(),
                }),
                || {},
            )
            .unwrap();
        watch.set(Voter::Running);
        none.recv().unwrap_err();
    }
}
