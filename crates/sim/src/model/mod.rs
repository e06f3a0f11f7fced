//! What each kind of device does with its points. Pure: time comes in, changes come out.

mod bulb;
mod countdown;
mod cover;
mod feeder;
mod infrared;
mod meter;
mod plug;
mod points;
mod sensor;
mod switch;
mod thermostat;

use core::time::Duration;
use std::fmt;
use std::str::FromStr;

use landfall_proto::dp::{DpId, DpValue, Dps};
use landfall_proto::schema::{Access, MisfitError};
use serde::Serialize;

pub use points::Points;

use crate::kind::Kind;
use crate::load::{Load, Mains};
use crate::product::Product;

/// The behaviour of one device (or sub-device). All times are on the caller's monotonic clock, and may jump ahead.
pub trait DeviceModel: fmt::Debug + Send {
    /// The points as the device reports them.
    fn points(&self) -> &Points;
    /// The same, to change; changes collect in it until they are reported.
    fn points_mut(&mut self) -> &mut Points;

    /// A write that passed the firmware's checks ([`apply`]); also called when the value is the one that the point has.
    fn write(&mut self, dp: DpId, value: DpValue, now: Duration) {
        let _ = now;
        self.points_mut().set(dp, value);
    }

    /// Lets time pass up to `now`.
    fn tick(&mut self, now: Duration) {
        let _ = now;
    }

    /// When something is going to happen by itself; [`tick`](Self::tick) is to be called then.
    fn next_tick(&self) -> Option<Duration> {
        None
    }

    /// UPDATEDPS: measures these points afresh.
    fn measure(&mut self, dps: &[DpId], now: Duration) {
        let _ = (dps, now);
    }

    /// Somebody presses button `n` (from 1) on the device. False if it has no such button.
    fn press(&mut self, n: u8, now: Duration) -> bool {
        let _ = (n, now);
        false
    }

    /// What flowed through it since it was made, in watt-hours, up to the last tick: the truth, which no report shows.
    /// `None`: it measures none.
    fn flowed(&self) -> Option<f64> {
        None
    }

    /// So many watt-hours flow at once, beside what it draws. False if it measures none.
    fn use_energy(&mut self, watt_hours: u32, now: Duration) -> bool {
        let _ = (watt_hours, now);
        false
    }

    /// Mains power comes back after a cut.
    fn power_up(&mut self, now: Duration) {
        let _ = now;
    }
}

/// What surrounds a device.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// The device's own seed.
    pub seed: u64,
    /// The home's mains.
    pub mains: Mains,
    /// What is plugged in, for metering plugs.
    pub load: Load,
    /// How long a cover takes from shut to open.
    pub travel: Duration,
}

/// A model of this kind, fresh out of the box.
pub fn build(kind: Kind, around: Surroundings, now: Duration) -> Box<dyn DeviceModel> {
    let points = Points::new(Product::of(kind));
    match kind {
        Kind::PlugOld | Kind::PlugOldUsb | Kind::Plug => Box::new(plug::Plug::new(points, around, now)),
        Kind::Switch22 => Box::new(switch::Switch::new(points)),
        Kind::BulbOld => Box::new(bulb::Bulb::family_a(points)),
        Kind::Bulb => Box::new(bulb::Bulb::family_b(points)),
        Kind::Cover => Box::new(cover::Cover::new(points, around.travel)),
        Kind::Thermostat => Box::new(thermostat::Thermostat::new(points, around.seed, now)),
        Kind::BatterySensor => Box::new(sensor::Sensor::new(points, around.seed, now)),
        Kind::Feeder => Box::new(feeder::Feeder::new(points)),
        Kind::Infrared => Box::new(infrared::Infrared::new(points)),
        Kind::Fan | Kind::Dimmer | Kind::Gateway => Box::new(Plain(points)),
    }
}

/// Points without any behaviour.
#[derive(Debug)]
struct Plain(Points);

impl DeviceModel for Plain {
    fn points(&self) -> &Points {
        &self.0
    }
    fn points_mut(&mut self) -> &mut Points {
        &mut self.0
    }
}

/// What became of one value of a CONTROL.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// Done. `changed` is false when the point had that value already.
    Done {
        /// Whether the point's value is another now. Write-only points always count as changed.
        changed: bool,
    },
    /// Skipped without a word, as stock firmware does (lan.md 5.3.6).
    Skipped(MisfitError),
}

/// Does what stock firmware does with the values of a CONTROL: each one is checked by itself; unknown points, wrong
/// types, values out of range and read-only points are skipped silently; the rest acts (lan.md 5.3, sdk-observed 2).
pub fn apply(model: &mut dyn DeviceModel, dps: &Dps, now: Duration) -> Vec<(DpId, DpValue, Applied)> {
    model.tick(now);
    let product = model.points().product();
    dps.iter()
        .map(|(dp, value)| match check(product, dp, value) {
            Err(misfit) => (dp, value.clone(), Applied::Skipped(misfit)),
            Ok(checked) => {
                let before = model.points().value(dp).cloned();
                model.write(dp, checked.clone(), now);
                let changed = before.is_none_or(|before| !before.same_on_wire(&checked));
                (dp, checked, Applied::Done { changed })
            }
        })
        .collect()
}

/// A product without points (a gateway itself) knows none; an empty schema would let everything pass.
fn check(product: &'static Product, dp: DpId, value: &DpValue) -> Result<DpValue, MisfitError> {
    if product.points.is_empty() {
        return Err(MisfitError::UnknownPoint { dp, known: "none".to_owned() });
    }
    product.schema().check_write(dp, value.clone())
}

/// Something that happens to a device in the room where it is, not over the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Physical {
    /// Button `n`, from 1: what it does depends on the kind (a plug toggles its relay).
    Button(u8),
    /// A point takes a value, whoever writes it otherwise: a thermometer warms up, a wall remote dims.
    Value(DpId, DpValue),
    /// So many watt-hours flow at once, whatever is plugged in: for those who can't wait until it has used them.
    Energy(u32),
    /// Power is cut and comes back: ends every fault, wedge included.
    PowerCycle,
    /// The button is held until the device forgets its owner. Only devices with a cloud side do.
    Reset,
}

/// Why a physical action was not possible.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PhysicalError {
    /// There is no such button.
    #[error("a {kind} has no button {button}")]
    NoButton {
        /// The kind.
        kind: Kind,
        /// The button asked for.
        button: u8,
    },
    /// It measures no energy.
    #[error("a {0} measures no energy")]
    NoMeter(Kind),
    /// There is no such sub-device.
    #[error("no sub-device has the cid {0:?}")]
    NoSubDevice(String),
    /// The point can't take the value.
    #[error(transparent)]
    Misfit(#[from] MisfitError),
    /// It has no cloud side, or that is off.
    #[error("the device has no owner in a cloud to forget")]
    NoCloud,
    /// Not an action.
    #[error(
        "{0:?} is no physical action; try `button`, `button 2`, `1=true`, `energy 10`, `power-cycle` or `reset`"
    )]
    Unknown(String),
}

impl Physical {
    /// Does it. Power cycles and resets are the device's affair, not the model's, and change nothing here.
    ///
    /// # Errors
    /// No such button, no such point, or a value that does not fit.
    pub fn act(&self, model: &mut dyn DeviceModel, now: Duration) -> Result<(), PhysicalError> {
        model.tick(now);
        match self {
            Self::Button(button) => {
                if model.press(*button, now) {
                    return Ok(());
                }
                Err(PhysicalError::NoButton { kind: model.points().product().kind, button: *button })
            }
            Self::Value(dp, value) => {
                let product = model.points().product();
                let read_only = product.point(*dp).is_some_and(|p| p.access == Access::Ro);
                if read_only {
                    model.points_mut().set(*dp, value.clone());
                } else {
                    let checked = check(product, *dp, value)?;
                    model.write(*dp, checked, now);
                }
                Ok(())
            }
            Self::Energy(watt_hours) => {
                if model.use_energy(*watt_hours, now) {
                    return Ok(());
                }
                Err(PhysicalError::NoMeter(model.points().product().kind))
            }
            Self::PowerCycle | Self::Reset => Ok(()),
        }
    }
}

impl FromStr for Physical {
    type Err = PhysicalError;

    /// `button`, `button 2`, `energy 10` (watt-hours), `power-cycle`, `reset`, `DP=VALUE` (JSON or a plain word).
    fn from_str(s: &str) -> Result<Self, PhysicalError> {
        let unknown = || PhysicalError::Unknown(s.chars().take(60).collect());
        let s = s.trim();
        if s == "power-cycle" {
            return Ok(Self::PowerCycle);
        }
        if s == "reset" {
            return Ok(Self::Reset);
        }
        if let Some(n) = s.strip_prefix("button") {
            return match n.trim() {
                "" => Ok(Self::Button(1)),
                n => n.parse().map(Self::Button).map_err(|_| unknown()),
            };
        }
        if let Some(n) = s.strip_prefix("energy ") {
            return n.trim().parse().map(Self::Energy).map_err(|_| unknown());
        }
        let (dp, value) = s.split_once('=').ok_or_else(unknown)?;
        let dp = dp.trim().parse().map_err(|_| unknown())?;
        let value = value.trim();
        Ok(Self::Value(dp, serde_json::from_str(value).unwrap_or_else(|_| DpValue::text(value))))
    }
}

/// Why points changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A client wrote it.
    Written,
    /// It happened in the room.
    Physical,
    /// Time passed: a measurement, a countdown, a journey.
    Time,
    /// A client asked for a fresh measurement.
    Refreshed,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A model with usual surroundings at time 0.
    pub(crate) fn model(kind: Kind, load: Load) -> Box<dyn DeviceModel> {
        let around = Surroundings {
            seed: 5,
            mains: Mains { nominal: 230, seed: 5 },
            load,
            travel: Duration::from_secs(20),
        };
        build(kind, around, Duration::ZERO)
    }

    pub(crate) const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    pub(crate) fn dps(text: &str) -> Dps {
        serde_json::from_str(text).unwrap()
    }

    /// What a report with these changes would say.
    pub(crate) fn changes(model: &mut dyn DeviceModel) -> String {
        serde_json::to_string(&model.points_mut().take_changes()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{changes, dps, model, secs};
    use super::*;

    #[test]
    fn misfits_are_skipped_silently_and_the_rest_acts() {
        let mut plug = model(Kind::Plug, Load::None);
        let outcome = apply(
            &mut *plug,
            &dps(r#"{"1":"false","77":1,"19":5,"9":86401,"38":"maybe","40":"pos","41":true}"#),
            secs(1),
        );
        let kinds: Vec<_> =
            outcome.iter().map(|(dp, _, a)| (dp.0, matches!(a, Applied::Done { .. }))).collect();
        assert_eq!(
            kinds,
            [(1, false), (77, false), (19, false), (9, false), (38, false), (40, true), (41, true)]
        );
        assert_eq!(changes(&mut *plug), r#"{"40":"pos","41":true}"#);
    }

    #[test]
    fn unchanged_values_report_nothing() {
        let mut bulb = model(Kind::Bulb, Load::None);
        let outcome = apply(&mut *bulb, &dps(r#"{"20":true,"22":1000}"#), secs(1));
        assert!(outcome.iter().all(|(_, _, a)| *a == Applied::Done { changed: false }));
        assert_eq!(changes(&mut *bulb), "{}");
    }

    #[test]
    fn a_gateway_has_no_points_of_its_own() {
        let mut gateway = model(Kind::Gateway, Load::None);
        let outcome = apply(&mut *gateway, &dps(r#"{"1":true}"#), secs(1));
        assert!(matches!(outcome[0].2, Applied::Skipped(_)));
    }

    #[test]
    fn every_kind_survives_any_time_and_any_refresh() {
        for kind in Kind::ALL {
            let mut m = model(kind, Load::Fridge);
            let all: Vec<DpId> = (0..130).map(DpId).collect();
            for at in [0, 1, 1, 3, 60, 60, 86_400, 864_000, 1_000_000_000] {
                m.tick(secs(at));
                m.measure(&all, secs(at));
                if let Some(next) = m.next_tick() {
                    assert!(next > secs(at), "{kind}: a tick in the past is a busy loop");
                }
                for (dp, value) in m.points().values().iter() {
                    if let (Some(p), DpValue::Value(n)) = (Product::of(kind).point(dp), value)
                        && let crate::product::Shape::Value { min, max, .. } = p.shape
                    {
                        assert!((min..=max).contains(n), "{kind} {} = {n}", p.code);
                    }
                }
            }
        }
    }

    #[test]
    fn physical_actions_read_from_text() {
        assert_eq!("button".parse(), Ok(Physical::Button(1)));
        assert_eq!("button 2".parse(), Ok(Physical::Button(2)));
        assert_eq!("energy 12".parse(), Ok(Physical::Energy(12)));
        assert_eq!("power-cycle".parse(), Ok(Physical::PowerCycle));
        assert_eq!("reset".parse(), Ok(Physical::Reset));
        assert_eq!("22=500".parse(), Ok(Physical::Value(DpId(22), DpValue::Value(500))));
        assert_eq!("21=colour".parse(), Ok(Physical::Value(DpId(21), DpValue::text("colour"))));
        assert!("kick".parse::<Physical>().is_err());
        assert!("button x".parse::<Physical>().is_err());
    }

    #[test]
    fn somebody_turns_the_dial() {
        let mut sensor = model(Kind::BatterySensor, Load::None);
        Physical::Value(DpId(1), DpValue::Value(300)).act(&mut *sensor, secs(1)).unwrap();
        assert_eq!(changes(&mut *sensor), r#"{"1":300}"#);
        let error = Physical::Button(9).act(&mut *sensor, secs(1)).unwrap_err();
        assert_eq!(error.to_string(), "a battery-sensor has no button 9");
    }
}
