//! One line of the journal: `{"at":1700000000123,"device":"bf...","dps":{"1":true},"stamp":[7,1]}`.

use std::io;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::mqtt::Stamp;
use serde::{Deserialize, Serialize};

use super::Entry;

/// Longer lines are none of ours: payloads of devices are bounded by 64 KiB before they come here.
pub(super) const MAX: usize = 256 << 10;

#[derive(Serialize)]
struct Written<'a> {
    at: u64,
    device: &'a DeviceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a Cid>,
    #[serde(skip_serializing_if = "Dps::is_empty")]
    dps: &'a Dps,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<[u32; 2]>,
}

/// What is read back: not the points, which nobody needs at the start.
#[derive(Deserialize)]
pub(super) struct Read {
    pub(super) device: DeviceId,
    #[serde(default)]
    stamp: Option<[u32; 2]>,
}

impl Read {
    /// The number, if it had one.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.stamp.map(stamp)
    }
}

/// A stamp as it is stored.
pub(super) const fn stored(s: Stamp) -> [u32; 2] {
    [s.sequence, s.source]
}

/// A stored stamp.
pub(super) const fn stamp([sequence, source]: [u32; 2]) -> Stamp {
    Stamp { sequence, source }
}

/// Appends the line of an entry.
///
/// # Errors
/// A point whose value is no JSON; nothing is appended.
pub(super) fn append(entry: &Entry, to: &mut Vec<u8>) -> io::Result<()> {
    let before = to.len();
    let written = Written {
        at: entry.at_ms,
        device: &entry.device,
        cid: entry.cid.as_ref(),
        dps: &entry.dps,
        stamp: entry.stamp.map(stored),
    };
    let result = serde_json::to_writer(&mut *to, &written);
    if let Err(e) = result {
        to.truncate(before);
        return Err(e.into());
    }
    to.push(b'\n');
    Ok(())
}
