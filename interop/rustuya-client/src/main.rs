//! rustuya as a client, driven by JSON lines (see ../README.md, "Agents").

use std::io::Write as _;
use std::time::Duration;

use rustuya::tokio::{CommandType, Device, DeviceType, Discovery, Event, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

type Failure = Box<dyn std::error::Error>;

fn say(message: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}")?;
    out.flush()?;
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Failure> {
    value[key].as_str().ok_or_else(|| format!("{key:?} is missing").into())
}

fn version(text: &str) -> Result<Version, Failure> {
    Ok(match text {
        "3.1" => Version::V3_1,
        "3.2" => Version::V3_2,
        "3.3" => Version::V3_3,
        "3.4" => Version::V3_4,
        "3.5" => Version::V3_5,
        other => return Err(format!("unknown version {other:?}").into()),
    })
}

/// The points of a frame, at the top level or inside `data`.
fn points(payload: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    if body["dps"].is_object() { body["dps"].clone() } else { body["data"]["dps"].clone() }
}

async fn obey(device: &Device, command: &Value) -> Result<(), Failure> {
    match text(command, "do")? {
        "status" => device.query().await?,
        "set" => {
            let dp: u32 = text(command, "dp")?.parse()?;
            device.set_dps(json!({ dp.to_string(): command["value"] })).await?;
        }
        "set_many" => device.set_dps(command["dps"].clone()).await?,
        "heartbeat" => device.send(CommandType::HeartBeat, None).await?,
        "refresh" => device.send(CommandType::UpdateDps, Some(command["dps"].clone())).await?,
        other => return Err(format!("unknown command {other:?}").into()),
    }
    Ok(())
}

/// Scans once and says what was found.
async fn scan(seconds: u64) -> Result<(), Failure> {
    let discovery = Discovery::new()?;
    say(&json!({ "event": "scanning" }))?;
    let mut devices = serde_json::Map::new();
    for found in discovery.scan(Duration::from_secs(seconds)).await {
        let version = found.version.map(Version::as_str);
        devices.insert(found.id.to_string(), json!({ "ip": found.ip.to_string(), "version": version }));
    }
    say(&json!({ "event": "found", "devices": devices }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut lines = BufReader::new(stdin()).lines();
    let config: Value = serde_json::from_str(&lines.next_line().await?.ok_or("no configuration")?)?;
    if let Some(seconds) = config["scan"].as_u64() {
        return scan(seconds).await;
    }
    let version = version(text(&config, "version")?)?;
    let kind = if version == Version::V3_2 { DeviceType::Device22 } else { DeviceType::Auto };
    let port = u16::try_from(config["port"].as_u64().ok_or("no port")?)?;
    let device = Device::builder(text(&config, "id")?, text(&config, "key")?)
        .address(text(&config, "address")?)
        .port(port)
        .version(version)
        .dev_type(kind)
        .connect()?;
    let mut events = device.listener();
    if let Err(error) = device.wait_connected(Duration::from_secs(5)).await {
        say(&json!({ "event": "error", "during": "connect", "error": error.to_string() }))?;
        return Ok(());
    }
    say(&json!({ "event": "connected" }))?;
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { break };
                let command: Value = serde_json::from_str(&line)?;
                if let Err(error) = obey(&device, &command).await {
                    say(&json!({ "event": "error", "during": command["do"], "error": error.to_string() }))?;
                }
            }
            event = events.recv() => match event {
                Some(Event::Frame(frame)) => {
                    let name = match frame.cmd {
                        0x08 => "push",
                        0x09 => "heartbeat",
                        0x0a | 0x10 => "status",
                        0x07 | 0x0d => "set",
                        0x12 => "refresh",
                        _ => "frame",
                    };
                    say(&json!({
                        "event": name, "dps": points(&frame.payload), "retcode": frame.retcode,
                        "raw": String::from_utf8_lossy(&frame.payload),
                    }))?;
                }
                Some(Event::Lagged(missed)) => {
                    say(&json!({ "event": "error", "during": "listen", "error": format!("missed {missed} frames") }))?;
                }
                None => {
                    say(&json!({ "event": "closed" }))?;
                    break;
                }
            },
        }
    }
    device.close().await;
    Ok(())
}
