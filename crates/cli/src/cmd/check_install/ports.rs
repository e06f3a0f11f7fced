//! The ports of the settings, each tried the way the hub would take it, and left at once.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

use landfall_hub::settings::{Address, Settings};
use landfall_link::scan;

use super::holders;
use super::seen::{Bind, PortSeen, Transport};

/// Tries all ports. Port 0, which takes any that is free, is left out.
pub(super) fn look(settings: &Settings) -> Vec<PortSeen> {
    let mut seen = Vec::new();
    let mut add = |key, what, address: Address, transports: &[Transport]| {
        let Some(at) = address.at().filter(|at| at.port() != 0) else { return };
        seen.extend(transports.iter().map(|&transport| try_port(key, what, transport, at)));
    };
    let tcp = &[Transport::Tcp][..];
    add("page.listen", "page and API", settings.page.listen, tcp);
    let cloud = &settings.cloud;
    if cloud.enabled {
        add("cloud.http", "devices' HTTP", cloud.http, tcp);
        add("cloud.https", "devices' HTTPS", cloud.https, tcp);
        add("cloud.mqtt", "MQTT", cloud.mqtt, tcp);
        add("cloud.mqtts", "MQTT over TLS", cloud.mqtts, tcp);
        add("cloud.mqtt_psk", "MQTT over TLS-PSK", cloud.mqtt_psk, tcp);
        add("cloud.dns", "DNS", cloud.dns, &[Transport::Udp, Transport::Tcp]);
    }
    if settings.lan.enabled && settings.lan.discovery {
        let usual = scan::Ports::default();
        let beacons =
            [(usual.clear, "beacons in clear"), (usual.encrypted, "beacons"), (usual.answer, "answers")];
        for (port, what) in beacons {
            let Some(port) = port else { continue };
            let at = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            let bind = outcome(scan::can_listen(at), at.into(), Transport::Udp);
            let (key, transport) = ("lan.discovery", Transport::Udp);
            seen.push(PortSeen { key, what, transport, at: at.into(), bind });
        }
    }
    seen
}

fn try_port(key: &'static str, what: &'static str, transport: Transport, at: SocketAddr) -> PortSeen {
    let tried = match transport {
        Transport::Tcp => TcpListener::bind(at).map(drop),
        Transport::Udp => UdpSocket::bind(at).map(drop),
    };
    PortSeen { key, what, transport, at, bind: outcome(tried, at, transport) }
}

fn outcome(tried: io::Result<()>, at: SocketAddr, transport: Transport) -> Bind {
    match tried {
        Ok(()) => Bind::Free,
        Err(e) => match e.kind() {
            io::ErrorKind::AddrInUse => Bind::Busy(holders::of(at, transport)),
            io::ErrorKind::PermissionDenied => Bind::Forbidden(holders::of(at, transport)),
            io::ErrorKind::AddrNotAvailable => Bind::NotOurs,
            _ => Bind::Failed(e.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let options: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        landfall_hub::settings::read(None, [], &options).unwrap()
    }

    const OFF: &str = "cloud.http=off cloud.https=off cloud.mqtt=off cloud.mqtts=off cloud.mqtt_psk=off \
                       lan.discovery=false";

    #[test]
    fn a_port_is_found_free_busy_or_foreign_and_is_left_alone() {
        let keep = TcpListener::bind("127.31.7.1:0").unwrap();
        let busy = keep.local_addr().unwrap();
        // Free, since its holder is dropped at once.
        let free = TcpListener::bind("127.31.7.2:0").unwrap().local_addr().unwrap();
        let all = look(&settings(&format!("{OFF} page.listen={busy} cloud.dns={free}")));
        let of = |key: &str| all.iter().filter(|p| p.key == key).collect::<Vec<_>>();
        assert!(matches!(&of("page.listen")[0].bind, Bind::Busy(_)), "{all:?}");
        assert_eq!(of("cloud.dns").len(), 2, "both transports: {all:?}");
        assert!(of("cloud.dns").iter().all(|p| matches!(p.bind, Bind::Free)), "{all:?}");
        // Nothing is kept.
        drop(TcpListener::bind(free).unwrap());
        // An address of documentation is no machine's.
        let all = look(&settings(&format!("{OFF} page.listen=192.0.2.1:9 cloud.dns=off")));
        assert!(matches!(all[..], [PortSeen { bind: Bind::NotOurs, .. }]), "{all:?}");
    }

    #[test]
    fn what_is_off_is_not_looked_at() {
        assert!(look(&settings(&format!("{OFF} page.listen=off cloud.dns=off"))).is_empty());
        let all = look(&settings("cloud.enabled=false page.listen=off"));
        assert!(all.iter().all(|p| p.key == "lan.discovery") && all.len() == 3, "{all:?}");
        assert!(
            look(&settings(&format!("{OFF} page.listen=0 cloud.dns=0"))).is_empty(),
            "any free port will do"
        );
    }
}
