//! Timers that live in the device (cloud.md 2.8, 6.3).

use landfall_proto::dp::Dps;
use landfall_proto::json::{self, Raw};
use serde::{Deserialize, Serialize};

use super::zone::Local;

/// Most timers that a device keeps.
pub(super) const MAX_TIMERS: usize = 30;

/// One timer.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// The cloud's number for it.
    pub id: String,
    /// `20260131` for once, 0 for weekly.
    pub date: u32,
    /// Minute of the day, in the device's zone.
    pub minute: u16,
    /// Days of the week, Sunday in the lowest bit. The order is a guess (cloud.md 8.7); the one captured value, 62,
    /// means Monday to Friday in either order.
    pub loops: u8,
    /// What is set.
    pub dps: Dps,
}

impl Timer {
    fn is_due(&self, local: Local) -> bool {
        let day = if self.date == 0 { self.loops >> local.weekday & 1 == 1 } else { self.date == local.date };
        day && self.minute == local.minute
    }
}

/// All timers of a device, as they stand in its flash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timers {
    /// What the cloud called its version of them.
    pub last_fetch: u64,
    /// The timers.
    pub list: Vec<Timer>,
}

impl Timers {
    /// Those that are due in this minute. One that ran for once is gone.
    pub(super) fn due(&mut self, local: Local) -> Vec<Timer> {
        let due: Vec<Timer> = self.list.iter().filter(|t| t.is_due(local)).cloned().collect();
        self.list.retain(|t| t.date == 0 || !t.is_due(local));
        due
    }
}

/// The result of `timer.count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Count {
    #[serde(deserialize_with = "json::whole")]
    count: Option<u32>,
    #[serde(rename = "lastFetchTime", deserialize_with = "json::whole")]
    last_fetch: Option<u64>,
}

/// What a device does with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The version is the one it has.
    Keep,
    /// Another version, without timers.
    Erase { last_fetch: u64 },
    /// Another version with so many timers.
    Fetch { count: u32, last_fetch: u64 },
}

impl Count {
    /// Reads the result; `None` if it is no count.
    pub(super) fn read(result: Option<&Raw>) -> Option<Self> {
        result?.read().ok()
    }

    pub(super) fn verdict(self, have: &Timers) -> Option<Verdict> {
        let (count, last_fetch) = (self.count?, self.last_fetch?);
        Some(match count {
            _ if last_fetch == have.last_fetch => Verdict::Keep,
            0 => Verdict::Erase { last_fetch },
            count => Verdict::Fetch { count, last_fetch },
        })
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    timers: Vec<Wire>,
}

#[derive(Deserialize)]
struct Wire {
    id: Id,
    #[serde(default)]
    date: String,
    time: String,
    #[serde(default, deserialize_with = "json::whole")]
    loops: Option<u8>,
    dps: Dps,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

/// Reads a page of `timer.get`; timers that can't be are left out. `None` if it is no page.
pub(super) fn page(result: Option<&Raw>) -> Option<Vec<Timer>> {
    let page: Page = result?.read().ok()?;
    let timer = |wire: Wire| {
        let (hour, minute) = wire.time.split_once(':')?;
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        let date = if wire.date.is_empty() { 0 } else { wire.date.parse().ok()? };
        let id = match wire.id {
            Id::Text(text) => text.chars().take(40).collect(),
            Id::Number(n) => n.to_string(),
        };
        let sound = hour < 24 && minute < 60;
        let loops = wire.loops.unwrap_or(0);
        sound.then_some(Timer { id, date, minute: hour * 60 + minute, loops, dps: wire.dps })
    };
    Some(page.timers.into_iter().filter_map(timer).collect())
}

/// Fetching page by page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fetching {
    pub(super) count: u32,
    pub(super) last_fetch: u64,
    pub(super) got: Vec<Timer>,
}

/// What a device tells of a timer that ran. The shape of this call is not known (cloud.md 2.8).
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ran {
    #[serde(rename = "timerId")]
    pub(super) id: String,
    pub(super) t: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn counts_decide_between_keeping_erasing_and_fetching() {
        let have = Timers { last_fetch: 7, list: Vec::new() };
        let verdict = |text: &str| Count::read(Some(&raw(text))).and_then(|c| c.verdict(&have));
        assert_eq!(verdict(r#"{"devId":"a","count":0,"lastFetchTime":7}"#), Some(Verdict::Keep));
        assert_eq!(verdict(r#"{"count":3,"lastFetchTime":"7"}"#), Some(Verdict::Keep));
        assert_eq!(verdict(r#"{"count":0,"lastFetchTime":8}"#), Some(Verdict::Erase { last_fetch: 8 }));
        assert_eq!(
            verdict(r#"{"count":"3","lastFetchTime":8}"#),
            Some(Verdict::Fetch { count: 3, last_fetch: 8 })
        );
        for bad in ["{}", "null", "[]", r#"{"count":-1,"lastFetchTime":8}"#] {
            assert_eq!(verdict(bad), None, "{bad}");
        }
        assert_eq!(Count::read(None), None);
    }

    #[test]
    fn pages_leave_out_what_cannot_be() {
        let page = page(Some(&raw(r#"{"devId":"d","timers":[
              {"id":"8848392","date":"00000000","time":"18:02","loops":62,"dps":{"2":true}},
              {"id":1,"date":"20260131","time":"7:05","loops":0,"dps":{"1":false}},
              {"id":"x","time":"25:00","dps":{}},{"id":"y","time":"noon","dps":{}}]}"#)))
        .unwrap();
        let shown: Vec<_> = page.iter().map(|t| (t.id.as_str(), t.date, t.minute, t.loops)).collect();
        assert_eq!(shown, [("8848392", 0, 1082, 62), ("1", 20_260_131, 425, 0)]);
    }

    #[test]
    fn weekly_timers_stay_and_single_ones_go() {
        let timer = |id: &str, date, loops| Timer { id: id.into(), date, minute: 60, loops, dps: Dps::new() };
        let mut timers = Timers {
            last_fetch: 1,
            list: vec![timer("week", 0, 0b10), timer("once", 20_260_105, 0), timer("sunday", 0, 1)],
        };
        let monday = Local { date: 20_260_105, minute: 60, weekday: 1 };
        let ids = |due: Vec<Timer>| due.into_iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!(ids(timers.due(Local { minute: 59, ..monday })), [""; 0]);
        assert_eq!(ids(timers.due(monday)), ["week", "once"]);
        assert_eq!(ids(timers.due(monday)), ["week"]);
        assert_eq!(timers.list.len(), 2);
    }
}
