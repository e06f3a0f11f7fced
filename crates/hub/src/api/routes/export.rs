//! History as files: CSV and JSON lines, streamed, however long it is.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use landfall_proto::dp::DpId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::IntoParams;

use super::control::numbers;
use super::{Answered, Home};
use crate::api::body::Scaling;
use crate::api::extract::Query;
use crate::api::{Shared, when};
use crate::model::DeviceView;
use crate::store::{HistoryQuery, Sample, Series, StoreError};

/// Samples of a point read at a time.
const PORTION: usize = 2_000;

/// What is exported.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct What {
    /// Device id, former id or name; all devices when missing.
    device: Option<String>,
    /// From when: RFC 3339, milliseconds since 1970, or so long before now (`-1h`); `-24h` when missing.
    from: Option<String>,
    /// To when; `now` when missing.
    to: Option<String>,
    /// Numbers of points with commas between; all when missing.
    dps: Option<String>,
}

/// A line of an export.
#[derive(Debug, Serialize)]
struct Row<'a> {
    time: String,
    at_ms: u64,
    device: &'a str,
    name: &'a str,
    dp: u16,
    attribute: Option<&'a str>,
    /// The change, or the mean of a step.
    value: Value,
    unit: Option<&'a str>,
    /// Of steps, where only roll-ups are left.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

/// What else is known of a step.
#[derive(Debug, Serialize)]
struct Step {
    min: f64,
    max: f64,
    last: f64,
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// Changes of points as CSV. Where only roll-ups are left, `value` is the mean of a step, and min, max, last and count are told
/// beside it. An export that ends early breaks off without the end of its transfer.
#[utoipa::path(get, path = "/api/v1/export.csv", params(What), security(("bearer" = ["read"])),
    responses((status = 200, description = "Device by device, oldest first.", body = String, content_type = "text/csv")))]
pub(super) async fn csv(State(shared): Home, Query(what): Query<What>) -> Answered<Response> {
    export(shared, &what, Format::Csv)
}

/// The same as JSON lines.
#[utoipa::path(get, path = "/api/v1/export.jsonl", params(What), security(("bearer" = ["read"])),
    responses((status = 200, description = "Device by device, oldest first.", body = String, content_type = "application/jsonl")))]
pub(super) async fn json_lines(State(shared): Home, Query(what): Query<What>) -> Answered<Response> {
    export(shared, &what, Format::JsonLines)
}

fn export(shared: Arc<Shared>, what: &What, format: Format) -> Answered<Response> {
    let (from_ms, to_ms) =
        when::range(what.from.as_deref(), what.to.as_deref(), "-24h", shared.home.now_ms())?;
    let dps = numbers(what.dps.as_deref())?;
    let devices = match &what.device {
        Some(device) => vec![shared.home.device(device)?],
        None => shared.home.devices(),
    };
    let walk =
        Walk { shared, devices: devices.into(), at_ms: from_ms, from_ms, to_ms, dps, format, begun: false };
    let (kind, file) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"landfall.csv\""),
        Format::JsonLines => ("application/jsonl", "attachment; filename=\"landfall.jsonl\""),
    };
    let body = Body::from_stream(stream::try_unfold(walk, Walk::next));
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, file)], body).into_response())
}

/// Why an export breaks off.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a row can't be written")]
    Csv(#[from] ::csv::Error),
    #[error("a row can't be written")]
    Json(#[from] serde_json::Error),
    #[error("rows can't be written")]
    Whole(String),
}

/// Where an export is.
struct Walk {
    shared: Arc<Shared>,
    devices: VecDeque<Arc<DeviceView>>,
    /// The device at the front is told from here on.
    at_ms: u64,
    from_ms: u64,
    to_ms: u64,
    dps: Vec<DpId>,
    format: Format,
    begun: bool,
}

impl Walk {
    /// The next lines.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BrokenOff> {
        if !self.begun {
            self.begun = true;
            if self.format == Format::Csv {
                let head = Bytes::from_static(
                    b"time,at_ms,device,name,dp,attribute,value,unit,min,max,last,count\n",
                );
                return Ok(Some((head, self)));
            }
        }
        while let Some(view) = self.devices.front().cloned() {
            let query = HistoryQuery {
                device: view.id().clone(),
                dps: self.dps.clone(),
                from_ms: self.at_ms,
                to_ms: self.to_ms,
                step_ms: None,
                limit: PORTION,
            };
            let read = self.shared.home.store().history(&query).await;
            let series = read.inspect_err(|e| tracing::warn!("an export breaks off: {e}"))?;
            let until = complete_until(&series, self.at_ms, self.to_ms);
            let samples = merged(series, until);
            if until >= self.to_ms {
                self.devices.pop_front();
                self.at_ms = self.from_ms;
            } else {
                self.at_ms = until;
            }
            if !samples.is_empty() {
                let text = lines(&view, &samples, self.format)?;
                return Ok(Some((text.into(), self)));
            }
        }
        Ok(None)
    }
}

/// Up to where all of these series tell everything. What lies in the last millisecond of a cut series may be cut itself, so it
/// is read again, unless nothing else was read: then the millisecond is passed.
fn complete_until(series: &[Series], from_ms: u64, to_ms: u64) -> u64 {
    let last = |s: &Series| s.samples.last().map(at);
    let until = series.iter().filter(|s| s.cut).filter_map(last).min().unwrap_or(to_ms);
    if until <= from_ms { from_ms + 1 } else { until }
}

fn at(sample: &Sample) -> u64 {
    match sample {
        Sample::Value { at_ms, .. } | Sample::Step { at_ms, .. } => *at_ms,
    }
}

/// Samples before `until`, in the order of time.
fn merged(series: Vec<Series>, until: u64) -> Vec<(DpId, Sample)> {
    let mut all: Vec<_> = series
        .into_iter()
        .flat_map(|s| s.samples.into_iter().map(move |sample| (s.dp, sample)))
        .filter(|(_, sample)| at(sample) < until)
        .collect();
    all.sort_by_key(|(dp, sample)| (at(sample), *dp));
    all
}

fn lines(view: &DeviceView, samples: &[(DpId, Sample)], format: Format) -> Result<Vec<u8>, BrokenOff> {
    let mut text = Vec::new();
    let mut csv = ::csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for (dp, sample) in samples {
        let meaning = view.definition.points.get(dp);
        let scaling = Scaling::of(meaning, false);
        let at_ms = at(sample);
        let (value, step) = match sample {
            Sample::Value { value, .. } => (scaling.value(value), None),
            Sample::Step { min, mean, max, last, count, .. } => {
                let of = |n: &f64| scaling.number(*n);
                let step = Step { min: of(min), max: of(max), last: of(last), count: *count };
                (Value::from(of(mean)), Some(step))
            }
        };
        let stamp = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let row = Row {
            time: stamp.map(|t| t.to_string()).unwrap_or_default(),
            at_ms,
            device: view.id().as_str(),
            name: &view.facts.name,
            dp: dp.0,
            attribute: meaning.map(|m| m.name.as_str()),
            value,
            unit: scaling.unit.as_deref(),
            step,
        };
        match format {
            Format::JsonLines => {
                serde_json::to_writer(&mut text, &row)?;
                text.push(b'\n');
            }
            Format::Csv => csv.write_record(cells(&row))?,
        }
    }
    match format {
        Format::JsonLines => Ok(text),
        Format::Csv => csv.into_inner().map_err(|e| BrokenOff::Whole(e.to_string())),
    }
}

fn cells(row: &Row<'_>) -> [String; 12] {
    let value = match &row.value {
        Value::String(text) => harmless(text),
        other => other.to_string(),
    };
    let [min, max, last, count] = row.step.as_ref().map_or_else(Default::default, |s| {
        [s.min.to_string(), s.max.to_string(), s.last.to_string(), s.count.to_string()]
    });
    let text = |t: Option<&str>| t.unwrap_or_default().to_owned();
    [
        row.time.clone(),
        row.at_ms.to_string(),
        row.device.to_owned(),
        harmless(row.name),
        row.dp.to_string(),
        text(row.attribute),
        value,
        text(row.unit),
        min,
        max,
        last,
        count,
    ]
}

/// Text that a spreadsheet would take for a formula gets a quote in front.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use landfall_proto::dp::DpValue;

    use super::*;

    fn series(dp: u16, at: &[u64], cut: bool) -> Series {
        let samples =
            at.iter().map(|at_ms| Sample::Value { at_ms: *at_ms, value: DpValue::Value(0) }).collect();
        Series { dp: DpId(dp), samples, cut, step_ms: None }
    }

    #[test]
    fn a_portion_ends_where_the_first_cut_series_does() {
        assert_eq!(complete_until(&[series(1, &[5, 9], false)], 0, 100), 100);
        let cut = [series(1, &[5, 9], true), series(2, &[7], false), series(3, &[1, 8], true)];
        assert_eq!(complete_until(&cut, 0, 100), 8);
        let times: Vec<_> = merged(cut.to_vec(), 8).iter().map(|(dp, sample)| (at(sample), dp.0)).collect();
        assert_eq!(times, [(1, 3), (5, 1), (7, 2)]);
        assert_eq!(
            complete_until(&[series(1, &[5, 5], true)], 5, 100),
            6,
            "it goes on at least a millisecond"
        );
    }

    #[test]
    fn formulas_are_defused() {
        assert_eq!(harmless("=1+1"), "'=1+1");
        assert_eq!(harmless("plug"), "plug");
    }
}
