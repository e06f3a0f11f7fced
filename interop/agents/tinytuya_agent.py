"""tinytuya as a client, driven by JSON lines (see README.md, "Agents")."""

import json
import os
import select
import sys

import tinytuya


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Lines:
    """Lines of standard input, read without hiding bytes from select()."""

    def __init__(self):
        self.rest = b""

    def read(self):
        chunk = os.read(0, 65536)
        if not chunk:
            return None
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]


def report(event, result):
    """Tells what tinytuya handed over: points, an error, or nothing."""
    if isinstance(result, dict) and "dps" in result:
        say(event=event, dps=result["dps"], cid=result.get("cid") or result.get("data", {}).get("cid"))
    elif isinstance(result, dict) and "Error" in result:
        say(event="error", during=event, error=result["Error"], code=result.get("Err"))
    else:
        say(event=event, dps=None, raw=repr(result))


def obey(device, command):
    what = command["do"]
    if what == "status":
        report("status", device.status())
    elif what == "set":
        report("set", device.set_value(command["dp"], command["value"]))
    elif what == "set_many":
        report("set_many", device.set_multiple_values(command["dps"]))
    elif what == "heartbeat":
        # tinytuya says nothing of an empty answer; the frames that it received do.
        device.heartbeat(nowait=False)
        answers = [m.retcode for m in device.raw_recv if m.cmd == tinytuya.HEART_BEAT]
        say(event="heartbeat", retcode=answers[0] if answers else None)
    elif what == "refresh":
        report("refresh", device.updatedps(command["dps"]))
    elif what == "children":
        report_raw = device.subdev_query()
        say(event="children", raw=report_raw)
    else:
        say(event="error", during=what, error="unknown command")


def main():
    lines = Lines()
    pending = lines.read()
    config = pending.pop(0)
    device = tinytuya.Device(
        config["id"],
        address=config["address"],
        local_key=config["key"],
        port=config["port"],
        version=float(config["version"]),
        persist=True,
        connection_timeout=config.get("timeout", 5),
        connection_retry_limit=1,
        connection_retry_delay=1,
    )
    target = device
    if config.get("cid"):
        target = tinytuya.Device(config["cid"], cid=config["cid"], parent=device)
    device.set_sendWait(None)
    connected = device._get_socket(False)  # the public calls connect too; this one says how it went
    if connected is not True:
        say(event="error", during="connect", error="not connected", code=connected)
        return 1
    say(event="connected", detected=device.dps_cache)
    while True:
        for command in pending:
            obey(target, command)
        pending = []
        watched = [0] + ([device.socket] if device.socket else [])
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready:
            pending = lines.read()
            if pending is None:
                return 0
        elif ready:
            result = device.receive()
            report("push", result)
            if device.socket is None:
                say(event="closed")
                return 0


if __name__ == "__main__":
    sys.exit(main())
