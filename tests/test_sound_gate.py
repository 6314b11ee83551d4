"""The line of sound: no sample leaves that was not judged, none that is private, and none clicks.

The signal is 1 throughout, so that every sample that leaves tells how much of it is heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.lanes.lane import Findings
from edge.redact.audio import FADE_S, fade_samples
from edge.sound import Samples, SoundBlock, SoundSpan
from edge.sound_gate import ClearedSound, SoundLine

RATE = 8_000
INF = math.inf
STEEPEST = math.pi / 2 / fade_samples(RATE)


@dataclass
class Said:
    """Implements SpanSource: what the test wants to be private."""

    sure: list[SoundSpan] = field(default_factory=list)
    maybe: list[SoundSpan] = field(default_factory=list)
    broken: bool = False

    def spans(self, start: float, end: float, *, unsure: bool = False) -> Sequence[SoundSpan]:
        if self.broken:
            raise RuntimeError("the lane is gone")
        known = self.sure + (self.maybe if unsure else [])
        return [one for one in known if one.start <= end and one.end >= start]


def ones(n: int, channels: int = 1) -> Samples:
    return np.ones((channels, n), np.float32)


def block(start: float, seconds: float, rate: int = RATE) -> SoundBlock:
    return SoundBlock(start, ones(round(seconds * rate)), rate)


def span(start: float, end: float) -> SoundSpan:
    return SoundSpan(start, end, None, 1.0)


def heard(pieces: Sequence[ClearedSound]) -> Samples:
    return np.concatenate([piece.samples[0] for piece in pieces])


class LiveSound(RuleBasedStateMachine):
    """Sound, knowledge and deadlines in any order; a reference that remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.line = SoundLine("silence", 1_000.0)
        self.said = Said()
        self.samples = 0
        self.left = 0
        self.horizon = self.firm = -INF
        self.blind: list[tuple[float, float]] = []
        self.last: float | None = None

    @property
    def end(self) -> float:
        return self.samples / RATE

    @rule(n=st.integers(1, 900))
    def sound_comes(self, n: int) -> None:
        self.line.append(SoundBlock(self.end, ones(n), RATE))
        self.samples += n

    @rule(
        step=st.floats(0, 0.2),
        lead=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
        blind=st.sampled_from([None, None, 0.0, 0.03]),
        length=st.floats(0, 0.1),
        turns_out=st.booleans(),
    )
    def lane_speaks(
        self, step: float, lead: float, blind: float | None, length: float, turns_out: bool
    ) -> None:
        start = max(self.horizon, 0.0)
        if blind is not None:
            # In time: what has not been told of yet, not even as firm.
            first = max(start, self.firm, 0.0) + blind + 1e-9
            stretch = ((first, first + length),)
            self.blind.extend(stretch)
        else:
            stretch = ()
        self.horizon = start + step
        self.firm = max(self.firm, self.horizon + lead)
        # Doubts are settled before the horizon passes them.
        settled = [one for one in self.said.maybe if one.start < self.horizon]
        self.said.maybe = [one for one in self.said.maybe if one not in settled]
        if turns_out:
            self.said.sure += settled
        self.line.learn(Findings(self.horizon, stretch, self.firm))

    @precondition(lambda self: self.firm > -INF)
    @rule(wait=st.floats(0, 0.1), length=st.floats(0.001, 0.2), sure=st.booleans())
    def something_private_is_said(self, wait: float, length: float, sure: bool) -> None:
        one = span(self.firm + wait, self.firm + wait + length)
        (self.said.sure if sure else self.said.maybe).append(one)

    @rule()
    def file_takes_what_is_judged(self) -> None:
        self._check(self.line.release(self.said), self.horizon, self.said.sure)

    @rule(back=st.floats(0, 0.3))
    def deadline_passes(self, back: float) -> None:
        self._check(
            self.line.due(self.end - back, self.said),
            self.firm,
            self.said.sure,
            (self.horizon, self.said.maybe),
        )

    @rule()
    def old_things_are_forgotten(self) -> None:
        self.line.forget(self.left / RATE)

    def _check(
        self,
        pieces: Sequence[ClearedSound],
        judged_to: float,
        spans: Sequence[SoundSpan],
        doubts: tuple[float, Sequence[SoundSpan]] = (INF, ()),
    ) -> None:
        for piece in pieces:
            assert piece.pts == self.left / RATE, "in order, and nothing is left out"
            assert not piece.broken
            gain = piece.samples[0].astype(np.float64)
            times = (self.left + np.arange(len(gain))) / RATE
            secret = times > judged_to + 1e-6
            inner = 1e-6
            for one in spans:
                secret |= (times > one.start + inner) & (times < one.end - inner)
            for one in doubts[1]:
                if times[-1] > doubts[0]:
                    secret |= (times > one.start + inner) & (times < one.end - inner)
            for start, end in self.blind:
                secret |= (times > start + inner) & (times < end - inner)
            assert not gain[secret].any(), "what may not be heard is heard"
            assert gain.min() >= 0
            assert gain.max() <= 1
            steps = np.diff(gain if self.last is None else np.append(self.last, gain))
            if len(steps):
                assert np.abs(steps).max() <= STEEPEST + 1e-6, "it clicks"
            self.last = float(gain[-1])
            self.left += len(gain)

    @invariant()
    def nothing_is_late_for_ever(self) -> None:
        assert self.line.seconds <= (self.samples - self.left) / RATE + 1e-9


TestLiveSound = LiveSound.TestCase
TestLiveSound.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_all_that_is_judged_leaves_as_it_is() -> None:
    line, said = SoundLine("beep", 10.0), Said()
    for n in range(20):
        line.append(block(n / 10, 0.1))
    assert not line.release(said)
    line.learn(Findings(1.0))
    pieces = line.release(said)
    assert pieces[-1].pts == pytest.approx(0.8), "one fade before the horizon is the end"
    assert np.array_equal(heard(pieces), ones(round(0.9 * RATE))[0])
    assert sum(piece.spoken_s + piece.muted_s for piece in pieces) == 0
    line.end()
    line.learn(Findings(INF, ((2.0, INF),)))
    assert np.array_equal(heard(line.release(said)), ones(round(1.1 * RATE))[0]), "no fade out"


def test_private_words_are_replaced_and_counted() -> None:
    line, said = SoundLine("beep", 10.0), Said([span(0.5, 0.9)])
    for n in range(20):
        line.append(block(n / 10, 0.1))
    line.learn(Findings(INF))
    pieces = line.release(said)
    out = heard(pieces)
    assert sum(piece.spoken_s for piece in pieces) == pytest.approx(0.4)
    assert 0.2 < np.abs(out[round(0.6 * RATE) : round(0.8 * RATE)]).max() < 0.26
    assert np.array_equal(out[: round(0.48 * RATE)], ones(round(0.48 * RATE))[0])


def test_what_cannot_wait_leaves_silent_and_sound_comes_back() -> None:
    line, said = SoundLine("beep", 10.0), Said()
    for n in range(10):
        line.append(block(n / 10, 0.1))
    line.learn(Findings(0.25))
    first = line.due(0.6, said)
    out = heard(first)
    assert out[: round((0.25 - FADE_S) * RATE)].min() == 1
    assert not out[round(0.25 * RATE) :].any()
    assert sum(piece.muted_s for piece in first) == pytest.approx(0.35)
    line.learn(Findings(INF))
    rest = heard(line.due(1.0, said))
    assert rest[0] < 0.01
    assert rest[round(FADE_S * RATE) + 1 :].min() == 1


def test_without_a_model_all_is_silent() -> None:
    line, said = SoundLine("beep", 10.0), Said()
    line.learn(Findings(INF, ((-INF, INF),)))
    for n in range(5):
        line.append(block(n / 10, 0.1))
    pieces = line.release(said)
    assert len(pieces) == 5
    assert not heard(pieces).any()
    assert line.mouths(0.2, said)


def test_hurried_sound_hides_what_may_turn_out_private() -> None:
    line = SoundLine("silence", 10.0)
    said = Said([], [span(0.4, 0.6)])
    for n in range(10):
        line.append(block(n / 10, 0.1))
    line.learn(Findings(0.3, (), firm=2.0))
    out = heard(line.due(0.5, said))
    assert not out[round(0.4 * RATE) :].any()
    said.maybe.clear()  # it was nothing; but what has begun ends as it was announced
    rest = heard(line.due(1.0, said))
    assert not rest[: round(0.1 * RATE)].any()
    assert rest[round(0.12 * RATE) :].min() == 1


def test_failing_redaction_silences_the_block() -> None:
    line, said = SoundLine("beep", 10.0), Said(broken=True)
    line.append(block(0.0, 0.1))
    line.append(block(0.1, 0.1))
    line.learn(Findings(INF))
    pieces = line.release(said)
    assert [piece.broken for piece in pieces] == [True, True]
    assert not heard(pieces).any()
    assert pieces[0].muted_s == pytest.approx(0.1)


def test_sound_for_a_time_that_is_filled_is_never_heard() -> None:
    """The lane was not asked about it: its times lie before the horizon, but it is not judged."""
    line, said = SoundLine("beep", 10.0), Said()
    line.append(block(0.0, 1.0))
    line.append(block(0.5, 1.0))
    line.append(block(0.2, 0.3))
    assert len(line) == 2
    assert line.seconds == pytest.approx(1.5)
    line.learn(Findings(INF))
    pieces = line.release(said)
    assert [(p.pts, p.samples.shape[1]) for p in pieces] == [(0.0, RATE), (1.0, RATE // 2)]


def test_rate_and_channels_may_change() -> None:
    line, said = SoundLine("beep", 10.0), Said([span(0.9, 1.1)])
    line.append(block(0.0, 1.0))
    line.append(SoundBlock(1.0, ones(48_000, 2), 48_000))
    line.append(SoundBlock(1.5, ones(44_100, 2), 44_100))
    line.learn(Findings(INF))
    pieces = line.release(said)
    assert [piece.rate for piece in pieces] == [RATE, 48_000, 44_100]
    assert not any(piece.broken for piece in pieces)
    assert pieces[2].pts == pytest.approx(2.0, abs=1e-4)
    assert np.abs(pieces[1].samples[:, :4_000]).max() < 0.26


def test_line_is_bounded() -> None:
    line = SoundLine("beep", 1.0)
    assert line.roomy
    assert not line.full
    for n in range(10):
        line.append(block(n / 10, 0.1))
    assert line.full
    assert not line.roomy
    with pytest.raises(OverflowError):
        line.append(block(1.0, 0.1))
    line.drop()
    line.append(block(1.0, 0.1))
    for _ in range(20):
        line.drop()
    assert not len(line)
    one_for_all = SoundLine("beep", 1.0)
    one_for_all.append(block(0.0, 5.0))
    assert one_for_all.full


def test_mouths_wait_for_the_words_and_are_hidden_beside_them() -> None:
    line, said = SoundLine("beep", 10.0, mouth_window_s=0.4), Said([span(1.0, 1.5)])
    line.append(block(0.0, 3.0))
    assert line.mouths(0.0, said) is None
    assert line.mouths(0.0, said, overdue=True) is True
    line.learn(Findings(2.0, ((1.8, 1.9),), firm=2.5))
    assert line.mouths(0.5, said) is False
    assert [line.mouths(t, said) for t in (0.79, 0.81, 1.2, 1.69)] == [False, True, True, True]
    assert line.mouths(1.75, said) is True, "nobody knows what is said near"
    assert line.mouths(1.85, said) is None
    said.maybe.append(span(2.2, 2.4))
    assert line.mouths(2.2, said, overdue=True) is True
    said.maybe.clear()
    assert line.mouths(2.2, said, overdue=True) is False
    line.forget(1.7)
    assert line.mouths(1.6, said) is True
    assert line.mouths(NAN, said) is True
    line.learn(Findings(INF, ((math.nextafter(3.0, INF), INF),)))
    assert line.mouths(3.1, said) is True
    line.end()
    assert line.mouths(3.1, said) is False, "where there is no sound nothing is said"


NAN = float("nan")


def test_nonsense_is_refused() -> None:
    line = SoundLine("beep", 1.0)
    for findings in (
        Findings(NAN),
        Findings(0, (), NAN),
        Findings(0, ((2, 1),)),
        Findings(0, ((NAN, 1),)),
    ):
        with pytest.raises(ValueError, match=r"."):
            line.learn(findings)
    for effect, seconds in (("beep", 0.0), ("beep", NAN), ("hum", 1.0)):
        with pytest.raises(ValueError, match=r"."):
            SoundLine(effect, seconds)
