//! Ctrl-C and SIGTERM: end the instance this process answers for, then this process.

use crate::ending;
use crate::places::Places;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::{Mutex, PoisonError};

static ANSWER_FOR: Mutex<Option<Places>> = Mutex::new(None);

/// From now on an interrupt ends this instance.
pub fn answer_for(places: &Places) {
    *ANSWER_FOR.lock().unwrap_or_else(PoisonError::into_inner) = Some(places.clone());
}

/// From now on an interrupt ends this process alone.
pub fn answer_for_nothing() {
    *ANSWER_FOR.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Starts to listen. Programs that this process started are told by the kernel when it ends.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen() -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("watch for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let places = ANSWER_FOR
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(places) = places {
                eprintln!("\ninterrupted: ending the lab");
                if let Err(error) = ending::end(&places) {
                    eprintln!("while ending the lab: {error:#}");
                }
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
