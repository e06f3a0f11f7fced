"""The container of packaging/docker: its image built and run by podman, with a Debian of debootstrap's in the place of the
base image and the binary under test in the place of the first stage, which would build it for minutes."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import INSTALLED, LANDFALL, ROOT, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BASE = INSTALLED / "bookworm.tar"
BASE_NAME = "docker.io/library/debian:bookworm-slim"


class Podman:
    """Images and containers in a folder of the test's."""

    def __init__(self, place):
        self.place = place
        self.options = ["--root", place / "store", "--runroot", place / "run", "--tmpdir", place / "tmp", "--storage-driver", "overlay"]
        self.options += ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]

    def argv(self, *args):
        return ["podman", *(str(a) for a in [*self.options, *args])]

    def __call__(self, *args, check=True):
        done = subprocess.run(self.argv(*args), capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"podman {args}: {done.stdout}{done.stderr}"
        return done

    def lines_until(self, name, words):
        """What the container has said, up to the line with these words."""
        said = []
        with subprocess.Popen(self.argv("logs", "--follow", name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as logs:
            for line in logs.stdout:
                said.append(line)
                if words in line:
                    logs.terminate()
                    return "".join(said)
        pytest.fail(f"{name} never said {words!r}: {''.join(said)}")

    def close(self):
        self("rm", "--all", "--force", "--volumes", check=False)
        # The store is mounted over itself while podman uses it.
        store = str(self.place / "store/overlay")
        if any(line.split()[1] == store for line in Path("/proc/self/mounts").read_text().splitlines()):
            subprocess.run(["umount", "--recursive", "--lazy", store], check=True)
        shutil.rmtree(self.place)


@pytest.fixture
def podman():
    need(os.geteuid() == 0, "NEED root: containers are run")
    for program in ("podman", "runc"):
        need(shutil.which(program), f"NEED {program} (Debian package {program})")
    need(BASE.exists(), "NEED interop/install --slow: Debian for the container, by debootstrap")
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    # Not pytest's folder: podman wants a short path.
    podman = Podman(Path(tempfile.mkdtemp(prefix="landfall-")))
    yield podman
    podman.close()


def dockerfile():
    """The second stage, with a first one that takes a binary as it is."""
    text = (ROOT / "packaging/docker/Dockerfile").read_text()
    stages = text.split("\nFROM ")
    assert len(stages) == 3 and stages[2].startswith(BASE_NAME + "\n"), "another Dockerfile than this test was written for"
    assert stages[1].rstrip().endswith("install -m 0755 target/dist/landfall /landfall")
    return f"FROM scratch AS build\nCOPY landfall /landfall\nFROM {stages[2]}"


def test_the_image_is_built_and_its_container_serves_and_keeps_its_data(podman):
    podman("import", BASE, BASE_NAME)
    context = podman.place / "context"
    context.mkdir()
    shutil.copy(LANDFALL, context / "landfall")
    (context / "Dockerfile").write_text(dockerfile())
    podman("build", "--isolation", "chroot", "--pull-never", "--format", "docker", "-t", "landfall", context)

    image = json.loads(podman("image", "inspect", "landfall").stdout)[0]
    assert image["Config"]["User"] == "landfall"
    assert list(image["Config"]["Volumes"]) == ["/var/lib/landfall"]
    health = image["Healthcheck"]["Test"]
    assert health[0] == "CMD"

    # As in compose.yaml; a network of its own has port 80 free. What calls the health check is systemd's, and not here.
    asked = ["--pull", "never", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"]
    # podman's own limits are more than some machines may give.
    asked += ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1000:1000"]
    asked += ["--no-healthcheck", "-v", "landfall:/var/lib/landfall", "-e", "LANDFALL_CLOUD_HTTP=127.0.0.1:80"]

    def start(name):
        podman("run", "--detach", "--name", name, *asked, "landfall")
        return podman.lines_until(name, "Ctrl-C ends")

    def inside(name, *argv, check=True):
        return podman("exec", name, *argv, check=check)

    def stop(name):
        podman("stop", "--time", "30", name)
        assert json.loads(podman("inspect", name).stdout)[0]["State"]["ExitCode"] == 0, podman("logs", name).stderr

    said = start("one")
    assert "127.0.0.1:80 " in said, said
    assert inside("one", *health[1:]).stdout == "ok\n"
    assert inside("one", "id", "-u").stdout == "10001\n"
    status = dict(line.split(":\t") for line in inside("one", "cat", "/proc/1/status").stdout.splitlines() if line.startswith("Cap"))
    assert int(status["CapEff"], 16) == 1 << 10, f"the one capability: ports below 1024; {status}"
    ask = r'exec 3<>/dev/tcp/127.0.0.1/80; printf "POST /v1/url_config HTTP/1.0\r\nContent-Length: 0\r\n\r\n" >&3; head -n 1 <&3'
    assert inside("one", "bash", "-c", ask).stdout.startswith("HTTP/1."), "port 80 serves"
    assert inside("one", "touch", "/usr/bin/more", check=False).returncode != 0, "nothing but the volume is written"
    assert inside("one", "stat", "-c", "%U %a", "/var/lib/landfall").stdout == "landfall 700\n"
    device = ["--id", "bf0123456789abcdefvx01", "--address", "127.66.0.9", "--key-stdin"]
    added = subprocess.run(
        podman.argv("exec", "--interactive", "one", "landfall", "device", "add", "kettle", *device),
        input="0123456789abcdef\n", capture_output=True, text=True, timeout=60,
    )
    assert added.returncode == 0, added.stdout + added.stderr
    token = inside("one", "cat", "/var/lib/landfall/admin-token").stdout
    stop("one")

    # The next version of the image is another container with the same volume.
    podman("rm", "one")
    start("two")
    assert "kettle" in inside("two", "landfall", "device", "list").stdout
    assert inside("two", "cat", "/var/lib/landfall/admin-token").stdout == token
    stop("two")
