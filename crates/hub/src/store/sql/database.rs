//! What the store asks of a database, in the SQL that SQLite and PostgreSQL share: parameters are `$1`, whole numbers have
//! 64 bits, and `ON CONFLICT` says what to do.

use std::path::Path;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use super::super::StoreError;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
}

impl Cell {
    pub(super) fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            _ => 0,
        }
    }
    /// A time or a number that is never negative.
    pub(super) fn ms(&self) -> u64 {
        u64::try_from(self.int()).unwrap_or(0)
    }
    pub(super) fn real(&self) -> f64 {
        match self {
            Self::Real(n) => *n,
            #[allow(clippy::cast_precision_loss)] // SQLite may hand back 2.0 as 2
            Self::Int(n) => *n as f64,
            _ => 0.0,
        }
    }
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            _ => String::new(),
        }
    }
}

impl From<i64> for Cell {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Self {
        Self::Int(signed(n))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A time or a number as the database has it. No clock shows what does not fit.
pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A column of many rows to be written at once.
#[derive(Debug)]
pub(super) enum Column {
    Ints(Vec<i64>),
    MaybeInts(Vec<Option<i64>>),
    Reals(Vec<f64>),
    Texts(Vec<Option<String>>),
}

impl Column {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(c) => c.len(),
            Self::MaybeInts(c) => c.len(),
            Self::Reals(c) => c.len(),
            Self::Texts(c) => c.len(),
        }
    }
}

/// A table that rows are written to in bulk. A row whose key is there replaces the old one. Keys are unique within one
/// call: PostgreSQL refuses others.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The first so many columns are the key.
    pub(super) key: usize,
}

impl Table {
    /// `INSERT INTO name (columns)`, and what follows the rows.
    pub(super) fn statement(&self) -> (String, String) {
        let insert = format!("INSERT INTO {} ({})", self.name, self.columns.join(", "));
        let (key, rest) = self.columns.split_at(self.key);
        let set: Vec<_> = rest.iter().map(|c| format!("{c} = excluded.{c}")).collect();
        (insert, format!(" ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", ")))
    }
}

pub(super) const POINTS: Table =
    Table { name: "points", columns: &["series", "at", "kind", "num", "txt"], key: 2 };
pub(super) const ENERGY: Table = Table { name: "energy", columns: &["device", "at", "total"], key: 2 };
pub(super) const EVENTS: Table =
    Table { name: "events", columns: &["seq", "at", "device", "code", "txt"], key: 1 };
pub(super) const SAVED: Table = Table { name: "saved", columns: &["device", "txt"], key: 1 };
pub(super) const ROLLUPS: Table = Table {
    name: "rollups",
    columns: &["level", "series", "at", "min", "mean", "max", "last", "count", "known"],
    key: 3,
};

pub(super) type Rows = Result<Vec<Vec<Cell>>, sqlx::Error>;

/// An open database.
#[async_trait]
pub(super) trait Database: Send + Sync + std::fmt::Debug {
    /// Rows, by one of the connections for reading.
    async fn rows(&self, sql: &'static str, args: &[Cell]) -> Rows;

    /// Begins to write.
    async fn begin(&self) -> Result<Box<dyn Transaction>, sqlx::Error>;

    /// Writes a copy to a file that does not exist yet.
    async fn back_up(&self, to: &Path) -> Result<(), StoreError>;

    async fn bytes(&self) -> Option<u64>;

    async fn close(&self);
}

/// Writes that are all kept or none. Dropped without [`commit`](Self::commit), none are.
#[async_trait]
pub(super) trait Transaction: Send {
    /// Runs a statement; the rows it returns.
    async fn rows(&mut self, sql: &'static str, args: &[Cell]) -> Rows;

    /// Writes rows, given by columns of equal length.
    async fn write(&mut self, table: &Table, columns: Vec<Column>) -> Result<(), sqlx::Error>;

    async fn commit(self: Box<Self>) -> Result<(), sqlx::Error>;
}

/// The error of something that was tried.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(sqlx::Error) -> StoreError {
    let what = what.into();
    move |source| StoreError::Database { what, source: Box::new(source) }
}

/// Steps of the schema, from their texts.
pub(super) fn migrator(steps: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(number, name, sql): &(i64, &'static str, &'static str)| {
        let sql = sqlx::SqlSafeStr::into_sql_str(*sql);
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

/// Why a database can't be brought to our schema.
pub(super) fn not_migrated(error: MigrateError, newest: i64, place: &str) -> StoreError {
    match error {
        MigrateError::VersionMissing(n) if n > newest => StoreError::Settings(format!(
            "the history in {place} has schema {n}, this program knows {newest}: it was written by a newer Landfall; \
             run that one, or put a back-up of the older history in its place"
        )),
        MigrateError::VersionMismatch(n) => StoreError::Settings(format!(
            "the history in {place} has a schema {n} that is not Landfall's: use a database of its own"
        )),
        error => StoreError::Database {
            what: format!("can't bring the history in {place} to schema {newest}"),
            source: Box::new(error),
        },
    }
}
