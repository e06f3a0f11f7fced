//! Commands: checked, routed, ended once.
