"""The package, installed into a real Debian and booted under a real systemd.

Takes four or five minutes, root, debootstrap, systemd-nspawn (Debian's systemd-container) and a
Debian mirror: `make test-slow`, or `pytest -m slow tests/systemd/test_boot.py`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.conftest import needs
from tests.systemd.container import SUITES, Container, bootstrap, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = """\
streams:
  front:
    source: /var/lib/privaedge/clip.mp4
    outputs: ["/var/lib/privaedge/${credential:stream-key}.mp4"]
    settings:
      video:
        models:
          face: {model: MODEL, input_size: 320}
          plate: {enabled: false}
          text: {enabled: false}
"""

KEY = "out-s3cret"
"""Stands in for a stream key, where a file shows whether it arrived."""


class Box:
    """A Debian with the package installed, and the service's files on its disk."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log = root, log

    def boot(self) -> Container:
        return Container(self.root, self.log)

    def recorded(self) -> int:
        """Bytes in all recordings; a restart begins another file."""
        return sum(path.stat().st_size for path in self.state.glob(f"{KEY}*.mp4"))

    @property
    def state(self) -> Path:
        return self.root / "var/lib/privaedge"


@pytest.fixture(scope="module")
def box(
    package: Path, clip: Path, face_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Box]:
    if os.geteuid() != 0:
        pytest.skip("only root boots containers")
    needs("debootstrap", "systemd-nspawn", "nsenter")
    suite = SUITES.get(sys.version_info[:2])
    if suite is None:
        pytest.skip("no Debian release has this Python, for which the wheels are")
    folder = tmp_path_factory.mktemp("box")
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.is_relative_to(tmp_path_factory.getbasetemp()):
            parent.chmod(0o755)
    root = folder / "root"
    if (reason := bootstrap(suite, root)) is not None:
        pytest.skip(f"no Debian root: {reason}")
    made = Box(root, folder / "console.log")
    shutil.copy(package, root / "opt/privaedge.deb")
    with made.boot() as container:
        container.run("dpkg", "--install", "/opt/privaedge.deb")
        assert container.run("privaedge", "--version").startswith("privaedge ")
        shutil.copy(clip, made.state / "clip.mp4")
        shutil.copy(face_model, made.state / "models")
        config = root / "etc/privaedge/privaedge.yaml"
        model = f"/var/lib/privaedge/models/{face_model.name}"
        config.write_text(CONFIG.replace("MODEL", model))
        credentials = root / "etc/credstore"
        credentials.mkdir(mode=0o700, exist_ok=True)
        (credentials / "privaedge.stream-key").write_text(f"{KEY}\n")
        (credentials / "privaedge.stream-key").chmod(0o600)
        container.run("chmod", "-R", "a+rX", "/var/lib/privaedge")
        container.run("systemctl", "enable", "--quiet", "privaedge.service")
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def running(box: Box) -> Iterator[Container]:
    """The box, booted, with the service on air."""
    with box.boot() as container:
        until(
            lambda: container.show("privaedge", "ActiveState") == "active",
            30,
            container.run("journalctl", "--unit=privaedge", "--no-pager") + "\nnot on air",
        )
        yield container


def test_a_boot_brings_it_on_air_within_10_s(box: Box, running: Container) -> None:
    def mark(name: str) -> float:
        return int(running.show("privaedge", name)) / 1e6

    # READY=1 is sent when the first picture has left.
    took = mark("ActiveEnterTimestampMonotonic") - mark("InactiveExitTimestampMonotonic")
    assert took <= 10
    before = box.recorded()
    until(lambda: box.recorded() > before, 10, "nothing is recorded")
    assert running.show("privaedge", "MainPID") != "0"
    assert KEY not in running.run("journalctl", "--unit=privaedge", "--no-pager")
    assert KEY not in running.run("systemctl", "status", "--full", "--no-pager", "privaedge")
    # With a model there, the boot unit has nothing to do, and says so by not running.
    assert running.show("privaedge-boot", "ConditionResult") == "no"


def test_a_killed_service_is_back_within_10_s(box: Box, running: Container) -> None:
    running.run("systemctl", "kill", "--signal=KILL", "privaedge")
    until(lambda: running.show("privaedge", "ActiveState") != "active", 5, "it was not killed")
    took = until(
        lambda: running.show("privaedge", "ActiveState") == "active", 15, "it did not come back"
    )
    assert took <= 10
    assert running.show("privaedge", "NRestarts") == "1"
    before = box.recorded()
    until(lambda: box.recorded() > before, 10, "nothing is recorded")


def test_the_watchdog_ends_a_service_that_stands_still(running: Container) -> None:
    running.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "privaedge")
    began = time.monotonic()
    until(lambda: running.show("privaedge", "NRestarts") == "1", 25, "the watchdog did not fire")
    # WatchdogSec=10, counted from the last ping; then the abort and RestartSec.
    assert time.monotonic() - began <= 16
    journal = running.run("journalctl", "--unit=privaedge", "--no-pager")
    assert "watchdog" in journal.lower()
    until(lambda: running.show("privaedge", "ActiveState") == "active", 15, "it is not back")


def test_stop_and_reload(box: Box, running: Container) -> None:
    running.run("systemctl", "reload", "privaedge")
    pid = running.show("privaedge", "MainPID")
    config = box.root / "etc/privaedge/privaedge.yaml"
    good = config.read_text()
    try:
        config.write_text("streams: {front: {source: 1}}\n")
        running.run("systemctl", "reload", "privaedge", check=False)
        time.sleep(2)
        assert running.show("privaedge", "ActiveState") == "active"
        assert running.show("privaedge", "MainPID") == pid
    finally:
        config.write_text(good)
    began = time.monotonic()
    running.run("systemctl", "stop", "privaedge")
    assert time.monotonic() - began <= 6  # 5 s, and the tools'
    assert running.show("privaedge", "Result") == "success"


def test_a_broken_configuration_is_tried_again_after_a_minute(box: Box, running: Container) -> None:
    running.run("systemctl", "stop", "privaedge")
    config = box.root / "etc/privaedge/privaedge.yaml"
    good = config.read_text()
    try:
        config.write_text("streams: {}\n")
        running.run("systemctl", "start", "privaedge", check=False)
        assert running.show("privaedge", "ActiveState") == "failed"
        assert running.show("privaedge", "ExecMainStatus") == "5"
        assert running.show("privaedge-cooldown@privaedge", "ActiveState") == "activating"
    finally:
        config.write_text(good)
    until(lambda: running.show("privaedge", "ActiveState") == "active", 90, "it is not tried again")


def test_the_sandbox_shows_little_and_forbids_much(running: Container) -> None:
    pid = running.show("privaedge", "MainPID")
    status = dict(
        line.split(":\t", 1)
        for line in running.run("cat", f"/proc/{pid}/status").splitlines()
        if ":\t" in line
    )
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    inside = (
        *("nsenter", f"--target={pid}", "--mount"),
        *("setpriv", "--reuid=privaedge", "--regid=privaedge", "--init-groups", "sh", "-c"),
    )
    for path in ("/etc/x", "/usr/x", "/opt/privaedge/x", "/var/lib/x", "/root/x"):
        assert "refused" in running.run(*inside, f"touch {path} || echo refused")
    assert "refused" not in running.run(*inside, "touch /var/lib/privaedge/x || echo refused")


def test_purge_leaves_nothing(box: Box, running: Container) -> None:
    running.run("dpkg", "--purge", "privaedge")
    assert running.show("privaedge", "LoadState") == "not-found"
    for path in ("opt/privaedge", "etc/privaedge", "var/lib/privaedge", "usr/bin/privaedge"):
        assert not os.path.lexists(box.root / path)
    assert not list((box.root / "etc/systemd/system").rglob("privaedge*"))
