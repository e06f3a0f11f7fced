//! What is kept of a device over a restart.

use std::collections::BTreeMap;

use landfall_proto::dp::{DpId, DpValue};
use serde::{Deserialize, Serialize};

use super::energy::{Account, SavedAccount, SavedLine};
use super::points::MOST_POINTS;
use crate::model::{Line, PointView};

/// The number in what is written now. Others are refused: guessing at an account would make kWh that nobody can trust.
pub const SAVED_VERSION: u32 = 1;

/// What is kept of a device over a restart: points, energy account, when it was heard. As JSON, of which nothing but this
/// module knows the form.
#[derive(Debug, Deserialize)]
pub struct Saved {
    heard_ms: Option<u64>,
    /// Older ones don't have it.
    #[serde(default)]
    told_ms: u64,
    /// Point, value, reported, changed, line.
    points: Vec<(u16, DpValue, u64, u64, SavedLine)>,
    energy: Option<SavedAccount>,
}

/// The same, to be written without copying.
#[derive(Serialize)]
struct Writing<'a> {
    v: u32,
    heard_ms: Option<u64>,
    told_ms: u64,
    points: Vec<(u16, &'a DpValue, u64, u64, SavedLine)>,
    energy: Option<SavedAccount>,
}

/// Why saved JSON is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is not what this program writes: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}, and this program reads version {SAVED_VERSION}")]
    Version(u32),
    #[error("its energy account can't be: a negative sum, or too many days")]
    Account,
    #[error("it has {0} points, more than the {MOST_POINTS} a device can have")]
    Points(usize),
}

/// Writes it.
pub(super) fn write(
    heard_ms: Option<u64>,
    told_ms: u64,
    points: &BTreeMap<DpId, PointView>,
    energy: Option<&Account>,
) -> Result<String, serde_json::Error> {
    let points =
        points.iter().map(|(id, p)| (id.0, &p.value, p.at_ms, p.changed_ms, p.line.into())).collect();
    let energy = energy.map(Account::saved);
    serde_json::to_string(&Writing { v: SAVED_VERSION, heard_ms, told_ms, points, energy })
}

impl Saved {
    /// Reads it.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        // The version first: another one has another form.
        #[derive(Deserialize)]
        struct Head {
            v: u32,
        }
        let Head { v } = serde_json::from_str(text)?;
        if v != SAVED_VERSION {
            return Err(Refusal::Version(v));
        }
        let saved: Self = serde_json::from_str(text)?;
        if saved.points.len() > MOST_POINTS {
            return Err(Refusal::Points(saved.points.len()));
        }
        if saved.energy.as_ref().is_some_and(|e| !e.is_sound()) {
            return Err(Refusal::Account);
        }
        Ok(saved)
    }

    pub(super) fn heard_ms(&self) -> Option<u64> {
        self.heard_ms
    }

    /// The time that its last changes or presses were told for.
    pub(super) fn told_ms(&self) -> u64 {
        self.told_ms
    }

    /// Its points, stale until they are heard again, and its account.
    pub(super) fn parts(self) -> (impl Iterator<Item = (DpId, PointView)>, Option<SavedAccount>) {
        let points = self.points.into_iter().map(|(id, value, at_ms, changed_ms, line)| {
            (DpId(id), PointView { value, at_ms, changed_ms, line: Line::from(line), stale: true })
        });
        (points, self.energy)
    }
}
