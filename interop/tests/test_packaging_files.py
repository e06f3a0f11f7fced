"""The files of packaging/ are what their readers expect: systemd, Docker, Home Assistant, dpkg; and the commands that the docs
show exist. Nothing is installed."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from harness import LANDFALL, ROOT, need
from unit import read_unit

PACKAGING = ROOT / "packaging"
ADDON = PACKAGING / "home-assistant" / "landfall"


def load_yaml(path):
    need(importlib.util.find_spec("yaml"), "NEED interop/install: PyYAML, which schemathesis brings along")
    import yaml

    return yaml.safe_load(path.read_text())


def landfall(*args):
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    return subprocess.run([LANDFALL, *args], capture_output=True, text=True, timeout=30)


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """The unit, with the program where it is here."""
    text = (PACKAGING / "systemd" / "landfall.service").read_text()
    path = tmp_path_factory.mktemp("unit") / "landfall.service"
    path.write_text(text.replace("/usr/bin/landfall", str(LANDFALL)))
    return path


def test_systemd_understands_the_unit(unit):
    need(shutil.which("systemd-analyze"), "NEED systemd-analyze (Debian package systemd)")
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done


def test_the_unit_is_hardened(unit):
    need(shutil.which("systemd-analyze"), "NEED systemd-analyze (Debian package systemd)")
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    exposure = re.search(r"Overall exposure level for landfall.service: ([0-9.]+)", done.stdout)
    # 0 is a box without network, 10 a service that may everything.
    assert exposure and float(exposure[1]) <= 2.0, done.stdout[-400:]


def test_the_unit_and_the_program_agree():
    service = read_unit(PACKAGING / "systemd" / "landfall.service")["Service"]
    assert service["Type"] == ["notify"]
    assert service["StateDirectoryMode"] == ["0700"]
    for key in ("ExecStart", "ExecStartPre"):
        for line in service[key]:
            program, *args = shlex.split(line.lstrip("-"))
            assert program == "/usr/bin/landfall"
            assert landfall(*args, "--help").returncode == 0, line


# --- Debian package ---


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    need(shutil.which("dpkg-deb"), "NEED dpkg-deb (Debian package dpkg)")
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    out = tmp_path_factory.mktemp("deb")
    argv = [PACKAGING / "deb" / "build", "--binary", LANDFALL, "--out", out, "--compression", "none"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def unpacked(deb):
    tree = deb.parent / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True, timeout=60)
    return tree


def test_the_package_holds_what_a_package_holds(deb, unpacked):
    listing = subprocess.run(["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 5) for line in listing.splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    for mode, name in ((row[0], row[5]) for row in rows):
        assert mode[5] != "w" and mode[8] != "w", f"others may write {name}"
    names = {row[5] for row in rows}
    for wanted in (
        "./usr/bin/landfall",
        "./usr/lib/systemd/system/landfall.service",
        "./usr/share/man/man1/landfall.1.gz",
        "./usr/share/man/man1/landfall-check-install.1.gz",
        "./usr/share/man/man1/landfall-cloud-user-add.1.gz",
        "./usr/share/bash-completion/completions/landfall",
        "./usr/share/zsh/vendor-completions/_landfall",
        "./usr/share/fish/vendor_completions.d/landfall.fish",
        "./usr/share/doc/landfall/copyright",
        "./usr/share/doc/landfall/changelog.gz",
        "./etc/landfall/landfall.toml",
    ):
        assert wanted in names, wanted
    control = (unpacked / "DEBIAN" / "control").read_text()
    assert "@" not in re.sub(r"<[^>]*>", "", control), "a placeholder is left"
    assert re.search(r"^Depends: libc6 \(>= 2\.\d+\), .*adduser", control, re.M), control
    assert (unpacked / "DEBIAN" / "conffiles").read_text() == "/etc/landfall/landfall.toml\n"
    for line in (unpacked / "DEBIAN" / "md5sums").read_text().splitlines():
        assert (unpacked / line.split("  ", 1)[1]).is_file(), line
    for script in ("postinst", "prerm", "postrm"):
        assert subprocess.run(["sh", "-n", unpacked / "DEBIAN" / script]).returncode == 0
        assert os.access(unpacked / "DEBIAN" / script, os.X_OK)


def test_the_settings_of_the_package_are_the_defaults_commented_out(unpacked):
    text = (unpacked / "etc" / "landfall" / "landfall.toml").read_text()
    active = [line for line in text.splitlines() if line and not line.startswith(("#", "["))]
    assert active == [], "what the owner does not change follows new defaults"
    assert re.sub(r"^#([a-z_]+ = )", r"\1", text, flags=re.M) == landfall("config", "default").stdout
    done = landfall("config", "check", "--config", str(unpacked / "etc" / "landfall" / "landfall.toml"))
    assert done.returncode == 0, done.stderr


def test_a_build_says_what_it_lacks(tmp_path):
    for args, words in (
        ([], "which binary?"),
        (["--binary", "/etc/passwd"], "is no program"),
        (["--binary", shutil.which("curl") or "/usr/bin/openssl", "--out", tmp_path], "without OPENSSL_NO_VENDOR"),
        (["--frobnicate", "1"], "there is no option --frobnicate"),
        (["--binary"], "wants a value"),
    ):
        done = subprocess.run([PACKAGING / "deb" / "build", *args], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and words in done.stderr, (args, done)
        assert list(tmp_path.iterdir()) == []


# --- Docker ---


def instructions(path):
    """[(INSTRUCTION, arguments)] of a Dockerfile, lines joined, comments gone."""
    text = "\n".join(l for l in path.read_text().splitlines() if not l.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ")
    found = [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]
    known = "ARG CMD COPY ENTRYPOINT ENV FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR".split()
    assert {name for name, _ in found} <= set(known), found
    return found


def test_the_image_runs_as_a_user_and_is_watched():
    found = instructions(PACKAGING / "docker" / "Dockerfile")
    last = max(i for i, (name, _) in enumerate(found) if name == "FROM")
    final = dict(found[last:])
    assert final["USER"] not in ("root", "0")
    for name in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(final[name]), list), "the shell form would swallow SIGTERM"
    health = json.loads(final["HEALTHCHECK"].split("CMD", 1)[1])
    assert "--ready" not in health, "a full disk is no reason to start the hub anew"
    for argv in (health, json.loads(final["ENTRYPOINT"]) + json.loads(final["CMD"])):
        assert argv[0] == "/usr/bin/landfall"
        assert landfall(*argv[1:], "--help").returncode == 0, argv
    assert final["VOLUME"] in final["ENV"], "what is kept is on the volume"
    # Whatever is copied from a stage was made there.
    stages = {args.split()[-1] for name, args in found if name == "FROM" and " AS " in args}
    for name, args in found:
        if name == "COPY" and "--from=" in args:
            assert re.search(r"--from=(\S+)", args)[1] in stages
    for kept in re.findall(r"^!(\S+)", (PACKAGING / "docker" / "Dockerfile.dockerignore").read_text(), re.M):
        assert (ROOT / kept).exists(), f"{kept} is let in and not there"


def test_the_compose_file_has_the_hosts_network_and_few_rights():
    compose = load_yaml(PACKAGING / "docker" / "compose.yaml")
    service = compose["services"]["landfall"]
    assert service["network_mode"] == "host" and "ports" not in service
    assert service["cap_drop"] == ["ALL"] and service["cap_add"] == ["NET_BIND_SERVICE"]
    assert service["read_only"] is True and not service.get("privileged")
    build = (PACKAGING / "docker" / service["build"]["context"]).resolve()
    assert build == ROOT and (build / service["build"]["dockerfile"]).is_file()
    # A file capability is worth nothing under no-new-privileges.
    assert "no-new-privileges:true" not in service.get("security_opt", [])
    named = [v.split(":")[0] for v in service["volumes"]]
    assert set(named) == set(compose["volumes"])


def settings_of(text):
    return set(re.findall(r"\b(LANDFALL_(?:HOME|PAGE|LAN|CLOUD|STORE|MQTT)_[A-Z_]+)\b", text))


@pytest.mark.parametrize("file", ["docker/compose.yaml", "home-assistant/landfall/run.sh"])
def test_variables_are_settings(file):
    known = tomllib.loads(landfall("config", "default").stdout)
    names = {f"LANDFALL_{s}_{k}".upper() for s, keys in known.items() for k in keys}
    found = settings_of((PACKAGING / file).read_text())
    assert found and found <= names, found - names


# --- Home Assistant add-on ---


def test_the_add_on_is_described_as_home_assistant_wants_it():
    config = load_yaml(ADDON / "config.yaml")
    for key in ("name", "version", "slug", "description", "arch"):
        assert config[key], key
    assert config["version"] == tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert config["host_network"] is True and config["services"] == ["mqtt:want"]
    assert set(config["arch"]) == set(load_yaml(ADDON / "build.yaml")["build_from"])
    optional = {k for k, v in config["schema"].items() if str(v).endswith("?")}
    assert set(config["schema"]) == set(config["options"]) | optional
    kinds = r"(str|bool|int|float|port|email|url|password|match\(.*\)|list\(.*\))(\(.*\))?\??"
    assert all(re.fullmatch(kinds, v) for v in config["schema"].values()), config["schema"]
    for language in ("en", "de"):
        texts = load_yaml(ADDON / "translations" / f"{language}.yaml")["configuration"]
        assert set(texts) == set(config["schema"]), language
    repository = load_yaml(PACKAGING / "home-assistant" / "repository.yaml")
    assert repository["name"] and repository["url"]
    assert "USER" not in dict(instructions(ADDON / "Dockerfile")), "run.sh gives root away itself"
    assert "exec" in (ADDON / "run.sh").read_text().splitlines()[-1]


def run_add_on(tmp_path, options, service=None):
    """Runs run.sh with stand-ins for what only the add-on's container has; what the hub would be given, and what was said."""
    need(shutil.which("jq"), "NEED jq (Debian package jq)")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()

    def program(name, text):
        (bin_dir / name).write_text("#!/bin/bash\n" + text)
        (bin_dir / name).chmod(0o755)

    program("chown", "exit 0\n")
    program("setpriv", 'while [[ "$1" == --* ]]; do [[ "$1" == *=* || "$1" == --clear-groups ]] || shift; shift; done\nexec "$@"\n')
    program("landfall", f'echo "$@" >>{tmp_path}/ran\nenv -0 >{tmp_path}/env\n')
    if service is None:
        program("curl", "cat >/dev/null; exit 22\n")
    else:
        (tmp_path / "service.json").write_text(json.dumps({"result": "ok", "data": service}))
        program("curl", f'cat >{tmp_path}/asked; echo "$@" >{tmp_path}/argv; cat {tmp_path}/service.json\n')
    (tmp_path / "options.json").write_text(json.dumps(options))
    env = {
        "PATH": f"{bin_dir}:{os.environ['PATH']}",
        "ADDON_OPTIONS": str(tmp_path / "options.json"),
        "ADDON_DATA": str(tmp_path / "data"),
        "SUPERVISOR_TOKEN": "SUPERVISORSECRET",
        "TZ": "Europe/Berlin",
    }
    done = subprocess.run([ADDON / "run.sh"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    assert (tmp_path / "ran").read_text() == "check-install --no-names\nrun\n"
    given = dict(e.split("=", 1) for e in (tmp_path / "env").read_text().split("\0") if "=" in e)
    # What it was given are settings that the real program takes.
    ours = {k: v for k, v in given.items() if k.startswith("LANDFALL_")}
    need(LANDFALL.exists(), "NEED cargo build -p landfall")
    shown = subprocess.run(
        [LANDFALL, "config", "show", "--json"], env={**ours, "PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout), given, done.stderr


BROKER = {"host": "core-mosquitto", "port": 1883, "username": "addons", "password": "pa$$ \"w'ord", "ssl": False}


def test_the_add_on_uses_home_assistants_broker(tmp_path):
    options = load_yaml(ADDON / "config.yaml")["options"] | {"price": 0.31, "currency": "CHF"}
    settings, given, _ = run_add_on(tmp_path, options | {"discovery": "entity"}, BROKER)
    assert settings["page"] | {"listen": "0.0.0.0:8099", "tls": "own"} == settings["page"]
    assert settings["home"] | {"time_zone": "Europe/Berlin", "price": 0.31, "currency": "CHF"} == settings["home"]
    mqtt = {"broker": "external", "host": "core-mosquitto", "port": 1883, "user": "addons", "tls": False, "discovery": "entity"}
    assert settings["mqtt"] | mqtt == settings["mqtt"]
    assert settings["cloud"]["enabled"] is False
    password = tmp_path / "data" / "mqtt-password"
    assert password.read_text() == BROKER["password"] + "\n"
    assert password.stat().st_mode & 0o777 == 0o600
    assert settings["mqtt"]["password_file"] == password.name
    # Secrets are neither handed on nor in arguments.
    assert "SUPERVISORSECRET" not in (tmp_path / "env").read_text() + (tmp_path / "argv").read_text()
    assert "Bearer SUPERVISORSECRET" in (tmp_path / "asked").read_text()
    assert BROKER["password"] not in " ".join(given.values())


def test_the_add_on_is_the_cloud_when_it_shall_be(tmp_path):
    options = {"page_port": 9000, "mqtt": "embedded", "cloud": True, "dns": True, "advertise": "192.168.1.2"}
    settings, _, _ = run_add_on(tmp_path, options)
    assert settings["page"]["listen"] == "0.0.0.0:9000"
    assert settings["cloud"]["http"] == "0.0.0.0:80" and settings["cloud"]["mqtt"] == "0.0.0.0:1883"
    assert settings["cloud"]["dns"] == "0.0.0.0:53" and settings["cloud"]["advertise"] == "192.168.1.2"
    assert settings["mqtt"]["broker"] == "embedded"
    assert settings["mqtt"]["discovery"] == load_yaml(ADDON / "config.yaml")["options"]["discovery"], "as the program has it by itself"


def test_the_add_on_without_a_broker_says_so_and_goes_on(tmp_path):
    settings, _, said = run_add_on(tmp_path, {"page_port": 8099, "mqtt": "home_assistant", "cloud": True, "dns": False})
    assert settings["mqtt"]["broker"] == "off" and "offers no MQTT broker" in said
    assert settings["cloud"]["mqtt"] == "off" and settings["cloud"]["dns"] == "off"


def test_the_add_on_is_put_together_with_a_package(deb, tmp_path):
    out = tmp_path / "landfall"
    argv = [PACKAGING / "home-assistant" / "prepare", "--deb", deb, "--out", out]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
    for name in ("config.yaml", "Dockerfile", "run.sh", "landfall.deb", "DOCS.md", "translations/en.yaml"):
        assert (out / name).is_file(), name
    version = subprocess.run(["dpkg-deb", "--field", deb, "Version"], capture_output=True, text=True).stdout.strip()
    assert load_yaml(out / "config.yaml")["version"] == version
    for _, args in (i for i in instructions(out / "Dockerfile") if i[0] == "COPY"):
        assert (out / args.split()[0]).exists()
    again = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert again.returncode == 1 and "is there already" in again.stderr


# --- Docs ---


def shown_commands(path):
    """Commands of landfall in the code blocks of a page, without prompts, pipes, redirections and comments."""
    inside = False
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            inside = not inside and line[3:] in ("sh", "console")
            continue
        line = re.sub(r"\s+#\s.*", "", line).removeprefix("$ ")
        line = re.sub(r"^(sudo (-u landfall )?|nohup )", "", line)
        if inside and re.match(r"(landfall|lf) ", line):
            first = re.split(r"\s(?:[|>&]|2>)", line.rstrip("\\"))[0]
            yield re.sub(r"^lf ", "landfall ", first)


PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_docs_show_commands_that_exist(page):
    for command in shown_commands(page):
        args = shlex.split(command)[1:]
        # --help ends the reading of arguments: those before it have to be right.
        done = landfall(*args, "--help")
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stderr}"


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", [*PAGES, PACKAGING / "README.md", ADDON / "DOCS.md"], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    # Pictures are made by the browser's tests, when they are asked to.
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name}: {target}: {sorted(anchors(there))}"
