//! Any schema is written and read back; any text is survived.
#![allow(clippy::unwrap_used)]

use landfall_proto::dp::DpId;
use landfall_proto::schema::{Access, DpKind, DpSpec, Schema};
use landfall_proto::schema_text::{MAX_POINTS, MAX_TEXT, SchemaTextError, parse, write};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn cases(n: u32) -> ProptestConfig {
    let n = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n);
    ProptestConfig { cases: n, failure_persistence: None, ..ProptestConfig::default() }
}

/// Points as an activation schema can say them: without codes, units and labels.
fn kind() -> impl Strategy<Value = DpKind> {
    let number = || any::<i32>().prop_map(i64::from);
    prop_oneof![
        Just(DpKind::Bool),
        (number(), number(), 1..=i64::from(i32::MAX), 0..=12_u8).prop_map(|(a, b, step, scale)| {
            DpKind::Value { min: a.min(b), max: a.max(b), step, scale, unit: Box::default() }
        }),
        vec(".{0,12}", 0..8).prop_map(|words| DpKind::Enum(words.into_iter().map(Into::into).collect())),
        (1..100_000_usize).prop_map(DpKind::String),
        Just(DpKind::Raw(usize::MAX)),
        (1..=32_usize).prop_map(|bits| DpKind::Bitmap(vec![Box::default(); bits].into())),
    ]
}

fn schema() -> impl Strategy<Value = Schema> {
    let access = prop_oneof![Just(Access::Rw), Just(Access::Ro), Just(Access::Wr)];
    let spec = (kind(), access, any::<bool>(), ".{0,8}").prop_map(|(kind, access, passive, trigger)| {
        DpSpec { passive, trigger: trigger.into(), ..DpSpec::new("", kind, access) }
    });
    btree_map(any::<u16>().prop_map(DpId), spec, 0..40).prop_map(Schema)
}

/// Something like an entry, wrong in some place.
fn entry() -> impl Strategy<Value = Value> {
    let any_value = || {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            Just(json!([1, null, "a"])),
            Just(json!({})),
        ]
    };
    let word =
        prop_oneof![Just("bool"), Just("value"), Just("enum"), Just("string"), Just("raw"), Just("bitmap")];
    (word, vec(any_value(), 8)).prop_map(|(word, v)| {
        json!({
            "id": v[0], "mode": v[1], "type": "obj", "passive": v[2], "trigger": v[3],
            "property": {"type": word, "min": v[4], "max": v[5], "scale": v[6], "step": v[7], "maxlen": v[4], "range": v[5]}
        })
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_is_written_reads_back(schema in schema()) {
        let (text, left_out) = write(&schema, MAX_TEXT).unwrap();
        prop_assert_eq!(left_out, 0);
        let read = parse(&text).unwrap();
        prop_assert_eq!(read.skipped, 0);
        prop_assert_eq!(read.schema, schema);
    }

    #[test]
    fn no_text_is_longer_than_asked_for(schema in schema(), max in 2..4_000_usize) {
        let (text, left_out) = write(&schema, max).unwrap();
        prop_assert!(text.len() <= max);
        prop_assert_eq!(parse(&text).unwrap().schema.0.len() + left_out, schema.0.len());
    }

    #[test]
    fn strange_entries_are_read_or_counted(entries in vec(entry(), 0..30)) {
        let read = parse(&Value::from(entries.clone()).to_string()).unwrap();
        prop_assert!(read.schema.0.len() + read.skipped <= entries.len());
        // What was understood can be told again, and is the same then.
        let (text, _) = write(&read.schema, MAX_TEXT).unwrap();
        prop_assert_eq!(parse(&text).unwrap().schema.0.len(), read.schema.0.len());
    }

    #[test]
    fn any_text_is_survived(text in ".{0,300}", brackets in 0..2_000_usize) {
        // Either it is a list, or there is a reason; neither takes long or much.
        match parse(&text) {
            Ok(read) => prop_assert!(read.skipped <= text.len()),
            Err(e) => prop_assert!(!e.to_string().is_empty()),
        }
        let deep = "[".repeat(brackets + 1);
        prop_assert!(parse(&deep).is_err());
    }
}

#[test]
fn a_schema_cut_at_any_place_is_no_schema() {
    let text = r#"[{"mode":"rw","property":{"type":"enum","range":["a","é"]},"id":21,"type":"obj"}]"#;
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        assert!(matches!(parse(&text[..at]), Err(SchemaTextError::NotJson { .. })), "{at}");
    }
    assert!(parse(&format!("[{}1]", "1,".repeat(MAX_POINTS))).is_err());
}
