//! Names of the vendor answered with our address; the same as configuration for other DNS servers; firewall rules.

pub mod export;
pub mod firewall;
pub mod names;
pub mod server;
