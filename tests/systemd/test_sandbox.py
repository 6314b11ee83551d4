"""What the service does, done under the system call rules of its unit."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import FACES_ONLY
from tests.systemd.conftest import ROOT, SYSTEMD, needs

UNIT = SYSTEMD / "privaedge.service"


def confined(
    *command: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    needs("systemd-analyze")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    return subprocess.run(
        [sys.executable, "-m", "tests.systemd.confine", UNIT, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
    )


def test_the_rules_bite() -> None:
    done = confined(
        sys.executable,
        "-c",
        "import ctypes, mmap, os, json\n"
        "def refused(act):\n"
        "    try:\n"
        "        act()\n"
        "    except OSError as error:\n"
        "        return error.errno\n"
        "both = mmap.PROT_WRITE | mmap.PROT_EXEC\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def mount():\n"
        "    if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None):\n"
        "        raise OSError(ctypes.get_errno(), '')\n"
        "print(json.dumps([refused(lambda: mmap.mmap(-1, 4096, prot=both)),\n"
        "    refused(lambda: os.chroot('/')), refused(mount)]))\n",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 1, 1]


def test_faces_are_hidden_under_the_rules(
    clip: Path, face_model: Path, machine: dict[str, str], tmp_path: Path
) -> None:
    """Decoding, ONNX Runtime, OpenCV and x264, with their threads."""
    out, stats = tmp_path / "out.mp4", tmp_path / "stats.json"
    done = confined(
        *(sys.executable, "-c", "from edge.cli import main; main()"),
        *("run", clip, out, "--quiet", "--stats", stats),
        *("--set", f"video.models.face.model={face_model}"),
        *("--set", "runtime.threads=2"),
        *FACES_ONLY,
        environment=machine,
    )
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 0
    assert json.loads(stats.read_text())
