//! Messages to devices: stamp, date, envelope (cloud.md 4.3 to 4.6).

use bytes::Bytes;
use landfall_link::entropy::OsEntropy;
use landfall_proto::mqtt::{Content, Envelope, EnvelopeError, Message, MessageError, Stamp};

use super::owner::Owner;
use crate::backend::{Generation, Registration};
use crate::listen::{Link, Over};
use crate::shared::Shared;
use crate::tap::{Direction, Tapped};

/// Why a message was not sealed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    /// No local key is known.
    #[error("no local key is known")]
    NoKey,
    /// Not JSON.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Too long.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Seals a message: source 0, which stock firmware does not check, `t` as a number, and in 2.1 the number as `s`.
pub(super) fn seal(
    owner: &mut Owner,
    content: Content,
    seen: Option<Envelope>,
    link: &Link,
    sequence: u32,
    shared: &Shared,
) -> Result<Bytes, SealError> {
    let mut message = Message::new(shared.clock.unix(), content);
    let (codec, envelope) = match owner {
        Owner::Device { client, device, desk, .. } => {
            // Keys may have changed since the last message.
            if let Some(fresh) = shared.backend.by_id(client) {
                *device = fresh;
            }
            let envelope = seen.or(device.envelope).unwrap_or_else(|| likely(device, link));
            (desk.codec(device).ok_or(SealError::NoKey)?, envelope)
        }
        Owner::Waiting { codec, envelope, .. } => (&**codec, *envelope),
    };
    if envelope == Envelope::V2_1 {
        message.s = Some(sequence.into());
    }
    let json = message.to_json()?;
    let mut out = Vec::new();
    codec.seal(envelope, Stamp::cloud(sequence), &json, &mut OsEntropy::new(), &mut out)?;
    let bytes = out.len();
    shared.tapped(|| Tapped {
        who: owner.who().to_owned(),
        direction: Direction::Out,
        what: named(envelope, &json),
        sequence: Some(sequence.into()),
        bytes,
        body: json,
    });
    Ok(out.into())
}

/// What a message is called by those who look: `MQTT 2.2 protocol 4`.
pub(super) fn named(envelope: Envelope, json: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Numbered {
        protocol: u32,
    }
    let number =
        serde_json::from_slice::<Numbered>(json).map_or_else(|_| "?".to_owned(), |n| n.protocol.to_string());
    format!("MQTT {envelope} protocol {number}")
}

/// The envelope of a device of which we have not heard a message yet: by its generation, else by how it came and what its
/// id looks like. Ids of generations A and B end in a MAC address (cloud.md 0.2), and A came in clear.
fn likely(device: &Registration, link: &Link) -> Envelope {
    match device.generation {
        Some(Generation::A) => Envelope::V2_1,
        Some(Generation::B | Generation::C | Generation::D) => Envelope::V2_2,
        Some(Generation::E) => Envelope::V2_3,
        None => {
            let id = device.id.as_str().as_bytes();
            let old = id.len() == 20
                && id.iter().take(8).all(u8::is_ascii_digit)
                && id.iter().skip(8).all(u8::is_ascii_hexdigit);
            if old && link.over == Over::Plain { Envelope::V2_1 } else { Envelope::V2_2 }
        }
    }
}
