//! The firmware guard, offers and downloads.

use bytes::Bytes;
use landfall_cloud::backend::ApprovedImage;
use landfall_cloud::gateway::image;
use landfall_proto::gateway::firmware::{Digests, Offer};
use serde_json::json;

use crate::actions::{ID, SEC, asked, world};
use crate::client::{Answer, ask, told};
use crate::common::{World, device_id, sec_key};

const TOKEN: &str = "6c1f0e2b9a8d7c6b5a4f3e2d1c0b9a88";

fn content() -> Bytes {
    (0..10_000_u32).map(|i| (i * 7 + 3).to_le_bytes()[0]).collect()
}

fn approve(world: &World) {
    let image = ApprovedImage { kind: 0, version: "9.0.0".into(), bytes: content(), token: TOKEN.into() };
    world.backend.approve(ID, image);
}

async fn get(world: &World, path: &str, range: Option<&str>) -> Answer {
    let range = range.map_or_else(String::new, |r| format!("Range: {r}\r\n"));
    ask(world, format!("GET {path} HTTP/1.1\r\nHost: h\r\n{range}\r\n")).await
}

#[tokio::test]
async fn no_update_is_the_answer_and_each_question_is_counted() {
    let world = world();
    let mut events = world.shared.events();
    for action in ["tuya.device.upgrade.get", "tuya.device.upgrade.silent.get", "s.gw.upgrade"] {
        assert_eq!(asked(&world, action, "4.4", r#"{"type":0}"#).await, None, "{action}");
    }
    let told = told(&mut events);
    let questions: Vec<_> = told.iter().filter(|e| e["event"] == "firmware_question").collect();
    assert_eq!(questions.len(), 3);
    assert!(questions.iter().all(|e| e["offered"] == false));
}

#[tokio::test]
async fn an_approved_image_is_offered_with_all_that_devices_check() {
    let world = world();
    approve(&world);
    let mut events = world.shared.events();
    let offer = asked(&world, "tuya.device.upgrade.get", "4.4", r#"{"type":0}"#).await.expect("an offer");
    let offer: Offer = serde_json::from_value(offer).expect("an offer");
    let digests = Digests::of(&content(), &sec_key(SEC));
    assert_eq!((offer.size.as_str(), &offer.md5, &offer.hmac), ("10000", &digests.md5, &digests.hmac));
    assert_eq!((offer.kind, offer.version.as_str(), offer.auto), (0, "9.0.0", 3));
    assert_eq!(offer.url, format!("http://192.168.1.2{}", image::path(TOKEN)));
    assert_eq!((&offer.psk_url, &offer.cdn_url), (&offer.url, &offer.url));
    assert_eq!(offer.https_url, format!("https://192.168.1.2{}", image::path(TOKEN)));
    assert!(told(&mut events).iter().any(|e| e["event"] == "firmware_question" && e["offered"] == true));
    // Another channel has none.
    assert_eq!(asked(&world, "tuya.device.upgrade.get", "4.4", r#"{"type":9}"#).await, None);
    // The oldest builds have names of their own.
    let oldest = asked(&world, "s.gw.upgrade", "", "{}").await.expect("an offer");
    assert_eq!(
        (&oldest["fileSize"], &oldest["url"], &oldest["version"]),
        (&json!("10000"), &json!(offer.url), &json!("9.0.0"))
    );
}

#[tokio::test]
async fn how_installing_goes_is_told() {
    let world = world();
    let mut events = world.shared.events();
    asked(&world, "tuya.device.upgrade.status.update", "4.1", r#"{"type":0,"upgradeStatus":2,"t":21}"#).await;
    asked(&world, "s.gw.upgrade.updatestatus", "", r#"{"upgradeStatus":"4"}"#).await;
    let statuses: Vec<_> = told(&mut events)
        .into_iter()
        .filter(|e| e["event"] == "firmware_status")
        .map(|e| e["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(2), json!(4)]);
}

#[tokio::test]
async fn devices_download_in_their_ways() {
    let world = world();
    approve(&world);
    let (path, file) = (image::path(TOKEN), content());
    let whole = get(&world, &path, None).await;
    assert_eq!((whole.status, &whole.body), (200, &file.to_vec()));
    for (range, from, to) in [
        // ESP8266: the header, then pieces.
        ("bytes=0-50", 0, 50),
        ("bytes=51-4146", 51, 4146),
        ("bytes=8192-", 8192, 9999),
        // BK7231.
        ("bytes=0-9999", 0, 9999),
        ("bytes=0-9999/10000", 0, 9999),
        // TuyaOpen: one past the end.
        ("bytes=0-10000", 0, 9999),
        ("bytes=4096-10000", 4096, 9999),
    ] {
        let answer = get(&world, &path, Some(range)).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(
            answer.header("Content-Range"),
            Some(format!("bytes {from}-{to}/10000").as_str()),
            "{range}"
        );
        assert_eq!(answer.header("Content-Length"), Some((to - from + 1).to_string().as_str()));
        assert_eq!(answer.body, file[from..=to], "{range}");
    }
    for range in ["bytes=10000-", "bytes=10000-10000"] {
        let answer = get(&world, &path, Some(range)).await;
        assert_eq!((answer.status, answer.header("Content-Range")), (416, Some("bytes */10000")), "{range}");
    }
    for range in ["", "lines=1-2", "bytes=9-3"] {
        assert_eq!(get(&world, &path, Some(range)).await.status, 200, "{range}");
    }
    assert_eq!(get(&world, &format!("{}{TOKEN}", image::PATH), None).await.status, 200);
}

#[tokio::test]
async fn without_the_token_there_is_no_file() {
    let world = world();
    approve(&world);
    let almost = &TOKEN[..31];
    for path in
        ["/firmware/", "/firmware/.bin", "/firmware", &format!("/firmware/{almost}"), "/firmware/../book"]
    {
        let answer = get(&world, path, None).await;
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{path}");
    }
}

#[tokio::test]
async fn pieces_go_over_mqtt_to_the_device_that_the_image_is_for() {
    let world = world();
    approve(&world);
    let device = world.shared.backend.by_id(&device_id(ID)).expect("the device");
    let url = format!("http://192.168.1.2{}", image::path(TOKEN));
    let piece = |range| image::piece(&world.shared, &device, &url, range);
    assert_eq!(piece(Some("bytes=0-1023")), Some(content().slice(..1024)));
    assert_eq!(piece(Some("bytes=9216-10239")), Some(content().slice(9216..)));
    assert_eq!(piece(None), Some(content()));
    assert_eq!(piece(Some("bytes=10000-")), None);
    assert_eq!(image::piece(&world.shared, &device, "http://192.168.1.2/firmware/other.bin", None), None);
    let other = world.backend.add(crate::common::registration("bf99"));
    assert_eq!(image::piece(&world.shared, &other, &url, None), None, "it is not for this one");
}
