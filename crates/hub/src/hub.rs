//! The brain on real lines. What API and bridges call.

/// The hub.
#[derive(Debug)]
pub struct Hub;
