//! Data points with their values.

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{DpKind, DpSpec, Schema};
use serde_json::{Value, json};

use super::{Style, Table, clean};

/// The number n / 10^scale, exactly.
pub(crate) fn scaled(n: i64, scale: u8) -> String {
    if scale == 0 {
        return n.to_string();
    }
    let digits = format!("{:0width$}", n.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, rest) = digits.split_at(digits.len() - usize::from(scale));
    format!("{}{whole}.{rest}", if n < 0 { "-" } else { "" })
}

/// What a value means to people: with decimal point and unit, the labels of bits, on and off.
pub(crate) fn reading(spec: Option<&DpSpec>, value: &DpValue) -> String {
    match (spec.map(|s| &s.kind), value) {
        (_, DpValue::Bool(b)) => if *b { "on" } else { "off" }.to_owned(),
        (Some(DpKind::Value { scale, unit, .. }), DpValue::Value(n)) => {
            format!("{} {unit}", scaled(*n, *scale)).trim_end().to_owned()
        }
        (Some(DpKind::Bitmap(labels)), DpValue::Bitmap(bits)) => {
            let set: Vec<String> =
                (0..32).filter(|i| bits & (1 << i) != 0).map(|i| label(labels, i)).collect();
            if set.is_empty() { "none".to_owned() } else { set.join(", ") }
        }
        (_, other) => other.to_string(),
    }
}

/// A bit's name. An activation schema tells how many there are, not what they mean.
fn label(labels: &[Box<str>], bit: usize) -> String {
    let label = labels.get(bit).filter(|l| !l.is_empty());
    label.map_or_else(|| format!("bit {bit}"), ToString::to_string)
}

/// The point's name for people: its code, or `dp 7`.
pub(crate) fn name(schema: &Schema, id: DpId) -> String {
    match schema.spec(id) {
        Some(s) if !s.code.is_empty() => s.code.to_string(),
        _ => format!("dp {id}"),
    }
}

/// Points in the order of their numbers.
fn sorted(dps: &Dps) -> Vec<(DpId, &DpValue)> {
    let mut list: Vec<_> = dps.iter().collect();
    list.sort_by_key(|(id, _)| *id);
    list
}

/// Points with their values in one line, by name and as they are on the wire.
pub(crate) fn listed(schema: &Schema, dps: &Dps) -> String {
    let of = |(id, v): (_, &DpValue)| format!("{} = {}", name(schema, id), clean(&v.to_string()));
    dps.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// A table for people.
pub(crate) fn table(schema: &Schema, dps: &Dps, style: Style) -> String {
    let mut table = Table::new(style, &["DP", "CODE", "VALUE", "READING"]);
    for (id, value) in sorted(dps) {
        let spec = schema.spec(id);
        let code = spec.map_or("", |s| &*s.code);
        table.row([&id.to_string(), code, &value.to_string(), &reading(spec, value)]);
    }
    table.text()
}

/// For programs: each point with what is known of it.
pub(crate) fn to_json(schema: &Schema, dps: &Dps) -> Value {
    sorted(dps)
        .into_iter()
        .map(|(id, value)| {
            let mut v = json!({"dp": id.0, "value": value});
            if let Some(spec) = schema.spec(id) {
                v["code"] = json!(spec.code);
                if let (DpKind::Value { scale, unit, .. }, DpValue::Value(n)) = (&spec.kind, value) {
                    // As a number where it is one exactly as written.
                    let text = scaled(*n, *scale);
                    v["scaled"] = serde_json::from_str(&text).unwrap_or(json!(text));
                    v["unit"] = json!(unit);
                }
            }
            v
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_points_are_exact() {
        for (n, scale, text) in [
            (2304, 1, "230.4"),
            (5, 1, "0.5"),
            (-5, 2, "-0.05"),
            (0, 3, "0.000"),
            (7, 0, "7"),
            (i64::MIN, 1, "-922337203685477580.8"),
        ] {
            assert_eq!(scaled(n, scale), text);
        }
    }

    #[test]
    fn bits_have_names() {
        let kind = DpKind::Bitmap(["ov_cr".into(), "".into()].into());
        let spec = DpSpec::new("fault", kind, landfall_proto::schema::Access::Ro);
        assert_eq!(reading(Some(&spec), &DpValue::Bitmap(5)), "ov_cr, bit 2");
        assert_eq!(reading(Some(&spec), &DpValue::Bitmap(2)), "bit 1");
        assert_eq!(reading(Some(&spec), &DpValue::Bitmap(0)), "none");
    }
}
