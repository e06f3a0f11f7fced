//! JSON bodies: what is asked and what is reported (lan.md 3.7 to 3.9).

use crate::dp::Dps;
use crate::id::Cid;

/// Points that a device reported, from any of the shapes in use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Sub-device, or the device itself.
    pub cid: Option<Cid>,
    /// The points.
    pub dps: Dps,
    /// The device's clock, seconds; tiny when it has not been set.
    pub t: Option<u64>,
    /// Marked `type:"query"`: reported without a change.
    pub unchanged: bool,
}

/// Which sub-devices of a gateway are reachable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubdevicesOnline {
    /// Reachable.
    pub online: Vec<Cid>,
    /// Known but not reachable.
    pub offline: Vec<Cid>,
}
