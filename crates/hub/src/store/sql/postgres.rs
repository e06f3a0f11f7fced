//! PostgreSQL, with TimescaleDB where that is installed in the database.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{PgPool, Postgres, Row as _, TypeInfo as _, ValueRef as _};

use super::super::StoreError;
use super::super::settings::PostgresSettings;
use super::database::{Cell, Column, Database, Rows, Table, Transaction, failed, migrator, not_migrated};
use crate::settings::StoreTls;

/// Schema steps: number, name, text.
const STEPS: &[(i64, &str, &str)] =
    &[(1, "history", include_str!("../../../migrations/postgres/0001_history.sql"))];

/// Points and energy by weeks: old ones go quickly, and queries look only at the weeks they want.
const CHUNK_MS: i64 = 7 * 86_400_000;

/// Longest a statement may take: a plot of years on a small machine, not more.
const STATEMENT_MS: &str = "120000";

#[derive(Debug)]
pub(super) struct Server {
    pool: PgPool,
    place: String,
}

fn options(settings: &PostgresSettings) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.database)
        .username(&settings.user)
        .application_name("landfall")
        .options([("statement_timeout", STATEMENT_MS)])
        .ssl_mode(match settings.tls {
            StoreTls::Off => PgSslMode::Disable,
            StoreTls::Require => PgSslMode::Require,
            // On this machine nobody listens in, and few servers have a certificate for loopback.
            StoreTls::Verify if settings.is_here() && settings.ca_file.is_none() => PgSslMode::Prefer,
            StoreTls::Verify => PgSslMode::VerifyFull,
        });
    if let Some(file) = &settings.ca_file {
        options = options.ssl_root_cert(file);
    }
    if let Some(password) = &settings.password {
        options = options.password(password.expose());
    }
    options
}

impl Server {
    pub(super) async fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let place = format!("{} on {}:{} (PostgreSQL)", settings.database, settings.host, settings.port);
        let pool = PoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options(settings))
            .await
            .map_err(failed(format!("can't open {place} as {}", settings.user)))?;
        let newest = STEPS.last().map_or(0, |s| s.0);
        migrator(STEPS).run(&pool).await.map_err(|e| not_migrated(e, newest, &place))?;
        let server = Self { pool, place };
        server.use_timescale().await;
        Ok(server)
    }

    /// Hypertables where the extension is installed in this database. Without them all works the same.
    async fn use_timescale(&self) {
        let there = self.rows("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'", &[]).await;
        if !there.is_ok_and(|rows| !rows.is_empty()) {
            return;
        }
        for sql in [
            "SELECT create_hypertable('points', 'at', chunk_time_interval => $1, if_not_exists => true, \
             migrate_data => true) IS NULL",
            "SELECT create_hypertable('energy', 'at', chunk_time_interval => $1, if_not_exists => true, \
             migrate_data => true) IS NULL",
        ] {
            match self.rows(sql, &[Cell::Int(CHUNK_MS)]).await {
                Ok(_) => tracing::info!(place = %self.place, "history is kept by TimescaleDB"),
                Err(error) => {
                    tracing::warn!(%error, "TimescaleDB is there and can't be used; plain tables do as well")
                }
            }
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

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

fn cells(row: &PgRow) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|i| {
            let raw = row.try_get_raw(i)?;
            if raw.is_null() {
                return Ok(Cell::Null);
            }
            let kind = raw.type_info();
            Ok(match kind.name() {
                "INT8" => Cell::Int(row.try_get_unchecked(i)?),
                "INT4" => Cell::Int(row.try_get_unchecked::<i32, _>(i)?.into()),
                "INT2" => Cell::Int(row.try_get_unchecked::<i16, _>(i)?.into()),
                "FLOAT8" => Cell::Real(row.try_get_unchecked(i)?),
                "BOOL" => Cell::Int(row.try_get_unchecked::<bool, _>(i)?.into()),
                _ => Cell::Text(row.try_get_unchecked(i)?),
            })
        })
        .collect()
}

#[async_trait]
impl Database for Server {
    async fn rows(&self, sql: &'static str, args: &[Cell]) -> Rows {
        bind(sqlx::query(sql), args).fetch_all(&self.pool).await?.iter().map(cells).collect()
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, sqlx::Error> {
        Ok(Box::new(Write(self.pool.begin().await?)))
    }

    async fn back_up(&self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Settings(format!(
            "the history is in {}: back it up by PostgreSQL's own pg_dump",
            self.place
        )))
    }

    async fn bytes(&self) -> Option<u64> {
        let rows = self.rows("SELECT pg_database_size(current_database())", &[]).await.ok()?;
        Some(rows.first()?.first()?.ms())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

#[derive(Debug)]
struct Write(sqlx::Transaction<'static, Postgres>);

#[async_trait]
impl Transaction for Write {
    async fn rows(&mut self, sql: &'static str, args: &[Cell]) -> Rows {
        bind(sqlx::query(sql), args).fetch_all(&mut *self.0).await?.iter().map(cells).collect()
    }

    async fn write(&mut self, table: &Table, columns: Vec<Column>) -> Result<(), sqlx::Error> {
        if columns.first().is_none_or(|c| c.len() == 0) {
            return Ok(());
        }
        let (insert, conflict) = table.statement();
        let arrays: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| {
                let kind = match column {
                    Column::Ints(_) | Column::MaybeInts(_) => "bigint",
                    Column::Reals(_) => "double precision",
                    Column::Texts(_) => "text",
                };
                format!("${}::{kind}[]", n + 1)
            })
            .collect();
        let sql = format!("{insert} SELECT * FROM UNNEST({}){conflict}", arrays.join(", "));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for column in columns {
            query = match column {
                Column::Ints(c) => query.bind(c),
                Column::MaybeInts(c) => query.bind(c),
                Column::Reals(c) => query.bind(c),
                Column::Texts(c) => query.bind(c),
            };
        }
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}
