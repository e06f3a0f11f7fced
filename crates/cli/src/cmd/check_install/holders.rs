//! Who holds a port: read from /proc, as far as it shows itself to us. Elsewhere than on Linux nobody is found.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::seen::{Holder, Transport};

/// An entry of /proc/net/tcp and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    /// TCP: whether it listens.
    listens: bool,
    uid: u32,
    inode: u64,
}

/// The processes that keep us from binding this address.
pub(super) fn of(at: SocketAddr, transport: Transport) -> Vec<Holder> {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let text = tables.map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
    let in_the_way: Vec<Entry> = text
        .lines()
        .filter_map(entry)
        .filter(|e| transport == Transport::Udp || e.listens)
        .filter(|e| clashes(e.local, at))
        .collect();
    if in_the_way.is_empty() {
        return Vec::new();
    }
    let owners = owners(Path::new("/proc"), &in_the_way.iter().map(|e| e.inode).collect::<Vec<_>>());
    let mut found: Vec<Holder> = Vec::new();
    for e in in_the_way {
        let holder = Holder { user: user(e.uid), process: owners.get(&e.inode).cloned() };
        if !found.contains(&holder) {
            found.push(holder);
        }
    }
    found
}

/// `  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0  12345 ...`
fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Entry { local: SocketAddr::new(address_of(address)?, port), listens: state == "0A", uid, inode })
}

/// Words of 32 bits in this machine's order of bytes, in hexadecimal.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (i, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(i)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Whether one keeps the other from being bound: the same port, and the same address or one that stands for all.
fn clashes(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (held_ip, wanted_ip) = (held.ip().to_canonical(), wanted.ip().to_canonical());
    held.port() == wanted.port()
        && (held_ip == wanted_ip || held_ip.is_unspecified() || wanted_ip.is_unspecified())
}

/// Process id and name by inode of a socket. Processes of others show their files to root alone.
fn owners(proc: &Path, inodes: &[u64]) -> HashMap<u64, (u32, String)> {
    let mut found = HashMap::new();
    for process in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let inode =
                target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let Some(inode) = inode.filter(|i| inodes.contains(i)) else { continue };
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.insert(inode, (pid, name.trim().to_owned()));
        }
        if found.len() == inodes.len() {
            break;
        }
    }
    found
}

/// The name of a user, or the number where there is none.
pub(super) fn user(uid: u32) -> String {
    let all = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&all, uid).unwrap_or_else(|| uid.to_string())
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_read() {
        let v4 = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let read = entry(v4).unwrap();
        assert_eq!((read.local, read.listens), ("127.0.0.1:8080".parse().unwrap(), true));
        assert_eq!((read.uid, read.inode), (1000, 4711));
        let v6 = "   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 99 2 0";
        let read = entry(v6).unwrap();
        assert_eq!((read.local, read.listens), ("[::1]:53".parse().unwrap(), false));
        for head in [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "",
            "0: x:y",
        ] {
            assert_eq!(entry(head), None, "{head}");
        }
    }

    #[test]
    fn an_address_that_stands_for_all_is_in_the_way() {
        let clash = |a: &str, b: &str| clashes(a.parse().unwrap(), b.parse().unwrap());
        assert!(clash("0.0.0.0:53", "127.0.0.1:53") && clash("127.0.0.1:53", "0.0.0.0:53"));
        assert!(clash("[::]:53", "127.0.0.1:53") && clash("[::ffff:127.0.0.1]:53", "127.0.0.1:53"));
        assert!(!clash("127.0.0.53:53", "127.0.0.1:53") && !clash("0.0.0.0:54", "127.0.0.1:53"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_very_process_is_found() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for (at, transport) in
            [(tcp.local_addr().unwrap(), Transport::Tcp), (udp.local_addr().unwrap(), Transport::Udp)]
        {
            let holders = of(at, transport);
            assert_eq!(holders.len(), 1, "{holders:?}");
            assert_eq!(holders[0].process.as_ref().unwrap().0, std::process::id());
        }
    }

    #[test]
    fn users_have_names() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(passwd, 7), None);
    }
}
