//! Which line a command takes. The only place that chooses.

use crate::model::{Line, LineState};

/// A line, as far as the choice goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// How it is.
    pub state: LineState,
    /// Commands over it failed lately.
    pub failing: bool,
}

/// Why no line can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// The device sleeps.
    Asleep,
    /// The line that was asked for is not up.
    Line(Line),
    /// No line is up.
    Offline,
}

/// The line of the next command.
///
/// A line that is up beats one that is being opened. Of two that are up the LAN is taken (it is nearer, and sees the
/// device's answer), unless commands over it failed lately and those over the cloud did not. A LAN connection that is
/// being opened is waited for, within the command's time; the device opens the cloud's, and nobody knows when. `only` leaves
/// no choice.
///
/// # Errors
/// No line can be taken.
pub fn route(lan: Lane, cloud: Lane, only: Option<Line>, sleeper: bool) -> Result<Line, NoWay> {
    let up = |lane: Lane| lane.state == LineState::Up;
    let waits = lan.state == LineState::Opening && !sleeper;
    let none = if sleeper { NoWay::Asleep } else { NoWay::Offline };
    match only {
        Some(Line::Lan) if up(lan) || waits => Ok(Line::Lan),
        Some(Line::Cloud) if up(cloud) => Ok(Line::Cloud),
        Some(_) if sleeper && !up(lan) && !up(cloud) => Err(NoWay::Asleep),
        Some(line) => Err(NoWay::Line(line)),
        None => match (up(lan), up(cloud)) {
            (true, true) if lan.failing && !cloud.failing => Ok(Line::Cloud),
            (true, _) => Ok(Line::Lan),
            (false, true) => Ok(Line::Cloud),
            (false, false) if waits => Ok(Line::Lan),
            (false, false) => Err(none),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Line::{Cloud, Lan};
    use LineState::{Down, Opening, Unused, Up};

    #[test]
    fn the_table() {
        let well = |state| Lane { state, failing: false };
        let bad = |state| Lane { state, failing: true };
        let table = [
            // Both up: the LAN, unless it failed and the cloud did not.
            (well(Up), well(Up), None, false, Ok(Lan)),
            (bad(Up), well(Up), None, false, Ok(Cloud)),
            (bad(Up), bad(Up), None, false, Ok(Lan)),
            (well(Up), bad(Up), None, false, Ok(Lan)),
            // One up: that one, whatever it did before.
            (bad(Up), well(Down), None, false, Ok(Lan)),
            (bad(Up), well(Opening), None, false, Ok(Lan)),
            (well(Opening), bad(Up), None, false, Ok(Cloud)),
            (well(Down), well(Up), None, false, Ok(Cloud)),
            (well(Unused), well(Up), None, true, Ok(Cloud)),
            // None up: the LAN is waited for, the cloud is not.
            (well(Opening), well(Down), None, false, Ok(Lan)),
            (well(Opening), well(Opening), None, false, Ok(Lan)),
            (well(Down), well(Opening), None, false, Err(NoWay::Offline)),
            (well(Unused), well(Unused), None, false, Err(NoWay::Offline)),
            (well(Down), well(Down), None, false, Err(NoWay::Offline)),
            // A sleeper is not waited for.
            (well(Opening), well(Down), None, true, Err(NoWay::Asleep)),
            (well(Unused), well(Down), None, true, Err(NoWay::Asleep)),
            // One line only.
            (bad(Up), well(Up), Some(Lan), false, Ok(Lan)),
            (well(Opening), well(Up), Some(Lan), false, Ok(Lan)),
            (well(Up), bad(Up), Some(Cloud), false, Ok(Cloud)),
            (well(Up), well(Opening), Some(Cloud), false, Err(NoWay::Line(Cloud))),
            (well(Down), well(Up), Some(Lan), false, Err(NoWay::Line(Lan))),
            (well(Down), well(Down), Some(Cloud), true, Err(NoWay::Asleep)),
            (well(Unused), well(Up), Some(Lan), true, Err(NoWay::Line(Lan))),
        ];
        for (n, (lan, cloud, only, sleeper, want)) in table.into_iter().enumerate() {
            assert_eq!(route(lan, cloud, only, sleeper), want, "row {n}: {lan:?} {cloud:?} {only:?}");
        }
    }
}
