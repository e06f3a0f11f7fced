//! Devices: how they are, and commands.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use landfall_proto::dp::{DpId, DpValue, Dps};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::{Answered, Home, tagged};
use crate::api::answer::Answer;
use crate::api::body::{
    CommandBody, DpsBody, OutcomeBody, PointBody, PointValue, ScanBody, StateBody, StrangerList, VerdictBody,
};
use crate::api::extract::{JsonBody, Path, Query};
use crate::api::tokens::Caller;
use crate::api::{Shared, when};
use crate::model::{By, CommandOptions, DeviceView, Line};

/// Most points of one command.
const POINTS: usize = 256;

/// How a command is to be done.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// When to give up: `5`, `500ms`, `30s`; 100 ms to 60 s, 5 s when missing.
    timeout: Option<String>,
    /// Wait until the device shows the value; default true.
    confirm: Option<bool>,
    /// Over this line only: `lan` or `cloud`.
    line: Option<String>,
}

impl How {
    fn options(&self, caller: &Caller) -> Answered<CommandOptions> {
        let mut options = CommandOptions::of(by(caller));
        if let Some(timeout) = &self.timeout {
            options.timeout = when::timeout(timeout)?;
        }
        options.confirm = self.confirm.unwrap_or(true);
        options.line = self.line.as_deref().map(line).transpose()?;
        Ok(options)
    }
}

fn by(caller: &Caller) -> By {
    if caller.token.is_none() { By::Cli } else { By::Api }
}

/// The line of this word.
fn line(word: &str) -> Answered<Line> {
    [Line::Lan, Line::Cloud].into_iter().find(|l| l.word() == word).ok_or_else(|| {
        Answer::asked(
            StatusCode::UNPROCESSABLE_ENTITY,
            "command.line",
            format!("{word:?} is no line; lan and cloud are"),
        )
    })
}

/// Points from JSON, as they are on the wire.
pub(in crate::api) fn points(given: BTreeMap<String, Value>) -> Answered<Dps> {
    let unfit = |code, said: String| Answer::asked(StatusCode::UNPROCESSABLE_ENTITY, code, said);
    if given.is_empty() || given.len() > POINTS {
        return Err(unfit(
            "command.points",
            format!("a command sets 1 to {POINTS} points, not {}", given.len()),
        ));
    }
    let mut dps = Dps::new();
    for (number, value) in given {
        let id = number
            .parse::<DpId>()
            .map_err(|_| unfit("dp.bad_number", format!("{number:?} is no number of a point")))?;
        let value = serde_json::from_value::<DpValue>(value)
            .map_err(|e| unfit("dp.wrong_type", format!("point {id}: {e}")))?;
        dps.insert(id, value);
    }
    Ok(dps)
}

/// Points that make these attributes so.
pub(in crate::api) fn attributes(view: &DeviceView, given: &Map<String, Value>) -> Answered<Dps> {
    if given.is_empty() || given.len() > POINTS {
        let said = format!("a command sets 1 to {POINTS} attributes, not {}", given.len());
        return Err(Answer::asked(StatusCode::UNPROCESSABLE_ENTITY, "command.points", said));
    }
    Ok(view.definition.write(given, &view.dps())?)
}

/// Options from a body's words.
pub(in crate::api) fn options(
    caller: &Caller,
    line_word: Option<&str>,
    timeout_ms: Option<u64>,
    confirm: Option<bool>,
) -> Answered<CommandOptions> {
    let mut options = CommandOptions::of(by(caller));
    if let Some(ms) = timeout_ms {
        options.timeout = when::timeout_ms(ms)?;
    }
    options.confirm = confirm.unwrap_or(true);
    options.line = line_word.map(line).transpose()?;
    Ok(options)
}

async fn set(
    shared: &Shared,
    view: &DeviceView,
    dps: Dps,
    options: CommandOptions,
) -> Answered<Json<OutcomeBody>> {
    let ended = shared.home.set(view.id(), dps, options).await?;
    Ok(Json((&*ended).into()))
}

/// The state of a device: attributes by name, in their units.
#[utoipa::path(get, path = "/api/v1/devices/{device}/state", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "As last reported.", body = StateBody)))]
pub(super) async fn state(
    State(shared): Home,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Answered<Response> {
    let view = shared.home.device(&device)?;
    tagged(&headers, &StateBody::from(&*view))
}

/// Sets attributes, and waits for the outcome. Values are absolute: there is no toggle.
#[utoipa::path(patch, path = "/api/v1/devices/{device}/state", security(("bearer" = ["control"])),
    request_body(content = Object, description = "Attributes by name, in their units: `{\"switch_1\": true}`."),
    params(("device" = String, Path, description = "Device id, former id or name."), How),
    responses((status = 200, description = "It was tried: how it ended.", body = OutcomeBody)))]
pub(super) async fn set_state(
    State(shared): Home,
    Extension(caller): Extension<Caller>,
    Path(device): Path<String>,
    Query(how): Query<How>,
    JsonBody(given): JsonBody<Map<String, Value>>,
) -> Answered<Json<OutcomeBody>> {
    let options = how.options(&caller)?;
    let view = shared.home.device(&device)?;
    let dps = attributes(&view, &given)?;
    set(&shared, &view, dps, options).await
}

/// The points of a device, unscaled.
#[utoipa::path(get, path = "/api/v1/devices/{device}/dps", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "As last reported.", body = DpsBody)))]
pub(super) async fn dps(
    State(shared): Home,
    headers: HeaderMap,
    Path(device): Path<String>,
) -> Answered<Response> {
    let view = shared.home.device(&device)?;
    tagged(&headers, &DpsBody::from(&*view))
}

/// A point of a device, unscaled.
#[utoipa::path(get, path = "/api/v1/devices/{device}/dps/{dp}", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name."), ("dp" = u16, Path, description = "Number of the point.")),
    responses((status = 200, description = "As last reported.", body = PointBody)))]
pub(super) async fn dp(
    State(shared): Home,
    Path((device, dp)): Path<(String, u16)>,
) -> Answered<Json<PointBody>> {
    let view = shared.home.device(&device)?;
    let point = view.points.get(&DpId(dp)).ok_or_else(|| {
        let said = format!("{} has not reported a point {dp}", view.facts.name);
        Answer::asked(StatusCode::NOT_FOUND, "dp.unknown", said)
    })?;
    Ok(Json(PointBody::of(point, view.definition.points.get(&DpId(dp)))))
}

/// Sets a point, and waits for the outcome.
#[utoipa::path(put, path = "/api/v1/devices/{device}/dps/{dp}", security(("bearer" = ["control"])), request_body = PointValue,
    params(("device" = String, Path, description = "Device id, former id or name."), ("dp" = u16, Path, description = "Number of the point."), How),
    responses((status = 200, description = "It was tried: how it ended.", body = OutcomeBody)))]
pub(super) async fn put_dp(
    State(shared): Home,
    Extension(caller): Extension<Caller>,
    Path((device, dp)): Path<(String, u16)>,
    Query(how): Query<How>,
    JsonBody(PointValue { value }): JsonBody<PointValue>,
) -> Answered<Json<OutcomeBody>> {
    let options = how.options(&caller)?;
    let view = shared.home.device(&device)?;
    set(&shared, &view, points(BTreeMap::from([(dp.to_string(), value)]))?, options).await
}

/// The same as PUT.
#[utoipa::path(patch, path = "/api/v1/devices/{device}/dps/{dp}", security(("bearer" = ["control"])), request_body = PointValue,
    params(("device" = String, Path, description = "Device id, former id or name."), ("dp" = u16, Path, description = "Number of the point."), How),
    responses((status = 200, description = "It was tried: how it ended.", body = OutcomeBody)))]
pub(super) async fn patch_dp(
    state: Home,
    caller: Extension<Caller>,
    path: Path<(String, u16)>,
    how: Query<How>,
    body: JsonBody<PointValue>,
) -> Answered<Json<OutcomeBody>> {
    put_dp(state, caller, path, how, body).await
}

/// Sets points, unscaled, and waits for the outcome.
#[utoipa::path(post, path = "/api/v1/devices/{device}/commands", security(("bearer" = ["control"])), request_body = CommandBody,
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "It was tried: how it ended.", body = OutcomeBody)))]
pub(super) async fn command(
    State(shared): Home,
    Extension(caller): Extension<Caller>,
    Path(device): Path<String>,
    JsonBody(body): JsonBody<CommandBody>,
) -> Answered<Json<OutcomeBody>> {
    let options = options(&caller, body.line.as_deref(), body.timeout_ms, body.confirm)?;
    let view = shared.home.device(&device)?;
    set(&shared, &view, points(body.dps)?, options).await
}

/// Which points.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Numbers of points with commas between; all when missing.
    dps: Option<String>,
}

/// Numbers of points in a list.
pub(super) fn numbers(list: Option<&str>) -> Answered<Vec<DpId>> {
    let list = list.unwrap_or_default();
    let parse = |n: &str| {
        n.trim()
            .parse::<DpId>()
            .map_err(|_| Answer::bad("dp.bad_number", format!("dps: {n:?} is no number of a point")))
    };
    let numbers: Vec<_> =
        list.split(',').filter(|n| !n.trim().is_empty()).map(parse).collect::<Result<_, _>>()?;
    if numbers.len() > POINTS {
        return Err(Answer::bad("query.dps", format!("at most {POINTS} points at a time")));
    }
    Ok(numbers)
}

/// Has a device measure and report points.
#[utoipa::path(post, path = "/api/v1/devices/{device}/refresh", security(("bearer" = ["control"])),
    params(("device" = String, Path, description = "Device id, former id or name."), Which),
    responses((status = 202, description = "It was asked; reports come as changes.")))]
pub(super) async fn refresh(
    State(shared): Home,
    Path(device): Path<String>,
    Query(which): Query<Which>,
) -> Answered<StatusCode> {
    let points = numbers(which.dps.as_deref())?;
    let view = shared.home.device(&device)?;
    shared.home.refresh(view.id(), points).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Examines a device: what is wrong, what was seen, what to do.
#[utoipa::path(post, path = "/api/v1/devices/{device}/doctor", security(("bearer" = ["control"])),
    params(("device" = String, Path, description = "Device id, former id or name.")),
    responses((status = 200, description = "The verdict.", body = VerdictBody)))]
pub(super) async fn doctor(State(shared): Home, Path(device): Path<String>) -> Answered<Json<VerdictBody>> {
    let view = shared.home.device(&device)?;
    Ok(Json(shared.home.doctor(view.id()).await?.into()))
}

/// Who was heard lately, by beacon or at the cloud, and is not in the book.
#[utoipa::path(get, path = "/api/v1/strangers", security(("bearer" = ["read"])),
    responses((status = 200, description = "They.", body = StrangerList)))]
pub(super) async fn strangers(State(shared): Home, headers: HeaderMap) -> Answered<Response> {
    let strangers = shared.home.strangers().into_iter().map(Into::into).collect();
    tagged(&headers, &StrangerList { strangers })
}

/// Listens and asks on the network for a while.
#[utoipa::path(post, path = "/api/v1/scan", security(("bearer" = ["control"])),
    responses((status = 200, description = "What was found.", body = ScanBody)))]
pub(super) async fn scan(State(shared): Home) -> Answered<Json<ScanBody>> {
    let found = shared.home.scan().await?.into_iter().map(Into::into).collect();
    Ok(Json(ScanBody { found }))
}
