//! The hub itself: health, status, settings, metrics, this document.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::history::zone_name;
use super::{Answered, Home, tagged, tagged_bytes};
use crate::api::answer::{Answer, ProblemBody};
use crate::api::body::{HealthBody, StatusBody};
use crate::api::{STREAMS, metrics as numbers};

/// How the hub is.
#[utoipa::path(get, path = "/api/v1/status", security(("bearer" = ["read"])),
    responses((status = 200, description = "It.", body = StatusBody)))]
pub(super) async fn status(State(shared): Home) -> Json<StatusBody> {
    let home = &shared.home;
    Json(StatusBody {
        hub: home.status(),
        now_ms: home.now_ms(),
        zone: zone_name(&home.zone()),
        seq: home.bus().last().0,
        streams: STREAMS.saturating_sub(shared.streams.available_permits()),
        settings_file: shared.settings_file.as_ref().map(|file| file.display().to_string()),
    })
}

/// The settings without secrets.
#[utoipa::path(get, path = "/api/v1/config", security(("bearer" = ["read"])),
    responses((status = 200, description = "They.", body = Object)))]
pub(super) async fn settings(State(shared): Home, headers: HeaderMap) -> Answered<Response> {
    tagged(&headers, &shared.settings)
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
pub(super) async fn document(State(shared): Home, headers: HeaderMap) -> Response {
    tagged_bytes(&headers, shared.document.clone())
}

/// Whether the hub answers at all.
#[utoipa::path(get, path = "/healthz", security(()),
    responses((status = 200, description = "It does.", body = HealthBody)))]
pub(super) async fn healthz() -> Json<HealthBody> {
    Json(HealthBody { status: "ok" })
}

/// Whether the hub does all its work: the door opens once everything behind it runs, and history is kept.
#[utoipa::path(get, path = "/readyz", security(()),
    responses((status = 200, description = "It does.", body = HealthBody),
        (status = 503, description = "It does not: why.", body = ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn readyz(State(shared): Home) -> Answered<Json<HealthBody>> {
    let store = shared.home.status().store;
    if store.ok {
        return Ok(Json(HealthBody { status: "ok" }));
    }
    // Everybody may ask: what the database said is for those with a token.
    let said =
        format!("history is not kept: the store ({}) fails, {} rows are waiting", store.kind, store.waiting);
    Err(Answer::asked(StatusCode::SERVICE_UNAVAILABLE, "store.failed", said)
        .hint("devices are served all the same; GET /api/v1/status and the log say why"))
}

/// Numbers for Prometheus, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", security(("bearer" = ["read"])),
    responses((status = 200, description = "They.", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(shared): Home) -> Answered<Response> {
    let text = numbers::text(&shared).map_err(|e| Answer::ours("internal", format!("no metrics: {e}")))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
