//! The topics of devices (cloud.md 1.6, 2.9, 4.2). Nothing else in the project names them.

use std::fmt;

use crate::Role;
use crate::id::{DeviceId, Uuid};

/// Longest topic that is looked at.
const MAX_TOPIC: usize = 256;

/// A topic of one device, of which the device's own client alone may make use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `smart/device/in/ID`: commands to the device.
    In(DeviceId),
    /// `smart/device/out/ID`: reports of the device.
    Out(DeviceId),
    /// `d/ai/UUID`: the token for a device that waits for its activation.
    Activation(Uuid),
    /// `rpc/req/ID`: gateway calls of the device.
    RpcRequest(DeviceId),
    /// `rpc/rsp/ID`: their answers.
    RpcResponse(DeviceId),
    /// `rpc/file/ID`: pieces of files.
    RpcFile(DeviceId),
    /// `/av/d/ID`: what cameras subscribe.
    Camera(DeviceId),
}

/// The part of the topic tree that belongs to devices and begins a topic, or a filter with wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Branch {
    /// `smart/device/in`: commands to devices.
    In,
    /// `smart/device/out`: what devices report.
    Out,
    /// What a device and its cloud alone talk over: tokens, calls and their answers, cameras.
    Private,
}

/// Where each part begins, level by level. A topic belongs to it with all that is below.
const BRANCHES: &[(&str, Branch)] = &[
    ("smart/device/in", Branch::In),
    ("smart/device/out", Branch::Out),
    ("d/ai", Branch::Private),
    ("rpc", Branch::Private),
    ("/av/d", Branch::Private),
];

impl Branch {
    /// The part that a topic or filter begins in; `None` for those that begin outside, like `#` or `smart/#`, even
    /// where they reach inside.
    pub fn of(text: &str) -> Option<Self> {
        let inside = |head: &str| {
            text.strip_prefix(head).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
        };
        BRANCHES.iter().find(|(head, _)| inside(head)).map(|(_, branch)| *branch)
    }
}

impl Topic {
    /// The filter for commands to all devices.
    pub const ALL_IN: &'static str = "smart/device/in/+";
    /// The filter for what all devices report.
    pub const ALL_OUT: &'static str = "smart/device/out/+";

    /// Understands a topic; `None` for all others, among them every filter with a wildcard.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TOPIC {
            return None;
        }
        let (head, name) = text.rsplit_once('/')?;
        let id = || DeviceId::new(name).ok();
        match head {
            "smart/device/in" => id().map(Self::In),
            "smart/device/out" => id().map(Self::Out),
            "d/ai" => Uuid::new(name).ok().map(Self::Activation),
            "rpc/req" => id().map(Self::RpcRequest),
            "rpc/rsp" => id().map(Self::RpcResponse),
            "rpc/file" => id().map(Self::RpcFile),
            "/av/d" => id().map(Self::Camera),
            _ => None,
        }
    }

    /// Who publishes here: the device, or we (the client's side, in the LAN's word).
    pub const fn publisher(&self) -> Role {
        match self {
            Self::Out(_) | Self::RpcRequest(_) => Role::Device,
            Self::In(_) | Self::Activation(_) | Self::RpcResponse(_) | Self::RpcFile(_) | Self::Camera(_) => {
                Role::Client
            }
        }
    }

    /// The device it belongs to, once activated.
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::In(id)
            | Self::Out(id)
            | Self::RpcRequest(id)
            | Self::RpcResponse(id)
            | Self::RpcFile(id)
            | Self::Camera(id) => Some(id),
            Self::Activation(_) => None,
        }
    }

    /// The hardware it belongs to, before the activation.
    pub const fn uuid(&self) -> Option<&Uuid> {
        match self {
            Self::Activation(uuid) => Some(uuid),
            _ => None,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(id) => write!(f, "smart/device/in/{id}"),
            Self::Out(id) => write!(f, "smart/device/out/{id}"),
            Self::Activation(uuid) => write!(f, "d/ai/{uuid}"),
            Self::RpcRequest(id) => write!(f, "rpc/req/{id}"),
            Self::RpcResponse(id) => write!(f, "rpc/rsp/{id}"),
            Self::RpcFile(id) => write!(f, "rpc/file/{id}"),
            Self::Camera(id) => write!(f, "/av/d/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_read_back() {
        let id = DeviceId::new("02200194dc4f22135606").unwrap();
        let all = [
            Topic::In(id.clone()),
            Topic::Out(id.clone()),
            Topic::Activation(Uuid::new("uuidtest0001abcd").unwrap()),
            Topic::RpcRequest(id.clone()),
            Topic::RpcResponse(id.clone()),
            Topic::RpcFile(id.clone()),
            Topic::Camera(id.clone()),
        ];
        for topic in &all {
            assert_eq!(Topic::parse(&topic.to_string()).as_ref(), Some(topic));
            assert_ne!(topic.device().is_some(), topic.uuid().is_some());
        }
        let devices = all.iter().filter(|t| t.publisher() == Role::Device).map(ToString::to_string);
        assert_eq!(
            devices.collect::<Vec<_>>(),
            ["smart/device/out/02200194dc4f22135606", "rpc/req/02200194dc4f22135606"]
        );
    }

    #[test]
    fn every_topic_of_a_device_begins_in_a_branch() {
        let id = DeviceId::new("02200194dc4f22135606").unwrap();
        for (topic, branch) in [
            (Topic::In(id.clone()), Branch::In),
            (Topic::Out(id.clone()), Branch::Out),
            (Topic::Activation(Uuid::new("uuidtest0001abcd").unwrap()), Branch::Private),
            (Topic::RpcRequest(id.clone()), Branch::Private),
            (Topic::RpcResponse(id.clone()), Branch::Private),
            (Topic::RpcFile(id.clone()), Branch::Private),
            (Topic::Camera(id), Branch::Private),
        ] {
            assert_eq!(Branch::of(&topic.to_string()), Some(branch));
        }
        for filter in
            [Topic::ALL_IN, "smart/device/in/#", "smart/device/in", "smart/device/in/a/b", "smart/device/in/"]
        {
            assert_eq!(Branch::of(filter), Some(Branch::In), "{filter}");
        }
        assert_eq!(Branch::of(Topic::ALL_OUT), Some(Branch::Out));
        for outside in
            ["#", "smart/#", "smart/+/in/a", "smart/device/inn/a", "rpcs", "d/a", "av/d/a", "", "/"]
        {
            assert_eq!(Branch::of(outside), None, "{outside}");
        }
    }

    #[test]
    fn wildcards_strangers_and_long_ones_are_no_topics() {
        for text in [
            "",
            "/",
            "#",
            "smart/device/in/+",
            "smart/device/in/#",
            "smart/+/in/02200194dc4f22135606",
            "smart/device/in/",
            "/smart/device/in/a",
            "smart/device/in/a/b",
            "smart/device/in/a\0",
            "av/d/a",
            "$SYS/broker",
        ] {
            assert_eq!(Topic::parse(text), None, "{text:?}");
        }
        assert_eq!(Topic::parse(&format!("smart/device/in/{}", "a".repeat(300))), None);
    }
}
