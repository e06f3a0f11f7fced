//! What a client offered in its hello: the first thing to look at when a handshake finds no common ground.

use std::fmt;

use openssl::ssl::SslRef;

use super::ffi;

/// As many suites are kept of a hello; real ones have up to some 130, devices below 20.
const KEPT: usize = 48;
/// Extension `supported_versions` (RFC 8446 4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;
/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` and `TLS_FALLBACK_SCSV`: signals, no suites.
const SIGNALS: [u16; 2] = [0x00FF, 0x5600];

/// Names of suites that devices offer or that explain why they don't fit, as OpenSSL writes them.
const NAMES: &[(u16, &str)] = &[
    (0x002F, "AES128-SHA"),
    (0x0035, "AES256-SHA"),
    (0x003C, "AES128-SHA256"),
    (0x003D, "AES256-SHA256"),
    (0x008C, "PSK-AES128-CBC-SHA"),
    (0x008D, "PSK-AES256-CBC-SHA"),
    (0x009C, "AES128-GCM-SHA256"),
    (0x009D, "AES256-GCM-SHA384"),
    (0x00A8, "PSK-AES128-GCM-SHA256"),
    (0x00A9, "PSK-AES256-GCM-SHA384"),
    (0x00AE, "PSK-AES128-CBC-SHA256"),
    (0x00AF, "PSK-AES256-CBC-SHA384"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xC009, "ECDHE-ECDSA-AES128-SHA"),
    (0xC00A, "ECDHE-ECDSA-AES256-SHA"),
    (0xC013, "ECDHE-RSA-AES128-SHA"),
    (0xC014, "ECDHE-RSA-AES256-SHA"),
    (0xC023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xC024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xC027, "ECDHE-RSA-AES128-SHA256"),
    (0xC028, "ECDHE-RSA-AES256-SHA384"),
    (0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xC02C, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xC02F, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xC030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xC037, "ECDHE-PSK-AES128-CBC-SHA256"),
    (0xC0A4, "PSK-AES128-CCM"),
    (0xC0A8, "PSK-AES128-CCM8"),
    (0xCCA8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0xCCA9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xCCAB, "PSK-CHACHA20-POLY1305"),
];

/// The number of a cipher suite. Prints as OpenSSL's name, or in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite(pub u16);

impl Suite {
    /// `TLS_PSK_WITH_AES_128_CBC_SHA256`, the suite of PSK devices (cloud.md 3.1).
    pub const PSK_AES128_CBC_SHA256: Self = Self(0x00AE);

    /// Its name, if it is one that devices are known to offer.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
    }

    /// Whether it is a plain or mixed PSK suite of those known by name.
    pub fn is_psk(self) -> bool {
        self.name().is_some_and(|name| name.contains("PSK"))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04X}", self.0),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A version of TLS as it travels: 0x0303 is TLS 1.2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(pub u16);

impl Version {
    /// The only one that we speak.
    pub const TLS1_2: Self = Self(0x0303);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0002 => f.write_str("SSL 2"),
            0x0300 => f.write_str("SSL 3"),
            minor @ 0x0301..=0x0304 => write!(f, "TLS 1.{}", minor - 0x0301),
            other => write!(f, "version 0x{other:04X}"),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client's hello offered.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Offer {
    /// Versions, the highest first. Clients before TLS 1.3 name their highest only.
    pub versions: Vec<Version>,
    /// Suites in the client's order, the first 48.
    pub suites: Vec<Suite>,
    /// How many more suites there were.
    pub more: usize,
}

impl Offer {
    /// Reads it inside the client hello callback.
    pub(super) fn of(ssl: &SslRef) -> Self {
        let legacy = ssl.client_hello_legacy_version();
        let legacy = legacy.map_or(Version::default(), |v| Version(version_number(v)));
        let versions = ffi::client_hello_extension(ssl, SUPPORTED_VERSIONS).unwrap_or_default();
        Self::from_wire(legacy, versions, ssl.client_hello_ciphers().unwrap_or_default())
    }

    /// From the hello's version, the content of `supported_versions` (empty if absent) and the suites.
    fn from_wire(legacy: Version, versions: &[u8], suites: &[u8]) -> Self {
        let numbers = |bytes: &[u8]| -> Vec<u16> {
            let pairs = bytes.chunks_exact(2);
            pairs.map(|b| u16::from_be_bytes([b[0], b[1]])).filter(|n| !is_grease(*n)).collect()
        };
        // One byte of length stands before the versions.
        let mut versions: Vec<Version> =
            numbers(versions.get(1..).unwrap_or_default()).into_iter().take(KEPT).map(Version).collect();
        if versions.is_empty() {
            versions.push(legacy);
        }
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions.dedup();
        let mut suites: Vec<Suite> =
            numbers(suites).into_iter().filter(|n| !SIGNALS.contains(n)).map(Suite).collect();
        let more = suites.len().saturating_sub(KEPT);
        suites.truncate(KEPT);
        suites.shrink_to_fit();
        Self { versions, suites, more }
    }

    /// Whether TLS 1.2 is among the versions. A client that names only its highest one speaks the older ones too, as far
    /// as anybody can tell.
    pub fn has_tls1_2(&self) -> bool {
        self.versions.contains(&Version::TLS1_2)
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, version) in self.versions.iter().enumerate() {
            write!(f, "{}{version}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(" with ")?;
        if self.suites.is_empty() {
            f.write_str("no suite")?;
        }
        for (i, suite) in self.suites.iter().enumerate() {
            write!(f, "{}{suite}", if i == 0 { "" } else { ", " })?;
        }
        match self.more {
            0 => Ok(()),
            n => write!(f, " and {n} more"),
        }
    }
}

/// Numbers that clients strew in to keep servers tolerant (RFC 8701): 0x0A0A, 0x1A1A...
const fn is_grease(n: u16) -> bool {
    n & 0x0F0F == 0x0A0A && n >> 8 == n & 0xFF
}

/// The number behind OpenSSL's type, which does not tell it.
fn version_number(version: openssl::ssl::SslVersion) -> u16 {
    use openssl::ssl::SslVersion as V;
    match version {
        V::SSL3 => 0x0300,
        V::TLS1 => 0x0301,
        V::TLS1_1 => 0x0302,
        V::TLS1_2 => 0x0303,
        V::TLS1_3 => 0x0304,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_reads_as_people_know_it() {
        let offer =
            Offer::from_wire(Version(0x0301), &[], &[0x00, 0xAE, 0x00, 0xFF, 0x3A, 0x3A, 0xEE, 0x01, 7]);
        assert_eq!(offer.to_string(), "TLS 1.0 with PSK-AES128-CBC-SHA256, 0xEE01");
        assert!(!offer.has_tls1_2());
        assert!(offer.suites[0].is_psk() && !offer.suites[1].is_psk());

        let offer = Offer::from_wire(Version::TLS1_2, &[4, 3, 3, 3, 4], &[]);
        assert_eq!(offer.to_string(), "TLS 1.3, TLS 1.2 with no suite");
        assert!(offer.has_tls1_2());
        // Odd and empty lengths.
        assert_eq!(Offer::from_wire(Version::TLS1_2, &[1, 3], &[]).versions, [Version::TLS1_2]);
        assert_eq!(Offer::from_wire(Version(0x0304), &[0], &[]).versions, [Version(0x0304)]);
    }

    #[test]
    fn a_long_offer_is_cut() {
        let suites: Vec<u8> = (0..30_000_u16).flat_map(u16::to_be_bytes).collect();
        let offer = Offer::from_wire(Version(0x0002), &[], &suites);
        assert_eq!(offer.suites.len(), KEPT);
        assert!(offer.more > 29_000);
        assert!(offer.to_string().starts_with("SSL 2 with 0x0000"), "{offer}");
        assert!(offer.to_string().ends_with(" more"), "{offer}");
    }

    #[test]
    fn names_are_sorted_and_single() {
        assert!(NAMES.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
