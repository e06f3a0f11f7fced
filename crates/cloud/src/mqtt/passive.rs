//! Which points of a product are passive: reported only when somebody asks (cloud.md 4.8).

use landfall_proto::dp::DpId;
use serde::Deserialize;

/// Longest list of points that is asked for by name.
const MOST: usize = 64;

#[derive(Deserialize)]
struct Entry {
    id: u16,
    #[serde(default)]
    passive: bool,
}

/// The passive points in the schema text that a device is told at its activation; none when it can't be read.
pub(super) fn points(schema: &str) -> Vec<DpId> {
    let entries: Vec<Entry> = serde_json::from_str(schema).unwrap_or_default();
    entries.into_iter().filter(|e| e.passive).map(|e| DpId(e.id)).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passive_points_are_found() {
        let schema = r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"},
            {"mode":"ro","property":{"type":"value","min":0,"max":30000,"scale":0,"step":1},"id":4,"type":"obj","passive":true},
            {"mode":"ro","id":5,"passive":false}]"#;
        assert_eq!(points(schema), [DpId(4)]);
        assert_eq!(points(""), []);
        assert_eq!(points("[{}]"), []);
    }
}
