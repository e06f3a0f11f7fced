//! `devices.json` as tinytuya writes it, so that other programs can be pointed at the virtual home.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use landfall_proto::lan::TCP_PORT;
use serde_json::{Map, Value, json};

use super::DeviceInfo;

/// Why `devices.json` was not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The path names no file.
    #[error("{} names no file", .0.display())]
    NoName(PathBuf),
    /// The system refused.
    #[error("can't write {}", .file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// A list of entries with name, id, key, ip (and port when it is not 6668), version, product and mapping. Sleepers
/// and sub-devices have no ip; sub-devices have `node_id` and `parent`, and the key of their gateway.
pub(super) fn devices_json(devices: &[DeviceInfo]) -> Value {
    Value::Array(devices.iter().map(entry).collect())
}

fn entry(device: &DeviceInfo) -> Value {
    let product = device.product();
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    put("name", json!(device.name));
    put("id", json!(device.id));
    put("key", json!(device.key.expose_str()));
    put("category", json!(product.category));
    put("product_id", json!(product.id));
    put("product_name", json!(product.name));
    put("sub", json!(device.parent.is_some()));
    if let Some((parent, cid)) = &device.parent {
        put("node_id", json!(cid));
        put("parent", json!(parent));
    }
    put("mapping", product.mapping());
    if let Some(address) = device.address {
        put("ip", json!(address.ip()));
        if address.port() != TCP_PORT {
            put("port", json!(address.port()));
        }
    }
    put("version", json!(device.version));
    Value::Object(entry)
}

/// Writes by rename, readable by the owner only.
pub(super) fn write(file: &Path, value: &Value) -> Result<(), FileError> {
    let name = file.file_name().ok_or_else(|| FileError::NoName(file.to_owned()))?;
    let mut part = name.to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = file.with_file_name(part);
    let written = write_part(&part, value).and_then(|()| fs::rename(&part, file));
    written.map_err(|source| {
        // Whatever went wrong, no half-written keys stay behind; that there may be nothing to remove is fine.
        let _nothing_there = fs::remove_file(&part);
        FileError::Write { file: file.to_owned(), source }
    })
}

fn write_part(part: &Path, value: &Value) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut out = options.open(part)?;
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use landfall_proto::id::{Cid, DeviceId, LocalKey};
    use landfall_proto::lan::Version;

    fn info(address: Option<&str>, parent: bool) -> DeviceInfo {
        let id = |t: &str| DeviceId::new(t).unwrap();
        DeviceInfo {
            id: id("bf0123456789abcdefvx01"),
            name: "Fridge".to_owned(),
            version: Version::V3_4,
            kind: Kind::Plug,
            address: address.map(|a| a.parse().unwrap()),
            key: LocalKey::new("Kx7$v9Qm2#Lp4&Rz").unwrap(),
            parent: parent.then(|| (id("bfgateway"), Cid::new("a4c1380000000001").unwrap())),
            cloud: None,
        }
    }

    #[test]
    fn entries_have_tinytuyas_form() {
        let json = devices_json(&[
            info(Some("127.66.0.1:6668"), false),
            info(Some("127.0.0.1:40000"), false),
            info(None, true),
        ]);
        assert_eq!(json[0]["ip"], "127.66.0.1");
        assert_eq!(json[0]["version"], "3.4");
        assert_eq!(json[0]["key"], "Kx7$v9Qm2#Lp4&Rz");
        assert_eq!(json[0]["mapping"]["1"]["code"], "switch_1");
        assert!(json[0].get("port").is_none() && json[0].get("node_id").is_none());
        assert_eq!(json[1]["port"], 40_000);
        assert!(json[2].get("ip").is_none());
        assert_eq!(
            (&json[2]["node_id"], &json[2]["parent"]),
            (&json!("a4c1380000000001"), &json!("bfgateway"))
        );
    }

    #[test]
    fn the_file_is_replaced_whole_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("devices.json");
        fs::write(&file, "old").unwrap();
        write(&file, &json!([1])).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "[\n  1\n]\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write(&dir.path().join("nowhere/devices.json"), &json!([])).unwrap_err();
        assert!(error.to_string().contains("nowhere/devices.json"));
        assert!(matches!(write(Path::new(".."), &json!([])), Err(FileError::NoName(_))));
    }
}
