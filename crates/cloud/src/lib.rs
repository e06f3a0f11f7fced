//! The stand-in cloud: what stock firmware looks for when it looks for its vendor. Name service, HTTP gateway, MQTT,
//! DNS and TLS, for generations A, B and C of the firmware (cloud.md 0.3). Nothing here ever calls the vendor.
//!
//! | module | does |
//! |---|---|
//! | [`config`] | addresses, limits, what is told to devices |
//! | [`backend`] | the one trait behind which registrations, keys and timers are kept |
//! | [`book_backend`] | that trait over the book of `landfall-book` |
//! | [`listen`] | sockets: limits for each peer, the first bytes, TLS, then the server that fits |
//! | [`gateway`] | HTTP: name service, actions, firmware images |
//! | [`mqtt`] | the sessions of devices: login, reports, commands, calls over MQTT |
//! | [`people`] | the broker for everybody else's MQTT clients, embedded or external |
//! | [`dns`] | names of the vendor answered with our address; the same as configuration for other servers |
//! | [`handshake`] | how far each device has come, and what it lacks |
//! | [`event`] | what happens, for those who watch |
//! | [`feed`] | the same for the hub, which must know when it missed anything |
//! | [`timezone`] | the owner's time zone as devices understand it |
//! | [`journal`] | reports on disk |
//! | [`control`] | the socket in the data directory by which the command talks to a running cloud |
//!
//! Servers are generic over their stream, and take time from [`clock`]: tests run a virtual day in memory.

pub mod backend;
pub mod book_backend;
pub mod clock;
pub mod config;
pub mod control;
pub mod dns;
pub mod event;
pub mod feed;
pub mod gateway;
pub mod handshake;
pub mod journal;
pub mod limits;
pub mod listen;
pub mod mqtt;
pub mod people;
pub mod server;
pub mod shared;
pub mod tap;
pub mod timezone;

pub use backend::Backend;
pub use config::Config;
pub use event::Event;
pub use server::{Cloud, StartError};
