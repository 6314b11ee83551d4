"""A detector of somebody else's, installed as a package would be, hides what it sees."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edge.config import Settings
from edge.config_io import load_config
from edge.errors import ConfigError, ModelError
from edge.lane_models import LaneModels
from edge.plugins import load_plugins
from edge.runner import Run
from tests.harness import FRAMES, decode, film, fine_detail, likeness, true_face

CODE = """
import numpy as np
from edge.detection import Detections
from tests.harness import true_face


class Tattoos:
    def infer(self, frame_id, image):
        return frame_id, Detections(true_face(frame_id), np.array([0.9], np.float32))


def broken():
    raise RuntimeError("no licence")


def blind():
    return object()
"""
ENTRY_POINTS = """[privaedge.detectors]
tattoos = tattoos_of_others:Tattoos
broken = tattoos_of_others:broken
blind = tattoos_of_others:blind
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it behind: a module, and metadata with entry points."""
    folder = tmp_path / "site"
    info = folder / "tattoos_of_others-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "tattoos_of_others.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tattoos-of-others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tattoos_of_others", raising=False)


def settings(tmp_path: Path, own: str) -> Settings:
    file = tmp_path / "own.yaml"
    file.write_text(
        f"video: {{models: {{own: {own}, face: {{enabled: false}}, plate: {{enabled: false}}, "
        "text: {enabled: false}}}\n"
    )
    return load_config(None, file, [])


def test_what_a_plugin_sees_is_hidden(tmp_path: Path) -> None:
    chosen = settings(tmp_path, "[{name: tattoos, conf: 0.5}]")
    models = LaneModels(plugins=load_plugins(chosen))
    assert "tattoos by a plugin" in str(models)
    clip, output = film(tmp_path / "clip.mp4", 30), tmp_path / "out.mp4"
    summary = Run(chosen, clip, output, models).execute()
    assert summary.stats.found == {"tattoos": 1}
    assert summary.stats.frames_masked == 0
    before, after = decode(clip), decode(output)
    assert len(after) == min(30, FRAMES)
    for n in range(0, 30, 5):
        x1, y1, x2, y2 = true_face(n)[0].clip(0).astype(int)
        part = np.s_[y1:y2, x1:x2]
        assert likeness(fine_detail(before[n][part]), fine_detail(after[n][part])) < 0.5


@pytest.mark.parametrize("frames", range(26, 34))
def test_a_detector_that_looks_seldom_judges_the_last_frames_too(
    tmp_path: Path, frames: int
) -> None:
    chosen = settings(tmp_path, "[{name: tattoos, target_fps: 2}]")
    models = LaneModels(plugins=load_plugins(chosen))
    clip, output = film(tmp_path / "clip.mp4", frames, sound=False), tmp_path / "out.mp4"
    summary = Run(chosen, clip, output, models).execute()
    assert summary.stats.frames_masked == 0
    assert summary.stats.frames_out == frames


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "no installed package offers a detector absent .*tattoos"),
        ("broken", "RuntimeError: no licence"),
        ("blind", "has no method infer"),
    ],
)
def test_a_plugin_that_cannot_work_is_told_of_before_anything_runs(
    tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        load_plugins(settings(tmp_path, f"[{{name: {name}}}]"))


@pytest.mark.parametrize("own", ["[{name: faces}]", "[{name: a}, {name: a}]", "[{name: A b}]"])
def test_a_lane_has_a_name_of_its_own(tmp_path: Path, own: str) -> None:
    with pytest.raises(ConfigError):
        settings(tmp_path, own)
