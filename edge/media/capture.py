"""Sound beside a capture device: which sound card belongs to it, and reading that card (ALSA)."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.container.streams import StreamContainer
from av.packet import Packet
from av.stream import Stream

from edge.errors import SourceError
from edge.media.devices import NONBLOCK

_RATE: Final = 48_000
_BLOCK_S: Final = 0.020
_MOST_PACKETS: Final = 256
"""Five seconds; more means that nobody reads, and the oldest are dropped."""
_POLL_S: Final = 0.003
_SILENT_S: Final = 3.0
_ALSA_CONFIG: Final = "/usr/share/alsa/alsa.conf"


def sound_of(device: Path, sysfs: Path = Path("/sys/class/video4linux")) -> str | None:
    """Find the ALSA device of the sound card in the same USB or PCI device as a video device.

    Returns FFmpeg's name for it, such as "hw:1", or None.
    """
    with contextlib.suppress(OSError):
        node = (sysfs / device.resolve().name / "device").resolve(strict=True)
        # A USB grabber is one device with an interface each for picture and sound; the interface
        # is where the video node hangs. Further up are hubs, with other people's sound cards.
        holders = [node] if not _is_usb_interface(node) else [node.parent]
        for holder in holders:
            cards = sorted([*holder.glob("sound/card*"), *holder.glob("*/sound/card*")])
            for card in cards:
                return f"hw:{card.name.removeprefix('card')}"
    return None


def _is_usb_interface(node: Path) -> bool:
    return (node / "bInterfaceNumber").exists()


class SoundCard:
    """Reads an ALSA device in a thread of its own, whose wait would hold up the pictures."""

    def __init__(self, device: str) -> None:
        """Open the device. Raises SourceError."""
        self.dropped = 0
        """Packets that nobody took in time."""
        self.failure: str | None = None
        """Why nothing comes any more."""
        self._container = _open(device)
        context = self._container.streams.audio[0].codec_context
        frame_bytes = context.channels * context.format.bytes
        self._block_bytes = round(context.sample_rate * _BLOCK_S) * frame_bytes
        self._pending: list[Packet[Stream]] = []
        self._queue: queue.SimpleQueue[Packet[Stream]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sound card", daemon=True)
        self._thread.start()

    @property
    def streams(self) -> StreamContainer:
        """The device's one stream."""
        return self._container.streams

    def packets(self) -> Iterator[Packet[Stream]]:
        """Yield what has come, without waiting."""
        with contextlib.suppress(queue.Empty):
            for _ in range(self._queue.qsize()):  # and no more: pictures wait meanwhile
                yield self._queue.get_nowait()

    def close(self) -> None:
        """Stop reading; does not wait for the device."""
        self._stop.set()
        self._thread.join(_SILENT_S if self._thread is not threading.current_thread() else 0)

    def _take(self, packet: Packet[Stream]) -> None:
        """Join what a card gives, 3 ms at a time at worst, to packets worth their handling."""
        if packet.size:
            self._pending.append(packet)
        first, stream = self._pending[0] if self._pending else packet, packet.stream
        size = sum(piece.size for piece in self._pending)
        if size < self._block_bytes:
            return
        joined: Packet[Stream] = Packet(b"".join(map(bytes, self._pending)))
        joined.stream, joined.time_base = stream, first.time_base
        joined.pts = joined.dts = first.pts
        self._pending.clear()
        if self._queue.qsize() >= _MOST_PACKETS:
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put(joined)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    for packet in self._container.demux():
                        self._take(packet)
                        if self._stop.is_set():
                            return
                    self.failure = "ended"
                    return
                except av.error.BlockingIOError:
                    self._stop.wait(_POLL_S)
        except av.FFmpegError as error:
            self.failure = f"broke off ({error.strerror})"
        finally:
            self._container.close()


def _open(device: str) -> InputContainer:
    # PyAV's libasound looks where its builders had its configuration: in /tmp, where anybody
    # could put one.
    os.environ.setdefault("ALSA_CONFIG_PATH", _ALSA_CONFIG)
    failure = ""
    for channels in (2, 1):  # some HDMI grabbers have their sound as one channel
        try:
            return av.open(
                device,
                format="alsa",
                container_options={
                    "sample_rate": str(_RATE),
                    "channels": str(channels),
                    "fflags": NONBLOCK,
                },
                timeout=_SILENT_S,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            failure = getattr(error, "strerror", None) or "FFmpeg refuses it"
    raise SourceError(f"ALSA device {device} cannot be opened: {failure}. Check `arecord -l`.")
