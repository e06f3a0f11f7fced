//! What happens in and to virtual devices, for people and scripts that watch.

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::Cid;
use serde::Serialize;

use crate::cloud::CloudNews;
use crate::device::ConnectionId;
use crate::model::Cause;

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// A client was accepted.
    Connected {
        /// The connection.
        connection: ConnectionId,
    },
    /// A client was accepted and closed at once.
    TurnedAway {
        /// `full` or `wedged`.
        why: &'static str,
    },
    /// A client may give commands (from 3.4: the negotiation succeeded).
    Ready {
        /// The connection.
        connection: ConnectionId,
    },
    /// A connection ended.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
        /// In words.
        why: String,
    },
    /// A client's write was carried out.
    Applied {
        /// The connection.
        connection: ConnectionId,
        /// Sub-device.
        #[serde(skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
    },
    /// A client's write was skipped without telling it.
    Skipped {
        /// The connection.
        connection: ConnectionId,
        /// Sub-device.
        #[serde(skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The point.
        #[serde(serialize_with = "dp_number")]
        dp: DpId,
        /// The value.
        value: DpValue,
        /// In words.
        why: String,
    },
    /// Points have other values now (or reported the same again, where a repeat means something).
    Changed {
        /// Sub-device.
        #[serde(skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
        /// Whence.
        cause: Cause,
    },
    /// A fault struck.
    Fault {
        /// `drop`, `delay`, `reset`, `half-open`, `reboot`, `move`, `wedge`.
        fault: &'static str,
        /// The connection, where it struck one.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<ConnectionId>,
    },
    /// It listens (again).
    Up {
        /// Where. `None` in a world without sockets.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<std::net::SocketAddrV4>,
    },
    /// Nobody listens for a while.
    Down,
    /// Something happened between it and its cloud.
    Cloud {
        /// What.
        #[serde(flatten)]
        news: CloudNews,
    },
}

fn dp_number<S: serde::Serializer>(dp: &DpId, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u16(dp.0)
}
