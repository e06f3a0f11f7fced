//! What a data point means: definitions as data, and where each fact came from.
//!
//! | module | does |
//! |---|---|
//! | [`definition`] | what the points of one device mean |
//! | [`convert`] | attributes by name from points, points from attributes, what can be read and written |
//! | [`attribute`] | attributes that are more than one plain point: lights, covers, infrared... |
//! | [`entity`] | points that belong together, as profiles write them |
//! | [`derive`] | what the codes of points say together |
//! | [`export`] | a definition as a profile that the owner can edit |
//! | [`guess`] | what numbers and types of points say when nothing is known |
//! | [`import`] | what other programs and the vendor write |
//! | [`layer`] | what one source says, and how several become one definition |
//! | [`own`] | the owner's own definition as text, changed in one point |
//! | [`registry`] | all sources: built in, of the owner, of the book |
//! | [`tuya_local`] | a definition as a device file of tuya-local |
//! | [`number`] | exact decimals |
//! | [`names`] | what people call points |

mod attribute;
mod convert;
mod definition;
mod derive;
mod entity;
mod export;
mod guess;
mod import;
mod layer;
mod names;
mod number;
mod own;
mod registry;
mod source;
mod tuya_local;

pub(crate) use attribute::{Attribute, Cover, Light};
pub(crate) use convert::label;
pub(crate) use number::decimal;
pub(crate) use own::edited;

pub use definition::{Class, Definition, Metering, Point, Recipe, WriteError};
#[cfg(test)]
mod tests;

pub use registry::{DefinitionError, Definitions, KnownSchemas};
pub use source::Source;
