//! Actions that are answered with the same text always: data, from the tables of cloud.md 2.8.

use landfall_proto::gateway::{ErrorCode, Reply};
use landfall_proto::json;

/// The result of a constant answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Constant {
    /// Success without a result.
    Nothing,
    /// This JSON.
    Json(&'static str),
    /// A failure that devices log and live with.
    No,
}

use Constant::{Json, No, Nothing};

const TRUE: Constant = Json("true");

/// By subject, as in cloud.md 2.8.
const TABLE: &[(&str, Constant)] = &[
    // Activation and identity. An empty psk key keeps the device at PSK type 1.
    ("tuya.device.uuid.pskkey.get", Json(r#"{"pskKey":""}"#)),
    // For a neighbour that is paired through this device; we check no tokens.
    ("tuya.device.token.create", Json(r#"{"region":"EU","token":"00000000","secret":"0101"}"#)),
    ("tuya.device.dbauth", Nothing),
    // State and housekeeping. The first three decide whether a device believes that it is still bound.
    ("s.gw.exist", TRUE),
    ("tuya.device.info.sync", Json(r#"{"status":"enable"}"#)),
    // The shape is unknown: number or object. As a number this reads 0 too.
    ("tuya.device.delete.status.get", Json(r#"{"status":0}"#)),
    ("s.gw.heartbeat", Nothing),
    ("s.gw.group.get", Nothing),
    ("s.gw.dev.bind", Nothing),
    ("s.gw.dev.unbind", Nothing),
    ("s.gw.dev.online.report", Nothing),
    ("s.gw.dev.dp.report", Nothing),
    ("tuya.device.version.update", Nothing),
    ("tuya.device.update", Nothing),
    ("tuya.device.meta.save", TRUE),
    ("tuya.device.property.save", Nothing),
    // Nothing newer.
    ("tuya.device.schema.newest.get", Json("[]")),
    ("atop.online.debug.log", TRUE),
    ("tuya.device.log.report", TRUE),
    ("tuya.device.sn.report", Nothing),
    ("tuya.device.sn.info.get", Nothing),
    ("tuya.device.dev.dp.get", Nothing),
    ("tuya.device.comm.node.enable", TRUE),
    ("tuya.device.comm.node.disable", TRUE),
    ("tuya.device.trip.outdoors.device.property", TRUE),
    ("tuya.device.mesh.get", No),
    ("tuya.device.beacon.key.fetch", Nothing),
    ("tuya.device.location.info.get", Nothing),
    ("tuya.device.custom.config.get", Nothing),
    ("tuya.device.extension.config.get", Nothing),
    ("tuya.device.construction.config.upload", Nothing),
    ("tuya.device.proxy.config.get", Nothing),
    ("tuya.p.time.get", Nothing),
    ("thing.ai.agent.token.get", Nothing),
    // Time and timers.
    ("tuya.device.dynamic.config.ack", Nothing),
    ("tuya.device.timer.log.upload", Nothing),
    ("tuya.device.timer.astronomical.list", Json(r#"{"code":200,"data":{}}"#)),
    ("tuya.p.weather.sunriseset.list", Nothing),
    ("tuya.device.public.data.get", Nothing),
    ("tuya.device.lock.temppwd.get", Nothing),
    ("tuya.device.lock.temppwd.sync", Nothing),
];

/// Sub-devices of gateways.
const SUB_DEVICES: &str = "tuya.device.sub.";

/// The constant that answers this action.
pub(in crate::gateway) fn constant(action: &str) -> Option<Constant> {
    let named = TABLE.iter().find(|(name, _)| *name == action).map(|(_, constant)| *constant);
    named.or_else(|| action.starts_with(SUB_DEVICES).then_some(Nothing))
}

/// The constant answer to this action.
pub(in crate::gateway) fn answer(action: &str, now: u64) -> Option<Reply> {
    Some(match constant(action)? {
        Nothing => Reply::done(now),
        // The table is JSON, as a test shows.
        Json(text) => json::parse(text.as_bytes()).map_or(Reply::done(now), |raw| Reply::success(now, raw)),
        No => Reply::failure(now, ErrorCode::new("REMOTE_API_RUN_UNKNOW_FAILED"), "not available")
            .unwrap_or(Reply::done(now)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::gateway::{Action, Outcome};

    #[test]
    fn the_table_is_sound() {
        for (i, (name, constant)) in TABLE.iter().enumerate() {
            assert!(Action::new(name).is_some(), "{name}");
            assert!(TABLE.iter().skip(i + 1).all(|(other, _)| other != name), "{name} twice");
            let outcome = answer(name, 7).map(|r| r.outcome().clone());
            match (constant, outcome) {
                (Nothing, Some(Outcome::Success(None))) => {}
                (Json(text), Some(Outcome::Success(Some(raw)))) => assert_eq!(raw.as_str(), *text),
                (No, Some(Outcome::Failure { code, .. })) => assert!(!code.unbinds()),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(constant("tuya.device.sub.bind"), Some(Nothing));
        assert_eq!(constant("tuya.device.invented"), None);
    }
}
