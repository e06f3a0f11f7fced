//! `landfall watch`

use serde_json::{Value, json};

use crate::harness::{Background, Simulated, Stream};

const HOME: &str = r#"
[[device]]
name = "Kettle"
kind = "plug"
version = "3.4"
address = "127.0.0.1:0"

[[device]]
name = "Gateway"
kind = "gateway"
version = "3.4"
address = "127.0.0.1:0"

[[device.child]]
name = "Heat pump"
kind = "plug"
"#;

fn watch(s: &Simulated, more: &[&str]) -> Background {
    let mut args = vec!["--devices", "devices.json", "watch"];
    args.extend(more);
    Background::start(s.home.command(&args))
}

#[test]
fn a_line_a_change() {
    let s = Simulated::start(HOME);
    let mut w = watch(&s, &["Kettle", "Heat pump"]);
    // In whichever order they report; the gateway has no points of its own.
    w.wait_for(Stream::Err, ": watching");
    w.wait_for(Stream::Err, ": watching");
    s.run_with_file(&["set", "Kettle", "switch_1=off"]).ok();
    let line = w.wait_for(Stream::Out, "switch_1");
    assert!(line.ends_with("  Kettle  switch_1  on -> off"), "{line}");
    s.run_with_file(&["set", "Heat pump", "relay_status=power_on"]).ok();
    let line = w.wait_for(Stream::Out, "relay_status");
    assert!(line.ends_with("  Heat pump  relay_status  last -> power_on"), "{line}");
    assert_eq!(w.interrupt(), 0, "Ctrl-C is the way to end it");
}

#[test]
fn json_lines_for_programs() {
    let s = Simulated::start(HOME);
    let mut w = watch(&s, &["Kettle", "--json"]);
    w.wait_for(Stream::Err, "Kettle: watching");
    s.run_with_file(&["set", "Kettle", "countdown_1=60"]).ok();
    let line: Value = serde_json::from_str(&w.wait_for(Stream::Out, "countdown_1")).unwrap();
    assert_eq!(line["name"], json!("Kettle"));
    assert_eq!((&line["dp"], &line["old"], &line["new"]), (&json!(9), &json!(0), &json!(60)));
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    assert_eq!(w.signal("TERM"), 0);
}

#[test]
fn it_comes_back_with_the_device() {
    let mut s = Simulated::start(HOME);
    let mut w = watch(&s, &["Kettle", "Heat pump"]);
    w.wait_for(Stream::Err, "watching");
    // The devices go away and come back where they were.
    let file: Value = serde_json::from_str(&s.home.read("devices.json")).unwrap();
    let mut text = s.home.read("home.toml");
    for i in [0, 1] {
        text = text.replacen("127.0.0.1:0\"", &format!("127.0.0.1:{}\"", file[i]["port"]), 1);
    }
    s.home.write("home.toml", &text);
    let (home, devices) = (s.home, s.devices);
    assert_eq!(devices.interrupt(), 0);
    w.wait_for(Stream::Err, "Kettle: ");
    s = Simulated { devices: Simulated::run(&home), home };
    w.wait_for(Stream::Err, "Kettle: connected");
    s.run_with_file(&["set", "Kettle", "child_lock=on"]).ok();
    let line = w.wait_for(Stream::Out, "child_lock");
    assert!(line.ends_with("off -> on"), "{line}");
    assert_eq!(w.interrupt(), 0);
}

#[test]
fn nothing_to_watch_is_said() {
    let s = Simulated::start(HOME);
    s.home.run(&["watch"]).failed(1, "there is nothing to watch", "landfall demo");
    s.run_with_file(&["watch", "Ketle"]).failed(
        1,
        "no device is called \"Ketle\"",
        "did you mean \"Kettle\"?",
    );
}
