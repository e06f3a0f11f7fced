//! Numbers for Prometheus. Devices' numbers are made at each scrape from the views; what happens is counted as it happens.
//!
//! Labels are bounded by the book; no key and no address is one. Names as the field has them: `tuya_` first, base units.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::schema::Access;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::Shared;
use crate::bus::Reader;
use crate::model::{Change, DeviceView, Line, LineState, Outcome, What};

/// What happened since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    connects_ok: AtomicU64,
    connects_failed: AtomicU64,
    reports_lan: AtomicU64,
    reports_cloud: AtomicU64,
    confirmed: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    unconfirmed: AtomicU64,
    /// Changes that this counter came too late for.
    missed: AtomicU64,
}

impl Counts {
    fn note(&self, change: &Change) {
        let counter = match &change.what {
            What::Line { line: Line::Lan, view } => match view.state {
                LineState::Up => &self.connects_ok,
                LineState::Down => &self.connects_failed,
                LineState::Unused | LineState::Opening => return,
            },
            What::Points { line: Line::Lan, .. } | What::Event { line: Line::Lan, .. } => &self.reports_lan,
            What::Points { .. } | What::Event { .. } => &self.reports_cloud,
            What::Command(ended) => match ended.outcome {
                Outcome::Confirmed => &self.confirmed,
                Outcome::Accepted => &self.accepted,
                Outcome::Refused { .. } => &self.refused,
                Outcome::Unconfirmed { .. } => &self.unconfirmed,
            },
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts changes until the hub ends.
pub(super) async fn count(shared: Arc<Shared>, mut reader: Reader) {
    while let Some(Some(read)) = shared.end.run_until_cancelled(reader.next()).await {
        match read {
            Ok(changes) => changes.iter().for_each(|c| shared.counts.note(c)),
            Err(gap) => {
                shared.counts.missed.fetch_add(gap.to.0 - gap.from.0 + 1, Ordering::Relaxed);
            }
        }
    }
}

/// All numbers in the OpenMetrics text format.
pub(super) fn text(shared: &Arc<Shared>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(shared))));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

struct Scrape(Arc<Shared>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

type Labels<'a> = Vec<(&'a str, String)>;

/// Writes a family of numbers, unless it is empty.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    kind: MetricType,
    numbers: &[(Labels<'_>, f64)],
) -> fmt::Result {
    if numbers.is_empty() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
    if let [(labels, number)] = numbers
        && labels.is_empty()
    {
        return one(metric, kind, *number);
    }
    for (labels, number) in numbers {
        one(metric.encode_family(labels)?, kind, *number)?;
    }
    Ok(())
}

fn one(metric: MetricEncoder<'_>, kind: MetricType, number: f64) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(number).encode(metric),
        _ => ConstGauge::new(number).encode(metric),
    }
}

#[allow(clippy::cast_precision_loss)] // counts and readings
fn float(n: impl TryInto<i64>) -> f64 {
    n.try_into().map_or(f64::INFINITY, |n: i64| n as f64)
}

fn bool_number(b: bool) -> f64 {
    f64::from(u8::from(b))
}

/// A reading: so many thousandths (or millionths) of the unit a count.
fn reading(view: &DeviceView, point: Option<(DpId, i64)>, parts: f64) -> Option<f64> {
    let (dp, of_a_count) = point?;
    match view.points.get(&dp)?.value {
        DpValue::Value(n) => Some(float(n) * float(of_a_count) / parts),
        _ => None,
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let views = self.0.home.devices();
        devices(&mut encoder, &views)?;
        energy(&mut encoder, &views)?;
        hub(&mut encoder, &self.0)
    }
}

fn id(view: &DeviceView) -> Labels<'static> {
    vec![("id", view.id().to_string())]
}

fn devices(encoder: &mut DescriptorEncoder<'_>, views: &[Arc<DeviceView>]) -> fmt::Result {
    use MetricType::Gauge;
    let all = |number: &dyn Fn(&DeviceView) -> Option<f64>| -> Vec<(Labels<'static>, f64)> {
        views.iter().filter_map(|v| Some((id(v), number(v)?))).collect()
    };
    let info: Vec<_> = views
        .iter()
        .map(|v| {
            let facts = &v.facts;
            let mut labels = id(v);
            labels.push(("name", facts.name.clone()));
            labels.push(("product", facts.product_id.as_ref().map(ToString::to_string).unwrap_or_default()));
            labels.push(("version", facts.version.map(|v| v.to_string()).unwrap_or_default()));
            (labels, 1.0)
        })
        .collect();
    family(encoder, "tuya_device_info", "What a device is", None, Gauge, &info)?;
    let up = all(&|v| Some(bool_number(v.presence.available())));
    family(encoder, "tuya_device_up", "Whether a device can be had; a sleeper can", None, Gauge, &up)?;
    let lines: Vec<_> = views
        .iter()
        .flat_map(|v| [(v, Line::Lan, &v.lan), (v, Line::Cloud, &v.cloud)])
        .map(|(v, line, is)| {
            let mut labels = id(v);
            labels.push(("line", line.word().to_owned()));
            (labels, bool_number(is.state == LineState::Up))
        })
        .collect();
    family(encoder, "tuya_device_line_up", "Whether a line to a device is up", None, Gauge, &lines)?;
    let seen = all(&|v| v.heard_ms.map(|ms| float(ms) / 1_000.0));
    let help = "When anything was last heard of a device, seconds since 1970";
    family(encoder, "tuya_device_last_seen_timestamp", help, Some(&Unit::Seconds), Gauge, &seen)?;
    let watts = all(&|v| reading(v, v.definition.metering.as_ref()?.power, 1e3));
    family(encoder, "tuya_device_power", "Power", Some(&Unit::Other("watts".into())), Gauge, &watts)?;
    let volts = all(&|v| reading(v, v.definition.metering.as_ref()?.voltage, 1e3));
    family(encoder, "tuya_device_voltage", "Voltage", Some(&Unit::Volts), Gauge, &volts)?;
    let amperes = all(&|v| reading(v, v.definition.metering.as_ref()?.current, 1e6));
    family(encoder, "tuya_device_current", "Current", Some(&Unit::Amperes), Gauge, &amperes)?;
    let stale = all(&|v| Some(float(v.points.values().filter(|p| p.stale).count())));
    family(
        encoder,
        "tuya_device_stale_points",
        "Points that should have been reported again by now",
        None,
        Gauge,
        &stale,
    )?;
    let switches: Vec<_> = views.iter().flat_map(|v| switches(v)).collect();
    family(encoder, "tuya_device_switch_state", "Whether a switch is on", None, Gauge, &switches)
}

/// The switches of a device: writable booleans whose name says so.
fn switches(view: &DeviceView) -> Vec<(Labels<'static>, f64)> {
    let on = |(dp, point): (&DpId, &crate::profile::Point)| {
        let channel = point.name.strip_prefix("switch")?;
        let DpValue::Bool(on) = view.points.get(dp)?.value else { return None };
        if point.spec.access != Access::Rw {
            return None;
        }
        let channel = channel.trim_start_matches('_');
        let mut labels = id(view);
        labels.push(("channel", if channel.is_empty() { dp.to_string() } else { channel.to_owned() }));
        Some((labels, bool_number(on)))
    };
    view.definition.points.iter().filter_map(on).collect()
}

fn energy(encoder: &mut DescriptorEncoder<'_>, views: &[Arc<DeviceView>]) -> fmt::Result {
    let all: Vec<_> = views.iter().filter_map(|v| Some((id(v), v.energy?))).collect();
    let total: Vec<_> =
        all.iter().map(|(l, e)| (l.clone(), float(e.total.0.saturating_mul(36)) / 10.0)).collect();
    let help = "Energy used since counting began";
    family(encoder, "tuya_device_energy", help, Some(&Unit::Joules), MetricType::Counter, &total)?;
    let copies: Vec<_> = all.iter().map(|(l, e)| (l.clone(), float(e.copies))).collect();
    let help = "Deltas of energy over the line that does not own the point: counted, not added";
    family(encoder, "tuya_device_energy_copies", help, None, MetricType::Counter, &copies)
}

fn hub(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    use MetricType::{Counter, Gauge};
    let status = shared.home.status();
    let counts = &shared.counts;
    let of = |counter: &AtomicU64| float(counter.load(Ordering::Relaxed));
    let none: Labels<'_> = Vec::new();
    let by =
        |label: &'static str, word: &str, counter: &AtomicU64| (vec![(label, word.to_owned())], of(counter));
    let build = [(vec![("version", status.version.to_owned())], 1.0)];
    family(encoder, "tuya_build_info", "Landfall's version", None, Gauge, &build)?;
    let start = [(none.clone(), float(status.started_ms) / 1_000.0)];
    family(
        encoder,
        "tuya_start_timestamp",
        "When the hub started, seconds since 1970",
        Some(&Unit::Seconds),
        Gauge,
        &start,
    )?;
    let connects = [by("result", "ok", &counts.connects_ok), by("result", "failed", &counts.connects_failed)];
    family(
        encoder,
        "tuya_connects",
        "LAN connections that came up, and that failed or broke",
        None,
        Counter,
        &connects,
    )?;
    let reports = [by("line", "lan", &counts.reports_lan), by("line", "cloud", &counts.reports_cloud)];
    family(encoder, "tuya_reports", "Reports of devices", None, Counter, &reports)?;
    let commands = [
        by("outcome", "confirmed", &counts.confirmed),
        by("outcome", "accepted", &counts.accepted),
        by("outcome", "refused", &counts.refused),
        by("outcome", "unconfirmed", &counts.unconfirmed),
    ];
    family(encoder, "tuya_commands", "Commands by their outcome", None, Counter, &commands)?;
    let missed = [(none.clone(), of(&counts.missed))];
    family(
        encoder,
        "tuya_changes_uncounted",
        "Changes that these counters came too late for",
        None,
        Counter,
        &missed,
    )?;
    let dropped = [(none.clone(), float(status.inbox_dropped))];
    family(
        encoder,
        "tuya_reports_dropped",
        "Reports dropped because the hub's inbox was full",
        None,
        Counter,
        &dropped,
    )?;
    let calls: Vec<_> =
        status.cloud_calls.iter().map(|(a, n)| (vec![("action", a.clone())], float(*n))).collect();
    family(encoder, "tuya_cloud_requests", "Calls of the cloud's gateway by devices", None, Counter, &calls)?;
    let store = &status.store;
    let ok = [(none.clone(), bool_number(store.ok))];
    family(encoder, "tuya_store_up", "Whether the last write to the history was kept", None, Gauge, &ok)?;
    let rows = [(none.clone(), float(store.dropped))];
    family(encoder, "tuya_store_rows_dropped", "Rows of history dropped", None, Counter, &rows)?;
    let replaced = [(none.clone(), float(store.replaced))];
    family(
        encoder,
        "tuya_store_values_replaced",
        "Values replaced by another one of the same point at the same millisecond",
        None,
        Counter,
        &replaced,
    )?;
    let waiting = [(none.clone(), float(store.waiting))];
    family(
        encoder,
        "tuya_store_rows_waiting",
        "Rows of history waiting to be written",
        None,
        Gauge,
        &waiting,
    )?;
    if let Some(bytes) = store.bytes {
        let size = [(none.clone(), float(bytes))];
        family(encoder, "tuya_store_size", "Size of the history on disk", Some(&Unit::Bytes), Gauge, &size)?;
    }
    let streams = super::STREAMS.saturating_sub(shared.streams.available_permits());
    family(encoder, "tuya_live_streams", "Open live streams", None, Gauge, &[(none, float(streams))])
}
