//! TLS as devices speak it: pre-shared keys and certificates on one port, TLS 1.2 only (cloud.md 3, sdk-observed.md 1).
//!
//! | module | does |
//! |---|---|
//! | [`acceptor`] | the server's side of a handshake; who supplies keys |
//! | [`authority`] | our certificate authority on disk, and the server's certificate |
//! | [`connector`] | the client's side |
//! | [`certificate`] | a chain and its key |
//! | [`stream`] | a finished handshake: what was agreed, and bytes |
//! | [`offer`] | what a client offered |
//! | [`error`] | why a handshake failed, and whose fault it was |
//!
//! OpenSSL does the work: no pure Rust library has the PSK suites of TLS 1.2 (docs/adr/0007). What its Rust binding
//! lacks is in `ffi`, the only file of the workspace that may hold `unsafe`.

pub mod acceptor;
pub mod authority;
pub mod certificate;
pub mod connector;
pub mod error;
mod ffi;
pub mod offer;
pub mod stream;

pub use acceptor::{Acceptor, PskKeys};
pub use authority::{Authority, AuthorityError, NameError, Names};
pub use certificate::Certificate;
pub use connector::Connector;
pub use error::{Moment, TlsError, UnknownIdentity};
pub use offer::{Offer, Suite, Version};
pub use stream::{TlsPeer, TlsStream};

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVersion};

/// Suites in the order in which we choose: the only one of PSK devices, then those of certificate devices
/// (cloud.md 3.1 and 3.2, sdk-observed.md 1 and 2).
const SUITES: &str = "PSK-AES128-CBC-SHA256:\
    ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256";

/// Longest plain text of the records that we send, in bytes. Devices with small buffers ask for it by an extension, or do
/// not ask and break (sdk-observed.md 2); those that ask for less get less.
const FRAGMENT: u16 = 4096;

/// What both sides of a connection have in common.
fn context(method: SslMethod) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContextBuilder::new(method)?;
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_cipher_list(SUITES)?;
    context.set_groups_list("P-256")?;
    context.set_options(
        SslOptions::ALL
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE
            // A device that names ChaCha20 first has no AES in hardware.
            | SslOptions::PRIORITIZE_CHACHA
            // Devices hang up without a word, and both HTTP and MQTT say by themselves where a message ends.
            | SslOptions::IGNORE_UNEXPECTED_EOF,
    );
    // Streams are written by tokio, which moves buffers; idle connections should keep none.
    context.set_mode(
        SslMode::AUTO_RETRY
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    ffi::set_max_send_fragment(&mut context, FRAGMENT)?;
    Ok(context)
}
