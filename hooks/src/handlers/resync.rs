//! Before and after a resync.

use std::time::{Duration, Instant};

use two_node_ha_config::{Config, NoCopyPolicy};
use two_node_ha_copies::{After, Before, Copies, Limits, Moment, Refused};
use two_node_ha_drbd::{Decision, ReadOnly};

use crate::finish::Call;
use crate::settings::Settings;
use two_node_ha_fence::answer::{Answer, Code, Level, Resync};

/// What of the deadline is left for the answer itself: so long at most,
const LAST: Duration = Duration::from_secs(1);
/// and this part of it at most.
const LAST_PART: u32 = 10;

const ABOUT: &str = "this node's data is about to be overwritten by the peer's";

/// This node's data is about to be overwritten by the peer's: a copy of it is made first, or
/// `hooks.no_copy` says what is done without one.
///
/// While this works, the receiver of this node stands still, and with it the primary's writes.
pub fn before_target(call: &Call, settings: &Settings) -> Answer {
    let policy = settings.no_copy();
    let config = match ours(call, settings) {
        Ok(config) => config,
        Err(why) => return without(policy, &why),
    };
    let copies = copies(call, config);
    let until = until(call, settings);
    let refuse = policy == NoCopyPolicy::Refuse;
    let before = copies.before_resync(&moment(call, config, until), Limits::until(until), refuse);
    match before {
        Before::Made(copy) => proceed(
            Decision::Copied,
            Level::Notice,
            format!(
                "{ABOUT}; it is kept in the copy {} ({}, {} ms), which `two-node-ha copies` shows",
                copy.name,
                copy.record.method.words(),
                copy.record.took_ms
            ),
        ),
        Before::Kept(copy, why) => proceed(
            Decision::CopyKept,
            Level::Notice,
            format!("{ABOUT}; {why}: {}", copy.name),
        ),
        Before::Needless(why) => proceed(
            Decision::NoCopyNeeded,
            Level::Notice,
            format!("{ABOUT}, and is not worth a copy: {why}"),
        ),
        Before::None(Refused::TurnedOff) => proceed(
            Decision::Proceed,
            Level::Notice,
            format!("{ABOUT}; {}", Refused::TurnedOff),
        ),
        Before::None(refused) => without(policy, &refused.to_string()),
    }
}

/// There is no copy, and there should be one.
fn without(policy: NoCopyPolicy, why: &str) -> Answer {
    match policy {
        NoCopyPolicy::Proceed => proceed(
            Decision::NoCopy,
            Level::Error,
            format!("{ABOUT} WITHOUT A COPY of it: {why}"),
        ),
        NoCopyPolicy::Refuse => {
            let reason = format!(
                "{ABOUT}, there is no copy of it, and hooks.no_copy = \"refuse\": {why}. The resync \
                 is refused and the connection dropped; the peer's data is the only current copy \
                 until it is not. See to that, then `drbdadm connect` the resource"
            );
            Answer::new(Code::Resync(Resync::Refuse), Decision::Refuse, reason).at(Level::Error)
        }
    }
}

fn proceed(decision: Decision, level: Level, reason: String) -> Answer {
    Answer::new(Code::Resync(Resync::Proceed), decision, reason).at(level)
}

/// The peer's data is about to be overwritten by this node's.
pub fn before_source() -> Answer {
    let reason = "the peer's data is about to be overwritten by this node's";
    Answer::new(
        Code::Resync(Resync::Proceed),
        Decision::Proceed,
        reason.to_owned(),
    )
    .at(Level::Info)
}

/// DRBD calls this also when the resync failed: only the state of the disk tells, and copies are
/// dropped only when that is UpToDate.
pub fn after_target(call: &Call, settings: &Settings) -> Answer {
    const ENDED: &str = "the resync onto this node ended";
    let config = match ours(call, settings) {
        Ok(config) => config,
        Err(why) => return Answer::noted(Level::Info, format!("{ENDED}; no copies: {why}")),
    };
    let copies = copies(call, config);
    let until = until(call, settings);
    let moment = moment(call, config, until);
    let state = moment.disk.as_ref().map_or("unknown", |disk| disk.as_str());
    match copies.after_resync(&moment, Limits::until(until)) {
        Ok(After::NotOver) => Answer::noted(
            Level::Notice,
            format!("{ENDED}, and its disk is {state}, not UpToDate: all copies are kept"),
        ),
        Ok(After::Over(dropped, problems)) if problems.is_empty() => {
            let dropped = match dropped.as_slice() {
                [] => String::new(),
                names => format!(
                    "; dropped the copies beyond the newest {}: {}",
                    copies.keep(),
                    names.join(", ")
                ),
            };
            Answer::noted(
                Level::Info,
                format!("{ENDED}; the data is UpToDate{dropped}"),
            )
        }
        Ok(After::Over(_, problems)) => Answer::noted(
            Level::Warning,
            format!(
                "{ENDED}; the data is UpToDate; copies that should go stay: {}",
                problems.join("; ")
            ),
        ),
        Err(error) => Answer::noted(
            Level::Warning,
            format!("{ENDED}; the data is {state}; its copies could not be looked after: {error}"),
        ),
    }
}

/// The configuration, where the call is about its volume.
fn ours<'a>(call: &Call, settings: &'a Settings) -> Result<&'a Config, String> {
    let Some(config) = settings.config() else {
        let why = settings
            .problem
            .as_deref()
            .unwrap_or("there is no configuration");
        return Err(format!("what lies under DRBD is not known: {why}"));
    };
    let volume = &config.volume;
    let minors = call.request.minors();
    let resource = call.request.resource.as_ref();
    if resource.is_some_and(|resource| *resource != volume.resource)
        || (!minors.is_empty() && !minors.contains(&volume.minor))
    {
        return Err(format!(
            "{} is not the configured volume ({} of {})",
            call.request.subject(),
            volume.device.display(),
            volume.resource
        ));
    }
    Ok(config)
}

/// The copies, with LVM's programs run as a handler may run programs.
fn copies(call: &Call, config: &Config) -> Copies {
    let runner = Box::new(ReadOnly::rooted("/"));
    Copies::open(config, call.root.dir()).with_runner(runner)
}

fn moment(call: &Call, config: &Config, until: Instant) -> Moment {
    let volume = &config.volume;
    let system = ReadOnly::rooted(call.root.dir());
    Moment::read(&system, &volume.resource, volume.minor, until)
}

/// When the copy must be done, so that the answer is given before the watchdog gives it.
fn until(call: &Call, settings: &Settings) -> Instant {
    let deadline = settings.deadline(&call.request.handler);
    let last = LAST.min(deadline / LAST_PART);
    let allowed = deadline.saturating_sub(last);
    call.started.checked_add(allowed).unwrap_or(call.started)
}
