"""The web page, as its visitors see it: headless Chromium on `landfall demo`, every scenario at phone and desktop size, dark and
light. A scenario fails on an error on the console, an exception, a request to another host, a key in the document, and on a serious
finding of axe. Scenarios are files of `interop/browser/scenarios`."""

import json
import os
import re
import shutil
import subprocess

import pytest

from harness import HERE, LANDFALL, NODE_MODULES, ROOT, TARGET, Program, agent_environment, need
from house import eventually

PAGE = ROOT / "crates" / "hub" / "page"
BROWSER = HERE / "browser"
SCENARIOS = sorted(path.stem for path in (BROWSER / "scenarios").glob("*.mjs"))
FAILED = TARGET / "interop" / "page"


class Demo:
    """`landfall demo`, with its token and what must be seen nowhere."""

    def __init__(self, folder, program):
        self.folder = folder
        self.program = program
        self.url = eventually("the page's address", self._address, seconds=40)
        self.token = (folder / "admin-token").read_text().strip()
        devices = json.loads((folder / "devices.json").read_text())
        self.secrets = [d["key"] for d in devices if d.get("key")] + [self.token]
        assert len(self.secrets) > 10, "the demo has keys to hide"

    def _address(self):
        if self.program.process.poll() is not None:
            raise AssertionError(f"landfall demo ended: {self.program.stderr()}")
        found = re.search(r"(https?://127\.0\.0\.1:\d+)/api/v1", "".join(self.program.errors))
        return found and found[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    folder = tmp_path_factory.mktemp("demo") / "data"
    program = Program(
        [LANDFALL, "--data-dir", folder, "demo", "--listen", "127.0.0.1:0"], env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        yield Demo(folder, program)
    finally:
        program.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_visitor_does(demo, scenario, request):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    need(chromium, "NEED chromium (Debian package chromium)")
    need(shutil.which("node"), "NEED node (Debian package nodejs)")
    need((NODE_MODULES / "playwright-core").exists(), "NEED interop/install: playwright-core from npm")
    shots = request.config.getoption("--screenshots")
    config = {
        "scenario": scenario,
        "url": demo.url,
        "token": demo.token,
        "landfall": str(LANDFALL),
        "devices": str(demo.folder / "devices.json"),
        "secrets": demo.secrets,
        "chromium": chromium,
        "shots": str(ROOT / "docs" / "images") if shots else None,
        "failed": str(FAILED),
        "only": request.config.getoption("--variant") or None,
    }
    done = subprocess.run(
        ["node", BROWSER / "main.mjs"],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        timeout=580,
        env=agent_environment(),
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        print(f"{scenario}, {line['variant']}: {line['took_ms']} ms {line['measured'] or ''}")
    wrong = [f"{line['variant']}: {p}" for line in lines for p in line["problems"]]
    assert not wrong, "\n".join(wrong)
    assert done.returncode == 0 and lines, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert demo.program.process.poll() is None, demo.program.stderr()


@pytest.mark.timeout(240)
def test_the_types_of_the_page_hold(tmp_path):
    compiler = NODE_MODULES / "typescript" / "bin" / "tsc"
    need(shutil.which("node"), "NEED node (Debian package nodejs)")
    need(compiler.exists(), "NEED interop/install: typescript from npm")
    types = {"lit": ["lit"], "lit/*": ["lit/*"], "uplot": ["uplot"]}
    config = {
        "extends": str(PAGE / "jsconfig.json"),
        "compilerOptions": {"paths": {name: [str(NODE_MODULES / p) for p in paths] for name, paths in types.items()}},
        "include": [str(PAGE / folder) for folder in json.loads((PAGE / "jsconfig.json").read_text())["include"]],
    }
    (tmp_path / "jsconfig.json").write_text(json.dumps(config))
    done = subprocess.run(["node", compiler, "-p", tmp_path / "jsconfig.json"], capture_output=True, text=True, timeout=220)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_text_that_is_asked_for_is_there_and_no_other():
    need(shutil.which("node"), "NEED node (Debian package nodejs)")
    done = subprocess.run(["node", BROWSER / "texts.mjs"], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-2000:]
