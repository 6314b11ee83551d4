"""deface in an environment of its own, made on demand: what privaedge is measured against.

deface asks for opencv-python, which wants the system's libGL and breaks opencv-python-headless
beside it. So it is installed without its dependencies, and these are named here one by one, each
pinned: the figures are comparable only while both sides stay the same.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks._common import BenchmarkError

VERSION: Final = "1.5.0"
PINS: Final = (
    f"deface=={VERSION}",
    "flatbuffers==25.12.19",
    "imageio==2.38.1",
    "imageio-ffmpeg==0.8.1",
    "lazy-loader==0.6",
    "ml_dtypes==0.6.0",
    "networkx==3.6.1",
    "numpy==2.4.6",
    # With onnx and onnxruntime deface takes its fast path; without them it falls back to OpenCV.
    "onnx==1.23.2",
    "onnxruntime==1.31.1",
    "opencv-python-headless==5.0.0.93",
    "packaging==26.3",
    "pillow==13.0.0",
    "protobuf==7.36.2",
    "scikit-image==0.26.0",
    "scipy==1.17.1",
    "tifffile==2026.3.3",
    "tqdm==4.70.1",
    "typing_extensions==4.16.0",
)
ENVIRONMENT: Final = Path(__file__).resolve().parent.parent / ".bench" / "deface"


def executable(environment: Path = ENVIRONMENT) -> Path:
    """Return deface's command, after making its environment where it is missing or outdated.

    Raises BenchmarkError where it cannot be installed.
    """
    command = environment / "bin" / "deface"
    stamp = environment / "pins.txt"
    wanted = "\n".join(PINS) + "\n"
    if command.exists() and stamp.exists() and stamp.read_text() == wanted:
        return command
    print(f"installing deface {VERSION} into {environment} …", file=sys.stderr)
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    _run([*pip, "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", *PINS])
    stamp.write_text(wanted)
    return command


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise BenchmarkError(
            f"deface cannot be installed: {lines[-1]}. Check the network, or leave out --deface."
        )
