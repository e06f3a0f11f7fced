//! Server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::message::{Message, gap, hello};
use super::{Ask, asked_for, over, place, seq};
use crate::api::Shared;
use crate::api::answer::{Answer, Answered};
use crate::api::extract::Query;
use crate::api::tokens::Caller;
use crate::bus::Reader;

/// A sign of life for proxies and clients.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Changes as server-sent events. `id` is the change's number, `event` its type, `data` JSON. The first event is `hello` with
/// the number after which the stream begins; `gap` tells numbers that are no longer kept: read the devices anew. The stream
/// ends with the token.
#[utoipa::path(get, path = "/api/v1/events", security(("bearer" = ["read"])),
    params(Ask, ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, sent by clients that reconnect; it wins.")),
    responses((status = 200, description = "A stream without end.", body = String, content_type = "text/event-stream")))]
pub(in crate::api) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Query(ask): Query<Ask>,
) -> Answered<Response> {
    let device = ask.device(&shared)?;
    let last = headers.get("last-event-id").map(|v| {
        let number = v.to_str().ok().and_then(|v| v.trim().parse::<u64>().ok());
        number.ok_or_else(|| Answer::bad("request.last_event_id", "Last-Event-ID is no number of a change"))
    });
    let after = last.transpose()?.or(ask.after);
    let place = place(&shared)?;
    let reader = shared.home.bus().read(seq(after));
    let first = Event::default().event("hello").data(hello(reader.position().0).to_string());
    let read = Read { shared: Arc::clone(&shared), reader, device, ready: VecDeque::from([first]) };
    let over = async move { over(&shared, &caller).await };
    let events = stream::unfold(read, Read::next).take_until(Box::pin(over)).map(move |event| {
        // The stream holds its place as long as it lives.
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(streamed(events))
}

/// Events as an answer that proxies and browsers let through at once.
pub(super) fn streamed(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Read {
    shared: Arc<Shared>,
    reader: Reader,
    device: Option<landfall_proto::id::DeviceId>,
    /// Told before the next changes are read: at most a portion of the bus.
    ready: VecDeque<Event>,
}

impl Read {
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            match self.reader.next().await? {
                Ok(changes) => {
                    let asked = changes.iter().filter(|c| asked_for(c, self.device.as_ref()));
                    self.ready.extend(asked.filter_map(|c| event(&Message::of(c, &*self.shared.home))));
                }
                Err(missed) => {
                    let id = missed.to.0.to_string();
                    self.ready.push_back(Event::default().id(id).event("gap").data(gap(missed).to_string()));
                }
            }
        }
    }
}

fn event(message: &Message) -> Option<Event> {
    match serde_json::to_string(message) {
        Ok(text) => Some(Event::default().id(message.seq.to_string()).event(message.kind).data(text)),
        Err(e) => {
            tracing::warn!("change {} can't be told: {e}", message.seq);
            None
        }
    }
}
