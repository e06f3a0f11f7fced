//! The protocol console, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{self, StreamExt as _};
use landfall_proto::id::DeviceId;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::sse::streamed;
use super::{over, place};
use crate::api::Shared;
use crate::api::answer::Answered;
use crate::api::extract::Query;
use crate::api::tokens::Caller;
use crate::console::{Frame, Reader, Seen};

/// Whose frames.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Whose {
    /// Of this device only, and of the gateway that it is behind: device id, former id or name.
    device: Option<String>,
}

/// What devices and hub say to each other, decoded, as server-sent events without end: `frame`, and `lost` with `{"count":N}` when
/// the reader was too slow. Keys, tokens, passwords and Wi-Fi names are hidden, and of the negotiation nothing is told but that
/// it took place. The first event is `hello`.
#[utoipa::path(get, path = "/api/v1/console", security(("bearer" = ["admin"])), params(Whose),
    responses((status = 200, description = "A stream without end.", body = String, content_type = "text/event-stream")))]
pub(in crate::api) async fn console(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(whose): Query<Whose>,
) -> Answered<Response> {
    let device = whose.device.map(|asked| shared.home.device(&asked)).transpose()?;
    // A sub-device has no line of its own: its gateway's carries what is said to it.
    let names: Option<Vec<DeviceId>> = device.map(|view| {
        let facts = &view.facts;
        let line = facts.parent.as_ref().filter(|_| facts.cid.is_some()).unwrap_or(&facts.id);
        std::iter::once(line).chain(&facts.aliases).cloned().collect()
    });
    let place = place(&shared)?;
    let reader = shared.home.console().read();
    let hello = Event::default().event("hello").data("{}");
    let frames = stream::unfold((reader, names), |(mut reader, names)| async move {
        let event = next(&mut reader, names.as_deref()).await?;
        Some((event, (reader, names)))
    });
    let over = async move { over(&shared, &caller).await };
    let events = stream::iter([hello]).chain(frames).take_until(Box::pin(over)).map(move |event| {
        // The stream holds its place as long as it lives.
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(streamed(events))
}

async fn next(reader: &mut Reader, names: Option<&[DeviceId]>) -> Option<Event> {
    let is_asked_for = |frame: &Frame| names.is_none_or(|n| n.iter().any(|id| id.as_str() == frame.device));
    loop {
        match reader.next().await? {
            Seen::Frame(frame) if is_asked_for(&frame) => match serde_json::to_string(&*frame) {
                Ok(text) => return Some(Event::default().event("frame").data(text)),
                Err(e) => tracing::warn!("a frame can't be shown: {e}"),
            },
            Seen::Frame(_) => {}
            Seen::Lost(count) => {
                return Some(Event::default().event("lost").data(json!({"count": count}).to_string()));
            }
        }
    }
}
