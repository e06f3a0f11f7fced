//! Answers of the gateway (cloud.md 2.5 and 2.7).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::request::{open, seal};
use super::{Encryption, Key, clipped, without_nuls};
use crate::json::{self, Raw};
use crate::{Entropy, crypto};

/// Longest answer that is read. Devices take 8 KiB at most (sdk-observed.md 1).
pub const MAX_REPLY: usize = 64 * 1024;

/// Why a call failed. An unknown code survives and prints.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(Box<str>);

impl ErrorCode {
    /// The call is not possible as it was made. Devices log it, and the call fails.
    pub const ILLEGAL_PARAM: &str = "ILLEGAL_PARAM";
    /// The token is used up or unknown: pairing starts again.
    pub const EXPIRE: &str = "EXPIRE";
    /// The activation fails; SDK devices try again every second.
    pub const FIRMWARE_NOT_MATCH: &str = "FIRMWARE_NOT_MATCH";

    /// Codes at which devices forget their owner (cloud.md 1.7, 2.7).
    const UNBINDING: [&str; 4] =
        ["GATEWAY_NOT_EXISTS", "DEVICE_REMOVED", "DEVICE_HAS_RESET_FACTORY", "DEV_ID_ILLEGAL"];

    /// Takes a code.
    pub fn new(code: &str) -> Self {
        Self(clipped(code).into())
    }

    /// As it travels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether devices forget their owner at it.
    pub fn unbinds(&self) -> bool {
        Self::UNBINDING.contains(&self.as_str())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A failure that would make a device forget its owner was about to be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the error code {0} makes devices forget their owner and is never sent")]
pub struct UnbindingCode(pub ErrorCode);

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It succeeded. No result at all is something else than `null`: to a question for firmware it means "none", and
    /// an SDK crashes at anything else.
    Success(Option<Raw>),
    /// It failed.
    Failure {
        /// `errorCode`.
        code: ErrorCode,
        /// `errorMsg`.
        message: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The server's clock, seconds since 1970. Devices set theirs by it.
    pub t: u64,
    outcome: Outcome,
}

/// Whose rules a device reads answers by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Stock firmware: `t` and `sign` must be there and right; an answer in clear must say `"e":false`.
    Stock,
    /// The open SDKs: nothing is checked, and what does not decrypt may be in clear.
    Sdk,
}

/// Why an answer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Longer than any real one.
    #[error("an answer of {0} bytes, more than {MAX_REPLY}")]
    TooLong(usize),
    /// Not JSON, or without what an answer needs.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// No `sign`.
    #[error("the answer is not signed")]
    NotSigned,
    /// Not by our key, or altered.
    #[error("the signature of the answer is wrong")]
    BadSignature,
    /// In clear where it should be encrypted, without saying so.
    #[error("the answer is in clear and does not say so")]
    InClear,
    /// Signed by our key, if that was checked, but not encrypted with it.
    #[error("the answer is not under our key")]
    WrongKey,
}

/// The order is that of captured answers: result, t, success.
#[derive(Serialize)]
struct Inner<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Raw>,
    t: u64,
    success: bool,
}

/// The order of answers in clear: t, e, success, result.
#[derive(Serialize)]
struct Clear<'a> {
    t: u64,
    e: bool,
    success: bool,
    #[serde(flatten)]
    failure: Option<Failure<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Raw>,
}

#[derive(Serialize)]
struct Failure<'a> {
    #[serde(rename = "errorCode")]
    code: &'a str,
    #[serde(rename = "errorMsg")]
    message: &'a str,
}

#[derive(Serialize)]
struct FailedInner<'a> {
    success: bool,
    #[serde(flatten)]
    failure: Failure<'a>,
    t: u64,
}

#[derive(Serialize)]
struct Sealed<'a> {
    result: &'a str,
    t: u64,
    sign: &'a str,
}

/// Everything that any form of answer has.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(default, borrow, deserialize_with = "json::present")]
    result: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "json::whole")]
    t: Option<u64>,
    #[serde(default)]
    sign: Option<String>,
    #[serde(default)]
    e: Option<bool>,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default, rename = "errorCode", deserialize_with = "json::named")]
    error_code: Option<String>,
    #[serde(default, rename = "errorMsg", deserialize_with = "json::named")]
    error_message: Option<String>,
}

impl Reply {
    /// Success with a result.
    pub const fn success(t: u64, result: Raw) -> Self {
        Self { t, outcome: Outcome::Success(Some(result)) }
    }

    /// Success and nothing else: the answer to all that needs none, and to unknown actions (cloud.md 2.7).
    pub const fn done(t: u64) -> Self {
        Self { t, outcome: Outcome::Success(None) }
    }

    /// A failure.
    ///
    /// # Errors
    /// A code at which devices forget their owner.
    pub fn failure(t: u64, code: ErrorCode, message: &str) -> Result<Self, UnbindingCode> {
        if code.unbinds() {
            return Err(UnbindingCode(code));
        }
        Ok(Self { t, outcome: Outcome::Failure { code, message: message.to_owned() } })
    }

    /// As somebody else's cloud sent it, whatever it does to the device.
    pub(crate) const fn received(t: u64, outcome: Outcome) -> Self {
        Self { t, outcome }
    }

    /// How the call ended.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The body in clear, with `"e":false`: to calls without `et`, and to all others when the key is unknown.
    pub fn to_clear(&self) -> Vec<u8> {
        let (t, e) = (self.t, false);
        match &self.outcome {
            Outcome::Success(result) => {
                written(&Clear { t, e, success: true, failure: None, result: result.as_ref() })
            }
            Outcome::Failure { code, message } => {
                let failure = Some(Failure { code: code.as_str(), message });
                written(&Clear { t, e, success: false, failure, result: None })
            }
        }
    }

    /// The body in the form that a call with this encryption waits for. Entropy is taken for `et=3` only, 12 bytes.
    pub fn to_body(&self, encryption: Encryption, key: &Key, entropy: &mut dyn Entropy) -> Vec<u8> {
        if encryption == Encryption::AnswerClear {
            return self.to_clear();
        }
        let result = base64_simd::STANDARD.encode_to_string(seal(encryption, key, &self.inner(), entropy));
        let sign = signature(&result, self.t, key);
        written(&Sealed { result: &result, t: self.t, sign: std::str::from_utf8(&sign).unwrap_or("") })
    }

    fn inner(&self) -> Vec<u8> {
        match &self.outcome {
            Outcome::Success(result) => written(&Inner { result: result.as_ref(), t: self.t, success: true }),
            Outcome::Failure { code, message } => {
                let failure = Failure { code: code.as_str(), message };
                written(&FailedInner { success: false, failure, t: self.t })
            }
        }
    }

    /// Reads an answer (device side).
    ///
    /// # Errors
    /// Malformed, or refused by the reader's rules.
    pub fn parse(body: &[u8], encryption: Encryption, key: &Key, reader: Reader) -> Result<Self, ReplyError> {
        if body.len() > MAX_REPLY {
            return Err(ReplyError::TooLong(body.len()));
        }
        let text = json::text(without_nuls(body));
        let outer: Read<'_> =
            serde_json::from_str(&text).map_err(|e| ReplyError::Malformed(e.to_string()))?;
        if encryption == Encryption::AnswerClear || outer.e == Some(false) {
            return outer.into_reply(None);
        }
        let result: Option<String> = outer.result.and_then(|r| serde_json::from_str(r.get()).ok());
        let Some(result) = result else {
            return match reader {
                Reader::Stock => Err(ReplyError::InClear),
                Reader::Sdk => outer.into_reply(None),
            };
        };
        if reader == Reader::Stock {
            let t = outer.t.ok_or_else(|| ReplyError::Malformed("it has no t".to_owned()))?;
            let sign = outer.sign.as_deref().ok_or(ReplyError::NotSigned)?;
            if !crypto::same(&signature(&result, t, key), sign.as_bytes()) {
                return Err(ReplyError::BadSignature);
            }
        }
        match decrypted(&result, encryption, key) {
            Ok(plain) => {
                let inner = json::text(&plain);
                let inner: Read<'_> =
                    serde_json::from_str(&inner).map_err(|e| ReplyError::Malformed(e.to_string()))?;
                inner.into_reply(outer.t)
            }
            // An SDK takes what does not decrypt for an answer in clear.
            Err(_) if reader == Reader::Sdk && outer.success.is_some() => outer.into_reply(None),
            Err(e) => Err(e),
        }
    }
}

impl Read<'_> {
    /// The answer; `t` of the outside stands in where the inside has none.
    fn into_reply(self, outer_t: Option<u64>) -> Result<Reply, ReplyError> {
        let t = self.t.or(outer_t).ok_or_else(|| ReplyError::Malformed("it has no t".to_owned()))?;
        let outcome = match self.success {
            Some(true) => Outcome::Success(self.result.map(Raw::from)),
            Some(false) => Outcome::Failure {
                code: ErrorCode::new(self.error_code.as_deref().unwrap_or_default()),
                message: self.error_message.unwrap_or_default(),
            },
            None => return Err(ReplyError::Malformed("it does not say whether it succeeded".to_owned())),
        };
        Ok(Reply::received(t, outcome))
    }
}

fn decrypted(result: &str, encryption: Encryption, key: &Key) -> Result<Vec<u8>, ReplyError> {
    let mut bytes = base64_simd::STANDARD
        .decode_to_vec(result)
        .map_err(|_| ReplyError::Malformed("its result is not base64".to_owned()))?;
    open(encryption, key, &mut bytes).map_err(|_| ReplyError::WrongKey)
}

/// Hex characters 8 to 23 of MD5(`result=` result `||t=` t `||` key).
fn signature(result: &str, t: u64, key: &Key) -> [u8; 16] {
    let t = t.to_string();
    crypto::md5_middle(&[b"result=", result.as_bytes(), b"||t=", t.as_bytes(), b"||", key.text()])
}

/// Structs of texts, numbers and raw JSON are always JSON.
fn written(value: &impl Serialize) -> Vec<u8> {
    #[allow(clippy::expect_used)]
    serde_json::to_vec(value).expect("texts, numbers and raw JSON can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SecKey;

    struct Zeros;
    impl Entropy for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn key(text: &str) -> Key {
        SecKey::new(text).unwrap().into()
    }

    fn samples() -> Vec<Reply> {
        vec![
            Reply::success(1_700_000_000, Raw::of(&serde_json::json!({"a": "\u{e9}\""})).unwrap()),
            Reply::success(1_700_000_000, Raw::null()),
            Reply::done(1_700_000_000),
            Reply::failure(1_700_000_000, ErrorCode::new(ErrorCode::ILLEGAL_PARAM), "why \"so\"").unwrap(),
        ]
    }

    #[test]
    fn answers_read_back_in_every_form_and_by_every_reader() {
        let (ours, other) = (key("5ec0123456789abc"), key("0000000000000000"));
        for encryption in [Encryption::AnswerClear, Encryption::Ecb, Encryption::Gcm] {
            for reply in samples() {
                for reader in [Reader::Stock, Reader::Sdk] {
                    let body = reply.to_body(encryption, &ours, &mut Zeros);
                    let read = |body: &[u8], key| Reply::parse(body, encryption, key, reader);
                    assert_eq!(read(&body, &ours), Ok(reply.clone()));
                    assert_eq!(read(&reply.to_clear(), &ours), Ok(reply.clone()));
                    if encryption != Encryption::AnswerClear {
                        let e = if reader == Reader::Stock {
                            ReplyError::BadSignature
                        } else {
                            ReplyError::WrongKey
                        };
                        assert_eq!(read(&body, &other), Err(e));
                    }
                }
            }
        }
    }

    #[test]
    fn null_and_nothing_are_two_results() {
        let text = |reply: &Reply| String::from_utf8(reply.to_clear()).unwrap();
        assert_eq!(
            text(&Reply::success(1, Raw::null())),
            r#"{"t":1,"e":false,"success":true,"result":null}"#
        );
        assert_eq!(text(&Reply::done(1)), r#"{"t":1,"e":false,"success":true}"#);
        let failed = Reply::failure(1, ErrorCode::new("EXPIRE"), "late").unwrap();
        assert_eq!(
            text(&failed),
            r#"{"t":1,"e":false,"success":false,"errorCode":"EXPIRE","errorMsg":"late"}"#
        );
    }

    #[test]
    fn codes_that_cost_a_device_its_owner_are_never_made() {
        for code in ErrorCode::UNBINDING {
            let e = Reply::failure(1, ErrorCode::new(code), "").unwrap_err();
            assert!(e.to_string().contains(code));
        }
    }

    #[test]
    fn stock_firmware_insists_where_sdks_do_not() {
        let ours = key("5ec0123456789abc");
        let read = |text: &str, reader| Reply::parse(text.as_bytes(), Encryption::Ecb, &ours, reader);
        let clear = r#"{"t":1,"success":true,"result":{}}"#;
        assert_eq!(read(clear, Reader::Stock), Err(ReplyError::InClear));
        assert!(read(clear, Reader::Sdk).is_ok());
        // A text as result looks encrypted.
        let clear = r#"{"t":1,"success":true,"result":"ok"}"#;
        assert_eq!(read(clear, Reader::Stock), Err(ReplyError::NotSigned));
        assert!(read(clear, Reader::Sdk).is_ok());
        for reader in [Reader::Stock, Reader::Sdk] {
            assert!(matches!(read(r#"{"e":false,"t":1}"#, reader), Err(ReplyError::Malformed(_))));
            assert!(matches!(read(r#"{"e":false,"success":true}"#, reader), Err(ReplyError::Malformed(_))));
            assert!(matches!(read("", reader), Err(ReplyError::Malformed(_))));
            assert_eq!(read(&" ".repeat(MAX_REPLY + 1), reader), Err(ReplyError::TooLong(MAX_REPLY + 1)));
        }
    }
}
