//! `landfall simulate`

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use landfall_sim::cloud::{Dial, Names, Sockets};
use landfall_sim::home::MAX_DEVICES;
use landfall_sim::server::{DeviceInfo, Discovery};
use landfall_sim::{Home, Options, Simulation};
use serde_json::json;

use crate::args;
use crate::args::cloud::At;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{Style, Table, count};
use crate::stop;

/// Runs virtual devices until somebody ends it.
pub(crate) async fn run(context: &Context, a: &args::Simulate) -> Outcome {
    let home = home(context, a)?;
    let stop = stop::asked();
    let discovery = if a.no_discovery { None } else { Some(Discovery::default()) };
    let simulation =
        Simulation::start(home, Options { discovery, cloud: cloud(a), ..Options::default() }).await?;
    for warning in simulation.warnings() {
        context.say(&format!("note: {warning}"));
    }
    let devices = simulation.devices();
    // All listeners are up by now: whoever waits for the file can connect at once.
    if let Some(file) = &a.write_devices {
        simulation.write_devices_json(file)?;
    }
    let printed = if a.json.json {
        devices.iter().try_for_each(|d| out::json_line(&to_json(d)))
    } else {
        out::data(&table(&devices, context.data_style()))
    };
    // The reader may have seen enough; the devices go on all the same.
    if !matches!(printed, Err(Failure::ReaderGone)) {
        printed?;
    }
    if let Some(file) = &a.write_devices {
        context.say(&format!("keys and addresses are in {}", file.display()));
    }
    context.say(&format!("{} running; Ctrl-C ends", count(devices.len(), "virtual device")));
    stop.await;
    simulation.shutdown().await;
    Ok(())
}

/// The way to the cloud that the devices look for.
fn cloud(a: &args::Simulate) -> Option<Arc<dyn Dial>> {
    Some(match a.cloud? {
        At::Ip(ip) => Arc::new(Sockets::mapped(Names::new().with("*", ip, &a.cloud_ports.mapped()))),
        At::Dns => Arc::new(Sockets::system()),
    })
}

fn home(context: &Context, a: &args::Simulate) -> Result<Home, Failure> {
    if let Some(file) = &a.home {
        return Ok(Home::load(file)?);
    }
    // `landfall --devices N simulate` comes by the global option.
    match a.devices.as_ref().or(context.devices_option()) {
        Some(n) => Ok(Home::of(number(n)?)),
        None => Ok(Home::demo()),
    }
}

fn number(text: &Path) -> Result<usize, Failure> {
    match text.to_str().and_then(|t| t.parse().ok()) {
        Some(n) if (1..=MAX_DEVICES).contains(&n) => Ok(n),
        _ => Err(Failure::misuse(
            anyhow!("{} is no number of devices", text.display()),
            format!("for simulate, --devices takes a number from 1 to {MAX_DEVICES}"),
        )),
    }
}

fn address(d: &DeviceInfo) -> String {
    match (d.address, &d.parent) {
        (Some(a), _) if a.port() == landfall_proto::lan::TCP_PORT => a.ip().to_string(),
        (Some(a), _) => a.to_string(),
        (None, Some((gateway, _))) => format!("behind {gateway}"),
        (None, None) => "asleep".to_owned(),
    }
}

fn table(devices: &[DeviceInfo], style: Style) -> String {
    let mut table = Table::new(style, &["NAME", "KIND", "VERSION", "ADDRESS", "ID"]);
    for d in devices {
        table.row([d.name.as_str(), d.kind.as_str(), d.version.as_str(), &address(d), d.id.as_str()]);
    }
    table.text()
}

/// A device for programs. Its key is in the file of `--write-devices`.
fn to_json(d: &DeviceInfo) -> serde_json::Value {
    json!({
        "id": d.id,
        "name": d.name,
        "kind": d.kind,
        "version": d.version,
        "address": d.address.map(|a| *a.ip()),
        "port": d.address.map(|a| a.port()),
        "gateway": d.parent.as_ref().map(|(id, _)| id),
        "cid": d.parent.as_ref().map(|(_, cid)| cid),
    })
}
