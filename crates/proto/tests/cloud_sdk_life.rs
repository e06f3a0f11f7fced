//! The recorded life of an official device SDK (`/vectors/sdk-connect-kit`): every byte that the SDK and its stand-in
//! cloud exchanged is understood, verified and decrypted, and our answers to its requests pass its checks.

mod cloud;

use cloud::{auth_key, read, sec_key};
use landfall_proto::Entropy;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::gateway::activation::{Activation, ActivationRequest};
use landfall_proto::gateway::name_service::{Question, UrlConfigAnswer, UrlConfigRequest};
use landfall_proto::gateway::{
    Encryption, Key, KeyKind, Outcome, Path, Reader, Reply, Request, SignatureError,
};
use landfall_proto::id::{DeviceId, LocalKey, Uuid};
use landfall_proto::mqtt::login::{ClientId, Login};
use landfall_proto::mqtt::rpc::RpcRequest;
use landfall_proto::mqtt::{Codec, Content, Envelope, Message, Protocol, Sealed, Stamp, Topic};

const UUID: &str = "uuidtest0001abcd";
const AUTH_KEY: &str = "AuthKey89abcdef0123456789abcdefA";
const DEVICE: &str = "bf0123456789abcdefghij";
const SEC_KEY: &str = "seckey0123456789";
const LOCAL_KEY: &str = "localkey01234567";

struct Zeros;
impl Entropy for Zeros {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

fn recorded(name: &str) -> Vec<u8> {
    read(&format!("sdk-connect-kit/{name}.bin"))
}

/// Start line and body of a recorded HTTP message.
fn http(name: &str) -> (String, Vec<u8>) {
    let bytes = recorded(name);
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("headers end");
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    (head.lines().next().expect("a line").to_owned(), bytes[end + 4..].to_vec())
}

/// The call in a recorded request.
fn call(name: &str) -> Request {
    let (line, body) = http(name);
    let target = line.split(' ').nth(1).expect("a target");
    assert!(line.starts_with("POST "), "{line}");
    Request::parse(target, &body).expect("a call")
}

/// The packets of one direction of an MQTT connection: first byte and rest.
fn packets(name: &str) -> Vec<(u8, Vec<u8>)> {
    let bytes = recorded(name);
    let mut rest = &bytes[..];
    let mut packets = Vec::new();
    while let [first, tail @ ..] = rest {
        let (mut len, mut digits) = (0usize, 0);
        loop {
            let byte = tail[digits];
            len |= usize::from(byte & 0x7f) << (7 * digits);
            digits += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        packets.push((*first, tail[digits..digits + len].to_vec()));
        rest = &tail[digits + len..];
    }
    packets
}

/// A text with its length before it.
fn field(bytes: &mut &[u8]) -> Vec<u8> {
    let (len, rest) = bytes.split_first_chunk::<2>().expect("a length");
    let (text, rest) = rest.split_at(usize::from(u16::from_be_bytes(*len)));
    *bytes = rest;
    text.to_vec()
}

fn text(bytes: &mut &[u8]) -> String {
    String::from_utf8(field(bytes)).expect("text")
}

/// Topics and payloads of the PUBLISH packets.
fn published(name: &str) -> Vec<(Topic, Vec<u8>)> {
    let publishes = packets(name).into_iter().filter(|(first, _)| first >> 4 == 3);
    let read = publishes.map(|(first, packet)| {
        let mut rest = &packet[..];
        let topic = text(&mut rest);
        let payload = if first & 0x06 == 0 { rest } else { &rest[2..] };
        (Topic::parse(&topic).unwrap_or_else(|| panic!("{topic} is a device's")), payload.to_vec())
    });
    read.collect()
}

/// Client id, user name and password of the CONNECT.
fn login(name: &str) -> (String, String, Vec<u8>) {
    let (first, packet) = packets(name).remove(0);
    assert_eq!(first >> 4, 1, "CONNECT comes first");
    // Protocol name, level, flags, keep-alive.
    let mut rest = &packet[..];
    assert_eq!(text(&mut rest), "MQTT");
    rest = &rest[4..];
    (text(&mut rest), text(&mut rest), field(&mut rest))
}

fn subscribed(name: &str) -> Vec<Topic> {
    let subscribes = packets(name).into_iter().filter(|(first, _)| first >> 4 == 8);
    subscribes.map(|(_, packet)| Topic::parse(&text(&mut &packet[2..])).expect("a device's")).collect()
}

fn open(key: &[u8; 16], payload: &[u8]) -> (Envelope, Option<Stamp>, Message) {
    let mut scratch = Vec::new();
    let sealed = Sealed::parse(payload, &mut scratch).expect("sound");
    let opened = Codec::new(key).open(sealed).expect("under this key");
    let message = Message::parse(opened.json).expect("a message");
    (opened.envelope, opened.stamp, message)
}

fn local_key() -> LocalKey {
    LocalKey::new(LOCAL_KEY).expect("a local key")
}

fn device() -> DeviceId {
    DeviceId::new(DEVICE).expect("a device id")
}

#[test]
fn it_asks_the_name_service_twice() {
    for (name, region) in [("001-https", None), ("003-https", Some("EU"))] {
        let (line, body) = http(&format!("{name}-request"));
        let path = line.split(' ').nth(1).expect("a path");
        assert_eq!(Question::of_path(path), Some(Question::UrlConfigV2));
        let request = UrlConfigRequest::parse(&body).expect("a request");
        assert_eq!((request.region.as_deref(), request.env.as_deref()), (region, Some("pro")));
        assert!(request.needs_ca());
        let keys: Vec<&str> = request.config.iter().map(|w| w.key.as_str()).collect();
        assert_eq!(keys, ["httpsSelfUrl", "mqttsSelfUrl"]);
        let answer = UrlConfigAnswer::parse(&http(&format!("{name}-response")).1).expect("an answer");
        assert_eq!(
            answer.endpoint("httpsSelfUrl").expect("it was wanted").addr,
            "https://a2.tuyaeu.com/d.json"
        );
        assert_eq!(answer.endpoint("mqttsSelfUrl").expect("it was wanted").addr, "m2.tuyaeu.com:8883");
        assert_eq!((answer.ca.len(), answer.ttl), (1, 600));
        // What we would write says the same.
        let ours = answer.to_json(Question::UrlConfigV2).expect("JSON");
        assert_eq!(UrlConfigAnswer::parse(&ours), Ok(answer));
    }
}

#[test]
fn it_waits_for_its_token_over_mqtt() {
    let uuid = Uuid::new(UUID).expect("a uuid");
    let key = auth_key(AUTH_KEY);
    let expected = Login::activation(&uuid, &key, None);
    let (client_id, user_name, password) = login("002-mqtts-rx");
    assert_eq!(ClientId::parse(&client_id), Ok(expected.client_id.clone()));
    assert_eq!(user_name, expected.user_name);
    assert!(expected.password.fits(&password));
    assert_eq!(subscribed("002-mqtts-rx"), [Topic::Activation(uuid.clone())]);
    assert!(expected.client_id.owns(&Topic::Activation(uuid.clone())));
    let told = published("002-mqtts-tx");
    assert_eq!(told.len(), 2, "the token went out in envelopes 2.2 and 2.3");
    for ((topic, payload), envelope) in told.into_iter().zip([Envelope::V2_2, Envelope::V2_3]) {
        assert_eq!(topic, Topic::Activation(uuid.clone()));
        let (found, stamp, message) = open(&key.cipher_key(), &payload);
        assert_eq!((found, stamp.map(|s| s.source)), (envelope, Some(Stamp::CLOUD)));
        let Content::Token(token) = message.content else { panic!("{message:?}") };
        assert_eq!(
            (token.token.as_str(), token.region.as_deref(), token.env.as_deref()),
            ("AbCdEfGh", Some("EU"), Some("pro"))
        );
    }
}

#[test]
fn it_activates() {
    let key = Key::from(auth_key(AUTH_KEY));
    let request = call("004-https-request");
    assert_eq!((request.path, request.encryption), (Path::D, Encryption::Ecb));
    assert_eq!((request.action.as_str(), request.version.as_deref()), ("tuya.device.active", Some("4.4")));
    assert_eq!(request.uuid.as_ref().map(Uuid::as_str), Some(UUID));
    assert_eq!((request.key_kind(), request.device()), (KeyKind::Auth, None));
    assert_eq!(request.verify(&key), Ok(()));
    assert_eq!(request.verify(&sec_key(SEC_KEY).into()), Err(SignatureError::Mismatch));
    assert!(request.open_body(&sec_key(SEC_KEY).into()).is_err());
    let body = ActivationRequest::parse(&request.open_body(&key).expect("a body")).expect("an activation");
    assert_eq!(body.token, "AbCdEfGh");
    assert_eq!(body.product_id.as_ref().map(AsRef::as_ref), Some("keytest0pid00001"));
    assert_eq!((body.protocol_ver.as_deref(), body.dev_attribute), (Some("2.2"), Some(2048)));
    assert_eq!((body.uses_firmware_key(), body.dev_id.as_ref()), (false, None));
    assert_eq!(body.t, request.t);

    // What the stand-in told it, by the rules of stock firmware, which check more than the SDK does.
    let (_, answer) = http("004-https-response");
    let reply = Reply::parse(&answer, Encryption::Ecb, &key, Reader::Stock).expect("an answer");
    let Outcome::Success(Some(result)) = reply.outcome() else { panic!("{reply:?}") };
    let activation = Activation::parse(result).expect("a result");
    assert_eq!(activation.dev_id, Some(device()));
    assert_eq!((&activation.sec_key, &activation.local_key), (&sec_key(SEC_KEY), &local_key()));
    assert_eq!(
        (activation.schema_id.as_str(), activation.std_time_zone.as_deref()),
        ("000000test", Some("+01:00"))
    );
    // Sealed by us, the recorded answer comes out byte by byte but for the order inside.
    let ours = reply.to_body(Encryption::Ecb, &key, &mut Zeros);
    assert_eq!(Reply::parse(&ours, Encryption::Ecb, &key, Reader::Stock), Ok(reply.clone()));

    // Our own answer: the fields that Connect Kit reads without looking are there, and it fits its buffers.
    let ours = Reply::success(reply.t, activation.to_result().expect("it fits"));
    let answer = ours.to_body(Encryption::Ecb, &key, &mut Zeros);
    assert!(answer.len() < 8192, "{} bytes", answer.len());
    let read = Reply::parse(&answer, Encryption::Ecb, &key, Reader::Sdk).expect("an answer");
    let Outcome::Success(Some(result)) = read.outcome() else { panic!("{read:?}") };
    let fields: serde_json::Value = result.read().expect("JSON");
    for field in ["devId", "secKey", "localKey", "schemaId", "schema", "stdTimeZone"] {
        assert!(fields[field].is_string(), "{field} is a text");
    }
    assert_eq!(fields["resetFactory"], false);
    let without_schema = result.as_str().len() - fields["schema"].to_string().len();
    assert!(without_schema < 512, "{without_schema} bytes are kept");
}

#[test]
fn it_reports_its_versions() {
    let key = Key::from(sec_key(SEC_KEY));
    let request = call("005-https-request");
    assert_eq!((request.key_kind(), request.device()), (KeyKind::Sec, Some(&device())));
    assert_eq!(request.verify(&key), Ok(()));
    assert_eq!(request.verify(&auth_key(AUTH_KEY).into()), Err(SignatureError::Mismatch));
    let body = request.open_body(&key).expect("a body");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert!(body["versions"].as_str().is_some_and(|v| v.contains("\"protocolVer\":\"2.2\"")));
    let reply = Reply::parse(&http("005-https-response").1, Encryption::Ecb, &key, Reader::Stock);
    let reply = reply.expect("an answer");
    assert!(matches!(reply.outcome(), Outcome::Success(Some(r)) if r.as_str() == "{}"));
}

#[test]
fn it_lives_on_mqtt() {
    let expected = Login::device(&device(), &sec_key(SEC_KEY));
    let (client_id, user_name, password) = login("006-mqtts-rx");
    assert_eq!(ClientId::parse(&client_id), Ok(expected.client_id.clone()));
    assert_eq!(user_name, expected.user_name);
    assert!(expected.password.fits(&password));
    let topics = subscribed("006-mqtts-rx");
    assert_eq!(topics, [Topic::In(device()), Topic::RpcResponse(device()), Topic::RpcFile(device())]);
    assert!(topics.iter().all(|t| expected.client_id.owns(t)));

    let mut reports = Vec::new();
    let mut calls = Vec::new();
    for (topic, payload) in published("006-mqtts-rx") {
        if topic == Topic::RpcRequest(device()) {
            let call = RpcRequest::parse(&payload).expect("a call");
            assert_eq!(call.to_json().expect("JSON"), payload);
            calls.push((call.id, call.action.to_string(), call.version));
            continue;
        }
        assert_eq!(topic, Topic::Out(device()));
        let (envelope, stamp, message) = open(local_key().expose(), &payload);
        assert_eq!(envelope, Envelope::V2_2);
        let stamp = stamp.expect("2.2 has one");
        assert!(stamp.is_device() && stamp.source == Stamp::DEVICE_SWAPPED, "{stamp:?}");
        // The SDK's bytes are what the device side of ours makes of the same message.
        let mut ours = Vec::new();
        let json = message.to_json().expect("JSON");
        let codec = Codec::new(local_key().expose());
        codec.seal(envelope, stamp, &json, &mut Zeros, &mut ours).expect("sealed");
        assert_eq!(ours, payload);
        let Content::Report(report) = message.content else { panic!("{message:?}") };
        assert_eq!(report.dev_id, Some(device()));
        reports.push((stamp.sequence, report.dps));
    }
    let dps = |points: &[(u16, DpValue)]| points.iter().cloned().map(|(i, v)| (DpId(i), v)).collect::<Dps>();
    assert_eq!(
        reports,
        [
            (65184, dps(&[(1, DpValue::Bool(true))])),
            (65185, dps(&[(1, DpValue::Bool(false)), (9, DpValue::Value(30))]))
        ]
    );
    let version = Some("4.4".to_owned());
    assert_eq!(
        calls,
        [
            (1, "tuya.device.upgrade.silent.get".to_owned(), version.clone()),
            (2, "tuya.device.upgrade.get".to_owned(), version)
        ]
    );

    // What the stand-in said to it, a message in envelope 2.1 (which it refused) among them.
    let told: Vec<(Envelope, Protocol)> = published("006-mqtts-tx")
        .into_iter()
        .filter(|(topic, _)| *topic == Topic::In(device()))
        .map(|(_, payload)| {
            let (envelope, _, message) = open(local_key().expose(), &payload);
            (envelope, message.protocol())
        })
        .collect();
    assert!(
        told.starts_with(&[
            (Envelope::V2_2, Protocol::SET),
            (Envelope::V2_2, Protocol::SET),
            (Envelope::V2_1, Protocol::SET),
            (Envelope::V2_2, Protocol::QUERY),
            (Envelope::V2_2, Protocol::UPGRADE),
        ]),
        "{told:?}"
    );
}
