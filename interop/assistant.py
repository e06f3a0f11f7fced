"""A real Home Assistant, headless, as the tests see it: installed by `interop/install --slow`, started in a directory of the test's own."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import INSTALLED, Program, need

HASS = INSTALLED / "ha" / "bin" / "hass"

CONFIGURATION = """
homeassistant:
  name: Interop
  latitude: 52.5
  longitude: 13.4
  elevation: 30
  unit_system: metric
  currency: EUR
  country: DE
  time_zone: UTC
  internal_url: http://127.0.0.1:{port}
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
websocket_api:
recorder:
  commit_interval: 1
history:
energy:
logger:
  default: warning
"""

CLIENT = "http://127.0.0.1/"


class Assistant:
    """Home Assistant with an owner and nothing else."""

    def __init__(self, folder, port, patience):
        need(HASS.exists(), "NEED interop/install --slow: Home Assistant from PyPI (Python 3.11 or 3.12)")
        self.folder, self.port, self.patience = folder, port, patience
        self.folder.mkdir()
        (self.folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
        self.token = None
        self.socket = None
        self.asked = 0
        self.program = None

    def start(self):
        # What its components need was installed before: it fetches nothing.
        argv = [HASS, "--config", self.folder, "--skip-pip", "--log-no-color"]
        self.program = Program(argv)
        self.until("Home Assistant answers", lambda: self._call("GET", "/api/onboarding") is not None)
        if self.token is None:
            self._onboard()
        self.until("Home Assistant runs", lambda: self.api("GET", "/api/config")["state"] == "RUNNING")
        self._connect()

    def until(self, what, holds, seconds=None):
        """Waits until something holds, and returns it."""
        end = time.monotonic() + (seconds or self.patience)
        while True:
            try:
                found = holds()
            except (urllib.error.URLError, ConnectionError, KeyError, ValueError):
                found = None  # it starts, or shows nothing yet
            if found:
                return found
            assert self.program.process.poll() is None, f"Home Assistant ended: {self.log()[-4000:]}"
            assert time.monotonic() < end, f"never: {what}; its log: {self.log()[-4000:]}"
            time.sleep(0.1)  # polling a real condition, up to the deadline above

    def _call(self, method, path, body=None, form=None):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        data = None
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body).encode()
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=self.patience) as answer:
            return json.load(answer)

    def api(self, method, path, body=None):
        try:
            return self._call(method, path, body)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]}") from None

    def _onboard(self):
        owner = {"client_id": CLIENT, "name": "Ann", "username": "ann", "password": "interop-only", "language": "en"}
        # The page that makes the owner may come up after the others.
        code = self.until("the owner is made", lambda: self._call("POST", "/api/onboarding/users", owner))["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": CLIENT}
        self.token = self._call("POST", "/auth/token", form=grant)["access_token"]

    def _connect(self):
        import websocket

        self.socket = websocket.create_connection(f"ws://127.0.0.1:{self.port}/api/websocket", timeout=self.patience)
        assert json.loads(self.socket.recv())["type"] == "auth_required"
        self.socket.send(json.dumps({"type": "auth", "access_token": self.token}))
        assert json.loads(self.socket.recv())["type"] == "auth_ok"

    def ask(self, kind, **fields):
        """The result of a command by websocket."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "type": kind, **fields}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.asked and answer["type"] == "result":
                assert answer["success"], answer
                return answer["result"]

    def add_mqtt(self, port, user, password):
        """Adds the MQTT integration as its dialogue does, which tries the broker."""
        flow = self.api("POST", "/api/config/config_entries/flow", {"handler": "mqtt"})
        given = {"broker": "127.0.0.1", "port": port, "username": user, "password": password}
        done = self.api("POST", f"/api/config/config_entries/flow/{flow['flow_id']}", given)
        assert done["type"] == "create_entry", done

    def entities(self):
        """The registry's entities by MQTT: unique id to entry."""
        found = self.ask("config/entity_registry/list")
        return {e["unique_id"]: e for e in found if e["platform"] == "mqtt"}

    def devices(self):
        """The registry's devices of ours: identifier to entry."""
        found = self.ask("config/device_registry/list")
        return {i[1]: d for d in found for i in d["identifiers"] if i[0] == "mqtt"}

    def state(self, unique):
        """State and attributes of an entity; None where it has none."""
        entry = self.entities().get(unique)
        if entry is None:
            return None
        try:
            return self._call("GET", f"/api/states/{entry['entity_id']}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def shows(self, unique, wanted, what, seconds=None):
        """Waits until an entity shows what is wanted."""

        def right():
            state = self.state(unique)
            return state if state and wanted(state) else None

        try:
            return self.until(what, right, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows {self.state(unique)}") from None

    def call(self, service, unique, **data):
        """Calls a service for one entity, as a person's tap does."""
        domain, name = service.split(".")
        entity = self.entities()[unique]["entity_id"]
        return self.ask("call_service", domain=domain, service=name, service_data=data, target={"entity_id": entity})

    def log(self):
        log = self.folder / "home-assistant.log"
        return (log.read_text() if log.exists() else "") + (self.program.stderr() if self.program else "")

    def complaints(self):
        """What its log says of us: warnings and errors of MQTT, templates, statistics and entities."""
        words = ("components.mqtt", "helpers.template", "landfall", "Template", "components.recorder", "components.sensor", "helpers.entity")
        return [
            line
            for line in self.log().splitlines()
            if (" WARNING " in line or " ERROR " in line) and any(word in line for word in words)
        ]

    def stop(self):
        if self.socket is not None:
            self.socket.close()
        return self.program.stop() if self.program else None
