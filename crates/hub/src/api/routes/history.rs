//! What was: points, energy, events.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use landfall_proto::id::DeviceId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::control::numbers;
use super::devices::limit;
use super::{Answered, Home};
use crate::api::answer::Answer;
use crate::api::body::{
    BarBody, EnergyBody, EventList, HistoryBody, HomeEnergyBody, SeriesBody, ShareBody, cost,
};
use crate::api::extract::{Path, Query};
use crate::api::{Shared, when};
use crate::model::{DeviceView, MilliWattHours, Seq};
use crate::store::{Bar, HistoryQuery, Span};

/// Most samples of a point in one answer.
const SAMPLES: usize = 50_000;
/// Most devices whose share of a home's energy is told.
const SHARES: usize = 100;
/// Most bars of one answer.
const BARS: u64 = 10_000;

/// Which part of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// From when: RFC 3339, milliseconds since 1970, or so long before now (`-1h`); `-24h` when missing.
    from: Option<String>,
    /// To when; `now` when missing.
    to: Option<String>,
    /// Width of the steps (`60s`, `15m`, `1h`); every change when missing.
    step: Option<String>,
    /// Numbers of points with commas between; all when missing.
    dps: Option<String>,
    /// Values as on the wire instead of in their units.
    #[serde(default)]
    #[param(required = false, default = false)]
    raw: bool,
    /// Most samples of a point: 1 to 50000, 5000 when missing.
    #[param(minimum = 1, maximum = 50_000)]
    limit: Option<usize>,
}

/// History of a device's points.
#[utoipa::path(get, path = "/api/v1/devices/{device}/history", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name."), Part),
    responses((status = 200, description = "It.", body = HistoryBody)))]
pub(super) async fn history(
    State(shared): Home,
    Path(device): Path<String>,
    Query(part): Query<Part>,
) -> Answered<Json<HistoryBody>> {
    let (from_ms, to_ms) =
        when::range(part.from.as_deref(), part.to.as_deref(), "-24h", shared.home.now_ms())?;
    let step_ms = part.step.as_deref().map(step).transpose()?;
    let limit = limit(part.limit, 5_000, SAMPLES)?;
    let dps = numbers(part.dps.as_deref())?;
    let view = shared.home.device(&device)?;
    let query = HistoryQuery { device: view.id().clone(), dps, from_ms, to_ms, step_ms, limit };
    let series = shared.home.store().history(&query).await?;
    let series = series.into_iter().map(|s| SeriesBody::of(s, &view, part.raw)).collect();
    Ok(Json(HistoryBody { device: view.id().to_string(), from_ms, to_ms, series }))
}

fn step(text: &str) -> Answered<u64> {
    when::duration_ms(text).filter(|ms| (1_000..=366 * 86_400_000).contains(ms)).ok_or_else(|| {
        Answer::bad("query.step", format!("step={text:?} is no width of a step"))
            .hint("write 1s to 366d: 60s, 15m, 1h")
    })
}

/// Which energy.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Used {
    /// From when; 48 hours, 31 days or 366 days before now when missing.
    from: Option<String>,
    /// To when; `now` when missing.
    to: Option<String>,
    /// `hour`, `day` or `month` of the home's time zone; `day` when missing.
    by: Option<String>,
}

/// Energy that a device used.
#[utoipa::path(get, path = "/api/v1/devices/{device}/energy", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name."), Used),
    responses((status = 200, description = "It.", body = EnergyBody)))]
pub(super) async fn energy(
    State(shared): Home,
    Path(device): Path<String>,
    Query(used): Query<Used>,
) -> Answered<Json<EnergyBody>> {
    let asked = Asked::of(&used, &shared)?;
    let view = shared.home.device(&device)?;
    let zone = shared.home.zone();
    let price = shared.home.price_milli();
    let bars = asked.bars(&shared, view.id()).await?;
    let used = MilliWattHours(bars.iter().map(|b| b.used.0).sum());
    Ok(Json(EnergyBody {
        device: view.id().to_string(),
        by: asked.by,
        zone: zone_name(&zone),
        from_ms: asked.from_ms,
        to_ms: asked.to_ms,
        used_kwh: used.kwh(),
        cost: cost(used, price),
        bars: bars.into_iter().map(|bar| BarBody::of(bar, price)).collect(),
    }))
}

/// Energy that all devices of the home used together, and each one's share.
#[utoipa::path(get, path = "/api/v1/energy", params(Used), security(("bearer" = ["read"])),
    responses((status = 200, description = "It.", body = HomeEnergyBody)))]
pub(super) async fn home_energy(
    State(shared): Home,
    Query(used): Query<Used>,
) -> Answered<Json<HomeEnergyBody>> {
    let asked = Asked::of(&used, &shared)?;
    let price = shared.home.price_milli();
    let mut sum: BTreeMap<u64, Bar> = BTreeMap::new();
    let mut devices = Vec::new();
    let views = shared.home.devices();
    for view in views.iter().filter(|v| v.energy.is_some()) {
        let bars = asked.bars(&shared, view.id()).await?;
        let used: i64 = bars.iter().map(|b| b.used.0).sum();
        for bar in bars {
            // The same clock and the same bounds for all.
            sum.entry(bar.from_ms).and_modify(|s| s.used.0 += bar.used.0).or_insert(bar);
        }
        devices.push((MilliWattHours(used), view));
    }
    devices.sort_by(|(a, one), (b, two)| b.cmp(a).then_with(|| one.facts.name.cmp(&two.facts.name)));
    let used = MilliWattHours(sum.values().map(|b| b.used.0).sum());
    let share = |(used, view): &(MilliWattHours, &Arc<DeviceView>)| ShareBody {
        device: view.id().to_string(),
        name: view.facts.name.clone(),
        room: view.facts.room.clone(),
        used_kwh: used.kwh(),
        cost: cost(*used, price),
    };
    Ok(Json(HomeEnergyBody {
        by: asked.by,
        zone: zone_name(&shared.home.zone()),
        from_ms: asked.from_ms,
        to_ms: asked.to_ms,
        used_kwh: used.kwh(),
        cost: cost(used, price),
        price: cost(MilliWattHours(1_000_000), price),
        devices: devices.iter().filter(|(used, _)| used.0 > 0).take(SHARES).map(share).collect(),
        bars: sum.into_values().map(|bar| BarBody::of(bar, price)).collect(),
    }))
}

/// Which bars are asked for, checked.
struct Asked {
    span: Span,
    by: &'static str,
    from_ms: u64,
    to_ms: u64,
}

impl Asked {
    fn of(used: &Used, shared: &Shared) -> Answered<Self> {
        let (span, by, usual, width_ms) = match used.by.as_deref() {
            Some("hour") => (Span::Hour, "hour", "-48h", 3_600_000),
            None | Some("day") => (Span::Day, "day", "-31d", 86_400_000),
            Some("month") => (Span::Month, "month", "-366d", 28 * 86_400_000),
            Some(other) => {
                return Err(Answer::bad("query.by", format!("by={other:?} is none of hour, day, month")));
            }
        };
        let (from_ms, to_ms) =
            when::range(used.from.as_deref(), used.to.as_deref(), usual, shared.home.now_ms())?;
        if (to_ms - from_ms) / width_ms > BARS {
            return Err(Answer::bad("query.range", format!("that would be more than {BARS} bars"))
                .hint("ask for a shorter time, or by a wider span"));
        }
        Ok(Self { span, by, from_ms, to_ms })
    }

    async fn bars(&self, shared: &Shared, device: &DeviceId) -> Answered<Vec<Bar>> {
        let zone = shared.home.zone();
        Ok(shared.home.store().energy(device, self.from_ms, self.to_ms, self.span, &zone).await?)
    }
}

/// A time zone's name, or its rule.
pub(super) fn zone_name(zone: &jiff::tz::TimeZone) -> String {
    zone.iana_name().map_or_else(|| format!("{zone:?}"), str::to_owned)
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Older than this number: `next` of the page before.
    before: Option<u64>,
    /// Most events: 1 to 1000, 100 when missing.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

async fn read(shared: &Shared, device: Option<&DeviceId>, page: Page) -> Answered<Json<EventList>> {
    let limit = limit(page.limit, 100, 1_000)?;
    // No database counts further.
    let before = page.before.map(|b| Seq(b.min(i64::MAX as u64)));
    let rows = shared.home.store().events(device, before, limit).await?;
    let next = rows.last().map(|r| r.seq.0).filter(|_| rows.len() == limit);
    Ok(Json(EventList { events: rows.into_iter().map(Into::into).collect(), next }))
}

/// What happened to a device, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/events", security(("bearer" = ["read"])),
    params(("device" = String, Path, description = "Device id, former id or name."), Page),
    responses((status = 200, description = "A page of it.", body = EventList)))]
pub(super) async fn device_events(
    State(shared): Home,
    Path(device): Path<String>,
    Query(page): Query<Page>,
) -> Answered<Json<EventList>> {
    let view = shared.home.device(&device)?;
    read(&shared, Some(view.id()), page).await
}

/// What happened in the home, newest first.
#[utoipa::path(get, path = "/api/v1/events-log", params(Page), security(("bearer" = ["read"])),
    responses((status = 200, description = "A page of it.", body = EventList)))]
pub(super) async fn events(State(shared): Home, Query(page): Query<Page>) -> Answered<Json<EventList>> {
    read(&shared, None, page).await
}
