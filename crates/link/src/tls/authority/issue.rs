//! Keys and certificates.

use std::collections::BTreeSet;
use std::net::IpAddr;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef, X509Ref};

use super::{AuthorityError, Names, crypto};

/// RSA, because every list of suites that was seen has one with ECDHE-RSA in it, and a camera's has nothing else
/// (cloud.md 3.2); devices that also take ECDSA lose nothing, as checking an RSA signature is cheap.
const RSA_BITS: u32 = 2048;
/// Devices have no clock at boot: theirs starts at 1970, and a check of dates then fails with any later beginning.
const NOT_BEFORE: &str = "19700101000000Z";
/// The last moment that can be written in the short form of a date (RFC 5280 4.1.2.5), which every parser reads.
const NOT_AFTER: &str = "20491231235959Z";

/// A new private key.
pub(super) fn key() -> Result<PKey<Private>, AuthorityError> {
    Rsa::generate(RSA_BITS).and_then(PKey::from_rsa).map_err(crypto("make a key"))
}

/// The authority's own certificate.
pub(super) fn authority(key: &PKeyRef<Private>) -> Result<X509, AuthorityError> {
    let made = || -> Result<X509, ErrorStack> {
        // Its own name every time: a device that is given a new authority must not take it for the old one.
        let mut mark = BigNum::new()?;
        mark.rand(32, MsbOption::ONE, false)?;
        let name = name(&format!("Landfall authority {}", mark.to_hex_str()?.to_lowercase()))?;
        let mut builder = certificate(&name, &name, key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(id)?;
        builder.sign(key, MessageDigest::sha256())?;
        Ok(builder.build())
    };
    made().map_err(crypto("make the authority's certificate"))
}

/// A server's certificate for these names.
pub(super) fn server(
    ca: &X509Ref,
    ca_key: &PKeyRef<Private>,
    key: &PKeyRef<Private>,
    names: &Names,
) -> Result<X509, AuthorityError> {
    let made = || -> Result<X509, ErrorStack> {
        let mut builder = certificate(&*name("Landfall")?, ca.subject_name(), key)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder
            .append_extension(KeyUsage::new().critical().digital_signature().key_encipherment().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        let context = builder.x509v3_context(Some(ca), None);
        let id = SubjectKeyIdentifier::new().build(&context)?;
        let of = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        let mut alternative = SubjectAlternativeName::new();
        for dns in names.dns() {
            alternative.dns(&dns);
        }
        for ip in names.ips() {
            alternative.ip(&ip.to_string());
        }
        let has_names = !names.dns().is_empty();
        let alternative = if has_names { Some(alternative.build(&context)?) } else { None };
        builder.append_extension(id)?;
        builder.append_extension(of)?;
        if let Some(alternative) = alternative {
            builder.append_extension(alternative)?;
        }
        builder.sign(ca_key, MessageDigest::sha256())?;
        Ok(builder.build())
    };
    made().map_err(crypto("make the servers' certificate"))
}

/// Whether a server's certificate is of this authority and for exactly these names.
pub(super) fn fits(leaf: &X509Ref, ca: &X509Ref, names: &Names) -> bool {
    let signed = ca.public_key().and_then(|key| leaf.verify(&key)).unwrap_or(false);
    let mut dns = BTreeSet::new();
    let mut ips = BTreeSet::new();
    for name in leaf.subject_alt_names().into_iter().flatten() {
        if let Some(host) = name.dnsname() {
            dns.insert(host.to_owned());
        }
        match name.ipaddress() {
            Some(&[a, b, c, d]) => {
                ips.insert(IpAddr::from([a, b, c, d]));
            }
            Some(bytes) => {
                if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                    ips.insert(IpAddr::from(bytes));
                }
            }
            None => {}
        }
    }
    signed && dns == names.dns() && ips == *names.ips()
}

/// The fields that all certificates have.
fn certificate(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKeyRef<Private>,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    // 127 bits: positive, and 16 bytes long in DER.
    serial.rand(127, MsbOption::ONE, false)?;
    builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_not_before(&*Asn1Time::from_str_x509(NOT_BEFORE)?)?;
    builder.set_not_after(&*Asn1Time::from_str_x509(NOT_AFTER)?)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

fn name(common: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, common)?;
    Ok(builder.build())
}
