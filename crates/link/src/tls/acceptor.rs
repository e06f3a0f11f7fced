//! The server's side of a handshake.

use std::ffi::CString;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use landfall_proto::psk::{Identity, Psk, PskType};
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{ClientHelloResponse, Ssl, SslContext, SslMethod, SslRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

use super::error::{Noted, TlsError, UnknownIdentity};
use super::offer::Offer;
use super::stream::{self, TlsPeer, TlsStream};
use super::{Certificate, context, ffi};

/// Who knows the keys of devices. Asked in the middle of a handshake: it must answer at once, from memory.
pub trait PskKeys: Send + Sync + 'static {
    /// The key for this identity. `None`: unknown. For identities of type 1 that is the usual answer, as their key
    /// follows from the identity and the hint; the acceptor derives it. For type 2 it ends the handshake with the alert
    /// `unknown_psk_identity`.
    fn key(&self, identity: &Identity) -> Option<Psk>;
}

/// Knows no key: devices of type 1 get in, nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct DerivedOnly;

impl PskKeys for DerivedOnly {
    fn key(&self, _identity: &Identity) -> Option<Psk> {
        None
    }
}

/// What a handshake has shown so far is kept beside OpenSSL's connection.
type Notes = Arc<Mutex<Noted>>;

/// The place of the notes. Making it fails only when memory is out.
static NOTES: LazyLock<Result<Index<Ssl, Notes>, ErrorStack>> = LazyLock::new(Ssl::new_ex_index);

/// Accepts TLS 1.2 by PSK, by certificate, or by both on one port. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    context: SslContext,
    notes: Index<Ssl, Notes>,
    psk: bool,
    certificate: bool,
}

impl Acceptor {
    /// An acceptor for devices with these keys, and for those that want this certificate. `hint` is what PSK devices
    /// make their key from: [`landfall_proto::psk::HINT`], nothing else in real life.
    ///
    /// # Errors
    /// Neither keys nor certificate; a hint that is shorter than 16 bytes, longer than 256 or has a zero in it; a
    /// certificate that OpenSSL won't have.
    pub fn new(
        keys: Option<Arc<dyn PskKeys>>,
        certificate: Option<Certificate>,
        hint: &str,
    ) -> Result<Self, TlsError> {
        let bad = |what| TlsError::Setup { what, why: String::new() };
        let notes = match &*NOTES {
            Ok(index) => *index,
            Err(e) => return Err(TlsError::setup("openssl has no memory", e)),
        };
        let (psk, with_certificate) = (keys.is_some(), certificate.is_some());
        if !psk && !with_certificate {
            return Err(bad("an acceptor needs psk keys or a certificate"));
        }
        let failed = |what| move |e: ErrorStack| TlsError::setup(what, &e);
        let mut builder = context(SslMethod::tls_server()).map_err(failed("openssl refuses our settings"))?;
        if let Some(Certificate { leaf, between, key }) = certificate {
            builder.set_certificate(&leaf).map_err(failed("openssl refuses the certificate"))?;
            for above in between {
                builder.add_extra_chain_cert(above).map_err(failed("openssl refuses the chain"))?;
            }
            builder.set_private_key(&key).map_err(failed("openssl refuses the private key"))?;
        }
        if let Some(keys) = keys {
            if hint.len() < 16 {
                return Err(bad("a psk hint has at least 16 bytes"));
            }
            let text = CString::new(hint).map_err(|_| bad("a psk hint has no zero byte"))?;
            ffi::set_psk_identity_hint(&mut builder, &text)
                .map_err(failed("openssl refuses the psk hint"))?;
            let hint: Box<[u8]> = hint.as_bytes().into();
            builder.set_psk_server_callback(move |ssl, identity, out| {
                let found = find_key(&*keys, &hint, identity.unwrap_or_default());
                let len = found.as_ref().map_or(Some(0), |(_, psk)| fill(out, psk.expose()));
                note(ssl, notes, |noted| noted.identity = Some(found.map(|(identity, _)| identity)));
                // No key, or one that is too long for OpenSSL: the alert is unknown_psk_identity.
                Ok(len.unwrap_or(0))
            });
        }
        builder.set_client_hello_callback(move |ssl, _alert| {
            let offer = Offer::of(ssl);
            note(ssl, notes, |noted| noted.offer = Some(offer));
            Ok(ClientHelloResponse::SUCCESS)
        });
        Ok(Self { context: builder.build(), notes, psk, certificate: with_certificate })
    }

    /// Does the handshake. It has no time limit of its own; dropping the future ends it and closes the stream.
    ///
    /// # Errors
    /// What went wrong, and whose fault it was.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let notes = Notes::default();
        let setup = |e: ErrorStack| TlsError::setup("openssl can't start a handshake", &e);
        let mut ssl = Ssl::new(&self.context).map_err(setup)?;
        ssl.set_ex_data(self.notes, notes.clone());
        let mut stream = SslStream::new(ssl, stream).map_err(setup)?;
        let ended = Pin::new(&mut stream).accept().await;
        let noted = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(e) = ended {
            return Err(TlsError::of_server(&e, noted, self.certificate));
        }
        let peer = match noted.identity {
            Some(Ok(identity)) => TlsPeer::Psk { identity },
            _ => TlsPeer::Certificate { sni: stream::sni(stream.ssl()) },
        };
        Ok(TlsStream::new(stream, peer))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor {{ psk: {}, certificate: {} }}", self.psk, self.certificate)
    }
}

/// The identity behind these bytes and its key.
fn find_key(keys: &dyn PskKeys, hint: &[u8], bytes: &[u8]) -> Result<(Identity, Psk), UnknownIdentity> {
    let identity = Identity::parse(bytes).map_err(UnknownIdentity::Malformed)?;
    let unknown = UnknownIdentity::NoKey(identity.device());
    let key = match (keys.key(&identity), identity.kind()) {
        (Some(key), _) => Some(key),
        // The hint was checked to be long enough.
        (None, PskType::One) => identity.derive(hint).ok(),
        (None, PskType::Two) => None,
    };
    key.map(|key| (identity, key)).ok_or(unknown)
}

/// Puts the key into OpenSSL's buffer, which it wipes; its length, or `None` if it does not fit.
fn fill(out: &mut [u8], key: &[u8]) -> Option<usize> {
    out.get_mut(..key.len())?.copy_from_slice(key);
    Some(key.len())
}

fn note(ssl: &SslRef, at: Index<Ssl, Notes>, change: impl FnOnce(&mut Noted)) {
    // Missing only when somebody else made this connection from our context, which nobody can.
    if let Some(notes) = ssl.ex_data(at) {
        change(&mut notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
