//! `state.json`: the last number of each device up to a place in the journal, and whether the end was orderly.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::Stamp;
use serde::{Deserialize, Serialize};

use super::line;

/// The file's name.
pub(super) const NAME: &str = "state.json";
/// Far more than 100,000 devices need.
const MAX: u64 = 16 << 20;

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Whether the cloud that wrote it ended in order.
    pub(super) orderly: bool,
    /// Up to this file...
    pub(super) file: u64,
    /// ...and this byte of it the numbers are those below.
    pub(super) offset: u64,
    /// Last numbers.
    pub(super) stamps: BTreeMap<DeviceId, [u32; 2]>,
}

impl State {
    pub(super) fn new(orderly: bool, file: u64, offset: u64, stamps: &HashMap<DeviceId, Stamp>) -> Self {
        let stamps = stamps.iter().map(|(id, s)| (id.clone(), line::stored(*s))).collect();
        Self { orderly, file, offset, stamps }
    }

    /// The numbers.
    pub(super) fn into_stamps(self) -> HashMap<DeviceId, Stamp> {
        self.stamps.into_iter().map(|(id, s)| (id, line::stamp(s))).collect()
    }

    /// Reads the file; `None` when there is none, or it is damaged: then the journal's lines tell the same again.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let size = match std::fs::metadata(path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let state = if size > MAX { None } else { serde_json::from_slice(&std::fs::read(path)?).ok() };
        if state.is_none() {
            tracing::warn!("{} is damaged; the numbers are taken from the journal's lines", path.display());
        }
        Ok(state)
    }
}
