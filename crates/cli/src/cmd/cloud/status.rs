//! `landfall cloud status`, and the part of it that doctor shows.

use std::sync::Arc;

use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::control::{
    DeviceStatus, KeysKnown, Order, Running, Status, StepStatus, Stranger, status,
};
use landfall_cloud::handshake::{Handshakes, Step};
use landfall_cloud::journal::LastEnd;
use landfall_cloud::listen::Over;
use landfall_cloud::shared::whose;
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};

use super::reach::Reach;
use crate::args::Json;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Style, Table, clean, count};

/// How everything stands: from the running cloud, else from what the last one left.
pub(super) async fn collect(reach: &mut Reach) -> Result<Status, Failure> {
    if reach.client.is_some() {
        return Ok(serde_json::from_value(reach.ask(&Order::Status).await?)?);
    }
    let handshakes = Handshakes::open(&reach.dir);
    let look = async |book: &Arc<BookBackend>| {
        handshakes.ask_whose({
            let book = Arc::clone(book);
            move |who| whose(&*book, who)
        });
        Ok(status(&**book, &**book, &handshakes, None))
    };
    reach.with_book(look).await
}

pub(super) async fn run(context: &Context, a: &Json) -> Outcome {
    let mut reach = Reach::open(context).await?;
    let status = collect(&mut reach).await?;
    if a.json {
        return out::json(&status);
    }
    out::data(&text(&status, context.data_style()))?;
    if status.running.is_none() {
        context.say(&format!("no cloud runs in {}; `landfall cloud` starts one", reach.dir.display()));
    }
    Ok(())
}

/// How a device stands with the cloud, for doctor; `None` where no cloud has ever run.
pub(crate) async fn handshake(context: &Context, id: &DeviceId) -> Option<DeviceStatus> {
    let dir = context.own_book()?;
    if !dir.join("cloud").is_dir() {
        return None;
    }
    let found = async {
        let mut reach = Reach::open(context).await?;
        let status = collect(&mut reach).await?;
        Ok::<_, Failure>(status.devices.into_iter().find(|d| d.id == *id))
    };
    found.await.ok().flatten()
}

/// The same for programs.
pub(crate) fn handshake_json(d: &DeviceStatus) -> Value {
    json!({"connected": d.connected, "steps": d.steps, "refusals": d.refusals, "reports": d.reports,
           "lost": d.lost, "lacks": d.lacks})
}

/// What a way is called.
pub(super) const fn over(over: Over) -> &'static str {
    match over {
        Over::Plain => "in clear",
        Over::Psk1 => "TLS-PSK type 1",
        Over::Psk2 => "TLS-PSK type 2",
        Over::Certificate => "TLS",
        Over::Dns => "DNS",
    }
}

/// A time of the past in the owner's zone.
fn time(at: u64) -> String {
    let stamp = i64::try_from(at).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    stamp.map_or_else(
        || at.to_string(),
        |t| t.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

fn text(status: &Status, style: Style) -> String {
    let mut out = String::new();
    if let Some(running) = &status.running {
        out.push_str(&cloud(running, style));
        out.push('\n');
    }
    if !status.devices.is_empty() {
        let mut table =
            Table::new(style, &["NAME", "STATE", "FIRMWARE", "REPORTS", "LOST", "LAST HEARD", "ID"]);
        for d in &status.devices {
            table.row([
                d.name.as_str(),
                state(d),
                &d.generation.map(|g| format!("{g:?}")).unwrap_or_default(),
                &d.reports.to_string(),
                &d.lost.to_string(),
                &d.last.map_or_else(|| "never".to_owned(), time),
                d.id.as_str(),
            ]);
        }
        out.push_str(&table.text());
        for d in &status.devices {
            out.push('\n');
            out.push_str(&device(d, style));
        }
    }
    out.push_str(&strangers(&status.strangers, style));
    out
}

fn state(d: &DeviceStatus) -> &'static str {
    match (d.connected, d.keys, d.last) {
        (true, ..) => "connected",
        (false, KeysKnown::Pending, _) => "was given keys",
        (false, _, None) => "never heard",
        (false, ..) => "not connected",
    }
}

fn cloud(r: &Running, style: Style) -> String {
    let mut out =
        format!("{} (version {}, process {})\n", style.bold("the cloud runs"), clean(&r.version), r.pid);
    for (what, _, at) in r.bound.all() {
        if let Some(at) = at {
            out.push_str(&format!("  {what:<18}  {at}\n"));
        }
    }
    out.push_str(&format!("  devices are told    {}\n", clean(&r.advertise)));
    let windows = match r.windows.as_slice() {
        [] => "closed".to_owned(),
        open => {
            let of = |w: &landfall_cloud::control::Window| {
                let who = w.who.as_deref().map_or("any device", |w| w);
                format!("open to {} for {} s", clean(who), w.until.saturating_sub(r.now))
            };
            open.iter().map(of).collect::<Vec<_>>().join("; ")
        }
    };
    out.push_str(&format!("  activation window   {windows}\n"));
    let j = &r.journal;
    let mut journal = format!(
        "{} written, {} dropped",
        count(usize::try_from(j.written).unwrap_or(usize::MAX), "line"),
        j.dropped
    );
    if let Some(why) = &j.failing {
        journal.push_str(&format!("; {}: {}", style.red("not written now"), clean(why)));
    }
    if j.last_end == LastEnd::Killed {
        journal.push_str("; the cloud before this one was killed");
    }
    out.push_str(&format!("  journal             {journal}\n"));
    out
}

fn rows(table: &mut Table, steps: &[StepStatus], words: impl Fn(&str) -> String) {
    for s in steps {
        let times = if s.count == 1 { "once".to_owned() } else { format!("{} times", s.count) };
        let from = s.peer.map_or_else(String::new, |p| p.to_string());
        table.row([words(&s.step), time(s.at), over(s.over).to_owned(), times, from]);
    }
}

fn step_words(name: &str) -> String {
    Step::named(name).map_or_else(|| name.to_owned(), |s| s.words().to_owned())
}

fn marks(steps: &[StepStatus], refusals: &[StepStatus]) -> String {
    if steps.is_empty() && refusals.is_empty() {
        return String::new();
    }
    let mut table = Table::new(Style { colour: false }, &["", "", "", "", ""]);
    rows(&mut table, steps, step_words);
    rows(&mut table, refusals, |code| format!("was refused ({code})"));
    table.lines().iter().skip(1).map(|l| format!("  {l}\n")).collect()
}

/// A device's steps, and what it lacks.
pub(crate) fn device(d: &DeviceStatus, style: Style) -> String {
    let mut out = style.bold(&clean(&d.name));
    if let (true, Some(way)) = (d.connected, d.over) {
        out.push_str(&format!(
            ": connected {}",
            match way {
                Over::Plain => "in clear".to_owned(),
                way => format!("over {}", over(way)),
            }
        ));
    }
    out.push('\n');
    out.push_str(&marks(&d.steps, &d.refusals));
    if d.firmware_questions > 0 {
        let told = if d.images.is_empty() { "told \"no update\" each time" } else { "an image is approved" };
        let n = usize::try_from(d.firmware_questions).unwrap_or(usize::MAX);
        out.push_str(&format!("  {} about firmware: {told}\n", count(n, "question")));
    }
    if d.pinned {
        out.push_str("  its password is pinned, because its sec key is not known\n");
    }
    if !d.elsewhere.is_empty() {
        let names: Vec<String> = d.elsewhere.iter().map(|n| clean(n)).collect();
        out.push_str(&format!("  still asks elsewhere: {}\n", names.join(", ")));
    }
    match &d.lacks {
        Some(lack) => out.push_str(&format!(
            "  {} {}\n  {} {}\n",
            style.yellow("lacks:"),
            clean(&lack.what),
            style.green("next: "),
            clean(&lack.next)
        )),
        None => out.push_str(&format!("  {}\n", style.green("lacks nothing"))),
    }
    out
}

fn strangers(list: &[Stranger], style: Style) -> String {
    /// The rest is in the JSON.
    const SHOWN: usize = 10;
    if list.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.bold("others who came here and are not in the book"));
    for s in list.iter().take(SHOWN) {
        out.push_str(&format!("{}\n{}", clean(&s.who), marks(&s.steps, &s.refusals)));
    }
    if list.len() > SHOWN {
        out.push_str(&format!("... {} more\n", list.len() - SHOWN));
    }
    out
}
