//! What is plugged in: load curves and mains voltage as functions of a seed and a time, nothing else.

use core::time::Duration;
use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use crate::dice::hashed_unit;

/// Something that draws power behind a metering plug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Nothing plugged in.
    None,
    /// A compressor that runs a third of the time, with a start-up peak and a poor power factor.
    Fridge,
    /// A programme of some 90 minutes (heating, tumbling, spinning), then a pause.
    WashingMachine,
    /// Long pauses, then two to four minutes at full power; nearly resistive.
    Kettle,
    /// A power supply with nothing to do: a watt or two at a miserable power factor.
    Standby,
    /// A lamp: steady.
    Lamp,
}

/// Real power and how much of the apparent power it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Watts.
    pub watts: f64,
    /// Watts divided by volt-amperes, above 0 and at most 1.
    pub power_factor: f64,
}

impl Draw {
    /// Nothing flows.
    pub const NOTHING: Self = Self { watts: 0.0, power_factor: 1.0 };

    /// The current at this voltage, in amperes. Volts times amperes is not watts.
    pub fn amperes(self, volts: f64) -> f64 {
        if self.watts <= 0.0 || volts <= 0.0 { 0.0 } else { self.watts / (volts * self.power_factor) }
    }
}

impl Load {
    /// All loads.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Fridge, Self::WashingMachine, Self::Kettle, Self::Standby, Self::Lamp];

    /// The load's name in a home file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fridge => "fridge",
            Self::WashingMachine => "washing-machine",
            Self::Kettle => "kettle",
            Self::Standby => "standby",
            Self::Lamp => "lamp",
        }
    }

    /// What the load draws at time `at`. `heating` is the full power of a heating element (kettle, washing machine),
    /// which depends on the country's mains: see [`Mains::heating_watts`].
    pub fn draw(self, seed: u64, at: Duration, heating: f64) -> Draw {
        let t = at.as_secs_f64();
        match self {
            Self::None => Draw::NOTHING,
            Self::Fridge => fridge(seed, t),
            Self::WashingMachine => washing_machine(seed, t, heating),
            Self::Kettle => kettle(seed, t, heating),
            Self::Standby => Draw {
                watts: 1.4 + 0.5 * wander(seed, t, 40.0),
                power_factor: 0.42 + 0.03 * wander(seed ^ 1, t, 90.0),
            },
            Self::Lamp => Draw { watts: 9.2 + 0.1 * wander(seed, t, 60.0), power_factor: 0.57 },
        }
    }
}

fn fridge(seed: u64, t: f64) -> Draw {
    let period = 2_400.0 + 900.0 * hashed_unit(seed, 1);
    let (_, into) = cycle(t + period * hashed_unit(seed, 2), period);
    if into > 0.36 * period {
        // The electronics and nothing else.
        return Draw { watts: 1.1 + 0.2 * wander(seed, t, 30.0), power_factor: 0.38 };
    }
    let inrush = 260.0 * (-into / 1.5).exp();
    let settling = 18.0 * (-into / 300.0).exp();
    Draw {
        watts: 82.0 + inrush + settling + 2.0 * wander(seed, t, 20.0),
        power_factor: 0.62 + 0.02 * wander(seed, t, 60.0),
    }
}

fn kettle(seed: u64, t: f64, heating: f64) -> Draw {
    let period = 1_500.0 + 900.0 * hashed_unit(seed, 1);
    let (n, into) = cycle(t + period * hashed_unit(seed, 2), period);
    let boil = 120.0 + 120.0 * hashed_unit(seed ^ 3, n);
    if into < boil {
        Draw { watts: heating * (0.985 + 0.01 * wander(seed, t, 15.0)), power_factor: 0.99 }
    } else {
        Draw::NOTHING
    }
}

fn washing_machine(seed: u64, t: f64, heating: f64) -> Draw {
    let period = 3.0 * 3_600.0;
    let (_, into) = cycle(t + period * hashed_unit(seed, 2), period);
    let drum = |watts: f64, every: f64| {
        // The drum turns, rests, turns the other way.
        let (_, phase) = cycle(into, every);
        if phase < 0.7 * every { watts * (1.0 + 0.15 * wander(seed, t, 3.0)) } else { 6.0 }
    };
    let (watts, power_factor) = match into / 60.0 {
        m if m < 4.0 => (drum(35.0, 14.0), 0.48),
        m if m < 24.0 => (heating * 0.93 + drum(90.0, 14.0), 0.97),
        m if m < 62.0 => (drum(150.0, 14.0), 0.58),
        m if m < 78.0 => (drum(110.0, 20.0), 0.55),
        m if m < 90.0 => (380.0 + 40.0 * wander(seed, t, 8.0), 0.61),
        _ => (1.6 + 0.3 * wander(seed, t, 40.0), 0.41),
    };
    Draw { watts: watts.max(0.5), power_factor }
}

/// The number of the cycle and the seconds into it.
fn cycle(t: f64, period: f64) -> (u64, f64) {
    let n = (t / period).floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (n.max(0.0) as u64, (t - n * period).max(0.0))
}

/// Smooth noise in `-1.0..=1.0` that changes its mind every `step` seconds.
fn wander(seed: u64, t: f64, step: f64) -> f64 {
    let (n, into) = cycle(t, step);
    let (a, b) = (hashed_unit(seed, n), hashed_unit(seed, n + 1));
    let f = into / step;
    let smooth = f * f * (3.0 - 2.0 * f);
    2.0 * (a + (b - a) * smooth) - 1.0
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown load {0:?}")]
pub struct LoadError(pub String);

impl FromStr for Load {
    type Err = LoadError;
    fn from_str(s: &str) -> Result<Self, LoadError> {
        Self::ALL.into_iter().find(|l| l.as_str() == s).ok_or_else(|| LoadError(s.chars().take(40).collect()))
    }
}

/// The socket in the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mains {
    /// Nominal voltage: 120 or 230 (any other works).
    pub nominal: u16,
    /// One seed for a home: all its plugs see the same drift.
    pub seed: u64,
}

impl Mains {
    /// Volts at time `at`: slow drift over the day, a little flicker, within 5 % of nominal.
    pub fn volts(self, at: Duration) -> f64 {
        let t = at.as_secs_f64();
        let nominal = f64::from(self.nominal);
        let day = (TAU * (t / 86_400.0 + hashed_unit(self.seed, 9))).sin();
        nominal
            * (1.0
                + 0.018 * day
                + 0.012 * wander(self.seed, t, 900.0)
                + 0.003 * wander(self.seed ^ 5, t, 20.0))
    }

    /// What a heating element of the country draws: some 2 kW at 230 V, 1.5 kW at 120 V.
    pub fn heating_watts(self) -> f64 {
        if self.nominal < 180 { 1_480.0 } else { 2_050.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAINS: Mains = Mains { nominal: 230, seed: 3 };

    fn day(load: Load) -> impl Iterator<Item = Draw> {
        (0..8_640).map(move |i| load.draw(11, Duration::from_secs(i * 10), MAINS.heating_watts()))
    }

    #[test]
    fn curves_repeat_and_differ_by_seed() {
        for load in Load::ALL {
            let at = Duration::from_secs(12_345);
            assert_eq!(load.draw(1, at, 2_000.0), load.draw(1, at, 2_000.0));
        }
        let curve = |seed| {
            (0..500)
                .map(|i| Load::Fridge.draw(seed, Duration::from_secs(i * 30), 2_000.0))
                .collect::<Vec<_>>()
        };
        assert_ne!(curve(1), curve(2));
    }

    #[test]
    fn amperes_times_volts_is_not_watts() {
        for load in [Load::Fridge, Load::WashingMachine, Load::Standby, Load::Lamp] {
            let draw = load.draw(5, Duration::from_secs(100), 2_000.0);
            let volts = MAINS.volts(Duration::from_secs(100));
            let apparent = volts * draw.amperes(volts);
            assert!(apparent > draw.watts * 1.02, "{load}: {apparent} VA, {} W", draw.watts);
        }
    }

    #[test]
    fn a_day_is_believable() {
        let mean = |load| day(load).map(|d| d.watts).sum::<f64>() / 8_640.0;
        assert!((25.0..50.0).contains(&mean(Load::Fridge)), "{}", mean(Load::Fridge));
        assert!((100.0..400.0).contains(&mean(Load::Kettle)), "{}", mean(Load::Kettle));
        assert!((150.0..450.0).contains(&mean(Load::WashingMachine)), "{}", mean(Load::WashingMachine));
        assert!(mean(Load::None) == 0.0);
        let peak = |load| day(load).map(|d| d.watts).fold(0.0, f64::max);
        assert!((1_900.0..2_200.0).contains(&peak(Load::Kettle)), "{}", peak(Load::Kettle));
        assert!(day(Load::Kettle).filter(|d| d.watts == 0.0).count() > 5_000);
        for load in Load::ALL {
            assert!(
                day(load).all(|d| d.watts >= 0.0 && d.power_factor > 0.2 && d.power_factor <= 1.0),
                "{load}"
            );
        }
    }

    #[test]
    fn voltage_drifts_slowly_about_the_nominal() {
        for nominal in [120_u16, 230] {
            let mains = Mains { nominal, seed: 8 };
            let volts: Vec<f64> = (0..8_640).map(|i| mains.volts(Duration::from_secs(i * 10))).collect();
            let n = f64::from(nominal);
            assert!(volts.iter().all(|v| (v / n - 1.0).abs() < 0.05));
            assert!(volts.windows(2).all(|w| (w[0] - w[1]).abs() < 0.01 * n));
            assert!(volts.iter().any(|v| (v / n - 1.0).abs() > 0.01));
        }
    }

    #[test]
    fn names_round_trip() {
        for load in Load::ALL {
            assert_eq!(load.as_str().parse(), Ok(load));
        }
        assert!("toaster".parse::<Load>().is_err());
    }
}
