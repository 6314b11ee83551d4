"""The last step before the encoder: a judged frame becomes a cleared one, or nothing does.

Only Cleared pictures are handed to a sink, and only Releaser makes them, from a verdict. When the
redaction of single regions fails, the whole picture is masked; when that fails too, there is no
cleared picture and the error goes up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from edge.delay import Judgement, Verdict
from edge.detection import FloatArray
from edge.frame import Frame, Picture, Planes
from edge.inference.picture import DevicePicture, ResidentPicture

_log = logging.getLogger(__name__)
_LINE_LUMA = 235


class Redactor(Protocol):
    """Edits planes in place. Both methods may raise."""

    def redact(self, planes: Planes, boxes: FloatArray) -> None:
        """Hide the boxes, (N, 4) unpadded luma pixels."""

    def mask_whole(self, planes: Planes) -> None:
        """Make the whole picture unrecognisable."""


@runtime_checkable
class SurfaceRedactor(Protocol):
    """A redactor that can also hide what is in pictures that live on the GPU."""

    @property
    def on_cpu(self) -> bool:
        """Whether it does not any more."""

    def redact_surface(self, picture: DevicePicture, boxes: FloatArray) -> None:
        """Hide the boxes, complete when this returns. May raise; a part may be hidden then."""


class Overlay(Protocol):
    """Something written onto every outgoing picture."""

    def apply(self, planes: Planes) -> None:
        """Edit planes in place."""


class SurfaceOverlay(Protocol):
    """The same for pictures that live on the GPU."""

    def apply_surface(self, picture: DevicePicture) -> None:
        """Edit it in place, complete when this returns. May raise."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """A picture that may leave the box.

    regions: how many were hidden. masked: the whole picture was. broken: it was because hiding
    its regions failed, not because a lane was late or blind. troubles: a line for each failure of
    the redactor's device since the frame before.
    """

    picture: Picture
    ticks: int
    regions: int = 0
    masked: bool = False
    broken: bool = False
    troubles: tuple[str, ...] = ()


class Releaser:
    """Carries out verdicts."""

    def __init__(
        self,
        redactor: Redactor,
        *,
        overlay: Overlay | None = None,
        surface_overlay: SurfaceOverlay | None = None,
        show_boxes: bool = False,
        troubles: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        """surface_overlay: writes what overlay writes; without it such pictures come to the host.
        troubles: returns what went wrong with the redactor's device since the last call."""
        self._troubles = troubles
        self._redactor = redactor
        self._overlay = overlay
        self._surface_overlay = surface_overlay
        self._show_boxes = show_boxes

    def clear(
        self, frame: Frame, judgement: Judgement, boxes: FloatArray, tracks: Sequence[int]
    ) -> Cleared:
        """Redact or mask a frame. Raises ValueError for a frame that has to wait."""
        if judgement.verdict is Verdict.WAIT:
            raise ValueError(f"frame {frame.frame_id} has not been judged")
        masked = judgement.verdict is Verdict.MASK
        broken = False
        picture = frame.picture
        if not masked:
            try:
                self._show(picture, boxes, tracks)
            except Exception as error:  # noqa: BLE001 - part of it may be hidden, part not
                _log.warning("a frame was masked: its redaction failed: %s", type(error).__name__)
                _log.debug("redaction failed", exc_info=True)
                masked = broken = True
        if masked:
            # A lane that is late may look yet at the frame that it is late for. In the masked
            # picture it would see nobody, and then vouch for the frames after it.
            picture = picture.apart()
            self._redactor.mask_whole(picture.edit())
            if self._overlay is not None:
                self._overlay.apply(picture.edit())
        regions = 0 if masked else len(boxes)
        troubles = tuple(self._troubles()) if self._troubles is not None else ()
        return Cleared(picture, frame.ticks, regions, masked, broken, troubles)

    def _show(self, picture: Picture, boxes: FloatArray, tracks: Sequence[int]) -> None:
        """Hide regions, and write what is written onto every picture."""
        if len(boxes):
            self._hide(picture, boxes)
            if self._show_boxes:
                draw_boxes(picture.edit().y, boxes, tracks)
        if self._overlay is not None:
            self._mark(picture, self._overlay)

    def _hide(self, picture: Picture, boxes: FloatArray) -> None:
        redactor = self._redactor
        if (
            isinstance(picture, ResidentPicture)
            and isinstance(redactor, SurfaceRedactor)
            and not redactor.on_cpu
            and (there := picture.edit_surface()) is not None
        ):
            redactor.redact_surface(there, boxes)
        else:
            redactor.redact(picture.edit(), boxes)

    def _mark(self, picture: Picture, overlay: Overlay) -> None:
        if (
            isinstance(picture, ResidentPicture)
            and self._surface_overlay is not None
            and (there := picture.edit_surface()) is not None
        ):
            self._surface_overlay.apply_surface(there)
        else:
            overlay.apply(picture.edit())


def draw_boxes(luma: np.ndarray, boxes: FloatArray, tracks: Sequence[int]) -> None:
    """Outline boxes, with the number of the track each is of, on a luma plane."""
    for box, track in zip(boxes, tracks, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in np.clip(box, -(2**14), 2**14))
        cv2.rectangle(luma, (x1, y1), (x2, y2), _LINE_LUMA, 2)
        cv2.putText(luma, str(track), (x1, max(12, y1 - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5,
                    _LINE_LUMA, 1, cv2.LINE_AA)  # fmt: skip
