//! Virtual devices against a scripted cloud on a virtual clock: each rule of stock firmware that a cloud must respect
//! has a test here that fails without it. Nothing here touches a socket; what waits, waits on a paused clock.

#![allow(clippy::unwrap_used)] // Helpers of tests may panic.

mod answers;
mod any_bytes;
mod boots;
mod broker;
mod lan;
mod links;
mod messages;
mod replies;
mod simulation;
mod stand;
mod timers;
mod two_lines;
mod upgrades;
mod world;
