//! Covers.

use serde_json::Value;

use super::classes;
use super::component::{Component, Subject, of, show};
use crate::profile::Cover;

/// The entity of a cover. `category`: the vendor's.
pub(super) fn component(
    cover: &Cover,
    key: String,
    category: Option<&str>,
    topics: &Subject<'_>,
) -> Component {
    let suffix = cover.names.suffix();
    let named = |name: &str| format!("{name}{suffix}");
    let mut component = Component::new("cover", key).maybe("device_class", classes::cover(category));
    if let Some((_, dialect)) = &cover.control
        && let Some(set) = topics.set_attribute(&named("control"))
    {
        let words = dialect.commands();
        component = component.with("command_topic", set);
        for (payload, word) in
            [("payload_open", "open"), ("payload_close", "close"), ("payload_stop", "stop")]
        {
            // Null: it has no such button.
            let word = if words.contains(&word) { Value::from(word) } else { Value::Null };
            component = component.with(payload, word);
        }
    }
    let position = named("position");
    if cover.target.is_some() || cover.position.is_some() {
        component = component
            .with("position_topic", topics.state())
            .with(
                "position_template",
                format!("{{% set v = {} %}}{{{{ v if v is number else '' }}}}", of(&position)),
            )
            .with("state_topic", topics.state())
            .with("value_template", show(&format!("{}|default('', true)", of(&named("state")))));
    }
    if cover.target.is_some()
        && let Some(set) = topics.set_attribute(&position)
    {
        component = component.with("set_position_topic", set);
    }
    component
}
