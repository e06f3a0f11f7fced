"""Discovery, in network namespaces of the test's own: beacons, questions and answers between ours and other people's."""

import shutil

import pytest

from conftest import invent_device
from harness import HERE, Agent, Network, client_argv, need

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
SECONDS = 3


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
