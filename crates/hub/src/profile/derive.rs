//! What the codes of points say together: the class, lights and covers, which points measure energy.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_cloud::book_backend::profiles::MeteringPoints;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{Access, DpKind};

use super::attribute::{Attribute, Binary};
use super::entity::{CoverPoints, Entity, LightPoints};
use super::{Class, Definition, Metering, Point, Recipe, Source, names};

/// How often a plug is asked to measure that tells its readings only when asked.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Ten times missed, a reading is stale.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// Codes of points that say one of two states in words, the names of the attributes, and the words of true.
const BINARIES: &[(&str, &str, &[&str])] = &[
    ("watersensor_state", "water_leak", &["alarm", "1"]),
    ("smoke_sensor_status", "smoke", &["alarm", "1"]),
    ("smoke_sensor_state", "smoke", &["alarm", "1"]),
    ("gas_sensor_status", "gas", &["alarm", "1"]),
    ("gas_sensor_state", "gas", &["alarm", "1"]),
    ("co_status", "carbon_monoxide", &["alarm", "1"]),
    ("co_state", "carbon_monoxide", &["alarm", "1"]),
    ("pir", "occupancy", &["pir"]),
    ("pir_state", "occupancy", &["pir"]),
    ("presence_state", "presence", &["presence", "move", "static"]),
];

type Points = BTreeMap<DpId, Point>;

fn by_code(points: &Points, codes: &[&str]) -> Option<DpId> {
    codes.iter().find_map(|code| points.iter().find(|(_, p)| *p.spec.code == **code).map(|(id, _)| *id))
}

/// Codes of readings: nobody writes them, whatever a source that has no word for it says.
const READINGS: &[&str] = &[
    "add_ele",
    "battery_percentage",
    "battery_state",
    "cur_current",
    "cur_power",
    "cur_voltage",
    "doorcontact_state",
    "fault",
    "forward_energy_total",
    "humidity_current",
    "humidity_value",
    "illuminance_value",
    "percent_state",
    "temp_current",
    "total_forward_energy",
    "va_humidity",
    "va_temperature",
    "work_state",
];

/// Repairs what can't be: units that were left out of well-known points, and mains of thousands of volts.
pub(crate) fn plausible(id: DpId, point: &mut Point, heard: &Dps) {
    let told = !matches!(point.source, Source::Guess(_) | Source::Mapping | Source::TuyaLocal(_));
    if !told && point.spec.access == Access::Rw && READINGS.contains(&&*point.spec.code) {
        point.spec.access = Access::Ro;
        point.also.push(("access", Source::Guess("its code is that of a reading".to_owned())));
    }
    let DpKind::Value { max, scale, unit, .. } = &mut point.spec.kind else { return };
    let usual = match &*point.spec.code {
        "cur_current" => ("mA", 0),
        "cur_power" => ("W", 1),
        "cur_voltage" => ("V", 1),
        "add_ele" => ("kWh", 3),
        "forward_energy_total" | "total_forward_energy" => ("kWh", 2),
        _ => return,
    };
    let mut guess = |what: &'static str, why: &str| {
        point.also.push((what, Source::Guess(why.to_owned())));
    };
    if unit.is_empty() {
        *unit = usual.0.into();
        guess("unit", "the unit of most points with this code");
        if *scale == 0 && usual.1 > 0 {
            *scale = usual.1;
            guess("scale", "the scale of most points with this code");
        }
    }
    let shown = match heard.value(id) {
        Some(DpValue::Value(n)) => *n,
        _ => 0,
    };
    let limit = if *max < i64::MAX { *max } else { 0 };
    if usual.0 == "V" && *scale == 0 && names::unit(unit).0 == "V" && limit.max(shown) > 1_000 {
        *scale = 1;
        guess("scale", "no mains have thousands of volts");
    }
}

/// The class that the codes show, where nobody said one.
pub(crate) fn class(made: &mut Definition) {
    if made.class != Class::Other {
        return;
    }
    let points = &made.points;
    let has = |codes: &[&str]| by_code(points, codes).is_some();
    let found = if has(&["colour_data", "colour_data_v2", "temp_value_v2", "switch_led"]) {
        Class::Light
    } else if has(&["percent_control", "percent_state", "mach_operate"]) {
        Class::Cover
    } else if has(&["fan_speed", "fan_speed_enum", "fan_speed_percent"]) {
        Class::Fan
    } else if has(&["temp_set"]) {
        Class::Thermostat
    } else if has(&["bright_value_1", "bright_value"]) {
        Class::Dimmer
    } else if has(&["ir_send", "ir_code", "key_code"]) {
        Class::Infrared
    } else if has(&["cur_power", "add_ele", "relay_status"]) {
        Class::Plug
    } else if has(&["switch_1", "switch", "switch_2"]) {
        Class::Switch
    } else if has(&["battery_percentage", "va_temperature", "doorcontact_state"]) {
        Class::Sensor
    } else {
        return;
    };
    made.class = found;
    made.sources.push(("class", Source::Guess("by the codes of its points".to_owned())));
}

/// Attributes of several points, as far as their points are still free.
pub(crate) fn attributes(made: &mut Definition, heard: &Dps) {
    let mut found = Vec::new();
    let n = |codes: &[&str]| by_code(&made.points, codes).map(|id| id.0);
    let light = LightPoints {
        brightness: n(&["bright_value_v2", "bright_value"]),
        color_temp: n(&["temp_value_v2", "temp_value"]),
        color: n(&["colour_data_v2", "colour_data", "colour_data_hsv"]),
        mode: n(&["work_mode"]),
        switch: n(&["switch_led", "light", "led_switch"]).or_else(|| {
            let alone = matches!(made.class, Class::Light | Class::Dimmer);
            if alone { n(&["switch", "switch_1"]) } else { None }
        }),
        ..LightPoints::default()
    };
    found.push(Entity::Light(light));
    let numbered: Vec<u8> = (1..=4).filter(|k| n(&[&format!("bright_value_{k}")]).is_some()).collect();
    for k in &numbered {
        found.push(Entity::Light(LightPoints {
            suffix: if numbered.len() > 1 { format!("_{k}") } else { String::new() },
            brightness: n(&[&format!("bright_value_{k}")]),
            color_temp: n(&[&format!("temp_value_{k}")]),
            switch: n(&[&format!("switch_led_{k}"), &format!("switch_{k}")])
                .or_else(|| if numbered.len() == 1 { n(&["switch_led", "switch"]) } else { None }),
            ..LightPoints::default()
        }));
    }
    if made.class == Class::Cover {
        for (suffix, tail) in [("", ""), ("_2", "_2"), ("_3", "_3")] {
            let coded = |code: &str| n(&[&format!("{code}{tail}")]);
            found.push(Entity::Cover(CoverPoints {
                suffix: suffix.to_owned(),
                control: coded("control").or_else(|| coded("mach_operate")),
                target: coded("percent_control").or_else(|| coded("position")),
                position: coded("percent_state"),
                work_state: coded("work_state"),
                ..CoverPoints::default()
            }));
        }
    }
    if let Some(send) = n(&["ir_send"]) {
        found.push(Entity::InfraredPacked { send, learnt: n(&["ir_study_code", "study_code"]) });
    } else if let (Class::Infrared, Some(control), Some(code)) =
        (made.class, n(&["control"]), n(&["key_code"]))
    {
        found.push(Entity::InfraredSpread {
            control,
            code,
            learnt: n(&["study_code", "ir_study_code"]),
            head: n(&["ir_code"]),
            delay: n(&["delay_time"]),
            code_type: n(&["type"]),
        });
    }
    for code in ["phase_a", "phase_b", "phase_c"] {
        if let Some(point) = n(&[code])
            && matches!(made.points[&DpId(point)].spec.kind, DpKind::Raw(_) | DpKind::String(_))
        {
            found.push(Entity::Phase { name: code.to_owned(), point });
        }
    }
    let mut all: Vec<Attribute> = found.iter().filter_map(|e| e.resolve(&made.points, heard)).collect();
    for (id, point) in &made.points {
        let words = BINARIES.iter().find(|(code, _, _)| *code == &*point.spec.code);
        if let (Some((_, name, on)), DpKind::Enum(_) | DpKind::String(_)) = (words, &point.spec.kind) {
            let (name, on) = ((*name).to_owned(), on.iter().map(|w| DpValue::text(*w)).collect());
            all.push(Attribute::Binary(Binary { name, dp: *id, on, off: None, access: Access::Ro }));
        }
    }
    for attribute in all {
        if !made.attributes.iter().any(|have| have.clashes(&attribute)) {
            made.attributes.push(attribute);
        }
    }
}

/// Which points measure energy: as a profile says, else by their codes; in what, their units say.
pub(crate) fn metering(made: &mut Definition, named: Option<(&MeteringPoints, &Source)>) {
    let points = &made.points;
    let pick = |said: Option<Option<u16>>, codes: &[&str], unit: &[(&str, i64)]| {
        let id = match said {
            Some(id) => DpId(id?),
            None => by_code(points, codes)?,
        };
        Some((id, factor(points.get(&id)?, unit)?))
    };
    let said = |of: fn(&MeteringPoints) -> Option<u16>| named.map(|(m, _)| of(m));
    const ENERGY: &[(&str, i64)] = &[("kWh", 1_000_000), ("Wh", 1_000), ("", 1_000_000)];
    let totals = ["forward_energy_total", "total_forward_energy", "energy_forword_total"];
    let found = Metering {
        delta: pick(said(|m| m.delta), &["add_ele"], ENERGY),
        meter: pick(said(|m| m.meter), &totals, ENERGY),
        power: pick(said(|m| m.power), &["cur_power"], &[("W", 1_000), ("", 1_000)]),
        voltage: pick(said(|m| m.voltage), &["cur_voltage"], &[("V", 1_000), ("", 1_000)]),
        current: pick(said(|m| m.current), &["cur_current"], &[("A", 1_000_000), ("", 1_000_000)]),
    };
    if found == Metering::default() {
        return;
    }
    made.metering = Some(found);
    let source = named.map_or_else(|| Source::Guess("by the codes of its points".into()), |(_, s)| s.clone());
    made.sources.push(("metering", source));
}

/// What one count stands for, in thousandths (energy, power, voltage) or millionths (current) of the unit.
fn factor(point: &Point, units: &[(&str, i64)]) -> Option<i64> {
    let DpKind::Value { .. } = &point.spec.kind else { return None };
    let (_, whole) = units.iter().find(|(unit, _)| *unit == point.unit())?;
    let places = point.places();
    let ten = 10_i64.checked_pow(u32::from(places.unsigned_abs()))?;
    let factor = if places >= 0 { whole / ten } else { whole.checked_mul(ten)? };
    // Finer than what we count in: not an account to trust.
    (factor > 0).then_some(factor)
}

/// A plug that measures tells it often only when asked (field.md, want 13).
pub(crate) fn refresh(made: &mut Definition) {
    if made.refresh.is_none()
        && matches!(made.class, Class::Plug | Class::Switch)
        && let Some(metering) = &made.metering
    {
        let readings = [metering.current, metering.power, metering.voltage];
        let points: Vec<DpId> = readings.into_iter().flatten().map(|(id, _)| id).collect();
        if metering.power.is_some() {
            made.refresh = Some(Recipe { points, every: REFRESH_EVERY });
            let why = "a plug that measures often tells it only when asked";
            made.sources.push(("refresh", Source::Guess(why.to_owned())));
        }
    }
    if let Some(refresh) = &made.refresh {
        made.stale_after.get_or_insert(STALE_AFTER.max(refresh.every * 10));
    }
}
