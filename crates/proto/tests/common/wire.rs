//! Two parties on a virtual clock: our client, our device, and a network between them that a seed makes good or bad.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use landfall_proto::Now;
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::Version;
use landfall_proto::lan::body::{SUBDEVICES_QUERY, SubdevicesOnline, subdevices_report};
use landfall_proto::lan::device::{
    DeviceConfig, DeviceError, DeviceEvent, DeviceOutput, DeviceSession, Ticket,
};
use landfall_proto::lan::session::{
    Answer, CloseReason, Config, Event, Origin, Output, Request, RequestError, RequestId, Session, Timing,
};

use super::Script;

pub const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
pub const OTHER_KEY: &str = "0123456789abcdef";
pub const ID: &str = "bf0123456789abcdefvx01";

/// What TCP over bad Wi-Fi does to bytes: they arrive late, cut and glued, or the connection ends. Never out of order.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub seed: u64,
    /// Milliseconds on the way, from and to.
    pub latency: (u64, u64),
    /// Cut what is written into pieces of at most so many bytes.
    pub pieces: Option<usize>,
}

impl Network {
    pub const GOOD: Self = Self { seed: 1, latency: (1, 1), pieces: None };
    pub const fn bad(seed: u64) -> Self {
        Self { seed, latency: (1, 400), pieces: Some(40) }
    }
}

/// What the device is, and how it behaves above the protocol.
#[derive(Clone, Debug)]
pub struct Model {
    pub points: Dps,
    /// Sub-devices with their points.
    pub children: Vec<(Cid, Dps)>,
    /// Push the changed points before the acknowledgement.
    pub push_first: bool,
    /// No push at all.
    pub mute: bool,
    /// No acknowledgement of UPDATEDPS either, as the vendor's 3.5 code.
    pub ignores_refresh: bool,
    /// An empty reply to a query first, then the points by STATUS.
    pub query_by_status: bool,
    /// Refuse every set with this text.
    pub refuses: Option<DeviceError>,
    /// Answer nothing at all.
    pub dead: bool,
    /// Answer queries in pairs, the second one first.
    pub answers_backwards: bool,
    /// Push the effect of a set, keep its acknowledgement back ([`Wire::release`]) and answer nothing from then on.
    pub keeps_ack: bool,
    /// Every write that was applied, in order.
    pub journal: Vec<(Option<Cid>, Dps)>,
}

impl Default for Model {
    fn default() -> Self {
        let values = [
            (1, DpValue::Bool(true)),
            (9, DpValue::Value(0)),
            (18, DpValue::Value(120)),
            (19, DpValue::Value(250)),
            (20, DpValue::Value(2301)),
            (38, DpValue::text("memory")),
        ];
        Self {
            points: values.into_iter().map(|(id, v)| (DpId(id), v)).collect(),
            children: Vec::new(),
            push_first: false,
            mute: false,
            ignores_refresh: false,
            query_by_status: false,
            refuses: None,
            dead: false,
            answers_backwards: false,
            keeps_ack: false,
            journal: Vec::new(),
        }
    }
}

impl Model {
    fn part(&mut self, cid: Option<&Cid>) -> Option<&mut Dps> {
        match cid {
            None => Some(&mut self.points),
            Some(cid) => self.children.iter_mut().find(|(c, _)| c == cid).map(|(_, d)| d),
        }
    }
}

/// A segment on its way. `None`: the end of the connection.
type Segment = (Duration, Option<Vec<u8>>);

pub struct Wire {
    pub client: Session,
    pub device: DeviceSession,
    pub model: Model,
    pub now: Duration,
    network: Network,
    dice: Script,
    client_dice: Script,
    device_dice: Script,
    to_device: VecDeque<Segment>,
    to_client: VecDeque<Segment>,
    /// All news of the client, with their time.
    pub events: Vec<(Duration, Event)>,
    /// All news of the device.
    pub device_events: Vec<DeviceEvent>,
    /// All frames that each side wrote.
    pub from_client: Vec<(Duration, Vec<u8>)>,
    pub from_device: Vec<(Duration, Vec<u8>)>,
    steps: usize,
    kept: Vec<(Ticket, Option<Cid>)>,
    /// Everything that is sent vanishes: the other end is gone without a word.
    pub hole: bool,
    /// Flip a bit of the n-th segment from now on.
    pub damage: Option<usize>,
}

pub fn config(version: Version) -> Config {
    Config {
        device_id: DeviceId::new(ID).expect("an id"),
        key: LocalKey::new(KEY).expect("a key"),
        version,
        device22: false,
        device22_points: vec![DpId(1), DpId(18)],
        timing: Timing::default(),
    }
}

pub fn device_config(version: Version) -> DeviceConfig {
    DeviceConfig::new(DeviceId::new(ID).expect("an id"), LocalKey::new(KEY).expect("a key"), version)
}

pub fn now(mono: Duration) -> Now {
    Now::new(mono, 1_700_000_000 + mono.as_secs())
}

impl Wire {
    pub fn new(version: Version) -> Self {
        Self::with(config(version), device_config(version), Model::default(), Network::GOOD)
    }

    pub fn with(client: Config, device: DeviceConfig, model: Model, network: Network) -> Self {
        let dice = (Script::seeded(network.seed * 3 + 1), Script::seeded(network.seed * 5 + 2));
        Self::with_dice(client, device, model, network, dice)
    }

    /// With the dice of client and device as written.
    pub fn with_dice(
        client: Config,
        device: DeviceConfig,
        model: Model,
        network: Network,
        (mut client_dice, mut device_dice): (Script, Script),
    ) -> Self {
        let start = Duration::from_secs(3);
        Self {
            client: Session::new(Arc::new(client), now(start), &mut client_dice),
            device: DeviceSession::new(device, now(start), &mut device_dice),
            model,
            now: start,
            network,
            dice: Script::seeded(network.seed),
            client_dice,
            device_dice,
            to_device: VecDeque::new(),
            to_client: VecDeque::new(),
            events: Vec::new(),
            device_events: Vec::new(),
            from_client: Vec::new(),
            from_device: Vec::new(),
            steps: 0,
            kept: Vec::new(),
            hole: false,
            damage: None,
        }
    }

    pub fn request(&mut self, request: Request) -> RequestId {
        let id = self.client.request(request, now(self.now));
        self.pump();
        id
    }

    pub fn query(&mut self) -> RequestId {
        self.request(Request::Query { cid: None })
    }

    pub fn set(&mut self, dp: u16, value: DpValue) -> RequestId {
        self.request(Request::Set { cid: None, dps: [(DpId(dp), value)].into_iter().collect() })
    }

    /// The device speaks by itself.
    pub fn push(&mut self, cid: Option<&Cid>, dps: &Dps) {
        self.device.push(cid, dps, now(self.now));
        self.pump();
    }

    /// The acknowledgements that were kept back go out.
    pub fn release(&mut self) {
        for (ticket, _) in self.kept.drain(..) {
            self.device.ack(ticket);
        }
        self.pump();
    }

    /// The device's end of the connection goes away.
    pub fn cut(&mut self) {
        let at = self.arrival(false);
        self.to_client.push_back((at, None));
    }

    /// Bytes of somebody else reach the client.
    pub fn inject_to_client(&mut self, bytes: &[u8]) {
        let at = self.arrival(false);
        self.to_client.push_back((at, Some(bytes.to_vec())));
    }

    /// Bytes of somebody else reach the device.
    pub fn inject_to_device(&mut self, bytes: &[u8]) {
        let at = self.arrival(true);
        self.to_device.push_back((at, Some(bytes.to_vec())));
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let waits = self.pump();
            let next = [Some(waits.0), Some(waits.1), front(&self.to_client), front(&self.to_device)]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Duration::MAX);
            if next > until {
                self.now = until;
                return;
            }
            self.steps += 1;
            assert!(self.steps < 200_000, "a busy loop at {:?}", self.now);
            self.now = self.now.max(next);
            self.deliver();
            if waits.0 <= self.now {
                self.client.handle_timeout(now(self.now));
            }
            if waits.1 <= self.now {
                self.device.handle_timeout(now(self.now));
            }
        }
    }

    pub fn run_s(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn deliver(&mut self) {
        while front(&self.to_device).is_some_and(|t| t <= self.now) {
            match self.to_device.pop_front() {
                Some((_, Some(bytes))) => self.device.handle_input(&bytes, now(self.now)),
                _ => self.device.handle_close(),
            }
        }
        while front(&self.to_client).is_some_and(|t| t <= self.now) {
            match self.to_client.pop_front() {
                Some((_, Some(bytes))) => self.client.handle_input(&bytes, now(self.now)),
                _ => self.client.handle_close(now(self.now)),
            }
        }
    }

    /// Takes all output of both; returns their deadlines.
    fn pump(&mut self) -> (Duration, Duration) {
        loop {
            let client = loop {
                match self.client.poll_output(now(self.now), &mut self.client_dice) {
                    Output::Wait(until) => break until,
                    Output::Event(event) => {
                        if matches!(event, Event::Closed(_)) && !self.hole {
                            let at = self.arrival(true);
                            self.to_device.push_back((at, None));
                        }
                        self.events.push((self.now, event));
                    }
                    Output::Transmit(bytes) => {
                        self.from_client.push((self.now, bytes.clone()));
                        self.send(true, &bytes);
                    }
                }
            };
            let mut served = false;
            let device = loop {
                match self.device.poll_output(now(self.now), &mut self.device_dice) {
                    DeviceOutput::Wait(until) => break until,
                    DeviceOutput::Event(event) => {
                        served = true;
                        self.device_events.push(event.clone());
                        self.serve(event);
                    }
                    DeviceOutput::Transmit(bytes) => {
                        self.from_device.push((self.now, bytes.clone()));
                        self.send(false, &bytes);
                    }
                }
            };
            if !served {
                return (client, device);
            }
        }
    }

    fn arrival(&mut self, to_device: bool) -> Duration {
        let (from, to) = self.network.latency;
        let ms = from + u64::from(landfall_proto::Entropy::u32(&mut self.dice)) % (to - from + 1);
        let queue = if to_device { &self.to_device } else { &self.to_client };
        // TCP keeps the order.
        (self.now + Duration::from_millis(ms)).max(queue.back().map_or(Duration::ZERO, |s| s.0))
    }

    fn send(&mut self, to_device: bool, bytes: &[u8]) {
        if self.hole {
            return;
        }
        let mut bytes = bytes.to_vec();
        match &mut self.damage {
            Some(0) => {
                let bit = landfall_proto::Entropy::u32(&mut self.dice) as usize % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                self.damage = None;
            }
            Some(n) => *n -= 1,
            None => {}
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = match self.network.pieces {
                None => rest.len(),
                Some(most) => {
                    1 + landfall_proto::Entropy::u32(&mut self.dice) as usize % most.min(rest.len())
                }
            };
            let (piece, more) = rest.split_at(n.min(rest.len()));
            let at = self.arrival(to_device);
            let queue = if to_device { &mut self.to_device } else { &mut self.to_client };
            queue.push_back((at, Some(piece.to_vec())));
            rest = more;
        }
    }

    /// The device's owner at work.
    fn serve(&mut self, event: DeviceEvent) {
        let at = now(self.now);
        if self.model.dead {
            return;
        }
        match event {
            DeviceEvent::Ready => {}
            DeviceEvent::Closed(_) if self.hole => {}
            DeviceEvent::Closed(_) => {
                let at = self.arrival(false);
                self.to_client.push_back((at, None));
            }
            DeviceEvent::Query { ticket, cid } if self.model.answers_backwards => {
                self.kept.push((ticket, cid));
                if self.kept.len() == 2 {
                    while let Some((ticket, cid)) = self.kept.pop() {
                        if let Some(points) = self.model.part(cid.as_ref()) {
                            self.device.reply_points(ticket, cid.as_ref(), points);
                        }
                    }
                }
            }
            DeviceEvent::Set { ticket, cid, dps } if self.model.keeps_ack => {
                self.device.push(cid.as_ref(), &dps, at);
                self.kept.push((ticket, cid));
                self.model.dead = true;
            }
            DeviceEvent::Query { ticket, cid } => match self.model.part(cid.as_ref()).cloned() {
                None => self.device.reply_error(ticket, DeviceError::DevIdNotFound),
                Some(points) if self.model.query_by_status => {
                    self.device.reply_body(ticket, 0, &[]);
                    self.device.push(cid.as_ref(), &points, at);
                }
                Some(points) => self.device.reply_points(ticket, cid.as_ref(), &points),
            },
            DeviceEvent::Set { ticket, .. } if self.model.refuses.is_some() => {
                self.device.reply_error(ticket, self.model.refuses.expect("just seen"));
            }
            DeviceEvent::Set { ticket, cid, dps } => {
                let Some(points) = self.model.part(cid.as_ref()) else {
                    return self.device.reply_error(ticket, DeviceError::DevIdNotFound);
                };
                let asked: Vec<(DpId, DpValue)> =
                    dps.asked().iter().filter_map(|id| Some((*id, points.value(*id)?.clone()))).collect();
                points.merge(&dps);
                let shown: Dps = asked.into_iter().chain(dps.iter().map(|(id, v)| (id, v.clone()))).collect();
                if !dps.is_empty() {
                    self.model.journal.push((cid.clone(), dps));
                }
                if self.model.push_first && !self.model.mute {
                    self.device.push(cid.as_ref(), &shown, at);
                }
                self.device.ack(ticket);
                if !self.model.push_first && !self.model.mute {
                    self.device.push(cid.as_ref(), &shown, at);
                }
            }
            DeviceEvent::Refresh { .. } if self.model.ignores_refresh => {}
            DeviceEvent::Refresh { ticket, cids, points } => {
                self.device.ack(ticket);
                let cid = cids.first();
                if let Some(part) = self.model.part(cid) {
                    let shown: Dps =
                        points.iter().filter_map(|id| Some((*id, part.value(*id)?.clone()))).collect();
                    self.device.push(cid, &shown, at);
                }
            }
            DeviceEvent::Extension { ticket, req_type, .. } => {
                self.device.ack(ticket);
                if req_type == SUBDEVICES_QUERY && !self.model.children.is_empty() {
                    let online = self.model.children.iter().map(|(c, _)| c.clone()).collect();
                    let report = SubdevicesOnline { online, offline: Vec::new() };
                    self.device.push_extension(&subdevices_report(&report));
                }
            }
            DeviceEvent::Other { ticket, .. } => self.device.reply_unknown(ticket),
        }
    }

    // What was seen.

    pub fn result(&self, id: RequestId) -> Option<&Result<Answer, RequestError>> {
        let mut found = self.events.iter().filter_map(|(_, e)| match e {
            Event::Done { id: i, result } if *i == id => Some(result),
            _ => None,
        });
        let first = found.next();
        assert!(found.next().is_none(), "{id:?} ended twice");
        first
    }

    pub fn done_at(&self, id: RequestId) -> Option<Duration> {
        self.events.iter().find_map(|(t, e)| matches!(e, Event::Done { id: i, .. } if *i == id).then_some(*t))
    }

    pub fn reports(&self, origin: Origin) -> Vec<&landfall_proto::lan::body::Report> {
        self.events
            .iter()
            .filter_map(|(_, e)| match e {
                Event::Report { report, origin: o } if *o == origin => Some(report),
                _ => None,
            })
            .collect()
    }

    pub fn closed(&self) -> Option<&CloseReason> {
        self.events.iter().find_map(|(_, e)| match e {
            Event::Closed(why) => Some(why),
            _ => None,
        })
    }

    pub fn count(&self, wanted: &Event) -> usize {
        self.events.iter().filter(|(_, e)| e == wanted).count()
    }

    /// Sequence numbers of frames.
    pub fn sequences(frames: &[(Duration, Vec<u8>)]) -> Vec<(u32, u32)> {
        frames
            .iter()
            .map(|(_, f)| {
                let at = if f[..4] == [0, 0, 0x66, 0x99] { 6 } else { 4 };
                let word = |at: usize| u32::from_be_bytes(f[at..at + 4].try_into().expect("four bytes"));
                (word(at + 4), word(at))
            })
            .collect()
    }
}

fn front(queue: &VecDeque<Segment>) -> Option<Duration> {
    queue.front().map(|s| s.0)
}
