//! Settings from a file, the environment and options; and what is wrong with them, in words.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{DEFAULT, MqttBroker, MqttDiscovery, PageTls, Settings, StoreKind};

/// Largest file that is read, in bytes.
const MOST: u64 = 1 << 20;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("can't read the settings {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}: line {line}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting {key:?}")]
    Unknown {
        /// Who named it.
        origin: String,
        /// The key, dotted.
        key: String,
        /// The nearest there is.
        near: Option<String>,
    },
    /// A value won't do.
    #[error("{origin}: {message}")]
    Value {
        /// Who gave it, with the key.
        origin: String,
        /// Why.
        message: String,
    },
}

/// Reads the settings: `file` if one is given, then variables, then options.
///
/// `variables`: names and values of the environment; those that start with `LANDFALL_` and name a section and a key count.
/// `options`: `SECTION.KEY=VALUE`. Values are TOML, or else taken as text.
///
/// # Errors
/// The file can't be read or is no TOML; a key is unknown; a value won't do.
pub fn read(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    options: &[String],
) -> Result<Settings, SettingsError> {
    let known = known();
    let mut table = match file {
        Some(path) => from_file(path, &known)?,
        None => Table::new(),
    };
    let mut origins: Vec<(String, String)> = Vec::new();
    for (name, value) in variables {
        if let Some((section, key)) = of_variable(&known, &name) {
            origins.push((format!("{section}.{key}"), format!("the variable {name}")));
            put(&mut table, &section, &key, value_of(&known, &section, &key, &value));
        }
    }
    for option in options {
        let origin = format!("--set {option}");
        let wrong = || SettingsError::Value {
            origin: origin.clone(),
            message: "SECTION.KEY=VALUE is wanted, such as page.listen=127.0.0.1:8099".to_owned(),
        };
        let (path, value) = option.split_once('=').ok_or_else(wrong)?;
        let (section, key) = path.trim().split_once('.').ok_or_else(wrong)?;
        check_key(&known, &origin, section, key)?;
        origins.push((format!("{section}.{key}"), origin));
        put(&mut table, section, key, value_of(&known, section, key, value));
    }
    let settings = typed(&table, |key| {
        let named = origins.iter().rev().find(|(k, _)| k == key).map(|(_, origin)| origin.clone());
        named.unwrap_or_else(|| match file {
            Some(file) => format!("{}: {key}", file.display()),
            None => key.to_owned(),
        })
    })?;
    check(&settings)?;
    Ok(settings)
}

/// Every section and key there is, with its default.
fn known() -> Table {
    // A test reads this text; were it wrong, every setting would be unknown and said to be.
    DEFAULT.parse().unwrap_or_default()
}

fn from_file(path: &Path, known: &Table) -> Result<Table, SettingsError> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(MOST).read_to_string(&mut text))
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    let table: Table = text.parse().map_err(|e: toml::de::Error| SettingsError::Syntax {
        path: path.to_owned(),
        line: e.span().map_or(1, |s| text.get(..s.start).map_or(1, |t| t.matches('\n').count() + 1)),
        message: e.message().to_owned(),
    })?;
    let origin = path.display().to_string();
    for (section, inside) in &table {
        let Some(keys) = inside.as_table() else {
            return Err(unknown(&origin, section, known.keys().map(|s| format!("[{s}]")).collect()));
        };
        if !known.contains_key(section) {
            return Err(unknown(&origin, section, known.keys().cloned().collect()));
        }
        for key in keys.keys() {
            check_key(known, &origin, section, key)?;
        }
    }
    Ok(table)
}

fn keys<'a>(known: &'a Table, section: &str) -> impl Iterator<Item = &'a String> {
    known.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys)
}

fn check_key(known: &Table, origin: &str, section: &str, key: &str) -> Result<(), SettingsError> {
    if keys(known, section).any(|k| k == key) {
        return Ok(());
    }
    let all = known.keys().flat_map(|s| keys(known, s).map(move |k| format!("{s}.{k}"))).collect();
    Err(unknown(origin, &format!("{section}.{key}"), all))
}

fn unknown(origin: &str, key: &str, all: Vec<String>) -> SettingsError {
    let near = all
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&k, key), k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.7)
        .map(|(_, k)| k);
    SettingsError::Unknown { origin: origin.to_owned(), key: key.to_owned(), near }
}

/// `LANDFALL_PAGE_BEHIND_PROXY` is `page.behind_proxy`. Variables for other purposes name no key.
fn of_variable(known: &Table, name: &str) -> Option<(String, String)> {
    let rest = name.strip_prefix("LANDFALL_")?.to_lowercase();
    let (section, key) = rest.split_once('_')?;
    keys(known, section).find(|k| *k == key).map(|k| (section.to_owned(), k.clone()))
}

/// Text stays text where the default is one; elsewhere it is read as TOML.
fn value_of(known: &Table, section: &str, key: &str, text: &str) -> Value {
    let default = known.get(section).and_then(|s| s.get(key));
    let text = text.trim();
    if matches!(default, Some(Value::String(_))) {
        return Value::String(text.trim_matches('"').to_owned());
    }
    let parsed = format!("v={text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    match (parsed, default) {
        (Some(value), _) => value,
        // A list may be given without brackets.
        (None, Some(Value::Array(_))) => {
            Value::Array(text.split(',').map(|t| Value::String(t.trim().to_owned())).collect())
        }
        (None, _) => Value::String(text.to_owned()),
    }
}

fn put(table: &mut Table, section: &str, key: &str, value: Value) {
    let inside = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Some(inside) = inside.as_table_mut() {
        inside.insert(key.to_owned(), value);
    }
}

/// Each value alone, so that an error names its key.
fn typed(table: &Table, origin: impl Fn(&str) -> String) -> Result<Settings, SettingsError> {
    for (section, inside) in table {
        for (key, value) in inside.as_table().into_iter().flatten() {
            let mut alone = Table::new();
            put(&mut alone, section, key, value.clone());
            if let Err(e) = alone.try_into::<Settings>() {
                let message = e.message().to_owned();
                return Err(SettingsError::Value { origin: origin(&format!("{section}.{key}")), message });
            }
        }
    }
    table.clone().try_into().map_err(|e: toml::de::Error| SettingsError::Value {
        origin: "the settings".to_owned(),
        message: e.message().to_owned(),
    })
}

/// What single values can't show.
fn check(s: &Settings) -> Result<(), SettingsError> {
    let wrong = |key: &str, message: &str| {
        Err(SettingsError::Value { origin: key.to_owned(), message: message.to_owned() })
    };
    if !s.home.time_zone.is_empty() && jiff::tz::TimeZone::get(&s.home.time_zone).is_err() {
        return wrong(
            "home.time_zone",
            &format!("{:?} is no time zone; Europe/Berlin is one", s.home.time_zone),
        );
    }
    if !s.home.price.is_finite() || !(0.0..=1_000_000.0).contains(&s.home.price) {
        return wrong("home.price", "a price is 0 or more");
    }
    if s.page.tls == PageTls::Files
        && (s.page.certificate_file.as_os_str().is_empty() || s.page.key_file.as_os_str().is_empty())
    {
        return wrong("page.tls", "\"files\" needs page.certificate_file and page.key_file");
    }
    if s.store.kind == StoreKind::Postgresql && s.store.host.is_empty() {
        return wrong("store.host", "PostgreSQL needs a host");
    }
    if s.store.raw_days == 0 {
        return wrong("store.raw_days", "at least 1 day is kept");
    }
    if s.mqtt.broker != MqttBroker::Off {
        let base = &s.mqtt.base;
        let bad = |c: char| c == '+' || c == '#' || c.is_control() || c.is_whitespace();
        if base.is_empty() || base.starts_with(['$', '/']) || base.ends_with('/') || base.contains(bad) {
            return wrong(
                "mqtt.base",
                "the first level of topics is a word without + # blanks, nor $ or / at its ends",
            );
        }
        if s.mqtt.discovery != MqttDiscovery::Off {
            crate::bridge::discovery::check_prefix(&s.mqtt.discovery_prefix, base)
                .or_else(|e| wrong("mqtt.discovery_prefix", &e.to_string()))?;
        }
    }
    if s.mqtt.broker == MqttBroker::External && s.mqtt.host.is_empty() {
        return wrong("mqtt.host", "an external broker needs a host");
    }
    if !s.cloud.dns_forward.is_empty() && s.cloud.forward().is_none() {
        return wrong(
            "cloud.dns_forward",
            &format!("{:?} is no address of a DNS server; 9.9.9.9 is one", s.cloud.dns_forward),
        );
    }
    Ok(())
}

impl super::CloudSettings {
    /// Who is asked for other names.
    pub fn forward(&self) -> Option<std::net::SocketAddr> {
        let text = &self.dns_forward;
        text.parse().ok().or_else(|| Some(std::net::SocketAddr::new(text.parse().ok()?, 53)))
    }
}
