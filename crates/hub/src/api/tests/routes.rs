//! What routes answer.

use std::sync::Arc;
use std::time::Duration;

use landfall_proto::dp::{DpId, DpValue};
use landfall_proto::id::DeviceId;
use serde_json::json;

use super::Door;
use crate::model::{Line, MilliWattHours, Outcome, Presence, Problem, ProblemKind, Seq, What};
use crate::store::{Batch, EnergyRow, EventRow, PointRow, Store as _};
use crate::testing::{LIGHT, PLUG, SENSOR, START_MS, STRANGER};

fn device() -> Arc<DeviceId> {
    Arc::new(DeviceId::new(PLUG).unwrap())
}

fn points(dp: u16, values: &[(u64, i64)]) -> Vec<PointRow> {
    let row = |(at_ms, n): &(u64, i64)| PointRow {
        device: device(),
        dp: DpId(dp),
        at_ms: START_MS - 3_600_000 + at_ms,
        value: DpValue::Value(*n),
    };
    values.iter().map(row).collect()
}

#[tokio::test]
async fn devices_are_listed_filtered_and_paged() {
    let door = Door::open().await;
    let all = door.get("/api/v1/devices").await.json();
    let names: Vec<_> =
        all["devices"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Garden door", "Hall light", "Kitchen plug"]);
    for (query, ids) in [
        ("q=KITCHEN", vec![PLUG]),
        ("q=hall", vec![LIGHT]),
        ("room=Hall", vec![LIGHT]),
        ("presence=asleep", vec![SENSOR]),
        ("parent=nobody", vec![]),
        ("limit=1&offset=1", vec![LIGHT]),
        ("offset=9", vec![]),
    ] {
        let page = door.get(&format!("/api/v1/devices?{query}")).await.json();
        let have: Vec<_> =
            page["devices"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
        assert_eq!(have, ids, "{query}");
        assert_eq!(page["total"], if query.contains("offset") { 3 } else { ids.len() }, "{query}");
    }
}

#[tokio::test]
async fn a_device_shows_its_lines_presence_and_energy() {
    let door = Door::open().await;
    let plug = door.get("/api/v1/devices/Kitchen%20plug").await.json();
    assert_eq!(plug["id"], PLUG);
    assert_eq!(plug["class"], "plug");
    assert_eq!(plug["presence"], json!({"state": "online"}));
    assert_eq!(plug["lan"]["state"], "up");
    assert_eq!(plug["lan"]["address"], "192.0.2.17:6668");
    assert_eq!(plug["route"], "lan");
    assert_eq!(plug["energy"]["total_kwh"], 12.345_678);
    assert_eq!(plug["energy"]["power_factor"], 0.997);
    assert_eq!(plug["state"]["energy"], 12.345_678);
    let sensor = door.get(&format!("/api/v1/devices/{SENSOR}")).await.json();
    assert_eq!(sensor["presence"], json!({"state": "asleep", "since_ms": START_MS}));
    door.home.presence(PLUG, Presence::Offline { since_ms: START_MS, why: "no answer".into() });
    let plug = door.get(&format!("/api/v1/devices/{PLUG}")).await.json();
    assert_eq!(plug["presence"], json!({"state": "offline", "since_ms": START_MS, "why": "no answer"}));
}

#[tokio::test]
async fn an_answer_that_the_client_has_already_is_not_sent_again() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}/dps");
    let tag = door.get(&path).await.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() == 18);
    let again = || {
        let request = door.request("GET", &path, &door.read).header("if-none-match", &tag);
        door.told(request.body(http_body_util::Full::default()).unwrap())
    };
    let same = again().await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
    door.home.report(PLUG, &[(19, DpValue::Value(1))]);
    assert_eq!(again().await.status, 200);
}

#[tokio::test]
async fn a_command_tells_how_it_ended() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}/dps/1");
    let told = door
        .ask(
            "PUT",
            &format!("{path}?timeout=2s&confirm=false&line=cloud"),
            &door.control,
            Some(json!({"value": false})),
        )
        .await;
    assert_eq!(
        told.json(),
        json!({"command": 1, "device": PLUG, "outcome": "confirmed", "line": "cloud", "took_ms": 7, "dps": {"1": false}})
    );
    let (_, dps, options) = door.home.take_sets().remove(0);
    assert_eq!(dps.value(DpId(1)), Some(&DpValue::Bool(false)));
    assert_eq!(
        (options.timeout, options.confirm, options.line),
        (Duration::from_secs(2), false, Some(Line::Cloud))
    );
    assert_eq!(door.get(&path).await.json()["value"], false);
    for (outcome, shown) in [
        (Outcome::Accepted, json!({"outcome": "accepted"})),
        (Outcome::Refused { why: "locked".into() }, json!({"outcome": "refused", "why": "locked"})),
        (
            Outcome::Unconfirmed { why: "silent".into(), unsent: true },
            json!({"outcome": "unconfirmed", "why": "silent", "unsent": true}),
        ),
    ] {
        door.home.script(Ok(outcome));
        let told = door.ask("PATCH", &path, &door.control, Some(json!({"value": true}))).await;
        assert_eq!(told.status, 200);
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(told.json()[name], *value);
        }
    }
    door.home.script(Err(
        Problem::new(ProblemKind::Device, "device.offline", "the plug is off").hint("plug it in")
    ));
    let told = door.ask("PUT", &path, &door.control, Some(json!({"value": true}))).await;
    assert_eq!(told.problem(409), "device.offline");
    assert_eq!(
        (told.json()["hint"].as_str(), told.json()["tuya_error"].as_u64()),
        (Some("plug it in"), Some(905))
    );
}

#[tokio::test]
async fn attributes_are_set_by_name() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}/state");
    let told = door.ask("PATCH", &path, &door.control, Some(json!({"switch_1": false}))).await;
    assert_eq!((told.status.as_u16(), told.json()["dps"].clone()), (200, json!({"1": false})));
    let state = door.get(&path).await.json();
    assert_eq!(
        (state["state"]["switch_1"].clone(), state["state"]["power"].clone()),
        (json!(false), json!(99.8))
    );
    let told = door.ask("PATCH", &path, &door.control, Some(json!({"nonsense": false}))).await;
    assert_eq!(told.problem(422), "attribute.unknown");
}

#[tokio::test]
async fn history_is_told_in_units_by_steps_and_bounded() {
    let door = Door::open().await;
    let rows = points(19, &[(0, 100), (60_000, 200), (90_000, 400), (120_000, 50)]);
    door.home.memory().append(&Batch { points: rows, ..Batch::default() }).await.unwrap();
    let path = format!("/api/v1/devices/{PLUG}/history?from=-1h&dps=19");
    let all = door.get(&path).await.json();
    let series = &all["series"][0];
    assert_eq!((series["name"].as_str(), series["unit"].as_str()), (Some("power"), Some("W")));
    assert_eq!(series["samples"][1], json!({"at_ms": START_MS - 3_540_000, "value": 20.0}));
    assert_eq!((series["samples"].as_array().unwrap().len(), series["cut"].clone()), (4, json!(false)));
    let raw = door.get(&format!("{path}&raw=true&limit=2")).await.json();
    assert_eq!(raw["series"][0]["samples"][1]["value"], 200);
    assert_eq!(
        (raw["series"][0]["samples"].as_array().unwrap().len(), raw["series"][0]["cut"].clone()),
        (2, json!(true))
    );
    let steps = door.get(&format!("{path}&step=1m")).await.json();
    let second = &steps["series"][0]["samples"][1];
    assert_eq!((second["min"].as_f64(), second["max"].as_f64()), (Some(20.0), Some(40.0)), "{steps}");
    assert_eq!(door.get(&format!("/api/v1/devices/{PLUG}/history?dps=1")).await.json()["series"], json!([]));
}

#[tokio::test]
async fn energy_is_told_by_days_of_the_home() {
    let door = Door::open().await;
    let day = 86_400_000;
    let midnight = START_MS - START_MS % day;
    let row = |at_ms, mwh| EnergyRow { device: device(), at_ms, total: MilliWattHours(mwh) };
    let energy =
        vec![row(midnight - day, 0), row(midnight - 1_000, 1_500_000), row(midnight + 3_600_000, 2_000_000)];
    door.home.memory().append(&Batch { energy, ..Batch::default() }).await.unwrap();
    let told =
        door.get(&format!("/api/v1/devices/{PLUG}/energy?from={}&by=day", midnight - day)).await.json();
    assert_eq!((told["by"].as_str(), told["zone"].as_str()), (Some("day"), Some("UTC")));
    let bars: Vec<_> =
        told["bars"].as_array().unwrap().iter().map(|b| b["used_kwh"].as_f64().unwrap()).collect();
    assert_eq!(bars, [1.5, 0.5], "{told}");
    assert_eq!(told["used_kwh"], 2.0);
    assert_eq!((told["cost"].as_f64(), told["bars"][1]["cost"].as_f64()), (Some(0.64), Some(0.16)));
}

#[tokio::test]
async fn energy_of_the_home_is_that_of_its_devices_together() {
    let door = Door::open().await;
    let day = 86_400_000;
    let midnight = START_MS - START_MS % day;
    let light = Arc::new(DeviceId::new(LIGHT).unwrap());
    let row = |device: &Arc<DeviceId>, at_ms, mwh| EnergyRow {
        device: Arc::clone(device),
        at_ms,
        total: MilliWattHours(mwh),
    };
    let energy = vec![
        row(&device(), midnight - day, 0),
        row(&device(), midnight - 1_000, 1_500_000),
        row(&device(), midnight + 3_600_000, 2_000_000),
        row(&light, midnight - day, 0),
        row(&light, midnight + 1, 3_000_000),
    ];
    door.home.memory().append(&Batch { energy, ..Batch::default() }).await.unwrap();
    let path = format!("/api/v1/energy?from={}", midnight - day);
    let one = door.get(&path).await.json();
    assert_eq!((one["used_kwh"].as_f64(), one["devices"].as_array().unwrap().len()), (Some(2.0), 1));
    door.home.change(LIGHT, |view| {
        view.energy = Some(crate::model::EnergyView::default());
        What::Edited
    });
    let told = door.get(&path).await.json();
    let bars: Vec<_> =
        told["bars"].as_array().unwrap().iter().map(|b| b["used_kwh"].as_f64().unwrap()).collect();
    assert_eq!((bars, told["used_kwh"].as_f64()), (vec![1.5, 3.5], Some(5.0)), "{told}");
    assert_eq!((told["price"].as_f64(), told["cost"].as_f64()), (Some(0.32), Some(1.6)));
    let share = |n: usize| (told["devices"][n]["device"].as_str(), told["devices"][n]["used_kwh"].as_f64());
    assert_eq!((share(0), share(1)), ((Some(LIGHT), Some(3.0)), (Some(PLUG), Some(2.0))));
    assert_eq!(door.get("/api/v1/energy?by=year").await.problem(400), "query.by");
    assert_eq!(door.get("/api/v1/energy?by=hour&from=0").await.problem(400), "query.range");
}

#[tokio::test]
async fn events_are_told_newest_first_in_pages() {
    let door = Door::open().await;
    let event = |seq: u64| EventRow {
        seq: Seq(seq),
        at_ms: START_MS + seq,
        device: seq.is_multiple_of(2).then(device),
        code: "presence.offline".into(),
        text: format!("number {seq}"),
    };
    door.home
        .memory()
        .append(&Batch { events: (1..=7).map(event).collect(), ..Batch::default() })
        .await
        .unwrap();
    let seqs = |told: serde_json::Value| -> Vec<u64> {
        told["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect()
    };
    let page = door.get("/api/v1/events-log?limit=3").await.json();
    assert_eq!((page["next"].as_u64(), seqs(page)), (Some(5), vec![7, 6, 5]));
    let page = door.get("/api/v1/events-log?limit=5&before=5").await.json();
    assert_eq!((page["next"].as_u64(), seqs(page)), (None, vec![4, 3, 2, 1]));
    assert_eq!(seqs(door.get(&format!("/api/v1/devices/{PLUG}/events")).await.json()), [6, 4, 2]);
    assert_eq!(door.get(&format!("/api/v1/events-log?before={}", u64::MAX)).await.status, 200);
}

#[tokio::test]
async fn an_export_of_any_length_is_whole_and_in_order() {
    let door = Door::open().await;
    let many: Vec<_> = (0..5_001).map(|n| (n * 700, i64::try_from(n).unwrap())).collect();
    let few: Vec<_> = (0..3).map(|n| (n * 1_000_000, 2_300)).collect();
    let rows = [points(19, &many), points(20, &few)].concat();
    door.home.memory().append(&Batch { points: rows, ..Batch::default() }).await.unwrap();
    let told = door.get("/api/v1/export.csv?from=-2h").await;
    assert_eq!(told.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<_> = told.text.lines().collect();
    assert_eq!(lines[0], "time,at_ms,device,name,dp,attribute,value,unit,min,max,last,count");
    assert_eq!(
        lines[1],
        format!("2026-03-01T11:00:00Z,{},{PLUG},Kitchen plug,19,power,0.0,W,,,,", START_MS - 3_600_000)
    );
    assert_eq!(lines.len(), 1 + 5_001 + 3);
    let times: Vec<u64> = lines[1..].iter().map(|l| l.split(',').nth(1).unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted());
    let told = door.get(&format!("/api/v1/export.jsonl?from=-2h&device={PLUG}&dps=20")).await;
    let rows: Vec<serde_json::Value> = told.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0]["attribute"].as_str(), rows[0]["value"].as_f64()), (Some("voltage"), Some(230.0)));
}

#[tokio::test]
async fn metrics_have_the_fields_names_and_no_secrets() {
    let door = Door::open().await;
    door.home.presence(LIGHT, Presence::Offline { since_ms: START_MS, why: "gone".into() });
    let told = door.get("/metrics").await;
    assert!(told.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        format!(
            "tuya_device_info{{id=\"{PLUG}\",name=\"Kitchen plug\",product=\"keyplug\",version=\"3.3\"}} 1.0"
        ),
        format!("tuya_device_up{{id=\"{PLUG}\"}} 1.0"),
        format!("tuya_device_up{{id=\"{LIGHT}\"}} 0.0"),
        format!("tuya_device_up{{id=\"{SENSOR}\"}} 1.0"),
        format!("tuya_device_power_watts{{id=\"{PLUG}\"}} 99.8"),
        format!("tuya_device_voltage_volts{{id=\"{PLUG}\"}} 230.1"),
        format!("tuya_device_current_amperes{{id=\"{PLUG}\"}} 0.435"),
        format!("tuya_device_energy_joules_total{{id=\"{PLUG}\"}} 44444440.8"),
        format!("tuya_device_switch_state{{id=\"{PLUG}\",channel=\"1\"}} 1.0"),
        format!("tuya_device_last_seen_timestamp_seconds{{id=\"{PLUG}\"}} 1772366400.0"),
        format!("tuya_build_info{{version=\"{}\"}} 1.0", env!("CARGO_PKG_VERSION")),
        "tuya_connects_total{result=\"ok\"} 0.0".to_owned(),
        "tuya_reports_dropped_total 0.0".to_owned(),
        "tuya_cloud_requests_total{action=\"tuya.device.timer.get\"} 3.0".to_owned(),
    ] {
        assert!(told.text.lines().any(|l| l == line), "{line}\n{}", told.text);
    }
    assert!(told.text.ends_with("# EOF\n"));
    assert!(!told.text.contains("s3cret") && !told.text.contains("192.0.2"));
}

#[tokio::test]
async fn what_happens_is_counted() {
    let door = Door::open().await;
    door.home.report(PLUG, &[(19, DpValue::Value(1))]);
    door.ask("PUT", &format!("/api/v1/devices/{PLUG}/dps/1"), &door.control, Some(json!({"value": true})))
        .await;
    let wanted = ["tuya_reports_total{line=\"lan\"} 2.0", "tuya_commands_total{outcome=\"confirmed\"} 1.0"];
    // The counter reads the bus beside us.
    let counted = async {
        loop {
            let text = door.get("/metrics").await.text;
            if wanted.iter().all(|w| text.lines().any(|l| l == *w)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("it is counted in the end");
}

#[tokio::test]
async fn devices_come_change_and_go() {
    let door = Door::open().await;
    let new = json!({"id": "bfa00000000000000new04", "name": "New", "version": "3.4", "key": "s3cretK#y/&<9999", "address": "192.0.2.4"});
    let told = door.ask("POST", "/api/v1/devices", &door.admin, Some(new)).await;
    assert_eq!(
        (told.status.as_u16(), told.header("location")),
        (201, "/api/v1/devices/bfa00000000000000new04")
    );
    assert_eq!((told.json()["version"].clone(), told.json()["has_key"].clone()), (json!("3.4"), json!(true)));
    let told = door
        .ask("PATCH", "/api/v1/devices/New", &door.admin, Some(json!({"name": "Old", "room": "Attic"})))
        .await;
    assert_eq!((told.json()["name"].clone(), told.json()["room"].clone()), (json!("Old"), json!("Attic")));
    assert_eq!(door.ask("DELETE", "/api/v1/devices/Old?forget=true", &door.admin, None).await.status, 204);
    assert_eq!(door.get("/api/v1/devices/Old").await.problem(404), "device.unknown");
    assert_eq!(
        door.home.take_did(),
        [
            "add bfa00000000000000new04",
            "edit bfa00000000000000new04",
            "remove bfa00000000000000new04 forget=true"
        ]
    );
}

#[tokio::test]
async fn an_import_changes_the_book_only_when_told_to() {
    let door = Door::open().await;
    let file = json!([{"id": PLUG}, {"id": "bfa0000000000imported5", "name": "Imported"}]);
    let told = door.ask("POST", "/api/v1/devices/import", &door.admin, Some(file.clone())).await.json();
    assert_eq!((told["applied"].clone(), told["devices"][1]["what"].clone()), (json!(false), json!("added")));
    assert_eq!(told["devices"][0]["what"], "unchanged");
    assert_eq!(door.get("/api/v1/devices/Imported").await.status, 404);
    let told = door.ask("POST", "/api/v1/devices/import?apply=true", &door.admin, Some(file)).await.json();
    assert_eq!(told["applied"], true);
    assert_eq!(door.get("/api/v1/devices/Imported").await.status, 200);
}

#[tokio::test]
async fn tokens_are_made_shown_once_and_revoked() {
    let door = Door::open().await;
    let asked = json!({"name": "node-red", "scope": "control", "expires_ms": START_MS + 60_000});
    let made = door.ask("POST", "/api/v1/tokens", &door.admin, Some(asked)).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let (text, id) =
        (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    let status = |token: String| {
        let door = &door;
        async move { door.ask("GET", "/api/v1/status", &token, None).await.status.as_u16() }
    };
    assert_eq!(status(text.clone()).await, 200);
    let list = door.ask("GET", "/api/v1/tokens", &door.admin, None).await;
    assert!(list.text.contains("node-red") && !list.text.contains(&text[16..]));
    door.home.advance(Duration::from_secs(60));
    assert_eq!(status(text).await, 401);
    assert_eq!(door.ask("DELETE", &format!("/api/v1/tokens/{id}"), &door.admin, None).await.status, 204);
    let admin = door.tokens.list()[0].id.clone();
    let told = door.ask("DELETE", &format!("/api/v1/tokens/{admin}"), &door.admin, None).await;
    assert_eq!(told.problem(409), "token.last_admin");
}

#[tokio::test]
async fn the_rest_of_the_home_is_reached() {
    let door = Door::open().await;
    let status = door.get("/api/v1/status").await.json();
    assert_eq!((status["devices"].as_u64(), status["available"].as_u64()), (Some(3), Some(3)));
    assert_eq!((status["zone"].as_str(), status["now_ms"].as_u64()), (Some("UTC"), Some(START_MS)));
    assert_eq!(door.get("/api/v1/config").await.json()["page"]["listen"], "127.0.0.1:8099");
    let found = door.ask("POST", "/api/v1/scan", &door.control, None).await.json();
    assert_eq!(
        (found["found"][0]["id"].as_str(), found["found"][0]["version"].as_str()),
        (Some(PLUG), Some("3.3"))
    );
    let verdict =
        door.ask("POST", &format!("/api/v1/devices/{PLUG}/doctor"), &door.control, None).await.json();
    assert_eq!((verdict["code"].as_str(), verdict["next"].as_str()), (Some("fine"), Some("nothing to do")));
    assert_eq!(door.get(&format!("/api/v1/devices/{LIGHT}/cloud")).await.json()["handshake"], "done");
    assert!(door.get(&format!("/api/v1/devices/{PLUG}/cloud")).await.json().is_null());
    let meaning = door.get(&format!("/api/v1/devices/{PLUG}/definition")).await.json();
    assert_eq!(
        (meaning["points"]["19"]["unit"].as_str(), meaning["points"]["19"]["source"].as_str()),
        (Some("W"), Some("profile"))
    );
    let windows =
        door.ask("POST", "/api/v1/windows", &door.admin, Some(json!({"who": "u1", "seconds": 60}))).await;
    assert_eq!(windows.json(), json!({"windows": [{"who": "u1", "until_ms": START_MS + 60_000}]}));
    assert_eq!(door.get("/api/v1/windows").await.json(), windows.json());
    assert_eq!(door.ask("DELETE", "/api/v1/windows", &door.admin, None).await.status, 204);
    assert_eq!(door.get("/api/v1/windows").await.json(), json!({"windows": []}));
    let strangers = door.get("/api/v1/strangers").await.json();
    let wanted = json!({
        "id": STRANGER, "address": "192.0.2.66", "version": "3.4", "product_id": "keystranger", "seen_by": ["beacon"],
        "heard_ms": START_MS - 5_000, "missing": "local_key", "hint": "import its local key",
    });
    assert_eq!(strangers, json!({"strangers": [wanted]}));
    door.ask("POST", &format!("/api/v1/devices/{PLUG}/refresh?dps=19,20"), &door.control, None).await;
    let timers = json!({"timers": [{"id": 1, "time": "07:30", "loops": 62, "dps": {"1": true}}]});
    let told = door.ask("PUT", &format!("/api/v1/devices/{PLUG}/timers"), &door.admin, Some(timers)).await;
    assert_eq!(told.status, 204);
    let did = door.home.take_did();
    assert!(
        did.contains(&format!("refresh {PLUG} [19, 20]")) && did.contains(&format!("timers {PLUG} Some(1)")),
        "{did:?}"
    );
}

#[tokio::test]
async fn a_store_that_fails_makes_the_hub_unready_and_tells_strangers_no_more() {
    let door = Door::open().await;
    assert_eq!(door.ask("GET", "/readyz", "", None).await.json(), json!({"status": "ok"}));
    door.home.fail_store("can't write /home/ann/history.db");
    let told = door.ask("GET", "/readyz", "", None).await;
    assert_eq!(told.problem(503), "store.failed");
    assert!(!told.text.contains("ann"), "{}", told.text);
    assert_eq!(door.ask("GET", "/healthz", "", None).await.status, 200);
    let status = door.get("/api/v1/status").await.json();
    assert_eq!(status["store"]["error"], "can't write /home/ann/history.db");
    assert_eq!(status["settings_file"], "/etc/landfall/landfall.toml");
}

#[tokio::test]
async fn a_change_may_be_meant_for_what_was_read() {
    let door = Door::open().await;
    let path = format!("/api/v1/devices/{PLUG}");
    let tag = door.get(&path).await.header("etag").to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let ask = |method: &'static str, tag: String, body: serde_json::Value| {
        let request = door
            .request(method, &path, &door.admin)
            .header("if-match", tag)
            .header("content-type", "application/json");
        door.told(request.body(http_body_util::Full::from(body.to_string())).unwrap())
    };
    // What it reports is not what is edited.
    door.home.report(PLUG, &[(19, DpValue::Value(7))]);
    let told = ask("PATCH", tag.clone(), json!({"room": "Cellar"})).await;
    assert_eq!((told.status.as_u16(), told.json()["room"].as_str()), (200, Some("Cellar")));
    let next = told.header("etag").to_owned();
    assert_ne!(next, tag);
    for (method, body) in [("PATCH", json!({"room": "Attic"})), ("DELETE", json!({}))] {
        assert_eq!(ask(method, tag.clone(), body).await.problem(412), "device.changed");
    }
    let seen = door.get(&path).await;
    assert_eq!((seen.header("etag"), seen.json()["room"].as_str()), (next.as_str(), Some("Cellar")));
    assert_eq!(ask("DELETE", next, json!({})).await.status, 204);
    assert_eq!(door.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_backup_is_private_and_says_where_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let door = Door::open().await;
    let told = door.ask("POST", "/api/v1/backup", &door.admin, None).await;
    assert_eq!(told.json(), json!({"directory": "backups/20260301T120000000Z", "files": ["history.db"]}));
    let dir = door.dir.path().join("backups/20260301T120000000Z");
    assert!(dir.join("history.db").exists());
    for dir in [dir.as_path(), dir.parent().unwrap()] {
        assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
