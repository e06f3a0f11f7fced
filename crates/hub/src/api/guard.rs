//! What every request passes before its route: host, origin, token, scope; and what every answer carries.
//!
//! Which scope a route needs stands in the OpenAPI document alone: the table is made from it, and a route that is not
//! in the document does not run. The page's files are no routes: exactly those that are embedded answer, to everybody.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::answer::Answer;
use super::sessions::{self, Closed, Open};
use super::tokens::{Caller, Scope};
use super::{Shared, etag, page};

/// In front of a token among a browser's WebSocket protocols, which can send no header.
pub(super) const BEARER_PROTOCOL: &str = "landfall.bearer.";
/// Where WebSockets are.
pub(super) const WS: &str = "/api/v1/ws";
/// The header by which a page shows that a change is its own.
const CSRF: &str = "x-landfall-csrf";
/// Longest time for any answer but a stream: longer than the longest command.
const PATIENCE: Duration = Duration::from_secs(90);
/// Wrong tokens of one peer in a [`WINDOW`].
const WRONG: u32 = 10;
/// The time in which wrong tokens are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Peers that are remembered for wrong tokens.
const PEERS: usize = 1_024;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over TCP, from there.
    Ip(IpAddr),
    /// Over the hub's own socket, whose other end is the owner.
    Owner,
}

/// What routes need, by path and method. `None`: nothing.
#[derive(Debug)]
pub(super) struct Table(HashMap<String, BTreeMap<String, Option<Scope>>>);

impl Table {
    /// Of an OpenAPI document. What the document does not say needs the most.
    pub(super) fn of(document: &Value) -> Self {
        let mut table = HashMap::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let methods =
                item.as_object().into_iter().flatten().filter(|(_, operation)| operation.is_object());
            let methods = methods.map(|(method, operation)| (method.to_ascii_uppercase(), needs(operation)));
            table.insert(path.clone(), methods.collect());
        }
        Self(table)
    }

    fn scope(&self, path: &str, method: &Method) -> Option<Option<Scope>> {
        // GET's route answers HEAD as well.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.get(method.as_str()).copied()
    }

    fn allowed(&self, path: &str) -> String {
        let methods = self.0.get(path).map(|m| m.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        methods.join(", ")
    }
}

fn needs(operation: &Value) -> Option<Scope> {
    let Some(requirement) = operation["security"].get(0) else { return Some(Scope::Admin) };
    if requirement.as_object().is_some_and(serde_json::Map::is_empty) {
        return None;
    }
    Some(requirement["bearer"][0].as_str().and_then(Scope::of_word).unwrap_or(Scope::Admin))
}

/// Counts wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Wrongs(Mutex<HashMap<IpAddr, (Duration, u32)>>);

impl Wrongs {
    /// Notes one at this monotonic time; whether it is one too many. Right tokens are never held up by it.
    fn note(&self, peer: IpAddr, now: Duration) -> bool {
        let peer = match peer.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) & (!0_u128 << 64))),
            v4 => v4,
        };
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.retain(|_, (since, _)| now.saturating_sub(*since) < WINDOW);
            if peers.len() >= PEERS {
                return true;
            }
        }
        let (since, count) = peers.entry(peer).or_insert((now, 0));
        if now.saturating_sub(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > WRONG
    }
}

/// Names by which browsers may call us.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// Loopback's names, this machine's, and these.
    pub(super) fn new(configured: &[String]) -> Self {
        let mut names = vec!["localhost".to_owned()];
        // Missing elsewhere than on Linux, where the owner names the machine in the settings.
        if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            let name = name.trim().to_ascii_lowercase();
            names.push(format!("{name}.local"));
            names.push(name);
        }
        names.extend(configured.iter().map(|n| n.trim_end_matches('.').to_ascii_lowercase()));
        Self { names }
    }

    /// An address can't be bound to another one by DNS, so that addresses are always right; names have to be known.
    fn takes(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
        bare.parse::<IpAddr>().is_ok() || host.ends_with(".localhost") || self.names.contains(&host)
    }
}

/// Checks a request, runs it, and dresses the answer.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let response = match admit(&shared, &mut request) {
        Ok(()) => match tokio::time::timeout(PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                tracing::warn!("an answer took longer than {} s", PATIENCE.as_secs());
                Answer::ours("request.timeout", "the answer took too long").into_response()
            }
        },
        Err(answer) => answer.into_response(),
    };
    dress(response, api, shared.tls)
}

fn admit(shared: &Shared, request: &mut Request) -> Result<(), Answer> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .ok_or_else(|| Answer::ours("internal", "a request without its connection's peer"))?;
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    if let Peer::Ip(_) = peer {
        let host = host(request)?;
        if !shared.hosts.takes(host.host()) {
            let said = format!("{:?} is not a name of this home", host.host());
            return Err(Answer::asked(StatusCode::MISDIRECTED_REQUEST, "host.refused", said)
                .hint("add it to `hosts` under [page] in the settings, if it is one"));
        }
        let changes = !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
        if changes || path.as_deref() == Some(WS) {
            check_origin(shared, request.headers(), &host)?;
        }
    }
    let scope = match &path {
        Some(path) => shared.table.scope(path, &method),
        None => None,
    };
    if scope == Some(None) || (path.is_none() && page::asked(&method, request.uri().path())) {
        return Ok(());
    }
    let (caller, session) = caller(shared, request, peer, path.as_deref() == Some(WS))?;
    let Some(path) = path else {
        let said = format!("there is nothing at {}", request.uri().path());
        return Err(Answer::asked(StatusCode::NOT_FOUND, "route.unknown", said)
            .hint("GET /api/v1/openapi.json describes all routes"));
    };
    let Some(Some(needed)) = scope else {
        let said = format!("{path} takes {}, not {method}", shared.table.allowed(&path));
        return Err(Answer::asked(StatusCode::METHOD_NOT_ALLOWED, "route.method", said));
    };
    if caller.scope < needed {
        let said = format!("this token's scope is {}, and this needs {}", caller.scope.word(), needed.word());
        return Err(Answer::asked(StatusCode::FORBIDDEN, "token.scope", said));
    }
    if let Some(session) = session {
        request.extensions_mut().insert(session);
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The one host that a request names.
fn host(request: &Request) -> Result<Authority, Answer> {
    let bad = |said: &str| Answer::bad("host.missing", said);
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let mut all = request.headers().get_all(header::HOST).iter();
    match (all.next(), all.next()) {
        (Some(host), None) => {
            Authority::try_from(host.as_bytes()).map_err(|_| bad("the Host header is no host"))
        }
        _ => Err(bad("a request needs one Host header")),
    }
}

/// A page of another origin may not change anything, or listen, in the name of a browser's user.
fn check_origin(shared: &Shared, headers: &HeaderMap, host: &Authority) -> Result<(), Answer> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let refused = || {
        Answer::asked(
            StatusCode::FORBIDDEN,
            "origin.refused",
            format!("pages of {origin:?} may not call this home"),
        )
    };
    let origin = origin.to_str().map_err(|_| refused())?;
    let (scheme, rest) = origin.split_once("://").ok_or_else(refused)?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(refused()),
    };
    let from = Authority::try_from(rest).map_err(|_| refused())?;
    let same_name = from.host().eq_ignore_ascii_case(host.host());
    // Whether a proxy took TLS off, the port behind a missing one can't be told.
    let same_port = match (from.port_u16(), host.port_u16()) {
        (from, None) => from.is_none_or(|p| p == port),
        (from, Some(to)) => from.unwrap_or(port) == to,
    };
    let through_proxy = shared.behind_proxy && shared.hosts.takes(from.host());
    if (same_name && same_port) || through_proxy { Ok(()) } else { Err(refused()) }
}

type Known = (Caller, Option<Open>);

fn caller(shared: &Shared, request: &Request, peer: Peer, ws: bool) -> Result<Known, Answer> {
    if peer == Peer::Owner {
        return Ok((Caller::OWNER, None));
    }
    if let Some(token) = token(request.headers(), ws) {
        let known = shared.tokens.check(token, shared.now_s()).map(|caller| (caller, None));
        return known.map_err(|_| wrong(shared, peer, "this token is unknown, revoked or expired"));
    }
    let mut closed = None;
    for cookie in sessions::cookies(request.headers()) {
        match shared.sessions.check(&cookie, shared.now_s()) {
            Ok((caller, open)) => {
                check_session(request, &open, ws)?;
                return Ok((caller, Some(open)));
            }
            Err(why) => closed = Some(why),
        }
    }
    Err(match closed {
        Some(Closed::Wrong) => wrong(shared, peer, "this is not the cookie of a session"),
        Some(Closed::Over) => {
            Answer::asked(StatusCode::UNAUTHORIZED, "session.over", "this session is over")
                .hint("sign in again")
        }
        None => Answer::asked(StatusCode::UNAUTHORIZED, "token.missing", "this needs a token").hint(
            "send `Authorization: Bearer TOKEN`; the first one is in the file admin-token of the data directory",
        ),
    })
}

/// A browser sends a cookie with whatever any page asks of us. That it was our own page is shown by what only that was
/// told, or, where no header can be sent, by the origin, which has been checked where there is one.
fn check_session(request: &Request, open: &Open, ws: bool) -> Result<(), Answer> {
    let refused = |code, said: &str| Answer::asked(StatusCode::FORBIDDEN, code, said);
    if ws && !request.headers().contains_key(header::ORIGIN) {
        return Err(refused("origin.missing", "a WebSocket with a cookie needs an Origin header"));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let given = request.headers().get(CSRF).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if open.proven_by(given)? {
        return Ok(());
    }
    Err(refused("csrf.missing", "a change with a cookie needs the header X-Landfall-CSRF")
        .hint("send what `csrf` says in the answer of GET /api/v1/session"))
}

/// Counts a wrong token or cookie, and says what is answered.
pub(super) fn wrong(shared: &Shared, peer: Peer, said: &str) -> Answer {
    if let Peer::Ip(ip) = peer
        && shared.wrongs.note(ip, shared.started.elapsed())
    {
        let said = "too many wrong tokens from this address";
        return Answer::asked(StatusCode::TOO_MANY_REQUESTS, "token.too_many_wrong", said);
    }
    Answer::asked(StatusCode::UNAUTHORIZED, "token.wrong", said)
}

/// The token of a request; never one in a URL, which is logged everywhere.
fn token(headers: &HeaderMap, ws: bool) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    if !ws {
        return None;
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    offered.flat_map(|v| v.split(',')).find_map(|p| p.trim().strip_prefix(BEARER_PROTOCOL))
}

fn dress(mut response: Response, api: bool, tls: bool) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    if api {
        set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
        set(header::CACHE_CONTROL, "private, no-cache");
    } else {
        set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    }
    if tls {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if api {
        headers.append(header::VARY, HeaderValue::from_static("authorization, cookie"));
    }
    etag::compressed(headers);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_and_known_names() {
        let hosts = Hosts::new(&["Landfall.home.".into()]);
        for good in
            ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "192.168.1.9", "landfall.home", "landfall.home."]
        {
            assert!(hosts.takes(good), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "xlocalhost", "", "landfall.home.evil.example"]
        {
            assert!(!hosts.takes(bad), "{bad}");
        }
    }

    #[test]
    fn wrong_tokens_are_counted_by_peer_and_forgotten() {
        let wrongs = Wrongs::default();
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for n in 0..15 {
            assert_eq!(wrongs.note(one, Duration::from_secs(n)), n >= 10, "{n}");
        }
        assert!(!wrongs.note(two, Duration::from_secs(15)));
        assert!(!wrongs.note(one, Duration::from_secs(61)));
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        assert!((0..10).all(|n| !wrongs.note(v6(n), Duration::from_secs(61))));
        assert!(wrongs.note(v6(99), Duration::from_secs(61)), "a /64 is one peer");
        for n in 0..5_000_u32 {
            wrongs.note(IpAddr::from(n.to_be_bytes()), Duration::from_secs(62));
        }
        assert!(wrongs.0.lock().unwrap().len() <= PEERS);
    }

    #[test]
    fn what_the_document_does_not_say_needs_the_most() {
        let document = serde_json::json!({"paths": {"/a": {
            "get": {"security": [{"bearer": ["read"]}]},
            "put": {"security": [{}]},
            "post": {},
            "patch": {"security": [{"bearer": ["odd"]}]},
        }}});
        let table = Table::of(&document);
        assert_eq!(table.scope("/a", &Method::HEAD), Some(Some(Scope::Read)));
        assert_eq!(table.scope("/a", &Method::PUT), Some(None));
        assert_eq!(table.scope("/a", &Method::POST), Some(Some(Scope::Admin)));
        assert_eq!(table.scope("/a", &Method::PATCH), Some(Some(Scope::Admin)));
        assert_eq!(table.scope("/a", &Method::DELETE), None);
        assert_eq!(table.scope("/b", &Method::GET), None);
    }
}
