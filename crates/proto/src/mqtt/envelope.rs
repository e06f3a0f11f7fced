//! Envelopes of MQTT payloads: 2.1 (cloud.md 4.3), 2.2 (4.4) and 2.3 (4.6).
//!
//! | | 2.1 | 2.2 | 2.3 |
//! |---|---|---|---|
//! | cipher | AES-ECB, base64 | AES-ECB | AES-GCM |
//! | proves the key | MD5 signature over cipher and key | nothing: the CRC has no key in it | tag |
//! | against replay | `s` in the JSON | sequence and source words | sequence and source words, authenticated |
//!
//! Opening goes in two steps: [`Sealed::parse`] finds what is wrong without any key, [`Codec::open`] says whether the
//! key is the sender's. Replay is for a later layer to judge, from [`Stamp`] and the message's `s`.

use std::fmt;

use crate::Entropy;
use crate::crypto::{self, BLOCK, Ecb, Gcm, NONCE, Secret, TAG};

/// Longest payload that is read or made. Devices stay below 4 KiB (cloud.md 4.1).
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Version and signature of a 2.1 payload.
const HEAD_2_1: usize = 19;
/// Version, CRC, sequence and source of a 2.2 payload.
const HEAD_2_2: usize = 15;
/// Version, sequence, source and the reserved byte of a 2.3 payload; also the associated data.
const HEAD_2_3: usize = 12;

/// Which envelope (`pv`, `protocolVer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Envelope {
    /// Text: signature and base64. Generation A.
    V2_1,
    /// Binary with a CRC. Generations B, C and D.
    V2_2,
    /// Binary with AES-GCM. Generation E.
    V2_3,
}

impl Envelope {
    /// All of them, old to new.
    pub const ALL: [Self; 3] = [Self::V2_1, Self::V2_2, Self::V2_3];

    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2_1 => "2.1",
            Self::V2_2 => "2.2",
            Self::V2_3 => "2.3",
        }
    }

    /// The envelope that a version text (`pv`, `protocolVer`) names.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.as_str() == text)
    }

    /// The envelope that a payload claims to have, from its first three bytes.
    pub fn of(payload: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|e| payload.starts_with(e.as_str().as_bytes()))
    }

    /// Bytes before the cipher.
    const fn head(self) -> usize {
        match self {
            Self::V2_1 => HEAD_2_1,
            Self::V2_2 => HEAD_2_2,
            Self::V2_3 => HEAD_2_3 + NONCE,
        }
    }

    /// The shortest payload: a head and the least cipher.
    const fn least(self) -> usize {
        match self {
            // 24 characters of base64 hold a block.
            Self::V2_1 => HEAD_2_1 + 24,
            Self::V2_2 => HEAD_2_2 + BLOCK,
            // An empty JSON text is none: at least `{}`.
            Self::V2_3 => HEAD_2_3 + NONCE + 2 + TAG,
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The two header words of 2.2 and 2.3 that let a receiver tell an old message (cloud.md 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Counts the sender's messages. SDKs of generation E send 0 every time.
    pub sequence: u32,
    /// Who counts. Stock firmware checks the sequence per source, except of source 0.
    pub source: u32,
}

impl Stamp {
    /// The source of a device.
    pub const DEVICE: u32 = 1;
    /// The same as Connect Kit writes it: in little endian.
    pub const DEVICE_SWAPPED: u32 = 1 << 24;
    /// The source whose sequence stock firmware does not check: the cloud's.
    pub const CLOUD: u32 = 0;

    /// A device's stamp.
    pub const fn device(sequence: u32) -> Self {
        Self { sequence, source: Self::DEVICE }
    }

    /// The cloud's stamp.
    pub const fn cloud(sequence: u32) -> Self {
        Self { sequence, source: Self::CLOUD }
    }

    /// Whether the source is a device's, in either byte order.
    pub const fn is_device(self) -> bool {
        matches!(self.source, Self::DEVICE | Self::DEVICE_SWAPPED)
    }
}

/// Why a payload was not opened, or not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Starts with no known version.
    #[error("no envelope: the payload of {0} bytes starts with none of 2.1, 2.2, 2.3")]
    Foreign(usize),
    /// Ends before its envelope does.
    #[error("envelope {envelope} has at least {least} bytes, this payload has {len}")]
    TooShort {
        /// Which envelope it claims.
        envelope: Envelope,
        /// Its length.
        len: usize,
        /// The least.
        least: usize,
    },
    /// Longer than any real one.
    #[error("a payload of {0} bytes, more than {MAX_PAYLOAD}")]
    TooLong(usize),
    /// The text after the signature of 2.1 is not base64.
    #[error("the cipher of an envelope 2.1 is not base64")]
    NotBase64,
    /// The cipher is no whole number of blocks.
    #[error("the cipher of an envelope {envelope} has {len} bytes, not a multiple of {BLOCK}")]
    NotBlocks {
        /// Which envelope.
        envelope: Envelope,
        /// The cipher's length.
        len: usize,
    },
    /// The checksum of 2.2 is wrong: damaged on its way, whatever the key.
    #[error("the checksum of an envelope 2.2 is {found:08x}, its content gives {computed:08x}")]
    BadChecksum {
        /// In the header.
        found: u32,
        /// Over the content.
        computed: u32,
    },
    /// The reserved byte of 2.3 is not zero.
    #[error("the reserved byte of an envelope 2.3 is {0:#04x}, not zero")]
    Reserved(u8),
    /// The content is under our key, the signature is not: somebody altered or forged it.
    #[error("the signature of an envelope 2.1 is wrong although its content is under this key")]
    BadSignature,
    /// The tag of 2.3 is wrong: sealed under another key, or altered. The two look the same.
    #[error("the tag of an envelope 2.3 is wrong: another key, or altered")]
    BadTag,
    /// Proven to be under our key, but no JSON object.
    #[error("the content of an envelope {0} is under this key, but no JSON object")]
    NotJson(Envelope),
    /// Sound, but under another key.
    #[error("the payload is in a sound envelope {envelope} under another key")]
    WrongKey {
        /// Which envelope.
        envelope: Envelope,
    },
}

impl EnvelopeError {
    /// Whether the key is to blame, as opposed to the bytes. For a wrong tag of 2.3 it probably is.
    pub const fn blames_the_key(&self) -> bool {
        matches!(self, Self::WrongKey { .. } | Self::BadTag)
    }
}

/// A payload that is sound as far as one can tell without its key.
#[derive(Debug)]
pub struct Sealed<'a> {
    envelope: Envelope,
    stamp: Option<Stamp>,
    /// The payload as it came.
    payload: &'a [u8],
    /// The cipher, without base64; for 2.3 with its tag.
    cipher: &'a mut [u8],
}

impl<'a> Sealed<'a> {
    /// Checks form, length and checksum. `scratch` is overwritten; kept from payload to payload it saves allocations.
    ///
    /// # Errors
    /// Malformed or damaged, whatever the key.
    pub fn parse(payload: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Self, EnvelopeError> {
        let len = payload.len();
        if len > MAX_PAYLOAD {
            return Err(EnvelopeError::TooLong(len));
        }
        let envelope = Envelope::of(payload).ok_or(EnvelopeError::Foreign(len))?;
        let least = envelope.least();
        if len < least {
            return Err(EnvelopeError::TooShort { envelope, len, least });
        }
        let (head, cipher) = payload.split_at(envelope.head());
        scratch.clear();
        let stamp = match envelope {
            Envelope::V2_1 => {
                base64_simd::STANDARD.decode_append(cipher, scratch).map_err(|_| EnvelopeError::NotBase64)?;
                None
            }
            Envelope::V2_2 => {
                let (found, computed) = (word(head, 3), crypto::crc32(&payload[7..]));
                if found != computed {
                    return Err(EnvelopeError::BadChecksum { found, computed });
                }
                scratch.extend_from_slice(cipher);
                Some(Stamp { sequence: word(head, 7), source: word(head, 11) })
            }
            Envelope::V2_3 => {
                if head[11] != 0 {
                    return Err(EnvelopeError::Reserved(head[11]));
                }
                scratch.extend_from_slice(cipher);
                Some(Stamp { sequence: word(head, 3), source: word(head, 7) })
            }
        };
        if envelope != Envelope::V2_3 && !scratch.len().is_multiple_of(BLOCK) {
            return Err(EnvelopeError::NotBlocks { envelope, len: scratch.len() });
        }
        Ok(Self { envelope, stamp, payload, cipher: scratch })
    }

    /// Which envelope.
    pub const fn envelope(&self) -> Envelope {
        self.envelope
    }

    /// The header words of 2.2 and 2.3.
    pub const fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// The signature of 2.1: 16 hex digits.
    pub fn signature(&self) -> Option<&'a [u8]> {
        (self.envelope == Envelope::V2_1).then(|| &self.payload[3..HEAD_2_1])
    }

    /// The encrypted JSON: without base64, header and nonce, for 2.3 with the tag.
    pub fn ciphertext(&self) -> &[u8] {
        self.cipher
    }
}

/// A payload opened and verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The envelope it came in. A receiver that knows a device's envelope should insist on it: 2.2 proves less than
    /// the others.
    pub envelope: Envelope,
    /// The header words of 2.2 and 2.3; in 2.1 the message's `s` has their part.
    pub stamp: Option<Stamp>,
    /// The JSON text, without trailing NULs.
    pub json: &'a [u8],
}

/// Seals and opens the payloads of one key: a local key, or the first half of an auth key before the activation.
pub struct Codec {
    key: Secret,
    ecb: Ecb,
    gcm: Gcm,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec(..)")
    }
}

impl Codec {
    /// Expands a key.
    pub fn new(key: &[u8; BLOCK]) -> Self {
        Self { key: Secret::new(*key), ecb: Ecb::new(key), gcm: Gcm::new(key) }
    }

    /// Whether a 2.1 payload was signed with this key; `None` for the other envelopes, which have no signature.
    pub fn signed(&self, sealed: &Sealed<'_>) -> Option<bool> {
        let signature = sealed.signature()?;
        Some(crypto::same(&self.signature(&sealed.payload[HEAD_2_1..]), signature))
    }

    /// Verifies and decrypts.
    ///
    /// # Errors
    /// Another key, or altered under this key.
    pub fn open<'a>(&self, sealed: Sealed<'a>) -> Result<Opened<'a>, EnvelopeError> {
        let signed = self.signed(&sealed);
        let Sealed { envelope, stamp, payload, cipher } = sealed;
        let plain: &[u8] = if envelope == Envelope::V2_3 {
            let mut nonce = [0; NONCE];
            nonce.copy_from_slice(&payload[HEAD_2_3..HEAD_2_3 + NONCE]);
            self.gcm.open(nonce, &payload[..HEAD_2_3], cipher).ok_or(EnvelopeError::BadTag)?
        } else {
            let n = self.ecb.open(cipher).unwrap_or(0);
            &cipher[..n]
        };
        // The padding alone fits a wrong key once in 256 times; together with both braces it does not in a lifetime.
        let json = trimmed(plain);
        if !(json.starts_with(b"{") && json.ends_with(b"}")) {
            // A signature or a tag has proven the key; in 2.2 the content is all there is to tell by.
            let proven = envelope == Envelope::V2_3 || signed == Some(true);
            return Err(if proven {
                EnvelopeError::NotJson(envelope)
            } else {
                EnvelopeError::WrongKey { envelope }
            });
        }
        if signed == Some(false) {
            return Err(EnvelopeError::BadSignature);
        }
        Ok(Opened { envelope, stamp, json })
    }

    /// Seals a JSON text and appends the payload to `out`. 2.1 has no place for the stamp: it goes into the message's
    /// `s`. Only 2.3 takes entropy, 12 bytes.
    ///
    /// # Errors
    /// The payload would be longer than [`MAX_PAYLOAD`].
    pub fn seal(
        &self,
        envelope: Envelope,
        stamp: Stamp,
        json: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), EnvelopeError> {
        let len = match envelope {
            Envelope::V2_1 => HEAD_2_1 + (json.len() / BLOCK + 1) * BLOCK / 3 * 4 + 4,
            Envelope::V2_2 => HEAD_2_2 + (json.len() / BLOCK + 1) * BLOCK,
            Envelope::V2_3 => HEAD_2_3 + NONCE + json.len() + TAG,
        };
        if len > MAX_PAYLOAD {
            return Err(EnvelopeError::TooLong(len));
        }
        let start = out.len();
        out.reserve(len);
        out.extend_from_slice(envelope.as_str().as_bytes());
        match envelope {
            Envelope::V2_1 => {
                let mut cipher = Vec::with_capacity(json.len() + BLOCK);
                cipher.extend_from_slice(json);
                self.ecb.seal(&mut cipher, 0);
                out.extend_from_slice(&[0; 16]);
                base64_simd::STANDARD.encode_append(&cipher, out);
                let signature = self.signature(&out[start + HEAD_2_1..]);
                out[start + 3..start + HEAD_2_1].copy_from_slice(&signature);
            }
            Envelope::V2_2 => {
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&stamp.sequence.to_be_bytes());
                out.extend_from_slice(&stamp.source.to_be_bytes());
                out.extend_from_slice(json);
                self.ecb.seal(out, start + HEAD_2_2);
                let crc = crypto::crc32(&out[start + 7..]);
                out[start + 3..start + 7].copy_from_slice(&crc.to_be_bytes());
            }
            Envelope::V2_3 => {
                let mut nonce = [0; NONCE];
                entropy.fill(&mut nonce);
                out.extend_from_slice(&stamp.sequence.to_be_bytes());
                out.extend_from_slice(&stamp.source.to_be_bytes());
                out.push(0);
                out.extend_from_slice(&nonce);
                out.extend_from_slice(json);
                let (head, rest) = out[start..].split_at_mut(HEAD_2_3);
                let tag = self.gcm.seal(nonce, head, &mut rest[NONCE..]);
                out.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Hex characters 8 to 23 of MD5(`data=` base64 `||pv=2.1||` key).
    fn signature(&self, text: &[u8]) -> [u8; 16] {
        crypto::md5_middle(&[b"data=", text, b"||pv=2.1||", self.key.expose()])
    }
}

/// Without trailing NULs and white space.
fn trimmed(plain: &[u8]) -> &[u8] {
    let end = plain.iter().rposition(|b| !matches!(b, 0 | b' ' | b'\n' | b'\r' | b'\t')).map_or(0, |i| i + 1);
    &plain[..end]
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |w| u32::from_be_bytes(*w))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8; 16] = b"10ca1key01234567";
    const OTHER: &[u8; 16] = b"Kx7$v9Qm2#Lp4&Rz";

    struct Count(u8);
    impl Entropy for Count {
        fn fill(&mut self, out: &mut [u8]) {
            for b in out {
                self.0 = self.0.wrapping_add(1);
                *b = self.0;
            }
        }
    }

    fn sealed(envelope: Envelope, json: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Codec::new(KEY).seal(envelope, Stamp::device(7), json, &mut Count(0), &mut out).unwrap();
        out
    }

    fn open(key: &[u8; 16], payload: &[u8]) -> Result<(Option<Stamp>, Vec<u8>), EnvelopeError> {
        let mut scratch = Vec::new();
        let opened = Codec::new(key).open(Sealed::parse(payload, &mut scratch)?)?;
        Ok((opened.stamp, opened.json.to_vec()))
    }

    #[test]
    fn what_is_sealed_opens_and_every_length_fits_its_reserve() {
        for envelope in Envelope::ALL {
            for len in 0..70 {
                let json = format!("{{\"x\":\"{}\"}}", "y".repeat(len));
                let payload = sealed(envelope, json.as_bytes());
                let stamp = (envelope != Envelope::V2_1).then_some(Stamp::device(7));
                assert_eq!(open(KEY, &payload), Ok((stamp, json.into_bytes())), "{envelope}");
            }
        }
    }

    #[test]
    fn another_key_is_told_apart_from_damage() {
        for envelope in Envelope::ALL {
            let mut payload = sealed(envelope, b"{\"protocol\":4}");
            let wrong = open(OTHER, &payload).unwrap_err();
            assert!(wrong.blames_the_key(), "{wrong}");
            // In base64 a flipped lowest bit of a letter is a letter or a sign outside the alphabet.
            let at = payload.len() - 6;
            payload[at] ^= 1;
            let damaged = open(KEY, &payload).unwrap_err();
            match envelope {
                Envelope::V2_2 => assert!(matches!(damaged, EnvelopeError::BadChecksum { .. })),
                // A changed last block is garbage, like any block under another key.
                Envelope::V2_1 => assert!(
                    matches!(
                        damaged,
                        EnvelopeError::WrongKey { .. }
                            | EnvelopeError::BadSignature
                            | EnvelopeError::NotBase64
                    ),
                    "{damaged}"
                ),
                Envelope::V2_3 => assert_eq!(damaged, EnvelopeError::BadTag),
            }
        }
    }

    #[test]
    fn a_forged_signature_over_our_own_content_is_no_wrong_key() {
        let mut payload = sealed(Envelope::V2_1, b"{\"protocol\":4}");
        payload[3..19].copy_from_slice(b"0000000000000000");
        assert_eq!(open(KEY, &payload), Err(EnvelopeError::BadSignature));
        assert_eq!(open(OTHER, &payload), Err(EnvelopeError::WrongKey { envelope: Envelope::V2_1 }));
    }

    #[test]
    fn content_that_is_no_object_blames_the_key_only_where_nothing_proves_it() {
        for envelope in Envelope::ALL {
            let e = open(KEY, &sealed(envelope, b"no object")).unwrap_err();
            match envelope {
                Envelope::V2_2 => assert_eq!(e, EnvelopeError::WrongKey { envelope }),
                _ => assert_eq!(e, EnvelopeError::NotJson(envelope)),
            }
        }
    }

    #[test]
    fn impossible_lengths_are_named() {
        for envelope in Envelope::ALL {
            let payload = sealed(envelope, b"{\"protocol\":4}");
            for len in 0..payload.len() {
                let e = open(KEY, &payload[..len]).unwrap_err();
                match len {
                    0..3 => assert_eq!(e, EnvelopeError::Foreign(len)),
                    _ if len < envelope.least() => assert!(matches!(e, EnvelopeError::TooShort { .. })),
                    _ => {}
                }
            }
        }
        let long = vec![b'{'; MAX_PAYLOAD];
        for envelope in Envelope::ALL {
            let mut out = Vec::new();
            let e =
                Codec::new(KEY).seal(envelope, Stamp::default(), &long, &mut Count(0), &mut out).unwrap_err();
            assert!(matches!(e, EnvelopeError::TooLong(_)) && out.is_empty());
        }
        assert_eq!(open(KEY, &[b'2'; MAX_PAYLOAD + 1]), Err(EnvelopeError::TooLong(MAX_PAYLOAD + 1)));
    }
}
