//! Past the device, through the hub: while one runs, it holds the devices' connections, and many take one client only.

use std::collections::HashMap;
use std::time::Duration;

use landfall_hub::client::{Client, ClientError, Method, segment};
use landfall_proto::dp::{DpId, Dps};
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};

use crate::args;
use crate::cmd::set::print_ended;
use crate::cmd::watch;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::render::change::Memory;
use crate::render::clean;
use crate::subject::Subject;

/// Options of commands that a running hub can do for us.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Way {
    /// Go to the device itself even while a hub runs; many devices take one client only
    #[arg(long)]
    pub(crate) direct: bool,
}

/// The hub of our data directory, if one runs and is wanted.
///
/// # Errors
/// Something is there and can't be talked to.
pub(crate) async fn hub(context: &Context, way: Way) -> Result<Option<Client>, Failure> {
    let Some(dir) = context.own_book().filter(|_| !way.direct) else { return Ok(None) };
    match Client::connect(&dir).await {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::NotRunning { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn path(subject: &Subject, rest: &str) -> String {
    format!("/api/v1/devices/{}/{rest}", segment(subject.device.id.as_str()))
}

/// A device's points as the hub last heard them.
///
/// # Errors
/// The hub refused, or the connection failed.
pub(crate) async fn points(client: &mut Client, subject: &Subject) -> Result<Dps, Failure> {
    let answer = client.get(&path(subject, "dps")).await?;
    let mut values = serde_json::Map::new();
    for (id, point) in answer.get("dps").and_then(Value::as_object).into_iter().flatten() {
        values.insert(id.clone(), point.get("value").cloned().unwrap_or_default());
    }
    let dps: Dps = serde_json::from_value(values.into())?;
    Ok(subject.refined(dps))
}

/// Has a device measure these points.
///
/// # Errors
/// The hub refused, or the connection failed.
pub(crate) async fn refresh(client: &mut Client, subject: &Subject) -> Result<(), Failure> {
    client.ask(Method::POST, &path(subject, "refresh"), None).await?;
    Ok(())
}

/// Sets points through the hub and prints how it ended.
///
/// # Errors
/// The hub refused, the connection failed, or it did not end well.
pub(crate) async fn set(
    client: &mut Client,
    subject: &Subject,
    dps: &Dps,
    timeout: Option<Duration>,
    a: &args::Set,
) -> Outcome {
    let timeout_ms = timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX).clamp(100, 60_000));
    let body = json!({"dps": dps, "timeout_ms": timeout_ms, "confirm": !a.no_confirm});
    let answer = client.ask(Method::POST, &path(subject, "commands"), Some(&body)).await?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let word = text("outcome").unwrap_or("unconfirmed");
    print_ended(subject, dps, word, text("why"), a.json.json)?;
    if matches!(word, "confirmed" | "accepted") { Ok(()) } else { Err(Failure::Told) }
}

/// Prints what the hub hears of these devices, until the end.
///
/// # Errors
/// The connection failed, or nobody reads any more.
pub(crate) async fn watch(
    context: &Context,
    client: Client,
    a: &args::Watch,
    subjects: Vec<Subject>,
    end: &mut (impl Future<Output = ()> + Unpin),
) -> Outcome {
    let mut watched: HashMap<DeviceId, (Subject, Memory)> = HashMap::new();
    let mut client = client;
    for subject in subjects {
        let mut memory = Memory::default();
        memory.take(points(&mut client, &subject).await?, false);
        watched.insert(subject.device.id.clone(), (subject, memory));
    }
    let mut events = client.events("/api/v1/events").await?;
    context.say(&format!(
        "watching {} through the hub; Ctrl-C ends",
        crate::render::count(watched.len(), "device")
    ));
    loop {
        let event = tokio::select! {
            () = &mut *end => return Ok(()),
            event = events.next() => event?,
        };
        let Some(event) = event else {
            context.say("the hub has ended");
            return Ok(());
        };
        let told: Value = serde_json::from_str(&event.data)?;
        let text = |key: &str| told.pointer(key).and_then(Value::as_str).unwrap_or_default();
        if text("/type") == "gap" {
            context.say("some changes were missed");
            continue;
        }
        let Some((subject, memory)) = DeviceId::new(text("/device")).ok().and_then(|id| watched.get_mut(&id))
        else {
            continue;
        };
        match text("/type") {
            kind @ ("points" | "event") => {
                let dps: Dps = serde_json::from_value(told.get("dps").cloned().unwrap_or_default())?;
                let changes = memory.take(subject.refined(dps), kind == "event");
                watch::print(a, subject, &changes, context.data_style())?;
            }
            "presence" => context.say(&format!(
                "{}: {} {}",
                subject.name(),
                text("/presence/state"),
                clean(text("/presence/why"))
            )),
            _ => {}
        }
    }
}

/// Which of these points the hub has not heard.
pub(crate) fn unheard(all: &Dps, wanted: &[DpId]) -> bool {
    wanted.iter().any(|id| all.value(*id).is_none())
}
