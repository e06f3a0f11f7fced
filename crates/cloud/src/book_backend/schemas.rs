//! Which points a device is told at its activation. A device handles no others (cloud.md 6.2).

use landfall_book::Device;
use landfall_book::cloud_side::ToldSchema;
use landfall_proto::crypto;
use landfall_proto::id::{DeviceId, ProductId};
use landfall_proto::schema::Schema;
use landfall_proto::schema_text;

use super::profiles::Profiles;
use super::windows::Attempt;

/// Longest schema text that is told. The vendor's SDKs take 8,192 bytes of answer (sdk-observed.md 1): in base64, with
/// every quotation mark escaped and the rest of the answer beside it, that leaves this.
const MAX_TOLD: usize = 3_900;
/// What tuya-convert tells devices of which nothing is known: the same switch so many times. Some firmware wants more
/// points than one, and takes a repetition for more (cloud.md 1.4.4).
const GUESSED_POINTS: usize = 20;
const GUESSED_POINT: &str = r#"{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"}"#;
/// Its id.
pub(super) const GUESS_ID: &str = "0000000000";

/// The schema for an activation.
///
/// What the owner's files or an earlier activation say of this very device comes first, then the profile of its
/// product, and a guess in the end. `attempt`: the how-manieth request in the same window. Of a guess, the third and
/// every second one after it get one point in place of twenty, because some firmware fails with too many (cloud.md
/// 1.4.4). The second request gets the same as the first: more often than not an answer was lost.
pub(super) fn told(
    profiles: &Profiles,
    device: Option<&Device>,
    product: Option<&ProductId>,
    id: Option<&DeviceId>,
    attempt: Attempt,
) -> ToldSchema {
    if let Some(device) = device {
        if let Some(mapping) = device.mapping.as_ref().filter(|m| !m.schema().0.is_empty()) {
            return own(mapping.schema(), None);
        }
        if let Some(told) = device.cloud.told.as_ref().filter(|t| !t.guess) {
            return told.clone();
        }
    }
    let product = device.and_then(|d| d.product_id.as_ref()).or(product);
    match profiles.of(product, device.map(|d| &d.id).or(id)) {
        Some(profile) => own(&profile.schema, profile.schema_id.as_deref()),
        None => guess(attempt),
    }
}

fn guess(attempt: Attempt) -> ToldSchema {
    let points = if attempt >= 3 && attempt % 2 == 1 { 1 } else { GUESSED_POINTS };
    let text = format!("[{}]", vec![GUESSED_POINT; points].join(","));
    ToldSchema { id: GUESS_ID.to_owned(), text, guess: true }
}

fn own(schema: &Schema, id: Option<&str>) -> ToldSchema {
    let (text, left_out) = schema_text::write(schema, MAX_TOLD).unwrap_or_else(|e| {
        tracing::error!("a schema can't be written: {e}");
        ("[]".to_owned(), schema.0.len())
    });
    if left_out > 0 {
        tracing::warn!("a device is not told of {left_out} of its {} points: no room", schema.0.len());
    }
    let id = id.map_or_else(|| id_of(&text), ToOwned::to_owned);
    ToldSchema { id, text, guess: false }
}

/// Another schema has another id, and the same always the same: ten characters, as the vendor's.
fn id_of(text: &str) -> String {
    let hash: [u8; 16] = crypto::md5_middle(&[text.as_bytes()]);
    format!("lf{}", String::from_utf8_lossy(&hash[..8]))
}

/// The points of a device, for reading what it reports: more than it was told where more is known.
pub(super) fn known(profiles: &Profiles, device: &Device) -> Schema {
    let profile = profiles.of(device.product_id.as_ref(), Some(&device.id));
    let mut schema = device.schema();
    match profile {
        Some(profile) if schema.0.is_empty() => profile.schema.as_ref().clone(),
        Some(profile) => {
            schema.name_from(&profile.schema);
            schema
        }
        None => schema,
    }
}

#[cfg(test)]
#[path = "tests/schemas.rs"]
mod tests;
