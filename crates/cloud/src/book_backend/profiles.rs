//! Facts about products, from `profiles/*.toml` (CONTRIBUTING: "Add a product profile"). They are part of the program.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use landfall_proto::dp::DpId;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use serde::Deserialize;

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
        file: &'static str,
        /// What the parser says.
        source: Box<toml::de::Error>,
    },
    /// A point with contradictory facts.
    #[error("{file}: point {point}: {what}")]
    Point {
        /// The file.
        file: &'static str,
        /// The point.
        point: u16,
        /// What is wrong.
        what: &'static str,
    },
    /// Something else.
    #[error("{file}: {what}")]
    Wrong {
        /// The file.
        file: &'static str,
        /// What is wrong.
        what: String,
    },
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
    name: String,
    #[serde(default)]
    products: Vec<ProductId>,
    #[serde(default)]
    product_numbers: Vec<String>,
    schema_id: Option<String>,
    #[serde(default, rename = "point")]
    points: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    id: u16,
    #[serde(default)]
    code: String,
    #[serde(rename = "type")]
    kind: Kind,
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
    fn spec(self) -> Result<(DpId, DpSpec), &'static str> {
        let number = self.min.is_some() || self.max.is_some() || self.step.is_some() || self.scale.is_some();
        if (number || self.unit.is_some()) != (self.kind == Kind::Value) && self.kind != Kind::Value {
            return Err("min, max, step, scale and unit are for the type value");
        }
        if self.range.is_some() != (self.kind == Kind::Enum) {
            return Err("the type enum has a range, other types have none");
        }
        if self.labels.is_some() != (self.kind == Kind::Bitmap) {
            return Err("the type bitmap has labels, other types have none");
        }
        if self.maxlen.is_some() && !matches!(self.kind, Kind::String | Kind::Raw) {
            return Err("maxlen is for the types string and raw");
        }
        let kind = match self.kind {
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
        Ok((DpId(self.id), DpSpec { action, passive, trigger, ..DpSpec::new(self.code, kind, access) }))
    }
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
        let wrong = |what: String| ProfileError::Wrong { file, what };
        let read: File =
            toml::from_str(text).map_err(|e| ProfileError::Syntax { file, source: Box::new(e) })?;
        let mut points = BTreeMap::new();
        for point in read.points {
            let id = point.id;
            let (dp, spec) = point.spec().map_err(|what| ProfileError::Point { file, point: id, what })?;
            if points.insert(dp, spec).is_some() {
                return Err(ProfileError::Point { file, point: id, what: "listed twice" });
            }
        }
        if read.schema_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_SCHEMA_ID) {
            return Err(wrong(format!("a schema id has 1 to {MAX_SCHEMA_ID} characters")));
        }
        if landfall_book::device::checked_name(&read.name).is_err() {
            return Err(wrong("the name won't do for a device".to_owned()));
        }
        let schema = Arc::new(Schema(points));
        let profile = Arc::new(Profile { name: read.name, schema_id: read.schema_id, schema });
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
        /// The files of `profiles/`; a test holds this list and the folder together.
        const FILES: &[(&str, &str)] =
            &[$(($file, include_str!(concat!("../../../../profiles/", $file)))),*];
    };
}

profiles! {
    "battery-sensor-landfall.toml"
    "bulb-landfall.toml"
    "bulb-old-landfall.toml"
    "bulb-rgbcw-ec0.toml"
    "bulb-white-eqk.toml"
    "cover-landfall.toml"
    "feeder-landfall.toml"
    "gateway-landfall.toml"
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
