//! The conversations and the failed negotiations of `vectors/lan.json`, replayed with their nonces against both of our
//! state machines.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Conversation, Direction, Script, Step, counts, hex, vectors};
use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::device::{DeviceClose, DeviceConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::session::{
    Answer, CloseReason, Config, Event, Origin, Output, Request, RequestId, Session, Timing,
};
use landfall_proto::lan::version::ReplySequence;

const LOCAL_KEY: &str = "Kx7$v9Qm2#Lp4&Rz";

/// The wall clock of the vectors stands still.
fn now(ms: u64) -> Now {
    Now::new(Duration::from_millis(ms), 1_700_000_000)
}

fn gcm_nonces(steps: &[&Step]) -> Vec<u8> {
    steps
        .iter()
        .filter(|s| s.frame_hex[..4] == [0, 0, 0x66, 0x99])
        .flat_map(|s| s.frame_hex[18..30].to_vec())
        .collect()
}

/// A session whose dice fall as in the vectors: counter, nonce, then the GCM nonces in order.
fn device_session(version: Version, first_s: u32, gcm: &[u8]) -> (DeviceSession, Script) {
    let fixtures = &vectors().fixtures;
    let mut config = DeviceConfig::new(
        DeviceId::new(&fixtures.dev_id).unwrap(),
        LocalKey::new(LOCAL_KEY).unwrap(),
        version,
    );
    config.first_s = first_s;
    config.reply_sequence =
        if version.dialect().negotiates { ReplySequence::Counter } else { ReplySequence::Echo };
    // The first number of the device's counter is 2 plus a die of 0xfffe faces.
    let mut dice = (11280u32 - 2).to_be_bytes().to_vec();
    if version.dialect().negotiates {
        dice.extend(common::unhex(std::str::from_utf8(&fixtures.device_nonce_hex).unwrap()).unwrap());
        dice.extend(gcm);
    }
    let mut dice = Script::new(&dice);
    (DeviceSession::new(config, now(0), &mut dice), dice)
}

fn client_session(version: Version, gcm: &[u8]) -> (Session, Script) {
    let fixtures = &vectors().fixtures;
    let config = Config {
        device_id: DeviceId::new(&fixtures.dev_id).unwrap(),
        key: LocalKey::new(LOCAL_KEY).unwrap(),
        version,
        device22: false,
        device22_points: vec![DpId(1), DpId(20)],
        timing: Timing::default(),
    };
    let mut dice = if version.dialect().negotiates { fixtures.client_nonce_hex.to_vec() } else { Vec::new() };
    dice.extend(gcm);
    let mut dice = Script::new(&dice);
    (Session::new(Arc::new(config), now(0), &mut dice), dice)
}

fn device_outputs(session: &mut DeviceSession, dice: &mut Script) -> (Vec<Vec<u8>>, Vec<DeviceEvent>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        match session.poll_output(now(0), dice) {
            DeviceOutput::Transmit(bytes) => frames.push(bytes),
            DeviceOutput::Event(event) => events.push(event),
            DeviceOutput::Wait(_) => return (frames, events),
        }
    }
    panic!("output without end");
}

fn client_outputs(session: &mut Session, dice: &mut Script, ms: u64) -> (Vec<Vec<u8>>, Vec<Event>, Duration) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        match session.poll_output(now(ms), dice) {
            Output::Transmit(bytes) => frames.push(bytes),
            Output::Event(event) => events.push(event),
            Output::Wait(until) => return (frames, events, until),
        }
    }
    panic!("output without end");
}

/// The points of the reference device.
fn points() -> Dps {
    [
        (1, DpValue::Bool(true)),
        (9, DpValue::Value(0)),
        (18, DpValue::Value(120)),
        (19, DpValue::Value(250)),
        (20, DpValue::Value(2301)),
    ]
    .into_iter()
    .map(|(id, v)| (DpId(id), v))
    .collect()
}

/// Acts like the reference device of the conversations.
fn serve(session: &mut DeviceSession, version: Version, points: &mut Dps, events: Vec<DeviceEvent>) {
    for event in events {
        match event {
            DeviceEvent::Ready => {}
            DeviceEvent::Query { ticket, cid: None } if version == Version::V3_5 => {
                // The reference device leaves out the devId that vendor firmware adds.
                let body = serde_json::to_string(points).unwrap();
                session.reply_body(ticket, 0, format!("{{\"dps\":{body}}}").as_bytes());
            }
            DeviceEvent::Query { ticket, cid: None } => session.reply_points(ticket, None, points),
            DeviceEvent::Set { ticket, cid: None, dps } => {
                points.merge(&dps);
                session.ack(ticket);
                let asked = dps.asked().iter().filter_map(|id| Some((*id, points.value(*id)?.clone())));
                let shown: Dps = asked.chain(dps.iter().map(|(id, v)| (id, v.clone()))).collect();
                session.push(None, &shown, now(0));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn our_device_answers_every_conversation_byte_for_byte() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.sessions {
        ran += 1;
        let from_device: Vec<&Step> =
            case.steps.iter().filter(|s| s.direction == Direction::DeviceToClient).collect();
        let first_s = if case.version == Version::V3_1 { 1 } else { 0x3e09 };
        let (mut session, mut dice) = device_session(case.version, first_s, &gcm_nonces(&from_device));
        let mut model = points();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for step in case.steps.iter().filter(|s| s.direction == Direction::ClientToDevice) {
            session.handle_input(&step.frame_hex, now(0));
            loop {
                let (frames, events) = device_outputs(&mut session, &mut dice);
                sent.extend(frames);
                if events.is_empty() {
                    break;
                }
                serve(&mut session, case.version, &mut model, events);
            }
        }
        assert_eq!(sent.len(), from_device.len(), "{}", case.id);
        for (ours, step) in sent.iter().zip(&from_device) {
            assert_eq!(hex(ours), hex(&step.frame_hex), "{} step {}", case.id, step.step);
        }
        assert_eq!(model.value(DpId(1)), Some(&DpValue::Bool(false)), "{}", case.id);
        assert_eq!(dice.left(), 0, "{}", case.id);
        assert!(session.is_ready(), "{}", case.id);
    }
    common::all(ran, v.sessions.len(), counts::SESSIONS);
}

#[derive(Default)]
struct Tally {
    ready: usize,
    proven: usize,
    polled: usize,
    pushed: usize,
    done: Vec<(RequestId, Answer)>,
}

impl Tally {
    fn take(&mut self, id: &str, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Ready => self.ready += 1,
                Event::Proven => self.proven += 1,
                Event::Report { origin: Origin::Polled, .. } => self.polled += 1,
                Event::Report { origin: Origin::Pushed, .. } => self.pushed += 1,
                Event::Done { id: request, result } => {
                    let answer = result.unwrap_or_else(|e| panic!("{id}: {e}"));
                    self.done.push((request, answer));
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }
}

/// Our client does what tinytuya did: its frames are the same to the byte. tuyapi's bodies differ, so there only the
/// device's frames are compared with what our client makes of them.
#[test]
fn our_client_holds_every_conversation() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.sessions {
        ran += 1;
        replay_client(case);
    }
    common::all(ran, v.sessions.len(), counts::SESSIONS);
}

fn replay_client(case: &Conversation) {
    let exact = case.id.ends_with("tinytuya");
    let from_client: Vec<&Step> =
        case.steps.iter().filter(|s| s.direction == Direction::ClientToDevice).collect();
    let (mut session, mut dice) = client_session(case.version, &gcm_nonces(&from_client));
    let mut tally = Tally::default();
    let (mut ms, mut due) = (0, Duration::ZERO);
    let (mut query, mut set) = (None, None);
    for step in &case.steps {
        if step.direction == Direction::DeviceToClient {
            session.handle_input(&step.frame_hex, now(ms));
            continue;
        }
        // What this frame asks for, as a request.
        let asks_null =
            step.plaintext.value["dps"].as_object().is_some_and(|d| d.values().any(|v| v.is_null()));
        match step.cmd {
            3 | 5 => {}
            9 => {
                // The heartbeat comes by itself at its time.
                let (frames, events, until) = client_outputs(&mut session, &mut dice, ms);
                assert!(frames.is_empty(), "{}", case.id);
                tally.take(&case.id, events);
                due = due.max(until);
                ms = u64::try_from(until.as_millis()).unwrap();
                session.handle_timeout(now(ms));
            }
            10 | 16 => query = Some(session.request(Request::Query { cid: None }, now(ms))),
            7 | 13 if asks_null => query = Some(session.request(Request::Query { cid: None }, now(ms))),
            7 | 13 => {
                let dps = [(DpId(1), DpValue::Bool(false))].into_iter().collect();
                set = Some(session.request(Request::Set { cid: None, dps }, now(ms)));
            }
            other => panic!("{}: command {other}", case.id),
        }
        let (frames, events, _) = client_outputs(&mut session, &mut dice, ms);
        tally.take(&case.id, events);
        assert_eq!(frames.len(), 1, "{} step {}", case.id, step.step);
        if exact {
            assert_eq!(hex(&frames[0]), hex(&step.frame_hex), "{} step {}", case.id, step.step);
        }
    }
    let (frames, events, _) = client_outputs(&mut session, &mut dice, ms);
    tally.take(&case.id, events);
    assert!(frames.is_empty(), "{}", case.id);
    assert_eq!(due, Duration::from_secs(10), "{}: heartbeat", case.id);
    assert_eq!((tally.ready, tally.proven), (1, 1), "{}", case.id);
    assert_eq!((tally.polled, tally.pushed), (1, 1), "{}", case.id);
    assert_eq!(tally.done.len(), 2, "{}: {:?}", case.id, tally.done);
    let (first, report) = &tally.done[0];
    assert_eq!(Some(*first), query, "{}", case.id);
    let Answer::Report(report) = report else { panic!("{}: {report:?}", case.id) };
    let wanted = points();
    assert!(report.dps.iter().all(|(id, v)| wanted.value(id) == Some(v)), "{}: {report:?}", case.id);
    assert!(report.dps.value(DpId(1)).is_some(), "{}: {report:?}", case.id);
    assert_eq!(tally.done[1], (set.unwrap(), Answer::Ack), "{}", case.id);
    if exact {
        assert_eq!(dice.left(), 0, "{}", case.id);
    }
}

/// The step of the tinytuya conversation of this version with this command.
fn step(version: Version, cmd: u32) -> &'static Step {
    let case =
        vectors().sessions.iter().find(|c| c.version == version && c.id.ends_with("tinytuya")).unwrap();
    case.steps.iter().find(|s| s.cmd == cmd).unwrap()
}

fn established_device(version: Version) -> (DeviceSession, Script) {
    let resp = step(version, 4);
    let (mut session, mut dice) = device_session(version, 1, &gcm_nonces(&[resp]));
    session.handle_input(&step(version, 3).frame_hex, now(0));
    let (frames, _) = device_outputs(&mut session, &mut dice);
    assert_eq!(hex(&frames[0]), hex(&resp.frame_hex));
    (session, dice)
}

#[test]
fn every_failed_negotiation_fails_as_expected() {
    let v = vectors();
    let (mut devices, mut clients) = (0, 0);
    let mut ran = 0;
    for case in &v.negotiation_failures {
        ran += 1;
        let what = case.id.rsplit('/').next().unwrap();
        if case.expect.contains_key("device") {
            devices += 1;
            let (mut session, mut dice) = match what {
                "start_wrong_key" | "command_before_negotiation" => device_session(case.version, 1, &[]),
                "finish_bad_hmac" | "second_start" => established_device(case.version),
                other => panic!("{other}"),
            };
            if what == "second_start" {
                session.handle_input(&step(case.version, 5).frame_hex, now(0));
                assert!(session.is_ready());
                device_outputs(&mut session, &mut dice);
            }
            session.handle_input(&case.frame_hex, now(0));
            let (frames, events) = device_outputs(&mut session, &mut dice);
            assert!(frames.is_empty(), "{}: no reply", case.id);
            let [DeviceEvent::Closed(why)] = events[..] else { panic!("{}: {events:?}", case.id) };
            let right = match what {
                "start_wrong_key" => why == DeviceClose::Integrity,
                "finish_bad_hmac" => why == DeviceClose::Proof,
                "command_before_negotiation" => why == DeviceClose::Order,
                // Under the local key, which no longer holds; either way of seeing it closes.
                _ => matches!(why, DeviceClose::Order | DeviceClose::Integrity),
            };
            assert!(right, "{}: {why}", case.id);
            assert!(!session.is_ready(), "{}: no session key is installed", case.id);
        }
        if case.expect.contains_key("client") {
            clients += 1;
            client_failure(case.version, what, &case.frame_hex, &case.id);
        }
    }
    common::all(ran, v.negotiation_failures.len(), counts::NEGOTIATION_FAILURES);
    assert_eq!((devices, clients), (8, 8));
}

fn client_failure(version: Version, what: &str, frame: &[u8], id: &str) {
    let (mut session, mut dice) = client_session(version, &[]);
    let (frames, _, until) = client_outputs(&mut session, &mut dice, 0);
    assert_eq!(frames.len(), 1, "{id}: START");
    match what {
        "resp_bad_inner_hmac" | "resp_too_short" => {
            session.handle_input(frame, now(1));
            let why = if what == "resp_too_short" { "session_resp_short" } else { "session_hmac_mismatch" };
            let (frames, events, _) = client_outputs(&mut session, &mut dice, 1);
            assert!(frames.is_empty(), "{id}");
            assert_eq!(events, [Event::Closed(CloseReason::Negotiation(why))], "{id}");
        }
        "start_wrong_key" => {
            // The device is silent...
            assert_eq!(until, Duration::from_secs(5), "{id}");
            session.handle_timeout(now(5000));
            let (frames, events, _) = client_outputs(&mut session, &mut dice, 5000);
            assert!(frames.is_empty(), "{id}: no second START");
            assert_eq!(events, [Event::Closed(CloseReason::NegotiationSilent)], "{id}");
            // ... or closes.
            let (mut session, mut dice) = client_session(version, &[]);
            client_outputs(&mut session, &mut dice, 0);
            session.handle_close(now(1500));
            let (frames, events, _) = client_outputs(&mut session, &mut dice, 1500);
            assert!(frames.is_empty(), "{id}: no second START");
            assert_eq!(events, [Event::Closed(CloseReason::ClosedEarly)], "{id}");
        }
        "second_start" => {
            // Never negotiates twice on one connection: not after the end of an established session either.
            session.handle_input(&step(version, 4).frame_hex, now(1));
            let (frames, events, _) = client_outputs(&mut session, &mut dice, 1);
            assert_eq!((frames.len(), events), (1, vec![Event::Ready]), "{id}: FINISH");
            session.handle_close(now(2));
            for ms in [2, 10_000, 60_000] {
                session.handle_timeout(now(ms));
                let (frames, _, until) = client_outputs(&mut session, &mut dice, ms);
                assert!(frames.is_empty(), "{id}");
                assert_eq!(until, Duration::MAX, "{id}");
            }
        }
        other => panic!("{other}"),
    }
}

/// `stream/3.5/device_side_seq_regression`: vendor's code closes, a tolerant device does not.
#[test]
fn a_sequence_that_goes_back_closes_a_strict_device() {
    let v = vectors();
    let case = v.streams.iter().find(|s| s.id == "stream/3.5/device_side_seq_regression").unwrap();
    for strict in [true, false] {
        let (mut session, mut dice) = established_device(Version::V3_5);
        if strict {
            let mut config = session.config().clone();
            config.enforce_sequence = true;
            let resp = step(Version::V3_5, 4);
            let mut script = (11280u32 - 2).to_be_bytes().to_vec();
            script.extend([0x9f, 0x8e, 0x7d, 0x6c, 0x5b, 0x4a, 0x39, 0x21]);
            script.extend(gcm_nonces(&[resp]));
            dice = Script::new(&script);
            session = DeviceSession::new(config, now(0), &mut dice);
            session.handle_input(&step(Version::V3_5, 3).frame_hex, now(0));
            device_outputs(&mut session, &mut dice);
        }
        session.handle_input(&step(Version::V3_5, 5).frame_hex, now(0));
        device_outputs(&mut session, &mut dice);
        assert!(session.is_ready());
        for chunk in &case.chunks_hex {
            session.handle_input(chunk, now(1));
        }
        let (_, events) = device_outputs(&mut session, &mut dice);
        assert!(matches!(events[0], DeviceEvent::Set { .. }), "{events:?}");
        if strict {
            assert_eq!(events[1..], [DeviceEvent::Closed(DeviceClose::Sequence)]);
        } else {
            assert!(matches!(events[1..], [DeviceEvent::Set { .. }]), "{events:?}");
        }
    }
}
