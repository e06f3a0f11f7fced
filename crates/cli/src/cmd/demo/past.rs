//! What the virtual home did before it was started: a month of energy and a day of readings, from the same loads that
//! its plugs feed now. The hub's own brain counts them, so that accounts, history and views agree.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use landfall_book::Book;
use landfall_hub::core::{Action, Core, Effect, Known, Moment, Settings};
use landfall_hub::model::{Facts, Line, LineState, Origin, Seq, What};
use landfall_hub::profile::{Definition, Definitions, KnownSchemas};
use landfall_hub::store::{Batch, EnergyRow, PointRow, SavedRow};
use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::id::DeviceId;
use landfall_sim::Home;
use landfall_sim::load::{Load, Mains};

/// How far back energy goes.
const MONTH: u64 = 30 * 86_400;
/// How far back readings go.
const DAY: u64 = 86_400;
/// Step of the readings, in seconds.
const STEP: u64 = 300;
/// Step of what came before, in seconds.
const HOUR: u64 = 3_600;
/// Loads are looked at this often, in seconds.
const LOOK: u64 = 60;
/// Rows of one transaction.
const ROWS: usize = 2_000;

/// What is to be stored.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What the hub shall remember when it starts.
    pub(super) saved: Vec<SavedRow>,
    /// History, in portions.
    pub(super) batches: Vec<Batch>,
}

/// A plug of the home.
struct Plug {
    id: DeviceId,
    load: Load,
    seed: u64,
    definition: Arc<Definition>,
    /// Energy that was not reported yet, in watt hours.
    owed: f64,
}

/// The month before `now` (seconds since 1970) of the plugs of this home, at a price in thousandths.
pub(super) fn of(home: &Home, book: &Book, now: u64, zone: &jiff::tz::TimeZone, price: u16) -> Past {
    let definitions = Definitions::built_in();
    let mut known = Vec::new();
    let mut plugs = Vec::new();
    for (n, spec) in home.devices.iter().map(|d| &d.spec).enumerate() {
        let Some(device) = book.by_id(&spec.id).filter(|_| spec.load != Load::None) else { continue };
        let facts = Facts {
            uuid: device.uuid.clone(),
            product_id: device.product_id.clone(),
            product_name: device.product_name.clone(),
            category: device.category.clone(),
            version: device.version,
            has_key: true,
            ..Facts::new(device.id.clone(), device.name.clone())
        };
        let definition = definitions.of(&facts, &KnownSchemas::of(device, None), &Dps::default());
        if definition.metering.is_none() {
            continue;
        }
        known.push(Known { facts: Arc::new(facts), definition: Arc::clone(&definition) });
        let seed = home.seed.wrapping_add(n as u64);
        plugs.push(Plug { id: device.id.clone(), load: spec.load, seed, definition, owed: 0.0 });
    }
    let settings = Settings {
        grace: Duration::from_secs(60),
        zone: zone.clone(),
        price_milli: Some(price.into()),
        last: Seq(0),
    };
    let mut past = Recorder { core: Core::new(settings), saved: HashMap::new(), batches: Vec::new() };
    let start = now.saturating_sub(MONTH) / HOUR * HOUR;
    past.apply(Action::Devices(known), start, start);
    for plug in &plugs {
        let (device, line, state) = (plug.id.clone(), Line::Lan, LineState::Up);
        past.apply(Action::Line { device, line, state, why: None, address: None }, start, start);
    }
    let mut at = start;
    while at < now {
        let step = if at + DAY < now { HOUR } else { STEP };
        at += step;
        if at >= now {
            break;
        }
        for plug in &mut plugs {
            let dps = plug.report(home.mains, at, step);
            let (device, line, origin) = (plug.id.clone(), Line::Lan, Origin::Pushed);
            let heard =
                Action::Heard { device, cid: None, line, origin, dps: Arc::new(dps), device_ms: None };
            past.apply(heard, start, at);
        }
    }
    past.end()
}

impl Plug {
    /// What it reports at `at`, seconds since 1970, after so many seconds.
    #[allow(clippy::cast_possible_truncation)] // readings of a plug
    fn report(&mut self, mains: Mains, at: u64, step: u64) -> Dps {
        let since = |t: u64| Duration::from_secs(t);
        let heating = mains.heating_watts();
        let mut look = at - step;
        while look < at {
            self.owed += self.load.draw(self.seed, since(look), heating).watts * LOOK as f64 / 3_600.0;
            look += LOOK;
        }
        let draw = self.load.draw(self.seed, since(at), heating);
        let volts = mains.volts(since(at));
        let mut dps = Dps::default();
        let metering = self.definition.metering.clone().unwrap_or_default();
        let mut put = |point: Option<(DpId, i64)>, thousandths: f64| {
            if let Some((id, scale)) = point.filter(|(_, scale)| *scale > 0) {
                dps.insert(id, DpValue::Value((thousandths / scale as f64).round() as i64));
            }
        };
        put(metering.power, draw.watts * 1_000.0);
        put(metering.voltage, volts * 1_000.0);
        put(metering.current, draw.amperes(volts) * 1_000_000.0);
        if let Some((id, scale)) = metering.delta
            && scale > 0
        {
            let count = (self.owed * 1_000.0 / scale as f64).floor();
            if count >= 1.0 {
                self.owed -= count * scale as f64 / 1_000.0;
                dps.insert(id, DpValue::Value(count as i64));
            }
        }
        dps
    }
}

/// Writes down what the brain tells.
struct Recorder {
    core: Core,
    saved: HashMap<Arc<DeviceId>, String>,
    batches: Vec<Batch>,
}

impl Recorder {
    fn apply(&mut self, action: Action, start: u64, at: u64) {
        let moment = Moment { mono: Duration::from_secs(at - start), unix_ms: at * 1_000 };
        let mut effects = Vec::new();
        self.core.apply(action, moment, &mut effects);
        if self.batches.last().is_none_or(|b| b.points.len() + b.energy.len() >= ROWS) {
            self.batches.push(Batch::default());
        }
        let Some(batch) = self.batches.last_mut() else { return };
        for effect in effects {
            match effect {
                Effect::Save { device, text } => {
                    self.saved.insert(device, text);
                }
                Effect::Publish(change) => {
                    let Some(device) = &change.device else { continue };
                    match &change.what {
                        What::Points { dps, changed, .. } => {
                            batch.points.extend(changed.iter().filter_map(|dp| {
                                let value = dps.value(*dp)?.clone();
                                Some(PointRow {
                                    device: Arc::clone(device),
                                    dp: *dp,
                                    at_ms: change.at_ms,
                                    value,
                                })
                            }));
                        }
                        What::Energy(energy) => batch.energy.push(EnergyRow {
                            device: Arc::clone(device),
                            at_ms: change.at_ms,
                            total: energy.total,
                        }),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn end(mut self) -> Past {
        for (device, text) in self.core.saved() {
            self.saved.insert(device, text);
        }
        let saved = self.saved.into_iter().map(|(device, text)| SavedRow { device, text }).collect();
        Past { saved, batches: self.batches }
    }
}
