//! One client's connection, with what waits on it in both directions.

use core::time::Duration;
use std::collections::VecDeque;

use landfall_proto::lan::device::{DeviceEvent, DeviceSession};

use super::ConnectionId;

/// More requests than this do not wait: a device has no room for them.
const MAX_REQUESTS: usize = 64;
/// Nor more frames.
const MAX_FRAMES: usize = 256;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) session: DeviceSession,
    /// When the session wants to be called.
    pub(super) wait: Duration,
    /// Requests in order of arrival, with the time from which they may be served: not falling.
    requests: VecDeque<(Duration, DeviceEvent)>,
    frames: VecDeque<(Duration, Vec<u8>)>,
    closing: Option<Duration>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, session: DeviceSession, now: Duration) -> Self {
        Self { id, session, wait: now, requests: VecDeque::new(), frames: VecDeque::new(), closing: None }
    }

    /// False when there is no room.
    pub(super) fn queue_request(&mut self, request: DeviceEvent, at: Duration) -> bool {
        queue(&mut self.requests, request, at, MAX_REQUESTS)
    }

    pub(super) fn queue_frame(&mut self, frame: Vec<u8>, at: Duration) -> bool {
        queue(&mut self.frames, frame, at, MAX_FRAMES)
    }

    pub(super) fn due_request(&mut self, now: Duration) -> Option<DeviceEvent> {
        due(&mut self.requests, now)
    }

    pub(super) fn due_frame(&mut self, now: Duration) -> Option<Vec<u8>> {
        due(&mut self.frames, now)
    }

    /// The requests that wait, with their times.
    pub(super) fn into_requests(self) -> impl Iterator<Item = (Duration, DeviceEvent)> {
        self.requests.into_iter()
    }

    /// It still stands, but takes nothing any more, until then.
    pub(super) fn close_at(&mut self, at: Duration) {
        self.closing = Some(at);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.closing.is_some_and(|at| now >= at)
    }

    pub(super) fn deadline(&self) -> Duration {
        [
            Some(self.wait),
            self.closing,
            self.requests.front().map(|(at, _)| *at),
            self.frames.front().map(|(at, _)| *at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Duration::MAX)
    }
}

/// Nothing overtakes on a TCP connection: what comes behind something delayed waits with it.
fn queue<T>(queue: &mut VecDeque<(Duration, T)>, item: T, at: Duration, most: usize) -> bool {
    if queue.len() >= most {
        return false;
    }
    let at = queue.back().map_or(at, |(before, _)| at.max(*before));
    queue.push_back((at, item));
    true
}

fn due<T>(queue: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<T> {
    queue.pop_front_if(|(at, _)| *at <= now).map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_and_nothing_piles_up() {
        let mut q = VecDeque::new();
        let at = Duration::from_secs;
        assert!(queue(&mut q, 'a', at(5), 3) && queue(&mut q, 'b', at(1), 3) && queue(&mut q, 'c', at(6), 3));
        assert!(!queue(&mut q, 'd', at(9), 3));
        assert_eq!(due(&mut q, at(4)), None);
        assert_eq!(
            (due(&mut q, at(5)), due(&mut q, at(5)), due(&mut q, at(5))),
            (Some('a'), Some('b'), None)
        );
    }
}
