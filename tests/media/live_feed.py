"""Feeds a live sink with numbered pictures, and watches how long it takes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from edge.media.address import Address
from edge.media.codecs import VideoSettings
from edge.media.live_sink import LiveSink
from edge.media.normalise import ColourTags
from edge.media.picture import HostPicture
from tests.media.clips import numbered_frame

FPS = 30
SIZE = (320, 240)


@dataclass(frozen=True)
class Info:
    width: int = SIZE[0]
    height: int = SIZE[1]
    fps: Fraction = Fraction(FPS)
    pixel_format: str = "yuv420p"
    sample_aspect: Fraction = Fraction(1)
    colour: ColourTags = field(default_factory=ColourTags)


def info(**changes) -> Info:
    return Info(**changes)


def picture(
    number: int,
    *,
    size: tuple[int, int] = SIZE,
    pix_fmt: str = "yuv420p",
    noise: bool = False,
) -> HostPicture:
    made = HostPicture(numbered_frame(number % 256, *size, pix_fmt))
    if noise:
        luma = made.edit().y
        random = np.random.default_rng(number).integers(-30, 30, luma.shape)
        luma[:] = np.clip(luma + random, 16, 235).astype(np.uint8)
    return made


def feed(
    sink: LiveSink,
    frames: int,
    *,
    first: int = 0,
    start_s: float = 0.0,
    step_s: float = 1 / FPS,
    sound: np.ndarray | None = None,
    mute: tuple[float, float] = (0.0, 0.0),
    noise_from: int | None = None,
    pace: float | None = None,
    until: Callable[[], bool] | None = None,
) -> float:
    """Write numbered frames and the sound beside them; return the longest write_frame in s.

    pace: times real time; None is as fast as it goes. mute: when no sound is delivered. until:
    ends it early.
    """
    began, longest = time.monotonic(), 0.0
    heard = 0
    for number in range(first, first + frames):
        at_s = number * step_s
        if sound is not None:
            # As a source does: sound comes in blocks, a little ahead of its picture.
            ends = min(sound.shape[1], round((at_s + step_s) * 48_000))
            if not mute[0] <= heard / 48_000 < mute[1]:
                sink.write_sound(sound[:, heard:ends], start_s + heard / 48_000)
            heard = ends
        made = picture(number, noise=noise_from is not None and number >= noise_from)
        before = time.monotonic()
        sink.write_frame(made, start_s + at_s)
        longest = max(longest, time.monotonic() - before)
        if until is not None and until():
            break
        if pace is not None:
            due = began + (number - first + 1) * step_s / pace
            time.sleep(max(0.0, due - time.monotonic()))
    return longest


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Wait for a condition; say whether it came about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Heartbeat:
    """A Python thread that notes the longest time for which it could not run."""

    BEAT_S = 0.005

    def __init__(self) -> None:
        self.longest_gap = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._done.wait(self.BEAT_S):
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
        self.longest_gap = max(self.longest_gap, time.monotonic() - last)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def main(what: str, *outputs: str) -> None:
    """record: writes 5 s, says so and goes on. unreachable: 2 s, then closes and ends."""
    sink = LiveSink(
        [Address.parse(output) if "://" in output else Path(output) for output in outputs],
        info(),
        VideoSettings(preset="ultrafast"),
    )
    if what == "record":
        feed(sink, 5 * FPS, pace=10.0)
        print("5 s", flush=True)
        feed(sink, 60 * FPS, first=5 * FPS, pace=1.0)
    feed(sink, 2 * FPS, pace=1.0)
    for status in sink.status:
        print(status, flush=True)
    began = time.monotonic()
    sink.close(1.0)
    print(f"closed after {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
