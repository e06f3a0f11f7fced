#!/usr/bin/env python3
"""Messages per CPU-second: the old Node-RED flow (MQTT in, a function node with crypto-js), and our server beside it.

    interop/bench/run [--messages N] [--ours COMMAND]

Prints one JSON object. Both are measured in the same run, one after the other, because absolute figures of two runs can't
be compared. The flow takes reports of 500 devices from a Mosquitto, decrypts and parses them, and checks no signature;
COMMAND measures ours and prints JSON lines, as crates/cloud/benches/mqtt.rs does.
"""

import argparse
import base64
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HERE = Path(__file__).resolve().parent
INSTALLED = Path(os.environ["LANDFALL_BENCH_MODULES"])
DEVICES = 500
KEY = b"0123456789abcdef"
DEADLINE = 60.0

# The decrypting node of the flow, and one that tells when all have come.
DECRYPT = """var CryptoJS = global.get("CryptoJS");
key = CryptoJS.enc.Utf8.parse(msg.localkey);
cypher = msg.payload.substring(19);
e = CryptoJS.AES.decrypt(cypher, key, { mode: CryptoJS.mode.ECB, keySize: 128 });
msg.payload = JSON.parse(CryptoJS.enc.Utf8.stringify(e).toString());
return msg;"""
COUNT = """var seen = (context.get("seen") || 0) + (msg.payload.data.dps["1"] === true ? 1 : 0);
context.set("seen", seen);
return seen % %d == 0 ? { topic: "bench/done", payload: String(seen) } : null;"""


def sealed(number):
    device = f"bench{number % DEVICES:017d}"
    data = {"devId": device, "dps": {"1": True, "4": 176, "5": 187, "6": 1190 + number % 20}}
    text = json.dumps({"protocol": 4, "t": 1_600_000_000 + number, "data": data, "s": number}, separators=(",", ":"))
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    cipher = base64.b64encode(encryptor.update(padder.update(text.encode()) + padder.finalize()))
    signature = hashlib.md5(b"data=" + cipher + b"||pv=2.1||" + KEY).hexdigest()[8:24]
    return f"smart/device/out/{device}", b"2.1" + signature.encode() + cipher


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(wanted, what):
    end = time.monotonic() + DEADLINE
    while not wanted():
        if time.monotonic() > end:
            sys.exit(f"interop/bench: no {what} in {DEADLINE} s")
        time.sleep(0.02)  # polling a real condition, up to the deadline above


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def flow_file(port, batch):
    function = {"type": "function", "z": "tab", "outputs": 1}
    return [
        {"id": "tab", "type": "tab", "label": "plugs"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": port, "clientid": "flow",
         "protocolVersion": "4", "keepalive": "60", "cleansession": True, "autoConnect": True, "usetls": False},
        {"id": "in", "type": "mqtt in", "z": "tab", "topic": "smart/device/out/+", "qos": "0", "datatype": "utf8",
         "broker": "broker", "inputs": 0, "wires": [["key"]]},
        {"id": "key", **function, "func": f'msg.localkey = "{KEY.decode()}"; return msg;', "wires": [["open"]]},
        {"id": "open", **function, "func": DECRYPT, "wires": [["count"]]},
        {"id": "count", **function, "func": COUNT.replace("%d", str(batch)), "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", "z": "tab", "topic": "", "qos": "1", "retain": "false", "broker": "broker",
         "wires": []},
    ]


SETTINGS = """module.exports = {
    uiHost: "127.0.0.1", uiPort: %d, httpAdminRoot: false, httpNodeRoot: false, flowFile: "flows.json",
    functionGlobalContext: { CryptoJS: require("%s") },
    logging: { console: { level: "warn" } }, credentialSecret: false,
};
"""


def measure_flow(messages):
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if not mosquitto:
        sys.exit("interop/bench: mosquitto is missing (Debian package mosquitto)")
    with tempfile.TemporaryDirectory() as folder:
        folder, port, batch = Path(folder), free_port(), max(messages // 10, 1)
        me = "user root\n" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(
            f"{me}listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        )
        (folder / "flows.json").write_text(json.dumps(flow_file(port, batch)))
        (folder / "settings.js").write_text(SETTINGS % (free_port(), INSTALLED / "crypto-js"))
        programs = [subprocess.Popen([mosquitto, "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL)]
        try:
            until(lambda: listens(port), "Mosquitto")
            node_red = ["node", INSTALLED / "node-red" / "red.js", "-u", folder, "-s", folder / "settings.js"]
            programs.append(subprocess.Popen(node_red, stdout=subprocess.DEVNULL))
            return feed(port, messages, batch, programs[1].pid)
        finally:
            for program in reversed(programs):
                program.terminate()
                try:
                    program.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    program.kill()
                    program.wait(timeout=10)


def feed(port, messages, batch, pid):
    """Warms the flow up with one batch, then measures the others; never more than two batches are under way."""
    came, changed = [0], threading.Condition()

    def on_message(client, userdata, message):
        with changed:
            came[0] = int(message.payload)
            changed.notify_all()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="bench")
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe("bench/done", 1)
    client.loop_start()

    def come(number):
        with changed:
            if not changed.wait_for(lambda: came[0] >= number, DEADLINE):
                sys.exit(f"interop/bench: the flow took {came[0]} of {number} messages in {DEADLINE} s")

    payloads = [sealed(number) for number in range(batch)]
    # Until the flow has subscribed, what is published goes nowhere: the first whole batch that comes back is the start.
    sent = 0
    end = time.monotonic() + DEADLINE
    while came[0] == 0:
        if time.monotonic() > end:
            sys.exit(f"interop/bench: the flow took nothing in {DEADLINE} s")
        client.publish(*payloads[sent % batch])
        sent += 1
        time.sleep(0.002)
    with changed:
        changed.wait_for(lambda: False, 0.5)  # what is still under way belongs to the warm-up
    start = came[0]
    begun = cpu_seconds(pid)
    for done in range(1, messages // batch + 1):
        for topic, payload in payloads:
            client.publish(topic, payload)
        come(start + max(done - 1, 0) * batch)
    come(start + (messages // batch) * batch)
    used = cpu_seconds(pid) - begun
    client.loop_stop()
    client.disconnect()
    counted = (messages // batch) * batch
    return {"messages": counted, "cpu_seconds": round(used, 3), "messages_per_cpu_second": round(counted / max(used, 0.01))}


def measure_ours(command):
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=3_000)
    if done.returncode != 0:
        sys.exit(f"interop/bench: {command} ended with {done.returncode}: {done.stderr[-2000:]}")
    figures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # The flow subscribes with QoS 0, so that is what it is compared with, where there is a choice.
    ours = [f for f in figures if f.get("case") == "reports" and f.get("server") == "landfall"]
    ours.sort(key=lambda f: f.get("qos", 0))
    if not ours:
        sys.exit(f"interop/bench: {command} printed no figure of ours as JSON")
    return ours[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--ours", help="measures our server and prints JSON lines with messages_per_cpu_second")
    arguments = parser.parse_args()
    result = {"node_red": measure_flow(arguments.messages)}
    if arguments.ours:
        result["landfall"] = measure_ours(arguments.ours)
        theirs = result["node_red"]["messages_per_cpu_second"]
        result["ratio"] = round(result["landfall"]["messages_per_cpu_second"] / theirs, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
