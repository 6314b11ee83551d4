"""Encoded packets on their way to several outputs: interleaved once, queued per output. Pure."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

TICKS_PER_S = 720_000
"""The least common multiple of the encoders' clocks, 90 kHz and 48 kHz: nothing is rounded."""
TICK = Fraction(1, TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One packet of an encoder. Times in TICKs."""

    is_video: bool
    data: bytes
    pts: int
    dts: int
    duration: int
    is_key: bool
    """A picture that can be decoded without the ones before it. Never true for sound."""
    epoch: int = 0
    """Of a picture: how often the encoder had been replaced before this one was made."""


class Interleaver:
    """Merges pictures and sound by decoding time, as muxers and servers want them.

    The encoder of the pictures looks ahead, that of the sound does not, so sound waits here. What
    waits is bounded: where one kind does not come, the other goes on without it.
    """

    def __init__(self, longest_wait_s: float) -> None:
        self._longest_wait = round(longest_wait_s * TICKS_PER_S)
        self._waiting: tuple[deque[EncodedPacket], deque[EncodedPacket]] = (deque(), deque())

    def push(self, packet: EncodedPacket) -> list[EncodedPacket]:
        """Take a packet, later than all of its kind before; return what is in order now."""
        self._waiting[packet.is_video].append(packet)
        ready = []
        while (following := self._next()) is not None:
            ready.append(self._waiting[following].popleft())
        return ready

    def clear(self) -> None:
        """Forget what waits."""
        for queue in self._waiting:
            queue.clear()

    def flush(self) -> list[EncodedPacket]:
        """Return the rest in order."""
        rest = sorted((p for queue in self._waiting for p in queue), key=lambda p: p.dts)
        for queue in self._waiting:
            queue.clear()
        return rest

    def _next(self) -> bool | None:
        sound, video = self._waiting
        if sound and video:
            return video[0].dts <= sound[0].dts
        for is_video, queue in enumerate(self._waiting):
            if queue and queue[-1].dts - queue[0].dts > self._longest_wait:
                return bool(is_video)
        return None


class PacketQueue:
    """What one output still has to send; for one writer and one reader thread.

    Whoever reads for a new connection begins at the latest keyframe, at once, since the packets
    from there on are kept. Where the reader falls behind by more than the limit, it jumps to the
    latest keyframe: the viewer sees a jump, not garbage, and memory stays bounded.
    """

    def __init__(self, limit_s: float) -> None:
        """limit_s: how far the reader may fall behind; longer than two keyframe intervals."""
        self._limit = round(limit_s * TICKS_PER_S)
        self._condition = threading.Condition()
        self._kept: deque[EncodedPacket] = deque()
        # Packets are numbered in the order of put().
        self._first = 0
        """Number of the first one kept."""
        self._key: int | None = None
        """Number of the latest keyframe; None: it is not kept any more, the next one counts."""
        self._cursor: int | None = None
        """Number of the next one to be handed out; None: nobody reads."""
        self._handed = 0
        """All with a lower number were handed out or dropped."""
        self._handed_before = 0
        """The same at the last restart()."""
        self._ended = False
        self._dropped = 0
        self._begun = False
        """A keyframe was seen. What comes before (the sound encoder's priming) is no loss."""

    @property
    def dropped(self) -> int:
        """Packets that were never handed out and never will be."""
        with self._condition:
            return self._dropped

    @property
    def is_finished(self) -> bool:
        """True where no packet will follow and none is left."""
        with self._condition:
            return self._ended and (self._cursor is None or self._cursor >= self._end)

    def put(self, packet: EncodedPacket) -> None:
        """Append a packet; in order of dts. Never blocks."""
        with self._condition:
            self._kept.append(packet)
            if packet.is_key:
                self._key = self._end - 1
                self._begun = True
            self._trim()
            if self._kept and packet.dts - self._kept[0].dts > self._limit:
                self._fall_back()
            self._condition.notify()

    def restart(self) -> None:
        """Begin anew at the latest keyframe, or at the next one where there was none yet."""
        with self._condition:
            self._cursor = self._end if self._key is None else self._key
            self._trim()
            self._handed_before = self._handed

    def pause(self, *, undelivered: bool = False) -> None:
        """Hand out nothing, and keep nothing older than the latest keyframe, until restart().

        undelivered: what was handed out since restart() has not arrived; it counts as dropped
        unless it is handed out again.
        """
        with self._condition:
            self._cursor = None
            if undelivered:
                if self._begun:
                    self._dropped += max(0, self._first - self._handed_before)
                self._handed = self._handed_before = max(self._first, self._handed_before)
            self._trim()

    def get(self, timeout_s: float) -> EncodedPacket | None:
        """Return the next packet; None where none came in time, or where the end is reached."""
        with self._condition:
            if not self._available() and not self._ended:
                self._condition.wait(timeout_s)
            if self._cursor is None or not self._available():
                return None
            packet = self._kept[self._cursor - self._first]
            self._cursor += 1
            self._handed = max(self._handed, self._cursor)
            self._trim()
            return packet

    def dump(self) -> None:
        """Forget all that was not handed out; whoever reads goes on with the next keyframe."""
        with self._condition:
            self._key = None
            self._trim()

    def end(self) -> None:
        """Say that no packet will follow."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    @property
    def _end(self) -> int:
        return self._first + len(self._kept)

    def _available(self) -> bool:
        return self._cursor is not None and self._cursor < self._end

    def _fall_back(self) -> None:
        """Bound what is kept: go on at the latest keyframe, or wait for the next."""
        if self._key is not None and self._key > self._first:
            if self._cursor is not None:
                self._cursor = max(self._cursor, self._key)
        else:
            self._key = None
            if self._cursor is not None:
                self._cursor = self._end
        self._trim()

    def _trim(self) -> None:
        """Forget what neither the reader nor a new connection will ask for."""
        if self._key is None:
            # Without a keyframe before them the packets that come are of no use.
            bound = self._end
            self._cursor = None if self._cursor is None else bound
        else:
            bound = self._key if self._cursor is None else min(self._key, self._cursor)
        while self._first < bound:
            self._kept.popleft()
            if self._first >= self._handed and self._begun:
                self._dropped += 1
            self._first += 1
        self._handed = max(self._handed, self._first)
