//! Properties of every parser: what is written reads back, whatever comes is survived, nothing grows without bound.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/strategies.rs"]
mod strategies;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use common::{Script, at, vectors};
use landfall_proto::Role;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{DeviceId, LocalKey, ProductId, Uuid};
use landfall_proto::lan::body::{self, Addressee, Body};
use landfall_proto::lan::codec::{Codec, Form, Outgoing, SourceHeader, takes_header};
use landfall_proto::lan::device::{DeviceConfig, DeviceEvent, DeviceOutput, DeviceSession};
use landfall_proto::lan::discovery::{self, Beacon, Datagram};
use landfall_proto::lan::frame::{FrameReader, Item, MAX_LENGTH_CLIENT, MAX_LENGTH_DEVICE};
use landfall_proto::lan::session::{Config, Event, Output, Request, Session, Timing};
use landfall_proto::lan::wifi_config::{Credentials, ExtReport, ExtRequest};
use landfall_proto::lan::{Command, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::{cid, cuts, dps, hostile, key, pieces, role, text, value, version};

/// Cases of each property; `PROPTEST_CASES` overrides it.
fn cases(n: u32) -> ProptestConfig {
    let n = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n);
    ProptestConfig { cases: n, failure_persistence: None, ..ProptestConfig::default() }
}

/// The most that a reader may hold: an unfinished frame of the largest length.
fn most(limit: u32) -> usize {
    limit as usize + 18 + 4
}

fn same(read: &Dps, written: &Dps) -> bool {
    read.len() == written.len()
        && read.ids().eq(written.ids())
        && read.iter().zip(written.iter()).all(|((_, a), (_, b))| a.same_on_wire(b))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn sealed_messages_open_the_same(
        version in version(), from in role(), key in key(), command in 0u32..256, sequence: u32,
        body in vec(any::<u8>(), 0..300), cuts in cuts(), device_s: u32, seed: u64,
    ) {
        let codec = Codec::new(version, &key);
        let command = Command(command);
        // JSON starts with a brace; the forms are guessed from that where the wire doesn't tell (lan.md 1.3, 3.4).
        let body = [b"{", &body[..]].concat();
        let form = codec.form(from, command, &body);
        let headed = takes_header(version.dialect(), command) && form == Form::Cipher;
        let message = Outgoing {
            sequence,
            command,
            retcode: (from == Role::Device).then_some(sequence & 1),
            header: headed.then(|| SourceHeader::device(version, device_s)),
            form,
            body: &body,
        };
        let mut wire = Vec::new();
        codec.seal(&message, &mut Script::seeded(seed), &mut wire);
        let mut reader = FrameReader::new(version.dialect().framing, MAX_LENGTH_CLIENT);
        let mut seen = 0;
        for piece in pieces(&wire, &cuts) {
            reader.push(piece);
            while let Some(item) = reader.next_item() {
                let Item::Frame(frame) = item else { panic!("{item:?}") };
                let got = codec.open(from, frame).unwrap();
                prop_assert_eq!(got.body, &body[..]);
                prop_assert_eq!((got.sequence, got.command), (sequence, command));
                prop_assert_eq!(got.retcode, message.retcode);
                prop_assert_eq!(got.header, message.header);
                prop_assert_eq!(got.form, form);
                seen += 1;
            }
        }
        prop_assert_eq!((seen, reader.buffered()), (1, 0));
    }

    /// Any change of any byte is noticed: by the framing, the checksum, the code or the tag.
    #[test]
    fn no_damaged_frame_opens(version in version(), from in role(), at_byte: prop::sample::Index, flip in 1u8..) {
        let codec = Codec::new(version, b"Kx7$v9Qm2#Lp4&Rz");
        let message = Outgoing {
            sequence: 7,
            command: version.dialect().set,
            retcode: (from == Role::Device).then_some(0),
            header: None,
            form: Form::Cipher,
            body: br#"{"dps":{"1":true}}"#,
        };
        let mut wire = Vec::new();
        codec.seal(&message, &mut Script::seeded(1), &mut wire);
        let i = at_byte.index(wire.len());
        wire[i] ^= flip;
        let mut reader = FrameReader::new(version.dialect().framing, MAX_LENGTH_CLIENT);
        reader.push(&wire);
        while let Some(item) = reader.next_item() {
            if let Item::Frame(frame) = item {
                prop_assert!(codec.open(from, frame).is_err());
            }
        }
    }

    #[test]
    fn readers_survive_anything_within_bounds(
        version in version(), from in role(), bytes in vec(hostile(), 0..6), cuts in cuts(),
    ) {
        let bytes = bytes.concat();
        let codec = Codec::new(version, b"Kx7$v9Qm2#Lp4&Rz");
        for limit in [MAX_LENGTH_DEVICE, MAX_LENGTH_CLIENT, 64] {
            let mut reader = FrameReader::new(version.dialect().framing, limit);
            let mut items = 0;
            for piece in pieces(&bytes, &cuts) {
                reader.push(piece);
                while let Some(item) = reader.next_item() {
                    items += 1;
                    prop_assert!(items <= bytes.len(), "more items than bytes");
                    if let Item::Frame(frame) = item {
                        let _ = codec.open(from, frame);
                    }
                }
                prop_assert!(reader.buffered() <= most(limit));
            }
        }
    }

    #[test]
    fn data_points_read_back(dps in dps()) {
        let text = serde_json::to_string(&dps).unwrap();
        let again: Dps = serde_json::from_str(&text).unwrap();
        prop_assert!(same(&again, &dps), "{again:?} {dps:?}");
        prop_assert!(again.shows(&dps) && dps.shows(&again));
        prop_assert!(again.asked().is_empty());
    }

    #[test]
    fn sameness_on_the_wire_is_mutual(a in value(), b in value()) {
        prop_assert_eq!(a.same_on_wire(&b), b.same_on_wire(&a));
        prop_assert!(a.same_on_wire(&a));
    }

    #[test]
    fn bodies_read_back(version in version(), dps in dps(), cid in cid(), unix in 0u64..1 << 40, s: u32, unchanged: bool) {
        let device = DeviceId::new("bf0123456789abcdefvx01").unwrap();
        let to = Addressee { device: &device, cid: cid.as_ref() };
        let set = Body::parse(&body::set(version, to, &dps, unix)).unwrap();
        prop_assert!(same(set.dps.as_ref().unwrap(), &dps));
        prop_assert_eq!((&set.cid, set.t), (&cid, Some(unix)));
        let query = Body::parse(&body::query(version, to, unix)).unwrap();
        prop_assert_eq!((&query.cid, query.dps), (&cid, None));
        let reply = Body::parse(&body::query_reply(version, to, &dps)).unwrap();
        prop_assert!(same(reply.dps.as_ref().unwrap(), &dps));
        prop_assert_eq!(&reply.cid, &cid);
        let status = Body::parse(&body::status(version, to, &dps, unix, s, unchanged)).unwrap();
        prop_assert!(same(status.dps.as_ref().unwrap(), &dps));
        prop_assert_eq!((status.t, status.unchanged), (Some(unix), unchanged));
        let points: Vec<DpId> = dps.ids().collect();
        let refresh = Body::parse(&body::refresh(cid.as_ref(), &points)).unwrap();
        prop_assert_eq!(refresh.points, points);
        prop_assert_eq!(refresh.cids, Vec::from_iter(cid));
    }

    #[test]
    fn bodies_of_any_bytes_are_survived(bytes in vec(any::<u8>(), 0..400), json in ".{0,200}") {
        for bytes in [&bytes[..], json.as_bytes()] {
            let _ = Body::parse(bytes);
            let _ = Credentials::parse(bytes);
            let _ = ExtRequest::parse(bytes);
            let _ = ExtReport::parse(bytes);
            let _ = discovery::parse(bytes);
        }
    }

    #[test]
    fn announcements_read_back(
        id in "[a-zA-Z0-9]{1,22}", ip: u32, version in version(), clients in proptest::option::of(any::<u32>()),
        uuid in proptest::option::of("[a-z0-9]{16}"), product in proptest::option::of("[a-z0-9]{16}"),
        active in 0u32..5, encrypt: bool, seed: u64,
    ) {
        let mut beacon = Beacon::new(DeviceId::new(id).unwrap(), version);
        beacon.ip = Some(Ipv4Addr::from_bits(ip));
        beacon.uuid = uuid.map(|t| Uuid::new(t).unwrap());
        beacon.product_id = product.map(|t| ProductId::new(t).unwrap());
        (beacon.clients, beacon.active, beacon.encrypt) = (clients, Some(active), Some(encrypt));
        let mut bytes = discovery::announce(&beacon, version, &mut Script::seeded(seed));
        prop_assert_eq!(discovery::parse(&bytes), Ok(Datagram::Beacon(beacon)));
        let question = discovery::ask(Ipv4Addr::from_bits(ip), &mut Script::seeded(seed));
        prop_assert_eq!(discovery::parse(&question), Ok(Datagram::Ask { ip: Ipv4Addr::from_bits(ip) }));
        // Whoever changes a byte is found out; the four bytes of a clear 3.1 checksum are no secret, but no accident either.
        let i = seed as usize % bytes.len();
        bytes[i] ^= 1 << (seed % 8);
        prop_assert!(discovery::parse(&bytes).is_err());
    }

    #[test]
    fn wifi_configuration_reads_back(ssid in text(), passwd in proptest::option::of(text()), token in "[A-Za-z0-9]{14}") {
        let credentials = Credentials { ssid, passwd, token: Some(token), reg: None };
        match credentials.to_body() {
            Ok(body) => prop_assert_eq!(Credentials::parse(&body), Ok(credentials)),
            Err(_) => {
                let long = |n: usize, most: usize| n > most;
                let bad = credentials.ssid.is_empty()
                    || long(credentials.ssid.len(), 32)
                    || long(credentials.passwd.as_ref().map_or(0, String::len), 64);
                prop_assert!(bad);
            }
        }
    }

    #[test]
    fn client_sessions_survive_anything(
        version in version(), established: bool, bytes in vec(hostile(), 1..8), cuts in cuts(),
        times in vec(0u64..4000, 1..8), seed: u64,
    ) {
        let mut run = Client::new(version, seed);
        run.request(Request::Query { cid: None });
        if established {
            run.establish();
        }
        let mut times = times.iter().cycle();
        for piece in pieces(&bytes.concat(), &cuts) {
            run.session.handle_input(piece, at(run.ms));
            run.drain();
            run.ms += times.next().unwrap();
            run.session.handle_timeout(at(run.ms));
            run.drain();
            run.request(Request::Set { cid: None, dps: [(DpId(1), DpValue::Bool(true))].into_iter().collect() });
        }
        run.finish();
    }

    #[test]
    fn device_sessions_survive_anything(
        version in version(), bytes in vec(hostile(), 1..8), cuts in cuts(), times in vec(0u64..4000, 1..8),
        strict: bool, seed: u64,
    ) {
        let id = DeviceId::new("bf0123456789abcdefvx01").unwrap();
        let mut config = DeviceConfig::new(id, LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap(), version);
        config.enforce_sequence = strict;
        let mut dice = Script::seeded(seed);
        let mut session = DeviceSession::new(config, at(0), &mut dice);
        let (mut ms, mut closed) = (0, false);
        let mut times = times.iter().cycle();
        for piece in pieces(&bytes.concat(), &cuts) {
            session.handle_input(piece, at(ms));
            ms += times.next().unwrap();
            session.handle_timeout(at(ms));
            session.push(None, &Dps::new(), at(ms));
            let mut outputs = 0;
            loop {
                outputs += 1;
                prop_assert!(outputs < 1000, "output without end");
                match session.poll_output(at(ms), &mut dice) {
                    DeviceOutput::Wait(until) => {
                        prop_assert!(until > Duration::from_millis(ms), "a deadline in the past");
                        prop_assert_eq!(until == Duration::MAX, closed);
                        break;
                    }
                    DeviceOutput::Transmit(_) => prop_assert!(!closed),
                    DeviceOutput::Event(DeviceEvent::Closed(_)) => {
                        prop_assert!(!closed);
                        closed = true;
                    }
                    DeviceOutput::Event(_) => prop_assert!(!closed),
                }
            }
        }
    }
}

/// A client session with what must hold after every step.
struct Client {
    session: Session,
    dice: Script,
    ms: u64,
    open: usize,
    closed: bool,
    last: Duration,
}

impl Client {
    fn new(version: Version, seed: u64) -> Self {
        let fixtures = &vectors().fixtures;
        let config = Config {
            device_id: DeviceId::new(&fixtures.dev_id).unwrap(),
            key: LocalKey::new(&fixtures.local_key_ascii).unwrap(),
            version,
            device22: seed & 1 == 0,
            device22_points: Vec::new(),
            timing: Timing::default(),
        };
        let mut dice = Script::new(&fixtures.client_nonce_hex);
        let session = Session::new(Arc::new(config), at(0), &mut dice);
        let mut new = Self { session, dice, ms: 0, open: 0, closed: false, last: Duration::ZERO };
        new.drain();
        new
    }

    /// With the RESP of the vectors, which belongs to the nonce of the fixtures.
    fn establish(&mut self) {
        let version = self.session.config().version;
        let case = vectors().sessions.iter().find(|c| c.version == version).unwrap();
        if let Some(resp) = case.steps.iter().find(|s| s.cmd == 4) {
            self.session.handle_input(&resp.frame_hex, at(self.ms));
        }
        self.drain();
        assert!(!self.closed);
    }

    fn request(&mut self, request: Request) {
        self.session.request(request, at(self.ms));
        self.open += 1;
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..1000 {
            match self.session.poll_output(at(self.ms), &mut self.dice) {
                Output::Wait(until) => {
                    assert!(until > Duration::from_millis(self.ms), "a deadline in the past");
                    assert_eq!(until == Duration::MAX, self.closed);
                    self.last = until;
                    return;
                }
                Output::Transmit(bytes) => assert!(!self.closed && bytes.len() >= 24),
                Output::Event(Event::Done { .. }) => self.open -= 1,
                Output::Event(Event::Closed(_)) => {
                    assert!(!self.closed, "ends twice");
                    self.closed = true;
                }
                Output::Event(_) => assert!(!self.closed),
            }
        }
        panic!("output without end");
    }

    /// Against a silent peer it ends by itself, and no request is left.
    fn finish(mut self) {
        for _ in 0..200 {
            if self.closed {
                break;
            }
            self.ms = u64::try_from(self.last.as_millis()).unwrap() + 1;
            self.session.handle_timeout(at(self.ms));
            self.drain();
        }
        assert!(self.closed, "a silent peer is noticed");
        assert_eq!(self.open, 0, "requests are left");
    }
}

/// Every vector frame cut at every byte: no parser takes a part for the whole.
#[test]
fn truncation_at_every_byte() {
    let v = vectors();
    let mut seen = 0;
    for frame in &v.frames {
        let framing = frame.version.dialect().framing;
        for cut in 0..frame.frame_hex.len() {
            let mut reader = FrameReader::new(framing, MAX_LENGTH_CLIENT);
            reader.push(&frame.frame_hex[..cut]);
            assert_eq!(reader.next_item(), None, "{} cut at {cut}", frame.id);
            assert_eq!(reader.buffered(), cut, "{} cut at {cut}", frame.id);
            reader.push(&frame.frame_hex[cut..]);
            assert!(matches!(reader.next_item(), Some(Item::Frame(_))), "{} cut at {cut}", frame.id);
            seen += 1;
        }
        for cut in 0..frame.plaintext_hex.len() {
            let part = &frame.plaintext_hex[..cut];
            assert!(Body::parse(part).is_err(), "{} body cut at {cut}", frame.id);
            assert!(serde_json::from_slice::<Dps>(part).is_err(), "{} body cut at {cut}", frame.id);
            assert!(Credentials::parse(part).is_err());
            assert!(ExtRequest::parse(part).is_err() && ExtReport::parse(part).is_err());
        }
    }
    assert!(seen > 10_000, "{seen}");
}

/// A stream of garbage without end holds no memory, and neither session goes on for ever with it.
#[test]
fn endless_garbage_is_bounded() {
    for version in Version::ALL {
        let mut reader = FrameReader::new(version.dialect().framing, MAX_LENGTH_CLIENT);
        for i in 0..20_000u32 {
            reader.push(&i.to_le_bytes());
            let mut items = 0;
            while reader.next_item().is_some() {
                items += 1;
                assert!(items < 100);
            }
            assert!(reader.buffered() <= most(MAX_LENGTH_CLIENT));
        }
        let mut client = Client::new(version, 1);
        for _ in 0..600 {
            client.session.handle_input(&[0xff; 100], at(client.ms));
            client.drain();
            client.ms += 100;
            client.session.handle_timeout(at(client.ms));
            client.drain();
        }
        assert!(client.closed, "{version}: a minute of garbage");
    }
}
