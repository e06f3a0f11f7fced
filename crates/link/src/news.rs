//! What subscribers hear. Bounded: a listener that is too slow is told how much it missed.

use landfall_proto::id::DeviceId;
use landfall_proto::lan::Command;
use landfall_proto::lan::Version;
use landfall_proto::lan::body::{Report, SubdevicesOnline};
use landfall_proto::lan::session::Origin;
use std::sync::Arc;
use tokio::sync::broadcast;

use crate::state::State;

/// News of one device.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The connection changed.
    State(State),
    /// Points were reported. A pushed repeat is an event (a button), a polled repeat is nothing.
    Report {
        /// The points.
        report: Arc<Report>,
        /// Pushed or polled.
        origin: Origin,
    },
    /// Online states of sub-devices.
    Subdevices(Arc<SubdevicesOnline>),
    /// The device's version became known or changed; worth remembering.
    Version(Version),
    /// A frame nobody asked for.
    Unasked {
        /// Its command.
        command: Command,
        /// Its body.
        body: Arc<[u8]>,
    },
}

/// News with the device it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceNews {
    /// The device.
    pub id: Arc<DeviceId>,
    /// What happened.
    pub news: News,
}

/// A listener was too slow: so many items were dropped. The next call goes on with the oldest one kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} news items were missed by a slow listener")]
pub struct Lagged(pub u64);

/// A listener's end.
#[derive(Debug)]
pub struct Subscription<T> {
    inner: broadcast::Receiver<T>,
}

impl<T: Clone> Subscription<T> {
    pub(crate) fn new(inner: broadcast::Receiver<T>) -> Self {
        Self { inner }
    }

    /// The next item; `None` once the source was closed and everything was heard. Cancel safe.
    ///
    /// # Errors
    /// This listener was too slow; the number of items it missed. Listening goes on.
    pub async fn next(&mut self) -> Option<Result<T, Lagged>> {
        match self.inner.recv().await {
            Ok(item) => Some(Ok(item)),
            Err(broadcast::error::RecvError::Lagged(n)) => Some(Err(Lagged(n))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
