//! What people call points: names of attributes, units, which of them are settings, which are for the factory.

use landfall_proto::dp::DpId;

/// Codes of the vendor and the names of their attributes. A code that is not here is its own name.
const NAMES: &[(&str, &str)] = &[
    ("add_ele", "add_ele"),
    ("battery_percentage", "battery"),
    ("battery_value", "battery_voltage"),
    ("bright_value", "brightness"),
    ("bright_value_v2", "brightness"),
    ("bright_value_1", "brightness_1"),
    ("bright_value_2", "brightness_2"),
    ("bright_value_3", "brightness_3"),
    ("ch2o_value", "formaldehyde"),
    ("co2_value", "co2"),
    ("colour_data", "color"),
    ("colour_data_v2", "color"),
    ("colour_data_hsv", "color"),
    ("cur_current", "current"),
    ("cur_power", "power"),
    ("cur_voltage", "voltage"),
    ("fan_speed_enum", "fan_speed"),
    ("fan_speed_percent", "fan_speed"),
    ("forward_energy_total", "energy_total"),
    ("humidity_current", "humidity"),
    ("humidity_value", "humidity"),
    ("illuminance_value", "illuminance"),
    ("bright_state", "illuminance_level"),
    ("manual_feed", "feed"),
    ("percent_control", "position"),
    ("percent_state", "current_position"),
    ("pm25_value", "pm25"),
    ("switch_led", "switch"),
    ("switch_led_1", "switch_1"),
    ("switch_led_2", "switch_2"),
    ("switch_led_3", "switch_3"),
    ("switch_fan", "fan"),
    ("temp_current", "temperature"),
    ("temp_set", "target_temperature"),
    ("temp_value", "color_temp"),
    ("temp_value_v2", "color_temp"),
    ("total_forward_energy", "energy_total"),
    ("va_battery", "battery"),
    ("va_humidity", "humidity"),
    ("va_temperature", "temperature"),
    ("voc_value", "voc"),
    ("work_mode", "mode"),
];

/// The name of an attribute for a point: the short one of a well-known code, else the code, else `dp_N`.
pub(crate) fn of(code: &str, dp: DpId) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(c, _)| *c == code) {
        return (*name).to_owned();
    }
    let slug = slug(code);
    if slug.is_empty() { format!("dp_{dp}") } else { slug }
}

/// Lower case letters, digits and underlines.
pub(crate) fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    while out.ends_with('_') {
        out.pop();
    }
    out
}

/// The unit that is shown, and by how many decimal places the number moves for it: milliamperes are shown as amperes.
pub(crate) fn unit(vendors: &str) -> (&str, i8) {
    match vendors.trim() {
        "mA" | "ma" => ("A", 3),
        "mV" | "mv" => ("V", 3),
        "mW" | "mw" => ("W", 3),
        "kW" | "KW" | "kw" => ("W", -3),
        "a" => ("A", 0),
        "v" => ("V", 0),
        "w" => ("W", 0),
        "℃" | "C" | "°C" | "ºC" => ("°C", 0),
        "℉" | "F" | "°F" | "ºF" => ("°F", 0),
        "kW·h" | "kwh" | "kW.h" | "KWh" | "kW/h" | "度" => ("kWh", 0),
        "Wh" | "wh" | "W·h" => ("Wh", 0),
        "lux" | "LUX" | "Lux" => ("lx", 0),
        "ug/m3" | "ug/m³" | "μg/m³" => ("µg/m³", 0),
        "秒" | "S" | "sec" => ("s", 0),
        other => (other, 0),
    }
}

/// Points that are nobody's business in daily life: calibration and test. And the delta point, which is no meter.
pub(crate) fn hidden(code: &str) -> bool {
    matches!(code, "add_ele" | "test_bit") || code.ends_with("_coe")
}

/// Points whose pushed repeat is an event: buttons, bells.
pub(crate) fn event(code: &str) -> bool {
    let numbered = |head: &str| {
        code.strip_prefix(head).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    numbered("switch_mode")
        || numbered("switch_type_")
        || matches!(code, "doorbell_active" | "doorbell_call" | "alarm_message" | "scene_input")
}

/// What a point is for, as zigbee2mqtt's `category` says it: settings and the inner life stand apart.
pub(crate) fn category(code: &str) -> Option<&'static str> {
    const CONFIG: &[&str] = &[
        "relay_status",
        "light_mode",
        "child_lock",
        "overcharge_switch",
        "cycle_time",
        "random_time",
        "switch_inching",
        "control_back",
        "control_back_mode",
        "do_not_disturb",
        "led_type_1",
        "led_type_2",
        "brightness_min_1",
        "brightness_max_1",
        "upper_temp",
        "lower_temp",
        "temp_correction",
        "temp_unit_convert",
        "c_f",
    ];
    if CONFIG.contains(&code) {
        return Some("config");
    }
    let inner = code == "fault" || code.ends_with("_fault") || code.starts_with("battery");
    inner.then_some("diagnostic")
}
