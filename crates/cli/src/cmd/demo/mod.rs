//! `landfall demo`: the home server on a virtual home, with a past.

mod acts;
mod house;
mod past;
pub(crate) mod screen;

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use landfall_book::{BookStore as _, FileStore};
use landfall_cloud::clock::Clock;
use landfall_cloud::config::Listen;
use landfall_cloud::control::Window;
use landfall_cloud::handshake::Step;
use landfall_hub::Server;
use landfall_hub::client::Client;
use landfall_hub::model::{Change, DeviceView, Home, Presence, What};
use landfall_hub::server::Special;
use landfall_hub::settings::{Address, Settings};
use landfall_hub::store::Batch;
use tokio::time::{Instant, MissedTickBehavior};

use self::acts::Act;
use self::house::House;
use self::screen::Screen;
use crate::args;
use crate::cmd::{run, top};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Style, clean, count};
use crate::stop;

/// How long `--once` waits for the last device.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the screen is drawn at most.
const FRAME: Duration = Duration::from_millis(500);
/// How long new devices may be paired, in seconds.
const WINDOW: u64 = 600;
/// What is paid for a kWh in this home, in thousandths, in the past as well.
const PRICE_MILLI: u16 = 300;

/// Starts the home and shows it.
pub(crate) async fn run(context: &Context, a: &args::Demo) -> Outcome {
    if context.devices_option().is_some() {
        return Err(Failure::misuse(
            anyhow!("the demo brings its own devices"),
            "leave --devices out, or use `landfall watch` with it",
        ));
    }
    let temporary;
    let dir = match context.chosen_data_dir() {
        Some(dir) => dir.as_path(),
        None => {
            temporary = tempfile::Builder::new().prefix("landfall-demo-").tempdir()?;
            temporary.path()
        }
    };
    refuse_real_devices(dir)?;
    let mut house = House::start().await?;
    let result = Box::pin(live_in(context, a, &mut house, dir)).await;
    house.shutdown().await;
    result
}

/// A directory of somebody's own devices is not a place to play.
fn refuse_real_devices(dir: &Path) -> Result<(), Failure> {
    let real = House::real(&FileStore::new(dir).load()?)?;
    if real == 0 {
        return Ok(());
    }
    Err(Failure::misuse(
        anyhow!("{} holds {}", dir.display(), count(real, "real device")),
        "leave --data-dir out: the demo then uses a temporary directory",
    ))
}

/// Everything on free ports of this machine, but the API where people look for it.
fn settings(a: &args::Demo) -> Settings {
    let mut settings = Settings::default();
    settings.home.name = "Demo".to_owned();
    settings.home.price = f64::from(PRICE_MILLI) / 1_000.0;
    settings.page.listen = match a.listen {
        Some(at) => Address(Listen::At(at)),
        // `--once` is over before anybody could look.
        None if a.once => Address::loopback(0),
        None => settings.page.listen,
    };
    settings.lan.discovery = false;
    let cloud = &mut settings.cloud;
    for at in [&mut cloud.http, &mut cloud.https, &mut cloud.mqtt, &mut cloud.mqtts, &mut cloud.mqtt_psk] {
        *at = Address::loopback(0);
    }
    cloud.dns = Address(Listen::Off);
    settings
}

/// Whether nobody listens there.
fn is_free(at: SocketAddr) -> bool {
    std::net::TcpListener::bind(at).is_ok()
}

async fn live_in(context: &Context, a: &args::Demo, house: &mut House, dir: &Path) -> Outcome {
    let book = house.move_in(dir)?;
    let mut settings = settings(a);
    if a.listen.is_none() && settings.page.listen.at().is_some_and(|at| at.port() != 0 && !is_free(at)) {
        context.say("port 8099 is taken; using another one");
        settings.page.listen = Address::loopback(0);
    }
    // A directory that was used before has a past of its own.
    let first = !dir.join("history.db").exists();
    let past = if first {
        past::of(&house.home, &book, Context::now(), &jiff::tz::TimeZone::system(), PRICE_MILLI)
    } else {
        past::Past::default()
    };
    let special = Special { remember: past.saved, ..Special::default() };
    let server = Box::pin(Server::start(&settings, dir, Clock::system(), special)).await?;
    let filling = tokio::spawn(fill(server.home(), past.batches));
    let result = match house.meet(server.addresses().cloud).await {
        Ok(()) => {
            let until = Context::now().saturating_add(WINDOW);
            if let Err(problem) = server.home().open_window(Window { who: None, until }) {
                tracing::warn!("new devices can't be paired: {problem}");
            }
            if a.once {
                once(context, &server, house, dir).await
            } else {
                live(context, &server, &settings, dir).await
            }
        }
        Err(e) => Err(e),
    };
    filling.abort();
    server.shutdown().await;
    result
}

/// Stores what was before, a portion at a time, so that what is now is not held up.
async fn fill(home: Arc<dyn Home>, batches: Vec<Batch>) {
    let rows: usize = batches.iter().map(|b| b.points.len() + b.energy.len()).sum();
    for batch in batches {
        if let Err(error) = home.store().append(&batch).await {
            tracing::warn!(%error, "the past of the home is not complete");
            return;
        }
        tokio::task::yield_now().await;
    }
    tracing::info!(rows, "the past of the home is stored");
}

/// How many devices reported to the cloud, and how many of them were paired there.
fn living(server: &Server) -> (usize, usize) {
    let Some(cloud) = server.cloud() else { return (0, 0) };
    let records = cloud.shared().handshakes.devices();
    let reported = records.values().filter(|r| r.at(Step::Reported).is_some());
    let paired = reported.clone().filter(|r| r.at(Step::Activated).is_some()).count();
    (reported.count(), paired)
}

/// Devices that should report and did not. What its gateway doesn't reach has nothing to say.
fn silent(server: &Server) -> Vec<String> {
    let missing = |view: &Arc<DeviceView>| {
        let unreached = view.facts.cid.is_some() && matches!(view.presence, Presence::Offline { .. });
        !view.facts.sleeper && !unreached && view.heard_ms.is_none()
    };
    server.home().devices().iter().filter(|v| missing(v)).map(|v| clean(&v.facts.name)).collect()
}

/// One table, when every device has reported.
async fn once(context: &Context, server: &Server, house: &House, dir: &Path) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    let mut changes = server.home().bus().read(None);
    let settled = || silent(server).is_empty() && living(server).1 >= house.newcomers();
    while !settled() {
        if tokio::time::timeout_at(deadline, changes.next()).await.is_err() {
            break;
        }
    }
    let mut client = Client::connect(dir).await?;
    top::print(context, &top::devices(&mut client).await?)?;
    let silent = silent(server);
    let (reported, paired) = living(server);
    let hint = "run it again with -v to see why";
    if !silent.is_empty() {
        let text = anyhow!("no report within {} s from {}", PATIENCE.as_secs(), silent.join(", "));
        return Err(Failure::with_hint(text, hint));
    }
    if paired < house.newcomers() {
        let text =
            anyhow!("not all new devices were paired by the stand-in cloud within {} s", PATIENCE.as_secs());
        return Err(Failure::with_hint(text, hint));
    }
    context.say(&format!(
        "{} to a stand-in cloud on this machine as well, {paired} of them paired there just now \
         (firmware of the generations A, B and C)",
        if reported == 1 {
            "1 device reports".to_owned()
        } else {
            format!("{} report", count(reported, "device"))
        }
    ));
    Ok(())
}

/// Redrawn in place on a terminal, a line a change otherwise, until somebody ends it.
async fn live(context: &Context, server: &Server, settings: &Settings, dir: &Path) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let terminal = io::stdout().is_terminal();
    let mut client = Client::connect(dir).await?;
    let home = server.home();
    let mut changes = home.bus().read(None);
    let mut screen = Screen::new(context.data_style());
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns = tokio::time::interval_at(Instant::now() + acts::EVERY, acts::EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0_usize;
    let mut act: Option<Act> = None;
    let mut told = "commands will show here".to_owned();
    run::greet(context, server, settings);
    context.say(&format!(
        "a virtual home with a month of history. In another terminal: landfall --data-dir {dir} top, or\n  \
         curl -H \"Authorization: Bearer $(cat {dir}/admin-token)\" {page}/api/v1/devices\n\
         Other programs find the keys of its devices in {dir}/devices.json",
        dir = dir.display(),
        page = server.addresses().page.map(|p| format!("http://{p}")).unwrap_or_default(),
    ));
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            news = changes.next() => {
                let Some(news) = news else { return Ok(()) };
                if !terminal {
                    for change in news.unwrap_or_default() {
                        for line in lines(&*home, &change) {
                            out::line(&line)?;
                        }
                    }
                }
            }
            line = async { match &mut act { Some(a) => a.told().await, None => std::future::pending().await } } => {
                act = None;
                if !terminal {
                    out::line(&line)?;
                }
                told = line;
            }
            _ = turns.tick(), if act.is_none() => {
                act = acts::next(&home, turn);
                turn = turn.wrapping_add(1);
            }
            _ = frames.tick(), if terminal => {
                let devices = top::devices(&mut client).await?;
                let mut lines = top::table(Style { colour: false }, &devices).lines();
                lines.push(String::new());
                lines.push(format!("{}; {told}", top::total(&devices)));
                screen.draw(&lines)?;
            }
        }
    }
}

/// Readings that move all the time: as lines they would drown everything else.
const WOBBLING: &[&str] = &["voltage", "current", "power"];

/// A change as lines for a reader that is no terminal.
fn lines(home: &dyn Home, change: &Change) -> Vec<String> {
    let Some(view) = change.device.as_ref().and_then(|id| home.device(id.as_str()).ok()) else {
        return Vec::new();
    };
    let name = clean(&view.facts.name);
    match &change.what {
        What::Points { dps, changed, .. } => {
            let named: HashSet<&str> = changed
                .iter()
                .filter_map(|id| view.definition.points.get(id))
                .map(|p| p.name.as_str())
                .collect();
            let read = view.definition.read(dps);
            let worth =
                read.iter().filter(|(k, _)| named.contains(k.as_str()) && !WOBBLING.contains(&k.as_str()));
            worth.map(|(k, v)| format!("{name}  {k} = {}", clean(&v.to_string()))).collect()
        }
        What::Presence(presence) => vec![format!("{name}  {}", presence.word())],
        What::Added => vec![format!("{name}  paired")],
        _ => Vec::new(),
    }
}
