//! Targets of the cloud side: what a stranger can send to a broker, a gateway, a name service, or a device.

use landfall_proto::gateway::activation::{Activation, ActivationRequest, PairingToken};
use landfall_proto::gateway::name_service::{self, Question, UrlConfigAnswer, UrlConfigRequest};
use landfall_proto::gateway::{Action, Call, Encryption, Key, Path, Reader, Reply, Request, firmware};
use landfall_proto::id::{AuthKey, DeviceId, SecKey};
use landfall_proto::json::Raw;
use landfall_proto::mqtt::login::{self, ClientId};
use landfall_proto::mqtt::rpc::{FilePiece, RpcRequest, RpcResponse};
use landfall_proto::mqtt::{Codec, Envelope, EnvelopeError, Message, Sealed, Stamp, Topic};
use landfall_proto::psk::{HINT, Identity};

use super::{DEVICE, Dice, Input, KEY};

/// Payloads, messages, calls over MQTT, topics, PSK identities.
///
/// Byte 0, lowest two bits: 0 the rest is a payload; 1 to 3 it becomes the content of a sound envelope 2.1, 2.2, 2.3.
pub fn mqtt(data: &[u8]) {
    let mut input = Input(data);
    let Some(mode) = input.byte() else { return };
    let rest = input.rest();
    let codec = Codec::new(KEY);
    let mut scratch = Vec::new();
    if mode & 3 == 0 {
        if let Ok(sealed) = Sealed::parse(rest, &mut scratch) {
            assert!(sealed.ciphertext().len() <= rest.len());
            let (envelope, signed) = (sealed.envelope(), codec.signed(&sealed));
            if let Ok(opened) = codec.open(sealed) {
                assert_eq!(opened.envelope, envelope);
                assert_ne!(signed, Some(false), "a wrong signature is never opened");
                read_message(opened.json);
            }
        }
        for_others(rest);
        return;
    }
    let envelope = Envelope::ALL[usize::from(mode & 3) - 1];
    let stamp = Stamp::device(u32::from(mode));
    let mut payload = Vec::new();
    match codec.seal(envelope, stamp, rest, &mut Dice(mode), &mut payload) {
        Ok(()) => {}
        Err(EnvelopeError::TooLong(_)) => return,
        Err(e) => panic!("{e}"),
    }
    // A content too short for any JSON text may be below the least length.
    let Ok(sealed) = Sealed::parse(&payload, &mut scratch) else {
        assert!(rest.len() < 2, "our own payload is sound");
        return;
    };
    match codec.open(sealed) {
        Ok(opened) => {
            assert!(rest.starts_with(opened.json));
            read_message(opened.json);
        }
        Err(e) => assert!(!(rest.starts_with(b"{") && rest.ends_with(b"}")), "our own content opens: {e}"),
    }
}

fn read_message(json: &[u8]) {
    let Ok(message) = Message::parse(json) else { return };
    let written = message.to_json().expect("what was read can be written");
    assert_eq!(Message::parse(&written), Ok(message));
}

fn for_others(bytes: &[u8]) {
    read_message(bytes);
    if let Ok(call) = RpcRequest::parse(bytes) {
        assert_eq!(RpcRequest::parse(&call.to_json().expect("JSON")), Ok(call));
    }
    if let Ok(answer) = RpcResponse::parse(bytes) {
        assert_eq!(RpcResponse::parse(&answer.to_json().expect("JSON")), Ok(answer));
    }
    if let Ok(piece) = FilePiece::parse(bytes) {
        assert_eq!(piece.to_payload(), bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some(topic) = Topic::parse(&text) {
        assert_eq!(topic.to_string(), text);
        assert!(!text.contains(['+', '#', '\0']), "a topic, not a filter");
    }
    if let Ok(id) = ClientId::parse(&text) {
        assert_eq!(id.to_string(), text);
    }
    let _ = (login::announced(&text), login::tuyalink_timestamp(&text));
    if let Ok(identity) = Identity::parse(bytes) {
        assert_eq!(identity.as_bytes(), bytes);
        let _ = (identity.device(), identity.derive(HINT.as_bytes()), identity.derive(bytes));
    }
}

/// Calls and answers of the gateway, bodies of the name service.
///
/// Byte 0, lowest two bits: 0 the rest is a target, a line feed and a body; 1 an answer; 2 a JSON body of the name service
/// or an activation; 3 it becomes the content of a sound call and a sound answer.
pub fn gateway(data: &[u8]) {
    let mut input = Input(data);
    let Some(mode) = input.byte() else { return };
    let rest = input.rest();
    let keys: [Key; 2] =
        [SecKey::new(KEY).expect("a key").into(), AuthKey::new([*KEY, *KEY].concat()).expect("a key").into()];
    let all = [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm];
    match mode & 3 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let (target, body) = text.split_once('\n').unwrap_or((&text, ""));
            let _ = (Question::of_path(target), firmware::range(target, 1000));
            let Ok(request) = Request::parse(target, body.as_bytes()) else { return };
            let _ = (request.device(), request.key_kind(), request.t_is_uptime());
            for key in &keys {
                let _ = (request.verify(key), request.open_body(key));
            }
            if let Some(other) = &request.other {
                let _ = PairingToken::parse(other);
            }
        }
        1 => {
            for (key, encryption) in keys.iter().flat_map(|k| all.map(|e| (k, e))) {
                for reader in [Reader::Stock, Reader::Sdk] {
                    if let Ok(reply) = Reply::parse(rest, encryption, key, reader) {
                        let again = Reply::parse(&reply.to_clear(), encryption, key, reader);
                        assert_eq!(again, Ok(reply));
                    }
                }
            }
        }
        2 => {
            if let Ok(request) = UrlConfigRequest::parse(rest) {
                assert_eq!(UrlConfigRequest::parse(&request.to_json().expect("JSON")), Ok(request));
            }
            if let Ok(answer) = UrlConfigAnswer::parse(rest) {
                let written = answer.to_json(Question::UrlConfigV2).expect("JSON");
                assert!(UrlConfigAnswer::parse(&written).is_ok());
            }
            let _ = name_service::parse_names(rest);
            if let Ok(request) = ActivationRequest::parse(rest) {
                let _ = request.uses_firmware_key();
                assert_eq!(ActivationRequest::parse(&request.to_json().expect("JSON")), Ok(request));
            }
            if let Ok(activation) = serde_json::from_slice::<Raw>(rest).map(|raw| Activation::parse(&raw))
                && let Ok(activation) = activation
                && let Ok(result) = activation.to_result()
            {
                assert_eq!(Activation::parse(&result), Ok(activation));
            }
        }
        _ => {
            let action = Action::new("tuya.device.active").expect("a name");
            for (key, encryption) in keys.iter().flat_map(|k| all.map(|e| (k, e))) {
                let call = Call {
                    gw_id: DeviceId::new(DEVICE).ok(),
                    ..Call::new(Path::Gw, action.clone(), 7, encryption)
                };
                let form = call.form(key, rest, &mut Dice(mode));
                let Ok(request) = Request::parse(&call.target(key), form.as_bytes()) else {
                    assert!(form.len() > 128 * 1024, "our own call is sound");
                    return;
                };
                assert_eq!(request.verify(key), Ok(()));
                let opened = request.open_body(key);
                assert!(opened.is_ok_and(|o| rest.starts_with(&o)) || rest.first() != Some(&b'{'));
                let Ok(result) = serde_json::from_slice::<Raw>(rest) else { continue };
                let reply = Reply::success(7, result);
                let body = reply.to_body(encryption, key, &mut Dice(mode));
                if body.len() <= 64 * 1024 {
                    assert_eq!(Reply::parse(&body, encryption, key, Reader::Stock), Ok(reply));
                }
            }
        }
    }
}
