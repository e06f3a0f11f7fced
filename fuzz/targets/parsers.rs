//! Targets that are one function deep: frames, bodies, datagrams, configuration messages.

use landfall_proto::crypto;
use landfall_proto::dp::{DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::lan::body::{self as bodies, Addressee, Body};
use landfall_proto::lan::codec::{Codec, Form, Outgoing, SourceHeader};
use landfall_proto::lan::discovery::{self, Datagram};
use landfall_proto::lan::frame::{FrameReader, Item, MAX_LENGTH_CLIENT, MAX_LENGTH_DEVICE};
use landfall_proto::lan::wifi_config::{Credentials, ExtReport, ExtRequest};
use landfall_proto::lan::{Command, Version};
use landfall_proto::{Role, json};

use super::{DEVICE, Dice, Input, KEY, command, role, version};

/// Frames out of a stream and out of their protection.
///
/// Byte 0: version, role (top bit), mode (bit 6). Mode 0: the rest is a stream, cut at the place named by byte 1.
/// Mode 1: byte 1 is a command, byte 2 a set of flags; the rest becomes the payload of a sound frame.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let (Some(kind), Some(second)) = (input.byte(), input.byte()) else { return };
    let codec = Codec::new(version(kind & 0x3f), KEY);
    let from = role(kind);
    let limit = if from == Role::Device { MAX_LENGTH_CLIENT } else { MAX_LENGTH_DEVICE };
    let mut reader = FrameReader::new(codec.version().dialect().framing, limit);
    if kind & 0x40 == 0 {
        let rest = input.rest();
        let cut = usize::from(second).min(rest.len());
        let mut found = 0;
        for part in [&rest[..cut], &rest[cut..]] {
            reader.push(part);
            found += drain(&mut reader, &codec, from);
        }
        assert!(found <= rest.len(), "more items than bytes");
        assert!(reader.buffered() <= rest.len());
        assert!(reader.buffered() < limit as usize + 24, "keeps more than an unfinished frame");
        return;
    }
    let Some(flags) = input.byte() else { return };
    let payload = input.rest();
    let message = Outgoing {
        sequence: u32::from(flags),
        command: command(second),
        retcode: (flags & 1 != 0).then_some(u32::from(flags & 2)),
        header: (flags & 4 != 0).then(|| SourceHeader::client(codec.version())),
        form: if flags & 8 != 0 { Form::Clear } else { Form::Cipher },
        body: payload,
    };
    let mut bytes = Vec::new();
    codec.seal(&message, &mut Dice(flags), &mut bytes);
    reader.push(&bytes);
    let found = drain(&mut reader, &codec, from);
    assert!(found >= 1 || bytes.len() > limit as usize, "a sound frame is found");
}

fn drain(reader: &mut FrameReader, codec: &Codec, from: Role) -> usize {
    let mut found = 0;
    while let Some(item) = reader.next_item() {
        found += 1;
        if let Item::Frame(frame) = item {
            let size = frame.bytes.len();
            let (sequence, command) = (frame.sequence(), frame.command());
            if let Ok(message) = codec.open(from, frame) {
                assert!(message.body.len() < size);
                assert_eq!((message.sequence, message.command), (sequence, command));
                assert!(from == Role::Device || message.retcode.is_none(), "clients send no retcode");
            }
        }
    }
    found
}

/// JSON bodies and data points. What was read and is written again reads back the same.
pub fn body(data: &[u8]) {
    let _ = json::text(data);
    let _ = json::parse::<Dps>(data).map(|dps| round_trip(&dps));
    let Ok(body) = Body::parse(data) else { return };
    assert!(body.points.len() <= data.len() && body.cids.len() <= data.len());
    if let Some(dps) = &body.dps {
        round_trip(dps);
        let device = DeviceId::new(DEVICE).expect("a device id");
        let to = Addressee { device: &device, cid: body.cid.as_ref() };
        for version in Version::ALL {
            let t = body.t.unwrap_or(7);
            let set = Body::parse(&bodies::set(version, to, dps, t)).expect("our own set");
            assert_eq!((set.dps.map(|d| d.len()), &set.cid, set.t), (Some(dps.len()), &body.cid, Some(t)));
            let status = bodies::status(version, to, dps, t, 1, body.unchanged);
            let status = Body::parse(&status).expect("our own status");
            assert_eq!(status.unchanged, body.unchanged);
            assert_eq!(status.dps.map(|d| d.len()), Some(dps.len()));
            let reply = Body::parse(&bodies::query_reply(version, to, dps)).expect("our own reply");
            assert_eq!(reply.dps.map(|d| d.len()), Some(dps.len()));
        }
    }
    let refresh = bodies::refresh(body.cids.first(), &body.points);
    let again = Body::parse(&refresh).expect("our own refresh");
    assert_eq!(again.points, body.points);
    let report = Body::parse(&bodies::subdevices_report(&body.subdevices)).expect("our own report");
    assert_eq!(report.subdevices, body.subdevices);
    let _ = body.into_report();
}

fn round_trip(dps: &Dps) {
    let text = serde_json::to_vec(dps).expect("points that were read can be written");
    let again: Dps = serde_json::from_slice(&text).expect("points that were written can be read");
    assert_eq!(again.asked(), dps.asked());
    assert_eq!(again.len(), dps.len());
    for (id, value) in dps.iter() {
        let other = again.value(id).expect("the same ids");
        match value {
            // A fraction may change its last digit; serde_json promises no more.
            DpValue::Json(_) => assert_eq!(other.kind(), value.kind(), "{id:?}"),
            _ => assert!(other.same_on_wire(value), "{id:?}: {other:?} instead of {value:?}"),
        }
    }
}

/// Discovery datagrams. Byte 0: 0 as it stands, 1 to 3 as the content of a sound 55AA, 6699 or access-point datagram.
pub fn datagram(data: &[u8]) {
    let mut input = Input(data);
    let Some(mode) = input.byte() else { return };
    let rest = input.rest();
    let bytes = match mode % 4 {
        0 => rest.to_vec(),
        form => {
            let (version, seed) = match form {
                1 => (Version::V3_3, "yGAdlopoPVldABfn"),
                2 => (Version::V3_5, "yGAdlopoPVldABfn"),
                _ => (Version::V3_5, "OXLvslCvUxcTPLGO"),
            };
            let message = Outgoing {
                sequence: 0,
                command: Command::UDP_NEW,
                retcode: (mode & 0x40 != 0).then_some(0),
                header: None,
                form: if mode & 0x20 != 0 { Form::Clear } else { Form::Cipher },
                body: rest,
            };
            let mut out = Vec::new();
            Codec::new(version, &crypto::md5(&[seed.as_bytes()])).seal(&message, &mut Dice(mode), &mut out);
            out
        }
    };
    match discovery::parse(&bytes) {
        Ok(Datagram::Beacon(beacon)) => {
            for version in Version::ALL {
                let ours = discovery::announce(&beacon, version, &mut Dice(mode));
                let Ok(Datagram::Beacon(again)) = discovery::parse(&ours) else {
                    panic!("our own announcement does not read back")
                };
                assert_eq!((&again.id, again.version), (&beacon.id, Some(version)));
            }
        }
        Ok(Datagram::Ask { ip }) => {
            let ours = discovery::ask(ip, &mut Dice(mode));
            assert_eq!(discovery::parse(&ours), Ok(Datagram::Ask { ip }));
        }
        Err(e) => drop(e.to_string()),
    }
}

/// Wi-Fi configuration messages.
pub fn wifi_config(data: &[u8]) {
    if let Ok(credentials) = Credentials::parse(data) {
        let secret = credentials.passwd.clone().unwrap_or_default();
        let shown = format!("{credentials:?}");
        assert!(
            secret.len() < 8 || credentials.ssid.contains(&secret) || !shown.contains(&secret),
            "a password is shown"
        );
        if let Ok(body) = credentials.to_body() {
            let again = Credentials::parse(&body).expect("our own credentials");
            // `reg` may hold fractions, whose last digit may change.
            assert_eq!(
                (again.ssid, again.passwd, again.token),
                (credentials.ssid, credentials.passwd, credentials.token)
            );
        }
    }
    if let Ok(request) = ExtRequest::parse(data) {
        assert_eq!(ExtRequest::parse(&request.to_body()), Ok(request));
    }
    if let Ok(report) = ExtReport::parse(data) {
        let again = ExtReport::parse(&report.to_body()).expect("our own report");
        assert_eq!(again.kind, report.kind);
    }
    let _ = Cid::new(json::text(data));
}
