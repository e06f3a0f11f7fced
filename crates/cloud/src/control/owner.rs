//! What the owner may change: in a running cloud by its control socket, without one directly.

use std::path::Path;

use async_trait::async_trait;
use landfall_proto::id::DeviceId;
use serde::{Deserialize, Serialize};

use super::Window;
use crate::backend::Timer;

/// An approved image, without what would let a stranger download it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Device.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Channel; 0 is the main firmware.
    pub kind: u32,
    /// Version told.
    pub version: String,
    /// Size in bytes; `None` when the file is missing.
    pub size: Option<u64>,
}

/// A person whose MQTT clients may log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonInfo {
    /// MQTT user name.
    pub name: String,
    /// Since when, seconds since 1970-01-01 UTC.
    pub since: u64,
}

/// Why something was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct OwnerError {
    /// Stable dotted code.
    pub code: &'static str,
    /// In words; no secrets.
    pub what: String,
}

/// The owner's hand on whatever keeps the devices. Everything has been stored when it returns.
#[async_trait]
pub trait Owner: Send + Sync + 'static {
    /// The windows that are open.
    fn windows(&self) -> Vec<Window>;

    /// Answers activations for a while.
    fn open_window(&self, window: Window);

    /// Closes all windows before their time.
    fn close_windows(&self);

    /// Gives a device timers; `None` leaves it its own.
    async fn set_timers(&self, device: &DeviceId, timers: Option<Vec<Timer>>) -> Result<(), OwnerError>;

    /// All approved images.
    fn images(&self) -> Vec<ImageInfo>;

    /// Approves an image for a device and channel, in place of the one before.
    async fn approve(
        &self,
        device: &DeviceId,
        kind: u32,
        version: &str,
        file: &Path,
    ) -> Result<ImageInfo, OwnerError>;

    /// Takes an approval back; says whether there was one.
    async fn withdraw(&self, device: &DeviceId, kind: u32) -> Result<bool, OwnerError>;

    /// The people.
    fn people(&self) -> Vec<PersonInfo>;

    /// Adds a person and makes a password, which is told this once.
    async fn add_person(&self, name: &str) -> Result<String, OwnerError>;

    /// Removes a person; says whether there was one.
    async fn remove_person(&self, name: &str) -> Result<bool, OwnerError>;

    /// Forgets the pinned password of an adopted device: the next one is pinned. Says whether there was one.
    async fn unpin(&self, device: &DeviceId) -> Result<bool, OwnerError>;

    /// Reads the book again, which another process has changed.
    async fn reload(&self) -> Result<(), OwnerError>;
}
