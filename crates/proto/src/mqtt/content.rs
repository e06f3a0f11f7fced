//! The data of messages, number by number (cloud.md 4.7).

use std::fmt;

use serde::de::{self, Deserializer};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use super::message::Protocol;
use crate::dp::{DpId, Dps};
use crate::id::{Cid, DeviceId};
use crate::json::{self, Raw};

/// Longest list that is read; more is an attack or garbage.
const MAX_LIST: usize = 512;
/// Longest activation token; apps make 8 characters, some pairings 6 (cloud.md 0.2).
const MAX_TOKEN: usize = 64;

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// 4: the device reports points.
    Report(Report),
    /// 5: the cloud sets points.
    Set(SetPoints),
    /// 11: the cloud resets the device.
    Reset(Reset),
    /// 13: the cloud's timers changed; the device asks for their count.
    TimersChanged(Identified),
    /// 15: the device shall ask for firmware.
    CheckFirmware(FirmwareCheck),
    /// 16: how far the device's download is.
    Progress(Progress),
    /// 22: the cloud asks something else than points.
    Question(Question),
    /// 23: the device answers it.
    Answer(Answer),
    /// 26: the device got a command.
    Acknowledged(Acknowledged),
    /// 31: the device shall report points, passive ones too.
    Query(PointQuery),
    /// 41: when daylight saving begins and ends.
    DaylightSaving(DaylightSaving),
    /// 46: the token for a device that waits for its activation.
    Token(Token),
    /// Any other number, its data as it came.
    Other {
        /// The number.
        protocol: Protocol,
        /// The data.
        data: Raw,
    },
}

impl Content {
    /// The number it travels under.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Report(_) => Protocol::REPORT,
            Self::Set(_) => Protocol::SET,
            Self::Reset(_) => Protocol::RESET,
            Self::TimersChanged(_) => Protocol::TIMERS,
            Self::CheckFirmware(_) => Protocol::UPGRADE,
            Self::Progress(_) => Protocol::PROGRESS,
            Self::Question(_) => Protocol::DATA_REQUEST,
            Self::Answer(_) => Protocol::DATA_ANSWER,
            Self::Acknowledged(_) => Protocol::ACKNOWLEDGE,
            Self::Query(_) => Protocol::QUERY,
            Self::DaylightSaving(_) => Protocol::DAYLIGHT_SAVING,
            Self::Token(_) => Protocol::TOKEN,
            Self::Other { protocol, .. } => *protocol,
        }
    }
}

impl Serialize for Content {
    /// Writes the data alone.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Report(data) => data.serialize(s),
            Self::Set(data) => data.serialize(s),
            Self::Reset(data) => data.serialize(s),
            Self::TimersChanged(data) => data.serialize(s),
            Self::CheckFirmware(data) => data.serialize(s),
            Self::Progress(data) => data.serialize(s),
            Self::Question(data) => data.serialize(s),
            Self::Answer(data) => data.serialize(s),
            Self::Acknowledged(data) => data.serialize(s),
            Self::Query(data) => data.serialize(s),
            Self::DaylightSaving(data) => data.serialize(s),
            Self::Token(data) => data.serialize(s),
            Self::Other { data, .. } => data.serialize(s),
        }
    }
}

/// 4: points with their values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The device; generations A and D and some of E name it.
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_id: Option<DeviceId>,
    /// A sub-device of it.
    #[serde(default, deserialize_with = "json::named", skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    /// The points.
    pub dps: Dps,
    /// When a point changed, seconds since 1970, where the device says so.
    #[serde(
        default,
        rename = "t",
        deserialize_with = "read_times",
        serialize_with = "write_times",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub times: Vec<(DpId, u64)>,
}

/// 5: points to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SetPoints {
    /// The device; SDKs do without.
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_id: Option<DeviceId>,
    /// A sub-device of it.
    #[serde(default, deserialize_with = "json::named", skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    /// The points.
    pub dps: Dps,
    /// Read by stock firmware; meaning unknown, kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctype: Option<Raw>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mbid: Option<Raw>,
}

/// 11: forget the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The device. A cloud must send it: SDKs of generations D and E crash without.
    #[serde(
        default,
        rename = "gwId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub gw_id: Option<DeviceId>,
    /// Wipe everything (root-level `"type":"reset_factory"`) instead of unbinding.
    #[serde(skip)]
    pub wipe: bool,
}

/// 13: whom it concerns, if it says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The device.
    #[serde(
        default,
        rename = "gwId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub gw_id: Option<DeviceId>,
    /// The device again, or a sub-device.
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_id: Option<DeviceId>,
}

/// 15: ask for firmware. To send both fields is safe for every generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareCheck {
    /// The device (A, B).
    #[serde(
        default,
        rename = "gwId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub gw_id: Option<DeviceId>,
    /// Which firmware (C, D, E): 0 main, 1 BLE, 3 Zigbee, 9 MCU.
    #[serde(
        default,
        rename = "firmwareType",
        deserialize_with = "json::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub firmware_type: Option<u32>,
}

/// 16: download progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100; text on the wire.
    #[serde(rename = "progress", deserialize_with = "read_percent", serialize_with = "write_percent")]
    pub percent: u8,
    /// Which firmware (not on ESP8266).
    #[serde(
        default,
        rename = "firmwareType",
        deserialize_with = "json::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub firmware_type: Option<u32>,
    /// The device (ESP8266).
    #[serde(
        default,
        rename = "gwId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub gw_id: Option<DeviceId>,
    /// The device again.
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_id: Option<DeviceId>,
}

/// 22: a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which; `sigQry` asks for the Wi-Fi signal.
    #[serde(rename = "reqType")]
    pub req_type: String,
}

impl Question {
    /// Asks for the Wi-Fi signal in dBm.
    pub const SIGNAL: &str = "sigQry";
}

/// 23: its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// To which question.
    #[serde(rename = "reqType")]
    pub req_type: String,
    /// `{"signal":-60}` for the signal.
    pub data: Raw,
}

impl Answer {
    /// The Wi-Fi signal in dBm, if that was the question.
    pub fn signal(&self) -> Option<i32> {
        #[derive(Deserialize)]
        struct Signal {
            signal: i32,
        }
        let known = self.req_type == Question::SIGNAL;
        known.then(|| self.data.read::<Signal>().ok()).flatten().map(|s| s.signal)
    }
}

/// 26: a command arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The command's.
    #[serde(rename = "ackId")]
    pub ack_id: String,
}

/// 31: report points.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointQuery {
    /// Which; all when missing.
    #[serde(
        default,
        rename = "dpId",
        deserialize_with = "read_points",
        serialize_with = "write_points",
        skip_serializing_if = "Option::is_none"
    )]
    pub points: Option<Vec<DpId>>,
}

/// 41: daylight saving.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaylightSaving {
    /// From and to, seconds since 1970, for some years ahead.
    #[serde(rename = "dstIntervals", deserialize_with = "bounded")]
    pub intervals: Vec<[u64; 2]>,
}

/// 46: what a device needs for its activation. The token is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The pairing token; 8 characters at most for the SDKs of generations D and E.
    #[serde(deserialize_with = "read_token")]
    pub token: String,
    /// The region, two characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The environment, four characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Where to activate; read by agentic-kit alone.
    #[serde(default, rename = "httpsUrl", skip_serializing_if = "Option::is_none")]
    pub https_url: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token {{ region: {:?}, env: {:?}, .. }}", self.region, self.env)
    }
}

fn read_token<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let token = String::deserialize(d)?;
    match token.len() {
        1..=MAX_TOKEN => Ok(token),
        n => Err(de::Error::custom(format!("a token of {n} characters, not 1 to {MAX_TOKEN}"))),
    }
}

fn read_percent<'de, D: Deserializer<'de>>(d: D) -> Result<u8, D::Error> {
    let percent: Option<u8> = json::whole(d)?;
    percent.filter(|p| *p <= 100).ok_or_else(|| de::Error::custom("progress is not 0 to 100"))
}

fn write_percent<S: Serializer>(percent: &u8, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(percent)
}

fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::<T>::deserialize(d)?;
    if list.len() > MAX_LIST {
        return Err(de::Error::custom(format!("more than {MAX_LIST} entries")));
    }
    Ok(list)
}

fn read_points<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<DpId>>, D::Error> {
    let list: Vec<u16> = bounded(d)?;
    Ok(Some(list.into_iter().map(DpId).collect()))
}

// serde hands over what the field is: a reference to the whole option.
#[allow(clippy::ref_option)]
fn write_points<S: Serializer>(points: &Option<Vec<DpId>>, s: S) -> Result<S::Ok, S::Error> {
    let points = points.as_deref().unwrap_or_default();
    let mut list = s.serialize_seq(Some(points.len()))?;
    for id in points {
        list.serialize_element(&id.0)?;
    }
    list.end()
}

/// Only the form that is known, an object of times, is read; another `t` next to the points says nothing we know.
fn read_times<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<(DpId, u64)>, D::Error> {
    let serde_json::Value::Object(map) = serde_json::Value::deserialize(d)? else { return Ok(Vec::new()) };
    if map.len() > MAX_LIST {
        return Err(de::Error::custom(format!("more than {MAX_LIST} times")));
    }
    let mut times: Vec<_> =
        map.iter().filter_map(|(id, t)| Some((id.parse::<DpId>().ok()?, t.as_u64()?))).collect();
    times.sort_unstable();
    Ok(times)
}

fn write_times<S: Serializer>(times: &[(DpId, u64)], s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(Some(times.len()))?;
    for (id, t) in times {
        map.serialize_entry(&id.0.to_string(), t)?;
    }
    map.end()
}
