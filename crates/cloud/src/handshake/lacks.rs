//! What a device still lacks, in words, and what its owner can do about it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Record, Step};
use crate::backend::{Generation, Registration};
use crate::shared::Bound;

/// What a device lacks, and the next step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// In words, about "it".
    pub what: String,
    /// What to do.
    pub next: String,
}

impl Lack {
    fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

/// Where the cloud listens, as far as is known; nothing is when none runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doors {
    /// The addresses of a running cloud.
    pub bound: Option<Bound>,
}

/// A server that devices look for: its name, port and option, and where it is.
struct Door {
    name: &'static str,
    port: u16,
    option: &'static str,
    at: Option<SocketAddr>,
}

impl Doors {
    fn door(
        self,
        name: &'static str,
        port: u16,
        option: &'static str,
        of: fn(&Bound) -> Option<SocketAddr>,
    ) -> Door {
        Door { name, port, option, at: self.bound.as_ref().and_then(of) }
    }

    fn dns(self) -> Door {
        self.door("DNS", 53, "--dns", |b| b.dns)
    }

    /// Where HTTP is looked for by a generation.
    fn http(self, generation: Option<Generation>) -> Door {
        match generation {
            Some(Generation::A) => self.door("HTTP", 80, "--http", |b| b.http),
            _ => self.door("HTTPS", 443, "--https", |b| b.https),
        }
    }

    /// Where MQTT is looked for.
    fn mqtt(self, generation: Option<Generation>) -> Door {
        match generation {
            Some(Generation::A) => self.door("MQTT", 1883, "--mqtt", |b| b.mqtt),
            Some(Generation::B) => self.door("MQTT over TLS-PSK", 8886, "--mqtt-psk", |b| b.mqtt_psk),
            // Generation C goes where the name service sends it: in clear when it asked in clear.
            Some(Generation::C) | None => self.door("MQTT", 1883, "--mqtt", |b| b.mqtt),
            Some(Generation::D | Generation::E) => self.door("MQTT over TLS", 8883, "--mqtts", |b| b.mqtts),
        }
    }

    /// Why nobody comes through a door.
    fn why(self, door: &Door) -> String {
        let Door { name, port, option, .. } = door;
        match door.at {
            _ if self.bound.is_none() => {
                format!("is port {port} open, and a cloud running? `landfall cloud` starts one")
            }
            None => format!("{name} is off: start the cloud with {option} 0.0.0.0:{port}"),
            Some(at) if at.ip().is_loopback() => {
                format!(
                    "{name} listens on {at}, where no device gets: start the cloud with {option} 0.0.0.0:{port}"
                )
            }
            Some(at) if at.port() != *port => format!(
                "{name} listens on port {}, devices look for it on {port}: start the cloud with {option} {}, \
                 or have the router forward the port",
                at.port(),
                SocketAddr::new(at.ip(), *port)
            ),
            Some(_) => format!("is port {port} closed by a firewall on this machine?"),
        }
    }
}

/// What a device lacks, by how far it has come. `None`: nothing, it lives.
///
/// `address`: what its address asked, when the device itself was never heard.
pub fn lacks(device: &Registration, record: &Record, address: Option<&Record>, doors: Doors) -> Option<Lack> {
    let generation = record.generation.or(device.generation);
    let at = |step| record.at(step);
    if device.keys.is_none() && device.pending.is_none() && at(Step::Activated).is_none() {
        return Some(before_activation(device, record, address, doors));
    }
    if record.connected {
        return connected(device, record);
    }
    if let Some(lack) = refused(device, record) {
        return Some(lack);
    }
    if record.last().is_none() {
        return Some(never_seen(address, doors));
    }
    if at(Step::Mqtt).is_some() {
        return Some(Lack::new(
            "it is not connected now",
            "a battery device sleeps between its reports; any other one has no power or no Wi-Fi, or asks elsewhere: \
             see that it gets its DNS from here (`landfall cloud dns`, `landfall cloud firewall`)",
        ));
    }
    Some(before_mqtt(record, generation, doors))
}

/// Logged in: does it hear and speak?
fn connected(device: &Registration, record: &Record) -> Option<Lack> {
    let since = record.at(Step::Mqtt).unwrap_or(0);
    let done = |step| record.at(step).is_some_and(|at| at >= since);
    if !done(Step::Subscribed) {
        return Some(Lack::new(
            "it is logged in, but has not subscribed to its commands",
            "wait a moment; switch it off and on if it stays so",
        ));
    }
    let bad_key = record.refusals.get("envelope.key").filter(|m| m.at >= since);
    if record.at(Step::Reported).is_none() || bad_key.is_some_and(|m| record.at(Step::Reported) < Some(m.at))
    {
        return Some(match bad_key {
            Some(_) => Lack::new(
                "what it reports is sealed under another local key than the one in the book",
                format!(
                    "give the book its key: landfall device add {:?} --id {} --update --key-file FILE; \
                     or reset the device and pair it here",
                    device.name, device.id
                ),
            ),
            None => Lack::new(
                "it is logged in and has reported nothing yet",
                "`landfall cloud refresh` asks it to",
            ),
        });
    }
    None
}

/// Refused the last time it came: newer than anything that went well.
fn refused(device: &Registration, record: &Record) -> Option<Lack> {
    // Without its sec key an adopted device gets constant answers over HTTP, and lives with them or not: that is no
    // reason why it isn't here.
    let (code, mark) = record.refusal().filter(|(code, _)| *code != "gateway.key_unknown")?;
    let well = record.steps.iter().filter(|(s, _)| **s > Step::Tls).map(|(_, m)| m.at).max();
    if well > Some(mark.at) {
        return None;
    }
    Some(match code {
        "mqtt.password" => Lack::new(
            "its password is not the one that was pinned, or not that of its sec key",
            "if it was reset or paired elsewhere since: reset it once more and pair it here \
             (`landfall cloud allow --for 10m`); else somebody else uses its id",
        ),
        "gateway.signature" => Lack::new(
            "what it signs is not signed with the sec key that we know",
            "it was paired elsewhere since: reset it and pair it here (`landfall cloud allow --for 10m`)",
        ),
        "activation.no_window" => {
            Lack::new("it asked to be activated while no window was open", allow(device))
        }
        "mqtt.in_use" => Lack::new(
            "its id is in use by a connection from another address",
            "if the device got a new address, wait a minute; else find out what logs in as this device",
        ),
        "mqtt.identity" => Lack::new(
            "it logged in over the TLS identity of another device",
            "find out what logs in as this device",
        ),
        "gateway.unknown_device" | "mqtt.unknown" => Lack::new(
            "it came under an id that was not in the book then",
            "switch it off and on; it is known now",
        ),
        "activation.unsigned" => Lack::new(
            "it asked to be activated without the auth key that we know",
            "it is another device with this id, or the auth key in the book is wrong",
        ),
        "tls.psk_identity" => Lack::new(
            "its TLS handshake failed: its psk key is not known",
            "type 2 identities need the device's own psk key, from a dump of its flash (`landfall device import`)",
        ),
        "tls.psk_key" => Lack::new(
            "its TLS handshake failed: its psk key is not the one that we know",
            "read the psk key from a dump of its flash once more (`landfall device import`)",
        ),
        other => Lack::new(format!("it was refused ({other})"), "the cloud's log says why"),
    })
}

fn allow(device: &Registration) -> String {
    let of =
        device.uuid.as_ref().map_or_else(|| format!("--device {}", device.id), |u| format!("--uuid {u}"));
    format!("open one with `landfall cloud allow --for 10m {of}`, then switch the device off and on")
}

/// Known hardware without keys.
fn before_activation(device: &Registration, record: &Record, address: Option<&Record>, doors: Doors) -> Lack {
    if let Some(lack) = refused(device, record) {
        return lack;
    }
    if record.steps.is_empty() {
        let mut lack = never_seen(address, doors);
        lack.next = format!("{}; then {}", lack.next, allow(device));
        return lack;
    }
    if record.at(Step::ActivationAsked).is_some() {
        return Lack::new("it asked to be activated and got no keys", allow(device));
    }
    Lack::new(
        "it has come here, but never asked to be activated",
        "only a device in pairing mode does: reset it and pair it",
    )
}

fn never_seen(address: Option<&Record>, doors: Doors) -> Lack {
    if address.and_then(|a| a.at(Step::Dns)).is_some() {
        let door = doors.http(None);
        return Lack::new("it asked our DNS for the vendor's names, and never came", doors.why(&door));
    }
    Lack::new(
        "it was never heard",
        format!(
            "have it ask our DNS: `landfall cloud dns` writes the names for your router or Pi-hole; {}",
            doors.why(&doors.dns())
        ),
    )
}

/// Heard, with keys, and never on MQTT.
fn before_mqtt(record: &Record, generation: Option<Generation>, doors: Doors) -> Lack {
    let mqtt = doors.mqtt(generation);
    let furthest = [Step::Configured, Step::Activated, Step::Token, Step::NameService, Step::Tls, Step::Dns]
        .into_iter()
        .find(|s| record.at(*s).is_some());
    match furthest {
        Some(step @ (Step::Configured | Step::Activated | Step::Token)) => {
            Lack::new(format!("it {}, and never came to MQTT", step.words()), doors.why(&mqtt))
        }
        Some(Step::NameService) => {
            // Told where to go, it goes to the gateway first unless it has keys already.
            Lack::new("it asked the name service, and never came to MQTT", doors.why(&mqtt))
        }
        Some(Step::Tls) => Lack::new(
            "it finished a TLS handshake, and sent no request that was understood",
            "the cloud's log (-v) says what came",
        ),
        Some(Step::Dns) => Lack::new(
            "it asked our DNS for the vendor's names, and never came",
            doors.why(&doors.http(generation)),
        ),
        _ => Lack::new("it asked questions, and never came to MQTT", doors.why(&mqtt)),
    }
}
