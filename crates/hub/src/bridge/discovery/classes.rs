//! Home Assistant's words for what attributes measure, by their names and units.

/// What Home Assistant calls a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its device class; it has units of its own, and none of them are others'.
    pub(super) class: Option<&'static str>,
    /// Its state class: whether long-term statistics are kept, and how.
    pub(super) state: Option<&'static str>,
}

const fn measured(class: &'static str) -> Reading {
    Reading { class: Some(class), state: Some("measurement") }
}

const METER: Reading = Reading { class: Some("energy"), state: Some("total_increasing") };

/// By name, where the unit is one of these. An empty unit: none is told.
const NAMED: &[(&str, &[&str], Reading)] = &[
    ("battery", &["%"], measured("battery")),
    ("humidity", &["%"], measured("humidity")),
    ("soil_moisture", &["%"], measured("moisture")),
    ("moisture", &["%"], measured("moisture")),
    ("co2", &["ppm"], measured("carbon_dioxide")),
    ("co", &["ppm"], measured("carbon_monoxide")),
    ("pm25", &["µg/m³"], measured("pm25")),
    ("pm10", &["µg/m³"], measured("pm10")),
    ("pm1", &["µg/m³"], measured("pm1")),
    ("voc", &["µg/m³", "mg/m³"], measured("volatile_organic_compounds")),
    ("voc", &["ppm", "ppb"], measured("volatile_organic_compounds_parts")),
    ("power_factor", &["", "%"], measured("power_factor")),
    ("rssi", &["dBm", "dB"], measured("signal_strength")),
    ("signal_strength", &["dBm", "dB"], measured("signal_strength")),
];

/// By unit.
const UNITS: &[(&str, Reading)] = &[
    ("W", measured("power")),
    ("V", measured("voltage")),
    ("A", measured("current")),
    ("Hz", measured("frequency")),
    ("VA", measured("apparent_power")),
    ("var", measured("reactive_power")),
    ("°C", measured("temperature")),
    ("°F", measured("temperature")),
    ("lx", measured("illuminance")),
    ("hPa", measured("atmospheric_pressure")),
    ("s", measured("duration")),
    ("min", measured("duration")),
    ("h", measured("duration")),
];

/// What a number with this name and unit is. `None` of both: a number with a unit that nobody has a class for.
pub(super) fn reading(name: &str, unit: &str) -> Reading {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    let of = |wanted: &str| NAMED.iter().find(|(n, units, _)| *n == wanted && units.contains(&unit));
    if let Some((_, _, reading)) = of(name).or_else(|| of(base)) {
        return *reading;
    }
    if matches!(unit, "kWh" | "Wh") {
        // Of others it is not known whether they only count up: a day's, a delta, a remainder.
        let counts_up = base.ends_with("total") || base == "energy" || base.starts_with("energy_total");
        return if counts_up { METER } else { Reading { class: Some("energy"), state: Some("total") } };
    }
    if let Some((_, reading)) = UNITS.iter().find(|(u, _)| *u == unit) {
        return *reading;
    }
    Reading { class: None, state: (!unit.is_empty()).then_some("measurement") }
}

/// The class of something with two states that is only read, by its name and the vendor's code.
pub(super) fn binary(name: &str, code: &str) -> Option<&'static str> {
    Some(match name {
        "open" | "door" | "contact" | "doorcontact_state" => "door",
        "window" => "window",
        "water_leak" | "leak" => "moisture",
        "smoke" => "smoke",
        "gas" => "gas",
        "carbon_monoxide" => "carbon_monoxide",
        "occupancy" if code.starts_with("pir") => "motion",
        "motion" | "pir" => "motion",
        "occupancy" | "presence" => "occupancy",
        "tamper" | "temper_alarm" => "tamper",
        "vibration" | "shock_state" => "vibration",
        "charging" | "charge_state" => "battery_charging",
        "battery_low" | "low_battery" => "battery",
        "running" => "running",
        "fault" => "problem",
        _ if code.ends_with("_alarm") || code.ends_with("_fault") => "problem",
        _ => return None,
    })
}

/// Readings that say how a device is and not what it is for.
const INNER: &[&str] = &[
    "voltage",
    "current",
    "frequency",
    "power_factor",
    "apparent_power",
    "battery",
    "battery_voltage",
    "rssi",
];

/// Whether a reading belongs into the second row.
pub(super) fn inner(name: &str, sensor: bool) -> bool {
    // What a sensor measures is what it is for, its battery aside.
    INNER.contains(&name) && (!sensor || name.starts_with("battery") || name == "rssi")
}

/// The class of a number that can be set.
pub(super) fn number(unit: &str) -> Option<&'static str> {
    match unit {
        "°C" | "°F" => Some("temperature"),
        "s" | "min" | "h" => Some("duration"),
        _ => None,
    }
}

/// The class of a cover, by the vendor's category.
pub(super) fn cover(category: Option<&str>) -> Option<&'static str> {
    match category {
        Some("cl" | "clkg") => Some("curtain"),
        Some("ckmkzq" | "ck") => Some("garage"),
        _ => None,
    }
}

/// The class of a button's events.
pub(super) fn event(code: &str) -> &'static str {
    if code.starts_with("doorbell") { "doorbell" } else { "button" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_decide_and_names_where_units_are_shared() {
        assert_eq!(reading("power", "W"), measured("power"));
        assert_eq!(reading("power_2", "W"), measured("power"));
        assert_eq!(reading("humidity", "%"), measured("humidity"));
        assert_eq!(reading("humidity_2", "%"), measured("humidity"));
        assert_eq!(reading("battery", "V"), measured("voltage"));
        assert_eq!(reading("voc", "ppb").class, Some("volatile_organic_compounds_parts"));
        assert_eq!(reading("energy_total", "kWh"), METER);
        assert_eq!(reading("energy_total_2", "kWh"), METER);
        // A remainder may fall: as a meter each fall would count as a new beginning.
        assert_eq!(reading("balance_energy", "kWh").state, Some("total"));
        assert_eq!(reading("filter", "%"), Reading { class: None, state: Some("measurement") });
        assert_eq!(reading("level", ""), Reading::default());
    }

    #[test]
    fn what_measures_is_no_inner_life_of_a_sensor() {
        assert!(inner("voltage", false) && !inner("voltage", true));
        assert!(inner("battery", false) && inner("battery", true));
        assert!(!inner("power", false) && !inner("temperature", true));
    }
}
