"""The sound of one stream on its way: held until it is judged, listened to, and cleared.

What edge.crew is for pictures. Used by files and live streams alike; they differ in who waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from edge.errors import SourceError
from edge.lanes.lane import Findings
from edge.lanes.sound_worker import SoundWorker
from edge.lanes.worker import LaneEvent
from edge.sound import SoundBlock
from edge.sound_gate import ClearedSound, SoundLine
from edge.speech.resample import SpeechResampler

_WAIT_S: Final = 0.1
_PIECE_S: Final = 0.25
"""Sound is taken in pieces no longer than this: one that is as long as the line would be all that
the line holds, and a verdict on it may need the sound after it."""

SoundWorkerFactory: TypeAlias = Callable[
    [Callable[[str, Findings], None], Callable[[LaneEvent], None]], SoundWorker
]
"""Makes the speech lane's worker, given where findings and events go."""


class Listening:
    """A line of sound and the lane that judges it.

    The taking methods belong to the thread that reads, the others to the one that writes; those
    that say so want `changed` held.
    """

    def __init__(
        self,
        make: SoundWorkerFactory,
        line: SoundLine,
        changed: threading.Condition,
        *,
        on_event: Callable[[LaneEvent], None],
    ) -> None:
        """changed: guards the line, and is notified when something can leave or come in."""
        self._changed = changed
        self._line = line
        self._resampler = SpeechResampler()
        self.worker = make(self._hear, on_event)
        self.dropped_s = 0.0
        """Seconds of live sound that never left, since too much waited."""

    def start(self) -> None:
        """Start listening."""
        self.worker.start()

    def take(self, block: SoundBlock, give_up: Callable[[], bool]) -> None:
        """Take a file's next sound; waits while there is no room, unless `give_up` says to stop.

        Raises SourceError for sound of a rate that cannot be listened to.
        """
        for piece in _pieces(block):
            with self._changed:
                while self._line.full:
                    if give_up():
                        return
                    self._changed.wait(_WAIT_S)
                self._line.append(piece)
            for heard in self._resampled(piece):
                self.worker.submit(heard, give_up)

    def take_live(self, block: SoundBlock) -> None:
        """Take a live source's next sound, without waiting. Raises SourceError as `take` does."""
        for piece in _pieces(block):
            with self._changed:
                while self._line.full:
                    before = self._line.seconds
                    self._line.drop()
                    self.dropped_s += before - self._line.seconds
                self._line.append(piece)
            for heard in self._resampled(piece):
                self.worker.put(heard)

    def pause(self) -> None:
        """The signal is lost."""
        for piece in self._resampler.flush():
            self.worker.put(piece)
        self.worker.pause()

    def end(self, give_up: Callable[[], bool]) -> None:
        """No more sound will come."""
        for piece in self._resampler.flush():
            self.worker.submit(piece, give_up)
        with self._changed:
            self._line.end()
        self.worker.end()

    def release(self) -> list[ClearedSound]:
        """Return a file's sound that has been judged. The caller holds `changed`."""
        cleared = self._line.release(self.worker)
        if cleared:
            self._changed.notify_all()
        return cleared

    def due(self, on_air: float) -> list[ClearedSound]:
        """Return live sound up to this pts, judged or silent. The caller holds `changed`."""
        return self._line.due(on_air, self.worker)

    @property
    def waiting(self) -> bool:
        """Whether sound is held. The caller holds `changed`."""
        return len(self._line) > 0

    def mouths(self, pts: float, *, overdue: bool) -> bool | None:
        """Whether mouths have to be hidden in the picture at pts; None: not known yet.

        The caller holds `changed`.
        """
        return self._line.mouths(pts, self.worker, overdue=overdue)

    def leave(self, pts: float) -> None:
        """The picture of this pts and all before it have left."""
        with self._changed:
            self._line.forget(pts)
            before = min(pts, self._line.left_to)
        self.worker.forget(before)

    def _resampled(self, piece: SoundBlock) -> list[SoundBlock]:
        try:
            return self._resampler.push(piece)
        except ValueError as error:
            raise SourceError(f"{error}. Convert it to 48000 Hz first.") from error

    def _hear(self, _lane: str, findings: Findings) -> None:
        with self._changed:
            self._line.learn(findings)
            self._changed.notify_all()


def _pieces(block: SoundBlock) -> Iterator[SoundBlock]:
    """Yield a block in pieces of at most _PIECE_S, without copying."""
    n, rate = block.samples.shape[1], block.rate
    step = max(1, round(_PIECE_S * rate))
    if n <= step:
        yield block
        return
    for at in range(0, n, step):
        part = block.samples[:, at : at + step]
        yield SoundBlock(block.pts + at / rate, part, rate, lost=block.lost and at == 0)


ListeningFactory: TypeAlias = Callable[
    [threading.Condition, Callable[[LaneEvent], None]], Listening
]
"""Makes what listens to one stream, given what guards it and where events go."""
