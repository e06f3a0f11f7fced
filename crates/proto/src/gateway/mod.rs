//! The HTTP side of the cloud (cloud.md 1.2 to 1.5, 2 and 5), both roles. HTTP itself is not here: a request comes as
//! its target and body, an answer goes as its body.
//!
//! | module | does |
//! |---|---|
//! | [`request`] | `/gw.json` and `/d.json`: parameters, signature, body |
//! | [`reply`] | answers in clear and under a key |
//! | [`activation`] | what a device says and gets when it registers |
//! | [`firmware`] | offers of firmware, their digests, ranges |
//! | [`name_service`] | where the cloud is: `url_config` and its kin |

pub mod activation;
pub mod firmware;
pub mod name_service;
pub mod reply;
pub mod request;

use std::fmt;

use crate::crypto;
use crate::id::{AuthKey, SecKey};

pub use reply::{ErrorCode, Outcome, Reader, Reply, ReplyError, UnbindingCode};
pub use request::{BodyError, Call, KeyKind, Path, Request, RequestError, SignatureError};

/// The generations of firmware (cloud.md 0.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Generation {
    /// `/gw.json` in clear, envelope 2.1.
    A,
    /// `/gw.json` over PSK, envelope 2.2.
    B,
    /// `/d.json` after the name service, envelope 2.2.
    C,
    /// Certificate TLS, envelope 2.2.
    D,
    /// Certificate TLS, et=3, envelope 2.3.
    E,
}

/// How body and answer are encrypted (`et`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// No `et`: the body is AES-ECB, the answer is in clear. Generation A.
    AnswerClear,
    /// `et=1`: both are AES-ECB. Generations B to D.
    Ecb,
    /// `et=3`: both are AES-GCM. Generation E.
    Gcm,
}

impl Encryption {
    /// The value of `et`; none for [`Self::AnswerClear`].
    pub const fn et(self) -> Option<&'static str> {
        match self {
            Self::AnswerClear => None,
            Self::Ecb => Some("1"),
            Self::Gcm => Some("3"),
        }
    }
}

/// The key of a request and its answer. It signs with all its characters and enciphers with the first 16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Before the activation.
    Auth(AuthKey),
    /// After it.
    Sec(SecKey),
}

impl Key {
    /// Which of the two.
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::Auth(_) => KeyKind::Auth,
            Self::Sec(_) => KeyKind::Sec,
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Auth(key) => key.expose(),
            Self::Sec(key) => key.expose(),
        }
    }

    fn cipher(&self) -> [u8; crypto::BLOCK] {
        match self {
            Self::Auth(key) => key.cipher_key(),
            Self::Sec(key) => key.cipher_key(),
        }
    }
}

impl From<AuthKey> for Key {
    fn from(key: AuthKey) -> Self {
        Self::Auth(key)
    }
}

impl From<SecKey> for Key {
    fn from(key: SecKey) -> Self {
        Self::Sec(key)
    }
}

/// Longest name of an action; real ones have up to 45 characters.
const MAX_ACTION: usize = 96;

/// The name of a call (`a`). An unknown one survives and prints.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Action(Box<str>);

impl Action {
    /// Takes a name; `None` if it is empty, too long, or holds anything but letters, digits, `.`, `_` and `-`.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        ((1..=MAX_ACTION).contains(&name.len()) && name.chars().all(plain)).then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to the activation of generations A and B, and goes under the auth key though it names a
    /// device id.
    pub fn precedes_activation(&self) -> bool {
        matches!(
            self.as_str(),
            "s.gw.token.get" | "s.gw.dev.pk.active" | "s.gw.dev.fk.active" | "s.gw.dev.pk.active.wx"
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Without trailing NULs: Connect Kit ends some texts with one (cloud.md 2.4).
fn without_nuls(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &bytes[..end]
}

/// A text of the peer's for an error message, cut short.
fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_checked() {
        assert!(Action::new("s.gw.dev.pk.active").is_some_and(|a| a.precedes_activation()));
        assert!(Action::new("tuya.device.active").is_some_and(|a| !a.precedes_activation()));
        assert!(Action::new("").is_none() && Action::new("a b").is_none() && Action::new("a\n").is_none());
        assert!(Action::new(&"a".repeat(97)).is_none());
    }

    #[test]
    fn keys_do_not_print() {
        let key = Key::from(SecKey::new("5ec0123456789abc").unwrap());
        assert_eq!(format!("{key:?}"), "Sec(SecKey(..))");
    }
}
