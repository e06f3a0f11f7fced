//! The book: who our devices are. Identities, local keys and their history, imports and exports.
//!
//! | module | does |
//! |---|---|
//! | [`device`] | one device: identity, key, where it is, what it is |
//! | [`book`] | all devices, with unique names, and finding one by what a person types |
//! | [`mapping`] | tinytuya's `mapping` as a [`Schema`](landfall_proto::schema::Schema), kept as it came |
//! | [`store`] | the one file `book.json`, behind [`BookStore`] |
//! | [`import`] | other tools' files in: devices.json, snapshot.json, tuya-cli's wizard list |
//! | [`merge`] | what was read into the book, saying what changed |
//! | [`export`] | tinytuya's devices.json out |
//!
//! Keys leave this crate in two ways only: into a file that is allowed to hold them, and as
//! [`LocalKey`](landfall_proto::id::LocalKey), which never prints itself.

pub mod book;
pub mod device;
pub mod export;
pub mod import;
pub mod mapping;
pub mod merge;
pub mod store;

pub use book::{Book, BookError, LookupError};
pub use device::{Device, NameError, PastKey};
pub use import::ImportError;
pub use mapping::Mapping;
pub use merge::{Change, Outcome, OutcomeKind};
pub use store::{BookStore, DevicesFile, FileStore, StoreError};
