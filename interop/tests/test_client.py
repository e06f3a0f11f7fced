"""`landfall get`, `set` and `watch` with devices that other people's code speaks for."""

import json
import time

import pytest

from harness import DEADLINE

VERSIONS = ("3.1", "3.2", "3.3", "3.4", "3.5")
QUERIES = (0x0A, 0x10)
# A text with spaces, quotes and letters beyond ASCII: tinytuya's users lose such spaces, Landfall must not.
POINTS = {"1": True, "2": "white", "3": 25, "9": 0, "20": 2301, "107": 'Grüße, "Küche" \u2603'}


def answered_query(device, version, after):
    """The device has answered a query (3.2: a set of nulls), so what it pushes from now on is a change."""
    wanted = (0x0D,) if version == "3.2" else QUERIES
    device.wait(lambda m: m["event"] == "answered" and m["cmd"] in wanted, "an answer to a query", after=after)


@pytest.fixture
def foreign(start_device, landfall_for):
    """A device on tinytuya's codec, and a landfall that knows it."""

    def start(version, dps=None):
        device = start_device("tinytuya", version, dict(POINTS if dps is None else dps))
        return device, landfall_for(device.config), device.config["name"]

    return start


@pytest.mark.parametrize("version", VERSIONS)
def test_get_reads_what_the_device_has(foreign, version):
    device, landfall, name = foreign(version)
    shown = landfall.get(name)
    if version == "3.2":
        # Only points that the query names are answered, and a query names what may be there.
        assert shown["1"] is True
        assert all(shown[dp] == POINTS[dp] for dp in shown)
    else:
        assert shown == POINTS
    assert landfall.run("get", name, "1").strip() == "true"
    assert device.faults() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_set_reaches_the_device_and_is_confirmed(foreign, version):
    device, landfall, name = foreign(version)
    for assignment, point, value in [("1=false", "1", False), ("9=60", "9", 60), ("2=colour", "2", "colour")]:
        assert landfall.set(name, assignment) == "confirmed"
        device.wait(lambda m: m["event"] == "set" and m["dps"] == {point: value}, f"the set of {point}")
    device.do("read")
    state = device.event("state", after=0)["dps"]
    assert (state["1"], state["9"], state["2"]) == (False, 60, "colour")
    assert device.faults() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_several_points_go_in_one_set(foreign, version):
    device, landfall, name = foreign(version)
    assert landfall.set(name, "1=false", "3=30", '107="a  b"') == "confirmed"
    device.wait(lambda m: m["event"] == "set" and m["dps"] == {"1": False, "3": 30, "107": "a  b"}, "one set", after=0)
    faults = [f for f in device.faults() if f["what"] != "spaces in the JSON"]
    assert faults == []


@pytest.mark.parametrize("version", VERSIONS)
def test_set_of_the_present_value_is_confirmed_without_a_push(foreign, version):
    device, landfall, name = foreign(version)
    assert landfall.set(name, "1=true") == "confirmed"
    assert device.faults() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_watch_follows_pushes_and_comes_back(foreign, started, version):
    device, landfall, name = foreign(version)
    watch = landfall.watch(name)
    started.append(watch)

    def next_change():
        line = watch.line()
        assert line is not None, f"watch ended; {watch.stderr()}"
        change = json.loads(line)
        return change["name"], change["dp"], change["old"], change["new"]

    answered_query(device, version, after=0)
    device.do("change", dps={"1": False})
    assert next_change() == (name, 1, True, False)
    mark = len(device.heard)
    device.do("hang_up")
    device.wait(lambda m: m["event"] == "client", "a new connection", after=mark)
    answered_query(device, version, after=mark)
    device.do("change", dps={"1": True})
    assert next_change() == (name, 1, False, True)
    assert device.faults() == []


@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_key_is_an_error_and_changes_nothing(start_device, landfall_for, version):
    device = start_device("tinytuya", version, POINTS)
    landfall = landfall_for({**device.config, "key": "0123456789abcdef"})
    landfall.run("set", device.config["name"], "1=false", "--timeout", "3", code=1)
    device.do("read")
    assert device.event("state", after=0)["dps"] == POINTS


STUB_POINTS = {"1": True, "2": 5}


@pytest.fixture
def stub(start_device, landfall_for):
    def start(version):
        device = start_device("stub", version, dict(STUB_POINTS))
        return device, landfall_for(device.config), device.config["name"]

    return start


@pytest.mark.parametrize("version", ("3.1", "3.3"))
def test_stub_is_read_and_set(stub, version):
    device, landfall, name = stub(version)
    assert landfall.get(name) == STUB_POINTS
    assert landfall.set(name, "1=false") == "confirmed"
    assert landfall.set(name, "2=7") == "confirmed"
    device.do("read")
    assert device.event("state", after=0)["dps"] == {"1": False, "2": 7}
    assert landfall.get(name) == {"1": False, "2": 7}
    assert device.faults() == []


@pytest.mark.parametrize("version", ("3.1", "3.3"))
def test_stub_is_watched(stub, started, version):
    device, landfall, name = stub(version)
    watch = landfall.watch(name)
    started.append(watch)
    device.event("client", after=0)
    # The stub doesn't say when it has answered the first query: change the point until the watch has a value to compare.
    end = time.monotonic() + DEADLINE
    value, line = 100, None
    while line is None and time.monotonic() < end:
        value += 1
        device.do("change", dps={"2": value})
        try:
            line = watch.line(seconds=0.3)
        except TimeoutError:
            continue
    assert line is not None, watch.stderr()
    change = json.loads(line)
    assert (change["name"], change["dp"]) == (name, 2)
    assert 101 <= change["new"] <= value
    assert device.faults() == []
