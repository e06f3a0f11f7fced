//! Calls of devices (cloud.md 2.1 to 2.4): `POST /gw.json?a=...&sign=...` with the body `data=HEX`.

use std::fmt;

use super::{Action, Encryption, Key, clipped, without_nuls};
use crate::Entropy;
use crate::crypto::{self, BLOCK, Ecb, Gcm, NONCE, TAG};
use crate::id::{DeviceId, Uuid};

/// Longest target that is read. Devices make 255 bytes at most.
pub const MAX_TARGET: usize = 4096;
/// Longest body that is read.
pub const MAX_BODY: usize = 128 * 1024;
/// Most parameters that are read; devices send eight.
const MAX_PARAMETERS: usize = 32;
/// Clock readings below this, September 2001, count from power-on.
const FIRST_EPOCH: u64 = 1_000_000_000;

/// Which of the two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// `/gw.json`: generations A and B.
    Gw,
    /// `/d.json`: C and later.
    D,
}

impl Path {
    /// As it stands in the target.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gw => "/gw.json",
            Self::D => "/d.json",
        }
    }
}

/// Which key a request is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The auth key: before the activation, and whenever the device names its uuid.
    Auth,
    /// The sec key.
    Sec,
}

/// Why a request was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Another path.
    #[error("{0:?} is not a path of the gateway")]
    ForeignPath(String),
    /// Longer than any real one.
    #[error("a {what} of {len} bytes, more than {max}")]
    TooLong {
        /// Target or body.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// More parameters than any real one has.
    #[error("more than {MAX_PARAMETERS} parameters")]
    TooManyParameters,
    /// A name twice: which of them counts would be anybody's guess.
    #[error("the parameter {0:?} comes twice")]
    Repeated(String),
    /// No `a`.
    #[error("the request names no action")]
    NoAction,
    /// A value that cannot be.
    #[error("the parameter {name} cannot be {value:?}")]
    BadParameter {
        /// Its name.
        name: &'static str,
        /// Its value, cut short.
        value: String,
    },
    /// The body is no text.
    #[error("the body is not a form")]
    BodyNotForm,
}

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the request is not signed")]
    Missing,
    /// It is another key's, or the parameters were altered.
    #[error("the signature is not by this key")]
    Mismatch,
}

/// Why a body was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not hex digits.
    #[error("the data is not hex")]
    NotHex,
    /// No whole number of blocks, or too short for nonce and tag.
    #[error("data of {0} bytes cannot be")]
    Length(usize),
    /// Sound, but not under this key.
    #[error("the data is not under this key")]
    WrongKey,
}

/// A call as a server gets it. Nothing in it is proven before [`Request::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Path.
    pub path: Path,
    /// What is called.
    pub action: Action,
    /// Version of the call; some have none.
    pub version: Option<String>,
    /// `gwId`.
    pub gw_id: Option<DeviceId>,
    /// `devId`.
    pub dev_id: Option<DeviceId>,
    /// `uuid`.
    pub uuid: Option<Uuid>,
    /// The device's clock, seconds. It may count from power-on and must not be a reason to refuse (cloud.md 2.6).
    pub t: Option<u64>,
    /// How body and answer are encrypted.
    pub encryption: Encryption,
    /// `other`: JSON text, as it stands.
    pub other: Option<String>,
    parameters: Vec<(String, String)>,
    data: Option<String>,
}

impl Request {
    /// Understands a target (`/gw.json?a=...`, or with scheme and host before it) and a body. Parameters may stand in
    /// either; values are taken as they are, since devices don't escape anything.
    ///
    /// # Errors
    /// Another path, no action, an impossible or repeated parameter, or longer than any real request.
    pub fn parse(target: &str, body: &[u8]) -> Result<Self, RequestError> {
        let too_long = |what, len, max| Err(RequestError::TooLong { what, len, max });
        if target.len() > MAX_TARGET {
            return too_long("target", target.len(), MAX_TARGET);
        }
        if body.len() > MAX_BODY {
            return too_long("body", body.len(), MAX_BODY);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path_of(path)?;
        let body = std::str::from_utf8(without_nuls(body)).map_err(|_| RequestError::BodyNotForm)?;
        let mut parameters = Vec::with_capacity(8);
        let mut data = None;
        for (text, in_body) in [(query, false), (body.trim(), true)] {
            for pair in text.split('&').filter(|p| !p.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let seen = parameters.iter().any(|(n, _): &(String, String)| n == name);
                if seen || (name == "data" && data.is_some()) {
                    return Err(RequestError::Repeated(clipped(name)));
                }
                if name == "data" && in_body {
                    data = Some(value.to_owned());
                } else if parameters.len() == MAX_PARAMETERS {
                    return Err(RequestError::TooManyParameters);
                } else {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Self::from_parameters(path, parameters, data)
    }

    fn from_parameters(
        path: Path,
        parameters: Vec<(String, String)>,
        data: Option<String>,
    ) -> Result<Self, RequestError> {
        let value = |name: &str| {
            parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
        };
        let bad = |name, value: &str| RequestError::BadParameter { name, value: clipped(value) };
        let id = |name| value(name).map(|v| DeviceId::new(v).map_err(|_| bad(name, v))).transpose();
        let action = value("a").ok_or(RequestError::NoAction)?;
        let encryption = match value("et") {
            None => Encryption::AnswerClear,
            Some("1") => Encryption::Ecb,
            Some("3") => Encryption::Gcm,
            Some(other) => return Err(bad("et", other)),
        };
        Ok(Self {
            path,
            action: Action::new(action).ok_or_else(|| bad("a", action))?,
            version: value("v").map(clipped),
            gw_id: id("gwId")?,
            dev_id: id("devId")?,
            uuid: value("uuid").map(|v| Uuid::new(v).map_err(|_| bad("uuid", v))).transpose()?,
            t: value("t").map(|v| v.parse().map_err(|_| bad("t", v))).transpose()?,
            encryption,
            other: value("other").map(str::to_owned),
            parameters,
            data,
        })
    }

    /// The device, by `devId` or `gwId`.
    pub fn device(&self) -> Option<&DeviceId> {
        self.dev_id.as_ref().or(self.gw_id.as_ref())
    }

    /// Which key it should be under (cloud.md 2.3). A server that has the other one may try that too.
    pub fn key_kind(&self) -> KeyKind {
        match (&self.dev_id, &self.gw_id) {
            (Some(_), _) => KeyKind::Sec,
            (None, Some(_)) if !self.action.precedes_activation() => KeyKind::Sec,
            _ => KeyKind::Auth,
        }
    }

    /// Whether `t` counts from power-on: the device has no clock yet.
    pub fn t_is_uptime(&self) -> bool {
        self.t.is_some_and(|t| t < FIRST_EPOCH)
    }

    /// Checks the signature, in constant time. It covers the parameters, not the body.
    ///
    /// # Errors
    /// No signature, or not this key's.
    pub fn verify(&self, key: &Key) -> Result<(), SignatureError> {
        let sign = self.parameters.iter().find(|(n, _)| n == "sign").map(|(_, v)| v.as_bytes());
        let sign = sign.filter(|s| !s.is_empty()).ok_or(SignatureError::Missing)?;
        let parameters = self.parameters.iter().filter(|(n, _)| n != "sign");
        let ours = signature(parameters.map(|(n, v)| (n.as_str(), v.as_str())).collect(), key);
        if crypto::same(&ours, sign) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    /// Whether there is a body to open.
    pub fn has_body(&self) -> bool {
        self.data.as_ref().is_some_and(|d| !d.is_empty())
    }

    /// Decrypts the body: a JSON text, without trailing NULs. Empty for calls without one.
    ///
    /// # Errors
    /// Not hex, an impossible length, or another key.
    pub fn open_body(&self, key: &Key) -> Result<Vec<u8>, BodyError> {
        let Some(data) = self.data.as_ref().filter(|d| !d.is_empty()) else { return Ok(Vec::new()) };
        let mut bytes = crypto::unhex(data.as_bytes()).ok_or(BodyError::NotHex)?;
        open(self.encryption, key, &mut bytes)
    }
}

fn path_of(text: &str) -> Result<Path, RequestError> {
    // Absolute form: scheme, host, path.
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => text,
    };
    match path {
        "/gw.json" => Ok(Path::Gw),
        "/d.json" => Ok(Path::D),
        other => Err(RequestError::ForeignPath(clipped(other))),
    }
}

/// Lower-case hex of MD5(`k1=v1||k2=v2||...||` key), names ascending.
fn signature(mut parameters: Vec<(&str, &str)>, key: &Key) -> [u8; 32] {
    parameters.sort_unstable();
    let mut parts: Vec<&[u8]> = Vec::with_capacity(parameters.len() * 4 + 1);
    for (name, value) in &parameters {
        parts.extend([name.as_bytes(), b"=", value.as_bytes(), b"||"]);
    }
    parts.push(key.text());
    crypto::hex(&crypto::md5(&parts))
}

/// A call as a device makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Path.
    pub path: Path,
    /// What is called.
    pub action: Action,
    /// Version of the call; some have none.
    pub version: Option<String>,
    /// `gwId`.
    pub gw_id: Option<DeviceId>,
    /// `devId`.
    pub dev_id: Option<DeviceId>,
    /// `uuid`.
    pub uuid: Option<Uuid>,
    /// The device's clock, seconds; since power-on before the first answer.
    pub t: u64,
    /// How body and answer are encrypted.
    pub encryption: Encryption,
    /// `other`: JSON text, not escaped.
    pub other: Option<String>,
}

impl Call {
    /// A call that names nobody yet; fill in `gw_id`, `dev_id` or `uuid`.
    pub const fn new(path: Path, action: Action, t: u64, encryption: Encryption) -> Self {
        Self {
            path,
            action,
            version: None,
            gw_id: None,
            dev_id: None,
            uuid: None,
            t,
            encryption,
            other: None,
        }
    }

    /// The target, signed: names ascending, `sign` last.
    pub fn target(&self, key: &Key) -> String {
        let t = self.t.to_string();
        let all = [
            ("a", Some(self.action.as_str())),
            ("devId", self.dev_id.as_ref().map(DeviceId::as_str)),
            ("et", self.encryption.et()),
            ("gwId", self.gw_id.as_ref().map(DeviceId::as_str)),
            ("other", self.other.as_deref()),
            ("t", Some(t.as_str())),
            ("uuid", self.uuid.as_ref().map(Uuid::as_str)),
            ("v", self.version.as_deref()),
        ];
        let given: Vec<(&str, &str)> = all.into_iter().filter_map(|(n, v)| Some((n, v?))).collect();
        let mut target = format!("{}?", self.path.as_str());
        for (name, value) in &given {
            target.extend([name, "=", value, "&"]);
        }
        target.push_str("sign=");
        target.extend(signature(given, key).iter().map(|b| char::from(*b)));
        target
    }

    /// The body for a JSON text: `data=` and upper-case hex. Calls without data (`s.gw.reset`) send no body at all.
    /// Entropy is taken for `et=3` only, 12 bytes.
    pub fn form(&self, key: &Key, json: &[u8], entropy: &mut dyn Entropy) -> String {
        let mut form = "data=".to_owned();
        crypto::hex_upper(&seal(self.encryption, key, json, entropy), &mut form);
        form
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.as_str(), self.action)
    }
}

/// ECB with padding, or for GCM nonce, cipher and tag.
pub(super) fn seal(encryption: Encryption, key: &Key, json: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
    let cipher = key.cipher();
    let mut out = Vec::with_capacity(NONCE + json.len() + TAG);
    if encryption == Encryption::Gcm {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(json);
        let tag = Gcm::new(&cipher).seal(nonce, &[], &mut out[NONCE..]);
        out.extend_from_slice(&tag);
    } else {
        out.extend_from_slice(json);
        Ecb::new(&cipher).seal(&mut out, 0);
    }
    out
}

/// The opposite of [`seal`]; the result starts with a brace.
pub(super) fn open(encryption: Encryption, key: &Key, bytes: &mut [u8]) -> Result<Vec<u8>, BodyError> {
    let (len, cipher) = (bytes.len(), key.cipher());
    let plain: &[u8] = if encryption == Encryption::Gcm {
        let Some((nonce, sealed)) = bytes.split_first_chunk_mut::<NONCE>().filter(|(_, s)| s.len() >= TAG)
        else {
            return Err(BodyError::Length(len));
        };
        Gcm::new(&cipher).open(*nonce, &[], sealed).ok_or(BodyError::WrongKey)?
    } else {
        if len == 0 || !len.is_multiple_of(BLOCK) {
            return Err(BodyError::Length(len));
        }
        let n = Ecb::new(&cipher).open(bytes).ok_or(BodyError::WrongKey)?;
        &bytes[..n]
    };
    let text = without_nuls(plain);
    // A padding fits a wrong key now and then; the brace makes it rare, the signature tells for certain.
    if text.first() == Some(&b'{') { Ok(text.to_vec()) } else { Err(BodyError::WrongKey) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AuthKey, SecKey};

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn sec() -> Key {
        SecKey::new("5ec0123456789abc").unwrap().into()
    }

    fn auth() -> Key {
        AuthKey::new("Abcdefgh01234567Ijklmnop89abcdef").unwrap().into()
    }

    fn call(encryption: Encryption) -> Call {
        let action = Action::new("s.gw.token.get").unwrap();
        Call {
            version: Some("3.0".into()),
            gw_id: DeviceId::new("01234567a1b2c3d4e5f6").ok(),
            other: Some(r#"{"token":"00000000","tlinkStat":{"source":"ap=1"}}"#.into()),
            ..Call::new(Path::Gw, action, 7, encryption)
        }
    }

    #[test]
    fn what_is_built_is_understood_with_raw_braces() {
        for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
            let call = call(encryption);
            let target = call.target(&auth());
            let json = br#"{"productKey":"keytest0pid00001"}"#;
            let body = call.form(&auth(), json, &mut Zeros);
            let request = Request::parse(&target, body.as_bytes()).unwrap();
            assert_eq!((request.encryption, &request.other), (encryption, &call.other));
            assert_eq!((request.key_kind(), request.t_is_uptime()), (KeyKind::Auth, true));
            assert_eq!(request.verify(&auth()), Ok(()));
            assert_eq!(request.open_body(&auth()), Ok(json.to_vec()));
            assert_eq!(request.verify(&sec()), Err(SignatureError::Mismatch));
            assert_eq!(request.open_body(&sec()), Err(BodyError::WrongKey));
            // Lower case, a line end and a trailing NUL do no harm.
            let sloppy = format!("{}\r\n\0", body.to_lowercase());
            let request = Request::parse(&format!("http://a.tuyaus.com{target}"), sloppy.as_bytes()).unwrap();
            assert_eq!(request.open_body(&auth()), Ok(json.to_vec()));
        }
    }

    #[test]
    fn any_changed_parameter_breaks_the_signature() {
        let target = call(Encryption::Ecb).target(&auth());
        for (from, to) in
            [("t=7", "t=8"), ("01234567a", "01234567b"), ("3.0", "3.1"), ("&et=1", ""), ("00000000", "1")]
        {
            assert!(target.contains(from));
            let request = Request::parse(&target.replacen(from, to, 1), b"").unwrap();
            assert_eq!(request.verify(&auth()), Err(SignatureError::Mismatch), "{from}");
        }
        let (unsigned, _) = target.rsplit_once("&sign=").unwrap();
        assert_eq!(Request::parse(unsigned, b"").unwrap().verify(&auth()), Err(SignatureError::Missing));
        let added = Request::parse(&format!("{target}&x=1"), b"").unwrap();
        assert_eq!(added.verify(&auth()), Err(SignatureError::Mismatch));
        let in_body = Request::parse(&target, b"x=1&data=00").unwrap();
        assert_eq!(in_body.verify(&auth()), Err(SignatureError::Mismatch));
    }

    #[test]
    fn keys_are_told_by_who_is_named() {
        let kind = |target: &str| Request::parse(target, b"").unwrap().key_kind();
        assert_eq!(kind("/d.json?a=tuya.device.active&uuid=vt0a"), KeyKind::Auth);
        assert_eq!(kind("/d.json?a=tuya.device.uuid.pskkey.get&uuid=vt0a"), KeyKind::Auth);
        assert_eq!(kind("/d.json?a=tuya.device.reset&devId=bf01"), KeyKind::Sec);
        assert_eq!(kind("/gw.json?a=s.gw.update&gwId=01"), KeyKind::Sec);
        assert_eq!(kind("/gw.json?a=s.gw.dev.fk.active&gwId=01"), KeyKind::Auth);
    }

    #[test]
    fn what_is_no_request_says_why() {
        let why = |target: &str, body: &[u8]| Request::parse(target, body).unwrap_err();
        assert_eq!(why("/generate_204", b""), RequestError::ForeignPath("/generate_204".into()));
        assert_eq!(why("", b""), RequestError::ForeignPath(String::new()));
        assert_eq!(why("http://host", b""), RequestError::ForeignPath(String::new()));
        assert_eq!(why("/d.json", b""), RequestError::NoAction);
        assert_eq!(why("/d.json?a=", b""), RequestError::NoAction);
        assert_eq!(why("/d.json?a=x&a=y", b""), RequestError::Repeated("a".into()));
        assert_eq!(why("/d.json?a=x", b"a=y"), RequestError::Repeated("a".into()));
        assert_eq!(why("/d.json?a=x", b"data=00&data=01"), RequestError::Repeated("data".into()));
        assert_eq!(why("/d.json?a=x", b"\xff"), RequestError::BodyNotForm);
        for (target, name) in [
            ("/d.json?a=x%20y", "a"),
            ("/d.json?a=x&et=2", "et"),
            ("/d.json?a=x&t=soon", "t"),
            ("/d.json?a=x&t=-1", "t"),
            ("/d.json?a=x&devId=../etc", "devId"),
            ("/d.json?a=x&gwId=a#", "gwId"),
            ("/d.json?a=x&uuid=a%00", "uuid"),
        ] {
            let e = why(target, b"");
            assert!(matches!(&e, RequestError::BadParameter { name: n, .. } if *n == name), "{e}");
        }
        let many: String = (0..40).map(|i| format!("&p{i}=1")).collect();
        assert_eq!(why(&format!("/d.json?a=x{many}"), b""), RequestError::TooManyParameters);
        let long = format!("/d.json?a=x&other={}", "o".repeat(MAX_TARGET));
        assert!(matches!(why(&long, b""), RequestError::TooLong { what: "target", .. }));
        assert!(matches!(
            why("/d.json?a=x", &vec![b'0'; MAX_BODY + 1]),
            RequestError::TooLong { what: "body", .. }
        ));
    }

    #[test]
    fn bodies_that_cannot_be_say_why() {
        let open = |et: &str, data: &str| {
            let request =
                Request::parse(&format!("/d.json?a=x{et}"), format!("data={data}").as_bytes()).unwrap();
            request.open_body(&sec())
        };
        assert_eq!(open("", ""), Ok(Vec::new()));
        assert_eq!(open("", "0"), Err(BodyError::NotHex));
        assert_eq!(open("", "zz"), Err(BodyError::NotHex));
        assert_eq!(open("", "00"), Err(BodyError::Length(1)));
        assert_eq!(open("&et=3", &"00".repeat(27)), Err(BodyError::Length(27)));
        assert_eq!(open("&et=3", &"00".repeat(28)), Err(BodyError::WrongKey));
        assert_eq!(open("&et=1", &"00".repeat(16)), Err(BodyError::WrongKey));
    }
}
