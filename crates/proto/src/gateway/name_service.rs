//! The name service: where a device finds its cloud (cloud.md 1.2).

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::clipped;
use crate::json;

/// Longest body that is read, either way. Devices take 6 KiB at most (sdk-observed.md 1).
pub const MAX_BODY: usize = 64 * 1024;
/// Most addresses that one request asks for; real ones ask for four.
const MAX_KEYS: usize = 32;
/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;
/// How long answers hold, seconds.
pub const TTL: u32 = 600;

/// What is asked, by the path of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// `/v1/url_config`
    UrlConfigV1,
    /// `/v2/url_config`
    UrlConfigV2,
    /// `/device/url_config` of 2018: answers are flat texts.
    UrlConfigFlat,
    /// `/v1/dns_query`
    DnsQuery,
    /// `/device/dns_query`
    DeviceDnsQuery,
    /// `/api/v1/ca-certificate`
    CaCertificate,
}

impl Question {
    const PATHS: [(Self, &str); 6] = [
        (Self::UrlConfigV1, "/v1/url_config"),
        (Self::UrlConfigV2, "/v2/url_config"),
        (Self::UrlConfigFlat, "/device/url_config"),
        (Self::DnsQuery, "/v1/dns_query"),
        (Self::DeviceDnsQuery, "/device/dns_query"),
        (Self::CaCertificate, "/api/v1/ca-certificate"),
    ];

    /// The question of a path.
    pub fn of_path(path: &str) -> Option<Self> {
        Self::PATHS.into_iter().find(|(_, p)| *p == path).map(|(q, _)| q)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        Self::PATHS.into_iter().find(|(q, _)| *q == self).map_or("", |(_, p)| p)
    }
}

/// A body of the name service was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameServiceError {
    /// Longer than any real one.
    #[error("a body of {0} bytes, more than {MAX_BODY}")]
    TooLong(usize),
    /// Not JSON, or without what it needs.
    #[error("malformed body: {0}")]
    Malformed(String),
}

/// What listens at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The HTTP gateway.
    Http,
    /// The MQTT broker.
    Mqtt,
    /// The MQTT broker of cameras and voice.
    MediaMqtt,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Without TLS.
    Plain,
    /// TLS with a pre-shared key.
    Psk,
    /// TLS with a certificate.
    Certificate,
}

/// The name of an address (`httpUrl`, `mqttsPSKUrl`...). An unknown one survives and prints.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UrlKey(String);

impl UrlKey {
    /// Takes a name.
    pub fn new(name: &str) -> Self {
        Self(clipped(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it stands for, if that is known.
    pub fn meaning(&self) -> Option<(Service, Transport)> {
        use Service::{Http, MediaMqtt, Mqtt};
        use Transport::{Certificate, Plain, Psk};
        Some(match self.as_str() {
            "httpUrl" => (Http, Plain),
            "httpsPSKUrl" => (Http, Psk),
            "httpsUrl" | "httpsSelfUrl" | "httpsStdUrl" | "httpsVerifyUrl" => (Http, Certificate),
            "mqttUrl" => (Mqtt, Plain),
            "mqttsPSKUrl" => (Mqtt, Psk),
            "mqttsUrl" | "mqttsSelfUrl" | "mqttsStdUrl" | "mqttsVerifyUrl" => (Mqtt, Certificate),
            "mediaMqttUrl" => (MediaMqtt, Plain),
            "mediaMqttsUrl" => (MediaMqtt, Certificate),
            _ => return None,
        })
    }
}

impl fmt::Display for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// One address that a device asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Which.
    pub key: UrlKey,
    /// With the certificate to verify it by. SDKs crash when they get none then.
    #[serde(default)]
    pub need_ca: bool,
    /// With addresses of IPv6.
    #[serde(default, skip_serializing_if = "is_false")]
    pub need_ip6: bool,
}

// serde hands over references.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_false(b: &bool) -> bool {
    !*b
}

/// The body of a `url_config` request. Region, environment and signature are not to be checked: the recipe of the
/// signature is unknown, and devices send any region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlConfigRequest {
    /// What is wanted.
    #[serde(default)]
    pub config: Vec<Wanted>,
    /// Region, as the pairing left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Hardware id; stock sends it to v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The device's clock, seconds, at first since power-on.
    #[serde(default, deserialize_with = "json::whole", skip_serializing_if = "Option::is_none")]
    pub ts: Option<u64>,
    /// Signature of an unknown recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
}

impl UrlConfigRequest {
    /// Reads a body, whatever its content type says.
    ///
    /// # Errors
    /// Not JSON, or more than 32 addresses.
    pub fn parse(body: &[u8]) -> Result<Self, NameServiceError> {
        let request: Self = parsed(body)?;
        if request.config.len() > MAX_KEYS {
            return Err(NameServiceError::Malformed(format!("more than {MAX_KEYS} addresses wanted")));
        }
        Ok(request)
    }

    /// Writes the body (device side).
    ///
    /// # Errors
    /// None that texts could cause; what the JSON writer says is passed on.
    pub fn to_json(&self) -> Result<Vec<u8>, NameServiceError> {
        written(self)
    }

    /// Whether any address is wanted with a certificate.
    pub fn needs_ca(&self) -> bool {
        self.config.iter().any(|w| w.need_ca)
    }
}

/// Where something listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// For HTTP a URL with its path, for MQTT `host:port`. SDKs take port 443 for HTTPS whatever it says, so it should
    /// say none.
    pub addr: String,
    /// Its addresses.
    #[serde(default)]
    pub ips: Vec<String>,
    /// Its addresses of IPv6, when wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6s: Option<Vec<String>>,
}

impl Endpoint {
    /// An HTTP gateway. The port is left out where it is the scheme's own.
    pub fn http(host: &str, port: u16, transport: Transport, path: &str) -> Self {
        let (scheme, own) = if transport == Transport::Plain { ("http", 80) } else { ("https", 443) };
        let addr = match port {
            port if port == own => format!("{scheme}://{host}{path}"),
            port => format!("{scheme}://{host}:{port}{path}"),
        };
        Self { addr, ips: Vec::new(), ip6s: None }
    }

    /// An MQTT broker.
    pub fn mqtt(host: &str, port: u16) -> Self {
        Self { addr: format!("{host}:{port}"), ips: Vec::new(), ip6s: None }
    }
}

/// The answer to `url_config`: exactly what was wanted, as far as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlConfigAnswer {
    /// Certificates in base64 of DER. None at all is `null`, which stock firmware wants in plain mode and at which
    /// SDKs crash that asked for one.
    pub ca: Vec<String>,
    /// The addresses, in order.
    pub endpoints: Vec<(UrlKey, Endpoint)>,
    /// How long it holds, seconds.
    pub ttl: u32,
}

impl UrlConfigAnswer {
    /// The body: flat texts for [`Question::UrlConfigFlat`], else objects.
    ///
    /// # Errors
    /// None that texts could cause; what the JSON writer says is passed on.
    pub fn to_json(&self, question: Question) -> Result<Vec<u8>, NameServiceError> {
        written(&Written { answer: self, flat: question == Question::UrlConfigFlat })
    }

    /// Reads a body of either form (device side).
    ///
    /// # Errors
    /// Not JSON, or too many entries.
    pub fn parse(body: &[u8]) -> Result<Self, NameServiceError> {
        parsed(body)
    }

    /// The address of this name.
    pub fn endpoint(&self, key: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(k, _)| k.as_str() == key).map(|(_, e)| e)
    }
}

struct Written<'a> {
    answer: &'a UrlConfigAnswer,
    flat: bool,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let UrlConfigAnswer { ca, endpoints, ttl } = self.answer;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("caArr", &(!ca.is_empty()).then_some(ca))?;
        for (key, endpoint) in endpoints {
            if self.flat {
                map.serialize_entry(key.as_str(), &endpoint.addr)?;
            } else {
                map.serialize_entry(key.as_str(), endpoint)?;
            }
        }
        if !self.flat {
            map.serialize_entry("ttl", ttl)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for UrlConfigAnswer {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Flat(String),
            Object(Endpoint),
            Other(de::IgnoredAny),
        }
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = UrlConfigAnswer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of addresses")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UrlConfigAnswer, A::Error> {
                let mut answer = UrlConfigAnswer { ttl: TTL, ..UrlConfigAnswer::default() };
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "caArr" => answer.ca = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        "ttl" => answer.ttl = map.next_value()?,
                        _ if answer.endpoints.len() == MAX_KEYS => {
                            return Err(de::Error::custom(format!("more than {MAX_KEYS} addresses")));
                        }
                        _ => match map.next_value()? {
                            Either::Flat(addr) => {
                                let endpoint = Endpoint { addr, ..Endpoint::default() };
                                answer.endpoints.push((UrlKey::new(&key), endpoint));
                            }
                            Either::Object(endpoint) => answer.endpoints.push((UrlKey::new(&key), endpoint)),
                            Either::Other(_) => {}
                        },
                    }
                }
                Ok(answer)
            }
        }
        d.deserialize_map(V)
    }
}

/// One name in `/v1/dns_query` or `/device/dns_query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameQuery {
    /// The name: `domain` in v1, `host` for devices.
    #[serde(rename = "host", alias = "domain")]
    pub host: String,
    /// The port (devices).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// With the certificate (devices).
    #[serde(default)]
    pub need_ca: bool,
    /// With its addresses.
    #[serde(default)]
    pub need_ip: bool,
    /// With its addresses of IPv6.
    #[serde(default)]
    pub need_ip6: bool,
}

/// Reads the body of [`Question::DnsQuery`] or [`Question::DeviceDnsQuery`].
///
/// # Errors
/// Not a JSON list of names, or more than 32.
pub fn parse_names(body: &[u8]) -> Result<Vec<NameQuery>, NameServiceError> {
    let names: Vec<NameQuery> = parsed(body)?;
    if names.len() > MAX_KEYS {
        return Err(NameServiceError::Malformed(format!("more than {MAX_KEYS} names")));
    }
    Ok(names)
}

/// The addresses of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAnswer {
    /// Addresses; the capital is the vendor's.
    #[serde(rename = "Ips")]
    pub ips: Vec<String>,
    /// Addresses of IPv6.
    pub ip6s: Vec<String>,
    /// How long they hold, seconds.
    pub ttl: u32,
}

/// The answer to `/v1/dns_query`, in the order of the names.
///
/// # Errors
/// None that texts could cause; what the JSON writer says is passed on.
pub fn names_answer(names: &[(String, NameAnswer)]) -> Result<Vec<u8>, NameServiceError> {
    struct Map<'a>(&'a [(String, NameAnswer)]);
    impl Serialize for Map<'_> {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(self.0.iter().map(|(name, answer)| (name, answer)))
        }
    }
    written(&Map(names))
}

/// The certificate of one host, in the answer to `/device/dns_query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCertificate {
    /// The host.
    pub host: String,
    /// Base64 of DER.
    pub ca: String,
}

/// The answer to `/device/dns_query`.
///
/// # Errors
/// None that texts could cause; what the JSON writer says is passed on.
pub fn certificates_answer(hosts: &[HostCertificate]) -> Result<Vec<u8>, NameServiceError> {
    written(&hosts)
}

/// A certificate as the name service writes it: base64 of its DER form.
pub fn certificate_text(der: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(der)
}

/// The answer to `/api/v1/ca-certificate`, of a certificate in DER form: PEM in a JSON text.
///
/// # Errors
/// None that texts could cause; what the JSON writer says is passed on.
pub fn ca_certificate_answer(der: &[u8]) -> Result<Vec<u8>, NameServiceError> {
    #[derive(Serialize)]
    struct Answer {
        ca_certificate: String,
    }
    let base64 = certificate_text(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.extend([line, "\n"]);
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    written(&Answer { ca_certificate: pem })
}

fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, NameServiceError> {
    if body.len() > MAX_BODY {
        return Err(NameServiceError::TooLong(body.len()));
    }
    json::parse(body).map_err(|e| NameServiceError::Malformed(e.to_string()))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, NameServiceError> {
    serde_json::to_vec(value).map_err(|e| NameServiceError::Malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Result<Vec<u8>, NameServiceError>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn certificates_are_base64_and_pem() {
        let der: Vec<u8> = (0..60).collect();
        let text = certificate_text(&der);
        assert_eq!(base64_simd::STANDARD.decode_to_vec(&text).unwrap(), der);
        let answer: serde_json::Value =
            serde_json::from_slice(&ca_certificate_answer(&der).unwrap()).unwrap();
        let pem = answer["ca_certificate"].as_str().unwrap();
        let lines: Vec<&str> = pem.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0], lines[3]), ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"));
        assert_eq!((lines[1].len(), format!("{}{}", lines[1], lines[2])), (64, text));
    }

    #[test]
    fn answers_read_back_in_both_forms() {
        let http = Endpoint::http("10.42.42.1", 80, Transport::Plain, "/d.json");
        let answer = UrlConfigAnswer {
            ca: vec![],
            endpoints: vec![
                (UrlKey::new("httpUrl"), http),
                (UrlKey::new("mqttUrl"), Endpoint::mqtt("10.42.42.1", 1883)),
            ],
            ttl: TTL,
        };
        let flat = text(answer.to_json(Question::UrlConfigFlat));
        assert_eq!(
            flat,
            r#"{"caArr":null,"httpUrl":"http://10.42.42.1/d.json","mqttUrl":"10.42.42.1:1883"}"#
        );
        assert_eq!(UrlConfigAnswer::parse(flat.as_bytes()), Ok(answer.clone()));
        let with_ca = UrlConfigAnswer { ca: vec!["MIID".into()], ..answer };
        let body = text(with_ca.to_json(Question::UrlConfigV2));
        assert_eq!(UrlConfigAnswer::parse(body.as_bytes()), Ok(with_ca));
    }

    #[test]
    fn ports_stand_where_they_are_needed() {
        let addr = |port, transport| Endpoint::http("h", port, transport, "/d.json").addr;
        assert_eq!(addr(443, Transport::Certificate), "https://h/d.json");
        assert_eq!(addr(8443, Transport::Psk), "https://h:8443/d.json");
        assert_eq!(addr(8080, Transport::Plain), "http://h:8080/d.json");
        assert_eq!(addr(443, Transport::Plain), "http://h:443/d.json");
    }

    #[test]
    fn paths_and_keys_have_a_meaning() {
        for (question, path) in Question::PATHS {
            assert_eq!((Question::of_path(path), question.path()), (Some(question), path));
        }
        assert_eq!(Question::of_path("/generate_204"), None);
        let meaning = |key| UrlKey::new(key).meaning();
        assert_eq!(meaning("mqttsPSKUrl"), Some((Service::Mqtt, Transport::Psk)));
        assert_eq!(meaning("httpsSelfUrl"), Some((Service::Http, Transport::Certificate)));
        // Type 3 of PSK is not known to anybody.
        assert_eq!(meaning("mqttsPSK3Url"), None);
    }

    #[test]
    fn names_are_asked_in_two_forms() {
        let v1 = parse_names(br#"[{"domain":"a1.tuyacn.com","need_ip6":true}]"#).unwrap();
        assert_eq!((v1[0].host.as_str(), v1[0].need_ip6, v1[0].port), ("a1.tuyacn.com", true, None));
        let device = parse_names(br#"[{"host":"h","port":443,"need_ca":true,"need_ip":false}]"#).unwrap();
        assert_eq!((device[0].host.as_str(), device[0].port, device[0].need_ca), ("h", Some(443), true));
        let answer = NameAnswer { ips: vec!["10.0.0.1".into()], ip6s: vec![], ttl: TTL };
        assert_eq!(
            text(names_answer(&[("a1.tuyacn.com".into(), answer)])),
            r#"{"a1.tuyacn.com":{"Ips":["10.0.0.1"],"ip6s":[],"ttl":600}}"#
        );
        let certificate = HostCertificate { host: "h".into(), ca: "MIID".into() };
        assert_eq!(text(certificates_answer(&[certificate])), r#"[{"host":"h","ca":"MIID"}]"#);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = format!("[{}]", vec![r#"{"host":"h"}"#; 33].join(","));
        assert!(parse_names(many.as_bytes()).is_err());
        let many = format!(r#"{{"config":[{}]}}"#, vec![r#"{"key":"k"}"#; 33].join(","));
        assert!(UrlConfigRequest::parse(many.as_bytes()).is_err());
        let many: Vec<String> = (0..33).map(|i| format!(r#""k{i}":"h""#)).collect();
        assert!(UrlConfigAnswer::parse(format!("{{{}}}", many.join(",")).as_bytes()).is_err());
        assert_eq!(
            UrlConfigRequest::parse(&vec![b' '; MAX_BODY + 1]),
            Err(NameServiceError::TooLong(MAX_BODY + 1))
        );
    }
}
