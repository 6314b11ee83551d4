"""The delay line and the gate for sound: what may be heard, and when. Pure: no threads, no clock.

What edge.delay is for frames, for samples. Sound leaves redacted when the speech lane's knowledge
is complete up to its end and the length of a fade beyond. Where it cannot wait, as much of it as
has been judged leaves redacted, and the rest silent. What the lane was blind for is silent.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from edge.lanes.lane import Findings
from edge.redact.audio import FADE_S, SoundEffect, SoundRedactor, Span, mute
from edge.sound import SampleClock, Samples, SoundBlock, SoundSpan, SpanSource

_EPSILON_S = 1e-9
_EPSILON_SAMPLES = 1e-3
"""A pts that was once a sample's number may sit one rounding beside it."""
_ROOMY = 0.75
"""Share of its length below which it is worth waking whoever waits to fill the line."""


@dataclass(frozen=True, slots=True)
class ClearedSound:
    """Sound that may leave. spoken_s: seconds of it that private words were hidden in, muted_s:
    seconds that are silent since nobody could judge them; both without fades."""

    pts: float
    samples: Samples = field(repr=False)
    rate: int
    spoken_s: float = 0.0
    muted_s: float = 0.0
    broken: bool = False
    """Muted whole, since redaction failed."""


@dataclass(frozen=True, slots=True)
class _Held:
    first: int
    samples: Samples
    rate: int

    @property
    def pts(self) -> float:
        return self.first / self.rate

    @property
    def end(self) -> float:
        return (self.first + len(self.samples[0])) / self.rate


class SoundLine:
    """One stream's sound, in order, until it may leave. Not thread-safe: under the caller's lock.

    The length is a bound, not a delay. A file's reader waits while it is `full`; it has to be
    longer than what the lane needs before its horizon moves. Of a live source the oldest sound is
    dropped, which has been due for long.
    """

    def __init__(
        self, effect: SoundEffect | str, seconds: float, *, mouth_window_s: float = 0.0
    ) -> None:
        """seconds: the length. mouth_window_s: how long mouths are hidden beside private words,
        half before and half after.

        Raises ValueError for an unknown effect or a length that is not positive.
        """
        if not seconds > 0:
            raise ValueError("a line of sound needs a positive length")
        self._effect = SoundEffect(effect)
        self._seconds = seconds
        self._window_s = mouth_window_s
        self._held: deque[_Held] = deque()
        self._clock: SampleClock | None = None
        self._redactor: SoundRedactor | None = None
        self._horizon = self._firm = -math.inf
        self._blind: list[tuple[float, float]] = []
        self._late: list[tuple[float, float]] = []
        """Stretches that left silent since they could not wait."""
        self._begun: list[SoundSpan] = []
        """Spans that have begun to be hidden: they end as announced, whatever is said later."""
        self.left_to = -math.inf
        """Sound up to here has left (pts)."""
        self._newest = -math.inf
        self._ended = False
        self._forgotten = -math.inf

    def __len__(self) -> int:
        return len(self._held)

    @property
    def seconds(self) -> float:
        """How much waits: from the beginning of the oldest to the end of the newest."""
        return self._held[-1].end - self._held[0].pts if self._held else 0.0

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may; one block always fits."""
        return bool(self._held) and self.seconds >= self._seconds

    @property
    def roomy(self) -> bool:
        """Whether enough is free that filling it again is worth a start."""
        return not self._held or self.seconds <= self._seconds * _ROOMY

    def append(self, block: SoundBlock) -> None:
        """Add the newest sound. What comes for a time that has sound already is cut: the lane
        was not asked about it. Raises OverflowError when full."""
        if self.full:
            raise OverflowError("the line of sound is full")
        if self._clock is None or self._clock.rate != block.rate:
            clock = SampleClock(block.rate)
            if self._newest > -math.inf:
                clock.next = math.ceil(self._newest * block.rate)
            self._clock = clock
        first, cut = self._clock.place(block.pts, block.samples.shape[1])
        samples = block.samples[:, cut:]
        if samples.shape[1]:
            self._held.append(_Held(first, samples, block.rate))
            self._newest = self._held[-1].end

    def drop(self) -> None:
        """Remove the oldest sound: it never leaves. Does nothing to an empty line."""
        if self._held:
            self.left_to = self._held.popleft().end

    def end(self) -> None:
        """No more sound will come. What the lane is blind for after it is of no interest."""
        self._ended = True

    def learn(self, findings: Findings) -> None:
        """Take what the lane has published. Raises ValueError where it does not know the time."""
        for start, end in findings.blind:
            if not start <= end:  # also refuses NaN
                raise ValueError(f"a blind stretch from {start} to {end} is not a stretch")
            self._blind.append((start, end))
        if math.isnan(findings.horizon) or math.isnan(findings.firm):
            raise ValueError("the speech lane gave NaN as its horizon")
        self._horizon = max(self._horizon, findings.horizon)
        self._firm = max(self._firm, self._horizon, findings.firm)

    def release(self, source: SpanSource) -> list[ClearedSound]:
        """Return what has been judged, in order. For a file: what has not been waits."""
        cleared = []
        while self._held and self._held[0].end + FADE_S <= self._horizon:
            cleared.append(self._clear(self._held.popleft(), source, unsure=False))
        return cleared

    def due(self, on_air: float, source: SpanSource) -> list[ClearedSound]:
        """Return what has to leave now: all that ends at or before `on_air` (pts)."""
        cleared = []
        while self._held and self._held[0].end <= on_air:
            held = self._held.popleft()
            hurried = held.end + FADE_S > self._horizon
            if held.end + FADE_S > self._firm:
                # What left before it was judged a fade further, so that there is room for one. It
                # may begin in this block and end in the next: then that has to end it.
                start = max(self._firm, held.pts - FADE_S)
                self._late.append((start, max(held.end, start + 1 / held.rate)))
            cleared.append(self._clear(held, source, unsure=hurried))
            self._late = [one for one in self._late if one[1] + FADE_S > held.end]
        return cleared

    def mouths(self, pts: float, source: SpanSource, *, overdue: bool = False) -> bool | None:
        """Return whether mouths have to be hidden in the picture at pts, or None: not known yet.

        They are while private words are said, some time before and after, and where nobody knows
        what is said. overdue: the picture cannot wait.
        """
        start, end = pts - self._window_s / 2, pts + self._window_s / 2
        if not math.isfinite(pts) or pts < self._forgotten:
            return True
        unsure = end > self._horizon
        if unsure and not overdue:
            return None
        if end > self._firm:
            return True
        if any(a <= end and b >= start and not self._is_after_all(a) for a, b in self._blind):
            return True
        return bool(source.spans(start, end, unsure=unsure))

    def forget(self, before: float) -> None:
        """Pictures before this pts have left; what sound still needs is kept by itself."""
        self._forgotten = max(self._forgotten, before)
        old = min(before - self._window_s / 2, self.left_to - FADE_S)
        self._blind = [one for one in self._blind if one[1] >= old]

    def _is_after_all(self, start: float) -> bool:
        """Whether a stretch begins when there is no sound any more."""
        return self._ended and start >= self._newest - _EPSILON_S

    def _clear(self, held: _Held, source: SpanSource, *, unsure: bool) -> ClearedSound:
        samples, n = held.samples, held.samples.shape[1]
        self.left_to = held.end
        try:
            redactor = self._redactor_for(held)
            near = source.spans(held.pts - FADE_S, held.end + FADE_S, unsure=unsure)
            self._begun = [one for one in self._begun if one.end + FADE_S > held.pts]
            self._begun += [one for one in near if one not in self._begun]
            spans = [_numbers(one.start, one.end, held.rate) for one in self._begun]
            muted = [
                _numbers(start, end, held.rate)
                for start, end in (*self._blind, *self._late)
                if not self._is_after_all(start)  # there is nothing to fade out for
            ]
            heard = redactor.redact(samples, held.first, spans, muted)
        except Exception:  # noqa: BLE001 - part of it may be hidden, part not
            self._redactor = None
            return ClearedSound(
                held.pts, mute(samples), held.rate, muted_s=n / held.rate, broken=True
            )
        spoken_n = _covered(spans, held.first, n)
        muted_n = _covered(spans + muted, held.first, n) - spoken_n
        return ClearedSound(held.pts, heard, held.rate, spoken_n / held.rate, muted_n / held.rate)

    def _redactor_for(self, held: _Held) -> SoundRedactor:
        now = self._redactor
        shape = (held.rate, len(held.samples))
        if now is None or (now.sample_rate, now.channels) != shape:
            now = self._redactor = SoundRedactor(self._effect, *shape)
        return now


def _numbers(start: float, end: float, rate: int) -> Span:
    """Return the samples that are heard from start to end (pts)."""
    far = 1e12  # of samples: longer than any stream, and still exact in float64
    first = math.floor(min(max(start * rate + _EPSILON_SAMPLES, -far), far))
    return first, math.ceil(min(max(end * rate - _EPSILON_SAMPLES, -far), far))


def _covered(spans: list[Span], first: int, n: int) -> int:
    """Count the samples of a block that lie in any span."""
    count, done = 0, first
    for start, end in sorted(spans):
        a, b = max(start, done), min(end, first + n)
        if a < b:
            count += b - a
            done = b
    return count
