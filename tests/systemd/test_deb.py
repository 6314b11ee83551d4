"""The Debian package: built for real, and looked into."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from edge import __version__
from tests.systemd.conftest import SYSTEMD


def field(package: Path, name: str) -> str:
    done = subprocess.run(
        ["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_it_says_what_it_is(package: Path) -> None:
    assert field(package, "Package") == "privaedge"
    assert field(package, "Version").replace("~", "") in __version__.replace(".dev", "dev")
    own = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True)
    assert field(package, "Architecture") == own.stdout.strip()
    # Wheels are for one Python: another must be refused, not broken by it.
    minor = sys.version_info.minor
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})" in field(package, "Depends")
    assert int(field(package, "Installed-Size")) > 50_000


def test_it_has_all_that_the_service_needs(unpacked: Path) -> None:
    for unit in SYSTEMD.glob("*.service"):
        packed = unpacked / "usr/lib/systemd/system" / unit.name
        assert packed.read_bytes() == unit.read_bytes()
    for name in ("sysusers.d", "tmpfiles.d"):
        assert (unpacked / "usr/lib" / name / "privaedge.conf").is_file()
    assert (unpacked / "usr/lib/udev/rules.d/60-privaedge-capture.rules").is_file()
    assert (unpacked / "opt/privaedge/privaedge.yaml").is_file()
    wheels = {path.name.split("-")[0] for path in (unpacked / "opt/privaedge/wheels").iterdir()}
    assert {"privaedge", "av", "numpy", "onnxruntime", "opencv_python_headless"} <= wheels
    assert {"fastapi", "uvicorn", "websockets", "prometheus_client"} <= wheels
    # Settings are the administrator's: made on the first installation, never shipped as a file.
    assert not (unpacked / "etc").exists()


def test_files_belong_to_root_and_are_as_stated(package: Path, unpacked: Path) -> None:
    listing = subprocess.run(
        ["dpkg-deb", "-c", package], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert all(re.match(r"\S+ root/root ", line) for line in listing)
    assert not any(re.match(r"[-d]\S{7}w", line) for line in listing)
    sums = subprocess.run(
        ["dpkg-deb", "-I", package, "md5sums"], capture_output=True, text=True, check=True
    ).stdout
    stated = {name: sum_ for sum_, name in (line.split("  ", 1) for line in sums.splitlines())}
    files = [path for path in unpacked.rglob("*") if path.is_file() and not path.is_symlink()]
    assert stated == {
        str(path.relative_to(unpacked)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in files
    }


def test_hooks_travel_with_it(package: Path) -> None:
    for hook in (SYSTEMD / "debian").iterdir():
        packed = subprocess.run(
            ["dpkg-deb", "-I", package, hook.name], capture_output=True, check=True
        )
        assert packed.stdout == hook.read_bytes()
