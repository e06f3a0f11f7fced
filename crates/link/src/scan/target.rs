//! Addresses to probe: `ADDR`, `ADDR:PORT`, `ADDR/PREFIX`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

/// The widest network that is probed without being forced: /16, 65,536 addresses.
pub const WIDEST: u8 = 16;

/// What to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One address on the ordinary port.
    Address(Ipv4Addr),
    /// One address and port.
    Socket(SocketAddrV4),
    /// Every host of a network.
    Network {
        /// The network's first address.
        network: Ipv4Addr,
        /// Its prefix length, 0 to 32.
        prefix: u8,
    },
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither of the forms.
    #[error("{0:?} is no address, ADDR:PORT or network such as 192.168.1.0/24")]
    Form(String),
    /// A prefix that is no number from 0 to 32.
    #[error("{text:?}: the prefix length {prefix:?} is no number from 0 to 32")]
    Prefix {
        /// The whole text.
        text: String,
        /// The part behind the slash.
        prefix: String,
    },
    /// Too many addresses.
    #[error("{text:?} has {addresses} addresses; networks wider than /{WIDEST} are not probed unless forced")]
    TooWide {
        /// The whole text.
        text: String,
        /// How many addresses it has.
        addresses: u64,
    },
    /// Outside private, link-local and loopback ranges.
    #[error("{0:?} is not part of a local network (private, link-local or loopback)")]
    NotLocal(String),
}

impl Target {
    /// Reads a target; a network wider than /16 is taken when `force` is set. Host bits behind the prefix are dropped:
    /// `192.168.1.7/24` is `192.168.1.0/24`.
    ///
    /// # Errors
    /// Not one of the forms, too wide, or not part of a private, link-local or loopback network.
    pub fn parse(text: &str, force: bool) -> Result<Self, TargetError> {
        let text = text.trim();
        // Texts come from people; a message repeats no more of them than fits a line.
        let shown = || text.chars().take(64).collect::<String>();
        let form = || TargetError::Form(shown());
        if let Some((address, prefix)) = text.split_once('/') {
            let address: Ipv4Addr = address.parse().map_err(|_| form())?;
            let wrong = || TargetError::Prefix { text: shown(), prefix: prefix.chars().take(16).collect() };
            if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(wrong)?;
            let (first, last) = bounds(address, prefix);
            if prefix < WIDEST && !force {
                return Err(TargetError::TooWide { text: shown(), addresses: 1 << (32 - prefix) });
            }
            if !in_one_local_range(first, last) {
                return Err(TargetError::NotLocal(shown()));
            }
            return Ok(Self::Network { network: first, prefix });
        }
        let target = match text.parse::<Ipv4Addr>() {
            Ok(address) => Self::Address(address),
            Err(_) => match text.parse::<SocketAddrV4>() {
                Ok(socket) if socket.port() != 0 => Self::Socket(socket),
                _ => return Err(form()),
            },
        };
        if target.addresses(1).all(|socket| is_local(*socket.ip())) {
            Ok(target)
        } else {
            Err(TargetError::NotLocal(shown()))
        }
    }

    /// The addresses to connect to, in order; `port` for those that name none. The first and the last address of a
    /// network up to /30 name the network and its broadcast and are passed over.
    pub fn addresses(self, port: u16) -> impl Iterator<Item = SocketAddrV4> + Send {
        let (first, last, port) = match self {
            Self::Address(a) => (u32::from(a), u32::from(a), port),
            Self::Socket(s) => (u32::from(*s.ip()), u32::from(*s.ip()), s.port()),
            Self::Network { network, prefix } => {
                let (first, last) = bounds(network, prefix);
                let (first, last) = (u32::from(first), u32::from(last));
                if prefix <= 30 { (first + 1, last - 1, port) } else { (first, last, port) }
            }
        };
        (first..=last).map(move |a| SocketAddrV4::new(Ipv4Addr::from(a), port))
    }
}

fn bounds(address: Ipv4Addr, prefix: u8) -> (Ipv4Addr, Ipv4Addr) {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let first = u32::from(address) & mask;
    (Ipv4Addr::from(first), Ipv4Addr::from(first | !mask))
}

/// Whether an address is one of a local network: private, link-local or loopback (lan.md 6.2).
pub(crate) const fn is_local(address: Ipv4Addr) -> bool {
    (address.is_private() || address.is_link_local() || address.is_loopback()) && !address.is_broadcast()
}

/// Both ends lie in the same one of those ranges; each of them is one block, so everything between does too.
fn in_one_local_range(first: Ipv4Addr, last: Ipv4Addr) -> bool {
    is_local(first)
        && is_local(last)
        && first.is_loopback() == last.is_loopback()
        && first.is_link_local() == last.is_link_local()
        && first.octets()[0] == last.octets()[0]
}

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text, false)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(a) => write!(f, "{a}"),
            Self::Socket(s) => write!(f, "{s}"),
            Self::Network { network, prefix } => write!(f, "{network}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        Target::parse(text, false).unwrap().addresses(6668).map(|a| a.to_string()).collect()
    }

    #[test]
    fn forms_give_their_addresses() {
        assert_eq!(list("192.168.1.5"), ["192.168.1.5:6668"]);
        assert_eq!(list("127.0.0.1:7777"), ["127.0.0.1:7777"]);
        assert_eq!(list(" 10.0.0.9/30 "), ["10.0.0.9:6668", "10.0.0.10:6668"]);
        assert_eq!(list("169.254.3.1/32"), ["169.254.3.1:6668"]);
        assert_eq!(list("192.168.1.4/31"), ["192.168.1.4:6668", "192.168.1.5:6668"]);
        let net = list("192.168.1.77/24");
        assert_eq!((net.len(), &*net[0], &*net[253]), (254, "192.168.1.1:6668", "192.168.1.254:6668"));
        assert_eq!(Target::parse("172.16.0.0/16", false).unwrap().addresses(1).count(), 65534);
    }

    #[test]
    fn refusals_name_the_value() {
        for (text, words) in [
            ("", "\"\" is no address"),
            ("house", "\"house\" is no address"),
            ("192.168.1", "\"192.168.1\""),
            ("192.168.1.256", "\"192.168.1.256\""),
            ("192.168.1.1:0", "\"192.168.1.1:0\""),
            ("192.168.1.1:70000", "\"192.168.1.1:70000\""),
            ("fe80::1", "\"fe80::1\""),
            ("192.168.1.0/33", "prefix length \"33\""),
            ("192.168.1.0/", "prefix length \"\""),
            ("192.168.1.0/+8", "prefix length \"+8\""),
            ("192.168.1.0/x", "prefix length \"x\""),
            ("x/24", "\"x/24\" is no address"),
            ("10.0.0.0/15", "\"10.0.0.0/15\" has 131072 addresses"),
            ("0.0.0.0/0", "has 4294967296 addresses"),
            ("8.8.8.8", "\"8.8.8.8\" is not part of a local network"),
            ("8.8.8.8:6668", "not part of a local network"),
            ("1.2.3.0/24", "not part of a local network"),
        ] {
            let error = Target::parse(text, false).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(Target::parse(&"9".repeat(5000), false).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn force_admits_wide_networks_but_no_foreign_ones() {
        assert_eq!(
            Target::parse("10.0.0.0/8", true),
            Ok(Target::Network { network: Ipv4Addr::new(10, 0, 0, 0), prefix: 8 })
        );
        for text in ["0.0.0.0/0", "192.0.0.0/8", "172.0.0.0/8", "172.16.0.0/11", "126.0.0.0/7"] {
            assert!(matches!(Target::parse(text, true), Err(TargetError::NotLocal(_))), "{text}");
        }
    }

    #[test]
    fn display_reads_back() {
        for text in ["192.168.1.5", "127.0.0.1:7777", "10.1.0.0/16"] {
            assert_eq!(Target::parse(text, false).unwrap().to_string(), text);
        }
    }
}
