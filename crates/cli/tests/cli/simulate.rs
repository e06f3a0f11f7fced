//! `landfall simulate`

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Background, Home, Simulated, Stream};

const HOME: &str = r#"
[[device]]
name = "Kettle"
kind = "plug"
version = "3.3"
address = "127.0.0.1:0"

[[device]]
name = "Gateway"
kind = "gateway"
version = "3.4"
address = "127.0.0.1:0"

[[device.child]]
name = "Sensor"
kind = "battery-sensor"

[[device]]
name = "Sleeper"
kind = "battery-sensor"
"#;

#[test]
fn prints_what_is_bound_and_writes_the_file_for_others() {
    let s = Simulated::start(HOME);
    let file: Value = serde_json::from_str(&s.home.read("devices.json")).unwrap();
    assert_eq!(fs::metadata(s.home.path("devices.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(file[0]["port"].as_u64().unwrap() > 0);
    assert_eq!(file[2]["parent"], file[1]["id"]);
    assert!(file[3].get("ip").is_none(), "sleepers have no address");
    let keys: Vec<&str> = file.as_array().unwrap().iter().filter_map(|e| e["key"].as_str()).collect();
    let mut s = s;
    s.devices.wait_for(Stream::Out, "Sleeper");
    let mut lines = Vec::new();
    for (stream, line) in &s.devices.said {
        assert!(keys.iter().all(|k| !line.contains(k)), "a key shows: {line}");
        if *stream == Stream::Out {
            lines.push(serde_json::from_str::<Value>(line).unwrap());
        }
    }
    assert_eq!(lines.len(), 4, "a line a device");
    assert_eq!(lines[0]["port"], file[0]["port"]);
    assert_eq!(lines[2]["gateway"], file[1]["id"]);
    assert_eq!(lines[3]["address"], json!(null));
    assert_eq!(s.devices.signal("TERM"), 0, "SIGTERM is a clean end");
}

#[test]
fn any_number_of_devices() {
    let home = Home::new();
    // No listening here: the number is wrong before anything starts.
    for wrong in ["0", "many", "10001"] {
        home.run(&["simulate", "--devices", wrong]).failed(2, "is no number of devices", "1 to 10000");
    }
    let help = home.run(&["simulate", "--help"]).ok().stdout;
    assert!(help.contains("--devices <N>") && !help.contains("--devices <FILE>"), "{help}");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_written() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = held.local_addr().unwrap();
    let home = Home::new();
    home.write("home.toml", &HOME.replacen("127.0.0.1:0", &at.to_string(), 1));
    home.write("devices.json", "untouched");
    let run =
        home.run(&["simulate", "--home", "home.toml", "--write-devices", "devices.json", "--no-discovery"]);
    run.failed(
        1,
        &format!("the address {at} of \"Kettle\" is in use"),
        "another simulation or program listens",
    );
    assert_eq!(home.read("devices.json"), "untouched");
}

#[test]
fn a_malformed_home_file_names_entry_and_field() {
    let home = Home::new();
    home.write("home.toml", &HOME.replace("\"plug\"", "\"toaster\""));
    let run = home.run(&["simulate", "--home", "home.toml", "--write-devices", "devices.json"]);
    let run = run.failed(1, "home.toml: device 1 \"Kettle\": kind", "mend the home file");
    assert!(run.stderr.contains("toaster"), "{run:#?}");
    home.write("home.toml", "[[device]\n");
    home.run(&["simulate", "--home", "home.toml"]).failed(1, "home.toml", "mend the home file");
    home.run(&["simulate", "--home", "none.toml"]).failed(
        1,
        "can't read the home file none.toml",
        "built-in home",
    );
    assert!(!home.path("devices.json").exists());
}

#[test]
fn the_table_is_for_people() {
    let home = Home::new();
    home.write("home.toml", HOME);
    let mut devices = Background::start(home.command(&["simulate", "--home", "home.toml", "--no-discovery"]));
    let line = devices.wait_for(Stream::Out, "Sleeper");
    assert!(line.contains("battery-sensor") && line.contains("asleep"), "{line}");
    devices.wait_for(Stream::Err, "4 virtual devices running; Ctrl-C ends");
    assert_eq!(devices.interrupt(), 0);
}
