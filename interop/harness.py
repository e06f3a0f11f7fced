"""What the interop tests share: programs started and ended by their own process id, free loopback addresses, deadlines."""

import json
import os
import queue
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
INSTALLED = TARGET / "interop"
PYTHON = INSTALLED / "venv" / "bin" / "python"
NODE_MODULES = INSTALLED / "npm" / "node_modules"
RUSTUYA = INSTALLED / "rustuya" / "debug" / "rustuya-client"
TLS_SERVER = TARGET / "debug" / "examples" / "tls_server"
LANDFALL = Path(os.environ.get("LANDFALL_BIN", TARGET / "debug" / "landfall")).resolve()

TCP_PORT = 6668
DEADLINE = 10.0


def need(found, what):
    """Skips the test when something it needs is missing; a failure under LANDFALL_CI."""
    if not found:
        if os.environ.get("LANDFALL_CI"):
            pytest.fail(f"missing under CI: {what}")
        pytest.skip(f"skipped: {what}")


def agent_environment():
    return {**os.environ, "LANDFALL_INTEROP_NODE_MODULES": str(NODE_MODULES), "PYTHONDONTWRITEBYTECODE": "1"}


def free_address(port=TCP_PORT):
    """An address in 127.0.0.0/8 on which nobody listens at `port`. macOS has only 127.0.0.1; the suite is for Linux."""
    for _ in range(200):
        address = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
                return address
            except OSError:
                continue
    raise RuntimeError("no free loopback address found in 200 tries")


class Program:
    """A process of ours: its lines arrive in a queue, and it is ended by its own id, never by name."""

    def __init__(self, argv, env=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            text=True,
            bufsize=1,
        )
        self.lines = queue.Queue()
        self.errors = []
        self.readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read_lines(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def line(self, seconds=DEADLINE):
        """The next line; None at the end of the output."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no line from {self.argv[:3]} in {seconds} s; {self.stderr()}") from None

    def stderr(self):
        return "stderr: " + "".join(self.errors)[-4000:]

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def stop(self):
        """Asks it to end, then makes it; returns its exit code."""
        if self.process.poll() is None:
            try:
                self.process.stdin.close()
            except OSError:
                pass  # it is ending already
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=5)
        for reader in self.readers:
            reader.join(timeout=5)
        return self.process.returncode


class Agent(Program):
    """A foreign program behind JSON lines. Everything it says is kept in `heard`."""

    def __init__(self, argv, config):
        super().__init__(argv, env=agent_environment())
        self.heard = []
        self.say(config)

    def say(self, message):
        self.write(json.dumps(message) + "\n")

    def do(self, what, **arguments):
        self.say({"do": what, **arguments})

    def wait(self, wanted, what, seconds=DEADLINE, after=None):
        """The first message for which `wanted` holds, of those heard from position `after` on (default: all new ones)."""
        position = len(self.heard) if after is None else after
        end = time.monotonic() + seconds
        while True:
            while position < len(self.heard):
                message = self.heard[position]
                position += 1
                if wanted(message):
                    return message
            left = end - time.monotonic()
            line = None
            if left > 0:
                try:
                    line = self.lines.get(timeout=left)
                except queue.Empty:
                    left = 0
            if left <= 0:
                raise AssertionError(f"{self.argv[1:]} did not say {what} in {seconds} s; heard {self.tail()}")
            if line is None:
                raise AssertionError(f"{self.argv[1:]} ended without {what}; heard {self.tail()}")
            self.heard.append(json.loads(line))

    def tail(self):
        return json.dumps(self.heard[-12:], indent=1) + "\n" + self.stderr()

    def event(self, name, **options):
        return self.wait(lambda m: m["event"] == name, name, **options)

    def points(self, dps, events=None, **options):
        """Waits for a message that shows all these values."""

        def wanted(message):
            shown = message.get("dps") or {}
            right_kind = events is None or message["event"] in events
            return right_kind and all(str(dp) in shown and shown[str(dp)] == value for dp, value in dps.items())

        return self.wait(wanted, f"{events or 'anything'} with {dps}", **options)

    def faults(self):
        """Drains what was said so far and returns the faults among it."""
        while True:
            try:
                line = self.lines.get_nowait()
            except queue.Empty:
                break
            if line is None:
                break
            self.heard.append(json.loads(line))
        return [m for m in self.heard if m["event"] == "fault"]


CLIENTS = ("tinytuya", "tuyapi", "rustuya")


def client_argv(name):
    if name == "tinytuya":
        need(PYTHON.exists(), "NEED interop/install: tinytuya from PyPI")
        return [PYTHON, HERE / "agents" / "tinytuya_agent.py"]
    if name == "tuyapi":
        need(shutil.which("node"), "NEED node (Debian package nodejs)")
        need((NODE_MODULES / "tuyapi").exists(), "NEED interop/install: tuyapi from npm")
        return ["node", HERE / "agents" / "tuyapi_agent.js"]
    need(RUSTUYA.exists(), "NEED interop/install: rustuya from crates.io")
    return [RUSTUYA]


def device_argv(name):
    if name == "tinytuya":
        need(PYTHON.exists(), "NEED interop/install: tinytuya from PyPI")
        return [PYTHON, HERE / "agents" / "tinytuya_device.py"]
    need(shutil.which("node"), "NEED node (Debian package nodejs)")
    need((NODE_MODULES / "@tuyapi" / "stub").exists(), "NEED interop/install: @tuyapi/stub from npm")
    return ["node", HERE / "agents" / "stub_device.js"]


class Landfall:
    """The `landfall` command, with its own data directory and a devices file."""

    def __init__(self, devices, data_dir):
        need(LANDFALL.exists(), "NEED cargo build -p landfall")
        self.devices = devices
        self.data_dir = data_dir

    def argv(self, *arguments):
        return [LANDFALL, "--data-dir", self.data_dir, "--devices", self.devices, *arguments]

    def run(self, *arguments, code=0, seconds=20):
        """Runs one command to its end and returns its standard output."""
        done = subprocess.run(
            [str(a) for a in self.argv(*arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, "NO_COLOR": "1"},
        )
        assert done.returncode == code, (
            f"landfall {' '.join(map(str, arguments))} ended with {done.returncode}, not {code}\n"
            f"stdout: {done.stdout}\nstderr: {done.stderr}"
        )
        return done.stdout

    def get(self, device, *points):
        """The points of a device, as `landfall get --json` tells them."""
        return json.loads(self.run("get", device, *points, "--json"))["dps"]

    def set(self, device, *assignments, **options):
        """The outcome of a set: confirmed, accepted, refused or unconfirmed."""
        return json.loads(self.run("set", device, *assignments, "--json", **options))["outcome"]

    def watch(self, *devices):
        return Program(self.argv("watch", *devices, "--json"), env={**os.environ, "NO_COLOR": "1"})


class Home:
    """Virtual devices in one `landfall simulate`, and what other programs need to know of them."""

    def __init__(self, folder, devices, inside=None):
        """`devices`: agent configurations with a `kind`; or a number, for as many devices of all kinds."""
        need(LANDFALL.exists(), "NEED cargo build -p landfall")
        self.devices = devices
        home, written = folder / "home.toml", folder / "devices.json"
        which = ["--devices", devices]
        if not isinstance(devices, int):
            home.write_text("".join(map(toml_device, devices)))
            which = ["--home", home]
        argv = [LANDFALL, "--data-dir", folder / "data", "simulate", *which, "--write-devices", written]
        self.program = Program(inside(argv) if inside else argv, env={**os.environ, "NO_COLOR": "1"})
        # The file appears by rename once all listeners are up.
        end = time.monotonic() + 20
        while not written.exists():
            if self.program.process.poll() is not None or time.monotonic() > end:
                self.program.stop()
                raise AssertionError(f"landfall simulate wrote no devices; {self.program.stderr()}")
            time.sleep(0.02)  # polling a real condition, up to the deadline above
        self.written = json.loads(written.read_text())
        self.landfall = Landfall(written, folder / "data")

    def device(self, name):
        return next(d for d in self.devices if d["name"] == name)


def toml_device(device):
    """One [[device]] of a home file. JSON texts are valid TOML texts here: nothing in them needs another escape."""
    lines = ["[[device]]"]
    for key in ("name", "kind", "version", "id", "key"):
        lines.append(f"{key} = {json.dumps(device[key])}")
    lines.append(f'address = "{device["address"]}:{device["port"]}"')
    lines += device.get("toml", [])
    return "\n".join(lines) + "\n\n"


def devices_json(path, devices):
    """Writes tinytuya's devices.json for devices given as agent configurations."""
    entries = [
        {
            "name": d["name"],
            "id": d["id"],
            "key": d["key"],
            "ip": d["address"],
            "port": d["port"],
            "version": d["version"],
        }
        for d in devices
    ]
    path.write_text(json.dumps(entries, indent=1))


def fail_if_misused():
    if sys.platform == "darwin":
        pytest.skip("skipped: NEED Linux: macOS has no 127.0.0.0/8")


class Network:
    """Two network namespaces joined by a cable: `devices` and `people`. Ports 6666, 6667 and 7000 are fixed by the protocol;
    in here they are free, and broadcasts reach nobody else."""

    def __init__(self, device_count):
        need(os.geteuid() == 0, "NEED root (network namespaces)")
        need(shutil.which("ip"), "NEED ip (Debian package iproute2)")
        tag = f"{os.getpid()}-{random.randrange(1000)}"
        self.devices = f"landfall-devices-{tag}"
        self.people = f"landfall-people-{tag}"
        self.addresses = [f"10.77.0.{10 + i}" for i in range(device_count)]
        self.broadcast = "10.77.0.255"
        self.made = []
        try:
            for name in (self.devices, self.people):
                self._ip("netns", "add", name)
                self.made.append(name)
                self._ip("-n", name, "link", "set", "lo", "up")
            self._ip("-n", self.devices, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.people)
            for name, addresses in ((self.devices, ["10.77.0.1", *self.addresses]), (self.people, ["10.77.0.2"])):
                for address in addresses:
                    self._ip("-n", name, "addr", "add", f"{address}/24", "broadcast", self.broadcast, "dev", "cable")
                self._ip("-n", name, "link", "set", "cable", "up")
                # Scanners look up the way to the internet to learn their own address; nothing answers there.
                self._ip("-n", name, "route", "add", "default", "dev", "cable")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _ip(*arguments):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"

    def inside(self, namespace, argv):
        """The command line that runs a program in a namespace; it replaces itself, so its process id is the program's."""
        return ["ip", "netns", "exec", namespace, *map(str, argv)]

    def close(self):
        for name in self.made:
            self._ip("netns", "delete", name)
        self.made = []
