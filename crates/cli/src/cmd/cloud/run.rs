//! `landfall cloud`: runs it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use landfall_book::FileStore;
use landfall_cloud::backend::Backend;
use landfall_cloud::book_backend::BookBackend;
use landfall_cloud::clock::Clock;
use landfall_cloud::config::{Advertise, Config, Dns, ExternalBroker, Listen};
use landfall_cloud::control::{Control, Owner};
use landfall_cloud::journal::LastEnd;
use landfall_cloud::shared::Bound;
use landfall_cloud::{Cloud, Event};
use landfall_proto::id::DeviceId;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::event::{FOLD, Lines};
use crate::args::cloud::CloudRun;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::clean;
use crate::stop;

/// Longest time that the end may take: a disk that does not answer must not hold it for ever.
const END: Duration = Duration::from_secs(20);
/// A password file holds a password.
const PASSWORD_BYTES: u64 = 1_024;

/// Runs the cloud until somebody ends it.
pub(super) async fn run(context: &Context, a: &CloudRun) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let config = config(context, a)?;
    let dir = config.data_dir.clone();
    let clock = Clock::system();
    let owner = BookBackend::open(FileStore::new(&dir), clock)?;
    let cloud = Cloud::start(config, clock, Arc::clone(&owner) as Arc<dyn Backend>).await?;
    let control = Control::start(Arc::clone(cloud.shared()), Arc::clone(&owner) as Arc<dyn Owner>)?;
    let mut events = cloud.shared().events();
    let mut printer = Printer { reader: true, json: a.json, lines: Lines::new(context.data_style()) };
    let bound = cloud.bound();
    if a.json {
        let mut first = serde_json::to_value(bound)?;
        first["event"] = json!("listening");
        printer.print(|| out::json_line(&first))?;
    }
    greet(context, &cloud, bound, owner.devices().len());
    let mut folds = tokio::time::interval(FOLD);
    folds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let result = loop {
        let told = tokio::select! {
            () = &mut end => break Ok(()),
            event = events.recv() => match event {
                Ok(event) => printer.event(&event, &*owner),
                Err(RecvError::Lagged(n)) => printer.missed(n),
                Err(RecvError::Closed) => break Ok(()),
            },
            _ = folds.tick() => printer.unfold(),
        };
        if told.is_err() {
            break told;
        }
    };
    drop(control);
    context.say("ending");
    let all = async {
        cloud.shutdown().await;
        owner.close().await;
    };
    if tokio::time::timeout(END, all).await.is_err() {
        return Err(Failure::with_hint(
            anyhow!("the cloud did not end within {} s; it is left as it is", END.as_secs()),
            "-v shows what it waits for",
        ));
    }
    result
}

/// Prints events for as long as somebody reads; devices are served all the same.
struct Printer {
    reader: bool,
    json: bool,
    lines: Lines,
}

impl Printer {
    fn print(&mut self, print: impl FnOnce() -> Outcome) -> Outcome {
        if !self.reader {
            return Ok(());
        }
        match print() {
            Err(Failure::ReaderGone) => {
                self.reader = false;
                Ok(())
            }
            other => other,
        }
    }

    fn event(&mut self, event: &Event, owner: &dyn Backend) -> Outcome {
        if self.json {
            return self.print(|| out::json_line(event));
        }
        let value = serde_json::to_value(event)?;
        let schema = |id: &DeviceId| owner.by_id(id).map(|d| Arc::clone(&d.schema));
        match self.lines.of(&value, &schema) {
            Some(line) => self.print(|| out::line(&line)),
            None => Ok(()),
        }
    }

    fn missed(&mut self, n: u64) -> Outcome {
        let missed: Value = json!({"event": "missed", "events": n});
        if self.json {
            return self.print(|| out::json_line(&missed));
        }
        match self.lines.of(&missed, &|_| None) {
            Some(line) => self.print(|| out::line(&line)),
            None => Ok(()),
        }
    }

    fn unfold(&mut self) -> Outcome {
        let lines = self.lines.unfold();
        lines.iter().try_for_each(|l| self.print(|| out::line(l)))
    }
}

fn config(context: &Context, a: &CloudRun) -> Result<Config, Failure> {
    let mut config = Config::new(context.data_dir()?);
    config.listeners = a.listeners();
    config.advertise = a.advertise.clone().unwrap_or_default();
    config.time_zone.clone_from(&a.time_zone);
    config.dns = Dns { clients: a.dns_clients.clone(), forward: a.dns_forward };
    if let Some((host, port)) = &a.broker {
        let login = match (&a.broker_user, &a.broker_password_file) {
            (Some(user), Some(file)) => Some((user.clone(), password(file)?)),
            _ => None,
        };
        config.external_broker = Some(ExternalBroker { host: host.clone(), port: *port, login });
    }
    let l = &config.listeners;
    let open = [l.http, l.https, l.mqtt, l.mqtts, l.mqtt_psk, l.dns]
        .into_iter()
        .any(|l| matches!(l, Listen::At(at) if !at.ip().is_loopback()));
    if let Advertise::Ip(ip) = &config.advertise
        && ip.is_loopback()
        && open
    {
        return Err(Failure::misuse(
            anyhow!("devices of your network would be told {ip}, which is themselves"),
            "give --advertise this machine's address in their network, or leave it out",
        ));
    }
    Ok(config)
}

fn password(file: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(PASSWORD_BYTES).read_to_string(&mut text))
        .with_context(|| format!("can't read the password file {}", file.display()))
        .map_err(|e| {
            Failure::with_hint(e, "name a file that holds the broker's password and nothing else")
        })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// What listens where, what devices are told, who can get here, and what to do next.
fn greet(context: &Context, cloud: &Cloud, bound: Bound, devices: usize) {
    let mut text = "the cloud listens\n".to_owned();
    for (what, option, at) in bound.all() {
        let at = at.map_or_else(|| "off".to_owned(), |at| at.to_string());
        text.push_str(&format!("  {what:<18}  {at:<22}  {option}\n"));
    }
    let shared = cloud.shared();
    text.push_str(&format!("devices are told {}\n", clean(&shared.config.advertise.to_string())));
    text.push_str(&exposure(bound));
    if shared.journal.last_end() == LastEnd::Killed {
        text.push_str("the cloud before this one was killed; what it lost is counted as devices come back\n");
    }
    text.push_str(&format!("{}\nCtrl-C ends", next(bound, devices)));
    context.say(&text);
}

fn open_ones(bound: Bound) -> Vec<(&'static str, SocketAddr)> {
    let all = bound.all().into_iter();
    all.filter_map(|(what, _, at)| Some((what, at?))).filter(|(_, at)| !at.ip().is_loopback()).collect()
}

fn exposure(bound: Bound) -> String {
    let open: Vec<String> = open_ones(bound).iter().map(|(what, at)| format!("{what} {at}")).collect();
    if open.is_empty() {
        return "only this machine can connect: everything listens on loopback\n".to_owned();
    }
    format!("open to the network: {}\n", open.join(", "))
}

fn next(bound: Bound, devices: usize) -> &'static str {
    if open_ones(bound).is_empty() {
        "next: devices look for ports 53, 80, 443, 1883, 8883 and 8886: docs/cloud.md says how to give them to landfall; \
         to look around: landfall cloud status"
    } else if devices == 0 {
        "next: landfall cloud allow --for 10m, then pair a device; or take devices over with landfall device import"
    } else {
        "next: landfall cloud status shows how far each device has come"
    }
}
