//! Lights. One message holds all of a command: colour and brightness in two would overtake each other.

use serde_json::{Value, json};

use super::component::{Component, Subject, literal, of, quoted, show};
use crate::profile::Light;

/// The entity of a light; `None`: it has no switch, so it can't be turned on.
pub(super) fn component(light: &Light, key: String, topics: &Subject<'_>) -> Option<Component> {
    light.switch?;
    let suffix = light.names.suffix();
    let named = |name: &str| format!("{name}{suffix}");
    let [switch, brightness, color_temp, color, color_mode, mode] =
        ["switch", "brightness", "color_temp", "color", "color_mode", "mode"].map(named);
    let state = of(&switch);
    let mut given = Vec::new();
    let mut component = Component::new("light", key)
        .with("schema", "template")
        .with("state_topic", topics.state())
        .with("command_topic", topics.set())
        .with("state_template", show(&format!("none if {state} is none else 'on' if {state} else 'off'")))
        .with("command_off_template", json!({ switch.as_str(): false }).to_string());

    if light.brightness.is_some() || light.colour.is_some() {
        component = component.with("brightness_template", show(&format!("{}|int(0)", of(&brightness))));
        given.push((format!("{}: brightness", quoted(&brightness)), "brightness is defined"));
    }
    if let Some(warmth) = &light.warmth {
        let (cold, warm) = warmth.mired;
        component = component
            .with("color_temp_template", show(&of(&color_temp)))
            .with("min_mireds", cold)
            .with("max_mireds", warm);
        given.push((format!("{}: color_temp", quoted(&color_temp)), "color_temp is defined"));
    }
    if light.colour.is_some() {
        // Hue and saturation at full brightness as red, green and blue: the only way in which this schema takes them. None of
        // them while white shines, so that the colour mode is right.
        for (channel, shift) in [("red", 5), ("green", 3), ("blue", 1)] {
            let template = format!(
                "{{% set c = {} %}}{{% if c is none or {} != 'hs' %}}None{{% else %}}\
                 {{% set k = ({shift} + c.hue / 60) % 6 %}}\
                 {{{{ (255 - 2.55 * c.saturation * [0, [k, 4 - k, 1]|min]|max)|round|int }}}}{{% endif %}}",
                of(&color),
                of(&color_mode),
            );
            component = component.with(&format!("{channel}_template"), template);
        }
        given.push((
            format!("{}: {{'hue': hue, 'saturation': sat}}", quoted(&color)),
            "hue is defined and sat is defined",
        ));
    }
    if let Some((_, words)) = &light.mode {
        let scenes: Vec<&str> = words
            .iter()
            .map(|word| &**word)
            .filter(|word| **word != *light.white && **word != *light.colour_word && *word != "off")
            .collect();
        if !scenes.is_empty() {
            let list = literal(&Value::from(scenes.clone()));
            let back = if light.colour.is_some() && light.brightness.is_none() && light.warmth.is_none() {
                &light.colour_word
            } else {
                &light.white
            };
            let effects: Vec<&str> = ["off"].into_iter().chain(scenes).collect();
            component = component.with("effect_list", effects).with(
                "effect_template",
                format!("{{% set m = {} %}}{{{{ m if m in {list} else 'off' }}}}", of(&mode)),
            );
            given.push((
                format!("{}: {} if effect == 'off' else effect", quoted(&mode), quoted(back)),
                "effect is defined",
            ));
        }
    }
    let mut on = format!("{{% set m = {{{}: true}} %}}", quoted(&switch));
    for (part, when) in given {
        on.push_str(&format!("{{% if {when} %}}{{% set m = dict(m, **{{{part}}}) %}}{{% endif %}}"));
    }
    on.push_str("{{ m|to_json }}");
    Some(component.with("command_on_template", on))
}
