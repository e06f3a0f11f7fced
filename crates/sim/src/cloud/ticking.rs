//! Timers run at their minute, by the device's clock and zone (cloud.md 6.3).

use core::time::Duration;

use super::calls::Ask;
use super::profile::Generation;
use super::timers::Ran;
use super::{CloudClient, CloudNews, Effect};
use crate::journal::{Life, Line};

/// Minutes that are made up for after a delay; older ones are gone.
const LATE: u64 = 5;
/// Timers that ran and were not told yet.
const MAX_RAN: usize = 16;

impl CloudClient {
    /// When the next minute begins, if there is a timer that may be due then and a clock to tell by.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        if self.flash.timers.list.is_empty() {
            return None;
        }
        // Not known when `now` is: the minute that was looked at last tells.
        let minute = self.run.minute?;
        self.run.clock.mono_of((minute + 1) * 60)
    }

    /// Timers that came just now do not run for the minute that began before they came.
    pub(super) fn skip_this_minute(&mut self, now: Duration) {
        self.run.minute = self.run.clock.unix(now).map(|unix| unix / 60);
    }

    pub(super) fn run_timers(&mut self, now: Duration) {
        let Some(minute) = self.run.clock.unix(now).map(|unix| unix / 60) else { return };
        let last = self.run.minute.unwrap_or(minute);
        // An answer that set the clock back by a moment makes no minute come twice.
        if minute > last || last - minute > LATE {
            self.run.minute = Some(minute);
        }
        if minute <= last {
            return;
        }
        for minute in (last + 1).max((minute + 1).saturating_sub(LATE))..=minute {
            let local = self.flash.zone.local(minute * 60);
            for timer in self.flash.timers.due(local) {
                self.tell(CloudNews::TimerRan { id: timer.id.clone() });
                self.journal.life(now, Life::TimerRan { id: timer.id.clone() });
                self.effect(Effect::Set { cid: None, dps: timer.dps, by: Line::Timer });
                if self.profile.generation == Generation::C {
                    if self.run.ran.len() == MAX_RAN {
                        self.run.ran.pop_front();
                    }
                    self.run.ran.push_back(Ran { id: timer.id, t: minute * 60 });
                    self.ask(Ask::TimerLog);
                }
            }
        }
    }
}
