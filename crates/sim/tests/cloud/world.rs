//! A device and a scripted cloud on a virtual clock.

use std::time::Duration;

use landfall_proto::Now;
use landfall_proto::dp::Dps;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, SecKey, Uuid};
use landfall_proto::lan::Version;
use landfall_proto::mqtt::Stamp;
use landfall_sim::cloud::{
    CloudClient, CloudNews, CloudOutput, CloudSpec, Generation, LineId, Pairing, Profile,
};
use landfall_sim::device::{Output, VirtualDevice};
use landfall_sim::journal::Life;
use landfall_sim::kind::Kind;
use landfall_sim::news::News;
use landfall_sim::spec::DeviceSpec;
use serde_json::{Value, json};

use crate::stand::{AUTH_KEY, EPOCH, LOCAL_KEY, SEC_KEY, Stand};

pub(crate) const S: fn(u64) -> Duration = Duration::from_secs;
pub(crate) const HOUR: u64 = 3_600;
/// The id from the factory.
pub(crate) const FACTORY_ID: &str = "02200194dc4f22135606";

/// The device's wall clock is of no use to it: it must learn the time from answers.
pub(crate) fn at(mono: Duration) -> Now {
    Now::new(mono, 0)
}

/// The seed's plug, never activated.
pub(crate) fn spec(generation: Generation) -> DeviceSpec {
    let id = DeviceId::new(FACTORY_ID).unwrap();
    let mut spec = DeviceSpec::new(id, LocalKey::new(LOCAL_KEY).unwrap(), Version::V3_3, Kind::PlugOld);
    let uuid = Uuid::new("uuidtest0001abcd").unwrap();
    spec.cloud = Some(CloudSpec::new(generation, uuid, AuthKey::new(AUTH_KEY).unwrap()));
    spec
}

pub(crate) fn activated(generation: Generation) -> DeviceSpec {
    let mut spec = spec(generation);
    spec.cloud.as_mut().unwrap().sec_key = SecKey::new(SEC_KEY).ok();
    spec
}

pub(crate) fn pairing() -> Pairing {
    Pairing::new("EU", "AbCdEfGh").unwrap()
}

pub(crate) struct World {
    pub(crate) device: VirtualDevice,
    pub(crate) stand: Stand,
    pub(crate) now: Duration,
    pub(crate) news: Vec<(Duration, News)>,
    /// Frames for a client on the LAN.
    pub(crate) frames: Vec<Vec<u8>>,
}

impl World {
    /// Switches the device on in a world where the stand is what its cloud looks like.
    pub(crate) fn new(spec: DeviceSpec) -> Self {
        Self::with(spec, |_| ())
    }

    pub(crate) fn with(spec: DeviceSpec, script: impl FnOnce(&mut Stand)) -> Self {
        let generation = spec.cloud.as_ref().unwrap().generation;
        let mut stand = Stand::new(Profile::of(generation).envelope);
        script(&mut stand);
        let mut device = VirtualDevice::new(spec, 3, at(Duration::ZERO));
        device.join_cloud(3, at(Duration::ZERO));
        let mut world = Self { device, stand, now: Duration::ZERO, news: Vec::new(), frames: Vec::new() };
        world.settle();
        world
    }

    /// A device paired at its first start, run until it is online.
    pub(crate) fn online(generation: Generation) -> Self {
        let mut world = Self::new(activated(generation));
        world.run(S(5));
        assert!(world.device.is_online(), "{:?}", world.cloud_news());
        world
    }

    pub(crate) fn settle(&mut self) {
        let now = at(self.now);
        loop {
            match self.device.poll_output(now) {
                Output::Wait(_) => return,
                Output::News(news) => self.news.push((self.now, news)),
                Output::Transmit { frame, .. } => self.frames.push(frame),
                Output::Cloud(output) => self.carry(output, now),
                _ => {}
            }
        }
    }

    pub(crate) fn carry(&mut self, output: CloudOutput, now: Now) {
        match output {
            CloudOutput::Open { line, place } => {
                if self.stand.open(line, place, now.mono) {
                    self.device.handle_cloud_opened(line, now);
                } else {
                    self.device.handle_cloud_failed(line, "connection refused", now);
                }
            }
            CloudOutput::Write { line, bytes } => {
                let (bytes, closes) = self.stand.input(line, &bytes, now.mono);
                if !bytes.is_empty() {
                    self.device.handle_cloud_input(line, &bytes, now);
                }
                if closes {
                    self.hang_up(line);
                }
            }
            CloudOutput::Close { line } => self.stand.close(line),
            other => panic!("the device keeps this to itself: {other:?}"),
        }
    }

    /// The cloud closes a connection.
    pub(crate) fn hang_up(&mut self, line: LineId) {
        self.stand.close(line);
        self.device.handle_cloud_closed(line, at(self.now));
    }

    /// The broker goes away.
    pub(crate) fn hang_up_mqtt(&mut self) {
        let line = self.stand.mqtt_line().unwrap();
        self.hang_up(line);
        self.settle();
    }

    /// Runs to `until`, stopping at each of the device's deadlines.
    pub(crate) fn run(&mut self, until: Duration) {
        let mut calls = 0;
        loop {
            self.settle();
            let Output::Wait(deadline) = self.device.poll_output(at(self.now)) else { continue };
            if deadline > until {
                self.now = until;
                return;
            }
            calls = if deadline > self.now { 0 } else { calls + 1 };
            assert!(calls < 100, "the device is busy for nothing at {:?}", self.now);
            self.now = deadline.max(self.now);
            self.device.handle_timeout(at(self.now));
        }
    }

    pub(crate) fn run_for(&mut self, seconds: u64) {
        self.run(self.now + S(seconds));
    }

    /// Runs until something is so, for at most so many seconds.
    pub(crate) fn until(&mut self, seconds: u64, mut so: impl FnMut(&Self) -> bool) {
        let end = self.now + S(seconds);
        while !so(self) {
            assert!(self.now < end, "it did not come: {:?}", self.cloud_news());
            self.run((self.now + S(1)).min(end));
        }
    }

    pub(crate) fn client(&self) -> &CloudClient {
        self.device.cloud().unwrap()
    }

    /// What time it is.
    pub(crate) fn unix(&self) -> u64 {
        EPOCH + self.now.as_secs()
    }

    /// The cloud sends a message: `protocol`, `data`, and the time as it is.
    pub(crate) fn send(&mut self, protocol: u32, data: &Value) {
        let json = json!({"protocol": protocol, "t": self.unix(), "data": data});
        self.send_json(&json);
    }

    pub(crate) fn send_json(&mut self, json: &Value) {
        let bytes = self.stand.message(json);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_as(&mut self, json: &Value, stamp: Stamp) {
        let bytes = self.stand.message_as(json, stamp);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let line = self.stand.mqtt_line().expect("the device is connected");
        self.device.handle_cloud_input(line, bytes, at(self.now));
        self.settle();
    }

    /// The cloud sets points.
    pub(crate) fn set(&mut self, dps: &str) {
        let dps: Value = serde_json::from_str(dps).unwrap();
        let id = self.device.spec().id.clone();
        self.send(5, &json!({"devId": id, "dps": dps}));
    }

    /// Reports since `from`, each as its dps.
    pub(crate) fn reports(&self, from: usize) -> Vec<String> {
        let reports = self.stand.heard[from..].iter().filter(|h| h.protocol() == 4);
        reports.map(|h| h.json["data"]["dps"].to_string()).collect()
    }

    pub(crate) fn points(&self) -> Dps {
        self.device.points(None).unwrap().clone()
    }

    pub(crate) fn cloud_news(&self) -> Vec<&CloudNews> {
        self.news
            .iter()
            .filter_map(|(_, n)| match n {
                News::Cloud { news } => Some(news),
                _ => None,
            })
            .collect()
    }

    /// Why messages were dropped, the last one.
    pub(crate) fn dropped(&self) -> Option<&str> {
        self.cloud_news().into_iter().rev().find_map(|n| match n {
            CloudNews::Dropped { why } => Some(why.as_str()),
            _ => None,
        })
    }

    pub(crate) fn life(&self) -> Vec<String> {
        self.device.journal().turns().into_iter().map(|(_, l): (_, Life)| l.to_string()).collect()
    }
}
