//! A handler's own deadline. The kernel waits for a handler without end, drbdadm too; and a
//! handler that dies by a signal reads as one that answered 0. So a second thread answers the
//! fallback when the time is up, and a panic answers it too.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::finish::{self, Call};
use crate::handler::Terms;

/// The thread that watches.
pub struct Watchdog(Arc<Shared>);

struct Shared {
    call: Arc<Call>,
    deadline: Mutex<Instant>,
    changed: Condvar,
}

impl Watchdog {
    /// Starts to watch, with the handler's default deadline: reading the configuration is watched
    /// already.
    pub fn start(call: Arc<Call>) -> Self {
        let first = call.root.deadline();
        let first = first.unwrap_or_else(|| call.request.handler.default_deadline());
        let deadline = call.started + first;
        let on_panic = Arc::clone(&call);
        std::panic::set_hook(Box::new(move |info| {
            finish::panicked(&on_panic, &info.to_string())
        }));
        let shared = Arc::new(Shared {
            call,
            deadline: Mutex::new(deadline),
            changed: Condvar::new(),
        });
        let watching = Arc::clone(&shared);
        // Where no thread can be had, the handler answers unwatched rather than not at all.
        let _ = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || watching.watch());
        Self(shared)
    }

    /// Sets the deadline, from the beginning of the call.
    pub fn extend(&self, deadline: Duration) {
        let until = self.0.call.started.checked_add(deadline);
        if let Some(until) = until {
            *self
                .0
                .deadline
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = until;
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    fn watch(&self) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let allowed = deadline.saturating_duration_since(self.call.started);
                drop(deadline);
                finish::overdue(&self.call, allowed);
            }
            deadline = self
                .changed
                .wait_timeout(deadline, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
