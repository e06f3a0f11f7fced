//! What a device makes of answers.

use core::time::Duration;

use landfall_proto::gateway::ErrorCode;
use landfall_proto::gateway::activation::Activation;
use landfall_proto::gateway::name_service::UrlConfigAnswer;
use landfall_proto::id::{DeviceId, PskKey};
use landfall_proto::json::{self, Raw};
use serde::Deserialize;

use super::boot::Verdict;
use super::calls::{Ask, PAGE};
use super::exchange::{CallError, Job};
use super::flash::{Endpoints, Registration};
use super::http::Response;
use super::place::{Url, host_port};
use super::profile::Generation;
use super::spec::PskMode;
use super::timers::{self, Count, Fetching, MAX_TIMERS, Timers};
use super::told::Told;
use super::zone::Zone;
use super::{CloudClient, CloudNews, Effect};
use crate::journal::{Life, Line};

/// Generation C asks for its configuration again and again until it gets one (cloud.md 1.3).
const CONFIG_AGAIN: Duration = Duration::from_secs(5);
/// Generation A asks for ever for a count of timers that it does not get (cloud.md 6.4).
const COUNT_AGAIN: Duration = Duration::from_secs(30);

/// The result of `s.gw.token.get`, as far as devices look at it.
#[derive(Deserialize)]
struct Places {
    #[serde(default, rename = "gwApiUrl", deserialize_with = "json::named")]
    http: Option<String>,
    #[serde(default, rename = "gwMqttUrl", deserialize_with = "json::named")]
    mqtt: Option<String>,
    #[serde(default, rename = "httpsPSKUrl", deserialize_with = "json::named")]
    https_psk: Option<String>,
    #[serde(default, rename = "mqttsPSKUrl", deserialize_with = "json::named")]
    mqtts_psk: Option<String>,
    #[serde(flatten)]
    zone: Zone,
}

/// What an activation says beside keys and schema.
#[derive(Deserialize)]
struct Aside {
    #[serde(default, rename = "resetFactory")]
    reset_factory: bool,
    #[serde(flatten)]
    zone: Zone,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "validTime", deserialize_with = "json::whole")]
    valid_time: Option<u64>,
    #[serde(default)]
    config: Zone,
    #[serde(default, rename = "ackId", deserialize_with = "json::named")]
    ack_id: Option<String>,
    #[serde(default)]
    timezone: Option<Box<Config>>,
}

#[derive(Deserialize)]
struct PskKeyResult {
    #[serde(default, rename = "pskKey")]
    key: String,
}

impl CloudClient {
    /// The name service answered.
    pub(super) fn located(&mut self, job: Job, response: &Response, now: Duration) {
        let result = if response.status == 200 {
            UrlConfigAnswer::parse(&response.body).map_err(|_| CallError::Poor("the form of an answer"))
        } else {
            Err(CallError::Status(response.status))
        };
        let found = result.and_then(|answer| {
            let addr = |key| answer.endpoint(key).map(|e| e.addr.clone()).filter(|a| !a.is_empty());
            let endpoints = Endpoints {
                http: addr("httpUrl"),
                https_psk: addr("httpsPSKUrl"),
                mqtt: addr("mqttUrl"),
                mqtts_psk: addr("mqttsPSKUrl"),
            };
            self.usable(&endpoints).map(|()| endpoints)
        });
        match found {
            Ok(endpoints) => {
                self.flash.endpoints = endpoints;
                self.was_answered();
                self.tell_call(job.ask, None);
                self.stepped(Verdict::Next, now);
            }
            Err(error) => self.answered(job, Err(error), now),
        }
    }

    /// Whether a device of this kind finds a gateway and a broker among these.
    fn usable(&self, endpoints: &Endpoints) -> Result<(), CallError> {
        let psk = self.spec.psk != PskMode::Off;
        let gateway = [endpoints.http.as_deref(), endpoints.https_psk.as_deref().filter(|_| psk)];
        let broker = [endpoints.mqtt.as_deref(), endpoints.mqtts_psk.as_deref().filter(|_| psk)];
        if !gateway.into_iter().flatten().any(|url| Url::parse(url).is_some()) {
            return Err(CallError::Poor("a gateway that the device can use"));
        }
        if !broker.into_iter().flatten().any(|at| host_port(at, 1883).is_some()) {
            return Err(CallError::Poor("a broker that the device can use"));
        }
        Ok(())
    }

    /// A call ended.
    pub(super) fn answered(&mut self, job: Job, result: Result<Option<Raw>, CallError>, now: Duration) {
        let verdict = match result {
            Err(CallError::Refused(code)) if code.unbinds() => {
                let why = format!("the answer to {} says {code}", job.ask.name(self.profile));
                self.tell_call(job.ask, Some(&CallError::Refused(code)));
                return self.forget(false, Life::Disaster { why }, now);
            }
            Err(error) => {
                self.tell_call(job.ask, Some(&error));
                Err(error)
            }
            Ok(result) => {
                let understood = self.understand(job.ask, result.as_ref(), now);
                self.tell_call(job.ask, understood.as_ref().err());
                understood
            }
        };
        // It may have been reset by what it heard.
        let still = job.ask.precedes_activation() || self.is_activated();
        let verdict = verdict.unwrap_or_else(|error| self.take_failure(job.ask, &error, now));
        if job.boot && still {
            self.stepped(verdict, now);
        }
    }

    /// What follows from a failure.
    fn take_failure(&mut self, ask: Ask, error: &CallError, now: Duration) -> Verdict {
        match ask {
            Ask::Activate | Ask::Token if is_expired(error) => {
                self.flash.pairing = None;
                Verdict::Stop
            }
            Ask::Config if matches!(error, CallError::Poor(_)) => Verdict::After(CONFIG_AGAIN),
            Ask::NameService | Ask::Token | Ask::Activate | Ask::Config => Verdict::Again,
            Ask::TimerCount if self.profile.generation == Generation::A => {
                let again = now + COUNT_AGAIN;
                self.run.next_count = Some(self.run.next_count.map_or(again, |at| at.min(again)));
                Verdict::Next
            }
            Ask::TimerGet(_) => {
                self.run.fetching = None;
                Verdict::Next
            }
            Ask::Reset => {
                self.forget(false, Life::Reset { by: Line::Room, wipe: false }, now);
                Verdict::Stop
            }
            Ask::UpgradeStatus(status) => {
                self.status_told(status, now);
                Verdict::Next
            }
            Ask::Fetch => {
                self.fetch_failed(now);
                Verdict::Next
            }
            _ => Verdict::Next,
        }
    }

    fn understand(&mut self, ask: Ask, result: Option<&Raw>, now: Duration) -> Result<Verdict, CallError> {
        match ask {
            Ask::Token => self.take_places(result),
            Ask::Activate => self.take_activation(result, now),
            Ask::Config => self.take_config(result),
            Ask::PskKey => {
                let key = result.and_then(|r| r.read::<PskKeyResult>().ok()).map(|r| r.key);
                // An empty one and the word NA leave the device with type 1.
                if let Some(key) = key.and_then(|k| PskKey::new(k).ok())
                    && self.spec.psk != PskMode::Off
                {
                    self.flash.psk_key = Some(key);
                }
                Ok(Verdict::Next)
            }
            Ask::SilentUpgrade | Ask::Upgrade => {
                self.take_offer(result, now);
                Ok(Verdict::Next)
            }
            Ask::UpgradeStatus(status) => {
                self.status_told(status, now);
                Ok(Verdict::Next)
            }
            Ask::TimerCount => self.take_count(result),
            Ask::TimerGet(offset) => self.take_timers(offset, result, now),
            Ask::TimerLog => {
                self.run.ran.clear();
                Ok(Verdict::Next)
            }
            Ask::Versions => {
                self.flash.told_software = Some(self.flash.software.clone());
                Ok(Verdict::Next)
            }
            Ask::Reset => {
                self.forget(false, Life::Reset { by: Line::Room, wipe: false }, now);
                Ok(Verdict::Stop)
            }
            Ask::ConfigAck => {
                self.run.acks.clear();
                Ok(Verdict::Next)
            }
            _ => Ok(Verdict::Next),
        }
    }

    fn take_places(&mut self, result: Option<&Raw>) -> Result<Verdict, CallError> {
        let places: Option<Places> = result.and_then(|r| r.read().ok());
        let places = places.ok_or(CallError::Poor("the addresses"))?;
        let secure = self.profile.generation == Generation::B;
        let endpoints = Endpoints {
            http: places.http,
            https_psk: places.https_psk.filter(|_| secure),
            mqtt: places.mqtt,
            mqtts_psk: places.mqtts_psk.filter(|_| secure),
        };
        self.usable(&endpoints)?;
        self.flash.endpoints = endpoints;
        self.flash.zone.update(places.zone);
        Ok(Verdict::Next)
    }

    fn take_activation(&mut self, result: Option<&Raw>, now: Duration) -> Result<Verdict, CallError> {
        let result = result.ok_or(CallError::Poor("a result"))?;
        let activation = Activation::parse(result).map_err(|_| CallError::Poor("keys that can be"))?;
        let told = Told::parse(&activation.schema).ok_or(CallError::Poor("a schema that can be read"))?;
        let aside: Aside = result.read().map_err(|_| CallError::Poor("sound settings"))?;
        if activation.schema_id.is_empty() || activation.schema_id.len() > 16 {
            return Err(CallError::Poor("a schema id of 1 to 16 characters"));
        }
        let id: DeviceId = match (self.profile.generation, activation.dev_id) {
            // The factory's id stays (cloud.md 1.4).
            (Generation::A | Generation::B, _) => self.who.id.clone(),
            (Generation::C, Some(id)) if id.as_str().len() <= 25 => id,
            (Generation::C, _) => return Err(CallError::Poor("a device id of at most 25 characters")),
        };
        self.flash.zone.update(aside.zone);
        self.flash.pairing = None;
        let registration = Registration {
            id: id.clone(),
            sec_key: activation.sec_key,
            local_key: activation.local_key.clone(),
            told: Some(told),
            schema_id: activation.schema_id,
        };
        self.flash.registration = Some(registration);
        self.tell(CloudNews::Activated { id: id.clone() });
        self.journal.life(now, Life::Activated { id: id.clone() });
        self.effect(Effect::Activated { id, key: activation.local_key });
        if aside.reset_factory && !std::mem::take(&mut self.flash.freshly_reset) {
            // A device that was not just reset by hand wipes itself again (cloud.md 1.5).
            let why = "the activation says resetFactory".to_owned();
            self.forget(true, Life::Disaster { why }, now);
            return Ok(Verdict::Stop);
        }
        self.flash.freshly_reset = false;
        Ok(Verdict::Next)
    }

    fn take_config(&mut self, result: Option<&Raw>) -> Result<Verdict, CallError> {
        let config: Option<Config> = result.and_then(|r| r.read().ok());
        let Some(config) = config else {
            // Generation B goes on without (cloud.md 2.8).
            let goes_on = self.profile.generation == Generation::B;
            return if goes_on { Ok(Verdict::Next) } else { Err(CallError::Poor("the configuration")) };
        };
        let second = self.profile.config_version != "1.0";
        // Version 2.0 asked for the time zone, and looks there.
        let config = match config.timezone {
            Some(inner) if second => *inner,
            _ => config,
        };
        self.run.valid_time = config.valid_time.or(self.run.valid_time);
        self.flash.zone.update(config.config);
        self.run.acks = config.ack_id.map(|id| ("timezone", id)).into_iter().collect();
        Ok(if self.run.acks.is_empty() { Verdict::Next } else { Verdict::Then(Ask::ConfigAck) })
    }

    fn take_count(&mut self, result: Option<&Raw>) -> Result<Verdict, CallError> {
        let verdict = Count::read(result).and_then(|c| c.verdict(&self.flash.timers));
        match verdict.ok_or(CallError::Poor("a count of timers"))? {
            timers::Verdict::Keep => {}
            timers::Verdict::Erase { last_fetch } => {
                self.flash.timers = Timers { last_fetch, list: Vec::new() };
                self.tell(CloudNews::Timers { count: 0 });
            }
            timers::Verdict::Fetch { count, last_fetch } => {
                self.run.fetching = Some(Fetching { count, last_fetch, got: Vec::new() });
                self.ask(Ask::TimerGet(0));
            }
        }
        Ok(Verdict::Next)
    }

    fn take_timers(
        &mut self,
        offset: u32,
        result: Option<&Raw>,
        now: Duration,
    ) -> Result<Verdict, CallError> {
        let page = timers::page(result).ok_or(CallError::Poor("the timers"))?;
        let Some(fetching) = self.run.fetching.as_mut() else { return Ok(Verdict::Next) };
        let last = page.is_empty();
        fetching.got.extend(page);
        let next = offset + PAGE;
        if !last && next < fetching.count && fetching.got.len() < MAX_TIMERS {
            self.ask(Ask::TimerGet(next));
            return Ok(Verdict::Next);
        }
        if let Some(mut fetched) = self.run.fetching.take() {
            fetched.got.truncate(MAX_TIMERS);
            let count = fetched.got.len();
            self.flash.timers = Timers { last_fetch: fetched.last_fetch, list: fetched.got };
            self.tell(CloudNews::Timers { count });
            self.skip_this_minute(now);
        }
        Ok(Verdict::Next)
    }
}

/// The token is of no use any more (cloud.md 2.7).
fn is_expired(error: &CallError) -> bool {
    let expired =
        |code: &ErrorCode| [ErrorCode::EXPIRE, "SING_VALIDATE_FALED_TOKEN_EXPIRE"].contains(&code.as_str());
    matches!(error, CallError::Refused(code) if expired(code))
}
