//! The MQTT sessions of devices: login, reports, commands, calls (cloud.md 4).
//!
//! Devices meet this server and no broker: it never sends CONNACK 5, which makes a device forget its owner, it
//! acknowledges at once, and a device sees its own topics only. Clients of people, told apart by their login, are
//! handed on to [`crate::people`] with the bytes that were read.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::Dps;
use landfall_proto::id::{Cid, DeviceId, Uuid};
use landfall_proto::mqtt::Content;

use crate::listen::{Link, Stream};
use crate::shared::Shared;

/// Serves one MQTT connection until it ends.
pub async fn serve<S: Stream>(_shared: Arc<Shared>, _stream: S, _link: Link) {}

/// The devices that are logged in.
#[derive(Debug, Default)]
pub struct Devices {}

/// Why nothing was sent to a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is not logged in.
    #[error("{0} is not connected to the cloud")]
    Offline(DeviceId),
    /// It does not take what we send fast enough.
    #[error("{0} does not take what is sent to it")]
    Congested(DeviceId),
    /// No hardware with this uuid waits for a token.
    #[error("no hardware with the uuid {0} waits for a token")]
    NotWaiting(Uuid),
    /// We have no local key to seal a message with.
    #[error("no local key of {0} is known")]
    NoKey(DeviceId),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A report showed all values.
    Confirmed,
    /// No report showed them in time; the points that were seen, with other values or not at all.
    Unconfirmed {
        /// What was reported of them since.
        seen: Dps,
    },
    /// It was not sent, or the connection ended before it was confirmed.
    Failed(SendError),
}

impl Devices {
    /// Nobody is logged in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a device is logged in.
    pub fn is_connected(&self, _id: &DeviceId) -> bool {
        false
    }

    /// Seals a message in the device's envelope and under its key, and sends it.
    ///
    /// # Errors
    /// It is not connected, has no key, or does not read.
    pub fn send(&self, _shared: &Shared, id: &DeviceId, _content: Content) -> Result<(), SendError> {
        Err(SendError::Offline(id.clone()))
    }

    /// Sends an envelope that a person's client sealed by itself, as it is.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_sealed(&self, id: &DeviceId, _payload: bytes::Bytes) -> Result<(), SendError> {
        Err(SendError::Offline(id.clone()))
    }

    /// Sets points and waits until a report shows them, at most this long.
    pub async fn set(
        &self,
        _shared: &Shared,
        id: &DeviceId,
        _cid: Option<&Cid>,
        _dps: Dps,
        _patience: Duration,
    ) -> Outcome {
        Outcome::Failed(SendError::Offline(id.clone()))
    }

    /// Sends an activation token (protocol 46) to hardware that waits for one (cloud.md 1.6).
    ///
    /// # Errors
    /// It does not wait, or its auth key is unknown.
    pub fn send_token(
        &self,
        _shared: &Shared,
        uuid: &Uuid,
        _token: &str,
        _region: &str,
    ) -> Result<(), SendError> {
        Err(SendError::NotWaiting(uuid.clone()))
    }
}
