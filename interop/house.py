"""A house in network namespaces: `internet`, `router`, `landfall`, `device` and `laptop`, all of the test's own.

    internet --wan-- router --lan (bridge)-- device
                                    |------- laptop
                                    '------- landfall   (a machine of its own; or Landfall runs on the router)

The internet answers on every address: DNS says "the vendor is at 198.51.100.66", and each packet that arrives is counted.
"""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

from harness import HERE, LANDFALL, Program, need

ROUTER = "192.168.77.1"
ROUTER6 = "fd77::1"
BESIDE = "192.168.77.5"
BESIDE6 = "fd77::5"
LAPTOP = "192.168.77.40"
LAPTOP6 = "fd77::40"
DEVICE6 = "fd77::50"
DEVICE_MAC = "d8:f1:5b:00:00:50"
WAN = "203.0.113.2"
INTERNET = "203.0.113.1"
INTERNET6 = "2001:db8::1"
VENDOR = "198.51.100.66"
# A resolver that is built into firmware (cloud.md 1.1).
FIXED_RESOLVER = "47.110.145.119"
FIXED_PORT = 20443

# What reaches the internet and was not sent by the internet's own kernel: everything but neighbour discovery.
COUNT = """
table inet watch {
    counter left {
    }
    chain prerouting {
        type filter hook prerouting priority raw; policy accept;
        iifname != "wan" accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, mld2-listener-report } accept
        counter name left
    }
}
"""


def run(*arguments, code=0, seconds=20, text=None):
    """Runs a program to its end."""
    done = subprocess.run(
        [str(a) for a in arguments], input=text, capture_output=True, text=True, timeout=seconds
    )
    if code is not None:
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done


def eventually(what, holds, seconds=10):
    """Waits until something holds, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)  # polling a real condition, up to the deadline above


class House:
    """The namespaces, and the programs in them that are no part of a test."""

    def __init__(self, folder):
        need(os.geteuid() == 0, "NEED root (network namespaces)")
        for command, package in (
            ("ip", "iproute2"),
            ("nft", "nftables"),
            ("dnsmasq", "dnsmasq-base"),
            ("udhcpc", "udhcpc"),
            ("dig", "bind9-dnsutils"),
        ):
            need(shutil.which(command), f"NEED {command} (Debian package {package})")
        self.folder = folder
        tag = f"{os.getpid()}-{random.randrange(10_000)}"
        self.names = {n: f"landfall-{n}-{tag}" for n in ("internet", "router", "landfall", "device", "laptop")}
        self.made = []
        self.programs = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        for name in self.names.values():
            run("ip", "netns", "add", name)
            self.made.append(name)
            # `ip netns exec` puts these over those in /etc.
            etc = Path("/etc/netns") / name
            etc.mkdir(parents=True)
            (etc / "resolv.conf").write_text("")
            run("ip", "-n", name, "link", "set", "lo", "up")
        self.cable("router", "wan", "internet", "wan")
        for name in ("device", "laptop", "landfall"):
            self.cable("router", f"to-{name}", name, "eth0")
        self.ip("router", "link", "add", "lan", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        for name in ("device", "laptop", "landfall"):
            self.ip("router", "link", "set", f"to-{name}", "master", "lan")
        self.ip("device", "link", "set", "eth0", "address", DEVICE_MAC)
        for name, link, addresses in (
            ("router", "lan", (f"{ROUTER}/24", f"{ROUTER6}/64")),
            ("router", "wan", (f"{WAN}/24", "2001:db8::2/64")),
            ("internet", "wan", (f"{INTERNET}/24", f"{INTERNET6}/64")),
            ("landfall", "eth0", (f"{BESIDE}/24", f"{BESIDE6}/64")),
            ("laptop", "eth0", (f"{LAPTOP}/24", f"{LAPTOP6}/64")),
            ("device", "eth0", (f"{DEVICE6}/64",)),
        ):
            for address in addresses:
                extra = ("nodad",) if ":" in address else ()
                self.ip(name, "addr", "add", address, "dev", link, *extra)
            self.ip(name, "link", "set", link, "up")
        for knob in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            self.inside("router", "sysctl", "-qw", knob)
        self.ip("router", "route", "add", "default", "via", INTERNET)
        self.ip("router", "-6", "route", "add", "default", "via", INTERNET6)
        for name in ("landfall", "laptop"):
            self.ip(name, "route", "add", "default", "via", ROUTER)
        for name in ("landfall", "laptop", "device"):
            self.ip(name, "-6", "route", "add", "default", "via", ROUTER6)
        # The whole internet is here.
        for family in ("-4", "-6"):
            self.ip("internet", family, "route", "add", "local", "default", "dev", "lo", "table", "main")
        self.ip("internet", "-6", "route", "add", "fd77::/64", "via", "2001:db8::2")
        self.inside("internet", "nft", "-f", "-", text=COUNT)
        masquerade = 'table ip wan {\nchain post {\ntype nat hook postrouting priority srcnat; oifname "wan" masquerade\n}\n}\n'
        self.inside("router", "nft", "-f", "-", text=masquerade)
        self.start("internet", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                   "--pid-file=", "--user=root", f"--address=/#/{VENDOR}", "--address=/#/2001:db8::66")
        # Refused until it listens.
        asks = lambda: self.dig("internet", INTERNET, "example.com", code=None)  # noqa: E731
        eventually("the internet's DNS answers", lambda: asks() == [VENDOR])
        self.reset()

    def cable(self, one, one_link, other, other_link):
        self.ip(one, "link", "add", one_link, "type", "veth", "peer", "name", other_link, "netns", self.names[other])
        self.ip(one, "link", "set", one_link, "up")

    def ip(self, name, *arguments):
        return run("ip", "-n", self.names[name], *arguments)

    def argv(self, name, *arguments):
        """The command line that runs a program in a namespace; it replaces itself, so its process id is the program's."""
        return ["ip", "netns", "exec", self.names[name], *map(str, arguments)]

    def inside(self, name, *arguments, **options):
        return run(*self.argv(name, *arguments), **options)

    def start(self, name, *arguments):
        program = Program(self.argv(name, *arguments), env={**os.environ, "NO_COLOR": "1"})
        self.programs.append(program)
        return program

    def dig(self, name, server, asked, *options, code=0):
        """The answers' data; [] where there is none."""
        done = self.inside(
            name, "dig", "+short", "+tries=1", "+timeout=3", f"@{server}", asked, *options, code=code
        )
        return [line for line in done.stdout.splitlines() if not line.startswith(";")]

    def reset(self):
        """Counts from here."""
        self.inside("internet", "nft", "reset", "counter", "inet", "watch", "left")

    def left(self):
        """Packets that reached the internet since."""
        done = self.inside("internet", "nft", "-j", "list", "counter", "inet", "watch", "left")
        return next(item["counter"]["packets"] for item in json.loads(done.stdout)["nftables"] if "counter" in item)

    def capture(self):
        """Starts to write down what reaches the internet, for the message of a test that fails."""
        if shutil.which("tcpdump"):
            self.captured = self.folder / "left.txt"
            self.start("internet", "sh", "-c", f"exec tcpdump -lni wan -c 200 'ip or (ip6 and not icmp6)' > {self.captured}")

    def shown(self):
        captured = getattr(self, "captured", None)
        return captured.read_text()[-2000:] if captured and captured.exists() else ""

    def dhcp(self, dns):
        """Serves addresses on the router, with this DNS server, and lets the device take one. Returns it."""
        leases = self.folder / "leases"
        self.start("router", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root",
                   "--pid-file=", "--interface=lan", "--bind-interfaces", f"--dhcp-leasefile={leases}",
                   "--dhcp-range=192.168.77.50,192.168.77.50,1h", f"--dhcp-option=option:dns-server,{dns}")
        self.inside("device", "udhcpc", "-n", "-q", "-f", "-i", "eth0", "-t", "20", "-T", "1",
                    "-s", HERE / "agents" / "dhcp.sh", seconds=30)
        shown = json.loads(self.inside("device", "ip", "-j", "-4", "addr", "show", "dev", "eth0").stdout)
        return shown[0]["addr_info"][0]["local"]

    def connects(self, name, address, port, seconds=3):
        """What becomes of a TCP connection: `connected`, `refused`, `unreachable` or `silence`."""
        script = (
            "import socket,sys\n"
            "try:\n"
            "    socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))\n"
            "    print('connected')\n"
            "except ConnectionRefusedError: print('refused')\n"
            "except TimeoutError: print('silence')\n"
            "except OSError: print('unreachable')\n"
        )
        done = self.inside(name, "/usr/bin/env", "python3", "-c", script, address, port, seconds)
        return done.stdout.strip()

    def close(self):
        for program in reversed(self.programs):
            program.stop()
        self.programs = []
        for name in self.made:
            run("ip", "netns", "delete", name)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)
        self.made = []


def cloud_argv(folder, *arguments, **listeners):
    """`landfall cloud` with all servers off but those that are named: `dns="127.0.0.1:0"`."""
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    argv = [LANDFALL, "--data-dir", folder, "cloud", "--json"]
    for server in ("http", "https", "mqtt", "mqtts", "mqtt_psk", "dns"):
        argv += [f"--{server.replace('_', '-')}", listeners.get(server, "off")]
    return [*argv, *arguments]


def bound(program):
    """The first line of `landfall cloud --json`: the addresses that are listened on."""
    line = program.line()
    assert line is not None, f"landfall cloud ended at once; {program.stderr()}"
    return json.loads(line)
