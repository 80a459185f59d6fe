//! What somebody waits for: the peer, or the operator's command.

use std::collections::VecDeque;

use super::event::{Action, Failure, Kind, Outcome, Remark, Task, Ticket};
use super::{Machine, SHORTEST_RETRY, Work};
use crate::observation::{Known, Observation, Request};
use crate::record::Resolution;
use crate::split_brain::admission::{self, Here, Standing};
use crate::split_brain::plan as resolve;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Order {
    /// Stop the databases for the peer, which has a volume of this epoch.
    StopSpare {
        ticket: Ticket,
        node: String,
        epoch: u64,
    },
    /// Take a step of a split brain's resolution.
    Resolve {
        ticket: Ticket,
        step: resolve::Step,
        resolution: Box<Resolution>,
    },
}

impl Machine {
    /// What the hands have to do for the first that waits and need not wait on. A step of a resolution
    /// does while this node leaves the volume: Pacemaker stops what it finds on both nodes once they see
    /// each other again, which is when the resolution begins.
    pub(super) fn first_due(
        &mut self,
        o: &Observation,
        noted: &Known<Resolution>,
    ) -> Option<(Work, Task)> {
        let leaves = o.request == Request::Release;
        let mut stays = VecDeque::new();
        let mut due = None;
        while due.is_none() {
            let Some(order) = self.waiting.pop_front() else {
                break;
            };
            if leaves && matches!(order, Order::Resolve { .. }) {
                stays.push_back(order);
            } else {
                due = self.begin(order, o, noted);
            }
        }
        stays.append(&mut self.waiting);
        self.waiting = stays;
        due
    }

    /// What the hands have to do for whoever waits, if they have; else it is answered.
    fn begin(
        &mut self,
        order: Order,
        o: &Observation,
        noted: &Known<Resolution>,
    ) -> Option<(Work, Task)> {
        match order {
            Order::StopSpare {
                ticket,
                node,
                epoch,
            } => {
                if let Err(why) = may_stop_for(
                    (&self.node, o.request),
                    (&node, epoch),
                    o.journal.highest_epoch,
                ) {
                    self.answer(ticket, Err(why));
                    return None;
                }
                self.out.push_back(Action::Say(Remark::StopsForPeer));
                self.confirmed = false;
                // Its last report is from before: only a new one may start the spare again.
                self.knowledge.forget();
                Some((Work::StopForPeer(ticket), Task::StopForPeer))
            }
            Order::Resolve {
                ticket,
                step,
                resolution,
            } => match admission::may_take(Here { seen: o, noted }, &step, &resolution) {
                Ok(Standing::Due) => {
                    let task = Task::Resolve(step.clone(), resolution.clone());
                    let work = Work::Resolve {
                        ticket,
                        step,
                        resolution,
                    };
                    Some((work, task))
                }
                Ok(Standing::Taken) => {
                    self.answer(ticket, Ok(()));
                    None
                }
                Err(why) => {
                    self.answer(ticket, Err(why));
                    None
                }
            },
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<(), String>) {
        self.out.push_back(Action::Answer(ticket, answer));
    }

    /// The databases are stopped for the peer, or not.
    pub(super) fn stopped_for_peer(&mut self, ticket: Ticket, result: Result<Outcome, Failure>) {
        match &result {
            Ok(_) => self.out.push_back(Action::DatabasesStopped),
            Err(failure) => {
                let step = Task::Take(crate::step::Step::StopServices);
                self.stumbled = Some((step, failure.why.clone()));
            }
        }
        self.answer(ticket, result.map(drop).map_err(|failure| failure.why));
    }

    /// A step of a resolution is taken, or not.
    pub(super) fn resolved(
        &mut self,
        (ticket, step, resolution): (Ticket, resolve::Step, Box<Resolution>),
        result: Result<Outcome, Failure>,
    ) {
        // What it changed may be what this node waits for, and what the peer said before may be of an
        // epoch that is given up.
        self.knowledge.forget();
        self.patience = SHORTEST_RETRY;
        let gave_way = matches!(&result, Err(failure) if failure.kind == Kind::Interruption);
        if gave_way {
            // For somebody whom it would have kept waiting too long. Then it is begun anew.
            self.waiting.push_back(Order::Resolve {
                ticket,
                step,
                resolution,
            });
            return;
        }
        self.answer(ticket, result.map(drop).map_err(|failure| failure.why));
    }
}

/// Whether the databases of `here`, of which Pacemaker asks `request` and which knows the epoch
/// `highest`, stop because `node` is about to be the voter of a volume of `epoch`.
///
/// # Errors
/// Why not, in words.
pub fn may_stop_for(
    (here, request): (&str, Request),
    (node, epoch): (&str, u64),
    highest: u64,
) -> Result<(), String> {
    if request == Request::Hold {
        return Err(format!(
            "Pacemaker has given the voter role to {here} and not to {node}"
        ));
    }
    if epoch < highest {
        return Err(format!(
            "{node} has epoch {epoch}, and {here} knows epoch {highest}: the volume there is an older \
             copy"
        ));
    }
    Ok(())
}
