//! Tokio drivers that carry landfall-proto over real sockets: LAN client, scanner.
