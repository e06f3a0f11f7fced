#!/usr/bin/env python3
"""Makes the first inputs of the fuzz targets from vectors/lan.json and vectors/cloud.json. Run from anywhere; adds files, removes none."""

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = json.loads((HERE.parent / "vectors" / "lan.json").read_text())
CLOUD = json.loads((HERE.parent / "vectors" / "cloud.json").read_text())["vectors"]
VERSIONS = ["3.1", "3.2", "3.3", "3.4", "3.5"]


def add(target, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("seed-" + hashlib.sha1(data).hexdigest()[:12])).write_bytes(data)


def piece(data):
    """A length byte and so many bytes; longer data in several steps of its opcode is the caller's affair."""
    data = data[:255]
    return bytes([len(data)]) + data


def codec():
    for frame in VECTORS["frames"]:
        version = VERSIONS.index(frame["version"])
        role = 0x80 if frame["direction"] == "client_to_device" else 0
        raw = bytes.fromhex(frame["frame_hex"])
        add("codec", bytes([version | role, len(raw) // 2]) + raw)
        flags = 1 if frame["retcode"] else 0
        flags |= 4 if frame["source_header"] else 0
        flags |= 8 if frame["payload_form"] == "plaintext" else 0
        body = bytes.fromhex(frame["plaintext_hex"])
        add("codec", bytes([version | role | 0x40, frame["cmd"] & 0xFF, flags]) + body)
    for stream in VECTORS["streams"]:
        version = VERSIONS.index(stream["version"])
        role = 0x80 if stream["side"] == "device" else 0
        chunks = [bytes.fromhex(c) for c in stream["chunks_hex"]]
        if sum(map(len, chunks)) < 400:
            add("codec", bytes([version | role, min(len(chunks[0]), 255)]) + b"".join(chunks))


def body():
    for case in VECTORS["json"]:
        add("body", case["input"].encode())
    for frame in VECTORS["frames"]:
        plain = bytes.fromhex(frame["plaintext_hex"])
        if plain and frame["plaintext"]["kind"].startswith("json"):
            add("body", plain)
    add("body", b'{"1":true,"18":120,"21":"white","38":null,"50":1.5,"51":23.0,"52":[1,2],"53":-7}')
    add("body", b'{"reqType":"subdev_online_stat_report","data":{"online":["a4c1"],"offline":["b4"]}}')
    add("body", b'{"dpId":[18,19,20,"21",70000],"cid":["a4c138fffe012345"]}')


def datagram():
    for case in VECTORS["discovery"]:
        add("datagram", b"\0" + bytes.fromhex(case["datagram_hex"]))
        if case["plaintext"]:
            text = json.dumps(case["plaintext"], separators=(",", ":")).encode()
            for mode in (1, 2, 3, 0x41, 0x42, 0x61):
                add("datagram", bytes([mode]) + text)


def wifi_config():
    texts = [
        '{"ssid":"home","passwd":"p%20\\\\w","token":"EUabcdefgh0101"}',
        '{"ssid":"open"}',
        '{"ssid":"Caf\u00e9 \\"5G\\"","passwd":"secret-secret","reg":{"region":"EU","n":1.5}}',
        '{"reqType":"query_dev","data":{}}',
        '{"reqType":"get_wifi_list","data":{"cnt":20}}',
        '{"reqType":"query_netcfg_stat","data":{}}',
        '{"reqType":"query_dev_rpt","data":{"uuid":"uuid0123456789ab","pk":"key"}}',
        '{"reqType":"wifi_list_rpt","data":[{"ssid":"home","rssi":-40,"sec":5}]}',
        '{"reqType":"netcfg_stat_rpt","data":{"stage":3,"status":0}}',
        '{"reqType":"other_rpt"}',
        '{"ssid":5}',
        '{"ssid":"x","passwd":null,"token":null,"reg":null}',
        '{"ssid":"' + "x" * 33 + '"}',
    ]
    for text in texts:
        add("wifi_config", text.encode())
        add("wifi_config", text.encode() + b"\0\0")


def sessions():
    """Scripts: establish, then the frames of the vectors as content and as raw bytes, with requests and time between."""
    for version, name in enumerate(VERSIONS):
        negotiates = version >= 3
        ours = [f for f in VECTORS["frames"] if f["version"] == name]
        opening = b"\x03" if negotiates else b""
        for frame in ours:
            plain = bytes.fromhex(frame["plaintext_hex"])
            raw = bytes.fromhex(frame["frame_hex"])
            if frame["direction"] == "device_to_client":
                flags = 2 if frame["source_header"] else 0
                flags |= 0x80 if frame["retcode"] and frame["retcode"]["value"] else 0
                content = piece(bytes([frame["cmd"] & 0xFF, flags]) + plain)
                for request in (0x05, 0x0D, 0x15, 0x1D):
                    script = opening + bytes([request, 1, request, 0, 0x01]) + content
                    add("client", bytes([version]) + script + b"\x04\x64\x06\x06")
                    break
                add("client", bytes([version]) + opening + b"\x0d\x05\x00" + piece(raw) + b"\x06\x01" + content)
            else:
                flags = 2 if frame["source_header"] else 0
                content = piece(bytes([frame["cmd"] & 0xFF, flags]) + plain)
                start = b"\x03\x04" if negotiates else b""
                for habits in (0, 0x1F):
                    add("device", bytes([version, habits]) + start + b"\x01" + content + b"\x06\x13\x05\x20")
                add("device", bytes([version, 0]) + start + b"\x00" + piece(raw))
        for request in range(5):
            op = bytes([0x05 | request << 3])
            add("client", bytes([version]) + opening + op + b"\x01" + op + b"\x02" + b"\x06" * 8 + b"\x07")
            add("client", bytes([version | 0x40]) + op + b"\x00\x87")
    for conversation in VECTORS["sessions"]:
        version = VERSIONS.index(conversation["version"])
        for target, direction in (("client", "device_to_client"), ("device", "client_to_device")):
            frames = [s["frame_hex"] for s in conversation["steps"] if s["direction"] == direction]
            script = b"".join(b"\0" + piece(bytes.fromhex(f)) for f in frames)
            add(target, bytes([version]) + (b"\0" if target == "device" else b"") + script)


def cloud():
    for case in CLOUD:
        kind, given, wanted = case["kind"], case["inputs"], case["expected"]
        payload = wanted.get("payload") or given.get("payload")
        frame = wanted.get("frame_hex") or given.get("frame_hex") or given.get("identity_hex") or wanted.get("identity_hex")
        if payload:
            add("mqtt", b"\0" + payload.encode())
        if frame:
            add("mqtt", b"\0" + bytes.fromhex(frame))
        if kind in ("mqtt21", "mqtt22", "mqtt23"):
            for mode in range(4):
                add("mqtt", bytes([mode]) + given["plaintext"].encode())
        for text in (wanted.get("reply"), given.get("topic"), wanted.get("subscribe"), wanted.get("username")):
            if text:
                add("mqtt", b"\0" + text.encode())
        if kind == "http_sign":
            add("gateway", b"\0/gw.json?" + wanted["query"].encode() + b"\ndata=00")
        if kind.startswith("http_body"):
            add("gateway", b"\0/d.json?a=tuya.device.active\n" + wanted["body"].encode())
            add("gateway", b"\3" + given["plaintext"].encode())
        if kind.startswith("http_reply"):
            add("gateway", b"\1" + (wanted.get("body") or given.get("body")).encode())
            for mode in b"\1\3":
                add("gateway", bytes([mode]) + given.get("inner", "{}").encode())
        if kind == "iotdns_parse":
            add("gateway", b"\2" + given["body"].encode())
            add("gateway", b"\2" + wanted.get("reply_accepted", "[]").encode())
    texts = [
        '{"secKey":"5ec0123456789abc","localKey":"10ca1key01234567","schema":"[]","dstIntervals":[[1,2]]}',
        '{"token":"a1b2c3d4","productKey":"keytest0pid00001","options":"{\\"isFK\\":true}","t":20}',
        '[{"host":"h","port":443,"need_ca":true},{"domain":"a1.tuyacn.com","need_ip6":true}]',
        '{"caArr":["MIID"],"httpUrl":"http://h/d.json","mqttUrl":{"addr":"h:1883","ips":[]},"ttl":600}',
    ]
    for text in texts:
        add("gateway", b"\2" + text.encode())


codec()
body()
datagram()
wifi_config()
sessions()
cloud()
