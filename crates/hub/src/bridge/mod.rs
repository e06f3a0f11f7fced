//! MQTT for people: zigbee2mqtt's layout of topics over the embedded broker or the owner's.
//!
//! | module | does |
//! |---|---|
//! | [`mqtt`] | [`mqtt::Bridge`]: takes a base topic over, publishes the home, hears commands |
//! | [`transport`] | what a broker must do for us, and nothing of how |
//! | [`embedded`], [`external`] | the broker in this process; the owner's, by rumqttc (nothing else here names it) |
//! | [`topics`] | the topics, there and back |
//! | `names` | names of devices as topics: without wildcards, each once |
//! | `outbox` | what waits for the broker: of each retained topic the last, of the rest a bounded number |
//! | `publisher` | what of the home is published, and when |
//! | `commands` | `set` and `get` |
//! | `requests` | `bridge/request/...` |
//! | [`discovery`] | Home Assistant's MQTT discovery |
//! | `takeover` | one bridge on a base: rivals and leftovers |
//! | `setup` | from the settings to a running bridge: [`start`] |
//!
//! People's topics are named in [`topics`] alone, Home Assistant's in [`discovery`], which `publisher` asks with each change and which
//! publishes through the same outbox.

mod commands;
pub mod discovery;
pub mod embedded;
pub mod external;
pub mod mqtt;
mod names;
mod outbox;
mod publisher;
mod requests;
mod setup;
mod takeover;
#[cfg(test)]
mod tests;
pub mod topics;
pub mod transport;

pub use setup::start;
