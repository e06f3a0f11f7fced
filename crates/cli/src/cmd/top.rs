//! `landfall top`: the devices of a running hub, live.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use landfall_hub::client::Client;
use serde_json::{Map, Value};
use tokio::time::{Instant, MissedTickBehavior};

use super::demo::screen::Screen;
use crate::args;
use crate::context::Context;
use crate::failure::Outcome;
use crate::out;
use crate::render::{Style, Table, clean};
use crate::stop;

/// How often the table is drawn at most.
const FRAME: Duration = Duration::from_millis(500);
/// Most devices of one answer.
const PAGE: usize = 500;
/// Attributes worth a look beside switches, in this order.
const WORTH: &[&str] = &[
    "position",
    "state",
    "brightness",
    "color_mode",
    "temperature",
    "target_temperature",
    "mode",
    "humidity",
    "battery",
    "contact",
    "occupancy",
    "feed_state",
    "fan_speed",
];

/// Draws the table until somebody ends it; once for a reader that is no terminal, or when asked.
pub(crate) async fn run(context: &Context, a: &args::Top) -> Outcome {
    let mut end = std::pin::pin!(stop::asked());
    let dir = context.data_dir()?;
    let mut client = Client::connect(&dir).await?;
    if a.once || !io::stdout().is_terminal() {
        let devices = devices(&mut client).await?;
        return print(context, &devices);
    }
    let mut news = Client::connect(&dir).await?.events("/api/v1/events").await?;
    let mut screen = Screen::new(context.data_style());
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut stale, mut drawn) = (true, Instant::now());
    loop {
        tokio::select! {
            () = &mut end => return Ok(()),
            event = news.next() => match event? {
                Some(_) => stale = true,
                None => {
                    context.say("the hub has ended");
                    return Ok(());
                }
            },
            _ = frames.tick() => {
                // Ages go on without news.
                if stale || drawn.elapsed() >= Duration::from_secs(5) {
                    (stale, drawn) = (false, Instant::now());
                    let devices = devices(&mut client).await?;
                    let mut lines = table(context.data_style(), &devices).lines();
                    lines.push(String::new());
                    lines.push(total(&devices));
                    screen.draw(&lines)?;
                }
            }
        }
    }
}

/// The table as it is now, on stdout, and its sum on stderr.
pub(crate) fn print(context: &Context, devices: &[Value]) -> Outcome {
    out::data(&table(context.data_style(), devices).text())?;
    context.say(&total(devices));
    Ok(())
}

/// All devices of the hub.
pub(crate) async fn devices(client: &mut Client) -> Result<Vec<Value>, landfall_hub::client::ClientError> {
    let mut all = Vec::new();
    loop {
        let page = client.get(&format!("/api/v1/devices?limit={PAGE}&offset={}", all.len())).await?;
        let devices = page.get("devices").and_then(Value::as_array).cloned().unwrap_or_default();
        let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
        let done = devices.is_empty();
        all.extend(devices);
        if done || all.len() as u64 >= total {
            return Ok(all);
        }
    }
}

fn text<'a>(device: &'a Value, pointer: &str) -> &'a str {
    device.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(device: &Value, pointer: &str) -> Option<f64> {
    device.pointer(pointer).and_then(Value::as_f64)
}

/// A row a device.
pub(crate) fn table(style: Style, devices: &[Value]) -> Table {
    let mut table =
        Table::new(style, &["NAME", "CLASS", "VERSION", "LINE", "STATE", "POWER", "TODAY", "HEARD"]);
    for d in devices {
        let presence = text(d, "/presence/state");
        let line = match presence {
            "online" => text(d, "/route").to_owned(),
            other => other.to_owned(),
        };
        table.row([
            clean(text(d, "/name")),
            text(d, "/class").to_owned(),
            text(d, "/version").to_owned(),
            line,
            d.get("state").and_then(Value::as_object).map(summary).unwrap_or_default(),
            number(d, "/state/power").map(|w| format!("{w:.1} W")).unwrap_or_default(),
            number(d, "/energy/today_kwh").map(|k| format!("{k:.3} kWh")).unwrap_or_default(),
            d.get("heard_ms").and_then(Value::as_u64).map(age).unwrap_or_default(),
        ]);
    }
    table
}

/// How long ago, in words.
fn age(at_ms: u64) -> String {
    let seconds = Context::now().saturating_sub(at_ms / 1_000);
    match seconds {
        0..=4 => "just now".to_owned(),
        5..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What a device does, in a few words: what is on, and the numbers that people look for.
fn summary(state: &Map<String, Value>) -> String {
    let mut words = Vec::new();
    let switches: Vec<(&str, bool)> = state
        .iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("switch")?.trim_start_matches('_'), value.as_bool()?))
        })
        .filter(|(which, _)| !which.starts_with("backlight"))
        .collect();
    let word = |on: bool| if on { "on" } else { "off" };
    match switches.as_slice() {
        [] => {}
        [(_, on)] => words.push(word(*on).to_owned()),
        many => words.extend(many.iter().map(|(which, on)| format!("{which} {}", word(*on)))),
    }
    for name in WORTH {
        match state.get(*name) {
            Some(Value::Bool(on)) if *on => words.push((*name).to_owned()),
            Some(Value::Number(n)) => words.push(format!("{name} {n}")),
            Some(Value::String(s)) => words.push(clean(s)),
            _ => {}
        }
    }
    words.truncate(4);
    words.join(", ")
}

/// How many can be had, and what they draw.
pub(crate) fn total(devices: &[Value]) -> String {
    let can = devices.iter().filter(|d| matches!(text(d, "/presence/state"), "online" | "asleep")).count();
    let watts: f64 = devices.iter().filter_map(|d| number(d, "/state/power")).sum();
    let kwh: f64 = devices.iter().filter_map(|d| number(d, "/energy/today_kwh")).sum();
    // An empty sum is -0.
    let (watts, kwh) = (watts + 0.0, kwh + 0.0);
    format!("{can} of {} can be had, {watts:.1} W now, {kwh:.3} kWh today", devices.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_state_in_a_few_words() {
        let of = |state: Value| summary(state.as_object().unwrap());
        assert_eq!(of(json!({"switch_1": true, "power": 12.0, "voltage": 230.1, "countdown_1": 0})), "on");
        assert_eq!(of(json!({"switch_1": true, "switch_2": false})), "1 on, 2 off");
        assert_eq!(of(json!({"temperature": 20.5, "mode": "auto"})), "temperature 20.5, auto");
    }

    #[test]
    fn sums_count_what_can_be_had() {
        let devices = [
            json!({"presence": {"state": "online"}, "state": {"power": 10.5}, "energy": {"today_kwh": 0.25}}),
            json!({"presence": {"state": "offline"}, "state": {}}),
            json!({"presence": {"state": "asleep"}, "state": {}}),
        ];
        assert_eq!(total(&devices), "2 of 3 can be had, 10.5 W now, 0.250 kWh today");
    }
}
