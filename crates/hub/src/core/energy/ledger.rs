//! The delta point: energy since its last report, told over one line or two, added exactly once.
//!
//! It is owned by one line at a time, and what the other line brings is counted, not added. When the owner is gone, the line
//! that still brings it takes over. Two things can happen around that moment, and values alone tell them apart: the owner
//! brought a delta just before it was lost, and its copy comes late; or the owner was dead for a while before anybody saw it,
//! and the other line's "copies" of that time were the only ones. So the last deltas of each side are matched with the other's.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Line;

/// A copy comes within this time after the delta, or not at all.
const LATE: Duration = Duration::from_secs(10);
/// A line that is up but brings none of this many deltas of the other, over at least [`SILENT`], owns nothing any more.
const MISSED: usize = 3;
const SILENT: Duration = Duration::from_mins(1);
/// Deltas remembered for matching; they come minutes apart.
const KEPT: usize = 32;
/// Device times remembered, to know a message that is sent again.
const TIMES: usize = 8;

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// To be added, along with what the former owner missed.
    Add(i64),
    /// The same, and this line owns the point now; before, the other one did.
    HandOver {
        /// Counts to be added.
        add: i64,
        /// How many deltas of these the former owner never brought.
        missed: usize,
    },
    /// Not to be added: the other line brought it, or will.
    Copy,
    /// Not to be added: the same message was here before.
    Replay,
}

/// A delta as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta {
    /// Over which line.
    pub(super) line: Line,
    /// Counts.
    pub(super) value: i64,
    /// Device time, where it can be believed.
    pub(super) device_ms: Option<u64>,
    /// When.
    pub(super) now: Duration,
    /// The owner can bring it too.
    pub(super) up: [bool; 2],
}

const fn index(line: Line) -> usize {
    match line {
        Line::Lan => 0,
        Line::Cloud => 1,
    }
}

const fn other(line: Line) -> Line {
    match line {
        Line::Lan => Line::Cloud,
        Line::Cloud => Line::Lan,
    }
}

/// Who owns the delta point, and the last deltas.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) owner: Option<Line>,
    /// Added, and a copy of it may come over the other line.
    given: VecDeque<(Duration, Line, i64)>,
    /// Came over the line that is not the owner, and the owner did not bring it yet.
    waiting: VecDeque<(Duration, i64)>,
    /// Device times and values of what was added.
    times: VecDeque<(u64, i64)>,
    pub(super) copies: u64,
    /// When anything came over each line.
    heard: [Option<Duration>; 2],
}

impl Ledger {
    /// Copies so far, and what is one unless the owner fails.
    pub(super) fn copies(&self) -> u64 {
        self.copies + self.waiting.len() as u64
    }

    /// Device times and values of the last deltas that were added.
    pub(super) fn times(&self) -> &VecDeque<(u64, i64)> {
        &self.times
    }

    /// The same, of an earlier run.
    pub(super) fn remember(&mut self, times: VecDeque<(u64, i64)>) {
        self.times = times;
        self.times.truncate(TIMES);
    }

    /// A report of any kind came over a line.
    pub(super) fn alive(&mut self, line: Line, now: Duration) {
        self.heard[index(line)] = Some(now);
    }

    pub(super) fn enter(&mut self, delta: Delta) -> Entry {
        let Delta { line, value, now, .. } = delta;
        while self.given.front().is_some_and(|(at, ..)| *at + LATE < now) {
            self.given.pop_front();
        }
        if let Some(n) = self.given.iter().position(|(_, by, v)| *by != line && *v == value) {
            self.given.remove(n);
            self.copies += 1;
            return Entry::Copy;
        }
        if delta.device_ms.is_some_and(|ms| self.times.contains(&(ms, value))) {
            self.copies += 1;
            return Entry::Replay;
        }
        match self.owner {
            Some(owner) if owner != line => {
                self.wait(now, value);
                let gone = !delta.up[index(owner)];
                let silent = self.waiting.len() >= MISSED
                    && self.waiting.front().is_some_and(|(since, _)| *since + SILENT < now);
                if !gone && !silent {
                    return Entry::Copy;
                }
                let missed = self.waiting.len() - 1;
                self.given(delta);
                Entry::HandOver { add: self.hand_over(line), missed }
            }
            _ => {
                self.owner = Some(line);
                // The copy was first. What came before it, the owner has passed over.
                if let Some(n) = self.waiting.iter().position(|(_, v)| *v == value) {
                    self.copies += n as u64 + 1;
                    self.waiting.drain(..=n);
                    self.time(delta);
                } else {
                    let before = self.waiting.len();
                    self.waiting.retain(|(at, _)| *at + LATE >= now);
                    self.copies += (before - self.waiting.len()) as u64;
                    self.given(delta);
                }
                Entry::Add(value)
            }
        }
    }

    /// Which lines are up may have changed. An owner that is not up owns nothing while the other line is: a delta that is
    /// under way over the other line when the owner comes back is not one that the owner will bring. And where the other
    /// line brought what the owner did not, the owner was dead already: this much is to be added.
    pub(super) fn settle(&mut self, up: [bool; 2]) -> Option<Entry> {
        let owner = self.owner?;
        let heir = other(owner);
        if up[index(owner)] || (self.waiting.is_empty() && !up[index(heir)]) {
            return None;
        }
        let missed = self.waiting.len();
        Some(Entry::HandOver { add: self.hand_over(heir), missed })
    }

    fn hand_over(&mut self, to: Line) -> i64 {
        self.owner = Some(to);
        self.waiting.drain(..).fold(0, |sum, (_, v)| sum.saturating_add(v))
    }

    fn wait(&mut self, now: Duration, value: i64) {
        if self.waiting.len() >= KEPT {
            self.waiting.pop_front();
            self.copies += 1;
        }
        self.waiting.push_back((now, value));
    }

    /// Remembers what was added, so that its copy is known.
    fn given(&mut self, delta: Delta) {
        self.time(delta);
        let twin = index(other(delta.line));
        let comes = delta.up[twin] || self.heard[twin].is_some_and(|at| at + SILENT >= delta.now);
        if comes {
            if self.given.len() >= KEPT {
                self.given.pop_front();
            }
            self.given.push_back((delta.now, delta.line, delta.value));
        }
    }

    fn time(&mut self, delta: Delta) {
        if let Some(ms) = delta.device_ms {
            if self.times.len() >= TIMES {
                self.times.pop_front();
            }
            self.times.push_back((ms, delta.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Line::{Cloud, Lan};

    fn at(s: u64, line: Line, value: i64, up: [bool; 2]) -> Delta {
        Delta { line, value, device_ms: None, now: Duration::from_secs(s), up }
    }

    const BOTH: [bool; 2] = [true, true];

    #[test]
    fn the_first_line_owns_it_and_the_other_is_counted() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.enter(at(0, Lan, 3, BOTH)), Entry::Add(3));
        assert_eq!(ledger.enter(at(1, Cloud, 3, BOTH)), Entry::Copy);
        // The copy may be first.
        assert_eq!(ledger.enter(at(60, Cloud, 4, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(61, Lan, 4, BOTH)), Entry::Add(4));
        assert_eq!((ledger.owner, ledger.copies()), (Some(Lan), 2));
    }

    #[test]
    fn a_late_copy_of_a_lost_owner_is_no_delta() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        assert_eq!(ledger.enter(at(2, Cloud, 3, [false, true])), Entry::Copy);
        assert_eq!(ledger.enter(at(60, Cloud, 3, [false, true])), Entry::HandOver { add: 3, missed: 0 });
        assert_eq!(ledger.owner, Some(Cloud));
        // The LAN is back: now it brings the copies.
        assert_eq!(ledger.enter(at(120, Lan, 5, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(121, Cloud, 5, BOTH)), Entry::Add(5));
    }

    #[test]
    fn what_a_dead_owner_missed_is_added_when_it_is_found_dead() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        ledger.enter(at(1, Cloud, 3, BOTH));
        // The connection is dead, but nobody knows yet.
        assert_eq!(ledger.enter(at(30, Cloud, 4, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(60, Cloud, 5, [false, true])), Entry::HandOver { add: 9, missed: 1 });
    }

    #[test]
    fn what_a_dead_owner_missed_is_added_even_if_it_is_back_before_the_next_delta() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        ledger.enter(at(1, Cloud, 3, BOTH));
        assert_eq!(ledger.settle(BOTH), None);
        ledger.enter(at(30, Cloud, 4, BOTH));
        assert_eq!(ledger.settle([true, false]), None);
        assert_eq!(ledger.settle([false, true]), Some(Entry::HandOver { add: 4, missed: 1 }));
        assert_eq!(ledger.enter(at(60, Lan, 5, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(61, Cloud, 5, BOTH)), Entry::Add(5));
    }

    #[test]
    fn what_was_under_way_when_the_owner_came_back_is_no_copy() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        ledger.enter(at(1, Cloud, 3, BOTH));
        assert_eq!(ledger.settle([false, true]), Some(Entry::HandOver { add: 0, missed: 0 }));
        assert_eq!(ledger.settle([false, true]), None, "told once");
        assert_eq!(ledger.settle(BOTH), None);
        assert_eq!(ledger.enter(at(30, Cloud, 4, BOTH)), Entry::Add(4));
        assert_eq!(ledger.enter(at(60, Lan, 5, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(61, Cloud, 5, BOTH)), Entry::Add(5));
    }

    #[test]
    fn a_line_that_comes_up_while_the_owner_is_away_owns_it() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, [true, false]));
        assert_eq!(ledger.settle([false, false]), None, "nobody else is there");
        assert_eq!(ledger.settle([false, true]), Some(Entry::HandOver { add: 0, missed: 0 }));
        assert_eq!(ledger.enter(at(30, Cloud, 4, BOTH)), Entry::Add(4));
    }

    #[test]
    fn an_owner_that_is_up_but_brings_nothing_loses_it() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        ledger.enter(at(1, Cloud, 3, BOTH));
        assert_eq!(ledger.enter(at(300, Cloud, 1, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(330, Cloud, 1, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(359, Cloud, 1, BOTH)), Entry::Copy);
        assert_eq!(ledger.enter(at(600, Cloud, 1, BOTH)), Entry::HandOver { add: 4, missed: 3 });
    }

    #[test]
    fn what_an_owner_passed_over_stays_a_copy() {
        let mut ledger = Ledger::default();
        ledger.enter(at(0, Lan, 3, BOTH));
        ledger.enter(at(1, Cloud, 3, BOTH));
        ledger.enter(at(30, Cloud, 7, BOTH));
        assert_eq!(ledger.enter(at(100, Lan, 8, BOTH)), Entry::Add(8));
        assert_eq!(ledger.enter(at(200, Cloud, 9, [false, true])), Entry::HandOver { add: 9, missed: 0 });
        assert_eq!(ledger.copies(), 2);
    }

    #[test]
    fn a_line_that_was_down_brings_no_copies() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.enter(at(0, Lan, 1, [true, false])), Entry::Add(1));
        // The LAN is lost, the cloud came up: this is a new one, though it is equal and soon after.
        assert_eq!(ledger.enter(at(5, Cloud, 1, [false, true])), Entry::HandOver { add: 1, missed: 0 });
    }

    #[test]
    fn a_message_that_is_sent_again_is_not_added_again() {
        let mut ledger = Ledger::default();
        let sent = |ms, s| Delta { device_ms: Some(ms), ..at(s, Cloud, 2, [false, true]) };
        assert_eq!(ledger.enter(sent(1_000, 1)), Entry::Add(2));
        assert_eq!(ledger.enter(sent(1_000, 90)), Entry::Replay);
        assert_eq!(ledger.enter(sent(91_000, 91)), Entry::Add(2));
    }
}
