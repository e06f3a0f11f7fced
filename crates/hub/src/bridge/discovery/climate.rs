//! Thermostats and air conditioners.

use std::collections::BTreeMap;

use landfall_proto::schema::{Access, DpKind};
use serde_json::{Map, Value};

use super::component::{Component, Subject, literal, of, quoted, show};
use crate::profile::Point;

/// Vendors' words that are modes of Home Assistant's. Others are presets.
const MODES: &[(&str, &str)] = &[
    ("cold", "cool"),
    ("cool", "cool"),
    ("hot", "heat"),
    ("heat", "heat"),
    ("warm", "heat"),
    ("wind", "fan_only"),
    ("fan", "fan_only"),
    ("fan_only", "fan_only"),
    ("wet", "dry"),
    ("dry", "dry"),
    ("dehumidify", "dry"),
    ("dehumidification", "dry"),
    ("auto", "auto"),
];

/// The entity of a thermostat among plain points by name, and the names that it is made of.
pub(super) fn component<'a>(
    points: &BTreeMap<&'a str, &'a Point>,
    topics: &Subject<'_>,
) -> Option<(Component, Vec<&'a str>)> {
    let (target, wanted) =
        points.get_key_value("target_temperature").filter(|(_, p)| p.spec.access == Access::Rw)?;
    let DpKind::Value { min, max, step, .. } = &wanted.spec.kind else { return None };
    if *min == i64::MIN || *max == i64::MAX || min >= max {
        return None;
    }
    let mut used = vec![*target];
    let shown = |n: i64| crate::profile::decimal(n, wanted.places());
    let mut component = Component::new("climate", "climate")
        .with("temperature_state_topic", topics.state())
        .with("temperature_state_template", show(&of(target)))
        .with("temperature_command_topic", topics.set_attribute(target)?)
        .with("min_temp", shown(*min))
        .with("max_temp", shown(*max))
        .with("temp_step", shown((*step).max(1)))
        .with("temperature_unit", if wanted.unit() == "°F" { "F" } else { "C" })
        .with("precision", if wanted.places() > 0 { 0.1 } else { 1.0 });
    if let Some((name, _)) = points.get_key_value("temperature") {
        used.push(name);
        component = component
            .with("current_temperature_topic", topics.state())
            .with("current_temperature_template", show(&of(name)));
    }

    let switch = points
        .get_key_value("switch")
        .filter(|(_, p)| p.spec.kind == DpKind::Bool && p.spec.access == Access::Rw)
        .map(|(name, _)| *name);
    used.extend(switch);
    let mode =
        points.get_key_value("mode").filter(|(_, p)| p.spec.access == Access::Rw).and_then(|(name, p)| {
            match &p.spec.kind {
                DpKind::Enum(words) if !words.is_empty() => Some((*name, words)),
                _ => None,
            }
        });
    let known = |word: &str| MODES.iter().find(|(w, _)| word.eq_ignore_ascii_case(w)).map(|(_, mode)| *mode);
    let conditions =
        mode.is_some_and(|(_, words)| words.iter().any(|w| known(w).is_some_and(|m| m != "auto")));
    component = match mode {
        Some((name, words)) if conditions => {
            used.push(name);
            conditioner(component, topics, switch, name, words, &known)
        }
        _ => heater(component, topics, switch),
    };
    if let (Some((name, words)), false) = (mode, conditions) {
        // `none` is what Home Assistant calls having none of them.
        let words: Vec<&str> = words.iter().map(|w| &**w).filter(|w| *w != "none").collect();
        if let (false, Some(set)) = (words.is_empty(), topics.set_attribute(name)) {
            used.push(name);
            component = component.with_presets(topics, name, set, words);
        }
    }
    Some((acting(component, points, topics, switch), used))
}

/// One that heats, or is off.
fn heater(component: Component, topics: &Subject<'_>, switch: Option<&str>) -> Component {
    let Some(switch) = switch else {
        return component
            .with("modes", vec!["heat"])
            .with("mode_state_topic", topics.state())
            .with("mode_state_template", "heat");
    };
    let on = literal(&serde_json::json!({ switch: true }));
    let off = literal(&serde_json::json!({ switch: false }));
    component
        .with("modes", vec!["off", "heat"])
        .with("mode_state_topic", topics.state())
        .with("mode_state_template", show(&format!("'heat' if {} else 'off'", of(switch))))
        .with("mode_command_topic", topics.set())
        .with("mode_command_template", format!("{{% if value == 'off' %}}{off}{{% else %}}{on}{{% endif %}}"))
}

/// One with several modes of its own.
fn conditioner(
    component: Component,
    topics: &Subject<'_>,
    switch: Option<&str>,
    name: &str,
    words: &[Box<str>],
    known: &impl Fn(&str) -> Option<&'static str>,
) -> Component {
    let (mut there, mut back) = (Map::new(), Map::new());
    let mut modes: Vec<&str> = switch.map(|_| "off").into_iter().collect();
    for word in words {
        if let Some(mode) = known(word) {
            there.insert(word.to_string(), mode.into());
            // Of two words for one mode the first is written.
            if !modes.contains(&mode) {
                modes.push(mode);
                back.insert(mode.to_owned(), (**word).into());
            }
        }
    }
    let first = modes.first().copied().unwrap_or("auto").to_owned();
    let (there, back) = (literal(&Value::Object(there)), literal(&Value::Object(back)));
    let [state, command] = match switch {
        Some(switch) => [
            format!(
                "{there}.get({}, {}) if {} else 'off'",
                of(name),
                quoted(modes.get(1).unwrap_or(&"off")),
                of(switch)
            ),
            format!(
                "{{% set m = {back} %}}{{{{ ({{{on}: false}} if value == 'off' else {{{on}: true, {to}: m[value]}})|to_json }}}}",
                on = quoted(switch),
                to = quoted(name)
            ),
        ],
        None => [
            format!("{there}.get({}, {})", of(name), quoted(&first)),
            format!("{{% set m = {back} %}}{{{{ {{{}: m[value]}}|to_json }}}}", quoted(name)),
        ],
    };
    component
        .with("modes", modes)
        .with("mode_state_topic", topics.state())
        .with("mode_state_template", show(&state))
        .with("mode_command_topic", topics.set())
        .with("mode_command_template", command)
}

/// With what it does just now, where a point tells that.
fn acting(
    component: Component,
    points: &BTreeMap<&str, &Point>,
    topics: &Subject<'_>,
    switch: Option<&str>,
) -> Component {
    let busy = match (points.get_key_value("valve_state"), points.get_key_value("running")) {
        (Some((name, point)), _) if matches!(&point.spec.kind, DpKind::Enum(words) if words.iter().any(|w| **w == *"open")) =>
        {
            format!("{} == 'open'", of(name))
        }
        (_, Some((name, point))) if point.spec.kind == DpKind::Bool => format!("{} == true", of(name)),
        _ => return component,
    };
    let off = switch.map(|switch| format!("'off' if not {} else ", of(switch))).unwrap_or_default();
    component
        .with("action_topic", topics.state())
        .with("action_template", show(&format!("{off}'heating' if {busy} else 'idle'")))
}
