//! Rules as a shell script around `iptables-restore` and `ip6tables-restore`: chains of our own, refilled as a whole, and one
//! jump into each.

use std::fmt::Display;

use super::{Plan, line};

/// Our chains, and where they are hooked in.
const HOOKS: [(&str, &str, &str); 4] = [
    ("nat", "PREROUTING", "LANDFALL-PRE"),
    ("nat", "POSTROUTING", "LANDFALL-POST"),
    ("filter", "FORWARD", "LANDFALL-FWD"),
    ("filter", "INPUT", "LANDFALL-IN"),
];

/// Chains that those call.
const INNER: [(&str, &str); 4] = [
    ("nat", "LANDFALL-DNS"),
    ("filter", "LANDFALL-OUT"),
    ("filter", "LANDFALL-ROUTER"),
    ("filter", "LANDFALL-REFUSE"),
];

/// What differs between the families.
struct Family {
    restore: &'static str,
    /// Landfall's address.
    landfall: Option<String>,
    /// The same as the goal of a DNAT.
    goal: Option<String>,
    nets: Vec<String>,
    house: Vec<String>,
    resolvers: Vec<String>,
    reject: &'static str,
}

pub(super) fn render(plan: &Plan) -> String {
    let mut text = "#!/bin/sh\n".to_owned();
    for about in plan.about() {
        line(&mut text, format_args!("# {about}"));
    }
    text.push_str(
        "# Load: sh THIS-FILE        (again after every change; it replaces itself)\n\
         # Undo: sh THIS-FILE undo\n\
         set -eu\n\
         # hook TOOL TABLE CHAIN OURS: one jump into our chain, before all other rules.\n\
         hook() {\n\
         \x20   \"$1\" -w -t \"$2\" -C \"$3\" -j \"$4\" 2>/dev/null || \"$1\" -w -t \"$2\" -I \"$3\" 1 -j \"$4\"\n\
         }\n\
         unhook() {\n\
         \x20   while \"$1\" -w -t \"$2\" -D \"$3\" -j \"$4\" 2>/dev/null; do :; done\n\
         }\n\
         # drop TOOL TABLE OURS: a chain that nothing jumps to any more.\n\
         drop() {\n\
         \x20   \"$1\" -w -t \"$2\" -F \"$3\" 2>/dev/null || return 0\n\
         \x20   \"$1\" -w -t \"$2\" -X \"$3\"\n\
         }\n\
         if [ \"${1:-}\" = undo ]; then\n\
         \x20   for tool in iptables ip6tables; do\n",
    );
    for (table, chain, ours) in HOOKS {
        line(&mut text, format_args!("        unhook $tool {table} {chain} {ours}"));
    }
    for (table, ours) in HOOKS.map(|(table, _, ours)| (table, ours)).into_iter().chain(INNER) {
        line(&mut text, format_args!("        drop $tool {table} {ours}"));
    }
    text.push_str("    done\n    exit 0\nfi\n");
    for family in [v4(plan), v6(plan)] {
        line(&mut text, format_args!("{}-restore -w --noflush <<'LANDFALL'", family.restore));
        rules(&mut text, plan, &family);
        line(&mut text, format_args!("LANDFALL"));
    }
    text.push_str("for tool in iptables ip6tables; do\n");
    for (table, chain, ours) in HOOKS {
        line(&mut text, format_args!("    hook $tool {table} {chain} {ours}"));
    }
    text.push_str("done\n");
    text
}

fn v4(plan: &Plan) -> Family {
    Family {
        restore: "iptables",
        landfall: plan.v4.map(|v4| v4.to_string()),
        goal: plan.v4.map(|v4| format!("{v4}:{}", plan.port)),
        nets: texts(&plan.nets_v4),
        house: texts(&plan.house_v4),
        resolvers: texts(&plan.resolvers_v4),
        reject: "icmp-admin-prohibited",
    }
}

fn v6(plan: &Plan) -> Family {
    Family {
        restore: "ip6tables",
        landfall: plan.v6.map(|v6| v6.to_string()),
        goal: plan.v6.map(|v6| format!("[{v6}]:{}", plan.port)),
        nets: texts(&plan.nets_v6),
        house: texts(&plan.house_v6),
        resolvers: texts(&plan.resolvers_v6),
        reject: "icmp6-adm-prohibited",
    }
}

fn texts<T: Display>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// The rules of one family, as the restore command reads them. Naming a chain empties it.
fn rules(text: &mut String, plan: &Plan, family: &Family) {
    let mut add = |rule: &str| line(text, format_args!("{rule}"));
    let mut sources: Vec<String> = family.nets.iter().map(|net| format!("-s {net}")).collect();
    sources.extend(plan.macs.iter().map(|mac| format!("-m mac --mac-source {mac}")));
    let chains = |table: &str| -> Vec<String> {
        let hooked = HOOKS.iter().map(|(t, _, ours)| (t, ours));
        let inner = INNER.iter().map(|(t, ours)| (t, ours));
        hooked
            .chain(inner)
            .filter(|(t, _)| **t == table)
            .map(|(_, ours)| format!(":{ours} - [0:0]"))
            .collect()
    };

    add("*nat");
    chains("nat").iter().for_each(|chain| add(chain));
    for source in &sources {
        add(&format!("-A LANDFALL-PRE {source} -j LANDFALL-DNS"));
    }
    if let (Some(landfall), Some(goal)) = (&family.landfall, &family.goal) {
        // Landfall's own questions are left alone.
        add(&format!("-A LANDFALL-DNS -s {landfall} -j RETURN"));
        if plan.port == 53 {
            add(&format!("-A LANDFALL-DNS -d {landfall} -j RETURN"));
        }
        for protocol in ["udp", "tcp"] {
            add(&format!("-A LANDFALL-DNS -p {protocol} --dport 53 -j DNAT --to-destination {goal}"));
        }
        // The answer has to come back this way, or the device would not know whose it is.
        for protocol in ["udp", "tcp"] {
            let port = plan.port;
            add(&format!(
                "-A LANDFALL-POST -d {landfall} -p {protocol} --dport {port} -m conntrack --ctstate DNAT \
                 --ctorigdstport 53 -j MASQUERADE"
            ));
        }
    }
    add("COMMIT");

    add("*filter");
    chains("filter").iter().for_each(|chain| add(chain));
    for source in &sources {
        add(&format!("-A LANDFALL-FWD {source} -j LANDFALL-OUT"));
        add(&format!("-A LANDFALL-IN {source} -j LANDFALL-ROUTER"));
    }
    // From the internet: what is not of the house was let out before.
    for net in &family.nets {
        if let Some(landfall) = &family.landfall {
            add(&format!("-A LANDFALL-FWD -s {landfall} -d {net} -j RETURN"));
            add(&format!("-A LANDFALL-FWD -s {net} -d {landfall} -j RETURN"));
        }
        for house in &family.house {
            add(&format!("-A LANDFALL-FWD -s {house} -d {net} -j RETURN"));
        }
        add(&format!("-A LANDFALL-FWD -d {net} -j DROP"));
    }
    for chain in ["LANDFALL-OUT", "LANDFALL-ROUTER"] {
        if let Some(landfall) = &family.landfall {
            add(&format!("-A {chain} -s {landfall} -j RETURN"));
            add(&format!("-A {chain} -d {landfall} -j RETURN"));
        }
    }
    for resolver in &family.resolvers {
        add(&format!("-A LANDFALL-OUT -d {resolver} -j LANDFALL-REFUSE"));
    }
    for chain in ["LANDFALL-OUT", "LANDFALL-ROUTER"] {
        for protocol in ["udp", "tcp"] {
            add(&format!("-A {chain} -p {protocol} -m multiport --dports 53,853 -j LANDFALL-REFUSE"));
        }
    }
    for house in &family.house {
        add(&format!("-A LANDFALL-OUT -d {house} -j RETURN"));
    }
    add("-A LANDFALL-OUT -j LANDFALL-REFUSE");
    add("-A LANDFALL-REFUSE -p tcp -j REJECT --reject-with tcp-reset");
    add(&format!("-A LANDFALL-REFUSE -j REJECT --reject-with {}", family.reject));
    add("COMMIT");
}
