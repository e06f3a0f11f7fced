//! (two-party wire, below)
