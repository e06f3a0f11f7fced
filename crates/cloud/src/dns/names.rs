//! The names under which stock firmware looks for its vendor (cloud.md 1.1): data, read from `data/names.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A zone that is answered as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Lower case, without the dot at the end: `tuyaus.com`.
    pub name: String,
    /// Whom it is for.
    pub about: String,
    /// Where this is known from.
    pub source: String,
}

/// A host that firmware is known to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Lower case, without the dot at the end: `a1.tuyaus.com`.
    pub name: String,
    /// The TCP ports on which it is expected to answer.
    pub ports: Vec<u16>,
    /// What for.
    pub about: String,
    /// Where this is known from.
    pub source: String,
}

/// What a name is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Inside a zone of the vendor: answered with our address.
    Vendor,
    /// The name that devices were told as ours: answered with our address.
    Own,
    /// Outside of all zones, but with the vendor's name in it: not answered by us, and worth a report.
    Like,
    /// Anything else.
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    regions: Vec<String>,
    environments: Vec<String>,
    like: Vec<String>,
    zone: Vec<Zone>,
    host: Vec<HostEntry>,
    resolver: Vec<ResolverEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    names: Vec<String>,
    ports: Vec<u16>,
    about: String,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResolverEntry {
    addresses: Vec<std::net::IpAddr>,
    port: u16,
    #[serde(rename = "source")]
    _source: String,
}

struct Table {
    like: Vec<String>,
    zones: Vec<Zone>,
    hosts: BTreeMap<String, Host>,
    resolvers: Vec<SocketAddr>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // Part of the program, not input: a test reads it.
    parse(include_str!("../../data/names.toml")).expect("data/names.toml is well-formed")
});

fn parse(text: &str) -> Result<Table, toml::de::Error> {
    let file: File = toml::from_str(text)?;
    let mut hosts = BTreeMap::new();
    for entry in &file.host {
        for pattern in &entry.names {
            for name in expand(pattern, &file.regions, &file.environments) {
                let host = Host {
                    name: name.clone(),
                    ports: entry.ports.clone(),
                    about: entry.about.clone(),
                    source: entry.source.clone(),
                };
                hosts.insert(name, host);
            }
        }
    }
    let resolvers = file
        .resolver
        .iter()
        .flat_map(|entry| entry.addresses.iter().map(|ip| SocketAddr::new(*ip, entry.port)))
        .collect();
    Ok(Table { like: file.like, zones: file.zone, hosts, resolvers })
}

fn expand(pattern: &str, regions: &[String], environments: &[String]) -> Vec<String> {
    let fill = |mark: &str, with: &[String]| with.iter().map(|w| pattern.replace(mark, w)).collect();
    if pattern.contains("{R}") {
        fill("{R}", regions)
    } else if pattern.contains("{E}") {
        fill("{E}", environments)
    } else {
        vec![pattern.to_owned()]
    }
}

/// The zones that are answered as a whole.
pub fn zones() -> &'static [Zone] {
    &TABLE.zones
}

/// The hosts that firmware is known to look for, by name. All are inside of [`zones`].
pub fn hosts() -> impl Iterator<Item = &'static Host> {
    TABLE.hosts.values()
}

/// The host of this name, if firmware is known to look for it. Case and a dot at the end make no difference.
pub fn host(name: &str) -> Option<&'static Host> {
    TABLE.hosts.get(&plain(name))
}

/// Resolvers whose addresses are fixed in firmware; only a firewall keeps devices from them.
pub fn fixed_resolvers() -> &'static [SocketAddr] {
    &TABLE.resolvers
}

/// The zone of the vendor that this name is in or is. Case and a dot at the end make no difference.
pub fn zone_of(name: &str) -> Option<&'static Zone> {
    let name = plain(name);
    TABLE.zones.iter().find(|zone| {
        name.strip_suffix(zone.name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// Whether a name is the vendor's, so that we answer it with our address.
pub fn is_vendor(name: &str) -> bool {
    zone_of(name).is_some()
}

/// What a name is to us.
pub fn kind(name: &str) -> Kind {
    if is_vendor(name) {
        return Kind::Vendor;
    }
    let name = plain(name);
    if TABLE.like.iter().any(|part| name.contains(part.as_str())) { Kind::Like } else { Kind::Other }
}

/// The names that a certificate of ours has to bear so that a device finds in it whatever name of the vendor it looked
/// for: each zone, and wildcards, which stand for one label only, one level deeper wherever a known host is deeper.
/// Sorted, without repetition.
pub fn certificate_names() -> Vec<String> {
    let mut names = BTreeSet::new();
    for zone in zones() {
        names.insert(zone.name.clone());
        names.insert(format!("*.{}", zone.name));
    }
    for host in hosts() {
        if let Some((_, parent)) = host.name.split_once('.') {
            names.insert(format!("*.{parent}"));
        }
    }
    names.into_iter().collect()
}

/// Lower case, without the dot at the end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        assert_eq!(zones().len(), 9);
        for zone in zones() {
            assert_eq!(zone.name, plain(&zone.name));
            assert!(!zone.about.is_empty() && zone.source.starts_with("cloud.md"), "{}", zone.name);
        }
        for host in hosts() {
            let labels_fit = host.name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            });
            assert!(labels_fit, "{} is not a host name", host.name);
            assert!(is_vendor(&host.name), "{} is outside of all zones", host.name);
            assert!(!host.ports.is_empty() && !host.ports.contains(&0), "{}", host.name);
            assert!(!host.about.is_empty() && host.source.starts_with("cloud.md"), "{}", host.name);
        }
        assert_eq!(fixed_resolvers().len(), 7);
        assert!(fixed_resolvers().iter().all(|at| at.port() == 20443));
    }

    #[test]
    fn hosts_of_captures_and_firmware_are_known() {
        for (name, port) in [
            ("a.gw.tuyaus.com", 80),
            ("mq.gw.tuyaeu.com", 1883),
            ("a3.tuyaeu.com", 443),
            ("m2.tuyain.com", 8886),
            ("h3-we.iot-dns.com", 443),
            ("h6-cn.iot-dns.com", 443),
            ("a1-sg.iotbing.com", 443),
            ("m1-ind.wgine.com", 8883),
            ("mq.gw1.tuyacn.com", 1883),
            ("a.gw.getairtake.com", 80),
            ("images.tuyacn.com", 443),
        ] {
            assert!(host(name).is_some_and(|h| h.ports.contains(&port)), "{name}:{port}");
        }
        assert_eq!(host("A1.TuyaUS.com.").map(|h| h.name.as_str()), Some("a1.tuyaus.com"));
        assert_eq!(host("a9.tuyaus.com"), None);
    }

    #[test]
    fn a_zone_holds_itself_and_all_below_and_nothing_that_only_ends_alike() {
        for name in
            ["tuyaus.com", "TUYAUS.COM.", "x.tuyaus.com", "a.b.c.tuyaus.com.", "never-seen.iot-dns.com"]
        {
            assert!(is_vendor(name), "{name}");
        }
        for name in ["", ".", "com", "nottuyaus.com", "tuyaus.com.example", "tuyaus.com..", "tuyaus.org"] {
            assert!(!is_vendor(name), "{name}");
        }
    }

    #[test]
    fn names_of_the_vendor_outside_of_the_zones_are_told_apart() {
        assert_eq!(kind("a1.tuyaus.com"), Kind::Vendor);
        assert_eq!(kind("a1.tuyaafrica.com"), Kind::Like);
        assert_eq!(kind("Developer.TUYA.com"), Kind::Like);
        assert_eq!(kind("pool.ntp.org"), Kind::Other);
        assert_eq!(kind(""), Kind::Other);
    }

    /// A wildcard of a certificate stands for exactly one label (RFC 6125 6.4.3).
    #[test]
    fn certificates_cover_every_known_host() {
        let names = certificate_names();
        for host in hosts() {
            let covered = names.iter().any(|name| match name.strip_prefix("*.") {
                Some(parent) => host.name.split_once('.').is_some_and(|(_, rest)| rest == parent),
                None => *name == host.name,
            });
            assert!(covered, "{} is in no certificate", host.name);
        }
        assert!(names.contains(&"*.gw.tuyaus.com".to_owned()));
        assert!(names.contains(&"tuyaus.com".to_owned()));
        assert!(!names.contains(&"*.com".to_owned()));
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
