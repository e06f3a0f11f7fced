//! What the rules say. That the real programs take them, and that packets meet their fate, is shown in `interop/`.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn devices(texts: &[&str]) -> Vec<Device> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn plan(landfall: &[&str], listed: &[&str]) -> Result<Plan, FirewallError> {
    let landfall: Vec<IpAddr> = landfall.iter().map(|text| ip(text)).collect();
    Plan::new(&landfall, 53, &devices(listed))
}

fn house() -> Plan {
    plan(&["192.168.1.5"], &["192.168.1.50", "192.168.30.0/24", "fd00:30::/64", "d8:f1:5b:00:00:01"]).unwrap()
}

#[test]
fn devices_are_addresses_networks_and_macs() {
    for (text, shown) in [
        ("192.168.1.50", "192.168.1.50"),
        ("::ffff:192.168.1.50", "192.168.1.50"),
        ("192.168.30.7/24", "192.168.30.0/24"),
        ("192.168.1.50/32", "192.168.1.50"),
        ("fd00::50", "fd00::50"),
        ("fd00:30::/64", "fd00:30::/64"),
        ("D8:F1:5B:00:0A:ff", "d8:f1:5b:00:0a:ff"),
        ("d8-f1-5b-00-0a-ff", "d8:f1:5b:00:0a:ff"),
    ] {
        assert_eq!(text.parse::<Device>().unwrap().to_string(), shown, "{text}");
    }
}

#[test]
fn nothing_else_is_a_device() {
    for text in [
        "",
        " ",
        "plug",
        "192.168.1",
        "192.168.1.50/33",
        "192.168.1.50 drop",
        "192.168.1.50; flush ruleset",
        "192.168.1.50\n",
        "d8:f1:5b:00:0a",
        "d8:f1:5b:00:0a:ff:00",
        "d8:f1:5b:00:0a:f",
        "d8:f1:5b:00:0a:+f",
        "d8:f1-5b:00:0a:ff",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "d8:f1:5b:00:0a:ff }",
        "éé:f1:5b:00:0a:ff",
    ] {
        let error = text.parse::<Device>().unwrap_err();
        assert_eq!(error, FirewallError::Device(text.to_owned()));
    }
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let refused = |landfall: &[&str], listed: &[&str]| plan(landfall, listed).unwrap_err();
    assert_eq!(refused(&["192.168.1.5"], &[]), FirewallError::NoDevices);
    assert_eq!(refused(&[], &["192.168.1.50"]), FirewallError::NoAddress);
    assert_eq!(
        refused(&["192.168.1.5"], &["0.0.0.0/0"]),
        FirewallError::Everybody("0.0.0.0/0".parse().unwrap())
    );
    assert_eq!(refused(&["192.168.1.5"], &["192.168.1.5"]), FirewallError::Landfall(ip("192.168.1.5")));
    assert!(matches!(refused(&["127.0.0.1"], &["192.168.1.50"]), FirewallError::Address { .. }));
    assert!(matches!(refused(&["fe80::5"], &["192.168.1.50"]), FirewallError::Address { .. }));
    assert_eq!(
        refused(&["192.168.1.5", "192.168.1.6"], &["192.168.1.50"]),
        FirewallError::Two(ip("192.168.1.5"), ip("192.168.1.6"))
    );
    // The same address twice is no contradiction, and Landfall may stand in a network of devices.
    assert!(plan(&["192.168.1.5", "192.168.1.5", "fd00::5"], &["192.168.1.0/24"]).is_ok());
}

#[test]
fn networks_are_not_listed_twice() {
    // Overlapping elements are an error to nft.
    let plan =
        plan(&["192.168.1.5"], &["192.168.30.0/24", "192.168.30.7", "192.168.30.7", "d8:f1:5b:00:00:01"])
            .unwrap();
    assert_eq!(plan.nets_v4, ["192.168.30.0/24".parse().unwrap()]);
    let rules = render(Format::Nftables, &plan);
    assert!(!rules.contains("192.168.30.7"), "{rules}");
}

#[test]
fn nftables_replaces_one_table_as_a_whole() {
    let rules = render(Format::Nftables, &house());
    let body: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        body[..3],
        [
            "table inet landfall_devices",
            "delete table inet landfall_devices",
            "table inet landfall_devices {"
        ]
    );
    assert_eq!(body.last(), Some(&"}"));
    assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    assert!(rules.contains("# Undo:  nft delete table inet landfall_devices"));
    for expected in [
        "elements = { 192.168.1.50/32, 192.168.30.0/24 }",
        "elements = { fd00:30::/64 }",
        "elements = { d8:f1:5b:00:00:01 }",
        "udp dport 53 counter dnat ip to 192.168.1.5:53",
        "tcp dport 53 counter dnat ip to 192.168.1.5:53",
        "47.110.145.119",
        "th dport { 53, 853 } counter jump refuse",
    ] {
        assert!(rules.contains(expected), "{expected} is not in\n{rules}");
    }
    // No address of Landfall in this family: such questions are refused, not redirected.
    assert!(!rules.contains("dnat ip6"));
    let both = plan(&["192.168.1.5", "fd00::5"], &["192.168.1.50"]).unwrap();
    assert!(render(Format::Nftables, &both).contains("udp dport 53 counter dnat ip6 to [fd00::5]:53"));
}

#[test]
fn another_port_is_reached_by_those_who_ask_landfall_itself_too() {
    let asked = |port| Plan::new(&[ip("192.168.1.5")], port, &devices(&["192.168.1.50"])).unwrap();
    let dns = |plan: &Plan| {
        let rules = render(Format::Nftables, plan);
        let (_, chain) = rules.split_once("chain dns {").unwrap();
        chain.split_once('}').unwrap().0.to_owned()
    };
    assert!(dns(&asked(53)).contains("ip daddr 192.168.1.5 return"));
    assert!(!dns(&asked(5353)).contains("ip daddr 192.168.1.5 return"));
    assert!(dns(&asked(5353)).contains("dnat ip to 192.168.1.5:5353"));
}

#[test]
fn iptables_gets_both_families_in_chains_of_our_own() {
    let script = render(Format::Iptables, &house());
    for tool in ["iptables", "ip6tables"] {
        assert!(script.contains(&format!("{tool}-restore -w --noflush <<'LANDFALL'")), "{script}");
    }
    let appended: Vec<&str> = script.lines().filter(|line| line.starts_with("-A ")).collect();
    assert!(appended.iter().all(|line| line.starts_with("-A LANDFALL-")), "{appended:#?}");
    // Whatever is filled is declared, which is what empties it before.
    for line in &appended {
        let chain = line.split(' ').nth(1).unwrap();
        assert_eq!(script.matches(&format!(":{chain} - [0:0]")).count(), 2, "{chain}");
        assert!(chain.len() <= 28, "{chain} is too long a name");
    }
    for expected in [
        "-A LANDFALL-PRE -s 192.168.1.50/32 -j LANDFALL-DNS",
        "-A LANDFALL-PRE -m mac --mac-source d8:f1:5b:00:00:01 -j LANDFALL-DNS",
        "-A LANDFALL-DNS -p udp --dport 53 -j DNAT --to-destination 192.168.1.5:53",
        "-A LANDFALL-FWD -s fd00:30::/64 -j LANDFALL-OUT",
        "-A LANDFALL-OUT -d 47.110.145.119 -j LANDFALL-REFUSE",
        "-A LANDFALL-OUT -j LANDFALL-REFUSE",
        "# Undo: sh THIS-FILE undo",
    ] {
        assert!(script.lines().any(|line| line.trim() == expected), "{expected} is not in\n{script}");
    }
    assert!(!script.contains("--to-destination ["));
}

#[test]
fn openwrt_includes_the_same_table() {
    let script = render(Format::Openwrt, &house());
    let (_, file) = script.split_once("<<'LANDFALL'\n").unwrap();
    let (file, after) = file.split_once("LANDFALL\n").unwrap();
    let nft = render(Format::Nftables, &house());
    assert!(nft.ends_with(file), "the file differs from --format nftables");
    for expected in [
        "set firewall.landfall=include\n",
        "set firewall.landfall.type='nftables'\n",
        "set firewall.landfall.position='ruleset-post'\n",
        "commit firewall\n",
    ] {
        assert!(after.contains(expected), "{expected}");
    }
    assert!(script.contains("# Undo: uci -q delete firewall.landfall"));
}

proptest! {
    /// What is no device stays out of the rules; what is one stands there as we write it, not as it was given.
    #[test]
    fn no_text_slips_into_the_rules(text in "[ -~\\n]{0,40}") {
        let Ok(device) = text.parse::<Device>() else { return Ok(()) };
        let shown = device.to_string();
        prop_assert!(shown.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':' | b'/')), "{shown}");
    }

    #[test]
    fn every_plan_lists_its_devices(v4 in any::<[u8; 4]>(), bits in 1..=32u8, mac in any::<[u8; 6]>()) {
        let net = Ipv4Net::new(v4.into(), bits).unwrap().trunc();
        let listed = [Device::Net(net.into()), Device::Mac(Mac(mac))];
        let Ok(plan) = Plan::new(&[ip("10.0.0.5")], 53, &listed) else { return Ok(()) };
        for format in Format::ALL {
            let rules = render(format, &plan);
            prop_assert!(rules.contains(&net.to_string()) && rules.contains(&Mac(mac).to_string()));
        }
    }
}
