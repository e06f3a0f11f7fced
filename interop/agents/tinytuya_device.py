"""A device whose framing and ciphers are tinytuya's own, driven by JSON lines (see README.md, "Agents").

What a device does was written for this suite; every byte on the wire passes through tinytuya's pack_message,
unpack_message and AESCipher, so that a misreading of ours in framing or crypto can't cancel itself out here.
It is strict: a frame that real firmware would not take is told as a `fault`, and the tests fail on faults.
"""

import binascii
import hmac
import json
import os
import socket
import struct
import sys
import threading
import time
from hashlib import md5, sha256

from tinytuya.core import command_types as CT
from tinytuya.core import header as H
from tinytuya.core.crypto_helper import AESCipher
from tinytuya.core.message_helper import TuyaMessage, pack_message, parse_header, unpack_message

SAY_LOCK = threading.Lock()
OK = 0
REFUSED = 1
SIGNATURE = slice(3, 19)
SOURCE_HEADERS = (b"3.2", b"3.3", b"3.4", b"3.5")


def say(**message):
    with SAY_LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


class Closed(Exception):
    """The connection is over."""


class Connection:
    """One client. Its own thread reads; pushes may come from another one."""

    def __init__(self, device, sock):
        self.device = device
        self.sock = sock
        self.key = device.key
        self.nonce_client = None
        self.nonce_device = None
        self.ready = not device.negotiates
        self.sequence_in = 0
        self.header_text = None
        # A device's own counter starts anywhere (3.4 and 3.5); never 0 or 1.
        self.counter = 0x2000 + int.from_bytes(os.urandom(1), "big")
        self.lock = threading.Lock()

    # -- bytes in ---------------------------------------------------------------------------------------------

    def receive_exactly(self, size):
        data = b""
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise Closed
            data += chunk
        return data

    def receive(self):
        """One frame: (command, sequence, plaintext without source header)."""
        data = self.receive_exactly(16)
        gcm = data[:4] == H.PREFIX_6699_BIN
        if gcm:
            data += self.receive_exactly(2)
        header = parse_header(data)
        data += self.receive_exactly(header.total_length - len(data))
        if gcm != (self.device.version == 3.5):
            say(event="fault", what="framing of another version", hex=binascii.hexlify(data).decode())
            raise Closed
        if gcm:
            message = unpack_message(data, hmac_key=self.key, header=header, no_retcode=True)
        else:
            hmac_key = self.key if self.device.version == 3.4 else None
            message = unpack_message(data, hmac_key=hmac_key, header=header, no_retcode=True)
        if not message.crc_good:
            say(event="integrity", cmd=header.cmd)
            raise Closed
        if header.seqno <= self.sequence_in:
            say(event="fault", what=f"sequence {header.seqno} after {self.sequence_in}")
        self.sequence_in = header.seqno
        return header.cmd, header.seqno, self.open_payload(header.cmd, message.payload)

    def open_payload(self, command, payload):
        version = self.device.version
        cipher = AESCipher(self.key)
        self.header_text = None
        negotiation = command in (CT.SESS_KEY_NEG_START, CT.SESS_KEY_NEG_FINISH)
        if version == 3.1:
            if not payload.startswith(b"3.1"):
                return payload
            wanted = self.device.signature(payload[19:])
            if payload[SIGNATURE] != wanted:
                say(event="fault", what="signature", got=payload[SIGNATURE].decode("latin1"))
            return cipher.decrypt(payload[19:], decode_text=False, verify_padding=True)
        if version == 3.4 and payload:
            payload = cipher.decrypt(payload, False, decode_text=False, verify_padding=True)
        if not negotiation and payload[:3] in SOURCE_HEADERS:
            # Hardware takes the text of another version too: tuyapi writes "3.3" to 3.2 devices.
            self.header_text = payload[:3].decode()
            payload = payload[15:]
        elif command in (CT.CONTROL, CT.CONTROL_NEW):
            say(event="fault", what=f"command {command} without a source header")
        if version in (3.2, 3.3) and payload:
            payload = cipher.decrypt(payload, False, decode_text=False, verify_padding=True)
        return payload

    # -- bytes out --------------------------------------------------------------------------------------------

    def send(self, command, body, retcode=OK, sequence=0, source_header=False):
        """Sends one frame in one write. `sequence` counts up to 3.3 only; later versions have their own counter."""
        version = self.device.version
        with self.lock:
            if self.device.negotiates:
                sequence = self.counter
                self.counter += 1
            cipher = AESCipher(self.key)
            header = self.device.source_header() if source_header else b""
            if version == 3.5:
                message = TuyaMessage(
                    sequence, command, retcode, header + body, 0, True, H.PREFIX_6699_VALUE, os.urandom(12)
                )
                data = pack_message(message, hmac_key=self.key)
            else:
                if version == 3.4:
                    payload = cipher.encrypt(header + body, False) if body else b""
                elif version in (3.2, 3.3):
                    payload = header + (cipher.encrypt(body, False) if body else b"")
                elif source_header:
                    text = cipher.encrypt(body)
                    payload = b"3.1" + self.device.signature(text) + text
                else:
                    payload = body
                payload = struct.pack(H.MESSAGE_RETCODE_FMT, retcode) + payload
                message = TuyaMessage(sequence, command, None, payload, 0, True, H.PREFIX_55AA_VALUE, None)
                data = pack_message(message, hmac_key=self.key if version == 3.4 else None)
            self.sock.sendall(data)

    def push(self, dps, extra=None):
        t = int(time.time())
        if self.device.negotiates:
            body = {"protocol": 4, "t": t, "data": {"dps": dps, **(extra or {})}}
        elif self.device.version == 3.1:
            body = {"devId": self.device.id, "dps": dps, "t": t, "s": self.device.pushed}
        else:
            body = {"dps": dps, "t": t, **(extra or {})}
        self.send(CT.STATUS, compact(body), source_header=True)

    # -- the conversation -------------------------------------------------------------------------------------

    def run(self):
        say(event="client")
        try:
            while True:
                command, sequence, body = self.receive()
                self.answer(command, sequence, body)
                say(event="answered", cmd=command)
        except (Closed, ConnectionError):
            pass
        except OSError as error:
            say(event="socket", error=str(error))
        except ValueError as error:
            say(event="fault", what=f"payload can't be read: {error}")
        finally:
            self.device.connections.discard(self)
            self.sock.close()
            say(event="client-gone")

    def answer(self, command, sequence, body):
        say(event="frame", cmd=command, seq=sequence, header=self.header_text, body=body.decode("latin1"))
        if self.device.negotiates and command in (CT.SESS_KEY_NEG_START, CT.SESS_KEY_NEG_FINISH):
            self.negotiate(command, body)
        elif not self.ready:
            say(event="fault", what=f"command {command} before the negotiation")
            raise Closed
        elif command == CT.HEART_BEAT:
            self.send(command, b"", sequence=0)
        elif command in (CT.DP_QUERY, CT.DP_QUERY_NEW):
            self.query(command, sequence, body)
        elif command in (CT.CONTROL, CT.CONTROL_NEW):
            self.control(command, sequence, body)
        elif command == CT.UPDATEDPS:
            points = json.loads(body)["dpId"]
            self.send(command, b"", sequence=sequence)
            self.push({str(p): self.device.dps[str(p)] for p in points if str(p) in self.device.dps})
        elif not self.device.negotiates:
            self.send(command, b"parse data error", retcode=REFUSED, sequence=sequence)

    def negotiate(self, command, body):
        if command == CT.SESS_KEY_NEG_START:
            self.nonce_client = body[:16]
            while True:
                self.nonce_device = binascii.hexlify(os.urandom(8))
                session_key = self.session_key()
                if session_key[0] != 0:
                    break
            proof = hmac.new(self.key, self.nonce_client, sha256).digest()
            self.send(CT.SESS_KEY_NEG_RESP, self.nonce_device + proof)
        else:
            wanted = hmac.new(self.key, self.nonce_device or b"", sha256).digest()
            if not hmac.compare_digest(wanted, body):
                say(event="fault", what="wrong proof in FINISH")
                raise Closed
            self.key = self.session_key()
            self.ready = True
            say(event="session")

    def session_key(self):
        mixed = bytes(a ^ b for a, b in zip(self.nonce_client, self.nonce_device))
        cipher = AESCipher(self.device.key)
        if self.device.version == 3.4:
            return cipher.encrypt(mixed, False, pad=False)
        return cipher.encrypt(mixed, use_base64=False, pad=False, iv=self.nonce_client[:12])[12:28]

    def query(self, command, sequence, body):
        if self.device.version == 3.2:
            self.send(command, b"json obj data unvalid", retcode=REFUSED, sequence=sequence)
            return
        json.loads(body)
        reply = {"dps": self.device.dps}
        if self.device.version in (3.1, 3.5):
            reply["devId"] = self.device.id
        self.send(command, compact(reply), sequence=sequence)

    def control(self, command, sequence, body):
        if b" " in body:
            say(event="fault", what="spaces in the JSON", body=body.decode("latin1"))
        request = json.loads(body)
        dps = request.get("dps")
        if self.device.negotiates:
            if request.get("protocol") != 5 or not isinstance(request.get("t"), int):
                say(event="fault", what="a set without protocol 5 or a number for t", body=body.decode("latin1"))
            dps = request.get("data", {}).get("dps")
        if not isinstance(dps, dict):
            self.send(command, b"data format error", retcode=REFUSED, sequence=sequence)
            return
        asked = [dp for dp, value in dps.items() if value is None]
        changed = {dp: value for dp, value in dps.items() if value is not None and self.device.dps.get(dp) != value}
        self.device.dps.update(changed)
        if len(asked) < len(dps):
            say(event="set", dps={dp: value for dp, value in dps.items() if value is not None})
        self.send(command, b"", sequence=sequence)
        if asked and not changed:
            known = {dp: self.device.dps[dp] for dp in asked if dp in self.device.dps}
            self.push(known)
        elif changed:
            self.device.push(changed)


class Device:
    def __init__(self, config):
        self.id = config["id"]
        self.key = config["key"].encode()
        self.version = float(config["version"])
        self.version_text = config["version"].encode()
        self.negotiates = self.version >= 3.4
        self.dps = dict(config["dps"])
        self.connections = set()
        self.pushed = 100
        self.listener = socket.create_server((config["address"], config["port"]))

    def signature(self, text):
        return md5(b"data=" + text + b"||lpv=3.1||" + self.key).hexdigest()[8:24].encode()

    def source_header(self):
        self.pushed += 1
        return self.version_text + struct.pack(">III", 0, self.pushed, 1)

    def push(self, dps):
        for connection in list(self.connections):
            if connection.ready:
                try:
                    connection.push(dps)
                except OSError as error:
                    say(event="socket", error=str(error))

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            self.connections.add(connection)
            threading.Thread(target=connection.run, daemon=True).start()


def compact(body):
    return json.dumps(body, separators=(",", ":")).encode()


def main():
    device = Device(json.loads(sys.stdin.readline()))
    threading.Thread(target=device.accept, daemon=True).start()
    say(event="listening", port=device.listener.getsockname()[1])
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "change":
            device.dps.update(command["dps"])
            device.push(command["dps"])
            say(event="changed")
        elif command["do"] == "read":
            say(event="state", dps=device.dps)
        elif command["do"] == "hang_up":
            for connection in list(device.connections):
                connection.sock.shutdown(socket.SHUT_RDWR)
        else:
            say(event="fault", what=f"unknown command {command['do']!r}")


if __name__ == "__main__":
    main()
