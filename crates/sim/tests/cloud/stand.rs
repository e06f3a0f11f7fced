//! A scripted cloud: it answers what devices insist on, and does what a test tells it to do otherwise.

use std::collections::HashMap;
use std::time::Duration;

use landfall_proto::gateway::activation::Activation;
use landfall_proto::gateway::{Encryption, ErrorCode, Key, KeyKind, Reply, Request};
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, SecKey};
use landfall_proto::json::Raw;
use landfall_proto::mqtt::envelope::Sealed;
use landfall_proto::mqtt::{Codec, Envelope, Stamp};
use landfall_sim::cloud::{LineId, Place};
use landfall_sim::dice::Dice;
use serde_json::{Value, json};

use crate::broker::{self, Sent};
use crate::replies::{config, endpoints, full_schema, places};

/// What time it is in the cloud when the device is switched on.
pub(crate) const EPOCH: u64 = 1_774_000_000;
pub(crate) const AUTH_KEY: &str = "Abcdefgh01234567Ijklmnop89abcdef";
pub(crate) const SEC_KEY: &str = "5ec0123456789abc";
pub(crate) const LOCAL_KEY: &str = "10ca1key01234567";
/// The id that a device of generation C gets.
pub(crate) const NEW_ID: &str = "bf00112233445566778899";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    pub(crate) place: Place,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    /// `url_config`, `firmware`, or the action.
    pub(crate) action: String,
    pub(crate) request: Option<Request>,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn t(&self) -> u64 {
        self.request.as_ref().unwrap().t.unwrap()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Success with this result.
    Result(Value),
    /// Success without any.
    Done,
    /// Success in clear, with `"e":false`.
    Clear(Value),
    /// Success with a wrong signature.
    Forged(Value),
    /// Success, and this as the time.
    At(u64),
    /// A failure, as a careless cloud might send it.
    Failure(&'static str),
    /// HTTP with this status and no body.
    Status(u16),
    /// The connection is closed.
    Close,
    /// Nothing.
    Silence,
}

/// A login and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) place: Place,
    pub(crate) packet: Sent,
}

/// A message of the device.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) topic: String,
    pub(crate) quality: u8,
    pub(crate) envelope: Envelope,
    pub(crate) stamp: Option<Stamp>,
    /// As it was written.
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Heard {
    pub(crate) fn protocol(&self) -> u64 {
        self.json["protocol"].as_u64().unwrap()
    }
}

struct Conn {
    place: Place,
    buffer: Vec<u8>,
}

/// The cloud.
pub(crate) struct Stand {
    pub(crate) auth_key: AuthKey,
    pub(crate) sec_key: SecKey,
    pub(crate) local_key: LocalKey,
    /// Addresses that refuse connections: `mqtt`, `http`, or a host name.
    pub(crate) deaf: Vec<String>,
    /// Answers that differ from the usual ones; those in a list are used up one by one, the last one stays.
    pub(crate) answers: HashMap<String, Vec<Answer>>,
    pub(crate) connack: u8,
    pub(crate) acknowledges: bool,
    pub(crate) pongs: bool,
    pub(crate) image: Vec<u8>,
    pub(crate) ranges: bool,
    pub(crate) schema: String,
    pub(crate) asked: Vec<Asked>,
    /// Actions, with `MQTT` where the device logged in.
    pub(crate) story: Vec<String>,
    pub(crate) connected: Vec<Connected>,
    pub(crate) packets: Vec<(Duration, Sent)>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) opened: Vec<(Duration, Place)>,
    conns: HashMap<LineId, Conn>,
    mqtt: Option<LineId>,
    topic: String,
    envelope: Envelope,
    sequence: u32,
    dice: Dice,
}

pub(crate) fn is_mqtt(place: &Place) -> bool {
    matches!(place.port, 1883 | 8883 | 8886)
}

impl Stand {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self {
            auth_key: AuthKey::new(AUTH_KEY).unwrap(),
            sec_key: SecKey::new(SEC_KEY).unwrap(),
            local_key: LocalKey::new(LOCAL_KEY).unwrap(),
            deaf: Vec::new(),
            answers: HashMap::new(),
            connack: 0,
            acknowledges: true,
            pongs: true,
            image: Vec::new(),
            ranges: true,
            schema: full_schema(),
            asked: Vec::new(),
            story: Vec::new(),
            connected: Vec::new(),
            packets: Vec::new(),
            heard: Vec::new(),
            opened: Vec::new(),
            conns: HashMap::new(),
            mqtt: None,
            topic: String::new(),
            envelope,
            sequence: 100,
            dice: Dice::new(4),
        }
    }

    pub(crate) fn answer(&mut self, action: &str, answers: &[Answer]) {
        self.answers.insert(action.to_owned(), answers.to_vec());
    }

    /// The actions asked so far, in order.
    pub(crate) fn actions(&self) -> Vec<&str> {
        self.asked.iter().map(|a| a.action.as_str()).collect()
    }

    pub(crate) fn last(&self, action: &str) -> &Asked {
        self.asked
            .iter()
            .rev()
            .find(|a| a.action == action)
            .unwrap_or_else(|| panic!("nobody asked {action}"))
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.asked.iter().filter(|a| a.action == action).count()
    }

    /// True if the connection is taken.
    pub(crate) fn open(&mut self, line: LineId, place: Place, at: Duration) -> bool {
        self.opened.push((at, place.clone()));
        let kind = if is_mqtt(&place) { "mqtt" } else { "http" };
        if self.deaf.iter().any(|d| d == kind || *d == place.host) {
            return false;
        }
        self.conns.insert(line, Conn { place, buffer: Vec::new() });
        true
    }

    pub(crate) fn close(&mut self, line: LineId) {
        self.conns.remove(&line);
        self.mqtt = self.mqtt.filter(|m| *m != line);
    }

    pub(crate) fn mqtt_line(&self) -> Option<LineId> {
        self.mqtt
    }

    /// Bytes of the device; the answer, and whether the connection is closed then.
    pub(crate) fn input(&mut self, line: LineId, bytes: &[u8], now: Duration) -> (Vec<u8>, bool) {
        let Some(conn) = self.conns.get_mut(&line) else { panic!("bytes on a line that is closed") };
        conn.buffer.extend_from_slice(bytes);
        if is_mqtt(&conn.place) { self.mqtt_input(line, now) } else { self.http_input(line, now) }
    }

    fn mqtt_input(&mut self, line: LineId, now: Duration) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        while let Some(sent) = broker::read(&mut self.conns.get_mut(&line).unwrap().buffer) {
            self.packets.push((now, sent.clone()));
            match sent {
                Sent::Connect { .. } => {
                    let place = self.conns[&line].place.clone();
                    self.story.push("MQTT".to_owned());
                    self.connected.push(Connected { place, packet: sent });
                    out.extend(broker::connack(self.connack));
                    self.mqtt = Some(line);
                }
                Sent::Subscribe { id, topic, quality } => {
                    assert_eq!(quality, 1);
                    self.topic = topic;
                    out.extend(broker::suback(id));
                }
                Sent::Publish { topic, id, payload } => {
                    let mut scratch = Vec::new();
                    let sealed = Sealed::parse(&payload, &mut scratch).unwrap();
                    let opened = Codec::new(self.local_key.expose()).open(sealed).unwrap();
                    let text = String::from_utf8(opened.json.to_vec()).unwrap();
                    let (envelope, stamp) = (opened.envelope, opened.stamp);
                    let json = serde_json::from_str(&text).unwrap();
                    let quality = u8::from(id.is_some());
                    self.heard.push(Heard { topic, quality, envelope, stamp, text, json });
                    if let Some(id) = id.filter(|_| self.acknowledges) {
                        out.extend(broker::puback(id));
                    }
                }
                Sent::Ping if self.pongs => out.extend([0xd0, 0]),
                Sent::Ping | Sent::PubAck { .. } => {}
                Sent::Disconnect => return (out, true),
            }
        }
        (out, false)
    }

    /// A message to the device, in its envelope, as source 0 with a rising sequence.
    pub(crate) fn message(&mut self, json: &Value) -> Vec<u8> {
        self.sequence += 1;
        self.message_as(json, Stamp::cloud(self.sequence))
    }

    pub(crate) fn message_as(&mut self, json: &Value, stamp: Stamp) -> Vec<u8> {
        let mut payload = Vec::new();
        let codec = Codec::new(self.local_key.expose());
        codec.seal(self.envelope, stamp, json.to_string().as_bytes(), &mut self.dice, &mut payload).unwrap();
        broker::publish(&self.topic, 1, &payload)
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    fn http_input(&mut self, line: LineId, now: Duration) -> (Vec<u8>, bool) {
        let conn = self.conns.get_mut(&line).unwrap();
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut fields);
        // Braces and quotes in the target are no URI; this parser does not mind them.
        let Ok(httparse::Status::Complete(head)) = parsed.parse(&conn.buffer) else {
            return (Vec::new(), false);
        };
        let (method, target) = (parsed.method.unwrap().to_owned(), parsed.path.unwrap().to_owned());
        let text = |v: &[u8]| String::from_utf8(v.to_vec()).unwrap();
        let fields: Vec<_> = parsed.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect();
        let len: usize =
            fields.iter().find(|(n, _)| n == "Content-Length").map_or(0, |(_, v)| v.parse().unwrap());
        if conn.buffer.len() < head + len {
            return (Vec::new(), false);
        }
        let body: Vec<u8> = conn.buffer[head..head + len].to_vec();
        conn.buffer.drain(..head + len);
        let place = conn.place.clone();
        let asked = Asked {
            at: now,
            place,
            method,
            target,
            fields,
            action: String::new(),
            request: None,
            body: Value::Null,
        };
        self.respond(asked, &body)
    }

    fn respond(&mut self, mut asked: Asked, body: &[u8]) -> (Vec<u8>, bool) {
        let t = EPOCH + asked.at.as_secs();
        if asked.target == "/v1/url_config" {
            asked.action = "url_config".to_owned();
            self.story.push(asked.action.clone());
            asked.body = serde_json::from_slice(body).unwrap();
            let answer = self.script("url_config").unwrap_or(Answer::Result(endpoints()));
            self.asked.push(asked);
            return match answer {
                Answer::Result(value) => (http(200, "", value.to_string().as_bytes()), false),
                Answer::Status(status) => (http(status, "", b""), false),
                Answer::Silence => (Vec::new(), false),
                _ => (Vec::new(), true),
            };
        }
        if asked.target.starts_with("/firmware") {
            asked.action = "firmware".to_owned();
            let answer = self.script("firmware");
            let bytes = match answer {
                None => self.serve_image(&asked),
                Some(Answer::Status(status)) => http(status, "", b""),
                Some(_) => Vec::new(),
            };
            self.asked.push(asked);
            return (bytes, false);
        }
        let request = Request::parse(&asked.target, body).unwrap();
        let key: Key = match request.key_kind() {
            KeyKind::Auth => self.auth_key.clone().into(),
            KeyKind::Sec => self.sec_key.clone().into(),
        };
        request.verify(&key).unwrap_or_else(|e| panic!("{}: {e}", asked.target));
        if request.has_body() {
            asked.body = serde_json::from_slice(&request.open_body(&key).unwrap()).unwrap();
        }
        asked.action = request.action.to_string();
        self.story.push(asked.action.clone());
        let answer = self.script(&asked.action).unwrap_or_else(|| self.usual(&asked.action));
        let encryption = request.encryption;
        asked.request = Some(request);
        self.asked.push(asked);
        let mut sealed = |reply: Reply| reply.to_body(encryption, &key, &mut self.dice);
        let body = match answer {
            Answer::Result(value) => sealed(Reply::success(t, Raw::of(&value).unwrap())),
            Answer::Done => sealed(Reply::done(t)),
            Answer::At(t) => sealed(Reply::done(t)),
            Answer::Clear(value) => Reply::success(t, Raw::of(&value).unwrap()).to_clear(),
            Answer::Forged(value) => forged(encryption, sealed(Reply::success(t, Raw::of(&value).unwrap()))),
            Answer::Failure(code) => careless(t, code),
            Answer::Status(status) => return (http(status, "", b""), false),
            Answer::Close => return (Vec::new(), true),
            Answer::Silence => return (Vec::new(), false),
        };
        (http(200, "", &body), false)
    }

    fn script(&mut self, action: &str) -> Option<Answer> {
        let list = self.answers.get_mut(action)?;
        if list.len() > 1 { Some(list.remove(0)) } else { list.first().cloned() }
    }

    /// The smallest right answer (cloud.md 2.8).
    fn usual(&self, action: &str) -> Answer {
        match action {
            "s.gw.token.get" => Answer::Result(places()),
            "s.gw.dev.pk.active" | "tuya.device.active" => Answer::Result(self.activation()),
            "tuya.device.dynamic.config.get" => Answer::Result(config(1_800)),
            "tuya.device.uuid.pskkey.get" => Answer::Result(json!({"pskKey": ""})),
            "s.gw.dev.timer.count" | "tuya.device.timer.count" => {
                Answer::Result(json!({"devId": "x", "count": 0, "lastFetchTime": 0}))
            }
            _ => Answer::Done,
        }
    }

    pub(crate) fn activation(&self) -> Value {
        let activation = Activation {
            dev_id: DeviceId::new(NEW_ID).ok(),
            sec_key: self.sec_key.clone(),
            local_key: self.local_key.clone(),
            schema: self.schema.clone(),
            schema_id: "000004vt01".to_owned(),
            std_time_zone: Some("+01:00".to_owned()),
            time_zone: Some("+02:00".to_owned()),
            dst_intervals: Vec::new(),
        };
        serde_json::from_str(activation.to_result().unwrap().as_str()).unwrap()
    }

    fn serve_image(&self, asked: &Asked) -> Vec<u8> {
        let size = self.image.len() as u64;
        let header = asked.fields("Range");
        let range = header.first().and_then(|r| landfall_proto::gateway::firmware::range(r, size));
        match range.filter(|_| self.ranges) {
            Some((from, to)) => {
                let part = &self.image[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()];
                http(206, &format!("Content-Range: bytes {from}-{to}/{size}\r\n"), part)
            }
            None => http(200, "", &self.image),
        }
    }
}

fn http(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status} Whatever\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What proto refuses to write: a code at which devices forget their owner.
fn careless(t: u64, code: &str) -> Vec<u8> {
    match Reply::failure(t, ErrorCode::new(code), "no") {
        Ok(reply) => reply.to_clear(),
        Err(_) => json!({"t": t, "e": false, "success": false, "errorCode": code, "errorMsg": "no"})
            .to_string()
            .into(),
    }
}

fn forged(encryption: Encryption, body: Vec<u8>) -> Vec<u8> {
    assert_ne!(encryption, Encryption::AnswerClear);
    let mut json: Value = serde_json::from_slice(&body).unwrap();
    json["sign"] = "0123456789abcdef".into();
    json.to_string().into()
}
