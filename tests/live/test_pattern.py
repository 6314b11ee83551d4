"""The number on a picture is read where it can be seen, and only there."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.live.pattern import moving_picture, read_stamp


@given(
    number=st.integers(0, 2**16 - 1),
    width=st.integers(160, 1920),
    height=st.integers(120, 1080),
    noise=st.integers(0, 2**32 - 1),
)
def test_a_stamp_survives_noise(number: int, width: int, height: int, noise: int) -> None:
    picture = moving_picture(number, width, height).astype(np.float32)
    spoilt = picture + np.random.default_rng(noise).normal(0, 12, picture.shape)
    assert read_stamp(spoilt.clip(0, 255).astype(np.uint8)) == number


@given(number=st.integers(0, 2**16 - 1), to=st.sampled_from([(320, 180), (480, 270), (1280, 720)]))
def test_a_stamp_survives_another_size(number: int, to: tuple[int, int]) -> None:
    picture = cv2.resize(moving_picture(number, 640, 360), to, interpolation=cv2.INTER_AREA)
    assert read_stamp(np.asarray(picture, np.uint8)) == number


@given(number=st.integers(0, 2**16 - 1), cells=st.integers(2, 9))
def test_a_masked_stamp_cannot_be_read(number: int, cells: int) -> None:
    picture = moving_picture(number, 640, 360)
    few = cv2.resize(picture, (cells * 16 // 9, cells), interpolation=cv2.INTER_AREA)
    for how in (cv2.INTER_NEAREST, cv2.INTER_LINEAR):
        mosaic = cv2.resize(few, (640, 360), interpolation=how)
        assert read_stamp(np.asarray(mosaic, np.uint8)) is None
