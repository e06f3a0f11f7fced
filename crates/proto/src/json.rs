//! JSON as devices write it: compact, sometimes with broken UTF-8.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

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

/// JSON that is passed on as it came, down to its spaces. Not printed: it may hold keys.
#[derive(Clone)]
pub struct Raw(Box<RawValue>);

impl Raw {
    /// Writes a value down.
    ///
    /// # Errors
    /// What `serde_json` says of values that JSON cannot hold, a map with lists as keys for instance.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads it into a type.
    ///
    /// # Errors
    /// It has another form.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl From<&RawValue> for Raw {
    fn from(raw: &RawValue) -> Self {
        Self(raw.to_owned())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.as_str().len())
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(d).map(Self)
    }
}

/// For `deserialize_with`: a whole number that some senders write as text; `null` is none.
///
/// # Errors
/// Neither a whole number nor a text of digits, or out of range.
pub fn whole<'de, D: Deserializer<'de>, N: TryFrom<i64>>(d: D) -> Result<Option<N>, D::Error> {
    let n = match Value::deserialize(d)? {
        Value::Null => return Ok(None),
        Value::Number(n) => n.as_i64(),
        Value::String(t) => t.trim().parse().ok(),
        _ => None,
    };
    n.and_then(|n| N::try_from(n).ok())
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("not a whole number in range"))
}

/// For `deserialize_with`: an identifier; an empty text and `null` are none.
///
/// # Errors
/// Not a text, or none that `T` takes.
pub fn named<'de, D: Deserializer<'de>, T>(d: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<String>,
    T::Error: fmt::Display,
{
    match Option::<String>::deserialize(d)? {
        Some(text) if !text.is_empty() => T::try_from(text).map(Some).map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}

/// For `deserialize_with`: a field that may be missing, and whose `null` is something else than missing.
///
/// # Errors
/// Not JSON.
pub fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DeviceId;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "whole")]
        n: Option<u32>,
        #[serde(default, deserialize_with = "named")]
        id: Option<DeviceId>,
    }

    #[test]
    fn numbers_and_names_are_read_leniently() {
        let n = |text: &str| parse::<Sample>(text.as_bytes()).map(|s| s.n).ok();
        assert_eq!(n(r#"{"n":7}"#), Some(Some(7)));
        assert_eq!(n("{\"n\":\"1569181204\"}\0"), Some(Some(1_569_181_204)));
        assert_eq!(n(r#"{"n":null}"#), Some(None));
        assert_eq!(n("{}"), Some(None));
        assert_eq!((n(r#"{"n":-1}"#), n(r#"{"n":"x"}"#), n(r#"{"n":[1]}"#)), (None, None, None));
        let id = |text: &str| parse::<Sample>(text.as_bytes()).map(|s| s.id).ok();
        assert_eq!(id(r#"{"id":""}"#), Some(None));
        assert_eq!(id(r#"{"id":"bf01"}"#), Some(DeviceId::new("bf01").ok()));
        assert_eq!(id(r#"{"id":"a/b"}"#), None);
    }

    #[test]
    fn raw_json_keeps_its_text_and_does_not_print_it() {
        let raw: Raw = parse(b"{\"secKey\": 1 }").unwrap();
        assert_eq!(raw.as_str(), "{\"secKey\": 1 }");
        assert_eq!(format!("{raw:?}"), "Raw(14 bytes)");
        assert_eq!(serde_json::to_string(&raw).unwrap(), "{\"secKey\": 1 }");
    }
}
