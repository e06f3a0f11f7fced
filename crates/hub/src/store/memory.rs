//! A store that forgets with the process: for tests, and for whoever wants no file. The same suite runs on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;

use super::fold::{Fold, number};
use super::{
    Bar, Batch, EventRow, HistoryQuery, Remembered, Retention, Sample, SavedRow, Series, Span, Store,
    StoreError, bars,
};
use crate::model::Seq;

/// Everything in maps. Keeps changes for as long as [`Retention::raw`] says, without roll-ups, and at most so many of a
/// point.
#[derive(Debug, Default)]
pub struct Memory {
    tables: Mutex<Tables>,
    retention: Retention,
}

/// Most changes kept of one point.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
struct Tables {
    points: BTreeMap<(DeviceId, DpId), BTreeMap<u64, DpValue>>,
    energy: BTreeMap<DeviceId, BTreeMap<u64, i64>>,
    events: BTreeMap<Seq, EventRow>,
    saved: BTreeMap<DeviceId, String>,
    last: Seq,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that keeps changes and events for so long.
    pub fn with_retention(retention: Retention) -> Self {
        Self { retention, ..Self::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn series(&self, query: &HistoryQuery, dp: DpId, rows: &BTreeMap<u64, DpValue>) -> Option<Series> {
        // Steps are whole: the first is the one that the time begins in.
        let from = query.from_ms - query.step_ms.map_or(0, |step| query.from_ms % step.max(1));
        let range = || rows.range(from..query.to_ms.max(from));
        let Some(step) = query.step_ms else {
            let mut samples: Vec<_> = range()
                .take(query.limit.saturating_add(1))
                .map(|(at, v)| Sample::Value { at_ms: *at, value: v.clone() })
                .collect();
            let cut = samples.len() > query.limit;
            samples.truncate(query.limit);
            return (!samples.is_empty()).then_some(Series { dp, samples, cut, step_ms: None });
        };
        if !range().any(|(_, v)| number(v).is_some()) {
            return self.series(&HistoryQuery { step_ms: None, ..query.clone() }, dp, rows);
        }
        let carry = rows.range(..from).rev().find_map(|(_, v)| number(v));
        let mut fold = Fold::new(step, carry);
        for (at, value) in range() {
            if let Some(value) = number(value) {
                fold.value(*at, value);
            }
        }
        let mut steps = fold.finish(query.to_ms);
        let cut = steps.len() > query.limit;
        steps.truncate(query.limit);
        Some(Series { dp, samples: steps.into_iter().map(Sample::from).collect(), cut, step_ms: Some(step) })
    }
}

#[async_trait]
impl Store for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn remembered(&self) -> Result<Remembered, StoreError> {
        let tables = self.tables();
        let saved = tables
            .saved
            .iter()
            .map(|(device, text)| SavedRow { device: Arc::new(device.clone()), text: text.clone() });
        Ok(Remembered { saved: saved.collect(), last: tables.last })
    }

    async fn append(&self, batch: &Batch) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let mut replaced = 0;
        for row in &batch.points {
            let rows = tables.points.entry(((*row.device).clone(), row.dp)).or_default();
            let before = rows.insert(row.at_ms, row.value.clone());
            replaced += u64::from(before.is_some_and(|value| value != row.value));
            if rows.len() > MOST {
                rows.pop_first();
            }
        }
        for row in &batch.energy {
            let rows = tables.energy.entry((*row.device).clone()).or_default();
            rows.insert(row.at_ms, row.total.0);
            if rows.len() > MOST {
                rows.pop_first();
            }
        }
        for row in &batch.events {
            tables.events.insert(row.seq, row.clone());
            if tables.events.len() > MOST {
                tables.events.pop_first();
            }
        }
        for row in &batch.saved {
            tables.saved.insert((*row.device).clone(), row.text.clone());
        }
        tables.last = tables.last.max(batch.last);
        Ok(replaced)
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        let tables = self.tables();
        let of_device = tables.points.iter().filter(|((device, dp), _)| {
            *device == query.device && (query.dps.is_empty() || query.dps.contains(dp))
        });
        Ok(of_device.filter_map(|((_, dp), rows)| tables.series(query, *dp, rows)).collect())
    }

    async fn energy(
        &self,
        device: &DeviceId,
        from_ms: u64,
        to_ms: u64,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<Bar>, StoreError> {
        let bounds = bars::bounds(from_ms, to_ms, span, zone)?;
        let tables = self.tables();
        let Some(rows) = tables.energy.get(device) else { return Ok(Vec::new()) };
        let totals: Vec<_> =
            bounds.iter().map(|at| rows.range(..at).next_back().map_or(0, |(_, total)| *total)).collect();
        Ok(bars::bars(&bounds, &totals))
    }

    async fn events(
        &self,
        device: Option<&DeviceId>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let tables = self.tables();
        let range = tables.events.range(..before.unwrap_or(Seq(u64::MAX))).rev();
        let wanted = range.filter(|(_, row)| device.is_none() || row.device.as_deref() == device);
        Ok(wanted.map(|(_, row)| row.clone()).take(limit).collect())
    }

    async fn tidy(&self, now_ms: u64) -> Result<(), StoreError> {
        let mut tables = self.tables();
        if let Some(raw) = Retention::start(self.retention.raw, now_ms) {
            for rows in tables.points.values_mut() {
                *rows = rows.split_off(&raw);
            }
        }
        if let Some(events) = Retention::start(self.retention.events, now_ms) {
            tables.events.retain(|_, row| row.at_ms >= events);
        }
        Ok(())
    }

    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        if from == to {
            return Ok(());
        }
        let mut tables = self.tables();
        let points: Vec<_> = tables.points.keys().filter(|(device, _)| device == from).cloned().collect();
        for key in points {
            if let Some(mut rows) = tables.points.remove(&key) {
                let there = tables.points.entry((to.clone(), key.1)).or_default();
                rows.append(there);
                *there = rows;
            }
        }
        if let Some(mut rows) = tables.energy.remove(from) {
            let there = tables.energy.entry(to.clone()).or_default();
            rows.append(there);
            *there = rows;
        }
        if let Some(text) = tables.saved.remove(from) {
            tables.saved.entry(to.clone()).or_insert(text);
        }
        let to = Arc::new(to.clone());
        for row in tables.events.values_mut().filter(|row| row.device.as_deref() == Some(from)) {
            row.device = Some(Arc::clone(&to));
        }
        Ok(())
    }

    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.points.retain(|(d, _), _| d != device);
        tables.energy.remove(device);
        tables.saved.remove(device);
        tables.events.retain(|_, row| row.device.as_deref() != Some(device));
        Ok(())
    }

    async fn back_up(&self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Settings("what is only in memory can't be backed up".to_owned()))
    }

    async fn bytes(&self) -> Option<u64> {
        None
    }

    async fn close(&self) {}
}
