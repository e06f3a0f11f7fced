//! Finds devices: listens on 6666 and 6667, asks on 7000, probes given addresses by TCP (lan.md 6).
//!
//! | part | does |
//! |---|---|
//! | `target` | addresses and networks to probe |
//! | `sockets` | datagram sockets shared with other programs |
//! | `asking` | the question on every interface |
//! | `probing` | TCP probes and keys tried, slowly |
//! | `catalogue` | what all of them saw, put together by device id |
//! | `memory` | what was tried when |

mod asking;
mod catalogue;
mod finding;
mod memory;
mod options;
mod probing;
mod run;
mod sockets;
pub(crate) mod target;

pub use finding::{Finding, Kind, Missing, Note, Probe, ScanEvent, ScanProblem, Summary};
pub use memory::{ProbeMemory, TRY_EVERY};
pub use options::{Interface, Known, Ports, ScanOptions};
pub use run::scan;
pub use sockets::can_listen;
pub use target::{Target, TargetError, WIDEST};
