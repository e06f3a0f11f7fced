//! Names of the vendor answered with our address; the same as configuration for other DNS servers; firewall rules.
//!
//! | module | does |
//! |---|---|
//! | [`names`] | the vendor's zones and hosts, from a table |
//! | [`seen`] | which client asked for what |
//! | [`server`] | the sockets |
//! | [`export`] | the names as configuration of dnsmasq, Pi-hole, AdGuard Home, unbound; a hosts file |
//! | [`firewall`] | rules that keep devices off the internet |

pub mod export;
pub mod firewall;
pub mod names;
pub mod seen;
pub mod server;

pub use seen::Seen;
pub use server::DnsServer;
