//! From evidence to verdict. Pure.

use landfall_proto::lan::Version;

use super::evidence::Evidence;
use super::plan::{TRIES, spoken};
use super::{Diagnosis, Verdict};
use crate::detect::{Asked, Seen};
use crate::state::ConnectFailure;

const IMPORT_KEY: &str = "import the device's current local key: it changes at every pairing";
const POWER_CYCLE: &str = "switch the device off at the mains for ten seconds, then try again";
const CLOSE_OTHERS: &str = "close the vendor's app on every phone and stop other programs that use the device (Home \
                            Assistant, Node-RED, another hub), wait a minute, then try again";
/// What to do about a sub-device that its gateway does not reach.
pub const WAKE_IT: &str =
    "wake it (press its button), or check its power or battery and its distance to the gateway";
const LET_IT_OUT: &str = "let the device reach its cloud (or a stand-in for it) once, name resolution included, and try \
                          again; some firmware opens its port only after that";

/// Verdict, sentence, next step.
type Ruling = (Verdict, String, String);

/// Decides. The same evidence always gives the same diagnosis.
pub fn decide(evidence: &Evidence) -> Diagnosis {
    let (verdict, sentence, next_step) = answers(evidence)
        .or_else(|| contradictions(evidence))
        .or_else(|| no_connection(evidence))
        .or_else(|| closed_by_itself(evidence))
        .or_else(|| no_answer(evidence))
        .unwrap_or_else(|| unclear(evidence));
    Diagnosis { verdict, sentence, evidence: evidence.lines(), next_step }
}

fn ruling(verdict: Verdict, sentence: impl Into<String>, next_step: impl Into<String>) -> Ruling {
    (verdict, sentence.into(), next_step.into())
}

/// The name in the book, else the id.
fn name(e: &Evidence) -> &str {
    e.patient.name.as_deref().unwrap_or(e.patient.id.as_str())
}

/// Something answered under the key, or in the clear text of 3.1.
fn answers(e: &Evidence) -> Option<Ruling> {
    for (version, seen) in e.sessions() {
        let established = match seen {
            Seen::Answered { .. } | Seen::CutOff => true,
            Seen::Refused(_) => !seen.is_unreadable_to_device() || version >= Version::V3_4,
            Seen::Established => true,
            _ => false,
        };
        if !established {
            continue;
        }
        if let Some(book) = e.patient.version
            && spoken(book) != version
        {
            return Some(wrong_version(e, book, Some(version)));
        }
        return Some(established_ruling(e, version, seen));
    }
    let clear = e.seen(Asked::Clear).any(|s| matches!(s, Seen::Json { .. }));
    if !clear {
        return None;
    }
    match e.patient.version {
        Some(book) if book != Version::V3_1 => Some(wrong_version(e, book, Some(Version::V3_1))),
        _ if e.patient.key.is_none() => Some(no_key(e)),
        _ => Some(ruling(
            Verdict::Healthy,
            format!("{} answers and speaks 3.1", name(e)),
            "set its version to 3.1 in the book",
        )),
    }
}

fn established_ruling(e: &Evidence, version: Version, seen: &Seen) -> Ruling {
    let name = name(e);
    match seen {
        Seen::Answered { points: 0 } => ruling(
            Verdict::Healthy,
            format!("{name} answers, without any data point"),
            "operate the device once, or wait until it has reached its cloud: some points appear only then",
        ),
        Seen::Answered { .. } => {
            ruling(Verdict::Healthy, format!("{name} answers as {version}"), "nothing to do")
        }
        refused @ Seen::Refused(_) if refused.is_data_unvalid() => {
            let knows = e.patient.device22 || e.patient.version == Some(Version::V3_2);
            let next = if knows {
                "nothing to do"
            } else {
                "if it is no gateway and its points stay unknown, allow the device22 form of queries for it; beware: \
                 some devices execute such queries as writes"
            };
            ruling(
                Verdict::Healthy,
                format!("{name} answers as {version} but refuses ordinary queries"),
                next,
            )
        }
        Seen::Refused(text) if e.patient.cid.is_some() && text.contains("devid not found") => ruling(
            Verdict::Unclear,
            format!("the gateway answers but does not know the sub-device {name}"),
            "check its cid, or pair it with this gateway again",
        ),
        Seen::CutOff => {
            cut_off(e, format!("the gateway answers, and says that the sub-device {name} is offline"))
        }
        Seen::Refused(text) if e.patient.cid.is_some() && text.contains("query dp failed") => {
            cut_off(e, format!("the gateway answers but cannot reach the sub-device {name}"))
        }
        Seen::Refused(text) => ruling(
            Verdict::Healthy,
            format!("{name} answers as {version}, and refuses the query: {text:?}"),
            "nothing to do",
        ),
        _ if e.patient.cid.is_some() && e.patient.sleeps => ruling(
            Verdict::Asleep,
            format!("the gateway is there; the sub-device {name} sleeps and does not answer"),
            "wake it (press its button); it reports by itself when something changes",
        ),
        _ => ruling(
            Verdict::Unclear,
            format!("{name} accepts key and version {version} but does not answer queries"),
            POWER_CYCLE,
        ),
    }
}

fn cut_off(e: &Evidence, sentence: String) -> Ruling {
    let verdict = if e.patient.sleeps { Verdict::Asleep } else { Verdict::CutOff };
    ruling(verdict, sentence, WAKE_IT)
}

fn wrong_version(e: &Evidence, book: Version, right: Option<Version>) -> Ruling {
    let next = match right {
        // Going back to 3.1 sends queries in clear, which the owner should want (lan.md 7.2).
        Some(right) if right < book => format!(
            "set its version to {right} in the book, if you are sure that nobody else answers at its address"
        ),
        Some(right) => format!("set its version to {right} in the book"),
        None => "clear its version in the book, so that it is found out again".to_owned(),
    };
    let speaks = right.map_or("another version".to_owned(), |v| v.to_string());
    ruling(Verdict::WrongVersion { right }, format!("{} speaks {speaks}, not {book}", name(e)), next)
}

fn no_key(e: &Evidence) -> Ruling {
    ruling(
        Verdict::Unclear,
        format!("the book has no local key for {}, so nothing can be said to it", name(e)),
        "import its local key",
    )
}

/// What was seen does not go with the book's key or version.
fn contradictions(e: &Evidence) -> Option<Ruling> {
    let name = name(e);
    let any = |wanted: fn(&Seen) -> bool| e.steps.iter().any(|s| wanted(&s.seen));
    if any(|s| matches!(s, Seen::Foreign)) {
        return Some(if e.heard().is_some() {
            ruling(
                Verdict::Unclear,
                format!("{name} is there, but what answers on its port does not speak Tuya's protocol"),
                "check that no other program or firmware listens at its address and port",
            )
        } else {
            ruling(
                Verdict::NotOnThisNetwork,
                format!("something else answers at the address of {name}"),
                "the address now belongs to another machine: look in the router where the device is",
            )
        });
    }
    if e.is_unpaired() {
        return Some(ruling(
            Verdict::WrongKey,
            format!("{name} is in pairing mode: its old local key is void"),
            "pair it again, then import its new local key",
        ));
    }
    let foreign_key = any(|s| matches!(s, Seen::WrongKey | Seen::Cipher { opens: Some(false) }));
    let unread = e.sessions().any(|(v, s)| v <= Version::V3_3 && s.is_unreadable_to_device());
    if foreign_key || unread {
        return Some(ruling(
            Verdict::WrongKey,
            format!("{name} answers, but under another local key"),
            IMPORT_KEY,
        ));
    }
    let shown = e.steps.iter().find_map(|s| match s.seen {
        Seen::Frame35 => Some(Some(Version::V3_5)),
        Seen::Frame34 => Some(Some(Version::V3_4)),
        Seen::Cipher { opens: Some(true) } => Some(Some(Version::V3_3)),
        Seen::WrongVersion(_) => Some(None),
        _ => None,
    })?;
    let right = e.announced().filter(|v| Some(*v) != e.patient.version).or(shown);
    match e.patient.version {
        _ if e.patient.key.is_none() => Some(no_key(e)),
        // It shows what the book says and still does not let us in.
        Some(book) if right.is_some_and(|r| spoken(r) == spoken(book)) => Some(ruling(
            Verdict::WrongKey,
            format!("{name} speaks {book} as the book says, but does not accept its key"),
            IMPORT_KEY,
        )),
        Some(book) => Some(wrong_version(e, book, right)),
        None => right.map(|right| {
            ruling(
                Verdict::WrongKey,
                format!("{name} speaks {right}, but does not accept the key"),
                IMPORT_KEY,
            )
        }),
    }
}

/// No connection ever opened.
fn no_connection(e: &Evidence) -> Option<Ruling> {
    if e.connected() {
        return None;
    }
    let name = name(e);
    let asleep = || {
        ruling(
            Verdict::Asleep,
            format!("{name} is a battery device and asleep"),
            "wake it (press its button, open the door it watches) and try within its waking seconds",
        )
    };
    let absent = || {
        let next = if e.listened.as_ref().is_some_and(|l| l.others > 0) {
            "others are heard, so this network is the right one: check that the device has power, and in the router \
             whether it is connected and at which address"
        } else {
            "check that this machine is in the same network as the device (no guest network, no VLAN between them), \
             that the device has power, and in the router whether it is connected"
        };
        ruling(Verdict::NotOnThisNetwork, format!("{name} is not on this network"), next)
    };
    let failure = e.steps.iter().find_map(|s| match s.seen {
        Seen::NoConnection(failure) => Some(failure),
        _ => None,
    });
    Some(match failure {
        Some(ConnectFailure::Other(kind)) => ruling(
            Verdict::Unclear,
            format!("this machine could not try to connect: {kind}"),
            "check the firewall, sandbox or container of this machine",
        ),
        _ if e.heard().is_some() && e.has_clients() => other_client(e),
        Some(_) if e.heard().is_some() && e.patient.sleeps => asleep(),
        Some(_) if e.heard().is_some() => ruling(
            Verdict::WaitsForItsCloud,
            format!("{name} announces itself but lets nobody connect: it waits for its cloud"),
            LET_IT_OUT,
        ),
        Some(ConnectFailure::Refused) if !e.patient.sleeps => ruling(
            Verdict::PortClosed,
            format!("the address of {name} is in use, but its port is closed"),
            "check in the router that the address still belongs to the device; if it does, switch it off at the mains \
             for ten seconds",
        ),
        _ if e.patient.sleeps => asleep(),
        _ => absent(),
    })
}

fn other_client(e: &Evidence) -> Ruling {
    let sentence = if e.has_clients() {
        format!("{} is connected to another client and accepts no more", name(e))
    } else {
        format!(
            "{} accepts connections but serves none, and does not announce itself: another client seems to hold its \
             session",
            name(e)
        )
    };
    ruling(Verdict::AnotherClientHoldsTheSession, sentence, CLOSE_OTHERS)
}

/// It closes connections on which nothing was said: no free session, or its firmware hangs.
fn closed_by_itself(e: &Evidence) -> Option<Ruling> {
    let closes = e.seen(Asked::Nothing).filter(|s| matches!(s, Seen::Closed { .. })).count();
    if closes == 0 || closes < e.count(Asked::Nothing) {
        return None;
    }
    // Devices stop announcing themselves while clients are connected (lan.md 6.4).
    if e.has_clients() || e.silent_on_air() {
        return Some(other_client(e));
    }
    if e.heard().is_some() && closes >= 2 {
        return Some(ruling(
            Verdict::Wedged,
            format!(
                "{} accepts connections and closes each at once, with no other client known: its firmware hangs",
                name(e)
            ),
            POWER_CYCLE,
        ));
    }
    Some(ruling(
        Verdict::Unclear,
        format!(
            "{} accepts connections and closes each at once: another client holds it, or its firmware hangs",
            name(e)
        ),
        format!("{CLOSE_OTHERS}; if that does not help, {POWER_CYCLE}"),
    ))
}

/// It lets us connect and says nothing, or closes when asked.
fn no_answer(e: &Evidence) -> Option<Ruling> {
    if e.patient.key.is_none() {
        return Some(no_key(e));
    }
    let failed = |s: &Seen| matches!(s, Seen::Closed { .. } | Seen::Silent | Seen::Broken(_));
    let closed = |s: &Seen| matches!(s, Seen::Closed { .. });
    let name = name(e);
    if let Some(version) = e.announced().map(spoken) {
        let tries = e.seen(Asked::Session(version)).filter(|s| failed(s)).count();
        if tries == 0 {
            return None;
        }
        if e.has_clients() {
            return Some(other_client(e));
        }
        if version <= Version::V3_3 {
            // With a wrong key these would have answered (lan.md 3.4).
            return Some(ruling(
                Verdict::WaitsForItsCloud,
                format!(
                    "{name} announces itself and accepts connections but answers nothing: it waits for its cloud"
                ),
                format!("{LET_IT_OUT}; if it still does not answer, {POWER_CYCLE}"),
            ));
        }
        // The vendor's 3.5 code closes under a wrong key; 3.4 may stay silent (lan.md 4.5).
        let suspicious = version == Version::V3_4 || e.seen(Asked::Session(version)).any(closed);
        return (tries >= TRIES && suspicious).then(|| {
            ruling(
                Verdict::WrongKey,
                format!(
                    "{name} announces {version}, accepts connections and turns the key down {tries} times"
                ),
                IMPORT_KEY,
            )
        });
    }
    let quiet_stays_open = e.seen(Asked::Nothing).any(|s| *s == Seen::Silent);
    let new_tried = |v| e.seen(Asked::Session(v)).any(failed);
    if !(quiet_stays_open && new_tried(Version::V3_4) && new_tried(Version::V3_5)) {
        return None;
    }
    if e.sessions().any(|(v, s)| v >= Version::V3_4 && closed(s)) {
        return Some(ruling(
            Verdict::WrongKey,
            format!(
                "{name} accepts connections and closes them when any version is spoken with the book's key"
            ),
            IMPORT_KEY,
        ));
    }
    e.silent_on_air().then(|| other_client(e))
}

fn unclear(e: &Evidence) -> Ruling {
    ruling(
        Verdict::Unclear,
        format!("what was seen of {} fits several causes", name(e)),
        format!("{POWER_CYCLE}; {CLOSE_OTHERS}; check its local key"),
    )
}

#[cfg(test)]
mod tests;
