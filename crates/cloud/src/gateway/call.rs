//! `/gw.json` and `/d.json`: whose call it is, under which key, and how it is answered (cloud.md 2.1 to 2.5).

use std::sync::Arc;

use hyper::StatusCode;
use landfall_link::entropy::OsEntropy;
use landfall_proto::gateway::{Key, KeyKind, Path, Reply, Request};
use landfall_proto::id::Uuid;
use landfall_proto::json;
use serde_json::Value;

use super::actions::{self, Asked};
use super::answer::{Answer, JSON};
use super::{Ask, activation, constant, refuse};
use crate::backend::{Announcement, Generation, Registration};
use crate::listen::Over;
use crate::tap::{Direction, Tapped};

/// A key that a device may have used, and whether it was handed out and never used before.
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) pending: bool,
}

/// What the signature of a call proves.
pub(super) enum Proof {
    /// It is this key's.
    Valid(Candidate),
    /// The key that it should be under is known, and it is not by that one.
    Wrong,
    /// We don't know the key that it should be under.
    Unknown,
}

/// The keys of a device, those of the right kind first. A server that has the other kind tries it as well
/// (cloud.md 2.3).
pub(super) fn candidates(device: &Registration, kind: KeyKind) -> Vec<Candidate> {
    let sec = |keys: &Option<crate::backend::Keys>, pending| {
        let key = keys.as_ref()?.sec.clone()?;
        Some(Candidate { key: Key::Sec(key), pending })
    };
    let auth = device.auth_key.clone().map(|key| Candidate { key: Key::Auth(key), pending: false });
    // Pending before current: should they ever be equal, the use counts.
    let secs = [sec(&device.pending, true), sec(&device.keys, false)].into_iter().flatten();
    match kind {
        KeyKind::Sec => secs.chain(auth).collect(),
        KeyKind::Auth => auth.into_iter().chain(secs).collect(),
    }
}

/// Checks a call's signature against all that the device may have.
pub(super) fn prove(device: Option<&Registration>, request: &Request) -> Proof {
    let kind = request.key_kind();
    let mut known = false;
    for candidate in device.map(|d| candidates(d, kind)).unwrap_or_default() {
        if request.verify(&candidate.key).is_ok() {
            return Proof::Valid(candidate);
        }
        known |= candidate.key.kind() == kind;
    }
    if known { Proof::Wrong } else { Proof::Unknown }
}

/// Who a call is about: by its device id, else by its uuid. Before its activation a device of generation A or B may be
/// known to us by its uuid alone, and names it as its id.
fn find(ask: &Ask<'_>, request: &Request) -> Option<Arc<Registration>> {
    let backend = &ask.shared.backend;
    let by_id = request
        .device()
        .and_then(|id| backend.by_id(id).or_else(|| backend.by_uuid(&Uuid::new(id.as_str()).ok()?)));
    by_id.or_else(|| backend.by_uuid(request.uuid.as_ref()?))
}

/// What the caller calls itself; an address if it does not.
fn named(ask: &Ask<'_>, request: &Request) -> String {
    let id = request.device().map(|id| id.as_str()).or_else(|| request.uuid.as_ref().map(Uuid::as_str));
    id.map_or_else(|| ask.link.ip().to_string(), str::to_owned)
}

/// The generation that a call looks like (cloud.md 0.3).
pub(super) fn generation(ask: &Ask<'_>, request: &Request) -> Generation {
    match (request.path, request.encryption.et()) {
        (_, Some("3")) => Generation::E,
        (Path::Gw, None) => Generation::A,
        (Path::Gw, Some(_)) => Generation::B,
        // Stock of generation C calls itself as the SDKs do, but never speaks TLS by certificate to us.
        (Path::D, _) if ask.link.over == Over::Certificate => Generation::D,
        (Path::D, _) => Generation::C,
    }
}

/// Answers a call.
pub(super) async fn answer(ask: &Ask<'_>) -> Answer {
    let request = match Request::parse(ask.target, ask.body) {
        Ok(request) => request,
        Err(e) => {
            tracing::debug!(peer = %ask.link.peer, "call refused: {e}");
            return Answer::status(StatusCode::BAD_REQUEST);
        }
    };
    ask.shared.gateway.count(request.action.as_str());
    let device = find(ask, &request);
    let proof = prove(device.as_deref(), &request);
    if let Some(kind) = activation::Kind::of(&request.action) {
        return activation::answer(ask, &request, kind, device, proof).await;
    }
    let (code, why) = match (&device, proof) {
        (Some(device), Proof::Valid(candidate)) => {
            return verified(ask, &request, Arc::clone(device), candidate).await;
        }
        (Some(device), Proof::Wrong) => {
            let why = "is not signed with its key: somebody else, or a device that was paired anew elsewhere";
            ("gateway.signature", format!("{} of {} {why}", request.action, device.id))
        }
        (Some(device), Proof::Unknown) => {
            actions::heard_unproven(ask.shared, ask.link, device, &request);
            let why = "can't be checked: its key is not known";
            ("gateway.key_unknown", format!("{} of {} {why}", request.action, device.id))
        }
        (None, _) => ("gateway.unknown_device", format!("{} of a device that is not known", request.action)),
    };
    let who = device.as_ref().map_or_else(|| named(ask, &request), |d| d.id.to_string());
    refuse(ask.shared, ask.link, &who, device.as_deref(), code, why);
    show(ask, &who, &request, Direction::In, Vec::new);
    let answer = unproven(ask, &request);
    show(ask, &who, &request, Direction::Out, || answer.body.to_vec());
    answer
}

/// Shows what a call said, out of its cipher, to whoever looks.
pub(super) fn show(
    ask: &Ask<'_>,
    who: &str,
    request: &Request,
    direction: Direction,
    body: impl FnOnce() -> Vec<u8>,
) {
    ask.shared.tapped(|| {
        let body = body();
        // Of what came, the body as it lay on the wire; of what goes, what is in it.
        let bytes = if direction == Direction::In { ask.body.len() } else { body.len() };
        Tapped {
            who: who.to_owned(),
            direction,
            what: format!("HTTP {}", request.action),
            sequence: None,
            bytes,
            body,
        }
    });
}

/// What everybody hears whose signature says nothing: in clear, since whoever is not known by his key has no key that
/// could be used, and the same whether the device exists or not.
fn unproven(ask: &Ask<'_>, request: &Request) -> Answer {
    let now = ask.shared.clock.unix();
    Answer::ok(JSON, constant::answer(request.action.as_str(), now).to_clear())
}

async fn verified(
    ask: &Ask<'_>,
    request: &Request,
    mut device: Arc<Registration>,
    candidate: Candidate,
) -> Answer {
    let shared = ask.shared;
    if candidate.pending {
        match shared.backend.keys_used(&device.id).await {
            Ok(first) => {
                shared.tell(Some(&device), Some(ask.link.peer), first.into());
                device = shared.backend.by_id(&device.id).unwrap_or(device);
            }
            // They stay pending, and count as used the next time.
            Err(e) => tracing::error!(device = %device.id, "the use of its new keys was not stored: {e}"),
        }
    }
    let generation = generation(ask, request);
    shared.handshakes.generation(device.id.as_str(), generation);
    // Over a certificate, stock of generation C looks like D; what was seen stays unless it is news.
    if device.generation.is_none_or(|seen| seen < generation) {
        let news = Announcement { generation: Some(generation), ..Announcement::default() };
        shared.backend.announce(&device.id, news);
    }
    let body = open(request, &device, &candidate.key);
    let asked = Asked {
        device: &device,
        link: ask.link,
        action: &request.action,
        version: request.version.as_deref(),
        body: &body,
    };
    show(ask, device.id.as_str(), request, Direction::In, || body.to_string().into());
    let reply = actions::answer(shared, &asked);
    show(ask, device.id.as_str(), request, Direction::Out, || reply.to_clear());
    Answer::ok(JSON, sealed(&reply, request, &candidate.key))
}

/// An answer in the form that the call waits for.
pub(super) fn sealed(reply: &Reply, request: &Request, key: &Key) -> Vec<u8> {
    reply.to_body(request.encryption, key, &mut OsEntropy::new())
}

/// The body under the key that signed, else under the other one; what cannot be read is none.
pub(super) fn open(request: &Request, device: &Registration, key: &Key) -> Value {
    if !request.has_body() {
        return Value::Null;
    }
    let others = candidates(device, request.key_kind());
    let keys = std::iter::once(key).chain(others.iter().map(|c| &c.key));
    for key in keys {
        if let Ok(text) = request.open_body(key) {
            return json::parse(&text).unwrap_or_else(|e| {
                tracing::debug!(device = %device.id, action = %request.action, "the body is no JSON: {e}");
                Value::Null
            });
        }
    }
    tracing::debug!(device = %device.id, action = %request.action, "the body is under none of its keys");
    Value::Null
}
