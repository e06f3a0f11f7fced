"""Other people's MQTT programs at the cloud's port: mosquitto_pub and mosquitto_sub, paho, Node.js with crypto-js, and an
external Mosquitto. As people they meet a broker, as devices a session that keeps to one device and never says CONNACK 5."""

import json
import os
import random
import shutil
import socket
import string
import subprocess
import threading
import time

import pytest

from harness import DEADLINE, HERE, LANDFALL, NODE_MODULES, Agent, Program, need

paho = pytest.importorskip("paho.mqtt.client", reason="skipped: NEED interop/install: paho-mqtt from PyPI")

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")
PAHO = {"mqttv31": paho.MQTTv31, "mqttv311": paho.MQTTv311, "mqttv5": paho.MQTTv5}


def invent(length):
    return "".join(random.choices(string.ascii_lowercase + string.digits, k=length))


class Cloud(Agent):
    """`landfall cloud --json`: its events, which nothing needs to be said to."""

    def __init__(self, argv):
        Program.__init__(self, argv, env={**os.environ, "NO_COLOR": "1"})
        self.heard = []


def run(argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def start_cloud(started, tmp_path):
    """A cloud with two adopted devices and one person."""

    def start(*options):
        devices = {"bf" + invent(18): invent(16) for _ in range(2)}
        file = tmp_path / "devices.json"
        file.write_text(json.dumps([{"name": id, "id": id, "key": key} for id, key in devices.items()]))
        need(LANDFALL.exists(), "NEED cargo build -p landfall")
        # In the book, where the cloud writes down what it learns of them.
        book = [LANDFALL, "--data-dir", tmp_path / "data"]
        run([*book, "device", "import", file])
        password = run([*book, "cloud", "user", "add", "ann"]).split()[-1]
        off = [word for server in ("http", "https", "mqtts", "mqtt-psk", "dns") for word in (f"--{server}", "off")]
        agent = Cloud([*book, "cloud", "--json", *off, "--mqtt", "127.0.0.1:0", *options])
        started.append(agent)
        agent.port = int(agent.event("listening", after=0)["mqtt"].rsplit(":", 1)[1])
        agent.password, agent.keys, agent.ids = password, devices, list(devices)
        # Adopted ones have no key for MQTT that we know: the first password is theirs from then on.
        agent.device_password = invent(16)
        return agent

    return start


@pytest.fixture
def cloud(start_cloud):
    return start_cloud()


@pytest.fixture
def start_node(started):
    def start(cloud, role, **config):
        need(shutil.which("node"), "NEED node (Debian package nodejs)")
        need((NODE_MODULES / "crypto-js").exists(), "NEED interop/install: crypto-js and mqtt from npm")
        identity = {"user": "ann", "password": cloud.password, "client_id": f"flow-{invent(6)}"}
        if role == "device":
            id = cloud.ids[0]
            identity = {"user": id, "password": cloud.device_password, "client_id": id}
        defaults = {"address": "127.0.0.1", "port": cloud.port, "keys": cloud.keys}
        agent = Agent(["node", HERE / "agents" / "seed_flow.js"], defaults | identity | config)
        started.append(agent)
        return agent

    return start


def mosquitto(command, cloud, *arguments, version="mqttv311", user="ann", password=None, seconds=20):
    need(shutil.which(command), f"NEED {command} (Debian package mosquitto-clients)")
    login = ["-u", user, "-P", password or cloud.password] if user else []
    argv = [command, "-h", "127.0.0.1", "-p", str(cloud.port), "-V", version, *login, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds)


@pytest.mark.parametrize("version", VERSIONS)
def test_mosquittos_clients_find_a_broker(cloud, version):
    sent = mosquitto("mosquitto_pub", cloud, "-t", "home/lamp", "-m", "on", "-q", "1", "-r", version=version)
    assert sent.returncode == 0, sent.stderr
    heard = mosquitto("mosquitto_sub", cloud, "-t", "home/+", "-v", "-C", "1", "-W", "10", "-q", "2", version=version)
    assert (heard.returncode, heard.stdout) == (0, "home/lamp on\n"), heard.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_passwords_and_strangers_are_told_so(cloud, version):
    for user, password in (("ann", "not hers"), ("bob", "anything"), (None, None)):
        sent = mosquitto(
            "mosquitto_pub", cloud, "-t", "home/lamp", "-m", "on", version=version, user=user, password=password
        )
        assert sent.returncode != 0, (user, sent.stdout)
        assert "bad user name or password" in sent.stderr.lower(), (user, sent.stderr)


def test_mosquittos_client_may_not_read_commands_or_speak_for_devices(cloud):
    id = cloud.ids[0]
    for filter in ("smart/device/in/+", "rpc/#", "d/ai/#"):
        refused = mosquitto("mosquitto_sub", cloud, "-t", filter, "-W", "5", version="mqttv5")
        assert "subscription requests were denied" in refused.stderr, (filter, refused.stderr)
    forged = mosquitto(
        "mosquitto_pub", cloud, "-t", f"smart/device/out/{id}", "-m", "2.1x", "-q", "1", "-d", version="mqttv5"
    )
    assert "135" in forged.stdout + forged.stderr or "not authori" in (forged.stdout + forged.stderr).lower(), forged


class Paho:
    """paho's client; what happens arrives in lists, and is waited for under one condition."""

    def __init__(self, cloud, version, client_id=None, user="ann", password=None):
        self.changed = threading.Condition()
        self.connack, self.lost, self.subacks, self.messages = [], [], [], []
        clean = {} if version == "mqttv5" else {"clean_session": True}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=client_id or f"paho-{invent(6)}",
            protocol=PAHO[version],
            reconnect_on_failure=False,
            **clean,
        )
        self.client.username_pw_set(user, password or cloud.password)
        self.client.on_connect = lambda c, u, flags, reason, props: self._add(self.connack, reason)
        self.client.on_disconnect = lambda c, u, flags, reason, props: self._add(self.lost, reason)
        self.client.on_subscribe = lambda c, u, mid, reasons, props: self._add(self.subacks, reasons)
        self.client.on_message = lambda c, u, message: self._add(self.messages, (message.topic, message.payload))
        self.client.connect("127.0.0.1", cloud.port, keepalive=30)
        self.client.loop_start()

    def _add(self, to, what):
        with self.changed:
            to.append(what)
            self.changed.notify_all()

    def wait(self, wanted):
        with self.changed:
            assert self.changed.wait_for(wanted, DEADLINE), (self.connack, self.lost, self.subacks, self.messages)

    def subscribe(self, filter):
        before = len(self.subacks)
        self.client.subscribe(filter, 1)
        self.wait(lambda: len(self.subacks) > before)
        return self.subacks[-1][0]

    def publish(self, topic, payload):
        self.client.publish(topic, payload, 1).wait_for_publish(DEADLINE)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def start_paho():
    clients = []

    def start(*arguments, **options):
        clients.append(Paho(*arguments, **options))
        return clients[-1]

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_as_a_person(cloud, start_paho, version):
    right = start_paho(cloud, version)
    right.wait(lambda: right.connack)
    assert not right.connack[0].is_failure
    assert not right.subscribe("home/#").is_failure
    right.publish("home/door", b"open")
    right.wait(lambda: right.messages)
    assert right.messages == [("home/door", b"open")]
    for options in ({"password": "wrong"}, {"user": "bob"}):
        wrong = start_paho(cloud, version, **options)
        wrong.wait(lambda: wrong.connack)
        assert wrong.connack[0] == "Bad user name or password", wrong.connack


@pytest.mark.parametrize("version", VERSIONS)
def test_paho_as_a_device(cloud, start_paho, version):
    mine, other = cloud.ids
    login = {"client_id": mine, "user": mine, "password": cloud.device_password}
    device = start_paho(cloud, version, **login)
    device.wait(lambda: device.connack)
    assert not device.connack[0].is_failure
    for filter in (f"smart/device/in/{mine}", f"smart/device/in/{other}", "#"):
        device.subscribe(filter)
    person = start_paho(cloud, version)
    person.wait(lambda: person.connack)
    for id in (other, mine):
        person.publish(f"smart/device/in/{id}", f"2.1 for {id}".encode())
    # The cloud's own first question comes too, sealed.
    by_people = lambda: [m for m in device.messages if m[1].startswith(b"2.1 for")]  # noqa: E731
    device.wait(by_people)
    assert by_people() == [(f"smart/device/in/{mine}", f"2.1 for {mine}".encode())]


def connect_packet(client_id, user, password, level):
    name = b"MQIsdp" if level == 3 else b"MQTT"
    text = lambda value: len(value).to_bytes(2, "big") + value  # noqa: E731
    body = text(name) + bytes([level, 0xC2]) + (60).to_bytes(2, "big") + (b"\0" if level == 5 else b"")
    body += text(client_id.encode()) + text(user.encode()) + text(password.encode())
    return bytes([0x10, len(body)]) + body


@pytest.mark.parametrize("level", (3, 4, 5))
def test_a_device_with_a_wrong_password_hears_nothing_at_all(cloud, start_paho, level):
    """A CONNACK 5, and it would forget its owner; other codes nobody has tried."""
    id = cloud.ids[0]
    first = start_paho(cloud, "mqttv311", client_id=id, user=id, password=cloud.device_password)
    first.wait(lambda: first.connack)
    first.close()
    unknown = "bf" + invent(18)
    for client, password in ((id, "another password"), (unknown, "any")):
        with socket.create_connection(("127.0.0.1", cloud.port), timeout=DEADLINE) as stream:
            stream.sendall(connect_packet(client, client, password, level))
            try:
                assert stream.recv(64) == b""
            except ConnectionResetError:
                pass  # closed too
    cloud.wait(lambda m: m["event"] == "refusal" and m["code"] == "mqtt.unknown", "a refusal", after=0)


def test_mosquittos_client_as_a_device(cloud):
    id = cloud.ids[0]
    identity = {"user": id, "password": cloud.device_password, "version": "mqttv31"}
    right = mosquitto(
        "mosquitto_pub", cloud, "-i", id, "-t", f"smart/device/out/{id}", "-m", "2.1garbage", "-q", "1", **identity
    )
    assert right.returncode == 0, right.stderr
    wrong = mosquitto(
        "mosquitto_pub", cloud, "-i", id, "-t", "x", "-m", "x", "-q", "1", **identity | {"password": "wrong"}
    )
    assert wrong.returncode != 0
    assert "refused" not in wrong.stderr.lower() and "authori" not in wrong.stderr.lower(), wrong.stderr


@pytest.mark.parametrize("mqtt", (3, 4, 5))
def test_the_old_flow_by_crypto_js_sees_reports_and_commands_devices(cloud, start_node, mqtt):
    id = cloud.ids[0]
    flow = start_node(cloud, "flow", mqtt=mqtt)
    flow.event("connected", after=0)
    flow.do("subscribe", filter="smart/device/out/+")
    assert flow.event("subscribed", after=0)["granted"] == [1]
    device = start_node(cloud, "device", mqtt=min(mqtt, 4))
    device.event("connected", after=0)
    device.do("subscribe", filter=f"smart/device/in/{id}")
    device.event("subscribed", after=0)

    device.do("report", id=id, dps={"1": True, "5": 187})
    told = cloud.wait(lambda m: m["event"] == "report" and m["device"] == id, "a report", after=0)
    assert told["dps"] == {"1": True, "5": 187}
    heard = flow.event("message", after=0)
    assert heard["topic"] == f"smart/device/out/{id}" and heard["json"]["data"]["dps"] == {"1": True, "5": 187}

    flow.do("set", id=id, dps={"1": False})
    # The device is asked for its points when it comes; the flow's command is the message 5.
    command = device.wait(lambda m: m["event"] == "message" and m["json"]["protocol"] == 5, "a command", after=0)
    assert command["json"]["data"] == {"devId": id, "dps": {"1": False}}


def test_a_report_under_a_wrong_key_counts_for_nobody(cloud, start_node):
    id = cloud.ids[0]
    flow = start_node(cloud, "flow")
    flow.event("connected", after=0)
    flow.do("subscribe", filter="smart/device/out/+")
    flow.event("subscribed", after=0)
    device = start_node(cloud, "device")
    device.event("connected", after=0)
    device.do("report", id=id, dps={"1": True}, key="0000000000000000")
    refusal = cloud.wait(lambda m: m["event"] == "refusal" and m.get("device") == id, "a refusal", after=0)
    assert refusal["code"].startswith("envelope.")
    device.do("report", id=id, dps={"1": False})
    assert flow.event("message", after=0)["json"]["data"]["dps"] == {"1": False}
    assert not [m for m in cloud.heard if m["event"] == "report" and m["dps"] == {"1": True}]


@pytest.fixture
def external(started, tmp_path):
    """A Mosquitto that lets in two users, each with a password of its own."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    need(program and shutil.which("mosquitto_passwd"), "NEED mosquitto (Debian package mosquitto)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = {"landfall": invent(16), "ann": invent(16)}
    passwords, settings = tmp_path / "passwords", tmp_path / "mosquitto.conf"
    passwords.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, timeout=20)
    me = f"user {os.environ.get('USER') or 'root'}\n" if os.geteuid() == 0 else ""
    settings.write_text(f"{me}listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n")
    broker = Program([program, "-c", settings])
    started.append(broker)
    broker.port, broker.users, broker.secret = port, users, tmp_path / "broker-password"
    return broker


def broker_options(broker, password):
    broker.secret.write_text(password + "\n")
    broker.secret.chmod(0o600)
    file = ["--broker-password-file", broker.secret]
    return ["--broker", f"127.0.0.1:{broker.port}", "--broker-user", "landfall", *file]


def wait_for_log(program, *words):
    """Until it says one of these words on standard error."""
    until = time.monotonic() + DEADLINE
    while not any(word in program.stderr() for word in words):
        assert time.monotonic() < until, program.stderr()
        time.sleep(0.05)  # polling a real condition, up to the deadline above


def wait_for_port(port):
    until = time.monotonic() + DEADLINE
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < until, f"nobody listens on {port}"
            time.sleep(0.05)  # polling a real condition, up to the deadline above


def test_an_external_mosquitto_serves_people(start_cloud, external, start_node):
    wait_for_port(external.port)
    cloud = start_cloud(*broker_options(external, external.users["landfall"]))
    id = cloud.ids[0]
    wait_for_log(external, "as landfall-")
    flow = start_node(cloud, "flow", port=external.port, password=external.users["ann"])
    flow.event("connected", after=0)
    flow.do("subscribe", filter="smart/device/out/+")
    flow.event("subscribed", after=0)
    device = start_node(cloud, "device")
    device.event("connected", after=0)
    device.do("subscribe", filter=f"smart/device/in/{id}")
    device.event("subscribed", after=0)
    device.do("report", id=id, dps={"1": True})
    assert flow.event("message", after=0)["json"]["data"]["dps"] == {"1": True}
    flow.do("set", id=id, dps={"1": False})
    device.wait(lambda m: m["event"] == "message" and m["json"]["protocol"] == 5, "a command", after=0)
    # A person's client that comes to us is in the wrong place, and is closed.
    lost = start_node(cloud, "flow")
    lost.event("closed", after=0)


def test_the_external_brokers_refusal_is_told_without_the_password(start_cloud, external):
    wait_for_port(external.port)
    cloud = start_cloud(*broker_options(external, "not the right one"))
    wait_for_log(cloud, "refuse", "let us in")
    assert "not the right one" not in cloud.stderr()
