"""Live sound in real time: out after the delay, and silent where nobody could judge it."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import SourceError
from edge.frame import Frame
from edge.lane_models import LaneModels
from edge.listen_build import listening
from edge.live import LivePipeline
from edge.media.source import FileSource
from edge.redact.audio import FADE_S
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import RedactionStyle
from edge.release import Releaser
from edge.schedule import Cadence
from edge.sound import Samples
from edge.speech.words import Word
from tests.harness import FPS, SIZE, film, settings_with
from tests.lanes.talk import private
from tests.sounds import Ear, around, say, speech_models

pytestmark = pytest.mark.timeout(60)

RATE = 48_000
BLOCK = 960
DELAY_S = 3.0
"""The least for chunks of 1 s."""
FRAMES = 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("live") / "clip.mp4", FRAMES, sound=False)


class Camera:
    """A connection that gives the clip's frames and (2, n) sound in real time, up to `seconds`."""

    fps = float(FPS)

    def __init__(self, clip: Path, sound: Samples, seconds: float = FRAMES / FPS) -> None:
        self._clip, self._sound, self._seconds = clip, sound, seconds

    def read(self) -> Iterator[Frame | tuple[float, Samples]]:
        begun = time.monotonic()
        at = 0
        with FileSource(self._clip) as source:
            for frame in (item for item in source.read() if isinstance(item, Frame)):
                if frame.pts >= self._seconds:
                    return
                time.sleep(max(0.0, begun + frame.pts - time.monotonic()))
                yield frame
                while at < min(frame.pts + 1 / FPS, self._seconds) * RATE:
                    if at < self._sound.shape[1]:
                        yield at / RATE, self._sound[:, at : at + BLOCK]
                    at += BLOCK

    def close(self) -> None:
        pass


@dataclass
class Recorder:
    """Keeps what leaves but slates, with the time."""

    frames: list[tuple[float, float]] = field(default_factory=list)
    sound: list[tuple[float, float, Samples]] = field(default_factory=list)

    def write_frame(self, picture: Any, pts: float) -> None:
        if not isinstance(picture, Flat):  # one may go before the first frame
            self.frames.append((pts, time.monotonic()))

    def write_sound(self, samples: Samples, pts: float) -> None:
        self.sound.append((pts, time.monotonic(), samples.copy()))

    def heard(self, since: float, seconds: float) -> Samples:
        """What is heard from a stream time on, as (2, n); silence where nothing left."""
        tape = np.zeros((2, round(seconds * RATE)), np.float32)
        for pts, _, samples in self.sound:
            first = round((pts - since) * RATE)
            a, b = max(0, first), min(tape.shape[1], first + samples.shape[1])
            if a < b:
                tape[:, a:b] = samples[:, a - first : b - first]
        return tape


class Flat:
    """A slate as pure data."""

    width, height = SIZE
    luma = np.full((SIZE[1], SIZE[0]), 77, np.uint8)

    def shrink(self, width: int, height: int) -> Any:
        raise AssertionError("a slate is not looked at")

    def crop(self, left: int, top: int, width: int, height: int) -> Any:
        raise AssertionError("a slate is not looked at")

    def edit(self) -> Any:
        raise AssertionError("a slate is not edited")


def run_live(
    models: LaneModels,
    connect: Callable[[], Any],
    *overrides: str,
    once: bool = True,
    seconds: float = 30.0,
) -> tuple[Recorder, LivePipeline]:
    settings = settings_with(
        "audio.enabled=true", "audio.effect=silence", "audio.chunk_seconds=1",
        f"delay.seconds={DELAY_S}", *overrides,
    )  # fmt: skip
    recorder = Recorder()
    pipeline = LivePipeline(
        connect,
        recorder,
        [],
        Releaser(CpuRedactor(RedactionStyle())),
        slate=Flat(),
        size=SIZE,
        fps=FPS,
        cadence=Cadence(4, 15, 0.2),
        delay_s=settings.delay_s,
        listen=listening(settings, models, live=True),
        once=once,
    )
    timer = threading.Timer(seconds, pipeline.stop)
    timer.start()
    pipeline.run()
    timer.cancel()
    return recorder, pipeline


def talk() -> tuple[Samples, list[Word]]:
    """1.6 s, stereo; the second word is private."""
    return say([("word1", 0.2), ("alice", 0.2), ("word2", 0.2)], [0.0, 0.45, 0.4],
               RATE, 2, 0.15)  # fmt: skip


def inside(word: Word) -> slice:
    return slice(round((word.start + 0.02) * RATE), round((word.end - 0.02) * RATE))


def assert_heard(heard: Samples, sound: Samples, word: Word) -> None:
    """To the sample: stream time begins between two of them."""
    assert min(
        np.abs(np.roll(heard, shift, axis=1)[:, inside(word)] - sound[:, inside(word)]).max()
        for shift in (-1, 0, 1)
    ) < 1e-6  # fmt: skip


def assert_silent(heard: Samples, words: list[Word]) -> None:
    said = around(private(words), heard.shape[1], RATE, 0.0)
    assert np.abs(heard[:, said]).max() < 1e-6


def test_sound_leaves_after_the_delay_without_private_words(clip: Path) -> None:
    sound, words = talk()
    recorder, pipeline = run_live(speech_models(), lambda: Camera(clip, sound))
    since = recorder.frames[0][0]
    heard = recorder.heard(since, 1.5)
    assert_silent(heard, words)
    for word in (words[0], words[2]):
        assert_heard(heard, sound, word)
    waits = [at - pipeline._epoch - pts - BLOCK / RATE for pts, at, _ in recorder.sound]
    assert abs(statistics.median(waits) - DELAY_S) < 2 / FPS
    for (a, _, samples), (b, _, _) in itertools.pairwise(recorder.sound):
        assert b == pytest.approx(a + samples.shape[1] / RATE, abs=2e-3), "no hole, no overlap"
    stats = pipeline.stats
    assert stats.found == {"speech": 1}
    assert stats.spoken_s > 0.2
    assert stats.muted_s < 0.2
    assert stats.frames_masked == 0


def test_what_nobody_has_judged_in_time_is_silent(clip: Path) -> None:
    released = threading.Event()
    sound, words = talk()

    def run(stall_s: float) -> tuple[Recorder, LivePipeline]:
        return run_live(
            speech_models(Ear(every=lambda: released.wait(20) and None)),  # type: ignore[arg-type]
            lambda: Camera(clip, sound, 1.0),
            f"delay.stall_timeout_s={stall_s}",
        )

    late, dead = 20.0, 0.3
    with ThreadPoolExecutor() as threads:  # at once, since it takes real time
        runs = dict(zip((late, dead), threads.map(run, (late, dead)), strict=True))
    released.set()
    for stall_s, (recorder, pipeline) in runs.items():
        heard = recorder.heard(recorder.frames[0][0], 1.0)
        assert recorder.sound, "the stream goes on"
        for word in words[:2]:
            assert np.abs(heard[:, inside(word)]).max(initial=0) < 1e-6
        stats = pipeline.stats
        assert stats.muted_s > 0.5
        assert stats.frames_masked == 0
        waits = [at - pipeline._epoch - pts - BLOCK / RATE for pts, at, _ in recorder.sound]
        assert abs(statistics.median(waits) - DELAY_S) < 2 / FPS
        told = any("did not answer" in reason for reason in stats.reasons)
        assert told == (stall_s == dead)


def test_lost_signal_lets_nothing_out_and_sound_comes_back(clip: Path) -> None:
    sound, words = talk()
    # The signal is lost in the middle of the private word.
    cut_s = (words[1].start + words[1].end) / 2
    parts = iter([Camera(clip, sound, cut_s), None, Camera(clip, sound)])

    def connect() -> Camera:
        part = next(parts, None)
        if part is None:
            raise SourceError("nobody answers. Check the address.")
        return part

    recorder, pipeline = run_live(speech_models(), connect, once=False, seconds=6.6)
    assert pipeline.stats.slates > 0
    assert pipeline.stats.connections == 2
    first = recorder.frames[0][0]
    heard = recorder.heard(first, cut_s)
    assert_heard(heard, sound, words[0])
    part = heard[:, round((words[1].start + FADE_S) * RATE) :]
    assert np.abs(part).max() < 1e-6, "half of a private word"
    # The second connection's sound is where its pictures are.
    again = max(b for (a, _, x), (b, _, _) in itertools.pairwise(recorder.sound)
                if b > a + x.shape[1] / RATE + 0.02)  # fmt: skip
    assert min(abs(again - pts) for pts, _ in recorder.frames) < 1 / FPS
    heard = recorder.heard(again, 1.5)
    assert_silent(heard, words)
    assert_heard(heard, sound, words[0])
