//! `landfall run`: the home server.

use std::io::{self, IsTerminal as _};

use anyhow::anyhow;
use landfall_cloud::clock::Clock;
use landfall_hub::Server;
use landfall_hub::server::Special;
use landfall_hub::settings::{MqttBroker, Settings};
use serde_json::json;

use crate::args::Run;
use crate::cmd::config;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::out;
use crate::render::{clean, count};
use crate::stop;

/// Runs the home server until somebody ends it.
pub(crate) async fn run(context: &Context, a: &Run) -> Outcome {
    if context.devices_option().is_some() {
        return Err(Failure::misuse(
            anyhow!("the home server works with the book, not with a devices.json"),
            "import the file with `landfall device import FILE`, and leave --devices out",
        ));
    }
    let mut end = std::pin::pin!(stop::asked());
    let (settings, file) = config::read(&a.source)?;
    let dir = context.data_dir()?;
    if let Some(file) = &file {
        context.say(&format!("settings: {}", file.display()));
    }
    // A relative name says nothing to somebody at the page.
    let settings_file = file.or_else(config::place).map(|f| std::path::absolute(&f).unwrap_or(f));
    let special = Special { settings_file, ..Special::default() };
    let server = Box::pin(Server::start(&settings, &dir, Clock::system(), special)).await?;
    let result = serve(context, a.json, &server, &settings, &mut end).await;
    context.say("ending");
    server.shutdown().await;
    result
}

/// Says where it is, and then what changes, until the end.
pub(crate) async fn serve(
    context: &Context,
    json: bool,
    server: &Server,
    settings: &Settings,
    end: &mut (impl Future<Output = ()> + Unpin),
) -> Outcome {
    let mut changes = server.home().bus().read(None);
    greet(context, server, settings);
    if !json {
        end.await;
        return Ok(());
    }
    let mut first = serde_json::to_value(server.addresses())?;
    first["event"] = json!("listening");
    print(&first)?;
    loop {
        let told = tokio::select! {
            () = &mut *end => return Ok(()),
            told = changes.next() => told,
        };
        match told {
            None => return Ok(()),
            Some(Err(gap)) => {
                print(&json!({"event": "gap", "from": gap.from.0, "to": gap.to.0}))?;
            }
            Some(Ok(changes)) => {
                for change in changes {
                    print(&landfall_hub::api::change_json(&change, &*server.home()))?;
                }
            }
        }
    }
}

/// A reader that goes away ends nothing: devices are served all the same.
fn print(value: &serde_json::Value) -> Outcome {
    match out::json_line(value) {
        Err(Failure::ReaderGone) => Ok(()),
        other => other,
    }
}

/// What listens where, who can get here, and what to do next.
pub(crate) fn greet(context: &Context, server: &Server, settings: &Settings) {
    let at = server.addresses();
    let status = server.status();
    let mut text = format!("the hub runs with {}\n", count(status.devices, "device"));
    if let Some(page) = at.page {
        let scheme = if at.tls { "https" } else { "http" };
        text.push_str(&format!("  API               {scheme}://{page}/api/v1  (page.listen)\n"));
    }
    for (what, option, bound) in at.cloud.all() {
        let bound = bound.map_or_else(|| "off".to_owned(), |b| b.to_string());
        let key = option.trim_start_matches('-').replace('-', "_");
        text.push_str(&format!("  {what:<18}  {bound:<22}  cloud.{key}\n"));
    }
    text.push_str(&match settings.mqtt.broker {
        MqttBroker::Off => "people's MQTT is off\n".to_owned(),
        MqttBroker::Embedded => format!(
            "people's MQTT: topics under {}/ on the MQTT ports above; `landfall cloud user add NAME` makes a login\n",
            clean(&settings.mqtt.base)
        ),
        MqttBroker::External => format!(
            "people's MQTT: topics under {}/ on {}:{}\n",
            clean(&settings.mqtt.base),
            clean(&settings.mqtt.host),
            settings.mqtt.port
        ),
    });
    if let Some((file, fingerprint)) = server.authority() {
        text.push_str(&format!("browsers shall trust {} (SHA-256 {fingerprint})\n", file.display()));
    }
    match server.fresh_token() {
        // To a terminal only: a log would keep it.
        Some(fresh) if io::stderr().is_terminal() => {
            text.push_str(&format!(
                "your admin token, shown this once (it also stands in admin-token of the data directory): {}\n",
                fresh.text
            ));
        }
        Some(_) => text.push_str("your admin token stands in admin-token of the data directory\n"),
        None => {}
    }
    text.push_str("Ctrl-C ends");
    context.say(&text);
}
