//! `landfall scan`

use std::net::SocketAddr;
use std::time::Duration;

use landfall_book::Device;
use landfall_link::scan::{Finding, Known, ScanEvent, ScanOptions, Summary, scan};
use serde_json::{Value, json};

use crate::args;
use crate::context::Context;
use crate::failure::Outcome;
use crate::out;
use crate::render::{Style, Table, clean, count, progress::Progress};
use crate::stop;

/// Looks who is there and prints a line a device.
pub(crate) async fn run(context: &Context, a: &args::Scan) -> Outcome {
    let book = context.book()?;
    let mut options = ScanOptions {
        duration: Some(Duration::from_secs(a.seconds)),
        probe: a.probe.clone(),
        known: book.devices().iter().filter(|d| !d.is_sub_device()).map(|d| known(d)).collect(),
        ..ScanOptions::default()
    };
    if a.only_probe {
        options.ports.clear = None;
        options.ports.encrypted = None;
        options.ports.answer = None;
    }
    let progress = Progress::start(context, &format!("looking for devices, {} s", a.seconds));
    let mut seen = 0_usize;
    let stop = stop::asked();
    let mut summary = scan(options, stop, |event| {
        if let ScanEvent::Found(f) = event {
            seen += 1;
            progress.now(&format!("looking for devices: {} so far", count(seen, "device")));
            progress.note(&format!("found {}", title(f)));
        }
    })
    .await;
    progress.end();
    if a.only_probe {
        // What was not asked can't have answered: no news.
        summary.findings.retain(|f| !f.seen_by.is_empty());
    }
    for problem in &summary.problems {
        tracing::warn!("{problem}; {}", problem.next_step());
    }
    if a.json.json { out::json(&to_json(&summary)) } else { print(context, &summary) }
}

fn known(d: &Device) -> Known {
    Known {
        id: d.id.clone(),
        name: Some(d.name.clone()),
        key: d.key.clone(),
        version: d.version,
        address: d.socket_address(),
    }
}

fn title(f: &Finding) -> String {
    let who = f.name.as_deref().map(clean).or_else(|| f.id.as_ref().map(ToString::to_string));
    match (who, f.address) {
        (Some(who), Some(at)) => format!("{who} at {}", place(at)),
        (Some(who), None) => who,
        (None, Some(at)) => format!("a device at {}", place(at)),
        (None, None) => "a device".to_owned(),
    }
}

/// The port is worth a word only where it is unusual.
fn place(at: SocketAddr) -> String {
    if at.port() == landfall_proto::lan::TCP_PORT { at.ip().to_string() } else { at.to_string() }
}

fn words<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn table(findings: &[Finding], style: Style) -> String {
    let mut table = Table::new(style, &["NAME", "ADDRESS", "VERSION", "ID", "SEEN BY", "MISSING"]);
    for f in findings {
        let version = match (f.version, f.kind) {
            (Some(v), _) => v.to_string(),
            (None, Some(kind)) => kind.to_string(),
            (None, None) => String::new(),
        };
        let name = match (&f.name, f.known) {
            (Some(n), _) => n.as_str(),
            (None, true) => "",
            (None, false) => "(not in the book)",
        };
        let seen = if f.seen_by.is_empty() { "not seen".to_owned() } else { words(&f.seen_by) };
        let id = f.id.as_ref().map_or("", |i| i.as_str());
        table.row([name, &f.address.map(place).unwrap_or_default(), &version, id, &seen, &words(&f.missing)]);
    }
    table.text()
}

fn print(context: &Context, s: &Summary) -> Outcome {
    let seen = s.findings.iter().filter(|f| !f.seen_by.is_empty()).count();
    if !s.findings.is_empty() {
        out::data(&table(&s.findings, context.data_style()))?;
    }
    for f in &s.findings {
        for note in &f.notes {
            context.say(&format!("note: {} {}", title(f), clean(&note.to_string())));
        }
    }
    let mut told = format!("{} seen", count(seen, "device"));
    if s.probed > 0 {
        told.push_str(&format!("; {} probed, {} without answer", s.probed, s.probed_without_answer));
    }
    if s.left_out > 0 {
        told.push_str(&format!("; {} more left out", s.left_out));
    }
    context.say(&told);
    for address in &s.not_tuya {
        context.say(&format!("note: {address} answers, but is no Tuya device"));
    }
    if seen == 0 && s.probed == 0 {
        context.say(
            "hint: devices in another network or VLAN are not heard: try --probe 192.168.1.0/24 with their network",
        );
    }
    if s.findings.iter().any(|f| !f.known) {
        context
            .say("hint: keys come with `landfall device import devices.json` (tinytuya's wizard writes it)");
    }
    Ok(())
}

fn to_json(s: &Summary) -> Value {
    let findings: Vec<Value> = s
        .findings
        .iter()
        .map(|f| {
            json!({
                "id": f.id,
                "name": f.name,
                "known": f.known,
                "address": f.address.map(|a| a.ip()),
                "port": f.address.map(|a| a.port()),
                "version": f.version,
                "probe": f.kind.map(|k| k.to_string()),
                "product_id": f.product_id,
                "uuid": f.uuid,
                "active": f.active,
                "clients": f.clients,
                "seen_by": f.seen_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "missing": f.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "notes": f.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "devices": findings,
        "problems": s.problems.iter().map(|p| json!({"problem": p.to_string(), "next_step": p.next_step()})).collect::<Vec<_>>(),
        "malformed": s.malformed,
        "foreign": s.foreign,
        "left_out": s.left_out,
        "probed": s.probed,
        "probed_without_answer": s.probed_without_answer,
        "not_tuya": s.not_tuya,
        "key_tries_left": s.key_tries_left,
    })
}
