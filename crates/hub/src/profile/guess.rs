//! What numbers and types of points say when nothing is known (lan.md 8, field.md 4.7). Ids are customs of product
//! families, not rules: every better source wins.

use landfall_cloud::book_backend::profiles::{Pattern, WireType};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};

use super::layer::Layer;
use super::{Class, Source};

/// The vendor's category codes and what they are.
const CATEGORIES: &[(Class, &[&str])] = &[
    (Class::Plug, &["cz"]),
    (Class::Switch, &["kg", "pc", "tdq", "dlq", "wxkg", "sfkzq", "ggq", "znjdq"]),
    (Class::Light, &["dj", "dd", "xdd", "fwd", "fwl", "dc", "gyd", "tyndj", "mbd", "ykq"]),
    (Class::Dimmer, &["tgq", "tgkg"]),
    (Class::Cover, &["cl", "clkg", "ckmkzq", "jdcljqr", "ck"]),
    (Class::Fan, &["fs", "fsd", "fskg", "ks", "kj", "xfj"]),
    (Class::Thermostat, &["wk", "wkf", "kt", "qn", "rs", "wkcz", "mjj"]),
    (
        Class::Sensor,
        &[
            "wsdcg",
            "mcs",
            "pir",
            "hps",
            "sj",
            "ywbj",
            "rqbj",
            "ldcg",
            "cobj",
            "co2bj",
            "hjjcy",
            "pm2.5",
            "zd",
            "ylcg",
            "jqbj",
            "vocbj",
            "jwbj",
            "zndb",
            "sos",
            "qxj",
            "ms_sensor",
        ],
    ),
    (Class::Gateway, &["wg2", "wg", "wgcg", "wfcon"]),
    (Class::Infrared, &["wnykq", "hwktwkq", "infrared_tv", "infrared_ac", "qt_ir"]),
    (Class::Actor, &["cwwsq", "cwysj"]),
];

/// The class of a category code.
pub(crate) fn class_of(category: &str) -> Option<Class> {
    CATEGORIES.iter().find(|(_, codes)| codes.contains(&category)).map(|(class, _)| *class)
}

/// What the values alone say.
pub(crate) fn by_value(heard: &Dps) -> Layer {
    let spec = |value: &DpValue| {
        let kind = match value {
            DpValue::Bool(_) => DpKind::Bool,
            DpValue::Value(_) => {
                DpKind::Value { min: i64::MIN, max: i64::MAX, step: 1, scale: 0, unit: "".into() }
            }
            DpValue::Enum(_) => DpKind::Enum(Box::default()),
            DpValue::Raw(_) => DpKind::Raw(usize::MAX),
            DpValue::Bitmap(_) => DpKind::Bitmap(Box::default()),
            DpValue::String(_) | DpValue::Json(_) => DpKind::String(usize::MAX),
        };
        DpSpec::new("", kind, Access::Rw)
    };
    let schema = Schema(heard.iter().map(|(id, value)| (id, spec(value))).collect());
    Layer::of_schema(Source::Guess("by its value".to_owned()), &schema)
}

fn wire(value: &DpValue) -> Option<WireType> {
    match value {
        DpValue::Bool(_) => Some(WireType::Bool),
        DpValue::Value(_) | DpValue::Bitmap(_) => Some(WireType::Value),
        DpValue::String(_) | DpValue::Enum(_) | DpValue::Raw(_) => Some(WireType::Text),
        DpValue::Json(_) => None,
    }
}

/// How well a pattern fits: `None` when it does not, more for more points.
pub(crate) fn fits(pattern: &Pattern, category: Option<&str>, heard: &Dps) -> Option<usize> {
    let mut score = 0;
    if let (Some(category), false) = (category, pattern.category.is_empty()) {
        if !pattern.category.iter().any(|c| c == category) {
            return None;
        }
        score += 1;
    } else if pattern.category_needed {
        return None;
    }
    for (id, kind) in &pattern.points {
        let value = heard.value(id.parse().ok()?)?;
        if wire(value) != Some(*kind) {
            return None;
        }
        score += 2;
    }
    if pattern.absent.iter().any(|id| heard.value(DpId(*id)).is_some()) {
        return None;
    }
    (score > 0).then_some(score)
}

/// What a class profile says of this very device: points that it showed and that are of the type, those that are never
/// shown, and nothing else.
pub(crate) fn narrowed(mut layer: Layer, heard: &Dps) -> Layer {
    layer.points.retain(|id, said| {
        let Some(spec) = &said.spec else { return heard.value(*id).is_some() };
        match heard.value(*id) {
            Some(value) => {
                let want = match spec.kind {
                    DpKind::Bool => WireType::Bool,
                    DpKind::Value { .. } | DpKind::Bitmap(_) => WireType::Value,
                    DpKind::Enum(_) | DpKind::String(_) | DpKind::Raw(_) => WireType::Text,
                };
                wire(value) == Some(want) && in_range(&spec.kind, value)
            }
            None => spec.access == Access::Wr,
        }
    });
    layer
}

/// A number out of the range of the guess shows that the guess is wrong.
fn in_range(kind: &DpKind, value: &DpValue) -> bool {
    match (kind, value) {
        (DpKind::Value { min, max, .. }, DpValue::Value(n)) => n >= min && n <= max,
        _ => true,
    }
}
