//! How a device makes itself known: announcements and answers to those who ask (lan.md 6.4, 6.6).

use core::time::Duration;
use std::net::Ipv4Addr;

use landfall_proto::Now;
use landfall_proto::id::ProductId;
use landfall_proto::lan::Version;
use landfall_proto::lan::discovery::{self, Beacon};

use super::{Output, VirtualDevice};
use crate::dice::Dice;
use crate::spec::Quiet;

/// The interval of the vendor's SDK.
const INTERVAL: Duration = Duration::from_secs(5);
/// One answer per asker in this time: an open responder is an amplifier.
const ANSWER_PAUSE: Duration = Duration::from_secs(1);
/// Askers remembered. While all of them are fresh nobody else is answered.
const MAX_ASKERS: usize = 16;

/// When to speak, and to whom it was spoken.
#[derive(Debug)]
pub(super) struct Voice {
    ip: Option<Ipv4Addr>,
    next: Duration,
    askers: Vec<(Ipv4Addr, Duration)>,
}

impl Voice {
    /// The first announcement comes within a second, so that a home does not speak in one breath.
    pub(super) fn new(dice: &mut Dice, now: Duration) -> Self {
        let first = now + Duration::from_millis(dice.below(1_000));
        Self { ip: None, next: first, askers: Vec::new() }
    }

    pub(super) fn set_address(&mut self, ip: Ipv4Addr) {
        self.ip = Some(ip);
    }

    pub(super) fn speak_soon(&mut self, now: Duration) {
        self.next = now + Duration::from_millis(200);
    }

    pub(super) fn next(&self) -> Duration {
        self.next
    }

    fn may_answer(&mut self, to: Ipv4Addr, now: Duration) -> bool {
        self.askers.retain(|(_, at)| now < *at + ANSWER_PAUSE);
        let fresh = self.askers.iter().any(|(ip, _)| *ip == to);
        if fresh || self.askers.len() >= MAX_ASKERS {
            return false;
        }
        self.askers.push((to, now));
        true
    }
}

impl VirtualDevice {
    /// A client asks on port 7000 who is there and wants the answer at `to`. Only 3.5 devices answer, at most once a
    /// second per address. Whether `to` lies in the local network is for the driver to judge: it knows the network.
    pub fn handle_ask(&mut self, to: Ipv4Addr, now: Now) {
        if self.spec.version != Version::V3_5 || !self.listening || !self.voice.may_answer(to, now.mono) {
            return;
        }
        let datagram = discovery::announce(&self.beacon(), self.spec.version, &mut self.entropy);
        self.ready.push_back(Output::Answer { to, datagram });
    }

    /// Whether it announces itself at present.
    pub(super) fn speaks(&self) -> bool {
        let quiet = match self.spec.habits.quiet {
            Quiet::Any => !self.connections.is_empty(),
            Quiet::Full => self.connections.len() >= self.spec.clients,
            Quiet::Never => false,
        };
        self.spec.listens() && self.listening && !self.spec.habits.silent && !quiet
    }

    pub(super) fn announce(&mut self, now: Now) {
        if now.mono < self.voice.next {
            return;
        }
        self.voice.next = now.mono + INTERVAL;
        if self.speaks() {
            let datagram = discovery::announce(&self.beacon(), self.spec.version, &mut self.entropy);
            self.ready.push_back(Output::Announce(datagram));
        }
    }

    fn beacon(&self) -> Beacon {
        Beacon {
            ip: self.voice.ip,
            product_id: ProductId::new(self.spec.product().id).ok(),
            ..Beacon::new(self.spec.id.clone(), self.spec.version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_a_second_and_a_bounded_memory() {
        let mut voice = Voice::new(&mut Dice::new(1), Duration::ZERO);
        let ip = |n| Ipv4Addr::new(127, 0, 0, n);
        let at = Duration::from_millis;
        assert!(voice.may_answer(ip(1), at(0)));
        assert!(!voice.may_answer(ip(1), at(999)));
        assert!(voice.may_answer(ip(2), at(999)));
        assert!(voice.may_answer(ip(1), at(1_000)));
        let answered = (10..200).filter(|n| voice.may_answer(ip(*n), at(1_100))).count();
        assert!(answered < MAX_ASKERS && voice.askers.len() <= MAX_ASKERS);
    }
}
