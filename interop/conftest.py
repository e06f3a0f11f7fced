"""Fixtures of the interop suite."""

import json
import os
import random
import string
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Agent, Landfall, TCP_PORT, client_argv, device_argv, devices_json, fail_if_misused, free_address  # noqa: E402

# Keys may hold any printable ASCII since 2023; these are the ones that break tools.
KEY_CHARACTERS = string.ascii_letters + string.digits + "$'\"<>&;:=@#%^*()[]{}|~`!?.,/\\+-_ "


def pytest_addoption(parser):
    parser.addoption("--screenshots", action="store_true", help="the page's scenarios write the pictures of docs/images")
    parser.addoption("--variant", action="append", help='the page at this size and scheme only: "phone dark" (may be repeated)')


def pytest_configure(config):
    fail_if_misused()
    config.interop_seed = int(os.environ.get("LANDFALL_INTEROP_SEED") or random.SystemRandom().randrange(2**32))
    random.seed(config.interop_seed)


def pytest_report_header(config):
    return f"interop: LANDFALL_INTEROP_SEED={config.interop_seed} repeats the invented ids, keys and addresses"


def invent_device(version, **extra):
    """An identity nobody has: 22 characters, a key with awkward characters, a free loopback address."""
    letters = string.ascii_lowercase + string.digits
    return {
        "name": f"interop {version}",
        "id": "bf" + "".join(random.choices(letters, k=20)),
        "key": "".join(random.choices(KEY_CHARACTERS.strip(), k=16)),
        "address": free_address(),
        "port": TCP_PORT,
        "version": version,
        **extra,
    }


@pytest.fixture
def started():
    """Programs of this test; ended when it is over, each by its own id."""
    programs = []
    yield programs
    died = [p for p in programs if isinstance(p, Agent) and p.process.poll() not in (None, 0)]
    for program in reversed(programs):
        program.stop()
    for program in died:
        pytest.fail(f"{program.argv[1:]} died with {program.process.returncode}: {program.tail()}")


@pytest.fixture
def start_client(started):
    def start(name, config, **extra):
        wanted = ("id", "key", "address", "port", "version", "cid")
        agent = Agent(client_argv(name), {k: config[k] for k in wanted if k in config} | extra)
        started.append(agent)
        agent.event("connected", after=0)
        return agent

    return start


@pytest.fixture
def start_device(started):
    def start(name, version, dps):
        config = invent_device(version, dps=dps)
        agent = Agent(device_argv(name), config)
        started.append(agent)
        agent.event("listening", after=0)
        agent.config = config
        return agent

    return start


@pytest.fixture
def landfall_for(tmp_path):
    """`landfall` with a devices file for these devices."""

    def build(*configs):
        path = tmp_path / "devices.json"
        devices_json(path, configs)
        return Landfall(path, tmp_path / "data")

    return build


def read_json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]
