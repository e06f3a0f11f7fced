//! `landfall set DEVICE DP=VALUE...`

use std::time::Duration;

use landfall_link::{Link, Outcome as SetOutcome, SetOptions};
use landfall_proto::dp::{DpId, DpValue, Dps};
use serde_json::json;

use crate::args;
use crate::assign::{self, Assignments};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{clean, points, progress::Progress};
use crate::subject::Subject;
use crate::tether;
use crate::trouble;
use crate::via;

/// How long a set may take when address and version are known, so that only the device can be slow.
const USUAL: Duration = Duration::from_secs(5);

/// Sets points and prints how it ended.
pub(crate) async fn run(context: &Context, a: &args::Set) -> Outcome {
    let book = context.book()?;
    let subject = Subject::find(&book, &a.device)?;
    let mut wanted = assign::parse(&subject.schema, &a.assignments)?;
    if let Some(mut hub) = via::hub(context, a.way).await? {
        if !wanted.undecided.is_empty() {
            let heard = via::points(&mut hub, &subject).await?;
            decide(&mut wanted, |id| matches!(heard.value(id), Some(DpValue::Bool(_))));
        }
        return via::set(&mut hub, &subject, &wanted.dps, a.timeout, a).await;
    }
    for id in &wanted.unlisted {
        context
            .say(&format!("note: {} has no point {id} in its list; sending it all the same", subject.name()));
    }
    let link = Link::default();
    let handle = subject.open(&link)?;
    let search = tether::follow(&subject, &handle);
    let progress = Progress::start(context, &format!("setting {}", subject.name()));
    let result = send(&subject, &handle, &mut wanted, a).await;
    progress.end();
    drop(search);
    if matches!(result, Ok(SetOutcome::Confirmed)) {
        tether::remember(context, &subject, &handle);
    }
    handle.close().await;
    tell(context, &subject, &wanted, &result?, a.json.json)
}

async fn send(
    subject: &Subject,
    handle: &landfall_link::Device,
    wanted: &mut Assignments,
    a: &args::Set,
) -> Result<SetOutcome, Failure> {
    let fail = |e| trouble::command(subject, e);
    if !wanted.undecided.is_empty() {
        let report = handle.query(subject.cid()).await.map_err(fail)?;
        decide(wanted, |id| matches!(report.dps.value(id), Some(DpValue::Bool(_))));
    }
    let timeout = a.timeout.or_else(|| subject.is_placed().then_some(USUAL));
    let options = SetOptions { timeout, confirm: !a.no_confirm, once: false };
    handle.set(subject.cid(), wanted.dps.clone(), options).await.map_err(fail)
}

/// `on` is a bool where the device reports one.
fn decide(wanted: &mut Assignments, is_bool: impl Fn(DpId) -> bool) {
    for id in std::mem::take(&mut wanted.undecided) {
        let switch = match wanted.dps.value(id) {
            Some(DpValue::String(word)) if is_bool(id) => assign::switch_word(word),
            _ => None,
        };
        if let Some(on) = switch {
            wanted.dps.insert(id, DpValue::Bool(on));
        }
    }
}

fn tell(
    context: &Context,
    subject: &Subject,
    wanted: &Assignments,
    outcome: &SetOutcome,
    json: bool,
) -> Outcome {
    let (word, reason, hint) = match outcome {
        SetOutcome::Confirmed => ("confirmed", None, None),
        SetOutcome::Accepted => ("accepted", None, None),
        SetOutcome::Refused(why) => ("refused", Some(why.to_string()), Some(trouble::refused(subject, why))),
        SetOutcome::Unconfirmed(why) => {
            ("unconfirmed", Some(why.to_string()), Some(trouble::unconfirmed(subject, why)))
        }
    };
    print_ended(subject, &wanted.dps, word, reason.as_deref(), json)?;
    if outcome.is_good() {
        return Ok(());
    }
    if let Some(hint) = hint {
        out::talk(&format!("{} {hint}\n", context.talk_style().green("hint:")));
    }
    Err(Failure::Told)
}

/// Prints how a set ended, over the LAN or the cloud: one line for people, or one JSON object.
pub(crate) fn print_ended(
    subject: &Subject,
    dps: &Dps,
    word: &str,
    reason: Option<&str>,
    json: bool,
) -> Outcome {
    if json {
        return out::json_line(&json!({
            "id": subject.device.id,
            "name": subject.device.name,
            "outcome": word,
            "reason": reason,
            "dps": dps,
        }));
    }
    let values = points::listed(&subject.schema, dps);
    let reason = reason.map(|r| format!(": {}", clean(r))).unwrap_or_default();
    out::line(&format!("{word}  {}  {values}{reason}", subject.name()))
}

/// A time in seconds, fractions allowed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s <= 86_400.0 => Ok(Duration::from_secs_f64(s)),
        _ => Err("give seconds, for instance 5 or 0.5, at most 86400".to_owned()),
    }
}
