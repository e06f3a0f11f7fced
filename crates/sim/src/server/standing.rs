//! How a device stands with its cloud, and who that makes it.

use landfall_proto::id::{DeviceId, LocalKey};

use crate::device::VirtualDevice;

/// What an activation changes.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: DeviceId,
    pub(crate) key: LocalKey,
}

/// How a device stands with its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudState {
    /// Whether it has a cloud side that is on.
    pub on: bool,
    /// Whether it has an owner.
    pub activated: bool,
    /// Whether MQTT is up.
    pub online: bool,
    /// Version of its firmware.
    pub software: Option<String>,
    /// How many timers it has.
    pub timers: usize,
}

impl CloudState {
    pub(super) fn of(device: &VirtualDevice) -> Self {
        let cloud = device.cloud();
        Self {
            on: cloud.is_some(),
            activated: cloud.is_some_and(|c| c.is_activated()),
            online: device.is_online(),
            software: cloud.map(|c| c.flash().software.clone()),
            timers: cloud.map_or(0, |c| c.flash().timers.list.len()),
        }
    }
}
