"""A frame without its picture leaves with the same one, or masked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from edge.delay import Judgement, Verdict
from edge.frame import ByteArray, Frame, GonePicture, Picture, Planes
from edge.recall import STORAGE, fetch, put_away

RELEASE = Judgement(Verdict.RELEASE, hurried=True)


class Flat:
    """A picture as pure data."""

    width, height = 4, 2

    @property
    def luma(self) -> ByteArray:
        return np.zeros((self.height, self.width), np.uint8)

    def shrink(self, width: int, height: int) -> ByteArray:
        raise AssertionError("nobody looks")

    def crop(self, left: int, top: int, width: int, height: int) -> ByteArray:
        raise AssertionError("nobody looks")

    def edit(self) -> Planes:
        raise AssertionError("nobody edits")


@dataclass
class Shelf:
    """Keeps one picture; None: it got lost."""

    picture: Picture | None
    empty: Picture = field(default_factory=Flat)

    def prepare(self) -> bool:
        return False

    def take(self) -> Picture | None:
        return self.picture

    def drop(self) -> None:
        raise AssertionError("nobody drops")

    def blank(self) -> Picture:
        return self.empty


def no_note(text: str) -> None:
    raise AssertionError(text)


def test_a_frame_that_nobody_keeps_stays_as_it_is() -> None:
    frame = Frame(3, 0.1, 4, Flat())
    assert put_away(frame) is frame
    fetched, judgement = fetch(frame, RELEASE, no_note)
    assert fetched is frame
    assert judgement is RELEASE


def test_a_kept_picture_leaves_and_comes_back() -> None:
    picture = Flat()
    frame = Frame(3, 0.1, 4, Flat(), Shelf(picture))
    waiting = put_away(frame)
    assert isinstance(waiting.picture, GonePicture)
    assert (waiting.picture.width, waiting.picture.height) == (4, 2)
    assert frame.picture.luma.shape == (2, 4), "the lanes' own frame still has its picture"
    fetched, judgement = fetch(waiting, RELEASE, no_note)
    assert fetched.picture is picture
    assert (fetched.frame_id, fetched.pts, fetched.ticks) == (3, 0.1, 4)
    assert judgement is RELEASE


@pytest.mark.parametrize("verdict", [RELEASE, Judgement(Verdict.MASK, ("faces",))])
def test_a_lost_picture_is_masked_whatever_the_verdict(verdict: Judgement) -> None:
    shelf, notes = Shelf(None), list[str]()
    fetched, judgement = fetch(put_away(Frame(3, 0.1, 4, Flat(), shelf)), verdict, notes.append)
    assert fetched.picture is shelf.empty
    assert judgement == Judgement(Verdict.MASK, (*verdict.lanes, STORAGE))
    assert len(notes) == 1
    assert "delay.storage" in notes[0]


def test_a_picture_that_has_left_shows_nothing() -> None:
    gone = GonePicture(4, 2)
    for look in (lambda: gone.luma, lambda: gone.shrink(2, 2), lambda: gone.crop(0, 0, 2, 2),
                 gone.edit):  # fmt: skip
        with pytest.raises(LookupError):
            look()
