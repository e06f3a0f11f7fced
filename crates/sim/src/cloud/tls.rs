//! TLS as devices speak it: version 1.2 with a pre-shared key and one cipher suite (cloud.md 3.1). The one file of this
//! crate that names the TLS library.

use std::io;
use std::pin::Pin;

use openssl::ssl::{SslConnector, SslMethod, SslOptions, SslVerifyMode, SslVersion};
use tokio_openssl::SslStream;

use super::dial::Stream;
use super::place::PskLogin;

/// `TLS_PSK_WITH_AES_128_CBC_SHA256`, in the library's words.
const SUITE: &str = "PSK-AES128-CBC-SHA256";

/// Puts TLS on top of a connection. The caller limits the time.
///
/// # Errors
/// The server speaks another TLS, sends no hint where the key needs one, or has another key.
pub(super) async fn connect(stream: Box<dyn Stream>, login: PskLogin) -> io::Result<Box<dyn Stream>> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list(SUITE)?;
    builder.set_options(SslOptions::NO_TICKET);
    // There is no certificate to verify.
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_psk_client_callback(move |_, hint, identity, key| {
        let bytes = login.identity.as_bytes();
        let Some(psk) = login.key(hint) else {
            tracing::debug!("the server sent no hint that a key could be derived from");
            return Ok(0);
        };
        let psk = psk.expose();
        // The library wants a C string.
        let room = identity.len() > bytes.len() && key.len() >= psk.len();
        let (Some(to), Some(key_to)) = (identity.get_mut(..bytes.len()), key.get_mut(..psk.len())) else {
            return Ok(0);
        };
        if !room {
            return Ok(0);
        }
        to.copy_from_slice(bytes);
        key_to.copy_from_slice(psk);
        if let Some(end) = identity.get_mut(bytes.len()) {
            *end = 0;
        }
        Ok(psk.len())
    });
    let mut config = builder.build().configure()?;
    config.set_use_server_name_indication(false);
    config.set_verify_hostname(false);
    let ssl = config.into_ssl("")?;
    let mut stream = SslStream::new(ssl, stream)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(Box::new(stream))
}
