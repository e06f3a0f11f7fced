//! Devices of the book. Keys never appear: only whether there is one.

use landfall_book::{Book, Device};
use landfall_proto::schema::{Access, DpKind, DpSpec};
use serde_json::{Value, json};

use super::{Style, Table};

/// What a category of the vendor is called by people.
pub(crate) fn kind(device: &Device) -> String {
    match device.category.as_deref() {
        Some("cz") => "plug",
        Some("pc") => "power strip",
        Some("kg" | "tdq") => "switch",
        Some("dj" | "dd" | "xdd" | "fwd") => "light",
        Some("tgq" | "tgkg") => "dimmer",
        Some("cl" | "clkg") => "cover",
        Some("wk" | "wkf" | "wkcz") => "thermostat",
        Some("wg2" | "wgzj" | "wfcon") => "gateway",
        Some("mcs") => "door sensor",
        Some("wsdcg") => "climate sensor",
        Some("pir") => "motion sensor",
        Some("sj") => "leak sensor",
        Some("ywbj") => "smoke detector",
        Some("dlq" | "zndb") => "meter",
        Some("fs") => "fan",
        Some("wnykq" | "qt") => "remote",
        Some("cwwsq") => "pet feeder",
        other => return device.product_name.clone().or(other.map(str::to_owned)).unwrap_or_default(),
    }
    .to_owned()
}

/// Where it is: its address, or its gateway.
fn place(book: &Book, d: &Device) -> String {
    match (&d.parent, d.socket_address()) {
        (Some(gateway), _) => {
            let name = book.by_id(gateway).map_or_else(|| gateway.to_string(), |g| g.name.clone());
            format!("behind {name}")
        }
        (None, Some(a)) if d.port.is_none() => a.ip().to_string(),
        (None, Some(a)) => a.to_string(),
        (None, None) => String::new(),
    }
}

fn key_word(book: &Book, d: &Device) -> &'static str {
    if d.is_sub_device() {
        let gateway = d.parent.as_ref().and_then(|g| book.by_id(g));
        return if gateway.is_some_and(|g| g.key.is_some()) { "gateway's" } else { "missing" };
    }
    if d.key.is_some() { "yes" } else { "missing" }
}

/// All devices, a line each.
pub(crate) fn list(book: &Book, style: Style) -> String {
    let mut table = Table::new(style, &["NAME", "KIND", "VERSION", "ADDRESS", "KEY", "ID"]);
    for d in book.devices() {
        table.row([
            d.name.as_str(),
            &kind(d),
            d.version.map_or("", |v| v.as_str()),
            &place(book, d),
            key_word(book, d),
            d.id.as_str(),
        ]);
    }
    table.text()
}

/// A device for programs.
pub(crate) fn to_json(d: &Device) -> Value {
    let mut v = json!({
        "id": d.id,
        "name": d.name,
        "has_key": d.key.is_some(),
        "past_keys": d.key_history.len(),
        "version": d.version,
        "address": d.address,
        "port": d.port,
        "product_id": d.product_id,
        "product_name": d.product_name,
        "category": d.category,
        "uuid": d.uuid,
        "mac": d.mac,
        "gateway": d.parent,
        "cid": d.cid,
        "sleeper": d.sleeper,
        "device22": d.device22,
        "former_ids": d.aliases,
    });
    v["points"] = d
        .schema()
        .0
        .iter()
        .map(|(id, spec)| {
            json!({"dp": id.0, "code": spec.code, "type": spec.kind.name(), "range": range(&spec.kind),
                   "access": access(spec)})
        })
        .collect();
    v
}

/// A device for people.
pub(crate) fn show(book: &Book, d: &Device, style: Style) -> String {
    let mut table = Table::new(style, &["DEVICE", d.name.as_str()]);
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([name, value.as_str()]);
        }
    };
    let text = |o: Option<&str>| o.unwrap_or_default().to_owned();
    row("id", d.id.to_string());
    row("kind", kind(d));
    row("place", place(book, d));
    row("version", d.version.map_or_else(|| "not known yet".to_owned(), |v| v.to_string()));
    row("key", key_word(book, d).to_owned());
    if !d.key_history.is_empty() {
        row("past keys", d.key_history.len().to_string());
    }
    row("cid", text(d.cid.as_ref().map(AsRef::as_ref)));
    row("product", text(d.product_name.as_deref()));
    row("product id", text(d.product_id.as_ref().map(AsRef::as_ref)));
    row("uuid", text(d.uuid.as_ref().map(AsRef::as_ref)));
    row("mac", text(d.mac.as_deref()));
    row("former ids", d.aliases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    if d.sleeper {
        row("sleeper", "yes: it runs on a battery and is seldom reachable".to_owned());
    }
    if d.device22 {
        row("device22", "yes: queries list the points they want".to_owned());
    }
    let mut out = table.text();
    let schema = d.schema();
    if !schema.0.is_empty() {
        let mut points = Table::new(style, &["DP", "CODE", "TYPE", "RANGE", "ACCESS"]);
        for (id, spec) in &schema.0 {
            points.row([&id.to_string(), &*spec.code, spec.kind.name(), &range(&spec.kind), access(spec)]);
        }
        out.push('\n');
        out.push_str(&points.text());
    }
    out
}

fn access(spec: &DpSpec) -> &'static str {
    match spec.access {
        Access::Rw => "read, write",
        Access::Ro => "read",
        Access::Wr => "write",
    }
}

/// What a point takes, in words.
pub(crate) fn range(kind: &DpKind) -> String {
    match kind {
        DpKind::Bool => "on, off".to_owned(),
        DpKind::Value { min, max, step, scale, unit } => {
            let bound = |n: i64| if n == i64::MIN || n == i64::MAX { String::new() } else { n.to_string() };
            let mut out = format!("{}..{}", bound(*min), bound(*max));
            if *step > 1 {
                out.push_str(&format!(" step {step}"));
            }
            match (*scale, &**unit) {
                (0, "") => {}
                (0, unit) => out.push_str(&format!(" {unit}")),
                (scale, unit) => out.push_str(&format!(" x 10^-{scale} {unit}")),
            }
            out.trim_end().to_owned()
        }
        DpKind::Enum(words) => words.join(", "),
        DpKind::Bitmap(labels) if labels.iter().all(|l| l.is_empty()) => format!("{} bits", labels.len()),
        DpKind::Bitmap(labels) => labels.join(", "),
        DpKind::String(usize::MAX) | DpKind::Raw(usize::MAX) => String::new(),
        DpKind::String(max) | DpKind::Raw(max) => format!("up to {max} bytes"),
    }
}
