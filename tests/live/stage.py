"""The command on a stage: run in a process of its own, watched, and judged by what is seen of it.

The camera films a known photograph, so it is known for every picture which frame of the film it
is, and where the face is in it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.command import FACES_ONLY, environment
from tests.harness import SIZE, decode, fine_detail, likeness, true_face
from tests.live.viewer import Received, Viewer

READY_S = 40.0


@dataclass
class Box:
    process: subprocess.Popen[bytes]
    log: Path

    def says(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@contextmanager
def privaedge(
    tmp_path: Path, model: Path, source: str, *outputs: str, options: Sequence[str] = ()
) -> Iterator[Box]:
    """The command in a process of its own, in which nothing else is on the disk but the model."""
    log = tmp_path / "privaedge.log"
    more = [part for output in outputs[1:] for part in ("--output", output)]
    more += options
    command = ["run", source, outputs[0], *more, "--set", f"video.models.face.model={model}",
               "--set", "video.models.face.input_size=640", *FACES_ONLY]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", *command],
            env=environment(tmp_path / "cache"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield Box(process, log)
    finally:
        process.kill()
        process.wait()


def await_pictures(viewer: Viewer, n: int, after: float = 0.0) -> list[Received]:
    """Wait until a viewer has so many pictures that arrived after a moment; return all."""
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        pictures = list(viewer.pictures())
        if sum(one.arrived > after for one in pictures) >= n:
            return pictures
        time.sleep(0.5)
    raise AssertionError(f"no picture came: {viewer.trouble()[-500:]}")


def is_standby(one: Received) -> bool:
    """Whether it is the slate from before the camera was there: grey but for a line of text, luma
    60, which is 51 in full range, and not of the camera's size."""
    assert one.picture is not None
    grey = abs(float(np.median(one.picture)) - 51) < 4 and float(one.picture.std()) < 25
    return grey and one.picture.shape != (SIZE[1], SIZE[0])


@dataclass(frozen=True)
class Judged:
    """What is in the pictures: film frames with the face hidden, masked or slate, a face seen."""

    clear: int
    blank: int
    faces: list[int]


def judge(pictures: list[Received], original: Path, every: int = 3) -> Judged:
    details = [fine_detail(luma) for luma in decode(original)]
    clear = blank = 0
    faces = []
    for one in pictures[::every]:
        assert one.picture is not None
        if is_standby(one):
            blank += 1
            continue
        assert one.picture.shape == (SIZE[1], SIZE[0])
        mine = fine_detail(one.picture)
        alike = [likeness(detail, mine) for detail in details]
        n = int(np.argmax(alike))
        if alike[n] < 0.3:
            blank += 1
            continue
        clear += 1
        x1, y1, x2, y2 = true_face(n)[0].astype(int)
        if likeness(details[n][y1:y2, x1:x2], mine[y1:y2, x1:x2]) > 0.4:
            faces.append(n)
    return Judged(clear, blank, faces)


def judge_file(path: Path, original: Path) -> Judged:
    return judge([Received(0, 0.0, 0.0, picture=luma) for luma in decode(path)], original, every=9)
