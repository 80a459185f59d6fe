//! What is on the volume, looked at without waiting for it for ever.
//!
//! A read of a volume whose I/O stands still does not return until that is over, whatever signal
//! comes. Such a volume is exactly what somebody asks the agent about, so the looks are a thread's,
//! and the agent goes on without it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::time::Duration;

use two_node_ha_planner::Database;
use two_node_ha_planner::observation::{Holds, Known};
use two_node_ha_planner::record::Epoch;

use super::logs::Beside;

/// A few small files are there in milliseconds; a disk under load takes longer, but not this long.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is on the mounted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The record.
    pub epoch: Known<Epoch>,
    /// What the databases' directories there hold.
    pub databases: BTreeMap<Database, Holds>,
    /// Their logs.
    pub logs: BTreeMap<Database, Beside>,
}

impl View {
    /// Of a volume that is not mounted.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            epoch: Known::Absent,
            databases: BTreeMap::new(),
            logs: BTreeMap::new(),
        }
    }

    fn unknown() -> Self {
        let why = "the volume does not answer".to_owned();
        Self {
            epoch: Known::Unreadable(why.clone()),
            databases: Database::ALL
                .into_iter()
                .map(|database| (database, Holds::Trap(why.clone())))
                .collect(),
            logs: BTreeMap::new(),
        }
    }
}

/// Looks at the volume.
#[derive(Debug, Default)]
pub struct Reader {
    last: Option<View>,
    /// A look that has not come back.
    under_way: Option<Receiver<View>>,
}

impl Reader {
    /// The volume is not mounted.
    pub fn unmounted(&mut self) -> View {
        self.last = None;
        View::nothing()
    }

    /// What `read` sees, or where it does not answer in time (or is known to be `suspended`, and is not
    /// asked): what was seen last, and `true`.
    pub fn look(
        &mut self,
        suspended: bool,
        patience: Duration,
        read: impl FnOnce() -> View + Send + 'static,
    ) -> (View, bool) {
        if let Some(receiver) = &self.under_way {
            // What it has seen may be half of before and half of after.
            if receiver.try_recv() != Err(TryRecvError::Empty) {
                self.under_way = None;
            }
        }
        if !suspended && self.under_way.is_none() {
            // With room for the answer, so that a late look ends.
            let (sender, receiver) = sync_channel(1);
            let look = std::thread::Builder::new()
                .name("volume".into())
                .spawn(move || {
                    // Nobody waits any more where the agent ends.
                    let _ = sender.send(read());
                });
            match (look, receiver.recv_timeout(patience)) {
                (Ok(_), Ok(view)) => {
                    self.last = Some(view.clone());
                    return (view, false);
                }
                (Ok(_), Err(RecvTimeoutError::Timeout)) => self.under_way = Some(receiver),
                (Ok(_), Err(RecvTimeoutError::Disconnected)) => {
                    tracing::error!("the look at the volume ended without a result");
                }
                (Err(error), _) => tracing::error!(%error, "no thread to look at the volume"),
            }
        }
        (self.last.clone().unwrap_or_else(View::unknown), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn view(epoch: u64) -> View {
        let mut record = Epoch::first("haone");
        record.epoch = epoch;
        View {
            epoch: Known::Present(record),
            databases: BTreeMap::new(),
            logs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_volume_that_does_not_answer_keeps_nobody_waiting_and_is_not_asked_again_meanwhile() {
        let mut reader = Reader::default();
        assert_eq!(reader.look(false, LONG, || view(1)), (view(1), false));
        let (thaw, suspended) = channel::<()>();
        let suspended = Arc::new(Mutex::new(suspended));
        let asked = Arc::new(AtomicU32::new(0));
        let hang = || {
            let (suspended, asked) = (Arc::clone(&suspended), Arc::clone(&asked));
            move || {
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = suspended.lock().unwrap().recv();
                view(2)
            }
        };
        for _ in 0..3 {
            assert_eq!(reader.look(false, SOON, hang()), (view(1), true));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        drop(thaw);
        // The late answer is not taken for the present.
        while reader.look(false, LONG, || view(3)) != (view(3), false) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_volume_that_is_known_to_be_suspended_is_not_touched() {
        let mut reader = Reader::default();
        let (before, silent) = reader.look(true, LONG, || panic!("it was touched"));
        assert!(silent && matches!(before.epoch, Known::Unreadable(_)));
        assert!(
            before
                .databases
                .values()
                .all(|h| matches!(h, Holds::Trap(_)))
        );
        assert_eq!(reader.look(false, LONG, || view(1)), (view(1), false));
        let again = reader.look(true, LONG, || panic!("it was touched"));
        assert_eq!(again, (view(1), true));
    }

    #[test]
    fn what_was_seen_before_an_unmount_is_not_remembered() {
        let mut reader = Reader::default();
        reader.look(false, LONG, || view(1));
        assert_eq!(reader.unmounted(), View::nothing());
        let (view, _) = reader.look(true, LONG, View::nothing);
        assert!(matches!(view.epoch, Known::Unreadable(_)));
    }
}
