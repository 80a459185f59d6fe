//! Leaving: the event for the agent, the record in the journal, the exit code; once, by whoever
//! answers first.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use two_node_ha_config::LossAction;
use two_node_ha_drbd::Decision;
use two_node_ha_events::{DIR, Event};

use crate::handler::Terms;
use crate::journal::{Journal, Record};
use crate::request::Request;
use crate::root::Root;
use crate::settings::Settings;
use crate::{alert, evidence, reboot};
use two_node_ha_fence::answer::{Answer, Code, Level};

/// No code has been decided yet.
const OPEN: i32 = -1;

/// What writing the event may take once the deadline has passed: a disk that hangs must not hold
/// up the answer.
const GRACE: Duration = Duration::from_millis(500);

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

    fn reboots(&self) -> bool {
        self.reboots.load(Ordering::SeqCst)
    }

    /// Ends the process with the code that was decided, or the node where that is asked for.
    fn end(&self) -> ! {
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
    fn fallback(&self, decision: Decision, reason: String) -> Answer {
        let code = self.fallback.get().copied();
        let code = code.unwrap_or_else(|| self.request.handler.fallback());
        Answer::new(code, decision, reason)
    }

    /// Decides the exit code; false when another thread was first.
    fn decide(&self, answer: &Answer) -> bool {
        let code = answer.code.number();
        self.code
            .compare_exchange(OPEN, code, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    fn event(&self, answer: &Answer, resource: Option<String>) -> Event {
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

    fn journal(&self) -> Journal {
        Journal::open(&self.root)
    }
}

/// Answers: keeps the event, records, runs the alert, exits.
pub fn finish(call: &Arc<Call>, answer: &Answer, settings: &Settings) -> ! {
    if !call.decide(answer) {
        // The watchdog is answering. It ends the process.
        loop {
            thread::park();
        }
    }
    let event = call.event(answer, settings.resource_of(&call.request));
    let journal = call.journal();
    // The record first: it does not wait for a disk, and split brain is told at once.
    journal.send(&record(
        call,
        &event,
        answer.level,
        settings.problem.as_deref(),
    ));
    if call.reboots() {
        journal.send_to_kernel(&Record::new(answer.level, answer.reason.clone()));
        // The disk that was lost may be the one that the event goes to.
        keep_within_grace(call, event);
        call.end();
    }
    // Before the event, which wakes the agent to complete it.
    let evidence = answer.evidence.then(|| evidence::keep(&call.root, &event));
    let evidence = match evidence {
        Some(Err(error)) => {
            let text = format!("no evidence of {}: {}", event.handler, chain(&error));
            journal.send(&Record::new(Level::Error, text));
            None
        }
        Some(Ok(path)) => Some(path),
        None => None,
    };
    let written = keep(call, &journal, &event);
    if answer.alert {
        let files = alert::Files {
            event: written.as_deref(),
            evidence: evidence.as_deref(),
        };
        alert::all(&call.root, settings, &event, &files, &mut |text| {
            journal.send(&Record::new(Level::Error, text));
        });
    }
    call.end();
}

/// The deadline has passed: answers the fallback, or lets the answer that is on its way end.
pub fn overdue(call: &Arc<Call>, allowed: Duration) -> ! {
    let reason = format!(
        "no answer within {:.1} s (the deadline of this handler): answered the safe code instead",
        allowed.as_secs_f64()
    );
    let answer = call.fallback(Decision::Deadline, reason);
    if call.decide(&answer) {
        give_up(call, &answer);
    }
    // Decided in time, but the event or the alert still holds it up.
    thread::sleep(GRACE);
    call.end();
}

/// A panic, in whatever thread: answers the fallback. Must not panic itself.
pub fn panicked(call: &Arc<Call>, what: &str) -> ! {
    let reason = format!("a bug in two-node-ha-hook, please report it: {what}");
    let answer = call.fallback(Decision::Bug, reason);
    if call.decide(&answer) {
        give_up(call, &answer);
    }
    call.end();
}

fn give_up(call: &Arc<Call>, answer: &Answer) -> ! {
    let event = call.event(answer, None);
    let journal = call.journal();
    journal.send(&record(call, &event, answer.level, None));
    keep_within_grace(call, event);
    call.end();
}

/// In a thread of its own: whatever made us late, or was lost, may make this hang.
fn keep_within_grace(call: &Arc<Call>, event: Event) {
    let (done, kept) = mpsc::channel();
    let writing = Arc::clone(call);
    let started = thread::Builder::new().spawn(move || {
        keep(&writing, &writing.journal(), &event);
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = kept.recv_timeout(GRACE);
    }
}

/// Writes the event file. Where that fails, the journal has everything that was in it.
fn keep(call: &Call, journal: &Journal, event: &Event) -> Option<PathBuf> {
    match two_node_ha_events::write(&call.root.path(DIR), event) {
        Ok(path) => Some(path),
        Err(error) => {
            let text = format!(
                "the agent will not hear of {} of {}: {}",
                event.handler,
                call.request.subject(),
                chain(&error)
            );
            journal.send(&Record::new(Level::Error, text));
            None
        }
    }
}

fn record(call: &Call, event: &Event, level: Level, config: Option<&str>) -> Record {
    let request = &call.request;
    let about = event.resource.clone().unwrap_or_else(|| request.subject());
    let peer = event
        .peer
        .as_deref()
        .map(|peer| format!(" (peer {peer})"))
        .unwrap_or_default();
    let text = format!("{} of {about}{peer}: {}", event.handler, event.reason);
    let list = |numbers: &[u32]| {
        numbers
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    // Both nodes being named by number or address only is common: whatever there is.
    Record::new(level, text)
        .field("MESSAGE_ID", request.handler.message_id())
        .field("TWO_NODE_HA_HANDLER", event.handler.as_str())
        .field(
            "TWO_NODE_HA_RESOURCE",
            event.resource.as_deref().unwrap_or_default(),
        )
        .field(
            "TWO_NODE_HA_PEER",
            event.peer.as_deref().unwrap_or_default(),
        )
        .field("TWO_NODE_HA_MINORS", &list(&event.minors))
        .field("TWO_NODE_HA_VOLUMES", &list(&event.volumes))
        .field("TWO_NODE_HA_DECISION", event.decision.as_str())
        .field("TWO_NODE_HA_EXIT_CODE", &event.exit_code.to_string())
        .field("TWO_NODE_HA_DURATION_US", &event.duration_us.to_string())
        .field("TWO_NODE_HA_PROBLEMS", &request.problems.join("; "))
        .field("TWO_NODE_HA_CONFIG", config.unwrap_or_default())
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
