//! What the failover unit's process does next, given what it heard and the time: no socket, no clock.
//!
//! The agent is asked to leave the volume, because it does so cleanly, and it is never relied on: one
//! that hangs, fails at each step or answers nonsense keeps the stop for [`SILENT`] or, at work,
//! [`RELEASE`], and then the way down goes on without it.

use std::time::{Duration, Instant};

use two_node_ha_config::times;
use two_node_ha_protocol::control::Response;

/// How long an agent that restarts may be away before a running hold counts as lost.
pub const AGENT_GRACE: Duration = times::AGENT_GONE_IN_HOLD;
/// As [`AGENT_GRACE`], of a stop: nothing needs it, it is only cleaner with an agent.
pub const AGENT_GRACE_AT_STOP: Duration = times::AGENT_GONE_AT_STOP;
/// How often a missing agent is looked for.
pub const RECONNECT: Duration = Duration::from_millis(250);
/// How long a stop waits for an agent that says nothing.
pub const SILENT: Duration = times::AGENT_SILENT;
/// How long a stop waits for the agent altogether.
pub const RELEASE: Duration = times::AGENT_RELEASE;

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// systemd asks for the stop.
    Stop,
    /// The agent is connected, and has been sent the request.
    Connected,
    /// It says something.
    Said(Response),
    /// It is not there, has gone away, or talks nonsense.
    Lost(String),
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Do {
    /// Connect, with that request.
    Connect(Wanted),
    /// Send the release on the connection that stands.
    Release,
    /// The role is given up: from here on no database may start.
    LetGo,
    /// Tell systemd that it goes on.
    Progress(String),
    /// Tell systemd that the voter works.
    Working,
    /// Tell whoever reads the journal.
    Warn(String),
    /// It is over.
    End(End),
}

/// What the agent is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// To be the voter.
    Hold,
    /// To leave the volume.
    Release,
}

/// How it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The agent has left the volume, cleanly.
    Released,
    /// The agent has not, and is not waited for any more.
    WithoutTheAgent(String),
    /// The voter does not work, or nobody looks after it.
    Failed(String),
}

/// The state.
#[derive(Debug)]
pub struct Hold {
    connected: bool,
    /// When to try again, where the agent is away, and since when it is.
    again: Option<Instant>,
    away_since: Option<Instant>,
    /// Since when it is being stopped, and when something was last heard in that time.
    stopping: Option<(Instant, Instant)>,
}

impl Hold {
    /// Nothing is connected; begin with [`Do::Connect`] of a hold.
    pub fn new() -> Self {
        Self {
            connected: false,
            again: None,
            away_since: None,
            stopping: None,
        }
    }

    fn wanted(&self) -> Wanted {
        match self.stopping {
            None => Wanted::Hold,
            Some(_) => Wanted::Release,
        }
    }

    /// Takes in what was heard.
    pub fn hear(&mut self, heard: Heard, now: Instant) -> Vec<Do> {
        match heard {
            Heard::Stop if self.stopping.is_some() => Vec::new(),
            Heard::Stop => {
                self.stopping = Some((now, now));
                // How long it was away before does not count.
                self.away_since = self.away_since.map(|_| now);
                let mut then = vec![Do::LetGo];
                if self.connected {
                    then.push(Do::Release);
                }
                then
            }
            Heard::Connected => {
                self.connected = true;
                match self.stopping {
                    None => {
                        self.away_since = None;
                        Vec::new()
                    }
                    // The stop may have come while it connected for the hold. One that accepts every
                    // connection and answers none of them counts as away.
                    Some(_) => vec![Do::Release],
                }
            }
            Heard::Said(response) => self.said(response, now),
            Heard::Lost(why) => {
                let was = std::mem::replace(&mut self.connected, false);
                let since = *self.away_since.get_or_insert(now);
                if let Some(end) = self.without(since, &why, now) {
                    return vec![Do::End(end)];
                }
                self.again = Some(now + RECONNECT);
                if was {
                    vec![Do::Warn(format!(
                        "{why}; waiting for the agent to come back"
                    ))]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn said(&mut self, response: Response, now: Instant) -> Vec<Do> {
        match (response, &mut self.stopping) {
            (Response::Progress { text }, stopping) => {
                if let Some((_, heard)) = stopping {
                    *heard = now;
                    self.away_since = None;
                }
                vec![Do::Progress(text)]
            }
            (Response::Working, None) => vec![Do::Working],
            (Response::Released, Some(_)) => vec![Do::End(End::Released)],
            (Response::Released, None) => vec![Do::End(End::Failed(
                "the agent has left the volume without being asked to".into(),
            ))],
            (Response::Unhealthy { reason } | Response::Refused { reason }, None) => {
                vec![Do::End(End::Failed(reason))]
            }
            // Whoever is leaving anyway does not mind.
            (Response::Working | Response::Unhealthy { .. }, Some(_)) => Vec::new(),
            (Response::Refused { reason }, Some(_)) => {
                vec![Do::End(End::WithoutTheAgent(format!(
                    "the agent refuses to leave the volume: {reason}"
                )))]
            }
            (
                Response::Status(_) | Response::Plan { .. } | Response::Side(_) | Response::Taken,
                _,
            ) => Vec::new(),
        }
    }

    /// The end, where the agent has been away for too long.
    fn without(&self, since: Instant, why: &str, now: Instant) -> Option<End> {
        let away = now.duration_since(since);
        match self.stopping {
            None => (away > AGENT_GRACE).then(|| End::Failed(why.to_owned())),
            Some(_) => (away > AGENT_GRACE_AT_STOP).then(|| End::WithoutTheAgent(why.to_owned())),
        }
    }

    /// When to call [`Hold::tick`], if nothing is heard until then.
    pub fn due(&self) -> Option<Instant> {
        let stop = self
            .stopping
            .map(|(since, heard)| (since + RELEASE).min(heard + SILENT));
        [self.again, stop].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Do> {
        if let Some((since, heard)) = self.stopping {
            let gave_up = if now >= since + RELEASE {
                Some(format!(
                    "the agent has not left the volume within {} s",
                    RELEASE.as_secs()
                ))
            } else if now >= heard + SILENT {
                Some(format!(
                    "the agent has not said anything for {} s",
                    SILENT.as_secs()
                ))
            } else {
                None
            };
            if let Some(why) = gave_up {
                return vec![Do::End(End::WithoutTheAgent(why))];
            }
        }
        if self.again.is_some_and(|at| at <= now) {
            self.again = None;
            return vec![Do::Connect(self.wanted())];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays on until the end, with the time passing as it is due; how long that took.
    fn until_the_end(
        hold: &mut Hold,
        from: Instant,
        mut answer: impl FnMut(&Do, Instant) -> Vec<Heard>,
    ) -> (End, Duration) {
        let mut now = from;
        for _ in 0..1000 {
            now = hold.due().expect("nothing would ever end it").max(now);
            let mut then = hold.tick(now);
            while !then.is_empty() {
                let next = then.remove(0);
                if let Do::End(end) = next {
                    return (end, now - from);
                }
                for heard in answer(&next, now) {
                    then.extend(hold.hear(heard, now));
                }
            }
        }
        panic!("it does not end");
    }

    fn connected() -> (Hold, Instant) {
        let now = Instant::now();
        let mut hold = Hold::new();
        assert_eq!(hold.hear(Heard::Connected, now), []);
        assert_eq!(
            hold.hear(Heard::Said(Response::Working), now),
            [Do::Working]
        );
        assert_eq!(hold.due(), None);
        (hold, now)
    }

    fn progress() -> Heard {
        Heard::Said(Response::Progress { text: "x".into() })
    }

    #[test]
    fn a_clean_release_ends_at_once() {
        let (mut hold, now) = connected();
        assert_eq!(hold.hear(Heard::Stop, now), [Do::LetGo, Do::Release]);
        assert_eq!(hold.hear(Heard::Stop, now), []);
        assert_eq!(
            hold.hear(Heard::Said(Response::Released), now),
            [Do::End(End::Released)]
        );
    }

    #[test]
    fn an_agent_that_hangs_does_not_keep_the_stop() {
        let (mut hold, now) = connected();
        hold.hear(Heard::Stop, now);
        let (end, took) = until_the_end(&mut hold, now, |_, _| Vec::new());
        assert!(matches!(end, End::WithoutTheAgent(_)), "{end:?}");
        assert_eq!(took, SILENT);
    }

    #[test]
    fn an_agent_that_is_at_work_for_ever_does_not_keep_the_stop() {
        let (mut hold, now) = connected();
        hold.hear(Heard::Stop, now);
        let mut at = now;
        let end = loop {
            at += Duration::from_secs(2);
            if let [Do::End(end)] = &hold.tick(at)[..] {
                break format!("{end:?}");
            }
            hold.hear(progress(), at);
        };
        assert!(end.contains("WithoutTheAgent"), "{end}");
        assert!(at - now <= RELEASE + Duration::from_secs(2));
    }

    #[test]
    fn an_agent_that_fails_refuses_or_talks_nonsense_does_not_keep_the_stop() {
        let (mut hold, now) = connected();
        hold.hear(Heard::Stop, now);
        let unhealthy = Response::Unhealthy { reason: "x".into() };
        assert_eq!(hold.hear(Heard::Said(unhealthy), now), []);
        let refused = Response::Refused { reason: "x".into() };
        let then = hold.hear(Heard::Said(refused), now);
        assert!(matches!(then[..], [Do::End(End::WithoutTheAgent(_))]));

        // Each connection ends with nonsense.
        let (mut hold, now) = connected();
        hold.hear(Heard::Stop, now);
        hold.hear(Heard::Lost("nonsense".into()), now);
        let (end, took) = until_the_end(&mut hold, now, |next, _| match next {
            Do::Connect(Wanted::Release) => {
                vec![Heard::Connected, Heard::Lost("nonsense".into())]
            }
            Do::Release | Do::Warn(_) => Vec::new(),
            other => panic!("{other:?}"),
        });
        assert!(matches!(end, End::WithoutTheAgent(_)), "{end:?}");
        assert!(took < AGENT_GRACE_AT_STOP * 2, "{took:?}");
    }

    #[test]
    fn a_stop_without_an_agent_waits_for_it_for_a_moment_only() {
        let now = Instant::now();
        let mut hold = Hold::new();
        hold.hear(Heard::Lost("nobody there".into()), now);
        let later = now + Duration::from_secs(10);
        assert_eq!(hold.hear(Heard::Stop, later), [Do::LetGo]);
        let (end, took) = until_the_end(&mut hold, later, |next, _| {
            assert_eq!(*next, Do::Connect(Wanted::Release));
            vec![Heard::Lost("nobody there".into())]
        });
        assert_eq!(end, End::WithoutTheAgent("nobody there".into()));
        assert!(took > AGENT_GRACE_AT_STOP && took < AGENT_GRACE_AT_STOP * 2);
    }

    #[test]
    fn a_hold_outlives_a_restart_of_the_agent_and_not_its_end() {
        let (mut hold, now) = connected();
        let then = hold.hear(Heard::Lost("gone".into()), now);
        assert!(matches!(then[..], [Do::Warn(_)]), "{then:?}");
        let mut tries = 0;
        let (end, took) = until_the_end(&mut hold, now, |next, _| {
            assert_eq!(*next, Do::Connect(Wanted::Hold));
            tries += 1;
            vec![Heard::Lost("gone".into())]
        });
        assert_eq!(end, End::Failed("gone".into()));
        assert!(took > AGENT_GRACE && tries > 10);

        let (mut hold, now) = connected();
        hold.hear(Heard::Lost("gone".into()), now);
        assert_eq!(hold.tick(now + RECONNECT), [Do::Connect(Wanted::Hold)]);
        assert_eq!(hold.hear(Heard::Connected, now + RECONNECT), []);
        assert_eq!(hold.due(), None);
    }

    #[test]
    fn a_stop_that_comes_while_it_connects_is_sent_on() {
        let now = Instant::now();
        let mut hold = Hold::new();
        assert_eq!(hold.hear(Heard::Stop, now), [Do::LetGo]);
        assert_eq!(hold.hear(Heard::Connected, now), [Do::Release]);
    }

    #[test]
    fn an_unhealthy_voter_is_a_failure() {
        let (mut hold, now) = connected();
        let unhealthy = Response::Unhealthy { reason: "x".into() };
        assert_eq!(
            hold.hear(Heard::Said(unhealthy), now),
            [Do::End(End::Failed("x".into()))]
        );
    }
}
