"""A stand-in for systemd where it is not the first process: enough of a unit file to start a service of Type=notify as its
user, with its directories, and to hear it over NOTIFY_SOCKET. It enforces no sandbox and no seccomp filter."""

import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path


def read_unit(path):
    """{section: {key: [values]}}; an empty value clears what came before it, as systemd has it."""
    sections, section = {}, None
    for line in Path(path).read_text().splitlines():
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
            continue
        key, value = line.split("=", 1)
        values = section.setdefault(key.strip(), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()
    return sections


class Service:
    """A service of an installed unit in the tree `root` ("/" for this one)."""

    def __init__(self, unit, root="/", extra=()):
        self.service = read_unit(unit)["Service"]
        self.root = Path(root)
        self.extra = list(extra)
        self.said = []
        self.process = None
        self.notices = []

    def one(self, key, default=None):
        return (self.service.get(key) or [default])[-1]

    def user(self):
        for line in (self.root / "etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == self.one("User"):
                return int(fields[2]), int(fields[3])
        raise AssertionError(f"there is no user {self.one('User')}")

    def environment(self):
        state = f"/var/lib/{self.one('StateDirectory')}"
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "NOTIFY_SOCKET": "/run/landfall-test-notify",
            "STATE_DIRECTORY": state,
            "CONFIGURATION_DIRECTORY": f"/etc/{self.one('ConfigurationDirectory')}",
            # In microseconds, as systemd gives it.
            "WATCHDOG_USEC": str(int(self.watchdog) * 1_000_000),
        }

    def argv(self, line):
        """As the unit's user, with its capabilities and nothing of ours, inside the tree."""
        uid, gid = self.user()
        wanted = [c.removeprefix("CAP_").lower() for c in (self.one("AmbientCapabilities") or "").split()]
        sets = ",".join(["-all", *(f"+{c}" for c in wanted)])
        drop = ["setpriv", "--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
        drop += [f"--inh-caps={sets}", f"--ambient-caps={sets}", f"--bounding-set={sets}", "--no-new-privs"]
        inside = [] if str(self.root) == "/" else ["chroot", str(self.root)]
        return inside + drop + shlex.split(line.lstrip("-@:+!")) + self.extra

    def start(self, watchdog, deadline=60):
        """Runs ExecStartPre, then ExecStart; returns once it said READY=1."""
        self.watchdog = watchdog
        uid, gid = self.user()
        state = self.root / "var/lib" / self.one("StateDirectory")
        state.mkdir(exist_ok=True)
        os.chmod(state, int(self.one("StateDirectoryMode", "0755"), 8))
        os.chown(state, uid, gid)
        path = self.root / "run/landfall-test-notify"
        path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(path))
        os.chmod(path, 0o777)
        umask = int(self.one("UMask", "0022"), 8)
        for line in self.service.get("ExecStartPre", []):
            done = subprocess.run(
                self.argv(line), env=self.environment(), umask=umask, capture_output=True, text=True, timeout=30
            )
            self.said.append(done.stdout + done.stderr)
            assert done.returncode == 0 or line.startswith("-"), done
        self.log = open(self.root / "run/landfall-test-log", "w+")
        self.process = subprocess.Popen(
            self.argv(self.one("ExecStart")),
            env=self.environment(),
            umask=umask,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.hear("READY=1", deadline)
        return self

    def hear(self, wanted, deadline=60):
        """Waits for a notice."""
        end = time.monotonic() + deadline
        while wanted not in self.notices:
            left = end - time.monotonic()
            assert left > 0 and self.process.poll() is None, f"no {wanted}: {self.notices} {self.output()}"
            self.notify.settimeout(min(left, 1))
            try:
                self.notices += self.notify.recv(4096).decode().split("\n")
            except TimeoutError:
                continue

    def output(self):
        return (self.root / "run/landfall-test-log").read_text()

    def stop(self, deadline=30):
        """SIGTERM, as systemd does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(deadline)
        self.notify.settimeout(0.2)
        try:
            while True:
                self.notices += self.notify.recv(4096).decode().split("\n")
        except TimeoutError:
            pass
        self.notify.close()
        return code

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
