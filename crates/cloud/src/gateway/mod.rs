//! HTTP: name service, actions, firmware images (cloud.md 1.2 to 1.5, 2 and 5).
//!
//! | module | does |
//! |---|---|
//! | [`actions`] | what devices ask once they are activated, over HTTP or MQTT |
//! | `activation` | tokens and keys for those who have none, inside a window that the owner opened |
//! | `answer` | answers as HTTP |
//! | `call` | `/gw.json` and `/d.json`: whose call it is, under which key, and how it is answered |
//! | `constant` | what everybody hears whose signature cannot be checked |
//! | `door` | slow and half-open peers are cut, raw targets made readable for hyper |
//! | [`image`] | downloads of firmware |
//! | `name_service` | where the cloud is |
//! | [`places`] | our addresses, as they are told to devices |
//! | `target` | targets with quotes and braces in them |

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::RANGE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use landfall_proto::gateway::name_service::Question;

use crate::backend::Registration;
use crate::event::What;
use crate::handshake::{Mark, Step};
use crate::listen::{Link, Stream};
use crate::shared::Shared;
use answer::Answer;

pub mod actions;
mod activation;
mod answer;
mod call;
mod constant;
mod door;
pub mod image;
mod name_service;
pub mod places;
mod target;

/// Largest head of a request; devices send some 500 bytes.
const MAX_HEAD: usize = 16 * 1024;
/// What hyper may buffer of a connection.
const BUFFER: usize = 32 * 1024;
/// Most header lines; devices send six.
const MAX_HEADERS: usize = 48;
/// Things of one kind that were said once and are not said again.
const MAX_SAID: usize = 4_096;

/// What is said once in the log. Each kind has its own room: strangers with invented names, who fill theirs, take no
/// line from the owner's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// An action that we don't know.
    Action,
    /// A refusal of a device that we know.
    Refusal,
    /// A refusal of anybody else.
    Stranger,
}

/// What the gateway remembers of all its connections.
#[derive(Debug, Default)]
pub struct Memory {
    said: Mutex<[HashSet<(String, String)>; 3]>,
    calls: Mutex<BTreeMap<String, u64>>,
}

impl Memory {
    /// Counts a call. Actions that nobody knows are counted together: anybody can invent more.
    pub(crate) fn count(&self, action: &str) {
        let action = if actions::is_known(action) || activation::is_one(action) { action } else { "other" };
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(action) {
            Some(n) => *n += 1,
            None => {
                calls.insert(action.to_owned(), 1);
            }
        }
    }

    /// Calls over HTTP and MQTT since the start, by action; `other` for those that we don't know.
    pub fn calls(&self) -> Vec<(String, u64)> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(|(action, n)| (action.clone(), *n)).collect()
    }

    /// Whether this is the first time for these two; false once too much of its kind was remembered.
    fn first(&self, kind: Said, who: &str, what: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let [actions, refusals, strangers] = &mut *said;
        let said = match kind {
            Said::Action => actions,
            Said::Refusal => refusals,
            Said::Stranger => strangers,
        };
        said.len() < MAX_SAID && said.insert((who.to_owned(), what.to_owned()))
    }
}

/// What is asked, as the modules see it.
struct Ask<'a> {
    shared: &'a Shared,
    link: &'a Link,
    method: &'a Method,
    /// The target as it stood on the wire, with everything that hyper would not have taken.
    target: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

/// When, over what and from where.
pub(crate) fn mark(shared: &Shared, link: &Link) -> Mark {
    Mark { at: shared.clock.unix(), count: 1, over: link.over, peer: Some(link.ip()) }
}

/// Tells those who watch and the handshake record of a refusal, and the log once for each of those concerned.
pub(crate) fn refuse(
    shared: &Shared,
    link: &Link,
    who: &str,
    device: Option<&Registration>,
    code: &'static str,
    why: String,
) {
    shared.handshakes.refused(who, code, mark(shared, link));
    let kind = if device.is_some() { Said::Refusal } else { Said::Stranger };
    if shared.gateway.first(kind, who, code) {
        tracing::warn!(peer = %link.peer, device = who, code, "{why}");
    } else {
        tracing::debug!(peer = %link.peer, device = who, code, "{why}");
    }
    shared.tell(device, Some(link.peer), What::Refusal { code, why });
}

/// Serves one HTTP/1.1 connection until it ends. Everything that arrives is answered or closed; who takes longer than
/// [`Limits`](crate::config::Limits) say is cut.
pub async fn serve<S: Stream>(shared: Arc<Shared>, stream: S, link: Link) {
    let io = TokioIo::new(door::Door::new(stream, &shared.config.limits));
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, link) = (Arc::clone(&shared), link.clone());
        async move { Ok::<_, Infallible>(respond(&shared, &link, request).await) }
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .title_case_headers(true)
        .half_close(true)
        .ignore_invalid_headers(true)
        // The door counts the time of heads, and of what comes after them.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    if let Err(e) = connection.await {
        tracing::debug!(peer = %link.peer, "HTTP connection ended: {e}");
    }
}

async fn respond(shared: &Shared, link: &Link, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or_else(String::new, |t| target::unescape(t.as_str()));
    let limit = shared.config.limits.http_body;
    let too_large = || Answer { last: true, ..Answer::status(StatusCode::PAYLOAD_TOO_LARGE) };
    if body.size_hint().lower() > limit as u64 {
        return too_large().into_response();
    }
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<LengthLimitError>() => return too_large().into_response(),
        Err(e) => {
            tracing::debug!(peer = %link.peer, "no body: {e}");
            return Answer { last: true, ..Answer::status(StatusCode::BAD_REQUEST) }.into_response();
        }
    };
    let ask =
        Ask { shared, link, method: &head.method, target: &target, headers: &head.headers, body: &body };
    // The log knows no target: tokens and signatures stand in it.
    route(&ask).await.into_response()
}

async fn route(ask: &Ask<'_>) -> Answer {
    let path = ask.target.split('?').next().unwrap_or("");
    let reading = matches!(*ask.method, Method::GET | Method::HEAD);
    if !reading && *ask.method != Method::POST {
        return Answer::status(StatusCode::METHOD_NOT_ALLOWED);
    }
    match path {
        "/gw.json" | "/d.json" => call::answer(ask).await,
        _ => match (Question::of_path(path), path.strip_prefix(image::PATH)) {
            (Some(question), _) => name_service::answer(ask, question),
            (None, Some(token)) if reading => image::answer(ask, token, ask.headers.get(RANGE)),
            _ => Answer::status(StatusCode::NOT_FOUND),
        },
    }
}

/// A step of somebody's life.
pub(crate) fn step(shared: &Shared, link: &Link, who: &str, step: Step) {
    shared.handshakes.step(who, step, mark(shared, link));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_known_actions() {
        let memory = Memory::default();
        for action in ["tuya.device.timer.get", "s.gw.token.get", "x.y", "x.z", "tuya.device.timer.get"] {
            memory.count(action);
        }
        let calls = memory.calls();
        let told: Vec<_> = calls.iter().map(|(action, n)| (action.as_str(), *n)).collect();
        assert_eq!(told, [("other", 2), ("s.gw.token.get", 1), ("tuya.device.timer.get", 2)]);
    }

    #[test]
    fn strangers_fill_their_own_memory_only() {
        let memory = Memory::default();
        assert!(memory.first(Said::Action, "bf01", "x.y") && !memory.first(Said::Action, "bf01", "x.y"));
        assert!((0..MAX_SAID).all(|n| memory.first(
            Said::Stranger,
            &n.to_string(),
            "gateway.unknown_device"
        )));
        assert!(!memory.first(Said::Stranger, "one more", "gateway.unknown_device"));
        assert!(memory.first(Said::Action, "bf01", "x.z") && memory.first(Said::Refusal, "bf01", "c"));
    }
}
