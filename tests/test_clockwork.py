from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from edge.clockwork import Backoff, Timeline

FPS = 30.0
STEP = 1 / FPS


def arrivals(seconds: float, drift: float, jitter_s: float, seed: int) -> list[tuple[float, float]]:
    """(pts, arrival) of a source whose clock is off by `drift` (a share), over a jittery line."""
    luck = random.Random(seed)
    frames = round(seconds * FPS)
    return [(n * STEP, n * STEP * (1 + drift) + luck.random() * jitter_s) for n in range(frames)]


@given(
    st.lists(st.floats(-1e3, 1e6, allow_nan=False), min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_stream_time_only_ever_grows(pts: list[float], restarts: list[bool]) -> None:
    timeline, last = Timeline(), float("-inf")
    for n, (one, restart) in enumerate(zip(pts, restarts, strict=False)):
        if restart:
            timeline.restart()
        placed = timeline.place(one, n * STEP, STEP)
        assert placed > last
        last = placed


@given(st.floats(-300e-6, 300e-6), st.sampled_from([0.0, 0.005, 0.05]), st.integers(0, 3))
def test_a_drifting_clock_neither_grows_the_delay_nor_starves_it(
    drift: float, jitter_s: float, seed: int
) -> None:
    timeline = Timeline()
    lags = []
    for pts, arrival in arrivals(900, drift, jitter_s, seed)[::3]:
        lags.append(arrival - timeline.place(pts, arrival, 3 * STEP))
    late = lags[-100:]
    # Without following, 300 ppm would be 0.27 s by now.
    assert max(late) <= jitter_s + 0.030
    assert min(late) >= -jitter_s - 0.030


def test_steady_frames_keep_their_distance() -> None:
    timeline = Timeline()
    placed = [timeline.place(p, a, STEP) for p, a in arrivals(20, 0.0, 0.02, 1)]
    for a, b in itertools.pairwise(placed):
        assert abs((b - a) - STEP) < 0.0005


def test_a_new_connection_goes_on_where_time_is_now() -> None:
    timeline = Timeline()
    timeline.place(100.0, 0.0, STEP)
    assert timeline.place(101.0, 1.0, STEP) == 1.0
    timeline.restart()
    assert timeline.sound(0.0) is None
    assert timeline.place(5000.0, 9.0, STEP) == 9.0
    assert timeline.sound(5000.5) == 9.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_waiting_is_jittered_and_bounded(luck: list[float]) -> None:
    backoff = Backoff(0.25, 3.0)
    waits = [backoff.wait_s(one) for one in luck]
    assert all(0.1 < wait <= 3.0 for wait in waits)
    assert waits[0] <= 0.375
    backoff.reset()
    assert backoff.wait_s(0.5) == 0.25
