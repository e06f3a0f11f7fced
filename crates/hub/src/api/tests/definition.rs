//! What the owner says of points, through the API.

use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;

use super::Door;
use crate::testing::PLUG;

const HAND: &str = "# Measured at the socket.\n\n[[point]]\nid = 19\nname = \"watts\" # of both sockets\n\n\
                    [[entity]]\nkind = \"light\"\nswitch = 1\n";

fn path(rest: &str) -> String {
    format!("/api/v1/devices/{PLUG}{rest}")
}

async fn own(door: &Door) -> String {
    let told = door.get(&path("/definition?format=own")).await;
    assert_eq!(told.header("content-type"), "text/plain; charset=utf-8");
    told.text
}

#[tokio::test]
async fn one_point_is_changed_and_what_else_the_owner_wrote_stays() {
    let door = Door::open().await;
    assert_eq!(own(&door).await, "");
    assert_eq!(door.get(&path("/definition")).await.json()["own"], false);
    let told = door.ask("PATCH", &path(""), &door.admin, Some(json!({"definition": HAND}))).await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(
        (own(&door).await.as_str(), door.get(&path("/definition")).await.json()["own"].as_bool()),
        (HAND, Some(true))
    );

    let said = json!({"name": "power_w", "event": true, "min": null});
    let told = door.ask("PATCH", &path("/definition/points/19"), &door.admin, Some(said)).await;
    assert_eq!((told.status.as_u16(), told.json()["id"].as_str()), (200, Some(PLUG)), "{}", told.text);
    let wanted =
        HAND.replace("\"watts\" # of both sockets\n", "\"power_w\" # of both sockets\nevent = true\n");
    assert_eq!(own(&door).await, wanted);
    let said = json!({"code": "mine", "type": "enum", "range": ["a", "b"]});
    door.ask("PATCH", &path("/definition/points/101"), &door.admin, Some(said)).await;
    let added = "\n[[point]]\nid = 101\ncode = \"mine\"\nrange = [\"a\", \"b\"]\ntype = \"enum\"\n";
    assert_eq!(own(&door).await, format!("{wanted}{added}"));
    for _ in 0..2 {
        let told = door.ask("DELETE", &path("/definition/points/101"), &door.admin, None).await;
        assert_eq!(told.status, 200, "what is not said any more can be taken back again: {}", told.text);
        assert_eq!(own(&door).await, format!("{wanted}\n"));
    }
    door.ask("PATCH", &path(""), &door.admin, Some(json!({"definition": ""}))).await;
    assert_eq!(own(&door).await, "");
}

#[tokio::test]
async fn what_can_not_be_said_of_a_point_is_refused_and_changes_nothing() {
    let door = Door::open().await;
    door.ask("PATCH", &path(""), &door.admin, Some(json!({"definition": HAND}))).await;
    let ask = |body| {
        door.ask("PATCH", "/api/v1/devices/Kitchen%20plug/definition/points/19", &door.admin, Some(body))
    };
    assert_eq!(ask(json!({"type": "value", "min": 5, "max": 1})).await.problem(422), "definition.invalid");
    assert_eq!(ask(json!({"min": "low"})).await.problem(422), "request.body");
    assert_eq!(ask(json!({"colour": "red"})).await.problem(422), "request.body");
    assert_eq!(own(&door).await, HAND);
    // What the vendor's files say is not written anew behind the owner's back.
    let vendors = json!({"19": {"code": "cur_power", "type": "Boolean", "values": {}}}).to_string();
    let told = door.ask("PATCH", &path(""), &door.admin, Some(json!({"definition": vendors}))).await;
    assert_eq!(told.status, 200, "{}", told.text);
    let refused = ask(json!({"name": "watts"})).await;
    assert_eq!(refused.problem(409), "definition.other_form");
    assert!(refused.json()["hint"].as_str().unwrap().contains("format=toml"), "{}", refused.text);
    let told = door.ask("DELETE", &path("/definition/points/19"), &door.admin, None).await;
    assert_eq!(told.problem(409), "definition.other_form");
    assert_eq!(own(&door).await, vendors);
}

#[tokio::test]
async fn a_point_may_be_meant_as_it_was_read() {
    let door = Door::open().await;
    let tag = door.get(&path("")).await.header("etag").to_owned();
    let ask = |name: &'static str| {
        let request = door
            .request("PATCH", &path("/definition/points/1"), &door.admin)
            .header("if-match", &tag)
            .header("content-type", "application/json");
        door.told(request.body(Full::<Bytes>::from(json!({"name": name}).to_string())).unwrap())
    };
    let told = ask("socket").await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_ne!(told.header("etag"), tag);
    assert_eq!(ask("outlet").await.problem(412), "device.changed");
    assert!(own(&door).await.contains("name = \"socket\""));
}
