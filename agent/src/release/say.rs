//! Words for systemd and the journal, said by a thread of their own: a journal on a full or broken
//! disk stops reading, its senders then wait, and the way down must not.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// How long the last words are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum Line {
    Status(String),
    Info(String),
    Warn(String),
    Error(String),
}

/// Who says it.
#[derive(Debug)]
pub struct Say {
    lines: Option<Sender<Line>>,
    thread: Option<JoinHandle<()>>,
}

impl Say {
    /// Starts the thread. Where there is none to be had nothing is said, and all else goes on.
    #[must_use]
    pub fn new() -> Self {
        let (lines, receiver) = channel();
        let speak = move || {
            for line in receiver {
                speak(&line);
            }
        };
        let thread = thread::Builder::new().name("say".into()).spawn(speak).ok();
        Self {
            lines: Some(lines),
            thread,
        }
    }

    /// systemd's `STATUS=`.
    pub fn status(&self, text: String) {
        self.line(Line::Status(text));
    }

    /// Worth knowing.
    pub fn info(&self, text: String) {
        self.line(Line::Info(text));
    }

    /// Out of the ordinary.
    pub fn warn(&self, text: String) {
        self.line(Line::Warn(text));
    }

    /// Something that does not work.
    pub fn error(&self, text: String) {
        self.line(Line::Error(text));
    }

    fn line(&self, line: Line) {
        if let Some(lines) = &self.lines {
            // Its thread may not have started.
            let _ = lines.send(line);
        }
    }
}

impl Drop for Say {
    fn drop(&mut self) {
        self.lines = None;
        let deadline = Instant::now() + LAST_WORDS;
        while self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            if Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn speak(line: &Line) {
    match line {
        Line::Status(text) => {
            if let Err(error) = sd_notify::notify(&[NotifyState::Status(text)]) {
                tracing::debug!(%error, "systemd could not be notified");
            }
        }
        Line::Info(text) => tracing::info!("{text}"),
        Line::Warn(text) => tracing::warn!("{text}"),
        Line::Error(text) => tracing::error!("{text}"),
    }
}
