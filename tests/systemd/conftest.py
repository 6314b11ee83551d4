"""The package and its contents, built once for all tests of the units."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = ROOT / "systemd"
_OFFLINE = ("No matching distribution found", "Failed to establish a new connection", "timed out")


def needs(*commands: str) -> None:
    """Skip where a command is missing."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Debian package, built as `make deb` does."""
    needs("dpkg-deb", "bash")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip(f"{sys.executable} has no pip to collect wheels with")
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        ["bash", SYSTEMD / "build_deb.sh", sys.executable, folder],
        capture_output=True,
        text=True,
        timeout=200,
    )
    if done.returncode and any(sign in done.stderr for sign in _OFFLINE):
        pytest.skip("the package index cannot be reached, so there are no wheels to package")
    assert done.returncode == 0, done.stderr
    yield Path(done.stdout.strip())
    shutil.rmtree(folder)  # 150 MB that pytest would keep


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the package puts on a disk."""
    folder = tmp_path_factory.mktemp("unpacked")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    yield folder
    shutil.rmtree(folder)
