//! A byte stream into raw frames (lan.md 1.1, 1.2, 1.5). No keys here: integrity is the codec's affair.

use super::command::Command;
use super::version::Framing;

/// First bytes of a 55AA frame.
pub const PREFIX_AA: [u8; 4] = [0x00, 0x00, 0x55, 0xaa];
/// Last bytes of a 55AA frame.
pub const SUFFIX_AA: [u8; 4] = [0x00, 0x00, 0xaa, 0x55];
/// First bytes of a 6699 frame.
pub const PREFIX_66: [u8; 4] = [0x00, 0x00, 0x66, 0x99];
/// Last bytes of a 6699 frame.
pub const SUFFIX_66: [u8; 4] = [0x00, 0x00, 0x99, 0x66];
/// Bytes before the payload of a 55AA frame.
pub const HEAD_AA: usize = 16;
/// Bytes before the nonce of a 6699 frame.
pub const HEAD_66: usize = 18;
/// Largest length field that a client accepts (lan.md 1.6).
pub const MAX_LENGTH_CLIENT: u32 = 8192;
/// Largest length field that a device accepts (lan.md 1.6).
pub const MAX_LENGTH_DEVICE: u32 = 4096;

/// What was wrong with a stream or a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Bytes before a prefix were dropped.
    #[error("{0} bytes of garbage before a frame")]
    Garbage(usize),
    /// The length field is too small for its framing.
    #[error("length field {0} is too small")]
    LengthTooSmall(u32),
    /// The length field is beyond what is accepted.
    #[error("length field {0} is too large")]
    LengthTooLarge(u32),
    /// The suffix is not where the length says.
    #[error("no suffix at the end of the frame")]
    BadSuffix,
    /// A frame of the other framing: the peer speaks another version.
    #[error("a frame of another protocol version")]
    UnexpectedFraming,
    /// CRC32 of a 55AA frame.
    #[error("crc mismatch")]
    CrcMismatch,
    /// HMAC of a 3.4 frame.
    #[error("hmac mismatch")]
    HmacMismatch,
    /// Tag of a 6699 frame.
    #[error("tag mismatch")]
    TagMismatch,
}

/// A whole frame, suffix in place, integrity not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Its framing. A 55AA frame has the trailer that the reader was told to expect.
    pub framing: Framing,
    /// Prefix to suffix. Mutable, for decryption in place.
    pub bytes: &'a mut [u8],
}

impl RawFrame<'_> {
    /// The sequence number.
    pub fn sequence(&self) -> u32 {
        match self.framing {
            Framing::Gcm => word(self.bytes, 6),
            _ => word(self.bytes, 4),
        }
    }

    /// The command.
    pub fn command(&self) -> Command {
        Command(match self.framing {
            Framing::Gcm => word(self.bytes, 10),
            _ => word(self.bytes, 8),
        })
    }
}

/// What a reader found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A frame.
    Frame(RawFrame<'a>),
    /// A disturbance; reading goes on behind it.
    Error(FramingError),
}

/// Collects bytes and cuts frames out of them. Holds at most one unfinished frame.
#[derive(Debug)]
pub struct FrameReader {
    buf: Vec<u8>,
    /// Bytes before this were handed out already.
    start: usize,
    framing: Framing,
    max_length: u32,
}

impl FrameReader {
    /// A reader of frames with this framing and a largest length field.
    pub const fn new(framing: Framing, max_length: u32) -> Self {
        Self { buf: Vec::new(), start: 0, framing, max_length }
    }

    /// Takes bytes. Call [`Self::next_item`] until it returns `None` before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// How many bytes wait for the rest of their frame.
    pub fn buffered(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Expects another framing from now on.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// The next frame or disturbance; `None` when more bytes are needed.
    ///
    /// The end of a frame is found by its length, never by searching the suffix: a device counter can equal it
    /// (lan.md 1.5).
    pub fn next_item(&mut self) -> Option<Item<'_>> {
        let rest = &self.buf[self.start..];
        let at = find_prefix(rest);
        if at > 0 {
            self.start += at;
            self.release();
            return Some(Item::Error(FramingError::Garbage(at)));
        }
        if rest.len() < 4 {
            self.release();
            return None;
        }
        let is_66 = rest[..4] == PREFIX_66;
        let head = if is_66 { HEAD_66 } else { HEAD_AA };
        if rest.len() < head {
            return None;
        }
        let length = word(rest, head - 4);
        let expected = (self.framing == Framing::Gcm) == is_66;
        let min = match self.framing {
            _ if is_66 => 28,
            Framing::AaHmac => 36,
            // A 55AA frame on a 3.5 connection: the smallest of any 55AA (errata).
            Framing::AaCrc | Framing::Gcm => 8,
        };
        if length < min {
            self.start += 4;
            return Some(Item::Error(FramingError::LengthTooSmall(length)));
        }
        if length > self.max_length {
            self.start += 4;
            return Some(Item::Error(FramingError::LengthTooLarge(length)));
        }
        // The 55AA length counts the suffix, the 6699 length does not.
        let total = head + length as usize + if is_66 { 4 } else { 0 };
        if rest.len() < total {
            return None;
        }
        let suffix = if is_66 { SUFFIX_66 } else { SUFFIX_AA };
        if rest[total - 4..total] != suffix {
            self.start += 4;
            return Some(Item::Error(FramingError::BadSuffix));
        }
        let from = self.start;
        self.start += total;
        if !expected {
            return Some(Item::Error(FramingError::UnexpectedFraming));
        }
        Some(Item::Frame(RawFrame { framing: self.framing, bytes: &mut self.buf[from..from + total] }))
    }

    /// Gives the memory of an idle stream back: thousands of connections wait most of the time.
    fn release(&mut self) {
        if self.start == self.buf.len() {
            self.buf = Vec::new();
            self.start = 0;
        }
    }
}

/// Where the first prefix, or the longest tail that may become one, begins.
fn find_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let n = rest.len().min(4);
        if rest[..n] == PREFIX_AA[..n] || rest[..n] == PREFIX_66[..n] {
            return at;
        }
        at += 1;
    }
    at
}

/// Four bytes as a number; 0 beyond the end, which callers exclude by their length checks.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A heartbeat reply seen on a real 3.3 device (lan.md 1.7).
    const BEAT: [u8; 28] = [
        0, 0, 0x55, 0xaa, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0xb0, 0x51, 0xab, 3, 0, 0, 0xaa,
        0x55,
    ];

    fn kinds(reader: &mut FrameReader) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(item) = reader.next_item() {
            out.push(match item {
                Item::Frame(f) => format!("{} {}", f.command(), f.bytes.len()),
                Item::Error(e) => e.to_string(),
            });
        }
        out
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let stream = [&b"xy"[..], &BEAT, &BEAT].concat();
        for cut in 0..=stream.len() {
            let mut reader = FrameReader::new(Framing::AaCrc, MAX_LENGTH_CLIENT);
            reader.push(&stream[..cut]);
            let mut seen = kinds(&mut reader);
            reader.push(&stream[cut..]);
            seen.extend(kinds(&mut reader));
            seen.retain(|s| !s.contains("garbage"));
            assert_eq!(seen, ["HEART_BEAT 28", "HEART_BEAT 28"], "cut at {cut}");
            assert_eq!(reader.buffered(), 0);
        }
    }

    #[test]
    fn impossible_lengths_cost_a_prefix_only() {
        for (length, word) in [(7u32, "small"), (0, "small"), (8193, "large"), (u32::MAX, "large")] {
            let mut bad = BEAT;
            bad[12..16].copy_from_slice(&length.to_be_bytes());
            let mut reader = FrameReader::new(Framing::AaCrc, MAX_LENGTH_CLIENT);
            reader.push(&bad);
            reader.push(&BEAT);
            let seen = kinds(&mut reader);
            assert!(seen[0].contains(word), "{seen:?}");
            assert_eq!(seen.last().map(String::as_str), Some("HEART_BEAT 28"));
        }
    }

    #[test]
    fn an_idle_reader_holds_no_memory() {
        let mut reader = FrameReader::new(Framing::AaCrc, MAX_LENGTH_CLIENT);
        reader.push(&BEAT);
        assert_eq!(kinds(&mut reader).len(), 1);
        assert_eq!(reader.buf.capacity(), 0);
    }
}
