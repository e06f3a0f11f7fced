//! What makes one generation of firmware different from another, as data (cloud.md 0.3, 1.3).

use core::time::Duration;
use std::fmt;
use std::str::FromStr;

use landfall_proto::gateway::{Encryption, Path};
use landfall_proto::mqtt::Envelope;
use serde::Serialize;

use super::calls::Ask;
use super::mqtt_codec::Level;

/// The generations that are simulated (cloud.md 0.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Generation {
    /// To 2019: `/gw.json` in clear, envelope 2.1.
    A,
    /// 2019 to 2021: `/gw.json` over TLS-PSK with `et=1`, envelope 2.2.
    B,
    /// 2018 to now: the name service, then `/d.json` with `et=1`, envelope 2.2.
    C,
}

impl Generation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Its letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no generation is called {0:?}; A, B and C are simulated")]
pub struct GenerationError(pub String);

impl FromStr for Generation {
    type Err = GenerationError;
    fn from_str(s: &str) -> Result<Self, GenerationError> {
        let found = Self::ALL.into_iter().find(|g| g.as_str() == s);
        found.ok_or_else(|| GenerationError(s.chars().take(20).collect()))
    }
}

/// One step of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call; the next step waits for its answer.
    Call(Ask),
    /// MQTT: the next step waits until the subscription is acknowledged.
    Mqtt,
}

/// How a device downloads firmware (cloud.md 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Download {
    /// ESP8266: the header first, then pieces.
    Pieces {
        /// Bytes of the header.
        header: u64,
        /// Bytes of a piece.
        piece: u64,
    },
    /// BK7231: one range that is the whole file, written with its size: `bytes=0-588207/588208`.
    OneRange,
}

/// A generation's habits.
#[derive(Debug)]
pub struct Profile {
    /// Which.
    pub generation: Generation,
    /// Path of the gateway.
    pub path: Path,
    /// `et`.
    pub encryption: Encryption,
    /// Envelope of MQTT payloads; the only one that it takes.
    pub envelope: Envelope,
    /// Version of MQTT.
    pub level: Level,
    /// Seconds of MQTT's keep-alive.
    pub keep_alive: u16,
    /// Headers that name the firmware, in order. C sends its User-Agent twice (sdk-observed.md 1).
    pub headers: &'static [(&'static str, &'static str)],
    /// The steps of a first boot; an activated device leaves out what leads to its keys.
    pub boot: &'static [Step],
    /// Whether reports name the device (cloud.md 4.7).
    pub names_itself: bool,
    /// Whether each point goes in a report of its own, as the seed's plug does (cloud.md 6.1).
    pub one_by_one: bool,
    /// Whether it hashes its device id instead of its uuid into PSK identities of type 1 (cloud.md 3.1).
    pub hashes_device_id: bool,
    /// Version of the vendor's library that it reports.
    pub baseline: &'static str,
    /// How firmware is fetched.
    pub download: Download,
    /// Version of `upgrade.get` and `upgrade.silent.get`.
    pub upgrade_version: &'static str,
    /// Version of `dynamic.config.get`.
    pub config_version: &'static str,
}

/// How often a device asks for the count of its timers (cloud.md 1.3).
pub const TIMER_COUNT_EVERY: Duration = Duration::from_secs(25 * 60);
/// How often it asks for silent updates (cloud.md 5.1).
pub const SILENT_UPGRADE_EVERY: Duration = Duration::from_secs(24 * 3_600);

impl Profile {
    /// The habits of a generation.
    pub const fn of(generation: Generation) -> &'static Self {
        match generation {
            Generation::A => &A,
            Generation::B => &B,
            Generation::C => &C,
        }
    }
}

static A: Profile = Profile {
    generation: Generation::A,
    path: Path::Gw,
    encryption: Encryption::AnswerClear,
    envelope: Envelope::V2_1,
    level: Level::V3_1,
    keep_alive: 60,
    headers: &[("Ty-Ua", "HW")],
    boot: &[
        Step::Call(Ask::Token),
        Step::Call(Ask::Activate),
        Step::Mqtt,
        Step::Call(Ask::GatewayUpdate),
        Step::Call(Ask::DeviceUpdate),
        Step::Call(Ask::DebugLog),
        Step::Call(Ask::SilentUpgrade),
        Step::Call(Ask::TimerCount),
    ],
    names_itself: true,
    one_by_one: true,
    hashes_device_id: true,
    baseline: "5.42",
    download: Download::Pieces { header: 51, piece: 4_096 },
    upgrade_version: "4.1",
    config_version: "1.0",
};

static B: Profile = Profile {
    generation: Generation::B,
    path: Path::Gw,
    encryption: Encryption::Ecb,
    envelope: Envelope::V2_2,
    level: Level::V3_1,
    keep_alive: 60,
    headers: &[("User-Agent", "ESP8266SDK")],
    boot: &[
        Step::Call(Ask::Token),
        Step::Call(Ask::Activate),
        Step::Mqtt,
        Step::Call(Ask::Config),
        Step::Call(Ask::GatewayUpdate),
        Step::Call(Ask::DeviceUpdate),
        Step::Call(Ask::DebugLog),
        Step::Call(Ask::SilentUpgrade),
        Step::Call(Ask::TimerCount),
    ],
    names_itself: true,
    one_by_one: false,
    hashes_device_id: true,
    baseline: "22.11",
    download: Download::Pieces { header: 64, piece: 8_192 },
    upgrade_version: "4.3",
    config_version: "1.0",
};

static C: Profile = Profile {
    generation: Generation::C,
    path: Path::D,
    encryption: Encryption::Ecb,
    envelope: Envelope::V2_2,
    level: Level::V3_1_1,
    keep_alive: 120,
    headers: &[("User-Agent", "TUYA_IOT_SDK"), ("User-Agent", "TUYA_IOT_SDK")],
    boot: &[
        Step::Call(Ask::NameService),
        Step::Call(Ask::Activate),
        Step::Call(Ask::Config),
        Step::Call(Ask::PskKey),
        Step::Mqtt,
        Step::Call(Ask::SilentUpgrade),
        Step::Call(Ask::TimerCount),
        Step::Call(Ask::DebugLog),
        Step::Call(Ask::Versions),
        Step::Call(Ask::SchemaNewest),
    ],
    names_itself: false,
    one_by_one: false,
    hashes_device_id: false,
    baseline: "40.00",
    download: Download::OneRange,
    upgrade_version: "4.4",
    config_version: "2.0",
};
