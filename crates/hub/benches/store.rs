//! What our store adds to its database, as ratios.
//!
//! 1. Rows a second through the writer (changes to rows, devices' numbers, one transaction for each batch) against the
//!    database's own batched insert: the same rows into a table of the same columns and key, with the same settings of
//!    the database, 256 rows in a prepared statement, as many in a transaction.
//! 2. Plots of a month at one sample a second against a query for a single row of that month, in SQLite and in a PostgreSQL
//!    that is started for it. A page draws a month as a line of 720 points or fewer, or as bars of days; finer ones are
//!    measured beside them.
//!
//! `cargo bench -p landfall-hub --bench store -- [ROWS] [plots]`

// A bench prints its figures.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_cloud::clock::Clock;
use landfall_hub::model::{Change, Line, Origin, Seq, What};
use landfall_hub::settings::StoreTls;
use landfall_hub::store::writer::Limits;
use landfall_hub::store::{
    Batch, HistoryQuery, Password, PointRow, PostgresSettings, Retention, SqlStore, Store, Writer,
};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use sqlx::postgres::PgSslMode;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, PgConnection, SqliteConnection};

// The suite starts its server so, too; a bench uses a part of what it can.
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]
#[path = "../src/store/suite/server.rs"]
mod server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const T: u64 = 1_800_000_000_000;
/// Devices of the home, and points that each reports.
const DEVICES: u64 = 100;
const POINTS: u16 = 5;
/// Reports of one transaction.
const BATCH: usize = 1_000;

fn device(n: u64) -> Result<Arc<DeviceId>> {
    Ok(Arc::new(DeviceId::new(format!("bench{n:015}"))?))
}

async fn open(file: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Reports of all devices in turn, five points each.
fn reports(count: usize) -> Result<Vec<Arc<Change>>> {
    let devices = (0..DEVICES).map(device).collect::<Result<Vec<_>>>()?;
    let report = |(n, device): (u64, &Arc<DeviceId>)| {
        let mut dps = Dps::new();
        for dp in 0..POINTS {
            dps.insert(DpId(dp), DpValue::Value(i64::try_from(n)? * 31 % 2_500 + i64::from(dp)));
        }
        let changed = (0..POINTS).map(DpId).collect();
        let (line, origin) = (Line::Lan, Origin::Pushed);
        let what = What::Points { line, origin, dps: Arc::new(dps), changed, device_ms: None };
        Ok(Arc::new(Change { seq: Seq(n + 1), at_ms: T + n, device: Some(Arc::clone(device)), what }))
    };
    (0..).zip(devices.iter().cycle()).take(count).map(report).collect()
}

/// Rows a second through the writer.
async fn ours(file: &Path, reports: &[Arc<Change>]) -> Result<f64> {
    let store: Arc<dyn Store> = Arc::new(SqlStore::sqlite(file, Retention::default()));
    store.remembered().await?;
    // Batches as large as the other side's: the interval never ends.
    let limits = Limits { interval: Duration::from_secs(3_600), ..Limits::default() };
    let writer = Writer::with_limits(store, Clock::system(), limits);
    let start = Instant::now();
    for some in reports.chunks(BATCH) {
        writer.record(some, &[]);
        if !writer.flush().await {
            return Err(format!("{:?}", writer.status()).into());
        }
    }
    let took = start.elapsed();
    writer.close().await;
    Ok(rows(reports) / took.as_secs_f64())
}

#[allow(clippy::cast_precision_loss)] // a bench
fn rows(reports: &[Arc<Change>]) -> f64 {
    (reports.len() * usize::from(POINTS)) as f64
}

/// Rows a second of the database alone.
async fn theirs(file: &Path, reports: &[Arc<Change>]) -> Result<f64> {
    const PORTION: usize = 256;
    let mut connection = open(file).await?;
    let table = "CREATE TABLE points (series INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL, num INTEGER, \
                 txt TEXT, PRIMARY KEY (series, at)) STRICT, WITHOUT ROWID";
    sqlx::query(table).execute(&mut connection).await?;
    let insert =
        |rows: usize| format!("INSERT INTO points VALUES {}", vec!["(?, ?, ?, ?, ?)"; rows].join(", "));
    let start = Instant::now();
    for some in reports.chunks(BATCH) {
        let mut flat = Vec::with_capacity(some.len() * usize::from(POINTS));
        for change in some {
            if let What::Points { dps, .. } = &change.what {
                let device = i64::try_from(change.at_ms % DEVICES)?;
                for (dp, value) in dps.iter() {
                    let DpValue::Value(value) = value else { continue };
                    flat.push((device * 10 + i64::from(dp.0), i64::try_from(change.at_ms)?, *value));
                }
            }
        }
        // The order of the key is the quickest.
        flat.sort_unstable();
        let mut transaction = connection.begin().await?;
        for portion in flat.chunks(PORTION) {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(insert(portion.len())));
            for (series, at, value) in portion {
                query = query.bind(*series).bind(*at).bind(1).bind(*value).bind(None::<String>);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let took = start.elapsed();
    connection.close().await?;
    Ok(rows(reports) / took.as_secs_f64())
}

/// A month of one point, a sample a second, rolled up.
async fn fill(store: &dyn Store, samples: u64) -> Result<()> {
    let device = device(0)?;
    let mut at = 0;
    while at < samples {
        let end = (at + 50_000).min(samples);
        let row = |n: u64| {
            let value = DpValue::Value(i64::try_from(n * 7_919 % 23_000)?);
            Ok(PointRow { device: Arc::clone(&device), dp: DpId(19), at_ms: T + n * 1_000, value })
        };
        let points = (at..end).map(row).collect::<Result<Vec<_>>>()?;
        store.append(&Batch { points, ..Batch::default() }).await?;
        at = end;
    }
    store.tidy(T + samples * 1_000).await?;
    Ok(())
}

/// The middle one of many.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A query for a single row, as lean as the database's client has it.
enum Single {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Single {
    async fn row(&mut self, at: i64) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let row = sqlx::query("SELECT num FROM points WHERE series = 1 AND at = ?").bind(at);
                row.fetch_one(connection).await?;
            }
            Self::Postgres(connection) => {
                let row = sqlx::query("SELECT num FROM points WHERE series = 1 AND at = $1").bind(at);
                row.fetch_one(connection).await?;
            }
        }
        Ok(())
    }
}

/// Plots of a month: a name, the width of their steps, and whether it is one that a page draws.
const PLOTS: [(&str, u64, bool); 5] = [
    ("a day (bars)", 86_400_000, true),
    ("six hours", 21_600_000, true),
    ("an hour (a line of 720 points)", 3_600_000, true),
    ("43 minutes (a thousandth of it)", 2_580_000, false),
    ("a quarter of an hour", 900_000, false),
];

async fn plots(
    database: &str,
    store: &dyn Store,
    mut single: Single,
    samples: u64,
    rounds: usize,
) -> Result<()> {
    fill(store, samples).await?;
    let mut singles = Vec::new();
    let mut times = vec![Vec::new(); PLOTS.len()];
    let mut steps = [0; PLOTS.len()];
    // In turn, so that what else the machine does meets all of them.
    for n in 0..rounds as u64 {
        for k in 0..5 {
            let at = i64::try_from(T + (n * 5 + k) * 7_919 % samples * 1_000)?;
            let start = Instant::now();
            single.row(at).await?;
            singles.push(start.elapsed());
        }
        for (plot, (_, step, _)) in PLOTS.iter().enumerate() {
            let device = (*device(0)?).clone();
            let (from_ms, to_ms) = (T, T + samples * 1_000);
            let (dps, step_ms) = (vec![DpId(19)], Some(*step));
            let query = HistoryQuery { device, dps, from_ms, to_ms, step_ms, limit: 10_000 };
            let start = Instant::now();
            steps[plot] = store.history(&query).await?.first().ok_or("no history")?.samples.len();
            times[plot].push(start.elapsed());
        }
    }
    // The first round prepares statements.
    singles.drain(..5.min(singles.len() - 1));
    for times in times.iter_mut().filter(|t| t.len() > 1) {
        times.remove(0);
    }
    let single_row = median(&mut singles);
    println!("{database}: a month of {samples} samples, one a second; a single row takes {single_row:?}");
    for (plot, (name, _, drawn)) in PLOTS.iter().enumerate() {
        let took = median(&mut times[plot]);
        let ratio = took.as_secs_f64() / single_row.as_secs_f64();
        let wanted = if *drawn { " (at most 100 wanted)" } else { "" };
        println!("  by {name}: {} steps, {took:?}: {ratio:.0} single rows{wanted}", steps[plot]);
        println!(
            "{{\"bench\": \"store\", \"case\": \"month\", \"database\": {database:?}, \"step\": {name:?}, \"ratio\": {ratio:.1}}}"
        );
    }
    store.close().await;
    match single {
        Single::Sqlite(connection) => connection.close().await?,
        Single::Postgres(connection) => connection.close().await?,
    }
    Ok(())
}

async fn plots_of_both(dir: &Path, samples: u64, rounds: usize) -> Result<()> {
    let file = dir.join("month.db");
    let store = SqlStore::sqlite(&file, Retention::default());
    // The table is there once it was opened.
    store.remembered().await?;
    plots("sqlite", &store, Single::Sqlite(open(&file).await?), samples, rounds).await?;
    let Some(server) = server::Server::start() else { return Ok(()) };
    server.by_hand("postgres", "CREATE DATABASE month").await;
    let settings = PostgresSettings {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        database: "month".to_owned(),
        user: "landfall".to_owned(),
        password: Some(Password::new(server::PASSWORD)),
        tls: StoreTls::Off,
        ca_file: None,
    };
    let store = SqlStore::postgres(settings, Retention::default());
    store.remembered().await?;
    let connection =
        PgConnection::connect_with(&server.options("month").ssl_mode(PgSslMode::Disable)).await?;
    plots("postgresql", &store, Single::Postgres(connection), samples, rounds).await
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // As a test everything runs once and small; what it says of time means nothing.
    let once = args.iter().any(|a| a == "--test");
    let count = args.iter().find_map(|a| a.parse().ok()).unwrap_or(if once { 2_000 } else { 60_000 });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let reports = reports(count)?;
    runtime.block_on(async {
        let mut ratios = Vec::new();
        // `plots`: those alone.
        let rounds = if once { 1 } else { 3 };
        for round in 0..if args.iter().any(|a| a == "plots") { 0 } else { rounds } {
            let theirs = theirs(&dir.path().join(format!("theirs{round}.db")), &reports).await?;
            let ours = ours(&dir.path().join(format!("ours{round}.db")), &reports).await?;
            println!(
                "rows a second: database alone {theirs:.0}, through the writer {ours:.0}: {:.2}",
                ours / theirs
            );
            ratios.push(ours / theirs);
        }
        ratios.sort_by(f64::total_cmp);
        if let Some(median) = ratios.get(ratios.len() / 2) {
            println!(
                "stored through the writer: {:.0} % of the database alone (50 % wanted)",
                median * 100.0
            );
        }
        let (samples, rounds) = if once { (20_000, 3) } else { (30 * 86_400, 101) };
        plots_of_both(dir.path(), samples, rounds).await
    })
}
