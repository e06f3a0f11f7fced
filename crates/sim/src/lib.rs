//! Virtual devices with stock-firmware behaviour: test double and demo.
//!
//! | module | does |
//! |---|---|
//! | [`kind`], [`product`] | what is simulated, and the facts about each product as data |
//! | [`model`], [`load`] | how the points of a device behave, and what is plugged in |
//! | [`spec`], [`faults`] | what makes one device different from another |
//! | [`device`] | one device: model and protocol sessions behind two doors, no sockets, no clock |
//! | [`cloud`] | the cloud side of a device: generations A, B and C of stock firmware |
//! | [`journal`], [`news`] | what a device did, for checkers; what happened to it, for watchers |
//! | [`home`] | devices that are simulated together: from a file, built in, generated |
//! | [`server`] | a home on real sockets |
//!
//! A home is described by one TOML file; the built-in one, [`home::DEMO`], explains every key. Of the project's
//! crates this one knows `landfall-proto` alone, so that it shares no driver code with what it tests.

pub mod cloud;
pub mod device;
pub mod dice;
pub mod faults;
pub mod home;
pub mod journal;
pub mod kind;
pub mod load;
pub mod model;
pub mod news;
pub mod product;
pub mod server;
pub mod spec;

pub use home::Home;
pub use server::{Options, SimError, Simulation};
