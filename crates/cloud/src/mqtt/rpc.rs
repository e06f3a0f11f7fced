//! Gateway calls over MQTT (cloud.md 2.9): what Connect Kit and TuyaOpen make most of theirs by, and firmware in pieces.

use std::sync::Arc;

use bytes::Bytes;
use landfall_proto::gateway::{ErrorCode, Reply};
use landfall_proto::json::Raw;
use landfall_proto::mqtt::rpc::{FilePiece, RpcError, RpcRequest, RpcResponse};
use serde::Deserialize;

use crate::backend::Registration;
use crate::gateway::actions::{self, Asked};
use crate::listen::Link;
use crate::shared::Shared;

/// The call for a piece of a file.
const DOWNLOAD: &str = "tuya.device.file.download";
/// Most bytes in a piece, whatever is asked for; Connect Kit asks for 1024.
const MAX_PIECE: usize = 16 * 1024;

/// What goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To `rpc/rsp`.
    Response(Bytes),
    /// To `rpc/file`.
    Piece(Bytes),
}

/// Answers a call of a device.
pub(super) fn answer(
    shared: &Shared,
    link: &Link,
    device: &Arc<Registration>,
    payload: &[u8],
) -> Result<Answer, RpcError> {
    let request = RpcRequest::parse(payload)?;
    let reply = if request.action.as_str() == DOWNLOAD {
        match piece(shared, &request) {
            Ok(bytes) => {
                return Ok(Answer::Piece(FilePiece { id: request.id, bytes: &bytes }.to_payload().into()));
            }
            Err(reply) => reply,
        }
    } else {
        let body = request.data.read().unwrap_or(serde_json::Value::Null);
        let version = request.version.as_deref();
        actions::answer(shared, &Asked { device, link, action: &request.action, version, body: &body })
    };
    RpcResponse { id: request.id, reply }.to_json().map(|json| Answer::Response(json.into()))
}

#[derive(Deserialize)]
struct Wanted {
    url: String,
    range: String,
    #[serde(default, rename = "type")]
    kind: u32,
}

/// The bytes of a piece, or the answer that there are none. `type` 1 asks for the size, and no SDK is known to read the
/// answer to it.
fn piece(shared: &Shared, request: &RpcRequest) -> Result<Bytes, Reply> {
    let t = shared.clock.unix();
    let refused =
        |why| Reply::failure(t, ErrorCode::new("ILLEGAL_PARAM"), why).unwrap_or_else(|_| Reply::done(t));
    let wanted: Wanted = request.data.read().map_err(|_| refused("neither url nor range"))?;
    let image = token(&wanted.url).and_then(|token| shared.backend.image_by_token(token));
    let bytes = image.ok_or_else(|| refused("no such file"))?.bytes.clone();
    if wanted.kind == 1 {
        return Err(Raw::of(&bytes.len()).map_or_else(|_| Reply::done(t), |size| Reply::success(t, size)));
    }
    let range = range(&wanted.range, bytes.len()).ok_or_else(|| refused("no such range"))?;
    Ok(bytes.slice(range))
}

/// The secret part of a firmware URL: the last part of its path, without a name's ending.
fn token(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?;
    let last = path.rsplit('/').next()?;
    let token = last.split('.').next()?;
    (!token.is_empty()).then_some(token)
}

/// `bytes=A-B`, both ends included, cut to what there is and to the largest piece.
fn range(text: &str, len: usize) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.trim().parse().ok()?;
    let to: usize = to.trim().parse().ok()?;
    let end = to.saturating_add(1).min(len).min(from.saturating_add(MAX_PIECE));
    (from < end).then_some(from..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        assert_eq!(range("bytes=0-1023", 5_000), Some(0..1_024));
        assert_eq!(range("bytes=4096-5119", 5_000), Some(4_096..5_000));
        assert_eq!(range("bytes=0-99999999", 1 << 20), Some(0..MAX_PIECE));
        for text in ["bytes=5-4", "bytes=5000-6000", "bytes=-5", "0-5", "bytes=a-b", ""] {
            assert_eq!(range(text, 5_000), None, "{text}");
        }
        assert_eq!(range("bytes=18446744073709551615-18446744073709551615", 10), None);
    }

    #[test]
    fn tokens_are_found_in_urls() {
        for url in ["http://10.0.0.1/f/abc123", "https://h/f/abc123.bin?x=1", "abc123"] {
            assert_eq!(token(url), Some("abc123"));
        }
        assert_eq!(token("http://h/"), None);
    }
}
