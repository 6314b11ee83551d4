"""A live source: one connection to a camera, server or capture device, until it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from edge.errors import SourceError
from edge.frame import Frame
from edge.media.address import Address
from edge.media.arrival import ArrivalWatch, Backlog, Pace
from edge.media.network import OPEN_S, SILENT, cause_of, network_options, remedy_for
from edge.media.nvdec import OnGpu
from edge.media.opening import choose_sound
from edge.media.streams import RawItem, SoundPacket, StreamInfo, StreamReader

if TYPE_CHECKING:
    from edge.media.capture import SoundCard
    from edge.media.devices import SignalWatch

TIMEOUT_S: Final = 3.0
"""Without a packet, or without a picture, for this long a connection is lost."""
_FIRST_PICTURE_S: Final = 12.0
"""Cameras send a keyframe every 10 s at worst."""
_SEGMENTED_S: Final = 12.0
"""HLS comes in pieces of up to 10 s."""
_STALL_S: Final = 0.5
_READ_ERRORS_IN_A_ROW: Final = 16
_POLL_S: Final = 0.003

_CONTAINERS: Final = {"udp": "mpegts", "srt": "mpegts"}


class SourceLost(SourceError):  # noqa: N818 - an event that is expected, and the contract's name
    """A live source that was there broke off. `reason` says why, without the address."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} was lost: {reason}. Check the source and the way to it.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LiveInfo(StreamInfo):
    """What a live source holds, known before its first frame is read."""

    address: Address


class LiveConnection(StreamReader):
    """One connection to a live source; on loss, make another.

    pts count from the first frame given out, which is one from the live edge: what a server has
    kept, or what came while opening, is decoded and left out. HLS and files over HTTP, which come
    as fast as they are read, are given out in real time. Counters and notes are StreamReader's.
    """

    _REMEDY = "Check that it plays elsewhere."
    info: LiveInfo
    _card: SoundCard | None
    _signal: SignalWatch | None

    def __init__(
        self,
        address: Address,
        *,
        udp: bool = False,
        audio: str | None = None,
        timeout_s: float = TIMEOUT_S,
        size: tuple[int, int] | None = None,
        fps: Fraction | None = None,
        ca_file: Path | None = None,
        keep_packets: bool = False,
        on_gpu: OnGpu | None = None,
    ) -> None:
        """Connect and decode the first picture; blocks for up to `OPEN_S` a step. SourceError.

        udp: RTSP's media over UDP instead of TCP. audio: the ALSA device that belongs to a
        capture device, "none" for no sound, None to find it. timeout_s: silence after which the
        source counts as lost. size and fps: wished of a capture device; the nearest is taken.
        ca_file: whom to trust instead of the system's authorities; with it rtsps:// is verified
        too, whose cameras mostly have certificates that nobody signed. keep_packets: as for files.
        on_gpu: where frames may stay on the GPU, instead of keep_packets.
        """
        if not address.is_live:
            raise ValueError("not a live address")
        super().__init__(address.safe)
        self.address = address
        self._timeout_s = max(timeout_s, _SEGMENTED_S) if address.kind == "hls" else timeout_s
        self._silence_s = 0.95 * self._timeout_s
        self._closed = threading.Event()
        # Held while FFmpeg is at work in the container, which nobody may close meanwhile.
        self._guard = threading.Lock()
        self._started = False
        # Never in a local variable: it holds the last packet, which must not outlive a capture
        # device (FFmpeg hands it back to the freed driver), and tracebacks keep variables.
        self._demuxer: Iterator[Packet[Stream]] | None = None
        self._picture_by = time.monotonic() + OPEN_S + _FIRST_PICTURE_S
        self._picture_limit_s = _FIRST_PICTURE_S
        if address.kind == "v4l2":
            container, self._card = self._open_device(audio, size, fps)
        else:
            self._card = self._signal = None
            timeouts, options = network_options(address, self._timeout_s, udp, ca_file)
            container = self._connect(address.url, timeouts, options, _CONTAINERS.get(address.kind))
        try:
            self._choose(container, "SLICE")
            self._use_hardware(on_gpu)
            self._keep_packets(keep_packets)
            if self._card is not None:
                self._sound_info, _ = choose_sound(self._card.streams)
                self._audio = self._sound_info.stream if self._sound_info is not None else None
            first = self._read_first()
            info = self._describe(first, None)
            shared = {field.name: getattr(info, field.name) for field in fields(info)}
            self.info = LiveInfo(**shared, address=address)
        except BaseException:
            self.close()
            raise
        self._picture_limit_s = max(timeout_s, float(3 / info.fps))
        self._pace = Pace(_STALL_S) if self._is_paced else None

    @property
    def _is_paced(self) -> bool:
        """True where the connection gives out as fast as it is read."""
        container = self._container
        http = self.address.kind in ("http", "hls")
        return http and ("hls" in container.format.name or bool(container.duration))

    def _connect(
        self,
        url: str,
        timeout: tuple[float, float],
        options: dict[str, str],
        container_format: str | None = None,
    ) -> InputContainer:
        error: Exception
        try:
            return av.open(
                url,
                format=container_format,
                container_options=options,
                timeout=timeout,
                metadata_errors="ignore",
            )
        except (av.FFmpegError, OSError, ValueError) as caught:
            error = caught
        # Raised here, with nothing chained to it: FFmpeg's errors repeat the address.
        raise SourceError(f"{self._name} cannot be opened: {cause_of(error)}. {remedy_for(error)}")

    def _open_device(
        self, audio: str | None, size: tuple[int, int] | None, fps: Fraction | None
    ) -> tuple[InputContainer, SoundCard | None]:
        from edge.media.capture import SoundCard, sound_of
        from edge.media.devices import negotiate

        setup = negotiate(self.address.url, size, fps)
        self._signal = setup.watch
        self._name = str(setup.path)
        self.notes.append(setup.note)
        timeout = (OPEN_S, self._timeout_s)
        container = self._connect(self._name, timeout, setup.options, "v4l2")
        device = sound_of(setup.path) if audio is None else audio
        card = None
        if device is not None and device != "none":
            try:
                card = SoundCard(device)
                self.notes.append(f"sound from ALSA device {device}")
            except SourceError as error:
                if audio is not None:
                    container.close()
                    raise
                self.notes.append(f"no sound: {error}")
        return container, card

    def read(self) -> Iterator[Frame | SoundPacket]:
        """Yield frames and sound as they come; once only. Ends when the source ends.

        For a live source the end is a loss too: a killed server looks like one. Raises SourceLost
        when it fails, falls silent, changes its size, or its clock is set. Ends without an error
        after close().
        """
        if self._started:
            raise RuntimeError("a source can be read only once")
        self._started = True
        items = self._items()
        while not self._closed.is_set():
            try:
                with self._guard:
                    item = next(items, None)
            except SourceError:
                if self._closed.is_set():
                    break
                raise
            if item is None:
                return
            if self._pace is not None:
                self._closed.wait(self._pace.wait_s(item.pts, time.monotonic()))
            if not self._closed.is_set():
                yield item
        self.close()

    def close(self) -> None:
        """End the connection; from any thread, never waiting for the network or for read().

        Where read() is at work in another thread, that thread ends within the time-out and
        releases the connection. Frames already given out stay valid.
        """
        self._closed.set()
        if self._guard.acquire(blocking=False):
            try:
                self._demuxer = None
                self._release_hardware()
                self._container.close()
                if self._card is not None:
                    self._card.close()
            finally:
                self._guard.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _items(self) -> Iterator[Frame | SoundPacket]:
        backlog = None if self._is_paced else Backlog()
        watch = None if self._is_paced else ArrivalWatch()
        for raw in self._all_raw():
            if isinstance(raw, av.VideoFrame):
                self._check_size(raw)
                if self._clock is None:
                    pts = float((raw.pts or 0) * self.info.time_base)
                    if backlog is not None and not backlog.is_over(pts, time.monotonic()):
                        continue
                    origin = (raw.pts or 0) * self.info.time_base
                    self._start_clocks(Fraction(origin), self.info.time_base, self.info.fps)
            elif self._clock is None:
                continue
            item = self._finish(raw)
            if watch is not None and isinstance(item, Frame):
                fault = watch.fault(item.pts, time.monotonic())
                if fault is not None:
                    raise self._lost(fault)
            if item.pts >= 0:
                yield item

    def _all_raw(self) -> Iterator[RawItem]:
        while self._head:
            yield self._head.pop(0)
        yield from self._raw

    def _check_size(self, frame: av.VideoFrame) -> None:
        if (frame.width, frame.height) != (self.info.coded_width, self.info.coded_height):
            raise self._lost("size changed")

    def _decode(self) -> Iterator[RawItem]:
        for raw in super()._decode():
            if isinstance(raw, av.VideoFrame):
                self._picture_by = time.monotonic() + self._picture_limit_s
            yield raw

    def _packets(self) -> Iterator[Packet[Stream]]:
        errors = 0
        while not self._closed.is_set():
            if time.monotonic() > self._picture_by:
                raise self._lost("it sends no picture")
            fault = self._signal.fault(time.monotonic()) if self._signal is not None else None
            if fault is not None:
                raise self._lost(fault)
            if self._card is not None:
                yield from self._card.packets()
                if self._card.failure is not None:
                    raise self._lost(f"its sound device {self._card.failure}")
            failed: av.FFmpegError | None = None
            asked = time.monotonic()
            try:
                self._demuxer = self._demuxer or self._demux()
                packet = next(self._demuxer, None)
            except av.error.BlockingIOError:
                self._demuxer = None
                self._closed.wait(_POLL_S)
                continue
            except av.FFmpegError as error:
                # A generator that has raised is at its end.
                self._demuxer, failed = None, error
            if failed is not None:
                errors += 1
                if isinstance(failed, av.error.InvalidDataError) and errors < _READ_ERRORS_IN_A_ROW:
                    self.damage += 1
                    continue
                raise self._lost(cause_of(failed))
            if packet is None:
                return
            # At a time-out, FFmpeg first hands out what it had begun, and would wait once more.
            if time.monotonic() - asked > self._silence_s:
                raise self._lost(SILENT)
            errors = 0
            if self.address.kind == "v4l2":
                packet = self._own(packet)
            yield packet

    def _demux(self) -> Iterator[Packet[Stream]]:
        own_sound = self._audio is not None and self._card is None
        chosen = (self._video, self._audio) if own_sound else (self._video,)
        return self._container.demux(*chosen)

    def _own(self, packet: Packet[Stream]) -> Packet[Stream]:
        """Copy a packet out of the driver's memory, which is gone once the device is closed."""
        owned: Packet[Stream] = Packet(bytes(packet))
        owned.stream = packet.stream
        owned.time_base = packet.time_base
        owned.pts, owned.dts, owned.duration = packet.pts, packet.dts, packet.duration
        owned.is_keyframe = packet.is_keyframe
        return owned

    def _lost(self, reason: str) -> SourceLost:
        return SourceLost(str(self._name), reason)
