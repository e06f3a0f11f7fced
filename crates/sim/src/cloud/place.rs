//! Where a device looks for its cloud: names of the vendor, addresses it was told, and how it speaks there.

use landfall_proto::psk::{Identity, Psk};

/// Where and how to connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Host name or address, as the device knows it.
    pub host: String,
    /// Port, the vendor's own where nothing else was told.
    pub port: u16,
    /// Transport.
    pub transport: Transport,
}

/// How a connection is protected.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Not at all.
    Plain,
    /// TLS with a pre-shared key.
    Psk(PskLogin),
}

impl PartialEq for Transport {
    /// Two connections may be the same one if both are in clear or both go by the same identity.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain, Self::Plain) => true,
            (Self::Psk(a), Self::Psk(b)) => a.identity == b.identity,
            _ => false,
        }
    }
}

/// An identity of TLS-PSK, and its key.
#[derive(Clone, Debug)]
pub struct PskLogin {
    /// What is sent.
    pub identity: Identity,
    /// The key of type 2; that of type 1 follows from identity and hint.
    pub key: Option<Psk>,
}

impl PskLogin {
    /// The key, once the server's hint is known. `None` for type 1 without a hint: the device stops there.
    pub fn key(&self, hint: Option<&[u8]>) -> Option<Psk> {
        match &self.key {
            Some(key) => Some(key.clone()),
            None => self.identity.derive(hint?).ok(),
        }
    }
}

/// The vendor's domain in a region: `us` of `tuyaus.com` (cloud.md 0.2, 1.1).
pub(super) fn domain(region: &str) -> &'static str {
    match region {
        "EU" | "WE" => "eu",
        "AY" => "cn",
        "IN" => "in",
        _ => "us",
    }
}

/// A URL as far as devices read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// With its query.
    pub(super) path: String,
}

impl Url {
    /// `http://host/path`, `https://host:port/path`; at most 255 characters (cloud.md 5.2).
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > 255 {
            return None;
        }
        let (tls, rest) = match text.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = host_port(authority, if tls { 443 } else { 80 })?;
        let plain = path.bytes().all(|b| b.is_ascii_graphic());
        plain.then(|| Self { tls, host, port, path: path.to_owned() })
    }
}

/// `host:port`, or `host` alone with the usual port. IPv6 in brackets is kept whole.
pub(super) fn host_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (text, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let sound = !host.is_empty() && host.len() <= 253 && port != 0;
    let known = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    (sound && known).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_hosts_are_read_as_devices_do() {
        let url = |text: &str| Url::parse(text).map(|u| (u.tls, u.host, u.port, u.path));
        let some = |tls, host: &str, port, path: &str| Some((tls, host.to_owned(), port, path.to_owned()));
        assert_eq!(url("http://10.42.42.1/d.json"), some(false, "10.42.42.1", 80, "/d.json"));
        assert_eq!(url("https://h:8443/f?x=1"), some(true, "h", 8443, "/f?x=1"));
        assert_eq!(url("http://h"), some(false, "h", 80, "/"));
        for bad in [
            "",
            "h/d.json",
            "ftp://h/",
            "http:///d",
            "http://h:x/",
            "http://h:0/",
            "http://h/a b",
            "http://a@b/",
        ] {
            assert_eq!(url(bad), None, "{bad:?}");
        }
        assert_eq!(url(&format!("http://h/{}", "x".repeat(250))), None);
        assert_eq!(host_port("10.0.0.1:1883", 8886), Some(("10.0.0.1".into(), 1883)));
        assert_eq!(host_port("mq.gw.tuyaus.com", 1883), Some(("mq.gw.tuyaus.com".into(), 1883)));
        assert_eq!(host_port("[::1]:1883", 1), Some(("::1".into(), 1883)));
        assert_eq!(host_port("", 1), None);
    }
}
