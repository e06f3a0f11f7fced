//! Decisions, from made-up machines.

use std::path::PathBuf;

use super::finding::{Finding, Level};
use super::judge::judge;
use super::seen::{
    Answer, Bind, ClockSeen, DataSeen, DirFound, DirState, FileSeen, FileState, Holder, HubSeen, NamesSeen,
    PortSeen, Rights, Seen, SettingsSeen, Transport,
};

/// 2026-06-01.
const NOW: i64 = 1_780_272_000;

fn found() -> DirFound {
    DirFound {
        mode: 0o700,
        uid: 998,
        owner: "landfall".to_owned(),
        writable: true,
        free: Some(10 << 30),
        loose: Vec::new(),
    }
}

/// A machine on which nothing is wrong.
fn sound() -> Seen {
    Seen {
        settings: SettingsSeen::Read { file: "/etc/landfall/landfall.toml".into(), mode: Some(0o644) },
        hub: HubSeen::Absent,
        rights: Rights { uid: Some(998), low_below: 1024, may_bind_low: Some(true) },
        ports: vec![port("cloud.http", "0.0.0.0:80", Bind::Free)],
        data: DataSeen { path: "/var/lib/landfall".into(), state: DirState::Found(found()) },
        files: Vec::new(),
        names: NamesSeen::NotAsked,
        clock: ClockSeen {
            now: NOW,
            synchronised: Some((true, "timedatectl says so")),
            zone: Some("Europe/Berlin".to_owned()),
            zone_is_set: true,
            newest_file: Some(("/var/lib/landfall/history.db".into(), NOW - 5)),
        },
    }
}

fn port(key: &'static str, at: &str, bind: Bind) -> PortSeen {
    let transport = if key == "cloud.dns" { Transport::Udp } else { Transport::Tcp };
    PortSeen { key, what: "somebody", transport, at: at.parse().unwrap(), bind }
}

fn held(name: &str) -> Bind {
    Bind::Busy(vec![Holder { user: "nobody".to_owned(), process: Some((42, name.to_owned())) }])
}

/// What is said under this code; each thing is said once.
#[track_caller]
fn said(seen: &Seen, code: &str) -> Finding {
    let all = judge(seen);
    let mut with = all.iter().filter(|f| f.code == code);
    match (with.next(), with.next()) {
        (Some(f), None) => f.clone(),
        _ => panic!("{code} is not said, or twice: {all:#?}"),
    }
}

/// It is said at this level, and unless all is well with a next step.
#[track_caller]
fn at(seen: &Seen, code: &str, level: Level) -> Finding {
    let f = said(seen, code);
    assert_eq!(f.level, level, "{f:#?}");
    assert_eq!(f.next_step.is_empty(), level == Level::Ok, "{f:#?}");
    f
}

fn with_port(key: &'static str, address: &str, bind: Bind) -> Seen {
    Seen { ports: vec![port(key, address, bind)], ..sound() }
}

#[test]
fn a_sound_machine_gives_no_cause_for_complaint() {
    let all = judge(&sound());
    assert!(all.iter().all(|f| f.level == Level::Ok), "{all:#?}");
    let codes: Vec<&str> = all.iter().map(|f| f.code).collect();
    let wanted =
        ["settings.sound", "rights.low_ports", "port.free", "data.sound", "clock.sound", "clock.zone"];
    assert_eq!(codes, wanted);
}

#[test]
fn settings_that_are_wrong_or_open_are_problems() {
    let wrong =
        SettingsSeen::Wrong { error: "line 3: no".to_owned(), hint: Some("did you mean x?".to_owned()) };
    let f = at(&Seen { settings: wrong, ..sound() }, "settings.wrong", Level::Problem);
    assert!(f.sentence.contains("line 3: no") && f.next_step == "did you mean x?", "{f:#?}");
    let open = SettingsSeen::Read { file: "/l.toml".into(), mode: Some(0o664) };
    let f = at(&Seen { settings: open, ..sound() }, "settings.open", Level::Problem);
    assert_eq!(f.evidence, ["its mode is 0664"]);
    at(&Seen { settings: SettingsSeen::Default, ..sound() }, "settings.sound", Level::Ok);
}

#[test]
fn a_busy_port_names_its_holder_and_the_way_out() {
    for (key, address, holder, way) in [
        ("cloud.dns", "0.0.0.0:53", "systemd-resolve", "DNSStubListener=no"),
        ("cloud.dns", "127.0.0.1:5353", "avahi-daemon", "cloud.dns = \"127.0.0.1:5300\""),
        ("cloud.dns", "0.0.0.0:53", "dnsmasq", "landfall cloud dns --format dnsmasq"),
        ("cloud.mqtt", "0.0.0.0:1883", "mosquitto", "mqtt.broker = \"external\""),
        ("cloud.http", "0.0.0.0:80", "nginx", "an address of its own"),
        ("lan.discovery", "0.0.0.0:6667", "node", "SO_REUSEADDR"),
        ("page.listen", "127.0.0.1:8099", "landfall", "another Landfall"),
        ("page.listen", "127.0.0.1:8099", "java", "choose another port in page.listen"),
    ] {
        let f = at(&with_port(key, address, held(holder)), "port.busy", Level::Problem);
        assert!(f.sentence.contains(&format!("{holder} (process 42, user nobody)")), "{f:#?}");
        assert!(f.sentence.contains(key) && f.next_step.contains(way), "{f:#?}");
    }
    let hidden = Bind::Busy(vec![Holder { user: "dnsmasq".to_owned(), process: None }]);
    let f = at(&with_port("cloud.dns", "0.0.0.0:53", hidden), "port.busy", Level::Problem);
    assert!(f.sentence.contains("a process of the user dnsmasq, which only root may name"), "{f:#?}");
    at(&with_port("cloud.dns", "0.0.0.0:53", Bind::Busy(Vec::new())), "port.busy", Level::Problem);
}

#[test]
fn a_running_hub_may_hold_its_ports_and_nobody_else_may() {
    let runs = |bind| Seen { hub: HubSeen::Runs, ..with_port("cloud.http", "0.0.0.0:80", bind) };
    at(&runs(held("landfall")), "port.ours", Level::Ok);
    at(&runs(held("landfall")), "hub.runs", Level::Ok);
    at(&runs(held("apache2")), "port.busy", Level::Problem);
    // Of processes that we may not see, the user tells.
    let hidden = |user: &str| vec![Holder { user: user.to_owned(), process: None }];
    at(&runs(Bind::Busy(hidden("landfall"))), "port.ours", Level::Ok);
    at(&runs(Bind::Busy(hidden("avahi"))), "port.busy", Level::Problem);
    at(&runs(Bind::Busy(Vec::new())), "port.busy", Level::Problem);
    at(&runs(Bind::Forbidden(hidden("landfall"))), "port.ours", Level::Ok);
    let f = at(&runs(Bind::Forbidden(hidden("www-data"))), "port.forbidden", Level::Problem);
    assert!(f.evidence.iter().any(|e| e.contains("the user www-data")), "{f:#?}");
    let unreachable = Seen { hub: HubSeen::Unreachable("permission denied".to_owned()), ..sound() };
    at(&unreachable, "hub.unreachable", Level::Note);
}

#[test]
fn what_may_not_be_bound_says_which_right_is_missing() {
    let mut seen = with_port("cloud.http", "0.0.0.0:80", Bind::Forbidden(Vec::new()));
    seen.rights.may_bind_low = Some(false);
    let f = at(&seen, "port.forbidden", Level::Problem);
    assert_eq!(f.evidence, ["ports below 1024 are the system's", "this process lacks CAP_NET_BIND_SERVICE"]);
    assert!(f.next_step.contains("setcap cap_net_bind_service=+ep"), "{f:#?}");
    at(&with_port("page.listen", "192.0.2.1:80", Bind::NotOurs), "port.address", Level::Problem);
    at(
        &with_port("page.listen", "127.0.0.1:80", Bind::Failed("odd".to_owned())),
        "port.failed",
        Level::Problem,
    );
    // Without low ports there is nothing to say of the right, and root is another matter.
    let high = with_port("page.listen", "127.0.0.1:8099", Bind::Free);
    assert!(judge(&high).iter().all(|f| f.code != "rights.low_ports"));
    let mut root = high;
    root.rights.uid = Some(0);
    at(&root, "rights.root", Level::Note);
}

#[test]
fn a_data_directory_must_be_there_ours_and_closed() {
    let with = |state| Seen { data: DataSeen { path: "/d".into(), state }, ..sound() };
    let missing = |writable| with(DirState::Missing { above: "/".into(), writable });
    at(&missing(true), "data.absent", Level::Ok);
    assert!(at(&missing(false), "data.absent", Level::Problem).next_step.contains("install -d -m 0700"));
    at(&with(DirState::NoDirectory), "data.no_directory", Level::Problem);
    at(&with(DirState::Unreadable("denied".to_owned())), "data.unreadable", Level::Problem);
    let loose = vec![(PathBuf::from("/d/book.json"), 0o644)];
    let open = with(DirState::Found(DirFound { mode: 0o755, loose, ..found() }));
    let f = at(&open, "data.open", Level::Problem);
    assert_eq!(f.evidence, ["owner landfall, mode 0755", "/d/book.json, mode 0644, can be read by others"]);
    assert_eq!(f.next_step, "chmod 0700 /d");
    let foreign = with(DirState::Found(DirFound { uid: 1000, owner: "ann".to_owned(), ..found() }));
    assert!(at(&foreign, "data.not_writable", Level::Problem).next_step.contains("run the hub as ann"));
    let mut root = foreign;
    root.rights.uid = Some(0);
    at(&root, "data.sound", Level::Ok);
    let frozen = with(DirState::Found(DirFound { writable: false, ..found() }));
    assert!(at(&frozen, "data.not_writable", Level::Problem).next_step.contains("read-only"));
    for (free, level) in [(100 << 20, Level::Note), (1 << 20, Level::Problem)] {
        at(&with(DirState::Found(DirFound { free: Some(free), ..found() })), "data.full", level);
    }
}

#[test]
fn secrets_are_there_and_not_for_everybody() {
    let with = |secret, state| {
        let file = FileSeen { key: "mqtt.password_file", path: "/etc/landfall/pw".into(), secret, state };
        Seen { files: vec![file], ..sound() }
    };
    at(&with(true, FileState::Missing), "file.missing", Level::Problem);
    at(&with(true, FileState::Unreadable("denied".to_owned())), "file.unreadable", Level::Problem);
    for (mode, level) in [(0o644, Level::Problem), (0o640, Level::Note)] {
        at(&with(true, FileState::Readable { mode }), "file.open", level);
        at(&with(false, FileState::Readable { mode }), "file.sound", Level::Ok);
    }
    at(&with(true, FileState::Readable { mode: 0o600 }), "file.sound", Level::Ok);
}

#[test]
fn names_that_lead_elsewhere_matter_as_far_as_devices_depend_on_them() {
    let to = |ip: &str| Answer::Leads(vec![ip.parse().unwrap()]);
    let asked = |answers: &[Answer], own_dns: Option<&str>| {
        let answers = answers.iter().map(|a| ("a1.tuyaus.com".to_owned(), a.clone())).collect();
        let ours = vec!["192.168.1.2".parse().unwrap()];
        let own_dns = own_dns.map(|at| at.parse().unwrap());
        Seen { names: NamesSeen::Asked { answers, ours, own_dns }, ..sound() }
    };
    let here = to("192.168.1.2");
    at(&asked(&[here.clone(), here.clone()], None), "names.lead_here", Level::Ok);
    let f = at(&asked(&[to("198.51.100.7"), here], None), "names.lead_elsewhere", Level::Problem);
    assert!(f.sentence.starts_with("some of"), "{f:#?}");
    assert_eq!(f.evidence[0], "a1.tuyaus.com leads to 198.51.100.7, which is not this machine");
    let f = at(&asked(&[Answer::Late], Some("0.0.0.0:53")), "names.lead_elsewhere", Level::Note);
    assert!(f.next_step.contains("DHCP") && f.next_step.contains("0.0.0.0:53"), "{f:#?}");
    at(&asked(&[Answer::Nothing("no such name".to_owned())], None), "names.lead_elsewhere", Level::Problem);
    // The address of one's own loopback sends a device to itself.
    at(&asked(&[to("127.0.0.1")], None), "names.lead_elsewhere", Level::Problem);
    at(&Seen { names: NamesSeen::NoMatter("off"), ..sound() }, "names.no_matter", Level::Ok);
}

#[test]
fn a_clock_is_plausible_kept_right_and_never_goes_back() {
    let with = |change: &dyn Fn(&mut ClockSeen)| {
        let mut seen = sound();
        change(&mut seen.clock);
        seen
    };
    for now in [0, 1_700_000_000, 5_000_000_000] {
        at(&with(&|c| c.now = now), "clock.wrong", Level::Problem);
    }
    let f = at(&with(&|c| c.now = NOW - 86_400), "clock.behind", Level::Problem);
    assert!(f.evidence[0].starts_with("/var/lib/landfall/history.db was written at 2026-05-31"), "{f:#?}");
    at(&with(&|c| c.now = NOW - 60), "clock.sound", Level::Ok);
    at(&with(&|c| c.synchronised = Some((false, "timedatectl says so"))), "clock.alone", Level::Note);
    at(&with(&|c| c.synchronised = None), "clock.plausible", Level::Ok);
    at(&with(&|c| c.zone = None), "clock.zone", Level::Note);
}
