//! What a client wants done, and what it knows of the device around it.

use core::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};

use super::{CloudNews, Place};
use crate::journal::Line;
use crate::product::Product;

/// Names a connection that a device opened, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId(pub u64);

/// What a client wants done.
#[derive(Debug, PartialEq)]
pub enum CloudOutput {
    /// Open a connection. [`CloudClient::handle_opened`](super::CloudClient::handle_opened) or
    /// [`CloudClient::handle_failed`](super::CloudClient::handle_failed) is the answer.
    Open {
        /// The connection.
        line: LineId,
        /// Where and how.
        place: Place,
    },
    /// Write these bytes.
    Write {
        /// The connection.
        line: LineId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Close the connection, after what was written. Nothing that arrives on it reaches the client any more.
    Close {
        /// The connection.
        line: LineId,
    },
    /// Something for the device around the client.
    Effect(Effect),
    /// Something to tell those who watch.
    News(CloudNews),
    /// Nothing now. Call [`CloudClient::handle_timeout`](super::CloudClient::handle_timeout) at this monotonic time at the latest.
    Wait(Duration),
}

/// What the cloud side asks of the rest of the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set points, after the firmware's checks.
    Set {
        /// Sub-device.
        cid: Option<Cid>,
        /// The points.
        dps: Dps,
        /// Who says so: the cloud or a timer.
        by: Line,
    },
    /// Measure and report these points, passive ones too; all if `None` (protocol 31).
    Show {
        /// The points.
        points: Option<Vec<DpId>>,
    },
    /// MQTT is up (report the state) or down.
    Online(bool),
    /// The first sound answer of the cloud since power-on.
    Answered,
    /// The device has an owner now.
    Activated {
        /// Its id from now on.
        id: DeviceId,
        /// Its local key from now on.
        key: LocalKey,
    },
    /// The device has no owner any more.
    Forgot,
    /// The firmware restarts, after an update.
    Reboot,
}

/// What a client knows of the device around it.
#[derive(Clone, Debug)]
pub struct Who {
    /// The id from the factory, and of a device that is activated already the one it has.
    pub id: DeviceId,
    /// The local key of a device that is activated already.
    pub key: LocalKey,
    /// Product.
    pub product: &'static Product,
    /// Whether it runs on a battery and sleeps between reports.
    pub sleeps: bool,
}
