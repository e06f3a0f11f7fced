//! The device driver against virtual devices: its rules one by one, long runs under faults, and real sockets.

mod checker;
mod rules;
mod scenario;
mod sockets;
mod world;
