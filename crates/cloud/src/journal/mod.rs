//! Reports on disk: acknowledged at once, written within 250 ms. What a `kill -9` loses is counted at the next start.
//!
//! `<data>/cloud/journal/` holds numbered files of JSON lines, the newest at the end, and a small `state.json` with the
//! last number of each device up to some place in them. Whatever the process was doing when it was killed, at most the
//! last line is torn; it is cut off at the next start. Then the first message of a device tells by its number how many
//! never came to the disk: [`crate::mqtt::replay`] judges it against [`Journal::last_stamps`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::mqtt::Stamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

mod files;
mod inbox;
mod line;
mod state;
mod writer;

#[cfg(test)]
mod tests;

use files::Found;
use inbox::{Inbox, Put};

/// Longest time from hearing a report to asking the disk to keep it.
pub const FLUSH: Duration = Duration::from_millis(200);
/// A file this large is followed by a new one.
pub const FILE_BYTES: u64 = 4 << 20;
/// So many files are kept; the oldest goes when another one is begun.
pub const FILES: usize = 16;
/// Lines that wait in memory while the disk takes none (it is full, say), in bytes. What does not fit is counted.
const WAITING_BYTES: usize = 4 << 20;

/// One report, on its way to the disk.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was heard, milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Device.
    pub device: DeviceId,
    /// Sub-device, of a gateway.
    pub cid: Option<Cid>,
    /// Number in the envelope (2.2, 2.3), or `s` of the message (2.1): what gaps are counted by.
    pub stamp: Option<Stamp>,
    /// The points. Empty for a message that is no report but was numbered among them.
    pub dps: Arc<Dps>,
}

/// How the cloud before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastEnd {
    /// There was none.
    None,
    /// It wrote everything before it ended.
    Orderly,
    /// It was killed, or the power went.
    Killed,
}

/// How the journal does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Lines on disk since the start.
    pub written: u64,
    /// Reports that were heard and never came to the disk.
    pub dropped: u64,
    /// Writes that failed since the start.
    pub failures: u64,
    /// Why nothing is written right now.
    pub failing: Option<String>,
    /// How the cloud before this one ended.
    pub last_end: LastEnd,
    /// Lines found damaged at the start, a torn last one included.
    pub damaged: u64,
}

/// The journal of one data directory.
pub struct Journal {
    inbox: Arc<Inbox>,
    done: watch::Receiver<Done>,
    meter: Arc<Meter>,
    last: HashMap<DeviceId, Stamp>,
    last_end: LastEnd,
    damaged: u64,
    dir: PathBuf,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.dir)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Orders that the writer has carried out, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// This one and all before.
    order: u64,
    /// The last of them after which the disk had everything.
    kept: u64,
}

/// What the writer and all others count.
#[derive(Debug, Default)]
struct Meter {
    written: watch::Sender<u64>,
    dropped: AtomicU64,
    failures: AtomicU64,
    failing: std::sync::Mutex<Option<String>>,
    /// So that a full queue is told once, until there is room again.
    told: AtomicBool,
}

impl Meter {
    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system said no.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another cloud runs in this data directory.
    #[error("another cloud runs in {}", .data_dir.display())]
    InUse {
        /// The directory.
        data_dir: PathBuf,
    },
}

impl Journal {
    /// Opens `<data>/cloud/journal/`, reads what is there, and starts the writer. The directories are made (0700) when
    /// they are missing, and held against a second cloud until the journal is dropped.
    ///
    /// # Errors
    /// The directory can't be made or written, or another cloud holds it.
    pub fn open(data_dir: &Path) -> Result<Self, JournalError> {
        Self::open_with(data_dir, Box::new(files::RealDisk), FLUSH, FILE_BYTES, FILES)
    }

    fn open_with(
        data_dir: &Path,
        disk: Box<dyn files::Disk>,
        every: Duration,
        file_bytes: u64,
        keep: usize,
    ) -> Result<Self, JournalError> {
        let (mut files, found) = files::Files::open(data_dir, disk, file_bytes, keep)?;
        let dir = files.dir().to_owned();
        files.save_state(&found.stamps, false)?;
        let inbox = Arc::new(Inbox::default());
        let meter = Arc::new(Meter::default());
        let (tell, done) = watch::channel(Done::default());
        let post = writer::Post::new(Arc::clone(&inbox), Arc::clone(&meter), tell);
        let writer = writer::Writer::new(files, found.stamps.clone(), Arc::clone(&meter), every);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(post))
            .map_err(|source| JournalError::Io { doing: "start the writer of", path: dir.clone(), source })?;
        let Found { stamps: last, last_end, damaged } = found;
        Ok(Self { inbox, done, meter, last, last_end, damaged, dir })
    }

    /// Takes a report. Never waits: the queue is bounded, and what does not fit is counted as lost and logged.
    pub fn record(&self, entry: Entry) {
        match self.inbox.put(entry) {
            Put::Waits => {
                if self.meter.told.load(Ordering::Relaxed) {
                    self.meter.told.store(false, Ordering::Relaxed);
                }
            }
            Put::Full => {
                self.meter.drop_one();
                if !self.meter.told.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "the disk is too slow for the journal in {}: reports are dropped",
                        self.dir.display()
                    );
                }
            }
            // Only after `close`: the servers have ended by then, or end now.
            Put::Gone => self.meter.drop_one(),
        }
    }

    /// The last number of each device that was on disk when the journal was opened.
    /// [`crate::mqtt::replay::Memory::since`] begins with it, so that what was lost in between is counted.
    pub fn last_stamps(&self) -> &HashMap<DeviceId, Stamp> {
        &self.last
    }

    /// How the cloud before this one ended.
    pub const fn last_end(&self) -> LastEnd {
        self.last_end
    }

    /// How it does.
    pub fn health(&self) -> Health {
        Health {
            written: *self.meter.written.borrow(),
            dropped: self.meter.dropped.load(Ordering::Relaxed),
            failures: self.meter.failures.load(Ordering::Relaxed),
            failing: lock(&self.meter.failing).clone(),
            last_end: self.last_end,
            damaged: self.damaged,
        }
    }

    /// Waits until at least so many lines are on disk since the start.
    pub async fn written(&self, lines: u64) {
        let mut written = self.meter.written.subscribe();
        // The sender lives as long as we do.
        let _closed = written.wait_for(|n| *n >= lines).await.is_err();
    }

    /// Has everything written that was recorded so far; says whether the disk took all of it.
    pub async fn flush(&self) -> bool {
        self.order(false).await
    }

    /// Writes everything, marks the end as orderly, and lets go of the directory. Reports that come later are counted
    /// as dropped. Says whether the disk took all.
    pub async fn close(&self) -> bool {
        self.order(true).await
    }

    async fn order(&self, close: bool) -> bool {
        let Some(number) = self.inbox.ask(close) else { return false };
        let mut done = self.done.clone();
        // An error: the writer ended without a word.
        done.wait_for(|done| done.order >= number).await.is_ok_and(|done| done.kept >= number)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.inbox.forsake();
    }
}

/// A lock whose holder can't panic halfway through a change: poisoning means nothing.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
