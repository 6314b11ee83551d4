"""The units: what systemd itself says of them, and what must be true of both forms of one."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.appliance.service_config import load_service_config
from tests.systemd.conftest import SYSTEMD, needs

UNITS = sorted(SYSTEMD.glob("*.service"))
SERVICES = [SYSTEMD / "privaedge.service", SYSTEMD / "privaedge@.service"]


def names(units: list[Path]) -> list[str]:
    return [unit.name for unit in units]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with the units and the programs that they name."""
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(unit, units)
        for line in unit.read_text().splitlines():
            if found := re.match(r"Exec\w+=-?(\S+)", line):
                program = tmp_path / found[1].removeprefix("/")
                program.parent.mkdir(parents=True, exist_ok=True)
                program.write_text("#!/bin/sh\n")
                program.chmod(0o755)
    # What the units name of systemd's own.
    for target in ("multi-user", "network", "nss-lookup", "sound", "sysinit", "basic", "shutdown"):
        (units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
    (units / "system.slice").write_text("[Unit]\nDescription=system\n")
    (units / "-.slice").write_text("[Unit]\nDescription=root\n")
    return tmp_path


@pytest.mark.parametrize("unit", names(UNITS))
def test_systemd_understands_every_line(root: Path, unit: str) -> None:
    needs("systemd-analyze")
    instance = unit.replace("@.", "@front.")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", instance],
        capture_output=True,
        text=True,
        timeout=30,
    )
    # The root is not a whole system: units of others that are missing say nothing of ours.
    ours = [line for line in done.stderr.splitlines() if "privaedge" in line]
    assert not ours


@pytest.mark.parametrize("unit", names(UNITS))
def test_exposure_is_at_most_2(unit: str) -> None:
    needs("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", SYSTEMD / unit],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "COLUMNS": "200", "SYSTEMD_COLORS": "0"},
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge files (--offline needs systemd 250)")
    assert done.returncode == 0, done.stdout + done.stderr
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None
    assert float(score[1]) <= 2.0


def test_one_process_a_camera_differs_only_in_its_files() -> None:
    one, each = (unit.read_text().splitlines() for unit in SERVICES)
    assert len(one) == len(each)
    differing = [(a, b) for a, b in zip(one, each, strict=True) if a != b]
    assert [b.split("=")[0] for _, b in differing] == [
        "Description",
        "AssertPathExists",
        "ExecStart",
        "LoadCredential",
    ]
    assert all("%i" in b for _, b in differing)


@pytest.mark.parametrize("unit", names(SERVICES))
def test_what_the_service_promises(unit: str) -> None:
    lines = (SYSTEMD / unit).read_text().splitlines()
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=10",
        "Restart=always",
        "TimeoutStopSec=10",
        "LimitCORE=0",
        "StateDirectory=privaedge privaedge/models",
        "DeviceAllow=char-video4linux rw",
        "DeviceAllow=char-alsa rw",
        "DeviceAllow=char-nvidia* rw",
        "DeviceAllow=char-nvhost* rw",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    ):
        assert line in lines
    # A box must come back in 10 s without a network; waiting for one would take two minutes.
    assert not any("network-online" in line for line in lines if not line.startswith("#"))


def test_the_user_and_its_groups(tmp_path: Path) -> None:
    needs("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "sysusers.d/privaedge.conf"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    user = (tmp_path / "etc/passwd").read_text().splitlines()[-1].split(":")
    assert user[0] == "privaedge"
    assert user[5:] == ["/var/lib/privaedge", "/usr/sbin/nologin"]
    groups = {
        line.split(":")[0]: line.split(":")[3]
        for line in (tmp_path / "etc/group").read_text().splitlines()
    }
    assert {groups[name] for name in ("video", "audio", "render")} == {"privaedge"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to another user")
def test_folders_and_who_may_read_them(tmp_path: Path) -> None:
    needs("systemd-sysusers", "systemd-tmpfiles")
    settings = tmp_path / "etc/privaedge/front.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("streams: {}\n")
    for tool, folder in (("sysusers", "sysusers.d"), ("tmpfiles", "tmpfiles.d")):
        create = ["--create"] if tool == "tmpfiles" else []
        done = subprocess.run(
            [
                *(f"systemd-{tool}", f"--root={tmp_path}", *create),
                SYSTEMD / folder / "privaedge.conf",
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
    assert settings.parent.stat().st_mode & 0o777 == 0o750
    assert settings.stat().st_mode & 0o777 == 0o640
    assert settings.stat().st_uid == 0
    models = (tmp_path / "var/lib/privaedge/models").stat()
    assert models.st_mode & 0o777 == 0o750
    assert models.st_uid != 0
    assert models.st_gid == settings.stat().st_gid != 0


def test_the_rule_names_only_nodes_that_capture() -> None:
    rules = (SYSTEMD / "udev/60-privaedge-capture.rules").read_text()
    lines = [line for line in rules.splitlines() if line and not line.startswith("#")]
    labels = set(re.findall(r'LABEL="(\w+)"', rules))
    assert set(re.findall(r'GOTO="(\w+)"', rules)) == labels
    pair = re.compile(r'[A-Z]+(\{\w+\})?(==|!=|=|\+=)"[^"]*"')
    assert all(pair.fullmatch(part) for line in lines for part in line.split(", "))
    assert 'ENV{ID_V4L_CAPABILITIES}!="*:capture:*"' in rules
    # It must come after the rules that find the capabilities out.
    assert "60-persistent-v4l.rules" < "60-privaedge-capture.rules"


def test_the_example_is_a_configuration_that_works(tmp_path: Path) -> None:
    (tmp_path / "stream-key").write_text("not-for-the-log\n")
    config = load_service_config(
        SYSTEMD / "privaedge.yaml", {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    )
    (stream,) = config.streams.values()
    assert stream.outputs[0].url.endswith("/not-for-the-log")
    assert "not-for-the-log" not in repr(config)


def test_every_credential_of_the_example_is_loaded_by_the_unit() -> None:
    text = (SYSTEMD / "privaedge.yaml").read_text()
    stated = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    for unit in SERVICES:
        # Keys repeat in units; only the last is asked for here.
        parser = configparser.RawConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment]
        parser.read(unit)
        loaded = parser["Service"]["LoadCredential"].split(":")[0]
        assert set(re.findall(r"\$\{credential:([^}]+)\}", stated)) == {loaded}
