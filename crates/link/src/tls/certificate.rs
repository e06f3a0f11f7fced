//! A certificate chain and its key.

use std::fmt;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::TlsError;

/// What a server shows: its certificate, those between it and its authority, and the key. `Debug` shows no key.
#[derive(Clone)]
pub struct Certificate {
    pub(super) leaf: X509,
    pub(super) between: Vec<X509>,
    pub(super) key: PKey<Private>,
}

impl Certificate {
    /// From PEM: the chain with the server's certificate first, and its private key.
    ///
    /// # Errors
    /// Text that is no PEM, an empty chain, a key that belongs to another certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let mut chain = X509::stack_from_pem(chain)
            .map_err(|e| TlsError::setup("the certificate can't be read", &e))?
            .into_iter();
        let Some(leaf) = chain.next() else {
            return Err(TlsError::Setup { what: "there is no certificate in the text", why: String::new() });
        };
        // OpenSSL would ask on the terminal for the password of an encrypted key.
        let key = PKey::private_key_from_pem_callback(key, |_| Ok(0))
            .map_err(|e| TlsError::setup("the private key can't be read", &e))?;
        let of_leaf =
            leaf.public_key().map_err(|e| TlsError::setup("the certificate holds no usable key", &e))?;
        if !key.public_eq(&of_leaf) {
            let what = "the private key belongs to another certificate";
            return Err(TlsError::Setup { what, why: String::new() });
        }
        Ok(Self { leaf, between: chain.collect(), key })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?}, {} above it)", self.leaf.subject_name(), self.between.len())
    }
}
