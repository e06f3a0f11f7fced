//! The client's side of MQTT 3.1 and 3.1.1, as far as stock firmware goes (cloud.md 4.1). It is a codec of its own, so
//! that a mistake of the cloud's is not made twice.

use std::fmt;

/// Longest packet that a device takes; real ones have less room.
pub const MAX_PACKET: usize = 16 * 1024;

/// Which version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// 3.1: `MQIsdp`, level 3.
    V3_1,
    /// 3.1.1: `MQTT`, level 4.
    V3_1_1,
}

/// What a client says when it logs in. Clean session, no will (cloud.md 4.1).
pub struct Connect<'a> {
    /// Version.
    pub level: Level,
    /// Client id.
    pub client_id: &'a str,
    /// User name.
    pub user_name: &'a str,
    /// Password. Not printed.
    pub password: &'a str,
    /// Seconds.
    pub keep_alive: u16,
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connect({:?}, {:?}, ..)", self.level, self.client_id)
    }
}

impl Connect<'_> {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let (name, level) = match self.level {
            Level::V3_1 => ("MQIsdp", 3),
            Level::V3_1_1 => ("MQTT", 4),
        };
        let mut body = Vec::with_capacity(64);
        text(&mut body, name);
        // User name, password, clean session.
        body.extend([level, 0b1100_0010]);
        body.extend(self.keep_alive.to_be_bytes());
        for part in [self.client_id, self.user_name, self.password] {
            text(&mut body, part);
        }
        packet(0x10, &body)
    }
}

/// SUBSCRIBE to one topic with QoS 1.
pub fn subscribe(id: u16, topic: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    text(&mut body, topic);
    body.push(1);
    packet(0x82, &body)
}

/// PUBLISH: with an id QoS 1, without QoS 0.
pub fn publish(topic: &str, id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(&mut body, topic);
    body.extend(id.into_iter().flat_map(u16::to_be_bytes));
    body.extend_from_slice(payload);
    packet(if id.is_some() { 0x32 } else { 0x30 }, &body)
}

/// PUBACK.
pub fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0];
/// DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Texts of devices are short; a longer one is cut, and the broker refuses what it does not know.
fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 5);
    out.push(first);
    let mut rest = body.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap_or(0);
        rest /= 128;
        out.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// What a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT.
    ConnAck {
        /// 0 is welcome. At 5 devices forget their owner (cloud.md 1.7).
        code: u8,
    },
    /// The answer to SUBSCRIBE.
    SubAck {
        /// Of the SUBSCRIBE.
        id: u16,
        /// The QoS granted, or 0x80.
        code: u8,
    },
    /// A message.
    Publish {
        /// Topic.
        topic: String,
        /// With QoS 1.
        id: Option<u16>,
        /// Kept by the broker from earlier, which commands must not be.
        retain: bool,
        /// Payload.
        payload: Vec<u8>,
    },
    /// The answer to a PUBLISH with QoS 1.
    PubAck {
        /// Of the PUBLISH.
        id: u16,
    },
    /// The answer to PINGREQ.
    PingResp,
}

/// Why a device does not go on with a broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More than a device has room for.
    #[error("a packet of {0} bytes, more than {MAX_PACKET}")]
    TooLong(usize),
    /// The length of the packet has a fifth byte.
    #[error("the length of a packet does not end")]
    Length,
    /// No packet that a broker sends to such a client.
    #[error("an unexpected packet of type {0}")]
    Unexpected(u8),
    /// Stock firmware refuses QoS 2.
    #[error("a message with quality of service {0}")]
    Quality(u8),
    /// Its body ends early or is no text.
    #[error("a malformed packet of type {0}")]
    Malformed(u8),
}

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet, if there is a whole one. After an error there is none any more.
    ///
    /// # Errors
    /// Malformed, too long, or nothing that a broker sends.
    pub fn packet(&mut self) -> Result<Option<Packet>, CodecError> {
        let Some((first, head, len)) = self.head()? else { return Ok(None) };
        if self.buffer.len() < head + len {
            return Ok(None);
        }
        let packet = parse(first, &self.buffer[head..head + len]);
        self.buffer.drain(..head + len);
        packet.map(Some)
    }

    /// First byte, bytes of the head, bytes of the body.
    fn head(&self) -> Result<Option<(u8, usize, usize)>, CodecError> {
        let Some((first, rest)) = self.buffer.split_first() else { return Ok(None) };
        let mut len = 0;
        for (at, byte) in rest.iter().take(4).enumerate() {
            len |= usize::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return if len > MAX_PACKET {
                    Err(CodecError::TooLong(len))
                } else {
                    Ok(Some((*first, at + 2, len)))
                };
            }
        }
        if rest.len() >= 4 { Err(CodecError::Length) } else { Ok(None) }
    }
}

fn parse(first: u8, body: &[u8]) -> Result<Packet, CodecError> {
    let kind = first >> 4;
    let word = |at: usize| body.get(at..).and_then(<[u8]>::first_chunk).map(|b| u16::from_be_bytes(*b));
    let parsed = match kind {
        2 => body.get(1).map(|code| Packet::ConnAck { code: *code }),
        3 => return message(first, body),
        4 => word(0).map(|id| Packet::PubAck { id }),
        9 => word(0).zip(body.get(2)).map(|(id, code)| Packet::SubAck { id, code: *code }),
        13 => Some(Packet::PingResp),
        other => return Err(CodecError::Unexpected(other)),
    };
    parsed.ok_or(CodecError::Malformed(kind))
}

fn message(first: u8, body: &[u8]) -> Result<Packet, CodecError> {
    let quality = (first >> 1) & 3;
    if quality > 1 {
        return Err(CodecError::Quality(quality));
    }
    let read = || {
        let (len, rest) = body.split_first_chunk::<2>()?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let topic = std::str::from_utf8(topic).ok()?.to_owned();
        let (id, payload) = if quality == 1 {
            let (id, payload) = rest.split_first_chunk::<2>()?;
            (Some(u16::from_be_bytes(*id)), payload)
        } else {
            (None, rest)
        };
        Some(Packet::Publish { topic, id, retain: first & 1 == 1, payload: payload.to_vec() })
    };
    read().ok_or(CodecError::Malformed(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Packet>, CodecError> {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        let mut packets = Vec::new();
        while let Some(packet) = decoder.packet()? {
            packets.push(packet);
        }
        Ok(packets)
    }

    #[test]
    fn connect_has_the_bytes_of_the_standard() {
        let connect =
            |level| Connect { level, client_id: "ab", user_name: "u", password: "p", keep_alive: 60 };
        assert_eq!(
            connect(Level::V3_1).encode(),
            [b"\x10\x16\0\x06MQIsdp\x03\xc2\0\x3c\0\x02ab\0\x01u\0\x01p".as_slice()].concat()
        );
        assert_eq!(
            connect(Level::V3_1_1).encode(),
            b"\x10\x14\0\x04MQTT\x04\xc2\0\x3c\0\x02ab\0\x01u\0\x01p"
        );
        assert!(!format!("{:?}", connect(Level::V3_1)).contains('p'), "the password is not printed");
    }

    #[test]
    fn what_is_sent_is_framed() {
        assert_eq!(subscribe(7, "a/b"), b"\x82\x08\0\x07\0\x03a/b\x01");
        assert_eq!(publish("t", Some(9), b"xy"), b"\x32\x07\0\x01t\0\x09xy");
        assert_eq!(publish("t", None, b"xy"), b"\x30\x05\0\x01txy");
        assert_eq!(puback(258), [0x40, 2, 1, 2]);
        assert_eq!(publish("t", None, &[0; 200])[..3], [0x30, 0xcb, 0x01]);
    }

    #[test]
    fn packets_are_read_in_any_pieces() {
        let stream = [
            b"\x20\x02\0\x05".as_slice(),
            b"\x90\x03\0\x07\x01",
            b"\x33\x07\0\x01t\0\x09xy",
            b"\x30\x03\0\x01t",
            b"\x40\x02\0\x09",
            b"\xd0\x00",
        ]
        .concat();
        let want = vec![
            Packet::ConnAck { code: 5 },
            Packet::SubAck { id: 7, code: 1 },
            Packet::Publish { topic: "t".into(), id: Some(9), retain: true, payload: b"xy".to_vec() },
            Packet::Publish { topic: "t".into(), id: None, retain: false, payload: vec![] },
            Packet::PubAck { id: 9 },
            Packet::PingResp,
        ];
        assert_eq!(all(&stream), Ok(want.clone()));
        let mut decoder = Decoder::default();
        let mut packets = Vec::new();
        for byte in stream {
            decoder.push(&[byte]);
            packets.extend(decoder.packet().unwrap());
        }
        assert_eq!(packets, want);
    }

    #[test]
    fn refusals() {
        for (bytes, want) in [
            (b"\x34\x05\0\x01t\0\x01".as_slice(), CodecError::Quality(2)),
            (b"\x30\xff\xff\xff\xff\x01", CodecError::Length),
            (b"\x30\xff\xff\x7f", CodecError::TooLong(2_097_151)),
            (b"\x10\x00", CodecError::Unexpected(1)),
            (b"\x20\x01\0", CodecError::Malformed(2)),
            (b"\x32\x03\0\x01t", CodecError::Malformed(3)),
            (b"\x30\x03\0\x09t", CodecError::Malformed(3)),
            (b"\x30\x03\0\x01\xff", CodecError::Malformed(3)),
        ] {
            assert_eq!(all(bytes), Err(want), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = all(&bytes);
        }
    }
}
