//! All sources of definitions: built in, of the owner, of the book.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use landfall_book::Device;
use landfall_cloud::book_backend::profiles::{self, Pattern, ProfileFile};
use landfall_proto::dp::Dps;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::schema::Schema;
use landfall_proto::schema_text;

use super::layer::{Layer, build};
use super::{Definition, Source, guess, import};
use crate::model::Facts;

/// Files of the owner that are read at most.
const MAX_FILES: usize = 10_000;
/// Digits of a product number, and characters of the ids that begin with one (cloud.md 0.2).
const NUMBER: usize = 8;
const FACTORY_ID: usize = 20;

/// What the book has about the points of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownSchemas {
    /// What it was told, or told, at its activation; not where that was a guess.
    pub activation: Option<Schema>,
    /// tinytuya's `mapping`.
    pub mapping: Option<Schema>,
    /// The owner's own definition, in any form that [`Definitions::check`] takes.
    pub own: Option<String>,
}

impl KnownSchemas {
    /// What the book has. The owner's definition is kept by the hub beside it.
    pub fn of(device: &Device, own: Option<String>) -> Self {
        let told = device.cloud.told.as_ref().filter(|told| !told.guess);
        let activation = told
            .and_then(|told| schema_text::parse(&told.text).ok())
            .map(|read| read.schema)
            .filter(|schema| !schema.0.is_empty());
        let mapping = device.mapping.as_ref().map(|m| m.schema().clone()).filter(|s| !s.0.is_empty());
        Self { activation, mapping, own }
    }
}

/// A definition can't be used: file or field, line, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DefinitionError(pub String);

/// Profiles, found by what they are for.
#[derive(Debug, Default)]
struct Shelf {
    by_product: HashMap<ProductId, Layer>,
    by_number: HashMap<String, Layer>,
    patterns: Vec<(Pattern, Layer)>,
}

impl Shelf {
    fn add(&mut self, source: Source, file: &ProfileFile) -> Result<(), String> {
        let layer = Layer::of_file(source.clone(), file)?;
        for product in &file.products {
            self.by_product.insert(product.clone(), layer.clone());
        }
        for number in &file.product_numbers {
            self.by_number.insert(number.clone(), layer.clone());
        }
        if let Some(pattern) = &file.meaning.pattern {
            for id in pattern.points.keys() {
                id.parse::<u16>().map_err(|_| format!("match: points: {id:?} is no number of a point"))?;
            }
            let mut layer = layer;
            if let Source::Profile(file) = source {
                layer.source = Source::Guess(format!("its points fit {file}"));
                // The name of a class is no name of a product.
                layer.name = None;
            }
            self.patterns.push((pattern.clone(), layer));
        }
        Ok(())
    }

    fn of_product(&self, product: Option<&ProductId>, id: &DeviceId) -> Option<&Layer> {
        let by_product = product.and_then(|p| self.by_product.get(p));
        by_product.or_else(|| {
            let id = id.as_str();
            let number = if id.len() == FACTORY_ID { id.get(..NUMBER) } else { None };
            self.by_number.get(number?)
        })
    }

    /// The layer whose pattern fits best; of equals the first.
    fn fitting(&self, category: Option<&str>, heard: &Dps) -> Option<&Layer> {
        let mut best: Option<(usize, &Layer)> = None;
        for (pattern, layer) in &self.patterns {
            // Of patterns that fit alike, the one whose points explain more of what was heard.
            let score = guess::fits(pattern, category, heard)
                .map(|score| score * 1_000 + guess::narrowed(layer.clone(), heard).points.len());
            if let Some(score) = score
                && best.is_none_or(|(other, _)| score > other)
            {
                best = Some((score, layer));
            }
        }
        best.map(|(_, layer)| layer)
    }
}

fn built_in() -> &'static Shelf {
    static ALL: LazyLock<Shelf> = LazyLock::new(|| {
        let mut shelf = Shelf::default();
        for (name, text) in profiles::FILES {
            let added = profiles::parse(name, text)
                .map_err(|e| e.to_string())
                .and_then(|file| shelf.add(Source::Profile((*name).to_owned()), &file));
            // A test reads every file; here it would be as if the file were not there.
            if let Err(e) = added {
                tracing::error!("the profile {name} is not used: {e}");
            }
        }
        shelf
    });
    &ALL
}

/// All sources of definitions.
#[derive(Debug)]
pub struct Definitions {
    built_in: &'static Shelf,
    own: Shelf,
}

impl Definitions {
    /// The profiles of this program alone.
    pub fn built_in() -> Self {
        Self { built_in: built_in(), own: Shelf::default() }
    }

    /// With the owner's files: `*.toml` in the form of this program's profiles, with `products`, `product_numbers` or
    /// `[match]`; `*.json`, a description by the vendor, named after the product id; `*.yaml`, device files of
    /// tuya-local. A checkout of tuya-local is read from its folder of device files.
    ///
    /// # Errors
    /// A folder or file that can't be read or makes no sense.
    pub fn open(own_dir: Option<&Path>) -> Result<Self, DefinitionError> {
        let mut all = Self::built_in();
        let Some(dir) = own_dir else { return Ok(all) };
        for path in files(dir)? {
            all.add(&path).map_err(DefinitionError)?;
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
        match path.extension().and_then(|e| e.to_str()) {
            Some("toml") => {
                let file = profiles::parse(&name, &text).map_err(|e| e.to_string())?;
                if file.products.is_empty()
                    && file.product_numbers.is_empty()
                    && file.meaning.pattern.is_none()
                {
                    return Err(format!("{name}: it says for no product: add products = [...] or [match]"));
                }
                self.own.add(Source::Owner, &file).map_err(|e| format!("{name}: {e}"))
            }
            Some("yaml" | "yml") => {
                let read = import::tuya_local::read(&name, &text)?;
                for entity in &read.entities {
                    if let Err(e) = &entity.made {
                        tracing::info!("{name}: {} is read plainly: {e}", entity.what);
                    }
                }
                for product in read.products {
                    self.own.by_product.insert(product, read.layer.clone());
                }
                Ok(())
            }
            _ => {
                let layer = import::read(&name, &text)?;
                let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                let product = ProductId::new(stem)
                    .map_err(|e| format!("{name}: is to be named after a product id: {e}"))?;
                self.own.by_product.insert(product, layer);
                Ok(())
            }
        }
    }

    /// Whether a text that the owner gives for a device is a definition: this program's TOML, Tuya's thing model or
    /// specifications, a mapping, an activation schema.
    ///
    /// # Errors
    /// What is wrong with it, with line or field.
    pub fn check(text: &str) -> Result<(), DefinitionError> {
        import::read("definition", text).map(drop).map_err(DefinitionError)
    }

    /// What the points of a device mean, by all that is known of it; `heard` are all points that it ever showed. To be
    /// asked again when it shows points that the definition does not [know](Definition::knows).
    pub fn of(&self, facts: &Facts, known: &KnownSchemas, heard: &Dps) -> Arc<Definition> {
        let mut layers = vec![guess::by_value(heard)];
        let category = facts.category.as_deref();
        if let Some(layer) = self.built_in.fitting(category, heard) {
            layers.push(guess::narrowed(layer.clone(), heard));
        }
        if let Some(class) = category.and_then(guess::class_of) {
            let why = format!("its category is {}", category.unwrap_or_default());
            layers.push(Layer { class: Some(class), ..Layer::new(Source::Guess(why)) });
        }
        if let Some(schema) = &known.activation {
            layers.push(Layer::of_schema(Source::Activation, schema));
        }
        if let Some(schema) = &known.mapping {
            layers.push(Layer::of_schema(Source::Mapping, schema));
        }
        let product = facts.product_id.as_ref();
        layers.extend(self.built_in.of_product(product, &facts.id).cloned());
        layers.extend(self.own.fitting(category, heard).map(|l| guess::narrowed(l.clone(), heard)));
        layers.extend(self.own.of_product(product, &facts.id).cloned());
        if let Some(text) = &known.own {
            match import::read("definition", text) {
                Ok(layer) => layers.push(layer),
                // It was checked when it was given; a newer program may be stricter.
                Err(e) => tracing::warn!("the owner's definition of {} is not used: {e}", facts.id),
            }
        }
        let mut made = build(layers, heard);
        if let Some(name) = facts.product_name.as_ref().filter(|n| !n.is_empty())
            && made.name.is_empty()
        {
            made.name.clone_from(name);
        }
        Arc::new(made)
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, DefinitionError> {
    let fault = |e: std::io::Error| DefinitionError(format!("{}: {e}", dir.display()));
    let mut found = Vec::new();
    let list = match std::fs::read_dir(dir) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(fault(e)),
    };
    for entry in list {
        let path = entry.map_err(fault)?.path();
        let known =
            matches!(path.extension().and_then(|e| e.to_str()), Some("toml" | "json" | "yaml" | "yml"));
        if known && path.is_file() {
            if found.len() == MAX_FILES {
                let dir = dir.display();
                return Err(DefinitionError(format!("{dir}: more than {MAX_FILES} definitions")));
            }
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
