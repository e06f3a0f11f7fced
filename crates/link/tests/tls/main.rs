//! TLS as devices speak it, both ends in memory.

mod common;
mod handshakes;
