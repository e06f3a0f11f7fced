//! What the stand-in cloud keeps of a device: keys, what it was told, what it said of itself.

use std::fmt;

use landfall_proto::gateway::Generation;
use landfall_proto::id::{AuthKey, DeviceId, LocalKey, PskKey, SecKey};
use landfall_proto::mqtt::Envelope;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::secret_text;

/// What the stand-in cloud keeps of a device. `Debug` shows no key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudSide {
    /// The key it left the factory with.
    #[serde(skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub auth_key: Option<AuthKey>,
    /// Its key for TLS-PSK type 2.
    #[serde(skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub psk_key: Option<PskKey>,
    /// The sec key that belongs to the local key in use, where known.
    #[serde(skip_serializing_if = "Option::is_none", with = "secret_text::optional")]
    pub sec_key: Option<SecKey>,
    /// Keys that were handed out and not used yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Of an adopted device whose sec key is unknown: its first MQTT password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// The envelope that it announced or was seen to use.
    #[serde(skip_serializing_if = "Option::is_none", with = "envelope_text")]
    pub envelope: Option<Envelope>,
    /// The generation of its firmware, once seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The schema that it was told with the keys in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldSchema>,
    /// Version of its main firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// Timers that the owner gave it. None: we know nothing of its timers, and it keeps its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<TimerList>,
    /// Images that the owner approved, one for each channel at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

impl CloudSide {
    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Keys that were handed out and not used yet, with what was told along. They take effect together, at the first use.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The id that goes with them.
    pub id: DeviceId,
    /// Local key.
    #[serde(with = "secret_text")]
    pub local: LocalKey,
    /// Sec key.
    #[serde(with = "secret_text")]
    pub sec: SecKey,
    /// When they were made, seconds since 1970-01-01 UTC.
    pub since: u64,
    /// The schema told.
    pub told: ToldSchema,
    /// The envelope announced.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "envelope_text")]
    pub envelope: Option<Envelope>,
    /// The generation that asked.
    pub generation: Generation,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending {{ id: {:?}, since: {}, .. }}", self.id, self.since)
    }
}

/// A schema as a device was told it at activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldSchema {
    /// Its id, at most 16 characters.
    pub id: String,
    /// Its text.
    pub text: String,
    /// It says nothing of the product: nothing better was known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guess: bool,
}

/// A timer that the device runs by itself (cloud.md 2.8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Number, unique for the device.
    pub id: u32,
    /// `YYYYMMDD` for once, `00000000` for weekly.
    pub date: String,
    /// `HH:MM` in the device's time zone.
    pub time: String,
    /// Days of the week as bits; 0 for once. The order of the bits is not confirmed (cloud.md 8.7).
    pub loops: u8,
    /// What is set, as JSON text of an object: `{"1":true}`.
    pub dps: String,
}

/// The timers of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerList {
    /// The timers.
    pub list: Vec<Timer>,
    /// When they were set, seconds since 1970-01-01 UTC.
    pub changed: u64,
}

/// More timers than firmware keeps.
pub const MAX_TIMERS: usize = 60;
/// Longest `dps` of a timer in bytes.
const MAX_TIMER_DPS: usize = 512;

/// Why timers can't be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// More than firmware keeps.
    #[error("{0} timers are more than {MAX_TIMERS}")]
    TooMany(usize),
    /// Two with one number.
    #[error("two timers have the number {0}")]
    Twice(u32),
    /// Not a date.
    #[error("timer {id}: {date:?} is no date; YYYYMMDD or 00000000 is one")]
    Date {
        /// The timer.
        id: u32,
        /// What it has.
        date: String,
    },
    /// Not a time.
    #[error("timer {id}: {time:?} is no time; 00:00 to 23:59 are")]
    Time {
        /// The timer.
        id: u32,
        /// What it has.
        time: String,
    },
    /// More days than a week has, or weekly without a day.
    #[error(
        "timer {id}: {loops} stands for no days of the week; 1 to 127 do for weekly timers, 0 for others"
    )]
    Days {
        /// The timer.
        id: u32,
        /// What it has.
        loops: u8,
    },
    /// Sets nothing.
    #[error(
        "timer {id} sets nothing; its points are a JSON object such as {{\"1\":true}}, of at most {MAX_TIMER_DPS} bytes"
    )]
    Points {
        /// The timer.
        id: u32,
    },
}

/// Checks timers before they are kept: a device that was told nonsense can't be asked what it made of it.
///
/// # Errors
/// Too many, twice the same number, no date, time or day, or nothing to set.
pub fn check_timers(timers: &[Timer]) -> Result<(), TimerError> {
    if timers.len() > MAX_TIMERS {
        return Err(TimerError::TooMany(timers.len()));
    }
    let mut seen = std::collections::HashSet::new();
    for Timer { id, date, time, loops, dps } in timers {
        let id = *id;
        if !seen.insert(id) {
            return Err(TimerError::Twice(id));
        }
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TimerError::Date { id, date: date.chars().take(32).collect() });
        }
        let clock = |(h, m): (&str, &str)| {
            let two = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
            two(h) && two(m) && h < "24" && m < "60"
        };
        if !time.split_once(':').is_some_and(clock) {
            return Err(TimerError::Time { id, time: time.chars().take(32).collect() });
        }
        let weekly = date == "00000000";
        if *loops > 127 || weekly != (*loops != 0) {
            return Err(TimerError::Days { id, loops: *loops });
        }
        let set: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(dps).ok();
        if dps.len() > MAX_TIMER_DPS || set.is_none_or(|s| s.is_empty()) {
            return Err(TimerError::Points { id });
        }
    }
    Ok(())
}

/// An image that the owner approved; the file lies beside the book under its digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Channel: 0 main.
    pub kind: u32,
    /// Version told.
    pub version: String,
    /// Upper-case hex SHA-256 of the file, and its name.
    pub sha256: String,
    /// The secret part of its URL.
    pub token: String,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Image {{ kind: {}, version: {:?}, sha256: {:?}, .. }}",
            self.kind, self.version, self.sha256
        )
    }
}

/// An envelope by its version text.
mod envelope_text {
    use super::{Deserialize, Envelope};

    #[allow(clippy::ref_option)] // serde's signature
    pub(super) fn serialize<S: serde::Serializer>(e: &Option<Envelope>, s: S) -> Result<S::Ok, S::Error> {
        match e {
            Some(e) => s.serialize_some(e.as_str()),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Envelope>, D::Error> {
        let text = String::deserialize(d)?;
        Envelope::named(&text).map(Some).ok_or_else(|| serde::de::Error::custom("not an envelope"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer() -> Timer {
        Timer { id: 1, date: "00000000".into(), time: "18:02".into(), loops: 62, dps: r#"{"2":true}"#.into() }
    }

    #[test]
    fn timers_are_checked() {
        check_timers(&[timer(), Timer { id: 2, date: "20261224".into(), loops: 0, ..timer() }]).unwrap();
        let fault = |t: Timer| check_timers(&[t]).unwrap_err();
        assert_eq!(check_timers(&[timer(), timer()]), Err(TimerError::Twice(1)));
        assert!(matches!(fault(Timer { date: "tomorrow".into(), ..timer() }), TimerError::Date { .. }));
        for time in ["24:00", "9:05", "12.30", "12:60", "", "é:00"] {
            assert!(
                matches!(fault(Timer { time: time.into(), ..timer() }), TimerError::Time { .. }),
                "{time}"
            );
        }
        assert!(matches!(fault(Timer { loops: 0, ..timer() }), TimerError::Days { .. }));
        assert!(matches!(fault(Timer { loops: 128, ..timer() }), TimerError::Days { .. }));
        assert!(matches!(fault(Timer { date: "20261224".into(), ..timer() }), TimerError::Days { .. }));
        for dps in ["{}", "[1]", "", &format!("{{\"1\":\"{}\"}}", "x".repeat(600))] {
            assert!(
                matches!(fault(Timer { dps: dps.into(), ..timer() }), TimerError::Points { .. }),
                "{dps}"
            );
        }
        let many: Vec<Timer> = (0..61).map(|id| Timer { id, ..timer() }).collect();
        assert_eq!(check_timers(&many), Err(TimerError::TooMany(61)));
    }
}
