//! The writer: takes changes without ever waiting, and writes them in batches from a task of its own.
//!
//! A store that fails costs history, never control: what waits is bounded, the oldest history is dropped and counted,
//! and what the core wants back is kept by device, the newest of each, so that it is never dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_cloud::clock::Clock;
use landfall_proto::dp::DpValue;
use landfall_proto::id::DeviceId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::rows::{Row, rows};
use super::{Batch, EnergyRow, EventRow, PointRow, SavedRow, Store, StoreError, StoreStatus};
use crate::model::{Change, MilliWattHours, Seq};

/// How the writer works.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What comes within this time is written together.
    pub interval: Duration,
    /// So many rows are written at once, sooner than the interval.
    pub rows: usize,
    /// Most rows that wait; older ones are dropped.
    pub most_rows: usize,
    /// Most bytes of values and words that wait, roughly.
    pub most_bytes: usize,
    /// Between two calls of [`Store::tidy`].
    pub tidy: Duration,
    /// How long one write may take before it is given up and tried again.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            rows: 5_000,
            most_rows: 100_000,
            most_bytes: 32 << 20,
            tidy: Duration::from_secs(180),
            patience: Duration::from_secs(60),
        }
    }
}

/// Between two tries while the store fails: doubled each time, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long the end may take.
const LAST_WAIT: Duration = Duration::from_secs(15);

/// Whether the store keeps what it is given. Changes once when it begins to fail and once when it is well again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Well {
        /// Rows dropped since the start.
        dropped: u64,
    },
    /// It does not: `the store fails: ...`, without secrets.
    Failing {
        /// In words.
        why: String,
    },
}

/// Where changes are handed over to be stored. Clones are the same writer.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    health: watch::Receiver<Health>,
    answered: watch::Receiver<Answer>,
}

#[derive(Debug)]
struct Shared {
    kind: &'static str,
    limits: Limits,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// What the task said to those who wait for it.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// The highest request that is answered.
    request: u64,
    /// Everything that waited then is stored.
    stored: bool,
}

/// What waits, and how it goes.
#[derive(Debug, Default)]
struct Waiting {
    points: VecDeque<PointRow>,
    energy: VecDeque<EnergyRow>,
    events: VecDeque<EventRow>,
    saved: HashMap<Arc<DeviceId>, SavedRow>,
    last: Seq,
    bytes: usize,
    /// Rows and bytes that are being written.
    writing: (usize, usize),
    /// Since when something waits.
    since: Option<Instant>,
    dropped: u64,
    replaced: u64,
    /// Requests for writing at once.
    requests: u64,
    closing: bool,
    /// Nothing is written before the store has told what it remembers; why not.
    held: Option<String>,
    error: Option<String>,
    tidy_error: Option<String>,
    on_disk: Option<u64>,
}

impl Writer {
    /// Starts the task that writes.
    pub fn start(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self::with_limits(store, clock, Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(store: Arc<dyn Store>, clock: Clock, limits: Limits) -> Self {
        let shared = Arc::new(Shared {
            kind: store.kind(),
            limits,
            waiting: Mutex::new(Waiting::default()),
            wake: Notify::new(),
        });
        let (health, healthy) = watch::channel(Health::Well { dropped: 0 });
        let (answer, answered) = watch::channel(Answer::default());
        let task = Task { shared: Arc::clone(&shared), store, clock, health, answer };
        tokio::spawn(task.run());
        Self { shared, health: healthy, answered }
    }

    /// Takes changes, and what the core wants back after them: one transaction. Never waits.
    pub fn record(&self, changes: &[Arc<Change>], saved: &[SavedRow]) {
        if changes.is_empty() && saved.is_empty() {
            return;
        }
        let mut waiting = self.shared.lock();
        for change in changes {
            rows(change, |row| waiting.push(row, &self.shared.limits));
            waiting.last = waiting.last.max(change.seq);
        }
        for row in saved {
            waiting.saved.insert(Arc::clone(&row.device), row.clone());
        }
        if waiting.closing {
            return;
        }
        let first = waiting.since.is_none();
        waiting.since.get_or_insert_with(Instant::now);
        if first || waiting.rows() >= self.shared.limits.rows {
            self.shared.wake.notify_one();
        }
    }

    /// How the store is.
    pub fn status(&self) -> StoreStatus {
        let waiting = self.shared.lock();
        StoreStatus {
            kind: self.shared.kind,
            ok: waiting.error.is_none(),
            error: waiting.error.clone().or_else(|| waiting.tidy_error.clone()),
            dropped: waiting.dropped,
            replaced: waiting.replaced,
            waiting: (waiting.rows() + waiting.saved.len() + waiting.writing.0) as u64,
            bytes: waiting.on_disk,
        }
    }

    /// Tells when the store begins to fail and when it is well again.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Writes nothing from now on, because the store could not tell what it remembers: what it has must not be replaced by what
    /// a hub makes that knows nothing of it. What is recorded waits, and the store is said to fail.
    pub fn hold(&self, why: String) {
        let mut waiting = self.shared.lock();
        waiting.held = Some(why);
        waiting.requests += 1;
        drop(waiting);
        self.shared.wake.notify_one();
    }

    /// Writes again, what waits at once.
    pub fn release(&self) {
        let mut waiting = self.shared.lock();
        waiting.held = None;
        waiting.requests += 1;
        drop(waiting);
        self.shared.wake.notify_one();
    }

    /// Adds to the totals of a device that wait: they were counted without what an earlier run had counted.
    pub fn raise(&self, device: &DeviceId, by: MilliWattHours) {
        let mut waiting = self.shared.lock();
        for row in waiting.energy.iter_mut().filter(|row| *row.device == *device) {
            row.total.0 = row.total.0.saturating_add(by.0);
        }
    }

    /// Writes at once all that was recorded before. True when it is stored; false when the store fails, and it goes on
    /// waiting, or the writer is closed.
    pub async fn flush(&self) -> bool {
        let request = {
            let mut waiting = self.shared.lock();
            waiting.requests += 1;
            waiting.requests
        };
        self.answer_to(request).await
    }

    /// Writes what waits and closes the store. True when everything is stored; what is not is counted as dropped.
    pub async fn close(&self) -> bool {
        let request = {
            let mut waiting = self.shared.lock();
            waiting.closing = true;
            waiting.requests += 1;
            waiting.requests
        };
        self.answer_to(request).await
    }

    async fn answer_to(&self, request: u64) -> bool {
        self.shared.wake.notify_one();
        let mut answered = self.answered.clone();
        // An error is a task that is gone: it was closed before.
        answered.wait_for(|a| a.request >= request).await.is_ok_and(|a| a.stored)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a value or words weigh in memory beyond their row.
const fn weight(value: &DpValue) -> usize {
    match value {
        DpValue::Enum(t) | DpValue::String(t) | DpValue::Json(t) => t.len(),
        DpValue::Raw(b) => b.len(),
        DpValue::Bool(_) | DpValue::Value(_) | DpValue::Bitmap(_) => 0,
    }
}

impl Waiting {
    fn rows(&self) -> usize {
        self.points.len() + self.energy.len() + self.events.len()
    }

    fn push(&mut self, row: Row, limits: &Limits) {
        if self.closing {
            self.dropped += 1;
            return;
        }
        match row {
            Row::Point(row) => {
                self.bytes += weight(&row.value);
                self.points.push_back(row);
            }
            Row::Energy(row) => self.energy.push_back(row),
            Row::Event(row) => {
                self.bytes += row.code.len() + row.text.len();
                self.events.push_back(row);
            }
        }
        while self.rows() + self.writing.0 > limits.most_rows
            || self.bytes + self.writing.1 > limits.most_bytes
        {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    /// Drops one row: of the points first, which are many; kWh and events tell more.
    fn drop_oldest(&mut self) -> bool {
        if let Some(row) = self.points.pop_front() {
            self.bytes = self.bytes.saturating_sub(weight(&row.value));
        } else if let Some(row) = self.events.pop_front() {
            self.bytes = self.bytes.saturating_sub(row.code.len() + row.text.len());
        } else if self.energy.pop_front().is_none() {
            return false;
        }
        self.dropped += 1;
        true
    }

    fn take(&mut self) -> Batch {
        self.writing = (self.rows(), std::mem::take(&mut self.bytes));
        self.since = None;
        Batch {
            points: std::mem::take(&mut self.points).into(),
            energy: std::mem::take(&mut self.energy).into(),
            events: std::mem::take(&mut self.events).into(),
            saved: std::mem::take(&mut self.saved).into_values().collect(),
            last: self.last,
        }
    }

    /// What could not be written comes before what came since.
    fn put_back(&mut self, batch: Batch) {
        fn before<T>(rows: Vec<T>, queue: &mut VecDeque<T>) {
            let newer = std::mem::replace(queue, rows.into());
            queue.extend(newer);
        }
        before(batch.points, &mut self.points);
        before(batch.energy, &mut self.energy);
        before(batch.events, &mut self.events);
        for row in batch.saved {
            self.saved.entry(Arc::clone(&row.device)).or_insert(row);
        }
        let (_, bytes) = std::mem::take(&mut self.writing);
        self.bytes += bytes;
    }
}

struct Task {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    clock: Clock,
    health: watch::Sender<Health>,
    answer: watch::Sender<Answer>,
}

impl Task {
    async fn run(self) {
        self.measure().await;
        let mut wait = FIRST_WAIT;
        let mut retry: Option<Instant> = None;
        // The first soon after the start: a hub that was away for long has much to forget.
        let mut tidy = Instant::now() + self.shared.limits.tidy / 10;
        loop {
            let (request, closing) = self.until_due(retry, tidy).await;
            if self.due(request, retry) {
                let stored = self.write().await;
                (retry, wait) = if stored {
                    (None, FIRST_WAIT)
                } else {
                    (Some(Instant::now() + wait), (wait * 2).min(LONGEST_WAIT))
                };
                if closing {
                    return self.end(request, stored).await;
                }
                self.answer.send_replace(Answer { request, stored });
            }
            if Instant::now() >= tidy {
                self.tidy().await;
                tidy = Instant::now() + self.shared.limits.tidy;
            }
        }
    }

    /// Waits until there is something to do; the requests there are, and whether it is the end.
    async fn until_due(&self, retry: Option<Instant>, tidy: Instant) -> (u64, bool) {
        loop {
            let woken = self.shared.wake.notified();
            let (request, closing, full, since) = {
                let waiting = self.shared.lock();
                let full = waiting.rows() >= self.shared.limits.rows;
                (waiting.requests, waiting.closing, full, waiting.since)
            };
            let now = Instant::now();
            let write =
                retry.or_else(|| since.map(|s| if full { now } else { s + self.shared.limits.interval }));
            let next = write.map_or(tidy, |w| w.min(tidy));
            if request > self.answer.borrow().request || next <= now {
                return (request, closing);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Whether it is time to write, and not only to tidy.
    fn due(&self, request: u64, retry: Option<Instant>) -> bool {
        if request > self.answer.borrow().request {
            return true;
        }
        let now = Instant::now();
        if let Some(retry) = retry {
            return retry <= now;
        }
        let waiting = self.shared.lock();
        let full = waiting.rows() >= self.shared.limits.rows;
        waiting.since.is_some_and(|s| full || s + self.shared.limits.interval <= now)
    }

    /// Writes what waits, in one transaction.
    async fn write(&self) -> bool {
        let (batch, held) = {
            let mut waiting = self.shared.lock();
            (waiting.take(), waiting.held.clone())
        };
        let patience = self.shared.limits.patience;
        let result = match held {
            Some(why) => Err(why),
            None => match timeout(patience, self.store.append(&batch)).await {
                Ok(result) => result.map_err(|e| in_words(&e)),
                Err(_) => Err(format!("it did not answer within {} s", patience.as_secs())),
            },
        };
        let mut waiting = self.shared.lock();
        match result {
            Ok(replaced) => {
                waiting.writing = (0, 0);
                waiting.replaced += replaced;
                if replaced > 0 {
                    tracing::warn!(
                        replaced,
                        "values of the same time were replaced: was the clock set back?"
                    );
                }
                let dropped = waiting.dropped;
                if waiting.error.take().is_some() {
                    drop(waiting);
                    tracing::info!(dropped, "the store is well again");
                    self.health.send_replace(Health::Well { dropped });
                }
                true
            }
            Err(error) => {
                waiting.put_back(batch);
                let first = waiting.error.replace(error.clone()).is_none();
                drop(waiting);
                if first {
                    tracing::error!(%error, "the store fails");
                    self.health.send_replace(Health::Failing { why: format!("the store fails: {error}") });
                }
                false
            }
        }
    }

    async fn tidy(&self) {
        let result = self.store.tidy(self.clock.unix_ms()).await;
        let error = result.err().map(|e| format!("can't tidy up: {}", in_words(&e)));
        if let Some(error) = &error {
            tracing::warn!(%error, "the store");
        }
        self.shared.lock().tidy_error = error;
        self.measure().await;
    }

    async fn measure(&self) {
        let bytes = self.store.bytes().await;
        self.shared.lock().on_disk = bytes;
    }

    async fn end(self, request: u64, stored: bool) {
        {
            let mut waiting = self.shared.lock();
            while waiting.drop_oldest() {}
        }
        if timeout(LAST_WAIT, self.store.close()).await.is_err() {
            tracing::warn!("the store could not be closed in time");
        }
        self.answer.send_replace(Answer { request, stored });
    }
}

/// An error with its causes.
pub(crate) fn in_words(error: &StoreError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
