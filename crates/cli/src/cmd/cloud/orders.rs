//! What the owner does with a device over the cloud.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use landfall_cloud::backend::{Backend as _, Timer, Timers};
use landfall_cloud::control::{Order, Owner as _, SetOutcome, Window};
use landfall_proto::dp::{DpValue, Dps};
use serde_json::{Value, json};

use super::reach::{Reach, find};
use crate::args::cloud::{
    CloudAllow, CloudDevice, CloudRefresh, CloudReset, CloudSet, CloudTimers, factory_id,
};
use crate::ask;
use crate::assign;
use crate::cmd::set::print_ended;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Table, clean, count, points, progress::Progress};
use crate::subject::Subject;

/// How long a set and a refresh wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// No list of timers is longer.
const TIMERS_BYTES: u64 = 128 << 10;

fn ms(timeout: Option<Duration>) -> u64 {
    u64::try_from(timeout.unwrap_or(PATIENCE).as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn allow(context: &Context, a: &CloudAllow) -> Outcome {
    let mut reach = Reach::open(context).await?;
    let Some(length) = a.length.filter(|_| !a.close) else {
        reach.ask(&Order::Close).await?;
        context.say("no device is given keys any more");
        return Ok(());
    };
    let device = match &a.device {
        None => None,
        Some(asked) => match find(&context.book()?, asked) {
            Ok(d) => Some(d.id),
            // A device that nobody knows yet has an id from its factory all the same (generations A and B).
            Err(e) => Some(factory_id(asked).ok_or(e)?),
        },
    };
    let seconds = length.as_secs();
    let who = a.uuid.as_ref().map(ToString::to_string).or(device.map(|d| d.to_string()));
    reach.ask(&Order::Allow(Window { who, until: Context::now().saturating_add(seconds) })).await?;
    let who = match (&a.uuid, &a.device) {
        (Some(uuid), _) => uuid.to_string(),
        (None, Some(device)) => clean(device),
        (None, None) => "any device".to_owned(),
    };
    context.say(&format!(
        "for {seconds} s {who} that asks is given keys. Put it into pairing mode and pair it; `landfall cloud status` shows it"
    ));
    Ok(())
}

pub(super) async fn set(context: &Context, a: &CloudSet) -> Outcome {
    let book = context.book()?;
    let subject = Subject::find(&book, &a.device)?;
    let mut wanted = assign::parse(&subject.schema, &a.assignments)?;
    for id in &wanted.unlisted {
        context
            .say(&format!("note: {} has no point {id} in its list; sending it all the same", subject.name()));
    }
    for id in std::mem::take(&mut wanted.undecided) {
        // Nothing is known of it, and over the cloud nobody is asked first: most switches are bools.
        if let Some(DpValue::String(word)) = wanted.dps.value(id)
            && let Some(on) = assign::switch_word(word)
        {
            wanted.dps.insert(id, DpValue::Bool(on));
        }
    }
    let mut reach = Reach::open(context).await?;
    let progress = Progress::start(context, &format!("setting {}", subject.name()));
    let order = Order::Set {
        device: subject.line_id().clone(),
        cid: subject.cid(),
        dps: wanted.dps.clone(),
        patience_ms: ms(a.timeout),
    };
    let answer = reach.ask(&order).await;
    progress.end();
    let outcome: SetOutcome = serde_json::from_value(answer?)?;
    let (word, reason, hint) = match &outcome {
        SetOutcome::Confirmed => ("confirmed", None, None),
        SetOutcome::Accepted => ("accepted", None, None),
        SetOutcome::Unconfirmed { seen } => {
            let seen = if seen.is_empty() {
                "it reported none of these points".to_owned()
            } else {
                points::listed(&subject.schema, seen)
            };
            (
                "unconfirmed",
                Some(seen),
                Some("it may or may not have happened: `landfall cloud refresh` asks for the values"),
            )
        }
        SetOutcome::Failed { why, offline } => {
            let hint = if *offline {
                "`landfall cloud status` says what it lacks; on the LAN: `landfall set`"
            } else {
                "`landfall cloud status` shows how it stands"
            };
            ("failed", Some(why.clone()), Some(hint))
        }
    };
    print_ended(&subject, &wanted.dps, word, reason.as_deref(), a.json.json)?;
    let Some(hint) = hint else { return Ok(()) };
    out::talk(&format!("{} {hint}\n", context.talk_style().green("hint:")));
    Err(Failure::Told)
}

pub(super) async fn refresh(context: &Context, a: &CloudRefresh) -> Outcome {
    let book = context.book()?;
    let subject = Subject::find(&book, &a.device)?;
    let wanted: Vec<u16> = a
        .points
        .iter()
        .map(|p| assign::point(&subject.schema, p).map(|id| id.0))
        .collect::<Result<_, _>>()?;
    let mut reach = Reach::open(context).await?;
    let progress = Progress::start(context, &format!("asking {}", subject.name()));
    let order = Order::Refresh {
        device: subject.line_id().clone(),
        points: (!wanted.is_empty()).then_some(wanted),
        patience_ms: ms(a.timeout),
    };
    let answer = reach.ask(&order).await;
    progress.end();
    let dps: Option<Dps> = serde_json::from_value(answer?["dps"].take())?;
    let Some(dps) = dps else {
        return Err(Failure::with_hint(
            anyhow!("{} was asked and reported nothing", subject.name()),
            "some firmware does not know this question; it reports when something changes",
        ));
    };
    let dps = subject.refined(dps);
    if a.json.json {
        return out::json(&json!({
            "id": subject.device.id,
            "name": subject.device.name,
            "dps": dps,
            "points": points::to_json(&subject.schema, &dps),
        }));
    }
    out::data(&points::table(&subject.schema, &dps, context.data_style()))
}

pub(super) async fn reset(context: &Context, a: &CloudReset) -> Outcome {
    let device = find(&context.book()?, &a.device)?;
    let mut reach = Reach::open(context).await?;
    if reach.client.is_some() && !a.yes {
        let what = if a.wipe { "forgets everything, its Wi-Fi too" } else { "forgets its keys" };
        ask::agreed(
            &format!("{} {what} and must be paired again before anything works. Go on?", clean(&device.name)),
            "--yes",
        )?;
    }
    reach.ask(&Order::Reset { device: device.id.clone(), wipe: a.wipe }).await?;
    context.say(&format!(
        "{} was told. Its keys stay in the book until new ones are in use; `landfall cloud allow --for 10m --device {}` lets it in again",
        clean(&device.name),
        device.id
    ));
    Ok(())
}

pub(super) async fn unpin(context: &Context, a: &CloudDevice) -> Outcome {
    let device = find(&context.book()?, &a.device)?;
    let mut reach = Reach::open(context).await?;
    let unpinned = if reach.client.is_some() {
        reach.ask(&Order::Unpin { device: device.id.clone() }).await?["unpinned"] == json!(true)
    } else {
        reach.with_book(async |book| book.unpin(&device.id).await).await?
    };
    context.say(&if unpinned {
        format!("the next password of {} is pinned", clean(&device.name))
    } else {
        format!("no password of {} was pinned", clean(&device.name))
    });
    Ok(())
}

pub(super) async fn timers(context: &Context, a: &CloudTimers) -> Outcome {
    let device = find(&context.book()?, &a.device)?;
    let mut reach = Reach::open(context).await?;
    let given = match &a.file {
        Some(file) => Some(Some(read_timers(file)?)),
        None if a.clear => Some(Some(Vec::new())),
        None if a.keep => Some(None),
        None => None,
    };
    let Some(timers) = given else {
        let shown = reach.with_book(async |book| Ok(book.timers(&device.id))).await?;
        return show_timers(context, &shown, a.json.json, &device.name);
    };
    let n = timers.as_ref().map(Vec::len);
    let told = if reach.client.is_some() {
        let said = reach.ask(&Order::Timers { device: device.id.clone(), timers }).await?;
        said["told"] == json!(true)
    } else {
        reach.with_book(async |book| book.set_timers(&device.id, timers).await).await?;
        false
    };
    let when = if told { "it was told to fetch them" } else { "it fetches them when it connects" };
    context.say(&match n {
        Some(n) => format!("{} has {}; {when}", clean(&device.name), count(n, "timer")),
        None => format!("{} keeps the timers that it has", clean(&device.name)),
    });
    Ok(())
}

fn read_timers(file: &Path) -> Result<Vec<Timer>, Failure> {
    use std::io::Read as _;
    const HINT: &str = "a list such as [{\"id\": 1, \"date\": \"00000000\", \"time\": \"07:30\", \"loops\": 62, \
                        \"dps\": {\"1\": true}}]";
    let mut text = String::new();
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(TIMERS_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(TIMERS_BYTES).read_to_string(&mut text))
    };
    read.with_context(|| format!("can't read {name}"))
        .map_err(|error| Failure::Request { error, hint: Some(HINT.to_owned()) })?;
    let mut list: Value = serde_json::from_str(&text)
        .with_context(|| format!("{name} is not JSON"))
        .map_err(|error| Failure::Request { error, hint: Some(HINT.to_owned()) })?;
    // On the wire the points are a text; people write an object.
    for timer in list.as_array_mut().into_iter().flatten() {
        if let Some(dps) = timer.get_mut("dps").filter(|d| d.is_object()) {
            *dps = Value::String(dps.to_string());
        }
    }
    serde_json::from_value(list)
        .with_context(|| format!("{name} holds no list of timers"))
        .map_err(|error| Failure::Request { error, hint: Some(HINT.to_owned()) })
}

fn show_timers(context: &Context, timers: &Timers, as_json: bool, name: &str) -> Outcome {
    let list = match timers {
        Timers::Kept => None,
        Timers::Set { timers, .. } => Some(timers),
    };
    if as_json {
        return out::json(&list);
    }
    let Some(list) = list else {
        context.say(&format!("{} keeps the timers that it has; we don't know them", clean(name)));
        return Ok(());
    };
    let mut table = Table::new(context.data_style(), &["ID", "DATE", "TIME", "DAYS", "SETS"]);
    for t in list {
        let date = if t.date == "00000000" { "weekly" } else { t.date.as_str() };
        table.row([&t.id.to_string(), date, t.time.as_str(), &format!("{:07b}", t.loops), t.dps.as_str()]);
    }
    out::data(&table.text())
}
