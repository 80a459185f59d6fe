//! The reads of the datastore of a voter that was confirmed, at an interval.
//!
//! A thread of its own reads and tells; what an answer means is the machine's, which says before each
//! read which answers are news ([`News`]). The others are kept from it: a datastore that goes on
//! answering wakes nobody but that thread, once per interval, and nothing at all wakes while there is no
//! voter here.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use two_node_ha_planner::Database;
use two_node_ha_planner::machine::{Event as Happened, News, Watch as Told};

use crate::datastore::{Datastore, PATIENCE};

#[derive(Debug)]
struct State {
    told: Told,
    /// When the next read is due.
    due: Instant,
    /// How many voters have been confirmed here.
    voter: u64,
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
                    told: Told::None,
                    due: Instant::now(),
                    voter: 0,
                }),
                changed: Condvar::new(),
            }),
            interval,
        }
    }

    /// Begins to read, from a thread; `tell` is called with each answer that is news. With an interval of
    /// zero nobody reads.
    ///
    /// # Errors
    /// When there is no thread: in words.
    pub(super) fn start(
        &self,
        datastore: Box<dyn Datastore + Send>,
        tell: impl Fn(Happened) + Send + 'static,
    ) -> Result<(), String> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let (inner, interval) = (Arc::clone(&self.inner), self.interval);
        std::thread::Builder::new()
            .name("datastore".into())
            .spawn(move || {
                let mut beside = Beside::default();
                loop {
                    let (round, voter) = inner.until_due(interval);
                    let answer = datastore.read(PATIENCE);
                    // A role that was handed over answers all the same, from the other node's disk.
                    let elsewhere = answer.is_ok()
                        && Database::ALL
                            .into_iter()
                            .any(|database| datastore.sole_voter(database) == Ok(false));
                    if elsewhere || inner.is_news(round, &answer) {
                        tell(Happened::DatastoreAnswered {
                            round,
                            answer,
                            elsewhere,
                        });
                    } else if answer.is_ok() {
                        beside.ask(&*datastore, voter);
                    }
                }
            })
            .map(|_| ())
            .map_err(|error| format!("starting the thread that reads the datastore: {error}"))
    }

    /// How it is read from now on.
    pub(super) fn set(&self, told: Told) {
        let mut state = self.inner.lock();
        if state.told == Told::None {
            // It was confirmed a moment ago.
            state.due = Instant::now() + self.interval;
            state.voter += 1;
        }
        state.told = told;
        self.inner.changed.notify_all();
    }

    /// In which round a read begins now; none where nobody reads.
    #[cfg(test)]
    pub(super) fn round(&self) -> Option<u64> {
        match self.inner.lock().told {
            Told::None | Told::Excused => None,
            Told::Running { round, .. } => Some(round),
        }
    }
}

impl Inner {
    /// A thread that panicked while it held the lock left plain values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until a read is due: without any timer while no voter has to answer. In which round it is,
    /// and of which voter.
    fn until_due(&self, interval: Duration) -> (u64, u64) {
        let mut state = self.lock();
        loop {
            let (round, left) = match state.told {
                Told::None | Told::Excused => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Told::Running { round, .. } => {
                    (round, state.due.saturating_duration_since(Instant::now()))
                }
            };
            if left.is_zero() {
                state.due = Instant::now() + interval;
                return (round, state.voter);
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the answer of a read that began in that round is worth waking the loop for.
    fn is_news(&self, began: u64, answer: &Result<(), String>) -> bool {
        match self.lock().told {
            // It no longer counts.
            Told::None | Told::Excused => false,
            Told::Running { round, news } => {
                round == began
                    && match news {
                        News::Misses => answer.is_err(),
                        News::Any => true,
                    }
            }
        }
    }
}

/// Whether k8sd and the API server beside a voter that was confirmed have answered. They decide nothing:
/// they are asked until they have, each time after twice as many reads as before, and it is said once
/// where they are late.
#[derive(Debug, Default)]
struct Beside {
    voter: u64,
    /// How many reads there have been since that one was confirmed; none once they have answered.
    reads: Option<u32>,
    said: bool,
}

/// How long either is given.
const BESIDE: Duration = Duration::from_secs(2);
/// At which read since the voter was confirmed they are late.
const LATE: u32 = 8;

impl Beside {
    fn ask(&mut self, datastore: &dyn Datastore, voter: u64) {
        if self.voter != voter {
            *self = Self {
                voter,
                reads: Some(0),
                said: false,
            };
        }
        let Some(reads) = &mut self.reads else {
            return;
        };
        *reads = reads.saturating_add(1);
        if !reads.is_power_of_two() {
            return;
        }
        match answers(datastore) {
            Ok(()) => {
                self.reads = None;
                if self.said {
                    tracing::info!("k8sd and the API server on this node answer now");
                }
            }
            Err(why) if *reads >= LATE && !self.said => {
                self.said = true;
                tracing::warn!("the datastore works, but {why}");
            }
            Err(why) => tracing::debug!(why, "the datastore works"),
        }
    }
}

/// What is missing, and what to type.
fn answers(datastore: &dyn Datastore) -> Result<(), String> {
    datastore.k8sd(BESIDE).map_err(|why| {
        format!(
            "k8sd does not answer on its control socket: {why}; see `journalctl -b -u \
             'snap.*.k8sd.service'`"
        )
    })?;
    datastore.api(BESIDE).map_err(|why| {
        format!(
            "the API server on this node is not ready: {why}; see `journalctl -b -u \
             'snap.*.kube-apiserver.service'`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
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
            Ok(())
        }

        fn sole_voter(&self, _: Database) -> Result<bool, String> {
            Ok(!self.elsewhere.load(Ordering::SeqCst))
        }

        fn api(&self, _: Duration) -> Result<(), String> {
            Ok(())
        }
    }

    /// Counts how often k8sd is asked, and knows the answer.
    #[derive(Debug)]
    struct K8sd(Cell<u32>, Cell<bool>);

    impl Datastore for K8sd {
        fn read(&self, _: Duration) -> Result<(), String> {
            panic!("nobody asked for it")
        }

        fn k8sd(&self, _: Duration) -> Result<(), String> {
            self.0.set(self.0.get() + 1);
            self.1.get().then_some(()).ok_or("no answer".into())
        }

        fn sole_voter(&self, _: Database) -> Result<bool, String> {
            panic!("nobody asked for it")
        }

        fn api(&self, _: Duration) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn what_is_beside_the_datastore_is_asked_ever_more_seldom_until_it_answers_and_then_no_more() {
        let (mut beside, k8sd) = (Beside::default(), K8sd(Cell::new(0), Cell::new(false)));
        for _ in 0..100 {
            beside.ask(&k8sd, 1);
        }
        assert_eq!(k8sd.0.get(), 7, "1, 2, 4, … 64");
        assert!(beside.said);
        k8sd.1.set(true);
        for _ in 0..1000 {
            beside.ask(&k8sd, 1);
        }
        assert_eq!(k8sd.0.get(), 8);
        // Another voter here, later.
        beside.ask(&k8sd, 2);
        beside.ask(&k8sd, 2);
        assert_eq!(k8sd.0.get(), 9);
        assert!(!beside.said, "it was in time");
    }

    struct Bench {
        watch: Watch,
        elsewhere: Arc<AtomicBool>,
        begun: Receiver<()>,
        answer: Sender<Result<(), String>>,
        told: Receiver<Happened>,
    }

    impl Bench {
        fn new() -> Self {
            let watch = Watch::new(SOON);
            let (begin, begun) = channel();
            let (answer, answers) = channel();
            let (tell, told) = channel();
            let elsewhere = Arc::new(AtomicBool::new(false));
            let datastore = Asked {
                begun: begin,
                answers,
                elsewhere: Arc::clone(&elsewhere),
            };
            let tell = move |happened| {
                let _ = tell.send(happened);
            };
            watch.start(Box::new(datastore), tell).unwrap();
            Self {
                watch,
                elsewhere,
                begun,
                answer,
                told,
            }
        }

        /// The next read begins and ends so.
        fn read(&self, answer: Result<(), &str>) {
            self.begun.recv_timeout(LONG).unwrap();
            self.answer.send(answer.map_err(str::to_owned)).unwrap();
        }

        fn running(&self, round: u64, news: News) {
            self.watch.set(Told::Running { round, news });
        }

        fn idle(&self) {
            self.begun.recv_timeout(QUIET).unwrap_err();
        }
    }

    #[test]
    fn only_what_is_news_is_told_and_what_news_is_the_machine_says() {
        let bench = Bench::new();
        bench.running(1, News::Misses);
        for _ in 0..3 {
            bench.read(Ok(()));
        }
        bench.read(Err("nothing within 5.0 s"));
        let miss = Happened::DatastoreAnswered {
            round: 1,
            answer: Err("nothing within 5.0 s".into()),
            elsewhere: false,
        };
        assert_eq!(bench.told.recv_timeout(LONG).unwrap(), miss);
        bench.running(1, News::Any);
        bench.read(Ok(()));
        let answer = Happened::DatastoreAnswered {
            round: 1,
            answer: Ok(()),
            elsewhere: false,
        };
        assert_eq!(bench.told.recv_timeout(LONG).unwrap(), answer);
        bench.running(1, News::Misses);
        bench.read(Ok(()));
        bench.begun.recv_timeout(LONG).unwrap();
        bench.told.try_recv().unwrap_err();
    }

    #[test]
    fn a_datastore_that_answers_while_raft_has_another_voter_is_told_within_an_interval() {
        let bench = Bench::new();
        bench.running(1, News::Misses);
        bench.elsewhere.store(true, Ordering::SeqCst);
        bench.read(Ok(()));
        let told = bench.told.recv_timeout(LONG).unwrap();
        assert!(matches!(
            told,
            Happened::DatastoreAnswered {
                answer: Ok(()),
                elsewhere: true,
                ..
            }
        ));
    }

    #[test]
    fn without_a_voter_that_has_to_answer_nothing_is_read_and_what_was_under_way_is_not_told() {
        for told in [Told::None, Told::Excused] {
            let bench = Bench::new();
            bench.idle();
            bench.running(1, News::Misses);
            bench.begun.recv_timeout(LONG).unwrap();
            bench.watch.set(told);
            bench.answer.send(Err("killed".into())).unwrap();
            bench.idle();
            bench.told.try_recv().unwrap_err();
            // Nor where it has to answer again by then.
            bench.running(3, News::Any);
            bench.begun.recv_timeout(LONG).unwrap();
            bench.watch.set(told);
            bench.running(5, News::Any);
            bench.answer.send(Err("killed".into())).unwrap();
            bench.begun.recv_timeout(LONG).unwrap();
            bench.told.try_recv().unwrap_err();
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
                |_| {},
            )
            .unwrap();
        watch.set(Told::Running {
            round: 1,
            news: News::Any,
        });
        none.recv().unwrap_err();
    }
}
