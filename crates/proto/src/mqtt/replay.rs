//! The rule by which stock firmware drops old messages (cloud.md 4.5). SDK devices have none.

use super::Stamp;

/// Sources that stock firmware remembers.
const SOURCES: usize = 5;

/// The last sequence of each source that a device heard. When a sixth comes, the one heard longest ago is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// The one heard last comes last.
    heard: Vec<Stamp>,
}

impl Sequences {
    /// Nobody heard yet.
    pub const fn new() -> Self {
        Self { heard: Vec::new() }
    }

    /// Whether a message is new, and remembers it if so. Only for messages whose envelope was opened: in 2.2 the words
    /// are not authenticated, so a stranger could otherwise use numbers up.
    pub fn accept(&mut self, stamp: Stamp) -> bool {
        if stamp.source == Stamp::CLOUD {
            return true;
        }
        match self.heard.iter().position(|s| s.source == stamp.source) {
            Some(at) if stamp.sequence <= self.heard[at].sequence => return false,
            Some(at) => {
                self.heard.remove(at);
            }
            None if self.heard.len() == SOURCES => {
                self.heard.remove(0);
            }
            None => {}
        }
        self.heard.push(stamp);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_counts_upwards_except_source_zero() {
        let mut heard = Sequences::new();
        for (source, sequence, new) in [
            (7, 10, true),
            (7, 10, false),
            (7, 9, false),
            (7, 11, true),
            (8, 1, true),
            (7, 11, false),
            (8, 2, true),
        ] {
            assert_eq!(heard.accept(Stamp { sequence, source }), new, "{source} {sequence}");
        }
        for _ in 0..3 {
            assert!(heard.accept(Stamp::cloud(0)));
        }
    }

    #[test]
    fn five_sources_are_remembered_and_no_more() {
        let mut heard = Sequences::new();
        for source in 1..=5 {
            assert!(heard.accept(Stamp { sequence: 9, source }));
        }
        // 1 speaks again, so 2 is the one heard longest ago.
        assert!(heard.accept(Stamp { sequence: 10, source: 1 }));
        assert!(heard.accept(Stamp { sequence: 9, source: 6 }));
        assert!(!heard.accept(Stamp { sequence: 10, source: 1 }));
        assert!(heard.accept(Stamp { sequence: 1, source: 2 }), "2 was forgotten");
        assert_eq!(heard.heard.len(), SOURCES);
    }
}
