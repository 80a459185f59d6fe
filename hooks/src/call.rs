//! One call of a handler, from its beginning to the code that it ends with.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Instant;

use two_node_ha_config::LossAction;
use two_node_ha_drbd::Decision;
use two_node_ha_events::Event;
use two_node_ha_fence::answer::{Answer, Code, Level};

use crate::handler::Terms;
use crate::journal::{Journal, Record};
use crate::reboot;
use crate::root::Root;
use two_node_ha_drbd::request::Request;

/// No code has been decided yet.
const OPEN: i32 = -1;

/// One call of a handler.
pub struct Call {
    /// What was asked.
    pub request: Request,
    /// Where the files are.
    pub root: Root,
    /// When it began.
    pub started: Instant,
    /// When it began, for the record.
    event: Event,
    /// The exit code, once decided.
    code: AtomicI32,
    /// Whether the node is reset instead of answering.
    reboots: AtomicBool,
    /// What is answered at the deadline, once the policy is known.
    fallback: OnceLock<Code>,
}

impl Call {
    /// A call that begins now.
    pub fn new(request: Request, root: Root) -> Self {
        let event = Event::new(request.handler.clone());
        Self {
            request,
            root,
            started: Instant::now(),
            event,
            code: AtomicI32::new(OPEN),
            reboots: AtomicBool::new(false),
            fallback: OnceLock::new(),
        }
    }

    /// What the call is to set in motion, whatever becomes of it from here on.
    pub fn intend(&self, action: LossAction) {
        let reboots = action == LossAction::Reboot;
        self.reboots.store(reboots, Ordering::SeqCst);
    }

    /// Whether the node is reset instead of answering.
    pub fn reboots(&self) -> bool {
        self.reboots.load(Ordering::SeqCst)
    }

    /// Ends the process with the code that was decided, or the node where that is asked for.
    pub fn end(&self) -> ! {
        if self.reboots() {
            if let Err(why) = reboot::now(&self.root) {
                self.journal().send(&Record::new(Level::Critical, why));
            }
        }
        std::process::exit(self.code.load(Ordering::SeqCst));
    }

    /// Sets what is answered at the deadline; the first time counts.
    pub fn fall_back_to(&self, code: Code) {
        let _ = self.fallback.set(code);
    }

    /// The fallback as an answer, with its reason.
    pub fn fallback(&self, decision: Decision, reason: String) -> Answer {
        let code = self.fallback.get().copied();
        let code = code.unwrap_or_else(|| self.request.handler.fallback());
        Answer::new(code, decision, reason)
    }

    /// Decides the exit code; false when another thread was first.
    pub fn decide(&self, answer: &Answer) -> bool {
        let code = answer.code.number();
        self.code
            .compare_exchange(OPEN, code, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The event, with what was answered.
    pub fn event(&self, answer: &Answer, resource: Option<String>) -> Event {
        let request = &self.request;
        Event {
            resource: resource.or_else(|| request.resource.clone()),
            peer: request.peer.name(),
            minors: request.minors(),
            volumes: request.volume_numbers(),
            decision: answer.decision.clone(),
            exit_code: answer.code.number(),
            reason: answer.reason.clone(),
            duration_us: self
                .started
                .elapsed()
                .as_micros()
                .try_into()
                .unwrap_or(u64::MAX),
            env: request.env.clone(),
            ..self.event.clone()
        }
    }

    /// The journal of the machine.
    pub fn journal(&self) -> Journal {
        Journal::open(&self.root)
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
