//! What was published for Home Assistant, across restarts: what is no more is cleared then, whichever broker it lies on, and a
//! device that came back under another id keeps the identity that it had.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::form::is_ours;

/// Topics and identities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Topics that hold something of ours. Of those with a whole device: its entities and their platforms.
    #[serde(default)]
    pub(super) topics: BTreeMap<String, BTreeMap<String, String>>,
    /// Which identity a device has; its first id.
    #[serde(default)]
    pub(super) devices: BTreeMap<String, String>,
}

impl Memory {
    /// Reads the file. Without one, or with one that can't be read, nothing is known: then something may be left behind, and that is
    /// said.
    pub(super) fn read(path: &Path) -> Self {
        let read = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(e) => Err(e.to_string()),
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).map_err(|e| e.to_string()),
        };
        match read {
            Ok(mut memory) => {
                memory.topics.retain(|topic, _| is_ours(topic));
                memory
            }
            Err(error) => {
                tracing::warn!(
                    file = %path.display(),
                    error,
                    "what was told to Home Assistant before is not known; entities of devices that are gone may stay there until they are \
                     deleted by hand"
                );
                Self::default()
            }
        }
    }
}

/// A memory on its way to the disk.
#[derive(Debug)]
pub(crate) struct Unsaved {
    path: PathBuf,
    memory: Memory,
}

impl Unsaved {
    pub(super) fn new(path: PathBuf, memory: Memory) -> Self {
        Self { path, memory }
    }

    /// Writes it, in whole or not at all.
    pub(crate) fn write(self) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let fresh = self.path.with_extension("new");
        let mut file =
            std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&self.memory)?)?;
        file.sync_all()?;
        std::fs::rename(fresh, &self.path)
    }
}
