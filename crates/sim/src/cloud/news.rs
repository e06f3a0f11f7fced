//! What happens on the cloud side of a device, for people and scripts that watch.

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId};
use serde::Serialize;

/// Something that happened between a device and its cloud.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum CloudNews {
    /// A call was answered.
    Answered {
        /// The action, or what else was asked: `url_config`, `firmware`.
        action: &'static str,
    },
    /// A call failed.
    CallFailed {
        /// The action.
        action: &'static str,
        /// In words.
        why: String,
    },
    /// MQTT is up: subscribed to its commands.
    Online,
    /// MQTT is down, or did not come up.
    Offline {
        /// In words.
        why: String,
    },
    /// It has an owner now.
    Activated {
        /// Its id.
        id: DeviceId,
    },
    /// It has no owner any more.
    Forgot {
        /// In words.
        why: String,
    },
    /// A command was carried out.
    Applied {
        /// Sub-device.
        #[serde(skip_serializing_if = "Option::is_none")]
        cid: Option<Cid>,
        /// The values.
        dps: Dps,
    },
    /// A value of a command was skipped without telling.
    Skipped {
        /// The point.
        #[serde(serialize_with = "dp_number")]
        dp: DpId,
        /// The value.
        value: DpValue,
        /// In words.
        why: String,
    },
    /// A message was dropped without telling.
    Dropped {
        /// In words.
        why: String,
    },
    /// Its timers are others now.
    Timers {
        /// How many.
        count: usize,
    },
    /// A timer ran.
    TimerRan {
        /// The cloud's number for it.
        id: String,
    },
    /// A firmware update took a step.
    Upgrade {
        /// 2 downloads, 3 installed, 4 failed (cloud.md 5.1).
        status: u8,
        /// In words, of a failure.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A sleeper woke.
    Awake,
    /// A sleeper sleeps.
    Asleep,
}

fn dp_number<S: serde::Serializer>(dp: &DpId, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u16(dp.0)
}
