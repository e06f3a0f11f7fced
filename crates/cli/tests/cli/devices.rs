//! `landfall get`, `set` and `scan` against virtual devices.

use serde_json::json;

use crate::harness::Simulated;

/// A device of each version, and a gateway.
const HOME: &str = r#"
[[device]]
name = "Old plug"
kind = "plug-old"
version = "3.1"
load = "lamp"
address = "127.0.0.1:0"

[[device]]
name = "Hall / switch"
kind = "switch22"
version = "3.2"
address = "127.0.0.1:0"

[[device]]
name = "Kettle"
kind = "plug"
version = "3.3"
load = "lamp"
address = "127.0.0.1:0"

[[device]]
name = "Light"
kind = "bulb"
version = "3.5"
reply_sequence = "counter"
address = "127.0.0.1:0"

[[device]]
name = "Heating"
kind = "thermostat"
version = "3.4"
address = "127.0.0.1:0"

[[device]]
name = "Feeder"
kind = "feeder"
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

/// Name, a switch, and what it is at first.
const SWITCHES: [(&str, &str); 5] = [
    ("Old plug", "switch_1"),
    ("hall / switch", "switch_2"),
    ("KETTLE", "1"),
    ("Light", "switch_led"),
    ("Heat pump", "switch_1"),
];

#[test]
fn every_version_is_read_and_set() {
    let s = Simulated::start(HOME);
    for (name, dp) in SWITCHES {
        for value in ["off", "on", "false"] {
            let set = s.run_with_file(&["set", name, &format!("{dp}={value}")]).ok();
            assert!(set.stdout.starts_with("confirmed  "), "{set:#?}");
            assert_eq!(set.stderr, "");
            let shown = s.run_with_file(&["get", name, dp]).ok();
            assert_eq!(shown.stdout.trim(), (value == "on").to_string(), "{name}: {shown:#?}");
        }
    }
    assert!(!s.home.book().exists(), "with --devices no book is made");
}

#[test]
fn points_for_people_and_programs() {
    let s = Simulated::start(HOME);
    let all = s.run_with_file(&["get", "Heating"]).ok();
    assert!(all.stdout.starts_with("DP  CODE"), "{all:#?}");
    assert!(all.stdout.contains("\n2   temp_set      210     21.0 ℃\n"), "{all:#?}");
    let json = s.run_with_file(&["get", "Heating", "temp_set", "1", "--json"]).ok().json();
    assert_eq!(json["name"], json!("Heating"));
    assert_eq!(json["dps"], json!({"1": true, "2": 210}));
    assert_eq!(
        json["points"][1],
        json!({"dp": 2, "code": "temp_set", "value": 210, "scaled": 21.0, "unit": "℃"})
    );
    let set = s.run_with_file(&["set", "Heating", "temp_set=225", "mode=auto", "--json"]).ok().json();
    assert_eq!(set["outcome"], json!("confirmed"));
    assert_eq!(set["dps"], json!({"2": 225, "4": "auto"}));
}

#[test]
fn outcomes_other_than_confirmed() {
    let s = Simulated::start(HOME);
    let fed = s.run_with_file(&["set", "Feeder", "manual_feed=2"]).ok();
    assert_eq!(fed.stdout, "accepted  Feeder  manual_feed = 2\n");
    let quick = s.run_with_file(&["set", "Light", "switch_led=off", "--no-confirm"]).ok();
    assert_eq!(quick.stdout, "accepted  Light  switch_led = false\n");
    // The device has no such point, but its list may be short: it is sent, and nothing comes of it.
    let unknown = s.run_with_file(&["set", "Kettle", "77=true", "--timeout", "2"]);
    assert_eq!(unknown.code, 1, "{unknown:#?}");
    assert!(unknown.stdout.starts_with("unconfirmed  Kettle  dp 77 = true: "), "{unknown:#?}");
    assert!(unknown.stderr.contains("note: Kettle has no point 77 in its list"), "{unknown:#?}");
    assert!(unknown.stderr.contains("\nhint: "), "{unknown:#?}");
}

#[test]
fn a_value_that_the_device_refuses() {
    let s = Simulated::start(HOME);
    // Without a mapping nothing can be checked before: the device decides.
    s.edit("Light", |e| e["mapping"] = json!({}));
    let run = s.run_with_file(&["set", "Light", "22=5000", "--timeout", "4", "--json"]);
    assert_eq!(run.code, 1, "{run:#?}");
    let told = run.json();
    assert_eq!(told["outcome"], json!("refused"), "{run:#?}");
    assert!(told["reason"].as_str().unwrap().contains("stayed 1000 instead of 5000"), "{run:#?}");
    assert!(run.stderr.starts_with("hint: the device keeps its own value"), "{run:#?}");
    // What a word means, the device's own report tells.
    let on = s.run_with_file(&["set", "Light", "20=off", "--json"]).ok().json();
    assert_eq!(on["dps"], json!({"20": false}));
}

#[test]
fn values_are_checked_before_anything_is_sent() {
    let s = Simulated::start(HOME);
    let case = |args: &[&str], code: i32, error: &str, hint: &str| {
        let mut all = vec!["set"];
        all.extend(args);
        s.run_with_file(&all).failed(code, error, hint);
    };
    case(&["Kettle", "1=maybe"], 1, "dp 1 (switch_1) takes a bool, not the string maybe", "give on or off");
    case(&["Kettle", "countdown_1=90000"], 1, "takes 0 to 86400, not 90000", "nothing was sent");
    case(&["Heating", "temp_set=22.5"], 1, "takes a whole number, not 22.5", "write 225");
    case(&["Heating", "temp_set=222"], 1, "in steps of 5, not 222", "nothing was sent");
    case(&["Heating", "mode=turbo"], 1, "takes one of manual, auto, holiday, not turbo", "nothing was sent");
    case(&["Kettle", "swich_1=on"], 1, "no data point is called \"swich_1\"", "did you mean \"switch_1\"");
    case(&["Kettle", "1"], 2, "\"1\" is no assignment", "DP=VALUE");
    case(&["Kettle", "1=on", "switch_1=off"], 2, "data point 1 is given twice", "one value");
    case(&["Ketle", "1=on"], 1, "no device is called \"Ketle\"", "did you mean \"Kettle\"?");
    s.run_with_file(&["get", "Kettle", "99"]).failed(
        1,
        "Kettle does not report dp 99",
        "it reports the points 1,",
    );
    let bad_time = s.run_with_file(&["set", "Kettle", "1=on", "--timeout", "soon"]);
    assert_eq!(bad_time.code, 2, "{bad_time:#?}");
    // Nothing of all that reached it.
    assert_eq!(s.run_with_file(&["get", "Kettle", "switch_1"]).ok().stdout, "true\n");
}

#[test]
fn a_wrong_key_is_told_and_not_shown() {
    let mut s = Simulated::start(HOME);
    s.home.guard("WRONGKEYWRONGKEY");
    // 3.3 answers under its own key, which proves ours wrong; 3.5 closes the connection, as if it were busy.
    for (name, dp, hint) in [
        ("Kettle", "1=on", "hint: the local key is probably wrong"),
        ("Light", "20=on", "hint: either the local key is wrong, or another program holds"),
    ] {
        s.edit(name, |e| e["key"] = json!("WRONGKEYWRONGKEY"));
        let run = s.run_with_file(&["set", name, dp, "--timeout", "1"]);
        assert_eq!(run.code, 1, "{run:#?}");
        assert!(run.stdout.starts_with("unconfirmed") || run.stdout.starts_with("refused"), "{run:#?}");
        assert!(run.stderr.contains(hint), "{run:#?}");
    }
}

#[test]
fn missing_things_are_named() {
    let s = Simulated::start(HOME);
    s.edit("Kettle", |e| e["key"] = json!(""));
    s.run_with_file(&["get", "Kettle"]).failed(1, "the book has no local key for Kettle", "--key-file FILE");
    s.edit("Heat pump", |e| {
        e["parent"] = json!("nobody");
    });
    s.run_with_file(&["get", "Heat pump"]).failed(1, "the gateway of Heat pump (nobody)", "add the gateway");
    // A port where nobody listens: bound, and closed again.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    s.edit("Light", |e| e["port"] = json!(gone));
    let run = s.run_with_file(&["set", "Light", "20=on", "--timeout", "1"]);
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stdout.contains("never sent within 1000 ms"), "{run:#?}");
    assert!(run.stderr.contains("does not listen there"), "{run:#?}");
}

#[test]
fn an_unknown_version_is_found_out_and_remembered() {
    let s = Simulated::start(HOME);
    for name in ["Old plug", "Kettle", "Heating", "Light"] {
        s.edit(name, |e| e["version"] = json!(""));
    }
    s.home.run(&["device", "import", "devices.json"]).ok();
    for (name, dp, version) in
        [("Old plug", "1", "3.1"), ("Kettle", "1", "3.3"), ("Heating", "1", "3.4"), ("Light", "20", "3.5")]
    {
        let shown = s.home.run(&["device", "show", name, "--json"]).ok().json();
        assert_eq!(shown["version"], json!(null));
        assert_eq!(s.home.run(&["get", name, dp]).ok().stdout, "true\n", "{name}");
        let shown = s.home.run(&["device", "show", name, "--json"]).ok().json();
        assert_eq!(shown["version"], json!(version), "{name}");
    }
}

#[test]
fn a_probe_finds_what_listens() {
    let s = Simulated::start(HOME);
    let file: serde_json::Value = serde_json::from_str(&s.home.read("devices.json")).unwrap();
    let at = |i: usize| format!("127.0.0.1:{}", file[i]["port"]);
    let (kettle, light) = (at(2), at(3));
    let args = ["scan", "--only-probe", "--seconds", "1", "--probe", &kettle, "--probe", &light];
    let found = s.run_with_file(&args).ok();
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(lines[0].starts_with("NAME"), "{found:#?}");
    assert_eq!(lines.len(), 3, "{found:#?}");
    assert!(found.stdout.contains(&kettle) && found.stdout.contains("Kettle"), "{found:#?}");
    let mut json = args.to_vec();
    json.push("--json");
    let found = s.run_with_file(&json).ok().json();
    assert_eq!(found["probed"], json!(2));
    assert_eq!(found["devices"][0]["seen_by"], json!(["tcp probe"]));
    let bad = s.run_with_file(&["scan", "--probe", "300.0.0.1"]);
    assert_eq!((bad.code, bad.stdout.as_str()), (2, ""), "{bad:#?}");
    let wide = s.run_with_file(&["scan", "--probe", "10.0.0.0/8"]);
    assert_eq!(wide.code, 2, "{wide:#?}");
}
