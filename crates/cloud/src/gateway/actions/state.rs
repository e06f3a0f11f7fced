//! Versions and resets.

use landfall_proto::gateway::Reply;
use landfall_proto::mqtt::Envelope;
use serde_json::Value;

use super::{Asked, done_or};
use crate::backend::Announcement;
use crate::event::What;
use crate::shared::Shared;

/// Longest firmware version that is kept; real ones have up to ten characters.
const MAX_VERSION: usize = 32;

/// `s.gw.update` with its fields at the top, `versions.update` with a text that holds a list, of which channel 0 is the
/// main firmware. What is said of envelope and version is kept.
pub(super) fn versions(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    let listed = asked.body.get("versions").and_then(Value::as_str).and_then(main_channel);
    let of = listed.as_ref().unwrap_or(asked.body);
    let text = |names: [&str; 2]| names.into_iter().find_map(|n| of.get(n)?.as_str());
    let plain = |v: &&str| v.len() <= MAX_VERSION && v.chars().all(|c| c.is_ascii_graphic());
    let news = Announcement {
        envelope: text(["protocolVer", "pv"]).and_then(Envelope::named),
        generation: None,
        software: text(["softVer", "verSw"]).filter(plain).map(str::to_owned),
    };
    if news != Announcement::default() {
        shared.backend.announce(&asked.device.id, news);
    }
    if asked.action.as_str() == "tuya.device.versions.update" {
        done_or(now, &true)
    } else {
        Reply::done(now)
    }
}

fn main_channel(versions: &str) -> Option<Value> {
    let list: Vec<Value> = serde_json::from_str(versions).ok()?;
    let channel = |v: &Value| v.get("otaChannel").or_else(|| v.get("type")).and_then(Value::as_u64);
    list.into_iter().find(|v| channel(v).unwrap_or(0) == 0)
}

/// `s.gw.reset`, `tuya.device.reset`: somebody held the button, or this is an old call sent again by somebody else; the
/// signature covers no fresh number. So it is told, and nothing is forgotten: what the device needs when it comes back
/// is a window for its activation.
pub(super) fn reset(shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
    tracing::info!(device = %asked.device.id, peer = %asked.link.peer, "says that it was reset; nothing is forgotten here");
    shared.tell(Some(asked.device), Some(asked.link.peer), What::Reset);
    Reply::done(now)
}
