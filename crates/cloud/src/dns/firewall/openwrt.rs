//! Rules for OpenWrt: the nftables file where firewall4 includes it, and the three settings that make it do so.

use super::{Plan, line, nftables};

/// Where the rules are kept on the router.
const PATH: &str = "/etc/landfall-devices.nft";

pub(super) fn render(plan: &Plan) -> String {
    let mut text = "#!/bin/sh\n".to_owned();
    for about in plan.about() {
        line(&mut text, format_args!("# {about}"));
    }
    text.push_str(&format!(
        "# OpenWrt 22.03 or later (firewall4).\n\
         # Load: sh THIS-FILE   (again after every change; it replaces itself)\n\
         # Undo: uci -q delete firewall.landfall; uci commit firewall; rm -f {PATH}; \
         nft delete table inet {table}; /etc/init.d/firewall reload\n\
         set -eu\n\
         cat > {PATH} <<'LANDFALL'\n\
         {rules}\
         LANDFALL\n\
         # Nothing is changed where the rules do not load.\n\
         nft -c -f {PATH}\n\
         uci -q batch <<'LANDFALL'\n\
         set firewall.landfall=include\n\
         set firewall.landfall.type='nftables'\n\
         set firewall.landfall.path='{PATH}'\n\
         set firewall.landfall.position='ruleset-post'\n\
         commit firewall\n\
         LANDFALL\n\
         # So that they outlive an update of the router.\n\
         grep -qxF {PATH} /etc/sysupgrade.conf 2>/dev/null || echo {PATH} >> /etc/sysupgrade.conf\n\
         /etc/init.d/firewall reload\n",
        rules = nftables::table(plan),
        table = nftables::TABLE,
    ));
    text
}
