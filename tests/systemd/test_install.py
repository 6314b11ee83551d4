"""install.sh, run for real under another root."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.systemd.conftest import SYSTEMD, needs

SCRIPTS = sorted([*SYSTEMD.glob("*.sh"), *SYSTEMD.glob("debian/*")])
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")

FILES = (
    "usr/local/lib/systemd/system/privaedge.service",
    "usr/local/lib/systemd/system/privaedge@.service",
    "usr/local/lib/systemd/system/privaedge-boot.service",
    "usr/local/lib/systemd/system/privaedge-export.service",
    "usr/local/lib/systemd/system/privaedge-cooldown@.service",
    "usr/local/lib/sysusers.d/privaedge.conf",
    "usr/local/lib/tmpfiles.d/privaedge.conf",
    "usr/local/lib/udev/rules.d/60-privaedge-capture.rules",
)


def install(
    root: Path, *arguments: str | Path, script: Path = SYSTEMD / "install.sh"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", script, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={"PATH": os.environ["PATH"], "DESTDIR": str(root), "HOME": str(root)},
    )


def from_wheels(unpacked: Path, wheel: Path | None = None) -> list[str | Path]:
    """Arguments with which nothing comes from the network."""
    wheels = unpacked / "opt/privaedge/wheels"
    # The wheels are for this Python.
    python = Path(os.path.realpath(sys.executable))
    wheel = wheel or next(wheels.glob("privaedge-*.whl"))
    return ["--wheel", wheel, "--wheels", wheels, "--python", python]


@pytest.fixture
def light_wheel(unpacked: Path, tmp_path: Path) -> Path:
    """The wheel without the dependencies that the command needs for video only: they are big."""
    (wheel,) = (unpacked / "opt/privaedge/wheels").glob("privaedge-*.whl")
    light = tmp_path / "light" / wheel.name
    light.parent.mkdir()
    wanted = ("typer", "rich")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(light, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".dist-info/METADATA"):
                data = b"".join(
                    line
                    for line in data.splitlines(keepends=True)
                    if not line.startswith(b"Requires-Dist: ")
                    or line.removeprefix(b"Requires-Dist: ").decode().startswith(wanted)
                )
            new.writestr(name, data)
    return light


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
    needs(shell)
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    needs("shellcheck")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--wheel"], "wants a value"),
        (["--purge"], "goes with --uninstall"),
        (["--frobnicate"], "unknown argument"),
        pytest.param(["--wheel", "/nowhere.whl"], "does not exist", marks=as_root),
        pytest.param(["--wheels", "/nowhere"], "is not a folder", marks=as_root),
        pytest.param(["--python", "/nowhere"], "is not Python 3.11", marks=as_root),
    ],
)
def test_wrong_usage_says_so_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = install(tmp_path, *arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert not list(tmp_path.rglob("*.service"))
    assert not (tmp_path / "opt/privaedge/venv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_only_root_may() -> None:
    needs("setpriv")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-s"],
        input=(SYSTEMD / "install.sh").read_text(),
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "must run as root" in done.stderr


@as_root
def test_install_and_uninstall(tmp_path: Path, unpacked: Path, light_wheel: Path) -> None:
    needs("systemd-sysusers", "systemd-tmpfiles")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    done = install(root, *from_wheels(unpacked, light_wheel))
    assert done.returncode == 0, done.stderr

    for name in FILES:
        installed = root / name
        assert installed.stat().st_mode & 0o777 == 0o644
        folder = {"system": ".", "rules.d": "udev"}.get(installed.parent.name)
        original = SYSTEMD / (folder or installed.parent.name) / installed.name
        assert installed.read_bytes() == original.read_bytes()
    config = root / "etc/privaedge/privaedge.yaml"
    assert config.read_bytes() == (SYSTEMD / "privaedge.yaml").read_bytes()
    assert config.stat().st_mode & 0o777 == 0o640
    assert "privaedge:" in (root / "etc/passwd").read_text()

    venv = root / "opt/privaedge/venv"
    assert not venv.readlink().is_absolute()
    # As it will be called where the root is /.
    first = (venv / "bin/privaedge").read_text().splitlines()[0]
    assert first.startswith("#!/opt/privaedge/releases/")
    assert str((root / "usr/local/bin/privaedge").readlink()) == "/opt/privaedge/venv/bin/privaedge"
    version = subprocess.run(
        [venv / "bin/python", "-I", venv / "bin/privaedge", "--version"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert version.stdout.startswith("privaedge "), version.stderr

    config.write_text("streams: {mine: {}}\n")
    models = root / "var/lib/privaedge/models/mine.onnx"
    models.write_bytes(b"model")
    done = install(root, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert not any((root / name).exists() for name in FILES)
    assert not (root / "opt/privaedge").exists()
    assert config.read_text() == "streams: {mine: {}}\n"
    assert models.exists()

    assert install(root, "--uninstall", "--purge").returncode == 0
    assert not config.parent.exists()
    assert not models.exists()


@as_root
@pytest.mark.slow
def test_a_second_time_upgrades_and_keeps_settings(tmp_path: Path, unpacked: Path) -> None:
    needs("systemd-sysusers", "systemd-tmpfiles")
    config = tmp_path / "etc/privaedge/privaedge.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("streams: {mine: {}}\n")
    environments: list[str] = []
    for _ in range(3):
        done = install(tmp_path, *from_wheels(unpacked))
        assert done.returncode == 0, done.stderr
        assert "upgraded" in done.stdout
        environments.append(str((tmp_path / "opt/privaedge/venv").readlink()))
        assert config.read_text() == "streams: {mine: {}}\n"
    assert len(set(environments)) == 3
    # The one before stays to go back to; older ones do not pile up.
    left = {f"releases/{path.name}" for path in (tmp_path / "opt/privaedge/releases").iterdir()}
    assert left == set(environments[1:])

    # What cannot be installed leaves everything as it was.
    broken = tmp_path / "privaedge-9.0-py3-none-any.whl"
    broken.write_bytes(b"not a wheel")
    assert install(tmp_path, "--wheel", broken, *from_wheels(unpacked)[2:]).returncode != 0
    assert str((tmp_path / "opt/privaedge/venv").readlink()) == environments[-1]
    assert len(list((tmp_path / "opt/privaedge/releases").iterdir())) == 2
