//! Which client asked for what. A device that asks for names of the vendor here and never calls, or that asks for names
//! which are not ours to answer, is still looking elsewhere: `landfall cloud status` says so.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::names::Kind;

/// Clients that are remembered; the one that has been silent for longest makes room.
const CLIENTS: usize = 512;

/// Names remembered of one client and kind; the one not asked for longest makes room.
const fn names_kept(kind: Kind) -> usize {
    match kind {
        Kind::Vendor => 32,
        Kind::Own => 1,
        Kind::Like | Kind::Other => 16,
    }
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// Its address; an IPv4 one even when the socket is for both.
    pub address: IpAddr,
    /// First question, seconds since 1970-01-01 UTC.
    pub first: u64,
    /// Last question, seconds since 1970-01-01 UTC.
    pub last: u64,
    /// Questions in all.
    pub questions: u64,
    /// The names, last asked first.
    pub asked: Vec<Asked>,
    /// Names that made room for others and are forgotten.
    pub forgotten: u64,
}

impl Client {
    /// The names of the vendor outside of the zones that we answer.
    pub fn like(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| asked.kind == Kind::Like)
    }

    /// The names that are not answered with our address, the vendor's or not.
    pub fn elsewhere(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| matches!(asked.kind, Kind::Like | Kind::Other))
    }
}

/// A name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Lower case, without the dot at the end; bytes that don't belong into host names are escaped.
    pub name: String,
    /// What it is to us.
    pub kind: Kind,
    /// How often.
    pub count: u64,
    /// When last, seconds since 1970-01-01 UTC.
    pub last: u64,
}

/// The memory of all clients. Bounded; what a client can do is to push out its own names and, with many addresses, other
/// clients.
#[derive(Debug, Default)]
pub struct Seen {
    clients: Mutex<HashMap<IpAddr, Client>>,
}

impl Seen {
    /// Nobody asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client asked for a name, at this time in seconds since 1970. Says whether it is the first question of this
    /// client for this name that is remembered.
    pub fn note(&self, address: IpAddr, name: &str, kind: Kind, at: u64) -> bool {
        let mut clients = self.lock();
        if !clients.contains_key(&address) && clients.len() >= CLIENTS {
            let oldest = clients.values().min_by_key(|client| client.last).map(|client| client.address);
            if let Some(oldest) = oldest {
                clients.remove(&oldest);
            }
        }
        let client = clients.entry(address).or_insert_with(|| Client {
            address,
            first: at,
            last: at,
            questions: 0,
            asked: Vec::new(),
            forgotten: 0,
        });
        client.last = at;
        client.questions = client.questions.saturating_add(1);
        let before = client.asked.iter().position(|asked| asked.name == name);
        let asked = match before {
            Some(index) => {
                let mut asked = client.asked.remove(index);
                asked.count = asked.count.saturating_add(1);
                asked.last = at;
                asked
            }
            None => Asked { name: name.to_owned(), kind, count: 1, last: at },
        };
        // In the order of asking, so that the last of a kind is the one to forget.
        client.asked.insert(0, asked);
        let of_kind = client.asked.iter().filter(|asked| asked.kind == kind).count();
        if of_kind > names_kept(kind)
            && let Some(last) = client.asked.iter().rposition(|asked| asked.kind == kind)
        {
            client.asked.remove(last);
            client.forgotten = client.forgotten.saturating_add(1);
        }
        before.is_none()
    }

    /// All clients, by address.
    pub fn clients(&self) -> Vec<Client> {
        let mut all: Vec<Client> = self.lock().values().cloned().collect();
        all.sort_by_key(|client| client.address);
        all
    }

    /// One client.
    pub fn client(&self, address: IpAddr) -> Option<Client> {
        self.lock().get(&address.to_canonical()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        // Every change above is whole at every point where it could panic.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
    }

    #[test]
    fn questions_are_counted_by_client_and_name() {
        let seen = Seen::new();
        assert!(seen.note(ip(1), "a1.tuyaus.com", Kind::Vendor, 100));
        assert!(seen.note(ip(1), "tuya.example", Kind::Like, 101));
        assert!(seen.note(ip(1), "pool.ntp.org", Kind::Other, 102));
        assert!(!seen.note(ip(1), "a1.tuyaus.com", Kind::Vendor, 103));
        assert!(seen.note(ip(2), "a1.tuyaus.com", Kind::Vendor, 104));

        let client = seen.client(ip(1)).unwrap();
        assert_eq!((client.first, client.last, client.questions, client.forgotten), (100, 103, 4, 0));
        let names: Vec<_> = client.asked.iter().map(|a| (a.name.as_str(), a.count, a.last)).collect();
        assert_eq!(names, [("a1.tuyaus.com", 2, 103), ("pool.ntp.org", 1, 102), ("tuya.example", 1, 101)]);
        assert_eq!(client.like().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["tuya.example"]);
        assert_eq!(client.elsewhere().count(), 2);
        assert_eq!(seen.clients().iter().map(|c| c.address).collect::<Vec<_>>(), [ip(1), ip(2)]);
        assert_eq!(seen.client(ip(3)), None);
        assert_eq!(
            seen.client("::ffff:10.0.0.2".parse().unwrap()).map(|c| c.address),
            Some(ip(2)),
            "an IPv4 client of a socket for both is the same client"
        );
    }

    #[test]
    fn other_names_never_push_out_names_of_the_vendor() {
        let seen = Seen::new();
        seen.note(ip(1), "a1.tuyaus.com", Kind::Vendor, 1);
        for n in 0..1_000 {
            seen.note(ip(1), &format!("host{n}.example"), Kind::Other, 2 + n);
        }
        let client = seen.client(ip(1)).unwrap();
        assert_eq!(client.asked.iter().filter(|a| a.kind == Kind::Vendor).count(), 1);
        assert_eq!(client.asked.iter().filter(|a| a.kind == Kind::Other).count(), names_kept(Kind::Other));
        assert_eq!(client.asked.first().map(|a| a.name.as_str()), Some("host999.example"));
        assert_eq!(client.forgotten, 1_000 - names_kept(Kind::Other) as u64);
        assert_eq!(client.questions, 1_001);
    }

    #[test]
    fn the_client_that_was_silent_for_longest_makes_room() {
        let seen = Seen::new();
        for n in 0..CLIENTS as u32 {
            seen.note(ip(n), "a1.tuyaus.com", Kind::Vendor, u64::from(n));
        }
        seen.note(ip(0), "a1.tuyaus.com", Kind::Vendor, 10_000);
        seen.note(ip(900_000), "a1.tuyaus.com", Kind::Vendor, 10_001);
        assert_eq!(seen.clients().len(), CLIENTS);
        assert!(seen.client(ip(0)).is_some());
        assert!(seen.client(ip(1)).is_none());
        assert!(seen.client(ip(900_000)).is_some());
    }
}
