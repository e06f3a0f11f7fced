//! Small numbers for devices and their points.

use std::collections::HashMap;

use landfall_proto::dp::DpId;
use landfall_proto::id::DeviceId;

use super::super::fold::WIDTHS;
use super::database::{Transaction, signed};

/// What the writer knows: numbers that the database gave, the newest change of each series, and which series got changes
/// since they were rolled up.
#[derive(Debug, Default)]
pub(super) struct Ids {
    devices: HashMap<DeviceId, Device>,
    /// Of each series whose number is known.
    newest: HashMap<i64, i64>,
    pub(super) active: Active,
}

#[derive(Debug)]
struct Device {
    id: i64,
    series: HashMap<DpId, i64>,
}

/// Series to be rolled up, for each width.
#[derive(Debug, Default)]
pub(super) struct Active([Level; WIDTHS.len()]);

#[derive(Debug, Default)]
struct Level {
    /// Which series got changes before this time nobody knows: they are of an earlier run, or could not be rolled up.
    unknown_before: Option<u64>,
    /// The newest change of each series that is not rolled up yet.
    newest: HashMap<i64, u64>,
}

impl Active {
    pub(super) fn add(&mut self, series: i64, at_ms: u64) {
        for level in &mut self.0 {
            let newest = level.newest.entry(series).or_default();
            *newest = at_ms.max(*newest);
        }
    }

    /// Those that have changes in a time that is complete; `None`: nobody knows, so all. Those that have changes after it
    /// stay for the next time.
    pub(super) fn take(&mut self, level: usize, from: u64, to: u64, now_ms: u64) -> Option<Vec<i64>> {
        let level = &mut self.0[level];
        let unknown_before = *level.unknown_before.get_or_insert(now_ms);
        let active = level.newest.keys().copied().collect();
        level.newest.retain(|_, newest| *newest >= to);
        (from >= unknown_before).then_some(active)
    }

    /// They could not be rolled up.
    pub(super) fn lost(&mut self, level: usize) {
        self.0[level].unknown_before = None;
    }
}

impl Ids {
    /// Numbers change: all are asked for anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn device(&self, device: &DeviceId) -> Option<i64> {
        self.devices.get(device).map(|d| d.id)
    }

    pub(super) fn series(&self, device: &DeviceId, dp: DpId) -> Option<i64> {
        self.devices.get(device)?.series.get(&dp).copied()
    }

    /// A change of a series was kept.
    pub(super) fn wrote(&mut self, series: i64, at_ms: u64) {
        let newest = self.newest.entry(series).or_insert(i64::MIN);
        *newest = (*newest).max(signed(at_ms));
        self.active.add(series, at_ms);
    }
}

/// Numbers that were given within a transaction, which the writer may know once that is kept.
#[derive(Debug)]
pub(super) struct Fresh<'a> {
    ids: &'a Ids,
    devices: HashMap<DeviceId, i64>,
    series: HashMap<(DeviceId, DpId), i64>,
    newest: HashMap<i64, i64>,
}

impl<'a> Fresh<'a> {
    pub(super) fn new(ids: &'a Ids) -> Self {
        Self { ids, devices: HashMap::new(), series: HashMap::new(), newest: HashMap::new() }
    }

    /// Whether a series may have a change at this time already: nothing is newer than its newest.
    pub(super) fn may_have(&self, series: i64, at: i64) -> bool {
        let newest = self.newest.get(&series).or_else(|| self.ids.newest.get(&series));
        newest.is_none_or(|newest| at <= *newest)
    }

    pub(super) async fn device(
        &mut self,
        transaction: &mut dyn Transaction,
        device: &DeviceId,
    ) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.ids.device(device).or_else(|| self.devices.get(device).copied()) {
            return Ok(id);
        }
        let sql = "INSERT INTO devices (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name \
                   RETURNING id";
        let rows = transaction.rows(sql, &[device.as_str().into()]).await?;
        let id = rows.first().ok_or(sqlx::Error::RowNotFound)?[0].int();
        self.devices.insert(device.clone(), id);
        Ok(id)
    }

    pub(super) async fn series(
        &mut self,
        transaction: &mut dyn Transaction,
        device: &DeviceId,
        dp: DpId,
    ) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.ids.series(device, dp) {
            return Ok(id);
        }
        let key = (device.clone(), dp);
        if let Some(id) = self.series.get(&key) {
            return Ok(*id);
        }
        let device = self.device(transaction, device).await?;
        let sql = "INSERT INTO series (device, dp) VALUES ($1, $2) \
                   ON CONFLICT (device, dp) DO UPDATE SET dp = excluded.dp RETURNING id";
        let rows = transaction.rows(sql, &[device.into(), i64::from(dp.0).into()]).await?;
        let id = rows.first().ok_or(sqlx::Error::RowNotFound)?[0].int();
        let rows = transaction.rows("SELECT MAX(at) FROM points WHERE series = $1", &[id.into()]).await?;
        let newest = rows.first().filter(|row| !row[0].is_null()).map_or(i64::MIN, |row| row[0].int());
        self.newest.insert(id, newest);
        self.series.insert(key, id);
        Ok(id)
    }

    /// What was given, to be [known](Ids::know) once it is kept.
    pub(super) fn given(self) -> Given {
        Given { devices: self.devices, series: self.series, newest: self.newest }
    }
}

/// What a transaction that is kept gave.
#[derive(Debug)]
pub(super) struct Given {
    devices: HashMap<DeviceId, i64>,
    series: HashMap<(DeviceId, DpId), i64>,
    newest: HashMap<i64, i64>,
}

impl Ids {
    pub(super) fn know(&mut self, given: Given) {
        for (device, id) in given.devices {
            self.devices.insert(device, Device { id, series: HashMap::new() });
        }
        for ((device, dp), id) in given.series {
            if let Some(device) = self.devices.get_mut(&device) {
                device.series.insert(dp, id);
            }
        }
        self.newest.extend(given.newest);
    }
}
