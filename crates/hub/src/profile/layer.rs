//! What one source says of a device's points, and how several become one definition. A later source wins; what it does
//! not say is filled from the earlier ones, and where each fact came from is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_cloud::book_backend::profiles::{MeteringPoints, PointMeaning, ProfileFile};
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::schema::{DpKind, DpSpec, Schema};

use super::attribute::Attribute;
use super::entity::Entity;
use super::{Class, Definition, Point, Recipe, Source, derive, names};

/// What a source says of one point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Type and limits.
    pub(crate) spec: Option<DpSpec>,
    /// Words about it.
    pub(crate) words: PointMeaning,
}

/// What one source says.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) source: Source,
    pub(crate) name: Option<String>,
    pub(crate) class: Option<Class>,
    pub(crate) points: BTreeMap<DpId, Said>,
    /// Points that belong together, by their numbers.
    pub(crate) entities: Vec<Entity>,
    /// The same, worked out already.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) refresh: Option<Recipe>,
    pub(crate) metering: Option<MeteringPoints>,
    pub(crate) stale_after: Option<Duration>,
}

impl Layer {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            name: None,
            class: None,
            points: BTreeMap::new(),
            entities: Vec::new(),
            attributes: Vec::new(),
            refresh: None,
            metering: None,
            stale_after: None,
        }
    }

    /// Types and limits alone.
    pub(crate) fn of_schema(source: Source, schema: &Schema) -> Self {
        let said = |spec: &DpSpec| Said { spec: Some(spec.clone()), words: PointMeaning::default() };
        let points = schema.0.iter().map(|(id, spec)| (*id, said(spec))).collect();
        Self { points, ..Self::new(source) }
    }

    /// A profile.
    ///
    /// # Errors
    /// A class or an entity that makes no sense, with its line.
    pub(crate) fn of_file(source: Source, file: &ProfileFile) -> Result<Self, String> {
        let meaning = &file.meaning;
        let class = match meaning.class.as_deref() {
            Some(word) => Some(Class::of_word(word).ok_or_else(|| {
                let known = Class::WORDS.map(|(_, w)| w).join(", ");
                format!("class = {word:?}: not a class; there are {known}")
            })?),
            None => None,
        };
        let mut layer = Self::of_schema(source, &file.schema);
        for (id, words) in &meaning.points {
            layer.points.entry(*id).or_default().words = words.clone();
        }
        for (line, table) in &meaning.entities {
            layer.entities.push(Entity::read(table).map_err(|e| format!("line {line}: entity: {e}"))?);
        }
        layer.name.clone_from(&file.name);
        layer.class = class;
        layer.metering.clone_from(&meaning.metering);
        layer.refresh = meaning.refresh.as_ref().map(|r| Recipe {
            points: r.points.iter().map(|n| DpId(*n)).collect(),
            every: Duration::from_secs(r.every.max(1)),
        });
        layer.stale_after = meaning.stale_after.map(Duration::from_secs);
        Ok(layer)
    }
}

/// One definition of these layers; `heard` shows what their texts and numbers look like.
pub(crate) fn build(mut layers: Vec<Layer>, heard: &Dps) -> Definition {
    // Of equal sources the later one wins: the sort is stable.
    layers.sort_by_key(|layer| layer.source.rank());
    let mut made = Definition::default();
    for layer in &layers {
        for (id, said) in &layer.points {
            match made.points.get_mut(id) {
                Some(point) => merge(*id, point, said, &layer.source),
                None => {
                    if let Some(spec) = &said.spec {
                        let name = names::of(&spec.code, *id);
                        let point = made.points.entry(*id).or_insert(Point::new(
                            name,
                            spec.clone(),
                            layer.source.clone(),
                        ));
                        apply(point, &said.words, &layer.source);
                    }
                }
            }
        }
        let mut fact = |what: &'static str| {
            made.sources.retain(|(w, _)| *w != what);
            made.sources.push((what, layer.source.clone()));
        };
        if let Some(name) = &layer.name {
            made.name.clone_from(name);
            fact("name");
        }
        if let Some(class) = layer.class {
            made.class = class;
            fact("class");
        }
        if let Some(refresh) = &layer.refresh {
            made.refresh = Some(refresh.clone());
            fact("refresh");
        }
        if let Some(after) = layer.stale_after {
            made.stale_after = Some(after);
        }
    }
    for (id, point) in &mut made.points {
        derive::plausible(*id, point, heard);
    }
    derive::class(&mut made);
    // Explicit entities of the highest source that has any; of the points they leave, what the codes say.
    for layer in layers.iter().rev() {
        let own = layer.entities.iter().filter_map(|e| e.resolve(&made.points, heard));
        for attribute in own.chain(layer.attributes.iter().cloned()).collect::<Vec<_>>() {
            if !made.attributes.iter().any(|have| have.clashes(&attribute)) {
                made.attributes.push(attribute);
            }
        }
    }
    derive::attributes(&mut made, heard);
    let named = layers.iter().rev().find_map(|l| l.metering.as_ref().map(|m| (m, &l.source)));
    derive::metering(&mut made, named);
    // A recipe for points that the device does not have asks for nothing.
    if let Some(refresh) = &mut made.refresh {
        refresh.points.retain(|id| made.points.contains_key(id));
    }
    made.refresh = made.refresh.take().filter(|r| !r.points.is_empty());
    derive::refresh(&mut made);
    made.settle();
    made
}

fn apply(point: &mut Point, words: &PointMeaning, source: &Source) {
    if let Some(name) = words.name.as_deref().map(names::slug).filter(|n| !n.is_empty()) {
        if point.source != *source {
            point.also.retain(|(what, _)| *what != "name");
            point.also.push(("name", source.clone()));
        }
        point.name = name;
    }
    point.event = words.event.unwrap_or(point.event);
    point.history = words.history.unwrap_or(point.history);
    point.hidden = words.hidden.unwrap_or(point.hidden);
}

/// Puts a higher source's facts over a point, and keeps those of the point that the source does not say.
fn merge(id: DpId, point: &mut Point, said: &Said, source: &Source) {
    if let Some(spec) = &said.spec {
        let below = std::mem::replace(point, Point::new("", spec.clone(), source.clone()));
        let lower = below.source.clone();
        let mut kept = |what: &'static str| {
            // A fact that the lower one had from elsewhere still is from there.
            let from = below.also.iter().find(|(w, _)| *w == what).map_or(&lower, |(_, s)| s);
            point.also.push((what, from.clone()));
        };
        let spec = &mut point.spec;
        let had = &below.spec;
        if spec.code.is_empty() && !had.code.is_empty() {
            spec.code.clone_from(&had.code);
            kept("code");
        }
        if had.action && !spec.action {
            spec.action = true;
            kept("action");
        }
        if spec.access == landfall_proto::schema::Access::Rw
            && had.access != spec.access
            && !tells_access(source)
        {
            spec.access = had.access;
            kept("access");
        }
        match (&mut spec.kind, &had.kind) {
            (
                DpKind::Value { min, max, step, scale, unit },
                DpKind::Value { min: min0, max: max0, step: step0, scale: scale0, unit: unit0 },
            ) => {
                if *min == i64::MIN && *max == i64::MAX && (*min0 > *min || *max0 < *max) {
                    (*min, *max, *step) = (*min0, *max0, *step0);
                    kept("range");
                }
                // Activation schemas of real products say 0 where the value has a decimal place (the schema 66z).
                if *scale == 0 && *scale0 > 0 && !tells_scale(source) {
                    *scale = *scale0;
                    kept("scale");
                }
                if unit.is_empty() && !unit0.is_empty() {
                    unit.clone_from(unit0);
                    kept("unit");
                }
            }
            (DpKind::Enum(words), DpKind::Enum(words0)) if words.is_empty() && !words0.is_empty() => {
                words.clone_from(words0);
                kept("range");
            }
            (DpKind::Bitmap(labels), DpKind::Bitmap(labels0))
                if labels.iter().all(|l| l.is_empty()) && labels0.iter().any(|l| !l.is_empty()) =>
            {
                labels.clone_from(labels0);
                kept("labels");
            }
            // A source that knows texts alone takes the better type of the one below.
            (kind @ DpKind::String(_), DpKind::Enum(_) | DpKind::Raw(_)) if !tells_scale(source) => {
                *kind = had.kind.clone();
                kept("type");
            }
            _ => {}
        }
        let named = below.also.iter().find(|(what, _)| *what == "name").cloned();
        point.hidden = names::hidden(&point.spec.code);
        point.event = names::event(&point.spec.code);
        // A name that somebody gave stays; one that was only the code's is made anew.
        if let Some(named) = named {
            point.name = below.name;
            point.also.push(named);
        } else if point.spec.code == below.spec.code {
            point.name = below.name;
        } else {
            point.name = names::of(&point.spec.code, id);
        }
    }
    apply(point, &said.words, source);
}

/// Whether "readable and writable" was said, and not left out.
fn tells_access(source: &Source) -> bool {
    !matches!(source, Source::Guess(_) | Source::Mapping | Source::TuyaLocal(_))
}

/// Whether scale 0 was said, and not left out.
fn tells_scale(source: &Source) -> bool {
    !matches!(source, Source::Guess(_) | Source::Activation | Source::TuyaLocal(_))
}
