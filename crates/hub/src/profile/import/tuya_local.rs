//! tuya-local's device files, read from the owner's checkout: MIT text that is not part of this program. Most entities are
//! words, scales and ranges for single points; lights get their own model. What is not understood is named and left out:
//! its points are still read plainly.

use landfall_cloud::book_backend::profiles::PointMeaning;
use landfall_proto::dp::DpId;
use landfall_proto::id::ProductId;
use landfall_proto::schema::{Access, DpKind, DpSpec};
use serde::Deserialize;
use serde_norway::Value as Yaml;

use super::super::attribute::{Attribute, Mapped, Mask, Rule, Shape};
use super::super::entity::{EncodingWord, Entity, LightPoints, Plain};
use super::super::layer::{Layer, Said};
use super::super::{Class, Source, names};

#[derive(Deserialize)]
struct File {
    name: String,
    #[serde(default)]
    products: Vec<Product>,
    entities: Vec<Part>,
}

#[derive(Deserialize)]
struct Product {
    id: String,
}

#[derive(Deserialize)]
struct Part {
    entity: String,
    name: Option<String>,
    class: Option<String>,
    translation_key: Option<String>,
    translation_placeholders: Option<Yaml>,
    dps: Vec<Dp>,
}

#[derive(Clone, Deserialize)]
struct Dp {
    id: Yaml,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    readonly: bool,
    persist: Option<bool>,
    #[serde(default)]
    hidden: Yaml,
    unit: Option<Yaml>,
    range: Option<Range>,
    #[serde(default)]
    mapping: Vec<Map>,
    mask: Option<Yaml>,
    endianness: Option<String>,
    #[serde(default)]
    mask_signed: bool,
    format: Option<Vec<Field>>,
}

#[derive(Clone, Copy, Deserialize)]
struct Range {
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Clone, Deserialize)]
struct Field {
    name: String,
    bytes: u8,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Map {
    dps_val: Option<Yaml>,
    value: Option<Yaml>,
    #[serde(default)]
    hidden: Yaml,
    scale: Option<f64>,
    step: Option<f64>,
    invert: bool,
    target_range: Option<Range>,
    constraint: Option<String>,
    conditions: Option<Yaml>,
    value_redirect: Option<String>,
    value_mirror: Option<String>,
}

/// An entity and what became of it.
pub(crate) struct Read {
    /// What it is: kind and name, for messages.
    pub(crate) what: String,
    /// Its attributes, or why it is not understood.
    pub(crate) made: Result<Vec<Made>, String>,
}

/// An attribute, worked out or by the numbers of its points.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    Mapped(Box<Mapped>),
    Light(Box<LightPoints>),
}

/// A device file.
pub(crate) struct DeviceFile {
    pub(crate) products: Vec<ProductId>,
    pub(crate) layer: Layer,
    pub(crate) entities: Vec<Read>,
}

/// Reads a device file.
///
/// # Errors
/// Not YAML, or not in the form of a device file.
pub(crate) fn read(file: &str, text: &str) -> Result<DeviceFile, String> {
    let parsed: File = serde_norway::from_str(text).map_err(|e| format!("{file}: {e}"))?;
    let mut layer = Layer::new(Source::TuyaLocal(file.to_owned()));
    layer.name = Some(parsed.name);
    layer.class = parsed.entities.first().and_then(class);
    let mut entities = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for part in &parsed.entities {
        for dp in &part.dps {
            let Some(id) = number(&dp.id) else { continue };
            let said = Said {
                spec: Some(spec(part, dp)),
                words: PointMeaning { event: dp.persist.map(|p| !p), ..PointMeaning::default() },
            };
            match layer.points.get_mut(&id).and_then(|had| had.spec.as_mut()) {
                Some(had) => widen(had, &spec(part, dp)),
                None => drop(layer.points.insert(id, said)),
            }
        }
        let made = attributes(part, &mut taken);
        if let Ok(made) = &made {
            for one in made {
                match one {
                    Made::Mapped(mapped) => layer.attributes.push(Attribute::Mapped((**mapped).clone())),
                    Made::Light(light) => layer.entities.push(Entity::Light((**light).clone())),
                }
            }
        }
        let name = part.name.as_deref().or(part.translation_key.as_deref()).unwrap_or_default();
        entities.push(Read { what: format!("{} {name}", part.entity), made });
    }
    let products = parsed.products.iter().filter_map(|p| ProductId::new(p.id.as_str()).ok()).collect();
    Ok(DeviceFile { products, layer, entities })
}

fn class(part: &Part) -> Option<Class> {
    Some(match part.entity.as_str() {
        "light" => Class::Light,
        "switch" if part.class.as_deref() == Some("outlet") => Class::Plug,
        "switch" => Class::Switch,
        "cover" => Class::Cover,
        "fan" => Class::Fan,
        "climate" | "water_heater" => Class::Thermostat,
        "sensor" | "binary_sensor" => Class::Sensor,
        "remote" | "infrared" => Class::Infrared,
        _ => return None,
    })
}

fn number(id: &Yaml) -> Option<DpId> {
    match id {
        Yaml::Number(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()).map(DpId),
        Yaml::String(t) => t.parse().ok(),
        _ => None,
    }
}

/// Kinds of entities whose main value is a reading.
fn reads_only(part: &Part) -> bool {
    matches!(part.entity.as_str(), "sensor" | "binary_sensor" | "event")
}

fn spec(part: &Part, dp: &Dp) -> DpSpec {
    let whole = |f: f64| {
        #[allow(clippy::cast_possible_truncation)] // ranges of points are small
        (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64)
    };
    let kind = match dp.kind.as_str() {
        "boolean" => DpKind::Bool,
        "integer" | "unixtime" => {
            let min = dp.range.and_then(|r| r.min).and_then(whole);
            let max = dp.range.and_then(|r| r.max).and_then(whole);
            let (min, max) = match (min, max) {
                (Some(min), Some(max)) if min <= max => (min, max),
                _ => (i64::MIN, i64::MAX),
            };
            DpKind::Value { min, max, step: 1, scale: 0, unit: "".into() }
        }
        "bitfield" => DpKind::Bitmap(Box::default()),
        _ => DpKind::String(usize::MAX),
    };
    let access = if reads_only(part) || dp.readonly { Access::Ro } else { Access::Rw };
    DpSpec::new("", kind, access)
}

/// A point that several entities use takes what any of them takes.
fn widen(had: &mut DpSpec, other: &DpSpec) {
    if other.access == Access::Rw {
        had.access = Access::Rw;
    }
    if let (DpKind::Value { min, max, .. }, DpKind::Value { min: min0, max: max0, .. }) =
        (&mut had.kind, &other.kind)
    {
        (*min, *max) = ((*min).min(*min0), (*max).max(*max0));
    }
}

fn plain(value: &Yaml) -> Option<Plain> {
    match value {
        Yaml::Bool(b) => Some(Plain::Bool(*b)),
        Yaml::Number(n) => n.as_i64().map(Plain::Number).or_else(|| n.as_f64().map(Plain::Fraction)),
        Yaml::String(t) => Some(Plain::Text(t.clone())),
        _ => None,
    }
}

/// The name of an entity, and numbers at its end where the placeholders of a translation tell several apart.
fn base(part: &Part) -> String {
    let own = part.name.as_deref().or(part.translation_key.as_deref()).or(part.class.as_deref());
    let mut name = names::slug(own.unwrap_or_default());
    if let Some(Yaml::Mapping(map)) = &part.translation_placeholders {
        for (_, value) in map {
            if let Some(value) = plain(value) {
                name = format!("{name}_{}", names::slug(&value.to_string()));
            }
        }
    }
    name
}

/// Names of the points that are the entity itself.
const MAIN: &[&str] = &[
    "switch",
    "sensor",
    "value",
    "option",
    "button",
    "event",
    "lock",
    "valve",
    "hms",
    "status",
    "alarm_state",
];

fn free(mut name: String, id: DpId, taken: &mut Vec<String>) -> String {
    if name.is_empty() {
        name = format!("dp_{id}");
    }
    if taken.contains(&name) {
        name = format!("{name}_{id}");
    }
    while taken.contains(&name) {
        name.push_str("_b");
    }
    taken.push(name.clone());
    name
}

fn attributes(part: &Part, taken: &mut Vec<String>) -> Result<Vec<Made>, String> {
    let mut made = Vec::new();
    let mut left: Vec<&Dp> = part.dps.iter().collect();
    if part.entity == "light"
        && let Some(light) = light(part)
    {
        left.retain(|dp| !light.points().contains(&number(&dp.id)));
        made.push(Made::Light(Box::new(light)));
    }
    for dp in left {
        let id = number(&dp.id).ok_or_else(|| format!("{}: its id is no number of a point", dp.name))?;
        let own = base(part);
        let name = match (MAIN.contains(&dp.name.as_str()), own.as_str()) {
            (true, "") => part.entity.clone(),
            (true, own) => own.to_owned(),
            (false, "") => names::slug(&dp.name),
            (false, own) => format!("{own}_{}", names::slug(&dp.name)),
        };
        let mapped = mapped(part, dp, id).map_err(|e| format!("{}: {e}", dp.name))?;
        made.push(Made::Mapped(Box::new(Mapped { name: free(name, id, taken), ..mapped })));
    }
    Ok(made)
}

fn mapped(part: &Part, dp: &Dp, id: DpId) -> Result<Mapped, String> {
    let mut rules = Vec::new();
    let (mut divide, mut step, mut target, mut invert) = (None, None, None, false);
    for map in &dp.mapping {
        if map.conditions.is_some() || map.constraint.is_some() {
            return Err("depends on another point (conditions)".into());
        }
        if map.value_redirect.is_some() || map.value_mirror.is_some() {
            return Err("stands for another point (value_redirect, value_mirror)".into());
        }
        divide = divide.or(map.scale);
        step = step.or(map.step);
        invert |= map.invert;
        if let Some(range) = map.target_range {
            target = Some((range.min.unwrap_or(0.0), range.max.ok_or("target_range without max")?));
        }
        let raw = match &map.dps_val {
            // What to show as long as nothing was heard: nothing is.
            Some(Yaml::Null) => continue,
            Some(value) => Some(plain(value).ok_or("dps_val is no plain value")?),
            None => None,
        };
        let value = match &map.value {
            Some(Yaml::Null) | None => None,
            Some(value) => Some(plain(value).ok_or("value is no plain value")?),
        };
        rules.push(Rule { raw, value, hidden: map.hidden == Yaml::Bool(true) });
    }
    if dp.format.is_some() {
        return Err("packs several values (format)".into());
    }
    let mask = match &dp.mask {
        Some(bits) => {
            let bits = match bits {
                Yaml::String(t) => t.clone(),
                Yaml::Number(n) => n.to_string(),
                _ => return Err("mask is no hex text".into()),
            };
            let little = dp.endianness.as_deref() == Some("little");
            let mask = Mask { hex: dp.kind != "base64", bits, little, signed: dp.mask_signed };
            if !mask.is_sound() {
                return Err(format!("mask {} covers no number that we can hold", mask.bits));
            }
            Some(mask)
        }
        None => None,
    };
    let values: Vec<&Plain> = rules.iter().filter_map(|r| r.value.as_ref()).collect();
    let all = |test: fn(&Plain) -> bool| !values.is_empty() && values.iter().all(|v| test(v));
    let numeric = matches!(dp.kind.as_str(), "integer" | "float" | "bitfield") || mask.is_some();
    let shape = match dp.kind.as_str() {
        _ if all(|v| matches!(v, Plain::Bool(_))) => Shape::Binary,
        _ if all(|v| v.number().is_some() && !matches!(v, Plain::Bool(_))) => Shape::Number,
        _ if !values.is_empty() => Shape::Text,
        "boolean" => Shape::Binary,
        "utf16b64" | "json" | "unixtime" => return Err(format!("the type {} is not known", dp.kind)),
        _ if numeric && part.entity == "binary_sensor" => Shape::Binary,
        _ if numeric => Shape::Number,
        _ => Shape::Text,
    };
    let pair = |range: Range| range.min.zip(range.max).filter(|(min, max)| min <= max);
    let unit = dp.unit.as_ref().and_then(plain).map(|u| names::unit(&u.to_string()).0.to_owned());
    Ok(Mapped {
        name: String::new(),
        point: id.0,
        shape,
        writable: !dp.readonly && !reads_only(part) && dp.hidden != Yaml::Bool(true),
        bits: dp.kind == "bitfield",
        text: numeric && dp.kind == "string",
        unit,
        divide: divide.filter(|d| *d != 0.0),
        step,
        range: if shape == Shape::Number { dp.range.and_then(pair) } else { None },
        target,
        invert,
        mask,
        rules,
    })
}

/// The light of an entity, where its points are those of the usual families.
fn light(part: &Part) -> Option<LightPoints> {
    let named = |name: &str| part.dps.iter().find(|dp| dp.name == name);
    let simple = |dp: &&Dp| {
        dp.mapping
            .iter()
            .all(|m| m.conditions.is_none() && m.value_redirect.is_none() && m.value_mirror.is_none())
    };
    let id = |dp: &Dp| number(&dp.id).map(|id| id.0);
    let mut light = LightPoints { suffix: suffix(part), ..LightPoints::default() };
    let colour = named("rgbhsv").filter(simple)?;
    let fields: Vec<(&str, u8)> =
        colour.format.as_ref()?.iter().map(|f| (f.name.as_str(), f.bytes)).collect();
    light.encoding = match (colour.kind.as_str(), fields.as_slice()) {
        ("hex", [("h", 2), ("s", 2), ("v", 2)]) => Some(EncodingWord::Hsv),
        ("hex", [("r", 1), ("g", 1), ("b", 1), ("h", 2), ("s", 1), ("v", 1)]) => Some(EncodingWord::Rgbhsv),
        _ => return None,
    };
    light.color = id(colour);
    light.switch = named("switch").filter(simple).and_then(id);
    if let Some(mode) = named("color_mode").filter(simple) {
        light.mode = id(mode);
        let word = |values: &[&str]| {
            let said = |m: &&Map| {
                m.value.as_ref().and_then(plain).is_some_and(|v| values.contains(&v.to_string().as_str()))
            };
            mode.mapping
                .iter()
                .find(said)
                .and_then(|m| m.dps_val.as_ref())
                .and_then(plain)
                .map(|v| v.to_string())
        };
        light.white = word(&["color_temp", "white"]);
        light.colour = word(&["hs"]);
    }
    let ends = |dp: &Dp| {
        let range = dp.range?;
        let whole = |f: f64| {
            #[allow(clippy::cast_possible_truncation)] // ranges of points are small
            (f.fract() == 0.0 && f.abs() < 1e9).then_some(f as i64)
        };
        Some((whole(range.min.unwrap_or(0.0))?, whole(range.max?)?))
    };
    if let Some(bright) = named("brightness").filter(simple) {
        light.brightness = id(bright);
        light.brightness_range = ends(bright);
    }
    if let Some(temp) = named("color_temp").filter(simple) {
        light.color_temp = id(temp);
        light.inverted = temp.mapping.iter().any(|m| m.invert);
        let kelvin = temp.mapping.iter().find_map(|m| m.target_range).and_then(|r| r.min.zip(r.max));
        #[allow(clippy::cast_possible_truncation)] // hundreds
        let mired = |k: f64| (1e6 / k.max(1.0)).round() as i64;
        light.mired = kelvin.map(|(min, max)| (mired(max), mired(min))).filter(|(cold, warm)| cold < warm);
    }
    Some(light)
}

fn suffix(part: &Part) -> String {
    match base(part).as_str() {
        "" | "light" => String::new(),
        name => format!("_{name}"),
    }
}
