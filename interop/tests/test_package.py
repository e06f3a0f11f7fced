"""The Debian package on a Debian of its own: this machine's, under an overlay in a mount and a network namespace of the
test's, so that nothing of this machine changes. The service is started by a stand-in for systemd (unit.py)."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import LANDFALL, ROOT, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

INSIDE = "LANDFALL_TEST_PACKAGE_TREE"


def test_install_run_upgrade_remove_purge(tmp_path):
    need(os.geteuid() == 0, "NEED root: namespaces and an overlay are made")
    for program, package in (("dpkg", "dpkg"), ("adduser", "adduser"), ("setpriv", "util-linux"), ("unshare", "util-linux")):
        need(shutil.which(program), f"NEED {program} (Debian package {package})")
    need(Path("/etc/debian_version").exists(), "NEED Debian")
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    probe = "mount -t tmpfs t \"$0\" && mkdir \"$0\"/u \"$0\"/w \"$0\"/m && mount -t overlay o -o lowerdir=/,upperdir=\"$0\"/u,workdir=\"$0\"/w \"$0\"/m"
    can = subprocess.run(["unshare", "--mount", "sh", "-c", probe, tmp_path], capture_output=True, text=True)
    need(can.returncode == 0, f"NEED overlay mounts: {can.stderr}")
    packages = []
    for version in ("0.1.0", "0.1.1"):
        argv = [ROOT / "packaging/deb/build", "--binary", LANDFALL, "--out", tmp_path, "--version", version, "--compression", "none"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        packages.append(done.stdout.strip())
    # The steps run in the namespaces, as this very file.
    argv = ["unshare", "--mount", "--net", "--ipc", sys.executable, __file__, str(tmp_path / "place"), *packages]
    (tmp_path / "place").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "interop"), INSIDE: "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = done.stdout.splitlines()
    assert steps[-1] == "done", done.stdout
    # On the machine itself nothing has changed.
    assert not Path("/usr/lib/systemd/system/landfall.service").exists()


# --- From here on: inside of the namespaces ---


def run(*argv, check=True, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=120, **more)
    assert not check or done.returncode == 0, done
    return done


class Debian:
    """The overlay."""

    def __init__(self, place):
        run("mount", "-t", "tmpfs", "tmpfs", place)
        for name in ("upper", "work", "root"):
            (place / name).mkdir()
        self.root = place / "root"
        lower = f"lowerdir=/,upperdir={place / 'upper'},workdir={place / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", lower, self.root)
        # What a service needs of a running machine; no /run/systemd, so that no script asks this machine's systemd.
        run("mount", "-t", "tmpfs", "tmpfs", self.root / "run")
        run("mount", "-t", "tmpfs", "tmpfs", self.root / "tmp")
        run("mount", "--rbind", "/proc", self.root / "proc")
        run("mount", "--bind", "/dev", self.root / "dev")
        run("ip", "link", "set", "lo", "up")
        shutil.rmtree(self.root / "var/lib/landfall", ignore_errors=True)

    def sh(self, *argv, check=True):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
        return run("chroot", self.root, *argv, check=check, env=environment)

    def install(self, package):
        shutil.copy(package, self.root / "tmp/landfall.deb")
        # Debian wants debconf and adduser, which are here; what is not, apt would bring.
        return self.sh("dpkg", "--install", "/tmp/landfall.deb")

    def stat(self, path):
        """owner:group mode"""
        return self.sh("stat", "-c", "%U:%G %a", path).stdout.strip()

    def health(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = b""
            while part := s.recv(4096):
                answer += part
        return answer.decode()

    def landfall(self, *args, check=True):
        """As the owner would: sudo -u landfall landfall --data-dir /var/lib/landfall ..."""
        user = ["setpriv", "--reuid", "landfall", "--regid", "landfall", "--clear-groups"]
        return self.sh(*user, "landfall", "--data-dir", "/var/lib/landfall", *args, check=check)


def said(text):
    print(text, flush=True)


def steps(place, old, new):
    from unit import Service

    debian = Debian(place)
    root = debian.root
    settings = root / "etc/landfall/landfall.toml"

    said("install")
    debian.install(old)
    assert debian.stat("/var/lib/landfall") == "landfall:landfall 700"
    assert debian.stat("/usr/bin/landfall") == "root:root 755"
    assert debian.stat("/etc/landfall/landfall.toml") == "root:root 644"
    shell = debian.sh("getent", "passwd", "landfall").stdout.strip().split(":")
    assert shell[5:] == ["/var/lib/landfall", "/usr/sbin/nologin"], shell
    assert (root / "etc/systemd/system/multi-user.target.wants/landfall.service").is_symlink(), "it starts with the machine"
    assert debian.sh("landfall", "--version").stdout.startswith("landfall ")
    assert debian.sh("dpkg", "--verify", "landfall").stdout == ""
    ready = debian.landfall("check-install", "--no-names", "--json", check=False)
    assert json.loads(ready.stdout)["ready"] is True, ready.stdout

    said("the vendor's names are followed by the system's own resolver")
    run("ip", "address", "add", "10.77.0.2/24", "dev", "lo")
    opened = ["--set", "cloud.http=10.77.0.2:8080", "--set", "cloud.dns=off"]
    hosts = root / "etc/hosts"
    before = hosts.read_text()

    def names():
        told = json.loads(debian.landfall("check-install", "--json", *opened, check=False).stdout)
        return next(f for f in told["findings"] if f["code"].startswith("names."))

    hosts.write_text(debian.sh("landfall", "cloud", "dns", "--format", "hosts", "--address", "10.77.0.2").stdout)
    found = names()
    assert (found["code"], found["level"]) == ("names.lead_here", "ok"), found
    assert len(found["evidence"]) >= 5 and all("(10.77.0.2)" in e for e in found["evidence"]), found
    hosts.write_text("10.77.0.3 a.gw.tuyaus.com a.gw.tuyaeu.com\n")
    # No other server is asked: this network goes nowhere.
    found = names()
    assert (found["code"], found["level"]) == ("names.lead_elsewhere", "problem"), found
    assert any("leads to 10.77.0.3, which is not this machine" in e for e in found["evidence"]), found
    hosts.write_text(before)

    said("run as the unit says")
    # The owner opens the cloud's HTTP on its own port: this needs the capability, and nothing else of root's.
    text = settings.read_text().replace('#http = "127.0.0.1:8080"', 'http = "127.0.0.1:80"')
    settings.write_text(text)
    unit = root / "usr/lib/systemd/system/landfall.service"
    service = Service(unit, root).start(watchdog=2)
    try:
        assert "127.0.0.1:80 is free for devices' HTTP" in service.said[0], service.said
        service.hear("WATCHDOG=1")
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [shell[2]] * 4, "not as root"
        assert fields["CapEff"].strip() == f"{1 << 10:016x}", "NET_BIND_SERVICE alone"
        assert '{"status":"ok"}' in debian.health(8099), service.output()
        assert "HTTP/1.1" in debian.health(80), "the cloud's own"
        assert debian.landfall("health").stdout == "ok\n"
        busy = debian.landfall("check-install", "--no-names", "--json", "--config", "/etc/landfall/landfall.toml", check=False)
        found = json.loads(busy.stdout)
        assert {"hub.runs", "port.ours"} <= {f["code"] for f in found["findings"]}, busy.stdout
        assert found["ready"] is True, busy.stdout
        key = root / "tmp/key"
        key.write_text("0123456789abcdef")
        key.chmod(0o644)
        debian.landfall("device", "add", "Kettle", "--id", "bf0123456789abcdefvx01", "--key-file", "/tmp/key")
        for line in debian.sh("find", "/var/lib/landfall", "-printf", "%u %m %p\n").stdout.splitlines():
            user, mode, path = line.split(" ", 2)
            assert user == "landfall" and int(mode, 8) & 0o077 == 0, line
    finally:
        if service.process.poll() is None:
            code = service.stop()
        else:
            code = service.process.returncode
    assert code == 0, service.output()
    assert "STOPPING=1" in service.notices

    said("upgrade")
    debian.install(new)
    assert settings.read_text() == text, "what the owner wrote is kept"
    assert debian.sh("dpkg-query", "-W", "-f", "${Version} ${Status}", "landfall").stdout == "0.1.1 install ok installed"
    assert "Kettle" in debian.landfall("device", "list").stdout
    service = Service(unit, root).start(watchdog=60)
    try:
        assert '{"status":"ok"}' in debian.health(8099)
    finally:
        service.stop()

    said("remove")
    debian.sh("dpkg", "--remove", "landfall")
    assert not (root / "usr/bin/landfall").exists()
    assert settings.read_text() == text
    assert debian.stat("/var/lib/landfall/book.json") == "landfall:landfall 600", "keys are kept"

    said("purge without an answer keeps the keys, for root alone")
    purged = debian.sh("dpkg", "--purge", "landfall")
    assert "keys and history stay in /var/lib/landfall" in purged.stderr, purged
    assert not settings.parent.exists()
    assert debian.stat("/var/lib/landfall") == "root:root 700"
    assert debian.stat("/var/lib/landfall/book.json") == "root:root 600"
    assert debian.sh("getent", "passwd", "landfall", check=False).returncode == 2
    links = list((root / "etc/systemd/system/multi-user.target.wants").glob("landfall*"))
    assert links == [], links

    said("a later installation goes on with them")
    debian.install(new)
    assert debian.stat("/var/lib/landfall/book.json") == "landfall:landfall 600"
    assert "Kettle" in debian.landfall("device", "list").stdout

    said("purge with the answer yes")
    answer = "landfall landfall/purge_data boolean true\n"
    run("chroot", root, "debconf-set-selections", input=answer)
    debian.sh("dpkg", "--purge", "landfall")
    assert not (root / "var/lib/landfall").exists()
    said("done")


if __name__ == "__main__" and os.environ.get(INSIDE):
    steps(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
