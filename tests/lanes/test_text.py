"""The text lane on a stage: lines that a scripted detector finds and a scripted reader reads."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detection import Detections
from edge.errors import InferenceError
from edge.frame import Frame
from edge.lanes.lane import Findings, Gap
from edge.lanes.plate_text import plate_boxes
from edge.lanes.reader import Reading
from edge.lanes.text import READ_LENGTH, TextLane
from edge.lanes.worker import LaneWorker
from edge.motion import IDENTITY, Motion
from edge.pii.lines import LineJudge, LineVerdict
from edge.pii.spans import Kind
from edge.track import TrackerSettings
from tests.lanes.pictures import RgbPicture
from tests.lanes.signs import Sign, covered, detector, draw, picture, reader

FPS = 10.0
SIZE = (640, 480)
GAP = 5  # frames from look to look
PRIVATE = "555-0142"
ORDINARY = "CAR WASH"


@dataclass(frozen=True)
class Line:
    """A line on the stage. blur: how far it is out of focus, in pixels."""

    text: str
    box: tuple[int, int, int, int] = (100, 100, 240, 128)
    score: float = 0.9
    confidence: float = 0.95
    blur: int = 0


@dataclass
class Stage:
    """What the camera sees, and what is asked about it."""

    lines: list[Line] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    judged: list[list[str]] = field(default_factory=list)

    def picture(self) -> RgbPicture:
        """A pattern of its own for each text, like letters of half the line's height."""
        rgb = np.full((3, SIZE[1], SIZE[0]), 128, np.uint8)
        for line in self.lines:
            x1, y1, x2, y2 = line.box
            seed = int.from_bytes(hashlib.sha256(line.text.encode()).digest()[:4])
            cells = np.random.default_rng(seed).integers(0, 2, (4, 60), np.uint8) * 200
            size = max((y2 - y1) // 4, 1)
            letters = np.repeat(np.repeat(cells, size, 0), size, 1)[: y2 - y1, : x2 - x1]
            if line.blur:
                letters = np.asarray(cv2.GaussianBlur(letters, (0, 0), line.blur))
            rgb[:, y1 : y1 + letters.shape[0], x1 : x1 + letters.shape[1]] = letters
        return RgbPicture(rgb)

    def infer(self, frame_id, image):
        boxes = np.array([line.box for line in self.lines], np.float32).reshape(-1, 4)
        scores = np.array([line.score for line in self.lines], np.float32)
        quads = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        return frame_id, Detections(boxes, scores, label="text", quads=quads)

    def read(self, picture, quads):
        by_place = {line.box[:2]: line for line in self.lines}
        lines = [by_place[tuple(quad[0].astype(int).tolist())] for quad in quads]
        self.reads += [line.text for line in lines]
        return [Reading(line.text, line.confidence) for line in lines]

    def judge(self, lines):
        self.judged.append([line.text for line in lines])
        return [
            LineVerdict(Kind.PHONE, 0.9) if "555" in line.text else LineVerdict(None, 0.1)
            for line in lines
        ]


class Film:
    """Runs a lane over frames of a stage, and keeps what is hidden in each."""

    def __init__(self, stage: Stage, *, k_confirm: int = 1, lookahead_s: float = 1.0, **options):
        self.stage = stage
        options = {"plates": False, "hide_unread": False, **options}
        self.lane = TextLane(
            options.pop("detector", stage), options.pop("reader", stage),
            options.pop("judge", stage), TrackerSettings(0.5, k_confirm=k_confirm), *SIZE,
            lookahead_s=lookahead_s, **options,
        )  # fmt: skip
        self.next_id = 0
        self.hidden: dict[int, np.ndarray] = {}
        self.blind: list[tuple[float, float]] = []
        self.horizon = -math.inf

    def gap(self, *, cut: bool = False, frames: int = GAP) -> Gap:
        image = self.stage.picture()
        ids = range(self.next_id, self.next_id + frames)
        self.next_id += frames
        motions = [Motion(IDENTITY)] * frames
        if cut:
            motions[0] = Motion(IDENTITY, cut=True)
        return Gap(tuple(Frame(n, n / FPS, n, image) for n in ids), tuple(motions))

    def look(self, *lines: Line, cut: bool = False, fail: bool = False) -> Findings:
        """Put lines on the stage, and look at it at the end of the next gap."""
        self.stage.lines = list(lines)
        gap = self.gap(cut=cut)
        self.lane.enter(gap)
        evidence = None if fail else self.lane.look(gap)
        return self.note(self.lane.absorb(gap, evidence))

    def note(self, findings: Findings) -> Findings:
        self.blind += findings.blind
        self.horizon = max(self.horizon, findings.horizon)
        released = [n for n in range(self.next_id) if n / FPS <= self.horizon]
        for n in released:
            self.hidden.setdefault(n, self.lane.regions(n)[0])
        return findings

    def end(self) -> None:
        self.note(self.lane.finish())

    def hides(self, frame_id: int, line: Line) -> bool:
        """Whether a line's place is hidden in a frame that was released."""
        return covered(np.array(line.box), self.hidden[frame_id]) > 0.99


def film(*looks: tuple[Line, ...], **options) -> Film:
    result = Film(Stage(), **options)
    for lines in looks:
        result.look(*lines)
    result.end()
    return result


SECRET = Line(PRIVATE)
PLAIN = Line(ORDINARY, (300, 200, 460, 230))

# -- hiding -------------------------------------------------------------------------------------


def test_private_lines_are_hidden_from_their_first_frame_and_others_never():
    played = film((), (SECRET, PLAIN), (SECRET, PLAIN), (PLAIN,), (PLAIN,))
    for n in range(GAP, 4 * GAP):
        assert played.hides(n, SECRET), n
    for n in range(5 * GAP):
        assert not played.hides(n, PLAIN), n
    assert played.lane.found == 1


@pytest.mark.parametrize("k_confirm", [1, 2])
def test_a_private_line_stays_hidden_through_a_missed_look(k_confirm):
    played = film((SECRET,), (SECRET,), (), (SECRET,), (SECRET,), k_confirm=k_confirm)
    assert all(played.hides(n, SECRET) for n in range(5 * GAP))
    assert played.stage.reads == [PRIVATE]


def test_a_private_line_stays_hidden_even_if_it_says_something_else_later():
    now_plain = replace(SECRET, text=ORDINARY)
    played = film((SECRET,), *[(now_plain,)] * 4)
    assert all(played.hides(n, SECRET) for n in range(5 * GAP))
    assert played.stage.reads == [PRIVATE]


def test_lines_beyond_what_one_look_can_read_are_hidden_until_they_are_read():
    lines = [Line(f"{ORDINARY} {i}", (10, 10 + 22 * i, 330, 26 + 22 * i)) for i in range(20)]
    affordable = int(READ_LENGTH // (320 / 16))
    played = Film(Stage(), lookahead_s=0.0)
    played.look(*lines)
    assert len(played.stage.reads) == affordable
    boxes, tracks = played.lane.regions(0)
    assert len(tracks) == len(lines) - affordable
    for _ in range(5):
        played.look(*lines)
    assert sorted(played.stage.reads) == sorted(line.text for line in lines)
    assert len(played.lane.regions(played.next_id - 1)[0]) == 0
    assert played.lane.found == 0
    assert boxes.dtype == np.float32


def test_large_lines_are_read_first():
    small = [Line(f"SMALL {i}", (10, 10 + 22 * i, 330, 26 + 22 * i)) for i in range(8)]
    large = Line("LARGE", (10, 300, 500, 360))
    played = film((*small, large))
    assert played.stage.reads[0] == "LARGE"


@pytest.mark.parametrize("hide_unread", [False, True])
def test_lines_that_cannot_be_read_are_hidden_on_request(hide_unread):
    smear = Line("~~~~", confidence=0.2)
    played = film((smear,), (smear,), (smear,), hide_unread=hide_unread)
    assert all(played.hides(n, smear) is hide_unread for n in range(3 * GAP))
    assert played.stage.judged == []


def test_a_faint_line_is_read_once_it_is_seen_better():
    faint = replace(SECRET, score=0.3)
    played = Film(Stage())
    played.look(faint)
    assert played.stage.reads == []
    assert len(played.lane.regions(0, unsure=True)[0]) == 1  # a hurried frame hides it
    played.look(SECRET)
    played.end()
    assert all(played.hides(n, SECRET) for n in range(2 * GAP))


def test_the_pieces_of_a_private_line_are_private():
    whole = Line(f"{PRIVATE} AND MORE", (100, 100, 340, 128))
    left = Line("AND", (100, 100, 250, 128))
    right = Line("MORE", (256, 100, 340, 128))
    played = film((whole,), (whole,), (left, right), (left, right))
    for n in range(4 * GAP):
        assert played.hides(n, left), n
        assert played.hides(n, right), n


def test_plates_are_hidden_whole():
    plate = Line("7ABC123", (300, 200, 400, 224))
    (outer,) = plate_boxes(np.array([plate.box], np.float32))
    played = film((plate,), (plate,), plates=True)
    assert all(covered(outer, played.hidden[n]) > 0.99 for n in range(2 * GAP))
    assert not film((plate,), (plate,), plates=False).hides(3, plate)


# -- reading ------------------------------------------------------------------------------------


def test_a_line_is_read_once_a_track():
    played = film(*[(SECRET, PLAIN)] * 8)
    assert sorted(played.stage.reads) == sorted([PRIVATE, ORDINARY])
    assert len(played.stage.judged) == 1


def test_a_line_that_has_grown_is_read_again():
    near = replace(PLAIN, box=(270, 180, 500, 223))
    played = film((PLAIN,), (PLAIN,), (near,), (near,))
    assert played.stage.reads == [ORDINARY] * 2


def test_a_line_that_was_hard_to_read_is_read_again_when_it_is_sharper():
    blurred = Line("CAR WA", PLAIN.box, confidence=0.7, blur=2)
    sharp = replace(PLAIN, text="CAR WA")
    played = film((blurred,), (blurred,), (sharp,), (sharp,))
    assert len(played.stage.reads) == 2


def test_a_line_of_which_more_comes_into_view_is_read_again():
    part = Line("CALL 55", (500, 100, 600, 124))
    whole = Line("CALL 555-0142", (468, 100, 600, 124))
    played = film((part,), (part,), (whole,), (whole,))
    assert played.stage.reads == ["CALL 55", "CALL 555-0142"]
    assert played.hides(4 * GAP - 1, whole)


def test_a_place_that_says_something_else_is_read_again():
    """Subtitles, tickers: the same box, and another text."""
    subtitle = replace(SECRET, text="good evening")
    played = film((subtitle,), (subtitle,), (SECRET,), (SECRET,))
    assert played.stage.reads == ["good evening", PRIVATE]
    for n in range(2 * GAP, 4 * GAP):
        assert played.hides(n, SECRET), n


def test_what_never_reads_well_is_not_read_at_every_look():
    looks = [(Line(f"leaves {i}", confidence=0.2),) for i in range(20)]
    assert len(film(*looks).stage.reads) <= 8


def test_a_line_on_the_other_side_of_a_cut_is_another_line():
    played = Film(Stage())
    played.look(PLAIN)
    played.look(replace(SECRET, box=PLAIN.box), cut=True)
    played.end()
    assert played.stage.reads == [ORDINARY, PRIVATE]
    assert played.hides(GAP, PLAIN)
    assert not played.hides(GAP - 1, PLAIN)


# -- judging ------------------------------------------------------------------------------------


def test_a_new_neighbour_is_judged_with_what_was_read_before():
    played = film((PLAIN,), (PLAIN,), (PLAIN, Line("742")))
    assert played.stage.judged == [[ORDINARY], [ORDINARY, "742"]]


def test_a_street_and_its_number_are_one_address():
    street = Line("Evergreen Street", (100, 100, 260, 124))
    number = Line("742", (270, 100, 306, 124))
    judge = LineJudge(None, hide=[Kind.ADDRESS], threshold=0.5)
    played = film((street, number), (street, number), judge=judge)
    assert played.hides(3, street)
    assert played.hides(3, number)
    assert not film((number,), (number,), judge=judge).hides(3, number)


# -- failing closed -----------------------------------------------------------------------------


class _Broken:
    """A reader and judge that answers what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def read(self, picture, quads):
        return self.answer(quads)

    def judge(self, lines):
        return self.answer(lines)


def _raise(_):
    raise RuntimeError(PRIVATE)


@pytest.mark.parametrize(
    "answer",
    [
        _raise, lambda _: [], lambda q: [Reading("x", 0.9)] * (len(q) + 1),
        lambda q: [Reading("x", math.nan)] * len(q), lambda q: [Reading("x", 1.5)] * len(q),
    ],
)  # fmt: skip
def test_a_reader_that_fails_leaves_the_gap_unjudged(answer):
    played = Film(Stage(), reader=_Broken(answer))
    with pytest.raises((InferenceError, RuntimeError)):
        played.look(SECRET)
    findings = played.look(SECRET, fail=True)
    assert findings.blind


@pytest.mark.parametrize(
    "answer",
    [_raise, lambda _: [], lambda lines: [LineVerdict(None, math.nan)] * len(lines)],
)
def test_a_judge_that_fails_leaves_the_gap_unjudged(answer):
    with pytest.raises((InferenceError, RuntimeError)):
        Film(Stage(), judge=_Broken(answer)).look(SECRET)


def test_a_detector_without_corners_is_an_error():
    class Cornerless(Stage):
        def infer(self, frame_id, image):
            _, seen = super().infer(frame_id, image)
            return frame_id, Detections(seen.boxes, seen.scores)

    with pytest.raises(InferenceError, match="corners"):
        Film(Cornerless()).look(SECRET)


def test_a_line_that_the_tracker_takes_for_another_one_counts_as_unread():
    played = Film(Stage())
    played.look(PLAIN)
    gap = played.gap()
    played.lane.enter(gap)
    (sight,) = played.lane.look(gap)
    assert sight.notes.notes[0].reading is None  # known, so it was not read again
    played.lane.learn(sight, [77])
    assert played.lane._hides(77)


def test_a_track_that_nothing_is_known_of_is_hidden():
    assert Film(Stage()).lane._hides(1)


LOOKS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from(["good", "good", "fail", "cut"])),
    min_size=1, max_size=14,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(LOOKS, st.sampled_from([0.0, 0.7]), st.booleans())
def test_whatever_happens_a_private_line_that_a_look_saw_is_hidden_around_it(
    story, lookahead_s, hide_unread
):
    played = Film(Stage(), lookahead_s=lookahead_s, hide_unread=hide_unread)
    there: dict[int, bool] = {}
    cuts = set()
    for secret, plain, event in story:
        start = played.next_id
        if event == "cut":
            cuts.add(start)
        lines = [line for line, shown in ((SECRET, secret), (PLAIN, plain)) if shown]
        played.look(*lines, cut=event == "cut", fail=event == "fail")
        if event != "fail" and secret:
            # Seen at this look: true for the gap before it, up to the cut or the look before.
            for n in range(start, played.next_id):
                there[n] = True
    played.end()
    for n, boxes in played.hidden.items():
        blind = any(start <= n / FPS <= end for start, end in played.blind)
        if there.get(n) and not blind:
            assert covered(np.array(SECRET.box), boxes) > 0.99, n


# -- keeping nothing ----------------------------------------------------------------------------


def kept(lane: TextLane) -> list[Reading]:
    return [line.reading for line in lane._lines.values() if line.reading is not None]


@pytest.mark.parametrize("how", ["gone", "cut", "pause", "finish"])
def test_what_was_read_goes_with_its_track(how):
    played = Film(Stage())
    played.look(SECRET)
    played.look(SECRET)
    assert len(kept(played.lane)) == 1
    if how == "gone":
        for _ in range(4):
            played.look()
    elif how == "cut":
        played.look(cut=True)
    elif how == "pause":
        played.lane.pause()
    else:
        played.lane.finish()
    assert kept(played.lane) == []
    assert all(line.imprint is None for line in played.lane._lines.values())
    assert covered(np.array(SECRET.box), played.lane.regions(3)[0]) > 0.99  # the verdict stays


def test_nothing_is_kept_of_frames_that_have_left():
    played = Film(Stage())
    for i in range(40):
        played.look(replace(SECRET, text=f"555-{i}"), cut=True)
        played.lane.forget(played.next_id)
    assert len(played.lane._lines) <= 2


def test_no_text_is_in_any_repr_or_log(caplog):
    caplog.set_level(logging.DEBUG)
    played = Film(Stage())
    played.stage.lines = [SECRET]
    gap = played.gap()
    played.lane.enter(gap)
    evidence = played.lane.look(gap)
    played.lane.absorb(gap, evidence)
    for thing in (evidence, evidence[0].notes, played.lane, played.lane._lines, kept(played.lane)):
        assert PRIVATE not in repr(thing)
    assert PRIVATE not in caplog.text


def test_a_worker_tells_of_a_broken_reader_without_its_words(caplog):
    """Told to the user: that it failed, and with which class of error."""
    caplog.set_level(logging.INFO)
    played = Film(Stage([SECRET]), reader=_Broken(_raise))
    events, findings = [], []
    worker = LaneWorker(
        played.lane, on_findings=lambda _, found: findings.append(found),
        on_event=events.append, stall_timeout_s=60,
    )  # fmt: skip
    worker.start()
    worker.submit(played.gap(), lambda: False)
    worker.end()
    worker.join(60)
    assert [(event.start, event.end) for event in events] == [(0.0, (GAP - 1) / FPS)]
    assert "RuntimeError" in events[0].reason
    assert PRIVATE not in repr(events) + repr(findings) + caplog.text


def test_renewed_parts_are_used_from_the_next_look_on():
    played = Film(Stage())
    played.look(PLAIN)
    other = Stage([SECRET])
    played.lane.renew(other, other, other)
    played.look(SECRET)
    assert other.reads == [PRIVATE]
    assert played.stage.reads == [ORDINARY]


# -- with real models ---------------------------------------------------------------------------


def test_a_panning_camera_shows_the_shop_and_not_the_phone_number():
    shop, phone = Sign("NO PARKING", 80, 60, 28), Sign("Call +44 20 7946 0958", 300, 260, 24)
    judge = LineJudge(None, hide=[Kind.PHONE], threshold=0.5)
    lane = TextLane(
        detector(), reader(), judge, TrackerSettings(0.5, k_confirm=1), 960, 544,
        lookahead_s=0.4, plates=False, hide_unread=True,
    )  # fmt: skip
    step, truth = 3, {}
    for number in range(4):
        frames, motions = [], []
        for n in range(number * 5, number * 5 + 5):
            dx = step * n
            signs = [replace(sign, x=sign.x + dx) for sign in (shop, phone)]
            rgb, truth[n] = draw(*signs)
            frames.append(Frame(n, n / FPS, n, picture(rgb)))
            motions.append(Motion(np.array([[1, 0, step], [0, 1, 0]], np.float64)))
        gap = Gap(tuple(frames), tuple(motions))
        lane.enter(gap)
        lane.absorb(gap, lane.look(gap))
    lane.finish()
    assert lane.found == 1
    for n, (shop_box, phone_box) in truth.items():
        hidden = lane.regions(n)[0]
        assert covered(phone_box, hidden) > 0.95, n
        assert covered(shop_box, hidden) == 0, n
