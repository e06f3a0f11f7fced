//! Points that belong together, as profiles write them (`[[entity]]`).

use std::collections::BTreeMap;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{Access, DpKind};
use serde::{Deserialize, Serialize};

use super::Point;
use super::attribute::{Attribute, Binary, Cover, Dialect, Encoding, Infrared, Light, Mapped, Phase, Warmth};
use super::attribute::{CoverNames, LightNames, USUAL_MIRED};

/// Points that belong together. Numbers are numbers of points.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Entity {
    /// A light.
    Light(LightPoints),
    /// A cover.
    Cover(CoverPoints),
    /// Two states.
    Binary {
        /// Name of the attribute.
        name: String,
        /// The point.
        point: u16,
        /// Values that mean true.
        on: Vec<Plain>,
        /// What is written for false; nothing can be written without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        off: Option<Plain>,
    },
    /// Voltage, current and power in bytes.
    Phase {
        /// Name of the attribute.
        name: String,
        /// The point.
        point: u16,
    },
    /// An infrared blaster that takes JSON text.
    InfraredPacked {
        /// Takes commands.
        send: u16,
        /// Tells learnt codes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learnt: Option<u16>,
    },
    /// An infrared blaster with a point for each field.
    InfraredSpread {
        /// Takes `send_ir`, `study`, `study_exit`.
        control: u16,
        /// Takes the code.
        code: u16,
        /// Tells learnt codes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learnt: Option<u16>,
        /// Takes the head of the code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<u16>,
        /// Takes the pause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay: Option<u16>,
        /// Takes the kind of code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code_type: Option<u16>,
    },
    /// One point by rules.
    Mapped(Mapped),
}

/// Points of a light.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LightPoints {
    /// At the end of the names of its attributes: `_2` for a second light.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) suffix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) switch: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) brightness: Option<u16>,
    /// Its range, where the point's own is not the one that shines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) brightness_range: Option<(i64, i64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) color_temp: Option<u16>,
    /// The lower end of the colour temperature is cold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) inverted: bool,
    /// Mired of the cold and the warm end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mired: Option<(i64, i64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) color: Option<u16>,
    /// `rgbhsv` (14 digits) or `hsv` (12 digits), where the light does not show it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<EncodingWord>,
    /// The word of the white mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) white: Option<String>,
    /// The word of the colour mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) colour: Option<String>,
}

/// A word for [`Encoding`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingWord {
    Rgbhsv,
    Hsv,
}

/// Points of a cover.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CoverPoints {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) suffix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<u16>,
    /// Number of the dialect in lan.md 8.4, where the words do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dialect: Option<u8>,
    /// Takes a position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<u16>,
    /// Tells the position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) work_state: Option<u16>,
    /// 100 is closed on the wire.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) inverted: bool,
}

/// A value as TOML writes it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(untagged)]
pub(crate) enum Plain {
    Bool(bool),
    Number(i64),
    Fraction(f64),
    Text(String),
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Fraction(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

impl Plain {
    /// As a number, if it is one or reads as one.
    #[allow(clippy::cast_precision_loss)] // readings of sensors
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Number(n) => Some(*n as f64),
            Self::Fraction(f) => Some(*f),
            Self::Text(t) => t.trim().parse().ok(),
        }
    }

    pub(crate) fn value(&self) -> DpValue {
        match self {
            Self::Bool(b) => DpValue::Bool(*b),
            Self::Number(n) => DpValue::Value(*n),
            Self::Fraction(f) => DpValue::Json(f.to_string().into()),
            Self::Text(t) => DpValue::text(t.as_str()),
        }
    }

    fn of(value: &DpValue) -> Option<Self> {
        match value {
            DpValue::Bool(b) => Some(Self::Bool(*b)),
            DpValue::Value(n) => Some(Self::Number(*n)),
            DpValue::String(t) | DpValue::Enum(t) => Some(Self::Text(t.to_string())),
            _ => None,
        }
    }
}

type Points = BTreeMap<DpId, Point>;

fn there(points: &Points, id: Option<u16>) -> Option<DpId> {
    id.map(DpId).filter(|id| points.contains_key(id))
}

fn range(points: &Points, id: DpId) -> Option<(i64, i64)> {
    match &points.get(&id)?.spec.kind {
        DpKind::Value { min, max, .. } if *min > i64::MIN && *max < i64::MAX && min < max => {
            Some((*min, *max))
        }
        _ => None,
    }
}

impl Entity {
    /// Reads one of a profile.
    pub(crate) fn read(table: &toml::Table) -> Result<Self, String> {
        table.clone().try_into().map_err(|e: toml::de::Error| e.message().to_owned())
    }

    /// The attribute, if its points are there.
    pub(crate) fn resolve(&self, points: &Points, heard: &Dps) -> Option<Attribute> {
        match self {
            Self::Light(light) => light.resolve(points, heard).map(Attribute::Light),
            Self::Cover(cover) => cover.resolve(points, heard).map(Attribute::Cover),
            Self::Binary { name, point, on, off } => {
                let dp = there(points, Some(*point))?;
                let on = on.iter().map(Plain::value).collect();
                let off = off.as_ref().map(Plain::value);
                let access = if off.is_some() { points[&dp].spec.access } else { Access::Ro };
                Some(Attribute::Binary(Binary { name: name.clone(), dp, on, off, access }))
            }
            Self::Mapped(mapped) => {
                there(points, Some(mapped.point))?;
                Some(Attribute::Mapped(mapped.clone()))
            }
            Self::Phase { name, point } => {
                let dp = there(points, Some(*point))?;
                Some(Attribute::Phase(Phase { name: name.clone(), dp }))
            }
            Self::InfraredPacked { send, learnt } => {
                let send = there(points, Some(*send))?;
                Some(Attribute::Infrared(Infrared::Packed { send, learnt: there(points, *learnt) }))
            }
            Self::InfraredSpread { control, code, learnt, head, delay, code_type } => {
                let [control, code] = [there(points, Some(*control))?, there(points, Some(*code))?];
                let [learnt, head, delay, kind] =
                    [*learnt, *head, *delay, *code_type].map(|id| there(points, id));
                Some(Attribute::Infrared(Infrared::Spread { control, learnt, head, code, delay, kind }))
            }
        }
    }

    /// What a profile would say for this attribute.
    pub(crate) fn of(attribute: &Attribute) -> Option<Self> {
        let n = |dp: Option<DpId>| dp.map(|dp| dp.0);
        match attribute {
            Attribute::Light(l) => Some(Self::Light(LightPoints {
                suffix: l.names.suffix().to_owned(),
                switch: n(l.switch),
                mode: n(l.mode.as_ref().map(|(dp, _)| *dp)),
                brightness: n(l.brightness.map(|(dp, _)| dp)),
                brightness_range: l.brightness.map(|(_, range)| range),
                color_temp: n(l.warmth.map(|w| w.dp)),
                inverted: l.warmth.is_some_and(|w| w.inverted),
                mired: l.warmth.map(|w| w.mired),
                color: n(l.colour.map(|(dp, _)| dp)),
                encoding: l.colour.map(|(_, e)| match e {
                    Encoding::RgbHsv => EncodingWord::Rgbhsv,
                    Encoding::Hsv => EncodingWord::Hsv,
                }),
                white: l.mode.as_ref().map(|_| l.white.to_string()),
                colour: l.mode.as_ref().map(|_| l.colour_word.to_string()),
            })),
            Attribute::Cover(c) => Some(Self::Cover(CoverPoints {
                suffix: c.names.suffix().to_owned(),
                control: n(c.control.map(|(dp, _)| dp)),
                dialect: c.control.map(|(_, d)| d.number),
                target: n(c.target),
                position: n(c.position),
                work_state: n(c.work_state),
                inverted: c.inverted,
            })),
            Attribute::Binary(b) => Some(Self::Binary {
                name: b.name.clone(),
                point: b.dp.0,
                on: b.on.iter().filter_map(Plain::of).collect(),
                off: b.off.as_ref().and_then(Plain::of),
            }),
            Attribute::Mapped(m) => Some(Self::Mapped(m.clone())),
            Attribute::Phase(p) => Some(Self::Phase { name: p.name.clone(), point: p.dp.0 }),
            Attribute::Infrared(Infrared::Packed { send, learnt }) => {
                Some(Self::InfraredPacked { send: send.0, learnt: n(*learnt) })
            }
            Attribute::Infrared(Infrared::Spread { control, learnt, head, code, delay, kind }) => {
                Some(Self::InfraredSpread {
                    control: control.0,
                    code: code.0,
                    learnt: n(*learnt),
                    head: n(*head),
                    delay: n(*delay),
                    code_type: n(*kind),
                })
            }
        }
    }
}

impl LightPoints {
    /// All of them.
    pub(crate) fn points(&self) -> Vec<Option<DpId>> {
        let all = [self.switch, self.mode, self.brightness, self.color_temp, self.color];
        all.into_iter().flatten().map(|id| Some(DpId(id))).collect()
    }

    fn resolve(&self, points: &Points, heard: &Dps) -> Option<Light> {
        let brightness = there(points, self.brightness);
        let bright_range = |dp: DpId| {
            let usual =
                if points[&dp].spec.code.contains("_v2") || dp.0 >= 20 { (10, 1000) } else { (25, 255) };
            self.brightness_range.or_else(|| range(points, dp)).unwrap_or(usual)
        };
        let brightness = brightness.map(|dp| (dp, bright_range(dp)));
        let old = brightness.is_some_and(|(_, (_, top))| top <= 255);
        let warmth = there(points, self.color_temp).map(|dp| Warmth {
            dp,
            range: range(points, dp).unwrap_or(if old { (0, 255) } else { (0, 1000) }),
            inverted: self.inverted,
            mired: self.mired.filter(|(cold, warm)| cold < warm).unwrap_or(USUAL_MIRED),
        });
        let colour = there(points, self.color).map(|dp| {
            let shown = heard.value(dp).map(ToString::to_string).map(|t| t.len());
            let encoding = match (self.encoding, shown) {
                (Some(EncodingWord::Rgbhsv), _) | (None, Some(14)) => Encoding::RgbHsv,
                (Some(EncodingWord::Hsv), _) | (None, Some(12)) => Encoding::Hsv,
                _ if old || dp.0 == 5 => Encoding::RgbHsv,
                _ => Encoding::Hsv,
            };
            (dp, encoding)
        });
        if brightness.is_none() && warmth.is_none() && colour.is_none() {
            return None;
        }
        let mode = there(points, self.mode).map(|dp| match &points[&dp].spec.kind {
            DpKind::Enum(words) => (dp, words.clone()),
            _ => (dp, Box::default()),
        });
        Some(Light {
            names: LightNames::with(&self.suffix),
            switch: there(points, self.switch),
            mode,
            white: self.white.as_deref().unwrap_or("white").into(),
            colour_word: self.colour.as_deref().unwrap_or("colour").into(),
            brightness,
            warmth,
            colour,
        })
    }
}

impl CoverPoints {
    fn resolve(&self, points: &Points, heard: &Dps) -> Option<Cover> {
        let control = there(points, self.control).map(|dp| {
            let dialect = self
                .dialect
                .and_then(Dialect::of_number)
                .or_else(|| Dialect::of_kind(&points[&dp].spec.kind))
                .or_else(|| heard.value(dp).and_then(Dialect::of_value))
                .unwrap_or(Dialect::USUAL);
            (dp, dialect)
        });
        let [target, position, work_state] =
            [self.target, self.position, self.work_state].map(|id| there(points, id));
        if control.is_none() && target.is_none() {
            return None;
        }
        let numbers = control.is_some_and(|(dp, _)| matches!(points[&dp].spec.kind, DpKind::Value { .. }));
        let inverted = self.inverted;
        let names = CoverNames::with(&self.suffix);
        Some(Cover { names, control, numbers, target, position, work_state, inverted })
    }
}
