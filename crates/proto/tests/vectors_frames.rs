//! Every single frame of `vectors/lan.json`: built from its parts and compared, taken apart and compared.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Direction, Frame, Script, counts, hex, vectors};
use landfall_proto::Role;
use landfall_proto::lan::Command;
use landfall_proto::lan::codec::{Codec, Form, Outgoing, SourceHeader, readable_retcode, takes_header};
use landfall_proto::lan::frame::{FrameReader, Item, MAX_LENGTH_CLIENT};

fn role(frame: &Frame) -> Role {
    match frame.direction {
        Direction::ClientToDevice => Role::Client,
        Direction::DeviceToClient => Role::Device,
    }
}

fn form(frame: &Frame) -> Form {
    match frame.payload_form.as_str() {
        "none" => Form::Empty,
        "plaintext" => Form::Clear,
        "ecb" | "signed-base64-ecb" | "gcm" => Form::Cipher,
        other => panic!("{}: form {other}", frame.id),
    }
}

fn header(frame: &Frame) -> Option<SourceHeader> {
    frame.source_header.as_ref().map(|h| SourceHeader {
        version: h.version.as_bytes().try_into().unwrap(),
        crc: h.crc32,
        s: h.seq,
        o: h.source,
    })
}

/// The retcode as the codec counts it: the four bytes of the wire, big-endian.
fn retcode(frame: &Frame) -> Option<u32> {
    frame.retcode.as_ref().map(|r| u32::from_be_bytes(r.wire()))
}

#[test]
fn every_frame_is_built_byte_for_byte() {
    let v = vectors();
    let mut ran = 0;
    for frame in &v.frames {
        ran += 1;
        let codec = Codec::new(frame.version, &v.key(frame.version, frame.key));
        let message = Outgoing {
            sequence: frame.seq,
            command: Command(frame.cmd),
            retcode: retcode(frame),
            header: header(frame),
            form: form(frame),
            body: &frame.plaintext_hex,
        };
        let mut dice = Script::new(frame.iv_hex.as_deref().unwrap_or(&[]));
        let mut out = b"before".to_vec();
        codec.seal(&message, &mut dice, &mut out);
        assert_eq!(hex(&out[6..]), hex(&frame.frame_hex), "{}", frame.id);
        assert_eq!(&out[..6], b"before", "{}: appends only", frame.id);
        assert_eq!(dice.left(), 0, "{}: the nonce was used", frame.id);
        assert_eq!(out.len() - 6, frame.frame_len, "{}", frame.id);
    }
    common::all(ran, v.frames.len(), counts::FRAMES);
}

#[test]
fn every_frame_is_taken_apart() {
    let v = vectors();
    let mut ran = 0;
    for frame in &v.frames {
        ran += 1;
        let codec = Codec::new(frame.version, &v.key(frame.version, frame.key));
        let mut reader = FrameReader::new(frame.version.dialect().framing, MAX_LENGTH_CLIENT);
        reader.push(&frame.frame_hex);
        let Some(Item::Frame(raw)) = reader.next_item() else { panic!("{}: no frame", frame.id) };
        assert_eq!((raw.sequence(), raw.command()), (frame.seq, Command(frame.cmd)), "{}", frame.id);
        let got = codec.open(role(frame), raw).unwrap_or_else(|e| panic!("{}: {e}", frame.id));
        assert_eq!(hex(got.body), hex(&frame.plaintext_hex), "{}", frame.id);
        assert_eq!(got.sequence, frame.seq, "{}", frame.id);
        assert_eq!(got.command, Command(frame.cmd), "{}", frame.id);
        assert_eq!(got.retcode, retcode(frame), "{}", frame.id);
        assert_eq!(
            got.retcode.map(readable_retcode),
            frame.retcode.as_ref().map(|r| r.value),
            "{}",
            frame.id
        );
        assert_eq!(got.header, header(frame), "{}", frame.id);
        assert_eq!(got.form, form(frame), "{}", frame.id);
        if let Some(bytes) = &frame.source_header {
            assert_eq!(hex(&got.header.unwrap().to_bytes()), hex(&bytes.hex), "{}", frame.id);
        }
        assert!(reader.next_item().is_none(), "{}", frame.id);
        assert_eq!(reader.buffered(), 0, "{}", frame.id);
    }
    common::all(ran, v.frames.len(), counts::FRAMES);
}

/// What the codec chooses by itself is what tinytuya and real devices choose. tuyapi's empty client bodies and headers on
/// heartbeats are its own; the quirks are departures by definition.
#[test]
fn the_usual_form_is_the_recommended_one() {
    let v = vectors();
    let mut seen = 0;
    for frame in v.frames.iter().filter(|f| f.quirk.is_none() && !f.id.contains("tuyapi")) {
        let codec = Codec::new(frame.version, &v.key(frame.version, frame.key));
        let command = Command(frame.cmd);
        assert_eq!(codec.form(role(frame), command, &frame.plaintext_hex), form(frame), "{}", frame.id);
        // Replies of a device have no header, except pushes (lan.md 3.2).
        let headed = takes_header(frame.version.dialect(), command)
            && (frame.direction == Direction::ClientToDevice || command == Command::STATUS);
        assert_eq!(frame.source_header.is_some(), headed, "{}", frame.id);
        seen += 1;
    }
    assert!(seen > 90, "{seen}");
}
