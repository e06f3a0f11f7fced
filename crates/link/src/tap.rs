//! A look at the frames of all connections, decoded: for a console.
//!
//! Nothing is made ready while nobody looks. Bodies are in clear: whoever shows them to people hides what is secret in them.
//! Those of the negotiation are never told: keys are made of them.

use std::fmt;
use std::sync::Arc;

use landfall_proto::id::DeviceId;
use landfall_proto::lan::session;
pub use landfall_proto::lan::session::{Frame, Going, Told};

/// Whoever looks. Called while a connection is worked on: it must not wait.
pub trait Tap: fmt::Debug + Send + Sync {
    /// Whether anybody looks now.
    fn wanted(&self) -> bool;

    /// Takes a frame of this device's connection.
    fn frame(&self, device: &DeviceId, frame: &Frame<'_>);
}

/// The tap of one device's sessions.
#[derive(Debug)]
pub(crate) struct OfDevice {
    pub(crate) tap: Arc<dyn Tap>,
    pub(crate) id: Arc<DeviceId>,
}

impl session::Tap for OfDevice {
    fn wanted(&self) -> bool {
        self.tap.wanted()
    }

    fn frame(&self, frame: &Frame<'_>) {
        self.tap.frame(&self.id, frame);
    }
}
