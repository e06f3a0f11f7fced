"""tinytuya's scanner, once. Standard input: {"seconds": N}. Says what it found, as one JSON line."""

import json
import sys

from tinytuya import scanner

config = json.loads(sys.stdin.readline())
print(json.dumps({"event": "scanning"}), flush=True)
found = scanner.devices(verbose=False, scantime=config["seconds"], color=False, poll=False, byID=True)
keep = ("ip", "gwId", "version", "productKey", "active", "encrypt", "origin")
devices = {id: {key: value[key] for key in keep if key in value} for id, value in found.items()}
print(json.dumps({"event": "found", "devices": devices}), flush=True)
