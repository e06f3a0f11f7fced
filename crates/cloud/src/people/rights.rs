//! What a person's client may publish and subscribe.
//!
//! People read what devices report and write commands; both are sealed with the device's key, which the broker does
//! not look at. Nobody reads others' commands, speaks for a device, or sees what a device and its cloud alone talk over.
//! Topics outside the devices' tree are people's own: there this is a broker like any other.

use landfall_proto::id::DeviceId;
use landfall_proto::mqtt::{Branch, Topic};

/// Most levels of a topic or filter. The broker walks its trees by recursion; without a limit a topic of slashes would
/// exhaust the stack.
pub const LEVELS: usize = 32;

/// What becomes of a message that a person's client publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// It is for a device: into the inbox, to no other client.
    ToDevice(DeviceId),
    /// It is people's own: to whoever subscribed.
    Free,
    /// It is refused.
    Refused(Refusal),
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only devices publish there.
    #[error("only devices publish there")]
    ForDevices,
    /// Only the cloud and one device talk there.
    #[error("only the cloud and one device talk there")]
    Private,
    /// Commands are read by their device alone.
    #[error("commands are read by their device alone")]
    Commands,
    /// Only this process publishes there ([`super::own`]).
    #[error("only the home server publishes there")]
    ForUs,
    /// What begins with `$` is the broker's.
    #[error("what begins with $ belongs to the broker")]
    Broker,
    /// No topic: a wildcard or a NUL in it, no device id where one belongs, or too deep.
    #[error("no such topic can be")]
    NoTopic,
}

/// What becomes of a message under this topic.
pub fn publishing(topic: &str) -> Publishing {
    if topic.contains(['+', '#', '\0']) || too_deep(topic) {
        return Publishing::Refused(Refusal::NoTopic);
    }
    match Branch::of(topic) {
        Some(Branch::In) => match Topic::parse(topic) {
            Some(Topic::In(device)) => Publishing::ToDevice(device),
            _ => Publishing::Refused(Refusal::NoTopic),
        },
        Some(Branch::Out) => Publishing::Refused(Refusal::ForDevices),
        Some(Branch::Private) => Publishing::Refused(Refusal::Private),
        None if topic.starts_with('$') => Publishing::Refused(Refusal::Broker),
        None => Publishing::Free,
    }
}

/// Whether a filter may be subscribed. Filters that begin above the devices' tree (`#`) may: of that tree they get the
/// reports, because nothing else of it ever gets into the broker.
///
/// # Errors
/// Why not.
pub fn subscribing(filter: &str) -> Result<(), Refusal> {
    if filter.contains('\0') || too_deep(filter) {
        return Err(Refusal::NoTopic);
    }
    match Branch::of(filter) {
        Some(Branch::In) => Err(Refusal::Commands),
        Some(Branch::Private) => Err(Refusal::Private),
        None if filter.starts_with('$') && !is_system(filter) => Err(Refusal::Broker),
        Some(Branch::Out) | None => Ok(()),
    }
}

/// Whether people may read messages under this topic of a device.
pub fn readable(topic: &str) -> bool {
    matches!(Topic::parse(topic), Some(Topic::Out(_)))
}

fn is_system(filter: &str) -> bool {
    filter.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn too_deep(topic: &str) -> bool {
    topic.bytes().filter(|b| *b == b'/').count() >= LEVELS
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "02200194dc4f22135606";

    #[test]
    fn people_write_commands_and_their_own_topics_only() {
        let device = DeviceId::new(ID).unwrap();
        assert_eq!(publishing(&Topic::In(device.clone()).to_string()), Publishing::ToDevice(device.clone()));
        assert_eq!(
            publishing(&Topic::Out(device.clone()).to_string()),
            Publishing::Refused(Refusal::ForDevices)
        );
        for private in
            [Topic::RpcRequest(device.clone()), Topic::RpcResponse(device.clone()), Topic::Camera(device)]
        {
            assert_eq!(publishing(&private.to_string()), Publishing::Refused(Refusal::Private));
        }
        for (topic, refusal) in [
            ("smart/device/in/", Refusal::NoTopic),
            ("smart/device/in/a/b", Refusal::NoTopic),
            ("smart/device/in/+", Refusal::NoTopic),
            ("home/#", Refusal::NoTopic),
            ("d/ai/uuid", Refusal::Private),
            ("rpc/anything", Refusal::Private),
            ("$SYS/broker", Refusal::Broker),
            ("$share/g/t", Refusal::Broker),
        ] {
            assert_eq!(publishing(topic), Publishing::Refused(refusal), "{topic}");
        }
        for free in [
            "home/kitchen",
            "smart",
            "smart/device",
            "homeassistant/device/x/config",
            "/",
            "zigbee2mqtt/lamp/set",
        ] {
            assert_eq!(publishing(free), Publishing::Free, "{free}");
        }
    }

    #[test]
    fn people_read_reports_and_never_commands_or_tokens() {
        for allowed in [
            "#",
            "smart/#",
            "smart/device/out/+",
            "smart/device/out/#",
            "smart/device/+/x",
            "home/+",
            "$SYS/#",
            "$SYS",
        ] {
            assert_eq!(subscribing(allowed), Ok(()), "{allowed}");
        }
        for (filter, refusal) in [
            ("smart/device/in/+", Refusal::Commands),
            ("smart/device/in/#", Refusal::Commands),
            ("rpc/#", Refusal::Private),
            ("d/ai/+", Refusal::Private),
            ("/av/d/#", Refusal::Private),
            ("$share/g/smart/device/in/+", Refusal::Broker),
            ("$SYSTEM", Refusal::Broker),
        ] {
            assert_eq!(subscribing(filter), Err(refusal), "{filter}");
        }
        assert!(readable(&format!("smart/device/out/{ID}")));
        assert!(
            !readable(&format!("smart/device/in/{ID}"))
                && !readable(&format!("rpc/req/{ID}"))
                && !readable("home/x")
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| vec!["a"; levels].join("/");
        assert_eq!(publishing(&deep(LEVELS)), Publishing::Free);
        assert_eq!(publishing(&deep(LEVELS + 1)), Publishing::Refused(Refusal::NoTopic));
        assert_eq!(subscribing(&deep(LEVELS)), Ok(()));
        assert_eq!(subscribing(&deep(LEVELS + 1)), Err(Refusal::NoTopic));
    }
}
