//! Primitives and key derivations of `vectors/lan.json`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{counts, hex, vectors};
use landfall_proto::crypto::{self, Ecb, Gcm, MacKey};
use landfall_proto::lan::Version;

#[test]
fn public_keys_are_md5_of_their_seeds() {
    let v = vectors();
    let seeds = [(&v.crypto.udp_key, &v.fixtures.udp_key_hex), (&v.crypto.ap_key, &v.fixtures.ap_key_hex)];
    for (seed, fixture) in seeds {
        assert_eq!(hex(&crypto::md5(&[seed.seed_ascii.as_bytes()])), hex(&seed.md5_hex));
        assert_eq!(seed.md5_hex, *fixture);
    }
    let block = &v.crypto.ecb_first_block;
    let plain: [u8; 16] = block.plaintext_ascii.as_bytes().try_into().unwrap();
    assert_eq!(hex(&Ecb::new(&block.key_hex.array()).block(&plain)), hex(&block.ciphertext_hex));
    assert!(
        v.crypto.rest.is_empty(),
        "a kind of primitive that no test looks at: {:?}",
        v.crypto.rest.keys()
    );
}

#[test]
fn crc32_is_zlibs() {
    let cases = &vectors().crypto.crc32;
    let mut ran = 0;
    for case in cases {
        ran += 1;
        assert_eq!(hex(&crypto::crc32(&case.input_hex).to_be_bytes()), hex(&case.crc32_hex));
    }
    common::all(ran, cases.len(), counts::CRC32);
}

#[test]
fn signatures_of_3_1() {
    let cases = &vectors().crypto.sign_3_1;
    let mut ran = 0;
    for case in cases {
        ran += 1;
        let key: [u8; 16] = case.key_ascii.as_bytes().try_into().unwrap();
        let mut cipher = case.plaintext.clone().into_bytes();
        Ecb::new(&key).seal(&mut cipher, 0);
        let text = base64_simd::STANDARD.encode_to_string(&cipher);
        assert_eq!(text, case.ciphertext_base64);
        let digest = crypto::md5(&[b"data=", text.as_bytes(), b"||lpv=3.1||", &key]);
        assert_eq!(hex(&digest), hex(&case.md5_hex));
        assert_eq!(hex(&crypto::md5(&[case.signed_text.as_bytes()])), hex(&case.md5_hex));
        assert_eq!(hex(&digest)[8..24], case.slice_8_24);
        assert_eq!(case.payload_ascii, format!("3.1{}{text}", case.slice_8_24));
    }
    common::all(ran, cases.len(), counts::SIGNATURES);
}

/// The derivations of lan.md 4.1 from bare primitives; `negotiation` has its own test below.
#[test]
fn session_keys_from_primitives() {
    let cases = &vectors().crypto.session_keys;
    let mut ran = 0;
    for case in cases {
        ran += 1;
        let (key, client, device): ([u8; 16], [u8; 16], [u8; 16]) =
            (case.local_key_hex.array(), case.client_nonce_hex.array(), case.device_nonce_hex.array());
        let xor: [u8; 16] = std::array::from_fn(|i| client[i] ^ device[i]);
        assert_eq!(hex(&xor), hex(&case.xor_hex));
        let session = if case.version == Version::V3_4 {
            Ecb::new(&key).block(&xor)
        } else {
            let mut body = xor;
            let mut nonce = [0; 12];
            nonce.copy_from_slice(&client[..12]);
            Gcm::new(&key).seal(nonce, &[], &mut body);
            body
        };
        assert_eq!(hex(&session), hex(&case.session_key_hex), "{} {}", case.version, case.note);
    }
    common::all(ran, cases.len(), counts::SESSION_KEYS);
}

#[test]
fn proofs_of_the_nonces() {
    let mut seen = 0;
    for case in vectors().sessions.iter().filter(|c| c.version.dialect().negotiates) {
        let mac = MacKey::new(&case.local_key_hex.array());
        let pairs = [
            (&case.client_nonce_hex, &case.hmac_of_client_nonce_hex),
            (&case.device_nonce_hex, &case.hmac_of_device_nonce_hex),
        ];
        for (nonce, proof) in pairs {
            let (nonce, proof) = (nonce.as_ref().unwrap(), proof.as_ref().unwrap());
            assert_eq!(hex(&mac.code(nonce)), hex(proof), "{}", case.id);
            assert!(mac.verify(nonce, proof));
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn session_keys_of_the_negotiation() {
    use landfall_proto::id::LocalKey;
    use landfall_proto::lan::negotiation;
    let cases = &vectors().crypto.session_keys;
    let mut traps = 0;
    let mut ran = 0;
    for case in cases {
        ran += 1;
        let key = LocalKey::new(&*case.local_key_hex).unwrap();
        let session = negotiation::session_key(
            case.version,
            &key,
            &case.client_nonce_hex.array(),
            &case.device_nonce_hex.array(),
        );
        assert_eq!(hex(session.expose()), hex(&case.session_key_hex), "{} {}", case.version, case.note);
        assert_eq!(negotiation::is_zero_trap(&session), case.session_key_hex[0] == 0);
        traps += usize::from(negotiation::is_zero_trap(&session));
    }
    common::all(ran, cases.len(), counts::SESSION_KEYS);
    assert_eq!(traps, 3);
}
