//! The console on real lines: everything is shown, and no secret.

use landfall_cloud::control::Window;

use super::world::*;
use crate::console::{Frame, Reader, Seen};
use crate::hub::HubConfig;
use crate::model::{Home as _, LineState};

/// Reads until a frame is so; all that were read are kept.
async fn until_frame(reader: &mut Reader, kept: &mut Vec<Frame>, what: &str, is: impl Fn(&Frame) -> bool) {
    let read = async {
        loop {
            match reader.next().await.expect("the console lives") {
                Seen::Frame(frame) => {
                    let found = is(&frame);
                    kept.push((*frame).clone());
                    if found {
                        return;
                    }
                }
                Seen::Lost(n) => panic!("{n} frames were missed"),
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, read).await;
    assert!(told.is_ok(), "{what} is not shown: {:#?}", kept.iter().map(|f| &f.what).collect::<Vec<_>>());
}

fn texts(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|f| serde_json::to_string(f).unwrap()).collect()
}

/// As it is, and as bytes in hexadecimal.
fn assert_hidden(frames: &[Frame], secret: &str) {
    assert!(secret.len() >= 8, "{secret:?} would be found anywhere");
    let written = serde_json::to_string(secret).unwrap();
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    for text in texts(frames) {
        let shown = text.contains(secret) || text.contains(written.trim_matches('"')) || text.contains(&hex);
        assert!(!shown, "{secret:?} is shown: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_the_lan_are_shown_and_keys_are_not() {
    for version in ["3.1", "3.3", "3.4", "3.5"] {
        let house = format!("[[device]]\nname = \"One\"\nkind = \"plug\"\nversion = \"{version}\"\n");
        let (world, sim) = (World::new(), devices(&house).await);
        world.adopt(sim.devices()).await;
        let hub = world.hub(config()).await;
        let mut reader = hub.console().read();
        let view = online(&hub, "One").await;
        let wanted = is_on(&view) != Some(true);
        hub.set(view.id(), switch(wanted), options()).await.unwrap();
        let mut frames = Vec::new();
        let sets = |f: &Frame| f.direction == "out" && f.what.starts_with("CONTROL");
        until_frame(&mut reader, &mut frames, "the command", sets).await;
        let set = frames.last().unwrap();
        assert_eq!((set.device.as_str(), set.line), (view.id().as_str(), "lan"), "{version}");
        assert!(
            set.body.to_string().contains(&format!("\"1\":{wanted}")) && set.bytes > 0,
            "{version}: {set:?}"
        );
        assert!(set.seq.is_some() && set.at_ms > 0);
        // What came while the line was opened may have come before the reader.
        until_frame(&mut reader, &mut frames, "the device's answer", |f| f.direction == "in").await;
        let negotiation: Vec<_> = frames.iter().filter(|f| f.what.starts_with("SESS_KEY")).collect();
        assert!(
            negotiation.iter().all(|f| f.body.as_str().is_some_and(|b| b.starts_with("(hidden"))),
            "{negotiation:?}"
        );
        let key = hub.key(view.id()).unwrap().unwrap();
        assert_hidden(&frames, key.expose_str());
        drop(reader);
        world.end(&hub, sim).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_way_into_the_cloud_is_shown_and_its_secrets_are_not() {
    for (generation, version) in [("A", "3.1"), ("B", "3.3"), ("C", "3.4")] {
        let house = format!(
            "[[device]]\nname = \"Newcomer\"\nkind = \"plug\"\nversion = \"{version}\"\n\
             cloud = {{ generation = \"{generation}\", region = \"EU\", token = \"token007\" }}\n"
        );
        let mut world = World::new();
        let dial = world.start_cloud().await;
        let hub = world.hub(HubConfig { lan: false, ..config() }).await;
        let mut reader = hub.console().read();
        hub.open_window(Window { who: None, until: world.clock.unix() + 600 }).unwrap();
        let sim = devices_with_cloud(&house, dial).await;
        let found = until(&hub, "it comes", || {
            hub.devices().into_iter().find(|v| v.cloud.state == LineState::Up && !v.points.is_empty())
        })
        .await;
        let mut frames = Vec::new();
        let reports = |f: &Frame| f.what.ends_with("protocol 4") && f.direction == "in";
        until_frame(&mut reader, &mut frames, "a report", reports).await;
        let report = frames.last().unwrap();
        assert_eq!((report.device.as_str(), report.line), (found.id().as_str(), "cloud"), "{generation}");
        assert!(report.body["data"]["dps"].is_object(), "{generation}: {report:?}");
        hub.set(found.id(), switch(true), options()).await.unwrap();
        let commands = |f: &Frame| f.what.ends_with("protocol 5") && f.direction == "out";
        until_frame(&mut reader, &mut frames, "the command", commands).await;
        let active =
            |f: &&Frame| f.what.starts_with("HTTP ") && f.what.contains("active") && f.direction == "out";
        let answer =
            frames.iter().find(active).unwrap_or_else(|| panic!("{generation}: {:#?}", texts(&frames)));
        assert_eq!(answer.body["success"], true, "{generation}: {answer:?}");
        assert_eq!(answer.body["result"]["localKey"], "(hidden)", "{generation}: {answer:?}");
        let secrets = world.book.read(|book| {
            let device = book.by_id(found.id()).unwrap();
            let auth = device.cloud.auth_key.as_ref().map(|k| k.expose_str().to_owned());
            let sec = device.cloud.sec_key.as_ref().map(|k| k.expose_str().to_owned());
            [device.key.as_ref().map(|k| k.expose_str().to_owned()), sec, auth]
        });
        assert!(secrets[0].is_some() && secrets[1].is_some(), "{generation}: it has keys by now");
        for secret in secrets.into_iter().flatten() {
            assert_hidden(&frames, &secret);
        }
        assert_hidden(&frames, "token007");
        world.end(&hub, sim).await;
    }
}
