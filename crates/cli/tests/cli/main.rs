//! The built command, run as people run it: stdout, stderr and exit code are what is tested.

// Helpers of tests fail as tests do: by panicking.
#![allow(clippy::unwrap_used)]

mod book;
mod cloud;
mod config;
mod demo;
mod devices;
mod docs;
mod doctor;
mod harness;
mod install;
mod simulate;
mod token;
mod usage;
mod watch;
