"""Memory of the GPU handed to FFmpeg, and taken from it, without a copy: DLPack's C structures.

FFmpeg's frames in CUDA's memory come and go as DLPack tensors (PyAV: VideoFrame.from_dlpack and
VideoPlane.__dlpack__), in the form without a version, whose capsules are called "dltensor". Nothing
here waits for a stream or lets one wait: whoever hands memory over has ordered the work on it.
"""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

from edge.errors import InferenceError

_CUDA: Final = 2
"""kDLCUDA of DLDeviceType."""
_FIRST: Final = 0
"""The GPU that edge.inference.cuda works on."""
_UNSIGNED: Final = 1
"""kDLUInt of DLDataTypeCode."""
_FRESH: Final = b"dltensor"
_USED: Final = b"used_dltensor"
"""Names of a capsule before and after somebody took what it holds."""
_MOST_SIDES: Final = 3
"""Rows, columns, and the two samples of NV12's chroma."""


class _DataType(ctypes.Structure):
    """DLDataType."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Managed(ctypes.Structure):
    """DLManagedTensor, its DLTensor in line."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("dtype", _DataType), ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64),
        ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    )  # fmt: skip


class _Exported(ctypes.Structure):
    """A tensor and the numbers that it points to, in one piece of memory."""

    _fields_ = (
        ("managed", _Managed),
        ("shape", ctypes.c_int64 * _MOST_SIDES),
        ("strides", ctypes.c_int64 * _MOST_SIDES),
    )


_Release = Callable[[], object]
_Function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_capsule_new = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))
_capsule_is = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_capsule_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", ctypes.pythonapi)
)
# A capsule that is being destroyed has no reference left that could be counted: by its address.
_dying_is = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_dying_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _Lent:
    """Tensors that somebody holds, and the two C functions that end them.

    FFmpeg keeps the addresses of all of it, perhaps until the process ends: the one object of this
    class is never destroyed, nor what it refers to.
    """

    def __init__(self) -> None:
        self._tensors: dict[int, tuple[_Exported, _Release]] = {}
        self._delete = _Function(self._end)
        self._drop = _Function(self._drop_capsule)
        self._deleter = ctypes.cast(self._delete, ctypes.c_void_p).value
        self._destructor = ctypes.cast(self._drop, ctypes.c_void_p).value
        self._names = (_FRESH, _USED)
        self._nothing = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
        atexit.register(self._retire)

    def capsule(self, tensor: _Exported, release: _Release) -> object:
        """Return a capsule of a tensor; `release` is called when it has been let go of."""
        address = ctypes.addressof(tensor)
        tensor.managed.deleter = self._deleter
        self._tensors[address] = tensor, release
        try:
            return _capsule_new(address, _FRESH, self._destructor)
        except BaseException:
            del self._tensors[address]
            raise

    def count(self) -> int:
        return len(self._tensors)

    def _end(self, address: int) -> None:
        """The deleter of a tensor: called by whoever took it, in whatever thread."""
        # Its memory is given back with the tuple, at the end of this.
        _tensor, release = self._tensors.pop(address)
        release()

    def _drop_capsule(
        self, capsule: int, valid: Any = _dying_is, pointer: Any = _dying_pointer
    ) -> None:
        """The destructor of a capsule, which ends a tensor that nobody took."""
        if valid(capsule, self._names[0]):
            self._end(pointer(capsule, self._names[0]))

    def _retire(self) -> None:
        """Python ends, and FFmpeg may let go of frames later than that: then nothing is called but
        a function of Python's that does nothing and needs no interpreter."""
        self._deleter = self._nothing
        for tensor, _ in tuple(self._tensors.values()):
            tensor.managed.deleter = self._nothing


_LENT: Final = _Lent()


def count_lent() -> int:
    """Return how many tensors of DeviceArrays somebody holds by now."""
    return _LENT.count()


class DeviceArray:
    """Bytes in the first GPU's memory that FFmpeg can take over as a DLPack tensor, once.

    `release` is called exactly once: when the one that took the tensor has let go of it, in
    whatever thread that is (it must be quick, must not raise, and must not wait for another
    thread of Python's), or by close(), which does nothing once the tensor is taken. An array, or a
    capsule, that is dropped without a taker releases as well. What is taken when Python ends is
    not released any more.
    """

    __slots__ = ("_releases", "address", "shape", "strides")

    def __init__(
        self, address: int, shape: Sequence[int], strides: Sequence[int], release: _Release
    ) -> None:
        """address: of the first byte. shape, strides: of one to three sides; strides in bytes, as
        uint8 has one. Raises ValueError where these are not a plane of samples."""
        self._releases: list[_Release] = []
        self.address, self.shape, self.strides = address, tuple(shape), tuple(strides)
        sides = len(self.shape)
        if (
            address <= 0
            or not 1 <= sides <= _MOST_SIDES
            or len(self.strides) != sides
            or min(self.shape) < 1
            or min(self.strides) < 1
        ):
            raise ValueError("the array in the GPU's memory has no address, or no such sides")
        self._releases.append(release)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return kDLCUDA and the GPU's number."""
        return _CUDA, _FIRST

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """Return the capsule. stream: None or -1, as nothing is ordered here. Raises BufferError
        for what is not offered, and where the array was exported or closed before."""
        if stream not in (None, -1) or dl_device not in (None, (_CUDA, _FIRST)) or copy:
            raise BufferError("the array is handed over as it lies, and without a stream")
        release = self._take()
        if release is None:
            raise BufferError("the array was handed over before, or closed")
        try:
            return _LENT.capsule(self._describe(), release)
        except BaseException:
            release()
            raise

    def close(self) -> None:
        """Release the memory, unless it was handed over or released before."""
        if (release := self._take()) is not None:
            release()

    __del__ = close

    def _take(self) -> _Release | None:
        """Return what releases the memory, to one caller."""
        try:
            return self._releases.pop()
        except IndexError:
            return None

    def _describe(self) -> _Exported:
        tensor = _Exported()
        at = ctypes.addressof(tensor)
        managed, sides = tensor.managed, len(self.shape)
        managed.data = self.address
        managed.device_type, managed.device_id, managed.ndim = _CUDA, _FIRST, sides
        managed.dtype.code, managed.dtype.bits, managed.dtype.lanes = _UNSIGNED, 8, 1
        tensor.shape[:sides], tensor.strides[:sides] = self.shape, self.strides
        managed.shape = at + _Exported.shape.offset
        managed.strides = at + _Exported.strides.offset
        return tensor


class DevicePlane:
    """A plane in the GPU's memory that somebody else owns, kept alive until close().

    address: of its first byte. shape, strides: in bytes, one number for each side. Also a context
    manager; one that is dropped closes itself.
    """

    __slots__ = ("_ends", "address", "shape", "strides")

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        end: Callable[[int], object],
        managed: int,
    ) -> None:
        """end: the deleter, and `managed` what it is called with, once."""
        self.address, self.shape, self.strides = address, shape, strides
        self._ends = [(end, managed)]

    def close(self) -> None:
        """Let go of the plane: whoever owns it may use or free its memory."""
        try:
            end, managed = self._ends.pop()  # to one thread only
        except IndexError:
            return
        end(managed)

    __del__ = close

    def __enter__(self) -> DevicePlane:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_plane(plane: Any) -> DevicePlane:
    """Return where a plane of 8-bit samples lies, and keep it there.

    plane: an av.VideoPlane of a frame in CUDA's memory, or whatever else exports by __dlpack__.
    Raises InferenceError where it is not such a plane, which then is left as it was.
    """
    try:
        capsule = plane.__dlpack__()
    except (AttributeError, BufferError, NotImplementedError, TypeError, ValueError) as error:
        raise InferenceError(f"a plane of a frame cannot be shared with the GPU: {error}") from None
    if not _capsule_is(capsule, _FRESH):
        raise InferenceError("a plane of a frame is shared in an unknown form")
    address = _capsule_pointer(capsule, _FRESH)
    tensor = _Managed.from_address(address)
    sides, kind = tensor.ndim, tensor.dtype
    if (tensor.device_type, tensor.device_id) != (_CUDA, _FIRST):
        raise InferenceError("a plane of a frame is not in the first GPU's memory")
    if (kind.code, kind.bits, kind.lanes) != (_UNSIGNED, 8, 1):
        raise InferenceError("a plane of a frame does not consist of 8-bit samples")
    if not tensor.data or not 1 <= sides <= _MOST_SIDES or not tensor.shape or not tensor.deleter:
        raise InferenceError("a plane of a frame has no samples")
    shape = _numbers(tensor.shape, sides)
    strides = _numbers(tensor.strides, sides) if tensor.strides else _compact(shape)
    if min(shape) < 1 or min(strides) < 1:
        raise InferenceError("a plane of a frame lies upside down, or has no samples")
    end = _deleter(tensor.deleter)
    _capsule_rename(capsule, _USED)
    return DevicePlane(tensor.data + tensor.byte_offset, shape, strides, end, address)


def _numbers(address: int, count: int) -> tuple[int, ...]:
    return tuple((ctypes.c_int64 * count).from_address(address))


def _compact(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array without gaps, as no strides at all mean."""
    strides = [1]
    for side in reversed(shape[1:]):
        strides.insert(0, strides[0] * side)
    return tuple(strides)


@lru_cache(maxsize=8)  # FFmpeg has one
def _deleter(address: int) -> Callable[[int], object]:
    return _Function(address)
