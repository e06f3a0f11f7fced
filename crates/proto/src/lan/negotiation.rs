//! Session keys of 3.4 and 3.5 (lan.md 4). Pure arithmetic on nonces; the sessions decide when.

use super::version::{Framing, Version};
use crate::crypto::{self, Ecb, Gcm, MAC, MacKey, NONCE, Secret};
use crate::id::LocalKey;

/// Bytes of either nonce.
pub const NONCE_LEN: usize = 16;
/// Bytes of a RESP body: device nonce and proof.
pub const RESP_LEN: usize = NONCE_LEN + MAC;

/// The proof that its sender knows the local key and saw the nonce.
pub fn proof(key: &LocalKey, nonce: &[u8; NONCE_LEN]) -> [u8; MAC] {
    MacKey::new(key.expose()).code(nonce)
}

/// The session key: XOR of the nonces, encrypted under the local key; 3.4 by one ECB block, 3.5 by GCM with the first
/// 12 bytes of the client's nonce, without the tag (lan.md 4.1).
pub fn session_key(
    version: Version,
    key: &LocalKey,
    client: &[u8; NONCE_LEN],
    device: &[u8; NONCE_LEN],
) -> Secret {
    let mut x = [0; NONCE_LEN];
    for (x, (c, d)) in x.iter_mut().zip(client.iter().zip(device)) {
        *x = c ^ d;
    }
    if version.dialect().framing == Framing::Gcm {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&client[..NONCE]);
        Gcm::new(key.expose()).seal(nonce, &[], &mut x);
    } else {
        x = Ecb::new(key.expose()).block(&x);
    }
    Secret::new(x)
}

/// Whether the vendor's code would take this key for "no session key" (lan.md 4.4). 1 in 256 is like that.
pub fn is_zero_trap(key: &Secret) -> bool {
    key.expose()[0] == 0
}

/// Why a RESP is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// Less than 48 bytes.
    #[error("its answer is too short")]
    Short,
    /// The proof over our nonce is wrong.
    #[error("its proof of the local key is wrong")]
    Proof,
}

/// Checks a RESP body and returns the device's nonce.
///
/// # Errors
/// Too short, or without the right proof.
pub fn check_resp(
    key: &LocalKey,
    client: &[u8; NONCE_LEN],
    body: &[u8],
) -> Result<[u8; NONCE_LEN], RespError> {
    let (nonce, rest) = body.split_first_chunk::<NONCE_LEN>().ok_or(RespError::Short)?;
    let code = rest.get(..MAC).ok_or(RespError::Short)?;
    if crypto::same(&proof(key, client), code) { Ok(*nonce) } else { Err(RespError::Proof) }
}

/// Checks a FINISH body (device side).
pub fn check_finish(key: &LocalKey, device: &[u8; NONCE_LEN], body: &[u8]) -> bool {
    body.get(..MAC).is_some_and(|code| crypto::same(&proof(key, device), code))
}
