//! The stream cases of `vectors/lan.json`: segments in, frames and disturbances out, as given and re-split.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Expected, KeyName, Side, Stream, Vectors, counts, hex, vectors};
use landfall_proto::Role;
use landfall_proto::lan::codec::{Codec, OpenError};
use landfall_proto::lan::frame::{FrameReader, FramingError, Item, MAX_LENGTH_CLIENT, MAX_LENGTH_DEVICE};

/// What a decoder says, in the words of the file.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Frame { cmd: u32, seq: u32, body: Option<String> },
    Garbage(usize),
    Error(&'static str, Option<u32>),
}

struct Decoder<'a> {
    codec: &'a Codec,
    from: Role,
    reader: FrameReader,
    seen: Vec<Seen>,
}

impl<'a> Decoder<'a> {
    fn new(codec: &'a Codec, side: Side, limit: u32) -> Self {
        let reader = FrameReader::new(codec.version().dialect().framing, limit);
        let from = if side == Side::Client { Role::Device } else { Role::Client };
        Self { codec, from, reader, seen: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
        while let Some(item) = self.reader.next_item() {
            let seen = match item {
                Item::Error(e) => error(e),
                Item::Frame(raw) => {
                    let (seq, cmd) = (raw.sequence(), raw.command().0);
                    match self.codec.open(self.from, raw) {
                        Ok(m) => Seen::Frame { cmd, seq, body: Some(hex(m.body)) },
                        Err(OpenError::Integrity(e)) => error(e),
                        // The frame is sound; the payload layer complains.
                        Err(OpenError::Undecryptable { .. }) => {
                            self.seen.push(Seen::Frame { cmd, seq, body: None });
                            Seen::Error("decrypt_failed", None)
                        }
                    }
                }
            };
            match (self.seen.last_mut(), &seen) {
                // "may report it in several pieces, only the sum counts"
                (Some(Seen::Garbage(sum)), Seen::Garbage(more)) => *sum += more,
                _ => self.seen.push(seen),
            }
        }
    }
}

fn error(e: FramingError) -> Seen {
    match e {
        FramingError::Garbage(n) => Seen::Garbage(n),
        FramingError::LengthTooSmall(_) => Seen::Error("length_too_small", None),
        FramingError::LengthTooLarge(n) => Seen::Error("length_too_large", Some(n)),
        FramingError::BadSuffix => Seen::Error("bad_suffix", None),
        FramingError::UnexpectedFraming => Seen::Error("unexpected_framing", None),
        FramingError::CrcMismatch => Seen::Error("crc_mismatch", None),
        FramingError::HmacMismatch => Seen::Error("hmac_mismatch", None),
        FramingError::TagMismatch => Seen::Error("tag_mismatch", None),
    }
}

/// What the file wants of framing and payload layers, bodies included where a frame is named.
fn expected(v: &Vectors, case: &Stream) -> Vec<Seen> {
    case.expect
        .iter()
        .filter_map(|e| match e {
            Expected::Frame { reference, cmd, seq } => {
                let body = reference.as_ref().map(|id| hex(&v.frame(id).plaintext_hex));
                Some(Seen::Frame { cmd: *cmd, seq: *seq, body })
            }
            Expected::Garbage { len } => Some(Seen::Garbage(*len)),
            // The order of sequence numbers is the session's affair; see tests/vectors_sessions.rs.
            Expected::Error { layer: Some(layer), .. } if layer == "session" => None,
            Expected::Error { kind, length, .. } => {
                let kind = [
                    "bad_suffix",
                    "crc_mismatch",
                    "decrypt_failed",
                    "hmac_mismatch",
                    "length_too_large",
                    "length_too_small",
                    "tag_mismatch",
                    "unexpected_framing",
                ]
                .into_iter()
                .find(|k| k == kind)
                .unwrap_or_else(|| panic!("{}: error kind {kind}", case.id));
                Some(Seen::Error(kind, *length))
            }
        })
        .collect()
}

/// Bodies count only where both sides name one.
fn same(seen: &[Seen], wanted: &[Seen]) -> bool {
    seen.len() == wanted.len()
        && seen.iter().zip(wanted).all(|(s, w)| match (s, w) {
            (Seen::Frame { cmd: a, seq: b, body }, Seen::Frame { cmd, seq, body: want }) => {
                a == cmd && b == seq && (want.is_none() || body == want)
            }
            _ => s == w,
        })
}

fn codec(v: &Vectors, case: &Stream) -> Codec {
    Codec::new(case.version, &v.key(case.version, KeyName::Session))
}

fn limit(v: &Vectors, side: Side) -> u32 {
    match side {
        Side::Client => v.limits.max_length_field_assumed,
        Side::Device => MAX_LENGTH_DEVICE,
    }
}

#[test]
fn the_limits_are_those_of_the_file() {
    assert_eq!(vectors().limits.max_length_field_assumed, MAX_LENGTH_CLIENT);
}

#[test]
fn every_stream_gives_its_events_and_keeps_what_it_must() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.streams {
        ran += 1;
        let codec = codec(v, case);
        let mut decoder = Decoder::new(&codec, case.side, limit(v, case.side));
        assert_eq!(case.chunks_hex.len(), case.buffered_after_chunk.len(), "{}", case.id);
        for (chunk, buffered) in case.chunks_hex.iter().zip(&case.buffered_after_chunk) {
            decoder.feed(chunk);
            assert_eq!(decoder.reader.buffered(), *buffered, "{}", case.id);
        }
        let wanted = expected(v, case);
        assert!(same(&decoder.seen, &wanted), "{}: {:?} instead of {wanted:?}", case.id, decoder.seen);
    }
    common::all(ran, v.streams.len(), counts::STREAMS);
}

#[test]
fn the_cuts_between_segments_change_nothing() {
    let v = vectors();
    let mut ran = 0;
    for case in &v.streams {
        ran += 1;
        let codec = codec(v, case);
        let whole: Vec<u8> = case.chunks_hex.iter().flat_map(|c| c.iter().copied()).collect();
        let wanted = expected(v, case);
        let left = *case.buffered_after_chunk.last().unwrap();

        let mut bytewise = Decoder::new(&codec, case.side, limit(v, case.side));
        for byte in &whole {
            bytewise.feed(std::slice::from_ref(byte));
        }
        assert!(same(&bytewise.seen, &wanted), "{} byte by byte: {:?}", case.id, bytewise.seen);
        assert_eq!(bytewise.reader.buffered(), left, "{}", case.id);

        for cut in 0..=whole.len() {
            let mut decoder = Decoder::new(&codec, case.side, limit(v, case.side));
            decoder.feed(&whole[..cut]);
            decoder.feed(&whole[cut..]);
            assert!(same(&decoder.seen, &wanted), "{} cut at {cut}: {:?}", case.id, decoder.seen);
            assert_eq!(decoder.reader.buffered(), left, "{} cut at {cut}", case.id);
        }
    }
    common::all(ran, v.streams.len(), counts::STREAMS);
}
