//! No bytes that a stranger can send do more to the cloud's codecs than get an error: truncation at every byte, single
//! changed bytes, and inputs at random. What is read and written again reads back the same.

mod cloud;

use cloud::{auth_key, cases, sec_key, unhex};
use landfall_proto::Entropy;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::gateway::activation::{Activation, ActivationRequest, PairingToken};
use landfall_proto::gateway::name_service::{self, Question, UrlConfigAnswer, UrlConfigRequest};
use landfall_proto::gateway::{Action, Call, Encryption, Key, Path, Reader, Reply, Request, firmware};
use landfall_proto::id::DeviceId;
use landfall_proto::json::Raw;
use landfall_proto::mqtt::content::{Report, SetPoints};
use landfall_proto::mqtt::login::{self, ClientId};
use landfall_proto::mqtt::rpc::{FilePiece, RpcRequest, RpcResponse};
use landfall_proto::mqtt::{Codec, Content, Envelope, Message, Sealed, Stamp, Topic};
use landfall_proto::psk::{HINT, Identity};
use proptest::prelude::*;

const KEY: &[u8; 16] = b"10ca1key01234567";

struct Dice(u8);
impl Entropy for Dice {
    fn fill(&mut self, out: &mut [u8]) {
        for b in out {
            self.0 = self.0.wrapping_mul(37).wrapping_add(11);
            *b = self.0;
        }
    }
}

/// True when the whole way from bytes to meaning succeeds.
type Parser = fn(&[u8]) -> bool;

fn envelope(bytes: &[u8]) -> bool {
    let mut scratch = Vec::new();
    let Ok(sealed) = Sealed::parse(bytes, &mut scratch) else { return false };
    Codec::new(KEY).open(sealed).is_ok_and(|opened| Message::parse(opened.json).is_ok())
}

fn message(bytes: &[u8]) -> bool {
    let Ok(message) = Message::parse(bytes) else { return false };
    let written = message.to_json().expect("what was read can be written");
    assert_eq!(Message::parse(&written), Ok(message));
    true
}

fn names(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    if let Some(topic) = Topic::parse(&text) {
        assert_eq!(topic.to_string(), text);
    }
    if let Ok(id) = ClientId::parse(&text) {
        assert_eq!(id.to_string(), text);
    }
    let _ = (login::announced(&text), login::tuyalink_timestamp(&text), Question::of_path(&text));
    if let Some((from, to)) = firmware::range(&text, 1000) {
        assert!(from <= to && to < 1000);
    }
    Topic::parse(&text).is_some()
}

fn keys() -> [Key; 2] {
    [sec_key("5ec0123456789abc").into(), auth_key("Abcdefgh01234567Ijklmnop89abcdef").into()]
}

/// Target, line feed, body.
fn request(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (target, body) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(request) = Request::parse(target, body.as_bytes()) else { return false };
    let _ = (request.key_kind(), request.t_is_uptime(), request.has_body());
    keys().iter().any(|key| {
        let opened = request.open_body(key);
        // Without a body a request is whole as well; the samples have one.
        request.verify(key).is_ok() && opened.is_ok() && request.has_body()
    })
}

fn reply(bytes: &[u8]) -> bool {
    let mut found = false;
    for key in keys() {
        for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
            for reader in [Reader::Stock, Reader::Sdk] {
                let Ok(reply) = Reply::parse(bytes, encryption, &key, reader) else { continue };
                let again = Reply::parse(&reply.to_clear(), encryption, &key, reader);
                assert_eq!(again, Ok(reply));
                found = true;
            }
        }
    }
    found
}

fn json_bodies(bytes: &[u8]) -> bool {
    let mut found = false;
    if let Ok(request) = UrlConfigRequest::parse(bytes) {
        let written = request.to_json().expect("JSON");
        assert_eq!(UrlConfigRequest::parse(&written), Ok(request));
        found = true;
    }
    if let Ok(answer) = UrlConfigAnswer::parse(bytes) {
        let written = answer.to_json(Question::UrlConfigV2).expect("JSON");
        assert_eq!(UrlConfigAnswer::parse(&written).map(|a| a.endpoints.len()), Ok(answer.endpoints.len()));
        found = true;
    }
    if let Ok(call) = RpcRequest::parse(bytes) {
        assert_eq!(RpcRequest::parse(&call.to_json().expect("JSON")), Ok(call));
        found = true;
    }
    if let Ok(answer) = RpcResponse::parse(bytes) {
        assert_eq!(RpcResponse::parse(&answer.to_json().expect("JSON")), Ok(answer));
        found = true;
    }
    if let Ok(activation) = ActivationRequest::parse(bytes) {
        let _ = activation.uses_firmware_key();
        assert_eq!(ActivationRequest::parse(&activation.to_json().expect("JSON")), Ok(activation));
        found = true;
    }
    let text = String::from_utf8_lossy(bytes);
    found |= name_service::parse_names(bytes).is_ok() || PairingToken::parse(&text).is_ok();
    if let Ok(raw) = serde_json::from_str::<Raw>(&text) {
        found |= Activation::parse(&raw).is_ok();
    }
    found
}

fn identity(bytes: &[u8]) -> bool {
    let _ = FilePiece::parse(bytes);
    let Ok(identity) = Identity::parse(bytes) else { return false };
    assert_eq!(identity.as_bytes(), bytes);
    let _ = (identity.device(), identity.derive(HINT.as_bytes()), identity.derive(bytes));
    true
}

/// Every parser with sound inputs of its own, from the vectors.
fn samples() -> Vec<(&'static str, Parser, Vec<Vec<u8>>)> {
    let texts =
        |kind: &str, pick: fn(&cloud::Case) -> Vec<u8>| cases(kind).iter().map(pick).collect::<Vec<_>>();
    let mine = |c: &cloud::Case| c.input("key").as_bytes() == KEY;
    let mut envelopes: Vec<Vec<u8>> = Vec::new();
    for kind in ["mqtt21", "mqtt22", "mqtt23"] {
        for case in cases(kind).iter().filter(|c| mine(c)) {
            envelopes.push(match kind {
                "mqtt21" => case.wanted("payload").as_bytes().to_vec(),
                _ => unhex(case.wanted("frame_hex")),
            });
        }
    }
    let mut messages = Vec::new();
    for kind in ["mqtt21", "mqtt22", "mqtt23"] {
        messages.extend(texts(kind, |c| c.input("plaintext").into()));
    }
    let mut requests = Vec::new();
    for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
        let call = Call {
            dev_id: DeviceId::new("bf00112233445566778899").ok(),
            other: Some(r#"{"token":"00000000"}"#.into()),
            ..Call::new(Path::D, Action::new("tuya.device.reset").expect("a name"), 7, encryption)
        };
        let key = &keys()[0];
        let form = call.form(key, br#"{"t":7}"#, &mut Dice(1));
        requests.push(format!("{}\n{form}", call.target(key)).into_bytes());
    }
    let mut replies = Vec::new();
    for kind in ["http_reply_et1", "http_reply_et3"] {
        let ours = |c: &&cloud::Case| c.input("key") == "5ec0123456789abc";
        replies.extend(cases(kind).iter().filter(ours).map(|c| c.wanted("body").as_bytes().to_vec()));
    }
    replies.extend(texts("http_reply_plain", |c| c.wanted("body").into()));
    let mut bodies = texts("iotdns_parse", |c| c.input("body").into());
    bodies.extend(texts("matop", |c| c.wanted("payload").into()));
    bodies.extend(texts("matop", |c| c.wanted("reply").into()));
    bodies.push(br#"[{"host":"h","port":443,"need_ca":true}]"#.to_vec());
    bodies.push(br#"{"secKey":"5ec0123456789abc","localKey":"10ca1key01234567","schema":"[]"}"#.to_vec());
    bodies.push(br#"{"token":"a1b2c3d4","productKey":"keytest0pid00001","options":"{}","t":20}"#.to_vec());
    let mut identities = texts("psk_v1", |c| unhex(c.input("identity_hex")));
    identities.extend(texts("psk_v2", |c| unhex(c.wanted("identity_hex"))));
    let topics = [b"smart/device/out/02200194dc4f22135606".to_vec(), b"d/ai/uuidtest0001abcd".to_vec()];
    vec![
        ("envelope", envelope, envelopes),
        ("message", message, messages),
        ("names", names, topics.to_vec()),
        ("request", request, requests),
        ("reply", reply, replies),
        ("json_bodies", json_bodies, bodies),
        ("identity", identity, identities),
    ]
}

/// Cutting a sound input short anywhere gives an error, except where what is left is whole by itself.
#[test]
fn truncation_at_every_byte() {
    for (name, parser, inputs) in samples() {
        assert!(inputs.len() >= 2, "{name} has samples");
        for input in inputs {
            let shown = String::from_utf8_lossy(&input).into_owned();
            assert!(parser(&input), "{name}: the sample itself is sound: {shown}");
            for len in 0..input.len() {
                let left = parser(&input[..len]);
                // A shorter id is an id.
                assert!(!left || name == "names", "{name}: {len} bytes of {shown}");
            }
        }
    }
}

/// No changed byte gets through where a signature, a tag or a checksum covers it.
#[test]
fn every_changed_byte() {
    for (name, parser, inputs) in samples() {
        for input in inputs {
            for at in 0..input.len() {
                for flip in [0x01, 0x20, 0x80] {
                    let mut changed = input.clone();
                    changed[at] ^= flip;
                    let passed = parser(&changed);
                    if name == "envelope" {
                        // The signature's hex digits are compared as they are: nothing passes.
                        assert!(!passed, "byte {at} of {:?}", String::from_utf8_lossy(&input));
                    }
                }
            }
        }
    }
}

fn dps() -> impl Strategy<Value = Dps> {
    let value = prop_oneof![
        any::<bool>().prop_map(DpValue::Bool),
        any::<i64>().prop_map(DpValue::Value),
        ".{0,40}".prop_map(|t: String| DpValue::text(t)),
    ];
    prop::collection::vec((any::<u16>().prop_map(DpId), value), 0..12).prop_map(Dps::from_iter)
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for parser in parsers() {
            parser(&bytes);
        }
        for head in ["2.1", "2.2", "2.3"] {
            envelope(&[head.as_bytes(), &bytes].concat());
        }
    }

    #[test]
    fn random_json(text in r#"\{("[a-zA-Z]{1,9}":("[ -~]{0,9}"|-?[0-9]{1,20}|true|null|\[\]|\{\}),){0,6}"t":[0-9]{1,12}\}"#) {
        for parser in parsers() {
            parser(text.as_bytes());
        }
    }

    #[test]
    fn random_queries(query in "[a-z=&%{}\":0-9]{0,120}") {
        request(format!("/d.json?{query}\ndata={query}").as_bytes());
        request(format!("/gw.json?a=x&{query}").as_bytes());
    }

    #[test]
    fn messages_survive_every_envelope(
        dps in dps(),
        t in any::<u32>(),
        sequence in any::<u32>(),
        source in any::<u32>(),
        key in any::<[u8; 16]>(),
        other in any::<[u8; 16]>(),
        command in any::<bool>(),
    ) {
        prop_assume!(key != other);
        let content = if command {
            Content::Set(SetPoints { dps, ..SetPoints::default() })
        } else {
            Content::Report(Report { dps, ..Report::default() })
        };
        let message = Message::new(t.into(), content);
        let json = message.to_json().expect("JSON");
        let stamp = Stamp { sequence, source };
        for envelope in Envelope::ALL {
            let mut payload = vec![7];
            Codec::new(&key).seal(envelope, stamp, &json, &mut Dice(3), &mut payload).expect("it fits");
            let payload = &payload[1..];
            let mut scratch = vec![9; 5];
            let opened = Codec::new(&key).open(Sealed::parse(payload, &mut scratch).expect("sound")).expect("our key");
            prop_assert_eq!(opened.envelope, envelope);
            prop_assert_eq!(opened.stamp, (envelope != Envelope::V2_1).then_some(stamp));
            prop_assert_eq!(Message::parse(opened.json), Ok(message.clone()));
            let e = Codec::new(&other).open(Sealed::parse(payload, &mut scratch).expect("sound")).unwrap_err();
            prop_assert!(e.blames_the_key(), "{}", e);
        }
    }

    #[test]
    fn calls_and_answers_survive(json in r#"\{"[a-z]{1,9}":"[ -!#-\[\]-~]{0,60}"\}"#, t in any::<u32>(), other in "[ -%'-~]{1,40}") {
        for key in keys() {
            for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
                let call = Call {
                    dev_id: DeviceId::new("bf00112233445566778899").ok(),
                    other: Some(other.clone()),
                    ..Call::new(Path::D, Action::new("tuya.device.reset").expect("a name"), t.into(), encryption)
                };
                let form = call.form(&key, json.as_bytes(), &mut Dice(5));
                let request = Request::parse(&call.target(&key), form.as_bytes()).expect("a request");
                prop_assert_eq!(request.verify(&key), Ok(()));
                prop_assert_eq!(request.other.as_deref(), Some(other.as_str()));
                prop_assert_eq!(request.open_body(&key), Ok(json.clone().into_bytes()));
                let result: Raw = serde_json::from_str(&json).expect("JSON");
                let reply = Reply::success(t.into(), result);
                let body = reply.to_body(encryption, &key, &mut Dice(6));
                prop_assert_eq!(Reply::parse(&body, encryption, &key, Reader::Stock), Ok(reply));
            }
        }
    }
}

/// The parsers alone, without reading the vectors again for each random input.
fn parsers() -> [Parser; 7] {
    [envelope as Parser, message, names, request, reply, json_bodies, identity]
}
