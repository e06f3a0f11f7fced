//! One entity of Home Assistant's, before it is put into either form.

use serde_json::{Map, Value};

use crate::bridge::topics::Topics;

/// One entity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Component {
    /// `switch`, `sensor`...
    pub(super) platform: &'static str,
    /// Which one of its device, for ever: after numbers of points, never after names of people.
    pub(super) key: String,
    /// What Home Assistant's page on the platform documents, by the long names.
    pub(super) config: Map<String, Value>,
}

impl Component {
    pub(super) fn new(platform: &'static str, key: impl Into<String>) -> Self {
        Self { platform, key: key.into(), config: Map::new() }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config.insert(key.to_owned(), value.into());
        self
    }

    /// With a key where there is something to say.
    pub(super) fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With these words of an attribute, whose values come and go as JSON, as its presets.
    pub(super) fn with_presets(
        self,
        topics: &Subject<'_>,
        attribute: &str,
        set: String,
        words: Vec<&str>,
    ) -> Self {
        let list = literal(&Value::from(words.clone()));
        self.with("preset_modes", words)
            .with("preset_mode_state_topic", topics.state())
            .with(
                "preset_mode_value_template",
                format!("{{% set v = {} %}}{{{{ v if v in {list} else none }}}}", of(attribute)),
            )
            .with("preset_mode_command_topic", set)
            .with("preset_mode_command_template", "{{ value|to_json }}")
    }

    /// Its name in the device's list of components, and in topics: a point that becomes another kind of entity is another one.
    pub(super) fn id(&self) -> String {
        format!("{}_{}", self.platform, self.key)
    }
}

/// The topics of one device.
pub(super) struct Subject<'a> {
    pub(super) topics: &'a Topics,
    pub(super) name: &'a str,
}

impl Subject<'_> {
    pub(super) fn state(&self) -> String {
        self.topics.state(self.name)
    }

    pub(super) fn set(&self) -> String {
        self.topics.set(self.name)
    }

    /// `None`: an attribute whose name can't be a level of a topic.
    pub(super) fn set_attribute(&self, attribute: &str) -> Option<String> {
        let fits = !attribute.is_empty() && !attribute.contains(['/', '+', '#', '\0']);
        fits.then(|| self.topics.set_attribute(self.name, attribute))
    }

    pub(super) fn action(&self) -> String {
        self.topics.action(self.name)
    }
}

/// A text as templates write it. They read JSON's.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Words as a list or numbers and words as a dictionary, as templates write them.
pub(super) fn literal(value: &Value) -> String {
    value.to_string()
}

/// What a state says of an attribute, as an expression of a template: none while the device has not shown it, and on a topic that
/// was cleared.
pub(super) fn of(attribute: &str) -> String {
    format!("(value_json|default({{}})).get({})", quoted(attribute))
}

/// The template that shows an expression.
pub(super) fn show(expression: &str) -> String {
    format!("{{{{ {expression} }}}}")
}

/// What a topic with `{"state": ...}` says: nothing that was cleared is there.
pub(super) fn state_word() -> String {
    show("(value_json|default({})).get('state', 'offline')")
}
