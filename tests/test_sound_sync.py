"""Sound that follows drifting clocks: in sync for hours, without a jump, and as clean as before."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.clockwork import Timeline
from edge.lanes.lane import Findings
from edge.media.live_sound import SoundTrack
from edge.sound import Samples, SoundBlock, SoundSpan
from edge.sound_gate import SoundLine
from edge.sound_sync import MAX_STRETCH, SoundSync, Stretcher

RATE = 48_000
FPS = 30.0
BLOCK = 1024
"""Samples of an AAC packet."""
HOUR_S = 3600.0


def sine(hz: float, samples: int, first: int = 0) -> Samples:
    at = np.arange(first, first + samples)
    return np.sin(2 * np.pi * hz / RATE * at)[None].astype(np.float32)


# --- the resampler --------------------------------------------------------------------------


@pytest.mark.parametrize("ppm", [-5000, -500, -200, 1, 200, 500, 5000])
@pytest.mark.parametrize(("hz", "least_db"), [(100, 90), (1000, 90), (10_000, 90), (18_000, 85)])
def test_a_tone_stays_the_tone_that_the_ratio_makes_of_it(
    ppm: float, hz: float, least_db: float
) -> None:
    stretcher, tone = Stretcher(1), sine(hz, 2 * RATE)
    parts = [
        stretcher.push(tone[:, at : at + BLOCK], ppm * 1e-6)
        for at in range(0, tone.shape[1], BLOCK)
    ]
    made = np.concatenate([*parts, stretcher.flush()], axis=1)[0]
    wanted = np.sin(2 * np.pi * hz / RATE / (1 + ppm * 1e-6) * np.arange(len(made)))
    inner = slice(64, -64)  # the tone begins and ends there, which no filter leaves as it was
    noise = np.mean((made - wanted)[inner] ** 2)
    assert 10 * np.log10(np.mean(wanted[inner] ** 2) / noise) > least_db
    assert len(made) == pytest.approx(tone.shape[1] * (1 + ppm * 1e-6), abs=2)


def test_what_need_not_be_stretched_stays_as_it_is() -> None:
    sync, noise = SoundSync(RATE), np.random.default_rng(1).standard_normal((2, 20 * BLOCK))
    tape = noise.astype(np.float32)
    out = [
        block
        for n in range(20)
        for block in sync.take(7.0000071 + n * BLOCK / RATE, tape[:, n * BLOCK :][:, :BLOCK])
    ]
    out += sync.restart()
    heard = np.concatenate([samples for _, samples in out], axis=1)
    assert heard.shape == tape.shape
    assert np.abs(heard - tape).max() < 1e-6
    assert sync.shift_s == pytest.approx(0, abs=1e-9)


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=30),
    st.lists(st.floats(-MAX_STRETCH, MAX_STRETCH), min_size=30, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_however_it_is_cut_and_stretched_a_tone_never_jumps(
    sizes: list[int], stretches: list[float]
) -> None:
    """No step between two samples is steeper than that of the tone itself at its highest pitch."""
    stretcher, at, parts = Stretcher(1), 0, []
    for size, stretch in zip(sizes, stretches, strict=False):
        parts.append(stretcher.push(sine(1000, size, at), stretch))
        at += size
    made = np.concatenate(parts, axis=1)[0]
    steepest = 2 * np.pi * 1000 / RATE * (1 + 2 * MAX_STRETCH)
    assert np.abs(np.diff(made[32:])).max(initial=0) <= steepest


# --- hours of drift -------------------------------------------------------------------------


class World:
    """A camera with two clocks of its own: that of its times, and that of its sound card.

    drift: share by which the camera's seconds are longer than ours. card: the same for what its
    sound card takes for a second, against the camera's. Times of sound are rounded to `grain_s`.
    Only times count here, so that the sound has few samples.
    """

    RATE = 400

    def __init__(
        self, drift: float, card: float, *, jitter_s: float = 0.0, grain_s: float = 0.0
    ) -> None:
        self.drift, self.card = drift, card
        self.jitter_s, self.grain_s = jitter_s, grain_s
        self.luck = random.Random(1)
        self.timeline, self.sync = Timeline(), SoundSync(self.RATE)
        self.lags: list[tuple[float, float]] = []
        """(camera's time, seconds from a picture's arrival back to its place) of pictures."""
        self.sound: list[tuple[float, int]] = []
        """(when they are heard, samples) of what was given out."""
        self.lips: list[tuple[float, float]] = []
        """(camera's time, seconds by which sound is later than its picture)."""

    def run(self, hours: float, block_s: float, fps: float) -> World:
        end, frame, heard = hours * HOUR_S, 0, 0
        block = np.zeros((1, round(block_s * self.RATE)), np.float32)
        while (pts := frame / fps) < end:
            now = pts * (1 + self.drift) + self.luck.random() * self.jitter_s
            self.lags.append((pts, now - self.timeline.place(pts, now, 1 / fps)))
            frame += 1
            while (spoken := self.told(heard)) <= pts:
                at = self.timeline.sound(
                    round(spoken / self.grain_s) * self.grain_s if self.grain_s else spoken
                )
                assert at is not None
                blocks = self.sync.take(at, block)
                self.sound += [(when, samples.shape[1]) for when, samples in blocks]
                heard += block.shape[1]
                self._watch_lips(pts, self.told(heard))
        return self

    def told(self, heard: int) -> float:
        """When the card's sample of this number is heard by the camera's clock."""
        return heard / self.RATE * (1 + self.card)

    def _watch_lips(self, pts: float, spoken: float) -> None:
        """Compare where the next sample will be heard with where it belongs."""
        stretcher, there = self.sync._stretcher, self.timeline.sound(spoken)
        assert stretcher is not None
        assert there is not None
        when, made = self.sound[-1]
        self.lips.append((pts, when + (made + stretcher.pending) / self.RATE - there))


@pytest.mark.parametrize(("drift_ppm", "card_ppm"), [(200, 150), (-200, 50)])
def test_after_hours_of_drift_nothing_has_grown_starved_or_jumped(
    drift_ppm: float, card_ppm: float
) -> None:
    """8 hours at 200 ppm are 5.8 s, and 4.3 s more or less for the sound card."""
    world = World(drift_ppm * 1e-6, card_ppm * 1e-6, jitter_s=0.005, grain_s=0.001)
    world.run(8, block_s=0.8, fps=2.5)
    lags = np.array([lag for at, lag in world.lags if at > 120])
    assert lags.max() < 0.010, "the delay grows"
    assert lags.min() > -0.005, "it starves"
    assert world.sync.jumps == 0
    # Sample after sample, without a hole: that is what the gate and the encoder count.
    assert all(
        b[0] == pytest.approx(a[0] + a[1] / World.RATE, abs=1e-6)
        for a, b in itertools.pairwise(world.sound)
    )
    lips = np.array([late for at, late in world.lips if at > 120])
    assert np.abs(lips).max() < 0.005, "the lips are not in sync"
    # A card of slow seconds gives fewer samples: they are stretched; the other way round squeezed.
    stretched = world.sync.shift_s / (8 * HOUR_S) * 1e6
    assert stretched == pytest.approx(drift_ppm + card_ppm, abs=3)
    assert world.timeline.drift * 1e6 == pytest.approx(drift_ppm, abs=60)


@given(
    st.floats(-300e-6, 300e-6),
    st.floats(-300e-6, 300e-6),
    st.sampled_from([0.0, 0.005, 0.05]),
    st.sampled_from([0.0, 0.001]),
)
@settings(max_examples=10, deadline=None)
def test_whatever_the_clocks_do_sound_stays_with_its_picture(
    drift: float, card: float, jitter_s: float, grain_s: float
) -> None:
    world = World(drift, card, jitter_s=jitter_s, grain_s=grain_s).run(0.25, 0.25, 10)
    assert world.sync.jumps == 0
    assert max(abs(late) for _, late in world.lips) < 1 / FPS
    lags = [lag for at, lag in world.lags if at > 120]
    assert max(lags) < jitter_s + 0.010
    assert min(lags) > -0.020


def test_a_hole_stays_a_hole_and_an_overlap_is_cut() -> None:
    sync, block = SoundSync(RATE), np.ones((2, 4800), np.float32)
    out = sync.take(1.0, block) + sync.take(1.1, block)
    out += sync.take(2.0, block)  # 0.8 s are missing
    out += sync.take(2.05, block)  # 50 ms come twice
    out += sync.take(1.5, block)  # all of it was there before
    out += sync.restart() + sync.take(5.0, block) + sync.restart()
    assert sync.jumps == 3
    ends = [at + samples.shape[1] / RATE for at, samples in out]
    starts = [at for at, _ in out]
    assert all(b >= a - 1e-9 for a, b in zip(ends, starts[1:], strict=False)), "it overlaps"
    for start, end in ((1.0, 1.2), (2.0, 2.15), (5.0, 5.1)):
        there = sum(samples.shape[1] for at, samples in out if start - 1e-6 <= at < end)
        assert there == round((end - start) * RATE)


@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("grain_s", [0.0, 0.001])
def test_a_tone_through_the_whole_way_is_one_tone(ppm: float, grain_s: float) -> None:
    """997 Hz from a camera whose clock is off, perhaps with millisecond times as in RTMP, through
    the gate and the encoder's track, which count samples and would cut or fill: at 200 ppm 20 ms
    every 100 s."""
    hz, seconds = 997.0, 150.0
    timeline, sync = Timeline(), SoundSync(RATE)
    line, track = SoundLine("silence", 60.0), SoundTrack(0.0, 60.0)
    parts: list[Samples] = []
    frame = heard = 0
    while (pts := frame / FPS) < seconds:
        placed = timeline.place(pts, pts * (1 + ppm * 1e-6), 1 / FPS)
        parts += [block for _, block in track.advance(placed)]
        frame += 1
        while heard / RATE <= pts:
            told = round(heard / RATE / grain_s) * grain_s if grain_s else heard / RATE
            at = timeline.sound(told)
            assert at is not None
            for when, made in sync.take(at, 0.5 * sine(hz, BLOCK, heard)):
                line.append(SoundBlock(when, made, RATE))
                line.learn(Findings(when, firm=when))
                for one in line.release(NOTHING_SAID):
                    parts += [block for _, block in track.write(one.samples, one.pts)]
            heard += BLOCK
    made = np.concatenate(parts, axis=1)[0].astype(np.float64)
    assert track.late == sync.jumps == 0
    assert len(made) / RATE > seconds - 1
    # Of a tone, the sum of a sample's neighbours is the sample times a constant. A cut of a single
    # sample would be off by 0.06; a pitch that is off by 200 ppm is by 4e-6.
    rate = 2 * np.pi * hz / RATE
    steps = made[2:] + made[:-2] - 2 * np.cos(rate) * made[1:-1]
    assert np.abs(steps[64:]).max() < 1e-5
    seconds_of_it = made[60 * RATE :][: 80 * RATE].reshape(-1, RATE)
    noises = [noise_db(one, hz * (1 - ppm * 1e-6)) for one in seconds_of_it]
    assert max(noises) < (-80 if grain_s else -95)


class Nothing:
    """Nothing private is said."""

    def spans(self, start: float, end: float, *, unsure: bool = False) -> list[SoundSpan]:
        return []


NOTHING_SAID = Nothing()


def noise_db(made: NDArray[np.float64], hz: float) -> float:
    """What is left of a second of sound without its tone, in dB below that; the tone's pitch may
    be a little off and glide."""
    at = 2 * np.pi * hz / RATE * np.arange(len(made))
    time = np.linspace(-1, 1, len(made))
    waves = np.stack([time**n * wave(at) for n in range(4) for wave in (np.cos, np.sin)])
    gains = np.linalg.lstsq(waves.T, made, rcond=None)[0]
    tone = gains @ waves
    return float(10 * np.log10(np.mean((made - tone) ** 2) / np.mean(tone**2)))
