//! Certificates for the page: of an authority of our own, or from files.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use landfall_link::tls::{Acceptor, Authority, AuthorityError, Certificate, NameError, Names, TlsError};
use landfall_proto::psk::HINT;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum PageTlsError {
    /// A file can't be read.
    #[error("can't read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configured host can't stand in a certificate.
    #[error("`hosts` under [page]")]
    Name(#[from] NameError),
    /// The authority.
    #[error("the page's certificate authority")]
    Authority(#[from] AuthorityError),
    /// The certificate.
    #[error("the page's certificate")]
    Certificate(#[from] TlsError),
}

/// TLS with a certificate of an authority of our own, in this directory, made out to loopback, this machine's addresses and
/// these hosts. Tells the authority's certificate (PEM), which browsers are given to trust, and its fingerprint. It is
/// another authority than the devices': what they trust says nothing about people's browsers. Waits for the disk.
///
/// # Errors
/// A bad host; a directory that can't be used.
pub fn own(dir: &Path, hosts: &[String]) -> Result<(Acceptor, String, String), PageTlsError> {
    let addresses = if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|i| i.ip()).filter(stable);
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    let names = Names::new().with_hosts(["localhost"])?.with_hosts(hosts)?;
    let names = names.with_ips(loopback.into_iter().chain(addresses.take(32)))?;
    let authority = Authority::open_or_create(dir, &names)?;
    let acceptor = Acceptor::new(None, Some(authority.server().clone()), HINT)?;
    Ok((acceptor, authority.pem().to_owned(), authority.fingerprint()))
}

/// Whether an address is worth standing in a certificate: link-local ones can't be typed into browsers.
fn stable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// TLS with the owner's certificate: a chain and its key in PEM. Waits for the disk.
///
/// # Errors
/// Files that can't be read, or don't belong together.
pub fn files(chain: &Path, key: &Path) -> Result<Acceptor, PageTlsError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| PageTlsError::File { path: path.to_owned(), source })
    };
    let certificate = Certificate::from_pem(&read(chain)?, &read(key)?)?;
    Ok(Acceptor::new(None, Some(certificate), HINT)?)
}
