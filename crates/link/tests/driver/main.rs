//! The device driver against virtual devices: its rules one by one, long runs under faults, and real sockets.

// Clippy knows helpers of integration tests from tests no better than from programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod checker;
mod rules;
mod scenario;
mod sockets;
mod unanswered;
mod world;
