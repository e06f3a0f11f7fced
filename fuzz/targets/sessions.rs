//! Targets that drive a whole session by a script: bytes, sound frames with any content, time, requests, in any order.
//!
//! What must hold whatever the other end does: no panic; the session asks for an end of its output within a bounded
//! number of steps; when it names a deadline, acting at that deadline changes something (no busy loop); after
//! `Closed` nothing is sent any more; every request ends exactly once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Command;
use landfall_proto::lan::codec::{Codec, Form, Outgoing, SourceHeader};
use landfall_proto::lan::device::{
    DeviceConfig, DeviceError, DeviceEvent, DeviceOutput, DeviceSession, Ticket,
};
use landfall_proto::lan::negotiation;
use landfall_proto::lan::session::{Config, Event, Output, Request, RequestId, Session, Timing};
use landfall_proto::lan::version::ReplySequence;
use landfall_proto::{Entropy, Now, Role};

use super::{DEVICE, Dice, Input, KEY, command, version};

/// More outputs than this after one step is a loop.
const MAX_OUTPUTS: usize = 20_000;
/// Steps of one script.
const MAX_STEPS: usize = 400;
/// The other end's nonce.
const NONCE: [u8; 16] = *b"9f8e7d6c5b4a3921";

fn at(ms: u64) -> Now {
    Now::new(Duration::from_millis(ms), 1_700_000_000 + ms / 1000)
}

fn dps(seed: u8) -> Dps {
    let value = match seed % 5 {
        0 => DpValue::Bool(seed & 8 != 0),
        1 => DpValue::Value(i64::from(seed) - 100),
        2 => DpValue::text("wh\u{e4}te"),
        3 => DpValue::Raw([seed, 2, 3].into()),
        _ => DpValue::Json("[1,{\"a\":null}]".into()),
    };
    [(DpId(u16::from(seed % 30)), value)].into_iter().collect()
}

fn cid(seed: u8) -> Option<Cid> {
    (seed & 1 != 0).then(|| Cid::new(format!("a4c1{}", seed % 4)).expect("a cid"))
}

/// Puts a piece of the input into a sound frame: command, flags, body.
fn sound(codec: &Codec, from: Role, sequence: u32, piece: &[u8]) -> Vec<u8> {
    let (head, body) = piece.split_at(piece.len().min(2));
    let (cmd, flags) = (head.first().copied().unwrap_or(8), head.get(1).copied().unwrap_or(0));
    let message = Outgoing {
        sequence,
        command: command(cmd),
        retcode: (from == Role::Device && flags & 1 == 0).then_some(u32::from(flags >> 7)),
        header: (flags & 2 != 0).then(|| SourceHeader::device(codec.version(), sequence)),
        form: if flags & 4 != 0 { Form::Clear } else { codec.form(from, command(cmd), body) },
        body,
    };
    let mut out = Vec::new();
    codec.seal(&message, &mut Dice(flags), &mut out);
    out
}

/// The client's end.
///
/// Byte 0: version; then steps of an opcode and, mostly, a length and so many bytes.
pub fn client(data: &[u8]) {
    let mut input = Input(data);
    let Some(kind) = input.byte() else { return };
    let version = version(kind);
    let key = LocalKey::new(KEY).expect("a key");
    let config = Config {
        device_id: DeviceId::new(DEVICE).expect("an id"),
        key: key.clone(),
        version,
        device22: kind & 0x40 != 0,
        device22_points: vec![DpId(1), DpId(20)],
        timing: Timing::default(),
    };
    let mut dice = Dice(kind);
    // The session draws its nonce first.
    let mut nonce = [0; 16];
    Dice(kind).fill(&mut nonce);
    let mut run = ClientRun {
        session: Session::new(Arc::new(config), at(0), &mut dice),
        now: 0,
        dice,
        closed: false,
        open: BTreeSet::new(),
    };
    let local = Codec::new(version, KEY);
    let session_key = negotiation::session_key(version, &key, &nonce, &NONCE);
    let session = Codec::new(version, if version.dialect().negotiates { session_key.expose() } else { KEY });
    let mut sequence = 0x2c10;

    run.drain();
    for _ in 0..MAX_STEPS {
        let Some(op) = input.byte() else { break };
        let now = at(run.now);
        sequence += 1;
        match op % 8 {
            0 => run.session.handle_input(input.piece().unwrap_or_default(), now),
            1 => {
                let frame = sound(&session, Role::Device, sequence, input.piece().unwrap_or_default());
                run.session.handle_input(&frame, now);
            }
            2 => {
                let frame = sound(&local, Role::Device, sequence, input.piece().unwrap_or_default());
                // In two reads.
                let (a, b) = frame.split_at(usize::from(op >> 3) % frame.len());
                run.session.handle_input(a, now);
                run.drain();
                run.session.handle_input(b, now);
            }
            3 => {
                let mut body = NONCE.to_vec();
                body.extend(negotiation::proof(&key, &nonce));
                body.truncate(48 - usize::from(op >> 7));
                let m = Outgoing {
                    sequence,
                    command: Command::SESS_KEY_NEG_RESP,
                    retcode: Some(0),
                    header: None,
                    form: Form::Cipher,
                    body: &body,
                };
                let mut out = Vec::new();
                local.seal(&m, &mut run.dice, &mut out);
                run.session.handle_input(&out, now);
            }
            4 => {
                run.now += u64::from(input.byte().unwrap_or(0)) * 100;
                run.session.handle_timeout(at(run.now));
            }
            5 => run.request(op >> 3, input.byte().unwrap_or(0)),
            6 => run.act_at_deadline(),
            _ if op & 0x80 == 0 => run.session.handle_close(now),
            _ => run.session.close(),
        }
        run.drain();
    }
    // Left alone, a session without requests lives from beat to beat or ends.
    for _ in 0..20 {
        run.act_at_deadline();
    }
    run.session.close();
    run.drain();
    assert!(run.closed, "close ends it");
    assert!(run.open.is_empty(), "requests without an end: {:?}", run.open);
}

struct ClientRun {
    session: Session,
    now: u64,
    dice: Dice,
    closed: bool,
    open: BTreeSet<RequestId>,
}

impl ClientRun {
    fn request(&mut self, what: u8, seed: u8) {
        let request = match what % 5 {
            0 => Request::Query { cid: cid(seed) },
            1 => Request::Set { cid: cid(seed), dps: dps(seed) },
            2 => Request::Refresh { cid: cid(seed), points: vec![DpId(18), DpId(u16::from(seed))] },
            3 => Request::Subdevices,
            _ => Request::Raw { command: command(seed), body: b"{\"x\":1}".to_vec() },
        };
        let id = self.session.request(request, at(self.now));
        assert!(self.open.insert(id), "an id is used twice");
    }

    /// Takes all output; returns the deadline.
    fn drain(&mut self) -> Duration {
        for _ in 0..MAX_OUTPUTS {
            match self.session.poll_output(at(self.now), &mut self.dice) {
                Output::Wait(until) => return until,
                Output::Transmit(bytes) => {
                    assert!(!self.closed, "sends after the end");
                    assert!(!bytes.is_empty());
                }
                Output::Event(Event::Closed(reason)) => {
                    assert!(!self.closed, "ends twice: {reason}");
                    self.closed = true;
                }
                Output::Event(Event::Done { id, .. }) => {
                    assert!(self.open.remove(&id), "an end without a request");
                }
                Output::Event(_) => assert!(!self.closed, "news after the end"),
            }
        }
        panic!("output without end")
    }

    /// Goes to the deadline that the session names. There it must do something about it.
    fn act_at_deadline(&mut self) {
        let until = self.drain();
        if until == Duration::MAX {
            return;
        }
        let now = Duration::from_millis(self.now);
        assert!(!self.closed, "a deadline after the end");
        self.now = u64::try_from(until.max(now).as_millis()).expect("a near time") + 1;
        self.session.handle_timeout(at(self.now));
        let next = self.drain();
        assert!(next > Duration::from_millis(self.now), "a deadline in the past: a busy loop");
    }
}

/// The device's end.
///
/// Byte 0: version and habits; then steps.
pub fn device(data: &[u8]) {
    let mut input = Input(data);
    let (Some(kind), Some(habits)) = (input.byte(), input.byte()) else { return };
    let version = version(kind);
    let key = LocalKey::new(KEY).expect("a key");
    let mut config = DeviceConfig::new(DeviceId::new(DEVICE).expect("an id"), key.clone(), version);
    config.enforce_sequence = habits & 1 != 0;
    config.vendor_ack = habits & 2 != 0;
    config.zero_key_trap = habits & 4 != 0;
    config.clear_errors = habits & 8 != 0;
    config.reply_sequence = if habits & 16 != 0 { ReplySequence::Counter } else { ReplySequence::Echo };
    let mut dice = Dice(habits);
    let mut run = DeviceRun {
        session: DeviceSession::new(config, at(0), &mut dice),
        now: 0,
        dice,
        closed: false,
        local: Codec::new(version, KEY),
        device_nonce: None,
        answered: 0,
        ready: false,
    };
    let local = Codec::new(version, KEY);
    let mut session = (!version.dialect().negotiates).then(|| Codec::new(version, KEY));
    let mut sequence = 0;

    run.drain();
    for _ in 0..MAX_STEPS {
        let Some(op) = input.byte() else { break };
        let now = at(run.now);
        sequence += 1;
        match op % 8 {
            0 => run.session.handle_input(input.piece().unwrap_or_default(), now),
            1 | 2 => {
                let codec = session.as_ref().unwrap_or(&local);
                let frame = sound(codec, Role::Client, sequence, input.piece().unwrap_or_default());
                let (a, b) = frame.split_at(usize::from(op >> 3) % frame.len());
                run.session.handle_input(a, now);
                run.drain();
                run.session.handle_input(b, now);
            }
            3 => {
                let frame = control(&local, Command::SESS_KEY_NEG_START, sequence, &NONCE);
                run.session.handle_input(&frame, now);
            }
            4 => {
                let nonce = run.device_nonce.unwrap_or_default();
                let proof = negotiation::proof(&key, &nonce);
                let frame = control(&local, Command::SESS_KEY_NEG_FINISH, sequence, &proof);
                run.session.handle_input(&frame, now);
                if version.dialect().negotiates && run.session.is_ready() {
                    let derived = negotiation::session_key(version, &key, &NONCE, &nonce);
                    session = Some(Codec::new(version, derived.expose()));
                }
            }
            5 => {
                run.now += u64::from(input.byte().unwrap_or(0)) * 200;
                run.session.handle_timeout(at(run.now));
            }
            6 => run.speak(op >> 3, input.byte().unwrap_or(0)),
            _ if op & 0x80 == 0 => run.session.handle_close(),
            _ => run.act_at_deadline(),
        }
        run.drain();
    }
    for _ in 0..3 {
        run.act_at_deadline();
    }
    assert!(run.closed, "a silent client is dropped");
}

fn control(codec: &Codec, command: Command, sequence: u32, body: &[u8]) -> Vec<u8> {
    let form = Form::Cipher;
    let message = Outgoing { sequence, command, retcode: None, header: None, form, body };
    let mut out = Vec::new();
    codec.seal(&message, &mut Dice(7), &mut out);
    out
}

struct DeviceRun {
    session: DeviceSession,
    now: u64,
    dice: Dice,
    closed: bool,
    local: Codec,
    /// From our RESP.
    device_nonce: Option<[u8; 16]>,
    answered: u8,
    ready: bool,
}

impl DeviceRun {
    /// Speaks without being asked.
    fn speak(&mut self, what: u8, seed: u8) {
        let now = at(self.now);
        match what % 3 {
            0 => self.session.push(cid(seed).as_ref(), &dps(seed), now),
            1 => self.session.push_unchanged(cid(seed).as_ref(), &dps(seed), now),
            _ => self.session.push_extension(b"{\"reqType\":\"x\",\"data\":{}}"),
        }
    }

    fn drain(&mut self) -> Duration {
        for _ in 0..MAX_OUTPUTS {
            match self.session.poll_output(at(self.now), &mut self.dice) {
                DeviceOutput::Wait(until) => return until,
                DeviceOutput::Transmit(bytes) => {
                    assert!(!self.closed, "sends after the end");
                    self.note_nonce(bytes);
                }
                DeviceOutput::Event(event) => {
                    assert!(!self.closed, "news after the end");
                    self.on_event(event);
                }
            }
        }
        panic!("output without end")
    }

    fn on_event(&mut self, event: DeviceEvent) {
        self.answered = self.answered.wrapping_add(1);
        let how = self.answered;
        match event {
            DeviceEvent::Closed(_) => self.closed = true,
            // The session may have ended in the same read; then `Closed` follows.
            DeviceEvent::Ready => {
                assert!(!self.ready, "ready twice");
                self.ready = true;
            }
            DeviceEvent::Query { ticket, cid } => self.answer(ticket, how, cid.as_ref()),
            DeviceEvent::Set { ticket, cid, dps } => {
                self.session.ack(ticket);
                self.session.push(cid.as_ref(), &dps, at(self.now));
            }
            DeviceEvent::Refresh { ticket, cids, points } => {
                assert!(cids.len() + points.len() < 8192);
                self.session.ack(ticket);
            }
            DeviceEvent::Extension { ticket, req_type, body } => {
                assert!(req_type.len() <= body.len() * 4);
                self.session.ack(ticket);
                self.session.push_extension(&body);
            }
            DeviceEvent::Other { ticket, body } => {
                if how & 1 == 0 {
                    self.session.reply_unknown(ticket);
                } else {
                    self.session.reply_body(ticket, 0, &body);
                }
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, how: u8, cid: Option<&Cid>) {
        match how % 3 {
            0 => self.session.reply_points(ticket, cid, &dps(how)),
            1 => self.session.reply_error(ticket, DeviceError::DataUnvalid),
            _ => self.session.reply_body(ticket, 0, &[]),
        }
    }

    /// Reads the nonce out of our own RESP, as a client would.
    fn note_nonce(&mut self, mut bytes: Vec<u8>) {
        use landfall_proto::lan::frame::RawFrame;
        let framing = self.local.version().dialect().framing;
        let frame = RawFrame { framing, bytes: &mut bytes };
        if frame.command() != Command::SESS_KEY_NEG_RESP {
            return;
        }
        if let Ok(message) = self.local.open(Role::Device, frame) {
            self.device_nonce = message.body.first_chunk().copied();
        }
    }

    fn act_at_deadline(&mut self) {
        let until = self.drain();
        if until == Duration::MAX {
            return;
        }
        assert!(!self.closed, "a deadline after the end");
        let now = Duration::from_millis(self.now);
        self.now = u64::try_from(until.max(now).as_millis()).expect("a near time") + 1;
        self.session.handle_timeout(at(self.now));
        let next = self.drain();
        assert!(next > Duration::from_millis(self.now), "a deadline in the past: a busy loop");
    }
}
