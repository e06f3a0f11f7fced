//! Devices as JSON.

use std::collections::BTreeMap;

use landfall_proto::dp::DpValue;
use landfall_proto::schema::{Access, DpKind};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::{DeviceView, EnergyView, LineState, LineView, PointView, Presence};
use crate::profile::{Class, Point, Source};

/// One page of devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceList {
    /// The devices of this page, by name.
    pub devices: Vec<DeviceBody>,
    /// How many fit the filter.
    pub total: usize,
    /// How many were left out before these.
    pub offset: usize,
    /// How many a page holds.
    pub limit: usize,
}

/// A device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceBody {
    /// Device id.
    pub id: String,
    /// Former ids.
    pub aliases: Vec<String>,
    /// The owner's name for it.
    pub name: String,
    /// The room, where the owner said.
    pub room: Option<String>,
    /// What it is: `plug`, `switch`, `light`, `cover`, `fan`, `thermostat`, `dimmer`, `sensor`, `gateway`, `infrared`,
    /// `actor`, `other`.
    pub class: &'static str,
    /// The product's name for people.
    pub product: String,
    /// Product id.
    pub product_id: Option<String>,
    /// The vendor's category code (`cz`, `dj`...).
    pub category: Option<String>,
    /// Hardware id.
    pub uuid: Option<String>,
    /// LAN protocol version.
    pub version: Option<String>,
    /// Firmware version.
    pub software: Option<String>,
    /// The gateway's device id, of a sub-device.
    pub parent: Option<String>,
    /// Its id under the gateway.
    pub cid: Option<String>,
    /// MAC address, a hint.
    pub mac: Option<String>,
    /// It sleeps most of the time.
    pub sleeper: bool,
    /// Whether its local key is known.
    pub has_key: bool,
    /// Whether it can be had.
    pub presence: PresenceBody,
    /// The LAN line.
    pub lan: LineBody,
    /// The cloud line.
    pub cloud: LineBody,
    /// The line that the next command takes: `lan` or `cloud`.
    pub route: Option<&'static str>,
    /// When anything was last heard of it.
    pub heard_ms: Option<u64>,
    /// Number of the last change of it.
    pub seq: u64,
    /// Attributes by name, in their units.
    #[schema(value_type = Object)]
    pub state: Map<String, Value>,
    /// Attributes whose readings are stale.
    pub stale: Vec<String>,
    /// The energy account, of devices that measure.
    pub energy: Option<EnergyNow>,
}

/// Whether a device can be had.
#[derive(Debug, Serialize, ToSchema)]
pub struct PresenceBody {
    /// `unknown`, `online`, `offline`, `asleep`.
    pub state: &'static str,
    /// Since when, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Why, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<&Presence> for PresenceBody {
    fn from(presence: &Presence) -> Self {
        let (since_ms, why) = match presence {
            Presence::Offline { since_ms, why } => (Some(*since_ms), Some(why.clone())),
            Presence::Asleep { since_ms } => (Some(*since_ms), None),
            Presence::Unknown | Presence::Online => (None, None),
        };
        Self { state: presence.word(), since_ms, why }
    }
}

/// A line to a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineBody {
    /// `unused`, `opening`, `up`, `down`.
    pub state: &'static str,
    /// Why, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when.
    pub since_ms: u64,
    /// The device's address on this line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl From<&LineView> for LineBody {
    fn from(line: &LineView) -> Self {
        let state = match line.state {
            LineState::Unused => "unused",
            LineState::Opening => "opening",
            LineState::Up => "up",
            LineState::Down => "down",
        };
        let address = line.address.map(|a| a.to_string());
        Self { state, why: line.why.clone(), since_ms: line.since_ms, address }
    }
}

/// The energy account now.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnergyNow {
    /// kWh since counting began; never falls.
    pub total_kwh: f64,
    /// kWh today, in the home's time zone.
    pub today_kwh: f64,
    /// kWh yesterday.
    pub yesterday_kwh: f64,
    /// kWh this month.
    pub month_kwh: f64,
    /// The total by integrating watts: a cross-check.
    pub integrated_kwh: f64,
    /// Deltas over the line that does not own the delta point: counted, not added.
    pub copies: u64,
    /// Volts times amperes, in VA.
    pub apparent_power: Option<f64>,
    /// Watts over volt-amperes.
    pub power_factor: Option<f64>,
    /// Cost of today in the home's currency, where a tariff is set.
    pub cost_today: Option<f64>,
    /// Cost of this month.
    pub cost_month: Option<f64>,
}

#[allow(clippy::cast_precision_loss)] // readings of a plug, and money of a home
fn milli(n: i64) -> f64 {
    n as f64 / 1_000.0
}

impl From<&EnergyView> for EnergyNow {
    fn from(e: &EnergyView) -> Self {
        Self {
            total_kwh: e.total.kwh(),
            today_kwh: e.today.kwh(),
            yesterday_kwh: e.yesterday.kwh(),
            month_kwh: e.month.kwh(),
            integrated_kwh: e.integrated.kwh(),
            copies: e.copies,
            apparent_power: e.apparent_mva.map(milli),
            power_factor: e.power_factor_milli.map(milli),
            cost_today: e.cost.map(|c| milli(c.today_milli)),
            cost_month: e.cost.map(|c| milli(c.month_milli)),
        }
    }
}

/// The word of a class.
const fn class(class: Class) -> &'static str {
    match class {
        Class::Plug => "plug",
        Class::Switch => "switch",
        Class::Light => "light",
        Class::Cover => "cover",
        Class::Fan => "fan",
        Class::Thermostat => "thermostat",
        Class::Dimmer => "dimmer",
        Class::Sensor => "sensor",
        Class::Gateway => "gateway",
        Class::Infrared => "infrared",
        Class::Actor => "actor",
        Class::Other => "other",
    }
}

impl From<&DeviceView> for DeviceBody {
    fn from(view: &DeviceView) -> Self {
        let facts = &view.facts;
        let text = |t: Option<&dyn ToString>| t.map(ToString::to_string);
        let named = |(id, _): (&landfall_proto::dp::DpId, &PointView)| match view.definition.points.get(id) {
            Some(point) => point.name.clone(),
            None => format!("dp_{id}"),
        };
        let product = facts.product_name.clone().unwrap_or_else(|| view.definition.name.clone());
        Self {
            id: facts.id.to_string(),
            aliases: facts.aliases.iter().map(ToString::to_string).collect(),
            name: facts.name.clone(),
            room: facts.room.clone(),
            class: class(view.definition.class),
            product,
            product_id: text(facts.product_id.as_ref().map(|p| p as _)),
            category: facts.category.clone(),
            uuid: text(facts.uuid.as_ref().map(|u| u as _)),
            version: text(facts.version.as_ref().map(|v| v as _)),
            software: facts.software.clone(),
            parent: text(facts.parent.as_ref().map(|p| p as _)),
            cid: text(facts.cid.as_ref().map(|c| c as _)),
            mac: facts.mac.clone(),
            sleeper: facts.sleeper,
            has_key: facts.has_key,
            presence: (&view.presence).into(),
            lan: (&*view.lan).into(),
            cloud: (&*view.cloud).into(),
            route: view.route.map(crate::model::Line::word),
            heard_ms: view.heard_ms,
            seq: view.seq.0,
            state: view.state(),
            stale: view.points.iter().filter(|(_, p)| p.stale).map(named).collect(),
            energy: view.energy.as_ref().map(Into::into),
        }
    }
}

/// The points of a device as last reported, unscaled.
#[derive(Debug, Serialize, ToSchema)]
pub struct DpsBody {
    /// Device id.
    pub device: String,
    /// By number.
    pub dps: BTreeMap<u16, PointBody>,
}

/// A point as last reported.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointBody {
    /// Its value as on the wire: boolean, number or text.
    #[schema(value_type = Value)]
    pub value: DpValue,
    /// Its type in Tuya's words: `bool`, `value`, `enum`, `string`, `raw`, `bitmap`, `json`.
    pub kind: &'static str,
    /// The name of its attribute, where the definition has one.
    pub name: Option<String>,
    /// When it was last reported.
    pub at_ms: u64,
    /// When it last changed.
    pub changed_ms: u64,
    /// The line it came over.
    pub line: &'static str,
    /// It should have been reported again by now.
    pub stale: bool,
}

impl PointBody {
    /// Of a point with this meaning.
    pub fn of(point: &PointView, meaning: Option<&Point>) -> Self {
        Self {
            value: point.value.clone(),
            kind: point.value.kind(),
            name: meaning.map(|m| m.name.clone()),
            at_ms: point.at_ms,
            changed_ms: point.changed_ms,
            line: point.line.word(),
            stale: point.stale,
        }
    }
}

impl From<&DeviceView> for DpsBody {
    fn from(view: &DeviceView) -> Self {
        let body = |id| view.definition.points.get(id);
        let dps = view.points.iter().map(|(id, p)| (id.0, PointBody::of(p, body(id)))).collect();
        Self { device: view.id().to_string(), dps }
    }
}

/// What a device's points mean, and where each fact came from.
#[derive(Debug, Serialize, ToSchema)]
pub struct DefinitionBody {
    /// Device id.
    pub device: String,
    /// Name of the product.
    pub name: String,
    /// What it is.
    pub class: &'static str,
    /// The points, by number.
    pub points: BTreeMap<u16, PointMeaning>,
    /// What can be read and written, as zigbee2mqtt's `exposes` has it.
    #[schema(value_type = Value)]
    pub exposes: Value,
    /// Points that it is made to measure, and how often, where it needs that.
    pub refresh_ms: Option<u64>,
    /// Readings that were not reported for so long are stale.
    pub stale_after_ms: Option<u64>,
    /// Whether the owner gave a definition for this device; `?format=own` is its text.
    pub own: bool,
}

/// What a point means.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointMeaning {
    /// Name of its attribute.
    pub name: String,
    /// The vendor's word for it.
    pub code: String,
    /// `bool`, `value`, `enum`, `string`, `raw`, `bitmap`.
    pub kind: &'static str,
    /// `rw`, `ro`, `wr`.
    pub access: &'static str,
    /// Smallest value, unscaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// Largest value, unscaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Smallest difference, unscaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Decimal places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// Unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Words of an enum, or labels of bits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Each write makes something happen.
    pub action: bool,
    /// A pushed repeat is an event.
    pub event: bool,
    /// Where it is known from: `guess`, `activation`, `mapping`, `thing_model`, `tuya_local`, `profile`, `owner`.
    pub source: &'static str,
    /// The rule, file or profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_detail: Option<String>,
}

impl From<&Point> for PointMeaning {
    fn from(point: &Point) -> Self {
        let spec = &point.spec;
        let (source, source_detail) = match &point.source {
            Source::Guess(rule) => ("guess", Some(rule.clone())),
            Source::Activation => ("activation", None),
            Source::Mapping => ("mapping", None),
            Source::ThingModel => ("thing_model", None),
            Source::TuyaLocal(file) => ("tuya_local", Some(file.clone())),
            Source::Profile(name) => ("profile", Some(name.clone())),
            Source::Owner => ("owner", None),
        };
        let access = match spec.access {
            Access::Rw => "rw",
            Access::Ro => "ro",
            Access::Wr => "wr",
        };
        let mut body = Self {
            name: point.name.clone(),
            code: spec.code.to_string(),
            kind: spec.kind.name(),
            access,
            min: None,
            max: None,
            step: None,
            scale: None,
            unit: None,
            words: Vec::new(),
            action: spec.acts_on_write(),
            event: point.event,
            source,
            source_detail,
        };
        match &spec.kind {
            DpKind::Value { min, max, step, scale, unit } => {
                (body.min, body.max, body.step) = (Some(*min), Some(*max), Some(*step));
                (body.scale, body.unit) = (Some(*scale), Some(unit.to_string()).filter(|u| !u.is_empty()));
            }
            DpKind::Enum(words) | DpKind::Bitmap(words) => {
                body.words = words.iter().map(ToString::to_string).collect();
            }
            DpKind::Bool | DpKind::String(_) | DpKind::Raw(_) => {}
        }
        body
    }
}

impl DefinitionBody {
    /// Of a device, for which the owner gave one or not.
    pub fn of(view: &DeviceView, own: bool) -> Self {
        let meaning = &view.definition;
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            device: view.id().to_string(),
            name: meaning.name.clone(),
            class: class(meaning.class),
            points: meaning.points.iter().map(|(id, p)| (id.0, p.into())).collect(),
            exposes: meaning.exposes(),
            refresh_ms: meaning.refresh.as_ref().map(|r| ms(r.every)),
            stale_after_ms: meaning.stale_after.map(ms),
            own,
        }
    }
}
