//! Discovery datagrams and JSON bodies of `vectors/lan.json`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Script, counts, hex, vectors};
use landfall_proto::dp::Dps;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::lan::Version;
use landfall_proto::lan::body::Body;
use landfall_proto::lan::discovery::{self, Beacon, Datagram, DatagramError};
use landfall_proto::lan::frame::FramingError;
use serde_json::{Map, Value};

#[test]
fn every_datagram_is_taken_or_refused_for_its_reason() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.discovery {
        ran += 1;
        let got = discovery::parse(&case.datagram_hex);
        match case.expect.as_str() {
            "accept" => {
                let plain = case.plaintext.as_ref().unwrap();
                match got.unwrap_or_else(|e| panic!("{}: {e}", case.id)) {
                    Datagram::Ask { ip } => {
                        assert_eq!(case.cmd, Some(0x25), "{}", case.id);
                        assert_eq!(ip.to_string(), plain["ip"], "{}", case.id);
                    }
                    Datagram::Beacon(beacon) => compare(&case.id, &beacon, plain),
                }
            }
            "reject: crc_mismatch" => {
                assert_eq!(got, Err(DatagramError::Damaged(FramingError::CrcMismatch)), "{}", case.id);
            }
            "reject: tag_mismatch" => {
                assert_eq!(got, Err(DatagramError::Damaged(FramingError::TagMismatch)), "{}", case.id);
            }
            "reject: truncated" => {
                assert_eq!(got, Err(DatagramError::Truncated(case.datagram_hex.len())), "{}", case.id);
            }
            // Only tinytuya takes it, and nobody has seen one.
            "optional" => assert!(matches!(got, Err(DatagramError::Foreign(_)) | Ok(_)), "{}", case.id),
            other => panic!("{}: expectation {other:?}", case.id),
        }
    }
    common::all(ran, v.discovery.len(), counts::DISCOVERY);
}

fn compare(id: &str, beacon: &Beacon, plain: &Value) {
    let text = |key: &str| plain[key].as_str().map(str::to_owned);
    assert_eq!(Some(beacon.id.to_string()), text("gwId").or_else(|| text("uuid")), "{id}");
    assert_eq!(beacon.ip.map(|ip| ip.to_string()), text("ip"), "{id}");
    assert_eq!(beacon.uuid.as_ref().map(ToString::to_string), text("uuid"), "{id}");
    assert_eq!(beacon.product_id.as_ref().map(ToString::to_string), text("productKey"), "{id}");
    assert_eq!(beacon.version.map(|v| v.to_string()), text("version"), "{id}");
    assert_eq!(beacon.version_text, text("version"), "{id}");
    assert_eq!(beacon.active.map(u64::from), plain["active"].as_u64(), "{id}");
    assert_eq!(beacon.encrypt, plain["encrypt"].as_bool(), "{id}");
    assert_eq!(beacon.clients.map(u64::from), plain["clientLink"].as_u64(), "{id}");
    assert_eq!(beacon.access_point, id.contains("ap-mode"), "{id}");
}

#[test]
fn every_datagram_cut_anywhere_is_refused() {
    for case in &vectors().discovery {
        for cut in 0..case.datagram_hex.len() {
            let got = discovery::parse(&case.datagram_hex[..cut]);
            assert!(got.is_err(), "{} cut at {cut}: {got:?}", case.id);
        }
    }
}

/// Where the vectors hold exactly what stock firmware of that form sends, ours is the same to the byte.
#[test]
fn ours_are_byte_exact() {
    let v = vectors();
    let case = |id: &str| v.discovery.iter().find(|c| c.id == id).unwrap();
    for (id, version) in [("udp/6667/3.2-ecb", Version::V3_2), ("udp/6667/3.3-ecb", Version::V3_3)] {
        let mut beacon = Beacon::new(DeviceId::new(&v.fixtures.dev_id).unwrap(), version);
        beacon.ip = Some("192.168.1.57".parse().unwrap());
        beacon.product_id = ProductId::new(&v.fixtures.product_key).ok();
        let ours = discovery::announce(&beacon, version, &mut Script::new(&[]));
        assert_eq!(hex(&ours), hex(&case(id).datagram_hex), "{id}");
        assert_eq!(discovery::port_of(version), case(id).udp_port);
    }
    let asked = &case("udp/7000/solicit").datagram_hex;
    let ours = discovery::ask("192.168.1.20".parse().unwrap(), &mut Script::new(&asked[18..30]));
    assert_eq!(hex(&ours), hex(asked));
}

/// The points that have values, as JSON.
fn values(dps: &Dps) -> Map<String, Value> {
    dps.iter().map(|(id, v)| (id.to_string(), serde_json::to_value(v).unwrap())).collect()
}

#[test]
fn every_json_body_is_normalised() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.json {
        ran += 1;
        let body = Body::parse(case.input.as_bytes()).unwrap_or_default();
        assert_eq!(body.dps.as_ref().map(values), case.dps, "{}", case.input);
        assert_eq!(body.cid.as_ref().map(ToString::to_string), case.cid, "{}", case.input);
        assert_eq!(body.t, case.t, "{}", case.input);
        assert_eq!(body.into_report().is_some(), case.dps.is_some(), "{}", case.input);
    }
    common::all(ran, v.json.len(), counts::JSON);
    assert!(Body::parse(b"[]").is_err());
}

/// Bodies of the frames, lossy UTF-8 included.
#[test]
fn bodies_of_all_frames_are_read() {
    let v = vectors();
    let mut seen = 0;
    for frame in v.frames.iter().filter(|f| f.plaintext.kind.starts_with("json")) {
        let body = Body::parse(&frame.plaintext_hex).unwrap_or_else(|e| panic!("{}: {e}", frame.id));
        let plain = &frame.plaintext.value;
        let inner = |key: &str| plain["data"].get(key).or_else(|| plain.get(key));
        let mut dps = inner("dps").and_then(Value::as_object).cloned();
        let asked = dps.as_ref().map_or(0, |d| d.values().filter(|v| v.is_null()).count());
        dps.iter_mut().for_each(|d| d.retain(|_, v| !v.is_null()));
        assert_eq!(body.dps.as_ref().map(values), dps, "{}", frame.id);
        assert_eq!(body.dps.as_ref().map_or(0, |d| d.asked().len()), asked, "{}", frame.id);
        let cid = inner("cid").and_then(Value::as_str);
        assert_eq!(body.cid.as_ref().map(AsRef::as_ref), cid, "{}", frame.id);
        let points = plain["dpId"].as_array().map_or(0, Vec::len);
        assert_eq!(body.points.len(), points, "{}", frame.id);
        assert_eq!(body.unchanged, inner("type").is_some_and(|t| t == "query"), "{}", frame.id);
        assert_eq!(body.req_type.as_deref(), plain["reqType"].as_str(), "{}", frame.id);
        let t = plain["t"].as_u64().or_else(|| plain["t"].as_str().and_then(|t| t.parse().ok()));
        assert_eq!(body.t, t, "{}", frame.id);
        seen += 1;
    }
    assert!(seen > 80, "{seen}");
}
