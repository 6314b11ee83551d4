"""The CUDA redactor over the shipped kernels: the samples of CpuRedactor, on every device."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.frame import Planes
from edge.media.picture import HostPicture
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import KERNELS, CudaRedactor
from edge.redact.cuda_mark import CudaWatermark
from edge.redact.effects import Effect, RedactionStyle, Shape, make_regions
from edge.redact.packing import MOST_REGIONS, SUMS_BYTES, axis_taps, pack
from edge.redact.watermark import Watermark
from tests.redact.emulator import Device, Resident, largest_difference
from tests.redact.test_cpu import as_nv12, copy, noise
from tests.redact.test_effects import styles

SMALL = st.integers(1, 110).map(lambda n: 2 * n)


@st.composite
def near(draw: st.DrawFn, most: int = 8) -> np.ndarray:
    """Boxes on, across and beyond the border of a small picture, many of them overlapping."""
    at, side = st.floats(-60, 240, width=32), st.floats(0, 160, width=32)
    rows = draw(st.lists(st.tuples(at, at, side, side), min_size=1, max_size=most))
    return np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float64)


@settings(deadline=None, max_examples=40)
@given(near(), styles, SMALL, SMALL, st.booleans(), st.booleans(), st.integers(0, 2**16))
def test_it_gives_the_samples_of_the_cpu(
    device: Device, found, style, width, height, packed, full_range, seed
):
    plain = noise(width, height, seed)
    plain = Planes(plain.layout, plain.y, plain.chroma, full_range)
    one = as_nv12(plain, padding=38) if packed else plain
    other = copy(one)
    resident = Resident(device, one)
    CpuRedactor(style).redact(other, found)
    redactor = CudaRedactor(style, device.cuda, device.image, width, height)
    try:
        redactor.redact(one, found)
        assert largest_difference(one, other) == 0
        redactor.redact_device(resident.picture, found)
        assert largest_difference(resident.fetch(redactor.stream), other) == 0
    finally:
        redactor.close()
    if packed:
        assert one.y.base is not None
        assert (one.y.base[:, width:] == 7).all()


@pytest.fixture(scope="module")
def real_frames(clip) -> list[Planes]:
    """Frames of a film, as a decoder gives them."""
    with av.open(str(clip)) as container:
        frames = [f for i, f in enumerate(container.decode(video=0)) if i in (0, 40)]
    return [HostPicture(frame).edit() for frame in frames]


@pytest.mark.parametrize("effect", Effect)
def test_real_frames_with_many_overlapping_regions_agree(device: Device, real_frames, effect):
    rng = np.random.default_rng(5)
    style = RedactionStyle(effect=effect)
    for frame in real_frames:
        height, width = frame.y.shape
        centres = rng.uniform(-10, (width + 10, height + 10), (24, 2))
        half = rng.uniform(6, 60, (24, 2))
        found = np.hstack((centres - half, centres + half))
        one, other = copy(frame), copy(frame)
        redactor = CudaRedactor(style, device.cuda, device.image, width, height)
        redactor.redact(one, found)
        CpuRedactor(style).redact(other, found)
        redactor.close()
        assert largest_difference(one, other) == 0
        assert largest_difference(one, frame) > 20


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 130), st.integers(1, 130), st.booleans())
def test_the_whole_mask_takes_any_size(device: Device, width, height, packed):
    rng = np.random.default_rng(0)
    half = ((height + 1) // 2, (width + 1) // 2)
    y = rng.integers(0, 256, (height, width), np.uint8)
    u, v = rng.integers(0, 256, (2, *half), np.uint8)
    one = Planes("nv12", y, (np.dstack((u, v)),)) if packed else Planes("yuv420p", y, (u, v))
    other = copy(one)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, width, height)
    redactor.mask_by_gpu(one)
    CpuRedactor(RedactionStyle()).mask_whole(other)
    redactor.close()
    assert largest_difference(one, other) == 0


@pytest.mark.parametrize("packed", [False, True])
def test_a_whole_picture_on_the_device_is_masked_in_parts_that_add_up(device: Device, packed):
    """At this size every cell is summed by several warps."""
    planes = noise(960, 540)
    one = as_nv12(planes) if packed else planes
    other = copy(one)
    resident = Resident(device, one)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 64, 64)
    redactor.mask_device(resident.picture)
    CpuRedactor(RedactionStyle()).mask_whole(other)
    assert largest_difference(resident.fetch(redactor.stream), other) == 0
    redactor.close()


def test_sums_beyond_32_bits_are_exact(device: Device):
    """One cell over 17 million pixels of white."""
    style = RedactionStyle(shape=Shape.RECTANGLE, cells=1, pad=0)
    width, height = 5200, 3300
    white = np.full((height, width), 255, np.uint8)
    chroma = np.full((height // 2, width // 2), 201, np.uint8)
    resident = Resident(device, Planes("yuv420p", white, (chroma, chroma)), padding=0)
    regions = make_regions(np.array([[0, 0, width, height]]), style, width, height)
    packed = pack(regions)
    assert (packed.cells, packed.slices > 1) == (1, True)
    cuda = device.cuda
    cuda.enter()
    stream = cuda.stream()
    table, sums, means, spans = (
        cuda.allocate(size) for size in (packed.regions.nbytes, SUMS_BYTES, 4, 8 * packed.rows)
    )
    cuda.upload(table, packed.regions.ctypes.data, packed.regions.nbytes, stream)
    cuda.clear(sums, SUMS_BYTES, stream)
    threads = 32 * packed.slices + packed.rows
    cuda.launch(
        cuda.kernels(device.image, KERNELS)["cell_means"],
        (-(-threads // 128), 1, 1), (128, 1, 1),
        (*resident.picture.argument(), table, 1, packed.slices, packed.rows, sums, means, spans),
        stream,
    )  # fmt: skip
    found = np.zeros(4, np.uint8)
    cuda.download(found.ctypes.data, means, 4, stream)
    cuda.wait(stream)
    assert found.tolist() == [255, 201, 201, 0]
    for address in (table, sums, means, spans, *resident.addresses):
        cuda.free(address)


def test_what_the_tables_cannot_hold_changes_nothing_and_is_masked_whole(device: Device):
    planes, original = noise(640, 360), noise(640, 360)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 640, 360)
    many = np.tile([[10.0, 10.0, 40.0, 40.0]], (MOST_REGIONS + 1, 1))
    with pytest.raises(InferenceError, match="more than the GPU is set up for"):
        redactor.redact(planes, many)
    larger = noise(1280, 720)
    with pytest.raises(InferenceError, match="larger than the GPU is set up for"):
        redactor.redact(larger, np.array([[0.0, 0.0, 1280.0, 720.0]]))
    assert largest_difference(planes, original) == 0
    assert largest_difference(larger, noise(1280, 720)) == 0
    redactor.redact(planes, many[:40])
    redactor.mask_whole(larger)
    expected = noise(1280, 720)
    CpuRedactor(RedactionStyle()).mask_whole(expected)
    assert largest_difference(larger, expected) == 0
    redactor.close()


@pytest.mark.parametrize("bad", [[[0, 0, np.nan, 5]], [[9, 0, 1, 5]]])
def test_boxes_that_make_no_sense_change_nothing(device: Device, bad):
    planes = noise(64, 64)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 64, 64)
    with pytest.raises(ValueError, match="box"):
        redactor.redact(planes, np.vstack((bad, [[10, 10, 40, 40]])))
    redactor.close()
    assert largest_difference(planes, noise(64, 64)) == 0


def test_nothing_is_allocated_after_warm_up_and_all_is_given_back(device: Device):
    live = device.emulator.count_live() if device.emulator else 0
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 320, 180)
    taken = device.cuda.allocations
    driver = device.emulator.count_allocations() if device.emulator else 0
    rng = np.random.default_rng(2)
    for _ in range(12):  # more than are queued ahead
        planes = noise(320, 180)
        corner = rng.uniform(0, 200, (5, 2))
        redactor.redact(planes, np.hstack((corner, corner + rng.uniform(10, 90, (5, 2)))))
        redactor.mask_whole(planes)
    assert device.cuda.allocations == taken
    redactor.close()
    if device.emulator:
        assert device.emulator.count_allocations() == driver
        assert device.emulator.count_live() == live


def test_any_number_of_regions_takes_two_launches(device: Device):
    if device.emulator is None:
        pytest.skip("launches are counted on the CPU only")
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 640, 360)
    before = device.emulator.count_launches()
    corner = np.random.default_rng(0).uniform(0, 300, (50, 2))
    redactor.redact(noise(640, 360), np.hstack((corner, corner + 30)))
    assert device.emulator.count_launches() == before + 2
    redactor.close()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("full_range", [False, True])
def test_the_watermark_is_that_of_the_cpu(device: Device, packed, full_range):
    width, height = 640, 360
    plain = noise(width, height)
    plain = Planes("yuv420p", plain.y, plain.chroma, full_range)
    planes = as_nv12(plain) if packed else plain
    resident = Resident(device, planes)
    mark = Watermark(width, height)
    cuda_mark = CudaWatermark(mark, device.cuda, device.image, full_range=full_range)
    stream = device.cuda.stream()
    cuda_mark.apply_device(resident.picture, stream)
    mark.apply(planes)
    assert largest_difference(resident.fetch(stream), planes) == 0
    small = Resident(device, noise(32, 32)).picture
    with pytest.raises(ValueError, match="another size"):
        cuda_mark.apply_device(replace(small, full_range=full_range), stream)
    with pytest.raises(ValueError, match="another range"):
        cuda_mark.apply_device(replace(small, full_range=not full_range), stream)
    cuda_mark.close()


def test_every_weight_lies_in_the_window_that_kernels_read():
    for cells in (*range(1, 20), 40, 166):
        for length in {cells, cells + 1, 6 * cells, 6 * cells + 5, 11 * cells, 12 * cells - 1}:
            if length >= 6 * cells or cells == 1:
                assert (axis_taps(length, cells).sum(axis=1, dtype=int) == 256).all()
