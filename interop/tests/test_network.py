"""What keeps devices off the internet, in network namespaces: DHCP and DNS that lead to Landfall, and the firewall's rules.

Nothing here is proved by a program's own word: whatever reaches the internet is counted there."""

import json
import os
import shutil
import sys
import time

import pytest

import house as place
from harness import LANDFALL, need
from house import House, bound, cloud_argv, eventually, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
]

ANYBODYS_RESOLVER = "8.8.8.8"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.close()


def start_dns(house, where):
    """`landfall cloud` with DNS on port 53, on the router or on a machine of its own. Returns its address."""
    address = place.ROUTER if where == "router" else place.BESIDE
    program = house.start(where, *cloud_argv(house.folder / "cloud", dns=f"{address}:53"))
    assert bound(program)["dns"] == f"{address}:53"
    return address


def rules(house, fmt, address, devices):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    argv = [LANDFALL, "--data-dir", house.folder / "cli", "cloud", "firewall", "--format", fmt, "--address", address]
    done = run(*argv, "--dns-port", "53", *devices)
    path = house.folder / f"rules.{fmt}"
    path.write_text(done.stdout)
    return path


def load(house, fmt, path):
    house.inside("router", *(("nft", "-f", path) if fmt == "nftables" else ("sh", path)))


def undo(house, fmt, path):
    """By the line in the file's comment."""
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("# Undo:")]
    command = line.removeprefix("# Undo:").strip().replace("THIS-FILE", str(path))
    house.inside("router", "sh", "-c", command)


@pytest.mark.parametrize("where", ["router", "landfall"])
def test_dhcp_and_dns_lead_a_device_to_landfall(house, where):
    address = start_dns(house, where)
    house.capture()
    assert house.dhcp(dns=address) == "192.168.77.50"
    # With the resolver that DHCP gave it, as any program of the device would.
    for name in ("a1.tuyaus.com", "h3.iot-dns.com", "m2.tuyaeu.com"):
        done = house.inside("device", "getent", "ahosts", name)
        assert {line.split()[0] for line in done.stdout.splitlines()} == {address}, done.stdout
    assert house.dig("device", address, "example.com", code=None) == []
    assert house.left() == 0, house.shown()
    # The same question to somebody else does leave: the counter counts.
    assert house.dig("device", ANYBODYS_RESOLVER, "a1.tuyaus.com") == [place.VENDOR]
    assert house.left() > 0


@pytest.mark.parametrize("fmt", ["nftables", "iptables"])
@pytest.mark.parametrize("where", ["router", "landfall"])
@pytest.mark.parametrize("by", ["address", "mac"])
def test_rules_keep_a_device_at_home(house, fmt, where, by):
    if fmt == "iptables":
        for tool in ("iptables-restore", "ip6tables-restore"):
            need(shutil.which(tool), f"NEED {tool} (Debian package iptables)")
    address = start_dns(house, where)
    device = house.dhcp(dns=address)
    house.start("laptop", sys.executable, "-m", "http.server", "8000", "--bind", place.LAPTOP)
    eventually("the laptop serves", lambda: house.connects("device", place.LAPTOP, 8000) == "connected")

    def asks_elsewhere():
        return house.dig("device", ANYBODYS_RESOLVER, "a1.tuyaus.com", code=None)

    # Without rules, DNS alone is not enough: this device asks whom it likes, and goes where it likes.
    assert asks_elsewhere() == [place.VENDOR]
    house.connects("device", place.FIXED_RESOLVER, place.FIXED_PORT)
    assert house.left() >= 2

    listed = [place.DEVICE_MAC] if by == "mac" else [device, place.DEVICE6]
    path = rules(house, fmt, address, listed)
    load(house, fmt, path)
    load(house, fmt, path)  # it replaces itself
    house.reset()
    house.capture()

    # Whomever it asks, Landfall answers, over UDP and TCP.
    for server in (ANYBODYS_RESOLVER, place.FIXED_RESOLVER, place.INTERNET, address):
        for transport in ("+notcp", "+tcp"):
            heard = house.dig("device", server, "a1.tuyaus.com", transport, code=None)
            assert heard == [address], f"{server} {transport}: {heard}"
    # Over IPv6 there is no Landfall in these rules: no answer, from nobody.
    for server in (place.INTERNET6, place.ROUTER6):
        assert house.dig("device", server, "a1.tuyaus.com", "+timeout=1", code=None) == []
    # The resolvers built into firmware, DNS over TLS, and all the rest: refused at once, so that it need not wait.
    for target, port in (
        (place.FIXED_RESOLVER, place.FIXED_PORT),
        (place.INTERNET, 853),
        (place.VENDOR, 443),
        (place.VENDOR, 8883),
        (place.INTERNET6, 853),
        (place.INTERNET6, 443),
    ):
        begun = time.monotonic()
        assert house.connects("device", target, port) in ("refused", "unreachable"), f"{target} {port}"
        assert time.monotonic() - begun < 2.5, f"{target} {port} is refused too slowly"
    assert house.left() == 0, house.shown()

    # The house and Landfall stay within reach.
    assert house.connects("device", place.LAPTOP, 8000) == "connected"
    assert house.connects("device", address, 53) == "connected"
    # Others are none of its business.
    assert house.dig("laptop", ANYBODYS_RESOLVER, "a1.tuyaus.com") == [place.VENDOR]
    assert house.left() > 0

    undo(house, fmt, path)
    assert asks_elsewhere() == [place.VENDOR]
    if fmt == "iptables":
        for tool in ("iptables", "ip6tables"):
            for table in ("filter", "nat"):
                assert "LANDFALL" not in house.inside("router", tool, "-t", table, "-S").stdout
    else:
        assert "landfall" not in house.inside("router", "nft", "list", "tables").stdout


@pytest.mark.parametrize("landfall", [["192.168.1.5"], ["fd00::5"], ["192.168.30.5", "fd00::5"]])
@pytest.mark.parametrize("port", ["53", "5353"])
@pytest.mark.parametrize(
    "devices",
    [["192.168.1.50"], ["d8:f1:5b:00:00:01"], ["192.168.1.50", "192.168.30.0/24", "fd00:30::/64", "D8-F1-5B-00-00-02"]],
)
def test_the_real_programs_take_all_kinds_of_rules(house, landfall, port, devices):
    need(shutil.which("iptables-restore"), "NEED iptables-restore (Debian package iptables)")

    def text(fmt):
        argv = [LANDFALL, "--data-dir", house.folder / "cli", "cloud", "firewall", "--format", fmt]
        for address in landfall:
            argv += ["--address", address]
        return run(*argv, "--dns-port", port, *devices).stdout

    house.inside("router", "nft", "-c", "-f", "-", text=text("nftables"))
    script = text("iptables")
    for tool in ("iptables", "ip6tables"):
        _, rules = script.split(f"{tool}-restore -w --noflush <<'LANDFALL'\n")
        rules, _ = rules.split("LANDFALL\n", 1)
        house.inside("router", f"{tool}-restore", "--test", "--noflush", text=rules)
    openwrt(house, text("openwrt"))


# Stands in for the two programs of OpenWrt that are not in Debian. What firewall4 does with the section is known from its own
# tests: `include "PATH"` after its table.
OPENWRT = """
uci() { cat > "$FOLDER/uci"; }
"""


def openwrt(house, script):
    """Runs the script for OpenWrt as far as this is no OpenWrt: its files go to a folder, the rules to the real nft."""
    folder = house.folder / "openwrt"
    (folder / "etc" / "init.d").mkdir(parents=True, exist_ok=True)
    reload = folder / "etc" / "init.d" / "firewall"
    reload.write_text(f'#!/bin/sh\necho "$1" > {folder}/reloaded\n')
    reload.chmod(0o755)
    moved = script.replace("/etc/", f"{folder}/etc/")
    head, body = moved.split("set -eu\n", 1)
    path = folder / "script"
    path.write_text(f"{head}set -eu\n{OPENWRT}{body}")
    for _ in range(2):
        house.inside("router", "env", f"FOLDER={folder}", "sh", path)
    settings = (folder / "uci").read_text().splitlines()
    rules = folder / "etc" / "landfall-devices.nft"
    assert settings == [
        "set firewall.landfall=include",
        "set firewall.landfall.type='nftables'",
        f"set firewall.landfall.path='{rules}'",
        "set firewall.landfall.position='ruleset-post'",
        "commit firewall",
    ]
    # Named once, however often the script ran.
    assert (folder / "etc" / "sysupgrade.conf").read_text().splitlines() == [str(rules)]
    assert (folder / "reloaded").read_text() == "reload\n"
    # As firewall4 would have it: after its own table, in one transaction.
    whole = f'table inet fw4\nflush table inet fw4\ntable inet fw4 {{\n}}\ninclude "{rules}"\n'
    house.inside("router", "nft", "-f", "-", text=whole)
    house.inside("router", "nft", "-f", "-", text=whole)
    assert "landfall_devices" in house.inside("router", "nft", "list", "tables").stdout
    # Each kind starts from nothing.
    house.inside("router", "nft", "delete", "table", "inet", "landfall_devices")
    os.remove(rules)


# Factory keys are invented for each run; a home's other keys follow from its seed.
def home_toml(folder, generations, address):
    lines = ["seed = 7", ""]
    for n, generation in enumerate(generations):
        version = {"A": "3.1", "B": "3.3", "C": "3.4"}[generation]
        lines += [
            "[[device]]",
            f'name = "Plug {generation}"',
            f'kind = "{"plug-old" if generation == "A" else "plug"}"',
            f'version = "{version}"',
            f'address = "{address}:{6668 + n}"',
            'load = "fridge"',
            f'cloud = {{ generation = "{generation}", activated = false, token = "abcd{n}234", region = "EU" }}',
            "",
        ]
    path = folder / "home.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("guarded", [False, True], ids=["open", "firewall"])
@pytest.mark.parametrize("where", ["router", "landfall"])
def test_virtual_devices_live_on_the_vendors_names_and_nothing_leaves(house, where, guarded):
    """Real ports, real names, the system's resolver as DHCP set it: pairing, activation and reports of three generations."""
    address = place.ROUTER if where == "router" else place.BESIDE
    data = house.folder / "cloud"
    ports = {"http": 80, "https": 443, "mqtt": 1883, "mqtts": 8883, "mqtt_psk": 8886, "dns": 53}
    servers = {server: f"{address}:{port}" for server, port in ports.items()}
    cloud = house.start(where, *cloud_argv(data, **servers))
    told = bound(cloud)
    assert {server: told[server] for server in servers} == servers
    house.inside(where, LANDFALL, "--data-dir", data, "cloud", "allow", "--for", "10m")
    house.capture()
    # With rules, DHCP may even name a resolver of the internet.
    device = house.dhcp(dns=ANYBODYS_RESOLVER if guarded else address)
    if guarded:
        load(house, "nftables", rules(house, "nftables", address, [device, place.DEVICE6]))
        house.reset()

    home = home_toml(house.folder, "ABC", device)
    house.start("device", LANDFALL, "--data-dir", house.folder / "sim", "simulate", "--home", home, "--no-discovery",
                "--cloud", "dns", "--json")
    activated, reported = set(), set()
    end = time.monotonic() + 90
    while len(reported) < 3 or len(activated) < 3:
        left = end - time.monotonic()
        assert left > 0, f"activated: {activated}, reported: {reported}; {cloud.stderr()}"
        heard = json.loads(cloud.line(seconds=left))
        if heard["event"] == "activation":
            activated.add(heard["device"])
        elif heard["event"] == "report" and heard["dps"]:
            assert heard["peer"].rpartition(":")[0] == device
            reported.add(heard["device"])
    assert len(activated) == 3 and reported == activated
    # What a program of such a device might try besides: a fixed resolver, and the vendor's real address.
    if guarded:
        assert house.connects("device", place.FIXED_RESOLVER, place.FIXED_PORT) in ("refused", "unreachable")
        assert house.connects("device", place.VENDOR, 8883) in ("refused", "unreachable")
    assert house.left() == 0, house.shown()
    if guarded and where == "landfall":
        return  # redirected questions reach Landfall under the router's address, as the rules' comment says
    def elsewhere():
        shown = house.inside(where, LANDFALL, "--data-dir", data, "cloud", "status", "--json").stdout
        devices = [d for d in json.loads(shown)["devices"] if d["id"] in reported]
        assert len(devices) == 3 and all(d["peer"] == device for d in devices)
        return [json.dumps(d["elsewhere"]) for d in devices]

    assert elsewhere() == ["[]"] * 3
    # Which device still asks for names that are not ours to answer, the status says.
    assert house.dig("device", address, "a1.tuyaafrica.com", code=None) == []
    assert all("a1.tuyaafrica.com" in names for names in elsewhere())
