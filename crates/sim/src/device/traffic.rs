//! Frames and requests on their way through the device, and what the dice do to them.

use landfall_proto::Now;
use landfall_proto::lan::device::{DeviceClose, DeviceEvent, DeviceOutput};

use super::{ConnectionId, Ending, FAULTED_SESSION, MAX_ORPHANS, Output, VirtualDevice};
use crate::faults::Fate;
use crate::news::News;

impl VirtualDevice {
    /// Moves frames and requests along until nothing moves any more.
    pub(super) fn pump(&mut self, now: Now) {
        while let Some(at) = self.orphans.iter().position(|(at, ..)| *at <= now.mono) {
            if let Some((_, id, request)) = self.orphans.remove(at) {
                self.serve(id, request, now);
            }
        }
        let mut moving = true;
        while moving {
            moving = false;
            let mut at = 0;
            while at < self.connections.len() {
                let id = self.connections[at].id;
                moving |= self.pump_one(id, now);
                // It may have ended itself and gone.
                if self.connections.get(at).is_some_and(|c| c.id == id) {
                    at += 1;
                }
            }
        }
    }

    /// True if something moved that may concern other connections too.
    fn pump_one(&mut self, id: ConnectionId, now: Now) -> bool {
        let mut moved = false;
        while let Some(c) = self.connections.iter_mut().find(|c| c.id == id) {
            match c.session.poll_output(now, &mut self.entropy) {
                DeviceOutput::Transmit(frame) => {
                    let fate = self.dice.outbound();
                    self.send(id, frame, fate, now);
                }
                DeviceOutput::Event(event) => {
                    moved = true;
                    self.hear(id, event, now);
                }
                DeviceOutput::Wait(until) => {
                    c.wait = until;
                    if let Some(request) = c.due_request(now.mono) {
                        moved = true;
                        self.serve(id, request, now);
                        continue;
                    }
                    while let Some(frame) = c.due_frame(now.mono) {
                        self.ready.push_back(Output::Transmit { connection: id, frame });
                    }
                    if c.is_over(now.mono) {
                        self.end(id, Ending::Close, None, now);
                    }
                    break;
                }
            }
        }
        moved
    }

    fn send(&mut self, id: ConnectionId, frame: Vec<u8>, fate: Fate, now: Now) {
        self.tell_fate(id, fate);
        let Some(c) = self.connections.iter_mut().find(|c| c.id == id) else { return };
        let kept = match fate {
            Fate::Drop => true,
            Fate::Delay(by) => c.queue_frame(frame, now.mono + by),
            Fate::HalfOpen => return self.end(id, Ending::Silence, Some("half open"), now),
            Fate::Reset | Fate::ResetAfter => {
                return self.end(id, Ending::Reset, Some("reset by the device"), now);
            }
            Fate::Pass => c.queue_frame(frame, now.mono),
        };
        if !kept {
            self.end(id, Ending::Reset, Some("too much waits to be sent"), now);
        }
    }

    fn hear(&mut self, id: ConnectionId, event: DeviceEvent, now: Now) {
        match event {
            DeviceEvent::Ready => self.tell(News::Ready { connection: id }),
            DeviceEvent::Closed(why) => {
                if matches!(why, DeviceClose::Idle | DeviceClose::Remote) {
                    return self.end(id, Ending::Close, Some(&why.to_string()), now);
                }
                // The vendor's code faults the session and closes it at its next round.
                self.tell(News::Disconnected { connection: id, why: why.to_string() });
                if let Some(c) = self.connections.iter_mut().find(|c| c.id == id) {
                    c.close_at(now.mono + FAULTED_SESSION);
                }
            }
            request => {
                let fate = self.dice.inbound();
                self.tell_fate(id, fate);
                let Some(c) = self.connections.iter_mut().find(|c| c.id == id) else { return };
                let kept = match fate {
                    Fate::Drop => true,
                    Fate::Delay(by) => c.queue_request(request, now.mono + by),
                    Fate::Reset => return self.end(id, Ending::Reset, Some("reset by the device"), now),
                    Fate::HalfOpen => return self.end(id, Ending::Silence, Some("half open"), now),
                    Fate::ResetAfter => {
                        self.serve(id, request, now);
                        return self.end(id, Ending::Reset, Some("reset by the device"), now);
                    }
                    Fate::Pass => c.queue_request(request, now.mono),
                };
                if !kept {
                    self.end(id, Ending::Reset, Some("too many requests wait"), now);
                }
            }
        }
    }

    fn tell_fate(&mut self, id: ConnectionId, fate: Fate) {
        let fault = match fate {
            Fate::Pass => return,
            Fate::Drop => "drop",
            Fate::Delay(_) => "delay",
            Fate::Reset | Fate::ResetAfter => "reset",
            Fate::HalfOpen => "half-open",
        };
        self.tell(News::Fault { fault, connection: Some(id) });
    }

    pub(super) fn end_all(&mut self, ending: Ending, why: &str, now: Now) {
        while let Some(id) = self.connections.first().map(|c| c.id) {
            self.end(id, ending, Some(why), now);
        }
    }

    /// `why` is `None` when it was told before.
    pub(super) fn end(&mut self, id: ConnectionId, ending: Ending, why: Option<&str>, now: Now) {
        let Some(at) = self.connections.iter().position(|c| c.id == id) else { return };
        let connection = self.connections.remove(at);
        // The push counter goes on in the next connection (lan.md 3.1).
        self.config.first_s = self.config.first_s.max(connection.session.next_s());
        match ending {
            Ending::Silence => self.ghosts.push(now.mono + self.spec.idle),
            Ending::Close => {
                let room = MAX_ORPHANS.saturating_sub(self.orphans.len());
                let left = connection.into_requests().take(room);
                self.orphans.extend(left.map(|(at, request)| (at, id, request)));
            }
            Ending::Reset => {}
        }
        self.ready.push_back(Output::End { connection: id, ending });
        if let Some(why) = why {
            self.tell(News::Disconnected { connection: id, why: why.to_owned() });
        }
    }
}
