//! What everybody hears whose signature is wrong or can't be checked: constants, which reveal nothing and remove no
//! device.
//!
//! | action | answer | why |
//! |---|---|---|
//! | `tuya.device.info.sync` | `{"status":"enable"}` | anything else and an SDK loses more than it must (cloud.md 1.7) |
//! | `tuya.device.delete.status.get` | `{"status":0}` | 0 is "normal"; read as a number this is 0 as well |
//! | `s.gw.exist` | `true` | the device exists |
//! | `tuya.device.uuid.pskkey.get` | `{"pskKey":""}` | the device stays with PSK type 1 |
//! | `tuya.device.dynamic.config.get` | the time, and an empty configuration | what was captured as accepted; no time zone for strangers |
//! | timers | success without a result | a wrong `lastFetchTime` would erase the device's timers (cloud.md 6.3), and theirs is in a body that we can't read |
//! | firmware | success without a result | "no update" |
//! | all others | as the table of constants, else success without a result | |
//!
//! Activations are not answered so but with 503 ([`super::answer::Answer::not_now`]); an error code of cloud.md 2.7 is
//! never sent.

use landfall_proto::gateway::Reply;
use serde_json::json;

use super::actions::{VALID_TIME, constants, done_or};

/// The answer to a call that proves nothing.
pub(super) fn answer(action: &str, now: u64) -> Reply {
    if action == "tuya.device.dynamic.config.get" {
        // Both versions in one: 2.0 reads it under the name of what it asked for.
        let plain = json!({"validTime": VALID_TIME, "time": now, "config": {}});
        let mut result = plain.clone();
        result["timezone"] = plain;
        return done_or(now, &result);
    }
    constants::answer(action, now).unwrap_or(Reply::done(now))
}
