//! What stands alone: a point, or an attribute of one point.

use serde_json::{Value, json};

use super::classes;
use super::component::{Component, Subject, literal, of, show};
use crate::bridge::topics::Topics;

/// Longest text that Home Assistant keeps as a state.
const TEXT: u64 = 255;

/// One attribute as `exposes` tells it, and what else is known of its point.
pub(super) struct Leaf<'a> {
    /// Which entity of its device.
    pub(super) key: String,
    /// As `exposes` tells it.
    pub(super) exposed: Value,
    /// The vendor's code.
    pub(super) code: &'a str,
    /// Decimal places.
    pub(super) places: Option<i8>,
    /// Longest text.
    pub(super) longest: Option<usize>,
    /// A pushed repeat is an event.
    pub(super) event: bool,
    /// It acts on each write.
    pub(super) acts: bool,
    /// Its device is a sensor.
    pub(super) sensor: bool,
    /// Nobody knows what it means.
    pub(super) unknown: bool,
}

impl Leaf<'_> {
    fn text(&self, key: &str) -> &str {
        self.exposed.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.text("property")
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.exposed.get(key).and_then(Value::as_f64)
    }

    fn access(&self, bit: u64) -> bool {
        self.exposed.get("access").and_then(Value::as_u64).is_some_and(|bits| bits & bit != 0)
    }

    fn reads(&self) -> bool {
        self.access(0b001)
    }

    fn writes(&self) -> bool {
        self.access(0b010)
    }

    fn words(&self) -> Option<&Vec<Value>> {
        self.exposed.get("values").and_then(Value::as_array).filter(|words| !words.is_empty())
    }

    fn begun(&self, platform: &'static str) -> Component {
        Component::new(platform, self.key.clone())
            .with("name", self.text("label"))
            .maybe("enabled_by_default", self.unknown.then_some(false))
    }

    /// With its state, where it has one.
    fn stated(&self, component: Component, topics: &Subject<'_>, template: &str) -> Component {
        if self.reads() {
            component.with("state_topic", topics.state()).with("value_template", template)
        } else {
            component
        }
    }

    fn diagnostic(&self) -> bool {
        self.text("category") == "diagnostic" || classes::inner(self.name(), self.sensor)
    }

    /// The entity; `None`: nothing that Home Assistant has a place for.
    pub(super) fn component(&self, topics: &Subject<'_>) -> Option<Component> {
        if self.event {
            return Some(self.events(topics));
        }
        let set = topics.set_attribute(self.name()).filter(|_| self.writes());
        match (self.text("type"), set) {
            ("binary", Some(set)) if self.acts || !self.reads() => Some(self.button(set)),
            ("binary", Some(set)) => Some(self.switch(topics, set)),
            ("binary", None) if self.reads() => Some(self.binary(topics)),
            ("numeric", Some(set)) if self.bounded() => Some(self.settable(topics, set)),
            ("numeric", _) if self.reads() => Some(self.reading(topics)),
            ("enum", Some(set)) if self.words().is_some() => Some(self.select(topics, set)),
            ("enum" | "text", Some(set)) if self.fits() => Some(self.writing(topics, set)),
            ("enum" | "text", _) if self.reads() && self.longest.is_none_or(|n| n > 0) => {
                Some(self.said(topics))
            }
            ("list", _) if self.reads() => Some(self.faults(topics)),
            _ => None,
        }
    }

    fn bounded(&self) -> bool {
        matches!((self.number("value_min"), self.number("value_max")), (Some(min), Some(max)) if min < max)
    }

    fn fits(&self) -> bool {
        self.longest.is_some_and(|n| u64::try_from(n).is_ok_and(|n| n <= TEXT))
    }

    fn events(&self, topics: &Subject<'_>) -> Component {
        let known = self.words().cloned();
        let (kinds, kind) = match known {
            Some(words) => {
                let kinds = literal(&Value::Array(words.clone()));
                (words, format!("v if v in {kinds} else none"))
            }
            // Whatever it says, it was pressed.
            None => (vec![json!("pressed")], "'pressed' if v is not none else none".to_owned()),
        };
        let template = format!(
            "{{% set v = {} %}}{{% set kind = {kind} %}}{{{{ {{'event_type': kind}}|to_json if kind is not none else '{{}}' }}}}",
            of(self.name())
        );
        self.begun("event")
            .with("device_class", classes::event(self.code))
            .with("event_types", kinds)
            .with("state_topic", topics.action())
            .with("value_template", template)
    }

    fn button(&self, set: String) -> Component {
        self.begun("button").with("command_topic", set).with("payload_press", "true")
    }

    fn switch(&self, topics: &Subject<'_>, set: String) -> Component {
        let main = is_main(self.name());
        let component = self
            .begun("switch")
            .with("command_topic", set)
            .with("payload_on", "true")
            .with("payload_off", "false")
            .with("state_on", "True")
            .with("state_off", "False")
            .maybe("entity_category", (!main).then_some("config"));
        self.stated(component, topics, &show(&of(self.name())))
    }

    fn binary(&self, topics: &Subject<'_>) -> Component {
        let class = classes::binary(self.name(), self.code);
        let component = self
            .begun("binary_sensor")
            .with("payload_on", "True")
            .with("payload_off", "False")
            .maybe("device_class", class)
            .maybe("entity_category", (self.diagnostic() || class == Some("tamper")).then_some("diagnostic"));
        self.stated(component, topics, &show(&of(self.name())))
    }

    fn settable(&self, topics: &Subject<'_>, set: String) -> Component {
        let unit = self.text("unit");
        // Smaller steps are refused there.
        let step = self.number("value_step").filter(|step| *step >= 0.001);
        let [min, max] = ["value_min", "value_max"].map(|key| self.exposed[key].clone());
        // A value out of its own range would be an error in the log there each time.
        let template = format!(
            "{{% set v = {} %}}{{{{ v if v is number and {min} <= v <= {max} else '' }}}}",
            of(self.name())
        );
        let component = self
            .begun("number")
            .with("command_topic", set)
            .with("min", min)
            .with("max", max)
            .maybe("step", step)
            .maybe("unit_of_measurement", (!unit.is_empty()).then_some(unit))
            .maybe("device_class", classes::number(unit))
            .maybe("mode", self.acts.then_some("box"))
            .maybe("entity_category", (!self.acts).then_some("config"));
        self.stated(component, topics, &template)
    }

    fn reading(&self, topics: &Subject<'_>) -> Component {
        let unit = self.text("unit");
        let known = classes::reading(self.name(), unit);
        let component = self
            .begun("sensor")
            .maybe("device_class", known.class)
            .maybe("state_class", known.state)
            .maybe("unit_of_measurement", (!unit.is_empty()).then_some(unit))
            .maybe("suggested_display_precision", self.places.map(|places| places.max(0)))
            .maybe("entity_category", self.diagnostic().then_some("diagnostic"));
        self.stated(component, topics, &show(&of(self.name())))
    }

    fn select(&self, topics: &Subject<'_>, set: String) -> Component {
        let words = Value::Array(self.words().cloned().unwrap_or_default());
        let template =
            format!("{{% set v = {} %}}{{{{ v if v in {} else none }}}}", of(self.name()), literal(&words));
        let component = self
            .begun("select")
            .with("command_topic", set)
            // As JSON: a word such as 1 or true is to stay a word.
            .with("command_template", "{{ value|to_json }}")
            .with("options", words)
            .with("entity_category", "config");
        self.stated(component, topics, &template)
    }

    fn writing(&self, topics: &Subject<'_>, set: String) -> Component {
        let longest = self.longest.unwrap_or_default();
        let template = format!(
            "{{% set v = {}|default('', true)|string %}}{{{{ v if v|length <= {longest} else '' }}}}",
            of(self.name())
        );
        let component = self
            .begun("text")
            .with("command_topic", set)
            .with("command_template", "{{ value|to_json }}")
            .with("max", longest)
            .with("entity_category", "config")
            // Codes of the vendor's app, mostly.
            .with("enabled_by_default", false);
        self.stated(component, topics, &template)
    }

    fn said(&self, topics: &Subject<'_>) -> Component {
        let component = self
            .begun("sensor")
            .with("entity_category", "diagnostic")
            .maybe("enabled_by_default", self.words().is_none().then_some(false));
        self.stated(component, topics, &show(&format!("({}|string)[:{TEXT}]", of(self.name()))))
    }

    fn faults(&self, topics: &Subject<'_>) -> Component {
        let list = format!("({} or [])", of(self.name()));
        let component = self
            .begun("binary_sensor")
            .with("device_class", "problem")
            .with("entity_category", "diagnostic")
            .with("payload_on", "True")
            .with("payload_off", "False")
            .with("json_attributes_topic", topics.state())
            .with("json_attributes_template", show(&format!("{{'active': {list}}}|to_json")));
        let template =
            format!("{{% set v = {} %}}{{{{ none if v is none else v|length > 0 }}}}", of(self.name()));
        self.stated(component, topics, &template)
    }
}

/// Whether an attribute is what its device is there for: `switch`, `switch_1`...
pub(super) fn is_main(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("switch") else { return false };
    rest.is_empty()
        || rest.strip_prefix('_').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// What the hub itself counts of a device that measures.
pub(super) fn energy(topics: &Topics, name: &str, volt_amperes: bool) -> Vec<Component> {
    let subject = Subject { topics, name };
    let sensor = |attribute: &str, label: &str, class: &str, state: &str, unit: Option<&str>, places: u8| {
        Component::new("sensor", attribute)
            .with("name", label)
            .with("device_class", class)
            .with("state_class", state)
            .maybe("unit_of_measurement", unit)
            .with("suggested_display_precision", places)
            .with("state_topic", subject.state())
            .with("value_template", show(&of(attribute)))
    };
    let kwh = |attribute, label| sensor(attribute, label, "energy", "total_increasing", Some("kWh"), 3);
    let mut all = vec![
        kwh("energy", "Energy"),
        // They begin anew; whoever reads a meter that only rises takes a fall for that.
        kwh("energy_today", "Energy today"),
        kwh("energy_month", "Energy this month"),
    ];
    if volt_amperes {
        let apparent =
            sensor("apparent_power", "Apparent power", "apparent_power", "measurement", Some("VA"), 1);
        let factor = sensor("power_factor", "Power factor", "power_factor", "measurement", None, 2);
        all.extend([apparent, factor].map(|c| c.with("entity_category", "diagnostic")));
    }
    all
}
