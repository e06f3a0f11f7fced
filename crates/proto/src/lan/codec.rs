//! One frame, sealed and opened: retcode, source header, cipher, integrity (lan.md 1.1 to 1.3, 3.1 to 3.6).

use super::command::Command;
use super::frame::{
    FramingError, HEAD_66, HEAD_AA, PREFIX_66, PREFIX_AA, RawFrame, SUFFIX_66, SUFFIX_AA, word,
};
use super::version::{Dialect, Framing, HeaderPlace, Version};
use crate::crypto::{self, Ecb, Gcm, MAC, MacKey, NONCE, Secret, TAG};
use crate::{Entropy, Role};

/// Bytes of a source header.
pub const HEADER: usize = 15;
/// Bytes of `"3.1"` and 16 signature characters before the base64 of 3.1.
const SIGNED_HEAD: usize = 19;
/// Bytes of nonce and tag around a 6699 ciphertext.
const GCM_EXTRA: usize = NONCE + TAG;

/// The 15 bytes before (or at the start of) the body of some messages (lan.md 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceHeader {
    /// Version text, `3.3` say.
    pub version: [u8; 3],
    /// 0 on the LAN.
    pub crc: u32,
    /// The source's message counter.
    pub s: u32,
    /// Source id: 1 for a device, 0 for libraries, random for the app. 0 bypasses the firmware's replay check.
    pub o: u32,
}

impl SourceHeader {
    /// The header of a library: zeros, the safe choice for a client.
    pub fn client(version: Version) -> Self {
        Self::new(version, 0, 0)
    }

    /// The header of a device with its counter.
    pub fn device(version: Version, s: u32) -> Self {
        Self::new(version, s, 1)
    }

    fn new(version: Version, s: u32, o: u32) -> Self {
        let mut text = [0; 3];
        text.copy_from_slice(version.as_str().as_bytes());
        Self { version: text, crc: 0, s, o }
    }

    /// The bytes on the wire.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut b = [0; HEADER];
        b[..3].copy_from_slice(&self.version);
        b[3..7].copy_from_slice(&self.crc.to_be_bytes());
        b[7..11].copy_from_slice(&self.s.to_be_bytes());
        b[11..].copy_from_slice(&self.o.to_be_bytes());
        b
    }

    /// Reads a header off the front; `None` if there is none. Any 3.x is taken: tuyapi writes 3.3 to 3.2 devices.
    fn split(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || bytes[..2] != *b"3." || !bytes[2].is_ascii_digit() {
            return None;
        }
        Some(Self {
            version: [bytes[0], bytes[1], bytes[2]],
            crc: word(bytes, 3),
            s: word(bytes, 7),
            o: word(bytes, 11),
        })
    }
}

/// How a body stands, or stood, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// No payload bytes at all.
    Empty,
    /// Readable. On 6699 connections everything is encrypted, so it does not occur there.
    Clear,
    /// Under the cipher of the version; on 3.1 signed, encrypted, base64. An empty body is a padding block.
    Cipher,
}

/// A message to seal.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Sequence number.
    pub sequence: u32,
    /// Command.
    pub command: Command,
    /// Only devices send one.
    pub retcode: Option<u32>,
    /// Source header. 3.1 has none (its signature stands there).
    pub header: Option<SourceHeader>,
    /// Form of the body.
    pub form: Form,
    /// The body before protection.
    pub body: &'a [u8],
}

/// A message opened; integrity checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Sequence number.
    pub sequence: u32,
    /// Command.
    pub command: Command,
    /// The device's return code, if it sent one. Compare with zero only; see [`readable_retcode`].
    pub retcode: Option<u32>,
    /// Source header.
    pub header: Option<SourceHeader>,
    /// Form of the body.
    pub form: Form,
    /// The body in clear.
    pub body: &'a [u8],
}

/// A return code for display: 3.5 devices write it in the byte order of their chip (lan.md 1.3).
pub const fn readable_retcode(retcode: u32) -> u32 {
    if retcode > 0x00ff_ffff { retcode.swap_bytes() } else { retcode }
}

/// Why a frame could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The check over the whole frame failed. On 3.4 and 3.5 that means another key, too.
    #[error(transparent)]
    Integrity(#[from] FramingError),
    /// The frame is sound but its body is not under our key: on 3.1 to 3.3 the sign of a wrong local key.
    #[error("the body of {command} (retcode {retcode:?}, {bytes} bytes) does not decrypt under this key")]
    Undecryptable {
        /// Command of the frame.
        command: Command,
        /// Sequence of the frame.
        sequence: u32,
        /// Its return code.
        retcode: Option<u32>,
        /// Bytes of its body.
        bytes: usize,
    },
}

/// Seals and opens the frames of one version under one key.
#[derive(Debug)]
pub struct Codec {
    version: Version,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Signed { ecb: Ecb, key: Secret },
    Ecb(Ecb),
    Mac { ecb: Ecb, mac: MacKey },
    Gcm(Gcm),
}

impl Codec {
    /// Expands the key: the local key, or the session key once there is one.
    pub fn new(version: Version, key: &[u8; 16]) -> Self {
        let keys = match version.dialect().framing {
            Framing::Gcm => Keys::Gcm(Gcm::new(key)),
            Framing::AaHmac => Keys::Mac { ecb: Ecb::new(key), mac: MacKey::new(key) },
            Framing::AaCrc if version.dialect().header == HeaderPlace::Signature => {
                Keys::Signed { ecb: Ecb::new(key), key: Secret::new(*key) }
            }
            Framing::AaCrc => Keys::Ecb(Ecb::new(key)),
        };
        Self { version, keys }
    }

    /// The version spoken.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The recommended form of a body: on 3.1 only CONTROL of clients and STATUS of devices are protected; empty
    /// bodies of devices are really empty (lan.md 3.3 to 3.6).
    pub fn form(&self, from: Role, command: Command, body: &[u8]) -> Form {
        match (&self.keys, from) {
            (Keys::Gcm(_), _) => Form::Cipher,
            (_, Role::Device) if body.is_empty() => Form::Empty,
            (Keys::Signed { .. }, Role::Client) if command == Command::CONTROL => Form::Cipher,
            (Keys::Signed { .. }, Role::Device) if command == Command::STATUS => Form::Cipher,
            (Keys::Signed { .. }, _) if body.is_empty() => Form::Empty,
            (Keys::Signed { .. }, _) => Form::Clear,
            _ => Form::Cipher,
        }
    }

    /// Appends the frame of a message to `out`.
    pub fn seal(&self, m: &Outgoing<'_>, entropy: &mut dyn Entropy, out: &mut Vec<u8>) {
        out.reserve(96 + m.body.len() * 4 / 3);
        match &self.keys {
            Keys::Gcm(gcm) => seal_gcm(gcm, m, entropy, out),
            Keys::Signed { ecb, key } => {
                let start = head_aa(m, out);
                match m.form {
                    Form::Empty => {}
                    Form::Clear => out.extend_from_slice(m.body),
                    Form::Cipher => seal_signed(ecb, key, m.body, out),
                }
                finish_crc(out, start);
            }
            Keys::Ecb(ecb) => {
                let start = head_aa(m, out);
                if m.form != Form::Empty {
                    out.extend_from_slice(header_bytes(m.header.as_ref()).as_slice());
                    let body = out.len();
                    out.extend_from_slice(m.body);
                    if m.form == Form::Cipher {
                        ecb.seal(out, body);
                    }
                }
                finish_crc(out, start);
            }
            Keys::Mac { ecb, mac } => {
                let start = head_aa(m, out);
                if m.form != Form::Empty {
                    let body = out.len();
                    out.extend_from_slice(header_bytes(m.header.as_ref()).as_slice());
                    out.extend_from_slice(m.body);
                    if m.form == Form::Cipher {
                        ecb.seal(out, body);
                    }
                }
                patch_length(out, start, MAC + 4);
                let code = mac.code(&out[start..]);
                out.extend_from_slice(&code);
                out.extend_from_slice(&SUFFIX_AA);
            }
        }
    }

    /// Opens a frame in place.
    ///
    /// # Errors
    /// Integrity failure, or a body that is not under this key.
    pub fn open<'a>(&self, from: Role, frame: RawFrame<'a>) -> Result<Incoming<'a>, OpenError> {
        let (sequence, command) = (frame.sequence(), frame.command());
        let bytes = frame.bytes;
        let end = bytes.len();
        let (retcode, header, form, body) = match &self.keys {
            Keys::Gcm(gcm) => {
                if frame.framing != Framing::Gcm || end < HEAD_66 + GCM_EXTRA + 4 {
                    return Err(FramingError::UnexpectedFraming.into());
                }
                return open_gcm(gcm, from, sequence, command, bytes);
            }
            Keys::Mac { ecb, mac } => {
                if frame.framing == Framing::Gcm || end < HEAD_AA + MAC + 4 {
                    return Err(FramingError::UnexpectedFraming.into());
                }
                let (message, trailer) = bytes.split_at(end - MAC - 4);
                if !mac.verify(message, &trailer[..MAC]) {
                    return Err(FramingError::HmacMismatch.into());
                }
                let payload = &mut bytes[HEAD_AA..end - MAC - 4];
                // The ciphertext is a multiple of 16, so four bytes too many are a retcode.
                let coded = from == Role::Device && payload.len() % 16 == 4;
                let (retcode, payload) = take_retcode(payload, coded);
                let (form, body) = open_ecb(ecb, payload).map_err(|bytes| OpenError::Undecryptable {
                    command,
                    sequence,
                    retcode,
                    bytes,
                })?;
                let (header, body) = if form == Form::Cipher { take_header(body) } else { (None, body) };
                (retcode, header, form, body)
            }
            keys => {
                if frame.framing == Framing::Gcm || end < HEAD_AA + 8 {
                    return Err(FramingError::UnexpectedFraming.into());
                }
                if crypto::crc32(&bytes[..end - 8]) != word(bytes, end - 8) {
                    return Err(FramingError::CrcMismatch.into());
                }
                let payload = &mut bytes[HEAD_AA..end - 8];
                // Some devices send no retcode; a text or a ciphertext never starts with three zero bytes (lan.md 1.3).
                let coded = from == Role::Device && payload.len() >= 4 && payload[..3] == [0; 3];
                let (retcode, payload) = take_retcode(payload, coded);
                let bad = |bytes| OpenError::Undecryptable { command, sequence, retcode, bytes };
                if let Keys::Signed { ecb, key } = keys {
                    let (form, body) = open_signed(ecb, key, payload).map_err(bad)?;
                    (retcode, None, form, body)
                } else {
                    let Keys::Ecb(ecb) = keys else { return Err(bad(0)) };
                    let header =
                        if payload.len() % 16 == HEADER { SourceHeader::split(payload) } else { None };
                    let payload = if header.is_some() { &mut payload[HEADER..] } else { payload };
                    let (form, body) = open_ecb(ecb, payload).map_err(bad)?;
                    (retcode, header, form, body)
                }
            }
        };
        Ok(Incoming { sequence, command, retcode, header, form, body })
    }
}

/// Whether the common clients put a source header on this command (lan.md 3.2).
pub fn takes_header(dialect: &Dialect, command: Command) -> bool {
    dialect.header != HeaderPlace::Signature
        && !matches!(
            command,
            Command::SESS_KEY_NEG_START
                | Command::SESS_KEY_NEG_RESP
                | Command::SESS_KEY_NEG_FINISH
                | Command::HEART_BEAT
                | Command::DP_QUERY
                | Command::DP_QUERY_NEW
                | Command::UPDATEDPS
                | Command::LAN_EXT_STREAM
        )
}

/// A header's bytes, or none.
struct HeaderBytes([u8; HEADER], usize);

impl HeaderBytes {
    fn as_slice(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

fn header_bytes(header: Option<&SourceHeader>) -> HeaderBytes {
    header.map_or(HeaderBytes([0; HEADER], 0), |h| HeaderBytes(h.to_bytes(), HEADER))
}

fn head_aa(m: &Outgoing<'_>, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&PREFIX_AA);
    out.extend_from_slice(&m.sequence.to_be_bytes());
    out.extend_from_slice(&m.command.0.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    if let Some(retcode) = m.retcode {
        out.extend_from_slice(&retcode.to_be_bytes());
    }
    start
}

fn patch_length(out: &mut [u8], start: usize, trailer: usize) {
    // Bodies are far below 4 GiB; a saturated length would be refused by every reader.
    let length = u32::try_from(out.len() - start - HEAD_AA + trailer).unwrap_or(u32::MAX);
    out[start + 12..start + 16].copy_from_slice(&length.to_be_bytes());
}

fn finish_crc(out: &mut Vec<u8>, start: usize) {
    patch_length(out, start, 8);
    let crc = crypto::crc32(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(&SUFFIX_AA);
}

fn seal_signed(ecb: &Ecb, key: &Secret, body: &[u8], out: &mut Vec<u8>) {
    let mut cipher = Vec::with_capacity(body.len() + 16);
    cipher.extend_from_slice(body);
    ecb.seal(&mut cipher, 0);
    let at = out.len();
    out.extend_from_slice(b"3.1");
    out.extend_from_slice(&[0; 16]);
    let text = out.len();
    base64_simd::STANDARD.encode_append(&cipher, out);
    let signature = signature_3_1(&out[text..], key);
    out[at + 3..text].copy_from_slice(&signature);
}

/// Hex characters 8 to 23 of MD5(`data=` base64 `||lpv=3.1||` local key) (lan.md 3.3).
fn signature_3_1(text: &[u8], key: &Secret) -> [u8; 16] {
    let hash = crypto::md5(&[b"data=", text, b"||lpv=3.1||", key.expose()]);
    let mut middle = [0; 8];
    middle.copy_from_slice(&hash[4..12]);
    crypto::hex(&middle)
}

fn seal_gcm(gcm: &Gcm, m: &Outgoing<'_>, entropy: &mut dyn Entropy, out: &mut Vec<u8>) {
    let start = out.len();
    let header = header_bytes(m.header.as_ref());
    let plain = m.retcode.map_or(0, |_| 4) + header.1 + m.body.len();
    let length = u32::try_from(plain + GCM_EXTRA).unwrap_or(u32::MAX);
    let mut nonce = [0; NONCE];
    entropy.fill(&mut nonce);
    out.extend_from_slice(&PREFIX_66);
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&m.sequence.to_be_bytes());
    out.extend_from_slice(&m.command.0.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&nonce);
    if let Some(retcode) = m.retcode {
        out.extend_from_slice(&retcode.to_be_bytes());
    }
    out.extend_from_slice(header.as_slice());
    out.extend_from_slice(m.body);
    let (head, body) = out[start..].split_at_mut(HEAD_66 + NONCE);
    let tag = gcm.seal(nonce, &head[4..HEAD_66], body);
    out.extend_from_slice(&tag);
    out.extend_from_slice(&SUFFIX_66);
}

fn open_gcm<'a>(
    gcm: &Gcm,
    from: Role,
    sequence: u32,
    command: Command,
    bytes: &'a mut [u8],
) -> Result<Incoming<'a>, OpenError> {
    let end = bytes.len() - 4;
    let (head, rest) = bytes.split_at_mut(HEAD_66 + NONCE);
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&head[HEAD_66..]);
    let sealed = &mut rest[..end - HEAD_66 - NONCE];
    let plain = gcm.open(nonce, &head[4..HEAD_66], sealed).ok_or(FramingError::TagMismatch)?;
    // A device without retcode would start with its JSON or its header at once (seen in datagrams).
    let bare = plain.first() == Some(&b'{') || SourceHeader::split(plain).is_some();
    let coded = from == Role::Device && plain.len() >= 4 && !bare;
    let (retcode, plain) = take_retcode(plain, coded);
    let (header, body) = take_header(plain);
    Ok(Incoming { sequence, command, retcode, header, form: Form::Cipher, body })
}

fn take_retcode(payload: &mut [u8], coded: bool) -> (Option<u32>, &mut [u8]) {
    if coded { (Some(word(payload, 0)), &mut payload[4..]) } else { (None, payload) }
}

fn take_header(plain: &[u8]) -> (Option<SourceHeader>, &[u8]) {
    match SourceHeader::split(plain) {
        Some(header) => (Some(header), &plain[HEADER..]),
        None => (None, plain),
    }
}

/// Decrypts in place; text in clear (old firmware's errors) passes as it is. The error is the number of bytes.
fn open_ecb<'a>(ecb: &Ecb, payload: &'a mut [u8]) -> Result<(Form, &'a [u8]), usize> {
    if payload.is_empty() {
        return Ok((Form::Empty, payload));
    }
    let len = payload.len();
    // "parse data error" has exactly 16 characters, so the length alone does not tell a clear text (lan.md 3.4).
    if is_printable(payload) {
        let mut trial = payload.to_vec();
        return match ecb.open(&mut trial) {
            Some(n) if looks_sound(&trial[..n]) => {
                payload.copy_from_slice(&trial);
                Ok((Form::Cipher, &payload[..n]))
            }
            _ => Ok((Form::Clear, payload)),
        };
    }
    match ecb.open(payload) {
        Some(n) => Ok((Form::Cipher, &payload[..n])),
        None => Err(len),
    }
}

/// A printable ciphertext is rarer than a printable clear text: believe it only if it decrypts to a text.
fn looks_sound(plain: &[u8]) -> bool {
    plain.first().is_none_or(|b| *b == b'{' || *b == b'3') || is_printable(plain)
}

fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| (0x20..0x7f).contains(b) || matches!(b, b'\t' | b'\r' | b'\n'))
}

fn open_signed<'a>(ecb: &Ecb, key: &Secret, payload: &'a mut [u8]) -> Result<(Form, &'a [u8]), usize> {
    if payload.is_empty() {
        return Ok((Form::Empty, payload));
    }
    if payload.len() < SIGNED_HEAD || payload[..3] != *b"3.1" {
        return Ok((Form::Clear, payload));
    }
    let len = payload.len();
    let (head, text) = payload.split_at_mut(SIGNED_HEAD);
    if !crypto::same(&signature_3_1(text, key), &head[3..]) {
        return Err(len);
    }
    let cipher = base64_simd::STANDARD.decode_inplace(text).map_err(|_| len)?;
    let n = ecb.open(cipher).ok_or(len)?;
    Ok((Form::Cipher, &cipher[..n]))
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FrameReader, Item, MAX_LENGTH_CLIENT};
    use super::*;

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn open(codec: &Codec, from: Role, frame: &[u8]) -> Result<(Option<u32>, Form, Vec<u8>), OpenError> {
        let mut reader = FrameReader::new(codec.version().dialect().framing, MAX_LENGTH_CLIENT);
        reader.push(frame);
        match reader.next_item().unwrap() {
            Item::Frame(f) => codec.open(from, f).map(|m| (m.retcode, m.form, m.body.to_vec())),
            Item::Error(e) => Err(e.into()),
        }
    }

    #[test]
    fn what_is_sealed_opens_in_every_version_role_and_length() {
        for version in Version::ALL {
            let codec = Codec::new(version, b"Kx7$v9Qm2#Lp4&Rz");
            for from in [Role::Client, Role::Device] {
                for len in 0..70 {
                    let body = "{".repeat(len);
                    let command = version.dialect().set;
                    let form = codec.form(from, command, body.as_bytes());
                    let m = Outgoing {
                        sequence: 7,
                        command,
                        retcode: (from == Role::Device).then_some(0),
                        header: takes_header(version.dialect(), command)
                            .then(|| SourceHeader::client(version)),
                        form,
                        body: body.as_bytes(),
                    };
                    let mut out = Vec::new();
                    codec.seal(&m, &mut Zeros, &mut out);
                    let got = open(&codec, from, &out).unwrap();
                    assert_eq!(got, (m.retcode, form, body.into_bytes()), "{version} {from:?} {len}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_key_is_told_apart_from_damage() {
        for version in Version::ALL {
            let (right, wrong) =
                (Codec::new(version, b"Kx7$v9Qm2#Lp4&Rz"), Codec::new(version, b"0123456789abcdef"));
            let m = Outgoing {
                sequence: 1,
                command: Command::STATUS,
                retcode: Some(0),
                header: None,
                form: Form::Cipher,
                body: br#"{"dps":{"1":true}}"#,
            };
            let mut out = Vec::new();
            right.seal(&m, &mut Zeros, &mut out);
            let under_wrong = open(&wrong, Role::Device, &out).unwrap_err();
            let at = out.len() - 6;
            out[at] ^= 1;
            let damaged = open(&right, Role::Device, &out).unwrap_err();
            assert!(matches!(damaged, OpenError::Integrity(_)), "{version} {damaged}");
            match version.dialect().framing {
                Framing::AaCrc => {
                    assert!(matches!(under_wrong, OpenError::Undecryptable { .. }), "{under_wrong}")
                }
                _ => assert_eq!(under_wrong, damaged),
            }
        }
    }
}
