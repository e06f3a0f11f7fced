//! What waits to be sent to a device, and what waits for its PUBACK. No sockets, no clock of its own.

use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use landfall_proto::mqtt::Content;
use tokio::time::Instant;

/// Messages under way at a time: few, because small firmware has small buffers.
const WINDOW: usize = 8;
/// A PUBACK is waited for this long before a message is repeated or given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Times that a message is sent, at most.
const TRIES: u8 = 3;

/// Names an order, for whoever waits for what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// What to send.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// A message that the session seals, stamps and dates.
    Message(Content),
    /// An envelope that somebody else sealed.
    Sealed(Bytes),
}

/// Something to be sent.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// What.
    pub(super) load: Load,
    /// Whether it may be sent twice: it changes nothing then.
    pub(super) repeat: bool,
    /// Who waits for it.
    pub(super) ticket: Option<Ticket>,
}

/// A message that was sent at QoS 1 and not acknowledged yet.
#[derive(Debug)]
struct Flight {
    id: NonZeroU16,
    due: Instant,
    tries: u8,
    /// Topic and payload, where it may be repeated.
    again: Option<(ByteString, Bytes)>,
    ticket: Option<Ticket>,
}

/// A message whose time for a PUBACK is over.
#[derive(Debug)]
pub(super) enum Late {
    /// To be sent once more, with DUP.
    Again {
        /// Its number.
        id: NonZeroU16,
        /// Topic.
        topic: ByteString,
        /// Payload.
        payload: Bytes,
    },
    /// Given up.
    Lost,
}

/// The messages under way.
#[derive(Debug)]
pub(super) struct Outbox {
    flights: Vec<Flight>,
    next: u16,
    window: usize,
}

impl Outbox {
    /// Nothing under way. `receive_max`: how many the client takes at a time, where it says so.
    pub(super) fn new(receive_max: Option<NonZeroU16>) -> Self {
        let window = receive_max.map_or(WINDOW, |most| WINDOW.min(usize::from(most.get())));
        Self { flights: Vec::new(), next: 0, window }
    }

    /// Whether another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.flights.len() < self.window
    }

    /// A message is sent now: its number.
    pub(super) fn send(
        &mut self,
        now: Instant,
        ticket: Option<Ticket>,
        again: Option<(ByteString, Bytes)>,
    ) -> NonZeroU16 {
        let id = loop {
            self.next = self.next.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.next)
                && !self.flights.iter().any(|f| f.id == id)
            {
                break id;
            }
        };
        self.flights.push(Flight { id, due: now + PATIENCE, tries: 1, again, ticket });
        id
    }

    /// A PUBACK came: who waited for it. `None` also for one that nobody waits for.
    pub(super) fn acknowledged(&mut self, id: NonZeroU16) -> Option<Ticket> {
        let at = self.flights.iter().position(|f| f.id == id)?;
        let flight = self.flights.remove(at);
        if self.flights.is_empty() {
            self.flights = Vec::new();
        }
        flight.ticket
    }

    /// When the next message is late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.flights.iter().map(|f| f.due).min()
    }

    /// The next message that is late.
    pub(super) fn late(&mut self, now: Instant) -> Option<Late> {
        let at = self.flights.iter().position(|f| f.due <= now)?;
        let flight = &mut self.flights[at];
        if flight.tries < TRIES
            && let Some((topic, payload)) = &flight.again
        {
            let again = Late::Again { id: flight.id, topic: topic.clone(), payload: payload.clone() };
            flight.tries += 1;
            flight.due = now + PATIENCE;
            return Some(again);
        }
        self.flights.remove(at);
        Some(Late::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> (ByteString, Bytes) {
        (ByteString::from_static("t"), Bytes::from_static(b"p"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_repeated_is_sent_three_times_and_the_rest_once() {
        let mut outbox = Outbox::new(None);
        let mut now = Instant::now();
        let id = outbox.send(now, None, Some(load()));
        outbox.send(now, Some(Ticket(7)), None);
        assert_eq!(outbox.due(), Some(now + PATIENCE));
        assert!(outbox.late(now).is_none());
        let (mut again, mut lost) = (0, 0);
        while let Some(due) = outbox.due() {
            now = due;
            while let Some(late) = outbox.late(now) {
                match late {
                    Late::Again { id: repeated, .. } => {
                        assert_eq!(repeated, id);
                        again += 1;
                    }
                    Late::Lost => lost += 1,
                }
            }
        }
        assert_eq!((again, lost), (2, 2));
        assert_eq!(outbox.acknowledged(id), None, "too late");
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_are_never_zero_and_never_used_twice_at_a_time() {
        let now = Instant::now();
        let mut outbox = Outbox::new(NonZeroU16::new(2));
        let first = outbox.send(now, Some(Ticket(1)), None);
        assert!(outbox.has_room());
        outbox.next = u16::MAX;
        let second = outbox.send(now, Some(Ticket(2)), None);
        assert_eq!((first.get(), second.get()), (1, 2), "0 is none and 1 is under way");
        assert!(!outbox.has_room());
        assert_eq!(outbox.acknowledged(second), Some(Ticket(2)));
        assert!(outbox.has_room());
        assert_eq!(outbox.acknowledged(second), None);
    }
}
