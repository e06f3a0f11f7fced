//! `landfall device ...`: the book.

use anyhow::anyhow;
use landfall_book::export::{Keys, devices_json};
use landfall_book::{Change, Device, OutcomeKind, import, merge};
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::key_source;
use crate::out;
use crate::render::{self, clean, count};

/// Runs one of the commands.
pub(crate) fn run(context: &Context, command: args::Device) -> Outcome {
    match command {
        args::Device::Add(a) => add(context, a),
        args::Device::List(a) => list(context, &a),
        args::Device::Show(a) => show(context, &a),
        args::Device::Rename(a) => rename(context, &a),
        args::Device::Remove(a) => remove(context, &a),
        args::Device::Import(a) => import_file(context, &a),
        args::Device::Export(a) => export(context, &a),
    }
}

fn add(context: &Context, a: args::DeviceAdd) -> Outcome {
    let store = context.store()?;
    let key = key_source::read(a.key_file.as_deref(), a.key_stdin)?;
    let sub_device = a.cid.is_some();
    let mut said = Device::new(a.id, a.name);
    said.address = a.address;
    said.port = a.port.filter(|p| *p != landfall_proto::lan::TCP_PORT);
    said.version = a.protocol;
    said.product_id = a.product;
    said.cid = a.cid;
    said.sleeper = a.sleeper;
    said.device22 = a.device22;
    let mut has_key = false;
    let book = store.update(&mut |book| {
        let mut device = said.clone();
        if let Some(gateway) = &a.gateway {
            device.parent = Some(book.find(gateway)?.id.clone());
        }
        let known = book.by_id(&device.id).is_some();
        if known && a.update {
            book.rename(device.id.as_str(), &device.name)?;
            if let Some(d) = book.by_id_mut(&device.id) {
                overwrite(d, &device);
            }
        } else {
            book.add(device)?;
        }
        if let Some(d) = book.by_id_mut(&said.id) {
            if let Some(key) = &key {
                d.change_key(key.clone(), Context::now());
            }
            has_key = d.key.is_some();
        }
        Ok(())
    })?;
    let name = book.by_id(&said.id).map_or("", |d| d.name.as_str());
    context.say(&format!("{} is in the book now", clean(name)));
    if !has_key && !sub_device {
        context.say(&format!(
            "it has no local key yet; add it with: landfall device add {name:?} --id {} --update --key-stdin",
            said.id
        ));
    }
    Ok(())
}

/// What was given on the command line, over what is known.
fn overwrite(d: &mut Device, said: &Device) {
    d.address = said.address.or(d.address);
    d.port = said.port.or(d.port);
    d.version = said.version.or(d.version);
    d.product_id = said.product_id.clone().or_else(|| d.product_id.take());
    d.parent = said.parent.clone().or_else(|| d.parent.take());
    d.cid = said.cid.clone().or_else(|| d.cid.take());
    d.sleeper |= said.sleeper;
    d.device22 |= said.device22;
}

fn list(context: &Context, a: &args::Json) -> Outcome {
    let book = context.book()?;
    if a.json {
        return out::json(&book.devices().iter().map(|d| render::device::to_json(d)).collect::<Vec<_>>());
    }
    if book.is_empty() {
        context.say("no devices yet: landfall device import devices.json, or landfall device add");
        return Ok(());
    }
    out::data(&render::device::list(&book, context.data_style()))
}

fn show(context: &Context, a: &args::DeviceShow) -> Outcome {
    let book = context.book()?;
    let device = book.find(&a.device)?;
    if a.json.json {
        return out::json(&render::device::to_json(device));
    }
    out::data(&render::device::show(&book, device, context.data_style()))
}

fn rename(context: &Context, a: &args::DeviceRename) -> Outcome {
    let mut before = String::new();
    context.store()?.update(&mut |book| {
        before = book.rename(&a.device, &a.name)?;
        Ok(())
    })?;
    context.say(&format!("{} is now {}", clean(&before), clean(a.name.trim())));
    Ok(())
}

fn remove(context: &Context, a: &args::DeviceRemove) -> Outcome {
    let mut name = String::new();
    context.store()?.update(&mut |book| {
        name = book.remove(&a.device)?.name;
        Ok(())
    })?;
    context.say(&format!("{} was taken out of the book", clean(&name)));
    Ok(())
}

fn import_file(context: &Context, a: &args::DeviceImport) -> Outcome {
    let entries = import::read(&a.file)?;
    let now = Context::now();
    let mut outcomes = Vec::new();
    let store = context.store()?;
    store.update(&mut |book| {
        outcomes = merge::merge(book, &entries, now);
        Ok(())
    })?;
    if a.json.json {
        let list: Vec<_> = outcomes
            .iter()
            .map(|o| {
                let (outcome, changes) = match &o.kind {
                    OutcomeKind::Added { .. } => ("added", Vec::new()),
                    OutcomeKind::Updated(c) => ("updated", c.iter().map(Change::to_string).collect()),
                    OutcomeKind::Unchanged => ("unchanged", Vec::new()),
                    OutcomeKind::Former => ("former", Vec::new()),
                };
                json!({"id": o.id, "name": o.name, "outcome": outcome, "changes": changes})
            })
            .collect();
        return out::json(&list);
    }
    let (mut added, mut updated, mut unchanged) = (0, 0, 0);
    for o in &outcomes {
        let name = clean(&o.name);
        match &o.kind {
            OutcomeKind::Added { instead_of } => {
                added += 1;
                match instead_of {
                    Some(taken) => out::line(&format!(
                        "added      {name} (another device is called {:?} already)",
                        clean(taken)
                    ))?,
                    None => out::line(&format!("added      {name}"))?,
                }
            }
            OutcomeKind::Updated(changes) => {
                updated += 1;
                let said: Vec<String> = changes.iter().map(|c| clean(&c.to_string())).collect();
                out::line(&format!("updated    {name}: {}", said.join(", ")))?;
            }
            OutcomeKind::Unchanged => {
                unchanged += 1;
                out::line(&format!("unchanged  {name}"))?;
            }
            OutcomeKind::Former => {
                unchanged += 1;
                out::line(&format!("unchanged  {name} (the file knows it by a former id)"))?;
            }
        }
    }
    context.say(&format!(
        "{}: {added} added, {updated} updated, {unchanged} unchanged; kept in {}",
        count(outcomes.len(), "device"),
        store.place().display()
    ));
    Ok(())
}

fn export(context: &Context, a: &args::DeviceExport) -> Outcome {
    let book = context.book()?;
    let keys = if a.with_keys { Keys::With } else { Keys::Without };
    let text = devices_json(&book, keys)?;
    let Some(path) = &a.output else { return out::data(&text) };
    if path.file_name().is_none() {
        return Err(Failure::misuse(
            anyhow!("{} is no file name", path.display()),
            "name a file, for instance -o devices.json",
        ));
    }
    landfall_book::store::replace_file(path, text.as_bytes())?;
    context.say(&format!("{} written to {}", count(book.devices().len(), "device"), path.display()));
    Ok(())
}
