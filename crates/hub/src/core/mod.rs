//! The brain: actions in, effects out. Synchronous, without I/O, lock, clock or dice.
//!
//! | file | does |
//! |---|---|
//! | `brain` | [`Core`]: takes actions to the devices they are about |
//! | `roster` | which devices there are: added, removed, renamed, activated anew |
//! | `device`, `points`, `lane`, `presence` | one device: what it reported, its lines, whether it can be had |
//! | `route`, `command` | which line a command takes, and how it ends |
//! | `energy` | accounts that never fall |
//! | `saved` | what is kept over a restart |
//! | `wake` | when a device wants a tick |

mod brain;
mod command;
mod device;
mod energy;
mod lane;
mod out;
mod points;
mod presence;
mod roster;
mod route;
mod saved;
mod wake;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId};

use crate::model::{
    Change, CommandId, CommandOptions, DeviceView, Ended, Facts, Line, LineState, Origin, Outcome, Problem,
    Seq,
};
use crate::profile::Definition;

pub use brain::Core;
pub use route::{Lane, NoWay, route};
pub use saved::{SAVED_VERSION, Saved};

/// Now, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub mono: Duration,
    /// Milliseconds since 1970-01-01 UTC. May jump.
    pub unix_ms: u64,
}

/// A device as the hub knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the book says.
    pub facts: Arc<Facts>,
    /// What its points mean.
    pub definition: Arc<Definition>,
}

/// What happened outside.
#[derive(Debug)]
pub enum Action {
    /// These are the devices now: differences are worked out here. A device whose id became an alias of another is that
    /// other one.
    Devices(Vec<Known>),
    /// What was saved of a device by an earlier run: JSON of [`Saved`]. Before anything is heard.
    Restore {
        /// The device.
        device: DeviceId,
        /// JSON.
        text: String,
    },
    /// The same, read late: the store was away at the start. What was counted meanwhile comes on top of it. Once for each
    /// device at most.
    Recall {
        /// The device.
        device: DeviceId,
        /// JSON.
        text: String,
    },
    /// Points were reported.
    Heard {
        /// The device; of a sub-device its gateway.
        device: DeviceId,
        /// The sub-device.
        cid: Option<Cid>,
        /// Over which line.
        line: Line,
        /// Pushed or polled.
        origin: Origin,
        /// The points, typed.
        dps: Arc<Dps>,
        /// Device time, milliseconds since 1970.
        device_ms: Option<u64>,
    },
    /// A sign of life without points (a call of its cloud side, a beacon that is verified by its key).
    Alive {
        /// The device.
        device: DeviceId,
        /// Over which line.
        line: Line,
    },
    /// A line changed.
    Line {
        /// The device; sub-devices follow their gateway.
        device: DeviceId,
        /// Which.
        line: Line,
        /// How it is now.
        state: LineState,
        /// Why, in words.
        why: Option<String>,
        /// Where it is.
        address: Option<SocketAddr>,
    },
    /// Online states of sub-devices, as their gateway told.
    SubDevices {
        /// The gateway.
        gateway: DeviceId,
        /// Those that are online.
        online: Vec<Cid>,
        /// Those that are not.
        offline: Vec<Cid>,
    },
    /// Somebody wants points set. The values are checked here against the schema.
    Command {
        /// Its number.
        id: CommandId,
        /// The device.
        device: DeviceId,
        /// The points.
        dps: Dps,
        /// How.
        options: CommandOptions,
    },
    /// A line has done with a command.
    Done {
        /// Its number.
        id: CommandId,
        /// How it ended on this line.
        outcome: Outcome,
    },
    /// Something of the hub itself, to be told.
    Tell {
        /// Stable dotted word.
        code: &'static str,
        /// In words.
        text: String,
    },
    /// Time went on.
    Tick,
}

/// What is to be done outside. For each device its view comes before the changes that tell of it, and the end of a command
/// after both.
#[derive(Debug)]
pub enum Effect {
    /// Tell everybody.
    Publish(Arc<Change>),
    /// Send points over a line, and come back with [`Action::Done`].
    Send {
        /// The command.
        id: CommandId,
        /// The device that holds the line: a sub-device's gateway.
        device: DeviceId,
        /// The sub-device.
        cid: Option<Cid>,
        /// The line.
        line: Line,
        /// The points.
        dps: Dps,
        /// How long it may take.
        timeout: Duration,
        /// Wait until the device shows them.
        confirm: bool,
        /// At most once on the wire.
        once: bool,
    },
    /// A command ended: tell whoever asked.
    Ended(Arc<Ended>),
    /// A command was not even tried: tell whoever asked.
    Rejected {
        /// The command.
        id: CommandId,
        /// Why.
        problem: Problem,
    },
    /// Have a device measure: its recipe says so, and it is time.
    Refresh {
        /// The device that holds the line: a sub-device's gateway.
        device: DeviceId,
        /// The sub-device.
        cid: Option<Cid>,
        /// The line.
        line: Line,
        /// The points.
        points: Vec<DpId>,
    },
    /// What is to be restored after a restart changed; with the changes of the same call it goes into one transaction.
    Save {
        /// The device.
        device: Arc<DeviceId>,
        /// JSON of [`Saved`].
        text: String,
    },
    /// The view of a device changed, or it is gone.
    View {
        /// The device.
        device: DeviceId,
        /// How it looks now; `None` when it is gone.
        view: Option<Arc<DeviceView>>,
    },
}

/// How the core is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// No line for this long, and a device is called offline.
    pub grace: Duration,
    /// The home's time zone.
    pub zone: jiff::tz::TimeZone,
    /// Price of a kWh in thousandths of the currency, where known.
    pub price_milli: Option<i64>,
    /// Number of the last change of an earlier run.
    pub last: Seq,
}
