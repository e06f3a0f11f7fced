//! The HTTP side of the cloud, spoken to in raw bytes.

#[path = "../common/mod.rs"]
mod common;

mod actions;
mod activation;
mod captured;
mod client;
mod firmware;
mod fuzz;
mod names;
mod proofs;
mod sdk;
mod wire;
