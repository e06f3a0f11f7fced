//! The home file. Every key is documented in `homes/demo.toml`, the built-in home.

use core::time::Duration;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use landfall_proto::id::{Cid, DeviceId, LocalKey};
use landfall_proto::lan::version::ReplySequence;
use landfall_proto::lan::{TCP_PORT, Version};

use super::cloud::cloud;
use super::identity::Factory;
use super::reader::Reader;
use super::{Home, HomeDevice, HomeError, Identities, MAX_DEVICES, child};
use crate::faults::{DelayPlan, FaultPlan, RebootPlan, StormPlan};
use crate::kind::Kind;
use crate::load::{Load, Mains};
use crate::product::Product;
use crate::spec::{ChildSpec, DeviceSpec, Habits, Quiet};

/// What must not occur twice.
#[derive(Default)]
struct Seen {
    names: HashSet<String>,
    ids: HashSet<DeviceId>,
    cids: HashSet<Cid>,
    addresses: HashSet<SocketAddrV4>,
}

pub(super) fn parse(text: &str, file: &Path) -> Result<Home, HomeError> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let before = text.get(..e.span().map_or(0, |span| span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        HomeError::Syntax { file: file.to_owned(), line, message: e.message().replace('\n', ", ") }
    })?;
    let mut top = Reader::new(file, "home".to_owned(), table);
    let seed = top.number("seed", 0..=u64::MAX >> 1)?.unwrap_or(1);
    let mut home = Home::empty(&top.text("name")?.unwrap_or_else(|| "home".to_owned()), seed);
    let volts = top.number("mains_volts", 90..=260)?.unwrap_or(230);
    home.mains = Mains { nominal: u16::try_from(volts).unwrap_or(230), seed };
    if let Some(network) = top.parsed::<Ipv4Addr>("network")? {
        if !network.is_loopback() {
            return Err(top.error("network", format!("takes a loopback address (127.x.y.z), not {network}")));
        }
        home.network = network;
    }
    let devices = top.tables("device", "device ")?;
    if devices.len() > MAX_DEVICES {
        return Err(top.error(
            "device",
            format!("{} devices; at most {MAX_DEVICES} fit in one process", devices.len()),
        ));
    }
    top.finish()?;

    let mut seen = Seen::default();
    let mut identities = Identities::new(seed);
    for reader in devices {
        let device = device(reader, &home, &mut identities, &mut seen)?;
        home.devices.push(device);
    }
    Ok(home)
}

fn device(
    mut r: Reader<'_>,
    home: &Home,
    identities: &mut Identities,
    seen: &mut Seen,
) -> Result<HomeDevice, HomeError> {
    let name = name(&mut r, seen)?;
    let kind = kind(&mut r)?;
    let version = r.parsed::<Version>("version")?.unwrap_or(Product::of(kind).usual_version());
    // Drawn in any case, so that an id given to one device does not change the ids of the others.
    let (drawn_id, drawn_key) = (identities.device_id(kind), identities.key(version));
    let id = id(&mut r, drawn_id, seen)?;
    let key = match r.secret("key")? {
        None => drawn_key,
        Some(text) => LocalKey::new(text).map_err(|e| r.error("key", e.to_string()))?,
    };
    let mut spec = DeviceSpec::new(id, key, version, kind);
    spec.name = name;
    spec.seed = home.seed;
    spec.mains = home.mains;
    (spec.load, spec.travel) = appliance(&mut r, kind)?;
    let address = address(&mut r, seen)?;
    if address.is_some() && kind.sleeps() {
        return Err(r.error("address", format!("a {kind} sleeps and listens nowhere")));
    }
    if let Some(n) = r.number("clients", 1..=64)? {
        spec.clients = usize::try_from(n).unwrap_or(1);
    }
    if let Some(n) = r.number("idle_s", 1..=86_400)? {
        spec.idle = Duration::from_secs(n);
    }
    if let Some(n) = r.number("journal", 1..=1_000_000)? {
        spec.journal = usize::try_from(n).unwrap_or(spec.journal);
    }
    if let Some(habits_table) = r.table("habits", "habits.")? {
        spec.habits = habits(habits_table, version)?;
    }
    // A device that insists on growing sequences numbers its own frames: tuyapi takes its next number from an echo of
    // its first, and would be closed.
    let usual = if spec.habits.enforce_sequence { ReplySequence::Counter } else { ReplySequence::Echo };
    let policies = [("echo", ReplySequence::Echo), ("counter", ReplySequence::Counter)];
    spec.reply_sequence = r.word("reply_sequence", &policies)?.unwrap_or(usual);
    if let Some(faults_table) = r.table("faults", "faults.")? {
        spec.faults = faults(faults_table)?;
    }
    if let Some(table) = r.table("cloud", "cloud.")? {
        spec.cloud = Some(cloud(table, Factory::draw(home.seed, &spec.name))?);
    }
    let prefix = format!("{}, child ", r.entry());
    for c in r.tables("child", &prefix)? {
        if kind != Kind::Gateway {
            return Err(r.error("child", format!("only a gateway has sub-devices, and this is a {kind}")));
        }
        spec.children.push(sub_device(c, identities, seen)?);
    }
    r.finish()?;
    Ok(HomeDevice { spec, address })
}

fn sub_device(
    mut r: Reader<'_>,
    identities: &mut Identities,
    seen: &mut Seen,
) -> Result<ChildSpec, HomeError> {
    let name = name(&mut r, seen)?;
    let kind = kind(&mut r)?;
    if kind == Kind::Gateway {
        return Err(r.error("kind", "a gateway stands behind no gateway"));
    }
    let mut spec = child(name, identities, kind);
    spec.id = id(&mut r, spec.id, seen)?;
    if let Some(cid) = r.parsed::<Cid>("cid")? {
        spec.cid = cid;
    }
    if !seen.cids.insert(spec.cid.clone()) {
        return Err(r.error("cid", format!("{} is the cid of another sub-device", spec.cid)));
    }
    (spec.load, spec.travel) = appliance(&mut r, kind)?;
    spec.online = r.flag("online")?.unwrap_or(true);
    r.finish()?;
    Ok(spec)
}

fn name(r: &mut Reader<'_>, seen: &mut Seen) -> Result<String, HomeError> {
    let Some(name) = r.text("name")? else {
        return Err(r.error("name", "is missing: every device has a name, `name = \"Fridge\"`"));
    };
    let entry = format!("{} {name:?}", r.entry());
    r.call_it(entry);
    if name.trim().is_empty() || name.len() > 100 {
        return Err(r.error("name", "takes 1 to 100 characters"));
    }
    if !seen.names.insert(name.clone()) {
        return Err(r.error("name", format!("{name:?} is the name of another device")));
    }
    Ok(name)
}

fn kind(r: &mut Reader<'_>) -> Result<Kind, HomeError> {
    let words = Kind::ALL.map(|k| (k.as_str(), k));
    r.word("kind", &words)?.ok_or_else(|| {
        let list: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
        r.error("kind", format!("is missing: one of {}", list.join(", ")))
    })
}

fn id(r: &mut Reader<'_>, drawn: DeviceId, seen: &mut Seen) -> Result<DeviceId, HomeError> {
    let id = r.parsed::<DeviceId>("id")?.unwrap_or(drawn);
    if seen.ids.insert(id.clone()) {
        Ok(id)
    } else {
        Err(r.error("id", format!("{id} is the id of another device")))
    }
}

fn appliance(r: &mut Reader<'_>, kind: Kind) -> Result<(Load, Duration), HomeError> {
    let load = r.word("load", &Load::ALL.map(|l| (l.as_str(), l)))?;
    if load.is_some() && !kind.meters() {
        return Err(r.error("load", format!("a {kind} measures no load; plug-old, plug-old-usb and plug do")));
    }
    let travel = r.number("travel_s", 1..=600)?;
    if travel.is_some() && kind != Kind::Cover {
        return Err(r.error("travel_s", format!("a {kind} does not travel; a cover does")));
    }
    Ok((load.unwrap_or(Load::None), Duration::from_secs(travel.unwrap_or(20))))
}

/// `127.66.0.9` or `127.66.0.9:7777`.
fn address(r: &mut Reader<'_>, seen: &mut Seen) -> Result<Option<SocketAddrV4>, HomeError> {
    let Some(text) = r.text("address")? else { return Ok(None) };
    let address = text
        .parse::<SocketAddrV4>()
        .or_else(|_| text.parse::<Ipv4Addr>().map(|ip| SocketAddrV4::new(ip, TCP_PORT)))
        .map_err(|_| {
            r.error("address", format!("{text:?} is no IPv4 address (127.66.0.9 or 127.66.0.9:7777)"))
        })?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.ip().is_broadcast() {
        return Err(r.error("address", format!("{} is no address of a device", address.ip())));
    }
    if address.port() != 0 && !seen.addresses.insert(address) {
        return Err(r.error("address", format!("{address} is the address of another device")));
    }
    Ok(Some(address))
}

fn habits(mut r: Reader<'_>, version: Version) -> Result<Habits, HomeError> {
    let vendor = r.flag("vendor")?.unwrap_or(false);
    let mut habits = if vendor { Habits::vendor() } else { Habits::usual(version) };
    let words = [("any", Quiet::Any), ("full", Quiet::Full), ("never", Quiet::Never)];
    habits.quiet = r.word("quiet", &words)?.unwrap_or(habits.quiet);
    for (field, habit) in [
        ("silent", &mut habits.silent),
        ("vendor_ack", &mut habits.vendor_ack),
        ("enforce_sequence", &mut habits.enforce_sequence),
        ("zero_key_trap", &mut habits.zero_key_trap),
        ("clear_errors", &mut habits.clear_errors),
        ("silent_refresh", &mut habits.silent_refresh),
        ("push_first", &mut habits.push_first),
        ("repeat_unchanged", &mut habits.repeat_unchanged),
        ("lan_after_cloud", &mut habits.lan_after_cloud),
        ("energy_needs_mqtt", &mut habits.energy_needs_mqtt),
    ] {
        *habit = r.flag(field)?.unwrap_or(*habit);
    }
    r.finish()?;
    Ok(habits)
}

fn faults(mut r: Reader<'_>) -> Result<FaultPlan, HomeError> {
    const DAY: u64 = 86_400;
    let mut plan = FaultPlan {
        drop: r.chance("drop")?.unwrap_or(0.0),
        reset: r.chance("reset")?.unwrap_or(0.0),
        half_open: r.chance("half_open")?.unwrap_or(0.0),
        wedge: r.chance("wedge")?.unwrap_or(0.0),
        moves: r.number("move_every_s", 1..=365 * DAY)?.map(Duration::from_secs),
        ..FaultPlan::default()
    };
    if let Some(mut d) = r.table("delay", "faults.delay.")? {
        let Some(chance) = d.chance("chance")? else {
            return Err(d.error("chance", "is missing: how often, from 0.0 to 1.0"));
        };
        let from = d.number("from_ms", 0..=600_000)?.unwrap_or(100);
        let to = d.number("to_ms", 0..=600_000)?.unwrap_or(from.max(1_000));
        if to < from {
            return Err(d.error("to_ms", format!("{to} is less than from_ms, {from}")));
        }
        plan.delay =
            Some(DelayPlan { chance, from: Duration::from_millis(from), to: Duration::from_millis(to) });
        d.finish()?;
    }
    if let Some(mut s) = r.table("storm", "faults.storm.")? {
        let Some(connections) = s.number("connections", 1..=10_000)? else {
            return Err(s.error("connections", "is missing: how many connections wedge the device"));
        };
        let within = s.number("within_s", 1..=DAY)?.unwrap_or(10);
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        plan.storm = Some(StormPlan { connections, within: Duration::from_secs(within) });
        s.finish()?;
    }
    if let Some(mut b) = r.table("reboot", "faults.reboot.")? {
        let Some(every) = b.number("every_s", 1..=365 * DAY)? else {
            return Err(b.error("every_s", "is missing: the mean time between two reboots, in seconds"));
        };
        let down = b.number("down_s", 0..=DAY)?.unwrap_or(5);
        plan.reboot = Some(RebootPlan { every: Duration::from_secs(every), down: Duration::from_secs(down) });
        b.finish()?;
    }
    r.finish()?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(text: &str) -> Result<Home, String> {
        parse(text, Path::new("my.toml")).map_err(|e| e.to_string())
    }

    fn refusal(text: &str) -> String {
        home(text).unwrap_err()
    }

    #[test]
    fn a_full_entry() {
        let home = home(
            r#"
            name = "test"
            seed = 9
            mains_volts = 120
            network = "127.70.0.1"
            [[device]]
            name = "Fridge"
            kind = "plug"
            version = "3.5"
            id = "bf0123456789abcdefvx01"
            key = "Kx7$v9Qm2#Lp4&Rz"
            address = "127.70.0.9:7777"
            load = "fridge"
            reply_sequence = "counter"
            clients = 1
            idle_s = 12
            journal = 10
            habits = { vendor = true, silent = false, quiet = "never" }
            [device.faults]
            drop = 0.1
            wedge = 1
            move_every_s = 60
            delay = { chance = 0.5, from_ms = 10, to_ms = 20 }
            reboot = { every_s = 60 }
            storm = { connections = 12 }
            [[device]]
            name = "Bridge"
            kind = "gateway"
            [[device.child]]
            name = "Door"
            kind = "battery-sensor"
            cid = "a4c1380000000001"
            online = false
            "#,
        )
        .unwrap();
        let fridge = &home.devices[0];
        assert_eq!(fridge.address, Some("127.70.0.9:7777".parse().unwrap()));
        assert_eq!(
            (fridge.spec.clients, fridge.spec.idle, fridge.spec.journal),
            (1, Duration::from_secs(12), 10)
        );
        assert_eq!(fridge.spec.key.expose_str(), "Kx7$v9Qm2#Lp4&Rz");
        assert!(fridge.spec.habits.vendor_ack && !fridge.spec.habits.silent);
        assert_eq!(fridge.spec.habits.quiet, Quiet::Never);
        assert_eq!(fridge.spec.reply_sequence, ReplySequence::Counter);
        assert_eq!(fridge.spec.faults.reboot.unwrap().down, Duration::from_secs(5));
        assert_eq!(fridge.spec.faults.wedge, 1.0);
        assert_eq!(fridge.spec.faults.storm.unwrap().within, Duration::from_secs(10));
        assert_eq!(fridge.spec.mains.nominal, 120);
        let door = &home.devices[1].spec.children[0];
        assert_eq!((door.cid.as_str(), door.online), ("a4c1380000000001", false));
    }

    #[test]
    fn errors_name_file_entry_and_field_and_suggest() {
        let device = |rest: &str| format!("[[device]]\nname = \"Fridge\"\nkind = \"plug\"\n{rest}");
        for (text, want) in [
            ("sed = 1".to_owned(), "my.toml: home: sed: unknown field; did you mean \"seed\"?"),
            ("[[device]]\nkind = \"plug\"".to_owned(), "my.toml: device 1: name: is missing"),
            (
                "[[device]]\nname = \"A\"".to_owned(),
                "my.toml: device 1 \"A\": kind: is missing: one of plug-old",
            ),
            (
                "[[device]]\nname = \"A\"\nkind = \"plgu\"".to_owned(),
                "my.toml: device 1 \"A\": kind: unknown word \"plgu\"; did you mean \"plug\"?",
            ),
            (
                device("verison = \"3.3\""),
                "device 1 \"Fridge\": verison: unknown field; did you mean \"version\"?",
            ),
            (device("version = \"3.9\""), "version: unknown LAN protocol version \"3.9\""),
            (device("version = 3.3"), "version: takes a text, not the float 3.3"),
            (device("load = \"frigde\""), "load: unknown word \"frigde\"; did you mean \"fridge\"?"),
            (device("key = \"short\""), "key: a local key has 16 bytes, this one has 5"),
            (device("key = 12345"), "key: takes a text, not a integer"),
            (device("id = \"a b\""), "id: device id \"a b\" holds the character ' '"),
            (device("address = \"1.2.3\""), "address: \"1.2.3\" is no IPv4 address"),
            (device("address = \"0.0.0.0\""), "address: 0.0.0.0 is no address of a device"),
            (device("clients = 0"), "clients: takes a whole number from 1 to 64, not 0"),
            (device("idle_s = true"), "idle_s: takes a whole number from 1 to 86400, not the boolean true"),
            (device("travel_s = 5"), "travel_s: a plug does not travel"),
            (device("habits = { silnet = true }"), "habits.silnet: unknown field; did you mean \"silent\"?"),
            (device("faults = { drop = 1.5 }"), "faults.drop: takes a chance from 0.0 to 1.0, not 1.5"),
            (device("faults = { delay = {} }"), "faults.delay.chance: is missing"),
            (
                device("faults = { delay = { chance = 1, from_ms = 9, to_ms = 3 } }"),
                "faults.delay.to_ms: 3 is less",
            ),
            (device("faults = { storm = {} }"), "faults.storm.connections: is missing"),
            (device("faults = { reboot = { down_s = 1 } }"), "faults.reboot.every_s: is missing"),
            (device("child = [{ name = \"x\", kind = \"plug\" }]"), "child: only a gateway has sub-devices"),
            ("device = 3".to_owned(), "home: device: is a list: write [[device]]"),
            ("network = \"10.0.0.1\"".to_owned(), "home: network: takes a loopback address"),
        ] {
            let said = refusal(&text);
            assert!(said.starts_with("my.toml: ") && said.contains(want), "{said}\nwanted {want}");
        }
        assert!(!refusal(&device("key = \"secret\"")).contains("secret"));
        let said = refusal("name = \"A\"\n[[device]]\nkey = \"0123456789abcde");
        assert!(said.starts_with("my.toml: line 3: ") && !said.contains("0123"), "{said}");
    }

    #[test]
    fn nothing_occurs_twice() {
        let two =
            |a: &str, b: &str| format!("[[device]]\nkind = \"plug\"\n{a}\n[[device]]\nkind = \"plug\"\n{b}");
        assert!(
            refusal(&two("name = \"A\"", "name = \"A\"")).contains("device 2 \"A\": name: \"A\" is the name")
        );
        let id = "id = \"bf0123456789abcdefvx01\"";
        assert!(
            refusal(&two(&format!("name = \"A\"\n{id}"), &format!("name = \"B\"\n{id}")))
                .contains("is the id of")
        );
        let at = "address = \"127.0.0.9\"";
        assert!(
            refusal(&two(&format!("name = \"A\"\n{at}"), &format!("name = \"B\"\n{at}")))
                .contains("is the address")
        );
        let free = "address = \"127.0.0.9:0\"";
        assert!(home(&two(&format!("name = \"A\"\n{free}"), &format!("name = \"B\"\n{free}"))).is_ok());
    }

    #[test]
    fn an_id_given_to_one_does_not_change_the_others() {
        let with =
            home("[[device]]\nname=\"A\"\nkind=\"plug\"\nid=\"x\"\n[[device]]\nname=\"B\"\nkind=\"plug\"")
                .unwrap();
        let without =
            home("[[device]]\nname=\"A\"\nkind=\"plug\"\n[[device]]\nname=\"B\"\nkind=\"plug\"").unwrap();
        assert_eq!(with.devices[1].spec.id, without.devices[1].spec.id);
        assert_eq!(with.devices[0].spec.key, without.devices[0].spec.key);
    }
}
