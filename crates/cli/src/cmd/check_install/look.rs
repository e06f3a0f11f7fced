//! Looking. Nothing is changed, made or sent, but for questions for names to the system's resolver.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use landfall_cloud::config::Advertise;
use landfall_cloud::dns::{local, names};
use landfall_hub::client::{Client, ClientError};
use landfall_hub::settings::{Address, Settings};

use super::seen::{Answer, HubSeen, NamesSeen, Rights, Seen, SettingsSeen};
use super::{clock, files, ports};
use crate::args::CheckInstall;
use crate::cmd::config;
use crate::context::Context;
use crate::failure::Failure;
use crate::hint;

/// How long all questions for names may take together.
const RESOLVER: Duration = Duration::from_secs(4);
/// CAP_NET_BIND_SERVICE, as a bit of the kernel's sets.
const NET_BIND_SERVICE: u64 = 1 << 10;

/// Looks at everything.
///
/// # Errors
/// There is no data directory to look at.
pub(super) async fn at(context: &Context, a: &CheckInstall) -> Result<Seen, Failure> {
    let dir = context.data_dir()?;
    let hub = hub(&dir).await;
    let (settings, settings_seen) = match config::read(&a.source) {
        Ok((settings, None)) => (Some(settings), SettingsSeen::Default),
        Ok((settings, Some(file))) => {
            let mode = files::mode(&file);
            (Some(settings), SettingsSeen::Read { file, mode })
        }
        Err(Failure::Request { error, hint }) => {
            let hint = hint.or_else(|| hint::of(&error));
            let mut text = error.to_string();
            for cause in error.chain().skip(1) {
                text.push_str(&format!(": {cause}"));
            }
            (None, SettingsSeen::Wrong { error: text, hint })
        }
        Err(other) => return Err(other),
    };
    let no_names = a.no_names;
    let looked = tokio::task::spawn_blocking(move || Seen {
        settings: settings_seen,
        hub,
        rights: rights(),
        ports: settings.as_ref().map(ports::look).unwrap_or_default(),
        data: files::data(&dir),
        files: settings.as_ref().map(|s| files::named(s, &dir)).unwrap_or_default(),
        names: match &settings {
            Some(settings) if !no_names => ask_names(settings),
            _ => NamesSeen::NotAsked,
        },
        clock: clock::look(settings.as_ref(), &dir),
    });
    match looked.await {
        Ok(seen) => Ok(seen),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

async fn hub(dir: &Path) -> HubSeen {
    match Client::connect(dir).await {
        Ok(mut client) => match client.get("/readyz").await {
            Ok(_) => HubSeen::Runs,
            Err(e) => HubSeen::Unreachable(e.to_string()),
        },
        Err(ClientError::NotRunning { .. }) => HubSeen::Absent,
        Err(ClientError::Unreachable { source, .. }) => HubSeen::Unreachable(source.to_string()),
        Err(e) => HubSeen::Unreachable(e.to_string()),
    }
}

fn rights() -> Rights {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let low = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    Rights {
        uid: field(&status, "Uid:").and_then(|f| f.split_ascii_whitespace().nth(1)?.parse().ok()),
        low_below: low.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(1024),
        may_bind_low: field(&status, "CapEff:")
            .and_then(|f| u64::from_str_radix(f.trim(), 16).ok())
            .map(|set| set & NET_BIND_SERVICE != 0),
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|l| l.strip_prefix(name))
}

/// Where one name of each of the vendor's zones leads, by the system's resolver.
fn ask_names(settings: &Settings) -> NamesSeen {
    let cloud = &settings.cloud;
    if !cloud.enabled {
        return NamesSeen::NoMatter("the hub is no cloud of devices (cloud.enabled = false)");
    }
    let open = |a: Address| a.at().filter(|at| !at.ip().is_loopback());
    if ![cloud.http, cloud.https, cloud.mqtt, cloud.mqtts, cloud.mqtt_psk]
        .into_iter()
        .any(|a| open(a).is_some())
    {
        return NamesSeen::NoMatter("the cloud listens on this machine alone");
    }
    let mut ours: Vec<IpAddr> = local::places()
        .unwrap_or_default()
        .into_iter()
        .map(|p| p.address.to_canonical())
        .filter(|ip| !ip.is_loopback())
        .collect();
    if let Advertise::Ip(ip) = cloud.advertise() {
        ours.push(ip);
    }
    NamesSeen::Asked { answers: resolve(&one_of_each_zone()), ours, own_dns: open(cloud.dns) }
}

/// A host of each zone that has one.
fn one_of_each_zone() -> Vec<String> {
    let mut chosen = BTreeMap::new();
    for host in names::hosts() {
        if let Some(zone) = names::zone_of(&host.name) {
            chosen.entry(zone.name.as_str()).or_insert_with(|| host.name.clone());
        }
    }
    chosen.into_values().collect()
}

fn resolve(names: &[String]) -> Vec<(String, Answer)> {
    let (send, answers) = mpsc::channel();
    for (i, name) in names.iter().cloned().enumerate() {
        let send = send.clone();
        // A question can't be broken off: its thread may outlive our patience, and ends with the process.
        thread::spawn(move || {
            let answer = match (name.as_str(), 0).to_socket_addrs() {
                Ok(found) => {
                    let mut all: Vec<IpAddr> = found.map(|a| a.ip().to_canonical()).collect();
                    all.dedup();
                    Answer::Leads(all)
                }
                Err(e) => Answer::Nothing(e.to_string()),
            };
            drop(send.send((i, answer)));
        });
    }
    let mut said: Vec<(String, Answer)> = names.iter().map(|n| (n.clone(), Answer::Late)).collect();
    let deadline = Instant::now() + RESOLVER;
    for _ in names {
        let Ok((i, answer)) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            break;
        };
        if let Some(entry) = said.get_mut(i) {
            entry.1 = answer;
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_our_rights() {
        let text = "Name:\tx\nUid:\t1\t1000\t1\t1\nCapEff:\t0000000000000400\n";
        assert_eq!(field(text, "Uid:"), Some("\t1\t1000\t1\t1"));
        #[cfg(target_os = "linux")]
        assert!(rights().uid.is_some() && rights().may_bind_low.is_some());
    }

    #[test]
    fn names_matter_only_where_devices_can_come() {
        let of = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
            ask_names(&landfall_hub::settings::read(None, [], &options).unwrap())
        };
        assert!(matches!(of(&[]), NamesSeen::NoMatter(_)));
        assert!(matches!(of(&["cloud.enabled=false", "cloud.http=0.0.0.0:80"]), NamesSeen::NoMatter(_)));
        // No case here opens the cloud: that would ask whatever resolver this machine has.
        let names = one_of_each_zone();
        assert!(names.len() >= 5 && names.iter().all(|n| names::host(n).is_some()), "{names:?}");
    }
}
