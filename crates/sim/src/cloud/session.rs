//! MQTT as stock firmware speaks it (cloud.md 4.1, 4.2): log in, subscribe, report with QoS 1, ping.

use core::time::Duration;
use std::collections::VecDeque;

use landfall_proto::dp::Dps;
use landfall_proto::id::Cid;
use landfall_proto::mqtt::content::Report;
use landfall_proto::mqtt::login::Login;
use landfall_proto::mqtt::replay::Sequences;
use landfall_proto::mqtt::{Codec, Content, Envelope, Message, Stamp};

use super::mqtt_codec::{self as codec, Connect, Decoder, Packet};
use super::place::Transport;
use super::{CloudClient, CloudNews, Effect, LineId, boot};
use crate::journal::Life;

/// How long a device waits for a connection, and for the answer to CONNECT or SUBSCRIBE.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for an acknowledgement of a message...
const ACK_PATIENCE: Duration = Duration::from_secs(8);
/// ...before it counts as missing; after so many in a row the device closes the link (cloud.md 4.1).
const MAX_MISSING: u32 = 3;
/// Messages that wait for their acknowledgement; more are not sent.
const MAX_UNACKED: usize = 64;
/// At this code devices forget their owner (cloud.md 1.7).
const NOT_AUTHORISED: u8 = 5;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not wanted.
    #[default]
    Off,
    /// The next attempt comes then.
    Waiting(Duration),
    /// A connection is being opened.
    Opening(Duration),
    /// CONNECT is out.
    LoggingIn(Duration),
    /// SUBSCRIBE is out.
    Subscribing(Duration),
    Up,
}

/// The MQTT side of a device, for one boot.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: State,
    line: Option<LineId>,
    decoder: Decoder,
    failures: u32,
    /// In clear: commands must not be old.
    pub(super) plain: bool,
    pub(super) codec: Option<Codec>,
    pub(super) heard: Sequences,
    topic_in: String,
    topic_out: String,
    /// Counts messages: `s` in 2.1, the sequence in 2.2.
    sequence: u32,
    packet: u16,
    unacked: VecDeque<(u16, Duration)>,
    missing: u32,
    /// When it pings if nothing else is sent.
    ping: Duration,
    /// The answer to its ping is due.
    pong: Option<Duration>,
}

impl Session {
    pub(super) fn line(&self) -> Option<LineId> {
        self.line
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Off => None,
            State::Waiting(at) | State::Opening(at) | State::LoggingIn(at) | State::Subscribing(at) => {
                Some(at)
            }
            State::Up => {
                let ack = self.unacked.front().map(|(_, at)| *at);
                [Some(self.ping), self.pong, ack].into_iter().flatten().min()
            }
        }
    }

    fn next_packet(&mut self) -> u16 {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        self.packet
    }
}

impl CloudClient {
    /// MQTT shall be up from now on.
    pub(super) fn want_mqtt(&mut self, now: Duration) {
        if self.run.session.state == State::Off {
            self.open_mqtt(now);
        }
    }

    fn open_mqtt(&mut self, now: Duration) {
        let Some(place) = self.broker(self.run.session.failures) else {
            return self.lose_mqtt("the device does not know where its broker is", now);
        };
        self.run.session.plain = matches!(place.transport, Transport::Plain);
        let line = self.open(place);
        let session = &mut self.run.session;
        session.line = Some(line);
        session.decoder = Decoder::default();
        session.unacked.clear();
        session.missing = 0;
        session.pong = None;
        session.state = State::Opening(now + PATIENCE);
    }

    /// The connection stands: CONNECT.
    pub(super) fn log_in(&mut self, now: Duration) {
        let (Some(line), Some(registration)) = (self.run.session.line, &self.flash.registration) else {
            return;
        };
        let login = Login::device(&registration.id, &registration.sec_key);
        let connect = Connect {
            level: self.profile.level,
            client_id: &login.client_id.to_string(),
            user_name: &login.user_name,
            password: login.password.expose(),
            keep_alive: self.profile.keep_alive,
        }
        .encode();
        let session = &mut self.run.session;
        session.codec = Some(Codec::new(registration.local_key.expose()));
        session.topic_in = login.subscribe.map(|t| t.to_string()).unwrap_or_default();
        session.topic_out = login.publish.map(|t| t.to_string()).unwrap_or_default();
        session.state = State::LoggingIn(now + PATIENCE);
        self.write(line, connect);
    }

    pub(super) fn hear_mqtt(&mut self, bytes: &[u8], now: Duration) {
        self.run.session.decoder.push(bytes);
        while self.run.session.line.is_some() {
            match self.run.session.decoder.packet() {
                Ok(None) => return,
                Ok(Some(packet)) => self.take_packet(packet, now),
                Err(error) => return self.lose_mqtt(&error.to_string(), now),
            }
        }
    }

    fn take_packet(&mut self, packet: Packet, now: Duration) {
        let Some(line) = self.run.session.line else { return };
        let keep_alive = self.keep_alive();
        let session = &mut self.run.session;
        match (packet, session.state) {
            (Packet::ConnAck { code: 0 }, State::LoggingIn(_)) => {
                let id = session.next_packet();
                let subscribe = codec::subscribe(id, &session.topic_in);
                session.state = State::Subscribing(now + PATIENCE);
                self.write(line, subscribe);
            }
            (Packet::ConnAck { code: NOT_AUTHORISED }, State::LoggingIn(_)) => {
                let why = "the broker answered CONNECT with code 5".to_owned();
                self.forget(false, Life::Disaster { why }, now);
            }
            (Packet::ConnAck { code }, State::LoggingIn(_)) => {
                self.lose_mqtt(&format!("the broker answered CONNECT with code {code}"), now);
            }
            (Packet::SubAck { code: 0..=2, .. }, State::Subscribing(_)) => {
                session.state = State::Up;
                session.failures = 0;
                session.ping = now + keep_alive;
                self.tell(CloudNews::Online);
                self.was_answered();
                self.effect(Effect::Online(true));
                self.linger(now);
            }
            (Packet::SubAck { .. }, State::Subscribing(_)) => {
                self.lose_mqtt("the broker refused the subscription", now);
            }
            (Packet::PubAck { id }, State::Up) => {
                let before = session.unacked.len();
                session.unacked.retain(|(waiting, _)| *waiting != id);
                if session.unacked.len() < before {
                    session.missing = 0;
                }
            }
            (Packet::PingResp, State::Up) => session.pong = None,
            (Packet::Publish { topic, id, payload, .. }, State::Subscribing(_) | State::Up) => {
                let ours = topic == session.topic_in;
                if let Some(id) = id {
                    self.write(line, codec::puback(id));
                }
                if ours {
                    self.linger(now);
                    self.hear_payload(&payload, now);
                } else {
                    self.drop_message(format!("it came on the topic {topic}"));
                }
            }
            _ => self.lose_mqtt("the broker sent a packet out of turn", now),
        }
    }

    fn keep_alive(&self) -> Duration {
        Duration::from_secs(u64::from(self.profile.keep_alive))
    }

    /// The connection is over, or did not come about; another attempt follows.
    pub(super) fn lose_mqtt(&mut self, why: &str, now: Duration) {
        let session = &mut self.run.session;
        let was_up = session.is_up();
        let failures = session.failures;
        session.failures += 1;
        if let Some(line) = session.line.take() {
            self.hang_up(line);
        }
        let wait = self.back_off(failures.min(3));
        self.run.session.state = State::Waiting(now + wait);
        self.tell(CloudNews::Offline { why: why.to_owned() });
        if was_up {
            self.effect(Effect::Online(false));
        }
        if (failures + 1).is_multiple_of(boot::DOUBTS) {
            self.doubt_endpoints();
        }
    }

    /// The device has another address from now on: its connections are dead, and the other side finds out by itself.
    pub fn change_address(&mut self, now: Duration) {
        if self.run.session.line.is_some() {
            self.lose_mqtt("the device has another address", now);
        }
        let lines: Vec<LineId> = self.run.http.lines().collect();
        for line in lines {
            self.end_http(line, now);
        }
        self.pump(now);
    }

    pub(super) fn say_goodbye(&mut self) {
        if let Some(line) = self.run.session.line.filter(|_| self.run.session.is_up()) {
            self.write(line, codec::DISCONNECT.to_vec());
        }
    }

    pub(super) fn expire_session(&mut self, now: Duration) {
        match self.run.session.state {
            State::Waiting(at) if now >= at => self.open_mqtt(now),
            State::Opening(at) if now >= at => self.lose_mqtt("no connection to the broker", now),
            State::LoggingIn(at) if now >= at => self.lose_mqtt("no answer to CONNECT", now),
            State::Subscribing(at) if now >= at => self.lose_mqtt("no answer to SUBSCRIBE", now),
            State::Up => self.expire_up(now),
            _ => {}
        }
    }

    fn expire_up(&mut self, now: Duration) {
        let keep_alive = self.keep_alive();
        let session = &mut self.run.session;
        while session.unacked.pop_front_if(|(_, at)| now >= *at).is_some() {
            session.missing += 1;
        }
        if session.missing >= MAX_MISSING {
            return self.lose_mqtt("three acknowledgements are missing", now);
        }
        if session.pong.is_some_and(|at| now >= at) {
            return self.lose_mqtt("no answer to a ping", now);
        }
        if now >= session.ping
            && let Some(line) = session.line
        {
            session.pong = Some(now + PATIENCE);
            session.ping = now + keep_alive;
            self.write(line, codec::PINGREQ.to_vec());
        }
    }

    /// Reports points, if MQTT is up; otherwise they are lost, as on a real device. A sleeper wakes for them.
    pub fn report(&mut self, cid: Option<&Cid>, dps: &Dps, now: Duration) {
        if dps.is_empty() {
            return;
        }
        if !self.run.session.is_up() {
            if self.is_activated() && matches!(self.power, super::Power::Asleep(_)) {
                // It reports its state once it is connected.
                self.wake(now);
                self.pump(now);
            }
            return;
        }
        if self.profile.one_by_one {
            for (dp, value) in dps.iter() {
                self.publish_report(cid, [(dp, value.clone())].into_iter().collect(), now);
            }
        } else {
            self.publish_report(cid, dps.clone(), now);
        }
    }

    fn publish_report(&mut self, cid: Option<&Cid>, dps: Dps, now: Duration) {
        let dev_id = (self.profile.names_itself && cid.is_none()).then(|| self.id().clone());
        let report = Report { dev_id, cid: cid.cloned(), dps, times: Vec::new() };
        self.publish(Content::Report(report), true, now);
    }

    /// Sends a message, if MQTT is up. RTL and BK leave out the time of some (cloud.md 4.7).
    pub(super) fn publish(&mut self, content: Content, with_time: bool, now: Duration) {
        let t = self.run.clock.t(now);
        let envelope = self.profile.envelope;
        let session = &mut self.run.session;
        let Some((line, cipher)) =
            session.line.filter(|_| session.state == State::Up).zip(session.codec.as_ref())
        else {
            return;
        };
        if session.unacked.len() >= MAX_UNACKED {
            let why = format!("a message of ours: {MAX_UNACKED} wait for their acknowledgement");
            return self.tell(CloudNews::Dropped { why });
        }
        session.sequence = session.sequence.wrapping_add(1);
        let mut message = Message::new(t, content);
        message.t = message.t.filter(|_| with_time);
        message.s = (envelope == Envelope::V2_1).then(|| i64::from(session.sequence));
        let stamp = Stamp::device(session.sequence);
        let mut payload = Vec::new();
        let sealed = message.to_json().map_err(|e| e.to_string()).and_then(|json| {
            cipher.seal(envelope, stamp, &json, &mut self.dice, &mut payload).map_err(|e| e.to_string())
        });
        if let Err(error) = sealed {
            return self.tell(CloudNews::Dropped { why: format!("a message of ours: {error}") });
        }
        let id = session.next_packet();
        session.unacked.push_back((id, now + ACK_PATIENCE));
        let packet = codec::publish(&session.topic_out, Some(id), &payload);
        session.ping = now + Duration::from_secs(u64::from(self.profile.keep_alive));
        self.write(line, packet);
        self.linger(now);
    }
}
