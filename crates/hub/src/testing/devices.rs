//! The devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::lan::Version;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};

use super::{LIGHT, PLUG, SENSOR, START_MS};
use crate::model::{
    DeviceView, EnergyView, Facts, Line, LineState, LineView, MilliWattHours, PointView, Presence, Seq,
};
use crate::profile::{Class, Definition, Metering, Point, Source};

pub(super) fn facts(id: &str, name: &str) -> Facts {
    Facts {
        product_id: Some(ProductId::new("keyplug").unwrap()),
        version: Some(Version::V3_3),
        has_key: true,
        ..Facts::new(DeviceId::new(id).unwrap(), name.into())
    }
}

fn point(name: &str, kind: DpKind, access: Access) -> Point {
    let source = Source::Profile("test".into());
    Point { history: true, ..Point::new(name, DpSpec::new(name, kind, access), source) }
}

fn number(max: i64, scale: u8, unit: &str) -> DpKind {
    DpKind::Value { min: 0, max, step: 1, scale, unit: unit.into() }
}

/// A definition with these points.
pub fn definition(name: &str, class: Class, points: impl IntoIterator<Item = (u16, Point)>) -> Definition {
    let points: BTreeMap<_, _> = points.into_iter().map(|(id, p)| (DpId(id), p)).collect();
    let schema = Schema(points.iter().map(|(id, p)| (*id, p.spec.clone())).collect());
    Definition { name: name.into(), class, points, schema: Arc::new(schema), ..Definition::default() }
}

/// A view of a device that has these points and this line.
pub fn view(facts: Facts, definition: Definition, dps: &[(u16, DpValue)], line: Option<Line>) -> DeviceView {
    let up = |of| {
        let state = if line == Some(of) { LineState::Up } else { LineState::Unused };
        Arc::new(LineView { state, since_ms: START_MS, ..LineView::default() })
    };
    let point = |value: &DpValue| PointView {
        value: value.clone(),
        at_ms: START_MS,
        changed_ms: START_MS,
        line: line.unwrap_or(Line::Cloud),
        stale: false,
    };
    DeviceView {
        presence: if line.is_some() { Presence::Online } else { Presence::Unknown },
        lan: up(Line::Lan),
        cloud: up(Line::Cloud),
        route: line,
        points: dps.iter().map(|(id, v)| (DpId(*id), point(v))).collect(),
        energy: None,
        heard_ms: Some(START_MS),
        seq: Seq(0),
        facts: Arc::new(facts),
        definition: Arc::new(definition),
    }
}

pub(super) fn plug() -> DeviceView {
    let mut meaning = definition(
        "Metering plug",
        Class::Plug,
        [
            (1, point("switch_1", DpKind::Bool, Access::Rw)),
            (17, point("add_ele", number(50_000, 3, "kWh"), Access::Ro)),
            (18, point("current", number(30_000, 3, "A"), Access::Ro)),
            (19, point("power", number(50_000, 1, "W"), Access::Ro)),
            (20, point("voltage", number(5_000, 1, "V"), Access::Ro)),
        ],
    );
    meaning.metering = Some(Metering {
        delta: Some((DpId(17), 1_000)),
        power: Some((DpId(19), 100)),
        voltage: Some((DpId(20), 100)),
        current: Some((DpId(18), 1_000)),
        ..Metering::default()
    });
    let dps = [
        (1, DpValue::Bool(true)),
        (18, DpValue::Value(435)),
        (19, DpValue::Value(998)),
        (20, DpValue::Value(2301)),
    ];
    let mut view = view(facts(PLUG, "Kitchen plug"), meaning, &dps, Some(Line::Lan));
    view.lan = Arc::new(LineView { address: Some(([192, 0, 2, 17], 6668).into()), ..(*view.lan).clone() });
    view.energy = Some(EnergyView {
        total: MilliWattHours(12_345_678),
        today: MilliWattHours(345_000),
        month: MilliWattHours(2_345_000),
        apparent_mva: Some(100_094),
        power_factor_milli: Some(997),
        ..EnergyView::default()
    });
    view
}

pub(super) fn light() -> DeviceView {
    let modes = DpKind::Enum(["white", "colour"].map(Into::into).into());
    let meaning = definition(
        "Light",
        Class::Light,
        [
            (20, point("switch_led", DpKind::Bool, Access::Rw)),
            (21, point("work_mode", modes, Access::Rw)),
            (
                22,
                point(
                    "bright_value",
                    DpKind::Value { min: 10, max: 1000, step: 1, scale: 0, unit: "".into() },
                    Access::Rw,
                ),
            ),
        ],
    );
    let dps = [(20, DpValue::Bool(false)), (21, DpValue::Enum("white".into())), (22, DpValue::Value(1000))];
    view(Facts { room: Some("Hall".into()), ..facts(LIGHT, "Hall light") }, meaning, &dps, Some(Line::Cloud))
}

pub(super) fn sensor() -> DeviceView {
    let meaning = definition(
        "Contact sensor",
        Class::Sensor,
        [
            (1, point("doorcontact_state", DpKind::Bool, Access::Ro)),
            (2, point("battery_percentage", number(100, 0, "%"), Access::Ro)),
        ],
    );
    let dps = [(1, DpValue::Bool(false)), (2, DpValue::Value(87))];
    let facts = Facts { sleeper: true, has_key: true, ..facts(SENSOR, "Garden door") };
    let mut view = view(facts, meaning, &dps, None);
    view.presence = Presence::Asleep { since_ms: START_MS };
    view
}
