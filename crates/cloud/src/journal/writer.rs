//! The thread that writes: alone with the disk, so that nobody else ever waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Stamp;
use tokio::sync::watch;

use super::files::Files;
use super::inbox::{Call, Inbox};
use super::{Done, Meter, WAITING_BYTES, line, lock};

/// How long it waits after a failure before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// A gulp is written when it has so many bytes, whatever the time.
const GULP: usize = 1 << 20;

/// Where reports and orders come from, and where it is told what became of them. However the writer ends, nobody waits
/// for it any longer, and what it left behind is counted.
pub(super) struct Post {
    inbox: Arc<Inbox>,
    meter: Arc<Meter>,
    done: watch::Sender<Done>,
}

impl Post {
    pub(super) const fn new(inbox: Arc<Inbox>, meter: Arc<Meter>, done: watch::Sender<Done>) -> Self {
        Self { inbox, meter, done }
    }

    fn answer(&self, order: Option<u64>, kept: bool) {
        let Some(order) = order else { return };
        self.done.send_modify(|done| {
            done.order = order;
            if kept {
                done.kept = order;
            }
        });
    }

    /// Nothing is taken any more; what was left behind is counted.
    fn leave(&self) {
        self.meter.dropped.fetch_add(self.inbox.leave() as u64, Ordering::Relaxed);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.leave();
    }
}

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
    pub(super) fn run(mut self, post: Post) {
        let mut batch = Vec::new();
        loop {
            let Call { order, close } = post.inbox.wait(&mut self.due, self.every, &mut batch);
            for entry in batch.drain(..) {
                self.keep(&entry);
            }
            if close {
                let kept = self.close();
                // The directory is free when the answer comes.
                drop(self);
                post.leave();
                return post.answer(order, kept);
            }
            if order.is_some() || self.due.is_some_and(|due| Instant::now() >= due) {
                self.write();
            }
            post.answer(order, self.waiting.is_empty());
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
        // The lines before it may just have been written in the middle of its batch.
        self.due.get_or_insert_with(|| Instant::now() + self.every);
        if self.waiting.len() >= GULP && !self.failing {
            self.write();
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
