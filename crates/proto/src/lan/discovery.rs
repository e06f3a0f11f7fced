//! Discovery datagrams in all their forms (lan.md 6).

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;

use super::codec::{Codec, Form, Incoming, OpenError, Outgoing};
use super::command::Command;
use super::frame::{FrameReader, FramingError, Item, PREFIX_66, PREFIX_AA};
use super::version::{Framing, Version};
use crate::crypto;
use crate::id::{DeviceId, ProductId, Uuid};
use crate::{Entropy, Role, json};

/// Where 3.1 devices announce themselves, in clear.
pub const PORT_CLEAR: u16 = 6666;
/// Where 3.2 to 3.5 devices announce themselves.
pub const PORT_ENCRYPTED: u16 = 6667;
/// Where clients ask and devices answer.
pub const PORT_ASK: u16 = 7000;
/// Longest datagram that is read. Real ones have some 200 bytes.
pub const MAX_DATAGRAM: usize = 2048;

/// The discovery key is MD5 of this text (lan.md 6.1). It is public.
const KEY_SEED: &[u8] = b"yGAdlopoPVldABfn";
/// Likewise of devices in access-point pairing mode.
const AP_KEY_SEED: &[u8] = b"OXLvslCvUxcTPLGO";

struct Keys {
    /// 55AA datagrams are those of 3.3: ECB and CRC, also for a 3.4 device.
    ecb: Codec,
    gcm: Codec,
    ap: Codec,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = crypto::md5(&[KEY_SEED]);
    Keys {
        ecb: Codec::new(Version::V3_3, &key),
        gcm: Codec::new(Version::V3_5, &key),
        ap: Codec::new(Version::V3_5, &crypto::md5(&[AP_KEY_SEED])),
    }
});

/// A device's word about itself. Nothing in it is authentic: the key of these datagrams is public (lan.md 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// Device id; the uuid while it is not paired.
    pub id: DeviceId,
    /// The address it claims.
    pub ip: Option<Ipv4Addr>,
    /// Hardware id, newer firmware only.
    pub uuid: Option<Uuid>,
    /// Product.
    pub product_id: Option<ProductId>,
    /// Version; `None` when missing or unknown.
    pub version: Option<Version>,
    /// The version text as sent, at most 16 characters.
    pub version_text: Option<String>,
    /// 0 not paired, 1 pairing, 2 paired.
    pub active: Option<u32>,
    /// Whether the LAN channel is encrypted.
    pub encrypt: Option<bool>,
    /// Number of connected LAN clients, newer firmware only.
    pub clients: Option<u32>,
    /// Announced by a device in access-point pairing mode.
    pub access_point: bool,
}

impl Beacon {
    /// A paired device with the keys that every client needs (lan.md 6.6).
    pub fn new(id: DeviceId, version: Version) -> Self {
        Self {
            id,
            ip: None,
            uuid: None,
            product_id: None,
            version: Some(version),
            version_text: Some(version.as_str().to_owned()),
            active: Some(2),
            encrypt: Some(true),
            clients: None,
            access_point: false,
        }
    }
}

/// A datagram understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// A device.
    Beacon(Beacon),
    /// A client asking; answer to this address, port 7000.
    Ask {
        /// Where the asker wants the answer.
        ip: Ipv4Addr,
    },
}

/// Why a datagram was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// No known prefix, or nothing at all.
    #[error("not a discovery datagram ({0} bytes)")]
    Foreign(usize),
    /// It ends before its length says.
    #[error("truncated datagram ({0} bytes)")]
    Truncated(usize),
    /// Longer than any real one.
    #[error("datagram of {0} bytes, more than {MAX_DATAGRAM}")]
    TooLong(usize),
    /// Damaged.
    #[error(transparent)]
    Damaged(#[from] FramingError),
    /// Not under the discovery key.
    #[error("a datagram that does not decrypt under the discovery key")]
    Undecryptable,
    /// No JSON, or not what a beacon needs.
    #[error("datagram content: {0}")]
    Content(String),
}

impl From<OpenError> for DatagramError {
    fn from(e: OpenError) -> Self {
        match e {
            OpenError::Integrity(e) => Self::Damaged(e),
            OpenError::Undecryptable { .. } => Self::Undecryptable,
        }
    }
}

/// Reads a datagram of ports 6666, 6667 or 7000. The command is not looked at: 00, 13 and 23 are accepted alike.
///
/// # Errors
/// Truncated, damaged, or not the discovery protocol.
pub fn parse(datagram: &[u8]) -> Result<Datagram, DatagramError> {
    let n = datagram.len();
    if n > MAX_DATAGRAM {
        return Err(DatagramError::TooLong(n));
    }
    match datagram.first_chunk::<4>() {
        Some(&PREFIX_AA) => open(&KEYS.ecb, Framing::AaCrc, datagram, |m| content(m.body, false)),
        Some(&PREFIX_66) => match open(&KEYS.gcm, Framing::Gcm, datagram, |m| content(m.body, false)) {
            Err(DatagramError::Damaged(FramingError::TagMismatch)) => {
                open(&KEYS.ap, Framing::Gcm, datagram, |m| content(m.body, true))
            }
            other => other,
        },
        _ => Err(DatagramError::Foreign(n)),
    }
}

fn open<T>(
    codec: &Codec,
    framing: Framing,
    datagram: &[u8],
    then: impl FnOnce(Incoming<'_>) -> Result<T, DatagramError>,
) -> Result<T, DatagramError> {
    let mut reader = FrameReader::new(framing, u32::try_from(MAX_DATAGRAM).unwrap_or(u32::MAX));
    reader.push(datagram);
    match reader.next_item() {
        // `Device` role: a retcode is dropped where there is one; a client's question starts with its JSON.
        Some(Item::Frame(frame)) => then(codec.open(Role::Device, frame)?),
        Some(Item::Error(e)) => Err(e.into()),
        None => Err(DatagramError::Truncated(datagram.len())),
    }
}

fn content(body: &[u8], access_point: bool) -> Result<Datagram, DatagramError> {
    let value: Value = json::parse(body).map_err(|e| DatagramError::Content(e.to_string()))?;
    let Value::Object(map) = value else {
        return Err(DatagramError::Content("not a JSON object".to_owned()));
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str);
    let small = |key: &str| map.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let ip = text("ip").and_then(|t| t.parse().ok());
    let id = text("gwId").or_else(|| text("devId")).or_else(|| text("uuid"));
    let Some(id) = id else {
        return match (text("from"), ip) {
            (Some(_), Some(ip)) => Ok(Datagram::Ask { ip }),
            _ => Err(DatagramError::Content("neither a device id nor a question".to_owned())),
        };
    };
    let version_text = text("version").map(|t| t.chars().take(16).collect::<String>());
    Ok(Datagram::Beacon(Beacon {
        id: DeviceId::new(id).map_err(|e| DatagramError::Content(e.to_string()))?,
        ip,
        uuid: text("uuid").and_then(|t| Uuid::new(t).ok()),
        product_id: text("productKey").and_then(|t| ProductId::new(t).ok()),
        version: version_text.as_deref().and_then(|t| t.parse().ok()),
        version_text,
        active: small("active"),
        encrypt: map.get("encrypt").and_then(Value::as_bool),
        clients: small("clientLink"),
        access_point,
    }))
}

#[derive(Serialize)]
struct Announcement<'a> {
    ip: String,
    #[serde(rename = "gwId")]
    gw_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
    active: u32,
    // The misspelling is the common form (lan.md 6.3).
    ablilty: u32,
    encrypt: bool,
    #[serde(rename = "productKey")]
    product_key: &'a str,
    version: &'a str,
    #[serde(rename = "clientLink", skip_serializing_if = "Option::is_none")]
    client_link: Option<u32>,
}

/// A beacon in the form of its version: 3.1 clear, 3.2 and 3.3 ECB 0x13, 3.4 ECB 0x23, 3.5 GCM 0x13 (lan.md 6.6).
/// Always with retcode 0: tuyapi can't read it otherwise. Port: [`port_of`]; the answer to a question has this form too.
pub fn announce(beacon: &Beacon, version: Version, entropy: &mut dyn Entropy) -> Vec<u8> {
    let text = Announcement {
        ip: beacon.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        gw_id: beacon.id.as_str(),
        uuid: beacon.uuid.as_ref().map(Uuid::as_str),
        active: beacon.active.unwrap_or(2),
        ablilty: 0,
        encrypt: beacon.encrypt.unwrap_or(true),
        product_key: beacon.product_id.as_ref().map_or("", ProductId::as_str),
        version: version.as_str(),
        client_link: beacon.clients,
    };
    let (codec, command, form) = match version {
        Version::V3_1 => (&KEYS.ecb, Command::UDP, Form::Clear),
        Version::V3_2 | Version::V3_3 => (&KEYS.ecb, Command::UDP_NEW, Form::Cipher),
        Version::V3_4 => (&KEYS.ecb, Command::BROADCAST_LPV34, Form::Cipher),
        Version::V3_5 => (&KEYS.gcm, Command::UDP_NEW, Form::Cipher),
    };
    datagram(codec, command, Some(0), form, &text, entropy)
}

/// The port on which a device of this version announces itself.
pub const fn port_of(version: Version) -> u16 {
    match version {
        Version::V3_1 => PORT_CLEAR,
        _ => PORT_ENCRYPTED,
    }
}

/// The client's question who is there, to be broadcast to port 7000. `ip` is the sender's own address: answers go there,
/// not to the source of the datagram.
pub fn ask(ip: Ipv4Addr, entropy: &mut dyn Entropy) -> Vec<u8> {
    #[derive(Serialize)]
    struct Ask {
        from: &'static str,
        ip: Ipv4Addr,
    }
    datagram(&KEYS.gcm, Command::REQ_DEVINFO, None, Form::Cipher, &Ask { from: "app", ip }, entropy)
}

fn datagram(
    codec: &Codec,
    command: Command,
    retcode: Option<u32>,
    form: Form,
    body: &impl Serialize,
    entropy: &mut dyn Entropy,
) -> Vec<u8> {
    // These types always serialise.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut out = Vec::new();
    let m = Outgoing { sequence: 0, command, retcode, header: None, form, body: &body };
    codec.seal(&m, entropy, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u8);
    impl Entropy for Count {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.fill(self.0);
        }
    }

    #[test]
    fn announcements_read_back_in_every_form() {
        for version in Version::ALL {
            let mut beacon = Beacon::new(DeviceId::new("bf0123456789abcdefvx01").unwrap(), version);
            beacon.ip = Some(Ipv4Addr::new(192, 168, 1, 57));
            beacon.product_id = ProductId::new("keyvect0rtest123").ok();
            beacon.clients = Some(1);
            let bytes = announce(&beacon, version, &mut Count(0));
            assert_eq!(parse(&bytes), Ok(Datagram::Beacon(beacon)));
            for cut in 0..bytes.len() {
                assert!(parse(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn questions_read_back() {
        let ip = Ipv4Addr::new(192, 168, 1, 20);
        assert_eq!(parse(&ask(ip, &mut Count(0))), Ok(Datagram::Ask { ip }));
    }
}
