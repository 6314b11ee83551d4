"""The face lane with people enrolled: real pictures, alignment and rules over a network that knows
faces by their colour."""

from __future__ import annotations

import logging
from collections.abc import Callable

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.delay import Gate, Verdict
from edge.detection import Detections
from edge.errors import InferenceError
from edge.frame import Frame, Picture
from edge.inference.engine import Tensors
from edge.lanes.embedding import TEMPLATE, FaceEmbedder
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Gap, Trouble
from edge.lanes.recogniser import MAX_FACES, Recogniser
from edge.lanes.whitelist import Whitelist
from edge.lanes.worker import LaneEvent, LaneWorker
from edge.media.picture import HostPicture
from edge.motion import IDENTITY, Motion
from edge.people import People, person_of
from edge.stats import RECOGNISER
from edge.track import TrackerSettings

WIDTH, HEIGHT, FPS, GAP = 640, 360, 25.0, 5
SIZE = 80
RED, BLUE, GREEN = (230, 30, 30), (30, 30, 230), (30, 200, 30)
VOTES = 3

Place = tuple[float, float]
Cast = dict[tuple[int, int, int], Place | None]
"""Colour of each face → where its box begins, or None where it is not there."""


class ColourNet:
    """A network whose directions are colours. `fault` is called before every run."""

    inputs = ("face",)
    outputs = ("vector",)

    def __init__(self) -> None:
        self.runs = 0
        self.fault: Callable[[], NDArray[np.float32] | None] = lambda: None

    def run(self, feeds: Tensors) -> Tensors:
        self.runs += 1
        answer = self.fault()
        if answer is None:
            answer = feeds["face"].mean(axis=(2, 3))
        return {"vector": np.asarray(answer, np.float32)}


class Sees:
    """A detector that is told what to see."""

    def __init__(self) -> None:
        self.seen: dict[int, Detections] = {}

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        return frame_id, self.seen[frame_id]


def landmarks(x: float, y: float, size: float) -> NDArray[np.float32]:
    """Of a face in a box: the template fills its middle."""
    return ((TEMPLATE - 56) * (0.8 * size / 112) + (x + size / 2, y + size / 2)).astype(np.float32)


def profile(x: float, y: float, size: float) -> NDArray[np.float32]:
    """The same, turned away."""
    marks = landmarks(x, y, size)
    marks[2, 0] += 0.5 * size
    return marks


class Stage:
    """Runs looks through a lane, one each GAP frames, and notes who was seen when it left."""

    def __init__(self, *, lookahead_s: float = 1.0, refine: int = 0) -> None:
        self.net = ColourNet()
        self.detector = Sees()
        self.made = 0

        def make() -> FaceEmbedder:
            self.made += 1
            return FaceEmbedder(self.net)

        owner = np.array([RED], np.float32) / 127.5 - 1
        owner /= np.linalg.norm(owner)
        self.people = People("colours", "", (person_of("Owner", owner),))
        self.recogniser = Recogniser(make, self.people, min_face_px=40, conf=0.3)
        self.whitelist = Whitelist(self.people.thresholds(0.9), votes=VOTES, recheck_s=1.0)
        self.lane = FaceLane(
            self.detector, TrackerSettings(0.3), WIDTH, HEIGHT, lookahead_s=lookahead_s,
            refine=refine, recogniser=self.recogniser, whitelist=self.whitelist,
        )  # fmt: skip
        self.gate = Gate(["faces"])
        self.next = 0
        self.casts: dict[int, Cast] = {}
        self.sizes: dict[int, float] = {}
        self.left = 0
        self.hidden: dict[int, NDArray[np.float32]] = {}
        """Boxes hidden in every frame that has left."""
        self.masked: set[int] = set()
        self.troubles: list[Trouble] = []

    def look(
        self,
        cast: Cast,
        *,
        marks: Callable[[float, float, float], NDArray[np.float32]] | None = landmarks,
        size: float = SIZE,
        fails: bool = False,
    ) -> None:
        frames = []
        for _ in range(GAP if self.next else 1):
            frames.append(Frame(self.next, self.next / FPS, self.next, _picture(cast, size)))
            self.casts[self.next], self.sizes[self.next] = cast, size
            self.next += 1
        last = frames[-1].frame_id
        places = [place for place in cast.values() if place is not None]
        boxes = np.array([(x, y, x + size, y + size) for x, y in places], np.float32)
        points = [marks(x, y, size) for x, y in places] if marks is not None else []
        for frame in frames:
            self.detector.seen[frame.frame_id] = Detections(
                boxes.reshape(-1, 4),
                np.full(len(places), 0.9, np.float32),
                np.array(points, np.float32).reshape(-1, 5, 2),
            )
        start = [Motion(IDENTITY, cut=last == 0)]
        gap = Gap(tuple(frames), tuple((start + [Motion(IDENTITY)] * GAP)[: len(frames)]))
        self.lane.enter(gap)
        findings = self.lane.absorb(gap, None if fails else self.lane.look(gap))
        if findings.trouble is not None:
            self.troubles.append(findings.trouble)
        for begin, end in findings.blind:
            self.gate.blind("faces", begin, end)
        self.gate.advance("faces", findings.horizon, findings.firm)
        self._leave()

    def looks(self, count: int, cast: Cast) -> None:
        for _ in range(count):
            self.look(cast)

    def end(self) -> Stage:
        findings = self.lane.finish()
        self.gate.advance("faces", findings.horizon, findings.firm)
        self._leave()
        assert self.left == self.next
        return self

    def _leave(self) -> None:
        while self.left < self.next:
            verdict = self.gate.judge(self.left / FPS).verdict
            if verdict is Verdict.WAIT:
                return
            if verdict is Verdict.MASK:
                self.masked.add(self.left)
            self.hidden[self.left] = self.lane.regions(self.left)[0]
            self.lane.forget(self.left)
            self.left += 1

    def shown(self, colour: tuple[int, int, int]) -> list[int]:
        """Frames that left with this face in them, and nothing over its middle."""
        frames = []
        for frame_id, boxes in self.hidden.items():
            place = self.casts[frame_id].get(colour)
            if place is None or frame_id in self.masked:
                continue
            half = self.sizes[frame_id] / 2
            x, y = place[0] + half, place[1] + half
            over = (boxes[:, 0] < x) & (x < boxes[:, 2]) & (boxes[:, 1] < y) & (y < boxes[:, 3])
            if not over.any():
                frames.append(frame_id)
        return frames


def _picture(cast: Cast, size: float) -> HostPicture:
    rgb = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for colour, place in cast.items():
        if place is not None:
            x, y, side = int(place[0]), int(place[1]), int(size)
            rgb[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = colour
    return HostPicture(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p"))


LEFT, MIDDLE, RIGHT = (60, 100), (280, 100), (500, 100)


def test_the_owner_is_seen_from_the_first_frame_to_the_last() -> None:
    stage = Stage()
    stage.looks(12, {RED: MIDDLE})
    assert stage.end().shown(RED) == list(range(stage.next))


def test_every_face_is_either_hidden_or_spared() -> None:
    stage = Stage()
    stage.looks(6, {RED: LEFT, BLUE: RIGHT})
    for frame_id in range(stage.left, stage.next):
        hidden, spared = stage.lane.regions(frame_id), stage.lane.spared(frame_id)
        assert sorted(hidden[1] + spared[1]) == sorted(stage.lane.faces(frame_id)[1])
        assert (spared[0][:, 0] < WIDTH / 2).all()
        assert (hidden[0][:, 0] > WIDTH / 2).all()
        assert len(spared[0]) == len(hidden[0]) == 1


def test_a_stranger_is_hidden_in_every_frame() -> None:
    stage = Stage()
    stage.looks(12, {BLUE: MIDDLE})
    assert stage.end().shown(BLUE) == []


def test_without_a_recogniser_everybody_is_hidden() -> None:
    stage = Stage()
    stage.lane = FaceLane(stage.detector, TrackerSettings(0.3), WIDTH, HEIGHT,
                          lookahead_s=1.0, refine=0)  # fmt: skip
    stage.looks(12, {RED: MIDDLE})
    assert stage.end().shown(RED) == []
    with pytest.raises(ValueError, match="go together"):
        FaceLane(stage.detector, TrackerSettings(0.3), WIDTH, HEIGHT, lookahead_s=1.0, refine=0,
                 whitelist=stage.whitelist)  # fmt: skip


def test_a_stranger_enters_while_the_owner_leaves() -> None:
    """At the very same place, so that the tracker takes the one for the other."""
    stage = Stage()
    stage.looks(8, {RED: MIDDLE})
    stage.looks(12, {BLUE: MIDDLE})
    stage.end()
    assert stage.shown(BLUE) == []
    assert len(stage.shown(RED)) > 0


def test_the_owner_leaves_past_a_stranger_who_enters() -> None:
    stage = Stage()
    for step in range(24):
        red, blue = 280 - 40 * max(0, step - 6), 620 - 40 * min(step, 12)
        cast: Cast = {BLUE: (blue, 100)}
        if red > -SIZE:
            cast[RED] = (red, 100)
        stage.look(cast)
    assert stage.end().shown(BLUE) == []


def test_two_strangers_and_the_owner() -> None:
    stage = Stage()
    stage.looks(12, {BLUE: LEFT, RED: MIDDLE, GREEN: RIGHT})
    stage.end()
    assert stage.shown(BLUE) == stage.shown(GREEN) == []
    assert stage.shown(RED) == list(range(stage.next))


def test_they_cross() -> None:
    stage = Stage()
    for step in range(20):
        stage.look({RED: (60 + 24 * step, 100), BLUE: (540 - 24 * step, 100)})
    stage.end()
    assert stage.shown(BLUE) == []
    shown = stage.shown(RED)
    near = [f for f in range(stage.next)
            if abs(stage.casts[f][RED][0] - stage.casts[f][BLUE][0]) < SIZE * 0.9]  # fmt: skip
    assert near
    assert not set(near) & set(shown)
    assert min(shown) == 0
    assert max(shown) == stage.next - 1, "apart again and known again"


@pytest.mark.parametrize("how", ["turned away", "without landmarks", "too small", "cut off"])
def test_who_cannot_be_told_is_hidden(how: str) -> None:
    stage = Stage()
    for _ in range(12):
        if how == "turned away":
            stage.look({RED: MIDDLE}, marks=profile)
        elif how == "without landmarks":
            stage.look({RED: MIDDLE}, marks=None)
        elif how == "too small":
            stage.look({RED: MIDDLE}, size=36)
        else:
            stage.look({RED: (-30, 100)})
    assert stage.end().shown(RED) == []
    assert stage.net.runs == 1, "only the probe at the start"


def test_the_owner_who_turns_away_is_hidden_and_seen_again() -> None:
    stage = Stage()
    stage.looks(6, {RED: MIDDLE})
    away = stage.next
    for _ in range(12):
        stage.look({RED: MIDDLE}, marks=profile)
    back = stage.next
    stage.looks(6, {RED: MIDDLE})
    shown = set(stage.end().shown(RED))
    assert shown >= set(range(away))
    assert not shown & set(range(away, back))
    assert shown >= set(range(back + GAP, stage.next))


def test_an_unproven_face_before_the_owners_stays_hidden_with_what_is_behind_it() -> None:
    stage = Stage()
    stage.looks(10, {RED: MIDDLE, BLUE: (MIDDLE[0] + 50, MIDDLE[1])})
    stage.end()
    assert stage.shown(RED) == stage.shown(BLUE) == []


# -- failures ------------------------------------------------------------------------------------


def raises() -> NDArray[np.float32]:
    raise InferenceError("0.123 in the first line")


FAULTS = {
    "throws": raises,
    "gives NaN": lambda: np.full((1, 3), np.nan, np.float32),
    "gives zero": lambda: np.zeros((1, 3), np.float32),
    "gives another length": lambda: np.ones((1, 9), np.float32),
    "gives nothing": lambda: np.zeros((1, 0), np.float32),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_recogniser_that_fails_hides_everybody_and_blinds_nobody(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    stage.looks(10, {RED: MIDDLE})
    proven = stage.left
    with caplog.at_level(logging.DEBUG):
        stage.net.fault = FAULTS[fault]
        stage.looks(10, {RED: MIDDLE})
        broken = stage.next
        stage.net.fault = lambda: None
        stage.looks(8, {RED: MIDDLE})
    shown = set(stage.end().shown(RED))
    assert not stage.masked, "the lane was blinded"
    assert shown >= set(range(proven))
    assert not shown & set(range(proven, broken)), "what had not left is hidden, too"
    assert shown >= set(range(broken + GAP, stage.next)), "it works again"
    assert stage.lane.recogniser_failures == 10
    assert [trouble.part for trouble in stage.troubles] == [RECOGNISER] * 10
    assert "0.123" not in stage.troubles[0].reason
    warned = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warned) == 1, "once, not at every look"
    assert "0.123" not in caplog.text


def test_a_look_that_fails_interrupts_the_proof() -> None:
    stage = Stage()
    stage.looks(2, {RED: MIDDLE})
    stage.look({RED: MIDDLE}, fails=True)
    stage.looks(2, {RED: MIDDLE})
    assert stage.end().shown(RED) == []


def test_a_stuck_lane_goes_on_with_a_fresh_embedder() -> None:
    stage = Stage()
    stage.looks(4, {RED: MIDDLE})
    assert stage.made == 1
    stage.lane.renew(stage.detector)
    assert stage.made == 2
    stage.looks(8, {RED: MIDDLE})
    assert stage.end().shown(RED) == list(range(stage.next))


def test_an_embedder_that_cannot_be_made_again_hides_everybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.looks(10, {RED: MIDDLE})
    gone = stage.left
    stage.net.fault = raises
    stage.lane.renew(stage.detector)
    stage.net.fault = lambda: None
    stage.looks(10, {RED: MIDDLE})
    assert set(stage.end().shown(RED)) == set(range(gone))
    assert not stage.masked
    assert "given up" in caplog.text
    assert [trouble.part for trouble in stage.troubles] == [RECOGNISER], "told of once"


def test_a_worker_tells_of_a_failing_recogniser_beside_what_the_lane_found() -> None:
    stage = Stage()
    frames = tuple(Frame(n, n / FPS, n, _picture({RED: MIDDLE}, SIZE)) for n in range(2))
    box = np.array([(*MIDDLE, MIDDLE[0] + SIZE, MIDDLE[1] + SIZE)], np.float32)
    marks = np.array([landmarks(*MIDDLE, SIZE)], np.float32)
    for n in range(2):
        stage.detector.seen[n] = Detections(box, np.array([0.9], np.float32), marks)
    stage.net.fault = raises
    heard: list[float] = []
    events: list[LaneEvent] = []
    worker = LaneWorker(
        stage.lane, on_findings=lambda _, findings: heard.append(findings.firm),
        on_event=events.append, stall_timeout_s=10,
    )  # fmt: skip
    worker.start()
    worker.submit(Gap(frames, (Motion(IDENTITY, cut=True), Motion(IDENTITY))), lambda: False)
    worker.end()
    worker.join(10)
    assert heard[0] == pytest.approx(1 / FPS)
    [told] = [event for event in events if event.lane == RECOGNISER]
    assert told.end == pytest.approx(1 / FPS)
    assert "0.123" not in told.reason


# -- bounds --------------------------------------------------------------------------------------


def grid(count: int) -> list[Place]:
    return [(10 + 62 * (n % 10), 20 + 62 * (n // 10)) for n in range(count)]


def test_a_crowd_is_examined_in_turns() -> None:
    """More faces than a look examines: each look takes those examined longest ago."""
    stage = Stage()
    owner = (10 + 62 * 9, 20 + 62 * 2)
    crowd: Cast = {(30, 30, 200 + n): place for n, place in enumerate(grid(28))}
    crowd[RED] = owner
    before = stage.net.runs
    for _ in range(24):
        stage.look(crowd, size=50)
    assert stage.net.runs - before == 24 * MAX_FACES
    stage.end()
    assert len(stage.shown(RED)) > stage.next / 2, "nobody is starved"
    assert not any(stage.shown(colour) for colour in crowd if colour != RED)


def test_memory_does_not_grow() -> None:
    stage = Stage()
    for turn in range(150):
        stage.look({RED: MIDDLE if turn % 5 else RIGHT, BLUE: LEFT if turn % 3 else None})
    assert len(stage.lane._examined) < 40
    assert len(stage.whitelist._records) < 40


def test_nothing_biometric_is_printed() -> None:
    stage = Stage()
    stage.look({RED: MIDDLE})
    frame = Frame(0, 0.0, 0, _picture({RED: MIDDLE}, SIZE))
    notes = stage.lane.examine(frame, stage.detector.seen[0])
    assert notes is not None
    assert notes.likeness
    assert "array" not in repr(notes)
