//! Every case of `/vectors/cloud.json`. A kind that lost a case, or came anew, fails.

mod cloud;

use std::collections::BTreeMap;

use cloud::{Case, Fixed, auth_key, cases, sec_key, unhex};
use landfall_proto::gateway::name_service::{
    Endpoint, Question, Service, Transport, UrlConfigAnswer, UrlConfigRequest,
};
use landfall_proto::gateway::{
    Call, Encryption, Key, KeyKind, Path, Reader, Reply, ReplyError, Request, SignatureError, firmware,
};
use landfall_proto::id::{DeviceId, PskKey, Uuid};
use landfall_proto::mqtt::login::{self, ClientId, Login};
use landfall_proto::mqtt::rpc::{RpcRequest, RpcResponse};
use landfall_proto::mqtt::{Codec, Content, Envelope, EnvelopeError, Message, Sealed, Stamp, Topic};
use landfall_proto::psk::{DeviceHash, Identity, Psk, PskType};
use landfall_proto::{Role, crypto};

/// How many cases of each kind the file holds, and so how many the tests below run.
const KINDS: [(&str, usize); 24] = [
    ("http_body_ecb", 5),
    ("http_body_et3", 2),
    ("http_parse", 2),
    ("http_reply_et1", 5),
    ("http_reply_et1.reject", 2),
    ("http_reply_et3", 1),
    ("http_reply_plain", 1),
    ("http_sign", 11),
    ("iotdns_parse", 2),
    ("matop", 1),
    ("mqtt21", 4),
    ("mqtt21.reject", 3),
    ("mqtt21_parse", 8),
    ("mqtt21_pattern", 1),
    ("mqtt22", 5),
    ("mqtt22.reject", 3),
    ("mqtt23", 4),
    ("mqtt23.reject", 2),
    ("mqtt_auth", 3),
    ("mqtt_auth_tuyalink", 1),
    ("ota", 1),
    ("psk_v1", 5),
    ("psk_v2", 1),
    ("psk_v2_uuid_hash", 1),
];

/// The cases of a kind, as many as there must be.
fn of(kind: &str) -> Vec<Case> {
    let (_, count) = KINDS.into_iter().find(|(k, _)| *k == kind).expect("a kind of the table");
    let cases = cases(kind);
    assert_eq!(cases.len(), count, "cases of {kind}");
    cases
}

#[test]
fn no_kind_is_left_out() {
    let mut found = BTreeMap::new();
    for case in cloud::all() {
        *found.entry(case.kind.clone()).or_insert(0) += 1;
    }
    let known: BTreeMap<String, usize> = KINDS.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
    assert_eq!(found, known);
    let text = include_str!("cloud_vectors.rs");
    for (kind, _) in KINDS {
        assert_eq!(text.matches(&format!("of(\"{kind}\")")).count(), 1, "{kind} is tested once");
    }
}

fn open(key: &str, payload: &[u8]) -> Result<(Envelope, Option<Stamp>, Vec<u8>), EnvelopeError> {
    let key: &[u8; 16] = key.as_bytes().try_into().expect("16 characters");
    let mut scratch = Vec::new();
    let opened = Codec::new(key).open(Sealed::parse(payload, &mut scratch)?)?;
    Ok((opened.envelope, opened.stamp, opened.json.to_vec()))
}

fn seal(key: &str, envelope: Envelope, stamp: Stamp, json: &str, nonce: &[u8]) -> Vec<u8> {
    let key: &[u8; 16] = key.as_bytes().try_into().expect("16 characters");
    let mut out = Vec::new();
    Codec::new(key)
        .seal(envelope, stamp, json.as_bytes(), &mut Fixed(nonce.to_vec()), &mut out)
        .expect("sealed");
    out
}

/// What is inside means the same to us as the JSON says.
fn understood(case: &Case, json: &str) {
    let message = Message::parse(json.as_bytes()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(Some(u64::from(message.protocol().0)), value["protocol"].as_u64(), "{}", case.name);
    assert!(!matches!(message.content, Content::Other { .. }), "{} is a known number", case.name);
    let written = message.to_json().expect("JSON");
    assert_eq!(Message::parse(&written), Ok(message), "{}", case.name);
}

#[test]
fn envelopes_2_1() {
    for case in of("mqtt21") {
        let (key, json) = (case.input("key"), case.input("plaintext"));
        let payload = case.wanted("payload");
        assert_eq!(
            seal(key, Envelope::V2_1, Stamp::default(), json, &[]),
            payload.as_bytes(),
            "{}",
            case.name
        );
        let opened = open(key, payload.as_bytes());
        assert_eq!(opened, Ok((Envelope::V2_1, None, json.as_bytes().to_vec())), "{}", case.name);
        let mut scratch = Vec::new();
        let sealed = Sealed::parse(payload.as_bytes(), &mut scratch).expect("sound");
        assert_eq!(sealed.signature(), Some(case.wanted("sign").as_bytes()), "{}", case.name);
        assert_eq!(Some(sealed.ciphertext().len() as u64), case.expected["ciphertext_len"].as_u64());
        understood(&case, json);
    }
}

#[test]
fn envelopes_2_1_that_must_fail() {
    for case in of("mqtt21.reject") {
        let e = open(case.input("key"), case.input("payload").as_bytes()).unwrap_err();
        match (case.name.as_str(), case.wanted("error")) {
            ("mqtt21-reject-bad-sign", "bad_signature") => assert_eq!(e, EnvelopeError::BadSignature),
            ("mqtt21-reject-wrong-key", "bad_signature") => {
                assert_eq!(e, EnvelopeError::WrongKey { envelope: Envelope::V2_1 });
            }
            ("mqtt21-reject-truncated", "too_short") => {
                assert!(matches!(e, EnvelopeError::TooShort { envelope: Envelope::V2_1, .. }));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn patterns(ciphers: &[Vec<u8>]) -> Vec<String> {
    let mut seen: Vec<[u8; 16]> = Vec::new();
    let letter = |block: &[u8; 16]| {
        let at = seen.iter().position(|s| s == block).unwrap_or_else(|| {
            seen.push(*block);
            seen.len() - 1
        });
        char::from(b'A' + u8::try_from(at).expect("fewer than 26 blocks"))
    };
    let mut letter = letter;
    ciphers.iter().map(|c| c.as_chunks::<16>().0.iter().map(&mut letter).collect()).collect()
}

#[test]
fn the_seeds_eight_messages() {
    let cases = of("mqtt21_parse");
    let mut ciphers = Vec::new();
    for case in &cases {
        let topic = Topic::parse(case.input("topic")).expect("a device's topic");
        assert_eq!(topic.device().map(DeviceId::as_str), Some(case.wanted("device_id")));
        assert_eq!(topic.publisher() == Role::Device, case.wanted("direction") == "out");
        let mut scratch = Vec::new();
        let sealed = Sealed::parse(case.input("payload").as_bytes(), &mut scratch).expect("sound");
        assert_eq!(sealed.envelope().as_str(), case.wanted("version"));
        assert_eq!(sealed.signature(), Some(case.wanted("sign").as_bytes()));
        assert_eq!(sealed.stamp(), None);
        assert_eq!(Some(sealed.ciphertext().len() as u64), case.expected["ciphertext_len"].as_u64());
        let cipher = sealed.ciphertext().to_vec();
        assert_eq!(
            base64_simd::STANDARD.encode_to_string(&cipher),
            case.wanted("ciphertext_b64"),
            "{}",
            case.name
        );
        // Their key is not published; any other is told from it.
        let stranger = Codec::new(b"0000000000000000");
        assert_eq!(stranger.signed(&sealed), Some(false));
        assert_eq!(stranger.open(sealed).unwrap_err(), EnvelopeError::WrongKey { envelope: Envelope::V2_1 });
        ciphers.push(cipher);
    }
    let wanted: Vec<&str> = cases.iter().map(|c| c.wanted("block_pattern")).collect();
    assert_eq!(patterns(&ciphers), wanted);
}

/// The seed's messages under a key of ours: same blocks, and the signature says whose key it is.
#[test]
fn the_seeds_layout_under_a_known_key() {
    for case in of("mqtt21_pattern") {
        let key = case.input("key");
        let mut ciphers = Vec::new();
        for json in case.inputs["plaintexts"].as_array().expect("a list") {
            let json = json.as_str().expect("text");
            let payload = seal(key, Envelope::V2_1, Stamp::default(), json, &[]);
            let mut scratch = Vec::new();
            let sealed = Sealed::parse(&payload, &mut scratch).expect("sound");
            let right = Codec::new(key.as_bytes().try_into().expect("16"));
            assert_eq!(right.signed(&sealed), Some(true));
            assert_eq!(Codec::new(b"0000000000000000").signed(&sealed), Some(false));
            ciphers.push(sealed.ciphertext().to_vec());
            understood(&case, json);
        }
        let wanted: Vec<&str> = case.expected["block_patterns"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|p| p.as_str().expect("text"))
            .collect();
        assert_eq!(patterns(&ciphers), wanted);
    }
}

#[test]
fn envelopes_2_2() {
    for case in of("mqtt22") {
        let (key, json) = (case.input("key"), case.input("plaintext"));
        let word = |name| u32::from_be_bytes(unhex(case.input(name)).try_into().expect("4 bytes"));
        let stamp = Stamp { sequence: word("seq_bytes_hex"), source: word("source_bytes_hex") };
        assert_eq!(Some(u64::from(stamp.sequence)), case.expected["seq_be"].as_u64());
        assert_eq!(Some(u64::from(stamp.source)), case.expected["source_be"].as_u64());
        let frame = unhex(case.wanted("frame_hex"));
        assert_eq!(seal(key, Envelope::V2_2, stamp, json, &[]), frame, "{}", case.name);
        let opened = open(key, &frame);
        assert_eq!(opened, Ok((Envelope::V2_2, Some(stamp), json.as_bytes().to_vec())), "{}", case.name);
        assert_eq!(stamp.is_device(), case.name.starts_with("mqtt22-dp-report"), "{}", case.name);
        let other = open("Kx7$v9Qm2#Lp4&Rz", &frame).unwrap_err();
        assert_eq!(other, EnvelopeError::WrongKey { envelope: Envelope::V2_2 }, "{}", case.name);
        understood(&case, json);
    }
}

#[test]
fn envelopes_2_2_that_must_fail() {
    for case in of("mqtt22.reject") {
        let e = open(case.input("key"), &unhex(case.input("frame_hex"))).unwrap_err();
        let fits = match case.wanted("error") {
            "bad_crc" => matches!(e, EnvelopeError::BadChecksum { .. }),
            "too_short" => matches!(e, EnvelopeError::TooShort { envelope: Envelope::V2_2, .. }),
            "bad_padding" => matches!(e, EnvelopeError::NotBlocks { envelope: Envelope::V2_2, .. }),
            other => panic!("{other}"),
        };
        assert!(fits && !e.blames_the_key(), "{}: {e}", case.name);
    }
}

#[test]
fn envelopes_2_3() {
    for case in of("mqtt23") {
        let (key, json) = (case.input("key"), case.input("plaintext"));
        let word =
            |name: &str| u32::try_from(case.inputs[name].as_u64().expect("a number")).expect("32 bits");
        let stamp = Stamp { sequence: word("seq"), source: word("from") };
        let frame = unhex(case.wanted("frame_hex"));
        let nonce = unhex(case.input("nonce_hex"));
        assert_eq!(seal(key, Envelope::V2_3, stamp, json, &nonce), frame, "{}", case.name);
        let opened = open(key, &frame);
        assert_eq!(opened, Ok((Envelope::V2_3, Some(stamp), json.as_bytes().to_vec())), "{}", case.name);
        assert_eq!(Some((frame.len() - json.len()) as u64), case.expected["overhead"].as_u64());
        assert!(open("Kx7$v9Qm2#Lp4&Rz", &frame).unwrap_err().blames_the_key());
        understood(&case, json);
    }
}

#[test]
fn envelopes_2_3_that_must_fail() {
    for case in of("mqtt23.reject") {
        let e = open(case.input("key"), &unhex(case.input("frame_hex"))).unwrap_err();
        match case.wanted("error") {
            "reserved_not_zero" => assert_eq!(e, EnvelopeError::Reserved(1)),
            "bad_tag" => assert_eq!(e, EnvelopeError::BadTag),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn logins() {
    for case in of("mqtt_auth") {
        let (login, cipher) = if case.inputs.get("devId").is_some() {
            let id = DeviceId::new(case.input("devId")).expect("an id");
            (Login::device(&id, &sec_key(case.input("secKey"))), case.input("localKey").to_owned())
        } else {
            let uuid = Uuid::new(case.input("uuid")).expect("a uuid");
            let announce = login::announced(case.wanted("username"));
            assert_eq!(announce.is_some(), case.wanted("username").contains('|'));
            let key = auth_key(case.input("authKey"));
            let cipher = String::from_utf8(key.cipher_key().to_vec()).expect("text");
            (Login::activation(&uuid, &key, announce), cipher)
        };
        assert_eq!(login.client_id.to_string(), case.wanted("client_id"), "{}", case.name);
        assert_eq!(ClientId::parse(case.wanted("client_id")), Ok(login.client_id), "{}", case.name);
        assert_eq!(login.user_name, case.wanted("username"), "{}", case.name);
        assert_eq!(login.password.expose(), case.wanted("password"), "{}", case.name);
        let topic = |t: Option<Topic>| t.map_or(serde_json::Value::Null, |t| t.to_string().into());
        assert_eq!(topic(login.subscribe), case.expected["subscribe"], "{}", case.name);
        assert_eq!(topic(login.publish), case.expected["publish"], "{}", case.name);
        assert_eq!(cipher, case.wanted("cipher_key"), "{}", case.name);
    }
    for case in of("mqtt_auth_tuyalink") {
        let id = DeviceId::new(case.input("deviceId")).expect("an id");
        let timestamp = case.inputs["timestamp"].as_u64().expect("a number");
        let login = Login::tuyalink(&id, case.input("deviceSecret").as_bytes(), timestamp);
        assert_eq!(login.client_id.to_string(), case.wanted("client_id"));
        assert_eq!(login.user_name, case.wanted("username"));
        assert_eq!(login.password.expose(), case.wanted("password"));
        assert_eq!(login::tuyalink_timestamp(&login.user_name), Some(timestamp));
    }
}

#[test]
fn calls_over_mqtt() {
    for case in of("matop") {
        let id = DeviceId::new(case.input("devId")).expect("an id");
        assert_eq!(Topic::RpcRequest(id.clone()).to_string(), case.wanted("topic"));
        assert_eq!(Topic::RpcResponse(id).to_string(), case.wanted("reply_topic"));
        let request = RpcRequest::parse(case.wanted("payload").as_bytes()).expect("a call");
        assert_eq!(request.to_json().expect("JSON"), case.wanted("payload").as_bytes());
        assert_eq!((request.id, request.action.as_str()), (1, "tuya.device.upgrade.get"));
        let response = RpcResponse::parse(case.wanted("reply").as_bytes()).expect("an answer");
        assert_eq!(response.to_json().expect("JSON"), case.wanted("reply").as_bytes());
        assert_eq!(response.id, request.id);
        // errata: the safe "no firmware" leaves the inner result out.
        let none = RpcResponse { id: 1, reply: Reply::done(1_700_000_001) }.to_json().expect("JSON");
        assert_eq!(none, br#"{"id":1,"data":{"result":{"success":true},"t":1700000001}}"#);
    }
}

fn key_of(case: &Case) -> Key {
    match case.input("key") {
        text if text.len() == 32 => auth_key(text).into(),
        text => sec_key(text).into(),
    }
}

#[test]
fn signatures_of_calls() {
    for case in of("http_sign") {
        let key = key_of(&case);
        let path = if case.inputs["params"].get("gwId").is_some() { Path::Gw } else { Path::D };
        let target = format!("{}?{}", path.as_str(), case.wanted("query"));
        let request = Request::parse(&target, b"").unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(request.verify(&key), Ok(()), "{}", case.name);
        let names_auth = case.input("key_is").starts_with("authKey");
        assert_eq!(request.key_kind() == KeyKind::Auth, names_auth, "{}", case.name);
        let stranger = Key::from(sec_key("strangersstrange"));
        assert_eq!(request.verify(&stranger), Err(SignatureError::Mismatch), "{}", case.name);
        // The device side builds the same query from the parsed fields.
        let call = Call {
            version: request.version.clone(),
            gw_id: request.gw_id.clone(),
            dev_id: request.dev_id.clone(),
            uuid: request.uuid.clone(),
            other: request.other.clone(),
            ..Call::new(path, request.action.clone(), request.t.expect("a clock"), request.encryption)
        };
        assert_eq!(call.target(&key), target, "{}", case.name);
    }
}

fn body(case: &Case, encryption: Encryption, nonce: &[u8]) {
    let (key, json) = (key_with_cipher(case.input("key")), case.input("plaintext"));
    let action = landfall_proto::gateway::Action::new("tuya.device.active").expect("a name");
    let call = Call::new(Path::D, action, 20, encryption);
    let form = call.form(&key, json.as_bytes(), &mut Fixed(nonce.to_vec()));
    assert_eq!(form, case.wanted("body"), "{}", case.name);
    assert_eq!(Some(form.len() as u64), case.expected["content_length"].as_u64(), "{}", case.name);
    let request = Request::parse(&call.target(&key), form.as_bytes()).expect("a request");
    assert_eq!(request.open_body(&key), Ok(json.as_bytes().to_vec()), "{}", case.name);
}

/// The vectors of bodies give the 16 characters of the cipher alone, whichever key they are from.
fn key_with_cipher(text: &str) -> Key {
    sec_key(text).into()
}

#[test]
fn bodies_of_calls() {
    for case in of("http_body_ecb") {
        let encryption = match case.inputs["et"].as_u64() {
            None => Encryption::AnswerClear,
            Some(1) => Encryption::Ecb,
            other => panic!("{other:?}"),
        };
        body(&case, encryption, &[]);
    }
    for case in of("http_body_et3") {
        body(&case, Encryption::Gcm, &unhex(case.input("nonce_hex")));
    }
}

/// The answer inside, read as the answer to a call without encryption.
fn inner(case: &Case, key: &Key) -> Reply {
    let text = case.input("inner").as_bytes();
    let reply = Reply::parse(text, Encryption::AnswerClear, key, Reader::Stock);
    reply.unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

#[test]
fn answers() {
    for case in of("http_reply_et1") {
        let key = key_of(&case);
        let reply = inner(&case, &key);
        let body = case.wanted("body").as_bytes();
        assert_eq!(reply.to_body(Encryption::Ecb, &key, &mut Fixed(vec![])), body, "{}", case.name);
        for reader in [Reader::Stock, Reader::Sdk] {
            let read = Reply::parse(body, Encryption::Ecb, &key, reader);
            assert_eq!(read, Ok(reply.clone()), "{}", case.name);
        }
    }
    for case in of("http_reply_et3") {
        let key = key_of(&case);
        let reply = inner(&case, &key);
        let body = case.wanted("body").as_bytes();
        let mut nonce = Fixed(unhex(case.input("nonce_hex")));
        assert_eq!(reply.to_body(Encryption::Gcm, &key, &mut nonce), body, "{}", case.name);
        assert_eq!(Reply::parse(body, Encryption::Gcm, &key, Reader::Stock), Ok(reply), "{}", case.name);
    }
    for case in of("http_reply_plain") {
        let result = landfall_proto::json::Raw::of(&case.inputs["result"]).expect("JSON");
        let reply = Reply::success(case.inputs["t"].as_u64().expect("a number"), result);
        assert_eq!(reply.to_clear(), case.wanted("body").as_bytes());
        let key = Key::from(sec_key("0000000000000000"));
        for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
            let read = Reply::parse(case.wanted("body").as_bytes(), encryption, &key, Reader::Stock);
            assert_eq!(read, Ok(reply.clone()), "{encryption:?}");
        }
    }
}

#[test]
fn answers_that_must_fail() {
    for case in of("http_reply_et1.reject") {
        let (key, body) = (key_of(&case), case.input("body").as_bytes());
        assert_eq!(case.wanted("error"), "bad_signature");
        let stock = Reply::parse(body, Encryption::Ecb, &key, Reader::Stock);
        assert_eq!(stock, Err(ReplyError::BadSignature), "{}", case.name);
        assert!(
            Reply::parse(body, Encryption::Ecb, &key, Reader::Sdk).is_ok(),
            "{}: SDKs look away",
            case.name
        );
    }
}

#[test]
fn the_seeds_captured_requests() {
    for case in of("http_parse") {
        let params = case.inputs["params"].as_object().expect("an object");
        let query: Vec<String> =
            params.iter().map(|(k, v)| format!("{k}={}", v.as_str().expect("text"))).collect();
        let target = format!("{}?{}", case.input("path"), query.join("&"));
        let body = format!("data={}", case.input("data_prefix"));
        let request = Request::parse(&target, body.as_bytes()).expect("a request");
        assert_eq!((request.path, request.encryption), (Path::Gw, Encryption::AnswerClear));
        assert_eq!(request.version, None);
        assert_eq!(request.action.as_str(), params["a"].as_str().expect("text"));
        assert_eq!(request.device().map(DeviceId::as_str), params["gwId"].as_str());
        assert_eq!(Some(request.t_is_uptime()), case.expected["t_is_uptime"].as_bool());
        assert!(request.has_body());
        // PHP showed parameters of the form and of the query alike: the same request with all of them in its body.
        let form = Request::parse(case.input("path"), format!("{}&{body}", query.join("&")).as_bytes());
        assert_eq!(form, Ok(request));
    }
}

#[test]
fn questions_to_the_name_service() {
    for case in of("iotdns_parse") {
        assert!(Question::of_path(case.input("path")).is_some());
        let request = UrlConfigRequest::parse(case.input("body").as_bytes()).expect("a request");
        let keys: Vec<&str> = request.config.iter().map(|w| w.key.as_str()).collect();
        assert_eq!(serde_json::json!(keys), case.expected["keys"]);
        assert!(request.config.iter().all(|w| w.key.meaning().is_some()));
        assert_eq!(request.needs_ca(), case.expected["needs_ca"].as_bool().unwrap_or(false));
        let again = UrlConfigRequest::parse(&request.to_json().expect("JSON"));
        assert_eq!(again, Ok(request.clone()));
        let Some(accepted) = case.expected.get("reply_accepted") else { continue };
        let accepted = accepted.as_str().expect("text");
        // Plain addresses alone: that keeps the device plain.
        let endpoints = request.config.iter().filter_map(|w| {
            let endpoint = match w.key.meaning() {
                Some((Service::Http, Transport::Plain)) => {
                    Endpoint::http("10.42.42.1", 80, Transport::Plain, Path::D.as_str())
                }
                Some((Service::Mqtt, Transport::Plain)) => Endpoint::mqtt("10.42.42.1", 1883),
                _ => return None,
            };
            Some((w.key.clone(), Endpoint { ips: vec!["10.42.42.1".to_owned()], ..endpoint }))
        });
        let answer = UrlConfigAnswer { ca: vec![], endpoints: endpoints.collect(), ttl: 600 };
        assert_eq!(answer.to_json(Question::UrlConfigV1).expect("JSON"), accepted.as_bytes());
        assert_eq!(UrlConfigAnswer::parse(accepted.as_bytes()), Ok(answer));
    }
}

#[test]
fn psk_type_1() {
    for case in of("psk_v1") {
        let bytes = unhex(case.input("identity_hex"));
        let identity = Identity::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(Some(bytes.len() as u64), case.expected["identity_len"].as_u64());
        assert_eq!(identity.kind(), PskType::One);
        let psk = identity.derive(case.input("hint").as_bytes()).expect("type 1");
        assert_eq!(psk.expose(), unhex(case.wanted("psk_hex")), "{}", case.name);
        for name in ["gwId", "uuid"] {
            if let Some(id) = case.inputs.get(name).and_then(|v| v.as_str()) {
                assert_eq!(identity.device(), DeviceHash::of(PskType::One, id), "{}", case.name);
            }
        }
        if let Some(prefix) = case.inputs.get("prefix16").and_then(|v| v.as_str()) {
            let key = auth_key(case.input("authKey"));
            let prefix = prefix.as_bytes().try_into().expect("16 characters");
            assert_eq!(Identity::type_1(prefix, case.input("uuid"), &key), identity, "{}", case.name);
            assert_eq!(identity.fits_auth_key(&key), Some(true), "{}", case.name);
        }
    }
}

#[test]
fn psk_type_2() {
    for case in of("psk_v2") {
        let prefix = unhex(case.input("random16_hex")).try_into().expect("16 bytes");
        let identity = Identity::type_2(&prefix, case.input("uuid"));
        let bytes = unhex(case.wanted("identity_hex"));
        assert_eq!(identity.as_bytes(), bytes);
        assert_eq!(Some(bytes.len() as u64), case.expected["identity_len"].as_u64());
        assert_eq!(Identity::parse(&bytes), Ok(identity.clone()));
        assert!(identity.derive(case.input("hint").as_bytes()).is_err());
        let psk = Psk::of_key(&PskKey::new(case.input("pskKey")).expect("a key"));
        assert_eq!(psk.expose(), unhex(case.wanted("psk_hex")));
    }
    for case in of("psk_v2_uuid_hash") {
        let hash: [u8; 32] = unhex(case.wanted("sha256_hex")).try_into().expect("32 bytes");
        assert_eq!(crypto::sha256(&[case.input("uuid").as_bytes()]), hash);
        let replaced = hash.map(|b| if b == 0 { b'?' } else { b });
        assert_eq!(DeviceHash::of(PskType::Two, case.input("uuid")), DeviceHash::Sha256(replaced));
    }
}

#[test]
fn firmware_digests() {
    for case in of("ota") {
        let file = unhex(case.input("firmware_hex"));
        let digests = firmware::Digests::of(&file, &sec_key(case.input("secKey")));
        assert_eq!(digests.size.to_string(), case.wanted("size"));
        assert_eq!(digests.md5, case.wanted("md5"));
        assert_eq!(firmware::sha256_text(&file), case.wanted("sha256_upper"));
        assert_eq!(digests.hmac, case.wanted("hmac"));
    }
}
