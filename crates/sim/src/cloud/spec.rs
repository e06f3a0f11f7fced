//! What a device has from the factory for its cloud, and what it got at an earlier activation.

use core::time::Duration;
use std::fmt;

use landfall_proto::id::{AuthKey, PskKey, SecKey, Uuid};

use super::profile::Generation;

/// The cloud side of a device, as it is set up once and for all.
#[derive(Clone, Debug)]
pub struct CloudSpec {
    /// Which generation of firmware.
    pub generation: Generation,
    /// How it speaks TLS.
    pub psk: PskMode,
    /// Hardware id.
    pub uuid: Uuid,
    /// Factory key.
    pub auth_key: AuthKey,
    /// Key of TLS-PSK type 2, if it left the factory with one.
    pub psk_key: Option<PskKey>,
    /// Of a device that was activated before: the sec key it got. Its id and local key are those of its
    /// [`DeviceSpec`](crate::spec::DeviceSpec). `None`: never activated.
    pub sec_key: Option<SecKey>,
    /// What the app told a device that was not activated yet; without it the device waits for
    /// [`CloudClient::pair`](super::CloudClient::pair).
    pub pairing: Option<Pairing>,
    /// Version of its firmware.
    pub software: String,
    /// How often a sleeper wakes by itself.
    pub wake_every: Duration,
}

impl CloudSpec {
    /// A device that was never activated, with the TLS that is usual for its generation.
    pub fn new(generation: Generation, uuid: Uuid, auth_key: AuthKey) -> Self {
        Self {
            generation,
            psk: PskMode::usual(generation),
            uuid,
            auth_key,
            psk_key: None,
            sec_key: None,
            pairing: None,
            software: "1.0.0".to_owned(),
            wake_every: Duration::from_secs(4 * 3_600),
        }
    }
}

/// How a device speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PskMode {
    /// Not at all.
    Off,
    /// PSK type 1, until the cloud gives it a key of its own (cloud.md 2.8, `pskkey.get`).
    Type1,
    /// PSK type 2, with the psk key.
    Type2,
}

impl PskMode {
    /// Generation A has no TLS; the others left the factory with type 1.
    pub const fn usual(generation: Generation) -> Self {
        match generation {
            Generation::A => Self::Off,
            Generation::B | Generation::C => Self::Type1,
        }
    }
}

/// What an app tells a device at pairing (cloud.md 0.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Pairing {
    /// Region, two letters. Devices do not check it.
    pub region: String,
    /// The token, up to 8 characters.
    pub token: String,
    /// What became of the last four characters of the pairing text, often nothing.
    pub env: String,
}

impl Pairing {
    /// Takes the texts.
    ///
    /// # Errors
    /// A region that has not two letters, or a token that is empty, longer than 8 characters or not letters and
    /// digits. The token is not part of the error.
    pub fn new(region: &str, token: &str) -> Result<Self, PairError> {
        if region.len() != 2 || !region.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(PairError::Region(region.chars().take(20).collect()));
        }
        if !(1..=8).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(PairError::Token);
        }
        Ok(Self { region: region.to_owned(), token: token.to_owned(), env: String::new() })
    }
}

impl fmt::Debug for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairing")
            .field("region", &self.region)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

/// Why a device can't be paired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// It has no cloud side, or it is switched off.
    #[error("the device has no cloud side, or it is off")]
    NoCloud,
    /// It has an owner; reset it first.
    #[error("the device is activated already; reset it first")]
    Activated,
    /// Two capital letters.
    #[error("a region has two capital letters, like EU; {0:?} has not")]
    Region(String),
    /// The token itself is not shown.
    #[error("a token has 1 to 8 letters and digits")]
    Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairings_are_checked_and_do_not_print_their_token() {
        let pairing = Pairing::new("EU", "b6IPWXYT").unwrap();
        assert!(!format!("{pairing:?}").contains("b6IP"));
        assert_eq!(Pairing::new("eu", "b6IPWXYT"), Err(PairError::Region("eu".to_owned())));
        for token in ["", "123456789", "a b", "a\"b"] {
            assert_eq!(Pairing::new("EU", token), Err(PairError::Token), "{token}");
        }
    }
}
