//! Under which address a client finds us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::Advertise;

use super::answer::Ours;

/// An interface's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Interface: `eth0`.
    pub interface: String,
    /// Address.
    pub address: IpAddr,
}

/// All addresses of this machine.
///
/// # Errors
/// The system does not say.
pub fn places() -> io::Result<Vec<Place>> {
    let all = if_addrs::get_if_addrs()?;
    Ok(all.into_iter().map(|i| Place { address: i.ip(), interface: i.name }).collect())
}

/// The local address that packets to this client leave from. Nothing is sent.
///
/// # Errors
/// There is no route to it.
pub fn towards(client: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match client {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // Connecting looks up the route. The port is of no importance, but 0 is refused by some systems.
    socket.connect(SocketAddr::new(client, 53))?;
    Ok(socket.local_addr()?.ip().to_canonical())
}

/// The local address of a question: what it was sent to, if that is an address of ours (and not of everybody, as a
/// broadcast's is), else the one from which the client is reached.
pub fn address(sent_to: Option<IpAddr>, client: IpAddr, places: &[Place]) -> Option<IpAddr> {
    sent_to
        .map(|to| to.to_canonical())
        .filter(|to| to.is_loopback() || places.iter().any(|place| place.address == *to))
        .or_else(|| towards(client).ok())
}

/// Why a client can't be told where we are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// It is on another machine.
    #[error(
        "{client} can't reach {address}, which is this machine's own loopback; set the address that devices are told"
    )]
    Loopback {
        /// Who asked.
        client: IpAddr,
        /// What it would be told.
        address: IpAddr,
    },
    /// Nothing is known.
    #[error("no address is known under which {client} reaches us; set the address that devices are told")]
    None {
        /// Who asked.
        client: IpAddr,
    },
}

/// What a client is told. `local`: the local address of its question. `named`: what the name that devices are told stands
/// for, if they are told a name and it is known.
///
/// # Errors
/// There is nothing that it could be told.
pub fn ours(
    advertise: &Advertise,
    local: Option<IpAddr>,
    named: &[IpAddr],
    client: IpAddr,
    places: &[Place],
) -> Result<Ours, NoAddress> {
    let mut ours = Ours::default();
    let mut add = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(v4) if !v4.is_unspecified() => {
            ours.v4.get_or_insert(v4);
        }
        IpAddr::V6(v6) if !v6.is_unspecified() => {
            ours.v6.get_or_insert(v6);
        }
        _ => {}
    };
    match advertise {
        Advertise::Ip(ip) => add(*ip),
        Advertise::Host(_) if !named.is_empty() => named.iter().copied().for_each(&mut add),
        Advertise::Host(_) | Advertise::Local => match local {
            // The servers listen for IPv4 on the same interface: stock firmware speaks nothing else.
            Some(IpAddr::V6(v6)) => match v4_beside(v6, places) {
                Some(v4) => add(v4.into()),
                None => add(v6.into()),
            },
            Some(v4) => add(v4),
            None => {}
        },
    }
    let client = client.to_canonical();
    let told = [ours.v4.map(IpAddr::V4), ours.v6.map(IpAddr::V6)];
    if let Some(address) = told.into_iter().flatten().find(IpAddr::is_loopback)
        && !client.is_loopback()
    {
        return Err(NoAddress::Loopback { client, address });
    }
    if ours == Ours::default() { Err(NoAddress::None { client }) } else { Ok(ours) }
}

/// An IPv4 address of the interface that has this IPv6 address; not a self-given one if there is another.
fn v4_beside(v6: Ipv6Addr, places: &[Place]) -> Option<Ipv4Addr> {
    let interface = &places.iter().find(|place| place.address == IpAddr::V6(v6))?.interface;
    let beside = places.iter().filter(|place| place.interface == *interface);
    let mut v4: Vec<Ipv4Addr> = beside
        .filter_map(|place| match place.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
        .collect();
    v4.sort_by_key(Ipv4Addr::is_link_local);
    v4.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn house() -> Vec<Place> {
        let place =
            |interface: &str, address| Place { interface: interface.to_owned(), address: ip(address) };
        vec![
            place("lo", "127.0.0.1"),
            place("lo", "::1"),
            place("eth0", "169.254.3.4"),
            place("eth0", "192.168.1.5"),
            place("eth0", "fe80::5"),
            place("eth1", "10.0.0.5"),
            place("eth2", "fd00::5"),
        ]
    }

    fn told(advertise: &Advertise, local: Option<&str>, client: &str) -> Result<Ours, NoAddress> {
        ours(advertise, local.map(ip), &[], ip(client), &house())
    }

    fn v4(text: &str) -> Ours {
        Ours { v4: Some(text.parse().unwrap()), v6: None }
    }

    #[test]
    fn a_client_is_told_the_address_it_asked() {
        assert_eq!(address(Some(ip("10.0.0.5")), ip("127.0.0.1"), &house()), Some(ip("10.0.0.5")));
        assert_eq!(address(Some(ip("::ffff:10.0.0.5")), ip("127.0.0.1"), &house()), Some(ip("10.0.0.5")));
        assert_eq!(address(Some(ip("127.3.3.3")), ip("127.0.0.1"), &house()), Some(ip("127.3.3.3")));
        assert_eq!(told(&Advertise::Local, Some("10.0.0.5"), "10.0.0.77"), Ok(v4("10.0.0.5")));
        assert_eq!(told(&Advertise::Local, Some("127.0.0.1"), "127.0.0.1"), Ok(v4("127.0.0.1")));
    }

    /// A broadcast is sent to everybody: its address is no answer.
    #[test]
    fn an_address_that_is_not_ours_is_replaced_by_the_one_on_the_way_to_the_client() {
        for sent_to in
            [None, Some("255.255.255.255"), Some("192.168.1.255"), Some("224.0.0.251"), Some("8.8.8.8")]
        {
            assert_eq!(
                address(sent_to.map(ip), ip("127.0.0.1"), &house()),
                Some(ip("127.0.0.1")),
                "{sent_to:?}"
            );
        }
    }

    #[test]
    fn a_question_over_ipv6_is_told_the_ipv4_address_beside() {
        assert_eq!(told(&Advertise::Local, Some("fe80::5"), "fe80::77"), Ok(v4("192.168.1.5")));
        let only_v6 = Ours { v4: None, v6: Some("fd00::5".parse().unwrap()) };
        assert_eq!(told(&Advertise::Local, Some("fd00::5"), "fd00::77"), Ok(only_v6));
        assert_eq!(told(&Advertise::Local, Some("::1"), "::1"), Ok(v4("127.0.0.1")));
    }

    #[test]
    fn the_owners_address_goes_first() {
        let advertise = Advertise::Ip(ip("192.168.1.200"));
        assert_eq!(told(&advertise, Some("10.0.0.5"), "10.0.0.77"), Ok(v4("192.168.1.200")));
        let advertise = Advertise::Host("landfall.lan".into());
        let named = [ip("192.168.1.201"), ip("fd00::201"), ip("192.168.1.202")];
        let both =
            Ours { v4: Some("192.168.1.201".parse().unwrap()), v6: Some("fd00::201".parse().unwrap()) };
        assert_eq!(ours(&advertise, Some(ip("10.0.0.5")), &named, ip("10.0.0.77"), &house()), Ok(both));
        assert_eq!(told(&advertise, Some("10.0.0.5"), "10.0.0.77"), Ok(v4("10.0.0.5")), "not resolved yet");
    }

    #[test]
    fn loopback_is_never_told_to_another_machine() {
        let loopback = Advertise::Ip(ip("127.0.0.1"));
        let refused = NoAddress::Loopback { client: ip("192.168.1.77"), address: ip("127.0.0.1") };
        assert_eq!(told(&loopback, Some("192.168.1.5"), "192.168.1.77"), Err(refused.clone()));
        assert_eq!(told(&Advertise::Local, Some("127.0.0.1"), "::ffff:192.168.1.77"), Err(refused));
        assert_eq!(told(&loopback, None, "127.0.0.1"), Ok(v4("127.0.0.1")));
        let named = [ip("::1")];
        let host = Advertise::Host("landfall.lan".into());
        assert!(matches!(
            ours(&host, None, &named, ip("192.168.1.77"), &house()),
            Err(NoAddress::Loopback { .. })
        ));
    }

    #[test]
    fn nothing_is_told_where_nothing_is_known() {
        let none = NoAddress::None { client: ip("192.168.1.77") };
        assert_eq!(told(&Advertise::Local, None, "192.168.1.77"), Err(none.clone()));
        assert_eq!(told(&Advertise::Ip(ip("0.0.0.0")), Some("10.0.0.5"), "192.168.1.77"), Err(none));
    }
}
