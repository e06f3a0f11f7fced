//! By which rule old messages are told (cloud.md 4.5 has the rule by which devices judge ours).
//!
//! Whoever read a message of 2.1 or 2.2 on its way could send it again later, if he has the password too. What tells is
//! the number (sequence and source words of 2.2 and 2.3, `s` of 2.1) and the time `t`. But a device that was restarted
//! counts anew, from zero, or from a random number as Connect Kit does, and its clock shows seconds since
//! power-on until somebody tells it the time (cloud.md 2.6): none of its reports may be lost. So:
//!
//! 1. Within one connection the numbers of a source rise. A restart ends the connection, so that this loses nothing.
//! 2. A message whose `t` is a date is refused when it is more than [`SLACK`] older than the newest date that the device
//!    has sent. A restarted device has either no date or a newer one. Dates ahead of our own clock are not remembered:
//!    a clock that once was wrong locks nobody out.
//! 3. Where the numbers of a new connection do not go on above those of the one before, a message with a date that is
//!    one of the last [`KEPT`] ones, by number and date, is refused: this closes the slack of rule 2.
//!
//! What no rule can tell: a repeated message without a date on a new connection looks like a device that was restarted,
//! and so does everything from generation E that counts nothing (source and sequence 0 each time; its tag and TLS
//! protect it). After a restart of ours only the
//! last number is known, from the journal, and the rest begins anew with the device's next message.

use std::collections::VecDeque;

use landfall_proto::mqtt::Stamp;
use landfall_proto::mqtt::replay::Sequences;

/// By how much a device's dates may go back, seconds: its clock drifts for days and is then set by an answer of ours.
pub const SLACK: u64 = 600;
/// Messages that are remembered by number and date.
pub const KEPT: usize = 16;
/// What is less is no date but seconds since power-on (2020-01-01 UTC).
const FIRST_DATE: u64 = 1_577_836_800;
/// A greater gap is a counter that began anew: Connect Kit's does so at a random number of 16 bits.
const GREATEST_GAP: u32 = 1_000;

/// What is remembered of a device over its connections.
#[derive(Debug, Default)]
pub struct Memory {
    last: Option<Stamp>,
    newest: Option<u64>,
    kept: VecDeque<(u32, u64)>,
}

impl Memory {
    /// Of a device whose last message before our start had this number, so that what was lost in between is counted.
    pub fn since(last: Option<Stamp>) -> Self {
        Self { last, ..Self::default() }
    }
}

/// What is remembered of one connection.
#[derive(Debug, Default)]
pub struct Counting {
    heard: Sequences,
    last: Option<Stamp>,
    /// The numbers of this connection do not go on above those of the one before.
    anew: bool,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// New; so many before it never came.
    New {
        /// Numbers left out.
        missing: u32,
    },
    /// Its number came before in this connection.
    OldNumber,
    /// Its date is too old.
    OldDate,
    /// Number and date came before.
    Repeated,
}

impl Counting {
    /// Nothing heard yet.
    pub const fn new() -> Self {
        Self { heard: Sequences::new(), last: None, anew: false }
    }

    /// Judges a message whose envelope was opened, and remembers it if it is new. `t` is its time, `now` ours, both in
    /// seconds.
    pub fn judge(&mut self, memory: &mut Memory, stamp: Option<Stamp>, t: Option<u64>, now: u64) -> Verdict {
        // Source 0 is not counted by anybody, sequence 0 is what those send who count nothing.
        let stamp = stamp.filter(|s| s.source != Stamp::CLOUD && s.sequence != 0);
        let date = t.filter(|t| *t >= FIRST_DATE);
        let newest = memory.newest.filter(|newest| *newest <= now.saturating_add(SLACK));
        if let (Some(date), Some(newest)) = (date, newest)
            && date.saturating_add(SLACK) < newest
        {
            return Verdict::OldDate;
        }
        let mut missing = 0;
        if let Some(stamp) = stamp {
            let before = self.last.filter(|l| l.source == stamp.source);
            let anew = match (before, memory.last) {
                (Some(_), _) => self.anew,
                (None, Some(last)) => last.source != stamp.source || stamp.sequence <= last.sequence,
                (None, None) => false,
            };
            if anew && date.is_some_and(|date| memory.kept.contains(&(stamp.sequence, date))) {
                return Verdict::Repeated;
            }
            if !self.heard.accept(stamp) {
                return Verdict::OldNumber;
            }
            let from = before.or(memory.last.filter(|_| !anew)).map(|s| s.sequence);
            let gap = from.map_or(0, |from| stamp.sequence.saturating_sub(from).saturating_sub(1));
            missing = if gap > GREATEST_GAP { 0 } else { gap };
            (self.anew, self.last, memory.last) = (anew, Some(stamp), Some(stamp));
            if let Some(date) = date {
                if memory.kept.len() == KEPT {
                    memory.kept.pop_front();
                }
                memory.kept.push_back((stamp.sequence, date));
            }
        }
        if let Some(date) = date
            && date <= now.saturating_add(SLACK)
        {
            memory.newest = Some(newest.map_or(date, |newest| newest.max(date)));
        }
        Verdict::New { missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000;
    const NEW: Verdict = Verdict::New { missing: 0 };

    fn at(sequence: u32) -> Option<Stamp> {
        Some(Stamp::device(sequence))
    }

    #[test]
    fn numbers_rise_within_a_connection_and_gaps_are_counted() {
        let (mut memory, mut c) = (Memory::default(), Counting::new());
        assert_eq!(c.judge(&mut memory, at(65_184), Some(NOW), NOW), NEW);
        assert_eq!(c.judge(&mut memory, at(65_185), Some(NOW), NOW), NEW);
        assert_eq!(c.judge(&mut memory, at(65_185), Some(NOW), NOW), Verdict::OldNumber);
        assert_eq!(c.judge(&mut memory, at(7), Some(NOW), NOW), Verdict::OldNumber);
        assert_eq!(c.judge(&mut memory, at(65_189), Some(NOW), NOW), Verdict::New { missing: 3 });
        // The next connection goes on, and one message was lost in between.
        let mut c = Counting::new();
        assert_eq!(c.judge(&mut memory, at(65_191), Some(NOW), NOW), Verdict::New { missing: 1 });
    }

    #[test]
    fn a_restarted_device_is_heard_whatever_it_counts_from_and_whatever_its_clock_shows() {
        for from in [1, 2, 40_000, u32::MAX - 3] {
            for t in [0, 5, NOW, NOW - SLACK] {
                let mut memory = Memory::default();
                for (boot, first) in [(0, 500), (1, from), (2, from), (3, from)] {
                    let mut c = Counting::new();
                    for n in 0..3 {
                        // A date goes on, uptime starts over.
                        let t = if t > FIRST_DATE { t + boot } else { t } + u64::from(n);
                        let verdict = c.judge(&mut memory, at(first + n), Some(t), NOW);
                        assert_eq!(verdict, NEW, "boot {boot}, number {}, t {t}", first + n);
                    }
                }
            }
        }
    }

    #[test]
    fn an_old_message_is_told_on_a_new_connection() {
        let mut memory = Memory::default();
        let mut c = Counting::new();
        for n in 1..=5 {
            assert_eq!(c.judge(&mut memory, at(n), Some(NOW + u64::from(n)), NOW + 9), NEW);
        }
        let mut c = Counting::new();
        assert_eq!(c.judge(&mut memory, at(3), Some(NOW + 3), NOW + 9), Verdict::Repeated);
        // The rightful device, restarted.
        assert_eq!(c.judge(&mut memory, at(1), Some(NOW + 8), NOW + 9), NEW);
        assert_eq!(c.judge(&mut memory, at(4), Some(NOW + 4), NOW + 9), Verdict::Repeated);
        // Much later nothing of then is believed, not even under numbers that are free now.
        let later = NOW + SLACK * 2;
        assert_eq!(c.judge(&mut memory, at(2), Some(later), later), NEW);
        assert_eq!(c.judge(&mut memory, at(3), Some(NOW + 2), later), Verdict::OldDate);
        assert_eq!(c.judge(&mut memory, None, Some(NOW + 2), later), Verdict::OldDate);
    }

    #[test]
    fn a_clock_that_was_wrong_locks_nobody_out() {
        let mut memory = Memory::default();
        let mut c = Counting::new();
        // Ours and the device's were a year ahead; then ours was set.
        let ahead = NOW + 31_536_000;
        assert_eq!(c.judge(&mut memory, at(1), Some(ahead), ahead), NEW);
        assert_eq!(c.judge(&mut memory, at(2), Some(NOW), NOW), NEW);
        // A device ahead of us by itself.
        assert_eq!(c.judge(&mut memory, at(3), Some(ahead), NOW), NEW);
        assert_eq!(c.judge(&mut memory, at(4), Some(NOW + 1), NOW + 1), NEW);
    }

    #[test]
    fn who_counts_nothing_is_always_heard() {
        let (mut memory, mut c) = (Memory::default(), Counting::new());
        for _ in 0..3 {
            assert_eq!(c.judge(&mut memory, Some(Stamp::default()), Some(NOW), NOW), NEW);
            assert_eq!(c.judge(&mut memory, at(0), Some(NOW), NOW), NEW);
            assert_eq!(c.judge(&mut memory, None, None, NOW), NEW);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (mut memory, mut c) = (Memory::default(), Counting::new());
        for n in 1..1_000 {
            assert_eq!(c.judge(&mut memory, at(n), Some(NOW), NOW), NEW);
        }
        assert_eq!(memory.kept.len(), KEPT);
    }
}
