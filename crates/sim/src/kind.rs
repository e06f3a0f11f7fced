//! The kinds of virtual devices.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What a virtual device is. Facts about each kind stand in [`product`](crate::product).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Metering plug of the first generation (points 1, 2, 4, 5, 6; lan.md 8.2).
    PlugOld,
    /// The same with a USB socket (7), its countdown (11) and a maker's point (101).
    PlugOldUsb,
    /// Metering plug of today (1, 9, 17 to 26, 38 to 41).
    Plug,
    /// Two-gang wall switch that answers queries in the "device22" form only (lan.md 5.5).
    Switch22,
    /// RGB+CCT bulb, family A (lan.md 8.3).
    BulbOld,
    /// RGB+CCT bulb, family B.
    Bulb,
    /// Cover motor with travel time (lan.md 8.4, type 1).
    Cover,
    /// Room thermostat (lan.md 8.5).
    Thermostat,
    /// Gateway: no points of its own, sub-devices by cid (lan.md 3.9).
    Gateway,
    /// Battery temperature and humidity sensor; by itself it sleeps and does not listen, behind a gateway it reports.
    BatterySensor,
    /// Pet feeder: each write of point 3 feeds.
    Feeder,
    /// Fan with speeds, direction and swing (lan.md 8.6).
    Fan,
    /// Dimmer switch of one channel (lan.md 8.2).
    Dimmer,
    /// Infrared blaster that takes JSON text (201) and tells learnt codes (202) (lan.md 8.6).
    Infrared,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::PlugOld,
        Self::PlugOldUsb,
        Self::Plug,
        Self::Switch22,
        Self::BulbOld,
        Self::Bulb,
        Self::Cover,
        Self::Thermostat,
        Self::Gateway,
        Self::BatterySensor,
        Self::Feeder,
        Self::Fan,
        Self::Dimmer,
        Self::Infrared,
    ];

    /// The kind's name in a home file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlugOld => "plug-old",
            Self::PlugOldUsb => "plug-old-usb",
            Self::Plug => "plug",
            Self::Switch22 => "switch22",
            Self::BulbOld => "bulb-old",
            Self::Bulb => "bulb",
            Self::Cover => "cover",
            Self::Thermostat => "thermostat",
            Self::Gateway => "gateway",
            Self::BatterySensor => "battery-sensor",
            Self::Feeder => "feeder",
            Self::Fan => "fan",
            Self::Dimmer => "dimmer",
            Self::Infrared => "infrared",
        }
    }

    /// Whether it measures a load.
    pub const fn meters(self) -> bool {
        matches!(self, Self::PlugOld | Self::PlugOldUsb | Self::Plug)
    }

    /// Whether it sleeps when it stands alone, so that nothing listens on the network.
    pub const fn sleeps(self) -> bool {
        matches!(self, Self::BatterySensor)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0:?}")]
pub struct KindError(pub String);

impl FromStr for Kind {
    type Err = KindError;
    fn from_str(s: &str) -> Result<Self, KindError> {
        Self::ALL.into_iter().find(|k| k.as_str() == s).ok_or_else(|| KindError(s.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("toaster".parse::<Kind>().is_err());
    }
}
