//! A store in memory, as simple as the trait allows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;

use crate::model::{MilliWattHours, Seq};
use crate::store::{
    Bar, Batch, EventRow, HistoryQuery, Remembered, Sample, SavedRow, Series, Span, Store, StoreError,
};

/// Keeps everything as it came.
#[derive(Debug, Default)]
pub struct MemoryStore {
    all: Mutex<Batch>,
}

impl MemoryStore {
    /// Adds rows at once.
    pub fn put(&self, batch: Batch) {
        let mut all = self.lock();
        all.points.extend(batch.points);
        all.energy.extend(batch.energy);
        all.events.extend(batch.events);
        for saved in batch.saved {
            all.saved.retain(|s: &SavedRow| s.device != saved.device);
            all.saved.push(saved);
        }
        all.last = all.last.max(batch.last);
        all.points.sort_by_key(|p| p.at_ms);
        all.energy.sort_by_key(|e| e.at_ms);
        all.events.sort_by_key(|e| e.seq);
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number behind a value, where it has one.
#[allow(clippy::cast_precision_loss)]
fn number(value: &DpValue) -> Option<f64> {
    match value {
        DpValue::Bool(b) => Some(f64::from(u8::from(*b))),
        DpValue::Value(n) => Some(*n as f64),
        DpValue::Bitmap(n) => Some(f64::from(*n)),
        _ => None,
    }
}

/// The steps of a series; the mean is that of the changes, which is enough here.
#[allow(clippy::cast_precision_loss)]
fn steps(samples: &[(u64, DpValue)], step_ms: u64) -> Vec<Sample> {
    let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (at_ms, value) in samples {
        if let Some(number) = number(value) {
            steps.entry(at_ms - at_ms % step_ms).or_default().push(number);
        }
    }
    let step = |(at_ms, n): (u64, Vec<f64>)| Sample::Step {
        at_ms,
        min: n.iter().copied().fold(f64::INFINITY, f64::min),
        mean: n.iter().sum::<f64>() / n.len() as f64,
        max: n.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        last: n[n.len() - 1],
        count: n.len() as u64,
    };
    steps.into_iter().map(step).collect()
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn remembered(&self) -> Result<Remembered, StoreError> {
        let all = self.lock();
        Ok(Remembered { saved: all.saved.clone(), last: all.last })
    }

    async fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        self.put(batch.clone());
        Ok(())
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        let mut found: BTreeMap<DpId, Vec<(u64, DpValue)>> = BTreeMap::new();
        for row in &self.lock().points {
            let asked = query.dps.is_empty() || query.dps.contains(&row.dp);
            if *row.device == query.device && asked && (query.from_ms..query.to_ms).contains(&row.at_ms) {
                found.entry(row.dp).or_default().push((row.at_ms, row.value.clone()));
            }
        }
        let series = |(dp, samples): (DpId, Vec<(u64, DpValue)>)| {
            let mut samples = match query.step_ms {
                Some(step) => steps(&samples, step),
                None => samples.into_iter().map(|(at_ms, value)| Sample::Value { at_ms, value }).collect(),
            };
            let cut = samples.len() > query.limit;
            samples.truncate(query.limit);
            Series { dp, samples, cut, step_ms: query.step_ms }
        };
        Ok(found.into_iter().map(series).collect())
    }

    async fn energy(
        &self,
        device: &DeviceId,
        from_ms: u64,
        to_ms: u64,
        span: Span,
        zone: &TimeZone,
    ) -> Result<Vec<Bar>, StoreError> {
        let totals: Vec<_> = self
            .lock()
            .energy
            .iter()
            .filter(|e| *e.device == *device)
            .map(|e| (e.at_ms, e.total.0))
            .collect();
        let total_at = |ms: u64| totals.iter().rev().find(|(at, _)| *at <= ms).map_or(0, |(_, total)| *total);
        let zoned = |ms: u64| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(zone.clone())
        };
        let unit = match span {
            Span::Hour => 1.hour(),
            Span::Day => 1.day(),
            Span::Month => 1.month(),
        };
        let mut bars = Vec::new();
        let mut at = zoned(from_ms);
        loop {
            let next = at.checked_add(unit).unwrap_or_else(|_| zoned(to_ms));
            let (from, to) = (at.timestamp().as_millisecond(), next.timestamp().as_millisecond());
            let (from_ms, end_ms) = (u64::try_from(from).unwrap_or(0), u64::try_from(to).unwrap_or(0));
            if from_ms >= to_ms || end_ms <= from_ms {
                return Ok(bars);
            }
            let used = MilliWattHours(total_at(end_ms) - total_at(from_ms));
            bars.push(Bar { from_ms, to_ms: end_ms, used });
            at = next;
        }
    }

    async fn events(
        &self,
        device: Option<&DeviceId>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let all = self.lock();
        let asked = |e: &&EventRow| {
            device.is_none_or(|d| e.device.as_deref() == Some(d)) && before.is_none_or(|b| e.seq < b)
        };
        Ok(all.events.iter().rev().filter(asked).take(limit).cloned().collect())
    }

    async fn tidy(&self, _now_ms: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        let to = std::sync::Arc::new(to.clone());
        let mut all = self.lock();
        all.points.iter_mut().filter(|r| *r.device == *from).for_each(|r| r.device = to.clone());
        all.energy.iter_mut().filter(|r| *r.device == *from).for_each(|r| r.device = to.clone());
        Ok(())
    }

    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        let mut all = self.lock();
        all.points.retain(|r| *r.device != *device);
        all.energy.retain(|r| *r.device != *device);
        all.events.retain(|r| r.device.as_deref() != Some(device));
        all.saved.retain(|r| *r.device != *device);
        Ok(())
    }

    async fn back_up(&self, to: &std::path::Path) -> Result<(), StoreError> {
        let what = || format!("can't write {}", to.display());
        let rows = self.lock().points.len();
        std::fs::write(to, format!("{rows} points"))
            .map_err(|e| StoreError::Database { what: what(), source: Box::new(e) })
    }

    async fn bytes(&self) -> Option<u64> {
        None
    }

    async fn close(&self) {}
}
