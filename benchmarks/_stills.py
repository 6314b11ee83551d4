"""Photographs as test material: as they are, and as a clip in which each is shown for a second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._common import BenchmarkError, ByteArray
from edge.frame import Frame
from edge.media.picture import HostPicture
from edge.redact.effects import RedactionStyle, block_mask, make_regions

FPS: Final = 30
SHOWN_FRAMES: Final = 30
"""Frames that each photograph is shown for."""
CLIP_SIZE: Final = (1280, 720)
PAN_PX: Final = 60.0
"""How far the camera pans while a photograph is shown."""
MOST_ENLARGED: Final = 2.0
_BACKGROUND: Final = 96
_KINDS: Final = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Still:
    """A photograph, (H, W, 3) BGR with even sides, and true boxes (N, 4) in its pixels."""

    name: str
    picture: ByteArray
    boxes: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.picture.shape[1], self.picture.shape[0]


def labelled(folder: Path) -> list[Still]:
    """Read the photographs of labels.json: {file: [[x1, y1, x2, y2], ...]}."""
    path = folder / "labels.json"
    try:
        labels = json.loads(path.read_text())
        return [_read(folder / name, boxes) for name, boxes in labels.items()]
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read: {error.strerror}. Name its folder."
        ) from error
    except (ValueError, AttributeError) as error:
        raise BenchmarkError(f"{path} is no label file ({error}). It must name boxes.") from error


def unlabelled(folders: Sequence[Path]) -> list[Still]:
    """Read all photographs of some folders, which have nothing to be found in them."""
    paths = [p for folder in folders for p in sorted(folder.glob("*")) if p.suffix in _KINDS]
    return [_read(path, []) for path in paths]


def _read(path: Path, boxes: Sequence[Sequence[float]]) -> Still:
    picture = cv2.imread(str(path))
    if picture is None:
        raise BenchmarkError(f"{path} cannot be read. Put a photograph there.")
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    even = np.ascontiguousarray(picture[:height, :width]).astype(np.uint8, copy=False)
    return Still(path.name, even, np.array(boxes, np.float64).reshape(-1, 4))


def as_frame(picture: ByteArray) -> HostPicture:
    """Return a BGR picture as a decoder would give it out."""
    frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
    return HostPicture(frame.reformat(format="yuv420p"))


class Slideshow:
    """A source for the pipeline: every photograph in turn, under a camera that pans slowly."""

    def __init__(self, stills: Sequence[Still]) -> None:
        self.stills = tuple(stills)

    @property
    def frames(self) -> int:
        """Length of the clip."""
        return len(self.stills) * SHOWN_FRAMES

    def still_at(self, frame_id: int) -> Still:
        """Return the photograph that a frame shows."""
        return self.stills[frame_id // SHOWN_FRAMES]

    def boxes_at(self, frame_id: int) -> NDArray[np.float64]:
        """Return the true boxes in a frame, (N, 4), cut to the picture."""
        matrix = self._camera(frame_id)
        scale, shift = matrix[0, 0], np.tile(matrix[:, 2], 2)
        moved = self.still_at(frame_id).boxes * scale + shift
        cut: NDArray[np.float64] = np.clip(moved, 0, np.tile(CLIP_SIZE, 2))
        return cut

    def read(self) -> Iterator[Any]:
        """Yield the clip's frames."""
        for frame_id in range(self.frames):
            picture = cv2.warpAffine(
                self.still_at(frame_id).picture, self._camera(frame_id), CLIP_SIZE,
                flags=cv2.INTER_AREA, borderValue=(_BACKGROUND,) * 3,
            ).astype(np.uint8, copy=False)  # fmt: skip
            yield Frame(frame_id, frame_id / FPS, frame_id, as_frame(picture))

    def _camera(self, frame_id: int) -> NDArray[np.float64]:
        """Fit the photograph into the picture and pan, to and fro with every second one."""
        number, step = divmod(frame_id, SHOWN_FRAMES)
        size = np.array(self.still_at(frame_id).size)
        scale = min((np.array(CLIP_SIZE) / size).min(), MOST_ENLARGED)
        direction = 1 if number % 2 else -1
        pan = np.array([direction * PAN_PX * (step / (SHOWN_FRAMES - 1) - 0.5), 0.0])
        shift = (np.array(CLIP_SIZE) - size * scale) / 2 + pan
        return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def hidden_shares(
    hidden: NDArray[np.floating],
    true: NDArray[np.float64],
    size: tuple[int, int],
    style: RedactionStyle,
) -> list[float]:
    """Which share of each true box the redactor paints over, told to hide other boxes.

    hidden: (N, 4), unpadded. true: (M, 4). Judged on the regions with their outlines, by pixel.
    """
    painted = np.zeros((size[1], size[0]), bool)
    for region in make_regions(hidden, style, *size):
        mask = block_mask(region).repeat(2, axis=0).repeat(2, axis=1) > 0
        painted[region.y1 : region.y2, region.x1 : region.x2] |= mask
    shares = []
    for x1, y1, x2, y2 in np.round(true).astype(int).tolist():
        inside = painted[max(y1, 0) : y2, max(x1, 0) : x2]
        shares.append(float(inside.mean()) if inside.size else 1.0)
    return shares
