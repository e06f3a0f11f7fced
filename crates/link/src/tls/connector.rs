//! The client's side of a handshake: for tests, and for programs that play a device.

use std::fmt;
use std::pin::Pin;

use landfall_proto::psk::{Identity, Psk};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509VerifyResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

use super::{TlsError, TlsPeer, TlsStream, context};

/// Connects over TLS 1.2. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    context: SslContext,
    identity: Option<Identity>,
}

impl Connector {
    /// By a pre-shared key. Without `key` it is derived from the server's hint, which works for identities of type 1.
    ///
    /// # Errors
    /// OpenSSL has no memory.
    pub fn psk(identity: Identity, key: Option<Psk>) -> Result<Self, TlsError> {
        let setup = |e: ErrorStack| TlsError::setup("openssl refuses our settings", &e);
        let mut builder = context(SslMethod::tls_client()).map_err(setup)?;
        builder.set_cipher_list("PSK-AES128-CBC-SHA256").map_err(setup)?;
        let ours = identity.clone();
        builder.set_psk_client_callback(move |_ssl, hint, name, out| {
            let key = match &key {
                Some(key) => Some(key.clone()),
                None => ours.derive(hint.unwrap_or_default()).ok(),
            };
            let bytes = ours.as_bytes();
            // The identity ends with a zero here, and OpenSSL gave room for it.
            let (Some(key), Some((name, end))) = (key, name.split_at_mut_checked(bytes.len())) else {
                return Ok(0);
            };
            let (Some(end), Some(out)) = (end.first_mut(), out.get_mut(..key.expose().len())) else {
                return Ok(0);
            };
            name.copy_from_slice(bytes);
            *end = 0;
            out.copy_from_slice(key.expose());
            Ok(key.expose().len())
        });
        Ok(Self { context: builder.build(), identity: Some(identity) })
    }

    /// By the server's certificate, which must come from this authority (PEM) and be made out to the host.
    ///
    /// # Errors
    /// Text that holds no certificate.
    pub fn certificate(authority: &[u8]) -> Result<Self, TlsError> {
        let setup = |e: ErrorStack| TlsError::setup("openssl refuses our settings", &e);
        let mut builder = context(SslMethod::tls_client()).map_err(setup)?;
        let authority = X509::from_pem(authority)
            .map_err(|e| TlsError::setup("the authority's certificate can't be read", &e))?;
        builder.cert_store_mut().add_cert(authority).map_err(setup)?;
        builder.set_verify(SslVerifyMode::PEER);
        Ok(Self { context: builder.build(), identity: None })
    }

    /// Does the handshake with `host`, a name or an IP address; with PSK it may be empty. Dropping the future ends it.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let setup = |e: ErrorStack| TlsError::setup("openssl can't start a handshake", &e);
        let mut ssl = Ssl::new(&self.context).map_err(setup)?;
        match host.parse() {
            // A PSK server proves itself by the key, under whatever name.
            _ if host.is_empty() && self.identity.is_some() => {}
            Ok(ip) => ssl.param_mut().set_ip(ip).map_err(setup)?,
            Err(_) => {
                ssl.set_hostname(host).map_err(setup)?;
                ssl.param_mut().set_host(host).map_err(setup)?;
            }
        }
        let mut stream = SslStream::new(ssl, stream).map_err(setup)?;
        if let Err(e) = Pin::new(&mut stream).connect().await {
            let verdict = stream.ssl().verify_result();
            let verdict = (verdict != X509VerifyResult::OK).then(|| verdict.error_string());
            return Err(TlsError::of_client(&e, verdict));
        }
        let peer = match &self.identity {
            Some(identity) => TlsPeer::Psk { identity: identity.clone() },
            None => TlsPeer::Certificate { sni: Some(host.to_owned()) },
        };
        Ok(TlsStream::new(stream, peer))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.identity)
    }
}
