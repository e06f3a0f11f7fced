//! Signing in with a browser: a cookie for a token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use cookie::{Cookie, SameSite};

use super::owner::blocking;
use super::{Answered, Home};
use crate::api::Shared;
use crate::api::answer::Answer;
use crate::api::body::{SessionBody, SignInBody};
use crate::api::extract::JsonBody;
use crate::api::guard::{Peer, wrong};
use crate::api::sessions::{self, COOKIE, Open, UNUSED_S};
use crate::api::tokens::Caller;

impl From<&Open> for SessionBody {
    fn from(open: &Open) -> Self {
        Self {
            scope: open.token.scope,
            name: open.token.name.clone(),
            token: Some(open.token.id.clone()),
            csrf: Some(open.csrf.clone()),
            expires_ms: Some(open.expires_s.saturating_mul(1_000)),
        }
    }
}

/// Signs a browser in: for a token it is given the cookie `landfall_session`, which counts as the token from then on. It ends
/// with the token, and after 30 days without use.
#[utoipa::path(post, path = "/api/v1/session", security(()), request_body = SignInBody,
    responses((status = 200, description = "Signed in; the cookie comes with it.", body = SessionBody)))]
pub(super) async fn sign_in(
    State(shared): Home,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    JsonBody(asked): JsonBody<SignInBody>,
) -> Answered<Response> {
    let before: Vec<_> = sessions::cookies(&headers)
        .filter_map(|cookie| shared.sessions.check(&cookie, shared.now_s()).ok()?.0.session)
        .collect();
    let begin = Arc::clone(&shared);
    let opened = blocking(move || {
        let opened = begin.sessions.begin(asked.token.trim(), begin.now_s())?;
        // One browser, one session: who signs in anew has left the old one.
        for id in before.iter().filter(|_| opened.is_some()) {
            begin.sessions.end(id)?;
        }
        Ok::<_, crate::api::tokens::TokensError>(opened)
    });
    match opened.await?? {
        Some(open) => answer(&shared, &open),
        None => Err(wrong(&shared, peer, "this token is unknown, revoked or expired")),
    }
}

/// Who is signed in. It renews the cookie.
#[utoipa::path(get, path = "/api/v1/session", security(("bearer" = ["read"])),
    responses((status = 200, description = "They.", body = SessionBody)))]
pub(super) async fn session(
    State(shared): Home,
    Extension(caller): Extension<Caller>,
    open: Option<Extension<Open>>,
) -> Answered<Response> {
    if let Some(Extension(open)) = open {
        return answer(&shared, &open);
    }
    let info = caller.token.as_deref().and_then(|id| shared.tokens.info(id, shared.now_s()));
    let body = SessionBody {
        scope: caller.scope,
        name: info.as_ref().map_or_else(|| "owner".to_owned(), |i| i.name.clone()),
        token: caller.token,
        csrf: None,
        expires_ms: info.and_then(|i| i.expires_s).map(|s| s.saturating_mul(1_000)),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Signs the browser out: its cookie is worth nothing any more, and its streams end.
#[utoipa::path(delete, path = "/api/v1/session", security(("bearer" = ["read"])),
    responses((status = 204, description = "Nobody is signed in here.")))]
pub(super) async fn sign_out(
    State(shared): Home,
    Extension(caller): Extension<Caller>,
) -> Answered<Response> {
    if let Some(id) = caller.session {
        let ending = Arc::clone(&shared);
        blocking(move || ending.sessions.end(&id)).await??;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &shared, "", 0)?;
    Ok(response)
}

fn answer(shared: &Shared, open: &Open) -> Answered<Response> {
    let mut response = Json(SessionBody::from(open)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let left = open.expires_s.saturating_sub(shared.now_s()).min(UNUSED_S);
    set_cookie(&mut response, shared, &open.cookie, left)?;
    Ok(response)
}

/// No script reads it, no other site's page sends it, and with TLS nobody on the way sees it.
fn set_cookie(response: &mut Response, shared: &Shared, value: &str, seconds: u64) -> Answered<()> {
    let cookie = Cookie::build((COOKIE, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(shared.tls || shared.behind_proxy)
        .max_age(cookie::time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
    let mut text = HeaderValue::from_str(&cookie.to_string())
        .map_err(|e| Answer::ours("internal", format!("no cookie: {e}")))?;
    text.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, text);
    Ok(())
}
