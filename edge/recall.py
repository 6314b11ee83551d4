"""The delay line without pictures: a frame gives its pixels away and gets them back when it leaves.

That is so where the source can give the very same picture once more (`Frame.kept`); elsewhere a
frame keeps what it has. A picture that does not come back as it was is not shown: fail closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.delay import Judgement, Verdict
from edge.frame import Frame

STORAGE: Final = "delay line"
"""Stands among the lanes that a masked frame is owed to."""
_LOST: Final = (
    f"{STORAGE}: a picture could not be decoded a second time as it was judged; "
    "delay.storage: frames decodes once"
)


def put_away(frame: Frame) -> Frame:
    """Return a frame as it waits. Lanes that look at it have a picture of their own."""
    return frame if frame.kept is None else frame.without_picture()


def fetch(
    frame: Frame, judgement: Judgement, note: Callable[[str], None]
) -> tuple[Frame, Judgement]:
    """Return a frame with its picture, to be treated as judged.

    One whose picture is lost gets a blank, and has to be masked; note is told why.
    """
    kept = frame.kept
    if kept is None:
        return frame, judgement
    picture = kept.take()
    if picture is not None:
        return replace(frame, picture=picture, kept=None), judgement
    note(_LOST)
    masked = Judgement(Verdict.MASK, (*judgement.lanes, STORAGE))
    return replace(frame, picture=kept.blank(), kept=None), masked
