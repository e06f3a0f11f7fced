//! Answers as HTTP: few headers, an exact length, never in chunks (cloud.md 2.5).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// Content type of the gateway's answers, as captured.
pub(super) const JSON: &str = "application/json;charset=UTF-8";
/// Content type of the name service's answers, as known to work.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// Content type of firmware.
pub(super) const BINARY: &str = "application/octet-stream";

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: Option<&'static str>,
    pub(super) body: Bytes,
    /// First and last byte, and the size of the whole file.
    pub(super) range: Option<(u64, u64, u64)>,
    /// Whether the connection ends with it.
    pub(super) last: bool,
}

impl Answer {
    /// 200 with a body.
    pub(super) fn ok(kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, kind: Some(kind), body: body.into(), range: None, last: false }
    }

    /// Just a status.
    pub(super) const fn status(status: StatusCode) -> Self {
        Self { status, kind: None, body: Bytes::new(), range: None, last: false }
    }

    /// What a device hears that is refused: 503 without a word, as from a server that is overloaded. Stock and SDKs take
    /// it as "not now" and try again; it teaches nothing, and unlike the error codes of cloud.md 2.7 it makes no device
    /// forget anything.
    pub(super) const fn not_now() -> Self {
        let mut answer = Self::status(StatusCode::SERVICE_UNAVAILABLE);
        answer.last = true;
        answer
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = self.kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some((from, to, size)) = self.range {
            let text =
                if from <= to { format!("bytes {from}-{to}/{size}") } else { format!("bytes */{size}") };
            // Digits are always a header value.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(CONTENT_RANGE, value);
            }
        }
        if self.last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
