//! One entry of a device file.

use landfall_proto::id::{AuthKey, DeviceId, LocalKey, PskKey, SecKey};
use serde_json::{Map, Value};

use super::fields::{self, FieldFault};
use super::{Fault, Place};
use crate::device::{Device, PastKey, checked_name};
use crate::mapping::{Mapping, json_type};

/// A device as a file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// What is said. The name is the id where the file has none.
    pub device: Device,
    /// Whether the file names it.
    pub named: bool,
    /// Whether the file says that the device sleeps, or that it doesn't.
    pub sleeper: Option<bool>,
    /// Whether the file chooses device22 queries, or not.
    pub device22: Option<bool>,
}

impl Entry {
    /// The device as the file has it.
    pub fn into_device(self) -> Device {
        self.device
    }
}

/// Values of a snapshot that are state, not identity.
const STATE: [&str; 3] = ["dps", "data", "origin"];
/// Where Landfall's own fields stand in a devices.json.
pub(crate) const OWN: &str = "landfall";

type EntryFault = (Box<Place>, &'static str, Fault);

/// Reads one entry, and the sub-devices inside it, into `entries`.
pub(super) fn read(value: Value, number: usize, entries: &mut Vec<Entry>) -> Result<(), EntryFault> {
    let mut place = Place { number, ..Place::default() };
    let Value::Object(mut map) = value else {
        let fault = Fault::Type { want: "an object", have: json_type(&value) };
        return Err((Box::new(place), "", fault));
    };
    let children = map.remove("subDevices");
    place.describe(&map);
    let entry = one(map, place.clone()).map_err(|(field, fault)| (Box::new(place.clone()), field, fault))?;
    let gateway = entry.device.id.clone();
    entries.push(entry);
    let children = match children {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(other) => {
            let fault = Fault::Type { want: "a list", have: json_type(&other) };
            return Err((Box::new(place), "subDevices", fault));
        }
    };
    for (i, child) in children.into_iter().enumerate() {
        let mut place = Place { number, sub: Some(i + 1), ..Place::default() };
        let Value::Object(map) = child else {
            let fault = Fault::Type { want: "an object", have: json_type(&child) };
            return Err((Box::new(place), "", fault));
        };
        place.describe(&map);
        let fail = |field, fault| (Box::new(place.clone()), field, fault);
        let mut child = one(map, place.clone()).map_err(|(field, fault)| fail(field, fault))?;
        if child.device.cid.is_none() {
            return Err(fail("cid", Fault::Missing));
        }
        child.device.parent = Some(gateway.clone());
        entries.push(child);
    }
    Ok(())
}

impl Place {
    fn describe(&mut self, map: &Map<String, Value>) {
        // Bounded, and without control characters: this goes to a terminal.
        let clean = |v: &Value| {
            let t: String = v.as_str()?.chars().filter(|c| !c.is_control()).take(64).collect();
            (!t.is_empty()).then_some(t)
        };
        self.id = ID.iter().find_map(|n| map.get(*n)).and_then(clean);
        self.name = map.get("name").and_then(clean);
    }
}

const ID: [&str; 5] = ["id", "gwId", "devId", "device_id", "dev_id"];

fn one(mut map: Map<String, Value>, place: Place) -> Result<Entry, FieldFault> {
    let m = &mut map;
    for state in STATE {
        m.remove(state);
    }
    let id: DeviceId = fields::id(m, &ID)?.ok_or(("id", Fault::Missing))?;
    // tuya-cloudcutter knows what it cut by its device's page only.
    let name = match fields::text(m, &["name", "device_slug"])? {
        Some((field, t)) => Some(checked_name(&t).map_err(|e| (field, e.into()))?),
        None => None,
    };
    let mut d = Device::new(id.clone(), name.clone().unwrap_or_else(|| id.to_string()));
    d.key = fields::key(m, &["key", "local_key", "localKey"])?;
    d.uuid = fields::id(m, &["uuid"])?;
    d.cloud.auth_key = fields::secret(m, &["auth_key", "authKey"], AuthKey::new)?;
    d.cloud.sec_key = fields::secret(m, &["sec_key", "secKey"], SecKey::new)?;
    d.cloud.psk_key = fields::secret(m, &["psk_key", "pskKey", "psk"], PskKey::new)?;
    d.product_id = fields::id(m, &["product_id", "productKey", "productId"])?;
    d.product_name = fields::text(m, &["product_name"])?.map(|(_, t)| t);
    d.category = fields::text(m, &["category"])?.map(|(_, t)| t);
    d.version = fields::version(m, &["version", "ver", "protocol_version"])?;
    d.mac = fields::text(m, &["mac"])?.map(|(_, t)| t);
    d.cid = fields::id(m, &["node_id", "cid", "nodeId"])?;
    d.parent = fields::id(m, &["parent", "gateway_id", "parent_id"])?;
    if d.parent.as_ref() == Some(&d.id) {
        // Some tools write a gateway as its own parent; with a node id it would be a contradiction.
        if d.cid.is_some() {
            return Err(("parent", Fault::OwnParent));
        }
        d.parent = None;
    }
    let port = fields::port(m, &["port"])?;
    if let Some((ip, behind)) = fields::address(m, &["last_ip", "ip", "host"])? {
        d.address = Some(ip);
        d.port = behind;
    }
    d.port = port.or(d.port).filter(|p| *p != landfall_proto::lan::TCP_PORT);
    if let Some((field, v)) = fields::take(m, &["mapping"]) {
        // An empty one is what tinytuya writes when the cloud knew nothing.
        if v.as_object().is_none_or(|o| !o.is_empty()) {
            d.mapping = Some(Mapping::new(v).map_err(|e| (field, e.into()))?);
        }
    }
    let mut entry = Entry { place, device: d, named: name.is_some(), sleeper: None, device22: None };
    match m.remove(OWN) {
        None | Some(Value::Null) => {}
        Some(Value::Object(own)) => own_fields(own, &mut entry)?,
        Some(other) => {
            return Err((OWN, Fault::Type { want: "an object", have: json_type(&other) }));
        }
    }
    // `sub` says again what `cid` says.
    m.remove("sub");
    entry.device.extra = map;
    Ok(entry)
}

/// What our own export added.
fn own_fields(mut own: Map<String, Value>, entry: &mut Entry) -> Result<(), FieldFault> {
    let d = &mut entry.device;
    entry.sleeper = fields::flag(&mut own, &["sleeper"])?;
    entry.device22 = fields::flag(&mut own, &["device22"])?;
    d.sleeper = entry.sleeper.unwrap_or(false);
    d.device22 = entry.device22.unwrap_or(false);
    if let Some((_, v)) = fields::take(&mut own, &["aliases"]) {
        let wrong = |have| ("aliases", Fault::Type { want: "a list of ids", have });
        let Value::Array(list) = v else { return Err(wrong(json_type(&v))) };
        for v in list {
            let Value::String(t) = v else { return Err(wrong(json_type(&v))) };
            d.aliases.push(DeviceId::new(t).map_err(|e| ("aliases", e.into()))?);
        }
    }
    if let Some((_, v)) = fields::take(&mut own, &["key_history"]) {
        let wrong = |have| ("key_history", Fault::Type { want: "a list of keys with times", have });
        let Value::Array(list) = v else { return Err(wrong(json_type(&v))) };
        for v in list {
            let (Some(key), Some(replaced)) =
                (v.get("key").and_then(Value::as_str), v.get("replaced").and_then(Value::as_u64))
            else {
                return Err(wrong(json_type(&v)));
            };
            let key = LocalKey::new(key).map_err(|e| ("key_history", e.into()))?;
            let sec = v.get("sec").and_then(Value::as_str).map(SecKey::new).transpose();
            let sec = sec.map_err(|e| ("key_history", e.into()))?;
            d.key_history.push(PastKey { key, sec, replaced });
        }
    }
    Ok(())
}
