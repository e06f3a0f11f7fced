//! People's topics: zigbee2mqtt's layout, and single points beside it.

use std::fmt::Write;

use landfall_proto::dp::DpId;
use landfall_proto::mqtt::Branch;

/// Most levels of a device's name.
pub const NAME_LEVELS: usize = 8;

/// Levels that stand for themselves below a device's name, so no level of a name may be one of them.
const RESERVED: [&str; 6] = ["set", "get", "availability", "dp", "action", "error"];

/// The first level of what is about the bridge itself.
const BRIDGE: &str = "bridge";

/// The topics below one base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

/// A base that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{base:?} can't be the base of MQTT topics: {why}; take a word like \"landfall\"")]
pub struct BaseError {
    base: String,
    why: &'static str,
}

impl BaseError {
    /// Why, in words.
    pub const fn why(&self) -> &'static str {
        self.why
    }
}

/// What a message is about, by its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Set attributes: a JSON object.
    Set {
        /// The device, as topics name it.
        name: &'a str,
    },
    /// Set one attribute.
    SetAttribute {
        /// The device.
        name: &'a str,
        /// The attribute.
        attribute: &'a str,
    },
    /// Set one point.
    SetPoint {
        /// The device.
        name: &'a str,
        /// The point.
        dp: DpId,
    },
    /// Measure and report.
    Get {
        /// The device.
        name: &'a str,
    },
    /// A request to the bridge.
    Request(&'a str),
    /// An answer of a bridge, ours or another.
    Response(&'a str),
    /// Whether a bridge is there.
    State,
    /// Which one.
    Info,
    /// The devices of a bridge, in pages.
    Devices,
    /// Our own question whether all that was retained has come.
    Probe(&'a str),
}

impl Topics {
    /// Topics below `base`, which may have several levels.
    ///
    /// # Errors
    /// It has wildcards or empty levels, or belongs to devices or to the broker.
    pub fn new(base: &str) -> Result<Self, BaseError> {
        let wrong = |why| Err(BaseError { base: base.to_owned(), why });
        if base.is_empty() || base.split('/').any(str::is_empty) {
            return wrong("it is empty or has an empty level");
        }
        if base.len() > 200 || base.split('/').count() > 8 {
            return wrong("it is too long");
        }
        if base.contains(['+', '#']) || base.chars().any(char::is_control) {
            return wrong("wildcards and control characters are not allowed");
        }
        if base.starts_with('$') || Branch::of(base).is_some() || base == "smart" || base == "smart/device" {
            return wrong("such topics belong to devices or to the broker");
        }
        Ok(Self { base: base.to_owned() })
    }

    /// The base.
    pub fn base(&self) -> &str {
        &self.base
    }

    fn of(&self, rest: &str) -> String {
        let mut topic = String::with_capacity(self.base.len() + 1 + rest.len());
        topic.push_str(&self.base);
        topic.push('/');
        topic.push_str(rest);
        topic
    }

    /// A device's state.
    pub fn state(&self, name: &str) -> String {
        self.of(name)
    }

    /// Where attributes of a device are set.
    pub fn set(&self, name: &str) -> String {
        self.of(&format!("{name}/set"))
    }

    /// Where one attribute of a device is set.
    pub fn set_attribute(&self, name: &str, attribute: &str) -> String {
        self.of(&format!("{name}/set/{attribute}"))
    }

    /// Whether a device can be had.
    pub fn availability(&self, name: &str) -> String {
        self.of(&format!("{name}/availability"))
    }

    /// A point.
    pub fn point(&self, name: &str, dp: DpId) -> String {
        let mut topic = self.of(name);
        // Writing into a text does not fail.
        let _infallible = write!(topic, "/dp/{dp}");
        topic
    }

    /// A button was pressed.
    pub fn action(&self, name: &str) -> String {
        self.of(&format!("{name}/action"))
    }

    /// Why a command was not done.
    pub fn error(&self, name: &str) -> String {
        self.of(&format!("{name}/error"))
    }

    /// Something about the bridge: `state`, `info`, `groups`, `event`, `logging`.
    fn bridge(&self, rest: &str) -> String {
        self.of(&format!("{BRIDGE}/{rest}"))
    }

    /// Whether the bridge is there.
    pub fn bridge_state(&self) -> String {
        self.bridge("state")
    }

    /// Which bridge it is.
    pub fn bridge_info(&self) -> String {
        self.bridge("info")
    }

    /// A page of the devices, from 1 on.
    pub fn bridge_devices(&self, page: usize) -> String {
        if page == 1 { self.bridge("devices") } else { self.bridge(&format!("devices/{page}")) }
    }

    /// Groups.
    pub fn bridge_groups(&self) -> String {
        self.bridge("groups")
    }

    /// Devices come and go.
    pub fn bridge_event(&self) -> String {
        self.bridge("event")
    }

    /// What went wrong, for people.
    pub fn bridge_logging(&self) -> String {
        self.bridge("logging")
    }

    /// A request to a bridge.
    pub fn request(&self, verb: &str) -> String {
        self.bridge(&format!("request/{verb}"))
    }

    /// Its answer.
    pub fn response(&self, verb: &str) -> String {
        self.bridge(&format!("response/{verb}"))
    }

    /// Our own question whether all that was retained has come.
    pub fn probe(&self, token: &str) -> String {
        self.bridge(&format!("probe/{token}"))
    }

    /// What is subscribed for commands. No two of them match the same topic, because some brokers deliver once for each.
    pub fn commands(&self) -> Vec<String> {
        let mut filters = vec![self.request("#")];
        let mut name = String::new();
        // `dp/<n>/set` lies two levels below the name.
        for levels in 1..=NAME_LEVELS + 2 {
            name.push_str(if levels == 1 { "+" } else { "/+" });
            filters.push(self.of(&format!("{name}/set")));
            if levels <= NAME_LEVELS {
                filters.push(self.of(&format!("{name}/set/+")));
                filters.push(self.of(&format!("{name}/get")));
            }
        }
        filters
    }

    /// What is subscribed to meet a rival.
    pub fn rivals(&self) -> Vec<String> {
        vec![self.bridge_state(), self.bridge_info(), self.response("health_check"), self.bridge("probe/+")]
    }

    /// What is subscribed for a while to find the devices of an earlier run.
    pub fn leftovers(&self) -> Vec<String> {
        vec![self.bridge_devices(1), self.bridge("devices/+")]
    }

    /// What a topic is about; `None`: nothing that we listen for.
    pub fn parse<'a>(&self, topic: &'a str) -> Option<Heard<'a>> {
        let rest = topic.strip_prefix(&self.base)?.strip_prefix('/')?;
        if let Some(rest) = rest.strip_prefix(BRIDGE).and_then(|r| r.strip_prefix('/')) {
            return match rest.split_once('/') {
                None if rest == "state" => Some(Heard::State),
                None if rest == "info" => Some(Heard::Info),
                None if rest == "devices" => Some(Heard::Devices),
                Some(("devices", _)) => Some(Heard::Devices),
                Some(("request", verb)) => Some(Heard::Request(verb)),
                Some(("response", verb)) => Some(Heard::Response(verb)),
                Some(("probe", token)) => Some(Heard::Probe(token)),
                _ => None,
            };
        }
        command(rest)
    }
}

/// What a topic below the base asks of a device.
fn command(rest: &str) -> Option<Heard<'_>> {
    let (before, last) = rest.rsplit_once('/')?;
    match last {
        "set" => {
            let mut levels = before.rsplitn(3, '/');
            if let (Some(dp), Some("dp"), Some(name)) = (levels.next(), levels.next(), levels.next())
                && let Ok(dp) = dp.parse()
            {
                return Some(Heard::SetPoint { name, dp });
            }
            Some(Heard::Set { name: before })
        }
        "get" => Some(Heard::Get { name: before }),
        attribute => {
            let (name, set) = before.rsplit_once('/')?;
            (set == "set").then_some(Heard::SetAttribute { name, attribute })
        }
    }
}

/// Whether people may publish there, given what follows the base.
pub fn listens(rest: &str) -> bool {
    match rest.strip_prefix(BRIDGE).and_then(|r| r.strip_prefix('/')) {
        Some(rest) => rest.strip_prefix("request/").is_some_and(|verb| !verb.is_empty()),
        None => command(rest).is_some(),
    }
}

/// A name as it stands in topics: no wildcards, control characters, empty or reserved levels. `None` when nothing is left.
pub fn sanitised(name: &str) -> Option<String> {
    let mut topic = String::with_capacity(name.len());
    for (i, level) in name.split('/').filter(|level| !level.is_empty()).enumerate() {
        if i > 0 {
            topic.push(if i < NAME_LEVELS { '/' } else { '_' });
        }
        topic.extend(level.chars().map(|c| if matches!(c, '+' | '#') || c.is_control() { '_' } else { c }));
        if RESERVED.contains(&level) || (i == 0 && level == BRIDGE) {
            topic.push('_');
        }
    }
    (!topic.is_empty()).then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_say_what_is_asked() {
        let t = Topics::new("home/landfall").unwrap();
        let lamp = "living/lamp";
        for (topic, heard) in [
            ("living/lamp/set", Heard::Set { name: lamp }),
            ("living/lamp/set/power", Heard::SetAttribute { name: lamp, attribute: "power" }),
            ("living/lamp/get", Heard::Get { name: lamp }),
            ("living/lamp/dp/20/set", Heard::SetPoint { name: lamp, dp: DpId(20) }),
            // Not a number of a point, so it is the name of a device.
            ("lamp/dp_/x/set", Heard::Set { name: "lamp/dp_/x" }),
            ("bridge/request/device/rename", Heard::Request("device/rename")),
            ("bridge/response/health_check", Heard::Response("health_check")),
            ("bridge/state", Heard::State),
            ("bridge/devices/2", Heard::Devices),
        ] {
            assert_eq!(t.parse(&format!("home/landfall/{topic}")), Some(heard), "{topic}");
        }
        for nothing in
            ["home/landfall", "home/landfall/lamp", "home/landfall/lamp/availability", "home/x/set", "x"]
        {
            assert_eq!(t.parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn people_may_publish_commands_and_requests_only() {
        for open in ["lamp/set", "a/b/set/power", "lamp/get", "lamp/dp/1/set", "bridge/request/permit_join"] {
            assert!(listens(open), "{open}");
        }
        for closed in [
            "lamp",
            "lamp/availability",
            "lamp/dp/1",
            "lamp/action",
            "lamp/error",
            "bridge/state",
            "bridge/info",
            "bridge/devices",
            "bridge/response/x",
            "bridge/request/",
            "set",
        ] {
            assert!(!listens(closed), "{closed}");
        }
    }

    #[test]
    fn names_become_levels_that_mean_nothing_else() {
        for (name, topic) in [
            ("Kitchen plug", Some("Kitchen plug")),
            ("living/lamp", Some("living/lamp")),
            ("/a//b/", Some("a/b")),
            ("a+b#c\u{0}\n", Some("a_b_c__")),
            ("bridge", Some("bridge_")),
            ("old/bridge", Some("old/bridge")),
            ("lamp/availability", Some("lamp/availability_")),
            ("set", Some("set_")),
            ("1/2/3/4/5/6/7/8/9", Some("1/2/3/4/5/6/7/8_9")),
            ("//", None),
            ("", None),
        ] {
            assert_eq!(sanitised(name).as_deref(), topic, "{name:?}");
            if let Some(topic) = topic {
                assert!(!listens(topic), "{topic}: a state would be a command");
                assert_eq!(sanitised(topic).as_deref(), Some(topic), "twice is the same as once");
            }
        }
    }

    #[test]
    fn no_topic_matches_two_filters() {
        let t = Topics::new("b").unwrap();
        let matches = |filter: &str, topic: &str| {
            let (mut f, mut l) = (filter.split('/'), topic.split('/'));
            loop {
                match (f.next(), l.next()) {
                    (Some("#"), _) | (None, None) => return true,
                    (Some("+"), Some(_)) => {}
                    (Some(a), Some(b)) if a == b => {}
                    _ => return false,
                }
            }
        };
        for name in ["lamp", "a/b", "1/2/3/4/5/6/7/8"] {
            for rest in ["set", "set/power", "get", "dp/1/set"] {
                let topic = format!("b/{name}/{rest}");
                let found = t.commands().iter().filter(|f| matches(f, &topic)).count();
                assert_eq!(found, 1, "{topic}");
            }
        }
        for rest in
            ["lamp", "lamp/availability", "lamp/dp/1", "bridge/state", "bridge/devices", "bridge/info"]
        {
            assert!(
                !t.commands().iter().any(|f| matches(f, &format!("b/{rest}"))),
                "our own {rest} comes back"
            );
        }
    }

    #[test]
    fn a_base_is_a_place_of_our_own() {
        for good in ["landfall", "home/tuya", "zigbee2mqtt"] {
            assert!(Topics::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a//b", "a/", "a/+", "#", "$SYS/x", "smart/device/out/x", "smart", "a\u{0}"] {
            let error = Topics::new(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("landfall"), "{error}");
        }
    }
}
