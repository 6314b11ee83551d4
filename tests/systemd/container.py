"""A whole Debian with systemd as its first process, in a container of systemd-nspawn."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self

SUITES: Final = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Debian's release for each Python: the package's wheels are for one."""
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev"),
    *("python3", "python3-venv", "ca-certificates"),
)
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def bootstrap(suite: str, root: Path, mirror: str = "http://deb.debian.org/debian") -> str | None:
    """Make a root folder with a minimal Debian; return why it could not be made."""
    done = subprocess.run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *(suite, root, mirror),
        ],
        capture_output=True,
        text=True,
        timeout=280,
    )
    if done.returncode:
        return (done.stdout.strip().splitlines() or ["debootstrap failed"])[-1]
    return None


class Container:
    """A booted container. Commands run inside of it as root."""

    def __init__(self, root: Path, log: Path) -> None:
        """Boot what lies in root; what its console says goes to log. Raises TimeoutError."""
        self._log = log.open("ab")
        self._nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", f"--directory={root}", "--register=no", "--keep-unit"),
                *("--console=pipe", "--private-network", "--boot"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._init = 0
        try:
            until(self._booted, 60, "the container's systemd does not come up")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Power it off."""
        self._nspawn.terminate()  # nspawn asks the container to power off
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        self._log.close()

    def run(self, *command: str, check: bool = True, timeout: float = 120) -> str:
        """Run a command and return what it printed; with check, raise where it failed."""
        done = subprocess.run(
            [
                *("nsenter", f"--target={self._init}", "--all"),
                *("env", "-i", f"PATH={_PATH}", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"),
                *command,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}")
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def _booted(self) -> bool:
        if self._nspawn.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended with {self._nspawn.returncode}")
        pid = self._nspawn.pid
        with contextlib.suppress(OSError, IndexError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            self._init = int(children[0])
            if "systemd" in str(Path(f"/proc/{self._init}/exe").readlink()):
                return self.run("systemctl", "is-system-running", check=False) in {
                    "running",
                    "degraded",
                }
        return False


def until(condition: Any, seconds: float, otherwise: str) -> float:
    """Wait until something is so, and return the seconds that took. Raises TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{otherwise} within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - began
