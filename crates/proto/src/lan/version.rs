//! The five protocol versions as one table of differences (lan.md 0.2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::command::Command;

/// LAN protocol version of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Version {
    /// Clear text apart from CONTROL and STATUS.
    V3_1,
    /// As 3.3, but queries are CONTROL_NEW with nulls ("device22").
    V3_2,
    /// Everything under the local key.
    V3_3,
    /// Session keys, HMAC.
    V3_4,
    /// Session keys, GCM, 6699 frames.
    V3_5,
}

/// How frames look on TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// `000055AA` ... CRC32 `0000AA55`
    AaCrc,
    /// `000055AA` ... HMAC-SHA256 `0000AA55`
    AaHmac,
    /// `00006699` ... GCM tag `00009966`
    Gcm,
}

/// Where the 15-byte source header stands (lan.md 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderPlace {
    /// 3.1 has a version text and a signature instead.
    Signature,
    /// Before the ciphertext, readable.
    Clear,
    /// Inside the ciphertext.
    Encrypted,
}

/// The form of JSON bodies (lan.md 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyShape {
    /// `{"devId","uid","t":"text","dps"}`, `{"dps","t"}`
    Flat,
    /// `{"protocol":5,"t":number,"data":{"dps"}}`
    Wrapped,
}

/// How a device numbers its replies (lan.md 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplySequence {
    /// Replies echo the request; pushes and heartbeat replies are 0.
    Echo,
    /// The device's own counter, random start, one up for every frame it sends.
    Counter,
}

/// What distinguishes a version. All differences stand here and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The version's name on the wire.
    pub text: &'static str,
    /// TCP framing.
    pub framing: Framing,
    /// Whether a session key is negotiated first.
    pub negotiates: bool,
    /// Place of the source header.
    pub header: HeaderPlace,
    /// The command that sets points.
    pub set: Command,
    /// The command that asks for points.
    pub query: Command,
    /// The form of bodies.
    pub shape: BodyShape,
    /// Whether queries must take the device22 form.
    pub device22: bool,
    /// How real hardware numbers its replies.
    pub reply_sequence: ReplySequence,
    /// Whether a device answers an unknown command with "parse data error" (else it stays silent; lan.md 2).
    pub answers_unknown: bool,
}

const DIALECTS: [Dialect; 5] = [
    Dialect {
        text: "3.1",
        framing: Framing::AaCrc,
        negotiates: false,
        header: HeaderPlace::Signature,
        set: Command::CONTROL,
        query: Command::DP_QUERY,
        shape: BodyShape::Flat,
        device22: false,
        reply_sequence: ReplySequence::Echo,
        answers_unknown: true,
    },
    Dialect {
        text: "3.2",
        framing: Framing::AaCrc,
        negotiates: false,
        header: HeaderPlace::Clear,
        set: Command::CONTROL,
        query: Command::CONTROL_NEW,
        shape: BodyShape::Flat,
        device22: true,
        reply_sequence: ReplySequence::Echo,
        answers_unknown: true,
    },
    Dialect {
        text: "3.3",
        framing: Framing::AaCrc,
        negotiates: false,
        header: HeaderPlace::Clear,
        set: Command::CONTROL,
        query: Command::DP_QUERY,
        shape: BodyShape::Flat,
        device22: false,
        reply_sequence: ReplySequence::Echo,
        answers_unknown: true,
    },
    Dialect {
        text: "3.4",
        framing: Framing::AaHmac,
        negotiates: true,
        header: HeaderPlace::Encrypted,
        set: Command::CONTROL_NEW,
        query: Command::DP_QUERY_NEW,
        shape: BodyShape::Wrapped,
        device22: false,
        reply_sequence: ReplySequence::Counter,
        answers_unknown: false,
    },
    Dialect {
        text: "3.5",
        framing: Framing::Gcm,
        negotiates: true,
        header: HeaderPlace::Encrypted,
        set: Command::CONTROL_NEW,
        query: Command::DP_QUERY_NEW,
        shape: BodyShape::Wrapped,
        device22: false,
        reply_sequence: ReplySequence::Counter,
        answers_unknown: false,
    },
];

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 5] = [Self::V3_1, Self::V3_2, Self::V3_3, Self::V3_4, Self::V3_5];

    /// The version's row of the table.
    pub const fn dialect(self) -> &'static Dialect {
        &DIALECTS[self as usize]
    }

    /// `3.1` ... `3.5`
    pub const fn as_str(self) -> &'static str {
        self.dialect().text
    }
}

/// A text that names no known version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown LAN protocol version {0:?}; 3.1, 3.2, 3.3, 3.4 and 3.5 exist")]
pub struct VersionError(pub String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads a version text. Texts above 3.5 (`3.5.1`) count as 3.5 (lan.md 5.7).
    fn from_str(s: &str) -> Result<Self, VersionError> {
        match s {
            _ if s.starts_with("3.5.") => Ok(Self::V3_5),
            _ => Self::ALL
                .into_iter()
                .find(|v| v.as_str() == s)
                .ok_or_else(|| VersionError(s.chars().take(16).collect())),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;
    fn try_from(s: String) -> Result<Self, VersionError> {
        s.parse()
    }
}

impl From<Version> for String {
    fn from(v: Version) -> Self {
        v.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for v in Version::ALL {
            assert_eq!(v.as_str().parse(), Ok(v));
        }
        assert_eq!("3.5.1".parse(), Ok(Version::V3_5));
        assert!("2.1".parse::<Version>().unwrap_err().to_string().contains("\"2.1\""));
    }
}
