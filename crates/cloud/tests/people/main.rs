//! The brokers for people's clients, over loopback sockets, with rumqttc as the client.

#![allow(clippy::unwrap_used)] // helpers of tests stand outside of #[test] functions

mod client;
mod embedded;
mod external;
mod fake_broker;
mod front;
mod own;
