//! Errors as RFC 9457 has them: `application/problem+json` with a stable code, everywhere.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::tokens::TokensError;
use crate::model::{Problem, ProblemKind};
use crate::profile::WriteError;
use crate::store::StoreError;

/// A problem as it is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// `urn:landfall:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP's status once more.
    pub status: u16,
    /// What was wrong, with value and cause.
    pub detail: String,
    /// Stable dotted code: `device.unknown`, `dp.out_of_range`.
    pub code: String,
    /// The next step, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// tinytuya's number for it, where one fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuya_error: Option<u16>,
}

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    problem: Problem,
}

/// What handlers return.
pub type Answered<T> = Result<T, Answer>;

impl Answer {
    /// With this status.
    pub const fn new(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem }
    }

    /// The caller's fault.
    pub fn asked(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, Problem::new(ProblemKind::Asked, code, message))
    }

    /// 400.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::asked(StatusCode::BAD_REQUEST, code, message)
    }

    /// Our fault.
    pub fn ours(code: &'static str, message: impl Into<String>) -> Self {
        Self::from(Problem::new(ProblemKind::Ours, code, message))
    }

    /// With the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// As it is sent.
    pub fn body(&self) -> ProblemBody {
        let code = self.problem.code;
        ProblemBody {
            kind: format!("urn:landfall:problem:{code}"),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.problem.message.clone(),
            code: code.to_owned(),
            hint: self.problem.hint.clone(),
            tuya_error: tuya_error(code),
        }
    }
}

/// tinytuya's numbers (tinytuya/core/error_helper.py), so that scripts that look for them go on working.
fn tuya_error(code: &str) -> Option<u16> {
    Some(match code {
        "request.json" => 900,
        "device.timeout" => 902,
        "dp.out_of_range" | "dp.wrong_type" | "attribute.misfit" => 903,
        "device.offline" | "device.no_line" => 905,
        "dp.unknown" | "attribute.unknown" | "dp.read_only" => 907,
        "device.no_key" | "key.rejected" | "device.wrong_key" | "device.wrong_version" => 914,
        _ => return None,
    })
}

/// The status of a problem. 5xx is always our own fault: a device that is off is a conflict with how things are.
impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            ProblemKind::Asked => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::Unknown => StatusCode::NOT_FOUND,
            ProblemKind::Conflict | ProblemKind::Device => StatusCode::CONFLICT,
            ProblemKind::Busy => StatusCode::TOO_MANY_REQUESTS,
            ProblemKind::Ours => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, problem)
    }
}

impl From<StoreError> for Answer {
    fn from(e: StoreError) -> Self {
        use std::error::Error as _;
        if let StoreError::Asked(said) = &e {
            return Self::asked(StatusCode::UNPROCESSABLE_ENTITY, "history.bad_range", said.clone());
        }
        let cause = e.source().map(|s| format!(": {s}")).unwrap_or_default();
        tracing::warn!("history can't be read: {e}{cause}");
        Self::ours("store.failed", format!("{e}{cause}")).hint("`landfall status` shows how the store is")
    }
}

impl From<WriteError> for Answer {
    fn from(e: WriteError) -> Self {
        let code = e.code();
        Self::asked(StatusCode::UNPROCESSABLE_ENTITY, code, e.to_string())
    }
}

impl From<TokensError> for Answer {
    fn from(e: TokensError) -> Self {
        let said = e.to_string();
        match e {
            TokensError::Unknown(_) => Self::asked(StatusCode::NOT_FOUND, "token.unknown", said),
            TokensError::Name => Self::asked(StatusCode::UNPROCESSABLE_ENTITY, "token.bad_name", said),
            TokensError::Expired => Self::asked(StatusCode::UNPROCESSABLE_ENTITY, "token.expired", said),
            TokensError::TooMany => Self::asked(StatusCode::CONFLICT, "token.too_many", said),
            TokensError::LastAdmin => Self::asked(StatusCode::CONFLICT, "token.last_admin", said),
            TokensError::Io { .. } | TokensError::Damaged { .. } | TokensError::Random(_) => {
                tracing::warn!("tokens: {said}");
                Self::ours("token.not_kept", said)
            }
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"landfall\""));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}
