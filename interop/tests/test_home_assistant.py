"""A real Home Assistant and the home: it finds the devices by MQTT discovery, drives them, sees what they do, counts their energy, and
keeps nothing of what is gone. 2024.3.3 knows the form with one message for each entity."""

import json
import time

import pytest

from assistant import Assistant
from conftest import invent_device
from harness import LANDFALL, Home, Program, need
from test_bridge import Mosquitto, eventually, external, free_port, run  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 120  # seconds: Home Assistant starts on a loaded machine
# Statistics are made every five minutes.
STATISTICS = 400
METER = {"1": True, "9": 0, "17": 0, "18": 435, "19": 998, "20": 2301, "38": "last"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Virtual devices of several classes."""
    child = ["[[device.child]]", 'name = "cellar sensor"', 'kind = "battery-sensor"']
    devices = [
        invent_device("3.4", kind="bulb", name="living/lamp"),
        invent_device("3.3", kind="cover", name="curtain", toml=["travel_s = 1"]),
        invent_device("3.5", kind="thermostat", name="heating"),
        invent_device("3.3", kind="gateway", name="gateway", toml=child),
    ]
    home = Home(tmp_path_factory.mktemp("home"), devices)
    yield home
    home.program.stop()


@pytest.fixture
def meter(start_device):
    """A metering plug made of tinytuya's parts: what it shows and counts is what the test says."""
    meter = start_device("tinytuya", "3.3", METER)
    entry = {key: meter.config[key] for key in ("id", "key", "version", "port")}
    meter.entry = entry | {"ip": meter.config["address"], "name": "kitchen plug", "category": "cz"}
    return meter


class Hub:
    """`landfall run` for the virtual devices and the meter."""

    def __init__(self, folder, home, meter, settings):
        need(LANDFALL.exists(), "NEED cargo build -p landfall")
        self.book = [LANDFALL, "--data-dir", folder / "data"]
        file = folder / "devices.json"
        file.write_text(json.dumps([*home.written, meter.entry]))
        run(*self.book, "device", "import", file)
        self.password = run(*self.book, "cloud", "user", "add", "ann").split()[-1]
        self.port = free_port()
        words = [f"cloud.{server}=off" for server in ("http", "https", "mqtts", "mqtt_psk", "dns")]
        words += [f"cloud.mqtt=127.0.0.1:{self.port}", "page.listen=127.0.0.1:0", "lan.discovery=false", *settings]
        self.settings = words
        self.program = None

    def start(self, *more):
        words = [*self.settings, *more]
        self.program = Program([*self.book, "run", *(w for word in words for w in ("--set", word))])

    def stop(self):
        return self.program.stop() if self.program else None


@pytest.fixture
def start(started, tmp_path, home, meter):
    """The hub, running, and a Home Assistant that has not started."""

    def begin(*settings):
        hub = Hub(tmp_path, home, meter, settings)
        started.append(hub)
        hub.start()
        assistant = Assistant(tmp_path / "assistant", free_port(), PATIENCE)
        started.append(assistant)
        return hub, assistant

    return begin


def discovered(mosquitto):
    """The discovery topics of ours that are retained."""
    heard = mosquitto.hear("homeassistant/+/landfall/+/config", seconds=3)
    return {topic: json.loads(payload) for topic, (payload, _) in heard.items() if payload}


def test_home_assistant_lives_with_the_home(start, home, meter, external):  # noqa: F811
    options, mosquitto = external
    hub, assistant = start(*options, "mqtt.discovery=entity")
    assistant.start()
    assistant.add_mqtt(mosquitto.port, mosquitto.user, mosquitto.password)
    ids = {entry["name"]: entry["id"] for entry in home.written} | {"kitchen plug": meter.config["id"]}
    plug, lamp, curtain, heating, sensor = (
        ids[name] for name in ("kitchen plug", "living/lamp", "curtain", "heating", "cellar sensor")
    )

    # Entities with their classes.
    switch = f"landfall_{plug}_dp1"
    power = assistant.shows(f"landfall_{plug}_dp19", lambda s: s["state"] == "99.8", "power")["attributes"]
    assert (power["device_class"], power["state_class"], power["unit_of_measurement"]) == ("power", "measurement", "W")
    energy = assistant.shows(f"landfall_{plug}_energy", lambda s: float(s["state"]) == 0, "energy")["attributes"]
    assert (energy["device_class"], energy["state_class"], energy["unit_of_measurement"]) == ("energy", "total_increasing", "kWh")
    assert assistant.shows(switch, lambda s: s["state"] == "on", "the switch")["attributes"]["device_class"] == "outlet"
    for key, kind in (("dp20", "voltage"), ("dp18", "current"), ("power_factor", "power_factor")):
        assert assistant.shows(f"landfall_{plug}_{key}", lambda s: s["state"] != "unknown", key)["attributes"]["device_class"] == kind
        assert assistant.entities()[f"landfall_{plug}_{key}"]["entity_category"] == "diagnostic"
    temperature = assistant.shows(f"landfall_{sensor}_dp1", lambda s: float(s["state"]) > 0, "the sensor")["attributes"]
    assert temperature["device_class"] == "temperature"

    # Devices and through what they are reached.
    devices = assistant.devices()
    bridge = next(device for identifier, device in devices.items() if identifier.startswith("landfall_bridge_"))
    assert devices[f"landfall_{plug}"]["via_device_id"] == bridge["id"]
    assert devices[f"landfall_{sensor}"]["via_device_id"] == devices[f"landfall_{ids['gateway']}"]["id"]
    assert devices[f"landfall_{plug}"]["name"] == "kitchen plug"

    # A switch, both ways.
    assistant.call("switch.turn_off", switch)
    meter.points({"1": False})
    assistant.shows(switch, lambda s: s["state"] == "off", "off")
    assistant.call("switch.turn_on", switch)
    meter.points({"1": True})
    assistant.shows(switch, lambda s: s["state"] == "on", "on")
    meter.do("change", dps={"1": False})
    assistant.shows(switch, lambda s: s["state"] == "off", "off by hand")

    # A light.
    light = f"landfall_{lamp}_light"
    assistant.shows(light, lambda s: s["state"] in ("on", "off"), "the light")
    assistant.call("light.turn_on", light, brightness=128, hs_color=[120, 100])
    shown = assistant.shows(
        light,
        lambda s: s["state"] == "on" and s["attributes"].get("color_mode") == "hs" and abs(s["attributes"]["brightness"] - 128) <= 1,
        "green",
    )
    hue, saturation = shown["attributes"]["hs_color"]
    assert abs(hue - 120) <= 1 and abs(saturation - 100) <= 1, shown
    assert set(shown["attributes"]["supported_color_modes"]) == {"hs", "color_temp"}
    assistant.call("light.turn_on", light, color_temp=250)
    assistant.shows(
        light,
        lambda s: s["attributes"].get("color_mode") == "color_temp" and abs(s["attributes"]["color_temp"] - 250) <= 1,
        "warm white",
    )
    assistant.call("light.turn_on", light, effect="scene")
    assistant.shows(light, lambda s: s["attributes"].get("effect") == "scene", "a scene")
    assistant.call("light.turn_off", light)
    assistant.shows(light, lambda s: s["state"] == "off", "dark")

    # A cover.
    cover = f"landfall_{curtain}_cover"
    assistant.shows(cover, lambda s: s["state"] in ("open", "closed"), "the cover")
    assistant.call("cover.set_cover_position", cover, position=30)
    assistant.shows(cover, lambda s: s["attributes"].get("current_position") == 30, "a third open")
    assistant.call("cover.close_cover", cover)
    assistant.shows(cover, lambda s: s["state"] == "closed", "closed")

    # A thermostat.
    climate = f"landfall_{heating}_climate"
    assistant.shows(climate, lambda s: s["attributes"].get("current_temperature") is not None, "the thermostat")
    assistant.call("climate.set_hvac_mode", climate, hvac_mode="heat")
    assistant.call("climate.set_temperature", climate, temperature=21.5)
    assistant.shows(climate, lambda s: s["state"] == "heat" and s["attributes"]["temperature"] == 21.5, "21.5 degrees")
    assistant.call("climate.set_preset_mode", climate, preset_mode="holiday")
    assistant.shows(climate, lambda s: s["attributes"]["preset_mode"] == "holiday", "holiday")
    assistant.call("climate.set_hvac_mode", climate, hvac_mode="off")
    assistant.shows(climate, lambda s: s["state"] == "off", "no heating")

    # A device goes, and the hub goes.
    hub.stop()
    assistant.shows(switch, lambda s: s["state"] == "unavailable", "the hub is gone")
    assistant.shows(light, lambda s: s["state"] == "unavailable", "the hub is gone")
    assert assistant.shows(f"landfall_{bridge_key(bridge)}_connection", lambda s: s["state"] == "off", "no hub")
    hub.start()
    assistant.shows(switch, lambda s: s["state"] == "off", "the hub is back")

    # Energy: it counts, and long-term statistics are made of it.
    for watt_hours in (150, 160):
        before = float(assistant.state(f"landfall_{plug}_energy")["state"])
        meter.do("change", dps={"17": watt_hours})
        assistant.shows(f"landfall_{plug}_energy", lambda s: float(s["state"]) >= before + watt_hours / 1000 - 0.001, "more energy")
    statistic = assistant.entities()[f"landfall_{plug}_energy"]["entity_id"]

    # A new name: the same entities, and nothing under the old one.
    entities = set(assistant.entities())
    topics = set(discovered(mosquitto))
    assert mosquitto.ask("device/rename", {"from": "kitchen plug", "to": "cellar/oven"})["status"] == "ok"
    eventually("the new name", lambda: mosquitto.kept("landfall/cellar/oven/availability"))
    assistant.until("the new name", lambda: assistant.devices()[f"landfall_{plug}"]["name"] == "cellar/oven")
    assert set(assistant.entities()) == entities
    assert set(discovered(mosquitto)) == topics
    assert mosquitto.kept("landfall/kitchen plug") is None
    assistant.call("switch.turn_on", switch)
    assistant.shows(switch, lambda s: s["state"] == "on", "on under its new name")

    # Removed: no entity, no device, no topic.
    assert mosquitto.ask("device/remove", {"id": "curtain"})["status"] == "ok"
    assistant.until("no entity of it", lambda: not any(curtain in unique for unique in assistant.entities()))
    assistant.until("no device of it", lambda: f"landfall_{curtain}" not in assistant.devices())
    assert not [topic for topic in discovered(mosquitto) if curtain in topic]

    def counted():
        at = "2020-01-01T00:00:00+00:00"
        found = assistant.ask(
            "recorder/statistics_during_period", start_time=at, statistic_ids=[statistic], period="5minute", types=["sum", "state"]
        )
        rows = found.get(statistic) or []
        return rows[-1] if rows and rows[-1]["sum"] >= 0.3 else None

    row = assistant.until("energy statistics", counted, STATISTICS)
    assert row["sum"] == pytest.approx(0.31, abs=0.002) and row["state"] == pytest.approx(0.31, abs=0.002), row
    listed = {s["statistic_id"]: s for s in assistant.ask("recorder/list_statistic_ids")}
    assert listed[statistic]["has_sum"] and listed[statistic]["unit_class"] == "energy"
    assert not assistant.ask("recorder/validate_statistics").get(statistic)
    # It is what the Energy dashboard takes.
    assistant.ask("energy/save_prefs", device_consumption=[{"stat_consumption": statistic}])
    faults = assistant.ask("energy/validate")
    assert faults["device_consumption"] == [[]], faults

    # Turned off: everything of ours goes.
    hub.stop()
    hub.start("mqtt.discovery=off")
    assistant.until("no entity of ours", lambda: not assistant.entities())
    assert discovered(mosquitto) == {}
    assert assistant.complaints() == []


def bridge_key(device):
    """The identity of the bridge, from its device."""
    return next(i[1] for i in device["identifiers"]).removeprefix("landfall_")


def test_home_assistant_on_the_broker_of_landfall(start, home, meter):
    hub, assistant = start("mqtt.discovery=entity")
    assistant.start()
    mosquitto = Mosquitto(hub.port, "ann", hub.password)
    eventually("the broker", lambda: mosquitto._run("mosquitto_pub", "-t", "up", "-m", "x").returncode == 0)
    assistant.add_mqtt(hub.port, "ann", hub.password)
    switch = f"landfall_{meter.config['id']}_dp1"
    assistant.shows(switch, lambda s: s["state"] == "on", "the switch")
    assistant.call("switch.turn_off", switch)
    meter.points({"1": False})
    assistant.shows(switch, lambda s: s["state"] == "off", "off")
    # Somebody deleted what was told; Home Assistant's next start brings it back.
    topics = set(discovered(mosquitto))
    mine = next(topic for topic in topics if topic.endswith(f"{meter.config['id']}_dp1/config"))
    mosquitto.say(mine, "", "-r")
    assistant.until("no switch", lambda: switch not in assistant.entities())
    mosquitto.say("homeassistant/status", "online")
    assistant.shows(switch, lambda s: s["state"] == "off", "the switch again")
    assert set(discovered(mosquitto)) == topics
    assert assistant.complaints() == []
    key = meter.config["key"]
    assert not [t for t, payload in discovered(mosquitto).items() if key in json.dumps(payload)]
    hub.stop()
    assistant.shows(switch, lambda s: s["state"] == "unavailable", "the broker is gone")
    # It comes back with other settings: what the other form had is gone, though its broker forgot it.
    started = time.monotonic()
    hub.start("mqtt.discovery=off")
    assistant.until("no entity of ours", lambda: not assistant.entities())
    assert time.monotonic() - started < PATIENCE
