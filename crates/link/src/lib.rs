//! Tokio drivers that carry landfall-proto over real sockets: LAN client, scanner.

pub mod detect;
pub mod diagnose;
pub mod scan;
