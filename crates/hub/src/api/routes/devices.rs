//! Devices: what they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::lan::Version;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, Home, tagged};
use crate::api::Shared;
use crate::api::answer::Answer;
use crate::api::body::{
    AddBody, DefinitionBody, DeviceBody, DeviceList, EditBody, ImportBody, KeyBody, TimersBody,
};
use crate::api::etag::Tag;
use crate::api::extract::{FileBody, JsonBody, Path, Query};
use crate::model::{DefinitionEdit, DeviceView, Edit, NewDevice};

/// Which devices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Part of name, id, room or product, in any case.
    q: Option<String>,
    /// This room.
    room: Option<String>,
    /// `unknown`, `online`, `offline`, `asleep`.
    presence: Option<String>,
    /// Sub-devices of this gateway: its device id.
    parent: Option<String>,
    /// Most devices of an answer: 1 to 1000, 100 when missing.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// How many to leave out first.
    offset: Option<usize>,
}

/// All devices, by name.
#[utoipa::path(get, path = "/api/v1/devices", params(Filter), security(("bearer" = ["read"])),
    responses((status = 200, description = "A page of them.", body = DeviceList)))]
pub(super) async fn list(
    State(shared): Home,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Answered<Response> {
    let limit = limit(filter.limit, 100, 1_000)?;
    let offset = filter.offset.unwrap_or(0);
    let q = filter.q.map(|q| q.to_lowercase());
    let fits = |d: &crate::model::DeviceView| {
        let f = &d.facts;
        let mut texts =
            [Some(f.name.as_str()), Some(f.id.as_str()), f.room.as_deref(), f.product_name.as_deref()]
                .into_iter()
                .flatten();
        q.as_ref().is_none_or(|q| texts.any(|t| t.to_lowercase().contains(q)))
            && filter.room.as_ref().is_none_or(|r| f.room.as_ref() == Some(r))
            && filter.presence.as_ref().is_none_or(|p| d.presence.word() == p)
            && filter.parent.as_ref().is_none_or(|p| f.parent.as_ref().is_some_and(|have| have.as_str() == p))
    };
    let mut all = shared.home.devices();
    all.retain(|d| fits(d));
    let devices = all.iter().skip(offset).take(limit).map(|d| DeviceBody::from(&**d)).collect();
    tagged(&headers, &DeviceList { devices, total: all.len(), offset, limit })
}

/// A limit within its bounds.
pub(super) fn limit(asked: Option<usize>, usual: usize, most: usize) -> Answered<usize> {
    match asked.unwrap_or(usual) {
        n if (1..=most).contains(&n) => Ok(n),
        n => Err(Answer::bad("query.limit", format!("limit={n} is not within 1 to {most}"))),
    }
}

/// Adds a device by hand.
#[utoipa::path(post, path = "/api/v1/devices", security(("bearer" = ["admin"])), request_body = AddBody,
    responses((status = 201, description = "It is in the book.", body = DeviceBody)))]
pub(super) async fn add(State(shared): Home, JsonBody(body): JsonBody<AddBody>) -> Answered<Response> {
    let id = |text: String| DeviceId::new(text).map_err(|e| unfit("device.bad_id", &e));
    let new = NewDevice {
        id: id(body.id)?.to_string(),
        name: body.name,
        key: body.key.map(|k| k.0),
        address: body.address,
        port: body.port,
        version: body.version.map(|v| version(&v)).transpose()?,
        parent: body.parent.map(id).transpose()?,
        cid: body.cid.map(|c| Cid::new(c).map_err(|e| unfit("device.bad_id", &e))).transpose()?,
    };
    let view = shared.home.add(new).await?;
    let place = format!("/api/v1/devices/{}", view.id());
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(DeviceBody::from(&*view))).into_response())
}

fn unfit(code: &'static str, e: &dyn std::fmt::Display) -> Answer {
    Answer::asked(StatusCode::UNPROCESSABLE_ENTITY, code, e.to_string())
}

fn version(text: &str) -> Answered<Version> {
    text.parse().map_err(|_| {
        unfit(
            "device.bad_version",
            &format!("{text:?} is no LAN protocol version; 3.1, 3.2, 3.3, 3.4 and 3.5 are"),
        )
    })
}

/// Whether to do it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Apply {
    /// Change the book; otherwise only tell what would change.
    #[serde(default)]
    #[param(required = false, default = false)]
    apply: bool,
}

/// Reads devices from another tool's file: tinytuya's devices.json and snapshot.json, tuya-cli's list,
/// tuya-cloudcutter's deviceconfig.
#[utoipa::path(post, path = "/api/v1/devices/import", params(Apply), security(("bearer" = ["admin"])),
    request_body(content = String, content_type = "application/octet-stream", description = "The file, at most 8 MiB."),
    responses((status = 200, description = "What changed, or would.", body = ImportBody)))]
pub(super) async fn import(
    State(shared): Home,
    Query(Apply { apply }): Query<Apply>,
    FileBody(text): FileBody,
) -> Answered<Json<ImportBody>> {
    let devices = shared.home.import(&text, apply).await?.into_iter().map(Into::into).collect();
    Ok(Json(ImportBody { applied: apply, devices }))
}

/// A device.
#[utoipa::path(get, path = "/api/v1/devices/{device}", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "It.", body = DeviceBody)))]
pub(super) async fn one(
    State(shared): Home,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Answered<Response> {
    let view = shared.home.device(&device)?;
    let (tag, body) = tag(&shared, &view)?;
    Ok(tag.known_to(&headers).unwrap_or_else(|| with_tag(&tag, body)))
}

/// A device's tag and body. The tag's first part is what an edit changes.
fn tag(shared: &Shared, view: &DeviceView) -> Answered<(Tag, Vec<u8>)> {
    let json = |e: serde_json::Error| Answer::ours("internal", format!("no JSON: {e}"));
    let facts = &view.facts;
    let edited = (&facts.id, &facts.name, &facts.room, facts.version.map(|v| v.to_string()), facts.sleeper);
    let own = shared.home.own_definition(&facts.id);
    let edited = serde_json::to_vec(&(edited, DefinitionBody::of(view, own.is_some()), own)).map_err(json)?;
    let whole = serde_json::to_vec(&DeviceBody::from(view)).map_err(json)?;
    Ok((Tag::of_parts(&edited, &whole), whole))
}

/// Changes a device, and answers with how it is then.
pub(super) async fn change(shared: &Shared, view: &DeviceView, edit: Edit) -> Answered<Response> {
    let view = shared.home.edit(view.id(), edit).await?;
    let (tag, body) = tag(shared, &view)?;
    Ok(with_tag(&tag, body))
}

fn with_tag(tag: &Tag, body: Vec<u8>) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    tag.put(&mut response);
    response
}

/// The device that a change is meant for.
pub(super) fn meant(shared: &Shared, device: &str, headers: &HeaderMap) -> Answered<Arc<DeviceView>> {
    let view = shared.home.device(device)?;
    if tag(shared, &view)?.0.is_meant(headers) {
        return Ok(view);
    }
    let said = format!("{} was changed since it was read", view.facts.name);
    Err(Answer::asked(StatusCode::PRECONDITION_FAILED, "device.changed", said)
        .hint("read it again, and send its new ETag as If-Match"))
}

/// Changes what is known of a device. With `If-Match` only if name, room, version, definition are still those that were read
/// with this `ETag`; what it reported since does not count.
#[utoipa::path(patch, path = "/api/v1/devices/{device}", security(("bearer" = ["admin"])), request_body = EditBody,
    params(("device" = String, Path, description = "Device id, former id or name."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` with which it was read.")),
    responses((status = 200, description = "As it is now.", body = DeviceBody)))]
pub(super) async fn edit(
    State(shared): Home,
    headers: HeaderMap,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<EditBody>,
) -> Answered<Response> {
    let view = meant(&shared, &device, &headers)?;
    let edit = Edit {
        name: body.name,
        room: body.room,
        key: body.key.map(|k| k.0),
        address: body.address,
        version: body.version.map(|v| version(&v)).transpose()?,
        sleeper: body.sleeper,
        definition: body.definition.map(DefinitionEdit::Whole),
    };
    change(&shared, &view, edit).await
}

/// What becomes of its history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Forget {
    /// Forget its history as well.
    #[serde(default)]
    #[param(required = false, default = false)]
    forget: bool,
}

/// Removes a device. `If-Match` counts as for changes.
#[utoipa::path(delete, path = "/api/v1/devices/{device}", params(("device" = String, Path, description = "Device id, former id or name."), Forget,
        ("If-Match" = Option<String>, Header, description = "The `ETag` with which it was read.")),
    security(("bearer" = ["admin"])), responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(shared): Home,
    Path(device): Path<String>,
    headers: HeaderMap,
    Query(Forget { forget }): Query<Forget>,
) -> Answered<StatusCode> {
    let view = meant(&shared, &device, &headers)?;
    shared.home.remove(view.id(), forget).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A device's local key.
#[utoipa::path(get, path = "/api/v1/devices/{device}/key", security(("bearer" = ["admin"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "A secret: keep it out of logs.", body = KeyBody)))]
pub(super) async fn key(State(shared): Home, Path(device): Path<String>) -> Answered<Response> {
    let view = shared.home.device(&device)?;
    let key = shared.home.key(view.id())?.map(|k| k.expose_str().to_owned());
    let body = KeyBody { device: view.id().to_string(), key };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// What the cloud knows of a device: handshake, timers, firmware questions.
#[utoipa::path(get, path = "/api/v1/devices/{device}/cloud", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "It; `null` when the device was never seen there.", body = serde_json::Value)))]
pub(super) async fn cloud(
    State(shared): Home,
    Path(device): Path<String>,
) -> Answered<Json<serde_json::Value>> {
    let view = shared.home.device(&device)?;
    Ok(Json(shared.home.cloud_side(view.id()).unwrap_or_default()))
}

/// Gives a device timers that it keeps itself.
#[utoipa::path(put, path = "/api/v1/devices/{device}/timers", security(("bearer" = ["admin"])), request_body = TimersBody,
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 204, description = "It is told, or will be when it asks.")))]
pub(super) async fn timers(
    State(shared): Home,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<TimersBody>,
) -> Answered<StatusCode> {
    let view = shared.home.device(&device)?;
    let timers = body.timers.map(|t| t.into_iter().map(Into::into).collect());
    shared.home.set_timers(view.id(), timers).await?;
    Ok(StatusCode::NO_CONTENT)
}
