//! The LAN protocol, versions 3.1 to 3.5, both roles.
//!
//! | module | does |
//! |---|---|
//! | [`version`] | the five versions as one table of differences |
//! | [`command`] | command numbers |
//! | [`frame`] | a byte stream into raw frames (55AA, 6699) |
//! | [`codec`] | one frame sealed and opened: retcode, source header, cipher, integrity |
//! | [`body`] | JSON bodies: what is asked and reported |
//! | [`negotiation`] | session keys of 3.4 and 3.5 |
//! | [`session`] | a connection seen by the client |
//! | [`device`] | a connection seen by the device |
//! | [`discovery`] | beacons, solicitations and their answers |
//! | [`wifi_config`] | Wi-Fi configuration messages |

pub mod body;
pub mod codec;
pub mod command;
pub mod device;
pub mod discovery;
pub mod frame;
pub mod negotiation;
pub mod session;
pub mod version;
pub mod wifi_config;

pub use command::Command;
pub use version::Version;

/// The TCP port of every device (lan.md 0.2).
pub const TCP_PORT: u16 = 6668;
