"""Runs the real pipeline with a detector that misbehaves on command, and judges the result by eye.

The clip's camera moves by a known amount over a known photograph, so the true place of the face is
known for every frame, no frame looks like its neighbour, and what a frame shows can be told by
comparing it with the same frame of the input.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config import Settings
from edge.config_io import load_config
from edge.demo import astronaut
from edge.detection import Detections
from edge.face_model import FaceModel
from edge.frame import Picture
from edge.lane_models import LaneModels
from edge.lanes.lane import Detector
from edge.runner import Run, Summary

Luma = NDArray[np.uint8]

SIZE = (640, 360)
FPS = 25
FRAMES = 75
SOUND_RATE = 48_000

_PHOTO_AT = (260, 10)
_FACE_IN_PHOTO = (165, 60, 285, 200)
_CANVAS = (560, 1100)


def camera(frame_id: int) -> tuple[int, int]:
    """Where the camera looks in a frame: x and y of the view's top left corner on the wall."""
    return 40 + 2 * frame_id, 5 + frame_id // 4


def true_face(frame_id: int) -> NDArray[np.float32]:
    """The face's box in a frame, (1, 4) pixels."""
    (x, y), (left, top), face = camera(frame_id), _PHOTO_AT, _FACE_IN_PHOTO
    dx, dy = left - x, top - y
    return np.array([[face[0] + dx, face[1] + dy, face[2] + dx, face[3] + dy]], np.float32)


def wall() -> NDArray[np.uint8]:
    """The photograph on a textured wall, BGR."""
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(120, 120, (*_CANVAS, 3)).astype(np.float32), (0, 0), 2.0)
    canvas = noise.clip(0, 255).astype(np.uint8)
    photo = astronaut()
    x, y = _PHOTO_AT
    canvas[y : y + photo.shape[0], x : x + photo.shape[1]] = photo
    return canvas


def film(path: Path, frames: int = FRAMES, *, sound: bool = True, scale: float = 1.0) -> Path:
    """Write the clip: `frames` of the wall, and a sweep as AAC sound beside them. scale: of its
    size to SIZE."""
    picture = wall()
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "14"})
        size = round(SIZE[0] * scale), round(SIZE[1] * scale)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = out.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound else None
        if audio is not None:
            for at in range(0, frames * SOUND_RATE // FPS, 1024):
                time = (at + np.arange(1024)) / SOUND_RATE
                wave = 0.4 * np.sin(2 * np.pi * (300 + 100 * time) * time)
                block = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
                block.sample_rate, block.pts = SOUND_RATE, at
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))
        for n in range(frames):
            x, y = camera(n)
            view = np.ascontiguousarray(picture[y : y + SIZE[1], x : x + SIZE[0]])
            frame = av.VideoFrame.from_ndarray(view, format="bgr24")
            frame = frame.reformat(*size, interpolation="BICUBIC") if scale != 1.0 else frame
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def lengthen(clip: Path, path: Path, times: int) -> Path:
    """Play a clip several times in a row, without encoding anything anew."""
    with av.open(str(path), "w") as out:
        stream = None
        for turn in range(times):
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                assert video.time_base is not None
                length = int(FRAMES / FPS / video.time_base)
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts += turn * length
                    packet.pts += turn * length
                    packet.stream = stream
                    out.mux(packet)
    return path


# --- a detector that misbehaves -------------------------------------------------------------

Fault = Callable[[int, Detections], tuple[int, Detections]]
"""Given the frame_id and the true answer, raises, waits, or returns another answer."""


def throws(error: type[BaseException]) -> Fault:
    """Raise an error of this kind."""

    def fault(frame_id: int, _: Detections) -> tuple[int, Detections]:
        raise error(f"in frame {frame_id}")

    return fault


@dataclass
class Script:
    """What a detector does at each of its looks; detectors that replace a stuck one go on in it.

    fault: tells for a look (counted from 0) what goes wrong there, None for nothing.
    """

    fault: Callable[[int], Fault | None] = lambda _: None
    looks: list[int] = field(default_factory=list)
    """frame_id of every look, in order."""
    failed: set[int] = field(default_factory=set)
    """frame_id of those looks at which something was to go wrong."""
    detectors: list[ScriptedDetector] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def detector(self) -> Detector:
        """Make a detector; called again when the one before is stuck."""
        self.detectors.append(ScriptedDetector(self))
        return self.detectors[-1]

    def infer(self, frame_id: int) -> tuple[int, Detections]:
        with self._lock:
            number = len(self.looks)
            self.looks.append(frame_id)
            fault = self.fault(number)
            if fault is not None:
                self.failed.add(frame_id)
        truth = Detections(true_face(frame_id), np.array([0.9], np.float32))
        return (frame_id, truth) if fault is None else fault(frame_id, truth)

    def unjudged(self, frames: int = FRAMES) -> set[int]:
        """The frames that have no good look on both sides, or on themselves: none may be seen."""
        bad = set()
        for frame_id in range(frames):
            before = max(look for look in self.looks if look <= frame_id)
            after = min(look for look in self.looks if look >= frame_id)
            if {before, after} & self.failed:
                bad.add(frame_id)
        return bad


class ScriptedDetector:
    """One of the detectors of a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.threads: set[int] = set()
        """Which threads have asked it."""

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        self.threads.add(threading.get_ident())
        assert (image.width, image.height) == SIZE
        return self._script.infer(frame_id)


def at_looks(fault: Fault, *numbers: int) -> Callable[[int], Fault | None]:
    """Let the looks of these numbers go wrong."""
    return lambda number: fault if number in numbers else None


def from_look(fault: Fault, first: int) -> Callable[[int], Fault | None]:
    """Let this look and all after it go wrong."""
    return lambda number: fault if number >= first else None


def always(fault: Fault) -> Callable[[int], Fault | None]:
    """Let every look go wrong."""
    return lambda _: fault


# --- running --------------------------------------------------------------------------------


def settings_with(*overrides: str) -> Settings:
    """Settings in which looks are counted easily: none is added in the middle of a gap."""
    alone = ("video.models.plate.enabled=false", "video.models.text.enabled=false",
             "audio.enabled=false")  # fmt: skip
    return load_config(None, None, ["scheduler.refine=0", *alone, *overrides])


def make_run(script: Script, source: Path, output: Path, *overrides: str, **options: Any) -> Run:
    """The command's own run, with the scripted detector in the place of a model's."""
    model = FaceModel("scripted", "test", 0.3, script.detector)
    models = LaneModels(face=model)
    return Run(settings_with(*overrides), source, output, models, **options)


def run(script: Script, source: Path, output: Path, *overrides: str, **options: Any) -> Summary:
    """Run to the end."""
    return make_run(script, source, output, *overrides, **options).execute()


# --- looking at the result ------------------------------------------------------------------


@lru_cache(maxsize=1)
def _original(path: Path) -> tuple[NDArray[np.float32], ...]:
    return tuple(map(fine_detail, decode(path)))


def decode(path: Path) -> list[Luma]:
    """The luma of every frame, by plain PyAV."""
    with av.open(str(path)) as container:
        return [
            np.array(frame.to_ndarray(format="gray"), np.uint8)
            for frame in container.decode(video=0)
        ]


def times(path: Path) -> list[float]:
    """When every frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(video=0)]


VISIBLE, HIDDEN = 0.75, 0.25
"""Likeness from which a picture is the original, and up to which nothing can be made out."""
_MARGIN = 40


def fine_detail(luma: Luma) -> NDArray[np.float32]:
    """What coarse tiles cannot keep: the picture less its surroundings' mean."""
    mean = cv2.blur(luma, (9, 9))
    return np.asarray(cv2.subtract(luma, mean, dtype=cv2.CV_32F), np.float32)


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlation of fine detail: 1 for the same picture, about 0 for a masked one."""
    return _correlation(_products(a, b))


def _products(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    x, y = np.ascontiguousarray(a).ravel(), np.ascontiguousarray(b).ravel()
    return np.array([np.vdot(x, y), np.vdot(x, x), np.vdot(y, y)], np.float64)


def _correlation(products: NDArray[np.float64]) -> float:
    ab, aa, bb = products
    return float(ab / np.sqrt(aa * bb + 1e-9))


@dataclass(frozen=True)
class Seen:
    """What a viewer sees of a clip: frames by what became of them."""

    frames: int
    masked: set[int]
    """In which nothing can be made out."""
    faces: set[int]
    """In which the face can be made out."""

    @classmethod
    def between(cls, original: Path, redacted: Path) -> Seen:
        """Compare frame by frame; each must be clearly the original but for the face, or masked.

        Frames that are missing, repeated or swapped fail, since the camera always moves.
        """
        before, after = _original(original), decode(redacted)
        assert len(before) == len(after)
        masked, faces = set(), set()
        for n, pair in enumerate(zip(before, after, strict=True)):
            a, b = pair[0], fine_detail(pair[1])
            x1, y1, x2, y2 = true_face(n)[0].astype(int)
            if likeness(a[y1:y2, x1:x2], b[y1:y2, x1:x2]) > HIDDEN:
                faces.add(n)
            near = slice(max(y1 - _MARGIN, 0), y2 + _MARGIN), slice(x1 - _MARGIN, x2 + _MARGIN)
            around = _correlation(_products(a, b) - _products(a[near], b[near]))
            assert around > VISIBLE or around < HIDDEN, f"frame {n} is neither: {around:.2f}"
            if around < HIDDEN:
                masked.add(n)
        return cls(len(after), masked, faces)
