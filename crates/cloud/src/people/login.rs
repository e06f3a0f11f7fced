//! CONNECT on its way into the embedded broker: the person's password stays here, the broker sees the secret of this
//! start in its place.

use std::fmt;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use landfall_proto::crypto;
use rmqtt_codec::types::MQTT_LEVEL_31;
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

/// Random bytes of a [`Secret`].
const SECRET: usize = 32;

/// What a connection shows to come from us: made anew at each start, and never printed.
#[derive(Clone)]
pub struct Secret(Bytes);

impl Secret {
    /// From the operating system's random source.
    ///
    /// # Errors
    /// It has none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; SECRET];
        getrandom::fill(&mut bytes)?;
        Ok(Self(Bytes::copy_from_slice(&bytes)))
    }

    /// Whether this is it, in constant time.
    pub fn is(&self, given: &[u8]) -> bool {
        crypto::same(&self.0, given)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a CONNECT is not handed on.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It does not stand at the beginning, or not as a whole.
    #[error("the bytes do not begin with a whole CONNECT")]
    NoConnect,
    /// It can't be read.
    #[error("the CONNECT can't be read")]
    Malformed(#[from] rmqtt_codec::error::DecodeError),
    /// It can't be written again.
    #[error("the CONNECT can't be written")]
    Unwritable(#[from] rmqtt_codec::error::EncodeError),
    /// Without a name nobody is a person.
    #[error("the CONNECT names no user")]
    Nameless,
}

/// A CONNECT with the secret in place of its password, and what followed it.
#[derive(Clone)]
pub struct Login {
    /// The person.
    pub user: ByteString,
    /// Its client id; may be empty.
    pub client_id: ByteString,
    /// What goes to the broker.
    pub bytes: Bytes,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?} as {:?}, {} bytes)", self.user, self.client_id, self.bytes.len())
    }
}

impl Login {
    /// Rewrites what a client sent so far.
    ///
    /// # Errors
    /// No CONNECT of a person stands at its beginning.
    pub fn rewrite(read: &[u8], secret: &Secret) -> Result<Self, LoginError> {
        let mut source = BytesMut::from(read);
        let mut out = BytesMut::with_capacity(read.len() + SECRET);
        // No CONNECT longer than what is there: a header that promises more is no whole CONNECT.
        let limit = u32::try_from(read.len()).unwrap_or(u32::MAX);
        let (user, client_id) = match VersionCodec.decode(&mut source)?.ok_or(LoginError::NoConnect)? {
            ProtocolVersion::MQTT3 => {
                let mut codec = v3::Codec::new(limit);
                let Some((v3::Packet::Connect(mut connect), _)) = codec.decode(&mut source)? else {
                    return Err(LoginError::NoConnect);
                };
                let user = connect.username.clone().ok_or(LoginError::Nameless)?;
                let named = (user, connect.client_id.clone());
                let level = connect.protocol.level();
                connect.password = Some(secret.0.clone());
                codec.encode(v3::Packet::Connect(connect), &mut out)?;
                if level == MQTT_LEVEL_31 {
                    set_level_3_1(&mut out);
                }
                named
            }
            ProtocolVersion::MQTT5 => {
                let mut codec = v5::Codec::new(limit, 0);
                let Some((v5::Packet::Connect(mut connect), _)) = codec.decode(&mut source)? else {
                    return Err(LoginError::NoConnect);
                };
                let user = connect.username.clone().ok_or(LoginError::Nameless)?;
                let named = (user, connect.client_id.clone());
                connect.password = Some(secret.0.clone());
                codec.encode(v5::Packet::Connect(connect), &mut out)?;
                named
            }
        };
        out.extend_from_slice(&source);
        Ok(Self { user, client_id, bytes: out.freeze() })
    }
}

/// The codec writes level 4 under the name of 3.1 too; puts the 3 back that stood there.
fn set_level_3_1(connect: &mut BytesMut) {
    const NAME: &[u8] = b"MQIsdp";
    // The name follows the fixed header of two to five bytes and its own length of two.
    let Some(name) = connect.windows(NAME.len()).take(8).position(|window| window == NAME) else { return };
    if let Some(level) = connect.get_mut(name + NAME.len()) {
        *level = MQTT_LEVEL_31;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONNECT with user `ann`, password `pw`, and for 3.x a will.
    fn connect(name: &str, level: u8) -> Vec<u8> {
        let mut body = vec![0, name.len() as u8];
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[level, 0b1110_1110, 0, 60]);
        if level == 5 {
            body.push(0);
        }
        body.extend_from_slice(b"\0\x02c1");
        if level == 5 {
            body.push(0);
        }
        body.extend_from_slice(b"\0\x03w/t\0\x04gone\0\x03ann\0\x02pw");
        let mut packet = vec![0x10, body.len() as u8];
        packet.extend_from_slice(&body);
        packet
    }

    #[test]
    fn the_password_is_replaced_and_the_rest_kept_in_every_version() {
        let secret = Secret::random().unwrap();
        for (name, level) in [("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)] {
            let original = connect(name, level);
            let mut read = original.clone();
            read.extend_from_slice(b"\xc0\x00");
            let login = Login::rewrite(&read, &secret).unwrap();
            assert_eq!((&*login.user, &*login.client_id), ("ann", "c1"));

            let mut expected = original.clone();
            expected.truncate(original.len() - 4);
            expected.extend_from_slice(&[0, SECRET as u8]);
            expected.extend_from_slice(&secret.0);
            expected[1] += SECRET as u8 - 2;
            expected.extend_from_slice(b"\xc0\x00");
            assert_eq!(login.bytes, expected, "{name} {level}");
        }
    }

    #[test]
    fn whatever_is_no_whole_connect_of_a_person_is_refused() {
        let secret = Secret::random().unwrap();
        let whole = connect("MQTT", 4);
        for len in 0..whole.len() {
            assert!(Login::rewrite(&whole[..len], &secret).is_err(), "{len}");
        }
        for bad in [
            &b"\xc0\x00"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x10\xff\xff\xff\xff\x7f",
            b"\x16\x03\x01\x02\x00\x01",
        ] {
            assert!(Login::rewrite(bad, &secret).is_err());
        }
        let nameless = b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02c1";
        assert!(matches!(Login::rewrite(nameless, &secret), Err(LoginError::Nameless)));
    }

    #[test]
    fn secrets_differ_and_do_not_print() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert!(one.is(&one.0) && !one.is(&other.0) && !one.is(b"") && !one.is(&one.0[..SECRET - 1]));
        assert_eq!(format!("{one:?}"), "Secret(..)");
        let login = Login::rewrite(&connect("MQTT", 4), &one).unwrap();
        assert_eq!(format!("{login:?}"), format!("Login(\"ann\" as \"c1\", {} bytes)", login.bytes.len()));
    }
}
