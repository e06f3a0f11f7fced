//! The home server: one brain for both lines of every device, its memory, and what it serves.
//!
//! | module | does |
//! |---|---|
//! | [`model`] | the words all parts share: changes, views of devices, outcomes |
//! | [`profile`] | what a data point means: definitions, their sources, imports |
//! | [`core`] | the brain: actions in, effects out; no I/O, no lock, no clock of its own |
//! | [`hub`] | the brain on real lines: LAN connections, the cloud, commands, the book; what API and bridges call |
//! | [`bus`] | changes on their way to store, bridges and page |
//! | [`store`] | history: SQLite or PostgreSQL |
//! | [`api`] | REST, live events, tokens, metrics |
//! | [`bridge`] | MQTT for people |
//! | [`server`] | all of it, started and ended in order |
//! | [`console`] | what devices say, decoded and without secrets |
//! | [`settings`] | the settings: file, variables, options |
//! | [`client`] | the command line's way to a running hub |

pub mod api;
pub mod bridge;
pub mod bus;
pub mod client;
pub mod console;
pub mod core;
pub mod hub;
pub mod model;
pub mod profile;
pub mod server;
pub mod settings;
pub mod store;
#[cfg(test)]
pub mod testing;

pub use bus::Bus;
pub use hub::Hub;
pub use server::Server;
