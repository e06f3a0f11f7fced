//! Clock, time zone, addresses.

use landfall_proto::gateway::Reply;
use landfall_proto::gateway::name_service::Transport;
use serde_json::{Value, json};

use super::super::places::{PlaceError, Places};
use super::super::refuse;
use super::{Asked, done_or};
use crate::backend::Generation;
use crate::shared::Shared;
use crate::timezone::Rules;

/// How old MQTT commands may be, seconds (cloud.md 4.5).
pub(in crate::gateway) const VALID_TIME: u32 = 1_800;

fn rules(shared: &Shared, now: u64) -> Rules {
    Rules::of(shared.config.time_zone.as_deref(), now)
}

/// `tuya.device.dynamic.config.get`: version 1.0 reads the fields at the top, 2.0 the same under the name of what it
/// asked for.
pub(super) fn dynamic(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let Rules { standard, dst, .. } = rules(shared, now);
    let plain = json!({
        "validTime": VALID_TIME,
        "time": now,
        "config": {"stdTimeZone": standard.to_string(), "dstIntervals": dst},
        "ackId": "0-0",
    });
    let mut result = plain.clone();
    if asked.version.is_some_and(|v| v.starts_with('2')) || asked.body.get("type").is_some() {
        result["timezone"] = plain;
    }
    done_or(now, &result)
}

/// The gateway's path for a device.
fn path(asked: &Asked<'_>) -> &'static str {
    match asked.device.generation {
        Some(Generation::A | Generation::B) => "/gw.json",
        _ => "/d.json",
    }
}

/// The result, or none and a word to the owner when there is no address that this device could reach.
fn placed(shared: &Shared, asked: &Asked<'_>, now: u64, result: Result<Value, PlaceError>) -> Reply {
    match result {
        Ok(result) => done_or(now, &result),
        Err(e) => {
            refuse(shared, asked.link, asked.device.id.as_str(), Some(asked.device), e.code(), e.to_string());
            Reply::done(now)
        }
    }
}

/// `tuya.device.region.config.get`: hosts of MQTT without ports, as in the answer to a token.
pub(super) fn region(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let result = || {
        let places = Places::of(shared, asked.link)?;
        let (host, path, rules) = (places.host(), path(asked), rules(shared, now));
        Ok(json!({
            "httpUrl": places.url(Transport::Plain, path)?,
            "httpsUrl": places.url(Transport::Certificate, path)?,
            "httpsPSKUrl": places.url(Transport::Psk, path)?,
            "mqttUrl": host,
            "mqttsUrl": host,
            "mediaMqttUrl": host,
            "mediaMqttsUrl": host,
            "aispeech": host,
            "stdTimeZone": rules.standard.to_string(),
            "dstIntervals": rules.dst,
        }))
    };
    placed(shared, asked, now, result())
}

/// `tuya.device.config.get` of the oldest builds.
pub(super) fn oldest(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let result = || {
        let places = Places::of(shared, asked.link)?;
        Ok(json!({
            "apiUrl": places.url(Transport::Plain, path(asked))?,
            "mqttUrl": places.host(),
            "timeZone": rules(shared, now).now.to_string(),
        }))
    };
    placed(shared, asked, now, result())
}

/// `tuya.device.qrcode.info.get`: an SDK prints this as a code for the vendor's app, which is of no use here; it leads
/// to us.
pub(super) fn qr_code(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let result = || {
        let places = Places::of(shared, asked.link)?;
        Ok(json!({"shortUrl": places.url(Transport::Certificate, "/")?}))
    };
    placed(shared, asked, now, result())
}
