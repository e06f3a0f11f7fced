//! What the scripted cloud says unless a test wants something else.

use serde_json::{Value, json};

use crate::stand::EPOCH;

pub(crate) fn endpoints() -> Value {
    json!({"caArr": null, "httpUrl": {"addr": "http://10.9.8.7/d.json", "ips": ["10.9.8.7"]},
           "mqttUrl": {"addr": "10.9.8.7:1883", "ips": ["10.9.8.7"]}, "ttl": 600})
}

pub(crate) fn secure_endpoints() -> Value {
    json!({"caArr": null, "httpsPSKUrl": {"addr": "https://10.9.8.7/d.json", "ips": []},
           "mqttsPSKUrl": {"addr": "10.9.8.7:8886", "ips": []}, "ttl": 600})
}

pub(crate) fn places() -> Value {
    json!({"gwApiUrl": "http://10.9.8.7/gw.json", "gwMqttUrl": "10.9.8.7", "httpsPSKUrl": "https://10.9.8.7/gw.json",
           "mqttsPSKUrl": "10.9.8.7", "stdTimeZone": "+01:00", "timeZone": "+01:00", "dstIntervals": []})
}

pub(crate) fn config(valid_time: u64) -> Value {
    let inner = json!({"validTime": valid_time, "time": EPOCH, "ackId": "0-0",
                       "config": {"stdTimeZone": "+01:00", "dstIntervals": []}});
    let mut outer = inner.clone();
    outer["timezone"] = inner;
    outer
}

/// The points of the seed's plug.
pub(crate) fn full_schema() -> String {
    let reading = |id: u16, max: u32| {
        json!({"mode": "ro", "type": "obj", "id": id,
               "property": {"type": "value", "min": 0, "max": max, "scale": 0, "step": 1}})
    };
    json!([
        {"mode": "rw", "type": "obj", "id": 1, "property": {"type": "bool"}},
        {"mode": "rw", "type": "obj", "id": 2,
         "property": {"type": "value", "min": 0, "max": 86400, "scale": 0, "step": 1}},
        reading(4, 30_000), reading(5, 50_000), reading(6, 5_000),
    ])
    .to_string()
}
