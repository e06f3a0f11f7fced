//! Virtual devices with stock-firmware behaviour: test double and demo.

pub mod dice;
pub mod kind;
pub mod load;
pub mod model;
pub mod product;
