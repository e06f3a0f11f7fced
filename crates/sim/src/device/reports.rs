//! What changes by itself, who hears of it, and when something is going to happen next.

use core::time::Duration;

use landfall_proto::Now;
use landfall_proto::dp::{DpId, Dps};

use super::VirtualDevice;
use super::connection::Connection;
use crate::model::Cause;
use crate::news::News;

/// Without a client nobody sees a measurement, so the models are let run in leaps of this length.
const UNWATCHED: Duration = Duration::from_secs(30);

impl VirtualDevice {
    /// Lets all models run up to now, and reports what changed. Without a client a device does so only every half
    /// minute; whoever looks at its [`points`](Self::points) in between calls this first.
    pub fn catch_up(&mut self, now: Now) {
        self.ticked = now.mono;
        for at in 0..self.units.len() {
            self.units[at].model.tick(now.mono);
            self.report(at, Cause::Time, now);
        }
    }

    /// Pushes what changed to all clients and to the cloud. Without any nothing is kept (lan.md 5.3.7).
    pub(super) fn report(&mut self, at: usize, cause: Cause, now: Now) {
        let unit = &mut self.units[at];
        if !unit.model.points().has_changes() {
            return;
        }
        let dps = unit.model.points_mut().take_changes();
        let (cid, online) = (unit.cid.clone(), unit.online);
        let told: Dps = self.reportable(at, &dps, cause);
        if online && !told.is_empty() {
            for c in self.connections.iter_mut().filter(|c| !c.is_closing()) {
                c.session.push(cid.as_ref(), &told, now);
            }
            self.report_to_cloud(cid.as_ref(), &told, cause, now);
        }
        self.tell(News::Changed { cid, dps, cause });
    }

    pub(super) fn next_tick(&self) -> Option<Duration> {
        let next = self.units.iter().filter_map(|u| u.model.next_tick()).min()?;
        let watched = !self.connections.is_empty() || self.is_online();
        Some(if watched { next } else { next.max(self.ticked + UNWATCHED) })
    }

    pub(super) fn deadline(&self) -> Duration {
        if let Some(until) = self.down_until {
            return until;
        }
        let speech = self.speaks().then(|| self.voice.next());
        self.connections
            .iter()
            .map(Connection::deadline)
            .chain(self.ghosts.iter().copied())
            .chain(self.orphans.iter().map(|(at, ..)| *at))
            .chain(self.next_tick())
            .chain(self.dice.next_scheduled())
            .chain(speech)
            .chain([self.cloud_wait])
            .min()
            .unwrap_or(Duration::MAX)
    }

    /// The points of `unit` that were asked for and exist.
    pub(super) fn known(&self, at: usize, asked: &[DpId]) -> Dps {
        let values = self.shown(at);
        asked.iter().filter_map(|dp| Some((*dp, values.value(*dp)?.clone()))).collect()
    }
}
