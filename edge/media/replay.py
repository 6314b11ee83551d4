"""Keeps a stream's packets instead of its pictures, and decodes them a second time.

    intake   packet ──► record ──► first decoder ──► picture ──► keep: its stamp, not its pixels
                          │
    writer              tape ────► second decoder ─► picture ──► take: only if the stamp is the same

The pictures that leave have to be the ones that were judged. That is not taken on trust from the
decoders: each picture's time, size and fingerprint are noted before it is looked at, and one that
does not come out of the second decoder just so is lost (alignment.py).
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import av
from av.packet import Packet

from edge.frame import Picture
from edge.media.alignment import Alignment, Stamp
from edge.media.decoders import PictureDecoder
from edge.media.fingerprint import fingerprint
from edge.media.normalise import Normaliser
from edge.media.picture import HostPicture, plane_views

_log = logging.getLogger(__name__)

_RAW: Final = frozenset({"rawvideo", "wrapped_avframe", "v210", "v308", "v408", "yuv4", "y41p"})
"""Codecs whose packets are as large as their pictures."""
SAME_TWICE_PX: Final = 1920 * 1088
"""Up to this size both decoders run in one thread each. With more, FFmpeg fills damaged parts of a
picture with what happens to lie in memory or in a neighbouring thread's picture, so that hardly one
comes out twice the same until the next keyframe; with one, all did (1,800 frames of real H.264 with
bytes flipped or packets missing). Larger pictures need the threads more."""
_SETTLED: Final = 64
"""Packets after which a decoder has given out what it makes of one: 16 pictures to reorder, 16
threads, and as much again on their way through hardware."""
_LEAD: Final = 8
"""Packets that hardware, which answers when it can, is given ahead of time."""
_AHEAD: Final = 16
"""Packets by which one decoder may be ahead of the other where hardware is involved."""
_PATIENCE_S: Final = 0.2
"""How long hardware may take for a picture all of whose packets it has."""
_POLL_S: Final = 0.002


class Replay:
    """The packets of one connection, and the second decoder of its pictures.

    `record` and `keep` are called by the thread that reads, in the order of the stream; what
    `keep` returns is used by those who write. Memory: the packets from the oldest picture that is
    still to be had on; where none is, the newest _SETTLED of them.
    """

    def __init__(self, decoder: PictureDecoder, *, by_dts: bool) -> None:
        """decoder: of the same stream, opened like the first one. by_dts: pictures are told apart
        by dts, since their pts are made up."""
        self._decoder, self._by_dts = decoder, by_dts
        self._normalise: Normaliser
        self._alignment = Alignment()
        self._tape: deque[Packet[Any] | None] = deque()
        self._recorded = self._played = 0
        self._kept_at = 0
        """How much was recorded when the newest picture was kept."""
        self._noting = threading.Lock()
        """Guards the above; never held for long."""
        self._decoding = threading.Lock()
        """Guards the second decoder, and:"""
        self._ready: dict[int, HostPicture] = {}
        self._early: deque[tuple[int, Stamp, HostPicture]] = deque()
        """What came out, and after which packet, before the first decoder's was kept: of one
        packet there may be several pictures, the first of which is taken already."""
        weakref.finalize(self, _let_go, decoder).atexit = False

    def normalise_with(self, normalise: Normaliser) -> None:
        """Set what is done to the second decoder's pictures, as to the first one's. Before any is
        kept."""
        self._normalise = normalise

    def record(self, packet: Packet[Any] | None) -> None:
        """Take what the first decoder is given next; None flushes."""
        with self._noting:
            self._tape.append(packet)
            self._recorded += 1
            behind = self._alignment.idle and len(self._tape) > _SETTLED
        if behind:  # nobody asks for pictures, so nobody plays the tape
            with self._decoding:
                self._play()

    def keep(self, raw: av.VideoFrame, picture: HostPicture) -> Kept:
        """Note a picture of the first decoder that is given out, before anybody looks at it."""
        stamp = self._stamp(raw, picture)
        with self._noting:
            self._kept_at = self._recorded
            return Kept(self, self._alignment.expect(stamp), self._recorded)

    def blank(self) -> HostPicture:
        """Return a picture like the stream's that shows nothing."""
        return HostPicture(self._normalise.blank())

    def prepare(self, serial: int, until: int) -> bool:
        """Give the second decoder one packet if a picture wants it; return whether it did."""
        with self._decoding:
            lead = _LEAD if self._decoder.answers_later else 0
            if not lead and self._is_settled(serial):
                return False
            return self._play_until(max(until, min(until + lead, self._kept_at)))

    def take(self, serial: int, until: int) -> HostPicture | None:
        """Play the tape up to a picture and return it; None where it is lost."""
        give_up: float | None = None
        with self._decoding:
            while not self._is_settled(serial):
                if self._play_until(until):
                    continue
                # A picture that does not come with its packet comes later, or never.
                more = self._play_until(min(until + _SETTLED, self._kept_at))
                if self._decoder.answers_later:
                    now = time.monotonic()
                    give_up = give_up or now + _PATIENCE_S
                    if now > give_up:
                        break
                    time.sleep(_POLL_S)
                    self._sort(self._decoder.poll)
                elif not more:
                    break
            found = self._ready.pop(serial, None)
            self._forget(serial)
            return found

    def drop(self, serial: int, until: int) -> None:
        """Play the tape past a picture that nobody wants: others depend on it."""
        with self._decoding:
            while not self._is_settled(serial) and self._play_until(until):
                pass
            self._forget(serial)

    # -- all below: with the second decoder in hand --------------------------------------------

    def _is_settled(self, serial: int) -> bool:
        """Whether a picture is ready, or lost."""
        self._sort_early()
        with self._noting:
            return self._alignment.is_over(serial)

    def _forget(self, serial: int) -> None:
        with self._noting:
            self._alignment.pass_over(serial)
        for old in [one for one in self._ready if one <= serial]:
            del self._ready[old]

    def _play_until(self, until: int) -> bool:
        return self._played < until and self._play()

    def _play(self) -> bool:
        """Give the second decoder the next packet. Return False where there is none."""
        with self._noting:
            if not self._tape:
                return False
            packet = self._tape.popleft()
            self._played += 1
        self._sort(lambda: self._decoder.decode(packet))
        return True

    def _sort(self, decode: Callable[[], Iterable[av.VideoFrame]]) -> None:
        """Keep those pictures that the first decoder gave out, too."""
        try:
            for raw in decode():
                picture = HostPicture(self._normalise(raw))
                self._early.append((self._played, self._stamp(raw, picture), picture))
                self._sort_early()
        except Exception as error:  # noqa: BLE001 - what does not come out is lost, which is safe
            # A damaged packet is refused a second time, after the same pictures.
            _log.debug("the second decoder: %s", type(error).__name__)

    def _sort_early(self) -> None:
        """Give pictures their places, and forget those that none is going to be kept for."""
        patience = _AHEAD if self._decoder.answers_later else 0
        waiting: deque[tuple[int, Stamp, HostPicture]] = deque()
        with self._noting:
            for played, stamp, picture in self._early:
                serial = self._alignment.place(stamp)
                if serial is not None:
                    self._ready[serial] = picture
                    waiting.clear()  # the first decoder gave out this one, but none of those
                elif self._recorded <= played + patience:
                    waiting.append((played, stamp, picture))
        self._early = waiting

    def _stamp(self, raw: av.VideoFrame, picture: HostPicture) -> Stamp:
        ticks = raw.dts if self._by_dts else raw.pts
        return Stamp(ticks, raw.width, raw.height, fingerprint(plane_views(picture.frame)))


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture on the tape; implements edge.frame.KeptPicture."""

    _replay: Replay
    _serial: int
    _until: int
    """Packets after which the first decoder gave it out."""

    def prepare(self) -> bool:
        """Decode one packet ahead."""
        return self._replay.prepare(self._serial, self._until)

    def take(self) -> HostPicture | None:
        """Decode the picture; None where the same one does not come out."""
        return self._replay.take(self._serial, self._until)

    def drop(self) -> None:
        """Decode past it."""
        self._replay.drop(self._serial, self._until)

    def blank(self) -> HostPicture:
        """Return a grey picture."""
        return self._replay.blank()


@dataclass(frozen=True, slots=True)
class Changed:
    """A kept picture that was changed before anybody looked at it: the same is done again."""

    kept: Any
    change: Callable[[HostPicture], Picture]

    def prepare(self) -> bool:
        """Decode one packet ahead."""
        return bool(self.kept.prepare())

    def take(self) -> Picture | None:
        """Decode the picture and change it."""
        picture = self.kept.take()
        return None if picture is None else self.change(picture)

    def drop(self) -> None:
        """Decode past it."""
        self.kept.drop()

    def blank(self) -> Picture:
        """Return a grey picture."""
        return self.change(self.kept.blank())


def is_worth_keeping(stream: av.VideoStream) -> bool:
    """Whether a stream's packets are smaller than its pictures."""
    return stream.codec_context.codec.canonical_name not in _RAW


def second_context(stream: av.VideoStream) -> av.VideoCodecContext:
    """Open a further decoder for a stream, set as its own one is."""
    # Only a stream can be made from another with all of its parameters, the number of pictures to
    # reorder among them, which a decoder that has to guess it learns too late for the first ones.
    holder = av.open(os.devnull, "w", format="null")
    first = stream.codec_context
    made = holder.add_stream_from_template(stream, opaque=True).codec_context
    made.thread_type, made.thread_count = first.thread_type, first.thread_count
    _copy_tag(first, made)
    return made


def _copy_tag(first: av.VideoCodecContext, made: av.VideoCodecContext) -> None:
    """Some decoders know by the container's tag which encoder's mistakes to mend."""
    try:
        tag = first.codec_tag
        if tag.strip("\0"):
            made.codec_tag = tag
    except (UnicodeError, ValueError):
        return  # a tag that is no text, which no decoder looks at


def _let_go(decoder: PictureDecoder) -> None:
    """Close hardware in a thread of its own: it may take a second, in whichever thread this is."""
    if decoder.answers_later:
        threading.Thread(target=decoder.close, name="let go", daemon=True).start()
