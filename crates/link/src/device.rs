//! A handle on one device: one connection, shared by all callers.

use std::net::SocketAddr;
use std::time::Duration;

use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::body::{Report, SubdevicesOnline};
use landfall_proto::lan::discovery::Beacon;
use landfall_proto::lan::{Command, Version};

use crate::config::DeviceConfig;
use crate::link::Link;
use crate::news::{News, Subscription};
use crate::outcome::{CommandError, Outcome, SetOptions};
use crate::state::State;

/// A handle on one device. Clones share the connection; when the last one is dropped, the connection is closed.
#[derive(Clone, Debug)]
pub struct Device {
    config: std::sync::Arc<DeviceConfig>,
}

#[allow(clippy::todo, clippy::unused_async)]
impl Device {
    pub(crate) fn start(link: &Link, config: DeviceConfig) -> Self {
        let _ = link;
        Self { config: std::sync::Arc::new(config) }
    }

    /// The device's id.
    pub fn id(&self) -> &DeviceId {
        &self.config.id
    }

    /// The version in use, once known.
    pub fn version(&self) -> Option<Version> {
        self.config.version
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        todo!()
    }

    /// The points last reported, of the device itself or a sub-device; empty when nothing was heard.
    pub fn points(&self, cid: Option<&Cid>) -> Dps {
        let _ = cid;
        todo!()
    }

    /// How many TCP connections were opened so far.
    pub fn connects(&self) -> u64 {
        todo!()
    }

    /// News of this device from now on.
    pub fn subscribe(&self) -> Subscription<News> {
        todo!()
    }

    /// Waits until the connection is ready.
    ///
    /// # Errors
    /// The state it was in when the time was up, or at once when it is [`State::Stopped`] or [`State::Closed`].
    pub async fn ready(&self, within: Duration) -> Result<(), State> {
        let _ = within;
        todo!()
    }

    /// Asks for the points. Waits for the connection if there is none.
    ///
    /// # Errors
    /// See [`CommandError`]; the deadline is [`DeviceConfig::timeout`].
    pub async fn query(&self, cid: Option<Cid>) -> Result<Report, CommandError> {
        let _ = cid;
        todo!()
    }

    /// Sets points and waits for the outcome.
    ///
    /// # Errors
    /// Only when the set was not taken at all: nothing in it, queue full, handle closed. All else is an [`Outcome`].
    pub async fn set(
        &self,
        cid: Option<Cid>,
        dps: Dps,
        options: SetOptions,
    ) -> Result<Outcome, CommandError> {
        let _ = (cid, dps, options);
        todo!()
    }

    /// Has points measured and reported (UPDATEDPS). True when the device acknowledged or reported; false when it stayed
    /// silent, which many do (lan.md 5.4).
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn refresh(&self, cid: Option<Cid>, points: Vec<DpId>) -> Result<bool, CommandError> {
        let _ = (cid, points);
        todo!()
    }

    /// Which sub-devices are online; `None` when the device stayed silent (plain devices do).
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn subdevices(&self) -> Result<Option<SubdevicesOnline>, CommandError> {
        todo!()
    }

    /// Sends any command with a body as it is and returns the body of the next frame of the same command. For tools. Sent at most once.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn raw(&self, command: Command, body: Vec<u8>) -> Result<Vec<u8>, CommandError> {
        let _ = (command, body);
        todo!()
    }

    /// A beacon of this device was heard from this address: a waiting reconnect is tried at once (at most every 5 s), an
    /// unknown version is taken from it, a changed address is used for the next connection. Beacons of other devices are ignored.
    pub fn heard(&self, beacon: &Beacon, from: std::net::IpAddr) {
        let _ = (beacon, from);
        todo!()
    }

    /// The device is at another address. Reconnects if it was connected elsewhere.
    pub fn set_address(&self, address: SocketAddr) {
        let _ = address;
        todo!()
    }

    /// The device has another local key (paired anew). Reconnects.
    pub fn set_key(&self, key: LocalKey) {
        let _ = key;
        todo!()
    }

    /// Closes the connection cleanly and ends all commands; returns when the socket is closed.
    pub async fn close(&self) {
        todo!()
    }
}
