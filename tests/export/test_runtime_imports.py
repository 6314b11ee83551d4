"""What runs never imports what exports: no training framework, and nothing under AGPL."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command import blind_yunet, environment

_HEAVY = ("torch", "torchvision", "ultralytics", "doctr", "transformers", "modelopt", "sklearn",
          "tensorflow", "onnxslim")  # fmt: skip

_LOAD = """
import sys
import edge.cli, edge.cli_export, edge.live_runner, edge.runner, edge.appliance.service, edge.doctor
from edge.config import Settings
from edge.errors import ModelError
from edge.lane_models import load_lane_models
from edge.config_io import load_config

off = "enabled=false"
face = "video.models.face.model=[{face}]"
missing = []
for lane, others in (
    ("faces", ["plate", "text"]), ("plates", ["face", "text"]), ("text", ["face", "plate"]),
    ("speech", ["face", "plate", "text"]),
):
    words = [f"video.models.{{name}}.{{off}}" for name in others]
    if lane == "faces":
        words.append(face)
    if lane == "speech":
        words.append("audio.enabled=true")
    words.append("models.fetch=false")
    try:
        models = load_lane_models(load_config("balanced", None, words))
        assert models.names, lane
    except ModelError:
        missing.append(lane)
heavy = sorted(set({heavy!r}) & set(sys.modules))
print("heavy:", ",".join(heavy))
print("missing:", ",".join(missing))
"""


def test_no_lane_brings_a_framework_with_it(tmp_path):
    """Every lane whose models are here is loaded; those that are missing are named."""
    code = _LOAD.format(face=blind_yunet(tmp_path / "face.onnx"), heavy=_HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200,
        env=_with_models(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert said.get("heavy", "") == "", said
    missing = [lane for lane in said.get("missing", "").split(",") if lane]
    assert "faces" not in missing
    if missing:
        pytest.skip(f"no models for {', '.join(missing)} here; the other lanes import none of it")


def _with_models(tmp_path):
    """No network, but the models that are on this machine."""
    import os

    from edge.model_store import default_cache_dir
    from tests.support import SHARED

    wanted = environment(tmp_path / "cache")
    wanted["PRIVAEDGE_MODELS"] = os.pathsep.join([str(SHARED / "models"), str(default_cache_dir())])
    return wanted
