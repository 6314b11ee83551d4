"""What detectors see on the GPU beside what they see on the CPU."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import motion
from edge.frame import Planes
from edge.inference.eyes_proof import expected
from edge.inference.picture import DevicePicture
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.media.picture import HostPicture
from tests.redact.emulator import Device, Resident
from tests.redact.test_cpu import as_nv12, noise

ANALYSIS = (320, 180)


def tensor(device: Device, eye: Preprocessor, index: int) -> np.ndarray:
    """Wait, and return an input as float32, (3, height, width)."""
    spec = eye.specs[index]
    host = np.empty(spec.size, np.uint8)
    device.cuda.download(host.ctypes.data, eye.outputs[index], spec.size, eye.stream)
    device.cuda.wait(eye.stream)
    values = host.view(np.float16 if spec.half else np.float32).astype(np.float32)
    return values.reshape(3, spec.height, spec.width)


@pytest.fixture(scope="module")
def frames(clip) -> list[av.VideoFrame]:
    with av.open(str(clip)) as container:
        return [f for i, f in enumerate(container.decode(video=0)) if i in (0, 1, 30)]


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
def test_real_frames_look_as_they_do_on_the_cpu(device: Device, frames, layout):
    """Mean difference 1.1 to 1.6 levels; swscale's own error against float64 is 1.3."""
    specs = [
        InputSpec(640, 384, 0, 0, 640, 360),
        InputSpec(320, 192, 0, 6, 320, 180),
        InputSpec(480, 272, 0, 0, 480, 270),
    ]
    eye = Preprocessor(device.cuda, device.image, specs, analysis=ANALYSIS)
    for frame in frames[:2]:
        picture = HostPicture(frame if layout == "yuv420p" else frame.reformat(format="nv12"))
        resident = Resident(device, picture.edit())
        eye.load(resident.picture)
        for i, spec in enumerate(specs):
            shown = tensor(device, eye, i)
            inner = shown[:, spec.top : spec.top + spec.inner_height]
            wanted = picture.shrink(spec.inner_width, spec.inner_height)
            error = np.abs(inner - wanted)
            assert error.mean() < 2
            assert np.percentile(error, 99) <= 8
            assert shown.sum() == pytest.approx(inner.sum())
        resident.fetch(eye.stream)
    eye.close()


@st.composite
def specs(draw: st.DrawFn) -> InputSpec:
    width, height = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return InputSpec(
        width, height, left, top,
        draw(st.integers(1, width - left)), draw(st.integers(1, height - top)),
        order=draw(st.sampled_from([(0, 1, 2), (2, 1, 0)])),
        scale=draw(st.sampled_from([(1.0, 1.0, 1.0), (0.017, 0.0175, 0.018)])),
        bias=draw(st.sampled_from([(0.0, 0.0, 0.0), (-2.1, -2.0, -1.8)])),
        border=draw(st.sampled_from([0.0, 114.0])),
        half=draw(st.booleans()),
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(specs(), min_size=1, max_size=3), st.integers(1, 60), st.integers(1, 60),
       st.booleans(), st.booleans())  # fmt: skip
def test_any_size_and_place_for_several_detectors_at_once(
    device: Device, wanted, half_width, half_height, packed, full_range
):
    """Within a level of float64: where a half is rounded, float32 may fall to the other side."""
    plain = noise(2 * half_width, 2 * half_height)
    plain = Planes("yuv420p", plain.y, plain.chroma, full_range)
    planes = as_nv12(plain) if packed else plain
    resident = Resident(device, planes, padding=2)
    eye = Preprocessor(device.cuda, device.image, wanted, analysis=ANALYSIS)
    try:
        eye.load(resident.picture)
        for i, spec in enumerate(wanted):
            error = np.abs(tensor(device, eye, i) - expected(planes, spec))
            levels = error / np.array(spec.scale)[:, None, None]
            # A level of luma is 1.16 of RGB, and one of chroma up to 2; float16 holds 11 bits.
            assert levels.max() <= 4.3
            # A chroma sample that fell to the other side moves twelve values, and where a picture
            # is scaled up, so do those beside it that are made of the same.
            alike = -(-spec.inner_width // (2 * half_width)) * -(
                -spec.inner_height // (2 * half_height)
            )
            assert np.count_nonzero(levels > 0.2) <= 24 * alike + 0.05 * levels.size
    finally:
        resident.fetch(eye.stream)
        eye.close()


def test_the_motion_estimator_gets_its_picture_and_its_difference(device: Device, frames):
    eye = Preprocessor(device.cuda, device.image, [], analysis=ANALYSIS)
    before = None
    zoom = np.array([[1.01, 0.02, 3.3], [-0.02, 1.01, -2.7]])
    for frame in frames:
        picture = HostPicture(frame)
        resident = Resident(device, picture.edit())
        small = motion._shrink(picture.luma)
        error = np.abs(eye.luma(resident.picture).astype(int) - small)
        # OpenCV halves, and rounds each time.
        assert error.max() <= 1
        if before is not None:
            for matrix in (motion.IDENTITY, zoom):
                expected = motion._difference(before, small, matrix)
                assert eye.difference(motion.invert(matrix)) == pytest.approx(expected, abs=0.1)
        before = small
        resident.fetch(eye.stream)
    eye.close()


def test_a_picture_outside_of_the_input_is_refused():
    with pytest.raises(ValueError, match="does not lie"):
        InputSpec(64, 64, 10, 0, 60, 64)
    with pytest.raises(ValueError, match="4:2:0"):
        DevicePicture("nv12", 64, 64, 0, 4096, 4096, 64, 64)
