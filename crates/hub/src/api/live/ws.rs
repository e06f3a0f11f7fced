//! The same changes over WebSocket, and commands the other way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use landfall_proto::id::DeviceId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::message::{Message, gap, hello};
use super::{Ask, Over, asked_for, over, place, seq};
use crate::api::Shared;
use crate::api::answer::{Answer, Answered};
use crate::api::body::OutcomeBody;
use crate::api::extract::Query;
use crate::api::routes::control::{attributes, options, points};
use crate::api::tokens::{Caller, Scope};
use crate::bus::Reader;

/// The protocol that a client offers beside its token, and that is chosen.
const PROTOCOL: &str = "landfall.v1";
/// Most bytes of a client's message.
const MESSAGE: usize = 64 << 10;
/// Commands of one client under way.
const COMMANDS: usize = 16;
/// A client that takes nothing for so long is cut.
const UNREAD: Duration = Duration::from_secs(10);
/// How often a client is asked whether it is there; one that is silent for three times as long is cut.
const PING: Duration = Duration::from_secs(20);

/// Close codes (RFC 6455 7.4, and of our own from 4000 on).
const GOING_AWAY: u16 = 1001;
const TOO_SLOW: u16 = 4008;
const TOKEN_ENDED: u16 = 4001;

/// Changes and commands over WebSocket.
///
/// The client offers the protocols `landfall.v1` and, where it can send no header, `landfall.bearer.TOKEN`. It is told
/// `{"type":"hello","seq":N}`, then each change as JSON with `seq` and `type`, and `{"type":"gap","from":N,"to":M}` for those that are
/// no longer kept. With control scope it may send `{"id":ANY,"set":{"device":"...","state":{...}}}`, or `dps` instead of `state`, with
/// `line`, `timeout_ms` and `confirm`; it is told `{"type":"outcome","id":ANY,...}` or `{"type":"problem","id":ANY,...}`. Close codes: 1001 the hub
/// ends, 4001 the token has ended, 4008 too slow.
#[utoipa::path(get, path = "/api/v1/ws", params(Ask), security(("bearer" = ["read"])),
    responses((status = 101, description = "A WebSocket."), (status = 426, description = "No WebSocket was asked for.")))]
pub(in crate::api) async fn socket(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Query(ask): Query<Ask>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answered<Response> {
    let device = ask.device(&shared)?;
    let upgrade = upgrade.map_err(|e| {
        let said = format!("this is a WebSocket: {}", e.body_text());
        Answer::asked(StatusCode::UPGRADE_REQUIRED, "ws.upgrade", said)
    })?;
    let place = place(&shared)?;
    let reader = shared.home.bus().read(seq(ask.after));
    let mut upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    // Never the one that holds the token.
    if upgrade.requested_protocols().any(|p| p.as_bytes() == PROTOCOL.as_bytes()) {
        upgrade.set_selected_protocol(HeaderValue::from_static(PROTOCOL));
    }
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _place = place;
        let client = Client { shared, caller, device, socket, commands: JoinSet::new() };
        client.serve(reader).await;
    }))
}

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    id: Value,
    set: Set,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    device: String,
    state: Option<Map<String, Value>>,
    dps: Option<BTreeMap<String, Value>>,
    line: Option<String>,
    timeout_ms: Option<u64>,
    confirm: Option<bool>,
}

struct Client {
    shared: Arc<Shared>,
    caller: Caller,
    device: Option<DeviceId>,
    socket: WebSocket,
    commands: JoinSet<Value>,
}

/// The client is gone, or has to go.
struct Gone(Option<(u16, &'static str)>);

impl Client {
    async fn serve(mut self, reader: Reader) {
        let Gone(close) = match self.talk(reader).await {
            Err(gone) => gone,
            Ok(never) => match never {},
        };
        if let Some((code, reason)) = close {
            let frame = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
            // It may be gone, or still take nothing: then the connection is cut all the same.
            let _told = tokio::time::timeout(Duration::from_secs(1), self.socket.send(frame)).await;
        }
    }

    async fn talk(&mut self, mut reader: Reader) -> Result<std::convert::Infallible, Gone> {
        self.tell(&hello(reader.position().0)).await?;
        let shared = Arc::clone(&self.shared);
        let caller = self.caller.clone();
        let over = over(&shared, &caller);
        tokio::pin!(over);
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                why = &mut over => return Err(Gone(Some(match why {
                    Over::Hub => (GOING_AWAY, "the hub ends"),
                    Over::Token => (TOKEN_ENDED, "the token has ended"),
                }))),
                changes = reader.next() => match changes {
                    Some(Ok(changes)) => {
                        for change in changes {
                            if asked_for(&change, self.device.as_ref()) {
                                self.tell(&Message::of(&change, &*shared.home)).await?;
                            }
                        }
                    }
                    Some(Err(missed)) => self.tell(&gap(missed)).await?,
                    None => return Err(Gone(Some((GOING_AWAY, "the hub ends")))),
                },
                Some(done) = self.commands.join_next(), if !self.commands.is_empty() => match done {
                    Ok(answer) => self.tell(&answer).await?,
                    Err(e) => tracing::warn!("a command over WebSocket was lost: {e}"),
                },
                frame = self.socket.recv() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(Frame::Text(text))) => self.order(&text).await?,
                        Some(Ok(Frame::Binary(_))) => {
                            let answer = Answer::bad("ws.binary", "messages are JSON text");
                            self.tell(&problem(&Value::Null, &answer)).await?;
                        }
                        Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                        // A protocol error ends it as well; tungstenite has said why.
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => return Err(Gone(None)),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > 3 * PING {
                        return Err(Gone(Some((TOO_SLOW, "silent for too long"))));
                    }
                    self.send(Frame::Ping(bytes::Bytes::new())).await?;
                }
            }
        }
    }

    async fn order(&mut self, text: &str) -> Result<(), Gone> {
        let order = match serde_json::from_str::<Order>(text) {
            Ok(order) => order,
            Err(e) => {
                let id = serde_json::from_str::<Value>(text).map(|v| v["id"].clone()).unwrap_or_default();
                let answer = Answer::bad("request.json", e.to_string());
                return self.tell(&problem(&id, &answer)).await;
            }
        };
        if self.caller.scope < Scope::Control {
            let said = format!("this token's scope is {}, and this needs control", self.caller.scope.word());
            let answer = Answer::asked(StatusCode::FORBIDDEN, "token.scope", said);
            return self.tell(&problem(&order.id, &answer)).await;
        }
        if self.commands.len() >= COMMANDS {
            let said = format!("{COMMANDS} commands of this connection are under way");
            let answer = Answer::asked(StatusCode::TOO_MANY_REQUESTS, "ws.busy", said);
            return self.tell(&problem(&order.id, &answer)).await;
        }
        let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
        self.commands.spawn(async move {
            match set(&shared, &caller, order.set).await {
                Ok(outcome) => labelled("outcome", &order.id, &outcome),
                Err(answer) => problem(&order.id, &answer),
            }
        });
        Ok(())
    }

    async fn tell(&mut self, message: &impl Serialize) -> Result<(), Gone> {
        match serde_json::to_string(message) {
            Ok(text) => self.send(Frame::text(text)).await,
            Err(e) => {
                tracing::warn!("a change can't be told: {e}");
                Ok(())
            }
        }
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Gone> {
        match tokio::time::timeout(UNREAD, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone(None)),
            Err(_) => Err(Gone(Some((TOO_SLOW, "too slow")))),
        }
    }
}

async fn set(shared: &Shared, caller: &Caller, set: Set) -> Answered<OutcomeBody> {
    let view = shared.home.device(&set.device)?;
    let options = options(caller, set.line.as_deref(), set.timeout_ms, set.confirm)?;
    let dps = match (set.state, set.dps) {
        (Some(state), None) => attributes(&view, &state)?,
        (None, Some(dps)) => points(dps)?,
        _ => return Err(Answer::bad("ws.set", "a set has either `state` or `dps`")),
    };
    let ended = shared.home.set(view.id(), dps, options).await?;
    Ok((&*ended).into())
}

fn problem(id: &Value, answer: &Answer) -> Value {
    let mut value = serde_json::to_value(answer.body()).unwrap_or_default();
    // `type` tells messages apart here; the problem's own follows from its code.
    value["type"] = json!("problem");
    value["id"] = id.clone();
    value
}

fn labelled(kind: &str, id: &Value, body: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(body).unwrap_or_default();
    value["type"] = json!(kind);
    value["id"] = id.clone();
    value
}
