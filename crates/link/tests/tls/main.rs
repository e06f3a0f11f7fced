//! TLS as devices speak it, both ends in memory.

mod authority;
mod common;
mod handshakes;
mod hellos;
mod limits;
mod refusals;
mod vectors;
