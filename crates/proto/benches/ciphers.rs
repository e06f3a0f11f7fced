//! Which generation of which cipher crate is the fastest on the small messages of this protocol.
//!
//! The first line of each table is what `src/crypto.rs` uses. The reasons behind the figures, and what follows from
//! them, are written down in `docs/adr/0006-why-not-the-newest-ciphers.md`.
//!
//! `cargo bench -p landfall-proto --bench ciphers`

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)] // a bench is a program that prints

mod common;

use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes_09::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit as _};
use base64::Engine;
use common::Contest;
use hmac::Mac;
use md5::Digest;
use std::hint::black_box;

const KEY: [u8; 16] = *b"Kx7$v9Qm2#Lp4&Rz";
const AAD: [u8; 14] = [7; 14];
const NONCE: [u8; 12] = [3; 12];

fn main() {
    ecb(16, "one block: 3.4 session keys");
    ecb(128, "an ordinary message");
    // 64 blocks fill the widest batch of aes 0.9; a block less leaves all of them to its one-at-a-time tail.
    ecb(1008, "63 blocks");
    ecb(1024, "64 blocks");
    key_setup();
    gcm(128);
    mac(160);
    md5_of(200);
    crc(150);
    base64_of(128);
}

fn ecb(len: usize, what: &str) {
    let old = aes::Aes128::new(&KEY.into());
    let new = aes_09::Aes128::new(&KEY.into());
    let mut buffers: Vec<Vec<u8>> = vec![vec![0x5a; len]; 6];
    let mut next = || buffers.pop().expect("a buffer per contestant");
    let (mut a, mut b, mut c, mut d, mut e, mut f) = (next(), next(), next(), next(), next(), next());

    let mut contest = Contest::new();
    contest
        .lane("aes 0.8 encrypt, all blocks in a call", || {
            old.encrypt_blocks_inout(InOutBuf::from(black_box(&mut a[..])).into_chunks().0);
        })
        .lane("aes 0.8 encrypt, block by block", || {
            for block in black_box(&mut b[..]).chunks_exact_mut(16) {
                old.encrypt_block(block.into());
            }
        })
        .lane("aes 0.9 encrypt, all blocks in a call", || {
            let (blocks, _) = aes_09::Block::slice_as_chunks_mut(black_box(&mut c[..]));
            new.encrypt_blocks(blocks);
        })
        .lane("aes 0.9 encrypt, block by block", || {
            let (blocks, _) = aes_09::Block::slice_as_chunks_mut(black_box(&mut d[..]));
            for block in blocks {
                new.encrypt_block(block);
            }
        })
        .lane("aes 0.8 decrypt, all blocks in a call", || {
            old.decrypt_blocks_inout(InOutBuf::from(black_box(&mut e[..])).into_chunks().0);
        })
        .lane("aes 0.9 decrypt, all blocks in a call", || {
            let (blocks, _) = aes_09::Block::slice_as_chunks_mut(black_box(&mut f[..]));
            new.decrypt_blocks(blocks);
        });
    contest.print(&format!("AES-128-ECB, {len} B ({what}), key schedule kept"));
}

fn key_setup() {
    let mut contest = Contest::new();
    contest
        .lane("aes 0.8, both directions", || aes::Aes128::new(black_box(&KEY).into()))
        .lane("aes 0.8, encryption only", || aes::Aes128Enc::new(black_box(&KEY).into()))
        .lane("aes 0.9, both directions", || aes_09::Aes128::new(black_box(&KEY).into()))
        .lane("aes 0.9, encryption only", || aes_09::Aes128Enc::new(black_box(&KEY).into()))
        .lane("ring AES-128-GCM", || {
            ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, black_box(&KEY))
                .map(ring::aead::LessSafeKey::new)
        })
        .lane("aes-gcm 0.10", || aes_gcm_010::Aes128Gcm::new(black_box(&KEY).into()))
        .lane("aes-gcm 0.11", || aes_gcm_011::Aes128Gcm::new(black_box(&KEY).into()))
        .lane("hmac 0.12 with sha2 0.10", || {
            <hmac::Hmac<sha2::Sha256> as KeyInit>::new_from_slice(black_box(&KEY))
        })
        .lane("hmac 0.13 with sha2 0.11", || {
            hmac_013::Hmac::<sha2_011::Sha256>::new_from_slice(black_box(&KEY))
        })
        .lane("ring HMAC-SHA256", || ring::hmac::Key::new(ring::hmac::HMAC_SHA256, black_box(&KEY)));
    contest.print("Key set-up, what a message costs when nothing is kept");
}

fn gcm(len: usize) {
    use aes_gcm_010::aead::AeadInPlace;
    use aes_gcm_011::aead::AeadInOut;

    let key = ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &KEY).expect("16 bytes");
    let ring = ring::aead::LessSafeKey::new(key);
    let ten = aes_gcm_010::Aes128Gcm::new(&KEY.into());
    let eleven = <aes_gcm_011::Aes128Gcm as aes_gcm_011::aead::KeyInit>::new(&KEY.into());
    let nonce = || ring::aead::Nonce::assume_unique_for_key(NONCE);

    let mut sealed = vec![0x5a; len];
    let tag =
        ring.seal_in_place_separate_tag(nonce(), ring::aead::Aad::from(AAD), &mut sealed).expect("seals");
    let whole = [&sealed[..], tag.as_ref()].concat();
    let tag: [u8; 16] = tag.as_ref().try_into().expect("16 bytes");

    let (mut a, mut b, mut c) = (vec![0x5a; len], vec![0x5a; len], vec![0x5a; len]);
    let mut contest = Contest::new();
    contest
        .lane("ring seal", || {
            let aad = ring::aead::Aad::from(black_box(AAD));
            ring.seal_in_place_separate_tag(nonce(), aad, black_box(&mut a[..])).expect("seals")
        })
        .lane("aes-gcm 0.10 seal", || {
            ten.encrypt_in_place_detached(&NONCE.into(), &black_box(AAD), black_box(&mut b[..]))
                .expect("seals")
        })
        .lane("aes-gcm 0.11 seal", || {
            let buffer = black_box(&mut c[..]).into();
            eleven.encrypt_inout_detached(&NONCE.into(), &black_box(AAD), buffer).expect("seals")
        });
    contest.print(&format!("AES-128-GCM, {len} B and 14 B beside it, key kept"));

    // Opening in place destroys the ciphertext: each contestant copies it first, like a codec that must keep its input.
    let (mut a, mut b, mut c) = (whole.clone(), sealed.clone(), sealed.clone());
    let mut contest = Contest::new();
    contest
        .lane("ring open", || {
            a.copy_from_slice(black_box(&whole));
            ring.open_in_place(nonce(), ring::aead::Aad::from(AAD), &mut a).expect("opens").len()
        })
        .lane("aes-gcm 0.10 open", || {
            b.copy_from_slice(black_box(&sealed));
            ten.decrypt_in_place_detached(&NONCE.into(), &AAD, &mut b, &tag.into()).expect("opens");
        })
        .lane("aes-gcm 0.11 open", || {
            c.copy_from_slice(black_box(&sealed));
            eleven
                .decrypt_inout_detached(&NONCE.into(), &AAD, (&mut c[..]).into(), &tag.into())
                .expect("opens");
        });
    contest.print(&format!("AES-128-GCM opening, {len} B and 14 B beside it, key kept"));
}

fn mac(len: usize) {
    let message = vec![0x5a; len];
    let old = <hmac::Hmac<sha2::Sha256> as KeyInit>::new_from_slice(&KEY).expect("any length");
    let new =
        <hmac_013::Hmac<sha2_011::Sha256> as hmac_013::KeyInit>::new_from_slice(&KEY).expect("any length");
    let ring = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &KEY);
    let mut contest = Contest::new();
    contest
        .lane("hmac 0.12 with sha2 0.10", || {
            let mut mac = old.clone();
            mac.update(black_box(&message));
            mac.finalize().into_bytes()
        })
        .lane("hmac 0.13 with sha2 0.11", || {
            use hmac_013::Mac;
            let mut mac = new.clone();
            mac.update(black_box(&message));
            mac.finalize().into_bytes()
        })
        .lane("ring", || ring::hmac::sign(&ring, black_box(&message)));
    contest.print(&format!("HMAC-SHA256, {len} B, state kept"));

    let mut contest = Contest::new();
    contest
        .lane("sha2 0.10", || <sha2::Sha256 as sha2::Digest>::digest(black_box(&message)))
        .lane("sha2 0.11", || <sha2_011::Sha256 as sha2_011::Digest>::digest(black_box(&message)))
        .lane("ring", || ring::digest::digest(&ring::digest::SHA256, black_box(&message)));
    contest.print(&format!("SHA-256, {len} B"));
}

fn md5_of(len: usize) {
    let message = vec![0x5a; len];
    let mut contest = Contest::new();
    contest
        .lane("md-5 0.10", || md5::Md5::digest(black_box(&message)))
        .lane("md-5 0.11", || <md_5_011::Md5 as md_5_011::Digest>::digest(black_box(&message)));
    contest.print(&format!("MD5, {len} B"));
}

fn crc(len: usize) {
    let message = vec![0x5a; len];
    let table = byte_table();
    let mut contest = Contest::new();
    contest.lane("crc32fast", || crc32fast::hash(black_box(&message))).lane("a table of bytes", || {
        !black_box(&message[..]).iter().fold(!0u32, |crc, b| (crc >> 8) ^ table[usize::from((crc as u8) ^ b)])
    });
    contest.print(&format!("CRC-32, {len} B"));
}

fn byte_table() -> [u32; 256] {
    std::array::from_fn(|i| {
        (0..8).fold(i as u32, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn base64_of(len: usize) {
    let bytes = vec![0x5a; len];
    let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let mut out = vec![0; text.len()];
    let mut back = vec![0; len + 3];
    let (mut out2, mut back2) = (out.clone(), back.clone());
    let mut contest = Contest::new();
    contest
        .lane("base64-simd encode", || {
            let out = base64_simd::Out::from_slice(&mut out[..]);
            base64_simd::STANDARD.encode(black_box(&bytes), out).len()
        })
        .lane("base64 encode", || {
            base64::engine::general_purpose::STANDARD
                .encode_slice(black_box(&bytes), &mut out2)
                .expect("fits")
        })
        .lane("base64-simd decode", || {
            let out = base64_simd::Out::from_slice(&mut back[..]);
            base64_simd::STANDARD.decode(black_box(text.as_bytes()), out).expect("decodes").len()
        })
        .lane("base64 decode", || {
            base64::engine::general_purpose::STANDARD
                .decode_slice(black_box(&text), &mut back2)
                .expect("decodes")
        });
    contest.print(&format!("base64, {len} B"));
}
