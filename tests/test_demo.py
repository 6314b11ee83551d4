"""The demo: from nothing to a redacted clip with its before/after picture, in one command."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge import demo
from edge.errors import ExitCode, ModelError, SinkError
from tests.command import invoke
from tests.harness import decode, fine_detail, likeness

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("machine")]


def test_demo_ends_with_a_redacted_clip_and_a_picture_of_both(
    tmp_path: Path, face_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(face_model.parent))
    monkeypatch.setattr(demo, "_SCENES_S", (1.0, 0.6))
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "clip-redacted.mp4").write_bytes(b"of an earlier demo")
    done = invoke("demo", folder)
    assert done.code == 0, done.err
    assert {p.name for p in folder.iterdir()} == {
        "clip.mp4",
        "clip-redacted.mp4",
        "before-after.png",
    }
    assert "before-after.png" in done.out.replace("\n", "")
    assert "privaedge run YOUR-CLIP.mp4" in done.out
    clip, result = decode(folder / "clip.mp4"), decode(folder / "clip-redacted.mp4")
    assert len(clip) == len(result) == 48
    picture = cv2.imread(str(folder / "before-after.png"))
    assert picture is not None
    assert picture.shape == (2 * demo.HEIGHT, demo.WIDTH, 3)
    before, after = (fine_detail(half) for half in np.split(picture[..., 1].astype(np.uint8), 2))
    assert 0.3 < likeness(before, after) < 0.99, "faces are gone and the rest is there"


def test_clip_moves_cuts_and_is_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_SCENES_S", (0.4, 0.2))
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    demo.make_clip(first)
    demo.make_clip(second)
    assert first.read_bytes() == second.read_bytes()
    with av.open(str(first)) as container:
        assert container.streams.video[0].average_rate == demo.FPS
    frames = decode(first)
    assert len(frames) == 18
    steps = [float(cv2.norm(a, b, cv2.NORM_L1)) for a, b in pairwise(frames)]
    assert min(steps) > 0
    assert steps.index(max(steps)) == 11, "the cut"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SinkError, match="Choose another folder"):
        demo.make_clip(file / "demo" / "clip.mp4")
    invoke("demo", file / "demo").refused(ExitCode.OUTPUT, "cannot be written")


def test_picture_that_cannot_be_written(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(SinkError, match="Choose another folder"):
        demo.before_after(clip, clip, tmp_path / "none" / "picture.png")


def test_without_the_photograph_the_user_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModelError, match="pip install"):
        demo.astronaut()
