//! What devices and the cloud say to each other over MQTT (cloud.md 4), both roles. The MQTT protocol itself is not here.
//!
//! | module | does |
//! |---|---|
//! | [`envelope`] | payloads 2.1, 2.2 and 2.3 sealed, opened, verified |
//! | [`topic`] | the topics of devices; nothing else in the project names them |
//! | [`login`] | client ids, user names and passwords |
//! | [`message`] | the JSON inside: protocol numbers and their data |
//! | [`content`] | the typed data of those protocol numbers that are known |
//! | [`replay`] | the rule by which stock firmware drops old messages |
//! | [`rpc`] | gateway calls over MQTT, without an envelope |

pub mod content;
pub mod envelope;
pub mod login;
pub mod message;
pub mod replay;
pub mod rpc;
pub mod topic;

pub use content::Content;
pub use envelope::{Codec, Envelope, EnvelopeError, Opened, Sealed, Stamp};
pub use message::{Message, MessageError, Protocol};
pub use topic::{Branch, Topic};
