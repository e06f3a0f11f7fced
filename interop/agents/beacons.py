"""Discovery datagrams made with tinytuya's codec: beacons of every version, and answers on port 7000.

Standard input: {"broadcast": "10.77.0.255", "devices": [{"id", "address", "version", "silent"}]}. A `silent` device
sends no beacons and answers only when asked, as new 3.5 devices do.
"""

import json
import select
import socket
import struct
import sys
import time

from tinytuya.core import command_types as CT
from tinytuya.core import header as H
from tinytuya.core.crypto_helper import AESCipher
from tinytuya.core.message_helper import TuyaMessage, pack_message, unpack_message
from tinytuya.core.udp_helper import decrypt_udp, udpkey

# tinytuya names only the commands that it sends.
UDP = 0x00
BROADCAST_LPV34 = 0x23
EVERY = 0.5


def say(**message):
    print(json.dumps(message), flush=True)


def body(device):
    words = {
        "ip": device["address"],
        "gwId": device["id"],
        "active": 2,
        "ablilty": 0,
        "encrypt": device["version"] != "3.1",
        "productKey": "keyvect0rtest123",
        "version": device["version"],
    }
    return json.dumps(words, separators=(",", ":")).encode()


def datagram(device):
    """(bytes, port) of the device's beacon. Device datagrams carry return code 0, whatever the version."""
    text = body(device)
    if device["version"] == "3.5":
        message = TuyaMessage(0, CT.UDP_NEW, 0, text, 0, True, H.PREFIX_6699_VALUE, True)
        return pack_message(message, hmac_key=udpkey), 6667
    command, payload, port = UDP, text, 6666
    if device["version"] != "3.1":
        command = BROADCAST_LPV34 if device["version"] == "3.4" else CT.UDP_NEW
        payload, port = AESCipher(udpkey).encrypt(text, use_base64=False), 6667
    payload = struct.pack(H.MESSAGE_RETCODE_FMT, 0) + payload
    return pack_message(TuyaMessage(0, command, None, payload, 0, True, H.PREFIX_55AA_VALUE, None)), port


def main():
    config = json.loads(sys.stdin.readline())
    senders = []
    for device in config["devices"]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((device["address"], 0))
        senders.append((device, sock))
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", 7000))
    say(event="listening")
    due = time.monotonic()
    while True:
        ready, _, _ = select.select([0, listener], [], [], max(0, due - time.monotonic()))
        if 0 in ready and not sys.stdin.read(1):
            return
        if listener in ready:
            data, source = listener.recvfrom(4096)
            message = unpack_message(data, hmac_key=udpkey, no_retcode=True)
            question = json.loads(decrypt_udp(data))
            say(event="asked", cmd=message.cmd, good=message.crc_good, question=question, source=source[0])
            for device, sock in senders:
                if device["version"] == "3.5":
                    sock.sendto(datagram(device)[0], (question["ip"], 7000))
        if time.monotonic() >= due:
            due += EVERY
            for device, sock in senders:
                if not device.get("silent"):
                    data, port = datagram(device)
                    sock.sendto(data, (config["broadcast"], port))


if __name__ == "__main__":
    main()
