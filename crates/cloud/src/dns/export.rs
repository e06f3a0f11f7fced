//! The vendor's names as configuration of other DNS servers, so that devices find Landfall without its own DNS server. Pure.
//!
//! Each format answers every name of the vendor's zones with one address, and the other family with nothing: a device that
//! were told the vendor's real IPv6 address would go there.

use std::fmt::Write;
use std::net::IpAddr;
use std::str::FromStr;

use super::answer::TTL;
use super::names;

/// Whose configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// dnsmasq 2.80 or later.
    Dnsmasq,
    /// Pi-hole version 6.
    Pihole,
    /// AdGuard Home 0.107 or later, as custom filtering rules.
    Adguard,
    /// unbound.
    Unbound,
    /// A hosts file: known names only, it has no wildcards.
    Hosts,
}

/// Why there is no such configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// No such format.
    #[error("unknown format {0:?}: dnsmasq, pihole, adguard, unbound and hosts are known")]
    Format(String),
    /// No device could go there.
    #[error("{address} is {why}: devices can't reach Landfall there")]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is.
        why: &'static str,
    },
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Dnsmasq, Self::Pihole, Self::Adguard, Self::Unbound, Self::Hosts];

    /// Its name, as an option takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dnsmasq => "dnsmasq",
            Self::Pihole => "pihole",
            Self::Adguard => "adguard",
            Self::Unbound => "unbound",
            Self::Hosts => "hosts",
        }
    }
}

impl FromStr for Format {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| ExportError::Format(text.to_owned()))
    }
}

/// Why no device reaches us at this address; `None`: one may.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    let (multicast, link_local) = match address {
        IpAddr::V4(v4) => (v4.is_multicast() || v4.is_broadcast(), false),
        IpAddr::V6(v6) => (v6.is_multicast(), v6.is_unicast_link_local()),
    };
    if address.is_loopback() {
        Some("this machine's own loopback")
    } else if address.is_unspecified() {
        Some("no address at all")
    } else if multicast {
        Some("an address of many")
    } else if link_local {
        Some("an address of one link only")
    } else {
        None
    }
}

/// The configuration that answers all of the vendor's names with this address: text for a file.
///
/// # Errors
/// No device can reach us at this address.
pub fn render(format: Format, address: IpAddr) -> Result<String, ExportError> {
    let address = address.to_canonical();
    if let Some(why) = unusable(address) {
        return Err(ExportError::Address { address, why });
    }
    Ok(match format {
        Format::Dnsmasq => {
            dnsmasq(address, "dnsmasq: put this into /etc/dnsmasq.d/landfall.conf and restart dnsmasq.")
        }
        Format::Pihole => pihole(address),
        Format::Adguard => adguard(address),
        Format::Unbound => unbound(address),
        Format::Hosts => hosts(address),
    })
}

/// `address=` alone answers one family; since dnsmasq 2.86 other types are then asked upstream unless `local=` says that
/// there is nothing more to know.
fn dnsmasq(address: IpAddr, how: &str) -> String {
    let mut text = format!("# Names of Tuya devices' cloud, answered with Landfall's address.\n# {how}\n");
    for zone in names::zones() {
        line(&mut text, format_args!("address=/{}/{address}", zone.name));
        line(&mut text, format_args!("local=/{}/", zone.name));
    }
    text
}

fn pihole(address: IpAddr) -> String {
    dnsmasq(
        address,
        "Pi-hole 6: put this into /etc/dnsmasq.d/99-landfall.conf and have Pi-hole read that directory:\n\
         #   pihole-FTL --config misc.etc_dnsmasq_d true\n\
         #   systemctl restart pihole-FTL\n\
         # Or add the lines below to \"misc.dnsmasq_lines\" (Settings, All settings, Miscellaneous).",
    )
}

/// A rule with a record of one family answers the other types with nothing.
fn adguard(address: IpAddr) -> String {
    let mut text = "! Names of Tuya devices' cloud, answered with Landfall's address.\n\
                    ! AdGuard Home: add these to Filters, Custom filtering rules.\n"
        .to_owned();
    let family = if address.is_ipv4() { "A" } else { "AAAA" };
    for zone in names::zones() {
        line(&mut text, format_args!("||{}^$dnsrewrite=NOERROR;{family};{address}", zone.name));
    }
    text
}

/// A zone of type redirect answers all names in it with the data of its own name, and other types with nothing.
fn unbound(address: IpAddr) -> String {
    let mut text = "# Names of Tuya devices' cloud, answered with Landfall's address.\n\
                    # unbound: put this into /etc/unbound/unbound.conf.d/landfall.conf and reload unbound.\n\
                    server:\n"
        .to_owned();
    let family = if address.is_ipv4() { "A" } else { "AAAA" };
    for zone in names::zones() {
        line(&mut text, format_args!("    local-zone: \"{}.\" redirect", zone.name));
        line(&mut text, format_args!("    local-data: \"{}. {TTL} IN {family} {address}\"", zone.name));
    }
    text
}

fn hosts(address: IpAddr) -> String {
    let mut text = "# Names of Tuya devices' cloud, answered with Landfall's address.\n\
                    # A hosts file knows no wildcards: these are the names known from firmware and captures. A device may look\n\
                    # for others; \"landfall cloud dns --format dnsmasq\" and the other formats answer whole zones.\n"
        .to_owned();
    for host in names::hosts() {
        line(&mut text, format_args!("{address} {}", host.name));
    }
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _always = text.write_fmt(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "192.168.1.5";
    const V6: &str = "fd00::5";

    fn text(format: Format, address: &str) -> String {
        render(format, address.parse().unwrap()).unwrap()
    }

    /// The lines that are no comment.
    fn rules(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.starts_with('!')).collect()
    }

    #[test]
    fn dnsmasq_answers_one_family_and_asks_nobody_for_the_other() {
        for format in [Format::Dnsmasq, Format::Pihole] {
            for address in [V4, V6] {
                let text = text(format, address);
                let expected: Vec<String> = names::zones()
                    .iter()
                    .flat_map(|z| [format!("address=/{}/{address}", z.name), format!("local=/{}/", z.name)])
                    .collect();
                assert_eq!(rules(&text), expected);
            }
        }
        assert!(text(Format::Pihole, V4).contains("misc.etc_dnsmasq_d true"));
    }

    #[test]
    fn adguard_rewrites_whole_zones() {
        let v4 = text(Format::Adguard, V4);
        assert_eq!(rules(&v4).len(), names::zones().len());
        assert_eq!(rules(&v4)[0], "||tuyaus.com^$dnsrewrite=NOERROR;A;192.168.1.5");
        assert_eq!(rules(&text(Format::Adguard, V6))[0], "||tuyaus.com^$dnsrewrite=NOERROR;AAAA;fd00::5");
    }

    #[test]
    fn unbound_redirects_whole_zones() {
        let v4 = text(Format::Unbound, V4);
        assert_eq!(
            rules(&v4)[..3],
            [
                "server:",
                "local-zone: \"tuyaus.com.\" redirect",
                "local-data: \"tuyaus.com. 60 IN A 192.168.1.5\""
            ]
        );
        assert_eq!(rules(&v4).len(), 1 + 2 * names::zones().len());
        assert!(text(Format::Unbound, V6).contains("\"iot-dns.com. 60 IN AAAA fd00::5\""));
    }

    #[test]
    fn a_hosts_file_has_all_known_names_and_says_that_these_are_not_all() {
        let v4 = text(Format::Hosts, V4);
        let expected: Vec<String> = names::hosts().map(|host| format!("{V4} {}", host.name)).collect();
        assert_eq!(rules(&v4), expected);
        assert!(v4.contains("no wildcards"));
    }

    #[test]
    fn an_address_that_devices_cannot_reach_is_refused() {
        for bad in [
            "127.0.0.1",
            "127.3.2.1",
            "::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "fe80::1",
        ] {
            for format in Format::ALL {
                let error = render(format, bad.parse().unwrap()).unwrap_err();
                assert!(error.to_string().starts_with(bad), "{error}");
            }
        }
        assert_eq!(text(Format::Hosts, "::ffff:192.168.1.5"), text(Format::Hosts, V4));
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("bind".parse::<Format>(), Err(ExportError::Format("bind".to_owned())));
    }
}
