//! What devices ask once they are activated.

use std::collections::BTreeSet;

use landfall_cloud::backend::{Registration, Timer, Timers};
use landfall_cloud::handshake::Step;
use landfall_proto::gateway::{Call, Encryption, Outcome, Path, Reader};
use serde_json::{Value, json};

use crate::client::{Answer, call, made, told};
use crate::common::{NOON, World, device_id, keys, registration, sec_key};

pub(crate) const ID: &str = "bf00112233445566778899";
pub(crate) const SEC: &str = "5ec0123456789abc";

pub(crate) fn world() -> World {
    let world = World::new().bound();
    world.backend.add(Registration { keys: Some(keys("10ca1key01234567", SEC)), ..registration(ID) });
    world
}

/// Asks as an activated device of generation C, and returns the result.
pub(crate) async fn asked(world: &World, action: &str, version: &str, body: &str) -> Option<Value> {
    asked_with(world, action, version, body).await.1
}

pub(crate) async fn asked_with(
    world: &World,
    action: &str,
    version: &str,
    body: &str,
) -> (Answer, Option<Value>) {
    let call = Call { dev_id: Some(device_id(ID)), ..call(Path::D, action, version, Encryption::Ecb) };
    let (answer, reply) = made(world, &call, &sec_key(SEC).into(), body, Reader::Stock).await;
    assert_eq!(reply.t, world.shared.clock.unix(), "{action}");
    match reply.outcome() {
        Outcome::Success(result) => (answer, result.as_ref().map(|r| r.read().expect("JSON"))),
        Outcome::Failure { code, .. } => {
            assert_eq!(code.as_str(), "REMOTE_API_RUN_UNKNOW_FAILED");
            (answer, Some(json!("failed")))
        }
    }
}

#[tokio::test]
async fn every_action_of_the_sheet_has_its_answer() {
    let world = world();
    let expected: &[(&str, Option<Value>)] = &[
        ("tuya.device.uuid.pskkey.get", Some(json!({"pskKey": ""}))),
        ("tuya.device.dbauth", None),
        ("s.gw.update", None),
        ("s.gw.dev.update", None),
        ("s.gw.reset", None),
        ("s.gw.exist", Some(json!(true))),
        ("s.gw.heartbeat", None),
        ("s.gw.group.get", None),
        ("s.gw.dev.bind", None),
        ("s.gw.dev.unbind", None),
        ("s.gw.dev.online.report", None),
        ("s.gw.dev.dp.report", None),
        ("tuya.device.reset", None),
        ("tuya.device.info.sync", Some(json!({"status": "enable"}))),
        ("tuya.device.delete.status.get", Some(json!({"status": 0}))),
        ("tuya.device.versions.update", Some(json!(true))),
        ("tuya.device.version.update", None),
        ("tuya.device.update", None),
        ("tuya.device.meta.save", Some(json!(true))),
        ("tuya.device.property.save", None),
        ("tuya.device.schema.newest.get", Some(json!([]))),
        ("atop.online.debug.log", Some(json!(true))),
        ("tuya.device.log.report", Some(json!(true))),
        ("tuya.device.sn.report", None),
        ("tuya.device.sn.info.get", None),
        ("tuya.device.dev.dp.get", None),
        ("tuya.device.comm.node.enable", Some(json!(true))),
        ("tuya.device.comm.node.disable", Some(json!(true))),
        ("tuya.device.trip.outdoors.device.property", Some(json!(true))),
        ("tuya.device.mesh.get", Some(json!("failed"))),
        ("tuya.device.beacon.key.fetch", None),
        ("tuya.device.location.info.get", None),
        ("tuya.device.custom.config.get", None),
        ("tuya.device.extension.config.get", None),
        ("tuya.device.construction.config.upload", None),
        ("tuya.device.proxy.config.get", None),
        ("tuya.p.time.get", None),
        ("tuya.device.sub.bind", None),
        ("tuya.device.sub.upgrade.status.update", None),
        ("thing.ai.agent.token.get", None),
        ("tuya.device.dynamic.config.ack", None),
        ("s.gw.dev.timer.count", None),
        ("tuya.device.timer.get", None),
        ("tuya.device.timer.log.upload", None),
        ("tuya.device.timer.astronomical.list", Some(json!({"code": 200, "data": {}}))),
        ("tuya.p.weather.sunriseset.list", None),
        ("tuya.device.public.data.get", None),
        ("tuya.device.lock.temppwd.get", None),
        ("tuya.device.lock.temppwd.sync", None),
        ("s.gw.upgrade", None),
        ("tuya.device.upgrade.get", None),
        ("tuya.device.upgrade.silent.get", None),
        ("s.gw.upgrade.updatestatus", None),
        ("tuya.device.upgrade.status.update", None),
        ("tuya.device.qrcode.info.get", Some(json!({"shortUrl": "https://192.168.1.2/"}))),
        ("tuya.device.token.create", Some(json!({"region": "EU", "token": "00000000", "secret": "0101"}))),
        (
            "tuya.device.config.get",
            Some(
                json!({"apiUrl": "http://192.168.1.2/d.json", "mqttUrl": "192.168.1.2", "timeZone": "+02:00"}),
            ),
        ),
    ];
    let mut events = world.shared.events();
    for (action, result) in expected {
        let (answer, found) = asked_with(&world, action, "1.0", r#"{"t":21}"#).await;
        assert_eq!(&found, result, "{action}");
        assert!(answer.size() < 1024, "{action}: {}", answer.size());
    }
    let told = told(&mut events);
    let known: BTreeSet<_> =
        told.iter().filter(|e| e["known"] == true).filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(known.len(), expected.len(), "all of them are known");
    let records = world.shared.handshakes.devices();
    let record = &records[&device_id(ID)];
    assert_eq!(record.questions.len(), expected.len(), "{record:?}");
    for step in [Step::Configured, Step::Timers, Step::Firmware] {
        assert!(record.steps.contains_key(&step), "{step:?}");
    }
}

#[tokio::test]
async fn an_unknown_action_is_answered_politely_and_told() {
    let world = world();
    let mut events = world.shared.events();
    assert_eq!(asked(&world, "tuya.device.invented.get", "7.0", r#"{"x":1}"#).await, None);
    let told = told(&mut events);
    assert_eq!(
        (&told[0]["event"], &told[0]["action"]),
        (&json!("question"), &json!("tuya.device.invented.get"))
    );
    assert_eq!(
        (&told[0]["known"], &told[0]["version"], &told[0]["device"]),
        (&json!(false), &json!("7.0"), &json!(ID))
    );
    assert_eq!(world.shared.handshakes.devices()[&device_id(ID)].questions["tuya.device.invented.get"], 1);
}

#[tokio::test]
async fn the_time_zone_comes_with_several_summers_and_still_fits() {
    let world = world();
    let (small, first) = asked_with(&world, "tuya.device.dynamic.config.get", "1.0", r#"{"t":21}"#).await;
    let first = first.expect("a result");
    assert_eq!(
        (&first["validTime"], &first["time"], &first["ackId"]),
        (&json!(1800), &json!(NOON), &json!("0-0"))
    );
    assert_eq!(first["config"]["stdTimeZone"], "+01:00");
    let summers = first["config"]["dstIntervals"].as_array().expect("a list");
    assert_eq!(summers[0], json!([1_711_846_800, 1_729_990_800]));
    assert!(summers.len() >= 5);
    assert!(first.get("timezone").is_none());
    // Connect Kit ends this body with a zero.
    let body = "{\"type\":\"[\\\"timezone\\\"]\",\"t\":21}\0";
    let (large, second) = asked_with(&world, "tuya.device.dynamic.config.get", "2.0", body).await;
    let second = second.expect("a result");
    assert_eq!(second["timezone"], first);
    assert_eq!(second["config"], first["config"]);
    assert!(small.size() < large.size() && large.size() < 1024, "{}", large.size());
}

#[tokio::test]
async fn other_zones_are_told_as_they_are() {
    for (zone, standard, summers) in
        [("America/New_York", "-05:00", true), ("UTC", "+00:00", false), ("Australia/Sydney", "+10:00", true)]
    {
        let world = World::with(|c| c.time_zone = Some(zone.to_owned())).bound();
        world.backend.add(Registration { keys: Some(keys("10ca1key01234567", SEC)), ..registration(ID) });
        let (answer, result) = asked_with(&world, "tuya.device.dynamic.config.get", "2.0", "{}").await;
        let config = result.expect("a result")["config"].clone();
        assert_eq!(config["stdTimeZone"], standard);
        assert_eq!(config["dstIntervals"].as_array().map(|l| !l.is_empty()), Some(summers), "{zone}");
        assert!(answer.size() < 1024);
        let region = asked(&world, "tuya.device.region.config.get", "1.0", "{}").await.expect("a result");
        assert_eq!((&region["stdTimeZone"], &region["mqttUrl"]), (&json!(standard), &json!("192.168.1.2")));
        assert_eq!(region["httpUrl"], "http://192.168.1.2/d.json");
    }
}

#[tokio::test]
async fn timers_that_we_do_not_know_stay_in_the_device() {
    let world = world();
    for fetched in ["0", "1694179683"] {
        let body = json!({"devId": ID, "lastFetchTime": fetched, "t": 21}).to_string();
        let result = asked(&world, "tuya.device.timer.count", "4.0", &body).await;
        let number: u64 = fetched.parse().unwrap();
        assert_eq!(result, Some(json!({"devId": ID, "count": 0, "lastFetchTime": number})), "what it sent");
    }
    let number = r#"{"lastFetchTime":1694179683}"#;
    let result = asked(&world, "s.gw.dev.timer.count", "", number).await;
    assert_eq!(result.expect("a result")["lastFetchTime"], 1_694_179_683);
    // Without one there is no answer that could not erase them.
    for body in ["", "{}", r#"{"lastFetchTime":"soon"}"#, r#"{"lastFetchTime":null}"#] {
        assert_eq!(asked(&world, "tuya.device.timer.count", "4.0", body).await, None, "{body}");
    }
    assert_eq!(asked(&world, "tuya.device.timer.get", "4.1", r#"{"offset":"0","limit":"5"}"#).await, None);
}

#[tokio::test]
async fn timers_of_the_owner_are_handed_out_in_pages() {
    let world = world();
    let timer = |id: u32| Timer {
        id,
        date: "00000000".into(),
        time: "18:02".into(),
        loops: 62,
        dps: r#"{"2":true}"#.into(),
    };
    let timers = (0..12).map(|n| timer(8_848_392 + n)).collect();
    world.backend.keep_timers(ID, Timers::Set { timers, changed: NOON - 15 });
    let count = asked(&world, "tuya.device.timer.count", "4.0", r#"{"lastFetchTime":"0"}"#).await;
    assert_eq!(count, Some(json!({"devId": ID, "count": 12, "lastFetchTime": NOON - 15})));
    let mut ids = Vec::new();
    for offset in ["0", "5", "10", "15"] {
        let body = json!({"devId": ID, "offset": offset, "limit": "5"}).to_string();
        let (answer, page) = asked_with(&world, "tuya.device.timer.get", "4.1", &body).await;
        assert!(answer.size() < 1024, "{}", answer.size());
        let page = page.expect("a page");
        assert_eq!(page["devId"], ID);
        let timers = page["timers"].as_array().expect("a list").clone();
        if offset == "0" {
            assert_eq!(
                timers[0],
                json!({"id": "8848392", "date": "00000000", "time": "18:02", "loops": 62, "dps": {"2": true}})
            );
        }
        ids.extend(timers.into_iter().map(|t| t["id"].as_str().expect("text").to_owned()));
    }
    let all: Vec<_> = (0..12).map(|n| (8_848_392 + n).to_string()).collect();
    assert_eq!(ids, all);
    let wild = json!({"offset": u64::MAX, "limit": u64::MAX}).to_string();
    let page = asked(&world, "tuya.device.timer.get", "4.1", &wild).await.expect("a page");
    assert_eq!(page["timers"], json!([]));
}

#[tokio::test]
async fn what_a_device_says_of_itself_is_kept() {
    let world = world();
    let versions = r#"{"versions":"[{\"otaChannel\":9,\"softVer\":\"7.7.7\"},{\"otaChannel\":0,\"protocolVer\":\"2.2\",\"baselineVer\":\"40.00\",\"softVer\":\"1.0.1\"}]","t":21}"#;
    asked(&world, "tuya.device.versions.update", "4.1", versions).await;
    let stock = r#"{"versions":"[{\"type\":0,\"protocolVer\":\"2.2\",\"softVer\":\"1.0.2\"}]","t":21}"#;
    asked(&world, "tuya.device.versions.update", "4.1", stock).await;
    asked(&world, "s.gw.update", "2.0", r#"{"verSw":"1.0.5","pv":"2.1","bv":"5.50"}"#).await;
    let strange = json!({"verSw": "x".repeat(33), "pv": "9.9"}).to_string();
    asked(&world, "s.gw.update", "2.0", &strange).await;
    assert_eq!(
        world.backend.changes(),
        [
            format!("announce {ID} None Some(C) None"),
            format!("announce {ID} Some(V2_2) None Some(\"1.0.1\")"),
            format!("announce {ID} Some(V2_2) None Some(\"1.0.2\")"),
            format!("announce {ID} Some(V2_1) None Some(\"1.0.5\")"),
        ]
    );
}

#[tokio::test]
async fn bodies_of_any_form_are_answered() {
    let world = world();
    for action in ["tuya.device.timer.count", "tuya.device.versions.update", "tuya.device.upgrade.get"] {
        for body in
            ["{}", r#"{"versions":7}"#, r#"{"versions":"[7]"}"#, r#"{"type":-1}"#, "{\"type\":[]}", "{broken"]
        {
            asked(&world, action, "1.0", body).await;
        }
    }
}
