//! The HTTP side of the cloud, spoken to in raw bytes.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod names;
