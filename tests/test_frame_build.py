"""For how many pictures of a stream there is page-locked memory, and when there is none."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from edge import frame_build
from edge.config import Settings
from edge.config_io import load_config
from edge.errors import DeviceError, ModelError
from edge.frame_build import pinned_pictures
from edge.inference import eyes
from edge.inference.cuda import Cuda
from edge.media.pinned import PinnedPictures
from edge.media.source import FileSource
from edge.media.streams import StreamInfo
from tests.redact.emulator import emulated, separate

PICTURE = 640 * 360 * 3 // 2 + 128


@pytest.fixture
def info(clip: Path) -> StreamInfo:
    with FileSource(clip) as source:
        return source.info


@pytest.fixture(autouse=True)
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = separate(tmp_path)
    emulated(library)
    monkeypatch.setattr(frame_build, "Cuda", lambda: Cuda(str(library)))
    monkeypatch.setattr(eyes, "_sighted", weakref.WeakSet())


def configured(*chosen: str) -> Settings:
    return load_config("balanced", None, list(chosen))


def slots(pictures: PinnedPictures | None) -> int:
    assert pictures is not None
    assert pictures._pool is not None
    assert pictures._pool.allocated == pictures._pool.count * PICTURE
    return pictures._pool.count


@pytest.mark.parametrize(
    ("chosen", "delay_s", "most", "count"),
    [
        ([], 2.0, 1000, 38),  # 15 looks a second at most
        (["scheduler.max_fps=60"], 2.0, 1000, 58),  # 25 frames a second
        ([], 2.0, 20, 28),
        (["scheduler.target_fps=4", "scheduler.max_fps=4"], 7.1, 1000, 37),
        (["delay.storage=packets"], 7.0, 1000, 8),
    ],
)
def test_there_are_as_many_as_wait_after_a_look(info, caplog, chosen, delay_s, most, count):
    with caplog.at_level(logging.INFO):
        pictures = pinned_pictures(configured("runtime.device=cuda", *chosen), info, delay_s, most)
    assert slots(pictures) == count
    megabytes = f"({count * PICTURE / 1e6:.0f} MB)"
    assert f"room for {count} page-locked pictures of 640x360 {megabytes}" in caplog.text


def test_the_machine_keeps_half_of_its_memory(info, caplog, monkeypatch):
    monkeypatch.setattr(frame_build, "_memory_bytes", lambda: 20 * PICTURE)
    with caplog.at_level(logging.INFO):
        assert slots(pinned_pictures(configured("runtime.device=cuda"), info, 2.0)) == 10
    assert "38 wanted" in caplog.text


def test_without_anybody_on_a_gpu_there_is_none(info):
    for device in ("cpu", "auto"):
        assert pinned_pictures(configured(f"runtime.device={device}"), info, 2.0) is None
    cuda = configured("runtime.device=cuda")
    assert pinned_pictures(cuda, replace(info, on_gpu=True), 2.0) is None
    assert pinned_pictures(cuda, replace(info, pixel_format="rgb24"), 2.0) is None


def test_where_an_engine_sees_by_itself_there_is_some(info, monkeypatch):
    class Seeing:
        pass

    engine = Seeing()
    eyes._sighted.add(engine)  # type: ignore[arg-type]
    assert slots(pinned_pictures(configured(), info, 2.0)) == 38
    assert pinned_pictures(configured("runtime.device=cpu"), info, 2.0) is None


@pytest.mark.parametrize(
    "error", [DeviceError("CUDA's cuMemHostAlloc failed"), ModelError("no GPU answers. Buy one.")]
)
def test_without_such_memory_a_stream_goes_on(info, caplog, monkeypatch, error):
    def refuse(*_: object) -> Cuda:
        raise error

    monkeypatch.setattr(frame_build, "Cuda", refuse)
    assert pinned_pictures(configured("runtime.device=cuda"), info, 2.0) is None
    assert f"not page-locked, and copied for the GPU: {str(error)[:10]}" in caplog.text
