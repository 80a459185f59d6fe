//! What systemd hears of the agent: ready, alive, and in plain words how it stands.

use std::time::Duration;

use sd_notify::NotifyState;

/// How much longer a start may take each time the agent says that it is at work.
const EXTEND: Duration = Duration::from_secs(60);

/// The connection to the service manager; silent when there is none.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Duration>,
    status: String,
    starting: bool,
    /// How often it was called alive.
    #[cfg(test)]
    said: std::cell::Cell<u64>,
}

impl Notify {
    /// Reads what the service manager expects.
    #[must_use]
    pub fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self {
            watchdog,
            status: String::new(),
            starting: true,
            #[cfg(test)]
            said: std::cell::Cell::new(0),
        }
    }

    /// How often [`Notify::alive`] must be called.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The sockets answer and the first observation is made.
    pub fn ready(&mut self) {
        self.starting = false;
        send(&[NotifyState::Ready]);
    }

    /// The loop turns, or a long step goes on.
    pub fn alive(&self) {
        #[cfg(test)]
        self.said.set(self.said.get() + 1);
        if self.watchdog.is_some() {
            send(&[NotifyState::Watchdog]);
        }
        if self.starting {
            let micros = u32::try_from(EXTEND.as_micros()).unwrap_or(u32::MAX);
            send(&[NotifyState::ExtendTimeoutUsec(micros)]);
        }
    }

    /// How often [`Notify::alive`] was called.
    #[cfg(test)]
    pub fn said(&self) -> u64 {
        self.said.get()
    }

    /// How it stands, for `systemctl status`.
    pub fn status(&mut self, text: &str) {
        if self.status != text {
            text.clone_into(&mut self.status);
            send(&[NotifyState::Status(text)]);
        }
    }

    /// On the way out.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }
}

/// A failure to notify is systemd's to notice (the watchdog), not a reason to stop.
fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
