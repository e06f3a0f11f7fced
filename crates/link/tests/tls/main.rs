//! TLS as devices speak it, both ends in memory.

#![allow(clippy::unwrap_used)] // helpers of tests stand outside of #[test] functions

mod authority;
mod common;
mod handshakes;
mod hellos;
mod limits;
mod refusals;
mod vectors;
