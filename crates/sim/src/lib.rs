//! Virtual devices with stock-firmware behaviour: test double and demo.

pub mod device;
pub mod dice;
pub mod faults;
pub mod journal;
pub mod kind;
pub mod load;
pub mod model;
pub mod news;
pub mod product;
pub mod spec;
