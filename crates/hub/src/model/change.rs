//! What store, bridges and page all read: numbered changes.

use std::sync::Arc;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::DeviceId;

use super::{Ended, EnergyView, Line, LineView, Origin, Presence};

/// Number of a change. Starts at 1 with each start of the hub's memory and never repeats: the store keeps the highest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// One change of the home.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number: one more than the one before.
    pub seq: Seq,
    /// Milliseconds since 1970-01-01 UTC, by the hub's clock. No two reports of a device ([`What::Points`],
    /// [`What::Event`]) have the same time: the later one is told for some milliseconds later, a second at most. Only
    /// after the clock was set back a time comes again.
    pub at_ms: u64,
    /// The device, unless it is about the hub itself.
    pub device: Option<Arc<DeviceId>>,
    /// What.
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Points were reported. `dps` holds everything reported; `changed` the points whose value differs from before.
    Points {
        /// Over which line.
        line: Line,
        /// Pushed or polled.
        origin: Origin,
        /// Everything that was reported.
        dps: Arc<Dps>,
        /// What differs from what was known.
        changed: Vec<DpId>,
        /// Device time of the whole report, milliseconds since 1970, where the device gave one that can be believed.
        device_ms: Option<u64>,
    },
    /// A pushed repeat of an event point: a button was pressed again. Retained nowhere.
    Event {
        /// Over which line.
        line: Line,
        /// The points.
        dps: Arc<Dps>,
    },
    /// Reachable or not.
    Presence(Presence),
    /// A line of the device changed.
    Line {
        /// Which.
        line: Line,
        /// How it is now.
        view: Arc<LineView>,
    },
    /// Readings became stale, or fresh again.
    Stale {
        /// The points that are stale now.
        stale: Vec<DpId>,
    },
    /// The energy account changed.
    Energy(EnergyView),
    /// A hand-over of the delta point, a reset of a meter, a gap: things to be known when kWh are doubted.
    EnergyNote {
        /// Stable word: `handover`, `meter_reset`, `gap`, `clock_jump`, `implausible`.
        code: &'static str,
        /// In words.
        text: String,
    },
    /// A command ended.
    Command(Arc<Ended>),
    /// A device came into the book.
    Added,
    /// A device left the book. The change's device is its id.
    Removed {
        /// Its name was.
        name: String,
    },
    /// A device was renamed.
    Renamed {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// Facts or definition of a device changed otherwise.
    Edited,
    /// Something of the hub itself, for people: `store.failed`, `store.healed`, `window.opened`...
    Hub {
        /// Stable dotted word.
        code: &'static str,
        /// In words; no secrets.
        text: String,
    },
}
