//! What requests say.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use landfall_book::Timer;
use landfall_proto::id::LocalKey;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::tokens::Scope;

/// A local key as somebody wrote it: 16 printable ASCII characters. Prints as `LocalKey(..)`, and an error never repeats it.
#[derive(Clone)]
pub struct KeyText(pub LocalKey);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let not_text = |_| serde::de::Error::custom("a local key is a text of 16 characters");
        let text = String::deserialize(d).map_err(not_text)?;
        LocalKey::new(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A device to be added by hand.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddBody {
    /// Device id.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:-]+$")]
    pub id: String,
    /// Name; the id where missing.
    #[schema(min_length = 1)]
    pub name: Option<String>,
    /// Local key. Taken, never shown.
    #[schema(value_type = Option<String>, min_length = 16, max_length = 16, write_only, pattern = "^[ -~]{16}$")]
    pub key: Option<KeyText>,
    /// Where it is: an IP address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Port, if not 6668.
    #[schema(minimum = 1)]
    pub port: Option<u16>,
    /// LAN protocol version: `3.1` to `3.5`.
    #[schema(pattern = "^3\\.[1-5]$")]
    pub version: Option<String>,
    /// The gateway's device id, of a sub-device.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:-]+$")]
    pub parent: Option<String>,
    /// Its id under the gateway.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._:-]+$")]
    pub cid: Option<String>,
}

/// What to change of a device; what is missing stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditBody {
    /// New name.
    #[schema(min_length = 1)]
    pub name: Option<String>,
    /// Room; an empty text takes it away.
    pub room: Option<String>,
    /// Local key. Taken, never shown; the old one goes into the history.
    #[schema(value_type = Option<String>, min_length = 16, max_length = 16, write_only, pattern = "^[ -~]{16}$")]
    pub key: Option<KeyText>,
    /// Address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// LAN protocol version: `3.1` to `3.5`.
    #[schema(pattern = "^3\\.[1-5]$")]
    pub version: Option<String>,
    /// Whether it sleeps.
    pub sleeper: Option<bool>,
    /// The owner's own definition, as TOML; an empty text takes it away.
    pub definition: Option<String>,
}

/// What to say of a point, in the words of a profile's `[[point]]`: `null` takes a word back, what is missing stays. Limits,
/// unit and words count together with `type`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PointWords {
    /// The vendor's word for it.
    pub code: Option<String>,
    /// `bool`, `value`, `enum`, `string`, `raw`, `bitmap`.
    #[serde(rename = "type")]
    #[schema(pattern = "^(bool|value|enum|string|raw|bitmap)$")]
    pub kind: Option<String>,
    /// `rw`, `ro`, `wr`.
    #[schema(pattern = "^(rw|ro|wr)$")]
    pub access: Option<String>,
    /// Name of its attribute.
    pub name: Option<String>,
    /// Smallest value, unscaled.
    pub min: Option<i64>,
    /// Largest value, unscaled.
    pub max: Option<i64>,
    /// Smallest difference, unscaled.
    pub step: Option<i64>,
    /// Decimal places.
    #[schema(maximum = 12)]
    pub scale: Option<u8>,
    /// Unit.
    pub unit: Option<String>,
    /// Words of an enum.
    pub range: Option<Vec<String>>,
    /// Labels of bits.
    pub labels: Option<Vec<String>>,
    /// Longest text or raw value.
    pub maxlen: Option<u32>,
    /// Each write makes something happen.
    pub action: Option<bool>,
    /// Told only when asked.
    pub passive: Option<bool>,
    /// How it is told: `pulse`.
    pub trigger: Option<String>,
    /// A pushed repeat is an event.
    pub event: Option<bool>,
    /// Its values are worth a history.
    pub history: Option<bool>,
    /// Not offered to people.
    pub hidden: Option<bool>,
}

/// [`PointWords`], with what was `null` told from what was missing.
#[derive(Debug)]
pub struct PointEdit(pub Map<String, Value>);

impl<'de> Deserialize<'de> for PointEdit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let words = Map::deserialize(d)?;
        PointWords::deserialize(Value::Object(words.clone())).map_err(serde::de::Error::custom)?;
        Ok(Self(words))
    }
}

/// Points to set, unscaled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandBody {
    /// By number: `{"1": true}`.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub dps: BTreeMap<String, Value>,
    /// Over this line only: `lan` or `cloud`.
    #[schema(value_type = Option<String>, pattern = "^(lan|cloud)$")]
    pub line: Option<String>,
    /// When to give up, 100 to 60000.
    #[schema(minimum = 100, maximum = 60_000)]
    pub timeout_ms: Option<u64>,
    /// Wait until the device shows the values; default true.
    pub confirm: Option<bool>,
}

/// A value of a point, unscaled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PointValue {
    /// Boolean, number or text.
    #[schema(value_type = Value)]
    pub value: Value,
}

/// Timers kept in the device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimersBody {
    /// All of them; `null` leaves the device its own.
    pub timers: Option<Vec<TimerBody>>,
}

/// A timer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimerBody {
    /// Number, unique for the device.
    pub id: u32,
    /// `YYYYMMDD` for once; missing or `00000000` for weekly.
    #[serde(default = "weekly")]
    #[schema(pattern = "^[0-9]{8}$")]
    pub date: String,
    /// `HH:MM` in the device's time zone.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub time: String,
    /// Days of the week as bits; 0 for once.
    #[serde(default)]
    #[schema(maximum = 127)]
    pub loops: u8,
    /// What is set, by number: `{"1": true}`.
    #[schema(value_type = Object)]
    pub dps: Map<String, Value>,
}

fn weekly() -> String {
    "00000000".to_owned()
}

impl From<TimerBody> for Timer {
    fn from(t: TimerBody) -> Self {
        Self { id: t.id, date: t.date, time: t.time, loops: t.loops, dps: Value::Object(t.dps).to_string() }
    }
}

/// An activation window to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowAsked {
    /// For this hardware or device only (uuid or device id); for anybody when missing.
    #[schema(min_length = 1, max_length = 64)]
    pub who: Option<String>,
    /// For how long: 10 to 86400.
    #[schema(minimum = 10, maximum = 86_400)]
    pub seconds: u64,
}

/// A token to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsked {
    /// What it is for.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// From when on it is worth nothing; never when missing.
    pub expires_ms: Option<u64>,
}
