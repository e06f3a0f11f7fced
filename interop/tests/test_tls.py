"""Debian's openssl(1) as a device: PSK identities published from real devices, and our certificates under its checks."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from harness import ROOT, TLS_SERVER, Agent, Program, need

VECTORS = json.loads((ROOT / "vectors" / "cloud.json").read_text())["vectors"]
TYPE_1 = [v for v in VECTORS if v["kind"] == "psk_v1"]
(TYPE_2,) = [v for v in VECTORS if v["kind"] == "psk_v2"]
HINT = TYPE_2["inputs"]["hint"]
PSK_SUITE = "PSK-AES128-CBC-SHA256"
HOST = "a2.tuyaeu.com"
# At the start of a line, s_client takes some letters for commands.
TALK = [f"- line {n} of what both sides say" for n in range(400)]


@pytest.fixture
def server(started, tmp_path):
    need(TLS_SERVER.exists(), "NEED cargo build -p landfall-link --example tls_server")
    need(shutil.which("openssl"), "NEED openssl (Debian package openssl)")
    config = {
        "dir": str(tmp_path / "ca"),
        "hosts": ["*.tuyaeu.com", "*.iot-dns.com", "127.0.0.1"],
        "keys": {TYPE_2["inputs"]["uuid"]: TYPE_2["inputs"]["pskKey"]},
    }
    agent = Agent([TLS_SERVER], config)
    started.append(agent)
    agent.config = agent.event("listening", after=0)
    return agent


def argv(server, *arguments, port="both"):
    return ["openssl", "s_client", "-connect", f"127.0.0.1:{server.config[port]}", *arguments]


def s_client(server, *arguments, port="both", say=""):
    """Connects, says something and ends at once; its output is what was agreed."""
    return subprocess.run(
        argv(server, *arguments, port=port), input=say.encode(), capture_output=True, timeout=20
    )


@pytest.fixture
def talks(started):
    """Connects, and hears all it says come back."""

    def talk(server, *arguments, port="both"):
        program = Program(argv(server, *arguments, "-quiet", "-no_ign_eof", port=port))
        started.append(program)
        program.write("".join(line + "\n" for line in TALK))
        heard = [program.line() for _ in TALK]
        assert heard == TALK, program.stderr()

    return talk


def psk(identity_hex, psk_hex):
    # No zero bytes in it, as in the identities of devices; an argument can carry the others. The keys are published ones.
    return ["-psk_identity", os.fsdecode(bytes.fromhex(identity_hex)), "-psk", psk_hex]


def trusted(server, host=HOST):
    check = ["-verify_hostname", host, "-servername", host]
    if host[0].isdigit():
        check = ["-verify_ip", host, "-noservername"]
    return ["-CAfile", server.config["ca"], "-verify_return_error", *check]


def output(done):
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@pytest.mark.parametrize("port", ["both", "psk_only"])
@pytest.mark.parametrize("vector", TYPE_1, ids=lambda v: v["name"])
def test_type_1_identities_of_real_devices_get_in(server, vector, port):
    keys = psk(vector["inputs"]["identity_hex"], vector["expected"]["psk_hex"])
    done = s_client(server, "-tls1_2", "-cipher", PSK_SUITE, *keys, port=port)
    assert done.returncode == 0, output(done)
    assert f"PSK identity hint: {HINT}" in output(done)
    connected = server.event("connected", after=0)
    assert (connected["peer"], connected["suite"]) == ("psk1", PSK_SUITE)
    hashed = bytes.fromhex(vector["inputs"]["identity_hex"])[17:33]
    assert connected["device"] == f"Md5({hashed.hex().upper()})"


@pytest.mark.parametrize("port", ["both", "psk_only"])
def test_type_2_gets_in_with_its_key_and_is_heard(server, talks, port):
    talks(server, *psk(TYPE_2["expected"]["identity_hex"], TYPE_2["expected"]["psk_hex"]), port=port)
    connected = server.event("connected", after=0)
    # s_client offers everything it has, TLS 1.3 and certificates as well: the PSK suite comes first.
    assert (connected["peer"], connected["suite"]) == ("psk2", PSK_SUITE)
    uuid = hashlib.sha256(TYPE_2["inputs"]["uuid"].encode()).hexdigest().upper()
    assert connected["device"] == f"Sha256({uuid})"


@pytest.mark.parametrize("wrong", ["ab" * 37, "00"])
def test_a_wrong_key_is_told_to_both(server, wrong):
    done = s_client(server, "-tls1_2", "-cipher", PSK_SUITE, *psk(TYPE_2["expected"]["identity_hex"], wrong))
    assert done.returncode != 0
    assert "bad record mac" in output(done)
    failed = server.event("failed", after=0)
    assert failed["code"] == "tls.psk_key" and "type 2" in failed["why"]
    assert TYPE_2["inputs"]["pskKey"] not in json.dumps(server.heard)


def test_unknown_identities_are_told_so(server):
    stranger = "02" * 17 + hashlib.sha256(b"stranger").hexdigest().replace("00", "3f")
    for identity in (stranger, b"Client_identity".hex(), "03" * 50):
        after = len(server.heard)
        done = s_client(server, "-tls1_2", "-cipher", PSK_SUITE, *psk(identity, "ab" * 32))
        assert done.returncode != 0 and "unknown psk identity" in output(done)
        assert server.event("failed", after=after)["code"] == "tls.psk_identity"


@pytest.mark.parametrize(
    "suite",
    ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256"],
)
def test_the_certificate_is_good_for_openssl(server, suite):
    done = s_client(server, "-tls1_2", "-cipher", suite, *trusted(server))
    assert done.returncode == 0 and "Verify return code: 0 (ok)" in output(done), output(done)
    assert "prime256v1" in output(done) and "Extended master secret: yes" in output(done)
    connected = server.event("connected", after=0)
    assert (connected["peer"], connected["sni"], connected["suite"]) == ("certificate", HOST, suite)


@pytest.mark.parametrize("host", ["h2.iot-dns.com", "127.0.0.1"])
def test_the_certificate_is_good_for_other_names_of_ours(server, talks, host):
    talks(server, *trusted(server, host))


def test_who_does_not_trust_the_authority_says_so(server, tmp_path):
    done = s_client(server, "-no-CAfile", "-no-CApath", "-no-CAstore", "-verify_return_error")
    assert done.returncode != 0
    failed = server.event("failed", after=0)
    assert failed["code"] == "tls.certificate" and "unknown_ca" in failed["why"]
    after = len(server.heard)
    done = s_client(server, *trusted(server, "a2.example.com"))
    assert done.returncode != 0
    assert server.event("failed", after=after)["code"] == "tls.certificate"


def test_the_files_are_what_openssl_reads(server, tmp_path):
    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ca, leaf = tmp_path / "ca" / "ca.pem", tmp_path / "ca" / "server.pem"
    shown = openssl("x509", "-in", ca, "-noout", "-fingerprint", "-sha256", "-startdate", "-enddate")
    assert server.config["fingerprint"] in shown
    assert "notBefore=Jan  1 00:00:00 1970 GMT" in shown and "notAfter=Dec 31 23:59:59 2049 GMT" in shown
    assert openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, leaf).strip().endswith("OK")
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("port", "offer", "code"),
    [
        ("both", ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "tls.suite"),
        ("both", ["-tls1_2", "-cipher", "PSK-AES256-CBC-SHA384", *psk("01" * 50, "ab")], "tls.suite"),
        ("psk_only", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "tls.suite"),
        ("both", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-groups", "X25519"], "tls.suite"),
        ("both", ["-tls1_3"], "tls.version"),
        ("both", ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "tls.version"),
        ("both", ["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "tls.version"),
    ],
)
def test_what_has_nothing_in_common_is_refused_with_the_offer(server, port, offer, code):
    done = s_client(server, *offer, port=port)
    assert done.returncode != 0
    failed = server.event("failed", after=0)
    assert failed["code"] == code, failed
    assert (offer[2] if code == "tls.suite" else "we speak TLS 1.2, the client offers TLS 1.") in failed["why"]


def test_small_fragments_are_kept_to(server, talks):
    talks(server, "-tls1_2", "-maxfraglen", "512", *trusted(server))


def test_no_session_is_resumed(server):
    done = s_client(server, "-tls1_2", "-reconnect", *trusted(server))
    assert output(done).count("New, TLSv1.2") == 6 and "Reused, " not in output(done), output(done)


def test_renegotiation_is_refused(server):
    done = s_client(server, "-tls1_2", *trusted(server), say="R\n")
    assert "RENEGOTIATING" in output(done) and "no renegotiation" in output(done), output(done)
