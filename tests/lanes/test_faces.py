from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.delay import Gate, Verdict
from edge.detection import Detections
from edge.frame import Frame, Picture
from edge.lanes.boxes import Sight
from edge.lanes.faces import FaceLane
from edge.lanes.lane import Gap
from edge.motion import IDENTITY, Motion
from edge.track import TrackerSettings

FPS = 25.0


class Nobody:
    """A detector that sees no face."""

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        return frame_id, Detections()


class Unseen:
    """A picture that nobody looks into."""

    width, height = 64, 48

    @property
    def luma(self) -> np.ndarray:
        raise AssertionError

    def shrink(self, width: int, height: int) -> np.ndarray:
        raise AssertionError

    def edit(self) -> object:
        raise AssertionError


def gap(first: int, last: int, *, skipped: bool = False) -> Gap:
    frames = tuple(Frame(n, n / FPS, n, Unseen()) for n in range(first, last + 1))  # type: ignore[arg-type]
    return Gap(frames, (Motion(IDENTITY),) * len(frames), skipped)


def lane() -> FaceLane:
    return FaceLane(Nobody(), TrackerSettings(0.3), 64, 48, lookahead_s=0.2, refine=0)


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["look", "fail", "lose", "pause"])),
                min_size=1, max_size=25))  # fmt: skip
def test_only_frames_between_two_good_looks_are_ever_released(
    story: list[tuple[int, str]],
) -> None:
    """Whatever is lost on the way to the lane, failed or interrupted: the gate stays shut there."""
    faces, gate = lane(), Gate(["faces"])
    good: set[int] = set()
    next_id, last_good = 0, -1
    for length, event in story:
        if event == "pause":
            findings = faces.pause()
            gate.advance("faces", findings.horizon)
            continue
        piece = gap(next_id, next_id + length - 1)
        if event != "lose":
            faces.enter(piece)
            evidence = faces.look(piece) if event == "look" else None
            findings = faces.absorb(piece, evidence)
            for start, end in findings.blind:
                gate.blind("faces", start, end)
            gate.advance("faces", findings.horizon, findings.firm)
            if event == "look":
                good.add(piece.look.frame_id)
                if last_good == next_id - 1:
                    good.update(range(next_id, next_id + length))
                last_good = piece.look.frame_id
        next_id += length
        for frame_id in range(next_id):
            judged = gate.judge(frame_id / FPS, overdue=True)
            assert judged.verdict is not Verdict.RELEASE or frame_id in good
    findings = faces.finish()
    gate.advance("faces", findings.horizon)
    entered_to = max((frame for frame in good), default=-1)
    for frame_id in range(entered_to + 1):
        verdict = gate.judge(frame_id / FPS).verdict
        if frame_id not in good:
            assert verdict is Verdict.MASK, frame_id
        else:
            assert verdict is Verdict.RELEASE, frame_id


def test_a_pause_settles_what_is_known_and_no_more() -> None:
    faces = lane()
    assert faces.pause().horizon == -math.inf
    faces.enter(gap(0, 9))
    faces.absorb(gap(0, 9), [Sight(9, Detections())])
    assert faces.pause().horizon == 9 / FPS


def test_a_hurried_frame_hides_what_was_seen_only_once() -> None:
    faces, gate = lane(), Gate(["faces"])
    box = np.array([[10, 10, 30, 30]], np.float32)
    faces.enter(gap(0, 0))
    faces.absorb(gap(0, 0), [Sight(0, Detections())])
    faces.enter(gap(1, 9))
    findings = faces.absorb(gap(1, 9), [Sight(9, Detections(box, np.array([0.4], np.float32)))])
    gate.advance("faces", findings.horizon, findings.firm)
    assert gate.judge(8 / FPS).verdict is Verdict.WAIT
    judged = gate.judge(8 / FPS, overdue=True)
    assert judged.verdict is Verdict.RELEASE
    assert judged.hurried
    assert len(faces.regions(8)[0]) == 0
    for frame_id in range(1, 10):
        hidden, _ = faces.regions(frame_id, unsure=judged.hurried)
        assert len(hidden) == 1, frame_id
        assert np.abs(hidden - box).max() < 1


def test_the_end_vouches_for_no_frame_that_the_lane_was_not_told_of() -> None:
    """A source that breaks off leaves frames in the delay line that are in no gap."""
    faces, gate = lane(), Gate(["faces"])
    faces.enter(gap(0, 4))
    findings = faces.absorb(gap(0, 4), [Sight(4, Detections())])
    gate.advance("faces", findings.horizon, findings.firm)
    findings = faces.finish()
    for start, end in findings.blind:
        gate.blind("faces", start, end)
    gate.advance("faces", findings.horizon, findings.firm)
    assert gate.judge(4 / FPS).verdict is Verdict.RELEASE
    assert gate.judge(5 / FPS).verdict is Verdict.MASK
