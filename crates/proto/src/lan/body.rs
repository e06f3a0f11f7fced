//! JSON bodies: what is asked and what is reported (lan.md 3.7 to 3.9).
//!
//! Writers give the compact form that most hardware has seen: tinytuya's for clients, captured devices' for devices.
//! The reader takes every shape in use.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::version::{BodyShape, Version};
use crate::dp::{DpId, Dps};
use crate::id::{Cid, DeviceId};
use crate::json;

/// Longest list of ids that is read; more is an attack or garbage.
const MAX_LIST: usize = 512;

/// Points that a device reported, from any of the shapes in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Sub-device, or the device itself.
    pub cid: Option<Cid>,
    /// The points.
    pub dps: Dps,
    /// The device's clock, seconds; tiny when it has not been set.
    pub t: Option<u64>,
    /// Marked `type:"query"`: reported without a change.
    pub unchanged: bool,
}

/// Which sub-devices of a gateway are reachable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubdevicesOnline {
    /// Reachable.
    pub online: Vec<Cid>,
    /// Known but not reachable.
    pub offline: Vec<Cid>,
}

/// `reqType` of the question which sub-devices are online.
pub const SUBDEVICES_QUERY: &str = "subdev_online_stat_query";
/// `reqType` of its answer.
pub const SUBDEVICES_REPORT: &str = "subdev_online_stat_report";

/// A body is not what its command needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON body: {0}")]
pub struct BodyError(String);

/// Everything that bodies carry and that somebody acts on. `dps` and `cid` are found at the top and inside `data`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// Points, with nulls in [`Dps::asked`]. `None`: there was no `dps`.
    pub dps: Option<Dps>,
    /// Sub-device.
    pub cid: Option<Cid>,
    /// Sub-devices, where `cid` is a list (UPDATEDPS).
    pub cids: Vec<Cid>,
    /// `dpId` list of UPDATEDPS. Text entries are ignored, as devices do (lan.md 3.7).
    pub points: Vec<DpId>,
    /// `devId` or `gwId`.
    pub dev_id: Option<DeviceId>,
    /// `t`, seconds, number or text.
    pub t: Option<u64>,
    /// `type` is `"query"`: a report without a change.
    pub unchanged: bool,
    /// `reqType` of an extension.
    pub req_type: Option<String>,
    /// Sub-devices online and offline.
    pub subdevices: SubdevicesOnline,
}

impl Body {
    /// Reads a body. Unknown keys and values of odd types under known keys are passed over.
    ///
    /// # Errors
    /// Not a JSON object, or `dps` is not an object of data points.
    pub fn parse(bytes: &[u8]) -> Result<Self, BodyError> {
        let fields: Fields = match std::str::from_utf8(bytes) {
            Ok(text) if !text.ends_with('\0') => serde_json::from_str(text),
            _ => serde_json::from_str(&json::text(bytes)),
        }
        .map_err(|e| BodyError(e.to_string()))?;
        Ok(fields.0)
    }

    /// The body as a report, if it has points.
    pub fn into_report(self) -> Option<Report> {
        Some(Report { cid: self.cid, dps: self.dps?, t: self.t, unchanged: self.unchanged })
    }
}

struct Fields(Body);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut body = Body::default();
        d.deserialize_map(Object { body: &mut body, inner: false })?;
        Ok(Self(body))
    }
}

/// Reads an object into a body: the message itself, or its `data`.
struct Object<'b> {
    body: &'b mut Body,
    inner: bool,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let body = self.body;
        while let Some(key) = map.next_key::<Name>()? {
            match key {
                Name::Dps => body.dps = map.next_value::<Option<Dps>>()?.or(body.dps.take()),
                Name::Data if !self.inner => map.next_value_seed(Inner(body))?,
                Name::Cid => match map.next_value::<Loose>()? {
                    Loose::Text(t) => body.cid = Cid::new(&*t).ok(),
                    list @ Loose::List(_) => body.cids = list.cids(),
                    _ => {}
                },
                Name::DevId => {
                    if let Loose::Text(t) = map.next_value::<Loose>()? {
                        body.dev_id = DeviceId::new(&*t).ok();
                    }
                }
                Name::DpId => body.points = map.next_value::<Loose>()?.points(),
                Name::T => match map.next_value::<Loose>()? {
                    Loose::Number(n) => body.t = Some(n),
                    Loose::Text(t) => body.t = t.parse().ok(),
                    _ => {}
                },
                Name::Type => {
                    if let Loose::Text(t) = map.next_value::<Loose>()? {
                        body.unchanged = t == "query";
                    }
                }
                Name::ReqType => {
                    if let Loose::Text(t) = map.next_value::<Loose>()? {
                        body.req_type = Some(t.chars().take(64).collect());
                    }
                }
                Name::Cids => drop(map.next_value::<Loose>()?),
                Name::Online => body.subdevices.online = map.next_value::<Loose>()?.cids(),
                Name::Offline => body.subdevices.offline = map.next_value::<Loose>()?.cids(),
                Name::Data | Name::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// `data`, which is an object in the messages of interest and anything elsewhere.
struct Inner<'b>(&'b mut Body);

impl<'de> de::DeserializeSeed<'de> for Inner<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object { body: self.0, inner: true }.visit_map(map)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

enum Name {
    Dps,
    Data,
    Cid,
    Cids,
    DevId,
    DpId,
    T,
    Type,
    ReqType,
    Online,
    Offline,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, s: &str) -> Result<Name, E> {
                Ok(match s {
                    "dps" => Name::Dps,
                    "data" => Name::Data,
                    "cid" => Name::Cid,
                    "cids" => Name::Cids,
                    "devId" | "gwId" => Name::DevId,
                    "dpId" => Name::DpId,
                    "t" => Name::T,
                    "type" => Name::Type,
                    "reqType" => Name::ReqType,
                    "online" => Name::Online,
                    "offline" => Name::Offline,
                    _ => Name::Other,
                })
            }
        }
        d.deserialize_identifier(V)
    }
}

/// A scalar or a list of texts, whatever the sender thought right.
enum Loose<'a> {
    Number(u64),
    Text(Cow<'a, str>),
    List(Vec<Item>),
    Other,
}

/// An entry of a list that is of use to somebody.
enum Item {
    Number(u64),
    Text(String),
}

impl Item {
    fn cid(&self) -> Option<Cid> {
        match self {
            Self::Text(t) => Cid::new(t).ok(),
            Self::Number(_) => None,
        }
    }
    fn point(&self) -> Option<DpId> {
        match self {
            Self::Number(n) => u16::try_from(*n).ok().map(DpId),
            Self::Text(_) => None,
        }
    }
}

impl Loose<'_> {
    fn cids(self) -> Vec<Cid> {
        match self {
            Loose::List(l) => l.iter().filter_map(Item::cid).collect(),
            _ => Vec::new(),
        }
    }

    fn points(self) -> Vec<DpId> {
        match self {
            Loose::List(l) => l.iter().filter_map(Item::point).collect(),
            _ => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Loose<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Loose<'de>, E> {
                Ok(Loose::Number(n))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }
            fn visit_f64<E>(self, n: f64) -> Result<Loose<'de>, E> {
                // Seconds with a fraction; the cast saturates.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Ok(if n >= 0.0 { Loose::Number(n as u64) } else { Loose::Other })
            }
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Borrowed(s)))
            }
            fn visit_str<E>(self, s: &str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Owned(s.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }
            fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element::<Loose<'de>>()? {
                    match item {
                        _ if list.len() >= MAX_LIST => {}
                        Loose::Text(t) => list.push(Item::Text(t.into_owned())),
                        Loose::Number(n) => list.push(Item::Number(n)),
                        _ => {}
                    }
                }
                Ok(Loose::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        d.deserialize_any(V)
    }
}

/// Whom a client's message is for.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// The device, or the gateway.
    pub device: &'a DeviceId,
    /// A sub-device of the gateway.
    pub cid: Option<&'a Cid>,
}

/// Compact JSON, piece by piece. Identifiers hold no character that JSON escapes (see [`crate::id`]).
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(Vec::with_capacity(160))
    }
    fn raw(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }
    fn number(self, n: u64) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut n = n;
        loop {
            at -= 1;
            // A digit fits a byte.
            #[allow(clippy::cast_possible_truncation)]
            let digit = (n % 10) as u8;
            digits[at] = b'0' + digit;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        let mut this = self;
        this.0.extend_from_slice(&digits[at..]);
        this
    }
    fn dps(mut self, dps: &Dps) -> Self {
        // Writing these types to memory can't fail, except for `DpValue::Json` texts that are no JSON.
        if serde_json::to_writer(&mut self.0, dps).is_err() {
            self.0.extend_from_slice(b"{}");
        }
        self
    }
    fn list(mut self, points: &[DpId]) -> Self {
        self = self.raw("[");
        for (i, point) in points.iter().enumerate() {
            self = self.raw(if i > 0 { "," } else { "" }).number(u64::from(point.0));
        }
        self.raw("]")
    }
    fn done(self) -> Vec<u8> {
        self.0
    }
}

/// A set, or (with nulls in `dps`) a device22 query.
pub fn set(version: Version, to: Addressee<'_>, dps: &Dps, unix: u64) -> Vec<u8> {
    let w = Writer::new();
    match (version.dialect().shape, to.cid) {
        // A sub-device's message must not carry `devId`: firmware then ignores it (lan.md 3.9).
        (BodyShape::Flat, Some(cid)) => {
            w.raw("{\"cid\":\"").raw(cid.as_str()).raw("\",\"t\":\"").number(unix).raw("\",\"dps\":").dps(dps)
        }
        (BodyShape::Flat, None) => {
            let id = to.device.as_str();
            let w = w.raw("{\"devId\":\"").raw(id).raw("\",\"uid\":\"").raw(id).raw("\",\"t\":\"");
            w.number(unix).raw("\",\"dps\":").dps(dps)
        }
        (BodyShape::Wrapped, Some(cid)) => {
            let w =
                w.raw("{\"protocol\":5,\"t\":").number(unix).raw(",\"data\":{\"cid\":\"").raw(cid.as_str());
            w.raw("\",\"ctype\":0,\"dps\":").dps(dps).raw("}")
        }
        (BodyShape::Wrapped, None) => {
            w.raw("{\"protocol\":5,\"t\":").number(unix).raw(",\"data\":{\"dps\":").dps(dps).raw("}")
        }
    }
    .raw("}")
    .done()
}

/// A query for DP_QUERY or DP_QUERY_NEW. The `cid` stands at the top level: inside `data` the gateway answers for
/// itself (lan.md 3.9).
pub fn query(version: Version, to: Addressee<'_>, unix: u64) -> Vec<u8> {
    let w = Writer::new();
    match (version.dialect().shape, to.cid) {
        (BodyShape::Flat, Some(cid)) => {
            w.raw("{\"cid\":\"").raw(cid.as_str()).raw("\",\"t\":\"").number(unix).raw("\"}")
        }
        (BodyShape::Wrapped, Some(cid)) => w.raw("{\"cid\":\"").raw(cid.as_str()).raw("\"}"),
        (BodyShape::Flat, None) => {
            let id = to.device.as_str();
            let w = w.raw("{\"gwId\":\"").raw(id).raw("\",\"devId\":\"").raw(id).raw("\",\"uid\":\"").raw(id);
            w.raw("\",\"t\":\"").number(unix).raw("\"}")
        }
        (BodyShape::Wrapped, None) => w.raw("{}"),
    }
    .done()
}

/// A refresh for UPDATEDPS. `dpId` holds numbers; `cid` is a list, a bare text is acknowledged and ignored (lan.md 3.9).
pub fn refresh(cid: Option<&Cid>, points: &[DpId]) -> Vec<u8> {
    let w = Writer::new().raw("{\"dpId\":").list(points);
    match cid {
        Some(cid) => w.raw(",\"cid\":[\"").raw(cid.as_str()).raw("\"]}"),
        None => w.raw("}"),
    }
    .done()
}

/// A heartbeat in tinytuya's form, which the widest range of hardware has seen.
pub fn heartbeat(device: &DeviceId) -> Vec<u8> {
    let id = device.as_str();
    Writer::new().raw("{\"gwId\":\"").raw(id).raw("\",\"devId\":\"").raw(id).raw("\"}").done()
}

/// The question which sub-devices are online, for LAN_EXT_STREAM. No other `reqType` is ever sent (lan.md 3.9).
pub fn subdevices_query() -> Vec<u8> {
    Writer::new().raw("{\"reqType\":\"").raw(SUBDEVICES_QUERY).raw("\",\"data\":{\"cids\":[]}}").done()
}

/// A device's answer to [`subdevices_query`].
pub fn subdevices_report(states: &SubdevicesOnline) -> Vec<u8> {
    let list = |w: Writer, cids: &[Cid]| {
        cids.iter()
            .enumerate()
            .fold(w, |w, (i, cid)| w.raw(if i > 0 { ",\"" } else { "\"" }).raw(cid.as_str()).raw("\""))
    };
    let w = Writer::new().raw("{\"reqType\":\"").raw(SUBDEVICES_REPORT).raw("\",\"data\":{\"online\":[");
    list(list(w, &states.online).raw("],\"offline\":["), &states.offline).raw("]}}").done()
}

/// A device's report for STATUS (lan.md 3.8). `push_counter` is the `s` of 3.1; `unchanged` marks `type:"query"`.
pub fn status(
    version: Version,
    from: Addressee<'_>,
    dps: &Dps,
    unix: u64,
    push_counter: u32,
    unchanged: bool,
) -> Vec<u8> {
    let w = Writer::new();
    let kind = if unchanged { ",\"type\":\"query\"" } else { "" };
    match version.dialect().shape {
        BodyShape::Flat if version == Version::V3_1 => {
            let w = w.raw("{\"devId\":\"").raw(from.device.as_str()).raw("\",\"dps\":").dps(dps);
            let w = match from.cid {
                Some(cid) => w.raw(",\"cid\":\"").raw(cid.as_str()).raw("\""),
                None => w,
            };
            w.raw(",\"t\":").number(unix).raw(",\"s\":").number(u64::from(push_counter)).raw(kind).raw("}")
        }
        BodyShape::Flat => {
            let w = w.raw("{\"dps\":").dps(dps);
            let w = match from.cid {
                Some(cid) => w.raw(",\"cid\":\"").raw(cid.as_str()).raw("\""),
                None => w,
            };
            w.raw(",\"t\":").number(unix).raw(kind).raw("}")
        }
        BodyShape::Wrapped => {
            let w = w.raw("{\"protocol\":4,\"t\":").number(unix).raw(",\"data\":{\"dps\":").dps(dps);
            let w = match from.cid {
                Some(cid) => w.raw(",\"cid\":\"").raw(cid.as_str()).raw("\""),
                None => w,
            };
            w.raw(kind).raw("}}")
        }
    }
    .done()
}

/// A device's answer to a query (lan.md 3.8).
pub fn query_reply(version: Version, from: Addressee<'_>, dps: &Dps) -> Vec<u8> {
    let w = Writer::new();
    let w = match version {
        Version::V3_1 => w.raw("{\"devId\":\"").raw(from.device.as_str()).raw("\",\"dps\":").dps(dps),
        Version::V3_5 => w.raw("{\"dps\":").dps(dps).raw(",\"devId\":\"").raw(from.device.as_str()).raw("\""),
        _ => w.raw("{\"dps\":").dps(dps),
    };
    match from.cid {
        Some(cid) => w.raw(",\"cid\":\"").raw(cid.as_str()).raw("\"}"),
        None => w.raw("}"),
    }
    .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dp::DpValue;

    fn to<'a>(device: &'a DeviceId, cid: Option<&'a Cid>) -> Addressee<'a> {
        Addressee { device, cid }
    }

    #[test]
    fn what_is_written_reads_back() {
        let device = DeviceId::new("bf0123456789abcdefvx01").unwrap();
        let cid = Cid::new("a4c138fffe012345").unwrap();
        let dps: Dps =
            [(DpId(1), DpValue::Bool(true)), (DpId(21), DpValue::text("a \"b\" c"))].into_iter().collect();
        for version in Version::ALL {
            for cid in [None, Some(&cid)] {
                let body = Body::parse(&set(version, to(&device, cid), &dps, 1_700_000_000)).unwrap();
                assert_eq!((body.dps, body.cid.as_ref()), (Some(dps.clone()), cid));
                assert_eq!(body.t, Some(1_700_000_000));
                let body = Body::parse(&query(version, to(&device, cid), 5)).unwrap();
                assert_eq!((body.dps, body.cid.as_ref()), (None, cid));
                let report =
                    Body::parse(&query_reply(version, to(&device, cid), &dps)).unwrap().into_report();
                assert_eq!(report.map(|r| r.dps), Some(dps.clone()));
                let report = Body::parse(&status(version, to(&device, cid), &dps, 9, 3, true)).unwrap();
                assert!(report.unchanged && report.t == Some(9));
            }
        }
        let body = Body::parse(&refresh(Some(&cid), &[DpId(18), DpId(19)])).unwrap();
        assert_eq!((body.cids, body.points), (vec![cid.clone()], vec![DpId(18), DpId(19)]));
        let online = SubdevicesOnline { online: vec![cid.clone()], offline: vec![cid] };
        let body = Body::parse(&subdevices_report(&online)).unwrap();
        assert_eq!((body.req_type.as_deref(), body.subdevices), (Some(SUBDEVICES_REPORT), online));
    }

    #[test]
    fn odd_bodies_are_survived_or_named() {
        let ok = |text: &str| Body::parse(text.as_bytes()).unwrap();
        assert_eq!(ok(r#"{"data":"text","t":"x","cid":5,"devId":[],"dpId":["18"],"x":1}"#), Body::default());
        assert_eq!(ok(r#"{"data":[1,{"dps":{}}],"dps":null,"dpId":7}"#), Body::default());
        assert_eq!(ok("{\"dps\":{\"1\":true}}\0\0").dps.map(|d| d.len()), Some(1));
        for bad in ["", "[]", "{", "{\"dps\":5}", "parse data error", "\u{0}"] {
            assert!(Body::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        // Nesting under a passed-over key is skipped without recursion, in a value it ends at a limit.
        let deep = format!("{}1{}", "{\"data\":".repeat(5000), "}".repeat(5000));
        assert_eq!(ok(&deep), Body::default());
        let deep = format!("{{\"dps\":{{\"1\":{}1{}}}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(Body::parse(deep.as_bytes()).is_err());
    }
}
