"""Mosquitto's programs and the home on MQTT: `landfall run` on the broker in its process, and on an external Mosquitto.

The home is virtual devices, which `landfall run` reaches over the LAN line; what is set by MQTT is checked at the device."""

import json
import os
import random
import shutil
import socket
import string
import subprocess
import time

import pytest

from conftest import invent_device
from harness import DEADLINE, HERE, LANDFALL, NODE_MODULES, Agent, Home, Program, need

PATIENCE = 30  # seconds: starts on a loaded machine


def invent(length):
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=length))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def eventually(what, holds):
    until = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < until, what
        time.sleep(0.1)  # polling a real condition, up to the deadline above


class Mosquitto:
    """A broker's address and a user there, for mosquitto_pub and mosquitto_sub."""

    def __init__(self, port, user, password):
        self.port, self.user, self.password = port, user, password

    def _run(self, command, *arguments):
        need(shutil.which(command), f"NEED {command} (Debian package mosquitto-clients)")
        login = ["-h", "127.0.0.1", "-p", str(self.port), "-u", self.user, "-P", self.password]
        return subprocess.run([command, *login, *arguments], capture_output=True, text=True, timeout=PATIENCE)

    def say(self, topic, payload, *options):
        done = self._run("mosquitto_pub", "-q", "1", "-t", topic, "-m", payload, *options)
        assert done.returncode == 0, done.stderr

    def hear(self, filter, seconds=2):
        """Everything that comes within a while, retained messages first: topic to the last payload."""
        done = self._run("mosquitto_sub", "-v", "-F", "%t\t%r\t%p", "-t", filter, "-W", str(seconds))
        heard = {}
        for line in done.stdout.splitlines():
            topic, retained, payload = line.split("\t", 2)
            heard[topic] = (payload, retained == "1")
        return heard

    def kept(self, topic):
        """What is retained there; None when nothing is."""
        done = self._run("mosquitto_sub", "-t", topic, "--retained-only", "-C", "1", "-W", "2")
        return done.stdout.rstrip("\n") or None

    def ask(self, verb, request):
        """The answer to a request."""
        login = ["-h", "127.0.0.1", "-p", str(self.port), "-u", self.user, "-P", self.password]
        answer = Program(["mosquitto_sub", *login, "-t", f"landfall/bridge/response/{verb}", "-C", "1", "-W", str(PATIENCE)])
        try:
            until = time.monotonic() + PATIENCE
            while True:
                # It does not say when it has subscribed, so the question is asked until an answer comes.
                self.say(f"landfall/bridge/request/{verb}", json.dumps({**request, "transaction": 23}))
                try:
                    line = answer.line(1)
                except TimeoutError:
                    assert time.monotonic() < until, answer.stderr()
                    continue
                assert line is not None, "no answer"
                found = json.loads(line)
                assert found["transaction"] == 23
                return found
        finally:
            answer.stop()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A virtual plug."""
    home = Home(tmp_path_factory.mktemp("home"), [invent_device("3.4", kind="plug", name="living/plug")])
    yield home
    home.program.stop()


@pytest.fixture
def start_hub(started, tmp_path, home):
    """`landfall run` for that home; its cloud has MQTT on a free port."""

    def start(*settings, more=()):
        need(LANDFALL.exists(), "NEED cargo build -p landfall")
        shown = subprocess.run([LANDFALL, "run", "--help"], capture_output=True, text=True, timeout=PATIENCE)
        need(shown.returncode == 0, "NEED landfall run")
        book = [LANDFALL, "--data-dir", tmp_path / "data"]
        file = tmp_path / "devices.json"
        file.write_text(json.dumps([*home.written, *more]))
        run(*book, "device", "import", file)
        password = run(*book, "cloud", "user", "add", "ann").split()[-1]
        port = free_port()
        words = [f"cloud.{server}=off" for server in ("http", "https", "mqtts", "mqtt_psk", "dns")]
        words += [f"cloud.mqtt=127.0.0.1:{port}", "page.listen=127.0.0.1:0", "lan.discovery=false", *settings]
        hub = Program([*book, "run", *(w for word in words for w in ("--set", word))])
        started.append(hub)
        return hub, Mosquitto(port, "ann", password)

    return start


def published(mosquitto):
    """The retained topics, once the plug's state is among them."""

    def found():
        heard = mosquitto.hear("landfall/#")
        state = heard.get("landfall/living/plug")
        return heard if state and "switch_1" in state[0] else None

    return eventually("the plug's state", found)


def check_the_home(mosquitto, home):
    heard = published(mosquitto)
    # What comes anew while we listen comes without the flag, so what is kept is asked for by itself.
    assert isinstance(json.loads(mosquitto.kept("landfall/living/plug"))["switch_1"], bool)
    assert mosquitto.kept("landfall/living/plug/availability") == '{"state":"online"}'
    assert mosquitto.kept("landfall/bridge/state") == '{"state":"online"}'
    devices = json.loads(heard["landfall/bridge/devices"][0])
    assert [device["friendly_name"] for device in devices] == ["living/plug"]
    assert devices[0]["definition"]["exposes"]
    key = home.device("living/plug")["key"]
    assert not [topic for topic, (payload, _) in heard.items() if key in payload or json.dumps(key)[1:-1] in payload]

    for topic, payload, value in (
        ("set", '{"switch_1":false}', False),
        ("set/switch_1", "ON", True),
        ("dp/1/set", "false", False),
    ):
        mosquitto.say(f"landfall/living/plug/{topic}", payload)
        eventually(topic, lambda: json.loads(mosquitto.kept("landfall/living/plug") or "{}").get("switch_1") is value)
    assert mosquitto.kept("landfall/living/plug/dp/1/set") is None


def test_mosquittos_clients_see_and_switch_the_home(start_hub, home):
    hub, mosquitto = start_hub()
    check_the_home(mosquitto, home)
    # Commands reach nobody else, and only the hub says how the home is.
    assert mosquitto.ask("health_check", {})["status"] == "ok"
    mosquitto.say("landfall/living/plug", '{"switch_1":"forged"}', "-r")
    assert "forged" not in (mosquitto.kept("landfall/living/plug") or "")
    renamed = mosquitto.ask("device/rename", {"from": "living/plug", "to": "kitchen"})
    assert renamed["status"] == "ok", renamed
    eventually("the new name", lambda: mosquitto.kept("landfall/kitchen/availability"))
    assert mosquitto.kept("landfall/living/plug") is None
    assert mosquitto.kept("landfall/living/plug/availability") is None


@pytest.mark.parametrize("mqtt", (3, 4, 5))
def test_the_old_flow_by_crypto_js_reads_and_commands_beside_the_hub(start_hub, started, mqtt):
    """A Node-RED flow with the local key goes on as it did: `smart/device/out/ID` and `smart/device/in/ID`."""
    need(shutil.which("node"), "NEED node (Debian package nodejs)")
    need((NODE_MODULES / "crypto-js").exists(), "NEED interop/install: crypto-js and mqtt from npm")
    id, key = "bf" + invent(18), invent(16)
    hub, mosquitto = start_hub(more=[{"name": "old plug", "id": id, "key": key, "category": "cz"}])
    eventually("the broker", lambda: mosquitto._run("mosquitto_pub", "-t", "up", "-m", "x").returncode == 0)

    def node(mqtt, **identity):
        config = {"address": "127.0.0.1", "port": mosquitto.port, "keys": {id: key}, "mqtt": mqtt}
        agent = Agent(["node", HERE / "agents" / "seed_flow.js"], config | identity)
        started.append(agent)
        agent.event("connected", after=0)
        return agent

    flow = node(mqtt, user="ann", password=mosquitto.password, client_id=f"flow-{invent(6)}")
    flow.do("subscribe", filter="smart/device/out/+")
    assert flow.event("subscribed", after=0)["granted"] == [1]
    device = node(min(mqtt, 4), user=id, password=invent(16), client_id=id)
    device.do("subscribe", filter=f"smart/device/in/{id}")
    device.event("subscribed", after=0)

    state = lambda: json.loads(mosquitto.kept("landfall/old plug") or "{}")  # noqa: E731
    device.do("report", id=id, dps={"1": True, "4": 812, "5": 1870, "6": 2301})
    heard = flow.event("message", after=0)
    assert heard["topic"] == f"smart/device/out/{id}"
    assert heard["json"]["data"]["dps"] == {"1": True, "4": 812, "5": 1870, "6": 2301}
    # The hub has read the same.
    eventually("the state", lambda: state().get("switch_1") is True)
    assert state()["power"] == 187

    flow.do("set", id=id, dps={"1": False})
    command = device.wait(lambda m: m["event"] == "message" and m["json"]["protocol"] == 5, "a command", after=0)
    assert command["json"]["data"] == {"devId": id, "dps": {"1": False}}
    # What is asked for is not what is: only the device's word changes the state.
    assert state()["switch_1"] is True
    device.do("report", id=id, dps={"1": False})
    eventually("the device's word", lambda: state().get("switch_1") is False)


@pytest.fixture
def external(started, tmp_path):
    """A Mosquitto with two users."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    need(program and shutil.which("mosquitto_passwd"), "NEED mosquitto (Debian package mosquitto)")
    port = free_port()
    users = {"landfall": invent(16), "ann": invent(16)}
    passwords, settings = tmp_path / "passwords", tmp_path / "mosquitto.conf"
    passwords.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=20)
    me = f"user {os.environ.get('USER') or 'root'}\n" if os.geteuid() == 0 else ""
    settings.write_text(f"{me}listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n")
    started.append(Program([program, "-c", settings]))
    secret = tmp_path / "broker-password"
    secret.write_text(users["landfall"] + "\n")
    secret.chmod(0o600)
    options = ["mqtt.broker=external", "mqtt.host=127.0.0.1", f"mqtt.port={port}"]
    options += ["mqtt.user=landfall", f"mqtt.password_file={secret}"]
    return options, Mosquitto(port, "ann", users["ann"])


def test_an_external_mosquitto_gets_the_home(start_hub, home, external, started):
    options, mosquitto = external
    # Somebody left a command behind: it is never done.
    eventually("the broker", lambda: mosquitto._run("mosquitto_pub", "-t", "up", "-m", "x").returncode == 0)
    mosquitto.say("landfall/living/plug/set", '{"switch_1":"toggle"}', "-r")
    hub, _ = start_hub(*options)
    check_the_home(mosquitto, home)
    # Killed: the broker publishes the last will.
    hub.process.kill()
    hub.process.wait(timeout=PATIENCE)
    eventually("the will", lambda: mosquitto.kept("landfall/bridge/state") == '{"state":"offline"}')
