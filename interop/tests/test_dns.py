"""DNS of `landfall cloud`, asked by Debian's dig; and the same names as configuration that dnsmasq and unbound take."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import tomllib

import pytest

from harness import ROOT, LANDFALL, Program, free_address, need
from house import bound, cloud_argv, eventually, run

TABLE = tomllib.loads((ROOT / "crates" / "cloud" / "data" / "names.toml").read_text())
ZONES = [zone["name"] for zone in TABLE["zone"]]
ELSEWHERE = "198.51.100.66"
ELSEWHERE6 = "2001:db8::66"
# Addresses that are told in configurations: no device could use loopback.
LANDFALL4 = "192.168.77.5"
LANDFALL6 = "fd77::5"


@pytest.fixture
def cloud(started, tmp_path):
    """Starts `landfall cloud` with nothing but DNS; returns its address and port."""

    def start(*arguments):
        need(shutil.which("dig"), "NEED dig (Debian package bind9-dnsutils)")
        address = free_address(port=0)
        program = Program(cloud_argv(tmp_path / "data", *arguments, dns=f"{address}:0"))
        started.append(program)
        told = bound(program)
        at, port = re.fullmatch(r"(.+):(\d+)", told["dns"]).groups()
        assert at == address
        return at, int(port)

    return start


def dig(server, name, rtype="A", *options):
    """Status, flags, answers as (type, data) and the whole text."""
    at, port = server
    done = run("dig", f"@{at}", "-p", port, name, rtype, "+tries=1", "+timeout=5", *options, code=None)
    text = done.stdout
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r";; flags: ([a-z ]*);", text)
    answers = []
    if section := re.search(r";; ANSWER SECTION:\n(.*?)\n\n", text, re.S):
        answers = [tuple(line.split(None, 4)[3:]) for line in section[1].splitlines()]
    return {
        "status": status and status[1],
        "flags": flags[1].split() if flags else [],
        "answers": answers,
        "text": text + done.stderr,
    }


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("name", ["a1.tuyaus.com", "H3-WE.iot-dns.com", "never.seen.before.tuyaeu.com", "wgine.com"])
def test_vendor_names_are_answered_with_the_address_that_was_asked(cloud, transport, name):
    server = cloud()
    heard = dig(server, name, "A", transport)
    assert heard["status"] == "NOERROR", heard["text"]
    assert heard["answers"] == [("A", server[0])]
    assert {"qr", "aa", "rd", "ra"} <= set(heard["flags"]) and "tc" not in heard["flags"]
    ttl = int(re.search(rf"{re.escape(name)}\.\s+(\d+)\s+IN\s+A", heard["text"])[1])
    assert 0 < ttl <= 300
    for rtype in ("AAAA", "HTTPS", "SVCB", "MX", "TXT"):
        empty = dig(server, name, rtype, transport)
        assert (empty["status"], empty["answers"]) == ("NOERROR", []), empty["text"]
        assert "SOA" in empty["text"], "resolvers in between keep a nothing only with this"
    assert dig(server, name, "ANY", transport)["answers"] == [("A", server[0])]


def test_every_known_name_is_answered(cloud):
    server = cloud()
    names = []
    for host in TABLE["host"]:
        for name in host["names"]:
            fill = {"{R}": TABLE["regions"], "{E}": TABLE["environments"]}
            mark = next((m for m in fill if m in name), None)
            names += [name.replace(mark, f) for f in fill[mark]] if mark else [name]
    at, port = server
    asked = [part for name in names for part in (name, "A")]
    done = run("dig", f"@{at}", "-p", port, "+short", "+tries=1", "+timeout=5", *asked)
    assert done.stdout.split() == [at] * len(names)


def test_the_address_that_devices_are_told_can_be_set(cloud):
    server = cloud("--advertise", "127.44.0.1")
    assert dig(server, "a1.tuyaus.com")["answers"] == [("A", "127.44.0.1")]


def test_other_names_are_refused(cloud):
    server = cloud()
    for name in ("example.com", "tuya.com", "tuyaus.com.example", "nottuyaus.com", "."):
        heard = dig(server, name)
        assert (heard["status"], heard["answers"]) == ("REFUSED", []), heard["text"]


def test_edns_cookies_and_odd_questions(cloud):
    server = cloud()
    plain = dig(server, "a1.tuyaus.com", "A", "+noedns")
    assert plain["answers"] and "OPT PSEUDOSECTION" not in plain["text"]
    large = dig(server, "a1.tuyaus.com", "A", "+bufsize=4096", "+dnssec", "+cookie")
    assert large["answers"] and "udp: 1232" in large["text"], large["text"]
    assert dig(server, "a1.tuyaus.com", "A", "+edns=1", "+noednsnegotiation")["status"] == "BADVERS"
    assert dig(server, "a1.tuyaus.com", "A", "+opcode=status")["status"] == "NOTIMP"
    assert dig(server, "version.bind", "TXT", "-c", "CH")["status"] == "REFUSED"
    assert dig(server, "a1.tuyaus.com", "A", "+header-only")["status"] == "FORMERR"


def test_who_is_no_client_is_refused_and_not_often(cloud):
    server = cloud("--dns-clients", "10.0.0.0/8")
    heard = dig(server, "a1.tuyaus.com")
    assert (heard["status"], heard["answers"]) == ("REFUSED", [])
    # Beyond a few a second there is no answer at all: its owner may not be the one who asked.
    assert any(dig(server, "a1.tuyaus.com", "A", "+timeout=1")["status"] is None for _ in range(10))


def test_a_flood_is_not_answered_in_full(cloud):
    server = cloud()
    question = bytes.fromhex("000101000001000000000000") + b"\x02a1\x06tuyaus\x03com\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        flood.connect(server)
        sent = 6_000
        for n in range(sent):
            flood.send(n.to_bytes(2) + question[2:])
        flood.settimeout(0.5)
        heard = 0
        try:
            while flood.recv(512):
                heard += 1
        except TimeoutError:
            pass
    # A burst of 1,000, and 200 a second while this takes; the system itself may lose some of what was sent.
    assert 200 <= heard < sent // 2, heard


# -- other DNS servers ------------------------------------------------------------------------------------------------


@pytest.fixture
def upstream(started, tmp_path):
    """An internet: dnsmasq that knows everything, and writes down what it is asked."""
    need(shutil.which("dnsmasq"), "NEED dnsmasq (Debian package dnsmasq-base)")
    address, port = free_address(port=0), random.randrange(20_000, 60_000)
    log = tmp_path / "upstream.log"
    argv = dnsmasq_argv(address, port) + [f"--address=/#/{ELSEWHERE}", f"--address=/#/{ELSEWHERE6}",
                                          "--txt-record=long.example," + ",".join(["x" * 200] * 12),
                                          "--edns-packet-max=1232", "--log-queries=extra", f"--log-facility={log}"]
    program = Program(argv)
    started.append(program)
    eventually("the upstream answers", lambda: dig((address, port), "ready.example")["answers"] == [("A", ELSEWHERE)])
    asked = lambda: [m[1] for m in re.finditer(r"query\[\w+\] (\S+)", log.read_text()) if m[1] != "ready.example"]
    return address, port, asked


def dnsmasq_argv(address, port, *options):
    return ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--pid-file=", f"--user={os.environ.get('USER', 'root')}",
            f"--listen-address={address}", "--bind-interfaces", f"--port={port}", *options]


def test_other_names_are_forwarded_where_this_is_asked_for(cloud, upstream):
    address, port, asked = upstream
    server = cloud("--dns-forward", f"{address}:{port}")
    for transport in ("+notcp", "+tcp"):
        assert dig(server, "Example.COM", "A", transport)["answers"] == [("A", ELSEWHERE)]
        assert dig(server, "example.com", "AAAA", transport)["answers"] == [("AAAA", ELSEWHERE6)]
    # Too long for UDP: dig is told so and asks again over TCP.
    long = dig(server, "long.example", "TXT", "+noedns")
    assert "Truncated, retrying in TCP mode" in long["text"] and len(long["answers"]) == 1, long["text"]
    for rtype in ("A", "AAAA", "HTTPS"):
        dig(server, "a1.tuyaus.com", rtype)
    assert {name.lower() for name in asked()} == {"example.com", "long.example"}


def test_a_forwarder_that_is_gone_is_an_error_at_once(cloud):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        server = cloud("--dns-forward", f"127.0.0.1:{gone.getsockname()[1]}")
    assert dig(server, "example.com")["status"] == "SERVFAIL"


def exported(fmt, address, folder):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    done = run(LANDFALL, "--data-dir", folder / "data", "cloud", "dns", "--format", fmt, "--address", address)
    path = folder / f"{fmt}.conf"
    path.write_text(done.stdout)
    return path


@pytest.fixture
def foreign_server(started, tmp_path, upstream):
    """A DNS server with our configuration in it, which asks `upstream` for all it does not know."""
    up_address, up_port, asked = upstream
    address, port = free_address(port=0), random.randrange(20_000, 60_000)

    def start(fmt, told):
        config = exported(fmt, told, tmp_path)
        if fmt == "unbound":
            need(shutil.which("unbound"), "NEED unbound (Debian package unbound)")
            run("unbound-checkconf", config)
            whole = tmp_path / "whole.conf"
            whole.write_text(
                f'include: "{config}"\nserver:\n interface: {address}\n port: {port}\n do-daemonize: no\n chroot: ""\n'
                f' username: ""\n pidfile: ""\n directory: "{tmp_path}"\n use-syslog: no\n do-not-query-localhost: no\n'
                f' access-control: 127.0.0.0/8 allow\n module-config: "iterator"\n'
                f'forward-zone:\n name: "."\n forward-addr: {up_address}@{up_port}\n'
            )
            run("unbound-checkconf", whole)
            argv = ["unbound", "-d", "-p", "-c", whole]
        elif fmt == "hosts":
            argv = dnsmasq_argv(address, port, f"--server={up_address}#{up_port}", f"--addn-hosts={config}")
        else:
            run("dnsmasq", "--test", "-C", config)
            argv = dnsmasq_argv(address, port, f"--server={up_address}#{up_port}", "-C", config)
        started.append(Program(argv))
        server = (address, port)
        eventually(f"{fmt} answers", lambda: dig(server, "example.com")["answers"] == [("A", ELSEWHERE)])
        return server, asked

    return start


@pytest.mark.parametrize("fmt", ["dnsmasq", "pihole", "unbound"])
@pytest.mark.parametrize("told,rtype,other", [(LANDFALL4, "A", "AAAA"), (LANDFALL6, "AAAA", "A")])
def test_other_servers_answer_whole_zones_and_ask_nobody(foreign_server, fmt, told, rtype, other):
    server, asked = foreign_server(fmt, told)
    for zone in ZONES:
        for name in (zone, f"a1.{zone}", f"never.seen.{zone}"):
            heard = dig(server, name, rtype)
            assert heard["answers"] == [(rtype, told)], f"{name}: {heard['text']}"
            for nothing in (other, "HTTPS"):
                heard = dig(server, name, nothing)
                assert (heard["status"], heard["answers"]) == ("NOERROR", []), f"{name} {nothing}: {heard['text']}"
    assert set(asked()) == {"example.com"}, "names of the vendor went to the internet"


def test_a_hosts_file_gives_the_known_names(foreign_server):
    server, _ = foreign_server("hosts", LANDFALL4)
    for name in ("a1.tuyaus.com", "mq.gw.tuyaeu.com", "h3.iot-dns.com"):
        assert dig(server, name)["answers"] == [("A", LANDFALL4)]
    # It has no wildcards, as its comment says.
    assert dig(server, "never.seen.tuyaus.com")["answers"] == [("A", ELSEWHERE)]


def test_adguard_rules_have_the_documented_form(tmp_path):
    """AdGuard Home is in no registry; the form is that of its documentation: ||domain^$dnsrewrite=RCODE;RRTYPE;VALUE."""
    for told, rtype in ((LANDFALL4, "A"), (LANDFALL6, "AAAA")):
        lines = exported("adguard", told, tmp_path).read_text().splitlines()
        rules = [line for line in lines if not line.startswith("!")]
        assert rules == [f"||{zone}^$dnsrewrite=NOERROR;{rtype};{told}" for zone in ZONES]


@pytest.mark.parametrize("told", ["127.0.0.1", "0.0.0.0", "ff02::1"])
def test_an_address_that_devices_cannot_reach_is_not_exported(tmp_path, told):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    argv = [LANDFALL, "--data-dir", tmp_path / "data", "cloud", "dns", "--format", "dnsmasq", "--address", told]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and told in done.stderr and done.stdout == ""
