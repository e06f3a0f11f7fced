//! Rules as a file for `nft -f`: one table, deleted and made anew in one transaction.

use std::fmt::Display;

use super::{Plan, line};

/// The table's name.
pub(super) const TABLE: &str = "landfall_devices";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = "#!/usr/sbin/nft -f\n".to_owned();
    for about in plan.about() {
        line(&mut text, format_args!("# {about}"));
    }
    line(
        &mut text,
        format_args!("# Load:  nft -f THIS-FILE   (again after every change; it replaces itself)"),
    );
    line(&mut text, format_args!("# Undo:  nft delete table inet {TABLE}"));
    line(&mut text, format_args!("# Watch: nft list table inet {TABLE}   (the counters)"));
    text.push_str(&table(plan));
    text
}

/// The table, without comments around it.
pub(super) fn table(plan: &Plan) -> String {
    let mut text = String::new();
    let mut add = |indent: usize, rule: &str| {
        line(&mut text, format_args!("{:indent$}{rule}", "", indent = indent * 4));
    };
    // Declared first, so that it can be deleted whether or not it was there.
    add(0, &format!("table inet {TABLE}"));
    add(0, &format!("delete table inet {TABLE}"));
    add(0, &format!("table inet {TABLE} {{"));
    let sets = [
        set("devices4", "ipv4_addr", true, &plan.nets_v4),
        set("devices6", "ipv6_addr", true, &plan.nets_v6),
        set("macs", "ether_addr", false, &plan.macs),
        set("house4", "ipv4_addr", true, &plan.house_v4),
        set("house6", "ipv6_addr", true, &plan.house_v6),
        set("resolvers4", "ipv4_addr", false, &plan.resolvers_v4),
        set("resolvers6", "ipv6_addr", false, &plan.resolvers_v6),
    ];
    for line in sets.iter().flatten().flatten() {
        add(1, line);
    }
    let sources: Vec<&str> = [
        (!plan.nets_v4.is_empty()).then_some("ip saddr @devices4"),
        (!plan.nets_v6.is_empty()).then_some("ip6 saddr @devices6"),
        (!plan.macs.is_empty()).then_some("ether saddr @macs"),
    ]
    .into_iter()
    .flatten()
    .collect();

    add(1, "chain prerouting {");
    add(2, "type nat hook prerouting priority dstnat - 10; policy accept;");
    for source in &sources {
        add(2, &format!("{source} jump dns"));
    }
    add(1, "}");
    add(1, "chain dns {");
    for rule in dns(plan) {
        add(2, &rule);
    }
    add(1, "}");
    // The answer has to come back this way, or the device would not know whose it is. Where Landfall is this router, nothing
    // passes here.
    add(1, "chain postrouting {");
    add(2, "type nat hook postrouting priority srcnat - 10; policy accept;");
    for rule in masquerade(plan) {
        add(2, &rule);
    }
    add(1, "}");

    add(1, "chain forward {");
    add(2, "type filter hook forward priority filter - 10; policy accept;");
    for source in &sources {
        add(2, &format!("{source} jump outgoing"));
    }
    if !plan.nets_v4.is_empty() {
        add(2, "ip daddr @devices4 ip saddr != @house4 jump incoming");
    }
    if !plan.nets_v6.is_empty() {
        add(2, "ip6 daddr @devices6 ip6 saddr != @house6 jump incoming");
    }
    add(1, "}");
    add(1, "chain outgoing {");
    for rule in to_landfall(plan) {
        add(2, &rule);
    }
    if !plan.resolvers_v4.is_empty() {
        add(2, "ip daddr @resolvers4 counter jump refuse comment \"resolvers built into firmware\"");
    }
    if !plan.resolvers_v6.is_empty() {
        add(2, "ip6 daddr @resolvers6 counter jump refuse comment \"resolvers built into firmware\"");
    }
    add(2, "meta l4proto { tcp, udp } th dport { 53, 853 } counter jump refuse comment \"DNS elsewhere\"");
    add(2, "ip daddr @house4 return");
    add(2, "ip6 daddr @house6 return");
    add(2, "counter jump refuse comment \"the internet\"");
    add(1, "}");
    add(1, "chain incoming {");
    for rule in to_landfall(plan) {
        add(2, &rule);
    }
    add(2, "counter drop comment \"from the internet\"");
    add(1, "}");

    // The router's own DNS server would ask the vendor in the device's place.
    add(1, "chain input {");
    add(2, "type filter hook input priority filter - 10; policy accept;");
    for source in &sources {
        add(2, &format!("{source} jump router"));
    }
    add(1, "}");
    add(1, "chain router {");
    for rule in to_landfall(plan) {
        add(2, &rule);
    }
    add(
        2,
        "meta l4proto { tcp, udp } th dport { 53, 853 } counter jump refuse comment \"DNS of this router\"",
    );
    add(1, "}");
    add(1, "chain refuse {");
    add(2, "meta l4proto tcp reject with tcp reset");
    add(2, "reject with icmpx admin-prohibited");
    add(1, "}");
    add(0, "}");
    text
}

/// A set's lines; none for an empty one.
fn set<T: Display>(name: &str, kind: &str, interval: bool, elements: &[T]) -> Option<Vec<String>> {
    if elements.is_empty() {
        return None;
    }
    let mut lines = vec![format!("set {name} {{"), format!("    type {kind}")];
    if interval {
        lines.push("    flags interval".to_owned());
    }
    let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
    lines.push(format!("    elements = {{ {} }}", elements.join(", ")));
    lines.push("}".to_owned());
    Some(lines)
}

/// Whatever resolver a device asks, Landfall answers. Landfall's own questions are left alone.
fn dns(plan: &Plan) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(v4) = plan.v4 {
        rules.push(format!("ip saddr {v4} return"));
        if plan.port == 53 {
            rules.push(format!("ip daddr {v4} return"));
        }
        for protocol in ["udp", "tcp"] {
            rules.push(format!(
                "meta nfproto ipv4 {protocol} dport 53 counter dnat ip to {v4}:{} comment \"DNS to Landfall\"",
                plan.port
            ));
        }
    }
    if let Some(v6) = plan.v6 {
        rules.push(format!("ip6 saddr {v6} return"));
        if plan.port == 53 {
            rules.push(format!("ip6 daddr {v6} return"));
        }
        for protocol in ["udp", "tcp"] {
            rules.push(format!(
                "meta nfproto ipv6 {protocol} dport 53 counter dnat ip6 to [{v6}]:{} comment \"DNS to Landfall\"",
                plan.port
            ));
        }
    }
    rules
}

fn masquerade(plan: &Plan) -> Vec<String> {
    let mut rules = Vec::new();
    let port = plan.port;
    for protocol in ["udp", "tcp"] {
        if let Some(v4) = plan.v4 {
            rules.push(format!(
                "ct status dnat ip daddr {v4} {protocol} dport {port} ct original proto-dst 53 masquerade"
            ));
        }
        if let Some(v6) = plan.v6 {
            rules.push(format!(
                "ct status dnat ip6 daddr {v6} {protocol} dport {port} ct original proto-dst 53 masquerade"
            ));
        }
    }
    rules
}

/// Leaves Landfall within reach, and its own traffic alone where it stands in a network of devices.
fn to_landfall(plan: &Plan) -> Vec<String> {
    let mut rules = Vec::new();
    if let Some(v4) = plan.v4 {
        rules.push(format!("ip saddr {v4} return"));
        rules.push(format!("ip daddr {v4} return"));
    }
    if let Some(v6) = plan.v6 {
        rules.push(format!("ip6 saddr {v6} return"));
        rules.push(format!("ip6 daddr {v6} return"));
    }
    rules
}
