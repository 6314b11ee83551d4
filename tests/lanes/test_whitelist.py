"""Who may be seen: told as stories of looks, and as properties of any story."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lanes.whitelist import CROSSING, MARGIN, STEADY_IOU, STRIDE, Sighting, Whitelist, overlap

GAP = 5
FPS = 25.0
VOTES = 3
THRESHOLD = 0.5
HERE, THERE, YONDER = 0, 300, 600
"""Where faces are, pixels from the left."""

Likeness = Sequence[float] | None
OWNER, STRANGER, TURNED = (0.8, 0.0), (0.1, 0.05), None
OTHER = (0.0, 0.8)


def box(x: float, size: float = 100.0) -> np.ndarray:
    return np.array([x, 50, x + size, 50 + size], np.float64)


def face(track: int, likeness: Likeness, x: float = HERE, *, before: float | None = -1) -> Sighting:
    """before: where it was expected; -1 for here, None for a track's first sighting."""
    expected = box(x) if before == -1 else None if before is None else box(before)
    vector = None if likeness is None else np.array(likeness, np.float32)
    return Sighting(track, box(x), expected, vector)


class Story:
    """Looks GAP frames apart, of two enrolled people."""

    def __init__(self, *, votes: int = VOTES, recheck_s: float = 1.0) -> None:
        self.whitelist = Whitelist([THRESHOLD, THRESHOLD], votes=votes, recheck_s=recheck_s)
        self.frame = -GAP

    def look(self, *faces: Sighting, absent: Sequence[np.ndarray] = ()) -> int:
        self.frame += GAP
        self.whitelist.observe(self.frame, self.frame / FPS, faces, absent)
        return self.frame

    def looks(self, count: int, *faces: Sighting) -> int:
        for _ in range(count):
            self.look(*faces)
        return self.frame

    def seen(self, track: int) -> set[int]:
        """Frames in which a track is visible."""
        return {f for f in range(self.frame + 2 * GAP) if self.whitelist.visible(track, f)}


def frames(first: int, last: int) -> set[int]:
    return set(range(first, last + 1))


# -- the plain course ----------------------------------------------------------------------------


def test_a_face_is_hidden_until_enough_looks_agree_and_then_from_its_start() -> None:
    story = Story()
    story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == set()
    last = story.look(face(1, OWNER))
    assert story.seen(1) == frames(0, last)
    last = story.look(face(1, OWNER))
    assert story.seen(1) == frames(0, last)


def test_nothing_after_the_last_agreeing_look_is_proven() -> None:
    story = Story()
    last = story.looks(VOTES, face(1, OWNER))
    story.looks(3, face(1, TURNED))
    assert story.seen(1) == frames(0, last)


def test_a_stranger_is_never_seen() -> None:
    story = Story()
    story.looks(50, face(1, STRANGER))
    assert story.seen(1) == set()


def test_the_look_back_covers_the_same_track_turned_away_but_not_for_long() -> None:
    story = Story(recheck_s=1.0)
    story.looks(20, face(1, TURNED))
    first = story.look(face(1, OWNER))
    last = story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == frames(first - int(FPS), last)


def test_the_owner_turned_away_is_hidden_once_a_recheck_is_due() -> None:
    story = Story(recheck_s=1.0)
    proven = story.looks(VOTES, face(1, OWNER))
    story.looks(10, face(1, TURNED))
    back = story.look(face(1, OWNER))
    assert story.seen(1) == frames(0, proven), "one look after so long proves nothing"
    last = story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == frames(0, proven) | frames(back, last)


def test_a_short_look_away_between_two_agreeing_looks_does_not_hide() -> None:
    story = Story(recheck_s=1.0)
    story.looks(VOTES, face(1, OWNER))
    story.looks(3, face(1, TURNED))
    last = story.look(face(1, OWNER))
    assert story.seen(1) == frames(0, last)


# -- what a shared vote gets wrong ---------------------------------------------------------------


def test_a_stranger_who_enters_as_the_owner_leaves_inherits_nothing() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    story.look(face(2, STRANGER, THERE, before=None))
    story.looks(20, face(2, STRANGER, THERE))
    assert story.seen(1) == frames(0, proven)
    assert story.seen(2) == set()


def test_a_stranger_whom_the_tracker_takes_for_the_owner_is_not_shown() -> None:
    """The owner steps out, somebody steps in at the same place, and the track goes on."""
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    story.whitelist.settle(proven - GAP)
    for _ in range(20):
        story.look(face(1, STRANGER))
        assert story.seen(1) <= frames(0, proven - GAP), "what has not left is hidden again"


def test_two_strangers_beside_the_owner_get_none_of_the_votes() -> None:
    story = Story()
    last = story.looks(30, face(1, STRANGER, THERE), face(2, OWNER), face(3, STRANGER, YONDER))
    assert story.seen(2) == frames(0, last)
    assert story.seen(1) == story.seen(3) == set()


def test_strangers_who_resemble_the_owner_now_and_then_are_not_shown() -> None:
    story = Story()
    for turn in range(30):
        lucky = turn % 3
        story.look(*(
            face(track, OWNER if track == lucky else STRANGER, x)
            for track, x in ((0, HERE), (1, THERE), (2, YONDER))
        ))  # fmt: skip
    assert not (story.seen(0) | story.seen(1) | story.seen(2))


def test_two_enrolled_people_are_both_shown() -> None:
    story = Story()
    last = story.looks(VOTES, face(1, OWNER), face(2, OTHER, THERE))
    assert story.seen(1) == story.seen(2) == frames(0, last)


# -- one person, two tracks ----------------------------------------------------------------------


def test_of_two_who_resemble_one_person_only_the_clear_best_is_shown() -> None:
    story = Story()
    last = story.looks(10, face(1, (0.8, 0)), face(2, (0.8 - MARGIN - 0.01, 0), THERE))
    assert story.seen(1) == frames(0, last)
    assert story.seen(2) == set()


def test_of_two_who_resemble_one_person_alike_neither_is_shown() -> None:
    """The owner beside a picture of the owner; see the test below for the picture alone."""
    story = Story()
    story.looks(10, face(1, (0.8, 0)), face(2, (0.75, 0), THERE))
    assert story.seen(1) == story.seen(2) == set()


def test_a_picture_of_the_owner_is_taken_for_the_owner() -> None:
    """A known limit: a photograph on a telephone is a face like any other. Nothing here tells it
    from a living one."""
    story = Story()
    last = story.looks(VOTES, face(9, OWNER, THERE))
    assert story.seen(9) == frames(0, last)


def test_two_tracks_proven_by_different_looks_to_be_one_person_are_both_hidden() -> None:
    story = Story()
    for turn in range(12):
        odd = turn % 2 == 1
        story.look(face(1, TURNED if odd else OWNER), face(2, OWNER if odd else TURNED, THERE))
    both = story.seen(1) | story.seen(2)
    assert both <= frames(0, 0) | frames(11 * GAP - GAP + 1, 11 * GAP)


def test_a_face_between_two_enrolled_people_is_neither() -> None:
    story = Story()
    story.looks(10, face(1, (0.7, 0.7 - MARGIN / 2)))
    assert story.seen(1) == set()


# -- when a track may have gone over to somebody else ----------------------------------------------


def test_crossing_hides_until_proven_anew() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER), face(2, STRANGER, THERE))
    touching = HERE + 100 - 100 * CROSSING - 1
    story.look(face(1, OWNER), face(2, STRANGER, touching, before=touching))
    story.looks(VOTES - 1, face(1, OWNER), face(2, STRANGER, THERE))
    assert story.seen(1) == frames(0, proven), "agreement before a crossing says nothing after it"
    first = story.frame - (VOTES - 2) * GAP
    last = story.look(face(1, OWNER), face(2, STRANGER, THERE))
    assert story.seen(1) == frames(0, proven) | frames(first, last)


def test_crossing_somebody_whom_the_look_missed_hides_too() -> None:
    """A stranger behind the owner: not seen, but expected there."""
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    story.look(face(1, OWNER), absent=[box(HERE + 20)])
    assert story.seen(1) == frames(0, proven)


def test_the_look_back_stops_at_a_crossing() -> None:
    story = Story(recheck_s=5.0)
    story.looks(3, face(1, TURNED), face(2, STRANGER, THERE))
    story.look(face(1, TURNED), face(2, STRANGER, HERE + 50))
    first = story.look(face(1, TURNED), face(2, STRANGER, THERE))
    last = story.looks(VOTES, face(1, OWNER), face(2, STRANGER, THERE))
    assert story.seen(1) == frames(first, last)


FAR = (1 - STEADY_IOU) / (1 + STEADY_IOU) * 100 + 1
"""A step after which boxes of 100 px overlap too little to be one face's for certain."""


def test_a_step_between_two_agreeing_looks_is_no_jump() -> None:
    story = Story()
    for step in range(6):
        story.look(face(1, OWNER, FAR * step, before=FAR * max(0, step - 1) if step else None))
    assert story.seen(1) == frames(0, story.frame)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_step_at_which_one_end_tells_nothing_hides(when: str) -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    if when == "before":
        story.look(face(1, TURNED))
        story.look(face(1, OWNER, FAR, before=HERE))
    else:
        story.look(face(1, TURNED, FAR, before=HERE))
        story.look(face(1, OWNER, FAR))
    story.looks(VOTES - 2, face(1, OWNER, FAR))
    assert story.seen(1) == frames(0, proven)


def test_a_face_that_grows_at_once_is_another() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    large = Sighting(1, box(HERE, 190), box(HERE), np.array(OWNER, np.float32))
    story.look(large)
    story.looks(VOTES - 2, Sighting(1, box(HERE, 190), box(HERE, 190), large.likeness))
    assert story.seen(1) == frames(0, proven)


def test_a_jump_hides_until_proven_anew() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    far = STRIDE * 100 + 1
    jumped = story.look(face(1, OWNER, far, before=HERE))
    story.looks(VOTES - 2, face(1, OWNER, far))
    assert story.seen(1) == frames(0, proven)
    last = story.look(face(1, OWNER, far))
    assert story.seen(1) == frames(0, proven) | frames(jumped, last)


def test_a_track_that_a_look_missed_is_proven_anew() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    story.look()
    back = story.looks(1, face(1, OWNER))
    assert story.seen(1) == frames(0, proven)
    last = story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == frames(0, proven) | frames(back, last)


def test_a_failed_look_interrupts() -> None:
    story = Story()
    proven = story.looks(VOTES, face(1, OWNER))
    story.whitelist.interrupt()
    story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == frames(0, proven)


def test_disagreement_hides_all_that_has_not_left() -> None:
    story = Story()
    last = story.looks(VOTES, face(1, OWNER))
    assert story.seen(1) == frames(0, last)
    story.whitelist.settle(4)
    story.look(face(1, STRANGER))
    assert story.seen(1) == frames(0, 4)
    story.looks(VOTES - 1, face(1, OWNER))
    assert story.seen(1) == frames(0, 4)
    again = story.frame - (VOTES - 2) * GAP
    last = story.look(face(1, OWNER))
    assert story.seen(1) == frames(0, 4) | frames(again, last), "never back over the disagreement"


def test_another_enrolled_person_in_the_same_track_is_a_disagreement() -> None:
    story = Story()
    story.looks(VOTES, face(1, OWNER))
    story.look(face(1, OTHER))
    assert story.seen(1) == set()


def test_a_recogniser_that_fails_proves_nobody() -> None:
    story = Story()
    story.looks(VOTES, face(1, OWNER))
    story.whitelist.settle(2)
    story.whitelist.distrust()
    assert story.seen(1) == frames(0, 2)


# -- the rest ------------------------------------------------------------------------------------


def test_settled_frames_are_never_shown_afterwards() -> None:
    story = Story()
    story.looks(VOTES - 1, face(1, OWNER))
    story.whitelist.settle(3)
    last = story.look(face(1, OWNER))
    assert story.seen(1) == frames(4, last)


def test_nobody_enrolled_nobody_shown() -> None:
    whitelist = Whitelist([], votes=1, recheck_s=1.0)
    whitelist.observe(0, 0.0, [Sighting(1, box(0), None, np.zeros(0, np.float32))])
    assert not whitelist.visible(1, 0)


def test_memory_does_not_grow() -> None:
    story = Story()
    for track in range(2000):
        story.look(face(track, OWNER if track % 7 else STRANGER))
        story.whitelist.forget(story.frame - 100)
    assert len(story.whitelist._records) < 30
    assert sum(len(record.spans) for record in story.whitelist._records.values()) < 30


def test_a_look_out_of_order_and_a_likeness_without_a_value_are_refused() -> None:
    story = Story()
    story.look(face(1, OWNER))
    with pytest.raises(ValueError, match="after"):
        story.whitelist.observe(0, 0.0, [])
    with pytest.raises(ValueError, match="finite"):
        story.look(face(1, (np.nan, 0.0)))


def test_nothing_biometric_is_printed() -> None:
    assert "0.8" not in repr(face(1, OWNER))


def test_overlap_is_a_part_of_the_smaller_box() -> None:
    inside = np.array([[10, 60, 20, 70]])
    assert overlap(box(0)[None], inside) == 1
    assert overlap(box(0)[None], box(95)[None])[0, 0] == pytest.approx(0.05)
    assert overlap(np.zeros((1, 4)), box(0)[None]) == 0


# -- any story -----------------------------------------------------------------------------------

_LIKENESSES = (OWNER, OWNER, OWNER, OTHER, STRANGER, TURNED, (0.8, 0.75))
_one_face = st.tuples(
    st.sampled_from([1, 2, 3]),
    st.sampled_from(_LIKENESSES),
    st.sampled_from([HERE, HERE, HERE, 60]),
    st.booleans(),
)
_event = st.tuples(
    st.lists(_one_face, max_size=3, unique_by=lambda one: one[0]),
    st.sampled_from(["look", "look", "look", "look", "interrupt", "distrust", "settle"]),
)


def _agrees(likeness: Likeness) -> int | None:
    return 0 if likeness == OWNER else 1 if likeness == OTHER else None


@settings(max_examples=150, deadline=None)
@given(st.lists(_event, max_size=30), st.integers(1, 4), st.sampled_from([0.25, 1.0]))
def test_whoever_is_shown_was_known_by_enough_looks_around_that_frame(
    events: list[tuple[list[tuple[int, Likeness, int, bool]], str]], votes: int, recheck_s: float
) -> None:
    """An oracle that knows the whole story afterwards, and is told nothing of the rules' state."""
    story = Story(votes=votes, recheck_s=recheck_s)
    looks: list[tuple[int, dict[int, Likeness]]] = []
    settled, final = -1, {}
    for faces, kind in events:
        if kind == "interrupt":
            story.whitelist.interrupt()
        elif kind == "distrust":
            story.whitelist.distrust()
        elif kind == "settle":
            settled = max(settled, story.frame - GAP)
            story.whitelist.settle(settled)
            final = {(t, f): story.whitelist.visible(t, f)
                     for t in (1, 2, 3) for f in range(settled + 1)}  # fmt: skip
        else:
            sightings = [
                face(track, likeness, YONDER * track + x, before=None if jumps else -1)
                for track, likeness, x, jumps in faces
            ]
            frame = story.look(*sightings)
            looks.append((frame, {track: likeness for track, likeness, _, _ in faces}))
        for (track, frame), verdict in final.items():
            assert story.whitelist.visible(track, frame) == verdict, "a settled verdict changed"
        shown = {t: story.seen(t) for t in (1, 2, 3)}
        for track, visible in shown.items():
            for frame in visible:
                _check_proven(track, frame, looks, votes, recheck_s)
        for frame in set().union(*shown.values()):
            people = [
                story.whitelist._proven(track, frame) for track in shown if frame in shown[track]
            ]
            assert len(set(people)) == len(people), "one person, two tracks"


def _check_proven(
    track: int,
    frame: int,
    looks: list[tuple[int, dict[int, Likeness]]],
    votes: int,
    recheck_s: float,
) -> None:
    """A run of agreeing looks holds the frame, or begins at most recheck_s after it."""
    for person in (0, 1):
        run: list[int] = []
        start = None
        for at, faces in looks:
            if track not in faces:
                run, start = [], None
                continue
            likeness = faces[track]
            if likeness is not TURNED and _agrees(likeness) != person:
                run, start = [], None
                continue
            start = at if start is None else start
            if _agrees(likeness) == person:
                if run and (at - run[-1]) / FPS > recheck_s:
                    run, start = [], at
                run.append(at)
            if len(run) >= votes:
                first = max(start, run[0] - round(recheck_s * FPS))
                if first <= frame <= run[-1]:
                    return
    raise AssertionError(f"track {track} is shown in frame {frame} without proof")
