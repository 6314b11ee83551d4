"""GStreamer behind a narrow door: bytes in at one end of a pipeline, bytes out at the other.

On a Jetson the codecs of the chip are reached through L4T's GStreamer elements only. Everything
here has a deadline, since a driver that hangs must not take the stream with it. GStreamer is
loaded on first use; no other part of privaedge needs it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

NS_PER_S: Final = 1_000_000_000
_DIST_PACKAGES: Final = "/usr/lib/python3/dist-packages"
"""Where Debian, Ubuntu and L4T put python3-gi, which a virtual environment does not see."""
_COMPATIBLE: Final = Path("/proc/device-tree/compatible")
_START_S: Final = 5.0
_CLOSE_S: Final = 1.0
_SETTLE_S: Final = 0.05


class GstMissing(Exception):  # noqa: N818 - a state of the machine, not of the program
    """GStreamer or an element is not there. str() is the cause, as a clause."""


class GstFailed(Exception):  # noqa: N818
    """A pipeline cannot start or cannot go on. str() is the cause, as a clause."""


@dataclass(frozen=True, slots=True)
class GstSample:
    """What came out of a pipeline."""

    data: bytes
    time_ns: int | None
    """Presentation time as it was pushed (running time), in nanoseconds."""
    is_key: bool
    """True where it can be decoded without those before it."""
    width: int
    """As the caps say; 0 where they do not."""
    height: int


@cache
def load_gst() -> Any:
    """Import and initialise GStreamer once; return its module. Raises GstMissing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # PyGObject's importer is an old one
        try:
            _import_gi().require_version("Gst", "1.0")
            gst: Any = importlib.import_module("gi.repository.Gst")
        except (ImportError, ValueError, AttributeError) as error:
            raise GstMissing(
                "GStreamer's binding cannot be loaded for this Python (packages python3-gi and "
                "gir1.2-gstreamer-1.0)"
            ) from error
    if not gst.init_check(None)[0]:
        raise GstMissing("GStreamer cannot be initialised")
    return gst


def _import_gi() -> Any:
    """Import PyGObject, from the system's folder too, without letting anything else of it in."""
    try:
        return importlib.import_module("gi")
    except ImportError:
        spec = PathFinder.find_spec("gi", [_DIST_PACKAGES])
        if spec is None or spec.loader is None:
            raise
    sys.modules["gi"] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["gi"]
        raise
    return module


def require_elements(names: Iterable[str]) -> None:
    """Raise GstMissing, naming them, where elements are not installed."""
    registry = load_gst().ElementFactory
    missing = [name for name in names if registry.find(name) is None]
    if missing:
        raise GstMissing(f"GStreamer has no {', '.join(missing)}")


def is_jetson() -> bool:
    """Tell whether this is a Tegra, without which GStreamer is not even looked for."""
    try:
        return b"nvidia,tegra" in _COMPATIBLE.read_bytes()
    except OSError:
        return False


class GstPipeline:
    """One running pipeline from an appsrc named `in` to an appsink named `out`.

    Used by one thread. After GstFailed only close() may be called.
    """

    def __init__(self, description: str, start_s: float = _START_S) -> None:
        """Start it. Raises GstMissing or GstFailed."""
        self._gst = load_gst()
        try:
            self._pipeline = self._gst.parse_launch(description)
        except Exception as error:  # GLib.Error, whose class is there only once gi is loaded
            raise GstFailed(_first_sentence(getattr(error, "message", error))) from error
        self._bus = self._pipeline.get_bus()
        self._in = self._pipeline.get_by_name("in")
        self._out = self._pipeline.get_by_name("out")
        self._closed = False
        states = self._gst.StateChangeReturn
        # A driver that hangs does so in here, where there is no time-out to be set.
        changed = self._within(start_s, lambda: self._set_state(self._gst.State.PLAYING, start_s))
        if changed in (None, states.FAILURE, states.ASYNC):
            cause = "it does not start in time"
            if changed == states.FAILURE:
                cause = self._error(_SETTLE_S) or "it does not start"
            self.close()
            raise GstFailed(cause)

    def push(self, data: bytes, time_ns: int, *, force_key: bool = False) -> None:
        """Hand over one frame or access unit; never waits. Raises GstFailed."""
        self._check()
        gst = self._gst
        if force_key:
            # What GstVideo's helper makes; so that its typelib need not be there.
            wish = gst.Structure.new_from_string("GstForceKeyUnit, all-headers=(boolean)true")
            self._in.send_event(gst.Event.new_custom(gst.EventType.CUSTOM_DOWNSTREAM, wish))
        buffer = gst.Buffer.new_wrapped(data)
        buffer.pts = time_ns
        flow = self._in.emit("push-buffer", buffer)
        if flow != gst.FlowReturn.OK:
            raise GstFailed(self._error(_SETTLE_S) or f"it takes no data ({flow.value_nick})")

    def pull(self, wait_s: float = 0.0) -> Iterator[GstSample]:
        """Yield what is ready; waits for the first one only. Raises GstFailed."""
        timeout = round(wait_s * NS_PER_S)
        while (sample := self._out.emit("try-pull-sample", timeout)) is not None:
            yield self._read(sample)
            timeout = 0
        self._check()

    def drain(self, limit_s: float) -> Iterator[GstSample]:
        """End the input and yield the rest. Raises GstFailed, also where that takes longer."""
        deadline = time.monotonic() + limit_s
        self._check()
        self._in.emit("end-of-stream")
        while not self._out.get_property("eos"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise GstFailed(f"it did not end within {limit_s:g} s")
            yield from self.pull(min(left, 0.1))

    def close(self, limit_s: float = _CLOSE_S) -> None:
        """Stop; one that does not stop in time is left to a daemon thread."""
        if not self._closed:
            self._closed = True
            null = self._gst.State.NULL
            self._within(limit_s, lambda: self._pipeline.set_state(null))

    def _set_state(self, state: Any, limit_s: float) -> Any:
        changed = self._pipeline.set_state(state)
        if changed == self._gst.StateChangeReturn.ASYNC:
            changed = self._pipeline.get_state(round(limit_s * NS_PER_S))[0]
        return changed

    @staticmethod
    def _within(limit_s: float, action: Any) -> Any:
        """Return what the action returns, or None where it takes longer."""
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(action()), name="gstreamer", daemon=True
        )
        thread.start()
        thread.join(limit_s)
        return answers[0] if answers else None

    def _read(self, sample: Any) -> GstSample:
        gst, buffer = self._gst, sample.get_buffer()
        time_ns = None
        if buffer.pts != gst.CLOCK_TIME_NONE:
            # Some encoders shift all times and say so in the segment.
            running = sample.get_segment().to_running_time(gst.Format.TIME, buffer.pts)
            time_ns = None if running == gst.CLOCK_TIME_NONE else running
        width = height = 0
        caps = sample.get_caps()
        if caps is not None and caps.get_size():
            width = caps.get_structure(0).get_int("width")[1]
            height = caps.get_structure(0).get_int("height")[1]
        data = buffer.extract_dup(0, buffer.get_size())
        is_key = not buffer.has_flags(gst.BufferFlags.DELTA_UNIT)
        return GstSample(data, time_ns, is_key, width, height)

    def _check(self) -> None:
        if self._closed:
            raise GstFailed("it is closed")
        cause = self._error(0.0)
        if cause is not None:
            raise GstFailed(cause)

    def _error(self, wait_s: float) -> str | None:
        kind = self._gst.MessageType.ERROR
        message = self._bus.timed_pop_filtered(round(wait_s * NS_PER_S), kind)
        if message is None:
            return None
        error, _ = message.parse_error()
        where = message.src.get_factory() if hasattr(message.src, "get_factory") else None
        said = _first_sentence(error.message)
        return f"{where.get_name()}: {said}" if where is not None else said


def to_ns(ticks: int, time_base: Fraction) -> int:
    """Convert to nanoseconds, rounded; exactly undone by from_ns for ticks of 2 ns and more."""
    return round(ticks * time_base * NS_PER_S)


def from_ns(time_ns: int, time_base: Fraction) -> int:
    """Convert to the nearest tick."""
    return round(Fraction(time_ns, NS_PER_S) / time_base)


def _first_sentence(text: object) -> str:
    """One line without a full stop, as part of a message of ours."""
    return str(text).strip().splitlines()[0].rstrip(".") if str(text).strip() else "no reason given"
