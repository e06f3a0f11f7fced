//! Who is answered, and how often. Pure: time is given.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses that are clients unless the owner says otherwise: private, link-local, unique local, loopback.
const PRIVATE: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// The private networks that are clients by default.
pub fn private_networks() -> Vec<IpNet> {
    PRIVATE.iter().filter_map(|net| net.parse().ok()).collect()
}

/// Who is a client.
#[derive(Clone, Debug)]
pub struct Clients {
    networks: Vec<IpNet>,
}

impl Clients {
    /// These networks; the private ones when there are none.
    pub fn new(networks: &[IpNet]) -> Self {
        Self { networks: if networks.is_empty() { private_networks() } else { networks.to_vec() } }
    }

    /// Whether this address is a client's.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// So many at once, and so many a second in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// A second.
    pub per_second: u32,
}

/// The rates of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of one client. Behind a router that asks for its devices a whole house is one client.
    pub client: Rate,
    /// Of one /24 or /56.
    pub prefix: Rate,
    /// Of one stranger: enough to be told no.
    pub stranger: Rate,
    /// Of all strangers. A stranger's address is easily forged: its owner shall not be bothered by our refusals.
    pub strangers: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            client: Rate { burst: 1_000, per_second: 200 },
            prefix: Rate { burst: 3_000, per_second: 1_000 },
            stranger: Rate { burst: 5, per_second: 1 },
            strangers: Rate { burst: 50, per_second: 20 },
        }
    }
}

/// Places for addresses and prefixes. Those beyond share one place.
const PLACES: usize = 4_096;

/// Counts questions.
#[derive(Debug)]
pub struct Limiter {
    clients: Buckets<IpAddr>,
    prefixes: Buckets<IpNet>,
    strangers: Buckets<IpAddr>,
    all_strangers: Buckets<()>,
}

impl Limiter {
    /// Nobody asked yet.
    pub fn new(rates: Rates) -> Self {
        Self {
            clients: Buckets::new(rates.client, PLACES),
            prefixes: Buckets::new(rates.prefix, PLACES),
            strangers: Buckets::new(rates.stranger, PLACES),
            all_strangers: Buckets::new(rates.strangers, 1),
        }
    }

    /// Whether a client's question at this monotonic time is within the rates; it is counted.
    pub fn client(&mut self, address: IpAddr, now: Duration) -> bool {
        self.clients.take(address, now) && self.prefixes.take(prefix(address), now)
    }

    /// The same for those who are no clients.
    pub fn stranger(&mut self, address: IpAddr, now: Duration) -> bool {
        self.strangers.take(address, now) && self.all_strangers.take((), now)
    }
}

/// The /24 or /56 of an address.
fn prefix(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Net::new(v4, 24).map_or(IpNet::from(IpAddr::V4(v4)), |net| net.trunc().into()),
        IpAddr::V6(v6) => Ipv6Net::new(v6, 56).map_or(IpNet::from(IpAddr::V6(v6)), |net| net.trunc().into()),
    }
}

/// Token buckets, as many as there are places.
#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    places: usize,
    buckets: HashMap<K, Bucket>,
    /// For those that found no place.
    common: Bucket,
    swept: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a question.
    left: u64,
    at: Duration,
}

/// A full sweep for empty places at most this often.
const SWEEP: Duration = Duration::from_secs(1);

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate, places: usize) -> Self {
        let common = Bucket { left: u64::from(rate.burst) * 1_000, at: Duration::ZERO };
        Self { rate, places, buckets: HashMap::new(), common, swept: Duration::ZERO }
    }

    fn take(&mut self, key: K, now: Duration) -> bool {
        let rate = self.rate;
        if let Some(bucket) = self.buckets.get_mut(&key) {
            return bucket.take(rate, now);
        }
        if self.buckets.len() >= self.places && now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            // A full bucket says no more than a missing one.
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
        }
        if self.buckets.len() >= self.places {
            return self.common.take(rate, now);
        }
        let mut bucket = Bucket { left: u64::from(rate.burst) * 1_000, at: now };
        let taken = bucket.take(rate, now);
        self.buckets.insert(key, bucket);
        taken
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Duration) {
        let since = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        let full = u64::from(rate.burst) * 1_000;
        self.left = self.left.saturating_add(since.saturating_mul(u64::from(rate.per_second))).min(full);
        // Whole milliseconds only: the rest of one counts next time.
        self.at = self.at.saturating_add(Duration::from_millis(since));
    }

    fn is_full(mut self, rate: Rate, now: Duration) -> bool {
        self.fill(rate, now);
        self.left >= u64::from(rate.burst) * 1_000
    }

    fn take(&mut self, rate: Rate, now: Duration) -> bool {
        self.fill(rate, now);
        match self.left.checked_sub(1_000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_private_addresses_are_clients_by_default() {
        assert_eq!(private_networks().len(), PRIVATE.len());
        let clients = Clients::new(&[]);
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.7.7",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "fe80::1",
            "fd12::1",
            "::ffff:192.168.1.9",
        ] {
            assert!(clients.contains(ip(inside)), "{inside}");
        }
        for outside in
            ["8.8.8.8", "172.32.0.1", "100.64.0.1", "11.0.0.1", "2001:db8::1", "::", "::ffff:8.8.8.8"]
        {
            assert!(!clients.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn the_owners_networks_replace_the_private_ones() {
        let clients = Clients::new(&["192.168.30.0/24".parse().unwrap()]);
        assert!(clients.contains(ip("192.168.30.9")));
        assert!(!clients.contains(ip("192.168.31.9")));
        assert!(!clients.contains(ip("127.0.0.1")));
    }

    fn limiter(client: Rate, prefix: Rate) -> Limiter {
        Limiter::new(Rates { client, prefix, ..Rates::default() })
    }

    #[test]
    fn a_client_has_its_burst_and_then_its_rate() {
        let wide = Rate { burst: 1_000, per_second: 1_000 };
        let mut limiter = limiter(Rate { burst: 10, per_second: 5 }, wide);
        let start = Duration::from_secs(100);
        let asks =
            |limiter: &mut Limiter, now, n| (0..n).filter(|_| limiter.client(ip("10.0.0.1"), now)).count();
        assert_eq!(asks(&mut limiter, start, 50), 10);
        assert_eq!(asks(&mut limiter, start + Duration::from_millis(199), 50), 0);
        assert_eq!(asks(&mut limiter, start + Duration::from_millis(200), 50), 1);
        assert_eq!(asks(&mut limiter, start + Duration::from_millis(1_200), 50), 5);
        assert_eq!(asks(&mut limiter, start + Duration::from_secs(3_600), 50), 10, "no more than a burst");
        assert!(limiter.client(ip("10.0.0.2"), start), "another client is not its business");
    }

    #[test]
    fn a_question_every_half_millisecond_gains_no_more_than_the_rate() {
        let wide = Rate { burst: 100_000, per_second: 100_000 };
        let mut limiter = limiter(Rate { burst: 1, per_second: 100 }, wide);
        let answered =
            (0..20_000u64).filter(|n| limiter.client(ip("10.0.0.1"), Duration::from_micros(n * 500))).count();
        assert!((990..=1_001).contains(&answered), "{answered} in ten seconds");
    }

    #[test]
    fn a_prefix_has_a_rate_of_its_own() {
        let narrow = Rate { burst: 10, per_second: 1 };
        let mut limiter = limiter(Rate { burst: 5, per_second: 1 }, narrow);
        let now = Duration::ZERO;
        let answered = (0..=255u8).filter(|n| limiter.client(IpAddr::from([10, 0, 0, *n]), now)).count();
        assert_eq!(answered, 10);
        assert!(limiter.client(ip("10.0.1.1"), now));
        let v6 =
            (0..100u16).filter(|n| limiter.client(IpAddr::from([0xfd00, 0, 0, *n, 0, 0, 0, 1]), now)).count();
        assert_eq!(v6, 10, "a /56 is one prefix");
    }

    #[test]
    fn all_strangers_together_get_little() {
        let mut limiter = Limiter::new(Rates::default());
        let now = Duration::ZERO;
        assert_eq!((0..100).filter(|_| limiter.stranger(ip("8.8.8.8"), now)).count(), 5);
        let many = (0..5_000u32).filter(|n| limiter.stranger(IpAddr::from(n.to_be_bytes()), now)).count();
        assert_eq!(many, 45);
    }

    #[test]
    fn no_number_of_addresses_takes_more_than_its_places() {
        let rate = Rate { burst: 2, per_second: 1 };
        let mut buckets = Buckets::new(rate, 8);
        for n in 0..1_000u32 {
            buckets.take(n, Duration::ZERO);
        }
        assert_eq!(buckets.buckets.len(), 8);
        // Those with a place keep what they have; the others share.
        assert!(buckets.take(0, Duration::ZERO));
        assert!(!buckets.take(5_000, Duration::ZERO));
        // A second later the first ones have filled up again and make room.
        assert!(buckets.take(6_000, Duration::from_secs(2)));
        assert_eq!(buckets.buckets.len(), 1);
    }
}
