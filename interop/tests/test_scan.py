"""Discovery, in network namespaces of the test's own: beacons, questions and answers between ours and other people's."""

import json
import os
import shutil

import pytest

from conftest import invent_device
from harness import HERE, LANDFALL, Agent, Home, Network, Program, client_argv, need

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
# Virtual devices announce themselves every 5 s, as hardware does.
SECONDS = 7


@pytest.fixture
def network():
    need(shutil.which("ip"), "NEED ip (Debian package iproute2)")
    network = Network(len(VERSIONS))
    yield network
    network.close()


@pytest.fixture
def devices(network):
    """One device of each version, each with an address of its own in the devices' namespace."""
    return [invent_device(version, address=address) for version, address in zip(VERSIONS, network.addresses)]


@pytest.fixture
def foreign_beacons(network, devices, started):
    def start(**extra):
        argv = [client_argv("tinytuya")[0], HERE / "agents" / "beacons.py"]
        sent = [{k: d[k] for k in ("id", "address", "version")} | extra.get(d["version"], {}) for d in devices]
        agent = Agent(network.inside(network.devices, argv), {"broadcast": network.broadcast, "devices": sent})
        started.append(agent)
        agent.event("listening", after=0)
        return agent

    return start


def foreign_scan(network, started, program, device):
    """Starts one of the foreign scanners among the people."""
    if program == "tinytuya":
        argv = [client_argv("tinytuya")[0], HERE / "agents" / "tinytuya_scan.py"]
        config = {"seconds": SECONDS}
    elif program == "tuyapi":
        argv = client_argv("tuyapi")
        config = {"id": device["id"], "key": device["key"], "version": device["version"], "find": SECONDS}
    else:
        argv = client_argv("rustuya")
        config = {"scan": SECONDS}
    agent = Agent(network.inside(network.people, argv), config)
    started.append(agent)
    agent.event("scanning", after=0)
    return agent


def heard(agent, device):
    found = agent.event("found", seconds=SECONDS + 15, after=0)["devices"]
    assert device["id"] in found, f"{device['version']} is not among {found}"
    assert found[device["id"]]["ip"] == device["address"]
    assert found[device["id"]]["version"] == device["version"]


@pytest.mark.parametrize("program", ["tinytuya", "rustuya"])
def test_foreign_scanner_hears_foreign_beacons(network, devices, foreign_beacons, started, program):
    beacons = foreign_beacons(**{"3.5": {"silent": True}})
    scanner = foreign_scan(network, started, program, None)
    for device in devices:
        heard(scanner, device)
    beacons.event("asked", after=0)


def landfall_scan(network, started, folder):
    """Starts `landfall scan --json` among the people, with no book."""
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    argv = [LANDFALL, "--data-dir", folder / "data", "scan", "--seconds", SECONDS, "--json"]
    scan = Program(network.inside(network.people, argv), env={**os.environ, "NO_COLOR": "1"})
    started.append(scan)
    return scan


def findings(scan):
    """What a scan printed, by device id, once it has ended."""
    text = ""
    while (line := scan.line(seconds=SECONDS + 15)) is not None:
        text += line + "\n"
    assert scan.process.wait(timeout=5) == 0, scan.stderr()
    return {found["id"]: found for found in json.loads(text)["devices"]}


@pytest.fixture
def home(network, devices, tmp_path):
    """The same devices as virtual devices of Landfall, announcing themselves in the devices' namespace."""
    kinds = {"3.1": "plug-old", "3.2": "switch22"}
    for device in devices:
        device["kind"] = kinds.get(device["version"], "plug")
    home = Home(tmp_path, devices, inside=lambda argv: network.inside(network.devices, argv))
    yield home
    home.program.stop()


@pytest.mark.parametrize("program", ["tinytuya", "rustuya"])
def test_foreign_scanner_hears_our_virtual_devices(network, devices, home, started, program):
    scanner = foreign_scan(network, started, program, None)
    for device in devices:
        heard(scanner, device)


@pytest.mark.parametrize("version", ["3.1", "3.2", "3.3", "3.4"])
def test_tuyapi_finds_our_virtual_device(network, devices, home, started, version):
    device = next(d for d in devices if d["version"] == version)
    heard(foreign_scan(network, started, "tuyapi", device), device)


def test_landfall_scan_hears_foreign_beacons_and_answers(network, devices, foreign_beacons, started, tmp_path):
    beacons = foreign_beacons(**{"3.5": {"silent": True}})
    found = findings(landfall_scan(network, started, tmp_path))
    for device in devices:
        assert found[device["id"]]["version"] == device["version"]
        assert found[device["id"]]["address"] == device["address"]
    asked = beacons.event("asked", after=0)
    assert (asked["good"], asked["question"]) == (True, {"from": "app", "ip": "10.77.0.2"})


def test_scanners_share_the_ports(network, devices, foreign_beacons, started, tmp_path):
    foreign_beacons()
    scanner = foreign_scan(network, started, "tinytuya", None)
    found = findings(landfall_scan(network, started, tmp_path))
    for device in devices:
        heard(scanner, device)
        assert device["id"] in found
