//! The socket in the data directory by which the command talks to a running cloud: `<data>/cloud/control.sock`.
//!
//! Only the user who runs the cloud can connect (the directory is 0700, the socket 0600, and the other end is asked who
//! it is). Both sides write JSON, an object a line: an [`Order`], then a [`Reply`]; after [`Order::Events`] the cloud goes
//! on with a line for each event.

use std::path::{Path, PathBuf};

mod client;
mod order;
mod owner;
mod place;
mod server;
mod status;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError};
pub use order::{Order, Refusal, Reply, SetOutcome, Window};
pub use owner::{ImageInfo, Owner, OwnerError, PersonInfo};
pub use server::{Control, ControlError};
pub use status::{DeviceStatus, KeysKnown, Running, Status, StepStatus, Stranger, status};

/// Longest line in either direction, in bytes. The longest real ones are the status of a large fleet.
const MAX_ORDER: usize = 256 << 10;
/// The same for what the cloud answers: some kilobytes for each device.
const MAX_REPLY: usize = 64 << 20;

/// Where the socket of a data directory is.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("cloud").join("control.sock")
}
