//! The thread that writes: alone with the disk, so that nobody else ever waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Stamp;
use tokio::sync::oneshot;

use super::files::Files;
use super::{Meter, Order, WAITING_BYTES, line, lock};

/// How long it waits after a failure before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// A gulp is written when it has so many bytes, whatever the time.
const GULP: usize = 1 << 20;

/// The writer's own.
pub(super) struct Writer {
    files: Files,
    /// Last numbers on disk.
    stamps: HashMap<DeviceId, Stamp>,
    meter: Arc<Meter>,
    every: Duration,
    /// Whether the last try failed.
    failing: bool,
    /// Lines not on disk yet.
    waiting: Vec<u8>,
    /// The last numbers in them.
    fresh: HashMap<DeviceId, Stamp>,
    /// How many they are.
    lines: u64,
    /// When the next try is due.
    due: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        files: Files,
        stamps: HashMap<DeviceId, Stamp>,
        meter: Arc<Meter>,
        every: Duration,
    ) -> Self {
        Self {
            files,
            stamps,
            meter,
            every,
            failing: false,
            waiting: Vec::new(),
            fresh: HashMap::new(),
            lines: 0,
            due: None,
        }
    }

    /// Writes until it is told to end, or everybody who could tell it something is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            let order = match self.due {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(Order::Keep(entry)) => {
                    self.keep(&entry);
                    // Orders that keep coming must not keep the lines from the disk.
                    if self.due.is_some_and(|d| Instant::now() >= d) {
                        self.write();
                    }
                }
                Ok(Order::Flush(done)) => {
                    self.write();
                    answer(done, self.waiting.is_empty());
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Ok(Order::Close(done)) => {
                    let kept = self.close();
                    drop(self);
                    return answer(done, kept);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.close();
                    return;
                }
            }
        }
    }

    fn keep(&mut self, entry: &super::Entry) {
        if self.waiting.len() >= WAITING_BYTES {
            return self.meter.drop_one();
        }
        if let Err(e) = line::append(entry, &mut self.waiting) {
            tracing::warn!("a report of {} is not written: {e}", entry.device);
            return self.meter.drop_one();
        }
        if let Some(stamp) = entry.stamp {
            self.fresh.insert(entry.device.clone(), stamp);
        }
        self.lines += 1;
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.every);
        if self.waiting.len() >= GULP && !self.failing {
            self.due = Some(due.min(now));
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            self.due = None;
            return;
        }
        match self.files.append(&self.waiting, &self.stamps) {
            Ok(()) => {
                self.waiting.clear();
                self.stamps.extend(self.fresh.drain());
                // A burst must not be paid for ever after.
                self.waiting.shrink_to(GULP);
                let lines = std::mem::take(&mut self.lines);
                self.meter.written.send_modify(|n| *n += lines);
                self.due = None;
                if std::mem::take(&mut self.failing) {
                    *lock(&self.meter.failing) = None;
                    tracing::info!("the journal is written again");
                }
            }
            Err(e) => {
                self.meter.failures.fetch_add(1, Ordering::Relaxed);
                let why = match std::error::Error::source(&e) {
                    Some(source) => format!("{e}: {source}"),
                    None => e.to_string(),
                };
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!("the journal is not written: {why}; trying again every second");
                }
                *lock(&self.meter.failing) = Some(why);
                self.due = Some(Instant::now() + RETRY);
            }
        }
    }

    /// The last write. Lines that the disk does not take now are lost.
    fn close(&mut self) -> bool {
        self.write();
        let kept = self.waiting.is_empty();
        if !kept {
            self.meter.dropped.fetch_add(self.lines, Ordering::Relaxed);
        }
        match self.files.save_state(&self.stamps, kept) {
            Ok(()) => kept,
            Err(e) => {
                tracing::error!("the journal's end is not marked: {e}");
                false
            }
        }
    }
}

/// Whoever asked may have stopped waiting.
fn answer(done: oneshot::Sender<bool>, kept: bool) {
    let _gone = done.send(kept);
}
