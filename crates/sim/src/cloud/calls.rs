//! The calls of a device: which action, which version, what it says (cloud.md 2.8).

use core::time::Duration;

use landfall_proto::gateway::activation::ActivationRequest;
use landfall_proto::gateway::name_service::{Question, UrlConfigRequest, UrlKey, Wanted};
use landfall_proto::gateway::{Action, Call, Encryption, Key};
use landfall_proto::id::ProductId;
use serde_json::json;

use super::CloudClient;
use super::http;
use super::place::{Place, Transport, Url, domain, host_port};
use super::profile::{Generation, Profile};
use super::spec::PskMode;

/// Something that a device asks its cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where is everything? (C)
    NameService,
    /// The same in A and B.
    Token,
    /// Activation.
    Activate,
    /// Clock, time zone, age limit of commands.
    Config,
    /// The same was understood.
    ConfigAck,
    /// A key for TLS-PSK type 2.
    PskKey,
    /// Version of the gateway part (A, B).
    GatewayUpdate,
    /// Version of the device part (A, B).
    DeviceUpdate,
    /// Why it restarted.
    DebugLog,
    /// Firmware that installs itself?
    SilentUpgrade,
    /// Firmware, because the cloud said so.
    Upgrade,
    /// How the update stands.
    UpgradeStatus(u8),
    /// How many timers?
    TimerCount,
    /// Timers from this number on.
    TimerGet(u32),
    /// Which timers ran (C).
    TimerLog,
    /// Versions (C).
    Versions,
    /// A newer schema? (C)
    SchemaNewest,
    /// The owner is being forgotten.
    Reset,
    /// A part of a firmware file.
    Fetch,
}

/// Timers of one page.
pub(super) const PAGE: u32 = 5;

impl Ask {
    /// The action, or another name for what is no action.
    pub(super) const fn name(self, profile: &Profile) -> &'static str {
        let old = matches!(profile.generation, Generation::A | Generation::B);
        match self {
            Self::NameService => "url_config",
            Self::Token => "s.gw.token.get",
            Self::Activate if old => "s.gw.dev.pk.active",
            Self::Activate => "tuya.device.active",
            Self::Config => "tuya.device.dynamic.config.get",
            Self::ConfigAck => "tuya.device.dynamic.config.ack",
            Self::PskKey => "tuya.device.uuid.pskkey.get",
            Self::GatewayUpdate => "s.gw.update",
            Self::DeviceUpdate => "s.gw.dev.update",
            Self::DebugLog => "atop.online.debug.log",
            Self::SilentUpgrade => "tuya.device.upgrade.silent.get",
            Self::Upgrade => "tuya.device.upgrade.get",
            Self::UpgradeStatus(_) if matches!(profile.generation, Generation::A) => {
                "s.gw.upgrade.updatestatus"
            }
            Self::UpgradeStatus(_) => "tuya.device.upgrade.status.update",
            Self::TimerCount if old => "s.gw.dev.timer.count",
            Self::TimerCount => "tuya.device.timer.count",
            Self::TimerGet(_) if matches!(profile.generation, Generation::A) => "s.gw.dev.timer.get",
            Self::TimerGet(_) => "tuya.device.timer.get",
            Self::TimerLog => "tuya.device.timer.log.upload",
            Self::Versions => "tuya.device.versions.update",
            Self::SchemaNewest => "tuya.device.schema.newest.get",
            Self::Reset if old => "s.gw.reset",
            Self::Reset => "tuya.device.reset",
            Self::Fetch => "firmware",
        }
    }

    /// `v`; some calls have none (cloud.md 2.1).
    const fn version(self, profile: &Profile) -> Option<&'static str> {
        let old = matches!(profile.generation, Generation::A | Generation::B);
        match self {
            Self::NameService | Self::Fetch | Self::DebugLog => None,
            Self::Token => Some("3.0"),
            Self::Activate if old => Some("3.0"),
            Self::Activate => Some("4.4"),
            Self::Config | Self::ConfigAck => Some(profile.config_version),
            Self::PskKey | Self::TimerLog | Self::SchemaNewest => Some("1.0"),
            Self::GatewayUpdate | Self::DeviceUpdate => Some("2.0"),
            Self::SilentUpgrade | Self::Upgrade => Some(profile.upgrade_version),
            Self::UpgradeStatus(_) if matches!(profile.generation, Generation::A) => None,
            Self::UpgradeStatus(_) | Self::TimerGet(_) | Self::Versions => Some("4.1"),
            Self::TimerCount | Self::Reset if old => None,
            Self::TimerCount | Self::Reset => Some("4.0"),
        }
    }

    /// Whether it goes under the auth key (cloud.md 2.3).
    pub(super) const fn precedes_activation(self) -> bool {
        matches!(self, Self::NameService | Self::Token | Self::Activate | Self::PskKey)
    }
}

/// A request ready to go.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
    /// Under which key the answer comes; `None` where it is no gateway's.
    pub(super) sealed: Option<(Encryption, Key)>,
}

impl CloudClient {
    /// Writes a request; `None` if the device does not know where to, or has no key for it.
    pub(super) fn prepare(&mut self, ask: Ask, now: Duration) -> Option<Prepared> {
        match ask {
            Ask::NameService => Some(self.prepare_name_service()),
            Ask::Fetch => self.prepare_fetch(),
            _ => self.prepare_call(ask, now),
        }
    }

    fn prepare_name_service(&mut self) -> Prepared {
        let wanted = |key| Wanted { key: UrlKey::new(key), need_ca: false, need_ip6: false };
        let pairing = self.flash.pairing.as_ref();
        let question = UrlConfigRequest {
            config: ["httpUrl", "mqttUrl", "httpsPSKUrl", "mqttsPSKUrl"].map(wanted).into(),
            region: Some(self.flash.region.clone()),
            env: Some(pairing.map(|p| p.env.clone()).unwrap_or_default()),
            uuid: None,
            ts: None,
            sign: None,
        };
        let body = question.to_json().unwrap_or_default();
        let host = "h3.iot-dns.com";
        // A device without TLS speaks clear HTTP to the port of TLS (cloud.md 3.2).
        let place = Place { host: host.to_owned(), port: 443, transport: self.transport() };
        let fields = self.fields(true);
        let bytes = http::request("POST", Question::UrlConfigV1.path(), host, &fields, Some(&body));
        Prepared { place, bytes, sealed: None }
    }

    fn prepare_call(&mut self, ask: Ask, now: Duration) -> Option<Prepared> {
        let profile = self.profile;
        let key: Key = if ask.precedes_activation() {
            self.spec.auth_key.clone().into()
        } else {
            self.flash.registration.as_ref()?.sec_key.clone().into()
        };
        let t = self.run.clock.t(now);
        let action = Action::new(ask.name(profile))?;
        let mut call = Call::new(profile.path, action, t, profile.encryption);
        call.version = ask.version(profile).map(str::to_owned);
        match profile.generation {
            Generation::A | Generation::B => call.gw_id = Some(self.id().clone()),
            Generation::C if ask.precedes_activation() => call.uuid = Some(self.spec.uuid.clone()),
            Generation::C => call.dev_id = Some(self.id().clone()),
        }
        call.other = self.other(ask);
        let (place, host) = self.gateway()?;
        let body = self.body(ask, t).map(|json| {
            let text = json.to_string();
            call.form(&key, text.as_bytes(), &mut self.dice)
        });
        // Generation B asks for its token by GET (cloud.md 1.3).
        let method = if ask == Ask::Token && profile.generation == Generation::B { "GET" } else { "POST" };
        let target = call.target(&key);
        let body = match (&body, method) {
            (None, "POST") => Some(&b""[..]),
            (body, _) => body.as_ref().map(String::as_bytes),
        };
        let fields = self.fields(body.is_some());
        let bytes = http::request(method, &target, &host, &fields, body);
        Some(Prepared { place, bytes, sealed: Some((profile.encryption, key)) })
    }

    fn fields(&self, body: bool) -> Vec<(&'static str, &'static str)> {
        let form = ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8");
        self.profile.headers.iter().copied().chain(body.then_some(form)).collect()
    }

    /// Braces and quotes stand in the request line as they are (cloud.md 2.1).
    fn other(&self, ask: Ask) -> Option<String> {
        let pairing = self.flash.pairing.as_ref()?;
        let old = matches!(self.profile.generation, Generation::A | Generation::B);
        match ask {
            Ask::Token => Some(format!(
                r#"{{"token":"{}","region":"{}","tlinkStat":{{"configure":"smartconfig","time":0,"source":"ap","path":"broadcast"}}}}"#,
                pairing.token, pairing.region
            )),
            Ask::Activate if old => Some(format!(r#"{{"token":"{}"}}"#, pairing.token)),
            _ => None,
        }
    }

    fn body(&self, ask: Ask, t: u64) -> Option<serde_json::Value> {
        let id = self.id().as_str();
        let (profile, software) = (self.profile, self.flash.software.as_str());
        let old = profile.generation != Generation::C;
        let envelope = profile.envelope.as_str();
        let mut body = match ask {
            Ask::NameService | Ask::Fetch | Ask::Token => return None,
            Ask::Reset if old => return None,
            Ask::Activate if old => json!({
                "gwId": id, "gwVer": software, "devVer": software, "ability": 0, "gwEtag": "0000000000",
                "productKey": self.who.product.id, "productKeyStr": self.who.product.id,
                "bv": profile.baseline, "pv": envelope, "cdVer": "1.0.0",
            }),
            Ask::Activate => return serde_json::to_value(self.activation(t)).ok(),
            Ask::Config if profile.config_version == "1.0" => json!({}),
            Ask::Config => json!({"type": "[\"timezone\"]"}),
            Ask::ConfigAck if profile.config_version == "1.0" => {
                json!({"ackId": self.run.acks.first().map_or("", |(_, id)| id)})
            }
            Ask::ConfigAck => {
                let list = self.run.acks.iter().map(|(kind, id)| json!({"type": kind, "ackId": id}));
                json!({"ackList": list.collect::<Vec<_>>()})
            }
            Ask::PskKey | Ask::Reset => json!({}),
            Ask::GatewayUpdate => json!({
                "gwId": id, "verSw": software, "bv": profile.baseline, "pv": envelope, "cdVer": "1.0.0",
                "devAttribute": 515,
            }),
            // The fields of this one were never seen (cloud.md 2.8).
            Ask::DeviceUpdate => json!({"devId": id, "verSw": software}),
            Ask::DebugLog if old => json!({"data": 4}),
            Ask::DebugLog => json!({"data": "4"}),
            Ask::SilentUpgrade => json!({"subId": null}),
            Ask::Upgrade => json!({"type": self.run.channel}),
            Ask::UpgradeStatus(status) if profile.generation == Generation::A => {
                json!({"upgradeStatus": status})
            }
            Ask::UpgradeStatus(status) => json!({"type": self.run.channel, "upgradeStatus": status}),
            Ask::TimerCount if old => json!({"gwId": id}),
            Ask::TimerCount => {
                json!({"devId": id, "lastFetchTime": self.flash.timers.last_fetch.to_string()})
            }
            Ask::TimerGet(offset) => {
                json!({"devId": id, "offset": offset.to_string(), "limit": PAGE.to_string()})
            }
            Ask::TimerLog => json!({"devId": id, "timers": self.run.ran}),
            Ask::Versions => {
                let versions = json!([{"otaChannel": 0, "protocolVer": envelope,
                    "baselineVer": profile.baseline, "softVer": software}]);
                json!({"versions": versions.to_string()})
            }
            Ask::SchemaNewest => {
                let schema = self.flash.registration.as_ref().map_or("", |r| r.schema_id.as_str());
                json!({"schemaId": schema, "version": ""})
            }
        };
        // From C on every body carries the time (cloud.md 2.4).
        if !old {
            body["t"] = t.into();
        }
        Some(body)
    }

    fn activation(&self, t: u64) -> ActivationRequest {
        ActivationRequest {
            token: self.flash.pairing.as_ref().map(|p| p.token.clone()).unwrap_or_default(),
            soft_ver: Some(self.flash.software.clone()),
            product_id: ProductId::new(self.who.product.id).ok(),
            protocol_ver: Some(self.profile.envelope.as_str().to_owned()),
            baseline_ver: Some(self.profile.baseline.to_owned()),
            product_key_str: None,
            dev_id: self.flash.former_id.clone(),
            hid: None,
            modules: Some(r#"[{"type":9,"softVer":"1.0.7","online":true}]"#.to_owned()),
            options: Some(r#"{"isFK":false}"#.to_owned()),
            dev_attribute: Some(515),
            cad_ver: Some("1.0.2".to_owned()),
            cd_ver: Some("1.0.0".to_owned()),
            t: Some(t),
        }
    }

    /// The gateway: as told, else the vendor's name (cloud.md 1.1). With the host as it stands in `Host`.
    fn gateway(&self) -> Option<(Place, String)> {
        let told = &self.flash.endpoints;
        let psk = self.spec.psk != PskMode::Off;
        let url = match (psk.then_some(told.https_psk.as_deref()).flatten(), told.http.as_deref()) {
            (Some(url), _) | (None, Some(url)) => Url::parse(url)?,
            (None, None) => {
                let r = domain(&self.flash.region);
                let text = match self.profile.generation {
                    Generation::A if self.is_activated() => format!("http://a.tuya{r}.com/gw.json"),
                    Generation::A => format!("http://a.gw.tuya{r}.com/gw.json"),
                    Generation::B if psk => format!("https://a3.tuya{r}.com/gw.json"),
                    Generation::B => format!("http://a.gw.tuya{r}.com/gw.json"),
                    // Without the name service it does not know where its gateway is.
                    Generation::C => return None,
                };
                Url::parse(&text)?
            }
        };
        let transport = if url.tls { self.transport() } else { Transport::Plain };
        let usual = if url.tls { 443 } else { 80 };
        let host = if url.port == usual { url.host.clone() } else { format!("{}:{}", url.host, url.port) };
        Some((Place { host: url.host, port: url.port, transport }, host))
    }

    /// The broker. After some failures a device that was told several tries the other one (8886, then 1883).
    pub(super) fn broker(&self, attempt: u32) -> Option<Place> {
        let told = &self.flash.endpoints;
        let psk = self.spec.psk != PskMode::Off;
        let secure = told.mqtts_psk.as_deref().and_then(|text| host_port(text, 8886)).filter(|_| psk);
        let plain = told.mqtt.as_deref().and_then(|text| host_port(text, 1883));
        let r = domain(&self.flash.region);
        let (secure, plain) = match (secure, plain, self.profile.generation) {
            (None, None, Generation::A) => (None, Some((format!("mq.gw.tuya{r}.com"), 1883))),
            (None, None, Generation::B) if psk => (Some((format!("m2.tuya{r}.com"), 8886)), None),
            (None, None, Generation::B) => (None, Some((format!("mq.gw.tuya{r}.com"), 1883))),
            (secure, plain, _) => (secure, plain),
        };
        // Every fourth attempt in a row goes in clear, where generation B was told an address for that.
        let fall_back = attempt % 4 == 3 && plain.is_some() && self.profile.generation == Generation::B;
        match (secure.filter(|_| !fall_back), plain) {
            (Some((host, port)), _) => Some(Place { host, port, transport: self.transport() }),
            (None, Some((host, port))) => Some(Place { host, port, transport: Transport::Plain }),
            (None, None) => None,
        }
    }
}
