"""The tests of a GPU themselves: that they are sound is known before one is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.inference.gpu import gpu_here
from tests.redact.by_name import passes

SCRIPT = Path(__file__).resolve().parent.parent.parent / ".ci" / "gpu.sh"


@pytest.mark.skipif(not SCRIPT.exists(), reason="not a checkout: no .ci/gpu.sh")
@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_gpu_the_command_ends_with_one_line():
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    done = subprocess.run(
        [bash, SCRIPT], env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("test-gpu: no NVIDIA GPU answers: ")


@pytest.mark.slow
def test_what_would_run_on_a_gpu_runs_where_the_cpu_stands_for_one(driver: Path):
    passes(driver, "", "tests/redact", "tests/inference", "tests/media/test_surfaces_on_cuda.py",
           marked="gpu", least=75)  # fmt: skip
