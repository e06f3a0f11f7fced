//! What the points of a device mean, and what its owner says of them.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use landfall_proto::dp::DpId;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::devices::{change, meant};
use super::{Answered, Home, tagged};
use crate::api::Shared;
use crate::api::answer::Answer;
use crate::api::body::{DefinitionBody, DeviceBody, PointEdit, PointWords};
use crate::api::extract::{JsonBody, Path, Query};
use crate::model::{DefinitionEdit, Edit};

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// `json`; `toml`: as a profile of this program, to be edited and given back; `own`: what the owner gave, as it was
    /// written, empty where that is nothing; `tuya-local`: as a device file of that integration, YAML. `json` when missing.
    format: Option<String>,
}

/// What a device's points mean, and where each fact came from.
#[utoipa::path(get, path = "/api/v1/devices/{device}/definition", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name."), Form),
    responses((status = 200, description = "It.", content(
        (DefinitionBody = "application/json"), (String = "application/toml"), (String = "application/yaml"),
        (String = "text/plain")))))]
pub(super) async fn definition(
    State(shared): Home,
    headers: HeaderMap,
    Path(device): Path<String>,
    Query(form): Query<Form>,
) -> Answered<Response> {
    let view = shared.home.device(&device)?;
    let own = || shared.home.own_definition(view.id());
    let (kind, text) = match form.format.as_deref() {
        None | Some("json") => return tagged(&headers, &DefinitionBody::of(&view, own().is_some())),
        Some("toml") => ("application/toml", view.definition.to_toml()),
        // TOML most often, but whatever is understood.
        Some("own") => ("text/plain; charset=utf-8", own().unwrap_or_default()),
        Some("tuya-local") => {
            ("application/yaml", view.definition.to_tuya_local(view.facts.product_id.as_ref()))
        }
        Some(other) => {
            return Err(Answer::bad(
                "query.format",
                format!("format={other:?} is none of json, toml, own, tuya-local"),
            ));
        }
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Says something of one point in the owner's own definition; all else in it stays as it was written. `If-Match` counts as for
/// changes of the device.
#[utoipa::path(patch, path = "/api/v1/devices/{device}/definition/points/{dp}", security(("bearer" = ["admin"])), request_body = PointWords,
    params(("device" = String, Path, description = "Device id, former id or name."), ("dp" = u16, Path, description = "Number of the point."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` with which the device was read.")),
    responses((status = 200, description = "The device as it is now.", body = DeviceBody)))]
pub(super) async fn edit_point(
    State(shared): Home,
    headers: HeaderMap,
    Path((device, dp)): Path<(String, u16)>,
    JsonBody(PointEdit(words)): JsonBody<PointEdit>,
) -> Answered<Response> {
    say_of(&shared, &headers, &device, dp, Some(words)).await
}

/// Takes back what the owner's own definition says of one point, so that the other sources count; all else in it stays.
/// `If-Match` counts as for changes of the device.
#[utoipa::path(delete, path = "/api/v1/devices/{device}/definition/points/{dp}", security(("bearer" = ["admin"])),
    params(("device" = String, Path, description = "Device id, former id or name."), ("dp" = u16, Path, description = "Number of the point."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` with which the device was read.")),
    responses((status = 200, description = "The device as it is now.", body = DeviceBody)))]
pub(super) async fn drop_point(
    State(shared): Home,
    headers: HeaderMap,
    Path((device, dp)): Path<(String, u16)>,
) -> Answered<Response> {
    say_of(&shared, &headers, &device, dp, None).await
}

/// What the owner says of one point from now on; nothing for `None`.
async fn say_of(
    shared: &Shared,
    headers: &HeaderMap,
    device: &str,
    dp: u16,
    words: Option<Map<String, Value>>,
) -> Answered<Response> {
    let view = meant(shared, device, headers)?;
    let definition = Some(DefinitionEdit::Point { id: DpId(dp), words });
    change(shared, &view, Edit { definition, ..Edit::default() }).await
}
