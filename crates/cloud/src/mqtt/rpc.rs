//! Gateway calls over MQTT (cloud.md 2.9): what Connect Kit and TuyaOpen make most of theirs by, and firmware in pieces.

use std::sync::Arc;

use bytes::Bytes;
use landfall_proto::gateway::{ErrorCode, Reply};
use landfall_proto::json::Raw;
use landfall_proto::mqtt::rpc::{FilePiece, RpcError, RpcRequest, RpcResponse};
use serde::Deserialize;

use crate::backend::Registration;
use crate::gateway::actions::{self, Asked, DOWNLOAD};
use crate::gateway::image;
use crate::listen::Link;
use crate::shared::Shared;
use crate::tap::{Direction, Tapped};

/// Most bytes in a piece, whatever is asked for; Connect Kit asks for 1024.
const MAX_PIECE: usize = 16 * 1024;

/// The `type` of a call that asks for the size.
const SIZE: u32 = 1;

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
    shared.gateway.count(request.action.as_str());
    let show = |direction, bytes: &[u8]| {
        shared.tapped(|| Tapped {
            who: device.id.to_string(),
            direction,
            what: format!("MQTT call {}", request.action),
            sequence: None,
            bytes: bytes.len(),
            body: bytes.to_vec(),
        });
    };
    show(Direction::In, payload);
    let reply = if request.action.as_str() == DOWNLOAD {
        match piece(shared, device, &request) {
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
    let json = RpcResponse { id: request.id, reply }.to_json()?;
    show(Direction::Out, json.as_ref());
    Ok(Answer::Response(json.into()))
}

#[derive(Deserialize)]
struct Wanted {
    url: String,
    range: String,
    #[serde(default, rename = "type")]
    kind: u32,
}

/// The bytes of a piece, or the answer that there are none. What asks for the size gets the number; no SDK is known to read it.
fn piece(shared: &Shared, device: &Registration, request: &RpcRequest) -> Result<Bytes, Reply> {
    let t = shared.clock.unix();
    let refused =
        |why| Reply::failure(t, ErrorCode::new("ILLEGAL_PARAM"), why).unwrap_or_else(|_| Reply::done(t));
    let wanted: Wanted = request.data.read().map_err(|_| refused("neither url nor range"))?;
    let range = (wanted.kind != SIZE).then_some(wanted.range.as_str());
    let bytes =
        image::piece(shared, device, &wanted.url, range).ok_or_else(|| refused("no such file or range"))?;
    if wanted.kind == SIZE {
        return Err(Raw::of(&bytes.len()).map_or_else(|_| Reply::done(t), |size| Reply::success(t, size)));
    }
    Ok(bytes.slice(..bytes.len().min(MAX_PIECE)))
}
