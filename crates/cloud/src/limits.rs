//! Limits for each peer: connections at a time, connects in a time. A peer is an IPv4 address or an IPv6 /64.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Limits;

/// The time in which connects are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Peers that are remembered without being connected, before the old ones are swept out.
const SWEEP_AT: usize = 4_096;

/// Counts the connections of all peers.
#[derive(Debug)]
pub struct Peers {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    peers: HashMap<IpAddr, Peer>,
    open: usize,
    /// The size of `peers` at which the next sweep is due.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Peer {
    open: usize,
    /// Start of the current window, and the connects in it.
    window: Duration,
    connects: u32,
}

/// A place taken by a connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    peers: Arc<Peers>,
    peer: IpAddr,
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// Too many at a time from this address.
    #[error("{0} connections from this address already")]
    Peer(usize),
    /// Too many in a short time from this address.
    #[error("more than {0} connects in 10 s from this address")]
    Rate(u32),
    /// Too many of all.
    #[error("{0} connections already")]
    All(usize),
}

impl Crowded {
    /// Stable code, for events and records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Peer(_) => "limit.peer",
            Self::Rate(_) => "limit.rate",
            Self::All(_) => "limit.connections",
        }
    }
}

impl Peers {
    /// Nobody is connected.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::new(State { sweep_at: SWEEP_AT, ..State::default() }) })
    }

    /// Takes a place for a connection from this address, at this monotonic time.
    ///
    /// # Errors
    /// There is none.
    pub fn enter(self: &Arc<Self>, ip: IpAddr, now: Duration) -> Result<Place, Crowded> {
        let peer = network_of(ip);
        let mut state = self.state();
        if state.open >= self.limits.connections {
            return Err(Crowded::All(state.open));
        }
        if state.peers.len() >= state.sweep_at {
            state.peers.retain(|_, p| p.open > 0 || now < p.window + WINDOW);
            // What is left is in use; sweeping at each connect would cost more than it frees.
            state.sweep_at = SWEEP_AT.max(state.peers.len() * 2);
        }
        let entry = state.peers.entry(peer).or_default();
        if now >= entry.window + WINDOW {
            entry.window = now;
            entry.connects = 0;
        }
        if entry.connects >= self.limits.connects_per_peer {
            return Err(Crowded::Rate(self.limits.connects_per_peer));
        }
        if entry.open >= self.limits.connections_per_peer {
            return Err(Crowded::Peer(entry.open));
        }
        entry.connects += 1;
        entry.open += 1;
        state.open += 1;
        Ok(Place { peers: Arc::clone(self), peer })
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.state().open
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.peers.state();
        state.open = state.open.saturating_sub(1);
        if let Some(peer) = state.peers.get_mut(&self.peer) {
            peer.open = peer.open.saturating_sub(1);
        }
    }
}

/// What counts as one peer: a house gets a whole /64 of IPv6 addresses, and so does an attacker.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Arc<Peers> {
        Peers::new(Limits {
            connections_per_peer: 2,
            connections: 3,
            connects_per_peer: 4,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_so_many_places_and_gives_them_back() {
        let peers = peers();
        let t = Duration::ZERO;
        let one = peers.enter(ip("10.0.0.1"), t).unwrap();
        let _two = peers.enter(ip("::ffff:10.0.0.1"), t).unwrap();
        assert_eq!(peers.enter(ip("10.0.0.1"), t).unwrap_err(), Crowded::Peer(2));
        let _other = peers.enter(ip("10.0.0.2"), t).unwrap();
        assert_eq!(peers.enter(ip("10.0.0.3"), t).unwrap_err(), Crowded::All(3));
        drop(one);
        peers.enter(ip("10.0.0.1"), t).unwrap();
        assert_eq!(peers.open(), 2);
    }

    #[test]
    fn connects_are_counted_in_windows() {
        let peers = peers();
        let t = Duration::from_secs(100);
        for _ in 0..4 {
            peers.enter(ip("10.0.0.1"), t).unwrap();
        }
        assert_eq!(peers.enter(ip("10.0.0.1"), t + Duration::from_secs(9)).unwrap_err(), Crowded::Rate(4));
        peers.enter(ip("10.0.0.1"), t + Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_slash_64_is_one_peer() {
        let peers = peers();
        let t = Duration::ZERO;
        let _one = peers.enter(ip("2001:db8::1"), t).unwrap();
        let _two = peers.enter(ip("2001:db8::ffff:2"), t).unwrap();
        assert_eq!(peers.enter(ip("2001:db8::3"), t).unwrap_err(), Crowded::Peer(2));
        peers.enter(ip("2001:db8:0:1::3"), t).unwrap();
    }

    #[test]
    fn peers_that_left_are_forgotten() {
        let peers = peers();
        for n in 0..20_000_u32 {
            peers.enter(IpAddr::V4(n.into()), Duration::from_millis(n.into())).unwrap();
        }
        assert!(peers.state().peers.len() < 12_000, "{}", peers.state().peers.len());
    }
}
