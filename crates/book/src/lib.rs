//! The book: who our devices are. Identities, local keys and their history, imports and exports.
//!
//! | module | does |
//! |---|---|
//! | [`device`] | one device: identity, key, where it is, what it is |
//! | [`book`] | all devices, with unique names, and finding one by what a person types |
//! | [`mapping`] | tinytuya's `mapping` as a [`Schema`](landfall_proto::schema::Schema), kept as it came |
//! | [`cloud_side`] | what the stand-in cloud keeps of a device: keys, what it was told, timers, images |
//! | [`registration`] | keys handed out and used for the first time |
//! | [`people`] | people's MQTT clients; hardware that was never activated |
//! | [`store`] | the one file `book.json`, behind [`BookStore`] |
//! | [`import`] | other tools' files in: devices.json, snapshot.json, tuya-cli's wizard list, tuya-cloudcutter's deviceconfig |
//! | [`merge`] | what was read into the book, saying what changed |
//! | [`export`] | tinytuya's devices.json out |
//!
//! Keys leave this crate in two ways only: into a file that is allowed to hold them, and as the types of
//! [`landfall_proto::id`], which never print themselves.

pub mod book;
pub mod cloud_side;
pub mod device;
pub mod digest;
pub mod export;
pub mod import;
pub mod mapping;
pub mod merge;
pub mod people;
pub mod registration;
mod secret_text;
pub mod store;

pub use crate::digest::Digest;
pub use book::{Book, BookError, LookupError};
pub use cloud_side::{CloudSide, Timer};
pub use device::{Device, NameError, PastKey};
pub use import::ImportError;
pub use mapping::Mapping;
pub use merge::{Change, Outcome, OutcomeKind};
pub use people::{Hardware, Person};
pub use store::{BookStore, DevicesFile, FileStore, Stamp, StoreError};
