"""Planes in memory that a GPU reaches: the CPU's samples without a copy by the host, and a picture
that is masked whole when the GPU fails in the middle of it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.delay import Judgement, Verdict
from edge.errors import DeviceError, InferenceError
from edge.frame import Frame, PageLocked, Planes
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.pool import Pool
from edge.media.picture import HostPicture
from edge.media.pinned import PinnedPicture
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_planes import Staged
from edge.redact.effects import RedactionStyle
from edge.redact.failover import FailoverRedactor
from edge.redact.packing import MOST_REGIONS
from edge.release import Releaser
from tests.harness import HIDDEN, VISIBLE, fine_detail, likeness
from tests.redact.emulator import Device, emulated, largest_difference, separate
from tests.redact.test_cpu import as_nv12, copy, noise
from tests.redact.test_cuda import SMALL, near
from tests.redact.test_effects import styles

STYLE = RedactionStyle()
BOX = np.array([[40.0, 30.0, 120.0, 110.0]])
SIZE = (320, 180)


class PageLockedPlanes:
    """Planes copied into page-locked memory, in rows with padding that nothing may write to."""

    def __init__(self, cuda: Cuda, like: Planes, padding: int) -> None:
        rows = [(len(part), part.size // len(part)) for part in (like.y, *like.chroma)]
        sizes = [count * (width + padding) for count, width in rows]
        cuda.enter()
        self._pool = Pool(cuda, 1, sum(sizes) + 64, pinned=True)
        piece = self._pool.take()
        assert piece.host is not None
        piece.host[...] = 0xEE
        self._all, self._used = piece.host, np.zeros(piece.host.size, bool)
        views, at = [], 0
        for part, size in zip((like.y, *like.chroma), sizes, strict=True):

            def view(memory: np.ndarray, at: int = at, part: np.ndarray = part) -> np.ndarray:
                pitch = part.size // len(part) + padding
                strides = (pitch, *(2, 1)[-part.ndim + 1 :])
                return np.ndarray(part.shape, memory.dtype, memory, at, strides)

            view(self._used)[...] = True
            views.append(view(piece.host))
            views[-1][...] = part
            at += size
        memory = PageLocked(piece.host_address, piece.address, piece.host.size)
        y, *chroma = views
        self.planes = Planes(like.layout, y, tuple(chroma), like.full_range, memory)

    def close(self) -> None:
        assert (self._all[~self._used] == 0xEE).all()
        self._pool.close()


@settings(deadline=None, max_examples=30)
@given(near(), styles, SMALL, SMALL, st.booleans(), st.booleans(), st.integers(0, 30))
def test_it_gives_the_samples_of_the_cpu(
    device: Device, found, style, width, height, packed, full_range, padding
):
    plain = noise(width, height)
    plain = Planes(plain.layout, plain.y, plain.chroma, full_range)
    like = as_nv12(plain) if packed else plain
    one = PageLockedPlanes(device.cuda, like, 2 * padding)
    other = copy(like)
    redactor = CudaRedactor(style, device.cuda, device.image, width, height)
    redactor.redact(one.planes, found)
    CpuRedactor(style).redact(other, found)
    assert largest_difference(one.planes, other) == 0
    redactor.mask_by_gpu(one.planes)
    CpuRedactor(style).mask_whole(other)
    assert largest_difference(one.planes, other) == 0
    redactor.close()
    one.close()


class Watched:
    """What a device is asked to copy, and to allocate, from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up: list[int] = []
        self.down: list[int] = []
        for name, sizes in (("upload", self.up), ("download", self.down)):
            monkeypatch.setattr(Cuda, name, self._counting(getattr(Cuda, name), sizes))

        def staged(*_: object) -> None:
            raise AssertionError("the host copied samples")

        monkeypatch.setattr(Staged, "__enter__", staged)

    @staticmethod
    def _counting(call: Callable[..., None], sizes: list[int]) -> Callable[..., None]:
        def counted(cuda: Cuda, to: int, address: int, size: int, stream: int) -> None:
            sizes.append(size)
            call(cuda, to, address, size, stream)

        return counted


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("name", ["yuv420p", "nv12"])
def test_only_rows_of_regions_cross_the_bus_and_none_where_memory_is_shared(
    tmp_path: Path, monkeypatch, integrated, name
):
    device = emulated(separate(tmp_path), integrated=integrated)
    frame = av.VideoFrame.from_ndarray(
        np.random.default_rng(1).integers(16, 236, (270, 320), np.uint8), format=name
    )
    pool = FramePool(device.cuda, FrameLayout(name, *SIZE), 1)
    picture = PinnedPicture(frame, pool).apart()
    planes, other = picture.edit(), copy(HostPicture(frame).edit())
    redactor = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)
    watched = Watched(monkeypatch)
    allocated = device.cuda.allocations
    redactor.redact(planes, BOX)
    if integrated:
        assert watched.down == []
        assert len(watched.up) == 1  # the table of regions
    else:
        rows = sum(watched.down) / (1.5 * pool.shape.y_pitch)
        assert 80 < rows < 120  # the box has 80, its padding 24
        assert watched.up[: len(watched.down)] == watched.down
    CpuRedactor(STYLE).redact(other, BOX)
    assert largest_difference(planes, other) == 0
    assert device.cuda.allocations == allocated
    redactor.close()


def pinned_frame(device: Device, seed: int = 1) -> Frame:
    """A frame in page-locked memory that shows noise."""
    pixels = np.random.default_rng(seed).integers(16, 236, (SIZE[1] * 3 // 2, SIZE[0]), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
    picture = PinnedPicture(frame, FramePool(device.cuda, FrameLayout("yuv420p", *SIZE), 2))
    with picture.lend():  # a lane has looked
        return Frame(1, 0.04, 1, picture)


def half_painted(cuda: Cuda, launch: Callable[..., None]) -> Callable[..., None]:
    """A launch that fails after some thread blocks of the second kernel."""

    def failing(kernel: Any, grid: Any, block: Any, arguments: Any, stream: int) -> None:
        paints = len(arguments) == 14
        launch(kernel, (max(1, grid[0] // 2), *grid[1:]) if paints else grid, block, arguments,
               stream)  # fmt: skip
        if paints:
            raise DeviceError("the kernel fell over")

    return failing


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("how", ["first launch", "second launch", "half of it", "wait", "lost"])
def test_a_frame_on_which_the_gpu_fails_in_place_is_masked_whole(
    tmp_path: Path, monkeypatch, integrated, how
):
    device = emulated(separate(tmp_path), integrated=integrated)
    api = device.emulator
    assert isinstance(api, ctypes.CDLL)
    frame = pinned_frame(device)
    before = np.array(frame.picture.luma)
    gpu = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)

    def rebuild() -> CudaRedactor:
        raise InferenceError("not again")

    redactor = FailoverRedactor(STYLE, gpu, rebuild)
    waits: list[int] = []
    wait = Cuda.wait

    def counted_wait(cuda: Cuda, stream: int) -> None:
        waits.append(stream)
        wait(cuda, stream)
        if how == "wait" and len(waits) == 1:
            raise DeviceError("an illegal address")

    monkeypatch.setattr(Cuda, "wait", counted_wait)
    if how.endswith("launch"):
        api.fail_launches(int(how == "second launch"), 1)
    elif how == "half of it":
        monkeypatch.setattr(device.cuda, "launch", half_painted(device.cuda, device.cuda.launch))
    elif how == "lost":
        api.lose_device()
    masking: list[int] = []
    mask = CpuRedactor.mask_whole
    monkeypatch.setattr(
        CpuRedactor, "mask_whole", lambda *args: (masking.append(len(waits)), mask(*args))
    )
    cleared = Releaser(redactor).clear(frame, Judgement(Verdict.RELEASE), BOX.astype("f4"), [1])
    assert (cleared.masked, cleared.broken, cleared.regions) == (True, True, 0)
    after = np.array(cleared.picture.luma)
    detail = fine_detail(before), fine_detail(after)
    assert likeness(*detail) < HIDDEN
    rows, columns = slice(30, 110), slice(40, 120)
    assert likeness(detail[0][rows, columns], detail[1][rows, columns]) < HIDDEN
    assert masking
    assert masking[0] >= 1, "the CPU masked while the GPU may have been at work on the picture"
    monkeypatch.undo()
    with suppress(DeviceError):
        gpu.close()


@pytest.mark.parametrize("integrated", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_what_raises_has_waited_until_the_gpu_let_go(tmp_path, monkeypatch, integrated, whole):
    device = emulated(separate(tmp_path), integrated=integrated)
    assert device.emulator is not None
    planes = pinned_frame(device).picture.edit()
    redactor = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)
    waits: list[int] = []
    monkeypatch.setattr(device.cuda, "wait", waits.append)
    device.emulator.fail_launches(1, 1)
    with pytest.raises(DeviceError):
        redactor.mask_by_gpu(planes) if whole else redactor.redact(planes, BOX)
    assert waits == [redactor.stream]
    device.emulator.fail_launches(-1, 0)
    redactor.redact(planes, BOX)  # what it had taken for the picture is there again
    redactor.close()


@pytest.mark.parametrize("integrated", [False, True])
def test_what_is_not_the_gpus_fault_masks_in_place_by_the_gpu(tmp_path, integrated):
    device = emulated(separate(tmp_path), integrated=integrated)
    assert device.emulator is not None
    frame = pinned_frame(device)
    before = np.array(frame.picture.luma)
    gpu = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)
    redactor = FailoverRedactor(STYLE, gpu, lambda: gpu)
    boxes = np.tile(BOX.astype("f4"), (MOST_REGIONS + 1, 1))
    launches = device.emulator.count_launches()
    cleared = Releaser(redactor).clear(frame, Judgement(Verdict.RELEASE), boxes, range(len(boxes)))
    assert (cleared.masked, cleared.broken, redactor.failures) == (True, True, 0)
    assert device.emulator.count_launches() == launches + 2
    other = copy(HostPicture(av.VideoFrame.from_ndarray(
        np.vstack([before, np.zeros((90, 320), np.uint8)]), format="yuv420p")).edit())  # fmt: skip
    CpuRedactor(STYLE).mask_whole(other)
    np.testing.assert_array_equal(np.array(cleared.picture.luma), other.y)
    gpu.close()


def test_a_picture_in_its_slot_leaves_with_its_regions_hidden_there(device: Device):
    frame = pinned_frame(device)
    before = np.array(frame.picture.luma)
    gpu = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)
    releaser = Releaser(FailoverRedactor(STYLE, gpu, lambda: gpu))
    cleared = releaser.clear(frame, Judgement(Verdict.RELEASE), BOX.astype("f4"), [1])
    assert (cleared.masked, cleared.regions) == (False, 1)
    assert cleared.picture.edit().memory is not None
    detail = fine_detail(before), fine_detail(np.array(cleared.picture.luma))
    assert likeness(detail[0][30:110, 40:120], detail[1][30:110, 40:120]) < HIDDEN
    assert likeness(detail[0][:, 160:], detail[1][:, 160:]) > VISIBLE
    gpu.close()


def test_planes_that_are_not_in_the_memory_are_not_edited(device: Device):
    plain = noise(*SIZE)
    memory = PageLocked(int(plain.y.ctypes.data), int(plain.y.ctypes.data), plain.y.size)
    one = Planes(plain.layout, plain.y, plain.chroma, memory=memory)
    before = copy(one)
    redactor = CudaRedactor(STYLE, device.cuda, device.image, *SIZE)
    with pytest.raises(ValueError, match="does not lie in the memory"):
        redactor.redact(one, BOX)
    assert largest_difference(one, before) == 0
    redactor.mask_whole(one)
    CpuRedactor(STYLE).mask_whole(before)
    assert largest_difference(one, before) == 0
    redactor.close()
