//! Gateway calls over MQTT (cloud.md 2.9): generations D and E make most of theirs so. Neither encrypted nor in an
//! envelope: who may publish and subscribe is all the protection there is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::gateway::{Action, ErrorCode, Outcome, Reply};
use crate::json::{self, Raw};

/// Longest text that is read.
pub const MAX_TEXT: usize = 64 * 1024;
/// Most bytes of a file in one piece; Connect Kit asks for 1024.
pub const MAX_PIECE: usize = 64 * 1024;

/// Why a text is no call or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Longer than any real one.
    #[error("a text of {0} bytes, more than {MAX_TEXT}")]
    TooLong(usize),
    /// Not JSON, or without what it needs.
    #[error("malformed call or answer: {0}")]
    Malformed(String),
    /// No name of an action.
    #[error("the call names no action that can be")]
    BadAction,
    /// A piece of a file starts with the call's number in four bytes.
    #[error("a piece of a file of {0} bytes")]
    ShortPiece(usize),
}

/// A call, published to [`Topic::RpcRequest`](super::Topic::RpcRequest) at QoS 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcRequest {
    /// Its number, to which the answer refers.
    pub id: u32,
    /// What is called.
    pub action: Action,
    /// The device's clock, seconds.
    pub t: u64,
    /// What it says.
    pub data: Raw,
    /// Version of the call.
    pub version: Option<String>,
}

#[derive(Deserialize)]
struct ReadRequest<'a> {
    id: u32,
    a: String,
    #[serde(default, deserialize_with = "json::whole")]
    t: Option<u64>,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "json::named")]
    v: Option<String>,
}

#[derive(Serialize)]
struct WrittenRequest<'a> {
    id: u32,
    a: &'a str,
    t: u64,
    data: &'a Raw,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<&'a str>,
}

impl RpcRequest {
    /// Reads a call (server side). A missing clock is 0.
    ///
    /// # Errors
    /// Not JSON, no number, or no action.
    pub fn parse(text: &[u8]) -> Result<Self, RpcError> {
        let text = bounded(text)?;
        let read: ReadRequest<'_> = parsed(&text)?;
        Ok(Self {
            id: read.id,
            action: Action::new(&read.a).ok_or(RpcError::BadAction)?,
            t: read.t.unwrap_or(0),
            data: read.data.map_or_else(Raw::null, Raw::from),
            version: read.v,
        })
    }

    /// Writes the call (device side).
    ///
    /// # Errors
    /// None that texts and numbers could cause; what the JSON writer says is passed on.
    pub fn to_json(&self) -> Result<Vec<u8>, RpcError> {
        let Self { id, action, t, data, version } = self;
        written(&WrittenRequest { id: *id, a: action.as_str(), t: *t, data, v: version.as_deref() })
    }
}

/// An answer, published to [`Topic::RpcResponse`](super::Topic::RpcResponse).
#[derive(Clone, Debug, PartialEq)]
pub struct RpcResponse {
    /// The call's number.
    pub id: u32,
    /// The answer, as over HTTP.
    pub reply: Reply,
}

#[derive(Deserialize)]
struct ReadResponse<'a> {
    id: u32,
    #[serde(borrow)]
    data: ReadData<'a>,
}

#[derive(Deserialize)]
struct ReadData<'a> {
    #[serde(borrow)]
    result: ReadResult<'a>,
    t: u64,
}

#[derive(Deserialize)]
struct ReadResult<'a> {
    success: bool,
    #[serde(default, borrow, deserialize_with = "json::present")]
    result: Option<&'a RawValue>,
    #[serde(default, rename = "errorCode", deserialize_with = "json::named")]
    error_code: Option<String>,
    #[serde(default, rename = "errorMsg", deserialize_with = "json::named")]
    error_message: Option<String>,
}

#[derive(Serialize)]
struct WrittenResponse<'a> {
    id: u32,
    data: WrittenData<'a>,
}

#[derive(Serialize)]
struct WrittenData<'a> {
    result: WrittenResult<'a>,
    t: u64,
}

#[derive(Serialize)]
struct WrittenResult<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Raw>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "errorCode")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "errorMsg")]
    error_message: Option<&'a str>,
}

impl RpcResponse {
    /// Reads an answer (device side).
    ///
    /// # Errors
    /// Not JSON, or without `t` or `success`.
    pub fn parse(text: &[u8]) -> Result<Self, RpcError> {
        let text = bounded(text)?;
        let ReadResponse { id, data: ReadData { result, t } } = parsed(&text)?;
        let outcome = if result.success {
            Outcome::Success(result.result.map(Raw::from))
        } else {
            Outcome::Failure {
                code: ErrorCode::new(result.error_code.as_deref().unwrap_or_default()),
                message: result.error_message.unwrap_or_default(),
            }
        };
        let reply = Reply::received(t, outcome);
        Ok(Self { id, reply })
    }

    /// Writes the answer (server side).
    ///
    /// # Errors
    /// None that texts and numbers could cause; what the JSON writer says is passed on.
    pub fn to_json(&self) -> Result<Vec<u8>, RpcError> {
        let result = match self.reply.outcome() {
            Outcome::Success(result) => WrittenResult {
                success: true,
                result: result.as_ref(),
                error_code: None,
                error_message: None,
            },
            Outcome::Failure { code, message } => WrittenResult {
                success: false,
                result: None,
                error_code: Some(code.as_str()),
                error_message: Some(message),
            },
        };
        written(&WrittenResponse { id: self.id, data: WrittenData { result, t: self.reply.t } })
    }
}

/// A piece of a file, published to [`Topic::RpcFile`](super::Topic::RpcFile): the call's number, then bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePiece<'a> {
    /// The call's number.
    pub id: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> FilePiece<'a> {
    /// Reads a piece (device side).
    ///
    /// # Errors
    /// Shorter than its number, or longer than any real one.
    pub fn parse(payload: &'a [u8]) -> Result<Self, RpcError> {
        let (id, bytes) = payload.split_first_chunk().ok_or(RpcError::ShortPiece(payload.len()))?;
        if bytes.len() > MAX_PIECE {
            return Err(RpcError::TooLong(bytes.len()));
        }
        Ok(Self { id: u32::from_be_bytes(*id), bytes })
    }

    /// Writes the piece (server side).
    pub fn to_payload(self) -> Vec<u8> {
        [&self.id.to_be_bytes()[..], self.bytes].concat()
    }
}

fn bounded(text: &[u8]) -> Result<std::borrow::Cow<'_, str>, RpcError> {
    if text.len() > MAX_TEXT {
        return Err(RpcError::TooLong(text.len()));
    }
    Ok(json::text(text))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, RpcError> {
    serde_json::from_str(text).map_err(|e| RpcError::Malformed(e.to_string()))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, RpcError> {
    serde_json::to_vec(value).map_err(|e| RpcError::Malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back() {
        let failed = Reply::failure(7, ErrorCode::new("ILLEGAL_PARAM"), "no").unwrap();
        for reply in [Reply::done(7), Reply::success(7, Raw::null()), failed] {
            let response = RpcResponse { id: 3, reply };
            assert_eq!(RpcResponse::parse(&response.to_json().unwrap()), Ok(response));
        }
        let unbinding =
            br#"{"id":1,"data":{"t":1,"result":{"success":false,"errorCode":"GATEWAY_NOT_EXISTS"}}}"#;
        let read = RpcResponse::parse(unbinding).unwrap();
        assert!(matches!(read.reply.outcome(), Outcome::Failure { code, .. } if code.unbinds()));
        assert!(RpcResponse::parse(br#"{"id":1,"data":{"result":{"success":true}}}"#).is_err());
    }

    #[test]
    fn calls_and_pieces_are_checked() {
        assert!(RpcRequest::parse(br#"{"id":"1","a":"x"}"#).is_err());
        assert_eq!(RpcRequest::parse(br#"{"id":1,"a":"x y"}"#), Err(RpcError::BadAction));
        assert!(matches!(RpcRequest::parse(&vec![b' '; MAX_TEXT + 1]), Err(RpcError::TooLong(_))));
        let piece = FilePiece { id: 0x0102_0304, bytes: b"x" };
        assert_eq!(piece.to_payload(), [1, 2, 3, 4, b'x']);
        assert_eq!(FilePiece::parse(&piece.to_payload()), Ok(piece));
        assert_eq!(FilePiece::parse(&[1, 2, 3]), Err(RpcError::ShortPiece(3)));
    }
}
