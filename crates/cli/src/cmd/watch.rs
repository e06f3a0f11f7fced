//! `landfall watch [DEVICE]...`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use landfall_book::Book;
use landfall_link::{Device, DeviceNews, Link, LinkConfig, News, State};
use landfall_proto::id::{Cid, DeviceId};
use landfall_proto::lan::session::Origin;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::change::{self, Change, Memory};
use crate::render::{Style, clean};
use crate::stop;
use crate::subject::{self, Subject};
use crate::tether;
use crate::trouble;
use crate::via;

/// How often metering plugs are told to measure; many say nothing new otherwise (lan.md 5.3).
const REFRESH: Duration = Duration::from_secs(10);

/// Which points are meant: those of a device, or of a sub-device.
type Key = (DeviceId, Option<Cid>);

/// A device that is watched.
#[derive(Debug)]
struct Watched {
    subject: Subject,
    memory: Memory,
}

/// A connection, and what was last said about it.
#[derive(Debug)]
struct Line {
    handle: Device,
    subject: Subject,
    told: String,
}

/// Prints a line a change until somebody ends it. Reconnects forever.
pub(crate) async fn run(context: &Context, a: &args::Watch) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let book = context.book()?;
    let subjects = chosen(context, &book, &a.devices)?;
    if let Some(hub) = via::hub(context, a.way).await? {
        return via::watch(context, hub, a, subjects, &mut end).await;
    }
    let link = Link::new(LinkConfig::default());
    // Before the first connection, so that nothing is missed.
    let mut news = link.subscribe();
    let mut lines: HashMap<DeviceId, Line> = HashMap::new();
    let mut watched: HashMap<Key, Watched> = HashMap::new();
    for subject in subjects {
        if !lines.contains_key(subject.line_id()) {
            // A gateway's own points, when a child is watched too, are described by its own mapping.
            let mut config = subject.config()?;
            config.schema = Arc::new(subject.line.schema());
            config.refresh = subject::metering(&config.schema, REFRESH);
            let line = Line { handle: link.device(config), subject: subject.clone(), told: String::new() };
            lines.insert(subject.line_id().clone(), line);
        }
        watched.insert(
            (subject.line_id().clone(), subject.cid()),
            Watched { subject, memory: Memory::default() },
        );
    }
    let movable = lines.values().filter(|l| l.subject.may_move()).map(|l| l.handle.clone());
    let movable: Vec<Device> = movable.collect();
    let _search = (!movable.is_empty()).then(|| tether::listen(movable));
    query_children(&lines, &watched);
    context.say(&format!("watching {}; Ctrl-C ends", crate::render::count(watched.len(), "device")));

    let result = loop {
        let item = tokio::select! {
            () = &mut end => break Ok(()),
            item = news.next() => item,
        };
        let done = match item {
            None => break Ok(()),
            Some(Ok(item)) => heard(context, a, &mut lines, &mut watched, &item),
            Some(Err(missed)) => {
                tracing::warn!("{missed}; what changed meanwhile is taken from the last reports");
                catch_up(context, a, &lines, &mut watched)
            }
        };
        if done.is_err() {
            break done;
        }
    };
    for line in lines.into_values() {
        line.handle.close().await;
    }
    result
}

fn chosen(context: &Context, book: &Book, names: &[String]) -> Result<Vec<Subject>, Failure> {
    if !names.is_empty() {
        return names.iter().map(|n| Subject::find(book, n)).collect();
    }
    let mut subjects = Vec::new();
    for device in book.devices() {
        if device.sleeper {
            context.say(&format!("{} sleeps; it is left out", clean(&device.name)));
            continue;
        }
        match Subject::of(book, device) {
            Ok(s) if s.line.key.is_some() => subjects.push(s),
            Ok(_) | Err(_) => {
                context.say(&format!("{} has no key or no gateway; it is left out", clean(&device.name)));
            }
        }
    }
    if subjects.is_empty() {
        return Err(Failure::with_hint(
            anyhow!("there is nothing to watch"),
            "take devices over with `landfall device import devices.json`, or try `landfall demo`",
        ));
    }
    Ok(subjects)
}

/// The driver queries a device when it connects; its sub-devices are asked here, each time.
fn query_children(lines: &HashMap<DeviceId, Line>, watched: &HashMap<Key, Watched>) {
    for line in lines.keys() {
        query_children_of(line, lines, watched);
    }
}

fn query_children_of(line: &DeviceId, lines: &HashMap<DeviceId, Line>, watched: &HashMap<Key, Watched>) {
    let Some(handle) = lines.get(line).map(|l| l.handle.clone()) else { return };
    for cid in watched.keys().filter(|(id, _)| id == line).filter_map(|(_, cid)| cid.clone()) {
        let handle = handle.clone();
        // The answer comes as news; a missing one shows in the state of the connection.
        tokio::spawn(async move {
            if let Err(e) = handle.query(Some(cid.clone())).await {
                tracing::debug!("{cid}: {e}");
            }
        });
    }
}

fn heard(
    context: &Context,
    a: &args::Watch,
    lines: &mut HashMap<DeviceId, Line>,
    watched: &mut HashMap<Key, Watched>,
    item: &DeviceNews,
) -> Outcome {
    match &item.news {
        News::State(state) => {
            let reconnected =
                *state == State::Ready && lines.get(&*item.id).is_some_and(|l| l.told.ends_with("lost"));
            if let Some(line) = lines.get_mut(&*item.id) {
                tell_state(context, line, state);
            }
            if reconnected {
                query_children_of(&item.id, lines, watched);
            }
            Ok(())
        }
        News::Report { report, origin } => {
            let key = ((*item.id).clone(), report.cid.clone());
            let Some(w) = watched.get_mut(&key) else { return Ok(()) };
            let repeats = *origin == Origin::Pushed && !report.unchanged;
            if w.memory.values().is_none() {
                let n = crate::render::count(report.dps.len(), "point");
                context.say(&format!("{}: watching {n}", w.subject.name()));
            }
            let changes = w.memory.take(w.subject.refined(report.dps.clone()), repeats);
            print(a, &w.subject, &changes, context.data_style())
        }
        News::Version(version) => {
            if let Some(line) = lines.get(&*item.id) {
                tracing::info!("{} speaks {version}", line.subject.line.name);
                tether::remember(context, &line.subject, &line.handle);
            }
            Ok(())
        }
        News::Subdevices(states) => {
            for (cid, word) in states
                .online
                .iter()
                .map(|c| (c, "reachable"))
                .chain(states.offline.iter().map(|c| (c, "not reachable by its gateway")))
            {
                if let Some(w) = watched.get(&((*item.id).clone(), Some(cid.clone()))) {
                    tracing::info!("{} is {word}", w.subject.name());
                }
            }
            Ok(())
        }
        News::Unasked { command, .. } => {
            tracing::debug!("{}: unasked {command}", item.id);
            Ok(())
        }
    }
}

/// News were missed: the last reports are compared instead.
fn catch_up(
    context: &Context,
    a: &args::Watch,
    lines: &HashMap<DeviceId, Line>,
    watched: &mut HashMap<Key, Watched>,
) -> Outcome {
    for ((id, cid), w) in watched.iter_mut() {
        let Some(line) = lines.get(id) else { continue };
        let changes = w.memory.take(w.subject.refined(line.handle.points(cid.as_ref())), false);
        print(a, &w.subject, &changes, context.data_style())?;
    }
    Ok(())
}

/// Prints changes, a line each.
pub(crate) fn print(a: &args::Watch, subject: &Subject, changes: &[Change], style: Style) -> Outcome {
    for c in changes {
        let spec = subject.schema.spec(c.id);
        if a.json.json {
            out::json_line(&json!({
                "time": jiff::Timestamp::now().to_string(),
                "id": subject.device.id,
                "name": subject.device.name,
                "dp": c.id.0,
                "code": spec.map(|s| &s.code),
                "old": c.old,
                "new": c.new,
            }))?;
            continue;
        }
        out::line(&change::line(&subject.device.name, &subject.schema, c, style))?;
    }
    Ok(())
}

/// Says how the connection stands, in words of the house, once for each change of them.
fn tell_state(context: &Context, line: &mut Line, state: &State) {
    let name = clean(&line.subject.line.name);
    let (key, text) = match state {
        State::Ready => ("ready".to_owned(), format!("{name}: connected")),
        State::NoAddress => {
            ("no address".to_owned(), format!("{name}: its address is not known; waiting to hear of it"))
        }
        State::Waiting { failure, .. } => {
            (format!("{failure} lost"), format!("{name}: {failure}; trying again"))
        }
        State::Stopped { failure, .. } => (
            format!("{failure} lost"),
            format!("{name}: {failure}; hint: {}", trouble::state_hint(&line.subject, state)),
        ),
        State::Detecting | State::Connecting { .. } | State::Negotiating | State::Closed => return,
    };
    if line.told != key {
        line.told = key;
        context.say(&clean(&text));
    }
}
