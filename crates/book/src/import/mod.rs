//! Other tools' device files in (field.md 4.7): tinytuya's devices.json (a list, or `{"devices":[..]}`), its
//! snapshot.json, the list that tuya-cli's wizard prints (`[{name,id,key,subDevices:[{name,id,cid}]}]`), and
//! tuya-cloudcutter's `configured-devices/*.deviceconfig`, one object with all keys of a device that it cut.
//!
//! A file is read whole or not at all. An error names file, entry and field, never a value of a key field.

mod entry;
mod fields;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use landfall_proto::id::{CloudKeyError, DeviceId, IdError, KeyError};
use landfall_proto::lan::version::VersionError;
use serde_json::Value;

use crate::device::{Device, NameError};
use crate::mapping::{MappingError, json_type};
use crate::store::read_bounded;

pub use entry::Entry;
pub(crate) use entry::OWN;

/// Files of 10,000 devices with icons and mappings stay below this many bytes.
const MAX_FILE: u64 = 64 << 20;
/// More entries than any home has.
const MAX_ENTRIES: usize = 20_000;

/// Why a file could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system said no.
    #[error("can't read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No list of devices has this size.
    #[error("{} has {size} bytes, more than {MAX_FILE}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// Not JSON.
    #[error("{} is not JSON: line {line}, column {column}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// Where, counted from 1.
        column: usize,
        /// What the parser missed.
        source: serde_json::Error,
    },
    /// JSON, but no list of devices.
    #[error("{} holds {have}, not a list of devices", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it holds.
        have: &'static str,
    },
    /// More entries than any home has.
    #[error("{} lists {count} devices, more than {MAX_ENTRIES}", .path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// One entry is wrong.
    #[error("{}: {place}{}", .path.display(), in_field(.field))]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which entry.
        place: Box<Place>,
        /// Which field; empty when it is the entry itself.
        field: &'static str,
        /// What is wrong.
        #[source]
        fault: Box<Fault>,
    },
}

fn in_field(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(", field {field:?}") }
}

/// An entry of a file: its number, and what identifies it to a reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Counted from 1.
    pub number: usize,
    /// For a sub-device of a wizard list: counted from 1 within its gateway.
    pub sub: Option<usize>,
    /// Its id, where readable.
    pub id: Option<String>,
    /// Its name, where readable.
    pub name: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}", self.number)?;
        if let Some(sub) = self.sub {
            write!(f, ", sub-device {sub}")?;
        }
        match (&self.name, &self.id) {
            (Some(n), Some(i)) => write!(f, " ({n:?}, id {i})"),
            (Some(n), None) => write!(f, " ({n:?})"),
            (None, Some(i)) => write!(f, " (id {i})"),
            (None, None) => Ok(()),
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field that must be there.
    #[error("it is missing")]
    Missing,
    /// Another JSON type.
    #[error("it is {have}, not {want}")]
    Type {
        /// What belongs there.
        want: &'static str,
        /// What is there.
        have: &'static str,
    },
    /// Not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not a key of the cloud side.
    #[error(transparent)]
    CloudKey(#[from] CloudKeyError),
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Not an address.
    #[error("{0:?} is no IP address")]
    Address(String),
    /// Not a port.
    #[error("{0} is no port; 1 to 65535 are")]
    Port(String),
    /// Points described wrongly.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The id stands in an earlier entry.
    #[error("the id stands in entry {0} already")]
    Twice(usize),
    /// It is its own gateway.
    #[error("the device is its own gateway")]
    OwnParent,
}

/// Reads a device file of any of the known forms.
///
/// # Errors
/// Unreadable, no such form, or one of its entries is wrong.
pub fn read(path: &Path) -> Result<Vec<Entry>, ImportError> {
    match read_bounded(path, MAX_FILE) {
        Ok(Ok(text)) => parse(&text, path),
        Ok(Err(size)) => Err(ImportError::TooLarge { path: path.to_owned(), size }),
        Err(source) => Err(ImportError::Read { path: path.to_owned(), source }),
    }
}

/// Reads the text of a device file; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &[u8], path: &Path) -> Result<Vec<Entry>, ImportError> {
    // Editors of some systems put a byte order mark in front.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let value: Value = serde_json::from_slice(text).map_err(|source| ImportError::Syntax {
        path: path.to_owned(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    let shape = |have| ImportError::Shape { path: path.to_owned(), have };
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut o) => match o.remove("devices") {
            Some(Value::Array(list)) => list,
            Some(other) => return Err(shape(json_type(&other))),
            // What tuya-cloudcutter keeps of one device that it cut.
            None if o.contains_key("device_id") && o.contains_key("uuid") => vec![Value::Object(o)],
            None => return Err(shape("an object without \"devices\"")),
        },
        other => return Err(shape(json_type(&other))),
    };
    if list.len() > MAX_ENTRIES {
        return Err(ImportError::TooMany { path: path.to_owned(), count: list.len() });
    }
    let mut entries = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        entry::read(value, i + 1, &mut entries).map_err(|(place, field, fault)| ImportError::Entry {
            path: path.to_owned(),
            place,
            field,
            fault: Box::new(fault),
        })?;
    }
    check_ids(&entries, path)?;
    adopt(&mut entries);
    Ok(entries)
}

/// Each id once.
fn check_ids(entries: &[Entry], path: &Path) -> Result<(), ImportError> {
    let mut seen = std::collections::HashMap::new();
    for e in entries {
        if let Some(first) = seen.insert(&e.device.id, e.place.number) {
            return Err(ImportError::Entry {
                path: path.to_owned(),
                place: Box::new(e.place.clone()),
                field: "id",
                fault: Box::new(Fault::Twice(first)),
            });
        }
    }
    Ok(())
}

/// tinytuya's files mark a sub-device without naming its gateway; both have the same local key. Where exactly one
/// device of the file qualifies, it is the gateway.
fn adopt(entries: &mut [Entry]) {
    let gateways: Vec<(DeviceId, Device)> = entries
        .iter()
        .filter(|e| e.device.cid.is_none() && e.device.key.is_some())
        .map(|e| (e.device.id.clone(), e.device.clone()))
        .collect();
    for e in entries.iter_mut().filter(|e| e.device.cid.is_some() && e.device.parent.is_none()) {
        let mut same = gateways.iter().filter(|(_, g)| g.key.is_some() && g.key == e.device.key);
        if let (Some((id, _)), None) = (same.next(), same.next()) {
            e.device.parent = Some(id.clone());
        }
    }
}

#[cfg(test)]
#[path = "../import_tests.rs"]
mod tests;
