//! `landfall demo`: a virtual home, reached as real devices are, shown live.

mod acts;
mod board;
mod cloud;
pub(crate) mod screen;
mod summary;

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use landfall_book::{BookStore as _, FileStore, import, merge};
use landfall_link::{DeviceNews, Lagged, Link, Subscription};
use landfall_proto::dp::DpId;
use landfall_proto::schema::Schema;
use landfall_sim::server::Addresses;
use landfall_sim::{Home, Options, SimError, Simulation};
use tokio::time::{Instant, MissedTickBehavior};

use self::acts::Act;
use self::board::Board;
use self::cloud::DemoCloud;
use self::screen::Screen;
use crate::args;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{change, count};
use crate::stop;

/// How long `--once` waits for the last device.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the screen is drawn at most.
const FRAME: Duration = Duration::from_millis(250);
/// Loopback networks tried before ports of 127.0.0.1: as many demos at a time have addresses like real devices.
const NETWORKS: u8 = 32;

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
    let mut cloud = DemoCloud::start(&Home::demo()).await?;
    let result = match start(&cloud).await {
        Ok(simulation) => {
            let result = Box::pin(show(context, a, &simulation, &mut cloud, dir)).await;
            simulation.shutdown().await;
            result
        }
        Err(e) => Err(e.into()),
    };
    cloud.shutdown().await;
    result
}

/// A directory of somebody's own devices is not a place to play.
fn refuse_real_devices(dir: &Path) -> Result<(), Failure> {
    let home = Home::demo();
    let ours: HashSet<String> = home
        .devices
        .iter()
        .flat_map(|d| d.spec.children.iter().map(|c| &c.id).chain([&d.spec.id]))
        .map(ToString::to_string)
        .collect();
    let book = FileStore::new(dir).load()?;
    let real = book.devices().iter().filter(|d| !ours.contains(d.id.as_str())).count();
    if real == 0 {
        return Ok(());
    }
    Err(Failure::misuse(
        anyhow!("{} holds {}", dir.display(), count(real, "real device")),
        "leave --data-dir out: the demo then uses a temporary directory",
    ))
}

/// Starts the home on addresses that nobody uses, another demo for instance.
async fn start(cloud: &DemoCloud) -> Result<Simulation, SimError> {
    let options =
        |addresses| Options { addresses, discovery: None, ..Options::default() }.with_cloud(cloud.dial());
    if Addresses::default() == Addresses::Loopback {
        for n in 0..NETWORKS {
            let mut home = Home::demo();
            let [a, b, _, d] = home.network.octets();
            home.network = [a, b, n, d].into();
            match Simulation::start(home, options(Addresses::Loopback)).await {
                Ok(simulation) => return Ok(simulation),
                Err(SimError::AddressBusy { .. }) => {}
                Err(e) => {
                    tracing::info!("{e}; using ports of 127.0.0.1");
                    break;
                }
            }
        }
    }
    Simulation::start(Home::demo(), options(Addresses::Ports)).await
}

async fn show(
    context: &Context,
    a: &args::Demo,
    simulation: &Simulation,
    cloud: &mut DemoCloud,
    dir: &Path,
) -> Outcome {
    // From here on it is a home like any other: a devices.json is imported, and the devices are connected to.
    let store = FileStore::new(dir);
    let file = dir.join("devices.json");
    // The book's lock makes the directory, if need be.
    store.update(&mut |_| Ok(()))?;
    simulation.write_devices_json(&file)?;
    let entries = import::read(&file)?;
    let sleepers: Vec<_> = simulation
        .devices()
        .into_iter()
        .filter(|d| d.address.is_none() && d.parent.is_none())
        .map(|d| d.id)
        .collect();
    let book = store.update(&mut |book| {
        merge::merge(book, &entries, Context::now());
        for id in &sleepers {
            if let Some(d) = book.by_id_mut(id) {
                d.sleeper = true;
            }
        }
        Ok(())
    })?;
    let link = Link::default();
    // Before the first connection, so that nothing is missed.
    let news = link.subscribe();
    let board = Board::open(&book, &link)?;
    let handles: Vec<_> = board.rows.iter().filter_map(|r| r.handle.clone()).collect();
    let result = if a.once {
        once(context, board, news, cloud).await
    } else {
        cloud.greet(context);
        live(context, board, news, &file).await
    };
    for handle in handles {
        handle.close().await;
    }
    result
}

/// One table, when every device has reported.
async fn once(
    context: &Context,
    mut board: Board,
    mut news: Subscription<DeviceNews>,
    cloud: &mut DemoCloud,
) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !board.silent().is_empty() {
        match tokio::time::timeout_at(deadline, news.next()).await {
            Ok(Some(item)) => {
                hear(&mut board, item);
            }
            Ok(None) | Err(_) => break,
        }
    }
    let lines = board.table().lines();
    let style = context.data_style();
    let mut text = style.bold(lines.first().map_or("", String::as_str));
    for line in lines.iter().skip(1) {
        text.push('\n');
        text.push_str(line);
    }
    out::line(&text)?;
    let silent = board.silent();
    if !silent.is_empty() {
        return Err(Failure::with_hint(
            anyhow!("no report within {} s from {}", PATIENCE.as_secs(), silent.join(", ")),
            "run it again with -v to see why",
        ));
    }
    let (are, of) = board.connected();
    context.say(&format!("{are} of {of} reachable, {} in all", board.total()));
    if !cloud.settled(deadline).await {
        return Err(Failure::with_hint(
            anyhow!("not all new devices were paired by the stand-in cloud within {} s", PATIENCE.as_secs()),
            "run it again with -v to see why",
        ));
    }
    context.say(&cloud.summary());
    Ok(())
}

/// Takes news into the board; returns the lines for a reader that is no terminal.
fn hear(board: &mut Board, item: Result<DeviceNews, Lagged>) -> Vec<String> {
    let item = match item {
        Ok(item) => item,
        Err(missed) => {
            tracing::warn!("{missed}");
            board.catch_up();
            return Vec::new();
        }
    };
    let (changes, at) = board.hear(&item);
    let Some(row) = at.and_then(|at| board.rows.get(at)) else { return Vec::new() };
    let style = crate::render::Style { colour: false };
    let said = changes.iter().filter(|c| !wobbles(&row.subject.schema, c.id));
    said.map(|c| change::line(&row.subject.device.name, &row.subject.schema, c, style)).collect()
}

/// Voltage and current of the mains change all the time; as lines they would drown everything else.
fn wobbles(schema: &Schema, id: DpId) -> bool {
    ["cur_voltage", "cur_current"].into_iter().any(|code| schema.by_code(code) == Some(id))
}

/// Redrawn in place on a terminal, a line a change otherwise, until somebody ends it.
async fn live(
    context: &Context,
    mut board: Board,
    mut news: Subscription<DeviceNews>,
    file: &Path,
) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let terminal = io::stdout().is_terminal();
    let mut screen = Screen::new(context.data_style());
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns = tokio::time::interval_at(Instant::now() + acts::EVERY, acts::EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0_usize;
    let mut act: Option<Act> = None;
    let mut told = "commands will show here".to_owned();
    context.say(&format!(
        "a virtual home; Ctrl-C ends. In another terminal: landfall --devices {} get Fridge",
        file.display()
    ));
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            item = news.next() => {
                let Some(item) = item else { return Ok(()) };
                for line in hear(&mut board, item) {
                    if !terminal {
                        out::line(&line)?;
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
                act = acts::next(&board, turn);
                turn = turn.wrapping_add(1);
            }
            _ = frames.tick(), if terminal => {
                let mut lines = board.table().lines();
                let (are, of) = board.connected();
                lines.push(String::new());
                lines.push(format!("{are} of {of} reachable, {} in all; {told}", board.total()));
                screen.draw(&lines)?;
            }
        }
    }
}
