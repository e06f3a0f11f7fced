use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::listen::{Link, Over};

fn mark(at: u64) -> Mark {
    Mark { at, count: 1, over: Over::Plain, peer: Some(Ipv4Addr::new(192, 168, 1, 7).into()) }
}

fn open() -> (tempfile::TempDir, Handshakes) {
    let dir = tempfile::tempdir().unwrap();
    let records = Handshakes::open(dir.path());
    (dir, records)
}

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// One device of the owner: id, former id and uuid.
fn of_plug(who: &str) -> Option<DeviceId> {
    ["bfplug", "bfold", "uuid0123456789ab"].contains(&who).then(|| id("bfplug"))
}

#[test]
fn marks_add_up_and_the_latest_tells_where() {
    let (_dir, h) = open();
    h.ask_whose(of_plug);
    let peer = "10.0.0.9:5000".parse().unwrap();
    h.step("bfplug", Step::Mqtt, mark(10));
    h.step("bfplug", Step::Mqtt, Mark::on(&Link::plain(peer, peer), 20));
    h.step("bfplug", Step::Mqtt, mark(15));
    for at in 21..24 {
        h.step("bfplug", Step::Reported, mark(at));
    }
    let record = &h.devices()[&id("bfplug")];
    assert_eq!(
        record.steps[&Step::Mqtt],
        Mark { count: 3, at: 20, ..Mark::on(&Link::plain(peer, peer), 20) }
    );
    assert_eq!((record.reports, record.last()), (3, Some(23)));
}

#[test]
fn what_was_done_as_a_stranger_belongs_to_the_device_it_became() {
    let (_dir, h) = open();
    h.step("uuid0123456789ab", Step::NameService, mark(1));
    h.question("uuid0123456789ab", "tuya.device.active");
    assert_eq!(h.strangers().len(), 1);
    h.ask_whose(of_plug);
    assert_eq!(h.strangers().len(), 0);
    h.step("bfold", Step::Dns, mark(0));
    h.step("bfplug", Step::Activated, mark(2));
    h.step("uuid0123456789ab", Step::NameService, mark(3));
    let all = h.devices();
    let record = &all[&id("bfplug")];
    assert_eq!(all.len(), 1);
    assert_eq!(
        record.steps.keys().copied().collect::<Vec<_>>(),
        [Step::Dns, Step::NameService, Step::Activated]
    );
    assert_eq!((record.steps[&Step::NameService].count, record.questions.len()), (2, 1));
}

#[test]
fn strangers_and_addresses_have_bounded_places_and_the_owners_devices_keep_theirs() {
    let (_dir, h) = open();
    h.ask_whose(of_plug);
    h.step("bfplug", Step::NameService, mark(0));
    for n in 0..2_000_u32 {
        h.step(&format!("stranger{n}"), Step::NameService, mark(u64::from(n) + 1));
        h.step(&Ipv4Addr::from(0x0a00_0000 + n).to_string(), Step::Dns, mark(u64::from(n) + 1));
        h.question("bfplug", &format!("{}{n}", "action".repeat(20)));
    }
    h.step(&"x".repeat(65), Step::Mqtt, mark(9_999));
    h.step("", Step::Mqtt, mark(9_999));
    let strangers = h.strangers();
    assert_eq!((strangers.len(), strangers[0].0.as_str()), (STRANGERS, "stranger1999"));
    assert_eq!(h.addresses().len(), ADDRESSES);
    let record = &h.devices()[&id("bfplug")];
    assert!(record.questions.len() <= 65 && record.questions.values().sum::<u64>() == 2_000, "{record:?}");
    assert!(record.questions.keys().all(|k| k.len() <= 64));
}

#[test]
fn records_come_back_and_connections_do_not() {
    let (dir, h) = open();
    h.ask_whose(of_plug);
    h.save().unwrap();
    let file = dir.path().join("cloud/handshakes.json");
    assert!(!file.exists(), "nothing to say, nothing written");
    h.step("bfplug", Step::Mqtt, mark(7));
    h.connected("bfplug", true);
    h.generation("bfplug", Generation::B);
    h.refused("somebody", "activation.no_window", mark(8));
    h.step("192.168.1.7", Step::Dns, mark(6));
    h.lost("bfplug", 3);
    h.save().unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    h.save().unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before, "written when changed only");
    let again = Handshakes::open(dir.path());
    again.ask_whose(of_plug);
    let record = again.devices().remove(&id("bfplug")).unwrap();
    assert!(!record.connected);
    assert_eq!((record.at(Step::Mqtt), record.lost, record.generation), (Some(7), 3, Some(Generation::B)));
    assert_eq!(again.strangers()[0].1.refusal().unwrap().0, "activation.no_window");
    assert!(again.address("::ffff:192.168.1.7".parse().unwrap()).is_some());
}

#[test]
fn a_damaged_file_starts_anew() {
    for text in ["", "[]", "{\"devices\":{\"a\":{\"steps\":{\"flying\":{}}}}}", "\u{0}"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cloud")).unwrap();
        std::fs::write(dir.path().join("cloud/handshakes.json"), text).unwrap();
        let h = Handshakes::open(dir.path());
        assert!(h.strangers().is_empty() && h.addresses().is_empty(), "{text:?}");
        h.step("somebody", Step::Dns, mark(1));
        h.save().unwrap();
        assert_eq!(Handshakes::open(dir.path()).strangers().len(), 1);
    }
}

mod lacking {
    use std::sync::Arc;

    use landfall_proto::id::{LocalKey, Uuid};

    use super::*;
    use crate::backend::{Keys, Registration};
    use crate::handshake::{Doors, lacks};
    use crate::shared::Bound;

    fn plug(keys: bool) -> Registration {
        Registration {
            id: id("bfplug"),
            name: "Kitchen plug".to_owned(),
            uuid: Some(Uuid::new("uuid0123456789ab").unwrap()),
            auth_key: None,
            psk_key: None,
            keys: keys.then(|| Keys { local: LocalKey::new("0123456789abcdef").unwrap(), sec: None }),
            pending: None,
            pinned: false,
            product_id: None,
            schema: Arc::default(),
            envelope: None,
            generation: None,
        }
    }

    fn doors(host: &str, high: bool) -> Doors {
        let at =
            |port: u16| Some(format!("{host}:{}", if high { port + 8000 } else { port }).parse().unwrap());
        let bound = Bound {
            http: at(80),
            https: at(443),
            mqtt: at(1883),
            mqtts: at(8883),
            mqtt_psk: at(8886),
            dns: at(53),
        };
        Doors { bound: Some(bound) }
    }

    fn record(steps: &[Step]) -> Record {
        let mut r = Record::default();
        for (at, step) in (1..).zip(steps) {
            r.step(*step, mark(at));
        }
        r
    }

    /// What a plug lacks after these steps, and the next step.
    fn of(generation: Generation, steps: &[Step], doors: Doors) -> (String, String) {
        let mut r = record(steps);
        r.generation = Some(generation);
        let lack = lacks(&plug(true), &r, None, doors).unwrap();
        (lack.what, lack.next)
    }

    #[test]
    fn each_generation_is_told_its_own_port() {
        let open = doors("192.168.1.2", false);
        for (generation, steps, what, next) in [
            (
                Generation::A,
                &[Step::Token, Step::Configured][..],
                "asked for its configuration, and never",
                "is port 1883 closed",
            ),
            (
                Generation::B,
                &[Step::Tls, Step::Token],
                "asked for the servers' addresses, and never",
                "is port 8886 closed",
            ),
            (
                Generation::C,
                &[Step::Dns, Step::NameService],
                "asked the name service, and never came to MQTT",
                "is port 1883 closed",
            ),
            (
                Generation::E,
                &[Step::NameService, Step::Activated],
                "was given keys, and never came to MQTT",
                "is port 8883 closed",
            ),
            (
                Generation::A,
                &[Step::Dns],
                "asked our DNS for the vendor's names, and never came",
                "is port 80 closed",
            ),
            (Generation::B, &[Step::Dns], "asked our DNS", "is port 443 closed"),
        ] {
            let (w, n) = of(generation, steps, open);
            assert!(w.contains(what) && n.contains(next), "{generation:?} {steps:?}: {w} | {n}");
        }
    }

    #[test]
    fn where_we_listen_is_what_may_be_wrong() {
        let steps = &[Step::Token];
        let (_, loopback) = of(Generation::B, steps, doors("127.0.0.1", false));
        assert!(loopback.contains("listens on 127.0.0.1:8886, where no device gets"), "{loopback}");
        assert!(loopback.contains("--mqtt-psk 0.0.0.0:8886"), "{loopback}");
        let (_, high) = of(Generation::B, steps, doors("192.168.1.2", true));
        assert!(
            high.contains(
                "on port 16886, devices look for it on 8886: start the cloud with --mqtt-psk 192.168.1.2:8886"
            ),
            "{high}"
        );
        let (_, off) = of(Generation::B, steps, Doors { bound: Some(Bound::default()) });
        assert!(off.contains("MQTT over TLS-PSK is off"), "{off}");
        let (_, none) = of(Generation::B, steps, Doors::default());
        assert!(none.contains("a cloud running?"), "{none}");
    }

    #[test]
    fn a_device_that_lives_lacks_nothing() {
        let mut r = record(&[Step::Configured, Step::Mqtt, Step::Subscribed, Step::Reported]);
        r.connected = true;
        assert_eq!(lacks(&plug(true), &r, None, doors("192.168.1.2", false)), None);
        r.connected = false;
        let lack = lacks(&plug(true), &r, None, doors("192.168.1.2", false)).unwrap();
        assert!(
            lack.what.contains("not connected now") && lack.next.contains("landfall cloud dns"),
            "{lack:?}"
        );
        // After a new login everything is to be done again.
        r.connected = true;
        r.step(Step::Mqtt, mark(50));
        let lack = lacks(&plug(true), &r, None, Doors::default()).unwrap();
        assert!(lack.what.contains("has not subscribed"), "{lack:?}");
        r.step(Step::Subscribed, mark(51));
        assert_eq!(lacks(&plug(true), &r, None, Doors::default()), None, "it reports when something changes");
        r.refused("envelope.key", mark(52));
        let lack = lacks(&plug(true), &r, None, Doors::default()).unwrap();
        assert!(
            lack.what.contains("another local key") && lack.next.contains("--update --key-file"),
            "{lack:?}"
        );
    }

    #[test]
    fn refusals_come_first_until_something_goes_well() {
        for (code, words) in [
            ("mqtt.password", "not the one that was pinned"),
            ("gateway.signature", "sec key that we know"),
            ("tls.psk_identity", "psk key is not known"),
            ("tls.psk_key", "not the one that we know"),
            ("something.new", "it was refused (something.new)"),
        ] {
            let mut r = record(&[Step::Token, Step::Configured]);
            r.refused(code, mark(10));
            let lack = lacks(&plug(true), &r, None, Doors::default()).unwrap();
            assert!(lack.what.contains(words), "{code}: {lack:?}");
            r.step(Step::Configured, mark(11));
            let lack = lacks(&plug(true), &r, None, Doors::default()).unwrap();
            assert!(lack.what.contains("never came to MQTT"), "{code}: {lack:?}");
        }
    }

    #[test]
    fn hardware_without_keys_wants_a_window() {
        let mut r = record(&[Step::Token, Step::ActivationAsked]);
        r.refused("activation.no_window", mark(9));
        let lack = lacks(&plug(false), &r, None, Doors::default()).unwrap();
        assert!(lack.next.contains("landfall cloud allow --for 10m --uuid uuid0123456789ab"), "{lack:?}");
        let lack = lacks(&plug(false), &Record::default(), None, Doors::default()).unwrap();
        assert!(lack.what.contains("never heard") && lack.next.contains("landfall cloud allow"), "{lack:?}");
        let lack = lacks(&plug(false), &record(&[Step::NameService]), None, Doors::default()).unwrap();
        assert!(lack.next.contains("reset it and pair it"), "{lack:?}");
    }

    #[test]
    fn an_address_alone_tells_something() {
        let asked = record(&[Step::Dns]);
        let lack = lacks(&plug(true), &Record::default(), Some(&asked), doors("192.168.1.2", false)).unwrap();
        assert!(lack.what.contains("asked our DNS"), "{lack:?}");
        let lack = lacks(&plug(true), &Record::default(), None, doors("127.0.0.1", false)).unwrap();
        assert!(lack.what.contains("never heard") && lack.next.contains("--dns 0.0.0.0:53"), "{lack:?}");
    }
}
