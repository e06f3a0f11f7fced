//! Wi-Fi configuration messages of the LAN protocol (lan.md 3.10). Bodies only: how they reach a device (TCP 6668 or
//! a datagram in its own network, TLS-PSK from 3.5 on) is the pairing driver's affair.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::command::Command;
use crate::json;

/// Network credentials for a device in access-point mode. The password is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Network name, byte-exact.
    pub ssid: String,
    /// Password; absent for an open network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passwd: Option<String>,
    /// Activation token: region (2), token (8), secret or environment (4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where the device shall register itself (sdk-observed.md 3), as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reg: Option<serde_json::Value>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ ssid: {:?}, .. }}", self.ssid)
    }
}

/// Requests of AP_CONFIG_EXT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtRequest {
    /// `query_dev`
    Device,
    /// `get_wifi_list` with the largest number of networks.
    WifiList {
        /// Largest number of networks.
        count: u32,
    },
    /// `query_netcfg_stat`
    Status,
}

/// Answers of AP_CONFIG_EXT, `data` as the device wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtReport {
    /// What it answers.
    pub kind: ExtReportKind,
    /// Its `data`.
    pub data: serde_json::Value,
}

/// Which answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtReportKind {
    /// `query_dev_rpt`
    Device,
    /// `wifi_list_rpt`
    WifiList,
    /// `netcfg_stat_rpt`
    Status,
    /// Another `reqType`, kept.
    Other(String),
}

/// A configuration message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wi-fi configuration message: {0}")]
pub struct ConfigError(String);

/// Limits of 802.11: a network name has at most 32 bytes.
const MAX_SSID: usize = 32;
/// A pass phrase has at most 63 characters, a raw key 64 digits.
const MAX_PASSWORD: usize = 64;

impl Credentials {
    /// The body for [`Command::AP_CONFIG`] (classic) or [`Command::AP_CONFIG_NEW`].
    ///
    /// # Errors
    /// A network name or password that 802.11 does not allow.
    pub fn to_body(&self) -> Result<Vec<u8>, ConfigError> {
        if self.ssid.is_empty() || self.ssid.len() > MAX_SSID {
            return Err(ConfigError(format!(
                "a network name has 1 to {MAX_SSID} bytes, not {}",
                self.ssid.len()
            )));
        }
        if let Some(n) = self.passwd.as_ref().map(String::len).filter(|n| *n > MAX_PASSWORD) {
            return Err(ConfigError(format!("a password has at most {MAX_PASSWORD} bytes, not {n}")));
        }
        serde_json::to_vec(self).map_err(|e| ConfigError(e.to_string()))
    }

    /// Reads the body (device side).
    ///
    /// # Errors
    /// Not JSON, or without `ssid`.
    pub fn parse(body: &[u8]) -> Result<Self, ConfigError> {
        json::parse(body).map_err(|e| ConfigError(e.to_string()))
    }
}

impl ExtRequest {
    /// The command of these messages.
    pub const COMMAND: Command = Command::AP_CONFIG_EXT;

    /// The body.
    pub fn to_body(&self) -> Vec<u8> {
        match self {
            Self::Device => b"{\"reqType\":\"query_dev\",\"data\":{}}".to_vec(),
            Self::WifiList { count } => {
                format!("{{\"reqType\":\"get_wifi_list\",\"data\":{{\"cnt\":{count}}}}}").into_bytes()
            }
            Self::Status => b"{\"reqType\":\"query_netcfg_stat\",\"data\":{}}".to_vec(),
        }
    }

    /// Reads the body (device side).
    ///
    /// # Errors
    /// Not JSON, or an unknown `reqType`.
    pub fn parse(body: &[u8]) -> Result<Self, ConfigError> {
        let ext: Ext = json::parse(body).map_err(|e| ConfigError(e.to_string()))?;
        match ext.req_type.as_str() {
            "query_dev" => Ok(Self::Device),
            "get_wifi_list" => {
                let count = ext.data.get("cnt").and_then(serde_json::Value::as_u64);
                Ok(Self::WifiList { count: count.and_then(|n| u32::try_from(n).ok()).unwrap_or(0) })
            }
            "query_netcfg_stat" => Ok(Self::Status),
            other => Err(ConfigError(format!("unknown reqType {:?}", clipped(other)))),
        }
    }
}

impl ExtReport {
    /// Reads a device's answer.
    ///
    /// # Errors
    /// Not JSON, or without `reqType`.
    pub fn parse(body: &[u8]) -> Result<Self, ConfigError> {
        let ext: Ext = json::parse(body).map_err(|e| ConfigError(e.to_string()))?;
        let kind = match ext.req_type.as_str() {
            "query_dev_rpt" => ExtReportKind::Device,
            "wifi_list_rpt" => ExtReportKind::WifiList,
            "netcfg_stat_rpt" => ExtReportKind::Status,
            other => ExtReportKind::Other(clipped(other)),
        };
        Ok(Self { kind, data: ext.data })
    }

    /// The body (device side).
    pub fn to_body(&self) -> Vec<u8> {
        let name = match &self.kind {
            ExtReportKind::Device => "query_dev_rpt",
            ExtReportKind::WifiList => "wifi_list_rpt",
            ExtReportKind::Status => "netcfg_stat_rpt",
            ExtReportKind::Other(name) => name,
        };
        serde_json::json!({ "reqType": name, "data": self.data }).to_string().into_bytes()
    }
}

#[derive(Deserialize)]
struct Ext {
    #[serde(rename = "reqType")]
    req_type: String,
    #[serde(default)]
    data: serde_json::Value,
}

fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_byte_exact_and_never_print() {
        let c = Credentials {
            ssid: "Caf\u{e9} \"5G\"".into(),
            passwd: Some("p%20\\w".into()),
            token: Some("EUabcdefgh0101".into()),
            reg: None,
        };
        let body = c.to_body().unwrap();
        assert_eq!(Credentials::parse(&body), Ok(c.clone()));
        assert!(!format!("{c:?}").contains("p%20"));
        assert!(Credentials { ssid: "x".repeat(33), ..c.clone() }.to_body().is_err());
        assert!(Credentials { passwd: Some("x".repeat(65)), ..c }.to_body().is_err());
    }

    #[test]
    fn extension_messages_read_back() {
        for r in [ExtRequest::Device, ExtRequest::WifiList { count: 9 }, ExtRequest::Status] {
            assert_eq!(ExtRequest::parse(&r.to_body()), Ok(r));
        }
        let report = ExtReport { kind: ExtReportKind::Other("x".into()), data: serde_json::json!({"a": 1}) };
        assert_eq!(ExtReport::parse(&report.to_body()), Ok(report));
        assert!(ExtRequest::parse(b"{\"reqType\":\"format\"}").unwrap_err().to_string().contains("format"));
    }
}
