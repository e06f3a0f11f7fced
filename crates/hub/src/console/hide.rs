//! What nobody is shown: fields whose names say that they hold a secret, and the secrets that we know, wherever they stand.

use serde_json::Value;

/// In place of a secret.
const HIDDEN: &str = "(hidden)";
/// Most bytes of a body that are shown.
const SHOWN: usize = 8 << 10;
/// How deep JSON in texts of JSON is looked into.
const DEEP: usize = 4;
/// Parts of names of fields that hold secrets, without case and punctuation.
const SECRET: &[&str] = &[
    "key", "token", "secret", "passw", "pwd", "psk", "ssid", "sign", "auth", "nonce", "hmac", "cert", "wifi",
    "random",
];
/// Names that only look like it.
const OPEN: &[&str] = &["productkey", "productkeystr", "firmwarekey", "keystr"];
/// Shorter secrets than this would hide half of everything.
const SHORTEST: usize = 6;

/// The secrets of a device.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// These.
    pub(super) fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|s| s.len() >= SHORTEST);
        // As JSON writes them, too.
        let written: Vec<_> = secrets
            .iter()
            .filter_map(|s| serde_json::to_string(s).ok())
            .map(|s| s[1..s.len() - 1].to_owned())
            .filter(|s| !secrets.contains(s))
            .collect();
        secrets.extend(written);
        Self(secrets)
    }

    /// A body as it is shown.
    pub(super) fn hide(&self, body: &[u8]) -> Value {
        if body.is_empty() {
            return Value::Null;
        }
        if let Ok(json) = serde_json::from_slice::<Value>(body)
            && (json.is_object() || json.is_array())
        {
            let hidden = self.json(json, DEEP);
            if body.len() <= SHOWN {
                return hidden;
            }
            return Value::from(cut(&hidden.to_string()));
        }
        match std::str::from_utf8(body) {
            Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) => {
                Value::from(cut(&self.text(text, DEEP)))
            }
            _ if self.0.iter().any(|s| contains(body, s.as_bytes())) => Value::from(HIDDEN),
            _ => {
                let shown = &body[..body.len().min(SHOWN / 2)];
                let hex: String = shown.iter().map(|b| format!("{b:02x}")).collect();
                Value::from(format!("hex {hex}{}", if shown.len() < body.len() { "..." } else { "" }))
            }
        }
    }

    fn json(&self, value: Value, deep: usize) -> Value {
        match value {
            Value::Object(map) => {
                let one = |(name, value): (String, Value)| {
                    let value = if is_secret(&name) && !is_nothing(&value) {
                        Value::from(HIDDEN)
                    } else {
                        self.json(value, deep)
                    };
                    // Whoever puts a secret where a name belongs shall not have it shown either.
                    (self.known(&name), value)
                };
                Value::Object(map.into_iter().map(one).collect())
            }
            Value::Array(all) => Value::Array(all.into_iter().map(|v| self.json(v, deep)).collect()),
            Value::String(text) => Value::String(self.text(&text, deep)),
            other => other,
        }
    }

    /// A text, which may be JSON itself.
    fn text(&self, text: &str, deep: usize) -> String {
        if deep > 0
            && text.trim_start().starts_with(['{', '['])
            && let Ok(inner) = serde_json::from_str::<Value>(text)
        {
            return self.json(inner, deep - 1).to_string();
        }
        self.known(text)
    }

    /// Without the secrets that we know.
    fn known(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), HIDDEN) } else { text }
        })
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|w| w == part)
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(_)) || value.as_str().is_some_and(str::is_empty)
}

fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    !OPEN.contains(&plain.as_str()) && SECRET.iter().any(|part| plain.contains(part))
}

fn cut(text: &str) -> String {
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_hold_secrets_are_hidden_however_they_are_written() {
        let secrets = Secrets::new(Vec::new());
        let body = json!({
            "dps": {"1": true, "24": "000003e803e8"}, "productKey": "keyplug", "localKey": "x", "sec_key": "y",
            "Auth-Key": "z", "token": "EU1", "ssid": "home", "passwd": "p", "pskKey37": "q", "sign": "r",
            "inner": [{"wifi": {"name": "home"}}], "text": "{\"localKey\":\"x\",\"t\":1}", "e": false, "key": null,
        });
        let shown = secrets.hide(body.to_string().as_bytes());
        assert_eq!(
            shown,
            json!({
                "dps": {"1": true, "24": "000003e803e8"}, "productKey": "keyplug", "localKey": HIDDEN, "sec_key": HIDDEN,
                "Auth-Key": HIDDEN, "token": HIDDEN, "ssid": HIDDEN, "passwd": HIDDEN, "pskKey37": HIDDEN, "sign": HIDDEN,
                "inner": [{"wifi": HIDDEN}], "text": "{\"localKey\":\"(hidden)\",\"t\":1}", "e": false, "key": null,
            })
        );
    }

    #[test]
    fn known_secrets_are_hidden_wherever_they_stand() {
        let key = "s3cret\"K#y/&<00";
        let secrets = Secrets::new(vec![key.to_owned(), "ab".to_owned()]);
        let json =
            json!({"dps": {"101": format!("abc {key}!")}, key: 1, "deep": json!({"x": key}).to_string()});
        let text = secrets.hide(json.to_string().as_bytes()).to_string();
        assert!(!text.contains("s3cret") && text.contains("abc (hidden)!"), "{text}");
        assert_eq!(secrets.hide(format!("data {key}").as_bytes()), json!("data (hidden)"));
        let mut binary = vec![0, 1, 2];
        binary.extend_from_slice(key.as_bytes());
        assert_eq!(secrets.hide(&binary), json!(HIDDEN));
        assert_eq!(secrets.hide(&[0, 255]), json!("hex 00ff"));
        assert_eq!(secrets.hide(b""), Value::Null);
        assert_eq!(secrets.hide(b"json obj data unvalid"), json!("json obj data unvalid"));
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let secrets = Secrets::new(Vec::new());
        for body in
            [vec![b'x'; 100_000], vec![0xff; 100_000], json!({"a": "x".repeat(100_000)}).to_string().into()]
        {
            assert!(secrets.hide(&body).to_string().len() < 2 * SHOWN);
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(!secrets.hide(deep.as_bytes()).is_null());
    }
}
