//! SQLite: the suite, and what only a file can do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use landfall_cloud::clock::Clock;

use super::super::writer::Limits;
use super::super::{Health, Place, Retention, SavedRow, SqlStore, StoreError, Writer, open};
use super::*;
use crate::model::{Change, Line, Origin, What};

fn at(file: &Path) -> Arc<dyn Store> {
    open(&Place::Sqlite(file.to_owned()), Retention::default())
}

macro_rules! on_sqlite {
    ($case:ident) => {
        #[tokio::test]
        async fn $case() {
            let dir = tempfile::tempdir().unwrap();
            let store = at(&dir.path().join("history.db"));
            cases::$case(Arc::clone(&store)).await;
            store.close().await;
        }
    };
}
suite!(on_sqlite);

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs a statement on a file that no store has open.
async fn by_hand(file: &Path, sql: &'static str) -> Vec<String> {
    use sqlx::{Connection as _, Row as _};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.try_get_unchecked(0).unwrap()).collect()
}

#[tokio::test]
async fn files_are_for_our_eyes_only_and_history_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new/history.db");
    let store = at(&file);
    assert_eq!(store.bytes().await, None);
    store.append(&points(noise("bf01", 19, T, 1_000))).await.unwrap();
    store.append(&last(5)).await.unwrap();
    let beside = |suffix| dir.path().join(format!("new/history.db{suffix}"));
    assert_eq!(mode(&dir.path().join("new")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&beside(suffix)), 0o600, "{suffix}");
    }
    assert!(store.bytes().await.unwrap() > 4_096);
    store.tidy(T + 30 * DAY).await.unwrap();
    let before = store.history(&all("bf01")).await.unwrap();
    store.close().await;
    assert!(store.append(&last(6)).await.is_err());
    // A copy by hand, readable by all.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = at(&file);
    assert_eq!(store.history(&all("bf01")).await.unwrap(), before);
    assert_eq!((store.remembered().await.unwrap().last, mode(&file)), (Seq(5), 0o600));
    store.close().await;
}

#[tokio::test]
async fn a_newer_schema_and_what_is_no_database_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.db");
    let store = at(&file);
    store.append(&last(1)).await.unwrap();
    store.close().await;
    by_hand(
        &file,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, x'00', 0)",
    )
    .await;
    let error = at(&file).remembered().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Settings(text)
        if text.contains("has schema 99, this program knows 1: it was written by a newer Landfall")),
        "{error}"
    );
    std::fs::write(&file, "no database at all, but long enough to have a header of some kind").unwrap();
    let error = at(&file).remembered().await.unwrap_err();
    assert!(error.to_string().contains("history.db"), "{error}");
    let error = at(&file.join("below")).remembered().await.unwrap_err();
    assert!(error.to_string().contains("can't make "), "{error}");
}

#[tokio::test]
async fn a_store_that_can_t_be_opened_is_opened_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let (file, obstacle) = (dir.path().join("data/history.db"), dir.path().join("data"));
    std::fs::write(&obstacle, "").unwrap();
    let store = at(&file);
    assert!(store.append(&last(1)).await.is_err());
    std::fs::remove_file(&obstacle).unwrap();
    store.append(&last(2)).await.unwrap();
    assert_eq!(store.remembered().await.unwrap().last, Seq(2));
    store.close().await;
}

#[tokio::test]
async fn a_back_up_is_made_while_running_and_can_take_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.db");
    let store = at(&file);
    store.append(&points(noise("bf01", 19, T, 5_000))).await.unwrap();
    let copy = dir.path().join("copy.db");
    std::fs::write(dir.path().join("copy.db.part"), "left over").unwrap();
    store.back_up(&copy).await.unwrap();
    assert_eq!(mode(&copy), 0o600);
    assert!(!dir.path().join("copy.db.part").exists());
    let error = store.back_up(&copy).await.unwrap_err().to_string();
    assert!(error.ends_with("copy.db exists: name a file that does not"), "{error}");
    let error = store.back_up(&dir.path().join("none/copy.db")).await.unwrap_err().to_string();
    assert!(error.contains("none/copy.db"), "{error}");
    // The original goes on, and knows more than the copy.
    store.append(&points(noise("bf02", 19, T, 10))).await.unwrap();
    let restored = at(&copy);
    assert_eq!(restored.history(&all("bf01")).await.unwrap(), store.history(&all("bf01")).await.unwrap());
    assert_eq!(restored.history(&all("bf02")).await.unwrap(), []);
    restored.append(&last(9)).await.unwrap();
    restored.close().await;
    store.close().await;
}

fn point(n: u64) -> Arc<Change> {
    let dps = Arc::new(serde_json::from_str(&format!(r#"{{"19":{n},"25":"{}"}}"#, "x".repeat(500))).unwrap());
    let changed = vec![DpId(19), DpId(25)];
    let what = What::Points { line: Line::Lan, origin: Origin::Pushed, dps, changed, device_ms: None };
    Arc::new(Change { seq: Seq(n), at_ms: T + n, device: Some(id("bf01")), what })
}

fn saved(n: u64) -> SavedRow {
    SavedRow { device: id("bf01"), text: format!("{{\"n\":{n}}}") }
}

#[tokio::test]
async fn a_full_disk_costs_history_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.db");
    let store = Arc::new(SqlStore::sqlite_on_small_disk(&file, 60));
    let limits = Limits { most_rows: 200, ..Limits::default() };
    let writer = Writer::with_limits(Arc::clone(&store) as Arc<dyn Store>, Clock::system(), limits);
    let mut n = 0;
    while writer.status().ok {
        n += 1;
        assert!(n < 5_000, "never full");
        writer.record(&[point(n)], &[saved(n)]);
        writer.flush().await;
    }
    let why = match writer.health().borrow().clone() {
        Health::Failing { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why.starts_with("the store fails: can't write history: ") && why.contains("full"), "{why}");
    let kept = n - 1;
    // It goes on being told, keeps what is newest, and counts the rest.
    for _ in 0..300 {
        n += 1;
        writer.record(&[point(n)], &[saved(n)]);
    }
    assert!(!writer.flush().await);
    let status = writer.status();
    assert_eq!((status.ok, status.dropped, status.waiting), (false, 402, 201));
    // What was written can be read meanwhile.
    let series = store.history(&all("bf01")).await.unwrap();
    assert_eq!(series[0].samples.len() as u64, kept);
    // Room is made: a device that nobody needs any more.
    store.forget(&id("bf01")).await.unwrap();
    assert!(writer.flush().await);
    assert_eq!(*writer.health().borrow(), Health::Well { dropped: 402 });
    let series = store.history(&all("bf01")).await.unwrap();
    let read: Vec<_> = values(&series[0]).into_iter().map(|(at, _)| at - T).collect();
    assert_eq!(read, (n - 99..=n).collect::<Vec<_>>());
    assert_eq!(store.remembered().await.unwrap().saved, [saved(n)]);
    assert!(writer.close().await);
    assert_eq!(by_hand(&file, "PRAGMA integrity_check").await, ["ok"]);
}

/// Names the directory to the process that is killed.
const CHILD: &str = "LANDFALL_STORE_OF_CHILD";

/// The process that is killed: records a thousand changes a second, and tells each one's number once it is recorded.
fn be_killed(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut talk = UnixStream::connect(dir.join("talk")).unwrap();
    let _entered = runtime.enter();
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    let writer = Writer::start(at(&dir.join("history.db")), Clock::system());
    for n in 1.. {
        writer.record(&[point(n)], &[saved(n)]);
        writeln!(talk, "{n}").unwrap();
        if n % 5 == 0 {
            runtime.block_on(beat.tick());
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_older_than_a_second() {
    // The child is this test over again, which here learns that it is the child.
    if let Some(dir) = std::env::var_os(CHILD) {
        return be_killed(Path::new(&dir));
    }
    const ME: &str = "store::suite::sqlite::a_kill_at_any_moment_loses_nothing_older_than_a_second";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    // Killed at moments that have nothing to do with its batches; each time it goes on with the same file.
    for (round, lives) in [1_900_u64, 2_350, 2_733].into_iter().enumerate() {
        let door = UnixListener::bind(dir.path().join("talk")).unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", ME, "--quiet"])
            .env(CHILD, dir.path())
            .spawn()
            .unwrap();
        let (send, came) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(door.accept().unwrap().0));
        let child = came.recv_timeout(Duration::from_secs(60)).expect("the child did not come");
        child.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let start = Instant::now();
        // What was recorded, and when we knew.
        let mut recorded: Vec<(u64, Instant)> = Vec::new();
        let mut lines = BufReader::new(child).lines();
        while start.elapsed() < Duration::from_millis(lives) {
            let n = lines.next().unwrap().unwrap().parse().unwrap();
            recorded.push((n, Instant::now()));
        }
        let killed = Instant::now();
        process.kill().unwrap();
        process.wait().unwrap();
        std::fs::remove_file(dir.path().join("talk")).unwrap();
        let old = recorded.iter().rev().find(|(_, at)| killed - *at > Duration::from_secs(1));
        let old = old.expect("it recorded for longer than a second").0;
        runtime.block_on(async {
            let file = dir.path().join("history.db");
            assert_eq!(by_hand(&file, "PRAGMA integrity_check").await, ["ok"]);
            let store = at(&file);
            let remembered = store.remembered().await.unwrap();
            assert!(remembered.last.0 >= old.max(before), "round {round}: {old}, {:?}", remembered.last);
            before = remembered.last.0;
            let series = store.history(&all("bf01")).await.unwrap();
            let read: Vec<_> = values(&series[0]).into_iter().map(|(at, _)| at - T).collect();
            assert_eq!(read, (1..=before).collect::<Vec<_>>(), "without holes");
            if round == 0 {
                // Point and account are of one transaction.
                assert_eq!(remembered.saved, [saved(before)]);
            }
            store.close().await;
        });
    }
}
