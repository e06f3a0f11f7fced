//! Scanner, version detection and diagnosis against devices on loopback.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

mod detect;
mod diagnose;
mod fake;
mod home;
mod scan;
