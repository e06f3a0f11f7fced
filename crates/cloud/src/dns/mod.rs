//! Names of the vendor answered with our address; the same as configuration for other DNS servers; firewall rules.
//!
//! | module | does |
//! |---|---|
//! | [`names`] | the vendor's zones and hosts, from a table |
//! | [`answer`] | one query in, one answer out: pure |
//! | [`clients`] | who is answered, and how often: pure |
//! | [`local`] | under which address a client finds us |
//! | [`seen`] | which client asked for what |
//! | [`forward`] | other names, asked of another server |
//! | [`server`] | the sockets: UDP; TCP is in `tcp` |
//! | [`export`] | the names as configuration of dnsmasq, Pi-hole, AdGuard Home, unbound; a hosts file |
//! | [`firewall`] | rules that keep devices off the internet |

pub mod answer;
pub mod clients;
pub mod export;
pub mod firewall;
pub mod forward;
pub mod local;
pub mod names;
pub mod seen;
pub mod server;
mod tcp;
#[cfg(test)]
mod tests;

pub use seen::Seen;
pub use server::DnsServer;
