//! Which question comes next, and what the answers mean. Pure: no sockets, no clock (lan.md 5.7).

use landfall_proto::lan::Version;

use super::seen::{Asked, Seen, Step};
use crate::state::ConnectFailure;

/// Most connections of one detection.
pub(crate) const MOST: usize = 5;

/// What a detection found out, or why it could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// This version.
    Version {
        /// Which.
        version: Version,
        /// It refuses ordinary queries with "data unvalid".
        needs_device22: bool,
    },
    /// No TCP connection.
    Unreachable(ConnectFailure),
    /// It speaks this, but under another key.
    WrongKey(&'static str),
    /// It closes every connection, also one on which nothing was sent.
    Busy,
    /// Nothing answered.
    Unclear,
    /// Older than what worked before.
    Downgrade {
        /// What answered.
        seen: Version,
        /// What worked before.
        proven: Version,
    },
    /// Something else listens there.
    NotTuya,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask this on a fresh connection.
    Ask(Asked),
    /// It is decided.
    Conclude(Conclusion),
}

/// The next step after these, for a device that once spoke `proven`.
pub(crate) fn next(proven: Option<Version>, steps: &[Step]) -> Next {
    match walk(proven, steps) {
        Next::Conclude(Conclusion::Version { version, .. })
            if proven.is_some_and(|p| version < p && !same_family(version, p)) =>
        {
            // `proven` is Some here.
            Next::Conclude(Conclusion::Downgrade { seen: version, proven: proven.unwrap_or(version) })
        }
        Next::Ask(_) if steps.len() >= MOST => Next::Conclude(Conclusion::Unclear),
        next => next,
    }
}

/// 3.2 is 3.3 with another query; probing does not tell them apart.
fn same_family(a: Version, b: Version) -> bool {
    let old = |v| matches!(v, Version::V3_2 | Version::V3_3);
    old(a) && old(b)
}

fn walk(proven: Option<Version>, steps: &[Step]) -> Next {
    let seen = |asked: Asked| steps.iter().find(|s| s.asked == asked).map(|s| &s.seen);
    let found = |version, needs_device22| Next::Conclude(Conclusion::Version { version, needs_device22 });
    let conclude = Next::Conclude;
    if let Some(Step { seen: Seen::NoConnection(e), .. }) = steps.iter().find(|s| !connected(s)) {
        return conclude(Conclusion::Unreachable(*e));
    }
    let Some(clear) = seen(Asked::Clear) else { return Next::Ask(Asked::Clear) };
    for step in steps {
        let Asked::Session(version) = step.asked else { continue };
        match &step.seen {
            Seen::Established | Seen::Answered { .. } | Seen::CutOff => return found(version, false),
            refused @ Seen::Refused(_) if version >= Version::V3_4 => {
                // It could only say so under the session key.
                return found(version, refused.is_data_unvalid());
            }
            refused @ Seen::Refused(_) if refused.is_data_unvalid() => return found(version, true),
            Seen::WrongKey => return conclude(Conclusion::WrongKey(speaks(version))),
            _ => {}
        }
    }
    let old = Asked::Session(Version::V3_3);
    let ask_or =
        |asked: Asked, otherwise: Next| if seen(asked).is_none() { Next::Ask(asked) } else { otherwise };
    match clear {
        Seen::Foreign => conclude(Conclusion::NotTuya),
        Seen::Json { .. } => found(Version::V3_1, false),
        Seen::Cipher { opens: Some(false) } => conclude(Conclusion::WrongKey(speaks(Version::V3_3))),
        Seen::Cipher { .. } | Seen::Empty => ask_or(old, conclude(Conclusion::Unclear)),
        // A text that shows that the clear question was read: 3.1. One that it was not, and neither was the encrypted
        // one: 3.2 or 3.3 that writes its errors in clear, with another key.
        text @ Seen::Text(_) => ask_or(
            old,
            match seen(old) {
                Some(again) if again.is_unreadable_to_device() && text.is_unreadable_to_device() => {
                    conclude(Conclusion::WrongKey(speaks(Version::V3_3)))
                }
                Some(again) if again.is_unreadable_to_device() => {
                    found(Version::V3_1, text.is_data_unvalid())
                }
                Some(Seen::Refused(_)) => found(Version::V3_3, false),
                _ => conclude(Conclusion::Unclear),
            },
        ),
        Seen::Frame34 => {
            ask_or(Asked::Session(Version::V3_4), conclude(Conclusion::WrongKey(speaks(Version::V3_4))))
        }
        Seen::Frame35 => {
            ask_or(Asked::Session(Version::V3_5), conclude(Conclusion::WrongKey(speaks(Version::V3_5))))
        }
        // Closed or silent: 3.4, 3.5, or busy; some 3.3 firmware ignores what it can't read.
        _ => {
            let newest_first = [Version::V3_5, Version::V3_4, Version::V3_3];
            let order = proven.into_iter().filter(|p| *p > Version::V3_2).chain(newest_first);
            for version in order {
                if seen(Asked::Session(version)).is_none() {
                    return Next::Ask(Asked::Session(version));
                }
            }
            if !steps.iter().all(|s| matches!(s.seen, Seen::Closed { .. })) {
                return conclude(Conclusion::Unclear);
            }
            // A wrong key makes 3.4 and 3.5 close too, but only after they were asked something.
            ask_or(
                Asked::Nothing,
                conclude(match seen(Asked::Nothing) {
                    Some(Seen::Closed { .. }) => Conclusion::Busy,
                    _ => Conclusion::Unclear,
                }),
            )
        }
    }
}

fn connected(step: &Step) -> bool {
    !matches!(step.seen, Seen::NoConnection(_))
}

/// How a message names a version that probing can't pin down.
const fn speaks(version: Version) -> &'static str {
    match version {
        Version::V3_2 | Version::V3_3 => "3.2 or 3.3",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Asked = Asked::Clear;
    const S33: Asked = Asked::Session(Version::V3_3);
    const S34: Asked = Asked::Session(Version::V3_4);
    const S35: Asked = Asked::Session(Version::V3_5);
    const CLOSED: Seen = Seen::Closed { at_once: true };

    fn steps(list: &[(Asked, Seen)]) -> Vec<Step> {
        list.iter().map(|(asked, seen)| Step { asked: *asked, seen: seen.clone() }).collect()
    }

    fn refused(text: &str) -> Seen {
        Seen::Refused(text.to_owned())
    }

    fn text(text: &str) -> Seen {
        Seen::Text(text.to_owned())
    }

    fn version(version: Version) -> Next {
        Next::Conclude(Conclusion::Version { version, needs_device22: false })
    }

    fn device22(version: Version) -> Next {
        Next::Conclude(Conclusion::Version { version, needs_device22: true })
    }

    fn wrong_key(speaks: &'static str) -> Next {
        Next::Conclude(Conclusion::WrongKey(speaks))
    }

    #[test]
    fn every_branch_of_the_table() {
        let answered = Seen::Answered { points: 3 };
        let table: Vec<(Vec<(Asked, Seen)>, Next)> = vec![
            (vec![], Next::Ask(CLEAR)),
            (
                vec![(CLEAR, Seen::NoConnection(ConnectFailure::Refused))],
                Next::Conclude(Conclusion::Unreachable(ConnectFailure::Refused)),
            ),
            (vec![(CLEAR, Seen::Foreign)], Next::Conclude(Conclusion::NotTuya)),
            // 3.1
            (vec![(CLEAR, Seen::Json { id: None })], version(Version::V3_1)),
            (vec![(CLEAR, text("devid not found"))], Next::Ask(S33)),
            (
                vec![(CLEAR, text("devid not found")), (S33, refused("data format error"))],
                version(Version::V3_1),
            ),
            (
                vec![(CLEAR, text("json obj data unvalid")), (S33, refused("data format error"))],
                device22(Version::V3_1),
            ),
            // 3.2 and 3.3
            (vec![(CLEAR, Seen::Cipher { opens: Some(true) })], Next::Ask(S33)),
            (vec![(CLEAR, Seen::Cipher { opens: Some(false) })], wrong_key("3.2 or 3.3")),
            (vec![(CLEAR, Seen::Empty)], Next::Ask(S33)),
            (vec![(CLEAR, Seen::Empty), (S33, answered.clone())], version(Version::V3_3)),
            (
                vec![(CLEAR, Seen::Cipher { opens: Some(true) }), (S33, refused("json obj data unvalid"))],
                device22(Version::V3_3),
            ),
            (vec![(CLEAR, text("data format error"))], Next::Ask(S33)),
            (vec![(CLEAR, text("data format error")), (S33, answered.clone())], version(Version::V3_3)),
            (
                vec![(CLEAR, text("data format error")), (S33, refused("data format error"))],
                wrong_key("3.2 or 3.3"),
            ),
            (vec![(CLEAR, text("data format error")), (S33, Seen::WrongKey)], wrong_key("3.2 or 3.3")),
            (
                vec![(CLEAR, text("data format error")), (S33, Seen::Silent)],
                Next::Conclude(Conclusion::Unclear),
            ),
            // 3.4 and 3.5
            (vec![(CLEAR, CLOSED)], Next::Ask(S35)),
            (vec![(CLEAR, Seen::Silent), (S35, Seen::Established)], version(Version::V3_5)),
            (vec![(CLEAR, CLOSED), (S35, CLOSED)], Next::Ask(S34)),
            (vec![(CLEAR, CLOSED), (S35, CLOSED), (S34, Seen::Established)], version(Version::V3_4)),
            (vec![(CLEAR, CLOSED), (S35, Seen::Silent), (S34, answered.clone())], version(Version::V3_4)),
            (vec![(CLEAR, CLOSED), (S35, refused("json obj data unvalid"))], device22(Version::V3_5)),
            (vec![(CLEAR, CLOSED), (S35, Seen::WrongKey)], wrong_key("3.5")),
            (vec![(CLEAR, Seen::Frame35)], Next::Ask(S35)),
            (vec![(CLEAR, Seen::Frame35), (S35, CLOSED)], wrong_key("3.5")),
            (vec![(CLEAR, Seen::Frame34)], Next::Ask(S34)),
            (vec![(CLEAR, Seen::Frame34), (S34, Seen::Silent)], wrong_key("3.4")),
            // 3.3 that ignores clear text
            (vec![(CLEAR, Seen::Silent), (S35, Seen::Silent), (S34, Seen::Silent)], Next::Ask(S33)),
            (
                vec![(CLEAR, Seen::Silent), (S35, Seen::Silent), (S34, Seen::Silent), (S33, answered)],
                version(Version::V3_3),
            ),
            // nothing answers
            (
                vec![(CLEAR, Seen::Silent), (S35, CLOSED), (S34, CLOSED), (S33, CLOSED)],
                Next::Conclude(Conclusion::Unclear),
            ),
            (vec![(CLEAR, CLOSED), (S35, CLOSED), (S34, CLOSED), (S33, CLOSED)], Next::Ask(Asked::Nothing)),
            (
                vec![(CLEAR, CLOSED), (S35, CLOSED), (S34, CLOSED), (S33, CLOSED), (Asked::Nothing, CLOSED)],
                Next::Conclude(Conclusion::Busy),
            ),
            (
                vec![
                    (CLEAR, CLOSED),
                    (S35, CLOSED),
                    (S34, CLOSED),
                    (S33, CLOSED),
                    (Asked::Nothing, Seen::Silent),
                ],
                Next::Conclude(Conclusion::Unclear),
            ),
            // gone half-way
            (
                vec![(CLEAR, CLOSED), (S35, Seen::NoConnection(ConnectFailure::TimedOut))],
                Next::Conclude(Conclusion::Unreachable(ConnectFailure::TimedOut)),
            ),
        ];
        for (list, expected) in table {
            assert_eq!(next(None, &steps(&list)), expected, "{list:?}");
        }
    }

    #[test]
    fn what_worked_before_is_never_lowered() {
        let clear = steps(&[(CLEAR, Seen::Json { id: None })]);
        assert_eq!(
            next(Some(Version::V3_4), &clear),
            Next::Conclude(Conclusion::Downgrade { seen: Version::V3_1, proven: Version::V3_4 })
        );
        assert_eq!(next(Some(Version::V3_1), &clear), version(Version::V3_1));
        let older = steps(&[(CLEAR, Seen::Empty), (S33, Seen::Answered { points: 1 })]);
        assert!(matches!(
            next(Some(Version::V3_5), &older),
            Next::Conclude(Conclusion::Downgrade { seen: Version::V3_3, .. })
        ));
        assert_eq!(next(Some(Version::V3_2), &older), version(Version::V3_3));
        let newer = steps(&[(CLEAR, CLOSED), (S35, Seen::Established)]);
        assert_eq!(next(Some(Version::V3_3), &newer), version(Version::V3_5));
    }

    #[test]
    fn what_worked_before_is_tried_first() {
        let closed = steps(&[(CLEAR, CLOSED)]);
        assert_eq!(next(Some(Version::V3_4), &closed), Next::Ask(S34));
        assert_eq!(next(Some(Version::V3_3), &closed), Next::Ask(S33));
        assert_eq!(next(Some(Version::V3_1), &closed), Next::Ask(S35));
    }

    /// Whatever the device does, a detection ends after a handful of connections and never repeats a question.
    #[test]
    fn every_walk_ends_soon() {
        let replies = [
            CLOSED,
            Seen::Closed { at_once: false },
            Seen::Silent,
            Seen::Foreign,
            Seen::Text("data format error".to_owned()),
            Seen::Text("json obj data unvalid".to_owned()),
            Seen::Cipher { opens: Some(true) },
            Seen::Cipher { opens: None },
            Seen::Empty,
            Seen::Frame34,
            Seen::Frame35,
            refused("parse data error"),
            refused("no"),
            Seen::WrongVersion("x"),
            Seen::Broken("x".to_owned()),
        ];
        for proven in
            [None, Some(Version::V3_1), Some(Version::V3_3), Some(Version::V3_4), Some(Version::V3_5)]
        {
            let mut open = vec![Vec::<Step>::new()];
            while let Some(done) = open.pop() {
                if let Next::Ask(asked) = next(proven, &done) {
                    assert!(done.len() < MOST, "{done:?}");
                    assert!(done.iter().all(|s| s.asked != asked), "{done:?} then {asked} again");
                    for reply in &replies {
                        let step = Step { asked, seen: reply.clone() };
                        open.push([done.clone(), vec![step]].concat());
                    }
                }
            }
        }
    }
}
