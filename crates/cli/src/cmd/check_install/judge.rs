//! From what was seen to what is said. Pure.

use super::finding::Finding;
use super::seen::{
    Answer, Bind, ClockSeen, DataSeen, DirState, FileSeen, FileState, Holder, HubSeen, NamesSeen, PortSeen,
    Rights, Seen, SettingsSeen,
};

/// Below this the next month of a busy home does not fit, in bytes.
const LITTLE: u64 = 512 << 20;
/// Below this nothing is stored for long.
const NEARLY_NOTHING: u64 = 64 << 20;
/// 2026-01-01: this program is younger, so the clock is wrong before it.
const EARLIEST: i64 = 1_767_225_600;
/// 2100-01-01.
const LATEST: i64 = 4_102_444_800;
/// How much newer than now a file may be, in seconds.
const AHEAD: i64 = 3_600;

/// What is to be said, in the order of an installation.
pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let mut said = vec![settings(&seen.settings)];
    said.extend(hub(&seen.hub, &seen.data));
    said.extend(rights(seen));
    said.extend(seen.ports.iter().map(|p| port(p, seen)));
    said.extend(data(&seen.data, seen.rights));
    said.extend(seen.files.iter().map(file));
    said.extend(names(&seen.names));
    said.extend(clock(&seen.clock));
    said
}

fn settings(seen: &SettingsSeen) -> Finding {
    match seen {
        SettingsSeen::Default => {
            Finding::ok("settings.sound", "there is no file of settings; the defaults are in force")
        }
        SettingsSeen::Read { file, mode: Some(mode) } if mode & 0o022 != 0 => Finding::problem(
            "settings.open",
            format!("others may change the settings in {}", file.display()),
            format!("chmod 0644 {}", file.display()),
        )
        .seen(format!("its mode is {mode:04o}")),
        SettingsSeen::Read { file, .. } => {
            Finding::ok("settings.sound", format!("the settings in {} are sound", file.display()))
        }
        SettingsSeen::Wrong { error, hint } => Finding::problem(
            "settings.wrong",
            format!("the settings can't be used: {error}"),
            hint.clone().unwrap_or_else(|| "`landfall config check` says what is wrong".to_owned()),
        )
        .seen("ports and files that they name were not looked at"),
    }
}

fn hub(seen: &HubSeen, data: &DataSeen) -> Option<Finding> {
    let dir = data.path.display();
    match seen {
        HubSeen::Absent => None,
        HubSeen::Runs => Some(Finding::ok("hub.runs", format!("a hub runs in {dir} and serves"))),
        HubSeen::Unreachable(why) => Some(
            Finding::note(
                "hub.unreachable",
                format!("something of a hub is in {dir}, and can't be talked to"),
                "if a hub runs there, ask as the user it runs as, or as root",
            )
            .seen(why.clone()),
        ),
    }
}

fn rights(seen: &Seen) -> Option<Finding> {
    let low: Vec<String> = seen
        .ports
        .iter()
        .filter(|p| p.at.port() < seen.rights.low_below)
        .map(|p| format!("{} wants {} {}", p.key, p.transport.name(), p.at))
        .collect();
    if seen.rights.uid == Some(0) {
        return Some(Finding::note(
            "rights.root",
            "this was looked at as root, who may do more than the service does",
            "what the service sees stands in its log at each start: journalctl -u landfall",
        ));
    }
    if low.is_empty() {
        return None;
    }
    let mut said = match seen.rights.may_bind_low {
        Some(true) => {
            Finding::ok("rights.low_ports", "ports of the system may be used: CAP_NET_BIND_SERVICE is there")
        }
        // Whether it is needed after all is said port by port.
        _ => return None,
    };
    said.evidence = low;
    Some(said)
}

fn port(p: &PortSeen, seen: &Seen) -> Finding {
    let at = format!("{} {}", p.transport.name(), p.at);
    let (key, what) = (p.key, p.what);
    match &p.bind {
        Bind::Free => Finding::ok("port.free", format!("{at} is free for {what} ({key})")),
        // Who asks may lack a right that the hub has.
        Bind::Busy(holders) | Bind::Forbidden(holders) if by_the_hub(holders, seen) => {
            Finding::ok("port.ours", format!("{at} is held by the running hub ({key})"))
        }
        Bind::Busy(holders) => {
            let (who, next) = (who(holders), make_room(holders, p));
            Finding::problem("port.busy", format!("{at}, for {what} ({key}), is held by {who}"), next)
        }
        Bind::Forbidden(holders) => {
            let mut said = Finding::problem(
                "port.forbidden",
                format!("{at}, for {what} ({key}), may not be used by this user"),
                format!(
                    "give the program the right (the packaged service has it; by hand: sudo setcap \
                     cap_net_bind_service=+ep \"$(command -v landfall)\"), or take a port from {} up",
                    seen.rights.low_below
                ),
            );
            if p.at.port() < seen.rights.low_below {
                said = said.seen(format!("ports below {} are the system's", seen.rights.low_below));
            }
            if seen.rights.may_bind_low == Some(false) {
                said = said.seen("this process lacks CAP_NET_BIND_SERVICE");
            }
            if !holders.is_empty() {
                said = said.seen(format!("it is held by {}, too", who(holders)));
            }
            said
        }
        Bind::NotOurs => Finding::problem(
            "port.address",
            format!("{} is no address of this machine ({key})", p.at.ip()),
            format!("`ip address` shows those it has; write one of them into {key}, or 0.0.0.0 for all"),
        ),
        Bind::Failed(why) => Finding::problem(
            "port.failed",
            format!("{at}, for {what} ({key}), can't be had: {why}"),
            format!("choose another address in {key}"),
        ),
    }
}

/// Whether the running hub is who holds it. Where we may not see the process, its user tells.
fn by_the_hub(holders: &[Holder], seen: &Seen) -> bool {
    let DirState::Found(dir) = &seen.data.state else { return false };
    let ours = |h: &Holder| match &h.process {
        Some((_, name)) => name.starts_with("landfall"),
        None => h.user == dir.owner,
    };
    seen.hub == HubSeen::Runs && !holders.is_empty() && holders.iter().all(ours)
}

fn who(holders: &[Holder]) -> String {
    let one = |h: &Holder| match &h.process {
        Some((pid, name)) => format!("{name} (process {pid}, user {})", h.user),
        None => format!("a process of the user {}, which only root may name", h.user),
    };
    match holders {
        [] => "another program, which does not show itself here".to_owned(),
        all => all.iter().map(one).collect::<Vec<_>>().join(" and by "),
    }
}

/// What to do about a busy port, by who holds it.
fn make_room(holders: &[Holder], p: &PortSeen) -> String {
    let held_by = |names: &[&str]| {
        let is = |name: &str| names.iter().any(|n| name.starts_with(n));
        holders.iter().any(|h| h.process.as_ref().is_some_and(|(_, name)| is(name)))
    };
    let (key, ip) = (p.key, p.at.ip());
    if held_by(&["landfall"]) {
        return "another Landfall holds it: end that one, or give this one other ports".to_owned();
    }
    if key == "lan.discovery" {
        return "beacons of devices come to this port only: end that program, or have it share the port \
                (SO_REUSEADDR); with lan.discovery = false, devices are reached at the addresses of the book"
            .to_owned();
    }
    if key == "cloud.dns" {
        if held_by(&["systemd-resolve"]) {
            return "systemd's resolver listens there: give ours the LAN address alone (cloud.dns = \
                    \"192.168.1.2:53\"), or write DNSStubListener=no into /etc/systemd/resolved.conf"
                .to_owned();
        }
        if held_by(&["avahi", "mdns"]) {
            return format!("mDNS lives on that port: take another one, such as cloud.dns = \"{ip}:5300\"");
        }
        return "let that DNS server answer the vendor's names (`landfall cloud dns --format dnsmasq`, or pihole, \
                adguard, unbound) and set cloud.dns = \"off\""
            .to_owned();
    }
    if held_by(&["mosquitto", "emqx", "nanomq", "vernemq"]) {
        return format!(
            "devices of old firmware look for their MQTT on 1883 and can't be told another port: move the broker to \
             another port, and set mqtt.broker = \"external\" if people's topics shall stay on it; or move ours: {key}"
        );
    }
    if matches!(p.at.port(), 80 | 443) {
        return format!(
            "devices look for the vendor on ports 80 and 443: move that web server to other ports, or give each of both \
             an address of its own on this machine ({key} = \"192.168.1.2:{}\")",
            p.at.port()
        );
    }
    format!("end that program, or choose another port in {key}")
}

fn data(seen: &DataSeen, rights: Rights) -> Vec<Finding> {
    let path = seen.path.display();
    let found = match &seen.state {
        DirState::Missing { writable: true, .. } => {
            return vec![Finding::ok(
                "data.absent",
                format!("{path} is not there yet; the first start makes it"),
            )];
        }
        DirState::Missing { above, .. } => {
            return vec![Finding::problem(
                "data.absent",
                format!("{path} is not there, and may not be made"),
                format!(
                    "make it, owned by the user that runs the hub: sudo install -d -m 0700 -o USER {path}; or choose \
                     another directory with --data-dir"
                ),
            )
            .seen(format!("this user may not write to {}", above.display()))];
        }
        DirState::NoDirectory => {
            return vec![Finding::problem(
                "data.no_directory",
                format!("{path} is no directory"),
                "move it away, or choose another directory with --data-dir",
            )];
        }
        DirState::Unreadable(why) => {
            return vec![
                Finding::problem(
                    "data.unreadable",
                    format!("this user may not look into {path}"),
                    "ask as the user that runs the hub, or as root",
                )
                .seen(why.clone()),
            ];
        }
        DirState::Found(found) => found,
    };
    let mut said = Vec::new();
    let evidence = format!("owner {}, mode {:04o}", found.owner, found.mode);
    if found.mode & 0o077 != 0 {
        let mut open = Finding::problem(
            "data.open",
            format!("others may look into {path}, where the keys are"),
            format!("chmod 0700 {path}"),
        )
        .seen(evidence.clone());
        for (file, mode) in &found.loose {
            open = open.seen(format!("{}, mode {mode:04o}, can be read by others", file.display()));
        }
        said.push(open);
    }
    let foreign = rights.uid.is_some_and(|uid| uid != 0 && uid != found.uid);
    if foreign || !found.writable {
        let next = if foreign {
            format!("run the hub as {}, or hand the directory over: sudo chown -R USER {path}", found.owner)
        } else {
            "a file system mounted read-only, or a sandbox of the service: make it writable".to_owned()
        };
        let sentence = format!("this user may not write to {path}");
        said.push(Finding::problem("data.not_writable", sentence, next).seen(evidence.clone()));
    }
    if said.is_empty() {
        said.push(
            Finding::ok("data.sound", format!("{path} is there and for its owner alone")).seen(evidence),
        );
    }
    if let Some(free) = found.free.filter(|f| *f < LITTLE) {
        let sentence = format!("there is little room for {path}: {} MiB", free >> 20);
        let next = "make room; when the disk is full, devices are still served, and history has gaps";
        said.push(if free < NEARLY_NOTHING {
            Finding::problem("data.full", sentence, next)
        } else {
            Finding::note("data.full", sentence, next)
        });
    }
    said
}

fn file(f: &FileSeen) -> Finding {
    let (key, path) = (f.key, f.path.display());
    match &f.state {
        FileState::Missing => Finding::problem(
            "file.missing",
            format!("{path} ({key}) is not there"),
            format!("make it, or take {key} out of the settings"),
        ),
        FileState::Unreadable(why) => Finding::problem(
            "file.unreadable",
            format!("{path} ({key}) can't be read by this user"),
            "give it to the user that runs the hub, or pass it as a credential of the service (LoadCredential=)",
        )
        .seen(why.clone()),
        FileState::Readable { mode } if f.secret && mode & 0o007 != 0 => Finding::problem(
            "file.open",
            format!("everybody may read the secret in {path} ({key})"),
            format!("chmod 0600 {path}, and change the secret where it may have been read"),
        )
        .seen(format!("its mode is {mode:04o}")),
        FileState::Readable { mode } if f.secret && mode & 0o070 != 0 => Finding::note(
            "file.open",
            format!("a group may read the secret in {path} ({key})"),
            format!("chmod 0600 {path}, unless that is meant"),
        )
        .seen(format!("its mode is {mode:04o}")),
        FileState::Readable { .. } => Finding::ok("file.sound", format!("{path} ({key}) can be read")),
    }
}

fn names(seen: &NamesSeen) -> Option<Finding> {
    let (answers, ours, own_dns) = match seen {
        NamesSeen::NotAsked => return None,
        NamesSeen::NoMatter(why) => {
            let said =
                Finding::ok("names.no_matter", "where the vendor's names lead makes no difference yet");
            return Some(said.seen(*why));
        }
        NamesSeen::Asked { answers, ours, own_dns } => (answers, ours, *own_dns),
    };
    let here = |answer: &Answer| matches!(answer, Answer::Leads(to) if to.iter().any(|ip| ours.contains(ip)));
    let evidence: Vec<String> = answers
        .iter()
        .map(|(name, answer)| match answer {
            Answer::Leads(to) if here(answer) => format!("{name} leads here ({})", list(to)),
            Answer::Leads(to) => format!("{name} leads to {}, which is not this machine", list(to)),
            Answer::Nothing(why) => format!("{name}: {why}"),
            Answer::Late => format!("{name}: no answer in time"),
        })
        .collect();
    let good = answers.iter().filter(|(_, a)| here(a)).count();
    let next = "have the DNS server of your network lead them here: `landfall cloud dns --format dnsmasq`, or pihole, \
                adguard, unbound, hosts";
    let mut said = if good == answers.len() {
        Finding::ok("names.lead_here", "the vendor's names lead here, by the resolver of this machine")
    } else if let Some(at) = own_dns {
        Finding::note(
            "names.lead_elsewhere",
            "by the resolver of this machine, the vendor's names don't lead here; devices that use the same one won't \
             come",
            format!(
                "hand out this machine as DNS server to your devices by DHCP (it answers on {at}), or {next}"
            ),
        )
    } else if good > 0 {
        Finding::problem("names.lead_elsewhere", "some of the vendor's names don't lead here", next)
    } else {
        Finding::problem(
            "names.lead_elsewhere",
            "the vendor's names don't lead here: devices won't come",
            next,
        )
    };
    said.evidence = evidence;
    Some(said)
}

fn list(addresses: &[std::net::IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn clock(seen: &ClockSeen) -> Vec<Finding> {
    let mut said = Vec::new();
    let date =
        jiff::Timestamp::from_second(seen.now).map_or_else(|_| seen.now.to_string(), |t| t.to_string());
    let set = "set the clock, and have it kept right: sudo timedatectl set-ntp true, or chrony";
    if !(EARLIEST..LATEST).contains(&seen.now) {
        let sentence = format!("the clock says {date}, which can't be");
        said.push(
            Finding::problem("clock.wrong", sentence, set).seen("history and energy are kept by this clock"),
        );
    } else if let Some((file, written)) = seen.newest_file.as_ref().filter(|(_, w)| *w > seen.now + AHEAD) {
        let written =
            jiff::Timestamp::from_second(*written).map_or_else(|_| written.to_string(), |t| t.to_string());
        said.push(
            Finding::problem(
                "clock.behind",
                format!("the clock says {date}, and was further on before"),
                set,
            )
            .seen(format!("{} was written at {written}", file.display())),
        );
    } else {
        said.push(match seen.synchronised {
            Some((true, by)) => {
                Finding::ok("clock.sound", format!("the clock is kept right: {date}")).seen(by)
            }
            Some((false, by)) => {
                Finding::note("clock.alone", format!("nobody keeps the clock right: {date}"), set).seen(by)
            }
            None => Finding::ok("clock.plausible", format!("the clock is plausible: {date}"))
                .seen("whether it is kept right could not be found out here"),
        });
    }
    said.push(match &seen.zone {
        Some(zone) if seen.zone_is_set => {
            Finding::ok("clock.zone", format!("the time zone is {zone}, by the settings"))
        }
        Some(zone) => Finding::ok("clock.zone", format!("the time zone is {zone}, this machine's")),
        None => Finding::note(
            "clock.zone",
            "the time zone is not known: days, months and timers go by UTC",
            "name it in the settings: home.time_zone = \"Europe/Berlin\"",
        ),
    });
    said
}
