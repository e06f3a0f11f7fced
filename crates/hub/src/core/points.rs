//! Points as last reported: what differs, what is an event, what is stale.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};

use super::Moment;
use crate::model::{Line, Origin, PointView};
use crate::profile::Definition;

/// More points than any device has. What comes beyond is not kept.
pub(super) const MOST_POINTS: usize = 512;
/// A press that comes over both lines comes within this time over the second.
const TWIN: Duration = Duration::from_secs(5);
/// Presses remembered for that.
const PRESSES: usize = 32;

/// The points of one device.
#[derive(Debug, Default)]
pub(super) struct Points {
    views: BTreeMap<DpId, PointView>,
    /// When each reading was last reported in this run.
    heard: BTreeMap<DpId, Duration>,
    /// Points that are measured, and go stale.
    readings: Vec<DpId>,
    stale_after: Option<Duration>,
    /// Event points that were pushed a moment ago, by which line.
    presses: VecDeque<(Duration, Line, DpId, DpValue)>,
}

/// What a report brought.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// Points with another value than before.
    pub(super) changed: Vec<DpId>,
    /// Event points that were pushed again.
    pub(super) events: Dps,
    /// Readings are fresh again.
    pub(super) fresh: bool,
    /// Points that are too many to be kept.
    pub(super) dropped: usize,
}

impl Points {
    pub(super) fn views(&self) -> &BTreeMap<DpId, PointView> {
        &self.views
    }

    /// Takes over what the points mean.
    pub(super) fn define(&mut self, definition: &Definition) {
        let mut readings: Vec<DpId> = definition.refresh.iter().flat_map(|r| r.points.clone()).collect();
        if let Some(metering) = &definition.metering {
            let measured = [metering.power, metering.voltage, metering.current];
            readings.extend(measured.into_iter().flatten().map(|(id, _)| id));
        }
        if readings.is_empty() {
            let reported = |p: &crate::profile::Point| p.spec.access == landfall_proto::schema::Access::Ro;
            readings = definition
                .points
                .iter()
                .filter(|(_, p)| reported(p) && !p.event)
                .map(|(id, _)| *id)
                .collect();
        }
        readings.sort_unstable();
        readings.dedup();
        self.readings = readings;
        self.heard.retain(|id, _| self.readings.binary_search(id).is_ok());
        self.stale_after = definition.stale_after;
        let mut dps: Dps = self.views.iter().map(|(id, p)| (*id, p.value.clone())).collect();
        definition.schema.refine(&mut dps);
        for (id, value) in dps {
            if let Some(view) = self.views.get_mut(&id) {
                view.value = value;
            }
        }
    }

    /// Takes a report. The values are refined already, and the wall clock is the report's time.
    pub(super) fn merge(
        &mut self,
        dps: &Dps,
        line: Line,
        origin: Origin,
        definition: &Definition,
        now: Moment,
    ) -> Merge {
        let mut merge = Merge::default();
        for (id, value) in dps.iter() {
            let event = origin == Origin::Pushed && definition.points.get(&id).is_some_and(|p| p.event);
            let twin = event && self.is_twin(now.mono, line, id, value);
            let full = self.views.len() >= MOST_POINTS;
            match self.views.get_mut(&id) {
                Some(point) => {
                    merge.fresh |= std::mem::take(&mut point.stale);
                    point.at_ms = now.unix_ms;
                    point.line = line;
                    if point.value != *value {
                        point.value = value.clone();
                        point.changed_ms = now.unix_ms;
                        merge.changed.push(id);
                    } else if event && !twin {
                        merge.events.insert(id, value.clone());
                    }
                }
                None if full => {
                    merge.dropped += 1;
                    continue;
                }
                None => {
                    let (at_ms, changed_ms) = (now.unix_ms, now.unix_ms);
                    let view = PointView { value: value.clone(), at_ms, changed_ms, line, stale: false };
                    self.views.insert(id, view);
                    merge.changed.push(id);
                }
            }
            if self.readings.binary_search(&id).is_ok() {
                self.heard.insert(id, now.mono);
            }
        }
        merge
    }

    /// Whether the other line brought this press a moment ago; if not, it is remembered.
    fn is_twin(&mut self, now: Duration, line: Line, id: DpId, value: &DpValue) -> bool {
        while self.presses.front().is_some_and(|(at, ..)| *at + TWIN < now) {
            self.presses.pop_front();
        }
        let twin = self.presses.iter().position(|(_, by, dp, v)| *by != line && *dp == id && v == value);
        if let Some(n) = twin {
            self.presses.remove(n);
            return true;
        }
        if self.presses.len() >= PRESSES {
            self.presses.pop_front();
        }
        self.presses.push_back((now, line, id, value.clone()));
        false
    }

    /// When a reading goes stale that was last reported then, of a device that is online since `online`.
    fn end(after: Duration, heard: Duration, online: Duration) -> Duration {
        heard.max(online).saturating_add(after)
    }

    /// Marks readings that were not reported for too long. True when there are new ones.
    pub(super) fn sweep(&mut self, now: Duration, online: Duration) -> bool {
        let Some(after) = self.stale_after else { return false };
        let mut found = false;
        for (id, heard) in &self.heard {
            if let Some(point) = self.views.get_mut(id)
                && !point.stale
                && Self::end(after, *heard, online) <= now
            {
                point.stale = true;
                found = true;
            }
        }
        found
    }

    /// When the next reading goes stale.
    pub(super) fn due(&self, online: Duration) -> Option<Duration> {
        let after = self.stale_after?;
        let fresh = |id: &DpId| self.views.get(id).is_some_and(|p| !p.stale);
        self.heard.iter().filter(|(id, _)| fresh(id)).map(|(_, at)| Self::end(after, *at, online)).min()
    }

    /// The points that are stale.
    pub(super) fn stale(&self) -> Vec<DpId> {
        self.views.iter().filter(|(_, p)| p.stale).map(|(id, _)| *id).collect()
    }

    /// Takes over points of an earlier run, or of a former id. What was heard since is newer.
    pub(super) fn restore(&mut self, points: impl IntoIterator<Item = (DpId, PointView)>) {
        for (id, view) in points {
            if self.views.len() < MOST_POINTS {
                self.views.entry(id).or_insert(view);
            }
        }
    }
}
