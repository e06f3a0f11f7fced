use std::time::Duration;

use landfall_proto::id::{Cid, DeviceId, LocalKey};

use super::*;
use crate::detect::Step;
use crate::diagnose::plan::{MOST, next_question};
use crate::diagnose::{Listened, Patient};
use crate::scan::{Finding, Note, Probe};

const CLOSED: Seen = Seen::Closed { at_once: true };
const REFUSED: Seen = Seen::NoConnection(ConnectFailure::Refused);
const TIMED_OUT: Seen = Seen::NoConnection(ConnectFailure::TimedOut);

fn patient() -> Patient {
    Patient {
        id: DeviceId::new("bf0123456789abcdefvx01").unwrap(),
        name: Some("plug".to_owned()),
        cid: None,
        key: Some(LocalKey::new("0123456789abcdef").unwrap()),
        version: Some(Version::V3_3),
        address: Some("192.168.1.5:6668".parse().unwrap()),
        sleeps: false,
        device22: false,
    }
}

fn finding(version: Version) -> Finding {
    Finding {
        id: Some(patient().id),
        address: patient().address,
        version: Some(version),
        seen_by: vec![Probe::Beacon6667],
        ..Finding::default()
    }
}

/// A case: the book says `book`, the device announced `heard`, and the connections went so.
struct Case {
    e: Evidence,
}

fn case(book: Option<Version>, heard: Option<Version>, steps: &[(Asked, Seen)]) -> Case {
    let listened =
        Listened { time: Duration::from_secs(8), heard: heard.map(finding), others: 3, deaf: Vec::new() };
    let patient = Patient { version: book, ..patient() };
    let steps = steps.iter().map(|(asked, seen)| Step { asked: *asked, seen: seen.clone() }).collect();
    Case { e: Evidence { address: patient.address, patient, listened: Some(listened), steps } }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Evidence)) -> Self {
        change(&mut self.e);
        self
    }
    fn sleeping(self) -> Self {
        self.with(|e| e.patient.sleeps = true)
    }
    fn clients(self, n: u32) -> Self {
        self.with(|e| e.listened.as_mut().unwrap().heard.as_mut().unwrap().clients = Some(n))
    }
    fn deaf(self) -> Self {
        self.with(|e| e.listened.as_mut().unwrap().deaf.push("cannot listen".to_owned()))
    }
    fn keyless(self) -> Self {
        self.with(|e| e.patient.key = None)
    }
    fn homeless(self) -> Self {
        self.with(|e| (e.address, e.patient.address) = (None, None))
    }
    fn child(self) -> Self {
        self.with(|e| e.patient.cid = Some(Cid::new("a4c138").unwrap()))
    }
}

fn s(version: Version) -> Asked {
    Asked::Session(version)
}

fn refused(text: &str) -> Seen {
    Seen::Refused(text.to_owned())
}

const V1: Version = Version::V3_1;
const V2: Version = Version::V3_2;
const V3: Version = Version::V3_3;
const V4: Version = Version::V3_4;
const V5: Version = Version::V3_5;
const NOTHING: Asked = Asked::Nothing;
const CLEAR: Asked = Asked::Clear;

#[test]
fn every_verdict_has_its_evidence() {
    use Verdict::{
        AnotherClientHoldsTheSession as Other, Asleep, CutOff, Healthy, NotOnThisNetwork as Absent,
        PortClosed, Unclear, WaitsForItsCloud as Waits, Wedged, WrongKey, WrongVersion,
    };
    let wrong = |right| WrongVersion { right };
    let answered = Seen::Answered { points: 3 };
    let thrice = |v| vec![(s(v), CLOSED), (NOTHING, Seen::Silent), (s(v), CLOSED), (s(v), CLOSED)];
    let thrice_silent =
        |v| vec![(s(v), Seen::Silent), (NOTHING, Seen::Silent), (s(v), Seen::Silent), (s(v), Seen::Silent)];
    let guessed = |seen: Seen| {
        vec![
            (s(V3), seen.clone()),
            (NOTHING, Seen::Silent),
            (CLEAR, seen.clone()),
            (s(V5), seen.clone()),
            (s(V4), seen),
        ]
    };
    let table: Vec<(&str, Case, Verdict)> = vec![
        ("answers", case(Some(V3), Some(V3), &[(s(V3), answered.clone())]), Healthy),
        ("answers unheard", case(Some(V4), None, &[(s(V4), answered.clone())]), Healthy),
        ("no version in the book", case(None, Some(V5), &[(s(V5), answered.clone())]), Healthy),
        ("3.2 is 3.3", case(Some(V2), Some(V2), &[(s(V3), refused("json obj data unvalid"))]), Healthy),
        ("device22", case(Some(V3), None, &[(s(V3), refused("json obj data unvalid"))]), Healthy),
        ("3.1 found", case(None, None, &[(CLEAR, Seen::Json { id: None })]), Healthy),
        ("lost packet", case(Some(V3), Some(V3), &[(s(V3), TIMED_OUT), (s(V3), answered.clone())]), Healthy),
        // not on this network
        ("nothing at all", case(Some(V3), None, &[(s(V3), TIMED_OUT)]), Absent),
        (
            "no route",
            case(Some(V3), None, &[(s(V3), Seen::NoConnection(ConnectFailure::Unreachable))]),
            Absent,
        ),
        ("no address", case(Some(V3), None, &[]).homeless(), Absent),
        (
            "a printer there",
            case(Some(V3), None, &[(s(V3), CLOSED), (NOTHING, Seen::Silent), (CLEAR, Seen::Foreign)]),
            Absent,
        ),
        // port closed
        ("refused, unheard", case(Some(V3), None, &[(s(V3), REFUSED)]), PortClosed),
        // waits for its cloud
        ("refused, heard", case(Some(V3), Some(V3), &[(s(V3), REFUSED)]), Waits),
        ("time out, heard", case(Some(V3), Some(V3), &[(s(V3), TIMED_OUT), (s(V3), TIMED_OUT)]), Waits),
        (
            "accepts nothing, heard",
            case(
                Some(V3),
                Some(V3),
                &[(s(V3), Seen::Silent), (NOTHING, Seen::Silent), (CLEAR, Seen::Silent)],
            ),
            Waits,
        ),
        // another client
        (
            "says so",
            case(Some(V4), Some(V4), &[(s(V4), CLOSED), (NOTHING, CLOSED), (NOTHING, CLOSED)]).clients(1),
            Other,
        ),
        ("refuses and says so", case(Some(V4), Some(V4), &[(s(V4), REFUSED)]).clients(2), Other),
        ("silent and says so", case(Some(V5), Some(V5), &thrice_silent(V5)).clients(1), Other),
        (
            "stopped announcing",
            case(Some(V4), None, &[(s(V4), CLOSED), (NOTHING, CLOSED), (NOTHING, CLOSED)]),
            Other,
        ),
        ("backlog of an old device", case(Some(V3), None, &[guessed(Seen::Silent), vec![]].concat()), Other),
        // wrong key
        ("3.3 says so", case(Some(V3), None, &[(s(V3), Seen::WrongKey)]), WrongKey),
        ("clear query shows it", case(None, None, &[(CLEAR, Seen::Cipher { opens: Some(false) })]), WrongKey),
        ("3.4 closes thrice", case(Some(V4), Some(V4), &thrice(V4)), WrongKey),
        ("3.4 silent thrice", case(Some(V4), Some(V4), &thrice_silent(V4)), WrongKey),
        ("3.5 closes thrice", case(Some(V5), Some(V5), &thrice(V5)), WrongKey),
        ("closes to every version", case(Some(V3), None, &guessed(CLOSED)), WrongKey),
        (
            "errors in clear",
            case(
                Some(V3),
                None,
                &[(s(V3), refused("data format error")), (CLEAR, Seen::Text("data format error".to_owned()))],
            ),
            WrongKey,
        ),
        (
            "shows the book's version",
            case(Some(V5), None, &[(s(V5), CLOSED), (NOTHING, Seen::Silent), (CLEAR, Seen::Frame35)]),
            WrongKey,
        ),
        (
            "pairing mode",
            case(Some(V3), Some(V3), &[(s(V3), REFUSED)])
                .with(|e| e.listened.as_mut().unwrap().heard.as_mut().unwrap().notes.push(Note::NotPaired)),
            WrongKey,
        ),
        // wrong version
        (
            "its word is right",
            case(Some(V3), Some(V4), &[(s(V3), CLOSED), (s(V4), answered.clone())]),
            wrong(Some(V4)),
        ),
        (
            "found out",
            case(
                Some(V4),
                None,
                &[(s(V4), CLOSED), (NOTHING, Seen::Silent), (CLEAR, CLOSED), (s(V5), answered.clone())],
            ),
            wrong(Some(V5)),
        ),
        (
            "speaks 3.1",
            case(Some(V3), None, &[(s(V3), refused("data format error")), (CLEAR, Seen::Json { id: None })]),
            wrong(Some(V1)),
        ),
        (
            "other frames",
            case(Some(V4), None, &[(s(V4), Seen::WrongVersion("sends frames of 3.5"))]),
            wrong(None),
        ),
        (
            "other frames, heard",
            case(Some(V4), Some(V5), &[(s(V4), Seen::WrongVersion("x")), (s(V5), CLOSED)]),
            wrong(Some(V5)),
        ),
        (
            "encrypted answer",
            case(
                Some(V4),
                None,
                &[(s(V4), CLOSED), (NOTHING, Seen::Silent), (CLEAR, Seen::Cipher { opens: Some(true) })],
            ),
            wrong(Some(V3)),
        ),
        // asleep
        ("sleeps, no address", case(Some(V3), None, &[]).homeless().sleeping(), Asleep),
        ("sleeps, time out", case(Some(V3), None, &[(s(V3), TIMED_OUT)]).sleeping(), Asleep),
        (
            "fell asleep",
            case(Some(V3), Some(V3), &[(s(V3), TIMED_OUT), (s(V3), TIMED_OUT)]).sleeping(),
            Asleep,
        ),
        (
            "child sleeps",
            case(Some(V4), None, &[(s(V4), refused("query dp failed"))]).child().sleeping(),
            Asleep,
        ),
        (
            "silent child sleeps",
            case(Some(V4), None, &[(s(V4), Seen::Established)]).child().sleeping(),
            Asleep,
        ),
        // cut off
        ("child offline", case(Some(V4), None, &[(s(V4), Seen::CutOff)]).child(), CutOff),
        ("child not reached", case(Some(V4), None, &[(s(V4), refused("query dp failed"))]).child(), CutOff),
        ("sleeping child offline", case(Some(V4), None, &[(s(V4), Seen::CutOff)]).child().sleeping(), Asleep),
        // wedged
        (
            "closes at once",
            case(Some(V4), Some(V4), &[(s(V4), CLOSED), (NOTHING, CLOSED), (NOTHING, CLOSED)]),
            Wedged,
        ),
        (
            "no clients",
            case(Some(V4), Some(V4), &[(s(V4), CLOSED), (NOTHING, CLOSED), (NOTHING, CLOSED)]).clients(0),
            Wedged,
        ),
        // unclear
        (
            "nobody could listen",
            case(Some(V4), None, &[(s(V4), CLOSED), (NOTHING, CLOSED), (NOTHING, CLOSED)]).deaf(),
            Unclear,
        ),
        ("negotiates only", case(Some(V4), Some(V4), &[(s(V4), Seen::Established)]), Unclear),
        ("silent 3.5", case(Some(V5), Some(V5), &thrice_silent(V5)), Unclear),
        ("no key", case(Some(V3), Some(V3), &[(CLEAR, Seen::Cipher { opens: None })]).keyless(), Unclear),
        ("no key, 3.1", case(None, None, &[(CLEAR, Seen::Json { id: None })]).keyless(), Unclear),
        (
            "no key, silent",
            case(Some(V5), Some(V5), &[(CLEAR, Seen::Silent), (NOTHING, Seen::Silent)]).keyless(),
            Unclear,
        ),
        ("unknown child", case(Some(V4), None, &[(s(V4), refused("devid not found"))]).child(), Unclear),
        ("silent, nobody could listen", case(Some(V3), None, &guessed(Seen::Silent)).deaf(), Unclear),
        (
            "forbidden",
            case(
                Some(V3),
                None,
                &[(s(V3), Seen::NoConnection(ConnectFailure::Other(std::io::ErrorKind::PermissionDenied)))],
            ),
            Unclear,
        ),
        ("vanished", case(Some(V4), Some(V4), &[(s(V4), CLOSED), (NOTHING, REFUSED)]), Unclear),
    ];
    let mut codes = std::collections::BTreeSet::new();
    for (what, case, verdict) in table {
        let diagnosis = decide(&case.e);
        assert_eq!(diagnosis.verdict, verdict, "{what}: {diagnosis:#?}");
        assert!(!diagnosis.sentence.is_empty() && !diagnosis.next_step.is_empty(), "{what}");
        assert!(!diagnosis.evidence.is_empty(), "{what}");
        assert!(diagnosis.evidence.len() >= case.e.steps.len(), "{what}");
        let all = format!("{diagnosis:?}");
        assert!(!all.contains("0123456789abcdef\"") && !all.contains("LocalKey"), "{what}: {all}");
        codes.insert(diagnosis.verdict.code());
    }
    assert_eq!(codes.len(), 11, "a verdict without a case: {codes:?}");
}

#[test]
fn evidence_is_told_in_words() {
    let case = case(Some(V3), Some(V4), &[(s(V3), CLOSED), (s(V4), Seen::Answered { points: 7 })]).clients(1);
    assert_eq!(
        case.e.lines(),
        [
            "heard by beacon 6667 from 192.168.1.5, version 3.4, 1 client connected",
            "the book says 3.3",
            "192.168.1.5:6668: a 3.3 session: accepted, then closed at once",
            "192.168.1.5:6668: a 3.4 session: answered with 7 data points",
        ]
    );
}

/// A device of these habits, examined without sockets.
fn examine(mut e: Evidence, device: impl Fn(Asked, usize) -> Seen) -> (Vec<Asked>, Verdict) {
    while let Some(asked) = next_question(&e) {
        assert!(e.steps.len() < MOST, "{:?}", e.steps);
        let seen = device(asked, e.steps.len());
        e.steps.push(Step { asked, seen });
    }
    (e.steps.iter().map(|s| s.asked).collect(), decide(&e).verdict)
}

#[test]
fn few_connections_lead_to_the_verdict() {
    let ask = |book, heard, device: &dyn Fn(Asked) -> Seen| {
        examine(case(book, heard, &[]).e, |asked, _| device(asked))
    };
    // Healthy: one connection.
    let (asked, verdict) = ask(Some(V3), Some(V3), &|_| Seen::Answered { points: 1 });
    assert_eq!((&asked[..], verdict), (&[s(V3)][..], Verdict::Healthy));
    // 3.2 is never asked with a null write.
    let (asked, verdict) = ask(Some(V2), Some(V2), &|_| refused("json obj data unvalid"));
    assert_eq!((&asked[..], verdict), (&[s(V3)][..], Verdict::Healthy));
    // Its own word about its version comes before guessing.
    let (asked, verdict) = ask(Some(V3), Some(V5), &|asked| {
        if asked == s(V5) { Seen::Answered { points: 1 } } else { CLOSED }
    });
    assert_eq!((&asked[..], verdict), (&[s(V3), s(V5)][..], Verdict::WrongVersion { right: Some(V5) }));
    // Without it the versions are walked.
    let (asked, verdict) = ask(Some(V3), None, &|asked| match asked {
        Asked::Session(V4) => Seen::Answered { points: 1 },
        Asked::Nothing => Seen::Silent,
        _ => CLOSED,
    });
    assert_eq!(asked, [s(V3), NOTHING, CLEAR, s(V5), s(V4)]);
    assert_eq!(verdict, Verdict::WrongVersion { right: Some(V4) });
    // A suspicious key is tried three times, no more.
    let (asked, verdict) =
        ask(Some(V4), Some(V4), &|asked| if asked == NOTHING { Seen::Silent } else { CLOSED });
    assert_eq!((&asked[..], verdict), (&[s(V4), NOTHING, s(V4), s(V4)][..], Verdict::WrongKey));
    // A device that closes everything is left alone soon.
    let (asked, verdict) = ask(Some(V4), Some(V4), &|_| CLOSED);
    assert_eq!((&asked[..], verdict), (&[s(V4), NOTHING, NOTHING][..], Verdict::Wedged));
    // A closed port is asked once; a lost packet of a device just heard, twice.
    assert_eq!(ask(Some(V4), Some(V4), &|_| REFUSED).0.len(), 1);
    assert_eq!(ask(Some(V4), Some(V4), &|_| TIMED_OUT).0.len(), 2);
    assert_eq!(ask(Some(V4), None, &|_| TIMED_OUT).0.len(), 1);
    // No address, no connection.
    assert_eq!(examine(case(Some(V4), None, &[]).homeless().e, |_, _| CLOSED).0, []);
    // No key: nothing but clear questions.
    let (asked, _) = examine(case(Some(V4), None, &[]).keyless().e, |_, _| CLOSED);
    assert_eq!(asked, [CLEAR, NOTHING, NOTHING]);
}

/// Whatever comes back, an examination ends after few connections, and the verdict comes with a next step.
#[test]
fn every_examination_ends() {
    let replies = [
        CLOSED,
        Seen::Closed { at_once: false },
        Seen::Silent,
        Seen::Foreign,
        Seen::Json { id: None },
        Seen::Text("parse data error".to_owned()),
        Seen::Text("no".to_owned()),
        Seen::Cipher { opens: Some(true) },
        Seen::Cipher { opens: Some(false) },
        Seen::Empty,
        Seen::Frame34,
        Seen::Frame35,
        refused("data format error"),
        refused("json obj data unvalid"),
        Seen::Established,
        Seen::Answered { points: 0 },
        Seen::WrongKey,
        Seen::WrongVersion("x"),
        Seen::Broken("x".to_owned()),
        REFUSED,
        TIMED_OUT,
    ];
    // A walk through the replies that differs for each seed (a linear congruence; no dice in tests).
    for seed in 0..20_000_u64 {
        for (book, heard) in [(None, None), (Some(V3), None), (Some(V4), Some(V4)), (Some(V1), Some(V5))] {
            let pick = |at: usize| {
                let mut x = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at as u64 + 1);
                x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
                replies[(x >> 33) as usize % replies.len()].clone()
            };
            let (asked, _) = examine(case(book, heard, &[]).e, |_, at| pick(at));
            assert!(asked.len() <= MOST);
        }
    }
}
