//! A definition as a device file of tuya-local (YAML), to be used there or to be sent in. It holds nothing of the owner.
//!
//! Lights and covers become what they are there; everything else is written point by point, each with its words, scale, range
//! and unit, under the name that it has here. Fans and thermostats have no entity of their own: tuya-local's need words that a
//! person has to choose. [`import`](super::import) reads the file again.

use std::collections::HashSet;

use landfall_proto::dp::DpId;
use landfall_proto::id::ProductId;
use landfall_proto::schema::{Access, DpKind};
use serde::Serialize;

use super::attribute::{Dialect, Mapped, Shape};
use super::entity::{CoverPoints, EncodingWord, Entity, LightPoints, Plain};
use super::{Class, Definition, Point, names};

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    products: Vec<Product<'a>>,
    entities: Vec<Part>,
}

#[derive(Serialize)]
struct Product<'a> {
    id: &'a str,
}

#[derive(Default, Serialize)]
struct Part {
    entity: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    dps: Vec<Dp>,
}

#[derive(Default, Serialize)]
struct Dp {
    id: u16,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    readonly: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    persist: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Vec<Field>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endianness: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    mask_signed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mapping: Vec<Map>,
}

#[derive(Serialize)]
struct Range {
    min: Plain,
    max: Plain,
}

#[derive(Serialize)]
struct Field {
    name: &'static str,
    bytes: u8,
}

#[derive(Default, Serialize)]
struct Map {
    #[serde(skip_serializing_if = "Option::is_none")]
    dps_val: Option<Plain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Plain>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<Plain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Plain>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    invert: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_range: Option<Range>,
}

impl Map {
    fn is_empty(&self) -> bool {
        let Self { dps_val, value, hidden, scale, step, invert, target_range } = self;
        dps_val.is_none()
            && value.is_none()
            && scale.is_none()
            && step.is_none()
            && target_range.is_none()
            && !hidden
            && !invert
    }

    fn word(raw: Plain, value: Plain) -> Self {
        Self { dps_val: Some(raw), value: Some(value), ..Self::default() }
    }
}

fn text(word: &str) -> Plain {
    Plain::Text(word.to_owned())
}

/// Whole where it is whole: `10`, not `10.0`.
fn plain(number: f64) -> Plain {
    #[allow(clippy::cast_possible_truncation)] // it is whole and small
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Plain::Number(number as i64)
    } else {
        Plain::Fraction(number)
    }
}

fn range((min, max): (f64, f64)) -> Range {
    Range { min: plain(min), max: plain(max) }
}

fn whole((min, max): (i64, i64)) -> Range {
    Range { min: Plain::Number(min), max: Plain::Number(max) }
}

/// A range that says something: no device has numbers of 64 bits.
fn limits(kind: &DpKind) -> Option<(i64, i64)> {
    match kind {
        DpKind::Value { min, max, .. } if *min > i64::MIN && *max < i64::MAX => Some((*min, *max)),
        _ => None,
    }
}

/// `Child lock` for `child_lock`, where it reads back as that.
fn title(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if names::slug(&words) == name { words } else { name.to_owned() }
}

/// The device class of Home Assistant that a reading of this unit is.
fn reading(unit: &str, name: &str) -> Option<&'static str> {
    Some(match unit {
        "W" => "power",
        "V" => "voltage",
        "A" => "current",
        "kWh" | "Wh" => "energy",
        "°C" | "°F" => "temperature",
        "lx" => "illuminance",
        "ppm" if name.contains("co2") => "carbon_dioxide",
        "%" if name.contains("battery") => "battery",
        "%" if name.contains("humidity") => "humidity",
        _ => return None,
    })
}

impl Definition {
    /// The definition as a device file of tuya-local, for this product where it is known.
    pub fn to_tuya_local(&self, product: Option<&ProductId>) -> String {
        let mut parts = Vec::new();
        let mut written = HashSet::new();
        for entity in self.attributes.iter().filter_map(Entity::of) {
            if let Some(part) = self.entity(&entity, &mut written) {
                parts.push(part);
            }
        }
        for (id, point) in &self.points {
            if !written.contains(id) {
                parts.push(plain_point(*id, point, self.class));
            }
        }
        // The first entity says what the device is.
        let main = |part: &Part| match self.class {
            Class::Light | Class::Dimmer => part.entity == "light",
            Class::Cover => part.entity == "cover",
            Class::Sensor => matches!(part.entity, "sensor" | "binary_sensor"),
            _ => part.entity == "switch" && part.category.is_none(),
        };
        parts.sort_by_key(|part| !main(part));
        let name = if self.name.is_empty() { self.class.word() } else { &self.name };
        let products = product.map(|p| Product { id: p.as_str() }).into_iter().collect();
        // What is serialised here has no form that YAML lacks; a fault would be a bug and is shown where it is read.
        let file = serde_norway::to_string(&File { name, products, entities: parts });
        file.map_or_else(|e| format!("# {e}\n"), |file| file.lines().map(quoted).collect())
    }

    fn kind(&self, id: u16) -> &'static str {
        match self.points.get(&DpId(id)).map(|p| &p.spec.kind) {
            Some(DpKind::Bool) => "boolean",
            Some(DpKind::Value { .. }) => "integer",
            Some(DpKind::Bitmap(_)) => "bitfield",
            Some(DpKind::Raw(_)) => "base64",
            _ => "string",
        }
    }

    fn dp(&self, id: u16, name: &'static str, written: &mut HashSet<DpId>) -> Dp {
        written.insert(DpId(id));
        Dp { id, kind: self.kind(id), name, ..Dp::default() }
    }

    /// `None`: there is nothing like it there; its points are written plainly.
    fn entity(&self, entity: &Entity, written: &mut HashSet<DpId>) -> Option<Part> {
        match entity {
            Entity::Light(light) => Some(self.light(light, written)),
            Entity::Cover(cover) => Some(self.cover(cover, written)),
            Entity::Binary { name, point, on, off } => {
                let writable = off.is_some();
                let mut dp = self.dp(*point, if writable { "switch" } else { "sensor" }, written);
                dp.mapping = on.iter().map(|raw| Map::word(raw.clone(), Plain::Bool(true))).collect();
                dp.mapping.push(Map {
                    dps_val: off.clone(),
                    value: Some(Plain::Bool(false)),
                    ..Map::default()
                });
                let entity = if writable { "switch" } else { "binary_sensor" };
                Some(Part { entity, name: title(name), dps: vec![dp], ..Part::default() })
            }
            Entity::Mapped(mapped) => Some(self.mapped(mapped, written)),
            Entity::Phase { .. } | Entity::InfraredPacked { .. } | Entity::InfraredSpread { .. } => None,
        }
    }

    fn light(&self, light: &LightPoints, written: &mut HashSet<DpId>) -> Part {
        let mut dps = Vec::new();
        dps.extend(light.switch.map(|id| self.dp(id, "switch", written)));
        if let Some(id) = light.mode {
            let mut dp = self.dp(id, "color_mode", written);
            dp.kind = "string";
            let (white, colour) = (light.white.as_deref(), light.colour.as_deref());
            let shines = if light.color_temp.is_some() { "color_temp" } else { "white" };
            let words = match self.points.get(&DpId(id)).map(|p| &p.spec.kind) {
                Some(DpKind::Enum(words)) => words.iter().map(|w| &**w).collect(),
                _ => [white, colour].into_iter().flatten().collect::<Vec<_>>(),
            };
            dp.mapping = words
                .into_iter()
                .map(|word| {
                    let shown = match Some(word) {
                        w if w == white => text(shines),
                        w if w == colour => text("hs"),
                        _ => text(&title(word)),
                    };
                    Map::word(text(word), shown)
                })
                .collect();
            dps.push(dp);
        }
        if let Some(id) = light.brightness {
            let mut dp = self.dp(id, "brightness", written);
            dp.range = light.brightness_range.map(whole);
            dps.push(dp);
        }
        if let Some(id) = light.color_temp {
            let mut dp = self.dp(id, "color_temp", written);
            dp.range = self.points.get(&DpId(id)).and_then(|p| limits(&p.spec.kind)).map(whole);
            let kelvin = |mired: i64| {
                #[allow(clippy::cast_precision_loss)] // hundreds
                plain((1e6 / mired.max(1) as f64).round())
            };
            let target_range = light.mired.map(|(cold, warm)| Range { min: kelvin(warm), max: kelvin(cold) });
            dp.mapping.extend(
                Some(Map { invert: light.inverted, target_range, ..Map::default() })
                    .filter(|m| !m.is_empty()),
            );
            dps.push(dp);
        }
        if let Some(id) = light.color {
            let mut dp = self.dp(id, "rgbhsv", written);
            dp.kind = "hex";
            let field = |name, bytes| Field { name, bytes };
            let hsv = |rest| ["h", "s", "v"].into_iter().zip(rest).map(|(n, b)| field(n, b));
            dp.format = Some(match light.encoding {
                Some(EncodingWord::Rgbhsv) => {
                    ["r", "g", "b"].into_iter().map(|n| field(n, 1)).chain(hsv([2, 1, 1])).collect()
                }
                _ => hsv([2, 2, 2]).collect(),
            });
            dps.push(dp);
        }
        let name = title(light.suffix.trim_start_matches('_'));
        Part { entity: "light", name, dps, ..Part::default() }
    }

    fn cover(&self, cover: &CoverPoints, written: &mut HashSet<DpId>) -> Part {
        let mut dps = Vec::new();
        if let Some(id) = cover.control {
            let mut dp = self.dp(id, "control", written);
            dp.mapping = cover
                .dialect
                .and_then(Dialect::of_number)
                .unwrap_or(Dialect::USUAL)
                .pairs()
                .map(|(raw, command)| Map::word(value_as(dp.kind, raw), text(command)))
                .collect();
            dps.push(dp);
        }
        for (id, name) in [(cover.target, "position"), (cover.position, "current_position")] {
            let Some(id) = id.filter(|id| !written.contains(&DpId(*id))) else { continue };
            let mut dp = self.dp(id, name, written);
            dp.readonly = name == "current_position";
            dp.range = Some(whole((0, 100)));
            dp.mapping.extend(cover.inverted.then(|| Map { invert: true, ..Map::default() }));
            dps.push(dp);
        }
        if let Some(id) = cover.work_state {
            let dp = self.dp(id, "work_state", written);
            dps.push(Dp { readonly: true, optional: true, ..dp });
        }
        let name = title(cover.suffix.trim_start_matches('_'));
        Part { entity: "cover", name, dps, ..Part::default() }
    }

    fn mapped(&self, mapped: &Mapped, written: &mut HashSet<DpId>) -> Part {
        let (entity, name) = match (mapped.shape, mapped.writable) {
            (Shape::Binary, true) => ("switch", "switch"),
            (Shape::Binary, false) => ("binary_sensor", "sensor"),
            (Shape::Number, true) => ("number", "value"),
            (Shape::Text, true) if mapped.rules.is_empty() => ("text", "value"),
            (Shape::Text, true) => ("select", "option"),
            (_, false) => ("sensor", "sensor"),
        };
        let mut dp = self.dp(mapped.point, name, written);
        if mapped.bits {
            dp.kind = "bitfield";
        } else if mapped.text {
            dp.kind = "string";
        }
        dp.unit.clone_from(&mapped.unit);
        dp.range = mapped.range.map(range);
        if let Some(mask) = &mapped.mask {
            dp.kind = if mask.hex { "hex" } else { "base64" };
            dp.mask = Some(mask.bits.clone());
            dp.endianness = mask.little.then_some("little");
            dp.mask_signed = mask.signed;
        }
        let all = Map {
            scale: mapped.divide.map(plain),
            step: mapped.step.map(plain),
            invert: mapped.invert,
            target_range: mapped.target.map(range),
            ..Map::default()
        };
        dp.mapping.extend(Some(all).filter(|m| !m.is_empty()));
        dp.mapping.extend(mapped.rules.iter().map(|rule| Map {
            dps_val: rule.raw.clone(),
            value: rule.value.clone(),
            hidden: rule.hidden,
            ..Map::default()
        }));
        let class = dp.unit.as_deref().filter(|_| entity == "sensor").and_then(|u| reading(u, &mapped.name));
        Part { entity, name: title(&mapped.name), class, dps: vec![dp], ..Part::default() }
    }
}

/// A line as readers of YAML 1.1 need it, which tuya-local's is: to them `off` and `no` are no words but false, and `12:30` is a
/// number.
fn quoted(line: &str) -> String {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let Some((key, value)) = line.split_once(": ") else { return format!("{line}\n") };
    let word = WORDS.iter().any(|w| value.eq_ignore_ascii_case(w));
    let number = value.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-')
        && value.contains([':', '_'])
        && value.chars().all(|c| c.is_ascii_digit() || "+-:_.".contains(c));
    if word || number { format!("{key}: '{value}'\n") } else { format!("{line}\n") }
}

/// A word as the point has it: some covers take numbers, or true and false.
fn value_as(kind: &str, word: &str) -> Plain {
    match kind {
        "boolean" => Plain::Bool(word == "true"),
        "integer" => word.parse().map_or_else(|_| text(word), Plain::Number),
        _ => text(word),
    }
}

/// A point by itself.
fn plain_point(id: DpId, point: &Point, class: Class) -> Part {
    let spec = &point.spec;
    let reads = spec.access == Access::Ro;
    let mut dp = Dp { id: id.0, optional: true, ..Dp::default() };
    let mut part = Part { name: title(&point.name), ..Part::default() };
    if point.hidden || names::category(&spec.code) == Some("config") {
        part.category = Some(if reads { "diagnostic" } else { "config" });
    }
    (part.entity, dp.name) = match (&spec.kind, reads) {
        _ if point.event => ("event", "event"),
        (DpKind::Bool, true) => ("binary_sensor", "sensor"),
        (DpKind::Bool, false) => ("switch", "switch"),
        (DpKind::Value { .. }, false) => ("number", "value"),
        (DpKind::Enum(_), false) => ("select", "option"),
        (DpKind::String(_) | DpKind::Raw(_), false) => ("text", "value"),
        _ => ("sensor", "sensor"),
    };
    if point.event {
        // Its last value is of the past.
        dp.persist = Some(false);
    }
    match &spec.kind {
        DpKind::Bool => {
            dp.kind = "boolean";
            let socket = class == Class::Plug && !reads && part.category.is_none();
            part.class = socket.then_some("outlet");
        }
        DpKind::Value { scale, step, unit, .. } => {
            dp.kind = "integer";
            let (shown, shift) = names::unit(unit);
            let scale = 10_f64.powi(i32::from(*scale) + i32::from(shift));
            dp.unit = (!shown.is_empty()).then(|| shown.to_owned());
            dp.range = limits(&spec.kind).map(whole);
            let scale = (scale != 1.0).then(|| plain(scale));
            let step = (*step > 1).then_some(Plain::Number(*step));
            dp.mapping.extend(Some(Map { scale, step, ..Map::default() }).filter(|m| !m.is_empty()));
            // What flowed since the last report is no meter.
            if part.entity == "sensor" && !point.hidden {
                part.class = reading(shown, &point.name);
                dp.class = part.class.map(|c| if c == "energy" { "total_increasing" } else { "measurement" });
            }
        }
        DpKind::Enum(words) => {
            dp.kind = "string";
            dp.mapping = words.iter().map(|w| Map::word(text(w), text(w))).collect();
            part.class = (part.entity == "sensor").then_some("enum");
        }
        DpKind::Bitmap(_) => dp.kind = "bitfield",
        DpKind::String(_) => dp.kind = "string",
        DpKind::Raw(_) => dp.kind = "base64",
    }
    part.dps.push(dp);
    part
}
