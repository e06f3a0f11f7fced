//! The vendor's names as configuration of other DNS servers, so that devices find Landfall without its own DNS server. Pure.

use std::net::IpAddr;
use std::str::FromStr;

/// Whose configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// dnsmasq 2.80 or later.
    Dnsmasq,
    /// Pi-hole version 6.
    Pihole,
    /// AdGuard Home, as custom filtering rules.
    Adguard,
    /// unbound.
    Unbound,
    /// A hosts file: known names only, it has no wildcards.
    Hosts,
}

/// No such format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {0:?}: dnsmasq, pihole, adguard, unbound and hosts are known")]
pub struct UnknownFormat(pub String);

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
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// The configuration that answers all of the vendor's names with this address: text for a file.
pub fn render(format: Format, address: IpAddr) -> String {
    let _ = (format, address);
    String::new()
}
