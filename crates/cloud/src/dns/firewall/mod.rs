//! Rules for a router that keep the listed devices off the internet and send their DNS questions to Landfall. Pure.
//!
//! Answering names is not enough (cloud.md 1.1): firmware may ask resolvers whose addresses are built into it, over HTTP, or
//! keep addresses it was once told. So the rules close everything but the house's own networks and Landfall:
//!
//! * port 53, UDP and TCP, of the devices goes to Landfall, whomever they asked; where that can't be (no address of Landfall in
//!   that family) it is refused;
//! * DNS over TLS (853) is refused, to the router itself too; what is DNS over HTTPS can't be told apart and is closed with the
//!   rest of the internet;
//! * the fixed resolvers are refused and counted apart: a number there tells of such a device;
//! * everything else that is not of the house is refused at once, rather than dropped: firmware waits for seconds otherwise.
//!
//! Rules stand in a table or chains of their own, and replace themselves as a whole. They are made of addresses only, never of
//! a device's name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::export::unusable;
use super::names;

mod iptables;
mod nftables;
mod openwrt;

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A file for `nft -f`.
    Nftables,
    /// A shell script around `iptables-restore` and `ip6tables-restore`.
    Iptables,
    /// A shell script for OpenWrt 22.03 or later (firewall4).
    Openwrt,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Nftables, Self::Iptables, Self::Openwrt];

    /// Its name, as an option takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Openwrt => "openwrt",
        }
    }
}

impl FromStr for Format {
    type Err = FirewallError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let format = Self::ALL.into_iter().find(|f| f.name() == text);
        format.ok_or_else(|| FirewallError::Format(text.to_owned()))
    }
}

/// Why there are no such rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// No such format.
    #[error("unknown format {0:?}: nftables, iptables and openwrt are known")]
    Format(String),
    /// Neither address, network nor MAC.
    #[error("{0:?} is no IP address, no network like 192.168.30.0/24 and no MAC like aa:bb:cc:dd:ee:ff")]
    Device(String),
    /// The rules would be for nobody.
    #[error("no device is listed")]
    NoDevices,
    /// The rules would be for everybody.
    #[error("{0} is everybody, not the devices of a house")]
    Everybody(IpNet),
    /// A device that is Landfall.
    #[error("{0} is listed as a device and is Landfall's own address")]
    Landfall(IpAddr),
    /// Two addresses of one family.
    #[error("{0} and {1} can't both be Landfall's address; one of each family is used")]
    Two(IpAddr, IpAddr),
    /// Landfall has no address.
    #[error("no address of Landfall is given")]
    NoAddress,
    /// No device could go there.
    #[error("{address} is {why}: devices can't reach Landfall there")]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is.
        why: &'static str,
    },
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

impl FromStr for Mac {
    type Err = FirewallError;

    /// Six pairs of hexadecimal digits, all with `:` or all with `-` between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || FirewallError::Device(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut pairs = text.split(separator);
        for byte in &mut bytes {
            let pair = pairs.next().ok_or_else(wrong)?;
            if pair.len() != 2 || !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        // A group address is nobody's sender; all zeros is nobody's either.
        let first = bytes.first().copied().unwrap_or_default();
        if pairs.next().is_some() || first & 1 == 1 || bytes == [0; 6] {
            return Err(wrong());
        }
        Ok(Self(bytes))
    }
}

/// A device, or a network of nothing but devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// By address.
    Net(IpNet),
    /// By its Ethernet address. Only traffic that comes from it can be told: nothing reaches it from the internet all the
    /// same, since it can't answer.
    Mac(Mac),
}

impl FromStr for Device {
    type Err = FirewallError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(address.to_canonical().into()));
        }
        match text.parse::<IpNet>() {
            Ok(net) => Ok(Self::Net(net.trunc())),
            Err(_) => text.parse().map(Self::Mac),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// The networks of a house, which devices may reach. Multicast is here for what is routed between networks of the house.
const HOUSE_V4: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"];
const HOUSE_V6: [&str; 3] = ["fc00::/7", "fe80::/10", "ff00::/8"];

/// What the rules are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    port: u16,
    nets_v4: Vec<Ipv4Net>,
    nets_v6: Vec<Ipv6Net>,
    macs: Vec<Mac>,
    house_v4: Vec<Ipv4Net>,
    house_v6: Vec<Ipv6Net>,
    resolvers_v4: Vec<Ipv4Addr>,
    resolvers_v6: Vec<Ipv6Addr>,
}

impl Plan {
    /// Rules for these devices. `landfall`: its addresses, one or one of each family; `dns_port`: where its DNS server (or
    /// another one that answers the vendor's names) listens there.
    ///
    /// # Errors
    /// Addresses that make no sense, alone or together.
    pub fn new(landfall: &[IpAddr], dns_port: u16, devices: &[Device]) -> Result<Self, FirewallError> {
        let (mut v4, mut v6) = (None, None);
        for address in landfall.iter().map(IpAddr::to_canonical) {
            if let Some(why) = unusable(address) {
                return Err(FirewallError::Address { address, why });
            }
            let before = match address {
                IpAddr::V4(new) => v4.replace(new).map(IpAddr::V4),
                IpAddr::V6(new) => v6.replace(new).map(IpAddr::V6),
            };
            if let Some(before) = before.filter(|before| *before != address) {
                return Err(FirewallError::Two(before, address));
            }
        }
        if v4.is_none() && v6.is_none() {
            return Err(FirewallError::NoAddress);
        }
        let mut plan = Self {
            v4,
            v6,
            port: dns_port,
            nets_v4: Vec::new(),
            nets_v6: Vec::new(),
            macs: Vec::new(),
            house_v4: HOUSE_V4.iter().filter_map(|net| net.parse().ok()).collect(),
            house_v6: HOUSE_V6.iter().filter_map(|net| net.parse().ok()).collect(),
            resolvers_v4: Vec::new(),
            resolvers_v6: Vec::new(),
        };
        for device in devices {
            plan.add(*device)?;
        }
        for resolver in names::fixed_resolvers() {
            match resolver.ip() {
                IpAddr::V4(v4) => plan.resolvers_v4.push(v4),
                IpAddr::V6(v6) => plan.resolvers_v6.push(v6),
            }
        }
        plan.nets_v4 = Ipv4Net::aggregate(&plan.nets_v4);
        plan.nets_v6 = Ipv6Net::aggregate(&plan.nets_v6);
        plan.macs.sort_unstable();
        plan.macs.dedup();
        if plan.nets_v4.is_empty() && plan.nets_v6.is_empty() && plan.macs.is_empty() {
            return Err(FirewallError::NoDevices);
        }
        Ok(plan)
    }

    fn add(&mut self, device: Device) -> Result<(), FirewallError> {
        match device {
            Device::Net(net) if net.prefix_len() == 0 => return Err(FirewallError::Everybody(net)),
            Device::Net(net) => {
                let one = net.prefix_len() == net.max_prefix_len();
                let own = [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)];
                // Inside of a network of devices it is left out by a rule; alone it is a mistake.
                if let Some(own) = own.into_iter().flatten().find(|own| one && net.addr() == *own) {
                    return Err(FirewallError::Landfall(own));
                }
                match net {
                    IpNet::V4(net) => self.nets_v4.push(net),
                    IpNet::V6(net) => self.nets_v6.push(net),
                }
            }
            Device::Mac(mac) => self.macs.push(mac),
        }
        Ok(())
    }

    /// What the rules are for, as lines of a comment.
    fn about(&self) -> Vec<String> {
        let landfall: Vec<String> = [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)]
            .into_iter()
            .flatten()
            .map(|address| address.to_string())
            .collect();
        vec![
            "Keeps Tuya devices off the internet; the house's own networks and Landfall stay within reach.".to_owned(),
            format!("Landfall: {}, DNS on port {}.", landfall.join(" and "), self.port),
            "For the router that the devices have as their gateway.".to_owned(),
            "Where Landfall is on another machine than this router, DNS questions that had to be redirected reach it".to_owned(),
            "under the router's address; have DHCP tell the devices Landfall's address, and it sees who asks.".to_owned(),
        ]
    }
}

/// The rules as text for a file.
pub fn render(format: Format, plan: &Plan) -> String {
    match format {
        Format::Nftables => nftables::render(plan),
        Format::Iptables => iptables::render(plan),
        Format::Openwrt => openwrt::render(plan),
    }
}

/// One line of text.
fn line(text: &mut String, line: fmt::Arguments<'_>) {
    use fmt::Write;
    // Writing to a string does not fail.
    let _always = text.write_fmt(line);
    text.push('\n');
}

#[cfg(test)]
mod tests;
