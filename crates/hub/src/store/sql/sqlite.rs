//! SQLite: one file, embedded.
//!
//! `journal_mode=WAL` lets readers read while a batch is written. `synchronous=FULL` makes each commit wait for the disk,
//! so that a power cut costs no more than a kill: what waited for its batch. At most five batches a second are written.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool, TypeInfo as _, ValueRef as _};

use super::super::StoreError;
use super::database::{Cell, Column, Database, Rows, Table, Transaction, failed, migrator, not_migrated};

/// Schema steps: number, name, text.
const STEPS: &[(i64, &str, &str)] =
    &[(1, "history", include_str!("../../../migrations/sqlite/0001_history.sql"))];

/// Rows of one statement, largest first: each is prepared once.
const PORTIONS: [usize; 4] = [256, 32, 4, 1];

#[derive(Debug)]
pub(super) struct SqliteFile {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

fn io_failed(what: String) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Database { what, source: Box::new(source) }
}

/// Makes the file and its directory for our eyes only. SQLite gives the files beside it the same mode.
fn make(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

impl SqliteFile {
    /// Opens the file, or makes it. `most_pages` bounds its size, for tests of a full disk.
    pub(super) async fn open(path: &Path, most_pages: Option<u32>) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        make(path).map_err(io_failed(format!("can't make {shown}")))?;
        let mut options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        if let Some(pages) = most_pages {
            options = options.pragma("max_page_count", pages.to_string());
        }
        let writer = PoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await
            .map_err(failed(format!("can't open the history {shown}")))?;
        let newest = STEPS.last().map_or(0, |s| s.0);
        migrator(STEPS).run(&writer).await.map_err(|e| not_migrated(e, newest, &shown))?;
        let readers = PoolOptions::new()
            .max_connections(3)
            .acquire_timeout(Duration::from_secs(20))
            .connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self { path: path.to_owned(), writer, readers })
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind<'q>(mut query: Query<'q>, args: &[Cell]) -> Query<'q> {
    for arg in args {
        query = match arg {
            Cell::Null => query.bind(None::<i64>),
            Cell::Int(n) => query.bind(*n),
            Cell::Real(n) => query.bind(*n),
            Cell::Text(text) => query.bind(text.clone()),
        };
    }
    query
}

fn cells(row: &SqliteRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|i| {
            let raw = row.try_get_raw(i)?;
            if raw.is_null() {
                return Ok(Cell::Null);
            }
            let kind = raw.type_info();
            Ok(match kind.name() {
                "INTEGER" => Cell::Int(row.try_get_unchecked(i)?),
                "REAL" => Cell::Real(row.try_get_unchecked(i)?),
                _ => Cell::Text(row.try_get_unchecked(i)?),
            })
        })
        .collect()
}

#[async_trait]
impl Database for SqliteFile {
    async fn rows(&self, sql: &'static str, args: &[Cell]) -> Rows {
        bind(sqlx::query(sql), args).fetch_all(&self.readers).await?.iter().map(cells).collect()
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, sqlx::Error> {
        // IMMEDIATE: a transaction that reads first and then finds the file taken could not wait for it.
        let mut write = Write { connection: Some(self.writer.acquire().await?) };
        write.run("BEGIN IMMEDIATE").await?;
        Ok(Box::new(write))
    }

    async fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        let shown = to.display();
        let what = format!("can't back up to {shown}");
        if to.try_exists().map_err(io_failed(what.clone()))? {
            return Err(StoreError::Asked(format!("{shown} exists: name a file that does not")));
        }
        let Some(name) = to.file_name() else {
            return Err(StoreError::Asked(format!("{shown} is no file name")));
        };
        // Under another name until it is whole. VACUUM takes an empty file, which has the right mode from the start.
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = to.with_file_name(part_name);
        let written = self.write_copy(&part).await;
        let placed = written.and_then(|()| std::fs::rename(&part, to).map_err(io_failed(what)));
        if placed.is_err() {
            // The first error is what counts.
            drop(std::fs::remove_file(&part));
        }
        placed
    }

    async fn bytes(&self) -> Option<u64> {
        let size = |suffix: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            std::fs::metadata(name).map(|m| m.len())
        };
        Some(size("").ok()? + size("-wal").unwrap_or(0))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl SqliteFile {
    async fn write_copy(&self, part: &Path) -> Result<(), StoreError> {
        let what = format!("can't back up to {}", part.display());
        match std::fs::remove_file(part) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_failed(what)(e)),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(part)
            .map_err(io_failed(what.clone()))?;
        let Some(name) = part.to_str() else {
            return Err(StoreError::Asked(format!("{} is no text: name another file", part.display())));
        };
        // A reader: batches are written meanwhile.
        let mut reader = self.readers.acquire().await.map_err(failed(what.clone()))?;
        for sql in ["PRAGMA query_only = OFF", "VACUUM INTO $1", "PRAGMA query_only = ON"] {
            let mut query = sqlx::query(sql);
            if sql.starts_with("VACUUM") {
                query = query.bind(name.to_owned());
            }
            if let Err(error) = query.execute(&mut *reader).await {
                // This connection may write now.
                drop(reader.detach());
                return Err(failed(what)(error));
            }
        }
        file.sync_all().map_err(io_failed(what))
    }
}

/// A transaction. On a full disk SQLite takes it back by itself, and sqlx's own would not know whether it is still there.
/// So one that is not committed ends with its connection, which is left in an unknown state by nothing else.
#[derive(Debug)]
struct Write {
    connection: Option<PoolConnection<Sqlite>>,
}

impl Write {
    fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(self.connection()?).await?;
        Ok(())
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

#[async_trait]
impl Transaction for Write {
    async fn rows(&mut self, sql: &'static str, args: &[Cell]) -> Rows {
        bind(sqlx::query(sql), args).fetch_all(self.connection()?).await?.iter().map(cells).collect()
    }

    async fn write(&mut self, table: &Table, columns: Vec<Column>) -> Result<(), sqlx::Error> {
        let count = columns.first().map_or(0, Column::len);
        let (insert, conflict) = table.statement();
        let row = format!("({})", vec!["?"; columns.len()].join(", "));
        let mut done = 0;
        for portion in PORTIONS {
            if count - done < portion {
                continue;
            }
            let sql = format!("{insert} VALUES {}{conflict}", vec![row.as_str(); portion].join(", "));
            while count - done >= portion {
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
                for n in done..done + portion {
                    for column in &columns {
                        query = match column {
                            Column::Ints(c) => query.bind(c[n]),
                            Column::MaybeInts(c) => query.bind(c[n]),
                            Column::Reals(c) => query.bind(c[n]),
                            Column::Texts(c) => query.bind(c[n].clone()),
                        };
                    }
                }
                query.execute(self.connection()?).await?;
                done += portion;
            }
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), sqlx::Error> {
        self.run("COMMIT").await?;
        // It goes back to the pool.
        drop(self.connection.take());
        Ok(())
    }
}
