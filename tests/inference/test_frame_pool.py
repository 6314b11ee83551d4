"""Slots for frames: where planes lie in them, how often they come back, and what is copied when."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import DeviceError, InferenceError
from edge.frame import PageLocked
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import MOST_COPIES, FrameLayout, FramePool
from tests.redact.emulator import Device, emulated, shipped

EVEN = st.integers(1, 170).map(lambda n: 2 * n)
LAYOUTS = st.sampled_from(["yuv420p", "nv12"])


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Device]:
    """A discrete device with a context that nobody else holds, which is let go of in the end."""
    library = shutil.copy(shipped(), tmp_path / "libcuda_of_the_pool.so")
    device = emulated(Path(library))
    assert device.emulator is not None
    yield device
    gc.collect()
    assert device.emulator.count_live() == 0


def offset(array: np.ndarray, memory: np.ndarray) -> int:
    return int(array.ctypes.data - memory.ctypes.data)


@settings(deadline=None, max_examples=60)
@given(LAYOUTS, EVEN, EVEN)
def test_planes_lie_as_ffmpeg_lays_them_out(layout, width, height):
    shape = FrameLayout(layout, width, height)
    memory = np.zeros(shape.size, np.uint8)
    y, *chroma = shape.planes(memory)
    assert shape.y_pitch % 128 == 0
    assert (y.shape, y.strides) == ((height, width), (shape.y_pitch, 1))
    frame = av.VideoFrame.from_numpy_buffer(
        # What FFmpeg makes of a picture four times as high, as PyAV cannot do all heights.
        np.zeros((4 * height * 3 // 2, shape.y_pitch), np.uint8), format=layout, width=width
    )  # fmt: skip
    assert [p.line_size for p in frame.planes] == [shape.y_pitch, *(c.strides[0] for c in chroma)]
    starts = [p.buffer_ptr - frame.planes[0].buffer_ptr for p in frame.planes]
    assert [4 * offset(plane, memory) for plane in (y, *chroma)] == starts
    there = shape.at(1 << 20, full_range=False)
    found = [a - there.y for a in (there.u, there.v)]
    wanted = [offset(c, memory) for c in chroma]
    assert found == ([wanted[0], wanted[0] + 1] if layout == "nv12" else wanted)
    assert (there.y_pitch, there.chroma_pitch) == (y.strides[0], chroma[0].strides[0])
    for number, plane in enumerate((y, *chroma), 1):
        plane[...] = number
    counts = [width * height, *(c.size for c in chroma)]
    assert [int((memory == n).sum()) for n in range(1, len(counts) + 1)] == counts
    assert (memory[-128:] == 0).all()  # what is read beyond the last row is still the slot's


@pytest.mark.parametrize("size", [(15, 16), (16, 9), (0, 2)])
def test_odd_sizes_are_refused(size):
    with pytest.raises(ValueError, match="even sides"):
        FrameLayout("nv12", *size)


def test_a_plane_elsewhere_is_not_taken_for_one_that_the_gpu_reaches():
    memory = np.zeros(4096, np.uint8)
    known = PageLocked(int(memory.ctypes.data), 1 << 30, 2048)
    assert known.address(memory[100:200]) == (1 << 30) + 100
    assert known.address(memory[:2048].reshape(32, 64)[4:, 2:]) == (1 << 30) + 4 * 64 + 2
    for wrong in (memory[2000:2049], memory[2048:], memory[:64][::-1], memory[:0], np.zeros(9)):
        with pytest.raises(ValueError, match="does not lie in the memory"):
            known.address(np.asarray(wrong, wrong.dtype))


def test_a_slot_comes_back_once_when_its_last_view_is_gone(device: Device):
    pool = FramePool(device.cuda, FrameLayout("yuv420p", 64, 48), 2)
    one, other = pool.take(), pool.take()
    assert one is not None
    assert other is not None
    assert pool.take() is None
    slot, (y, u, v) = one
    assert {slot.loan, other[0].loan} == {0, 1}
    view = y[10:20].reshape(-1)[::2]
    frame = av.VideoFrame.from_dlpack((y, u, v), format="yuv420p")
    capsule = np.from_dlpack(frame.planes[2])
    del one, y, u, v, slot
    for held in ("view", "frame"):
        assert pool.free == 0, held
        locals_ = {"view": view, "frame": frame}
        del locals_[held], locals_
    del view
    assert pool.free == 0
    del frame
    assert pool.free == 0
    del capsule
    assert pool.free == 1
    again = pool.take()
    assert again is not None
    assert again[0].loan == 2
    del again, other
    assert pool.free == 2


def test_a_closed_pool_lends_nothing_and_lives_as_long_as_what_it_lent(apart: Device):
    assert apart.emulator is not None
    pool = FramePool(Cuda(apart.emulator._name), FrameLayout("nv12", 64, 48), 3)
    taken = pool.take()
    assert taken is not None
    planes = taken[1]
    pool.close()
    assert pool.take() is None
    del pool, taken
    gc.collect()
    assert apart.emulator.count_live() == 2  # page-locked, and on the GPU
    planes[0][...] = 9
    assert (planes[0] == 9).all()
    del planes
    assert apart.emulator.count_live() == 0


def test_too_little_memory_gives_everything_back(apart: Device):
    assert apart.emulator is not None
    shape = FrameLayout("nv12", 64, 48)
    for bytes_left in (100, 8 * shape.size + 8000):  # for none of both pools, and for the first
        apart.emulator.limit_memory(bytes_left)
        with pytest.raises(InferenceError):
            FramePool(apart.cuda, shape, 8)
        apart.emulator.limit_memory(-1)
        gc.collect()
        assert apart.emulator.count_live() == 0


def test_threads_never_have_the_same_slot(device: Device):
    pool = FramePool(device.cuda, FrameLayout("yuv420p", 16, 16), 4)
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(400):
            taken = pool.take()
            if taken is None:
                continue
            y = taken[1][0]
            y[...] = mark
            if (y != mark).any():
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.free == 4


class Uploads:
    """What goes to a device from now on, in bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        upload = Cuda.upload

        def counted(cuda: Cuda, address: int, host: int, size: int, stream: int) -> None:
            self.sizes.append(size)
            upload(cuda, address, host, size, stream)

        monkeypatch.setattr(Cuda, "upload", counted)


def test_a_picture_is_brought_once_and_makes_way_when_nobody_looks(
    apart: Device, monkeypatch: pytest.MonkeyPatch
):
    shape = FrameLayout("nv12", 64, 48)
    pool = FramePool(apart.cuda, shape, MOST_COPIES + 2)
    slots = [taken for _ in range(MOST_COPIES + 2) if (taken := pool.take()) is not None]
    uploads = Uploads(monkeypatch)
    first = slots[0][0]
    with pool.lend(first, full_range=False) as one, pool.lend(first, full_range=False) as other:
        assert one == other
        assert one is not None
        assert (one.width, one.height, one.y != first.memory.device) == (64, 48, True)
    with pool.lend(first, full_range=True) as again:
        assert again is not None
        assert (again.y, again.full_range) == (one.y, True)
    assert uploads.sizes == [shape.size]
    open_loans = [pool.lend(slot, full_range=False) for slot, _ in slots[1 : MOST_COPIES + 1]]
    there = [loan.__enter__() for loan in open_loans]
    assert len({p.y for p in there if p is not None}) == MOST_COPIES  # the first one made way
    with pool.lend(slots[-1][0], full_range=False) as none:
        assert none is None
    for loan in open_loans:
        loan.__exit__(None, None, None)
    with pool.lend(slots[-1][0], full_range=False) as there_is_room:
        assert there_is_room is not None
    assert len(uploads.sizes) == MOST_COPIES + 2


def test_a_slot_that_was_lent_anew_is_brought_anew(apart: Device):
    pool = FramePool(apart.cuda, FrameLayout("yuv420p", 32, 32), 1)
    seen = []
    for level in (40, 200):
        taken = pool.take()
        assert taken is not None
        slot, planes = taken
        planes[0][...] = level
        with pool.lend(slot, full_range=False) as there:
            assert there is not None
            host = np.zeros(32, np.uint8)
            apart.cuda.download(int(host.ctypes.data), there.y, 32, apart.cuda.stream())
            seen.append(int(host[0]))
        del taken, planes
    assert seen == [40, 200]


def test_a_lost_device_is_told_of_and_takes_nothing_with_it(tmp_path: Path):
    lost = emulated(Path(shutil.copy(shipped(), tmp_path / "libcuda_to_lose.so")))
    assert lost.emulator is not None
    pool = FramePool(lost.cuda, FrameLayout("yuv420p", 32, 32), 1)
    taken = pool.take()
    assert taken is not None
    lost.emulator.lose_device()
    for _ in range(MOST_COPIES + 1):
        with pytest.raises(DeviceError), pool.lend(taken[0], full_range=False):
            raise AssertionError("it was lent")
    taken[1][0][...] = 3
    emulator = lost.emulator
    del lost, pool
    assert (taken[1][0] == 3).all()
    assert emulator.count_live() == 2
    del taken
    gc.collect()
    assert (emulator.count_live(), emulator.count_holders()) == (0, 0)
