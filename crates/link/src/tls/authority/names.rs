//! What a server's certificate is made out to.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most names that a certificate is made out to: it must stay small for devices.
const MOST: usize = 64;

/// Host names, with or without `*.` before them, and addresses. One certificate is made out to all of them: to the
/// vendor's names, and to those under which we are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    hosts: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
}

/// Why a name can't stand in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No host name.
    #[error("{0:?} is no host name: letters, digits, `-` and dots, `*.` at most in front")]
    NotAHost(String),
    /// A certificate of this size does not fit into devices.
    #[error("a certificate for more than {MOST} names is too large for devices")]
    TooMany,
}

impl Names {
    /// No name yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// These hosts as well; a text that is an IP address becomes one.
    ///
    /// # Errors
    /// A text that is no host name; too many names.
    pub fn with_hosts<I>(mut self, hosts: I) -> Result<Self, NameError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        for host in hosts {
            let host = host.as_ref();
            if let Ok(ip) = host.parse::<IpAddr>() {
                self = self.with_ips([ip])?;
                continue;
            }
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            if !is_host(&host) {
                return Err(NameError::NotAHost(host));
            }
            self.hosts.insert(host);
        }
        self.checked()
    }

    /// These addresses as well. Unspecified ones are nobody's and are left out.
    ///
    /// # Errors
    /// Too many names.
    pub fn with_ips(mut self, ips: impl IntoIterator<Item = IpAddr>) -> Result<Self, NameError> {
        self.ips.extend(ips.into_iter().map(|ip| ip.to_canonical()).filter(|ip| !ip.is_unspecified()));
        self.checked()
    }

    fn checked(self) -> Result<Self, NameError> {
        if self.hosts.len() + self.ips.len() > MOST { Err(NameError::TooMany) } else { Ok(self) }
    }

    /// What stands as a DNS name: the hosts, and the addresses once more as text, because mbed TLS before 3.5 looks for an
    /// address among the DNS names and nowhere else.
    pub(super) fn dns(&self) -> BTreeSet<String> {
        self.hosts.iter().cloned().chain(self.ips.iter().map(IpAddr::to_string)).collect()
    }

    /// The addresses.
    pub(super) const fn ips(&self) -> &BTreeSet<IpAddr> {
        &self.ips
    }
}

fn is_host(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_checked() {
        let names = Names::new()
            .with_hosts(["*.TuyaUS.com.", "*.iot-dns.com", "192.168.1.5", "landfall"])
            .and_then(|n| n.with_ips(["::ffff:10.0.0.1".parse().unwrap(), "0.0.0.0".parse().unwrap()]))
            .unwrap();
        let dns: Vec<_> = names.dns().into_iter().collect();
        assert_eq!(dns, ["*.iot-dns.com", "*.tuyaus.com", "10.0.0.1", "192.168.1.5", "landfall"]);
        assert_eq!(names.ips().len(), 2);
        for bad in ["", "*", "a..b", "*.*.b", "a*.b", "a b", "a,DNS:b", "ä.example", "a\0b", &"a".repeat(64)]
        {
            assert!(matches!(Names::new().with_hosts([bad]), Err(NameError::NotAHost(_))), "{bad}");
        }
        let many = (0..=MOST).map(|n| format!("h{n}.example"));
        assert_eq!(Names::new().with_hosts(many), Err(NameError::TooMany));
    }
}
