"""Tensors that come and go between our code and C: here without a GPU, as nothing reads them."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge.errors import InferenceError
from edge.inference.dlpack import DeviceArray, DevicePlane, _Managed, count_lent, read_plane
from tests.redact.by_name import python, said

ADDRESS, SHAPE, STRIDES = 0x7F00_0000_1000, (540, 960, 2), (2048, 2, 1)


class Releases:
    """Counts how often it was told that memory is free again."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def array(release: Callable[[], object]) -> DeviceArray:
    return DeviceArray(ADDRESS, SHAPE, STRIDES, release)


def pointer(capsule: object, name: bytes = b"dltensor") -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    found = get(capsule, name)
    assert isinstance(found, int)
    return found


def take(capsule: object) -> Any:
    """Consume a capsule as C code does."""
    found = _Managed.from_address(pointer(capsule))
    name = ctypes.pythonapi.PyCapsule_SetName
    name.argtypes = [ctypes.py_object, ctypes.c_char_p]
    assert name(capsule, b"used_dltensor") == 0
    return found


@pytest.fixture
def releases() -> Releases:
    return Releases()


def test_a_plane_lies_where_the_array_does_until_it_is_closed(releases: Releases):
    lent = array(releases)
    assert lent.__dlpack_device__() == (2, 0)
    plane = read_plane(lent)
    assert (plane.address, plane.shape, plane.strides) == (ADDRESS, SHAPE, STRIDES)
    lent.close()
    del lent
    gc.collect()
    assert (releases.count, count_lent()) == (0, 1)
    plane.close()
    plane.close()
    assert (releases.count, count_lent()) == (1, 0)


def test_whoever_leaves_a_block_or_drops_a_plane_lets_go(releases: Releases):
    with read_plane(array(releases)) as plane:
        assert isinstance(plane, DevicePlane)
        assert releases.count == 0
    assert releases.count == 1
    del plane
    read_plane(array(releases))
    assert releases.count == 2


def test_what_nobody_takes_is_released_once(releases: Releases):
    lent = array(releases)
    lent.close()
    lent.close()
    del lent
    assert releases.count == 1
    array(releases)
    assert releases.count == 2
    lent = array(releases)
    capsule = lent.__dlpack__(stream=-1, max_version=(1, 1), dl_device=(2, 0), copy=False)
    del lent
    assert (releases.count, count_lent()) == (2, 1)
    del capsule
    assert (releases.count, count_lent()) == (3, 0)


def test_an_array_is_handed_over_once_and_as_it_is(releases: Releases):
    lent = array(releases)
    for wish in ({"stream": 2}, {"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="as it lies"):
            lent.__dlpack__(**wish)
    capsule = lent.__dlpack__()
    with pytest.raises(BufferError, match="before"):
        lent.__dlpack__()
    with pytest.raises(InferenceError, match="handed over before"):
        read_plane(lent)
    assert releases.count == 0
    del capsule
    assert releases.count == 1


@pytest.mark.parametrize(
    ("address", "shape", "strides"),
    [(0, (2, 2), (2, 1)), (64, (), ()), (64, (2, 2), (2,)), (64, (0, 2), (2, 1)),
     (64, (2, 2), (-2, 1)), (64, (1, 1, 1, 1), (1, 1, 1, 1))],
)  # fmt: skip
def test_what_is_no_plane_is_refused(releases: Releases, address, shape, strides):
    with pytest.raises(ValueError, match="no such sides"):
        DeviceArray(address, shape, strides, releases)
    gc.collect()
    assert releases.count == 0


class Altered:
    """An array of whose tensor one member was changed."""

    def __init__(self, lent: DeviceArray, change: Callable[[Any], object]) -> None:
        self._lent, self._change = lent, change

    def __dlpack__(self) -> object:
        capsule = self._lent.__dlpack__()
        self._change(_Managed.from_address(pointer(capsule)))
        return capsule


def set_to(name: str, value: object) -> Callable[[Any], None]:
    def change(tensor: Any) -> None:
        owner, _, member = name.rpartition(".")
        setattr(getattr(tensor, owner) if owner else tensor, member, value)

    return change


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("device_type", 1, "not in the first GPU's memory"),
        ("device_id", 1, "not in the first GPU's memory"),
        ("dtype.code", 2, "does not consist of 8-bit samples"),
        ("dtype.bits", 16, "does not consist of 8-bit samples"),
        ("dtype.lanes", 2, "does not consist of 8-bit samples"),
        ("ndim", 0, "has no samples"),
        ("ndim", 4, "has no samples"),
        ("data", None, "has no samples"),
        ("shape", None, "has no samples"),
    ],
)
def test_what_cannot_be_read_is_refused_and_goes_back(releases: Releases, name, value, cause):
    with pytest.raises(InferenceError, match=cause):
        read_plane(Altered(array(releases), set_to(name, value)))
    gc.collect()
    assert (releases.count, count_lent()) == (1, 0)


def test_an_offset_counts_and_no_strides_mean_no_gaps(releases: Releases):
    plane = read_plane(Altered(array(releases), set_to("byte_offset", 4096)))
    assert plane.address == ADDRESS + 4096
    plane = read_plane(Altered(array(releases), set_to("strides", None)))
    assert plane.strides == (1920, 2, 1)

    def turn(tensor: Any) -> None:
        ctypes.c_int64.from_address(tensor.strides).value = -2048

    with pytest.raises(InferenceError, match="upside down"):
        read_plane(Altered(array(releases), turn))


@pytest.mark.parametrize(
    ("plane", "cause"),
    [
        (av.VideoFrame(64, 32, "nv12").planes[1], "not in the first GPU's memory"),
        (np.zeros((4, 4), np.uint8), "not in the first GPU's memory"),
        (b"samples", "cannot be shared with the GPU: 'bytes' object has no attribute"),
        (av.VideoFrame(64, 32, "pal8").planes[0], "cannot be shared with the GPU"),
    ],
)
def test_what_is_not_on_the_gpu_is_refused(plane: object, cause: str):
    with pytest.raises(InferenceError, match=cause):
        read_plane(plane)


def test_a_thread_that_is_not_pythons_may_let_go(releases: Releases):
    lib = ctypes.CDLL(None)
    taken = [take(array(releases).__dlpack__()) for _ in range(50)]
    threads = [ctypes.c_ulong() for _ in taken]
    for thread, managed in zip(threads, taken, strict=True):
        start, what = ctypes.c_void_p(managed.deleter), ctypes.c_void_p(ctypes.addressof(managed))
        assert lib.pthread_create(ctypes.byref(thread), None, start, what) == 0
    for thread in threads:
        assert lib.pthread_join(thread, None) == 0
    assert (releases.count, count_lent()) == (50, 0)


def test_what_fails_to_release_is_told_of_and_harms_nobody(monkeypatch: pytest.MonkeyPatch):
    caught: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: caught.append(told.exc_type))

    def fails() -> None:
        raise InferenceError("the pool is closed")

    read_plane(array(fails)).close()
    assert (caught, count_lent()) == ([InferenceError], 0)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_nothing_stays_behind_of_many_thousand_frames(releases: Releases):
    def rounds(count: int) -> None:
        for _ in range(count):
            read_plane(array(releases)).close()
            array(releases).__dlpack__()
            array(releases).close()

    rounds(100)
    gc.collect()
    gc.disable()  # nor does anything wait for the collector
    try:
        before = resident()
        rounds(15_000)
        assert resident() - before < 500_000
        tracemalloc.start()
        at_first = tracemalloc.get_traced_memory()[0]
        rounds(2_000)
        assert tracemalloc.get_traced_memory()[0] - at_first < 10_000
    finally:
        tracemalloc.stop()
        gc.enable()
    assert (releases.count, count_lent()) == (3 * 17_100, 0)


ENDS = """
import atexit, ctypes
libc = ctypes.CDLL(None)
kept = []
@atexit.register  # before that of the module, so it is called after that one
def late():
    for managed in kept:
        # As FFmpeg's thread that ends after Python: what it calls it finds in the tensor.
        libc.__cxa_atexit(ctypes.c_void_p(managed.deleter),
                          ctypes.c_void_p(ctypes.addressof(managed)), None)
    kept.append(array(said).__dlpack__())
from edge.inference.dlpack import DeviceArray, read_plane
from tests.inference.test_dlpack import array, take
def said():
    print("released")
for _ in range(3):
    kept.append(take(array(said).__dlpack__()))
plane, capsule, lent = read_plane(array(said)), array(said).__dlpack__(), array(said)
class Round: pass
ring = Round()
ring.itself, ring.plane, ring.capsule = ring, read_plane(array(said)), array(said).__dlpack__()
taken = take(array(said).__dlpack__())
read_plane(array(said)).close()
"""


def test_python_may_end_before_those_who_hold_tensors():
    told = said(python(None, "-c", ENDS))
    assert told.splitlines()[0] == "released"
