//! Tokio drivers that carry landfall-proto over real sockets: the LAN client and the scanner.
//!
//! | module | does |
//! |---|---|
//! | [`link`] | what all devices of a process share: the cap on simultaneous handshakes, entropy, clock |
//! | [`device`] | a handle on one device; one connection, shared by all callers |
//! | [`config`] | what a device handle must know |
//! | [`outcome`] | how a command ended |
//! | [`state`] | how the connection to a device stands, and why it failed |
//! | [`news`] | what subscribers hear |
//! | [`entropy`] | random bytes from the operating system |
//! | [`scan`] | who is there |
//! | [`detect`] | which version a device speaks |
//! | [`diagnose`] | what is wrong with a device |
//! | [`tap`] | a look at the frames of all connections |
//! | [`tls`] | TLS with pre-shared keys or certificates, as devices speak it |
//!
//! ```no_run
//! use landfall_link::{DeviceConfig, Link, LinkConfig, SetOptions};
//! use landfall_proto::dp::{DpId, DpValue, Dps};
//! use landfall_proto::id::{DeviceId, LocalKey};
//! use landfall_proto::lan::Version;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let link = Link::new(LinkConfig::default());
//! let mut config = DeviceConfig::new(DeviceId::new("bf0123456789abcdefvx01")?, LocalKey::new("0123456789abcdef")?);
//! config.address = Some("192.168.1.40:6668".parse()?);
//! config.version = Some(Version::V3_5);
//! let device = link.device(config);
//! let dps: Dps = [(DpId(1), DpValue::Bool(true))].into_iter().collect();
//! let outcome = device.set(None, dps, SetOptions::default()).await?;
//! assert!(outcome.is_good(), "{outcome}");
//! device.close().await;
//! # Ok(()) }
//! ```

pub mod config;
pub mod detect;
pub mod device;
pub mod diagnose;
mod driver;
pub mod entropy;
pub mod line;
pub mod link;
pub mod news;
pub mod outcome;
pub mod scan;
pub mod state;
pub mod tap;
pub mod tls;

pub use config::{DeviceConfig, LinkConfig, Refresh};
pub use device::Device;
pub use link::Link;
pub use news::{DeviceNews, Lagged, News, Subscription};
pub use outcome::{CommandError, Outcome, Refusal, SetOptions, Unconfirmed};
pub use state::{ConnectFailure, Failure, State};
pub use tap::Tap;
