//! History: what points were, what energy was used, what happened. SQLite by default, PostgreSQL by configuration.

mod bars;
mod fold;
pub mod memory;
mod rows;
mod settings;
mod sql;
#[cfg(test)]
pub(crate) mod suite;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;

use crate::model::{MilliWattHours, Seq};
pub use bars::MOST_BARS;
pub use memory::Memory;
pub use settings::{Password, Place, PostgresSettings, configured, open};
pub use sql::SqlStore;
pub use writer::{Health, Writer};

/// A value of a point at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct PointRow {
    /// The device.
    pub device: Arc<DeviceId>,
    /// The point.
    pub dp: DpId,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The value as the device reported it, unscaled.
    pub value: DpValue,
}

/// The energy account of a device at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyRow {
    /// The device.
    pub device: Arc<DeviceId>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The total since counting began.
    pub total: MilliWattHours,
}

/// Something that happened, in words. Its number is its key.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Number of its change.
    pub seq: Seq,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The device, if it is about one.
    pub device: Option<Arc<DeviceId>>,
    /// Stable dotted word: `presence.offline`, `command.refused`, `energy.handover`...
    pub code: String,
    /// In words.
    pub text: String,
}

/// What the core wants back after a restart, as it wrote it (JSON of [`crate::core::Saved`]).
#[derive(Clone, Debug, PartialEq)]
pub struct SavedRow {
    /// The device.
    pub device: Arc<DeviceId>,
    /// JSON.
    pub text: String,
}

/// What is written in one transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Points that changed.
    pub points: Vec<PointRow>,
    /// Energy accounts that changed; of several for one device all are kept, but of one millisecond only the last.
    pub energy: Vec<EnergyRow>,
    /// What happened.
    pub events: Vec<EventRow>,
    /// What the core wants back: replaces what was saved of these devices.
    pub saved: Vec<SavedRow>,
    /// Number of the last change in it.
    pub last: Seq,
}

/// What is read back at the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// What the core saved.
    pub saved: Vec<SavedRow>,
    /// Number of the last change that was stored. A run that was killed, or whose store failed, may have numbered further
    /// changes: who told them to others goes on with a leap.
    pub last: Seq,
}

/// A question for the history of points.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryQuery {
    /// The device.
    pub device: DeviceId,
    /// The points; all that have history when empty.
    pub dps: Vec<DpId>,
    /// From, milliseconds since 1970, inclusive.
    pub from_ms: u64,
    /// To, exclusive.
    pub to_ms: u64,
    /// Width of the steps in milliseconds, which begin at its multiples since 1970; `None`: every change. Points that are no
    /// numbers have no steps: every change is listed.
    pub step_ms: Option<u64>,
    /// Most samples for each point; the answer says when it was cut.
    pub limit: usize,
}

/// History of one point. A point without samples in the time is not listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The point.
    pub dp: DpId,
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// More samples than the limit existed.
    pub cut: bool,
    /// The width of the steps that were used, which may be wider than asked where only roll-ups are left.
    pub step_ms: Option<u64>,
}

/// A value in a series, unscaled.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A change.
    Value {
        /// When.
        at_ms: u64,
        /// What.
        value: DpValue,
    },
    /// Numbers within a step. Steps without a change are not listed: the value stayed.
    Step {
        /// Its start.
        at_ms: u64,
        /// Lowest.
        min: f64,
        /// Mean over time.
        mean: f64,
        /// Highest.
        max: f64,
        /// The last one.
        last: f64,
        /// How many changes.
        count: u64,
    },
}

/// How energy is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Hours of the home's clock.
    Hour,
    /// Days of the home's time zone: 23 and 25 hours exist.
    Day,
    /// Months of the home's time zone.
    Month,
}

/// Energy used within a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start, milliseconds since 1970.
    pub from_ms: u64,
    /// End.
    pub to_ms: u64,
    /// What was used.
    pub used: MilliWattHours,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreStatus {
    /// `sqlite`, `postgresql`.
    pub kind: &'static str,
    /// Whether the last write was kept.
    pub ok: bool,
    /// What went wrong last, without secrets; `None` once all is well.
    pub error: Option<String>,
    /// Rows dropped because the store was full, failing or too slow, since the start.
    pub dropped: u64,
    /// Values replaced by another one of the same point at the same millisecond, since the start. The hub gives no time
    /// twice unless its clock is set back.
    pub replaced: u64,
    /// Rows waiting.
    pub waiting: u64,
    /// Bytes on disk, where known.
    pub bytes: Option<u64>,
}

/// Something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said so.
    #[error("{what}")]
    Database {
        /// What was tried.
        what: String,
        /// Its words, without secrets.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings are wrong.
    #[error("{0}")]
    Settings(String),
    /// What was asked for can't be answered.
    #[error("{0}")]
    Asked(String),
}

/// How long history is kept. `None`: for ever. What is rolled up by hours and days, and energy, is kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Every change; default 30 days.
    pub raw: Option<Duration>,
    /// Roll-ups of a minute; default 90 days.
    pub minutes: Option<Duration>,
    /// Roll-ups of a quarter of an hour; default two years.
    pub quarters: Option<Duration>,
    /// What happened; default two years.
    pub events: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |n: u64| Some(Duration::from_secs(n * 86_400));
        Self { raw: days(30), minutes: days(90), quarters: days(730), events: days(730) }
    }
}

impl Retention {
    /// The oldest time that is kept; `None` when everything is.
    fn start(kept: Option<Duration>, now_ms: u64) -> Option<u64> {
        let kept = u64::try_from(kept?.as_millis()).ok()?;
        now_ms.checked_sub(kept)
    }
}

/// A database. One suite of tests runs on each kind.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// `sqlite`, `postgresql`.
    fn kind(&self) -> &'static str;

    /// Whether it is another program, that may be away for a while and come back by itself.
    fn is_remote(&self) -> bool {
        false
    }

    /// What the core wants back.
    ///
    /// # Errors
    /// The database can't be read.
    async fn remembered(&self) -> Result<Remembered, StoreError>;

    /// Writes all of it in one transaction: on return it survives a crash. How many values of points were lost by it: a
    /// point has one value at a time, the one that is written last.
    ///
    /// # Errors
    /// Nothing of it was written.
    async fn append(&self, batch: &Batch) -> Result<u64, StoreError>;

    /// History of points. Uses roll-ups where they serve.
    ///
    /// # Errors
    /// The database can't be read.
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError>;

    /// Energy of a device, by hours, days or months of this time zone: whole ones, all that touch the time. The total at
    /// each bound is the last one stored at or before it. Empty when nothing is known of the device's energy.
    ///
    /// # Errors
    /// The database can't be read; more than [`MOST_BARS`].
    async fn energy(
        &self,
        device: &DeviceId,
        from_ms: u64,
        to_ms: u64,
        span: Span,
        zone: &jiff::tz::TimeZone,
    ) -> Result<Vec<Bar>, StoreError>;

    /// What happened, newest first: at most `limit` before `before`, of one device or all.
    ///
    /// # Errors
    /// The database can't be read.
    async fn events(
        &self,
        device: Option<&DeviceId>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// Rolls up what is complete, and forgets what is older than the settings keep. Called every few minutes.
    ///
    /// # Errors
    /// The database can't be read or written.
    async fn tidy(&self, now_ms: u64) -> Result<(), StoreError>;

    /// Moves all history of a device to another id (a device that was activated anew).
    ///
    /// # Errors
    /// The database can't be written.
    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError>;

    /// Forgets a device.
    ///
    /// # Errors
    /// The database can't be written.
    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError>;

    /// Writes a copy that can be put in place of the original, while running. The file is 0600.
    ///
    /// # Errors
    /// The copy can't be written, or this kind is backed up by its own tools.
    async fn back_up(&self, to: &std::path::Path) -> Result<(), StoreError>;

    /// Bytes on disk, where known.
    async fn bytes(&self) -> Option<u64>;

    /// Closes it.
    async fn close(&self);
}
