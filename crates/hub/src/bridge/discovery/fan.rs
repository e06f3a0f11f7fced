//! Fans.

use std::collections::BTreeMap;

use landfall_proto::schema::{Access, DpKind};
use serde_json::{Map, Value};

use super::component::{Component, Subject, literal, of, show};
use crate::profile::Point;

/// The entity of a fan among plain points by name, and the names that it is made of.
pub(super) fn component<'a>(
    points: &BTreeMap<&'a str, &'a Point>,
    topics: &Subject<'_>,
) -> Option<(Component, Vec<&'a str>)> {
    let settable = |name: &str| points.get_key_value(name).filter(|(_, p)| p.spec.access == Access::Rw);
    let is_switch = |(_, p): &(&&str, &&Point)| p.spec.kind == DpKind::Bool;
    let (switch, _) = settable("fan").filter(is_switch).or_else(|| settable("switch").filter(is_switch))?;
    let mut used = vec![*switch];
    let mut component = Component::new("fan", "fan")
        .with("state_topic", topics.state())
        .with("state_value_template", show(&of(switch)))
        .with("command_topic", topics.set_attribute(switch)?)
        .with("payload_on", "True")
        .with("payload_off", "False")
        .with("command_template", "{{ value|lower }}");

    if let Some((name, point)) = settable("fan_speed").or_else(|| settable("speed")) {
        let topic = topics.set_attribute(name);
        match (&point.spec.kind, topic) {
            (DpKind::Value { min, max, scale: 0, .. }, Some(set))
                if *max < i64::MAX && *max > (*min).max(1) =>
            {
                used.push(name);
                component = component
                    .with("percentage_state_topic", topics.state())
                    .with("percentage_value_template", show(&of(name)))
                    .with("percentage_command_topic", set)
                    .with("speed_range_min", (*min).max(1))
                    .with("speed_range_max", *max);
            }
            (DpKind::Enum(words), Some(set)) if words.len() > 1 => {
                used.push(name);
                let steps: Map<String, Value> =
                    words.iter().zip(1..).map(|(word, step)| (word.to_string(), Value::from(step))).collect();
                let steps = literal(&Value::Object(steps));
                let list = literal(&words.iter().map(|w| Value::from(&**w)).collect());
                component = component
                    .with("percentage_state_topic", topics.state())
                    .with("percentage_value_template", show(&format!("{steps}.get({})", of(name))))
                    .with("percentage_command_topic", set)
                    .with("percentage_command_template", show(&format!("{list}[value|int - 1]|to_json")))
                    .with("speed_range_min", 1)
                    .with("speed_range_max", words.len());
            }
            _ => {}
        }
    }
    if let Some((name, point)) = settable("fan_direction")
        && let (DpKind::Enum(words), Some(set)) = (&point.spec.kind, topics.set_attribute(name))
        && ["forward", "reverse"].iter().all(|want| words.iter().any(|w| **w == **want))
    {
        used.push(name);
        component = component
            .with("direction_state_topic", topics.state())
            .with("direction_value_template", show(&format!("{}|default('', true)", of(name))))
            .with("direction_command_topic", set);
    }
    if let Some((name, point)) = settable("fan_horizontal")
        && let (DpKind::Bool, Some(set)) = (&point.spec.kind, topics.set_attribute(name))
    {
        used.push(name);
        component = component
            .with("oscillation_state_topic", topics.state())
            .with("oscillation_value_template", show(&of(name)))
            .with("oscillation_command_topic", set)
            .with("payload_oscillation_on", "True")
            .with("payload_oscillation_off", "False")
            .with("oscillation_command_template", "{{ value|lower }}");
    }
    if let Some((name, point)) = settable("mode")
        && let (DpKind::Enum(words), Some(set)) = (&point.spec.kind, topics.set_attribute(name))
        && !words.is_empty()
    {
        used.push(name);
        component = component.with_presets(topics, name, set, words.iter().map(|w| &**w).collect());
    }
    Some((component, used))
}
