"""tinytuya's Monitor on many devices at once (see README.md, "Agents"). Standard input: a list of configurations, then
commands {"id": ..., "dp": ..., "value": ...} that are sent through the monitor's handles."""

import json
import sys

import tinytuya


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def on_status(device, result):
    if isinstance(result, dict) and "dps" in result:
        say(event="push", id=device.id, dps=result["dps"])
    elif isinstance(result, dict) and "Error" in result:
        say(event="error", id=device.id, error=result["Error"], code=result.get("Err"))


def main():
    monitor = tinytuya.Monitor(
        on_status=on_status,
        on_disconnect=lambda device, error: say(event="closed", id=device.id, error=str(error)),
        heartbeat_interval=1,
    )
    handles = {}
    for config in json.loads(sys.stdin.readline()):
        device = tinytuya.OutletDevice(
            config["id"],
            config["address"],
            config["key"],
            version=float(config["version"]),
            port=config["port"],
            persist=True,
            connection_retry_limit=1,
        )
        device.set_sendWait(None)
        handles[config["id"]] = monitor.add(device)
    monitor.start()
    say(event="connected")
    for line in sys.stdin:
        command = json.loads(line)
        handles[command["id"]].set_value(command["dp"], command["value"])
    monitor.stop()


if __name__ == "__main__":
    main()
