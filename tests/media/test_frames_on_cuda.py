"""FFmpeg's frames in CUDA's memory: on the driver on the CPU, and where there is no driver."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.codec.hwaccel import HWAccel

from edge.inference.gpu import gpu_here
from tests.media.clips import make_clip
from tests.redact.by_name import passes


def test_frames_come_and_go_between_kernels_and_ffmpeg(driver: Path):
    passes(driver, "", "tests/media/frames_on_cuda.py", least=11)


@pytest.mark.slow
def test_they_do_by_the_driver_itself(driver: Path):
    passes(driver, "ctypes", "tests/media/frames_on_cuda.py", least=11)


@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_driver_a_file_does_not_open(tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4")
    with pytest.raises(av.error.PermissionError):
        av.open(str(clip), hwaccel=HWAccel("cuda", is_hw_owned=True))


def test_frames_stay_on_the_gpu_until_they_have_left(driver: Path):
    passes(driver, "", "tests/media/test_surfaces_on_cuda.py", least=20)
