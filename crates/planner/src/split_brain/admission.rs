//! Whether a node takes a step of a resolution that it is asked for, by what it sees of itself.
//!
//! The command that asks has compared both sides ([`plan`](super::plan)), but perhaps a while ago, and
//! the request may be late, repeated, or of another command. So the node asks itself whether the plan
//! could name this step for what it sees of itself now. What only the other side, or a program, can tell
//! (the generations, Pacemaker's constraint, what was written since the copy) is left to the command, and
//! to the guard that the hands ask right before the effect.

use super::plan::Step;
use crate::observation::{Known, Mount, Observation, Request, Role};
use crate::record::Resolution;

/// How a step stands to what is so on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is to be taken.
    Due,
    /// What it is for is so already: another command has had it taken.
    Taken,
}

/// What a node sees of itself.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// What it sees.
    pub seen: &'a Observation,
    /// The resolution that it has noted.
    pub noted: &'a Known<Resolution>,
}

/// Whether the step is to be taken here.
///
/// # Errors
/// Why not, in words with what to do.
pub fn may_take(here: Here<'_>, step: &Step, asked: &Resolution) -> Result<Standing, String> {
    let o = here.seen;
    if compare(here.noted, step, asked, &o.node)? == Standing::Taken {
        return Ok(Standing::Taken);
    }
    match step {
        Step::Begin => begin(here, asked),
        Step::Ban => noted(here, asked).map(|_| Standing::Due),
        Step::Demote => {
            loser(here, asked)?;
            unused(o)?;
            Ok(match o.drbd.role {
                Role::Secondary => Standing::Taken,
                Role::Primary | Role::Unknown => Standing::Due,
            })
        }
        Step::Disconnect => disconnect(here, asked),
        Step::Copy => {
            let noted = quiet(here, asked)?;
            // Whether it is of the data as it is now is asked again before anything is discarded.
            Ok(match noted.copy {
                Some(_) => Standing::Taken,
                None => Standing::Due,
            })
        }
        Step::Forget(epoch) => forget(here, asked, *epoch),
        Step::Discard => {
            let noted = quiet(here, asked)?;
            if noted.copy.is_none() && !noted.without_copy && noted.discarding.is_none() {
                return Err(format!("there is no copy of the data of {}", o.node));
            }
            Ok(Standing::Due)
        }
        Step::Connect => {
            let noted = noted(here, asked)?;
            if noted.winner != o.node {
                return Err(format!("{} is not the node that is kept", o.node));
            }
            Ok(if o.drbd.alone {
                Standing::Due
            } else {
                Standing::Taken
            })
        }
        Step::Unban | Step::Finish => {
            // Until then Pacemaker must not promote the loser, nor the record of it be forgotten.
            if !o.drbd.equal {
                return Err(format!(
                    "the two copies are not the same yet ({}); the same command waits for it",
                    o.drbd.summary
                ));
            }
            Ok(Standing::Due)
        }
    }
}

/// Whether what is noted on `node` is what the step was decided on. Another command may have turned the
/// resolution round since, or ended it and begun the next; the agent takes one step at a time, and
/// nobody else changes the record, so what is compared here holds until the step is taken.
///
/// # Errors
/// What is noted instead, in words with what to do.
pub fn compare(
    noted: &Known<Resolution>,
    step: &Step,
    asked: &Resolution,
    node: &str,
) -> Result<Standing, String> {
    let noted = match noted {
        Known::Present(noted) => Some(noted),
        Known::Absent => None,
        Known::Unreadable(why) => return Err(why.clone()),
    };
    let mark = noted.map_or("", |noted| noted.mark.as_str());
    let decided_on = match step {
        // Twice: what was done since stays.
        Step::Begin if !asked.mark.is_empty() && mark == asked.mark => {
            return Ok(Standing::Taken);
        }
        Step::Begin => &asked.over,
        // Another command has ended it.
        Step::Finish if !asked.mark.is_empty() && noted.is_none() => {
            return Ok(Standing::Taken);
        }
        Step::Ban
        | Step::Demote
        | Step::Disconnect
        | Step::Copy
        | Step::Forget(_)
        | Step::Discard
        | Step::Connect
        | Step::Unban
        | Step::Finish => &asked.mark,
    };
    if mark == decided_on {
        return Ok(Standing::Due);
    }
    let what = noted.map_or_else(
        || "that there is no resolution any more".to_owned(),
        |noted| format!("another resolution, which keeps {}", noted.winner),
    );
    Err(format!(
        "{node} has noted since {what}; nothing was changed. `two-node-ha split-brain show` tells how \
         both nodes stand"
    ))
}

/// A resolution begins only where there may be a split brain. While DRBD is connected there is none: it
/// would have refused. Where it is not, whether the copies have parted can only be told from both
/// generations, which the command has compared; to note it changes nothing of the data.
fn begin(here: Here<'_>, asked: &Resolution) -> Result<Standing, String> {
    let o = here.seen;
    let pair = [&asked.winner, &asked.loser];
    let both = [&o.node, &o.peer];
    if pair != both && pair != [both[1], both[0]] {
        return Err(format!(
            "{} and {} are not the two nodes",
            asked.winner, asked.loser
        ));
    }
    let own = matches!(here.noted, Known::Present(_));
    if o.drbd.connected && !own {
        return Err(format!(
            "there is no split brain on {}: DRBD is connected ({}); nothing was changed. \
             `two-node-ha split-brain show` tells how both nodes stand",
            o.node, o.drbd.summary
        ));
    }
    Ok(Standing::Due)
}

/// A connection is cut by the node that gives its data up, and never under anybody who uses the volume.
fn disconnect(here: Here<'_>, asked: &Resolution) -> Result<Standing, String> {
    let o = here.seen;
    let noted = loser(here, asked)?;
    unused(o)?;
    if o.drbd.role == Role::Primary {
        return Err(format!("{} is still primary ({})", o.node, o.drbd.summary));
    }
    if o.drbd.connected {
        return Err(format!(
            "DRBD has connected the nodes by itself ({}); nothing was changed",
            o.drbd.summary
        ));
    }
    if noted.discarding.is_some() && !o.drbd.alone {
        return Err(format!(
            "the data of {} is being discarded already ({})",
            o.node, o.drbd.summary
        ));
    }
    Ok(if o.drbd.alone {
        Standing::Taken
    } else {
        Standing::Due
    })
}

/// Epochs are forgotten that exist on the loser only: never that of the volume that is mounted here.
fn forget(here: Here<'_>, asked: &Resolution, epoch: u64) -> Result<Standing, String> {
    let o = here.seen;
    noted(here, asked)?;
    match &o.epoch {
        Known::Present(volume) if volume.epoch > epoch => Err(format!(
            "the volume that is mounted on {} is of epoch {}, which is not given up; nothing was changed",
            o.node, volume.epoch
        )),
        Known::Present(_) | Known::Absent | Known::Unreadable(_) => {
            Ok(if o.journal.highest_epoch > epoch {
                Standing::Due
            } else {
                Standing::Taken
            })
        }
    }
}

/// The resolution as it is noted here, if it is the one that is asked for.
fn noted<'a>(here: Here<'a>, asked: &Resolution) -> Result<&'a Resolution, String> {
    let node = &here.seen.node;
    match here.noted {
        Known::Present(noted) if (&noted.winner, &noted.loser) == (&asked.winner, &asked.loser) => {
            Ok(noted)
        }
        Known::Present(noted) => Err(format!(
            "{node} has noted a resolution that keeps {}",
            noted.winner
        )),
        Known::Absent => Err(format!("{node} has noted no resolution")),
        Known::Unreadable(why) => Err(why.clone()),
    }
}

/// The same, on the node that gives its data up.
fn loser<'a>(here: Here<'a>, asked: &Resolution) -> Result<&'a Resolution, String> {
    let noted = noted(here, asked)?;
    if noted.loser != here.seen.node {
        return Err(format!("the data of {} is to be kept", here.seen.node));
    }
    Ok(noted)
}

/// Neither mounted nor held.
fn unused(o: &Observation) -> Result<(), String> {
    if o.mount != Mount::None || o.request != Request::None || o.failover_unit {
        return Err(format!("the volume is still in use on {}", o.node));
    }
    Ok(())
}

/// This node gives its data up, nothing writes to it, and nothing is about to.
fn quiet<'a>(here: Here<'a>, asked: &Resolution) -> Result<&'a Resolution, String> {
    let o = here.seen;
    let noted = loser(here, asked)?;
    unused(o)?;
    if o.drbd.role != Role::Secondary {
        return Err(format!(
            "the volume is in use on {} ({})",
            o.node, o.drbd.summary
        ));
    }
    if !o.drbd.alone {
        return Err(format!(
            "DRBD is not disconnected here ({})",
            o.drbd.summary
        ));
    }
    Ok(noted)
}
