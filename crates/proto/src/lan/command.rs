//! Command numbers of frames (lan.md 2).

use std::fmt;

/// A command number. A newtype, so that an unknown number survives and prints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Command(pub u32);

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $n:literal;)*) => {
        impl Command {
            $($(#[$doc])* pub const $name: Self = Self($n);)*

            /// The command's common name, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($n => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

commands! {
    /// Announcement of a 3.1 device (datagram).
    UDP = 0x00;
    /// Wi-Fi credentials for a device in access-point mode, classic form.
    AP_CONFIG = 0x01;
    /// Discarded by devices.
    ACTIVE = 0x02;
    /// Client nonce.
    SESS_KEY_NEG_START = 0x03;
    /// Device nonce and proof.
    SESS_KEY_NEG_RESP = 0x04;
    /// Client proof.
    SESS_KEY_NEG_FINISH = 0x05;
    /// Discarded by devices.
    UNBIND = 0x06;
    /// Sets points, up to 3.3.
    CONTROL = 0x07;
    /// A report of points.
    STATUS = 0x08;
    /// Sign of life.
    HEART_BEAT = 0x09;
    /// Asks for points, up to 3.3.
    DP_QUERY = 0x0a;
    /// Discarded by devices.
    QUERY_WIFI = 0x0b;
    /// Binding token.
    TOKEN_BIND = 0x0c;
    /// Sets points, from 3.4; device22 queries.
    CONTROL_NEW = 0x0d;
    /// Historic.
    ENABLE_WIFI = 0x0e;
    /// Wi-Fi credentials for a device already on a network.
    WIFI_INFO = 0x0f;
    /// Asks for points, from 3.4.
    DP_QUERY_NEW = 0x10;
    /// Scenes on TCP; announcement of a device in access-point mode as a datagram.
    AP_ANNOUNCE = 0x11;
    /// Asks a device to measure and report points.
    UPDATEDPS = 0x12;
    /// Encrypted announcement (datagram).
    UDP_NEW = 0x13;
    /// Wi-Fi credentials for a device in access-point mode, newer form.
    AP_CONFIG_NEW = 0x14;
    /// Result of a Wi-Fi configuration.
    AP_CONFIG_ACK = 0x15;
    /// Asks for facts about the device.
    DEV_INFO = 0x16;
    /// Gives the time.
    SET_TIME = 0x18;
    /// LAN reset.
    LAN_RESET = 0x1d;
    /// Wi-Fi configuration questions (`reqType`).
    AP_CONFIG_EXT = 0x1e;
    /// Announcement of a 3.4 device (datagram).
    BROADCAST_LPV34 = 0x23;
    /// A client's question who is there (datagram).
    REQ_DEVINFO = 0x25;
    /// Extension requests (`reqType`); 0x40, not decimal 40.
    LAN_EXT_STREAM = 0x40;
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "command {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
