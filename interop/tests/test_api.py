"""The home server's API, asked by schemathesis: a fuzzer that reads the OpenAPI document and tries what it says and what it
doesn't. With an admin token nothing it sends may be our fault (5xx); without a token nothing may change, or tell of the home."""

import http.client
import json
import os
import re

import pytest

from harness import INSTALLED, LANDFALL, ROOT, Program, free_address, need
from house import eventually, run

FUZZER = INSTALLED / "venv" / "bin" / "st"
DOCUMENT = ROOT / "crates" / "hub" / "openapi.json"
# They never end, which the fuzzer takes for a failure.
STREAMS = ("/api/v1/console", "/api/v1/events", "/api/v1/ws")
# Without a token only these answer.
OPEN = {"/healthz", "/readyz", "/api/v1/openapi.json"}


class Hub:
    """`landfall run` with a device in its book that is never there."""

    def __init__(self, folder, program, address):
        self.folder = folder
        self.program = program
        self.address = address
        self.token = eventually("the first admin token", self._token, seconds=20)

    def _token(self):
        """The token, once the hub answers."""
        if self.program.process.poll() is not None:
            raise AssertionError(f"landfall run ended: {self.program.stderr()}")
        try:
            status, _, _ = self.ask("GET", "/readyz")
            return status == 200 and (self.folder / "admin-token").read_text().strip()
        except OSError:
            return None

    def ask(self, method, path, token=None, body=None):
        """Status, headers and text of an answer."""
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def hub(started, tmp_path):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    data = tmp_path / "data"
    settings = tmp_path / "landfall.toml"
    address = f"{free_address(port=8099)}:8099"
    settings.write_text(
        f'[page]\nlisten = "{address}"\n[lan]\nenabled = false\ndiscovery = false\n[cloud]\nenabled = false\n[mqtt]\nbroker = "off"\n'
    )
    argv = [LANDFALL, "--data-dir", data, "run", "--config", settings]
    program = Program(argv, env={**os.environ, "NO_COLOR": "1"})
    started.append(program)
    hub = Hub(data, program, address)
    device = {"id": "bf00000000000000fuzz01", "name": "Never there", "key": "s3cretK#y/&<0001"}
    status, _, text = hub.ask("POST", "/api/v1/devices", hub.token, device)
    assert status == 201, text
    return hub


def fuzz(hub, *arguments, seconds):
    need(FUZZER.exists(), "NEED interop/install: schemathesis from PyPI")
    argv = [FUZZER, "run", DOCUMENT, "--url", f"http://{hub.address}", "--no-color", "--generation-deterministic",
            "--request-timeout", "20", "--warnings", "off", *arguments]
    for path in STREAMS:
        argv += ["--exclude-path", path]
    return run(*argv, code=None, seconds=seconds)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_that_a_fuzzer_sends_is_our_fault(hub):
    done = fuzz(hub, "--header", f"Authorization: Bearer {hub.token}", "--checks",
                "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                # Its own tokens must not go, nor must the run take all day.
                "--exclude-path", "/api/v1/scan", "--max-examples", "30", "--continue-on-failure", seconds=580)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"(\d+) (?:generated|test cases)", done.stdout)
    assert tested and int(tested[1]) > 100, done.stdout[-2000:]
    assert hub.program.process.poll() is None
    assert "s3cret" not in "".join(hub.program.errors), "no key in the log"


def test_a_stranger_gets_and_changes_nothing(hub):
    _, _, before = hub.ask("GET", "/api/v1/devices", hub.token)
    for path, item in json.loads(DOCUMENT.read_text())["paths"].items():
        real = path.replace("{device}", "bf00000000000000fuzz01").replace("{dp}", "1").replace("{token}", "000000000000")
        for method in item:
            for token in (None, "lf_" + "0" * 12 + "_" + "0" * 64):
                status, headers, text = hub.ask(method.upper(), real, token, {} if method != "get" else None)
                assert "Never there" not in text and "s3cret" not in text, f"{method} {path}: {text}"
                if (method, path) == ("post", "/api/v1/session"):
                    # Open to everybody, since what opens it stands in its body.
                    assert status == 422 and not headers["Set-Cookie"], f"{method} {path}: {status} {text}"
                    continue
                if path in OPEN:
                    assert status == 200, f"{method} {path}: {status}"
                    continue
                assert status in (401, 429), f"{method} {path}: {status} {text}"
                assert headers["Content-Type"] == "application/problem+json"
    _, _, after = hub.ask("GET", "/api/v1/devices", hub.token)
    assert json.loads(before) == json.loads(after)


def test_the_document_is_the_one_that_is_committed(hub):
    _, _, text = hub.ask("GET", "/api/v1/openapi.json")
    assert json.loads(text) == json.loads(DOCUMENT.read_text())
