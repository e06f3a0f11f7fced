//! Reading a CONNECT, which anybody may have sent.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use tokio::io::AsyncReadExt;
use tokio_util::codec::Decoder;

use super::packet::Wire;
use crate::listen::Stream;

/// Largest CONNECT: a person's may carry a will.
const MAX_CONNECT: usize = 16 * 1024;

/// A CONNECT, and the dialect it is in.
pub(super) struct Hello {
    /// How to go on.
    pub(super) wire: Wire,
    /// What it says.
    pub(super) ask: Ask,
}

/// What a CONNECT says.
pub(super) struct Ask {
    pub(super) client_id: ByteString,
    pub(super) user: Option<ByteString>,
    pub(super) password: Option<Bytes>,
    pub(super) keep_alive: u16,
    pub(super) receive_max: Option<NonZeroU16>,
    /// Length of the packet.
    pub(super) len: usize,
}

/// Why there is no CONNECT.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("it is no MQTT")]
    Foreign,
    #[error("a CONNECT of {0} bytes, more than {MAX_CONNECT}")]
    TooLong(usize),
    #[error("the CONNECT is malformed: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the connection ended")]
    Ended,
}

/// Reads until the CONNECT is complete; what came behind it stays in `read`, the CONNECT too.
pub(super) async fn hello<S: Stream>(
    stream: &mut S,
    read: &mut BytesMut,
    limit: u32,
) -> Result<Hello, HelloError> {
    let len = loop {
        match packet_len(read)? {
            Some(len) if len > MAX_CONNECT => return Err(HelloError::TooLong(len)),
            Some(len) if len <= read.len() => break len,
            _ => {}
        }
        let mut chunk = [0; 512];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Err(HelloError::Ended),
            Ok(n) => read.extend_from_slice(&chunk[..n]),
        }
    };
    let mut packet = BytesMut::from(&read[..len]);
    match VersionCodec.decode(&mut packet)?.ok_or(HelloError::Foreign)? {
        ProtocolVersion::MQTT3 => match v3::Codec::new(0).decode(&mut packet)? {
            Some((v3::Packet::Connect(c), _)) => Ok(Hello {
                wire: Wire::v3(c.protocol.level() == rmqtt_codec::types::MQTT_LEVEL_31, limit),
                ask: Ask {
                    client_id: c.client_id,
                    user: c.username,
                    password: c.password,
                    keep_alive: c.keep_alive,
                    receive_max: None,
                    len,
                },
            }),
            _ => Err(HelloError::Foreign),
        },
        ProtocolVersion::MQTT5 => match v5::Codec::new(0, 0).decode(&mut packet)? {
            Some((v5::Packet::Connect(c), _)) => Ok(Hello {
                wire: Wire::v5(limit, c.max_packet_size.map(std::num::NonZeroU32::get)),
                ask: Ask {
                    client_id: c.client_id,
                    user: c.username,
                    password: c.password,
                    keep_alive: c.keep_alive,
                    receive_max: c.receive_max,
                    len,
                },
            }),
            _ => Err(HelloError::Foreign),
        },
    }
}

/// Length of the CONNECT at the start of the buffer, header included; `None`: more bytes are needed.
fn packet_len(read: &[u8]) -> Result<Option<usize>, HelloError> {
    /// CONNECT with its flags, which are zero.
    const CONNECT: u8 = 0x10;
    let Some((first, rest)) = read.split_first() else { return Ok(None) };
    if *first != CONNECT {
        return Err(HelloError::Foreign);
    }
    let mut len = 0;
    for (at, byte) in rest.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(len + at + 2));
        }
    }
    if rest.len() >= 4 { Err(HelloError::Foreign) } else { Ok(None) }
}
