//! What DRBD's handlers want of the agent.

use std::time::Duration;

use super::event::{Action, Moment, Remark, Task, Ticket, Wants};
use super::{Machine, Work};
use crate::observation::{Observation, Request, Role};

/// A loss that is older is no reason to take the primary away from where it is now.
pub const FRESH: Duration = Duration::from_secs(600);

/// A handler that wants this node demoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Called {
    ticket: Ticket,
    handler: String,
    /// Until when that is a reason.
    pub(super) until: Moment,
    /// When to try it, again or for the first time.
    pub(super) at: Moment,
}

impl Machine {
    pub(super) fn called(
        &mut self,
        ticket: Ticket,
        handler: String,
        wants: Wants,
        (age, now): (Duration, Moment),
    ) {
        match wants {
            Wants::Nothing => self.heard(ticket),
            Wants::Evidence => {
                self.out.push_back(Action::CompleteEvidence);
                self.heard(ticket);
            }
            Wants::Demotion => match FRESH.checked_sub(age) {
                Some(left) => self.called.push_back(Called {
                    ticket,
                    handler,
                    until: now + left,
                    at: now,
                }),
                None => {
                    self.out.push_back(Action::Say(Remark::TooLate(handler)));
                    self.heard(ticket);
                }
            },
        }
    }

    fn heard(&mut self, ticket: Ticket) {
        self.out.push_back(Action::Heard(ticket));
    }

    /// Which demotion is due, now that this was seen. Those that there is no reason for any more are
    /// done with. One that DRBD says nothing about, and any while the volume is being left, waits.
    pub(super) fn demotion(&mut self, o: &Observation, now: Moment) -> Option<(Work, Task)> {
        while let Some(late) = self.called.iter().position(|called| called.until < now) {
            if let Some(Called {
                ticket, handler, ..
            }) = self.called.remove(late)
            {
                self.out.push_back(Action::Say(Remark::TooLate(handler)));
                self.heard(ticket);
            }
        }
        match o.drbd.role {
            Role::Primary => {}
            Role::Secondary => {
                while let Some(Called {
                    ticket, handler, ..
                }) = self.called.pop_front()
                {
                    self.out.push_back(Action::Say(Remark::NotPrimary(handler)));
                    self.heard(ticket);
                }
            }
            Role::Unknown => return None,
        }
        if o.request == Request::Release {
            return None;
        }
        let due = self.called.iter().find(|called| called.at <= now)?;
        let handler = due.handler.clone();
        Some((Work::Demote(handler.clone()), Task::Demote(handler)))
    }

    /// Pacemaker takes the primary away: that is what each of them wanted.
    pub(super) fn demoted(&mut self) {
        while let Some(called) = self.called.pop_front() {
            self.heard(called.ticket);
        }
    }

    /// Pacemaker was not asked, or said no: later.
    pub(super) fn not_demoted(&mut self, now: Moment) {
        self.retry_later(now);
        let at = self.retry.unwrap_or(now);
        for called in &mut self.called {
            called.at = called.at.max(at);
        }
    }
}
