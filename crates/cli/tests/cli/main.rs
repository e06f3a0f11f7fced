//! The built command, run as people run it: stdout, stderr and exit code are what is tested.

mod book;
mod harness;
mod usage;
