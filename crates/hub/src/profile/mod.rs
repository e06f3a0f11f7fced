//! What a data point means: definitions as data, and where each fact came from.

mod definition;
mod source;

pub use definition::{Class, Definition, Metering, Point, Recipe, WriteError};
pub use source::Source;
