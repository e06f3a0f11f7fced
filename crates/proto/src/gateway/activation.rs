//! What a device says and gets when it registers (cloud.md 1.4 and 1.5).

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::id::{DeviceId, LocalKey, ProductId, SecKey};
use crate::json::{self, Raw};

/// Longest schema id that fits the buffers of devices.
const MAX_SCHEMA_ID: usize = 16;
/// Longest time zone, `+01:00`.
const MAX_ZONE: usize = 6;
/// Connect Kit keeps the result without its schema in so many bytes and cannot read a longer one after a restart
/// (sdk-observed.md 1).
const MAX_KEPT: usize = 512;
/// Longest schema: 8 KiB is all that SDKs take of an activation's answer, encrypted and in base64.
const MAX_SCHEMA: usize = 5 * 1024;

/// Why an activation was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationError {
    /// Not JSON, or without what it needs. Keys are never part of the reason.
    #[error("malformed activation: {0}")]
    Malformed(String),
    /// Devices copy it into fixed buffers without looking.
    #[error("the {what} has {len} characters, devices have room for {max}")]
    TooLong {
        /// Which field.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The room.
        max: usize,
    },
}

/// The body of `tuya.device.active` and `thing.device.opensdk.active`: generations C to E. Fields that a build lacks
/// are none.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivationRequest {
    /// The pairing token. Not printed.
    pub token: String,
    /// Firmware version.
    #[serde(default, rename = "softVer", skip_serializing_if = "Option::is_none")]
    pub soft_ver: Option<String>,
    /// Product.
    #[serde(
        default,
        rename = "productKey",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub product_id: Option<ProductId>,
    /// The MQTT envelope that the device speaks: `2.2`.
    #[serde(default, rename = "protocolVer", skip_serializing_if = "Option::is_none")]
    pub protocol_ver: Option<String>,
    /// Version of the vendor's library.
    #[serde(default, rename = "baselineVer", skip_serializing_if = "Option::is_none")]
    pub baseline_ver: Option<String>,
    /// The firmware key, which stands for the product where `options` says so.
    #[serde(default, rename = "productKeyStr", skip_serializing_if = "Option::is_none")]
    pub product_key_str: Option<String>,
    /// The device id of its last activation, if it had one.
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_id: Option<DeviceId>,
    /// MAC address, on stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hid: Option<String>,
    /// Text holding JSON: other firmware of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<String>,
    /// Text holding JSON: `isFK` says that the firmware key is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// What it can do, as bits; 2048 is firmware over the air.
    #[serde(
        default,
        rename = "devAttribute",
        deserialize_with = "json::whole",
        skip_serializing_if = "Option::is_none"
    )]
    pub dev_attribute: Option<u32>,
    /// Version of its data-point format.
    #[serde(default, rename = "cadVer", skip_serializing_if = "Option::is_none")]
    pub cad_ver: Option<String>,
    /// Another version.
    #[serde(default, rename = "cdVer", skip_serializing_if = "Option::is_none")]
    pub cd_ver: Option<String>,
    /// The device's clock, seconds.
    #[serde(default, deserialize_with = "json::whole", skip_serializing_if = "Option::is_none")]
    pub t: Option<u64>,
}

impl ActivationRequest {
    /// Reads the body (server side), decrypted.
    ///
    /// # Errors
    /// Not JSON, no token, or a field of another form.
    pub fn parse(body: &[u8]) -> Result<Self, ActivationError> {
        json::parse(body).map_err(|e| ActivationError::Malformed(e.to_string()))
    }

    /// Writes the body (device side).
    ///
    /// # Errors
    /// None that texts and numbers could cause; what the JSON writer says is passed on.
    pub fn to_json(&self) -> Result<Vec<u8>, ActivationError> {
        serde_json::to_vec(self).map_err(|e| ActivationError::Malformed(e.to_string()))
    }

    /// Whether the firmware key names the product.
    pub fn uses_firmware_key(&self) -> bool {
        #[derive(Deserialize)]
        struct Options {
            #[serde(default, rename = "isFK")]
            is_fk: bool,
        }
        self.options.as_deref().is_some_and(|o| serde_json::from_str(o).is_ok_and(|o: Options| o.is_fk))
    }
}

impl fmt::Debug for ActivationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivationRequest")
            .field("product_id", &self.product_id)
            .field("dev_id", &self.dev_id)
            .field("soft_ver", &self.soft_ver)
            .field("protocol_ver", &self.protocol_ver)
            .field("baseline_ver", &self.baseline_ver)
            .finish_non_exhaustive()
    }
}

/// `other` in `s.gw.token.get` and the activations of generations A and B. The token is not printed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PairingToken {
    /// The pairing token.
    pub token: String,
    /// The region that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How the pairing went, as the device wrote it.
    #[serde(default, rename = "tlinkStat", skip_serializing_if = "Option::is_none")]
    pub tlink_stat: Option<Raw>,
}

impl PairingToken {
    /// Reads `other`.
    ///
    /// # Errors
    /// Not JSON, or no token.
    pub fn parse(other: &str) -> Result<Self, ActivationError> {
        json::parse(other.as_bytes()).map_err(|e| ActivationError::Malformed(e.to_string()))
    }
}

impl fmt::Debug for PairingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairingToken {{ region: {:?}, .. }}", self.region)
    }
}

/// What a device gets: who it is, its keys, and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Its id. Generations A and B keep the factory's and get none.
    pub dev_id: Option<DeviceId>,
    /// Its new key for the gateway.
    pub sec_key: SecKey,
    /// Its new key for MQTT and the LAN.
    pub local_key: LocalKey,
    /// JSON text of its points. A device handles no others.
    pub schema: String,
    /// Names the schema.
    pub schema_id: String,
    /// Offset without daylight saving, `+01:00`; Connect Kit fails without.
    pub std_time_zone: Option<String>,
    /// Offset now.
    pub time_zone: Option<String>,
    /// Daylight saving: from and to, seconds since 1970.
    pub dst_intervals: Vec<[u64; 2]>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(
        default,
        rename = "devId",
        deserialize_with = "json::named",
        skip_serializing_if = "Option::is_none"
    )]
    dev_id: Option<DeviceId>,
    #[serde(rename = "secKey")]
    sec_key: KeyText,
    #[serde(rename = "localKey")]
    local_key: KeyText,
    #[serde(default)]
    schema: String,
    #[serde(default, rename = "schemaId")]
    schema_id: String,
    #[serde(default, rename = "stdTimeZone", skip_serializing_if = "Option::is_none")]
    std_time_zone: Option<String>,
    #[serde(default, rename = "timeZone", skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(default, rename = "dstIntervals", skip_serializing_if = "Vec::is_empty")]
    dst_intervals: Vec<[u64; 2]>,
    /// With `true` a device that was not just reset wipes itself again.
    #[serde(default, rename = "resetFactory")]
    reset_factory: bool,
    /// What cloudcutter sends; whether anything needs it is unknown.
    #[serde(default)]
    capability: u32,
    #[serde(default)]
    uid: String,
    #[serde(default, rename = "devEtag")]
    dev_etag: String,
}

/// A key on its way through JSON, wiped afterwards.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct KeyText(String);

impl Drop for KeyText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Activation {
    /// The result of the activation (server side). `uid` and `devEtag` are constants: devices keep but never use them.
    ///
    /// # Errors
    /// A text that is too long for the buffers of devices.
    pub fn to_result(&self) -> Result<Raw, ActivationError> {
        let empty = String::new();
        for (what, max, text) in [
            ("schema", MAX_SCHEMA, &self.schema),
            ("schema id", MAX_SCHEMA_ID, &self.schema_id),
            ("standard time zone", MAX_ZONE, self.std_time_zone.as_ref().unwrap_or(&empty)),
            ("time zone", MAX_ZONE, self.time_zone.as_ref().unwrap_or(&empty)),
        ] {
            if text.len() > max {
                return Err(ActivationError::TooLong { what, len: text.len(), max });
            }
        }
        let secret = |text: &str| KeyText(text.to_owned());
        let wire = |schema: &str| Wire {
            dev_id: self.dev_id.clone(),
            sec_key: secret(self.sec_key.expose_str()),
            local_key: secret(self.local_key.expose_str()),
            schema: schema.to_owned(),
            schema_id: self.schema_id.clone(),
            std_time_zone: self.std_time_zone.clone(),
            time_zone: self.time_zone.clone(),
            dst_intervals: self.dst_intervals.clone(),
            reset_factory: false,
            capability: 1025,
            uid: "0".repeat(20),
            dev_etag: "0".repeat(10),
        };
        let malformed = |e: serde_json::Error| ActivationError::Malformed(e.to_string());
        let kept = Raw::of(&wire("")).map_err(malformed)?.as_str().len();
        if kept >= MAX_KEPT {
            let what = "activation without its schema";
            return Err(ActivationError::TooLong { what, len: kept, max: MAX_KEPT - 1 });
        }
        Raw::of(&wire(&self.schema)).map_err(malformed)
    }

    /// Reads the result (device side).
    ///
    /// # Errors
    /// Not JSON, or without keys that can be.
    pub fn parse(result: &Raw) -> Result<Self, ActivationError> {
        // What serde says of a text field may quote it; keys are texts like any other here.
        let hidden = |_| ActivationError::Malformed("a field is missing or of another form".to_owned());
        let wire: Wire = result.read().map_err(hidden)?;
        let malformed = |e: &dyn fmt::Display| ActivationError::Malformed(e.to_string());
        Ok(Self {
            dev_id: wire.dev_id,
            sec_key: SecKey::new(wire.sec_key.0.as_bytes()).map_err(|e| malformed(&e))?,
            local_key: LocalKey::new(wire.local_key.0.as_bytes()).map_err(|e| malformed(&e))?,
            schema: wire.schema,
            schema_id: wire.schema_id,
            std_time_zone: wire.std_time_zone,
            time_zone: wire.time_zone,
            dst_intervals: wire.dst_intervals,
        })
    }
}

/// The result of `s.gw.token.get`: where a device of generation A or B finds everything. Those of MQTT are bare host
/// names; the device adds 1883 or 8886.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// URL of the gateway.
    #[serde(rename = "gwApiUrl")]
    pub gw_api_url: String,
    /// Host of the MQTT broker.
    #[serde(rename = "gwMqttUrl")]
    pub gw_mqtt_url: String,
    /// URL of the gateway over TLS-PSK.
    #[serde(rename = "httpsPSKUrl")]
    pub https_psk_url: String,
    /// Host of the media broker.
    #[serde(rename = "mediaMqttUrl")]
    pub media_mqtt_url: String,
    /// Always empty.
    #[serde(default, rename = "mqttRanges")]
    pub mqtt_ranges: String,
    /// Offset now, `+01:00`.
    #[serde(default, rename = "timeZone")]
    pub time_zone: String,
    /// Offset without daylight saving.
    #[serde(default, rename = "stdTimeZone")]
    pub std_time_zone: String,
    /// Daylight saving: from and to, seconds since 1970.
    #[serde(default, rename = "dstIntervals")]
    pub dst_intervals: Vec<[u64; 2]>,
    /// Host of the MQTT broker over TLS; this and the rest with `et=1` only.
    #[serde(default, rename = "mqttsUrl", skip_serializing_if = "Option::is_none")]
    pub mqtts_url: Option<String>,
    /// Host of the MQTT broker over TLS-PSK.
    #[serde(default, rename = "mqttsPSKUrl", skip_serializing_if = "Option::is_none")]
    pub mqtts_psk_url: Option<String>,
    /// Host of the media broker over TLS.
    #[serde(default, rename = "mediaMqttsUrl", skip_serializing_if = "Option::is_none")]
    pub media_mqtts_url: Option<String>,
    /// Host of the speech service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aispeech: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation() -> Activation {
        Activation {
            dev_id: DeviceId::new("bf00112233445566778899").ok(),
            sec_key: SecKey::new("5ec0123456789abc").unwrap(),
            local_key: LocalKey::new("10ca1key01234567").unwrap(),
            schema: r#"[{"mode":"rw","property":{"type":"bool"},"id":1,"type":"obj"}]"#.into(),
            schema_id: "000004vt01".into(),
            std_time_zone: Some("+01:00".into()),
            time_zone: Some("+02:00".into()),
            dst_intervals: vec![[1_679_792_400, 1_698_541_200]],
        }
    }

    #[test]
    fn a_result_reads_back_and_shows_no_key() {
        let activation = activation();
        let result = activation.to_result().unwrap();
        assert_eq!(Activation::parse(&result), Ok(activation.clone()));
        assert!(result.as_str().contains(r#""resetFactory":false"#));
        let debug = format!("{activation:?} {result:?}");
        assert!(!debug.contains("5ec0") && !debug.contains("10ca"), "{debug}");
        let short = Raw::of(&serde_json::json!({"secKey": "5ec0", "localKey": "10ca1key01234567"})).unwrap();
        let e = Activation::parse(&short).unwrap_err().to_string();
        assert_eq!(e, "malformed activation: a sec key has 16 characters, this one has 4");
        let number = Raw::of(&serde_json::json!({"secKey": 1, "localKey": "10ca1key01234567"})).unwrap();
        assert!(!Activation::parse(&number).unwrap_err().to_string().contains("10ca"));
    }

    #[test]
    fn texts_that_overrun_devices_are_refused() {
        let too_long = |a: Activation| match a.to_result() {
            Err(ActivationError::TooLong { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(too_long(Activation { schema_id: "s".repeat(17), ..activation() }), "schema id");
        assert_eq!(
            too_long(Activation { std_time_zone: Some("+01:00:00".into()), ..activation() }),
            "standard time zone"
        );
        assert_eq!(too_long(Activation { schema: "[".repeat(6000), ..activation() }), "schema");
        let kept = Activation { dst_intervals: vec![[1_679_792_400, 1_698_541_200]; 12], ..activation() };
        assert_eq!(too_long(kept), "activation without its schema");
    }

    #[test]
    fn requests_read_back_and_show_no_token() {
        let text = r#"{"token":"AbCdEfGh","softVer":"1.0.0","productKey":"keytest0pid00001","protocolVer":"2.2","options": "{\"isFK\":true}","devAttribute":2048,"t":20}"#;
        let request = ActivationRequest::parse(text.as_bytes()).unwrap();
        assert!(request.uses_firmware_key());
        assert_eq!(
            (request.dev_attribute, request.t, request.dev_id.is_none()),
            (Some(2048), Some(20), true)
        );
        assert_eq!(ActivationRequest::parse(&request.to_json().unwrap()), Ok(request.clone()));
        assert!(!format!("{request:?}").contains("AbCd"));
        let token =
            PairingToken::parse(r#"{"token":"00000000","region":"US","tlinkStat":{"time":0}}"#).unwrap();
        assert_eq!(token.region.as_deref(), Some("US"));
        assert!(!format!("{token:?}").contains("0000"));
        assert!(PairingToken::parse("{}").is_err());
    }
}
