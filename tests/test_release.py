"""The releaser: every verdict, every way in which the redactor can fail."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.delay import Judgement, Verdict
from edge.detection import FloatArray
from edge.frame import Frame, Planes
from edge.media.picture import HostPicture
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import RedactionStyle
from edge.redact.watermark import Watermark
from edge.release import Cleared, Releaser
from tests.harness import HIDDEN, VISIBLE, fine_detail, likeness

WIDTH, HEIGHT = 320, 192
NOISE = np.random.default_rng(1).integers(16, 236, (HEIGHT * 3 // 2, WIDTH), np.uint8)
BOX = np.array([[100, 40, 180, 140]], np.float32)
NO_BOXES = np.zeros((0, 4), np.float32)

RELEASE, MASK = Judgement(Verdict.RELEASE), Judgement(Verdict.MASK, ("faces",))


def frame(pixels: NDArray[np.uint8] = NOISE) -> Frame:
    picture = av.VideoFrame.from_ndarray(pixels.copy(), format="yuv420p")
    return Frame(7, 0.28, 7, HostPicture(picture))


def luma(of: Frame | Cleared) -> NDArray[np.float32]:
    return fine_detail(np.array(of.picture.luma))


def redactor() -> CpuRedactor:
    return CpuRedactor(RedactionStyle())


class Failing(CpuRedactor):
    """Paints a part of what it should, then raises."""

    def __init__(self, error: BaseException, *, whole: bool = False) -> None:
        super().__init__(RedactionStyle())
        self._error, self._whole = error, whole

    def redact(self, planes: Planes, boxes: object) -> None:
        planes.y[:20, :20] = 0
        raise self._error

    def mask_whole(self, planes: Planes) -> None:
        if self._whole:
            planes.y[: HEIGHT // 2] = 0
            raise self._error
        super().mask_whole(planes)


def test_released_frame_shows_all_but_its_boxes() -> None:
    one = frame()
    cleared = Releaser(redactor()).clear(one, RELEASE, BOX, [1])
    assert (cleared.regions, cleared.masked, cleared.broken, cleared.ticks) == (1, False, False, 7)
    before, after = luma(frame()), luma(one)
    assert likeness(before[40:140, 100:180], after[40:140, 100:180]) < HIDDEN
    assert likeness(before[:, :80], after[:, :80]) > VISIBLE


def test_released_frame_without_boxes_is_untouched() -> None:
    one = frame()
    Releaser(redactor()).clear(one, RELEASE, NO_BOXES, [])
    np.testing.assert_array_equal(np.array(one.picture.luma), NOISE[:HEIGHT])


def test_masked_frame_shows_nothing_whatever_its_boxes() -> None:
    for boxes in (NO_BOXES, BOX):
        cleared = Releaser(redactor()).clear(frame(), MASK, boxes, [1] * len(boxes))
        assert (cleared.regions, cleared.masked, cleared.broken) == (0, True, False)
        assert likeness(luma(frame()), luma(cleared)) < HIDDEN


def test_a_lane_that_is_late_still_sees_what_the_frame_showed() -> None:
    one = frame()
    Releaser(redactor(), overlay=Watermark(WIDTH, HEIGHT)).clear(one, MASK, BOX, [1])
    np.testing.assert_array_equal(np.array(one.picture.luma), NOISE[:HEIGHT])


def test_unjudged_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="not been judged"):
        Releaser(redactor()).clear(frame(), Judgement(Verdict.WAIT, ("faces",)), NO_BOXES, [])


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), RuntimeError("x"), IndexError()])
def test_frame_whose_redaction_fails_halfway_is_masked_whole(error: Exception) -> None:
    cleared = Releaser(Failing(error)).clear(frame(), RELEASE, BOX, [1])
    assert (cleared.regions, cleared.masked, cleared.broken) == (0, True, True)
    assert likeness(luma(frame()), luma(cleared)) < HIDDEN


def test_nothing_is_cleared_where_masking_fails_too() -> None:
    releaser = Releaser(Failing(RuntimeError("x"), whole=True))
    for judgement in (RELEASE, MASK):
        with pytest.raises(RuntimeError):
            releaser.clear(frame(), judgement, BOX, [1])


@given(
    st.lists(
        st.lists(
            st.floats(-400, 700, width=32)
            | st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e6, -1e6]),
            min_size=4,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_boxes_that_make_no_sense_mask_the_picture(rows: list[list[float]]) -> None:
    boxes: FloatArray = np.array(rows, np.float32)
    cleared = Releaser(redactor()).clear(frame(), RELEASE, boxes, list(range(len(boxes))))
    sound = np.isfinite(boxes).all() and (boxes[:, 2:] >= boxes[:, :2]).all()
    assert cleared.masked == (not sound)
    if cleared.masked:
        assert likeness(luma(frame()), luma(cleared)) < HIDDEN


def test_watermark_is_written_on_released_and_on_masked_frames() -> None:
    for judgement in (RELEASE, MASK):
        plain = Releaser(redactor()).clear(frame(), judgement, BOX, [1])
        overlay = Watermark(WIDTH, HEIGHT)
        marked = Releaser(redactor(), overlay=overlay).clear(frame(), judgement, BOX, [1])
        assert (np.array(plain.picture.luma) != np.array(marked.picture.luma)).any()


def test_outlines_are_drawn_around_what_was_hidden_and_never_on_a_masked_frame() -> None:
    drawn = Releaser(redactor(), show_boxes=True).clear(frame(), RELEASE, BOX, [3])
    assert (np.array(drawn.picture.luma)[40, 100:180] == 235).all()
    hidden = Releaser(redactor(), show_boxes=True).clear(frame(), MASK, BOX, [3])
    plain = Releaser(redactor()).clear(frame(), MASK, BOX, [3])
    np.testing.assert_array_equal(np.array(hidden.picture.luma), np.array(plain.picture.luma))


def test_outlines_of_boxes_far_outside_do_no_harm() -> None:
    far = np.array([[-1e9, -1e9, 1e9, 1e9], [1e8, 1e8, 2e8, 2e8]], np.float32)
    cleared = Releaser(redactor(), show_boxes=True).clear(frame(), RELEASE, far, [1, 2])
    assert not cleared.masked
