//! Facts about products, from `profiles/*.toml` (CONTRIBUTING: "Add a product profile"). They are part of the program.
//!
//! The cloud uses what devices are told: types and limits of points. The hub reads the same files, and files of the
//! owner in the same form, for what the points mean: [`parse`] gives both.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use landfall_proto::dp::DpId;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use serde::Deserialize;
use toml::Spanned;

/// A product, or a family of products with the same points.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name for people: what a new device is called until its owner names it.
    pub name: String,
    /// Schema id to tell, where the vendor's is known.
    pub schema_id: Option<String>,
    /// Its points.
    pub schema: Arc<Schema>,
}

/// Why a profile can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, or with a field of another form.
    #[error("{file}: {source}")]
    Syntax {
        /// The file.
        file: Box<str>,
        /// What the parser says, with line and field.
        source: Box<toml::de::Error>,
    },
    /// A point with contradictory facts.
    #[error("{file}: line {line}: point {point}: {what}")]
    Point {
        /// The file.
        file: Box<str>,
        /// Where, counted from 1.
        line: usize,
        /// The point.
        point: u16,
        /// What is wrong.
        what: &'static str,
    },
    /// Something else.
    #[error("{file}: {what}")]
    Wrong {
        /// The file.
        file: Box<str>,
        /// What is wrong.
        what: String,
    },
}

/// What one file says.
#[derive(Clone, Debug, Default)]
pub struct ProfileFile {
    /// Name for people.
    pub name: Option<String>,
    /// Products it is for.
    pub products: Vec<ProductId>,
    /// Product numbers it is for.
    pub product_numbers: Vec<String>,
    /// Schema id to tell.
    pub schema_id: Option<String>,
    /// Points with types and limits.
    pub schema: Schema,
    /// What the points mean.
    pub meaning: Meaning,
}

/// What the points of a file mean, for those who show them. The cloud has no use for it.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    /// What it is, in a word: `plug`, `light`...
    pub class: Option<String>,
    /// By what devices of unknown products are recognised.
    pub pattern: Option<Pattern>,
    /// Words about single points, also about points whose type the file leaves to others.
    pub points: BTreeMap<DpId, PointMeaning>,
    /// Points that belong together, each with the line at which it stands.
    pub entities: Vec<(usize, toml::Table)>,
    /// How to have it measure.
    pub refresh: Option<Refresh>,
    /// Which points measure energy.
    pub metering: Option<MeteringPoints>,
    /// Readings that were not reported for so many seconds are stale.
    pub stale_after: Option<u64>,
}

/// By what devices of unknown products are recognised: `[match]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The vendor's category codes; of any when empty.
    #[serde(default)]
    pub category: Vec<String>,
    /// Points that must be there, by number, with the type of their values on the wire.
    #[serde(default)]
    pub points: BTreeMap<String, WireType>,
    /// Points that must not be there.
    #[serde(default)]
    pub absent: Vec<u16>,
    /// The points alone say too little: a device of unknown category does not fit.
    #[serde(default)]
    pub category_needed: bool,
}

/// The type of a value on the wire.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum WireType {
    /// True or false.
    Bool,
    /// A number.
    Value,
    /// Text.
    Text,
}

/// Words about a point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointMeaning {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// Name of its attribute.
    pub name: Option<String>,
    /// A pushed repeat is an event.
    pub event: Option<bool>,
    /// Its values are worth a history.
    pub history: Option<bool>,
    /// Not offered to people.
    pub hidden: Option<bool>,
    /// Its type stands in this file.
    pub typed: bool,
}

/// How to have a device measure: `[refresh]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The points.
    pub points: Vec<u16>,
    /// How often, in seconds.
    pub every: u64,
}

/// Which points measure energy: `[metering]`. Their units and scales stand with the points.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct MeteringPoints {
    /// Energy since the last report.
    pub delta: Option<u16>,
    /// Energy since ever.
    pub meter: Option<u16>,
    /// Power.
    pub power: Option<u16>,
    /// Voltage.
    pub voltage: Option<u16>,
    /// Current.
    pub current: Option<u16>,
}

/// All profiles, with what they are found by.
#[derive(Debug, Default)]
pub struct Profiles {
    by_product: HashMap<ProductId, Arc<Profile>>,
    /// The product number at the start of the factory-given ids of old devices (cloud.md 0.2).
    by_number: HashMap<String, Arc<Profile>>,
}

/// Digits of a product number.
const NUMBER: usize = 8;
/// Characters of a factory-given device id: a product number and a MAC address.
const FACTORY_ID: usize = 20;
/// Longest schema id that fits devices' buffers.
const MAX_SCHEMA_ID: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    products: Vec<ProductId>,
    #[serde(default)]
    product_numbers: Vec<String>,
    schema_id: Option<String>,
    class: Option<String>,
    #[serde(rename = "match")]
    pattern: Option<Pattern>,
    refresh: Option<Refresh>,
    metering: Option<MeteringPoints>,
    stale_after: Option<u64>,
    #[serde(default, rename = "point")]
    points: Vec<Point>,
    #[serde(default, rename = "entity")]
    entities: Vec<Spanned<toml::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    id: Spanned<u16>,
    #[serde(default)]
    code: String,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    name: Option<String>,
    event: Option<bool>,
    history: Option<bool>,
    hidden: Option<bool>,
    #[serde(default)]
    access: Mode,
    #[serde(default)]
    passive: bool,
    #[serde(default)]
    trigger: String,
    #[serde(default)]
    action: bool,
    min: Option<i64>,
    max: Option<i64>,
    step: Option<i64>,
    scale: Option<u8>,
    unit: Option<String>,
    range: Option<Vec<String>>,
    labels: Option<Vec<String>>,
    maxlen: Option<usize>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Bool,
    Value,
    Enum,
    String,
    Raw,
    Bitmap,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Rw,
    Ro,
    Wr,
}

fn boxed(words: Vec<String>) -> Box<[Box<str>]> {
    words.into_iter().map(Into::into).collect()
}

impl Point {
    fn meaning(&self, line: usize) -> PointMeaning {
        let (event, history, hidden) = (self.event, self.history, self.hidden);
        PointMeaning { line, name: self.name.clone(), event, history, hidden, typed: self.kind.is_some() }
    }

    fn spec(self, told: Kind) -> Result<DpSpec, &'static str> {
        let number = self.min.is_some() || self.max.is_some() || self.step.is_some() || self.scale.is_some();
        if (number || self.unit.is_some()) && told != Kind::Value {
            return Err("min, max, step, scale and unit are for the type value");
        }
        if self.range.is_some() != (told == Kind::Enum) {
            return Err("the type enum has a range, other types have none");
        }
        if self.labels.is_some() != (told == Kind::Bitmap) {
            return Err("the type bitmap has labels, other types have none");
        }
        if self.maxlen.is_some() && !matches!(told, Kind::String | Kind::Raw) {
            return Err("maxlen is for the types string and raw");
        }
        let kind = match told {
            Kind::Bool => DpKind::Bool,
            Kind::Value => {
                let (Some(min), Some(max)) = (self.min, self.max) else {
                    return Err("the type value has min and max");
                };
                let (step, scale) = (self.step.unwrap_or(1), self.scale.unwrap_or(0));
                if min > max || step < 1 || scale > 12 {
                    return Err("min is above max, or step or scale is out of range");
                }
                DpKind::Value { min, max, step, scale, unit: self.unit.unwrap_or_default().into() }
            }
            Kind::Enum => DpKind::Enum(boxed(self.range.unwrap_or_default())),
            Kind::String => DpKind::String(self.maxlen.unwrap_or(usize::MAX)),
            Kind::Raw => DpKind::Raw(self.maxlen.unwrap_or(usize::MAX)),
            Kind::Bitmap => DpKind::Bitmap(boxed(self.labels.unwrap_or_default())),
        };
        let access = match self.access {
            Mode::Rw => Access::Rw,
            Mode::Ro => Access::Ro,
            Mode::Wr => Access::Wr,
        };
        let (action, passive, trigger) = (self.action, self.passive, self.trigger.into());
        Ok(DpSpec { action, passive, trigger, ..DpSpec::new(self.code, kind, access) })
    }
}

/// The line of a place in a text, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

/// Reads one file. `file` names it in messages.
///
/// # Errors
/// Not TOML, unknown fields, points with contradictory facts: with line and field.
pub fn parse(file: &str, text: &str) -> Result<ProfileFile, ProfileError> {
    let read: File =
        toml::from_str(text).map_err(|e| ProfileError::Syntax { file: file.into(), source: Box::new(e) })?;
    let mut schema = BTreeMap::new();
    let mut points = BTreeMap::new();
    for point in read.points {
        let id = *point.id.get_ref();
        let line = line_of(text, point.id.span().start);
        let wrong = |what| ProfileError::Point { file: file.into(), line, point: id, what };
        if points.insert(DpId(id), point.meaning(line)).is_some() {
            return Err(wrong("listed twice"));
        }
        if let Some(kind) = point.kind {
            schema.insert(DpId(id), point.spec(kind).map_err(wrong)?);
        }
    }
    let entities =
        read.entities.into_iter().map(|e| (line_of(text, e.span().start), e.into_inner())).collect();
    Ok(ProfileFile {
        name: read.name,
        products: read.products,
        product_numbers: read.product_numbers,
        schema_id: read.schema_id,
        schema: Schema(schema),
        meaning: Meaning {
            class: read.class,
            pattern: read.pattern,
            points,
            entities,
            refresh: read.refresh,
            metering: read.metering,
            stale_after: read.stale_after,
        },
    })
}

impl Profiles {
    /// Reads these files: names, for messages, and texts.
    ///
    /// # Errors
    /// A file that is wrong, or two for the same product.
    pub fn read(files: &[(&'static str, &str)]) -> Result<Self, ProfileError> {
        let mut all = Self::default();
        for (file, text) in files {
            all.add(file, text)?;
        }
        Ok(all)
    }

    fn add(&mut self, file: &'static str, text: &str) -> Result<(), ProfileError> {
        let wrong = |what: String| ProfileError::Wrong { file: file.into(), what };
        let read = parse(file, text)?;
        if let Some((id, point)) = read.meaning.points.iter().find(|(_, p)| !p.typed) {
            let (line, point) = (point.line, id.0);
            return Err(ProfileError::Point { file: file.into(), line, point, what: "its type is missing" });
        }
        if read.schema_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_SCHEMA_ID) {
            return Err(wrong(format!("a schema id has 1 to {MAX_SCHEMA_ID} characters")));
        }
        let name = read.name.unwrap_or_default();
        if landfall_book::device::checked_name(&name).is_err() {
            return Err(wrong("the name won't do for a device".to_owned()));
        }
        let schema = Arc::new(read.schema);
        let profile = Arc::new(Profile { name, schema_id: read.schema_id, schema });
        for product in read.products {
            if self.by_product.insert(product.clone(), Arc::clone(&profile)).is_some() {
                return Err(wrong(format!("another profile has the product {product}")));
            }
        }
        for number in read.product_numbers {
            if number.len() != NUMBER || !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong(format!("{number:?} is no product number of {NUMBER} digits")));
            }
            if self.by_number.insert(number.clone(), Arc::clone(&profile)).is_some() {
                return Err(wrong(format!("another profile has the product number {number}")));
            }
        }
        Ok(())
    }

    /// The profile of a product.
    pub fn of_product(&self, product: &ProductId) -> Option<&Arc<Profile>> {
        self.by_product.get(product)
    }

    /// The profile of a device whose id begins with a product number.
    pub fn of_device(&self, id: &DeviceId) -> Option<&Arc<Profile>> {
        let id = id.as_str();
        if id.len() != FACTORY_ID {
            return None;
        }
        self.by_number.get(id.get(..NUMBER)?)
    }

    /// By product first: a device says it, while ids may be given anew.
    pub fn of(&self, product: Option<&ProductId>, id: Option<&DeviceId>) -> Option<&Arc<Profile>> {
        product.and_then(|p| self.of_product(p)).or_else(|| id.and_then(|id| self.of_device(id)))
    }
}

macro_rules! profiles {
    ($($file:literal)*) => {
        /// The files of `profiles/`, names and texts; a test holds this list and the folder together.
        pub const FILES: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../../../../profiles/", $file)))),*];
    };
}

profiles! {
    "battery-sensor-landfall.toml"
    "bulb-landfall.toml"
    "bulb-old-landfall.toml"
    "bulb-rgbcw-ec0.toml"
    "bulb-white-eqk.toml"
    "class-breaker.toml"
    "class-cover-two-way.toml"
    "class-cover.toml"
    "class-dimmer.toml"
    "class-fan-number.toml"
    "class-fan.toml"
    "class-feeder.toml"
    "class-infrared-old.toml"
    "class-light-a.toml"
    "class-light-b.toml"
    "class-light-c.toml"
    "class-plug-new.toml"
    "class-plug-old.toml"
    "class-plug-plain-old.toml"
    "class-plug-plain.toml"
    "class-sensor-climate.toml"
    "class-sensor-door.toml"
    "class-sensor-leak.toml"
    "class-thermostat-16.toml"
    "class-thermostat-tenths.toml"
    "class-thermostat.toml"
    "cover-landfall.toml"
    "dimmer-landfall.toml"
    "fan-landfall.toml"
    "feeder-landfall.toml"
    "gateway-landfall.toml"
    "infrared-landfall.toml"
    "plug-66z.toml"
    "plug-6bh.toml"
    "plug-landfall.toml"
    "plug-old-landfall.toml"
    "plug-old-usb-landfall.toml"
    "strip-cft.toml"
    "switch22-landfall.toml"
    "thermostat-landfall.toml"
}

/// The profiles of this program, read once. A file that is wrong fails a test; here it would be as if none were there.
pub fn built_in() -> &'static Profiles {
    static ALL: LazyLock<Profiles> = LazyLock::new(|| {
        Profiles::read(FILES).unwrap_or_else(|e| {
            tracing::error!("product profiles are not used: {e}");
            Profiles::default()
        })
    });
    &ALL
}

#[cfg(test)]
#[path = "tests/profiles.rs"]
mod tests;
