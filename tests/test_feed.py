from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.feed import MAX_GAP_S, MAX_JOINED_FRAMES, FileFeed, LiveFeed
from edge.frame import Frame, GonePicture
from edge.lanes.lane import Gap
from edge.motion import IDENTITY, Motion

FPS = 30.0


class Unseen:
    """A picture that has not left yet."""

    width, height = 64, 48

    @property
    def luma(self) -> np.ndarray:
        return np.zeros((48, 64), np.uint8)

    def shrink(self, width: int, height: int) -> Any:
        raise AssertionError

    def edit(self) -> Any:
        raise AssertionError


@dataclass
class Lane:
    """A worker that gets through `pace` gaps for each one that is put to it."""

    backlog: int = 0
    look_s: float = 0.0
    got: list[Gap] = field(default_factory=list)

    def put(self, gap: Gap) -> None:
        self.got.append(gap)
        self.backlog += 1


def stream(pieces: list[tuple[int, bool]]) -> list[Gap]:
    """Gaps of these lengths; True: it begins with a cut, and its first frame is a gap of its own,
    as the analyst hands it out."""
    gaps, number = [], 0
    for length, cut in pieces:
        for size, begins in ((1, True), (length - 1, False)) if cut else ((length, False),):
            if not size:
                continue
            ids = range(number, number + size)
            frames = tuple(Frame(n, n / FPS, n, Unseen()) for n in ids)
            motions = tuple(Motion(IDENTITY, cut=begins and n == number) for n in ids)
            gaps.append(Gap(frames, motions))
            number += size
    return gaps


PIECES = st.lists(st.tuples(st.integers(1, 16), st.booleans()), min_size=1, max_size=30)


def check(gaps: list[Gap], got: list[Gap]) -> None:
    """Every frame is there once, in order, and there is a look on both sides of each cut."""
    frames = [frame.frame_id for gap in got for frame in gap.frames]
    assert frames == [frame.frame_id for gap in gaps for frame in gap.frames]
    looks = {gap.look.frame_id for gap in got}
    for gap in gaps:
        if gap.motions[0].cut:
            first = gap.frames[0].frame_id
            assert first in looks
            assert first == 0 or first - 1 in looks
    assert all(len(gap.frames) == len(gap.motions) for gap in got)


@given(PIECES, st.sampled_from([0.5, 2.0, 4.0, math.inf]))
def test_a_file_gets_all_frames_in_order_and_looks_as_often_as_asked(
    pieces: list[tuple[int, bool]], looks_per_s: float
) -> None:
    gaps, got = stream(pieces), []
    feed = FileFeed(got.append, looks_per_s)
    for n, gap in enumerate(gaps):
        feed.take(gap, last=n == len(gaps) - 1)
    check(gaps, got)
    if math.isinf(looks_per_s):
        assert len(got) == len(gaps)
    longest = max(len(gap.frames) for gap in got)
    assert longest <= MAX_JOINED_FRAMES + 15
    between = [b.look.pts - a.look.pts for a, b in itertools.pairwise(got)]
    assert max(between, default=0) <= 1 / looks_per_s + 16 / FPS + 1e-6


@given(PIECES, st.lists(st.booleans(), min_size=600, max_size=600))
def test_a_live_lane_gets_all_frames_in_order_however_slow_it_is(
    pieces: list[tuple[int, bool]], done: list[bool]
) -> None:
    gaps, lane, finished = stream(pieces), Lane(look_s=0.3), iter(done)
    feed = LiveFeed(lane, 4.0)
    for n, gap in enumerate(gaps):
        for _ in gap.frames:
            if next(finished):
                lane.backlog = max(0, lane.backlog - 1)
            feed.poke()
        feed.take(gap, last=n == len(gaps) - 1)
    check(gaps, lane.got)


def test_a_slow_live_lane_looks_seldom_and_catches_up() -> None:
    lane = Lane(look_s=0.4)
    feed = LiveFeed(lane, 4.0)
    gaps = stream([(4, False)] * 60)
    looks: list[float] = []
    busy_until = 0.0
    for gap in gaps:
        now, slow = gap.look.pts, gap.look.pts < 4.0
        if now >= busy_until:
            lane.backlog = 0
        lane.look_s = 0.4 if slow else 0.01
        before = len(lane.got)
        feed.poke()
        feed.take(gap, last=False)
        if len(lane.got) > before:
            looks.append(now)
            busy_until = now + lane.look_s
    assert not any(gap.skipped for gap in lane.got)
    early = [b - a for a, b in itertools.pairwise(looks) if b < 3.9]
    late = [b - a for a, b in itertools.pairwise(looks) if a > 5.0]
    assert min(early) >= 0.39
    assert max(late) < 0.3


def test_a_live_lane_that_is_stuck_leaves_stretches_unjudged_and_keeps_no_pictures() -> None:
    lane = Lane(look_s=5.0)
    feed = LiveFeed(lane, 4.0)
    for gap in stream([(8, False)] * 40):
        feed.take(gap, last=False)
    assert not lane.got[0].skipped
    skipped = lane.got[1:]
    assert skipped
    for gap in skipped:
        assert gap.skipped
        assert gap.look.pts - gap.frames[0].pts >= MAX_GAP_S - 0.05
        assert all(type(frame.picture) is not Unseen for frame in gap.frames)


@given(PIECES, st.sampled_from([0.5, 2.0, 4.0]))
def test_what_waits_for_more_is_handed_out_when_there_is_no_more(
    pieces: list[tuple[int, bool]], looks_per_s: float
) -> None:
    """The last gap may have been handed out before anybody knew that it was the last."""
    gaps, got, lane = stream(pieces), [], Lane()
    file, live = FileFeed(got.append, looks_per_s), LiveFeed(lane, looks_per_s)
    for gap in gaps:
        file.take(gap, last=False)
        lane.backlog = 0
        live.take(gap, last=False)
    lane.backlog = 0
    file.flush()
    live.flush()
    check(gaps, got)
    check(gaps, lane.got)


class Shelf:
    """Where a picture can be had again."""

    def prepare(self) -> bool:
        return False

    def take(self) -> None:
        return None

    def drop(self) -> None:
        pass

    def blank(self) -> Unseen:
        return Unseen()


@given(PIECES, st.sampled_from([math.inf, 1.0, 4.0]), st.booleans(), st.booleans())
def test_pictures_that_a_lane_will_not_look_at_are_not_kept_for_it(
    pieces: list[tuple[int, bool]], looks_per_s: float, between: bool, kept: bool
) -> None:
    gaps = stream(pieces)
    if kept:
        for frame in (frame for gap in gaps for frame in gap.frames):
            frame.kept = Shelf()
    got: list[Gap] = []
    feed = FileFeed(got.append, looks_per_s, between=between)
    for gap in gaps:
        feed.take(gap, last=gap is gaps[-1])
    check(gaps, got)
    assert all(isinstance(gap.look.picture, Unseen) for gap in got)
    rest = [frame for gap in got for frame in gap.frames[:-1]]
    gone = [isinstance(frame.picture, GonePicture) for frame in rest]
    assert all(gone) if kept and not between else not any(gone)
    # What the others were given is not touched.
    assert all(isinstance(frame.picture, Unseen) for gap in gaps for frame in gap.frames)
