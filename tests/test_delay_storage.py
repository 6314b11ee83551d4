"""The whole pipeline with packets in its delay line: the same output, and never a wrong picture."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge.detection import Detections
from edge.errors import ExitCode
from edge.face_model import FaceModel
from edge.frame import Frame, GonePicture, Picture
from edge.lane_models import LaneModels
from edge.live import LivePipeline
from edge.media import streams
from edge.media.replay import second_context
from edge.media.source import FileSource
from edge.recall import STORAGE
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import RedactionStyle
from edge.release import Releaser
from edge.runner import Run
from edge.schedule import Cadence
from tests.harness import FPS, FRAMES, SIZE, Script, Seen, lengthen, run, settings_with
from tests.support import shared_file
from tests.test_live import Camera, Flat, Recorder, Sent, shows, worker_for

PACKETS = "delay.storage=packets"


@pytest.fixture
def skip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the second decoder leave out pictures, counted from 0."""

    def plant(*numbers: int) -> None:
        class Skipping:
            def __init__(self, stream: av.VideoStream) -> None:
                self._context, self._count = second_context(stream), itertools.count()

            def decode(self, packet: Any) -> list[Any]:
                found = self._context.decode(packet)
                return [one for one in found if next(self._count) not in numbers]

        monkeypatch.setattr(streams, "second_context", Skipping)

    return plant


class Fixed:
    """Sees a face in the same place of every picture."""

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        box = np.array([[300, 200, 420, 360]], np.float32)
        return frame_id, Detections(box, np.array([0.9], np.float32))


# -- files --------------------------------------------------------------------------------------


def test_a_file_comes_out_the_same_to_the_last_byte(clip: Path, tmp_path: Path) -> None:
    frames = run(Script(), clip, tmp_path / "frames.mp4")
    packets = run(Script(), clip, tmp_path / "packets.mp4", PACKETS)
    assert packets.exit_code is frames.exit_code is ExitCode.OK
    assert (tmp_path / "packets.mp4").read_bytes() == (tmp_path / "frames.mp4").read_bytes()
    assert packets.stats.regions == frames.stats.regions > 0
    assert packets.stats.stages["decode again"].calls == FRAMES
    assert "decode again" not in frames.stats.stages


@pytest.mark.timeout(180)
def test_a_real_film_with_cuts_comes_out_the_same(tmp_path: Path) -> None:
    whole, part = shared_file("media/video/wall.mp4"), tmp_path / "part.mp4"
    with av.open(str(whole)) as source, av.open(str(part), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in itertools.islice(source.demux(video=0), 120):
            packet.stream = stream
            target.mux(packet)
    models = LaneModels(face=FaceModel("fixed", "test", 0.3, Fixed))
    for storage in ("frames", "packets"):
        settings = settings_with(f"delay.storage={storage}")
        summary = Run(settings, part, tmp_path / f"{storage}.mp4", models).execute()
        assert summary.stats.frames_masked == 0
        assert summary.stats.frames_out >= 110
        assert summary.stats.cuts >= 1
        assert summary.stats.regions >= 100
    assert (tmp_path / "packets.mp4").read_bytes() == (tmp_path / "frames.mp4").read_bytes()


def test_a_line_that_is_full_all_the_time(clip: Path, tmp_path: Path) -> None:
    long = lengthen(clip, tmp_path / "long.mp4", 4)
    summary = run(Script(), long, tmp_path / "out.mp4", PACKETS)
    assert summary.stats.frames_out == summary.stats.frames_in == 4 * FRAMES
    assert summary.stats.frames_masked == 0


def test_a_skipped_picture_is_masked_and_its_neighbours_are_right(
    clip: Path, tmp_path: Path, skip: Callable[..., None]
) -> None:
    skip(20, 41, 42)
    summary = run(Script(), clip, tmp_path / "out.mp4", PACKETS)
    # Each frame is the original of the same number but for its face, or nothing.
    seen = Seen.between(clip, tmp_path / "out.mp4")
    assert seen.masked == {20, 41, 42}
    assert seen.faces == set()
    assert summary.exit_code is ExitCode.MASKED
    assert {lane for one in summary.stats.stretches for lane in one.lanes} == {STORAGE}
    assert any("delay.storage" in reason for reason in summary.stats.reasons)


def test_nothing_is_shown_where_the_second_decoder_gives_nothing(
    clip: Path, tmp_path: Path, skip: Callable[..., None]
) -> None:
    skip(*range(1000))
    run(Script(), clip, tmp_path / "out.mp4", PACKETS)
    assert Seen.between(clip, tmp_path / "out.mp4").masked == set(range(FRAMES))


# -- live ---------------------------------------------------------------------------------------


class PacketCamera(Camera):
    """Frames that can be had again, in real time."""

    def read(self) -> Iterator[Frame]:
        with FileSource(self._clip, keep_packets=True) as source:
            frames = (item for item in source.read() if isinstance(item, Frame))
            for frame in itertools.islice(frames, self._frames.start, self._frames.stop):
                due = self._begun + (frame.frame_id - self._frames.start) / FPS
                time.sleep(max(0.0, due - time.monotonic()))
                yield frame


def run_live(clip: Path, connect: Callable[[], Any]) -> tuple[list[Sent], LivePipeline]:
    recorder = Recorder()
    pipeline = LivePipeline(
        connect,
        recorder,
        [worker_for(Script())],
        Releaser(CpuRedactor(RedactionStyle())),
        slate=Flat(),
        size=SIZE,
        fps=FPS,
        cadence=Cadence(8, 15, 0.2),
        delay_s=1.6,
        once=True,
    )
    pipeline.run()
    return recorder.sent, pipeline


@pytest.mark.parametrize("missing", [(), (30, 31)])
def test_a_live_stream_keeps_its_delay_and_shows_no_wrong_picture(
    clip: Path, skip: Callable[..., None], missing: tuple[int, ...]
) -> None:
    if missing:
        skip(*missing)
    sent, pipeline = run_live(clip, lambda: PacketCamera(clip, range(FRAMES)))
    stats = pipeline.stats
    assert stats.frames_dropped <= FRAMES * 0.05
    assert stats.stages["decode again"].calls == stats.frames_out
    assert stats.masked_by.get(STORAGE, 0) == len(missing)
    seen = [n for n, alike in shows(sent, clip) if n is not None and alike > 0.5]
    assert len(seen) >= FRAMES * 0.85
    assert seen == sorted(set(seen))
    assert not set(seen) & set(missing)


def test_the_delay_line_of_a_live_stream_holds_no_pictures(clip: Path) -> None:
    pipeline: list[LivePipeline] = []
    held: list[bool] = []

    class Peeking(PacketCamera):
        def read(self) -> Iterator[Frame]:
            for frame in super().read():
                held.extend(
                    isinstance(one.picture, GonePicture) for one in pipeline[0]._line._items
                )
                yield frame

    made = LivePipeline(
        lambda: Peeking(clip, range(30)), Recorder(), [], Releaser(CpuRedactor(RedactionStyle())),
        slate=Flat(), size=SIZE, fps=FPS, cadence=Cadence(4, 15, 0.2), delay_s=0.4, once=True,
    )  # fmt: skip
    pipeline.append(made)
    made.run()
    assert len(held) > 100
    assert all(held)
