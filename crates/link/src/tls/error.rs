//! Why a handshake failed, in words for the owner of the device, and whose fault it was. Never a secret.

use std::fmt;
use std::io;

use landfall_proto::psk::{DeviceHash, Identity, IdentityError, PskType};
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode};

use super::offer::Offer;

/// OpenSSL's number for its TLS part (`ERR_LIB_SSL`).
const LIB_SSL: i32 = 20;
/// Reasons of `openssl/sslerr.h`. Those from 1000 on are alerts that the peer sent: 1000 and the alert's number.
mod reason {
    pub(super) const CERTIFICATE_VERIFY_FAILED: i32 = 134;
    pub(super) const HTTPS_PROXY_REQUEST: i32 = 155;
    pub(super) const HTTP_REQUEST: i32 = 156;
    pub(super) const VERSION_TOO_HIGH: i32 = 166;
    pub(super) const NO_SHARED_CIPHER: i32 = 193;
    pub(super) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(super) const WRONG_VERSION_NUMBER: i32 = 267;
    pub(super) const BAD_RECORD_MAC: i32 = 281;
    pub(super) const UNEXPECTED_EOF: i32 = 294;
    pub(super) const VERSION_TOO_LOW: i32 = 396;
    pub(super) const ALERTS: std::ops::RangeInclusive<i32> = 1000..=1255;
}

/// How far a handshake had come when the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The peer had not finished its first message.
    BeforeHello,
    /// We had answered its hello, with our certificate if we have one.
    AfterHello,
    /// It had named its psk identity.
    AfterIdentity(DeviceHash),
}

/// Why there is no key for a psk identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownIdentity {
    /// No identity of a device.
    #[error("{0}")]
    Malformed(IdentityError),
    /// A device whose psk key we don't hold.
    #[error("no psk key is known for the device {0:?}")]
    NoKey(DeviceHash),
}

/// An alert that the peer sent instead of going on (RFC 5246 7.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert(pub u8);

impl Alert {
    /// Its name in the standard.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            90 => "user_canceled",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            115 => "unknown_psk_identity",
            _ => return None,
        })
    }

    /// Whether it says that our certificate was not taken.
    pub const fn is_about_certificate(self) -> bool {
        matches!(self.0, 42..=46 | 48)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Our side can't be set up: settings, files, memory.
    #[error("{what}{}{why}", if .why.is_empty() { "" } else { ": " })]
    Setup {
        /// What is wrong.
        what: &'static str,
        /// OpenSSL's words; may be empty.
        why: String,
    },
    /// The two ends computed from different keys (bad record MAC).
    #[error("{}", wrong_key(*.kind, *.device))]
    WrongKey {
        /// The identity's type.
        kind: PskType,
        /// Which device it claims to be.
        device: DeviceHash,
    },
    /// No key for the client's identity.
    #[error("the psk identity is unknown: {0}")]
    UnknownIdentity(UnknownIdentity),
    /// Nothing that both can speak.
    #[error("no cipher suite in common; the client offers {offer}")]
    NoCommonSuite {
        /// What the client offered.
        offer: Offer,
    },
    /// Not TLS 1.2.
    #[error("no TLS version in common: we speak TLS 1.2, the client offers {offer}")]
    Version {
        /// What the client offered.
        offer: Offer,
    },
    /// Something else than TLS arrived.
    #[error("this is not TLS: the peer speaks {}", if *.http { "HTTP in clear" } else { "another protocol" })]
    NotTls {
        /// It looks like HTTP.
        http: bool,
    },
    /// The peer went away.
    #[error("{}", closed(*.when, *.certificate))]
    Closed {
        /// How far it had come.
        when: Moment,
        /// Whether it may have been shown our certificate.
        certificate: bool,
    },
    /// The peer does not trust our certificate.
    #[error(
        "the device refused our certificate ({0}): it does not trust our authority, or not for this name"
    )]
    CertificateRefused(Alert),
    /// The peer ended the handshake with another alert.
    #[error("the peer refused the handshake: {0}")]
    Refused(Alert),
    /// We don't trust the server's certificate (client side).
    #[error("the server's certificate is not to be trusted: {why}")]
    Untrusted {
        /// OpenSSL's words.
        why: String,
    },
    /// The peer sent what no TLS peer sends.
    #[error("the peer broke the TLS protocol: {what}")]
    Broken {
        /// OpenSSL's words.
        what: String,
    },
    /// The stream below failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// What the server's side saw before it failed.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) offer: Option<Offer>,
    pub(super) identity: Option<Result<Identity, UnknownIdentity>>,
}

impl TlsError {
    pub(super) fn setup(what: &'static str, e: &ErrorStack) -> Self {
        Self::Setup { what, why: reason_of(e) }
    }

    /// A stable word for statistics and records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Setup { .. } => "tls.setup",
            Self::WrongKey { .. } => "tls.psk_key",
            Self::UnknownIdentity(_) => "tls.psk_identity",
            Self::NoCommonSuite { .. } => "tls.suite",
            Self::Version { .. } => "tls.version",
            Self::NotTls { .. } => "tls.not_tls",
            Self::Closed { .. } => "tls.closed",
            Self::CertificateRefused(_) => "tls.certificate",
            Self::Refused(_) => "tls.alert",
            Self::Untrusted { .. } => "tls.untrusted",
            Self::Broken { .. } => "tls.protocol",
            Self::Io(_) => "tls.io",
        }
    }

    /// Which device the peer claimed to be, if it came that far.
    pub const fn device(&self) -> Option<DeviceHash> {
        match self {
            Self::WrongKey { device, .. }
            | Self::UnknownIdentity(UnknownIdentity::NoKey(device))
            | Self::Closed { when: Moment::AfterIdentity(device), .. } => Some(*device),
            _ => None,
        }
    }

    /// A failure on the server's side.
    pub(super) fn of_server(e: &ssl::Error, noted: Noted, certificate: bool) -> Self {
        let known = noted.identity.as_ref().and_then(|i| i.as_ref().ok());
        let when = match (&noted.offer, known) {
            (_, Some(identity)) => Moment::AfterIdentity(identity.device()),
            (Some(_), None) => Moment::AfterHello,
            (None, None) => Moment::BeforeHello,
        };
        if let Some(Err(why)) = noted.identity {
            return Self::UnknownIdentity(why);
        }
        match (Found::of(e), noted.offer) {
            (Found::Closed, _) => Self::Closed { when, certificate: certificate && known.is_none() },
            (Found::Io(kind), _) => Self::Io(kind.into()),
            (Found::Reason(reason::BAD_RECORD_MAC), offer) => match known {
                Some(identity) => Self::WrongKey { kind: identity.kind(), device: identity.device() },
                None => Self::Broken { what: described(e, offer.as_ref()) },
            },
            (Found::Reason(reason::NO_SHARED_CIPHER), Some(offer)) => Self::NoCommonSuite { offer },
            (
                Found::Reason(
                    reason::UNSUPPORTED_PROTOCOL | reason::VERSION_TOO_HIGH | reason::VERSION_TOO_LOW,
                ),
                Some(offer),
            ) => Self::Version { offer },
            (Found::Reason(reason::HTTP_REQUEST | reason::HTTPS_PROXY_REQUEST), None) => {
                Self::NotTls { http: true }
            }
            (Found::Reason(reason::WRONG_VERSION_NUMBER), None) => Self::NotTls { http: false },
            (Found::Reason(code), _) if reason::ALERTS.contains(&code) => Self::of_alert(code),
            (Found::Reason(_) | Found::Nothing, offer) => Self::Broken { what: described(e, offer.as_ref()) },
        }
    }

    /// A failure on the client's side.
    pub(super) fn of_client(e: &ssl::Error, verdict: Option<&str>) -> Self {
        match Found::of(e) {
            Found::Closed => Self::Closed { when: Moment::AfterHello, certificate: false },
            Found::Io(kind) => Self::Io(kind.into()),
            Found::Reason(reason::CERTIFICATE_VERIFY_FAILED) => {
                Self::Untrusted { why: verdict.unwrap_or("openssl does not say why").to_owned() }
            }
            Found::Reason(reason::WRONG_VERSION_NUMBER | reason::HTTP_REQUEST) => {
                Self::NotTls { http: false }
            }
            Found::Reason(code) if reason::ALERTS.contains(&code) => Self::of_alert(code),
            Found::Reason(_) | Found::Nothing => Self::Broken { what: described(e, None) },
        }
    }

    fn of_alert(code: i32) -> Self {
        let alert = Alert(u8::try_from(code - reason::ALERTS.start()).unwrap_or(u8::MAX));
        if alert.is_about_certificate() { Self::CertificateRefused(alert) } else { Self::Refused(alert) }
    }
}

/// What OpenSSL's error comes down to.
enum Found {
    Closed,
    Io(io::ErrorKind),
    Reason(i32),
    Nothing,
}

impl Found {
    fn of(e: &ssl::Error) -> Self {
        if let Some(e) = e.io_error() {
            return match e.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Self::Closed,
                kind => Self::Io(kind),
            };
        }
        let first =
            e.ssl_error().and_then(|stack| stack.errors().iter().find(|e| e.library_code() == LIB_SSL));
        match (first.map(openssl::error::Error::reason_code), e.code()) {
            (Some(reason::UNEXPECTED_EOF), _) | (None, ErrorCode::ZERO_RETURN | ErrorCode::SYSCALL) => {
                Self::Closed
            }
            (Some(code), _) => Self::Reason(code),
            (None, _) => Self::Nothing,
        }
    }
}

fn described(e: &ssl::Error, offer: Option<&Offer>) -> String {
    let what = e.ssl_error().map_or_else(|| "openssl does not say how".to_owned(), reason_of);
    match offer {
        Some(offer) => format!("{what} (the client offered {offer})"),
        None => what,
    }
}

/// The reason of the first error, without OpenSSL's file names and numbers.
fn reason_of(stack: &ErrorStack) -> String {
    let first = stack.errors().iter().find_map(openssl::error::Error::reason);
    first.unwrap_or("openssl does not say why").to_owned()
}

fn wrong_key(kind: PskType, device: DeviceHash) -> String {
    match kind {
        PskType::Two => format!(
            "the device {device:?} (psk identity of type 2) uses another psk key than the one we hold for it (bad record MAC)"
        ),
        PskType::One => format!(
            "the device {device:?} (psk identity of type 1) made another key from our hint than we did (bad record MAC)"
        ),
    }
}

fn closed(when: Moment, certificate: bool) -> String {
    match when {
        Moment::BeforeHello => "the peer closed the connection before it had said hello".to_owned(),
        Moment::AfterHello if certificate => {
            "the peer closed the connection after our hello, as devices do that \
             do not trust our certificate"
                .to_owned()
        }
        Moment::AfterHello => "the peer closed the connection after our hello".to_owned(),
        Moment::AfterIdentity(device) => {
            format!("the device {device:?} closed the connection before the handshake was finished")
        }
    }
}
