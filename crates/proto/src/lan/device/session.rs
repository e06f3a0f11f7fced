//! The state machine of a device's connection.

use core::time::Duration;
use std::collections::VecDeque;

use super::super::body::{self, Addressee, Body};
use super::super::codec::{Codec, Form, Incoming, OpenError, Outgoing, SourceHeader};
use super::super::command::Command;
use super::super::frame::{FrameReader, FramingError, Item, MAX_LENGTH_DEVICE};
use super::super::negotiation::{self, NONCE_LEN};
use super::super::version::{HeaderPlace, ReplySequence, Version};
use super::{DeviceClose, DeviceConfig, DeviceError, DeviceEvent, DeviceOutput, Ticket};
use crate::dp::Dps;
use crate::id::Cid;
use crate::{Entropy, Now, Role};

/// Disturbances after which a stream is given up.
const MAX_RESYNCS: u8 = 3;
/// Garbage that is skipped before a stream is given up.
const MAX_GARBAGE: usize = 4096;
/// Tries to avoid a session key that begins with a zero byte; each fails once in 256.
const NONCE_TRIES: u8 = 8;
/// Success.
const OK: u32 = 0;
/// Error text, or (vendor's 3.5 code) any acknowledgement of a control.
const FAILED: u32 = 1;

/// The device's end of one connection. Answers heartbeats, negotiations and malformed requests by itself.
#[derive(Debug)]
pub struct DeviceSession {
    config: DeviceConfig,
    reader: FrameReader,
    inner: Inner,
}

#[derive(Debug)]
struct Inner {
    codec: Codec,
    stage: Stage,
    counter: u32,
    s: u32,
    last_in: Option<u32>,
    last_valid: Duration,
    resyncs: u8,
    garbage: usize,
    outbox: VecDeque<Reply>,
    events: VecDeque<DeviceEvent>,
}

#[derive(Debug)]
enum Stage {
    AwaitStart,
    /// RESP has to go out.
    Respond([u8; NONCE_LEN]),
    AwaitFinish {
        client: [u8; NONCE_LEN],
        device: [u8; NONCE_LEN],
    },
    Ready,
    Closed,
}

#[derive(Debug)]
struct Reply {
    command: Command,
    /// `None`: a message of our own (push, heartbeat reply), sequence 0 when echoing.
    answers: Option<u32>,
    retcode: u32,
    header: Option<SourceHeader>,
    form: Form,
    body: Vec<u8>,
}

impl DeviceSession {
    /// Starts on a connection that was just accepted.
    pub fn new(config: DeviceConfig, now: Now, entropy: &mut dyn Entropy) -> Self {
        let dialect = config.version.dialect();
        let mut events = VecDeque::new();
        let stage = if dialect.negotiates {
            Stage::AwaitStart
        } else {
            events.push_back(DeviceEvent::Ready);
            Stage::Ready
        };
        let inner = Inner {
            codec: Codec::new(config.version, config.key.expose()),
            stage,
            // 2 to 0xffff: tuyapi puts this number on its FINISH after having used 1 (lan.md 4.3).
            counter: 2 + entropy.u32() % 0xfffe,
            s: config.first_s,
            last_in: None,
            last_valid: now.mono,
            resyncs: 0,
            garbage: 0,
            outbox: VecDeque::new(),
            events,
        };
        Self { reader: FrameReader::new(dialect.framing, MAX_LENGTH_DEVICE), config, inner }
    }

    /// The configuration.
    pub fn config(&self) -> &DeviceConfig {
        &self.config
    }

    /// Takes bytes from the client.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        if matches!(self.inner.stage, Stage::Closed) {
            return;
        }
        self.reader.push(bytes);
        while let Some(item) = self.reader.next_item() {
            match item {
                Item::Frame(frame) => {
                    let head = (frame.command(), frame.sequence());
                    let opened = self.inner.codec.open(Role::Client, frame);
                    self.inner.on_frame(&self.config, head, opened, now);
                }
                Item::Error(e) => self.inner.on_disturbance(e),
            }
            if matches!(self.inner.stage, Stage::Closed) {
                return;
            }
        }
    }

    /// The client closed the connection.
    pub fn handle_close(&mut self) {
        self.inner.end(DeviceClose::Remote);
    }

    /// Lets due deadlines act (idle client).
    pub fn handle_timeout(&mut self, now: Now) {
        if now.mono >= self.inner.last_valid.saturating_add(self.config.idle) {
            self.inner.end(DeviceClose::Idle);
        }
    }

    /// True once commands are accepted.
    pub fn is_ready(&self) -> bool {
        matches!(self.inner.stage, Stage::Ready)
    }

    /// The counter `s` of the next push, to go on with in the next connection: it does not restart at the same value
    /// (lan.md 3.1).
    pub fn next_s(&self) -> u32 {
        self.inner.s
    }

    /// Empty acknowledgement of a control, refresh or extension.
    pub fn ack(&mut self, ticket: Ticket) {
        let control = matches!(ticket.command, Command::CONTROL | Command::CONTROL_NEW);
        // In the byte order of the chip (lan.md 1.3).
        let retcode = if control && self.config.vendor_ack { FAILED.swap_bytes() } else { OK };
        self.reply_body(ticket, retcode, &[]);
    }

    /// Points as the answer to a query.
    pub fn reply_points(&mut self, ticket: Ticket, cid: Option<&Cid>, dps: &Dps) {
        let from = Addressee { device: &self.config.device_id, cid };
        let body = body::query_reply(self.config.version, from, dps);
        self.reply_body(ticket, OK, &body);
    }

    /// An error text with retcode 1.
    pub fn reply_error(&mut self, ticket: Ticket, error: DeviceError) {
        self.inner.reply_error(&self.config, ticket, error);
    }

    /// What stock firmware of this version says to an unknown command: "parse data error", or nothing (lan.md 2).
    pub fn reply_unknown(&mut self, ticket: Ticket) {
        if self.config.version.dialect().answers_unknown {
            self.reply_error(ticket, DeviceError::Parse);
        }
    }

    /// Any body as the answer.
    pub fn reply_body(&mut self, ticket: Ticket, retcode: u32, body: &[u8]) {
        self.inner.reply(Some(ticket.sequence), ticket.command, retcode, None, body.to_vec());
    }

    /// A STATUS report. Before a session key exists it goes out under the local key, as stock firmware does (lan.md 4.2).
    pub fn push(&mut self, cid: Option<&Cid>, dps: &Dps, now: Now) {
        self.push_as(cid, dps, now, false);
    }

    /// A STATUS report marked `type:"query"`: no change (lan.md 5.3).
    pub fn push_unchanged(&mut self, cid: Option<&Cid>, dps: &Dps, now: Now) {
        self.push_as(cid, dps, now, true);
    }

    fn push_as(&mut self, cid: Option<&Cid>, dps: &Dps, now: Now, unchanged: bool) {
        let version = self.config.version;
        let s = self.inner.s;
        self.inner.s = s.wrapping_add(1);
        let from = Addressee { device: &self.config.device_id, cid };
        let body = body::status(version, from, dps, now.unix, s, unchanged);
        let signed = version.dialect().header == HeaderPlace::Signature;
        let header = (!signed).then(|| SourceHeader::device(version, s));
        self.inner.reply(None, Command::STATUS, OK, header, body);
    }

    /// A LAN_EXT_STREAM frame by itself (sub-device online report).
    pub fn push_extension(&mut self, body: &[u8]) {
        self.inner.reply(None, Command::LAN_EXT_STREAM, OK, None, body.to_vec());
    }

    /// The next thing to do. Call until it returns [`DeviceOutput::Wait`].
    pub fn poll_output(&mut self, _now: Now, entropy: &mut dyn Entropy) -> DeviceOutput {
        if let Stage::Respond(client) = self.inner.stage {
            self.inner.respond(&self.config, client, entropy);
        }
        if let Some(reply) = self.inner.outbox.pop_front() {
            return DeviceOutput::Transmit(self.inner.seal(&self.config, &reply, entropy));
        }
        match self.inner.events.pop_front() {
            Some(event) => DeviceOutput::Event(event),
            None if matches!(self.inner.stage, Stage::Closed) => DeviceOutput::Wait(Duration::MAX),
            None => DeviceOutput::Wait(self.inner.last_valid.saturating_add(self.config.idle)),
        }
    }
}

impl Inner {
    fn end(&mut self, why: DeviceClose) {
        if !matches!(self.stage, Stage::Closed) {
            self.stage = Stage::Closed;
            self.outbox.clear();
            self.events.push_back(DeviceEvent::Closed(why));
        }
    }

    fn on_disturbance(&mut self, error: FramingError) {
        match error {
            FramingError::Garbage(n) => {
                self.garbage += n;
                if self.garbage > MAX_GARBAGE {
                    self.end(DeviceClose::Garbage);
                }
            }
            // Another version speaks: closed at once (lan.md 4.5).
            FramingError::UnexpectedFraming => self.end(DeviceClose::Integrity),
            _ => {
                self.resyncs += 1;
                if self.resyncs >= MAX_RESYNCS {
                    self.end(DeviceClose::Garbage);
                }
            }
        }
    }

    fn on_frame(
        &mut self,
        config: &DeviceConfig,
        (command, sequence): (Command, u32),
        opened: Result<Incoming<'_>, OpenError>,
        now: Now,
    ) {
        match opened {
            Ok(message) => {
                if config.enforce_sequence && self.last_in.is_some_and(|last| sequence <= last) {
                    return self.end(DeviceClose::Sequence);
                }
                if config.enforce_sequence && sequence == 0 {
                    return self.end(DeviceClose::Sequence);
                }
                self.last_in = Some(sequence);
                self.last_valid = now.mono;
                self.garbage = 0;
                self.on_message(config, &message);
            }
            // A damaged frame is skipped.
            Err(OpenError::Integrity(FramingError::CrcMismatch)) => {}
            Err(OpenError::Integrity(_)) => self.end(DeviceClose::Integrity),
            // A client with another key gets an error under our own (lan.md 3.4).
            Err(OpenError::Undecryptable { .. }) => {
                self.last_valid = now.mono;
                let ticket = Ticket { command, sequence };
                self.reply_error(config, ticket, malformed(command));
            }
        }
    }

    fn on_message(&mut self, config: &DeviceConfig, m: &Incoming<'_>) {
        match (&self.stage, m.command) {
            (Stage::Closed, _) => {}
            (Stage::AwaitStart, Command::SESS_KEY_NEG_START) => match m.body.first_chunk() {
                Some(nonce) => self.stage = Stage::Respond(*nonce),
                None => self.end(DeviceClose::Order),
            },
            (Stage::AwaitFinish { client, device }, Command::SESS_KEY_NEG_FINISH) => {
                if !negotiation::check_finish(&config.key, device, m.body) {
                    return self.end(DeviceClose::Proof);
                }
                let key = negotiation::session_key(config.version, &config.key, client, device);
                if negotiation::is_zero_trap(&key) {
                    // The vendor's code takes this key for none and goes on under the local key (lan.md 4.4).
                    self.stage = Stage::AwaitStart;
                    return;
                }
                self.codec = Codec::new(config.version, key.expose());
                self.stage = Stage::Ready;
                self.events.push_back(DeviceEvent::Ready);
            }
            (Stage::Ready, Command::SESS_KEY_NEG_START | Command::SESS_KEY_NEG_FINISH)
                if config.version.dialect().negotiates =>
            {
                self.end(DeviceClose::Order);
            }
            // Versions without negotiation ignore it (lan.md 7).
            (Stage::Ready, Command::SESS_KEY_NEG_START | Command::SESS_KEY_NEG_FINISH) => {}
            (Stage::Ready, _) => self.on_command(config, m),
            _ => self.end(DeviceClose::Order),
        }
    }

    fn on_command(&mut self, config: &DeviceConfig, m: &Incoming<'_>) {
        let ticket = Ticket { command: m.command, sequence: m.sequence };
        // What stands in clear is not under the key of 3.2 and 3.3 (lan.md 5.7); heartbeats are not looked at.
        let clear = m.form == Form::Clear && config.version.dialect().header == HeaderPlace::Clear;
        if clear && m.command != Command::HEART_BEAT {
            return self.reply_error(config, ticket, malformed(m.command));
        }
        let parsed = Body::parse(m.body);
        let event = match m.command {
            Command::HEART_BEAT => {
                return self.reply(None, Command::HEART_BEAT, OK, None, Vec::new());
            }
            // 3.2 takes queries in the device22 form only (lan.md 7).
            Command::DP_QUERY if config.version.dialect().device22 => {
                return self.reply_error(config, ticket, DeviceError::DataUnvalid);
            }
            // A real plug answers a query without any body (lan.md 2).
            Command::DP_QUERY | Command::DP_QUERY_NEW if m.body.is_empty() => {
                DeviceEvent::Query { ticket, cid: None }
            }
            Command::DP_QUERY | Command::DP_QUERY_NEW => match parsed {
                Ok(body) => DeviceEvent::Query { ticket, cid: body.cid },
                Err(_) => return self.reply_error(config, ticket, DeviceError::DataFormat),
            },
            Command::CONTROL | Command::CONTROL_NEW => match parsed {
                _ if m.body.is_empty() => return self.reply_error(config, ticket, DeviceError::DataFormat),
                // On 3.1 a CONTROL is signed; a clear one is not understood (lan.md 3.3).
                _ if m.command == Command::CONTROL
                    && config.version == Version::V3_1
                    && m.form != Form::Cipher =>
                {
                    return self.reply_error(config, ticket, DeviceError::Parse);
                }
                Err(_) => return self.reply_error(config, ticket, DeviceError::Parse),
                Ok(Body { dps: None, .. }) => {
                    return self.reply_error(config, ticket, DeviceError::DataFormat);
                }
                Ok(Body { dps: Some(dps), cid, .. }) => DeviceEvent::Set { ticket, cid, dps },
            },
            Command::UPDATEDPS => match parsed {
                Ok(body) => DeviceEvent::Refresh { ticket, cids: body.cids, points: body.points },
                Err(_) => return self.reply_error(config, ticket, DeviceError::DataFormat),
            },
            Command::LAN_EXT_STREAM => match parsed.ok().and_then(|b| b.req_type) {
                Some(req_type) => DeviceEvent::Extension { ticket, req_type, body: m.body.to_vec() },
                None => return,
            },
            _ => DeviceEvent::Other { ticket, body: m.body.to_vec() },
        };
        self.events.push_back(event);
    }

    fn respond(&mut self, config: &DeviceConfig, client: [u8; NONCE_LEN], entropy: &mut dyn Entropy) {
        let mut device = [0; NONCE_LEN];
        for _ in 0..NONCE_TRIES {
            let mut half = [0; NONCE_LEN / 2];
            entropy.fill(&mut half);
            // Real devices use 16 hex characters (lan.md 4.3).
            device = crate::crypto::hex(&half);
            let key = negotiation::session_key(config.version, &config.key, &client, &device);
            if config.zero_key_trap || !negotiation::is_zero_trap(&key) {
                break;
            }
        }
        self.stage = Stage::AwaitFinish { client, device };
        let mut body = device.to_vec();
        body.extend_from_slice(&negotiation::proof(&config.key, &client));
        let sequence = self.last_in;
        self.reply(sequence, Command::SESS_KEY_NEG_RESP, OK, None, body);
    }

    fn reply_error(&mut self, config: &DeviceConfig, ticket: Ticket, error: DeviceError) {
        let body = error.text().as_bytes().to_vec();
        self.reply(Some(ticket.sequence), ticket.command, FAILED, None, body);
        let clear = config.clear_errors && !config.version.dialect().negotiates;
        if let (true, Some(reply)) = (clear, self.outbox.back_mut()) {
            reply.form = Form::Clear;
        }
    }

    fn reply(
        &mut self,
        answers: Option<u32>,
        command: Command,
        retcode: u32,
        header: Option<SourceHeader>,
        body: Vec<u8>,
    ) {
        if matches!(self.stage, Stage::Closed) {
            return;
        }
        let form = self.codec.form(Role::Device, command, &body);
        self.outbox.push_back(Reply { command, answers, retcode, header, form, body });
    }

    fn seal(&mut self, config: &DeviceConfig, reply: &Reply, entropy: &mut dyn Entropy) -> Vec<u8> {
        let sequence = match config.reply_sequence {
            ReplySequence::Echo => reply.answers.unwrap_or(0),
            // Every frame counts, heartbeat replies included (lan.md 1.4).
            ReplySequence::Counter => {
                let n = self.counter;
                self.counter = n.wrapping_add(1);
                n
            }
        };
        let message = Outgoing {
            sequence,
            command: reply.command,
            retcode: Some(reply.retcode),
            header: reply.header,
            form: reply.form,
            body: &reply.body,
        };
        let mut out = Vec::new();
        self.codec.seal(&message, entropy, &mut out);
        out
    }
}

/// The error text to a body that is not under our key.
fn malformed(command: Command) -> DeviceError {
    match command {
        Command::DP_QUERY | Command::DP_QUERY_NEW => DeviceError::DataFormat,
        _ => DeviceError::Parse,
    }
}
