//! What requests hold, checked; every mistake is answered as a problem.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::answer::Answer;

/// Most bytes of a body.
pub(super) const BODY: usize = 256 << 10;
/// Most bytes of another tool's file.
pub(super) const IMPORT: usize = 8 << 20;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body in JSON.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

/// A query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// The parts of a path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

/// A whole file in another tool's format.
#[derive(Debug)]
pub(super) struct FileBody(pub(super) String);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Answer;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Answer> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // A form of another site can't send this type without asking first (CORS), which is answered with no.
        if kind != "application/json" && !kind.ends_with("+json") {
            let said = format!("the body's type is {kind:?}, not application/json");
            return Err(Answer::asked(StatusCode::UNSUPPORTED_MEDIA_TYPE, "request.media_type", said)
                .hint("send `Content-Type: application/json`"));
        }
        let bytes = read(request.into_body(), BODY).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| {
            let code = if e.is_data() { "request.body" } else { "request.json" };
            let status = if e.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            Answer::asked(status, code, e.to_string())
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for FileBody {
    type Rejection = Answer;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Answer> {
        let bytes = read(request.into_body(), IMPORT).await?;
        String::from_utf8(bytes.into())
            .map(Self)
            .map_err(|e| Answer::bad("request.utf8", format!("the file is not UTF-8: {}", e.utf8_error())))
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, Answer> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, most).collect()).await.map_err(|_| {
        let said = format!("the body did not arrive within {} s", PATIENCE.as_secs());
        Answer::asked(StatusCode::REQUEST_TIMEOUT, "request.slow", said)
    })?;
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(Answer::asked(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request.too_large",
            format!("the body has more than {most} bytes"),
        )),
        Err(e) => Err(Answer::bad("request.broken", format!("the body can't be read: {e}"))),
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|q| Self(q.0)).map_err(|e| Answer::bad("request.query", e.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|p| Self(p.0)).map_err(|e| Answer::bad("request.path", e.body_text()))
    }
}
