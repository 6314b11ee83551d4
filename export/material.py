"""Real inputs for checks and calibration: a folder that the user names, else what ships here.

Without a folder: the photographs in scikit-image's wheel (the `demo` extra), varied by a fixed
recipe, and this package's own sentences. Real sound is only had from a folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

ByteArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_SOUNDS: Final = frozenset({".wav", ".flac", ".mp3", ".ogg", ".m4a"})
_FILMS: Final = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts"})
_FILM_FRAMES: Final = 12
"""Of each film, evenly spread: neighbouring frames show the same."""
_SHIPPED: Final = (
    "astronaut.png", "coffee.png", "motorcycle_left.png", "page.png", "clock_motion.png",
    "camera.png", "rocket.jpg", "text.png",
)  # fmt: skip
"""In every wheel of scikit-image, all free to use: a face, streets' metal, printed and photographed
text."""
_CROWD: Final = "lfw_subset.npy"
"""In the same wheel: crops of 25 × 25 px, the first hundred of them faces (LFW)."""
_CROWD_FACES: Final = 100
_CROWD_COLUMNS: Final = 16
_CROWD_GAP: Final = 6
_LABELS: Final = "labels.json"
_NOTHING: Final[Mapping[str, NDArray[np.float32]]] = MappingProxyType({})
_MOST_PX: Final = 1920
"""Longer side that a photograph is scaled down to: no camera here gives more."""
_SPEECH_S: Final = 6.0
_RATE: Final = 16000
"""Hz; what all models here listen at."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph, (H, W, 3) uint8 RGB with even sides, and what is known of it.

    labels: by what the boxes are around ("faces", "plates"), (N, 4) float32 pixels, x1 y1 x2 y2.
    What nobody has looked for has no entry; what was looked for and is not there an empty one.
    """

    rgb: ByteArray
    name: str
    labels: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Material:
    """Where inputs come from. folder: pictures, films, sound at any depth; None: what ships here.

    A labels.json beside pictures, {file: [[x1, y1, x2, y2], …]}, makes them labelled with what the
    folder is called; FILM.json beside a film, {"frames": [[[kind, id, x1, y1, x2, y2], …], …]},
    does so for each of its frames.
    """

    folder: Path | None = None

    @property
    def origin(self) -> str:
        """What to call it in a manifest; the folder's name alone, no path."""
        return self.folder.name if self.folder is not None else "scikit-image's photographs"

    def pictures(self, count: int, kind: str = "") -> Iterator[Photograph]:
        """Yield `count` photographs: each as it is, then all again mirrored, darker, smaller, …

        kind: those that are labelled with it come first; of more than `count` of them, some of all.
        Raises ModelError where there are none.
        """
        found = self._photographs()
        labelled = [photo for photo in found if kind in photo.labels]
        if len(labelled) >= count:
            yield from (labelled[at * len(labelled) // count] for at in range(count))
            return
        originals = [*labelled, *(photo for photo in found if kind not in photo.labels)]
        varied = (vary(photo) for vary in _VARIATIONS for photo in originals)
        yield from islice(cycle(varied), count)

    def sounds(self) -> Iterator[tuple[str, FloatArray]]:
        """Yield name and mono sound at 16 kHz, (n,) float32 in -1..1.

        Without a folder, or where it has no sound, one synthetic piece of vowel-like tones.
        Raises ModelError for a file that cannot be decoded.
        """
        found = self._files(_SOUNDS)
        for path in found:
            yield path.name, _decode(path)
        if not found:
            yield "synthetic vowels", synthetic_speech(_SPEECH_S)

    def sentences(self) -> tuple[str, ...]:
        """Return this package's own sentences, in words, with made-up private ones among them."""
        from export.train.tagger.heldout import sentences

        return tuple(" ".join(words) for words, _ in sentences())

    def signs(self) -> tuple[str, ...]:
        """Return this package's own short lines, as they stand on signs."""
        lines = files("export.train.lines").joinpath("signs.txt").read_text("utf-8").splitlines()
        marks = ("#", "[")
        entries = (
            e.strip() for line in lines if not line.startswith(marks) for e in line.split("|")
        )
        return tuple(entry for entry in entries if entry)

    def _files(self, suffixes: frozenset[str]) -> list[Path]:
        if self.folder is None:
            return []
        if not self.folder.is_dir():
            raise ModelError(
                f"calibration folder {self.folder} does not exist. Name one with --calibration."
            )
        return sorted(p for p in self.folder.rglob("*") if p.suffix.lower() in suffixes)

    def _photographs(self) -> Sequence[Photograph]:
        if self.folder is None:
            return _shipped()
        labels: dict[Path, dict[str, FloatArray]] = {}
        photos = []
        for path in self._files(_PICTURES):
            if path.parent not in labels:
                labels[path.parent] = _labels(path.parent / _LABELS)
            boxes = labels[path.parent].get(path.name)
            photos.append(_read(path, {} if boxes is None else {path.parent.name: boxes}))
        for path in self._files(_FILMS):
            photos += film_frames(path, _FILM_FRAMES)
        if not photos:
            raise ModelError(
                f"there is no picture in {self.folder}. Put some of what the camera will see there."
            )
        return photos


def _shipped() -> list[Photograph]:
    try:
        folder = Path(str(files("skimage.data")))
    except ModuleNotFoundError:
        raise ModelError(
            "there are no pictures to check or calibrate with. Name a folder of them with "
            "--calibration, or install those that come with: pip install 'privaedge[demo]'."
        ) from None
    return [_crowd(folder / _CROWD), *(_read(folder / name) for name in _SHIPPED)]


def _read(path: Path, labels: Mapping[str, FloatArray] = _NOTHING) -> Photograph:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ModelError(f"picture {path.name} cannot be read. Remove it from the folder.")
    return _fitted(np.asarray(bgr[:, :, ::-1], np.uint8), path.name, labels)


def _fitted(rgb: ByteArray, name: str, labels: Mapping[str, FloatArray]) -> Photograph:
    scale = min(1.0, _MOST_PX / max(rgb.shape[:2]))
    if scale < 1.0:
        rgb = np.asarray(
            cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
        factor = np.float32(scale)
        labels = {kind: (boxes * factor).astype(np.float32) for kind, boxes in labels.items()}
    return Photograph(_even(rgb), name, labels)


def film_frames(path: Path, count: int | None = None) -> Iterator[Photograph]:
    """Yield `count` frames of a film, evenly spread, or all, labelled where FILM.json says how.

    Raises ModelError for a film that cannot be decoded, or labels that are none.
    """
    import av

    truth = _film_labels(path.with_suffix(".json"))
    try:
        # Counted, not asked for: many containers do not state how many there are.
        with av.open(str(path)) as container:
            total = sum(packet.size > 0 for packet in container.demux(video=0))
        wanted = set(
            range(total) if count is None else (at * total // count for at in range(count))
        )
        with av.open(str(path)) as container:
            for at, frame in enumerate(container.decode(video=0)):
                if at in wanted:
                    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    yield _fitted(rgb, f"{path.name}, frame {at}", truth[at] if truth else {})
    except (av.FFmpegError, IndexError) as error:
        raise ModelError(
            f"{path.name} cannot be decoded, or its labels are of a shorter film. Remove it from "
            "the folder."
        ) from error


def _film_labels(path: Path) -> Sequence[Mapping[str, FloatArray]]:
    """Return what is where in each frame of a film; nothing where nobody labelled it."""
    if not path.is_file():
        return ()
    try:
        frames = json.loads(path.read_text("utf-8"))["frames"]
        kinds = {str(row[0]) for rows in frames for row in rows}
        # Folders of pictures are called by the plural.
        return [{f"{kind}s": _boxes_of(kind, rows) for kind in kinds} for rows in frames]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(
            f"{path.name} does not say what is where in its film. Write a frame's boxes as [kind, "
            "id, x1, y1, x2, y2], all frames in a list named frames; or move it elsewhere."
        ) from error


def _boxes_of(kind: str, rows: Sequence[Sequence[Any]]) -> FloatArray:
    return np.array([row[2:6] for row in rows if row[0] == kind], np.float32).reshape(-1, 4)


def _even(rgb: ByteArray) -> ByteArray:
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    return np.ascontiguousarray(rgb[:height, :width])


def _labels(path: Path) -> dict[str, FloatArray]:
    if not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text("utf-8"))
        return {n: np.array(b, np.float32).reshape(-1, 4) for n, b in table.items()}
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{path} is no table of boxes. Write {{file: [[x1, y1, x2, y2], …]}}, or remove it."
        ) from error


def _crowd(path: Path) -> Photograph:
    """Many small faces in one picture, each of another person."""
    crops = np.load(path)[:_CROWD_FACES]
    side = crops.shape[1] * 2
    step = side + _CROWD_GAP
    rows = -(-len(crops) // _CROWD_COLUMNS)
    canvas = np.full((rows * step, _CROWD_COLUMNS * step), 90, np.uint8)
    for at, crop in enumerate(crops):
        grey = np.clip(crop * 255, 0, 255).astype(np.uint8)
        top, left = (step * place for place in divmod(at, _CROWD_COLUMNS))
        large = cv2.resize(grey, (side, side), interpolation=cv2.INTER_CUBIC)
        canvas[top : top + side, left : left + side] = large
    return Photograph(_even(np.repeat(canvas[:, :, None], 3, axis=2)), path.name)


def _changed(photo: Photograph, rgb: NDArray[np.uint8], how: str) -> Photograph:
    return replace(photo, rgb=_even(rgb), name=f"{photo.name}, {how}", labels={})


def _scaled(photo: Photograph, factor: float, how: str) -> Photograph:
    rgb = cv2.resize(photo.rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return _changed(photo, np.asarray(rgb, np.uint8), how)


def _graded(photo: Photograph, gamma: float, how: str) -> Photograph:
    levels = np.linspace(0, 1, 256) ** gamma * 255
    return _changed(photo, levels.round().astype(np.uint8)[photo.rgb], how)


def _middle(photo: Photograph) -> Photograph:
    height, width = photo.rgb.shape[:2]
    part = photo.rgb[height // 5 : height - height // 5, width // 5 : width - width // 5]
    return _changed(photo, part, "its middle")


_VARIATIONS: Final[tuple[Callable[[Photograph], Photograph], ...]] = (
    lambda photo: photo,
    lambda photo: _changed(photo, photo.rgb[:, ::-1], "mirrored"),
    lambda photo: _graded(photo, 2.2, "dark"),
    _middle,
    lambda photo: _scaled(photo, 0.6, "small"),
    lambda photo: _graded(photo, 0.5, "bright"),
)


def _decode(path: Path) -> FloatArray:
    import av
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler(format="fltp", layout="mono", rate=_RATE)
    try:
        with av.open(str(path)) as container:
            pieces = [
                piece.to_ndarray()[0]
                for frame in (*container.decode(audio=0), None)
                for piece in resampler.resample(frame)
            ]
    except (av.FFmpegError, IndexError) as error:
        raise ModelError(f"{path.name} cannot be decoded. Remove it from the folder.") from error
    sound: FloatArray = np.concatenate([*pieces, np.zeros(0, np.float32)]).astype(np.float32)
    return sound


def synthetic_speech(seconds: float, rate: int = _RATE) -> FloatArray:
    """Return vowel-like tones with pauses, (n,) float32: no words, but something to listen to."""
    time = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    # Resonances of a voice that moves between "ah" and "ee".
    first, second = 500 + 200 * np.sin(2 * np.pi * 1.3 * time), 1500 + 700 * np.sin(3 * time)
    sound = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        gain = sum(1 / (1 + ((frequency - f) / 120) ** 2) for f in (first, second))
        sound += gain * np.sin(harmonic * phase) / harmonic**0.5
    syllables = np.clip(np.sin(2 * np.pi * 2.0 * time), 0, 1)
    spoken = sound * syllables * (np.sin(2 * np.pi * time / 3) > -0.5)
    spoken *= 0.4 / np.abs(spoken).max()
    noise = np.random.default_rng(0).normal(0, 0.002, len(time))
    result: FloatArray = (spoken + noise).astype(np.float32)
    return result
