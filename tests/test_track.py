"""Tracks in worlds where the camera's motion and every box are known.

A test states which frames must hide a thing, and asks the tracker's paint whether one box covers
what of the thing is in the picture.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edge.detection import Detections
from edge.motion import IDENTITY, Motion, compose, move_boxes
from edge.track import Tracker, TrackerSettings

WIDTH, HEIGHT = 1280, 720
CONF = 0.4
SURE = 0.9
ONCE = 0.5
"""A score that counts, but does not confirm alone."""
WEAK = 0.3
CUT = Motion(IDENTITY, cut=True, reliable=False)
STILL = Motion(IDENTITY)
SETTINGS = TrackerSettings(conf=CONF)
BOX = [600, 300, 660, 370]


def moved(dx: float, dy: float = 0.0, zoom: float = 1.0, roll: float = 0.0) -> Motion:
    """A motion about the middle of the picture."""
    cos, sin = zoom * np.cos(roll), zoom * np.sin(roll)
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    return Motion(np.column_stack([linear, middle - linear @ middle + (dx, dy)]))


def in_picture(box: np.ndarray) -> np.ndarray:
    return np.clip(box, 0, [WIDTH, HEIGHT] * 2)


def area(box: np.ndarray) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))


@dataclass
class World:
    """Motions of a camera, and things by their boxes in frame 0, with speeds of their own."""

    motions: list[Motion]
    things: list[np.ndarray]
    speeds: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cameras = [IDENTITY]
        for motion in self.motions[1:]:
            self.cameras.append(compose(self.cameras[-1], motion.matrix))

    def box(self, thing: int, frame: int) -> np.ndarray:
        box = self.things[thing]
        if self.speeds:
            box = box + np.tile(self.speeds[thing] * frame, 2)
        return move_boxes(box[None], self.cameras[frame])[0]

    def inside(self, thing: int, frame: int) -> float:
        """Share of a thing that is in the picture."""
        box = self.box(thing, frame)
        return area(in_picture(box)) / area(box)

    def seen(self, frame: int, things: Iterable[int], score: float = SURE) -> Detections:
        boxes = [self.box(thing, frame) for thing in things]
        return detections(*boxes, score=score)


def detections(*boxes: Iterable[float], score: float = SURE) -> Detections:
    array = np.array([list(box) for box in boxes], np.float32).reshape(-1, 4)
    return Detections(array, np.full(len(array), score, np.float32))


def run(
    motions: list[Motion],
    looks: Mapping[int, Detections],
    options: TrackerSettings = SETTINGS,
) -> Tracker:
    """Feed a whole clip, without settling anything before the end."""
    tracker = Tracker(options, WIDTH, HEIGHT)
    for frame, motion in enumerate(motions):
        tracker.advance(frame, motion)
        if frame in looks:
            tracker.look(frame, looks[frame])
    tracker.finish()
    return tracker


def covered(tracker: Tracker, frame: int, box: np.ndarray, slack: float = 0.1) -> float:
    """Largest share of what is visible of a box that one painted box covers; 1 when invisible."""
    visible = in_picture(box)
    if area(visible) <= slack:
        return 1.0
    regions, _ = tracker.regions(frame)
    shares = []
    for region in regions.astype(np.float64):
        both = np.concatenate(
            [
                np.maximum(region[:2] - slack, visible[:2]),
                np.minimum(region[2:] + slack, visible[2:]),
            ]
        )
        shares.append(area(both) / area(visible))
    return max(shares, default=0.0)


def frames_painted(tracker: Tracker, count: int) -> list[int]:
    return [frame for frame in range(count) if len(tracker.regions(frame)[0])]


# -- what cameras and pictures can be ------------------------------------------------------------

camera_moves = st.one_of(
    st.just(STILL),
    st.builds(
        moved, st.floats(-100, 100), st.floats(-60, 60), st.floats(0.98, 1.02),
        st.floats(-0.02, 0.02),
    ),
)  # fmt: skip
# A pan, tilt or zoom at one speed for some frames, and then another: what real cameras do.
camera_paths = st.lists(st.tuples(camera_moves, st.integers(1, 12)), min_size=1, max_size=8).map(
    lambda parts: [CUT, *(motion for motion, count in parts for _ in range(count))]
)
boxes_inside = st.builds(
    lambda x, y, w, tall: np.array([x, y, x + w, y + w * tall]),
    st.floats(0, WIDTH - 20), st.floats(0, HEIGHT - 20), st.floats(12, 300), st.floats(0.8, 1.6),
)  # fmt: skip
gaps = st.lists(st.integers(1, 16), min_size=1, max_size=20)


def look_frames(steps: list[int], count: int) -> list[int]:
    """The first and the last frame, and some between."""
    frames = {0, count - 1} | {int(frame) for frame in np.cumsum(steps) if frame < count}
    return sorted(frames)


# -- between sightings ---------------------------------------------------------------------------


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=camera_paths,
    things=st.lists(boxes_inside, min_size=1, max_size=4),
    steps=gaps,
    data=st.data(),
)
def test_all_between_two_looks_is_covered_where_either_saw_the_thing(path, things, steps, data):
    """Whatever the camera does, and whichever looks the detector misses a thing in."""
    world = World(path, things)
    looks = look_frames(steps, len(path))
    caught: list[list[int]] = []
    for frame in looks:
        there = [t for t in range(len(things)) if world.inside(t, frame) >= 0.5]
        caught.append([t for t in there if data.draw(st.integers(0, 3), label="miss") or not frame])
    tracker = run(path, {f: world.seen(f, c) for f, c in zip(looks, caught, strict=True)})

    for k, things_caught in enumerate(caught):
        before = looks[k - 1] if k else looks[k]
        after = looks[k + 1] if k + 1 < len(looks) else looks[k]
        for thing in things_caught:
            for frame in range(before, after + 1):
                share = covered(tracker, frame, world.box(thing, frame))
                assert share >= 0.999, f"thing {thing} seen in {looks[k]} is open in {frame}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=camera_paths, thing=boxes_inside, steps=gaps, seed=st.integers(0, 2**32 - 1))
def test_a_detector_that_is_not_exact_is_made_up_for_by_both_ends(path, thing, steps, seed):
    rng = np.random.default_rng(seed)
    world = World(path, [thing])
    looks = {}
    for frame in look_frames(steps, len(path)):
        if world.inside(0, frame) >= 0.5:
            box = world.box(0, frame)
            size = np.tile(box[2:] - box[:2], 2)
            looks[frame] = detections(box + rng.uniform(-0.06, 0.06, 4) * size)
        else:
            looks[frame] = Detections()
    tracker = run(path, looks)
    sighted = [frame for frame, seen in looks.items() if len(seen)]
    for a, b in itertools.pairwise(sighted):
        if sorted(looks).index(b) == sorted(looks).index(a) + 1:
            for frame in range(a, b + 1):
                box = world.box(0, frame)
                if world.inside(0, frame) > 0.5:
                    assert covered(tracker, frame, box) >= 0.75


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    thing=st.tuples(st.floats(200, 900), st.floats(200, 400), st.floats(30, 150)),
    steps=gaps,
    reach=st.floats(0, 1.4),
    angle=st.floats(0, 6.3),
    pans=st.lists(st.floats(-30, 30), min_size=60, max_size=60),
)
def test_a_walker_is_covered_while_crossing(thing, steps, reach, angle, pans):
    """It goes up to 1.4 of its own sizes against the camera between two looks."""
    x, y, size = thing
    path = [CUT, *(moved(dx, dx / 3) for dx in pans)]
    looks = look_frames(steps, len(path))
    longest = max(b - a for a, b in itertools.pairwise(looks))
    speed = np.array([np.cos(angle), np.sin(angle)]) * size * reach / longest
    world = World(path, [np.array([x, y, x + size, y + size])], [speed])
    tracker = run(path, {frame: world.seen(frame, [0], ONCE) for frame in looks})
    for frame in range(len(path)):
        assert covered(tracker, frame, world.box(0, frame)) >= 0.999
    assert tracker.confirmed_tracks == 1


def test_one_that_vanishes_while_another_appears_beside_it_leaves_neither_open():
    """They look like one that walked over; they may be two that each were missed once."""
    here, there = [300, 300, 360, 360], [380, 300, 440, 360]
    looks = {0: detections(here), 8: detections(there), 16: detections(here)}
    tracker = run([CUT, *[STILL] * 16], looks)
    for frame in range(17):
        for box in (here, there):
            assert covered(tracker, frame, np.array(box, float)) >= 0.999, frame


def test_one_thing_is_one_box_in_a_frame():
    """Tiles over tiles would hide less than tiles do."""
    rng = np.random.default_rng(4)
    looks = {k: detections(BOX + rng.uniform(-5, 5, 4), score=ONCE) for k in range(0, 41, 5)}
    looks[20] = Detections()
    tracker = run([CUT, *[STILL] * 45], looks)
    assert {len(tracker.regions(frame)[0]) for frame in range(46)} == {1}


def test_a_zoom_is_followed():
    path = [CUT, *[moved(0, 0, 1.05)] * 12]
    world = World(path, [np.array([700.0, 400.0, 740.0, 450.0])])
    tracker = run(path, {0: world.seen(0, [0]), 12: world.seen(12, [0])})
    for frame in range(13):
        regions, _ = tracker.regions(frame)
        assert covered(tracker, frame, world.box(0, frame)) >= 0.999
        assert area(in_picture(regions[0])) <= 1.05 * area(world.box(0, frame))


# -- confirming ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k_confirm", "scores", "confirmed"),
    [
        (2, [ONCE], False),
        (2, [ONCE, ONCE], True),
        (2, [WEAK, WEAK, WEAK, WEAK, WEAK, WEAK], False),
        (2, [ONCE, WEAK, WEAK], False),
        (2, [ONCE, WEAK, ONCE], True),
        (2, [WEAK, WEAK, SURE], True),
        (2, [SURE], True),
        (2, [0.15, 0.15, 0.15], False),
        (1, [ONCE], True),
        (1, [WEAK], False),
        (3, [ONCE, ONCE], False),
        (3, [ONCE, ONCE, ONCE], True),
        (10, [SURE], True),
    ],
)
def test_sightings_make_a_mask(k_confirm, scores, confirmed):
    looks = {0: Detections()}
    looks |= {8 * (k + 1): detections(BOX, score=score) for k, score in enumerate(scores)}
    last = max(looks)
    tracker = run([CUT, *[STILL] * last], looks, TrackerSettings(CONF, k_confirm=k_confirm))
    painted = frames_painted(tracker, last + 1)
    # From the look before the first sighting on, however late it was confirmed.
    assert painted == (list(range(last + 1)) if confirmed else [])
    assert tracker.confirmed_tracks == confirmed


def test_scores_below_the_weak_are_not_even_that():
    """They cannot keep a track alive either."""
    looks = {0: detections(BOX)}
    looks |= {8 * k: detections(BOX, score=CONF * 0.49) for k in range(1, 6)}
    tracker = run([CUT, *[STILL] * 40], looks)
    assert frames_painted(tracker, 41) == list(range(9))


def test_weak_sightings_prolong_a_mask():
    looks = {0: detections(BOX)}
    looks |= {8 * k: detections(BOX, score=WEAK) for k in range(1, 6)}
    assert frames_painted(run([CUT, *[STILL] * 40], looks), 41) == list(range(41))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=camera_paths,
    steps=gaps,
    boxes=st.lists(boxes_inside, min_size=1, max_size=5),
    score=st.floats(0, CONF - 0.01),
)
def test_what_never_scores_enough_is_never_painted(path, steps, boxes, score):
    world = World(path, boxes)
    looks = {
        frame: world.seen(frame, range(len(boxes)), score)
        for frame in look_frames(steps, len(path))
    }
    tracker = run(path, looks)
    assert frames_painted(tracker, len(path)) == []
    assert tracker.confirmed_tracks == 0


# -- holding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [0, 1, 8, 50, 300])
@pytest.mark.parametrize("gap", [1, 3, 15])
def test_a_mask_is_held_after_the_last_sighting(hold, gap):
    """At least k_hold frames, and up to the look that says that it is gone."""
    count = 400
    looks = {frame: Detections() for frame in range(0, count, gap)}
    looks[30] = detections(BOX)
    tracker = run([CUT, *[STILL] * (count - 1)], looks, TrackerSettings(CONF, k_hold=hold))
    last = 30 + max(hold, gap)
    assert frames_painted(tracker, count) == list(range(30 - gap, last + 1))


def test_a_missed_look_is_bridged():
    looks = {frame: Detections() for frame in range(0, 61, 15)}
    looks[15] = looks[45] = detections(BOX, score=ONCE)
    tracker = run([CUT, *[STILL] * 60], looks)
    assert frames_painted(tracker, 61) == list(range(61))
    assert tracker.confirmed_tracks == 1


def test_the_end_of_the_stream_is_held():
    tracker = run([CUT, *[STILL] * 20], {0: Detections(), 15: detections(BOX)})
    assert frames_painted(tracker, 21) == list(range(21))


# -- the border ----------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    side=st.sampled_from(["left", "right", "top", "bottom"]),
    leaving=st.booleans(),
    size=st.floats(20, 200),
    passing=st.integers(2, 44),
    gap=st.integers(1, 16),
    needed=st.floats(0.3, 1.0),
)
def test_what_comes_in_or_goes_out_over_the_border_is_covered(
    side, leaving, size, passing, gap, needed
):
    """Detectors see a face when `needed` of it is in the picture; viewers see it sooner."""
    speed = size / passing
    way = {"left": (1, 0), "right": (-1, 0), "top": (0, 1), "bottom": (0, -1)}[side]
    start = {
        "left": (-size, 300), "right": (WIDTH, 300), "top": (500, -size), "bottom": (500, HEIGHT),
    }[side]  # fmt: skip
    stay = 40
    motions = [moved(way[0] * speed, way[1] * speed)] * (passing + stay)
    box = np.array([*start, start[0] + size, start[1] + size], float)
    if leaving:
        motions = [
            Motion(np.array([[1, 0, -m.matrix[0, 2]], [0, 1, -m.matrix[1, 2]]])) for m in motions
        ]
        box = box + np.tile(np.array(way) * speed * len(motions), 2)
    path = [CUT, *motions]
    world = World(path, [box])
    looks = look_frames([gap] * len(path), len(path))
    there = {frame: [0] if world.inside(0, frame) >= needed - 1e-6 else [] for frame in looks}
    assume(any(there.values()))
    tracker = run(path, {frame: world.seen(frame, things) for frame, things in there.items()})
    for frame in range(len(path)):
        assert covered(tracker, frame, world.box(0, frame)) >= 0.999, frame


def test_a_camera_that_swings_out_and_back_between_looks_does_not_uncover():
    out, back = moved(-120), moved(120)
    path = [CUT, *[STILL] * 6, out, out, back, back, *[STILL] * 6]
    world = World(path, [np.array([30.0, 300.0, 100.0, 370.0])])
    for seen in ({0}, {16}, {0, 16}):
        looks = {f: world.seen(f, [0] if f in seen else []) for f in (0, 16)}
        tracker = run(path, looks)
        for frame in range(17):
            assert covered(tracker, frame, world.box(0, frame)) >= 0.999, (seen, frame)


def test_what_has_left_is_not_painted_for_ever():
    path = [CUT, *[moved(-40)] * 120]
    world = World(path, [np.array([100.0, 300.0, 160.0, 360.0])])
    looks = {f: world.seen(f, [0] if world.inside(0, f) > 0.5 else []) for f in range(0, 121, 5)}
    painted = frames_painted(run(path, looks), 121)
    assert painted == list(range(max(painted) + 1))
    assert max(painted) <= 12


# -- cuts ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shots=st.lists(st.tuples(camera_paths, boxes_inside, gaps), min_size=2, max_size=4),
    hold=st.integers(0, 60),
)
def test_nothing_is_painted_across_a_cut_and_all_up_to_it(shots, hold):
    path: list[Motion] = []
    looks: dict[int, Detections] = {}
    for shot, box, steps in shots:
        world = World(shot, [box])
        for frame in look_frames(steps, len(shot)):
            visible = [0] if world.inside(0, frame) >= 0.5 else []
            looks[len(path) + frame] = world.seen(frame, visible)
        path += shot
    tracker = run(path, looks, TrackerSettings(CONF, k_hold=hold))

    start = 0
    ids_before: set[int] = set()
    for shot, box, _ in shots:
        world = World(shot, [box])
        in_shot = sorted(frame - start for frame in looks if start <= frame < start + len(shot))
        for a, b in itertools.pairwise(in_shot):
            if len(looks[start + a]) or len(looks[start + b]):
                for frame in range(a, b + 1):
                    assert covered(tracker, start + frame, world.box(0, frame)) >= 0.999
        ids: set[int] = set()
        for frame in range(start, start + len(shot)):
            regions, tracks = tracker.regions(frame)
            assert len(regions) == len(tracks)
            ids |= set(tracks)
        assert not ids & ids_before
        ids_before |= ids
        start += len(shot)


def test_a_first_look_that_comes_late_in_a_shot_is_carried_back_to_the_cut():
    """The look right after the cut failed: nothing says that the thing was not there."""
    path = [CUT, *[STILL] * 9, CUT, *[moved(3)] * 20]
    box = np.array([600.0, 300.0, 660.0, 370.0])
    tracker = run(path, {0: Detections(), 9: Detections(), 25: detections(box)})
    assert frames_painted(tracker, 31) == list(range(10, 31))
    for frame in range(10, 26):
        assert covered(tracker, frame, box - np.array([3, 0, 3, 0]) * (25 - frame)) >= 0.999


def test_several_cuts_between_two_looks():
    path = [CUT, *[STILL] * 4, CUT, STILL, CUT, *[STILL] * 4]
    tracker = run(path, {0: detections(BOX), 4: detections(BOX), 8: detections(BOX)})
    assert frames_painted(tracker, 12) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert tracker.confirmed_tracks == 2


# -- settled frames ------------------------------------------------------------------------------


def paint_of(tracker: Tracker, frame: int) -> bytes:
    regions, tracks = tracker.regions(frame)
    return regions.tobytes() + repr(tracks).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=camera_paths,
    things=st.lists(boxes_inside, min_size=1, max_size=4),
    steps=gaps,
    behind=st.integers(0, 40),
    data=st.data(),
)
def test_what_is_settled_stays_as_it_is(path, things, steps, behind, data):
    world = World(path, things)
    looks = set(look_frames(steps, len(path)))
    tracker = Tracker(SETTINGS, WIDTH, HEIGHT)
    final: dict[int, bytes] = {}
    for frame, motion in enumerate(path):
        tracker.advance(frame, motion)
        if frame not in looks:
            continue
        caught = [t for t in range(len(things)) if data.draw(st.booleans())]
        tracker.look(frame, world.seen(frame, caught, data.draw(st.sampled_from([ONCE, SURE]))))
        assert all(paint_of(tracker, f) == paint for f, paint in final.items())
        tracker.settle(frame - behind)
        assert tracker.settled == max(frame - behind, tracker.settled)
        for f in range(tracker.settled + 1):
            final.setdefault(f, paint_of(tracker, f))
    tracker.finish()
    assert all(paint_of(tracker, f) == paint for f, paint in final.items())


def test_settling_never_goes_back():
    tracker = Tracker(SETTINGS, WIDTH, HEIGHT)
    tracker.settle(10)
    tracker.settle(5)
    assert tracker.settled == 10


# -- months --------------------------------------------------------------------------------------


def footprint(tracker: Tracker) -> int:
    return len(pickle.dumps(tracker))


@pytest.mark.parametrize("score", [WEAK, ONCE, SURE])
def test_memory_does_not_grow_with_time(score):
    """A face that stays for ever; one that never scores enough; clutter that comes and goes."""
    rng = np.random.default_rng(0)
    tracker = Tracker(SETTINGS, WIDTH, HEIGHT)
    sizes = []
    for frame in range(3200):
        tracker.advance(frame, CUT if frame == 0 else moved(float(rng.uniform(-1, 1))))
        if frame % 8:
            continue
        clutter = rng.uniform(0, 600, (5, 2))
        tracker.look(frame, detections(
            BOX, *np.concatenate([clutter, clutter + rng.uniform(10, 60, (5, 1))], axis=1),
            score=score,
        ))  # fmt: skip
        tracker.settle(frame - 30)
        tracker.forget(frame - 150)
        sizes.append(footprint(tracker))
    early, late = sizes[50:150], sizes[-100:]
    assert max(late) <= 1.5 * max(early)
    for frame in (0, 2000, 3000):
        assert len(tracker.regions(frame)[0]) == 0


@pytest.mark.parametrize("missing", [50, 151, 170, 400, 2000])
@pytest.mark.parametrize("before", [0, 1, 60])
@pytest.mark.parametrize("hold", [8, 300])
def test_looks_that_fail_for_long_do_not_break_the_next(missing, before, hold):
    """The frames between are masked whole; what the tracker must do is to go on."""
    tracker = Tracker(TrackerSettings(CONF, k_hold=hold), WIDTH, HEIGHT)
    elsewhere = [100, 100, 150, 160]
    for frame in range(before + missing + 200):
        tracker.advance(frame, CUT if frame == 0 else STILL)
        failing = before <= frame < before + missing
        if frame % 8 == 0 and not failing:
            seen = detections(BOX if frame < before else elsewhere, score=ONCE)
            tracker.surprises(frame, seen)
            tracker.look(frame, seen)
        tracker.settle(frame - 60)
        tracker.forget(frame - 150)
    tracker.finish()
    end = before + missing + 200
    for frame in range(before + missing, end):
        if frame > end - 150:
            assert covered(tracker, frame, np.array(elsewhere, float)) >= 0.999


def test_a_missed_thing_is_found_again_after_its_motions_were_forgotten():
    """Held for ten seconds, seen again after seven: what it was last seen in has left."""
    tracker = Tracker(TrackerSettings(CONF, k_hold=300), WIDTH, HEIGHT)
    for frame in range(260):
        tracker.advance(frame, CUT if frame == 0 else moved(1))
        if frame % 8 == 0:
            x = 100 + frame
            visible = frame <= 16 or frame >= 224
            tracker.look(frame, detections([x, 300, x + 60, 370]) if visible else Detections())
        tracker.settle(frame - 60)
        tracker.forget(frame - 150)
    tracker.finish()
    assert tracker.confirmed_tracks == 1
    for frame in range(110, 260):
        box = np.array([100.0 + frame, 300, 160 + frame, 370])
        assert covered(tracker, frame, box) >= 0.999


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=camera_paths,
    things=st.lists(boxes_inside, min_size=1, max_size=4),
    steps=gaps,
    keep=st.integers(0, 60),
    hold=st.sampled_from([0, 8, 300]),
    data=st.data(),
)
def test_forgetting_at_any_time_breaks_nothing(path, things, steps, keep, hold, data):
    world = World(path, things)
    looks = set(look_frames(steps, len(path)))
    tracker = Tracker(TrackerSettings(CONF, k_hold=hold), WIDTH, HEIGHT)
    for frame, motion in enumerate(path):
        tracker.advance(frame, motion)
        if frame in looks and data.draw(st.integers(0, 3), label="fails"):
            caught = [t for t in range(len(things)) if data.draw(st.booleans())]
            seen = world.seen(frame, caught)
            tracker.surprises(frame, seen)
            tracker.look(frame, seen)
            for thing in caught:
                assert covered(tracker, frame, world.box(thing, frame)) >= 0.999
        tracker.forget(frame - keep)
    tracker.finish()


# -- surprises -----------------------------------------------------------------------------------


def expecting(*boxes: list[float], motion: Motion = STILL) -> Tracker:
    """A tracker that saw these in frame 0, eight frames ago."""
    tracker = Tracker(SETTINGS, WIDTH, HEIGHT)
    tracker.advance(0, CUT)
    tracker.look(0, detections(*boxes))
    for frame in range(1, 9):
        tracker.advance(frame, motion)
    return tracker


AT_BORDER = [-10, 300, 50, 360]


@pytest.mark.parametrize(
    ("before", "now", "surprising"),
    [
        ([], [], False),
        ([BOX], [BOX], False),
        ([BOX], [], True),
        ([], [BOX], True),
        ([BOX], [[620, 310, 680, 380]], False),
        ([BOX], [[660, 300, 720, 370]], True),
        ([BOX], [BOX, [100, 100, 150, 150]], True),
        ([AT_BORDER], [], False),
        ([], [AT_BORDER], False),
        ([BOX, AT_BORDER], [BOX], False),
    ],
)
def test_surprises_are_what_appears_vanishes_or_walks_inside_the_picture(before, now, surprising):
    tracker = expecting(*before)
    state = pickle.dumps(tracker)
    assert tracker.surprises(8, detections(*now)) is surprising
    assert pickle.dumps(tracker) == state


def test_the_camera_is_no_surprise_and_weak_sightings_are_none():
    tracker = expecting(BOX, motion=moved(30))
    assert not tracker.surprises(8, detections([x + 240 * (k % 2 == 0) for k, x in enumerate(BOX)]))
    assert tracker.surprises(8, detections(BOX))
    assert not expecting().surprises(8, detections(BOX, score=WEAK))


def test_after_a_cut_and_at_the_start_there_is_nothing_to_expect():
    assert not Tracker(SETTINGS, WIDTH, HEIGHT).surprises(0, detections(BOX))
    tracker = expecting(BOX)
    tracker.advance(9, CUT)
    assert not tracker.surprises(9, Detections())


# -- odd boxes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "box",
    [[5, 5, 5, 5], [0, 0, 1e6, 1e6], [-1e6, -1e6, 1e6, 1e6], [1e5, 1e5, 2e5, 2e5], [9, 9, 9, 400]],
    ids=["a point", "huge", "everything", "far away", "a line"],
)
def test_odd_boxes_do_no_harm_to_others(box):
    path = [CUT, *[moved(2, 1, 1.01)] * 40]
    world = World(path, [np.array(BOX, float)])
    looks = {}
    for frame in range(0, 41, 5):
        looks[frame] = detections(world.box(0, frame), box)
    tracker = run(path, looks)
    for frame in range(41):
        assert covered(tracker, frame, world.box(0, frame)) >= 0.999
        assert np.isfinite(tracker.regions(frame)[0]).all()


def test_a_frame_nobody_knows_has_no_regions():
    regions, tracks = Tracker(SETTINGS, WIDTH, HEIGHT).regions(7)
    assert regions.shape == (0, 4)
    assert regions.dtype == np.float32
    assert tracks == []
