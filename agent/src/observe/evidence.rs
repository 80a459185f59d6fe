//! The evidence of a split brain, completed: to what a handler has left both agents add what they see.
//! That is read and kept, and decides nothing.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use two_node_ha_evidence::Noted;
use two_node_ha_planner::split_brain::Side;
use two_node_ha_protocol::peer::{Request, Response, VERSION};

use crate::peer::client::{Client, Peer};

/// How long the peer may take to read its databases' logs.
const LOGS: Duration = Duration::from_secs(60);
/// How long an agent that has just started may take until it knows how it stands.
const STARTING: Duration = Duration::from_secs(60);

/// One at a time: the next finds nothing left to add.
static COMPLETING: Mutex<()> = Mutex::new(());

/// Adds to the unresolved evidence in `directory` what `own` and the peer's agent say. `own` says why
/// that is not known yet.
pub fn complete(directory: &Path, own: impl Fn() -> Result<Side, String>, client: &Client) {
    let _one = COMPLETING.lock().unwrap_or_else(PoisonError::into_inner);
    let open: Vec<_> = two_node_ha_evidence::unresolved(directory)
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, evidence)| evidence.sides.is_none())
        .collect();
    if open.is_empty() {
        return;
    }
    let mut waited = Duration::ZERO;
    let own = loop {
        match own() {
            Ok(side) => break side,
            Err(why) if waited >= STARTING => {
                tracing::error!("the evidence stays incomplete: {why}");
                return;
            }
            Err(_) => {
                std::thread::sleep(Duration::from_secs(1));
                waited += Duration::from_secs(1);
            }
        }
    };
    let mut sides = vec![own];
    let request = Request::Side {
        version: VERSION,
        logs: true,
    };
    let mut problem = None;
    match client.ask(&request, LOGS) {
        Ok(Response::Side(side)) => sides.push(*side),
        Ok(Response::Refused { reason }) => problem = Some(reason),
        Ok(other) => problem = Some(format!("the peer answered with {other:?}")),
        Err(error) => problem = Some(error.to_string()),
    }
    let newest = open.len().saturating_sub(1);
    for (number, (path, _)) in open.into_iter().enumerate() {
        // Once is enough: the logs weigh.
        let sides = if number == newest {
            sides.clone()
        } else {
            Vec::new()
        };
        // A resolution may have ended while the peer was asked: that is kept.
        match two_node_ha_evidence::update(&path, |evidence| {
            evidence.sides = Some(Noted::Known(sides));
            evidence.problems.extend(problem.clone());
        }) {
            Ok(()) => tracing::info!(file = %path.display(), "the evidence is complete"),
            Err(error) => tracing::error!("{error}"),
        }
    }
}
