//! A store in a database: the same statements for SQLite and PostgreSQL.
//!
//! | module | does |
//! |---|---|
//! | `database` | what is asked of a database |
//! | `sqlite`, `postgres` | the two |
//! | `ids` | small numbers for devices and their points |
//! | `append` | a batch in one transaction |
//! | `history` | samples from changes and roll-ups |
//! | `rolling` | roll-ups, and what is forgotten |
//! | `devices` | renaming and forgetting a device |

mod append;
mod database;
mod devices;
mod history;
mod ids;
mod postgres;
mod rolling;
mod sqlite;
mod values;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use landfall_proto::id::DeviceId;
use tokio::sync::OnceCell;

use self::database::{Cell, Database, failed, signed};
use self::ids::Ids;
use super::settings::PostgresSettings;
use super::{
    Bar, Batch, EventRow, HistoryQuery, Remembered, Retention, SavedRow, Series, Span, Store, StoreError,
    bars,
};
use crate::model::Seq;

/// A store in SQLite or PostgreSQL, opened by the first call that can.
#[derive(Debug)]
pub struct SqlStore {
    place: Place,
    retention: Retention,
    open: OnceCell<Open>,
}

#[derive(Debug)]
enum Place {
    Sqlite { path: PathBuf, most_pages: Option<u32> },
    Postgres(PostgresSettings),
}

/// An open database and what is remembered of it.
#[derive(Debug)]
struct Open {
    database: Box<dyn Database>,
    /// One writes at a time.
    ids: tokio::sync::Mutex<Ids>,
    marks: Mutex<Marks>,
}

/// How far history is rolled up and forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    /// Roll-ups of whole widths before this are complete.
    rolled: u64,
    /// While roll-ups are made: up to where. Changes before it are late.
    rolling: u64,
    /// What is older was forgotten: changes, minutes, quarters of an hour.
    floors: [u64; 3],
    /// Of energy before this, one row for a quarter of an hour is kept.
    thinned: u64,
    /// When it was last forgotten.
    forgot: u64,
    /// When the clock was found to have leapt; 0: it has not.
    leapt: u64,
}

/// A level as the database has it.
fn level(level: usize) -> i64 {
    i64::try_from(level).unwrap_or(i64::MAX)
}

impl Open {
    fn marks(&self) -> Marks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_marks(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl SqlStore {
    /// In a file of SQLite, mode 0600.
    pub fn sqlite(path: &Path, retention: Retention) -> Self {
        Self::at(Place::Sqlite { path: path.to_owned(), most_pages: None }, retention)
    }

    /// In a PostgreSQL.
    pub fn postgres(settings: PostgresSettings, retention: Retention) -> Self {
        Self::at(Place::Postgres(settings), retention)
    }

    /// In a file of SQLite on a disk that is full at so many pages.
    #[cfg(test)]
    pub(super) fn sqlite_on_small_disk(path: &Path, pages: u32) -> Self {
        Self::at(Place::Sqlite { path: path.to_owned(), most_pages: Some(pages) }, Retention::default())
    }

    fn at(place: Place, retention: Retention) -> Self {
        Self { place, retention, open: OnceCell::new() }
    }

    async fn open(&self) -> Result<&Open, StoreError> {
        self.open
            .get_or_try_init(|| async {
                let database: Box<dyn Database> = match &self.place {
                    Place::Sqlite { path, most_pages } => {
                        Box::new(sqlite::SqliteFile::open(path, *most_pages).await?)
                    }
                    Place::Postgres(settings) => Box::new(postgres::Server::open(settings).await?),
                };
                let marks = Marks::read(&*database).await?;
                Ok(Open { database, ids: tokio::sync::Mutex::default(), marks: Mutex::new(marks) })
            })
            .await
    }
}

impl Marks {
    async fn read(database: &dyn Database) -> Result<Self, StoreError> {
        let rows = database.rows("SELECT name, value FROM meta", &[]).await;
        let mut marks = Self::default();
        for mut row in rows.map_err(failed("can't read the history"))? {
            let value = row[1].ms();
            match row.swap_remove(0).into_text().as_str() {
                "rolled" => marks.rolled = value,
                "floor_raw" => marks.floors[0] = value,
                "floor_0" => marks.floors[1] = value,
                "floor_1" => marks.floors[2] = value,
                "thinned" => marks.thinned = value,
                "forgot" => marks.forgot = value,
                _ => {}
            }
        }
        Ok(marks)
    }
}

const SET_META: &str =
    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The device of a row's name: ours are always valid.
fn device(name: Cell) -> Option<Arc<DeviceId>> {
    DeviceId::new(name.into_text()).ok().map(Arc::new)
}

#[async_trait]
impl Store for SqlStore {
    fn kind(&self) -> &'static str {
        match self.place {
            Place::Sqlite { .. } => "sqlite",
            Place::Postgres(_) => "postgresql",
        }
    }

    fn is_remote(&self) -> bool {
        matches!(self.place, Place::Postgres(_))
    }

    async fn remembered(&self) -> Result<Remembered, StoreError> {
        let open = self.open().await?;
        let what = "can't read what the hub remembered";
        let saved = "SELECT d.name, s.txt FROM saved s JOIN devices d ON d.id = s.device ORDER BY d.name";
        let saved = open.database.rows(saved, &[]).await.map_err(failed(what))?;
        let last = open.database.rows("SELECT value FROM meta WHERE name = 'last'", &[]).await;
        let last = last.map_err(failed(what))?.first().map_or(0, |row| row[0].ms());
        let saved = saved.into_iter().filter_map(|mut row| {
            let text = row.pop()?.into_text();
            Some(SavedRow { device: device(row.pop()?)?, text })
        });
        Ok(Remembered { saved: saved.collect(), last: Seq(last) })
    }

    async fn append(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.open().await?.append(batch).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        self.open().await?.history(query).await
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
        let open = self.open().await?;
        let what = "can't read energy";
        let known = "SELECT d.id FROM devices d WHERE d.name = $1 \
                     AND EXISTS (SELECT 1 FROM energy e WHERE e.device = d.id)";
        let known = open.database.rows(known, &[device.as_str().into()]).await.map_err(failed(what))?;
        let Some(id) = known.first().map(|row| row[0].int()) else { return Ok(Vec::new()) };
        let mut totals = Vec::with_capacity(bounds.len());
        for bound in &bounds {
            let sql = "SELECT total FROM energy WHERE device = $1 AND at < $2 ORDER BY at DESC LIMIT 1";
            let rows = open.database.rows(sql, &[id.into(), (*bound).into()]).await.map_err(failed(what))?;
            totals.push(rows.first().map_or(0, |row| row[0].int()));
        }
        Ok(bars::bars(&bounds, &totals))
    }

    async fn events(
        &self,
        device: Option<&DeviceId>,
        before: Option<Seq>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let open = self.open().await?;
        let before = before.map_or(i64::MAX, |seq| signed(seq.0));
        let limit = signed(limit as u64);
        let rows = match device {
            None => {
                let sql = "SELECT e.seq, e.at, d.name, e.code, e.txt FROM events e \
                           LEFT JOIN devices d ON d.id = e.device WHERE e.seq < $1 ORDER BY e.seq DESC LIMIT $2";
                open.database.rows(sql, &[before.into(), limit.into()]).await
            }
            Some(device) => {
                let sql = "SELECT e.seq, e.at, d.name, e.code, e.txt FROM events e \
                           JOIN devices d ON d.id = e.device WHERE e.device = (SELECT id FROM devices WHERE name = $3) \
                           AND e.seq < $1 ORDER BY e.seq DESC LIMIT $2";
                open.database.rows(sql, &[before.into(), limit.into(), device.as_str().into()]).await
            }
        };
        let rows = rows.map_err(failed("can't read what happened"))?;
        Ok(rows.into_iter().filter_map(event).collect())
    }

    async fn tidy(&self, now_ms: u64) -> Result<(), StoreError> {
        self.open().await?.tidy(now_ms, &self.retention).await
    }

    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        self.open().await?.rename(from, to).await
    }

    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.open().await?.forget(device).await
    }

    async fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        self.open().await?.database.back_up(to).await
    }

    async fn bytes(&self) -> Option<u64> {
        self.open.get()?.database.bytes().await
    }

    async fn close(&self) {
        if let Some(open) = self.open.get() {
            open.database.close().await;
        }
    }
}

fn event(row: Vec<Cell>) -> Option<EventRow> {
    let mut row = row.into_iter();
    let (seq, at_ms) = (Seq(row.next()?.ms()), row.next()?.ms());
    let name = row.next()?;
    let device = if name.is_null() { None } else { device(name) };
    Some(EventRow { seq, at_ms, device, code: row.next()?.into_text(), text: row.next()?.into_text() })
}
