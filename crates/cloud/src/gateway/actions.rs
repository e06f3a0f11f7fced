//! The actions of devices and their smallest right answers (cloud.md 2.8), one table for HTTP and for calls over MQTT.
//!
//! | module | subject |
//! |---|---|
//! | `config` | clock, time zone, addresses |
//! | `constants` | what is answered with the same text always, as a table |
//! | `firmware` | questions for firmware, and how installing it goes |
//! | `state` | versions, resets |
//! | `timers` | timers that run in the device |

use std::sync::Arc;

use landfall_proto::gateway::{Action, Reply, Request};
use landfall_proto::json::Raw;
use serde::Serialize;
use serde_json::Value;

use super::Said;
use crate::backend::Registration;
use crate::event::What;
use crate::handshake::Step;
use crate::listen::Link;
use crate::shared::Shared;

mod config;
pub(super) mod constants;
mod firmware;
mod state;
mod timers;

pub(super) use config::VALID_TIME;

/// The call for a piece of a file, which is made over MQTT alone.
pub(crate) const DOWNLOAD: &str = "tuya.device.file.download";

/// A verified call of an activated device.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Who.
    pub device: &'a Arc<Registration>,
    /// Over which connection.
    pub link: &'a Link,
    /// Action.
    pub action: &'a Action,
    /// Its version.
    pub version: Option<&'a str>,
    /// The body's JSON; `null` when there was none.
    pub body: &'a Value,
}

impl Asked<'_> {
    /// A whole number of the body, which some devices write as text.
    fn number(&self, name: &str) -> Option<u64> {
        match self.body.get(name)? {
            Value::Number(n) => n.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// What an action is about, where its answer depends on the device or the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    DynamicConfig,
    RegionConfig,
    OldestConfig,
    QrCode,
    TimerCount,
    TimerList,
    OldestFirmware,
    Firmware,
    FirmwareStatus,
    Versions,
    Reset,
}

impl Subject {
    const OF: &'static [(&'static str, Self)] = &[
        ("tuya.device.dynamic.config.get", Self::DynamicConfig),
        ("tuya.device.region.config.get", Self::RegionConfig),
        ("tuya.device.config.get", Self::OldestConfig),
        ("tuya.device.qrcode.info.get", Self::QrCode),
        ("s.gw.dev.timer.count", Self::TimerCount),
        ("tuya.device.timer.count", Self::TimerCount),
        ("s.gw.dev.timer.get", Self::TimerList),
        ("tuya.device.timer.get", Self::TimerList),
        ("s.gw.upgrade", Self::OldestFirmware),
        ("tuya.device.upgrade.get", Self::Firmware),
        ("tuya.device.upgrade.silent.get", Self::Firmware),
        ("s.gw.upgrade.updatestatus", Self::FirmwareStatus),
        ("tuya.device.upgrade.status.update", Self::FirmwareStatus),
        ("s.gw.update", Self::Versions),
        ("s.gw.dev.update", Self::Versions),
        ("tuya.device.versions.update", Self::Versions),
        ("s.gw.reset", Self::Reset),
        ("tuya.device.reset", Self::Reset),
    ];

    fn of(action: &str) -> Option<Self> {
        Self::OF.iter().find(|(name, _)| *name == action).map(|(_, subject)| *subject)
    }

    /// The step of a device's life that it is.
    const fn step(self) -> Option<Step> {
        match self {
            Self::DynamicConfig | Self::RegionConfig | Self::OldestConfig => Some(Step::Configured),
            Self::TimerCount | Self::TimerList => Some(Step::Timers),
            Self::OldestFirmware | Self::Firmware => Some(Step::Firmware),
            Self::QrCode | Self::FirmwareStatus | Self::Versions | Self::Reset => None,
        }
    }

    fn answer(self, shared: &Shared, asked: &Asked<'_>, now: u64) -> Reply {
        match self {
            Self::DynamicConfig => config::dynamic(shared, asked, now),
            Self::RegionConfig => config::region(shared, asked, now),
            Self::OldestConfig => config::oldest(shared, asked, now),
            Self::QrCode => config::qr_code(shared, asked, now),
            Self::TimerCount => timers::count(shared, asked, now),
            Self::TimerList => timers::list(shared, asked, now),
            Self::OldestFirmware => firmware::oldest(shared, asked, now),
            Self::Firmware => firmware::question(shared, asked, now),
            Self::FirmwareStatus => firmware::status(shared, asked, now),
            Self::Versions => state::versions(shared, asked, now),
            Self::Reset => state::reset(shared, asked, now),
        }
    }
}

/// Whether we know what an action is about.
pub(super) fn is_known(action: &str) -> bool {
    Subject::of(action).is_some() || constants::constant(action).is_some() || action == DOWNLOAD
}

/// Answers a call: counts it, marks the handshake step it is, tells those who watch, and says what to reply. Unknown
/// actions are answered politely (`success:true` without a result), counted and logged at INFO.
pub fn answer(shared: &Shared, asked: &Asked<'_>) -> Reply {
    let now = shared.clock.unix();
    heard(shared, asked.link, asked.device, asked.action, asked.version);
    let action = asked.action.as_str();
    match Subject::of(action) {
        Some(subject) => subject.answer(shared, asked, now),
        None => constants::answer(action, now).unwrap_or(Reply::done(now)),
    }
}

/// A call of a known device whose key we don't know: it changes nothing, but the owner sees that it was made.
pub(super) fn heard_unproven(shared: &Shared, link: &Link, device: &Registration, request: &Request) {
    heard(shared, link, device, &request.action, request.version.as_deref());
}

/// Counts a call, marks the step that it is, and tells those who watch.
fn heard(shared: &Shared, link: &Link, device: &Registration, action: &Action, version: Option<&str>) {
    let who = device.id.as_str();
    let subject = Subject::of(action.as_str());
    let known = is_known(action.as_str());
    shared.handshakes.question(who, action.as_str());
    if let Some(step) = subject.and_then(Subject::step) {
        super::step(shared, link, who, step);
    }
    if !known && shared.gateway.first(Said::Action, who, action.as_str()) {
        tracing::info!(
            device = who, %action, version,
            "unknown action, answered with success and nothing else; please report it"
        );
    }
    let what = What::Question { action: action.to_string(), version: version.map(str::to_owned), known };
    shared.tell(Some(device), Some(link.peer), what);
}

/// Success with a result; without one if it can't be written, which none of ours causes.
pub(super) fn done_or(now: u64, result: &impl Serialize) -> Reply {
    Raw::of(result).map_or_else(|_| Reply::done(now), |raw| Reply::success(now, raw))
}
