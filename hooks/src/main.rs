//! `two-node-ha-hook`: every DRBD handler and the udev entry, one binary called by name.
//!
//! The kernel calls a handler and stands still until it answers, so each call goes one way:
//! typed environment ([`request`]) → own deadline ([`watchdog`]) → work ([`handlers`]) → exit code
//! from an enum ([`answer`]) → event file for the agent and a record in the journal ([`finish`]).
//! On a split brain the [`evidence`] and the [`alert`]s come with it, and where the operator says so
//! a loss ends in a [`reboot`].
//!
//! Nothing here changes DRBD's state, and nothing here can: the crates that this program is made
//! of have no such code. It starts quickly: no runtime, no other process unless a handler needs
//! one.

mod alert;
mod call;
mod evidence;
mod fence;
mod finish;
mod handler;
mod handlers;
mod journal;
mod reboot;
mod root;
mod settings;
mod watchdog;
mod world;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use crate::call::Call;
use crate::root::Root;
use crate::settings::Settings;
use crate::watchdog::Watchdog;
use two_node_ha_drbd::Handler;
use two_node_ha_drbd::request::{self, Request};

const USAGE: &str = "\
usage: two-node-ha-hook HANDLER [minor-N|RESOURCE]

Answers a handler of DRBD, or udev. Called by DRBD or udev, not by hand.
HANDLER may also be the name that the program is called by.
Handlers:";

/// `EX_USAGE`: told apart from everything that a handler answers.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (name, argument) = request::command(&args);
    match name.as_deref() {
        Some("--help" | "-h") => return usage(&mut std::io::stdout(), ExitCode::SUCCESS),
        Some("--version" | "-V") => {
            let version = concat!("two-node-ha-hook ", env!("CARGO_PKG_VERSION"), "\n");
            let _ = std::io::stdout().write_all(version.as_bytes());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let env = request::environment();
    let handler = match name.as_deref().map(|name| (name, Handler::of(name))) {
        Some((_, Some(handler))) => handler,
        // A handler of a later DRBD. Whoever defines none answers 0, and so do we.
        Some((name, None)) if request::is_of_drbd(&env) => Handler::Unrecognised(name.to_owned()),
        _ => return usage(&mut std::io::stderr(), ExitCode::from(EXIT_USAGE)),
    };

    let root = Root::from_env();
    let request = Request::new(handler, argument.as_deref(), env);
    let call = Arc::new(Call::new(request, root));
    let watchdog = Watchdog::start(Arc::clone(&call));
    let settings = Settings::load(&call.root);
    let deadline = settings.deadline(&call.request.handler);
    watchdog.extend(deadline);
    call.intend(settings.loss_action(&call.request.handler));
    call.fall_back_to(settings.fallback(&call.request.handler));
    assert!(!call.root.panics(), "the failpoint");
    while call.root.hangs() {
        std::thread::park();
    }
    let answer = handlers::answer(&call, &settings);
    finish::finish(&call, &answer, &settings)
}

fn usage(out: &mut dyn Write, code: ExitCode) -> ExitCode {
    let names: Vec<_> = Handler::KNOWN.iter().map(Handler::as_str).collect();
    let _ = writeln!(out, "{USAGE}\n  {}", names.join("\n  "));
    code
}
