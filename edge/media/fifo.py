"""One connection of FFmpeg's fifo muxer: opens, writes and closes in a thread that is not Python's.

PyAV's open, write_header and write_trailer hold the GIL, and a mute server would freeze the
process. With the fifo muxer they only start, and wait for, a thread of FFmpeg. Three things keep
the waiting short:

- Packets own memory of FFmpeg's. One made from bytes is freed under the GIL, by FFmpeg's thread,
  which then waits for the thread that waits for it: a deadlock in close().
- close() is called when FFmpeg's thread has ended, or when it is known to be sending. A thread
  that failed still says goodbye to its server, for two more time-outs; /proc tells when it ended.
- av.logging.set_level() is never called: log lines of FFmpeg's thread would need the GIL, too.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from edge.media.live_encoder import LiveEncoder
from edge.media.live_packets import TICK, EncodedPacket
from edge.media.live_target import escaped

_TASKS = Path("/proc/self/task")
_THREAD_NAME = "fifo-consumer"
_NAMED_AFTER_S = 1.0
"""FFmpeg's thread has named itself by then."""
_QUEUE = 4
"""Packets that FFmpeg's thread may be behind; then write() waits, outside the GIL."""
_INTERLEAVED = 8
"""More packets than FFmpeg holds back to interleave what is interleaved already."""
_opening = threading.Lock()


class FifoConnection:
    """Opened by its constructor, without waiting for anything; used by one thread.

    Raises OSError, av.FFmpegError or ValueError from every method; the first write after FFmpeg's
    thread has failed raises what it failed with. These exceptions name the address, with its
    secrets: they must not be shown.
    """

    def __init__(
        self,
        url: str,
        muxer: str,
        options: dict[str, str],
        encoder: LiveEncoder,
        first: EncodedPacket,
    ) -> None:
        """first: what will be written first; its decoding time is 0 on this connection."""
        self._base = first.dts
        self._epoch = first.epoch
        self._written = 0
        self._container: OutputContainer = av.open(
            url,
            "w",
            format="fifo",
            container_options={
                "fifo_format": muxer,
                "queue_size": str(_QUEUE),
                # Recovery is ours: it begins at a keyframe, counts, and says what went wrong.
                "attempt_recovery": "0",
                "drop_pkts_on_overflow": "0",
                "format_opts": escaped(options),
            },
        )
        self._streams: dict[bool, Stream] = {
            True: self._container.add_stream_from_template(encoder.template(first.epoch)),
            False: self._container.add_stream_from_template(encoder.sound),
        }
        self._last = dict.fromkeys(self._streams, -1)
        with _opening:
            before = _tasks()
            self._container.start_encoding()
            self._opened = time.monotonic()
            self._threads = _tasks() - before - {t.native_id for t in threading.enumerate()}

    @property
    def is_connected(self) -> bool:
        """True once FFmpeg's thread has taken packets, which it does after the header only."""
        return self._written > _QUEUE + _INTERLEAVED

    def write(self, packet: EncodedPacket) -> None:
        """Hand over a packet; waits, without the GIL, while FFmpeg's thread is behind."""
        made: Packet[Any] = Packet(len(packet.data))
        made.update(packet.data)
        made.time_base = TICK
        made.pts, made.dts = packet.pts - self._base, packet.dts - self._base
        made.duration = packet.duration
        made.is_keyframe = packet.is_key or not packet.is_video
        if packet.is_key and packet.epoch != self._epoch:
            # FLV announces the header of an encoder that took over in a message of its own.
            stream = self._streams[True]
            [made] = BitStreamFilterContext("extract_extradata", stream).filter(made)
            made.time_base = TICK
            self._epoch = packet.epoch
        made.stream = self._streams[packet.is_video]
        self._container.mux(made)
        self._written += 1

    def close(self) -> None:
        """Send what is left and the trailer. Only while packets are flowing, see above."""
        self._container.close()

    def try_discard(self) -> bool:
        """Free what a failed connection holds if FFmpeg's thread has ended; say whether it had."""
        if self._is_running():
            return False
        # What is raised here is once more what the connection failed with.
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        return True

    def _is_running(self) -> bool:
        present = self._threads & _tasks()
        if time.monotonic() - self._opened < _NAMED_AFTER_S:
            return bool(present)
        return any(_name(thread) == _THREAD_NAME for thread in present)


def _tasks() -> set[int]:
    return {int(name) for name in os.listdir(_TASKS)}  # noqa: PTH208 (iterdir makes Paths first)


def _name(thread: int) -> str:
    try:
        return (_TASKS / str(thread) / "comm").read_text().strip()
    except OSError:
        return ""
