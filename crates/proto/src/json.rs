//! JSON as devices write it: compact, sometimes with broken UTF-8.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// The text of a JSON body. Trailing NUL bytes are dropped and invalid UTF-8 is replaced (lan.md 3.7, 6.2).
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    String::from_utf8_lossy(&bytes[..end])
}

/// Parses a JSON body leniently.
///
/// # Errors
/// Not JSON, or not of the wanted form.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_str(&text(bytes))
}
