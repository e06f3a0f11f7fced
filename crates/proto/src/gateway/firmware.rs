//! Firmware as devices ask for it (cloud.md 5): the offer, its digests, the ranges of its download.

use serde::{Deserialize, Serialize};

use crate::crypto::{self, MacKey};
use crate::id::SecKey;

/// Longest URL that devices take.
const MAX_URL: usize = 255;
/// Longest version text that devices take.
const MAX_VERSION: usize = 10;

/// What devices check a firmware file by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex MD5.
    pub md5: String,
    /// Upper-case hex HMAC-SHA256 under the sec key of the upper-case hex SHA-256.
    pub hmac: String,
}

impl Digests {
    /// Of a whole file, for one device.
    pub fn of(file: &[u8], key: &SecKey) -> Self {
        let md5: [u8; 32] = crypto::hex(&crypto::md5(&[file]));
        let mut hmac = String::new();
        crypto::hex_upper(&MacKey::of_text(key.expose()).code(sha256_text(file).as_bytes()), &mut hmac);
        Self { size: file.len() as u64, md5: String::from_utf8_lossy(&md5).into(), hmac }
    }
}

/// Upper-case hex SHA-256 of a file: what [`Digests::hmac`] is taken over.
pub fn sha256_text(file: &[u8]) -> String {
    let mut text = String::new();
    crypto::hex_upper(&crypto::sha256(&[file]), &mut text);
    text
}

/// An offer that devices would choke on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Too long for their buffers.
    #[error("a {what} has at most {max} characters, {text:?} has more")]
    TooLong {
        /// URL or version.
        what: &'static str,
        /// The limit.
        max: usize,
        /// The text.
        text: String,
    },
    /// Nothing in it.
    #[error("the firmware file is empty")]
    Empty,
}

/// The result of `upgrade.get` with a firmware in it: every field that any generation reads, since the SDKs crash at
/// a missing one. "No firmware" is no result at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// 0 main, 1 BLE, 3 Zigbee, 9 MCU.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Higher than the installed one.
    pub version: String,
    /// Bytes, as decimal text.
    pub size: String,
    /// For A, C and Connect Kit.
    pub url: String,
    /// For B, and C in PSK mode; an `http` URL works.
    #[serde(rename = "pskUrl")]
    pub psk_url: String,
    /// For TuyaOpen.
    #[serde(rename = "httpsUrl")]
    pub https_url: String,
    /// For agentic-kit.
    #[serde(rename = "cdnUrl")]
    pub cdn_url: String,
    /// See [`Digests::md5`].
    pub md5: String,
    /// See [`Digests::hmac`].
    pub hmac: String,
    /// Install without asking.
    pub auto: u32,
}

impl Offer {
    /// An offer for every generation. `url` is plain HTTP, `https_url` the same file over TLS.
    ///
    /// # Errors
    /// A text too long for devices, or an empty file.
    pub fn new(
        kind: u32,
        version: &str,
        digests: Digests,
        url: &str,
        https_url: &str,
    ) -> Result<Self, OfferError> {
        for (what, max, text) in
            [("version", MAX_VERSION, version), ("url", MAX_URL, url), ("url", MAX_URL, https_url)]
        {
            if text.len() > max {
                return Err(OfferError::TooLong { what, max, text: text.to_owned() });
            }
        }
        if digests.size == 0 {
            return Err(OfferError::Empty);
        }
        Ok(Self {
            kind,
            version: version.to_owned(),
            size: digests.size.to_string(),
            url: url.to_owned(),
            psk_url: url.to_owned(),
            https_url: https_url.to_owned(),
            cdn_url: url.to_owned(),
            md5: digests.md5,
            hmac: digests.hmac,
            auto: 3,
        })
    }
}

/// The part of a file that a `Range` header asks for, both ends included, clamped to the file. Devices write
/// `bytes=0-99`, `bytes=0-99/100` and ends one past the last byte (cloud.md 5.4). `None`: nothing that can be served;
/// the whole file is the answer then, or 416 when the start lies behind the end.
pub fn range(header: &str, size: u64) -> Option<(u64, u64)> {
    let range = header.trim().strip_prefix("bytes=")?;
    let range = range.split('/').next()?;
    let (from, to) = range.split_once('-')?;
    let last = size.checked_sub(1)?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (from.trim().is_empty(), to.trim().is_empty()) {
        // The last so many bytes.
        (true, false) => (size.saturating_sub(number(to)?), last),
        (false, true) => (number(from)?, last),
        (false, false) => (number(from)?, number(to)?.min(last)),
        (true, true) => return None,
    };
    (from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_devices_write_them() {
        for (header, part) in [
            ("bytes=0-50", Some((0, 50))),
            ("bytes=51-", Some((51, 999))),
            ("bytes=0-999/1000", Some((0, 999))),
            ("bytes=512-1000", Some((512, 999))),
            ("bytes=0-0", Some((0, 0))),
            ("bytes=-10", Some((990, 999))),
            ("bytes=-5000", Some((0, 999))),
            ("bytes=1000-", None),
            ("bytes=1000-1000", None),
            ("bytes=9-3", None),
            ("bytes=-0", None),
            ("bytes=-", None),
            ("bytes=x-1", None),
            ("0-50", None),
            ("", None),
            ("bytes=0-99999999999999999999999", None),
        ] {
            assert_eq!(range(header, 1000), part, "{header}");
        }
        assert_eq!(range("bytes=0-0", 0), None);
    }

    #[test]
    fn an_offer_has_every_field_and_fits_devices() {
        let digests = Digests::of(&[7; 588], &SecKey::new("5ec0123456789abc").unwrap());
        let offer = Offer::new(0, "9.0.0", digests.clone(), "http://h/f", "https://h/f").unwrap();
        let json = serde_json::to_value(&offer).unwrap();
        for field in ["type", "version", "size", "url", "pskUrl", "httpsUrl", "cdnUrl", "md5", "hmac", "auto"]
        {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert_eq!(json["size"], "588");
        assert!(Offer::new(0, "9.0.0.0.0.0", digests.clone(), "", "").is_err());
        assert!(Offer::new(0, "9", digests.clone(), &"u".repeat(256), "").is_err());
        assert_eq!(Offer::new(0, "9", Digests { size: 0, ..digests }, "", ""), Err(OfferError::Empty));
    }
}
