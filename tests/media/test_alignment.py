"""Property tests: no picture is ever taken for another, and none is lost without need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.media.alignment import Alignment, Stamp

# Few times and contents, so that repeated, missing and equal ones come up all the time.
stamps = st.builds(
    Stamp,
    ticks=st.none() | st.integers(0, 5),
    width=st.sampled_from([64, 128]),
    height=st.just(48),
    fingerprint=st.sampled_from([b"a", b"b", b"c"]),
)
lists = st.lists(stamps, max_size=30)


def distinct(count: int) -> list[Stamp]:
    return [Stamp(n, 64, 48, bytes([n])) for n in range(count)]


def align(first: list[Stamp], second: list[Stamp]) -> list[int | None]:
    alignment = Alignment()
    assert [alignment.expect(stamp) for stamp in first] == list(range(len(first)))
    return [alignment.place(stamp) for stamp in second]


@given(lists)
def test_decoders_that_agree_lose_nothing(pictures: list[Stamp]) -> None:
    assert align(pictures, pictures) == list(range(len(pictures)))


@given(lists, lists)
def test_only_equal_pictures_are_taken_for_one_another(
    first: list[Stamp], second: list[Stamp]
) -> None:
    for picture, serial in zip(second, align(first, second), strict=True):
        assert serial is None or first[serial] == picture


@given(lists, lists)
def test_no_place_is_taken_twice_or_out_of_order(first: list[Stamp], second: list[Stamp]) -> None:
    taken = [serial for serial in align(first, second) if serial is not None]
    assert taken == sorted(set(taken))


@given(st.integers(0, 40), st.data())
def test_skipped_pictures_leave_their_places_empty_and_no_others(
    count: int, data: st.DataObject
) -> None:
    first = distinct(count)
    kept = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    shown = [n for n in range(count) if kept[n]]
    assert align(first, [first[n] for n in shown]) == shown


@given(st.integers(0, 30), st.lists(st.integers(0, 29), max_size=10))
def test_pictures_that_nobody_has_seen_disturb_nothing(count: int, where: list[int]) -> None:
    first = distinct(count)
    second: list[Stamp] = list(first)
    for at in where:
        second.insert(min(at, len(second)), Stamp(at, 64, 48, b"other"))
    placed = align(first, second)
    assert [serial for serial in placed if serial is not None] == list(range(count))


@given(lists, st.data())
def test_expecting_and_placing_may_take_turns(pictures: list[Stamp], data: st.DataObject) -> None:
    """The first decoder runs ahead by any number of pictures."""
    alignment = Alignment()
    expected = placed = 0
    while placed < len(pictures):
        ahead = data.draw(st.booleans()) if placed < expected < len(pictures) else placed < expected
        if ahead:
            assert alignment.place(pictures[placed]) == placed
            placed += 1
        else:
            assert alignment.expect(pictures[expected]) == expected
            expected += 1
        assert alignment.idle == (placed == expected)
        assert alignment.is_over(placed - 1)
        assert not alignment.is_over(placed)


@given(st.integers(1, 20), st.data())
def test_a_place_that_was_passed_over_is_not_taken_any_more(
    count: int, data: st.DataObject
) -> None:
    first = distinct(count)
    gone = data.draw(st.integers(0, count - 1))
    alignment = Alignment()
    for stamp in first:
        alignment.expect(stamp)
    alignment.pass_over(gone)
    assert alignment.is_over(gone)
    assert [alignment.place(stamp) for stamp in first] == [
        None if n <= gone else n for n in range(count)
    ]
