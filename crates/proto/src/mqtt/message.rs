//! The JSON inside an envelope: `{"protocol":N,"t":T,"data":{...}}` (cloud.md 4.7).
//!
//! Numbers whose data the table describes are typed; all others keep their data as it came.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::content::{
    Acknowledged, Answer, Content, DaylightSaving, FirmwareCheck, Identified, PointQuery, Progress, Question,
    Report, Reset, SetPoints, Token,
};
use crate::json::{self, Raw};

/// A protocol number. An unknown one survives and prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u32);

impl Protocol {
    /// Device: data points.
    pub const REPORT: Self = Self(4);
    /// Cloud: set data points.
    pub const SET: Self = Self(5);
    /// Cloud: a sub-device is unbound.
    pub const SUBDEVICE_UNBIND: Self = Self(8);
    /// Cloud: forget the owner.
    pub const RESET: Self = Self(11);
    /// Cloud: ask for your timers.
    pub const TIMERS: Self = Self(13);
    /// Cloud: ask for firmware.
    pub const UPGRADE: Self = Self(15);
    /// Device: how far the download is.
    pub const PROGRESS: Self = Self(16);
    /// Cloud: a question other than for points.
    pub const DATA_REQUEST: Self = Self(22);
    /// Device: its answer.
    pub const DATA_ANSWER: Self = Self(23);
    /// Device: which sub-devices are reachable.
    pub const SUBDEVICES_ONLINE: Self = Self(25);
    /// Device: a command arrived.
    pub const ACKNOWLEDGE: Self = Self(26);
    /// Cloud: ask for your configuration.
    pub const CONFIG_CHANGED: Self = Self(27);
    /// Cloud: report these points.
    pub const QUERY: Self = Self(31);
    /// Cloud: daylight-saving intervals.
    pub const DAYLIGHT_SAVING: Self = Self(41);
    /// Device: a log was uploaded.
    pub const LOG_UPLOADED: Self = Self(45);
    /// Cloud: the token for the activation.
    pub const TOKEN: Self = Self(46);
    /// Cloud: commands are waiting (`dev.dp.get`).
    pub const CACHED_COMMANDS: Self = Self(103);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol {}", self.0)
    }
}

/// Why a message was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No JSON object with a protocol number.
    #[error("no message: {0}")]
    Malformed(String),
    /// The data is not what its number needs.
    #[error("the data of {protocol} is malformed: {reason}")]
    Data {
        /// Which number.
        protocol: Protocol,
        /// What is wrong.
        reason: String,
    },
}

/// A message in either direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The sender's clock in seconds: since 1970, or since power-on while a device's clock is not set. Some devices
    /// send none.
    pub t: Option<u64>,
    /// Counts the messages of a sender in envelope 2.1 (cloud.md 4.3), -1 in some commands; the others have it in
    /// their header.
    pub s: Option<i64>,
    /// What an acknowledgement (26) shall name, when the cloud wants one.
    pub ack_id: Option<String>,
    /// What it says.
    pub content: Content,
}

/// A message as it stands, its data unread.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(default, deserialize_with = "json::whole")]
    protocol: Option<u32>,
    #[serde(default, deserialize_with = "json::whole")]
    t: Option<u64>,
    #[serde(default, deserialize_with = "json::whole")]
    s: Option<i64>,
    #[serde(default, borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(default, rename = "ackId", deserialize_with = "json::named")]
    ack_id: Option<String>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

/// What any command may carry in its data.
#[derive(Deserialize)]
struct AckId {
    #[serde(default, rename = "ackId", deserialize_with = "json::named")]
    ack_id: Option<String>,
}

/// A message to be written. The order is that of devices: protocol, t, data, s.
#[derive(Serialize)]
struct Written<'a> {
    protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
    data: &'a Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "ackId")]
    ack_id: Option<&'a str>,
}

/// The root-level `type` of a reset that wipes everything.
const WIPE: &str = "reset_factory";

impl Message {
    /// A message without `s` and acknowledgement. `t`: seconds since 1970.
    pub const fn new(t: u64, content: Content) -> Self {
        Self { t: Some(t), s: None, ack_id: None, content }
    }

    /// Its number.
    pub const fn protocol(&self) -> Protocol {
        self.content.protocol()
    }

    /// Reads a JSON text. Trailing NULs and broken UTF-8 are tolerated.
    ///
    /// # Errors
    /// Not a JSON object, no protocol number, or data that its number does not allow.
    pub fn parse(text: &[u8]) -> Result<Self, MessageError> {
        let text = json::text(text);
        let outer: Outer<'_> =
            serde_json::from_str(&text).map_err(|e| MessageError::Malformed(e.to_string()))?;
        let Some(protocol) = outer.protocol.map(Protocol) else {
            return Err(MessageError::Malformed("it has no protocol number".to_owned()));
        };
        let data = outer.data.map_or("{}", RawValue::get);
        let wipe = outer.kind.is_some_and(|k| serde_json::from_str(k.get()).is_ok_and(|k: String| k == WIPE));
        let content = content(protocol, data, outer.data, wipe)
            .map_err(|e| MessageError::Data { protocol, reason: e.to_string() })?;
        // Where the cloud puts it is not known for certain; data that is no object has none.
        let inner = || match protocol {
            Protocol::ACKNOWLEDGE => None,
            _ => serde_json::from_str::<AckId>(data).ok().and_then(|a| a.ack_id),
        };
        let ack_id = outer.ack_id.or_else(|| data.contains("ackId").then(inner).flatten());
        Ok(Self { t: outer.t, s: outer.s, ack_id, content })
    }

    /// Writes compact JSON.
    ///
    /// # Errors
    /// A data point whose `Json` value is not JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, MessageError> {
        let kind = match &self.content {
            Content::Reset(Reset { wipe: true, .. }) => Some(WIPE),
            _ => None,
        };
        let written = Written {
            protocol: self.protocol(),
            t: self.t,
            data: &self.content,
            s: self.s,
            kind,
            ack_id: self.ack_id.as_deref(),
        };
        serde_json::to_vec(&written)
            .map_err(|e| MessageError::Data { protocol: self.protocol(), reason: e.to_string() })
    }
}

fn content(
    protocol: Protocol,
    data: &str,
    raw: Option<&RawValue>,
    wipe: bool,
) -> Result<Content, serde_json::Error> {
    fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, serde_json::Error> {
        serde_json::from_str(data)
    }
    Ok(match protocol {
        Protocol::REPORT => Content::Report(read::<Report>(data)?),
        Protocol::SET => Content::Set(read::<SetPoints>(data)?),
        Protocol::RESET => Content::Reset(Reset { wipe, ..read(data)? }),
        Protocol::TIMERS => Content::TimersChanged(read::<Identified>(data)?),
        Protocol::UPGRADE => Content::CheckFirmware(read::<FirmwareCheck>(data)?),
        Protocol::PROGRESS => Content::Progress(read::<Progress>(data)?),
        Protocol::DATA_REQUEST => Content::Question(read::<Question>(data)?),
        Protocol::DATA_ANSWER => Content::Answer(read::<Answer>(data)?),
        Protocol::ACKNOWLEDGE => Content::Acknowledged(read::<Acknowledged>(data)?),
        Protocol::QUERY => Content::Query(read::<PointQuery>(data)?),
        Protocol::DAYLIGHT_SAVING => Content::DaylightSaving(read::<DaylightSaving>(data)?),
        Protocol::TOKEN => Content::Token(read::<Token>(data)?),
        _ => Content::Other { protocol, data: raw.map_or_else(Raw::null, Raw::from) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dp::{DpId, DpValue};
    use crate::id::{Cid, DeviceId};

    fn parse(text: &str) -> Message {
        Message::parse(text.as_bytes()).unwrap()
    }

    fn written(message: &Message) -> String {
        String::from_utf8(message.to_json().unwrap()).unwrap()
    }

    /// Messages of cloud.md 4.3 to 4.7 in our order, so that writing gives the text again.
    const AS_WRITTEN: &[&str] = &[
        r#"{"protocol":4,"t":7614,"data":{"devId":"01234567a1b2c3d4e5f6","dps":{"4":73}},"s":42}"#,
        r#"{"protocol":4,"t":1694179683,"data":{"dps":{"3":"high"}}}"#,
        r#"{"protocol":4,"t":1,"data":{"cid":"a1","dps":{"1":true},"t":{"1":1700000000}}}"#,
        r#"{"protocol":5,"t":1,"data":{"devId":"bf01","dps":{"1":false}},"s":-1}"#,
        r#"{"protocol":5,"t":1,"data":{"cid":"a1","dps":{"1":false},"ctype":0,"mbid":"m"},"ackId":"7"}"#,
        r#"{"protocol":11,"t":1,"data":{"gwId":"bf01"}}"#,
        r#"{"protocol":11,"t":1,"data":{"gwId":"bf01"},"type":"reset_factory"}"#,
        r#"{"protocol":13,"t":1,"data":{"gwId":"bf01","devId":"bf01"}}"#,
        r#"{"protocol":13,"t":1,"data":{}}"#,
        r#"{"protocol":15,"t":1,"data":{"gwId":"bf01","firmwareType":0}}"#,
        r#"{"protocol":16,"data":{"progress":"42","firmwareType":0}}"#,
        r#"{"protocol":16,"t":1,"data":{"progress":"100","gwId":"bf01","devId":"bf01"}}"#,
        r#"{"protocol":22,"t":1,"data":{"reqType":"sigQry"}}"#,
        r#"{"protocol":23,"t":1,"data":{"reqType":"sigQry","data":{"signal":-60}}}"#,
        r#"{"protocol":26,"t":1,"data":{"ackId":"7"}}"#,
        r#"{"protocol":31,"t":1,"data":{"dpId":[1,2]}}"#,
        r#"{"protocol":31,"t":1,"data":{}}"#,
        r#"{"protocol":41,"t":1,"data":{"dstIntervals":[[1679792400,1698541200]]}}"#,
        r#"{"protocol":46,"t":1700000000,"data":{"token":"a1b2c3d4","region":"EU","env":"pro"}}"#,
        r#"{"protocol":302,"t":1,"data":{"dps": [1, 2],"kept" : "as it came"}}"#,
        r#"{"protocol":27,"t":1,"data":null}"#,
    ];

    #[test]
    fn every_kind_reads_and_writes_back() {
        for text in AS_WRITTEN {
            assert_eq!(written(&parse(text)), *text);
        }
    }

    #[test]
    fn data_comes_typed() {
        let id = DeviceId::new("01234567a1b2c3d4e5f6").unwrap();
        let m = parse(AS_WRITTEN[0]);
        assert_eq!((m.protocol(), m.t, m.s), (Protocol::REPORT, Some(7614), Some(42)));
        let Content::Report(report) = m.content else { panic!("{m:?}") };
        assert_eq!(report.dev_id, Some(id));
        assert_eq!(report.dps.value(DpId(4)), Some(&DpValue::Value(73)));
        let Content::Report(report) = parse(AS_WRITTEN[2]).content else { panic!() };
        assert_eq!((report.cid, report.times), (Cid::new("a1").ok(), vec![(DpId(1), 1_700_000_000)]));
        let Content::Query(query) = parse(AS_WRITTEN[15]).content else { panic!() };
        assert_eq!(query.points, Some(vec![DpId(1), DpId(2)]));
        let Content::Reset(reset) = parse(AS_WRITTEN[6]).content else { panic!() };
        assert!(reset.wipe);
    }

    #[test]
    fn what_senders_write_otherwise_is_understood() {
        // tuya-convert: numbers as text, data first.
        let m =
            parse(r#"{"data":{"gwId":"052371532cf43200f470"},"protocol":15,"s":"1523715","t":"1569181204"}"#);
        assert_eq!((m.t, m.s, m.protocol()), (Some(1_569_181_204), Some(1_523_715), Protocol::UPGRADE));
        // The seed's page shows an empty devId.
        let m = parse(r#"{"protocol":5,"t":0,"data":{"devId":"","dps":{"1":true}}}"#);
        assert!(matches!(m.content, Content::Set(SetPoints { dev_id: None, .. })));
        let m = parse(r#"{"protocol":5,"data":{"dps":{"1":true},"ackId":"0-0"}}"#);
        assert_eq!((m.t, m.ack_id.as_deref()), (None, Some("0-0")));
        assert!(matches!(
            parse(r#"{"protocol":16,"data":{"progress":42}}"#).content,
            Content::Progress(Progress { percent: 42, .. })
        ));
        // A number that has no data yet.
        assert_eq!(parse(r#"{"protocol":103}"#).protocol(), Protocol::CACHED_COMMANDS);
        assert_eq!(parse("{\"protocol\":13,\"data\":{}}\0\0").protocol(), Protocol::TIMERS);
    }

    #[test]
    fn what_is_no_message_says_why() {
        let why = |text: &str| Message::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(why("").starts_with("no message"));
        assert!(why("[]").starts_with("no message"));
        assert!(why(r#"{"data":{}}"#).contains("no protocol number"));
        assert!(why(r#"{"protocol":-1,"data":{}}"#).contains("not a whole number"));
        assert!(why(r#"{"protocol":4,"protocol":5}"#).contains("duplicate"));
        assert!(why(r#"{"protocol":4,"data":{}}"#).starts_with("the data of protocol 4"));
        assert!(why(r#"{"protocol":4,"data":{"dps":7}}"#).starts_with("the data of protocol 4"));
        assert!(why(r#"{"protocol":5,"data":{"devId":"a/#","dps":{}}}"#).contains('#'));
        assert!(why(r#"{"protocol":46,"data":{"token":""}}"#).starts_with("the data of protocol 46"));
        let many = format!(r#"{{"protocol":31,"data":{{"dpId":[{}1]}}}}"#, "1,".repeat(600));
        assert!(why(&many).contains("more than 512"));
    }

    #[test]
    fn a_token_does_not_print() {
        let m = parse(r#"{"protocol":46,"t":1,"data":{"token":"a1b2c3d4","region":"EU"}}"#);
        assert!(!format!("{m:?}").contains("a1b2"));
    }
}
