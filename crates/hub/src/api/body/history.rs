//! History, energy and events as JSON.

use landfall_proto::dp::DpValue;
use landfall_proto::schema::DpKind;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::{DeviceView, MilliWattHours};
use crate::profile::Point;
use crate::store::{Bar, EventRow, Sample, Series};

/// History of points.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryBody {
    /// Device id.
    pub device: String,
    /// From when, inclusive.
    pub from_ms: u64,
    /// To when, exclusive.
    pub to_ms: u64,
    /// One for each point that has history.
    pub series: Vec<SeriesBody>,
}

/// History of one point.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesBody {
    /// The point.
    pub dp: u16,
    /// The name of its attribute, where the definition has one.
    pub name: Option<String>,
    /// Unit of the values.
    pub unit: Option<String>,
    /// Width of the steps, which may be wider than asked; `null`: every change.
    pub step_ms: Option<u64>,
    /// There is more than was asked for.
    pub cut: bool,
    /// Oldest first.
    pub samples: Vec<SampleBody>,
}

/// A value at a time, or what it was within a step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SampleBody {
    /// A change.
    Value {
        /// When.
        at_ms: u64,
        /// What, in its unit.
        #[schema(value_type = Value)]
        value: Value,
    },
    /// Within a step.
    Step {
        /// Its start.
        at_ms: u64,
        /// Lowest.
        min: f64,
        /// Mean over time.
        mean: f64,
        /// Highest.
        max: f64,
        /// The last one.
        last: f64,
        /// How many changes.
        count: u64,
    },
}

/// What turns counts of a point into its unit.
#[derive(Clone, Debug)]
pub(in crate::api) struct Scaling {
    places: i32,
    /// The unit, where it has one.
    pub(in crate::api) unit: Option<String>,
}

impl Scaling {
    /// Of a point with this meaning; counts stay as they are when `raw` or unknown.
    pub(in crate::api) fn of(point: Option<&Point>, raw: bool) -> Self {
        match point.map(|p| &p.spec.kind) {
            Some(DpKind::Value { scale, unit, .. }) if !raw => {
                Self { places: i32::from(*scale), unit: Some(unit.to_string()).filter(|u| !u.is_empty()) }
            }
            _ => Self { places: 0, unit: None },
        }
    }

    /// A number in its unit.
    pub(in crate::api) fn number(&self, n: f64) -> f64 {
        if self.places == 0 { n } else { n / 10_f64.powi(self.places) }
    }

    /// A value in its unit.
    #[allow(clippy::cast_precision_loss)] // readings
    pub(in crate::api) fn value(&self, value: &DpValue) -> Value {
        match value {
            DpValue::Value(n) if self.places != 0 => Value::from(self.number(*n as f64)),
            // Text that is no JSON can't be a `Json` value; it is shown as text all the same.
            other => serde_json::to_value(other).unwrap_or_else(|_| Value::from(other.to_string())),
        }
    }
}

impl SeriesBody {
    /// Of a device.
    pub fn of(series: Series, view: &DeviceView, raw: bool) -> Self {
        let meaning = view.definition.points.get(&series.dp);
        let scaling = Scaling::of(meaning, raw);
        let sample = |sample| match sample {
            Sample::Value { at_ms, value } => SampleBody::Value { at_ms, value: scaling.value(&value) },
            Sample::Step { at_ms, min, mean, max, last, count } => SampleBody::Step {
                at_ms,
                min: scaling.number(min),
                mean: scaling.number(mean),
                max: scaling.number(max),
                last: scaling.number(last),
                count,
            },
        };
        Self {
            dp: series.dp.0,
            name: meaning.map(|m| m.name.clone()),
            samples: series.samples.into_iter().map(sample).collect(),
            unit: scaling.unit,
            step_ms: series.step_ms,
            cut: series.cut,
        }
    }
}

/// Energy by hours, days or months.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnergyBody {
    /// Device id.
    pub device: String,
    /// `hour`, `day`, `month`.
    pub by: &'static str,
    /// The home's time zone.
    pub zone: String,
    /// From when.
    pub from_ms: u64,
    /// To when.
    pub to_ms: u64,
    /// kWh of all bars.
    pub used_kwh: f64,
    /// What they cost by the price of now; `null` where no price is set.
    pub cost: Option<f64>,
    /// Oldest first.
    pub bars: Vec<BarBody>,
}

/// Energy of the whole home by hours, days or months.
#[derive(Debug, Serialize, ToSchema)]
pub struct HomeEnergyBody {
    /// `hour`, `day`, `month`.
    pub by: &'static str,
    /// The home's time zone.
    pub zone: String,
    /// From when.
    pub from_ms: u64,
    /// To when.
    pub to_ms: u64,
    /// kWh of all bars.
    pub used_kwh: f64,
    /// What they cost by the price of now; `null` where no price is set.
    pub cost: Option<f64>,
    /// What a kWh costs now; `null` where no price is set.
    pub price: Option<f64>,
    /// All devices together, oldest first.
    pub bars: Vec<BarBody>,
    /// Devices that used something in that time, who used most first, at most 100.
    pub devices: Vec<ShareBody>,
}

/// What a device used of a home's energy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareBody {
    /// Device id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Its room.
    pub room: Option<String>,
    /// kWh in the whole time.
    pub used_kwh: f64,
    /// What it cost by the price of now.
    pub cost: Option<f64>,
}

/// What energy costs, in the home's currency.
#[allow(clippy::cast_precision_loss)] // thousandths of a currency
pub(in crate::api) fn cost(used: MilliWattHours, price_milli: Option<i64>) -> Option<f64> {
    price_milli.map(|price| used.kwh() * (price as f64) / 1_000.0)
}

/// Energy used within a span.
#[derive(Debug, Serialize, ToSchema)]
pub struct BarBody {
    /// Its start.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
    /// What was used.
    pub used_kwh: f64,
    /// What it cost by the price of now; `null` where no price is set.
    pub cost: Option<f64>,
}

impl BarBody {
    /// At this price.
    pub fn of(bar: Bar, price_milli: Option<i64>) -> Self {
        let Bar { from_ms, to_ms, used } = bar;
        Self { from_ms, to_ms, used_kwh: used.kwh(), cost: cost(used, price_milli) }
    }
}

/// What happened, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// The events.
    pub events: Vec<EventBody>,
    /// `before` for the next page; `null` at the end.
    pub next: Option<u64>,
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBody {
    /// Number of its change.
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// The device, if it is about one.
    pub device: Option<String>,
    /// Stable dotted word.
    pub code: String,
    /// In words.
    pub text: String,
}

impl From<EventRow> for EventBody {
    fn from(row: EventRow) -> Self {
        let device = row.device.map(|d| d.to_string());
        Self { seq: row.seq.0, at_ms: row.at_ms, device, code: row.code, text: row.text }
    }
}
