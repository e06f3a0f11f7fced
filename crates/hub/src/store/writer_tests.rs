use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use landfall_proto::dp::DpId;

use super::*;
use crate::model::{EnergyView, Line, MilliWattHours, Origin, What};
use crate::store::{Bar, HistoryQuery, Memory, Remembered, Sample, Series, Span};

const T: u64 = 1_800_000_000;

/// A store in memory that fails or hangs when told so, and counts what it is asked.
#[derive(Debug, Default)]
struct Moody {
    memory: Memory,
    fails: watch::Sender<bool>,
    hangs: watch::Sender<bool>,
    appends: AtomicUsize,
    tidies: watch::Sender<usize>,
    closed: AtomicUsize,
}

#[async_trait]
impl Store for Moody {
    fn kind(&self) -> &'static str {
        "moody"
    }
    async fn remembered(&self) -> Result<Remembered, StoreError> {
        self.memory.remembered().await
    }
    async fn append(&self, batch: &Batch) -> Result<u64, StoreError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        if *self.hangs.borrow() {
            std::future::pending::<()>().await;
        }
        if *self.fails.borrow() {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            return Err(StoreError::Database { what: "can't write".to_owned(), source });
        }
        self.memory.append(batch).await
    }
    async fn history(&self, query: &HistoryQuery) -> Result<Vec<Series>, StoreError> {
        self.memory.history(query).await
    }
    async fn energy(
        &self,
        d: &DeviceId,
        f: u64,
        t: u64,
        s: Span,
        z: &TimeZone,
    ) -> Result<Vec<Bar>, StoreError> {
        self.memory.energy(d, f, t, s, z).await
    }
    async fn events(
        &self,
        d: Option<&DeviceId>,
        b: Option<Seq>,
        n: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.memory.events(d, b, n).await
    }
    async fn tidy(&self, _now_ms: u64) -> Result<(), StoreError> {
        self.tidies.send_modify(|n| *n += 1);
        Ok(())
    }
    async fn rename(&self, from: &DeviceId, to: &DeviceId) -> Result<(), StoreError> {
        self.memory.rename(from, to).await
    }
    async fn forget(&self, device: &DeviceId) -> Result<(), StoreError> {
        self.memory.forget(device).await
    }
    async fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        self.memory.back_up(to).await
    }
    async fn bytes(&self) -> Option<u64> {
        Some(4_096)
    }
    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

fn device() -> Arc<DeviceId> {
    Arc::new(DeviceId::new("bf01").unwrap())
}

fn of(n: u64, what: What) -> Arc<Change> {
    Arc::new(Change { seq: Seq(n), at_ms: n, device: Some(device()), what })
}

/// One point that became `n`.
fn point(n: u64) -> Arc<Change> {
    let dps = Arc::new(serde_json::from_str(&format!(r#"{{"19":{n}}}"#)).unwrap());
    let changed = vec![DpId(19)];
    of(n, What::Points { line: Line::Lan, origin: Origin::Pushed, dps, changed, device_ms: None })
}

fn saved(text: &str) -> SavedRow {
    SavedRow { device: device(), text: text.to_owned() }
}

async fn stored(store: &Moody) -> Vec<u64> {
    let query = HistoryQuery {
        device: (*device()).clone(),
        dps: vec![],
        from_ms: 0,
        to_ms: u64::MAX,
        step_ms: None,
        limit: 9_999,
    };
    let series = store.history(&query).await.unwrap();
    let samples = series.into_iter().flat_map(|s| s.samples);
    samples
        .map(|s| match s {
            Sample::Value { at_ms, .. } => at_ms,
            Sample::Step { .. } => panic!("{s:?}"),
        })
        .collect()
}

fn start(limits: Limits) -> (Arc<Moody>, Writer) {
    let store = Arc::new(Moody::default());
    let writer = Writer::with_limits(Arc::clone(&store) as Arc<dyn Store>, Clock::starting_at(T), limits);
    (store, writer)
}

#[tokio::test(start_paused = true)]
async fn what_comes_within_the_interval_is_one_batch() {
    let (store, writer) = start(Limits::default());
    writer.record(&[point(1), point(2)], &[saved("a")]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    writer.record(&[point(3)], &[saved("b")]);
    assert_eq!((stored(&store).await.len(), writer.status().waiting), (0, 4));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(stored(&store).await, [1, 2, 3], "nothing waits longer than 250 ms");
    assert_eq!(store.appends.load(Ordering::Relaxed), 1);
    let remembered = store.remembered().await.unwrap();
    assert_eq!((remembered.last, remembered.saved), (Seq(3), vec![saved("b")]));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(store.appends.load(Ordering::Relaxed), 1, "nothing to write, nothing written");
    let status = writer.status();
    assert_eq!((status.kind, status.ok, status.waiting, status.bytes), ("moody", true, 0, Some(4_096)));
}

#[tokio::test(start_paused = true)]
async fn many_rows_do_not_wait_for_the_interval() {
    let (store, writer) =
        start(Limits { rows: 10, interval: Duration::from_secs(3_600), ..Limits::default() });
    let changes: Vec<_> = (1..=10).map(point).collect();
    writer.record(&changes, &[]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(stored(&store).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_told_once_and_what_waited_is_written_when_it_heals() {
    let (store, writer) = start(Limits::default());
    let mut health = writer.health();
    store.fails.send_replace(true);
    writer.record(&[point(1)], &[saved("old")]);
    health.changed().await.unwrap();
    let why = match health.borrow_and_update().clone() {
        Health::Failing { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why.starts_with("the store fails: can't write: "), "{why}");
    let status = writer.status();
    assert!(!status.ok && status.error.is_some_and(|e| e.starts_with("can't write: ")));
    writer.record(&[point(2)], &[saved("new")]);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!health.has_changed().unwrap(), "told once");
    let tries = store.appends.load(Ordering::Relaxed);
    assert!((10..30).contains(&tries), "{tries} tries in five minutes");
    assert!(!writer.flush().await);
    store.fails.send_replace(false);
    health.changed().await.unwrap();
    assert_eq!(*health.borrow(), Health::Well { dropped: 0 });
    assert_eq!(stored(&store).await, [1, 2]);
    assert_eq!(store.remembered().await.unwrap().saved, [saved("new")]);
    assert_eq!((writer.status().ok, writer.status().error, writer.status().waiting), (true, None, 0));
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_the_oldest_history_goes_first() {
    let (store, writer) = start(Limits { most_rows: 100, ..Limits::default() });
    store.fails.send_replace(true);
    let energy = What::Energy(EnergyView { total: MilliWattHours(7), ..EnergyView::default() });
    writer.record(&[of(1, energy)], &[saved("kept")]);
    for n in 2..=500 {
        writer.record(&[point(n)], &[]);
        if n == 50 {
            assert!(!writer.flush().await);
        }
    }
    assert_eq!((writer.status().dropped, writer.status().waiting), (400, 101));
    store.fails.send_replace(false);
    assert!(writer.flush().await);
    assert_eq!(stored(&store).await, (402..=500).collect::<Vec<_>>());
    assert_eq!(store.remembered().await.unwrap().saved, [saved("kept")]);
    let bars = store.energy(&device(), 0, 1, Span::Hour, &TimeZone::UTC).await.unwrap();
    assert_eq!(bars[0].used, MilliWattHours(7), "energy is dropped last");
}

#[tokio::test(start_paused = true)]
async fn large_values_are_bounded_by_their_bytes() {
    let (store, writer) = start(Limits { most_bytes: 100_000, ..Limits::default() });
    store.fails.send_replace(true);
    for n in 1..=30 {
        let dps = Arc::new(serde_json::from_str(&format!(r#"{{"25":"{}"}}"#, "x".repeat(10_000))).unwrap());
        let (line, origin) = (Line::Lan, Origin::Pushed);
        let what = What::Points { line, origin, dps, changed: vec![DpId(25)], device_ms: None };
        writer.record(&[of(n, what)], &[]);
        if n == 5 {
            assert!(!writer.flush().await);
        }
    }
    assert_eq!((writer.status().dropped, writer.status().waiting), (20, 10));
    store.fails.send_replace(false);
    assert!(writer.flush().await);
    assert_eq!(stored(&store).await, (21..=30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_and_asked_again() {
    let (store, writer) = start(Limits::default());
    let mut health = writer.health();
    store.hangs.send_replace(true);
    writer.record(&[point(1)], &[]);
    health.changed().await.unwrap();
    assert!(
        matches!(&*health.borrow(), Health::Failing { why } if why.contains("did not answer within 60 s"))
    );
    store.hangs.send_replace(false);
    assert!(writer.flush().await);
    assert_eq!(stored(&store).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_waits_and_counts_what_comes_after() {
    let (store, writer) = start(Limits::default());
    writer.record(&[point(1)], &[]);
    assert!(writer.clone().close().await);
    assert_eq!(store.closed.load(Ordering::Relaxed), 1);
    assert_eq!(stored(&store).await, [1]);
    writer.record(&[point(2)], &[]);
    assert_eq!(writer.status().dropped, 1);
    assert!(!writer.flush().await && !writer.close().await);
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_store_has_not_taken_at_the_end_is_counted() {
    let (store, writer) = start(Limits::default());
    store.fails.send_replace(true);
    writer.record(&[point(1), point(2)], &[]);
    assert!(!writer.close().await);
    assert_eq!(writer.status().dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn it_tidies_every_few_minutes() {
    let (store, _writer) = start(Limits::default());
    let before = Instant::now();
    let mut tidies = store.tidies.subscribe();
    tidies.wait_for(|n| *n == 4).await.unwrap();
    let took = before.elapsed().as_secs();
    assert!((540..=600).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn values_that_others_take_the_place_of_are_counted() {
    let (store, writer) = start(Limits::default());
    writer.record(&[point(1), point(2)], &[]);
    assert!(writer.flush().await);
    let dps = Arc::new(serde_json::from_str(r#"{"19":7}"#).unwrap());
    let (line, origin, changed) = (Line::Lan, Origin::Pushed, vec![DpId(19)]);
    writer.record(&[of(2, What::Points { line, origin, dps, changed, device_ms: None })], &[]);
    assert!(writer.flush().await);
    assert_eq!((stored(&store).await, writer.status().replaced), (vec![1, 2], 1));
}
