//! When an address was last tried with a key, so that devices are not worn out (lan.md 6.5).

/// Shared between scans of a process; clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct ProbeMemory {}
