//! What the home server costs when little happens, and what one report costs its brain.
//!
//! * At rest: a hub with all its doors (page, MQTT for people, history on disk, the cloud's servers) holds the LAN connections
//!   of virtual devices of all kinds, which report as stock firmware does. Hub and devices are processes of their own; the
//!   figures are the kernel's: resident memory, and CPU time as a share of one core.
//! * A report: what `Core::apply` takes for one of a metering plug (points, energy account, the view, changes), as a multiple
//!   of reading its JSON.
//!
//! `cargo bench -p landfall-hub --bench rest -- [DEVICES [SECONDS]]`, normally 100 and 60. Lines that begin with `{` are JSON.

// A bench prints its figures.
#![allow(clippy::print_stdout)]

#[path = "../../cloud/benches/common/running.rs"]
mod running;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_book::{BookStore as _, FileStore, import, merge};
use landfall_cloud::clock::Clock;
use landfall_hub::Server;
use landfall_hub::core::{Action, Core, Known, Moment, Settings as CoreSettings};
use landfall_hub::model::{Facts, Line, LineState, Origin, Seq};
use landfall_hub::profile::{Definitions, KnownSchemas};
use landfall_hub::server::Special;
use landfall_hub::settings::{Address, Settings};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use landfall_proto::lan::body::Body;
use landfall_sim::{Home, Options, Simulation};
use serde_json::json;

use running::Running;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A line from stdin, waited for on a thread of its own.
async fn told() -> Result<()> {
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

/// Virtual devices of all kinds; their ids and keys go into a file.
async fn devices(count: usize, dir: &Path) -> Result<()> {
    let simulation = Simulation::start(Home::of(count), Options::quiet()).await?;
    simulation.write_devices_json(dir.join("devices.json"))?;
    println!("ready");
    told().await?;
    simulation.shutdown().await;
    Ok(())
}

/// The home server on them. Says `ready` once all are there.
async fn hub(dir: &Path) -> Result<()> {
    let entries = import::read(&dir.join("devices.json"))?;
    FileStore::new(dir).update(&mut |book| {
        merge::merge(book, &entries, 0);
        Ok(())
    })?;
    let mut settings = Settings::default();
    let free = Address::loopback(0);
    settings.page.listen = free;
    let cloud = &mut settings.cloud;
    (cloud.http, cloud.https, cloud.mqtt, cloud.mqtts, cloud.mqtt_psk, cloud.dns) =
        (free, free, free, free, free, free);
    let special = Special { discovery: Some(None), ..Special::default() };
    let server = Server::start(&settings, dir, Clock::system(), special).await?;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let status = server.status();
        if status.available == status.devices {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("{} of {} devices are there", status.available, status.devices).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("ready");
    told().await?;
    let status = server.status();
    println!(
        "{}",
        json!({"available": status.available, "dropped": status.store.dropped + status.inbox_dropped})
    );
    server.shutdown().await;
    Ok(())
}

/// CPU time that all threads have used, those that ended too.
fn cpu(of: &Running) -> Result<Duration> {
    /// The kernel shows times in hundredths of a second, whatever its own tick is.
    const HUNDREDTH: Duration = Duration::from_millis(10);
    let text = fs::read_to_string(format!("/proc/{}/stat", of.id()))?;
    // The name in parentheses may hold anything.
    let (_, fields) = text.rsplit_once(')').ok_or("stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u32>().ok()).ok_or("stat");
    Ok(HUNDREDTH * (ticks(11)? + ticks(12)?))
}

/// A line of its status, in KiB.
fn kib(of: &Running, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", of.id()))?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)).ok_or("status")?;
    Ok(line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?)
}

fn at_rest(count: usize, time: Duration) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().ok_or("no path")?;
    let mut devices = Running::start(&["devices", &count.to_string(), path])?;
    devices.line()?;
    let mut hub = Running::start(&["hub", path])?;
    hub.line()?;
    // What starting costs is not rest.
    std::thread::sleep(time.min(Duration::from_secs(10)));
    let (before, start) = (cpu(&hub)?, Instant::now());
    std::thread::sleep(time);
    let used = (cpu(&hub)? - before).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    let (now, most) = (kib(&hub, "VmRSS")? as f64 / 1_024.0, kib(&hub, "VmHWM")? as f64 / 1_024.0);
    let anonymous = kib(&hub, "RssAnon")? as f64 / 1_024.0;
    println!(
        "at rest, {count} devices: {now:.1} MiB resident ({anonymous:.1} MiB of it its own, the rest its program; {most:.1} MiB \
         at most; 60 wanted), {used:.2} % of a core (2 % wanted)"
    );
    hub.poke()?;
    println!(
        "{}",
        json!({"bench": "rest", "devices": count, "seconds": time.as_secs(), "resident_mib": now, "own_mib": anonymous,
            "most_mib": most, "cpu_percent": used, "after": hub.line()?})
    );
    Ok(())
}

fn plug(n: usize) -> Result<Facts> {
    Ok(Facts {
        category: Some("cz".to_owned()),
        has_key: true,
        ..Facts::new(DeviceId::new(format!("bf00000000000000{n:06}"))?, format!("plug {n}"))
    })
}

/// The same report as JSON, in the form of the LAN.
fn text(n: i64) -> String {
    let dps = json!({"18": 40 + n % 50, "19": 900 + n % 90, "20": 2_301 + n % 30, "17": 1 + n % 3});
    json!({"devId": "bf00000000000000000001", "dps": dps, "t": 1_700_000_000 + n}).to_string()
}

/// What one report takes, in nanoseconds: its JSON read, and the brain.
fn a_report(rounds: i64) -> Result<()> {
    const DEVICES: usize = 100;
    let settings = CoreSettings {
        grace: Duration::from_secs(20),
        zone: jiff::tz::TimeZone::UTC,
        price_milli: Some(300),
        last: Seq(0),
    };
    let mut core = Core::new(settings);
    let heard: Dps = [(1, DpValue::Bool(true))]
        .into_iter()
        .chain([17, 18, 19, 20].map(|n| (n, DpValue::Value(1))))
        .map(|(n, v)| (DpId(n), v))
        .collect();
    let definitions = Definitions::built_in();
    let mut known = Vec::new();
    for n in 0..DEVICES {
        let facts = plug(n)?;
        let definition = definitions.of(&facts, &KnownSchemas::default(), &heard);
        if definition.metering.is_none() {
            return Err("the built-in profiles know no metering plug any more".into());
        }
        known.push(Known { facts: Arc::new(facts), definition });
    }
    let ids: Vec<DeviceId> = known.iter().map(|k| k.facts.id.clone()).collect();
    let mut effects = Vec::new();
    let mut now = Moment { mono: Duration::from_secs(1), unix_ms: 1_800_000_000_000 };
    core.apply(Action::Devices(known), now, &mut effects);
    for device in &ids {
        let up = Action::Line {
            device: device.clone(),
            line: Line::Lan,
            state: LineState::Up,
            why: None,
            address: None,
        };
        core.apply(up, now, &mut effects);
    }
    effects.clear();
    let (mut parsing, mut applying, mut told) = (Duration::ZERO, Duration::ZERO, 0);
    for n in 0..rounds {
        let text = text(n);
        let start = Instant::now();
        let body = Body::parse(black_box(text.as_bytes()))?;
        parsing += start.elapsed();
        let report = body.into_report().ok_or("no report")?;
        let device = ids[usize::try_from(n)? % DEVICES].clone();
        now.mono += Duration::from_millis(10);
        now.unix_ms += 10;
        let (line, origin, dps) = (Line::Lan, Origin::Pushed, Arc::new(report.dps));
        let start = Instant::now();
        core.apply(
            Action::Heard { device, cid: None, line, origin, dps, device_ms: None },
            now,
            &mut effects,
        );
        applying += start.elapsed();
        told += effects.len();
        effects.clear();
    }
    #[allow(clippy::cast_precision_loss)] // a bench
    let each = |time: Duration| time.as_nanos() as f64 / rounds as f64;
    let (parse, apply) = (each(parsing), each(applying));
    println!(
        "a report of a metering plug: the brain takes {apply:.0} ns, {:.1} times the {parse:.0} ns that reading its JSON does",
        apply / parse
    );
    println!(
        "{}",
        json!({"bench": "rest", "case": "report", "apply_ns": apply, "parse_ns": parse, "ratio": apply / parse,
            "effects": told})
    );
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match words[..] {
        ["devices", count, dir] => return runtime()?.block_on(devices(count.parse()?, Path::new(dir))),
        ["hub", dir] => return runtime()?.block_on(hub(Path::new(dir))),
        _ => {}
    }
    // As a test everything runs once and small; what it says means nothing.
    let once = words.contains(&"--test");
    let numbers: Vec<usize> = words.iter().filter_map(|w| w.parse().ok()).collect();
    let number = |at: usize, normal| numbers.get(at).copied().unwrap_or(normal);
    a_report(if once { 1_000 } else { 300_000 })?;
    let seconds = number(1, if once { 1 } else { 60 }) as u64;
    at_rest(number(0, if once { 5 } else { 100 }), Duration::from_secs(seconds))
}
