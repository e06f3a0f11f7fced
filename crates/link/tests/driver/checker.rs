//! Holds claims about sets against a device's own journal of applied writes. Knows nothing of the client: claims are
//! stated in its own words, truth is the journal.

use std::collections::HashMap;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_sim::journal::Write;

/// What somebody was told about one point of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The device has it.
    Done,
    /// The device took it.
    Taken,
    /// The device did not do it.
    NotDone,
    /// It was never sent.
    NeverSent,
    /// Nobody knows.
    Unknown,
}

/// One point of one set.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) point: DpId,
    pub(crate) value: DpValue,
    /// No other set writes this value to this point.
    pub(crate) unique: bool,
    /// Must not be applied twice.
    pub(crate) once: bool,
    pub(crate) from: Duration,
    pub(crate) deadline: Duration,
    /// When and what was told; `None`: nothing ever.
    pub(crate) told: Option<(Duration, Verdict)>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) done: usize,
    pub(crate) taken: usize,
    pub(crate) not_done: usize,
    pub(crate) never_sent: usize,
    pub(crate) unknown: usize,
    /// Of those unknown, how many were applied after all.
    pub(crate) unknown_applied: usize,
    /// State values that were applied more than once (resent: allowed).
    pub(crate) repeated: usize,
    pub(crate) wrong: Vec<String>,
}

/// Checks all claims. `ordered`: also that, point by point, values were first applied in the order in which the sets
/// were given (a network that delivers late can break that; a client on a well-behaved one must not). `first`: values of
/// the points before any write.
pub(crate) fn check(
    claims: &[Claim],
    journal: &[Write],
    first: &[(DpId, DpValue)],
    ordered: bool,
) -> Findings {
    let mut found = Findings::default();
    let mut writes: HashMap<(DpId, String), Vec<&Write>> = HashMap::new();
    let mut history: HashMap<DpId, Vec<&Write>> = HashMap::new();
    for write in journal {
        writes.entry((write.dp, write.value.to_string())).or_default().push(write);
        history.entry(write.dp).or_default().push(write);
    }
    let mut last_first: HashMap<DpId, (u64, String)> = HashMap::new();
    for claim in claims {
        let key = (claim.point, claim.value.to_string());
        let of_value: &[&Write] = writes.get(&key).map_or(&[], Vec::as_slice);
        let name = format!("{:?}={} given at {:?}", claim.point, claim.value, claim.from);
        let mut wrong = |what: &str| {
            let at: Vec<_> = of_value.iter().map(|w| w.at).collect();
            found.wrong.push(format!("{name}: {what}; told {:?}, applied at {at:?}", claim.told));
        };
        let Some((at, verdict)) = claim.told else {
            wrong("nobody was ever told how it ended");
            continue;
        };
        if at > claim.deadline {
            wrong("told after its deadline");
        }
        let inside = of_value.iter().any(|w| w.at >= claim.from && w.at <= at);
        match verdict {
            Verdict::Done if claim.unique && !inside => wrong("said to be done but was not applied"),
            Verdict::Done if !claim.unique && !held(claim, at, &history, first) => {
                wrong("said to be done but the point never had the value");
            }
            Verdict::Taken if claim.unique && !inside => wrong("said to be taken but was not applied"),
            Verdict::NotDone if claim.unique && inside => wrong("said not to be done but was applied"),
            Verdict::NeverSent if claim.unique && !of_value.is_empty() => {
                wrong("said never to have been sent but was applied");
            }
            _ => {}
        }
        if claim.unique && claim.once && of_value.len() > 1 {
            wrong("applied more than once");
        }
        if ordered
            && claim.unique
            && let Some(w) = of_value.first()
        {
            if let Some((ordinal, newer)) = last_first.get(&claim.point)
                && *ordinal > w.ordinal
            {
                wrong(&format!("given after {newer} but applied before it"));
            }
            last_first.insert(claim.point, (w.ordinal, claim.value.to_string()));
        }
        if claim.unique && !claim.once && of_value.len() > 1 {
            found.repeated += 1;
        }
        match verdict {
            Verdict::Done => found.done += 1,
            Verdict::Taken => found.taken += 1,
            Verdict::NotDone => found.not_done += 1,
            Verdict::NeverSent => found.never_sent += 1,
            Verdict::Unknown => {
                found.unknown += 1;
                found.unknown_applied += usize::from(claim.unique && !of_value.is_empty());
            }
        }
    }
    found
}

/// Whether the point had the value at some moment between giving and telling.
fn held(
    claim: &Claim,
    at: Duration,
    history: &HashMap<DpId, Vec<&Write>>,
    first: &[(DpId, DpValue)],
) -> bool {
    let all = history.get(&claim.point).map_or(&[][..], Vec::as_slice);
    let from = all.partition_point(|w| w.at < claim.from);
    let before = match from.checked_sub(1) {
        Some(i) => Some(&all[i].value),
        None => first.iter().find(|(id, _)| *id == claim.point).map(|(_, v)| v),
    };
    before.is_some_and(|v| v.same_on_wire(&claim.value))
        || all[from..].iter().take_while(|w| w.at <= at).any(|w| w.value.same_on_wire(&claim.value))
}

mod tests {
    use super::*;
    use landfall_proto::id::DeviceId;

    fn write(ordinal: u64, ms: u64, value: &str) -> Write {
        Write {
            ordinal,
            at: Duration::from_millis(ms),
            device: DeviceId::new("bf0123456789abcdefvx01").unwrap(),
            cid: None,
            dp: DpId(7),
            value: DpValue::text(value),
            changed: true,
            line: landfall_sim::journal::Line::Lan,
        }
    }

    fn claim(value: &str, ms: u64, told: Option<(u64, Verdict)>) -> Claim {
        Claim {
            point: DpId(7),
            value: DpValue::text(value),
            unique: true,
            once: false,
            from: Duration::from_millis(ms),
            deadline: Duration::from_millis(ms + 5000),
            told: told.map(|(at, v)| (Duration::from_millis(at), v)),
        }
    }

    fn complaint(claims: &[Claim], journal: &[Write]) -> String {
        check(claims, journal, &[(DpId(7), DpValue::text("z"))], true).wrong.join("\n")
    }

    #[test]
    fn lies_are_found() {
        use Verdict::{Done, NeverSent, NotDone, Taken, Unknown};
        let told = |v| claim("a", 10, Some((20, v)));
        assert!(complaint(&[told(Done)], &[]).contains("was not applied"));
        assert!(complaint(&[told(Done)], &[write(1, 30, "a")]).contains("was not applied"));
        assert!(complaint(&[told(Taken)], &[]).contains("was not applied"));
        assert!(complaint(&[told(NotDone)], &[write(1, 15, "a")]).contains("was applied"));
        assert!(complaint(&[told(NeverSent)], &[write(1, 15, "a")]).contains("was applied"));
        let twice = [write(1, 15, "a"), write(2, 16, "a")];
        assert!(complaint(&[Claim { once: true, ..told(Unknown) }], &twice).contains("more than once"));
        assert!(complaint(&[told(Done)], &twice).is_empty());
        assert!(complaint(&[claim("a", 10, None)], &[]).contains("nobody was ever told"));
        assert!(complaint(&[claim("a", 10, Some((6000, Unknown)))], &[]).contains("deadline"));
        let order = [claim("a", 1, Some((20, Done))), claim("b", 2, Some((20, Done)))];
        assert!(complaint(&order, &[write(1, 5, "b"), write(2, 6, "a")]).contains("applied before it"));
        assert!(complaint(&order, &[write(1, 5, "a"), write(2, 6, "b")]).is_empty());
        let shared = |value| Claim { unique: false, ..claim(value, 10, Some((20, Done))) };
        assert!(complaint(&[shared("z")], &[]).is_empty());
        assert!(complaint(&[shared("z")], &[write(1, 5, "a")]).contains("never had"));
        assert!(complaint(&[shared("a")], &[write(1, 15, "a")]).is_empty());
    }
}
