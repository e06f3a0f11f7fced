//! Whether a device can be had.

use std::time::Duration;

use super::Moment;
use crate::model::Presence;

/// A sleeper is asleep so long after its line fell: it says no farewell, and may only have changed lines.
const DOZE: Duration = Duration::from_secs(10);

/// What presence follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// A line is up, and the gateway (if there is one) reaches the device.
    pub(super) up: bool,
    /// A line is possible at all.
    pub(super) possible: bool,
    pub(super) sleeper: bool,
    /// Never heard, and its gateway says that it can't be had: there is nothing to bridge with a grace time.
    pub(super) denied: bool,
    pub(super) grace: Duration,
}

/// Presence, and since when it hangs by a thread.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) presence: Presence,
    /// When the last line fell, while none is up.
    lost: Option<Moment>,
    /// Since when it is online, by the monotonic clock.
    pub(super) online: Duration,
}

impl Reach {
    pub(super) fn new(now: Moment) -> Self {
        Self { presence: Presence::Unknown, lost: Some(now), online: now.mono }
    }

    /// A line has become possible: the grace time starts.
    pub(super) fn possible(&mut self, now: Moment) {
        if self.lost.is_some() && self.presence == Presence::Unknown {
            self.lost = Some(now);
        }
    }

    /// A sleeper was last heard then, in an earlier run.
    pub(super) fn slept(&mut self, since_ms: u64) {
        if self.presence == Presence::Unknown {
            self.presence = Presence::Asleep { since_ms };
        }
    }

    /// Something was heard. True when that is news.
    pub(super) fn alive(&mut self, up: bool, now: Moment) -> bool {
        if !up {
            // No line is up, or not yet: the grace time starts again.
            self.lost = Some(now);
        }
        self.come(now)
    }

    fn come(&mut self, now: Moment) -> bool {
        let news = self.presence != Presence::Online;
        if news {
            self.presence = Presence::Online;
            self.online = now.mono;
        }
        news
    }

    fn wait(facts: &Facts) -> Duration {
        if facts.sleeper { facts.grace.min(DOZE) } else { facts.grace }
    }

    /// Looks at the lines and the clock. True when presence is another now.
    pub(super) fn judge(&mut self, facts: Facts, now: Moment, why: impl FnOnce() -> String) -> bool {
        if facts.up {
            self.lost = None;
            return self.come(now);
        }
        let lost = *self.lost.get_or_insert(now);
        let over = facts.denied || lost.mono.saturating_add(Self::wait(&facts)) <= now.mono;
        let next = match &self.presence {
            Presence::Online if over && facts.sleeper => Presence::Asleep { since_ms: lost.unix_ms },
            Presence::Online if over => Presence::Offline { since_ms: lost.unix_ms, why: why() },
            Presence::Unknown if over && facts.possible && !facts.sleeper => {
                Presence::Offline { since_ms: lost.unix_ms, why: why() }
            }
            // The owner said otherwise meanwhile.
            Presence::Offline { since_ms, .. } if facts.sleeper => Presence::Asleep { since_ms: *since_ms },
            Presence::Asleep { since_ms } if !facts.sleeper => {
                Presence::Offline { since_ms: *since_ms, why: why() }
            }
            _ => return false,
        };
        self.presence = next;
        true
    }

    /// When to look again.
    pub(super) fn due(&self, facts: &Facts) -> Option<Duration> {
        if facts.up {
            return None;
        }
        match self.presence {
            Presence::Online => {}
            Presence::Unknown if facts.possible && !facts.sleeper => {}
            _ => return None,
        }
        Some(self.lost?.mono.saturating_add(Self::wait(facts)))
    }
}
