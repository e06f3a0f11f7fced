//! Our certificate authority, and the certificate of our servers, in a directory of the owner's:
//!
//! ```text
//! <data>/ca/            0700
//!     ca.key            0600   the authority's private key
//!     ca.pem                   its certificate: what devices are given to trust
//!     server.key        0600   the servers' private key
//!     server.pem               their certificate, made anew when the names change
//! ```
//!
//! Everything here waits for the disk, and a new authority for two RSA keys (well below a second each on a small
//! computer): not for the threads of a runtime.

mod files;
mod issue;
mod names;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use zeroize::Zeroizing;

pub use files::LOCK;
pub use names::{NameError, Names};

use super::Certificate;
use files::{Directory, File};

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The operating system said no.
    #[error("can't {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that can't be what it should be. Its text is not repeated.
    #[error("{} {what}; {}", .path.display(), next_step(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it: `is missing`, `holds no certificate`.
        what: &'static str,
    },
    /// Another process has the directory.
    #[error("another process is working in {}; try again when it is done", .path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// OpenSSL failed where it has no reason to.
    #[error("openssl can't {doing}")]
    Crypto {
        /// What was tried.
        doing: &'static str,
        /// Its words.
        source: ErrorStack,
    },
}

/// What an owner can do about a damaged file.
fn next_step(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("server.key" | "server.pem") => "remove it, and it is made anew",
        _ => {
            "restore it from a backup, or move the directory away: the next start makes a new authority, which devices \
             that trust the old one will not trust"
        }
    }
}

/// The authority's certificate and the servers'. The authority's key stays on disk; `Debug` shows no key.
pub struct Authority {
    dir: PathBuf,
    ca: X509,
    der: Vec<u8>,
    pem: String,
    server: Certificate,
}

impl Authority {
    /// The authority of this directory; made when there is none. The servers' certificate is made anew when it is for
    /// other names than these.
    ///
    /// # Errors
    /// A damaged directory, and what can't be read or written. Nothing is replaced that devices may trust.
    pub fn open_or_create(dir: impl Into<PathBuf>, names: &Names) -> Result<Self, AuthorityError> {
        let dir = Directory::lock(dir.into())?;
        if dir.is_empty()? {
            Self::make(&dir, names)?;
        }
        Self::read(&dir, names)
    }

    /// A new authority in the place of the old one, which no device trusts until it has been told (by the name service,
    /// or by pairing).
    ///
    /// # Errors
    /// What can't be written.
    pub fn renew(dir: impl Into<PathBuf>, names: &Names) -> Result<Self, AuthorityError> {
        let dir = Directory::lock(dir.into())?;
        Self::make(&dir, names)?;
        Self::read(&dir, names)
    }

    fn make(dir: &Directory, names: &Names) -> Result<(), AuthorityError> {
        let ca_key = issue::key()?;
        let ca = issue::authority(&ca_key)?;
        let server_key = issue::key()?;
        let server = issue::server(&ca, &ca_key, &server_key, names)?;
        dir.replace(&[
            (File::CaKey, key_pem(&ca_key)?),
            (File::CaPem, certificate_pem(&ca)?),
            (File::ServerKey, key_pem(&server_key)?),
            (File::ServerPem, certificate_pem(&server)?),
        ])
    }

    fn read(dir: &Directory, names: &Names) -> Result<Self, AuthorityError> {
        let ca_key = dir.key(File::CaKey)?.ok_or_else(|| dir.damaged(File::CaKey, "is missing"))?;
        let ca = dir.certificate(File::CaPem)?.ok_or_else(|| dir.damaged(File::CaPem, "is missing"))?;
        if !belongs(&ca, &ca_key) {
            return Err(dir.damaged(File::CaPem, "does not belong to ca.key"));
        }
        let server_key = dir.key(File::ServerKey)?;
        let leaf = dir.certificate(File::ServerPem)?;
        let (leaf, key) = match (leaf, server_key) {
            (Some(leaf), Some(key)) if belongs(&leaf, &key) && issue::fits(&leaf, &ca, names) => (leaf, key),
            // The key stays when only the names have changed, so that one file is replaced and nothing can tear.
            (_, Some(key)) => {
                let leaf = issue::server(&ca, &ca_key, &key, names)?;
                dir.replace(&[(File::ServerPem, certificate_pem(&leaf)?)])?;
                (leaf, key)
            }
            (_, None) => {
                let key = issue::key()?;
                let leaf = issue::server(&ca, &ca_key, &key, names)?;
                dir.replace(&[
                    (File::ServerKey, key_pem(&key)?),
                    (File::ServerPem, certificate_pem(&leaf)?),
                ])?;
                (leaf, key)
            }
        };
        let der = ca.to_der().map_err(crypto("write the certificate"))?;
        let pem = String::from_utf8_lossy(&certificate_pem(&ca)?).into_owned();
        let server = Certificate { leaf, between: Vec::new(), key };
        Ok(Self { dir: dir.path().to_owned(), ca, der, pem, server })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The authority's certificate as devices are given it in `caArr` (cloud.md 1.2), before base64.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The same in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the authority's certificate, as browsers and `openssl x509 -fingerprint -sha256` print it.
    pub fn fingerprint(&self) -> String {
        // The certificate was written as DER before; hashing it again has no reason to fail.
        let digest = self.ca.digest(MessageDigest::sha256());
        let bytes = digest.as_deref().unwrap_or_default();
        bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
    }

    /// What our servers show.
    pub const fn server(&self) -> &Certificate {
        &self.server
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({}, {})", self.dir.display(), self.fingerprint())
    }
}

fn crypto(doing: &'static str) -> impl Fn(ErrorStack) -> AuthorityError {
    move |source| AuthorityError::Crypto { doing, source }
}

fn belongs(certificate: &X509, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| key.public_eq(&public))
}

fn key_pem(key: &PKey<Private>) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    key.private_key_to_pem_pkcs8().map(Zeroizing::new).map_err(crypto("write a private key"))
}

fn certificate_pem(certificate: &X509) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    certificate.to_pem().map(Zeroizing::new).map_err(crypto("write a certificate"))
}
