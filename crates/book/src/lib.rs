//! The book: who our devices are. Identities, local keys and their history, imports and exports.
//!
//! | module | does |
//! |---|---|
//! | [`device`] | one device: identity, key, where it is, what it is |
//! | [`book`] | all devices, with unique names, and finding one by what a person types |
//! | [`mapping`] | tinytuya's `mapping` as a [`Schema`](landfall_proto::schema::Schema), kept as it came |
//! | [`cloud_side`] | what the stand-in cloud keeps of a device: keys, what it was told, timers, images |
//! | [`registration`] | keys handed out and used for the first time |
//! | [`reserve`] | keys made ahead, so that what a device is told lies on disk already |
//! | [`people`] | people's MQTT clients; hardware that was never activated |
//! | [`store`] | the file `book.json`, behind [`BookStore`] |
//! | [`log`] | small changes beside it, in `book.log` |
//! | [`amendment`] | what such a change is |
//! | [`version`] | a book in memory that knows which version of the files it is |
//! | [`import`] | other tools' files in: devices.json, snapshot.json, tuya-cli's wizard list, tuya-cloudcutter's deviceconfig |
//! | [`merge`] | what was read into the book, saying what changed |
//! | [`export`] | tinytuya's devices.json out |
//!
//! Keys leave this crate in two ways only: into a file that is allowed to hold them, and as the types of
//! [`landfall_proto::id`], which never print themselves.

pub mod amendment;
pub mod book;
mod check;
pub mod cloud_side;
pub mod device;
pub mod digest;
pub mod export;
pub mod import;
pub mod log;
pub mod mapping;
pub mod merge;
pub mod people;
pub mod registration;
pub mod reserve;
mod secret_text;
mod shared;
pub mod store;
pub mod version;

pub use crate::digest::Digest;
pub use amendment::Amendment;
pub use book::{Book, BookError, LookupError};
pub use cloud_side::{CloudSide, Timer};
pub use device::{Device, NameError, PastKey};
pub use import::ImportError;
pub use mapping::Mapping;
pub use merge::{Change, Outcome, OutcomeKind};
pub use people::{Hardware, Person};
pub use reserve::KeySet;
pub use shared::Shared;
pub use store::{BookStore, DevicesFile, FileStore, Stamp, StoreError};
pub use version::Version;
