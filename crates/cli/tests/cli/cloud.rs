//! `landfall cloud`: run, asked, killed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Background, Home, Stream};

const KEY: &str = "Kx7$v9Qm2#Lp4&Rz";
const ID: &str = "bf0123456789abcdefvx01";

/// Every server on a free port.
const FREE: [&str; 14] = [
    "cloud",
    "--json",
    "--http",
    "0",
    "--https",
    "0",
    "--mqtt",
    "0",
    "--mqtts",
    "0",
    "--mqtt-psk",
    "0",
    "--dns",
    "0",
];

/// A home with one plug in its book.
fn home() -> Home {
    let mut home = Home::new();
    home.guard(KEY);
    let plug = json!([{"name": "Kitchen plug", "id": ID, "key": KEY, "version": "3.3",
        "mapping": {"1": {"code": "switch_1", "type": "Boolean", "values": {}}}}]);
    home.write("devices.json", &plug.to_string());
    home.run(&["device", "import", "devices.json"]).ok();
    home
}

/// A running cloud, and its first line.
fn start(home: &Home) -> (Background, Value) {
    let mut cloud = Background::start(home.command(&FREE));
    let first = cloud.wait_for(Stream::Out, "listening");
    // The control socket is open when the owner is greeted.
    cloud.wait_for(Stream::Err, "Ctrl-C ends");
    (cloud, serde_json::from_str(&first).unwrap())
}

/// No key of this home shows in what the cloud said, nor in its files for everybody.
fn guarded(home: &Home, cloud: &Background) {
    for (_, line) in &cloud.said {
        assert!(!line.contains(KEY), "a key shows: {line}");
    }
    for file in ["handshakes.json", "journal/00000001.jsonl"] {
        let text = fs::read_to_string(data(home).join("cloud").join(file)).unwrap_or_default();
        assert!(!text.contains(KEY), "a key shows in {file}");
    }
}

fn data(home: &Home) -> std::path::PathBuf {
    home.path(".local/state/landfall")
}

#[test]
fn it_says_where_it_listens_and_ends_in_order() {
    let home = home();
    let (cloud, first) = start(&home);
    for server in ["http", "https", "mqtt", "mqtts", "mqtt_psk", "dns"] {
        let at = first[server].as_str().unwrap_or_else(|| panic!("{server}: {first}"));
        assert!(at.starts_with("127.0.0.1:") && !at.ends_with(":0"), "{server}: {first}");
    }
    let said = cloud.said.iter().map(|(_, l)| l.as_str()).collect::<Vec<_>>().join("\n");
    assert!(said.contains("only this machine can connect"), "{said}");
    assert!(said.contains("devices are told the local address of each connection"), "{said}");
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data(&home).join("cloud")), 0o700);
    assert_eq!(mode(&data(&home).join("cloud/control.sock")), 0o600);
    guarded(&home, &cloud);
    // One cloud in a directory.
    home.run(&FREE).failed(1, "another cloud runs in", "--data-dir");
    assert_eq!(cloud.interrupt(), 0);
    assert!(!data(&home).join("cloud/control.sock").exists());
    let status = home.run(&["cloud", "status", "--json"]).ok().json();
    assert_eq!(status["running"], json!(null));
}

#[test]
fn a_busy_port_names_its_option() {
    let home = home();
    for (option, what) in
        [("--http", "HTTP"), ("--mqtts", "MQTT over TLS"), ("--mqtt-psk", "MQTT over TLS-PSK")]
    {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port().to_string();
        let mut args: Vec<&str> = FREE.to_vec();
        let at = args.iter().position(|a| *a == option).unwrap();
        args[at + 1] = &port;
        home.run(&args).failed(1, &format!("the address 127.0.0.1:{port} for {what} is in use"), option);
    }
}

#[test]
fn what_makes_no_sense_is_explained() {
    let home = home();
    for (args, words) in [
        (&["cloud", "--mqtt", "somewhere"][..], "give ADDR:PORT"),
        (&["cloud", "--advertise", "http://pi"], "without http://"),
        (&["cloud", "--advertise", "0.0.0.0"], "no device gets to 0.0.0.0"),
        (&["cloud", "--dns-clients", "home"], "192.168.1.0/24"),
        (&["cloud", "--dns-forward", "dns.example"], "192.168.1.1"),
        (&["cloud", "--time-zone", "Mars/Olympus"], "Europe/Berlin"),
        (&["cloud", "--broker", "pi"], "HOST:PORT"),
        (&["cloud", "--broker-user", "me"], "--broker"),
        (&["cloud", "allow"], "--for"),
        (&["cloud", "allow", "--for", "2d"], "1s to 24h"),
        (&["cloud", "dns", "--format", "bind"], "dnsmasq, pihole, adguard, unbound and hosts"),
        (&["cloud", "firewall", "--format", "pf"], "nftables, iptables and openwrt"),
        (&["cloud", "timers", "Kitchen plug", "--clear", "--keep"], "cannot be used with"),
    ] {
        let run = home.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}: {run:#?}");
        assert!(run.stderr.contains(words), "{args:?}: no {words:?} in {run:#?}");
    }
    home.run(&["--devices", "devices.json", "cloud"]).failed(
        2,
        "the cloud works with the book",
        "leave --devices out",
    );
    home.run(&["cloud", "--http", "0", "status"]).failed(2, "before the subcommand", "--help");
    home.run(&["cloud", "--mqtt", "0.0.0.0:0", "--advertise", "127.0.0.1"]).failed(
        2,
        "would be told 127.0.0.1",
        "--advertise",
    );
    home.run(&["cloud", "--broker", "pi:1883", "--broker-user", "me", "--broker-password-file", "none"])
        .failed(1, "can't read the password file none", "nothing else");
    assert!(!data(&home).join("cloud").exists());
}

#[test]
fn without_a_cloud_each_command_says_how_to_start_one() {
    let home = home();
    for args in [
        &["cloud", "allow", "--for", "10m"][..],
        &["cloud", "set", "Kitchen plug", "1=on"],
        &["cloud", "refresh", "Kitchen plug"],
        &["cloud", "reset", "Kitchen plug", "--yes"],
        &["cloud", "events"],
    ] {
        home.run(args).failed(1, "no cloud runs in", "landfall cloud");
    }
    for args in [&["cloud", "set", "Kitchn plug", "1=on"][..], &["cloud", "timers", "Kitchn plug"]] {
        home.run(args).failed(1, "no device is called \"Kitchn plug\"", "did you mean \"Kitchen plug\"?");
    }
    let status = home.run(&["cloud", "status"]).ok();
    assert!(status.stdout.contains("Kitchen plug") && status.stdout.contains("never heard"), "{status:#?}");
    assert!(status.stderr.contains("no cloud runs in"), "{status:#?}");
}

/// What only changes the book is the same with a cloud and without.
fn changes_of_the_book(home: &Home) {
    let password = home.run(&["cloud", "user", "add", "nodered"]).ok();
    assert!(password.stdout.trim_end().len() >= 16, "{password:#?}");
    assert!(!password.stderr.contains(password.stdout.trim_end()), "{password:#?}");
    home.run(&["cloud", "user", "add", "nodered"]).failed(
        1,
        "there is a user \"nodered\" already",
        "user remove",
    );
    home.run(&["cloud", "user", "add", "no de"]).failed(1, "the user name holds ' '", "letters, digits");
    assert_eq!(home.run(&["cloud", "user", "list"]).ok().stdout, "nodered\n");
    assert!(!fs::read_to_string(home.book()).unwrap().contains(password.stdout.trim_end()));
    home.run(&["cloud", "user", "remove", "nodered"]).ok();
    home.run(&["cloud", "user", "remove", "nodered"]).failed(1, "there is no user \"nodered\"", "user list");

    let plug = "Kitchen plug";
    home.write(
        "t.json",
        r#"[{"id": 1, "date": "00000000", "time": "07:30", "loops": 62, "dps": {"1": true}}]"#,
    );
    let kept = home.run(&["cloud", "timers", plug]).ok();
    assert!(kept.stderr.contains("keeps the timers that it has"), "{kept:#?}");
    home.run(&["cloud", "timers", plug, "--file", "t.json"]).ok();
    let shown = home.run(&["cloud", "timers", plug, "--json"]).ok().json();
    assert_eq!(shown[0]["dps"], json!("{\"1\":true}"));
    home.write("bad.json", r#"[{"id": 1, "date": "0", "time": "25:30", "loops": 62, "dps": {"1": true}}]"#);
    home.run(&["cloud", "timers", plug, "--file", "bad.json"]).failed(1, "timer", "HH:MM");
    home.write("bad.json", "{");
    home.run(&["cloud", "timers", plug, "--file", "bad.json"]).failed(
        1,
        "bad.json is not JSON",
        "a list such as",
    );
    home.run(&["cloud", "timers", plug, "--file", "none.json"]).failed(
        1,
        "can't read none.json",
        "a list such as",
    );
    home.run(&["cloud", "timers", plug, "--clear"]).ok();
    assert_eq!(home.run(&["cloud", "timers", plug, "--json"]).ok().json(), json!([]));
    home.run(&["cloud", "timers", plug, "--keep"]).ok();
    assert_eq!(home.run(&["cloud", "timers", plug, "--json"]).ok().json(), json!(null));

    home.write("image.bin", "an image");
    home.run(&["cloud", "firmware", "approve", plug, "image.bin", "--version", "9.0.0"]).ok();
    let list = home.run(&["cloud", "firmware", "list", "--json"]).ok().json();
    assert_eq!(list[0]["images"][0]["version"], json!("9.0.0"), "{list:#}");
    assert_eq!(list[0]["images"][0]["size"], json!(8), "{list:#}");
    home.run(&["cloud", "firmware", "withdraw", plug]).ok();
    home.run(&["cloud", "firmware", "withdraw", plug]).failed(1, "nothing is offered", "firmware list");
}

#[test]
fn the_book_is_changed_without_a_cloud() {
    let home = home();
    changes_of_the_book(&home);
    assert!(!data(&home).join("book.log").exists(), "each command leaves one file behind");
}

#[test]
fn a_running_cloud_is_asked() {
    let home = home();
    let (cloud, _) = start(&home);
    changes_of_the_book(&home);
    let allowed = home.run(&["cloud", "allow", "--for", "10m", "--device", "Kitchen plug"]).ok();
    assert!(allowed.stderr.contains("for 600 s Kitchen plug"), "{allowed:#?}");
    home.run(&["cloud", "allow", "--for", "10m", "--device", "nobody"]).failed(
        1,
        "no device is called \"nobody\"",
        "",
    );
    let status = home.run(&["cloud", "status", "--json"]).ok().json();
    assert_eq!(status["running"]["windows"][0]["who"], json!(ID), "{status:#}");
    assert_eq!(status["running"]["journal"]["last_end"], json!("none"));
    let both = home.run(&["cloud", "allow", "--for", "10m", "--close"]);
    assert!(both.code == 2 && both.stderr.contains("cannot be used with '--close'"), "{both:#?}");
    let closed = home.run(&["cloud", "allow", "--close"]).ok();
    assert!(closed.stderr.contains("no device is given keys any more"), "{closed:#?}");
    let windows = home.run(&["cloud", "status", "--json"]).ok().json()["running"]["windows"].clone();
    assert_eq!(windows, json!([]));
    assert_eq!(status["devices"][0]["keys"], json!("local_only"));
    assert!(
        status["devices"][0]["lacks"]["next"].as_str().unwrap().contains("landfall cloud dns"),
        "{status:#}"
    );
    let text = home.run(&["cloud", "status"]).ok().stdout;
    assert!(text.contains("the cloud runs") && text.contains("lacks:"), "{text}");
    home.run(&["cloud", "refresh", "Kitchen plug"]).failed(
        1,
        "is not connected to the cloud",
        "cloud status",
    );
    home.run(&["cloud", "reset", "Kitchen plug"]).failed(2, "nobody can be asked here", "--yes");
    home.run(&["cloud", "reset", "Kitchen plug", "--yes"]).failed(
        1,
        "is not connected to the cloud",
        "cloud status",
    );
    let set = home.run(&["cloud", "set", "Kitchen plug", "switch_1=on", "--json"]);
    assert_eq!((set.code, &set.json()["outcome"]), (1, &json!("failed")), "{set:#?}");
    guarded(&home, &cloud);
    assert_eq!(cloud.signal("TERM"), 0, "SIGTERM is a clean end");
}

#[test]
fn others_are_told_what_they_need() {
    let home = home();
    let names = home.run(&["cloud", "dns", "--format", "dnsmasq", "--address", "192.168.1.2"]).ok().stdout;
    assert!(names.contains("192.168.1.2") && names.contains("tuyaeu.com"), "{names}");
    home.run(&["cloud", "dns", "--format", "hosts"]).failed(2, "this machine's address", "--address");
    let rules = ["cloud", "firewall", "--format", "nftables", "--address", "192.168.1.2", "192.168.1.40"];
    assert!(home.run(&rules).ok().stdout.contains("192.168.1.40"));
    home.run(&["cloud", "firewall", "-q", "--format", "nftables", "--address", "192.168.1.2"]).failed(
        2,
        "no device is listed",
        "firewall --help",
    );
    let first = home.run(&["cloud", "ca"]).ok().stdout;
    assert!(first.starts_with("-----BEGIN CERTIFICATE-----") && !first.contains("PRIVATE"), "{first}");
    assert_eq!(home.run(&["cloud", "ca"]).ok().stdout, first);
    home.run(&["cloud", "ca", "--renew"]).failed(2, "nobody can be asked here", "--yes");
    assert_ne!(home.run(&["cloud", "ca", "--renew", "--yes"]).ok().stdout, first);
}

/// Devices of every generation that were paired elsewhere: the book knows their local keys.
const DEVICES: &str = r#"
[[device]]
name = "Old plug"
kind = "plug"
address = "127.0.0.1:0"
cloud = { generation = "A" }

[[device]]
name = "Plug"
kind = "plug"
address = "127.0.0.1:0"
cloud = { generation = "B" }

[[device]]
name = "Lamp"
kind = "bulb"
address = "127.0.0.1:0"
cloud = { generation = "C" }
"#;

#[test]
fn virtual_devices_live_there_and_a_kill_is_noticed() {
    let mut home = Home::new();
    home.write("home.toml", DEVICES);
    let (cloud, first) = start(&home);
    let port = |server: &str| first[server].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let (http, https, mqtt) = (port("http"), port("https"), port("mqtt"));
    let (mqtts, mqtt_psk) = (port("mqtts"), port("mqtt_psk"));
    let args = [
        "simulate",
        "--home",
        "home.toml",
        "--write-devices",
        "devices.json",
        "--no-discovery",
        "--cloud",
        "127.0.0.1",
        "--cloud-http",
        &http,
        "--cloud-https",
        &https,
        "--cloud-mqtt",
        &mqtt,
        "--cloud-mqtts",
        &mqtts,
        "--cloud-mqtt-psk",
        &mqtt_psk,
    ];
    let mut devices = Background::start(home.command(&args));
    devices.wait_for(Stream::Err, "Ctrl-C ends");
    let keys: Vec<Value> = serde_json::from_str(&home.read("devices.json")).unwrap();
    for entry in &keys {
        home.guard(entry["key"].as_str().unwrap());
    }
    home.run(&["device", "import", "devices.json"]).ok();
    let mut cloud = cloud;
    for name in ["Old plug", "Plug", "Lamp"] {
        loop {
            let line = cloud.wait_for(Stream::Out, "\"event\":\"report\"");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["name"] == json!(name)
                || cloud.said.iter().any(|(_, l)| {
                    serde_json::from_str::<Value>(l)
                        .is_ok_and(|e| e["event"] == json!("report") && e["name"] == json!(name))
                })
            {
                break;
            }
        }
    }
    let set = home.run(&["cloud", "set", "Plug", "switch_1=false", "--json"]).ok();
    assert_eq!(set.json()["outcome"], json!("confirmed"), "{set:#?}");
    let status = home.run(&["cloud", "status", "--json"]).ok().json();
    for device in status["devices"].as_array().unwrap() {
        assert_eq!(device["connected"], json!(true), "{device:#}");
        assert!(device["reports"].as_u64().unwrap() > 0, "{device:#}");
        assert_eq!(device["lacks"], json!(null), "{device:#}");
    }
    let examined = home.run(&["doctor", "Plug", "--no-listen"]);
    assert!(
        examined.stdout.contains("\ncloud\n") && examined.stdout.contains("logged in on MQTT"),
        "{examined:#?}"
    );
    for (_, line) in &cloud.said {
        assert!(keys.iter().all(|k| !line.contains(k["key"].as_str().unwrap())), "a key shows: {line}");
    }
    // What was reported until now is on disk before the cloud is asked often: it takes 250 ms at most.
    let reports =
        |cloud: &Background| cloud.said.iter().filter(|(_, l)| l.contains("\"event\":\"report\"")).count();
    let seen = reports(&cloud);
    let on_disk = (0..1_000).any(|_| {
        let status = home.run(&["cloud", "status", "--json"]).ok().json();
        status["running"]["journal"]["written"].as_u64().unwrap() >= seen as u64
    });
    assert!(on_disk && seen >= 3, "{seen}");
    cloud.signal("KILL");
    let before = journal(&home);
    assert!(before.len() >= seen, "{} of {seen}", before.len());
    let killed = home.run(&["cloud", "status", "--json"]).ok().json();
    assert_eq!(killed["running"], json!(null));
    // On the same ports, where the devices look for it.
    let mut args: Vec<String> = FREE.map(str::to_owned).to_vec();
    for (option, server) in [
        ("--http", &http),
        ("--https", &https),
        ("--mqtt", &mqtt),
        ("--mqtts", &mqtts),
        ("--mqtt-psk", &mqtt_psk),
    ] {
        let at = args.iter().position(|a| a == option).unwrap();
        args[at + 1].clone_from(server);
    }
    let mut again = Background::start(home.command(&args));
    again.wait_for(Stream::Err, "Ctrl-C ends");
    let status = home.run(&["cloud", "status", "--json"]).ok().json();
    assert_eq!(status["running"]["journal"]["last_end"], json!("killed"), "{status:#}");
    assert!(
        again.said.iter().any(|(_, l)| l.contains("the cloud before this one was killed")),
        "{:#?}",
        again.said
    );
    loop {
        let line = again.wait_for(Stream::Out, "\"event\":\"report\"");
        if line.contains("\"name\":\"Plug\"") {
            break;
        }
    }
    let lost: u64 = again
        .said
        .iter()
        .filter_map(|(_, l)| serde_json::from_str::<Value>(l).ok())
        .filter(|e| e["event"] == json!("lost") && e["name"] == json!("Plug"))
        .map(|e| e["reports"].as_u64().unwrap())
        .sum();
    assert_eq!(again.interrupt(), 0);
    // By the plug's own numbers: what is not in the journal was told to be missing.
    let id = &keys.iter().find(|k| k["name"] == json!("Plug")).unwrap()["id"];
    let all = journal(&home);
    let number = |l: &Value| (l["device"] == *id).then(|| l["stamp"][0].as_u64().unwrap());
    let last = before.iter().filter_map(number).next_back().unwrap();
    let first = all[before.len()..].iter().find_map(number).unwrap();
    assert_eq!(lost, first.saturating_sub(last + 1), "from {last} to {first}");
    assert_eq!(devices.interrupt(), 0);
}

/// The lines of the journal.
fn journal(home: &Home) -> Vec<Value> {
    let text = fs::read_to_string(data(home).join("cloud/journal/00000001.jsonl")).unwrap();
    // A kill may have torn the last one; it is cut off at the next start.
    text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}
