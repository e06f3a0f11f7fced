//! The one file that names ciphers.
//!
//! Key schedules, HMAC states and GCM tables are made once per key and kept: on small messages their set-up
//! costs more than the message (see `benches/ciphers.rs`).

use std::fmt;

use aes::Aes128;
use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use ring::aead;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes of an AES block and of every key here.
pub const BLOCK: usize = 16;
/// Bytes of a GCM nonce.
pub const NONCE: usize = 12;
/// Bytes of a GCM tag.
pub const TAG: usize = 16;
/// Bytes of an HMAC-SHA256.
pub const MAC: usize = 32;

/// A key that belongs to one connection or datagram family. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Secret([u8; BLOCK]);

impl Secret {
    /// Takes the bytes.
    pub const fn new(bytes: [u8; BLOCK]) -> Self {
        Self(bytes)
    }
    /// The bytes.
    pub const fn expose(&self) -> &[u8; BLOCK] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

/// AES-128-ECB with a kept key schedule.
#[derive(Clone)]
pub struct Ecb(Aes128);

impl fmt::Debug for Ecb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecb(..)")
    }
}

impl Ecb {
    /// Expands a key.
    pub fn new(key: &[u8; BLOCK]) -> Self {
        Self(Aes128::new(key.into()))
    }

    /// Pads (PKCS#7: a full block when aligned) everything in `buf` from `start` on and encrypts it in place.
    pub fn seal(&self, buf: &mut Vec<u8>, start: usize) {
        let pad = BLOCK - (buf.len() - start) % BLOCK;
        // 1..=16 fits a byte.
        #[allow(clippy::cast_possible_truncation)]
        buf.resize(buf.len() + pad, pad as u8);
        self.0.encrypt_blocks_inout(InOutBuf::from(&mut buf[start..]).into_chunks().0);
    }

    /// Decrypts in place and returns the length without padding; `None` when the length or the padding is wrong.
    pub fn open(&self, buf: &mut [u8]) -> Option<usize> {
        if buf.is_empty() || !buf.len().is_multiple_of(BLOCK) {
            return None;
        }
        self.0.decrypt_blocks_inout(InOutBuf::from(&mut *buf).into_chunks().0);
        let pad = usize::from(*buf.last()?);
        if !(1..=BLOCK).contains(&pad) {
            return None;
        }
        let body = buf.len() - pad;
        buf[body..].iter().all(|b| usize::from(*b) == pad).then_some(body)
    }

    /// Encrypts whole blocks in place, chained (CBC), without padding.
    pub fn cbc_seal(&self, iv: &[u8; BLOCK], blocks: &mut [[u8; BLOCK]]) {
        let mut last = *iv;
        for block in blocks {
            for (b, l) in block.iter_mut().zip(last) {
                *b ^= l;
            }
            last = self.block(block);
            *block = last;
        }
    }

    /// Encrypts one block, without padding.
    pub fn block(&self, block: &[u8; BLOCK]) -> [u8; BLOCK] {
        let mut b = (*block).into();
        self.0.encrypt_block(&mut b);
        b.into()
    }
}

/// AES-128-GCM with kept tables.
pub struct Gcm(aead::LessSafeKey);

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm(..)")
    }
}

impl Gcm {
    /// Expands a key.
    pub fn new(key: &[u8; BLOCK]) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, key);
        // The only failure is a key of another length, and the type excludes it.
        #[allow(clippy::expect_used)]
        Self(aead::LessSafeKey::new(key.expect("16 bytes are an AES-128 key")))
    }

    /// Encrypts `body` in place and returns the tag. A nonce must never repeat under one key.
    pub fn seal(&self, nonce: [u8; NONCE], aad: &[u8], body: &mut [u8]) -> [u8; TAG] {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let mut out = [0; TAG];
        // Fails for messages of 2^36 bytes and more only; an all-zero tag would be rejected by the receiver.
        if let Ok(tag) = self.0.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), body) {
            out.copy_from_slice(tag.as_ref());
        }
        out
    }

    /// Decrypts ciphertext and tag (the last 16 bytes of `sealed`) in place; the plaintext, or `None` when the tag is wrong.
    pub fn open<'a>(&self, nonce: [u8; NONCE], aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, aead::Aad::from(aad), sealed).ok()
    }
}

/// HMAC-SHA256 with a kept state.
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

impl MacKey {
    /// Takes a key.
    pub fn new(key: &[u8; BLOCK]) -> Self {
        // HMAC takes keys of any length; a block is padded by hand so that nothing can fail.
        let mut padded = [0; 64];
        padded[..BLOCK].copy_from_slice(key);
        let mac = Self(<Hmac<Sha256> as KeyInit>::new(&padded.into()));
        padded.zeroize();
        mac
    }

    /// Takes a key of any length, as the cloud side has them.
    pub fn of_text(key: &[u8]) -> Self {
        let mut padded = [0; 64];
        if key.len() > padded.len() {
            padded[..MAC].copy_from_slice(&sha256(&[key]));
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        let mac = Self(<Hmac<Sha256> as KeyInit>::new(&padded.into()));
        padded.zeroize();
        mac
    }

    /// The code of a message.
    pub fn code(&self, message: &[u8]) -> [u8; MAC] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub fn verify(&self, message: &[u8], code: &[u8]) -> bool {
        same(&self.code(message), code)
    }
}

/// Equality in a time that depends on the lengths only.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// MD5 of the parts in a row. Tuya's signatures and key derivations use it.
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Characters 8 to 23 of the MD5 in hex: what the vendor's signatures and passwords are made of (cloud.md 2.5, 4.2, 4.3).
pub fn md5_middle(parts: &[&[u8]]) -> [u8; 16] {
    let hash = md5(parts);
    let mut middle = [0; 8];
    middle.copy_from_slice(&hash[4..12]);
    hex(&middle)
}

/// SHA-256 of the parts in a row.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The common CRC-32 (zlib).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Lower-case hex digits of some bytes.
pub fn hex<const N: usize, const M: usize>(bytes: &[u8; N]) -> [u8; M] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; M];
    for (pair, b) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(b >> 4)];
        pair[1] = DIGITS[usize::from(b & 15)];
    }
    out
}

/// Appends the upper-case hex digits of some bytes.
pub fn hex_upper(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2);
    for b in bytes {
        out.push(char::from(DIGITS[usize::from(b >> 4)]));
        out.push(char::from(DIGITS[usize::from(b & 15)]));
    }
}

/// The bytes that hex digits of either case stand for; `None` when a character is no digit or half a byte is left.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    const fn digit(c: u8) -> Option<u8> {
        match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            b'A'..=b'F' => Some(c - b'A' + 10),
            _ => None,
        }
    }
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecb_pads_a_full_block_when_aligned_and_rejects_bad_padding() {
        let ecb = Ecb::new(b"Kx7$v9Qm2#Lp4&Rz");
        for len in 0..50 {
            let mut buf = vec![7; 3 + len];
            ecb.seal(&mut buf, 3);
            assert_eq!(buf.len() - 3, (len / 16 + 1) * 16);
            assert_eq!(ecb.open(&mut buf[3..]), Some(len));
            assert_eq!(buf[3..3 + len], vec![7; len]);
        }
        assert_eq!(ecb.open(&mut []), None);
        assert_eq!(ecb.open(&mut [0; 17]), None);
        assert_eq!(ecb.open(&mut [0; 32]), None);
    }

    #[test]
    fn gcm_round_trip_and_tamper() {
        let gcm = Gcm::new(b"Kx7$v9Qm2#Lp4&Rz");
        let mut buf = b"body".to_vec();
        let tag = gcm.seal([1; 12], b"head", &mut buf);
        buf.extend(tag);
        assert_eq!(gcm.open([1; 12], b"head", &mut buf.clone()).unwrap(), b"body");
        assert!(gcm.open([1; 12], b"hea!", &mut buf.clone()).is_none());
        assert!(gcm.open([1; 12], b"head", &mut [0; 3]).is_none());
    }

    /// RFC 4231, test case 2, with its short key padded by zeros to a block (which HMAC does anyway).
    #[test]
    fn mac_is_hmac_sha256() {
        let mut key = [0; 16];
        key[..4].copy_from_slice(b"Jefe");
        let code = MacKey::new(&key).code(b"what do ya want for nothing?");
        let text: [u8; 64] = hex(&code);
        assert_eq!(&text, b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    /// RFC 4231, test cases 2 and 6 (a key longer than a block).
    #[test]
    fn mac_takes_keys_of_any_length() {
        let code: [u8; 64] = hex(&MacKey::of_text(b"Jefe").code(b"what do ya want for nothing?"));
        assert_eq!(&code, b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = MacKey::of_text(&[0xaa; 131]);
        let code: [u8; 64] = hex(&long.code(b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(&code, b"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    /// NIST SP 800-38A, F.2.1, its first two blocks.
    #[test]
    fn cbc_chains_blocks() {
        let block = |text: &str| <[u8; 16]>::try_from(unhex(text.as_bytes()).unwrap()).unwrap();
        let ecb = Ecb::new(&block("2b7e151628aed2a6abf7158809cf4f3c"));
        let mut blocks =
            [block("6bc1bee22e409f96e93d7e117393172a"), block("ae2d8a571e03ac9c9eb76fac45af8e51")];
        ecb.cbc_seal(&block("000102030405060708090a0b0c0d0e0f"), &mut blocks);
        assert_eq!(blocks[0], block("7649abac8119b246cee98e9b12e9197d"));
        assert_eq!(blocks[1], block("5086cb9b507219ee95db113a917678b2"));
    }

    #[test]
    fn hex_reads_back_and_refuses_what_is_none() {
        let mut text = String::new();
        hex_upper(&[0, 0x7f, 0xab], &mut text);
        assert_eq!(text, "007FAB");
        assert_eq!(unhex(b"007faB"), Some(vec![0, 0x7f, 0xab]));
        assert_eq!(unhex(b""), Some(vec![]));
        assert_eq!(unhex(b"007"), None);
        assert_eq!(unhex(b"0g"), None);
    }
}
