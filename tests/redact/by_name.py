"""Python where the driver on the CPU is what a package finds by the name of libcuda.so.1.

Packages look for that name once a process, so what is to be seen needs a process of its own. For
whole test modules: a file that pytest does not collect by itself (no test_ in its name), or whose
device is the CPU only where ON_CPU is set, holds tests as usual, and a test with the fixture
`driver` says `passes(driver, "", "tests/.../file.py")`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.inference.binding import ENVIRONMENT
from tests.redact.emulator import ON_CPU, shipped

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver on the CPU under the name that packages look for."""
    return Path(shutil.copy(shipped(), tmp_path_factory.mktemp("driver") / "libcuda.so.1"))


def python(
    driver: Path | None, *words: str, binding: str = "", path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python where a driver is found, or none."""
    environment = os.environ | {ENVIRONMENT: binding, "PYTHONWARNINGS": "error"}
    folders = [str(ROOT), *([str(path)] if path else []), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    if driver is not None:
        environment |= {ON_CPU: str(driver), "LD_LIBRARY_PATH": str(driver.parent)}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=ROOT, capture_output=True, text=True,
        timeout=250,
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a script printed, which must have ended well and without a word on stderr."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def passes(
    driver: Path, binding: str, *tests: str, least: int = 6, marked: str = "not gpu"
) -> None:
    """Run tests where a driver is found. binding: of the driver, or "" for the one that comes
    first. least: how many have to pass. marked: which of them."""
    done = python(
        driver, "-m", "pytest", "-p", "no:cacheprovider", "-m", marked, "-rA", *tests,
        binding=binding,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("PASSED") >= least
