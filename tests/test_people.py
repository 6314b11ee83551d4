from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.people import (
    LEAST_THRESHOLD,
    MOST_THRESHOLD,
    People,
    Person,
    check_name,
    most_alike,
    others_likeness,
    person_of,
)

D = 64


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def shots(seed: int, count: int, spread: float) -> np.ndarray:
    """Unit vectors around one direction."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=D)
    return unit(centre + spread * rng.normal(size=(count, D)))


def test_a_person_is_the_mean_of_their_shots() -> None:
    vectors = shots(1, 7, 0.3)
    person = person_of("Ann", vectors)
    assert np.allclose(person.direction, unit(vectors.mean(axis=0)), atol=1e-6)
    assert person.shots == 7
    assert person.likeness == pytest.approx(float(others_likeness(vectors).mean()))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.floats(0, 2))
def test_thresholds_stay_in_their_bounds(seed: int, count: int, spread: float) -> None:
    person = person_of("Ann", shots(seed, count, spread))
    assert LEAST_THRESHOLD <= person.threshold <= MOST_THRESHOLD


def test_shots_that_agree_make_a_stricter_threshold() -> None:
    assert person_of("a", shots(1, 8, 0.1)).threshold == MOST_THRESHOLD
    assert person_of("a", shots(1, 8, 1.5)).threshold == LEAST_THRESHOLD


def test_one_shot_is_judged_strictly_by_the_general_threshold() -> None:
    person = person_of("Ann", shots(1, 1, 0))
    assert (person.threshold, person.likeness, person.spread) == (LEAST_THRESHOLD, 1.0, 0.0)


def test_likeness_is_a_cosine_for_every_pair() -> None:
    ann, bob = person_of("Ann", shots(1, 3, 0.2)), person_of("Bob", shots(2, 3, 0.2))
    people = People("net", "00" * 32, (ann, bob))
    table = people.likeness(np.stack([ann.direction, bob.direction, -ann.direction]))
    assert table.shape == (3, 2)
    assert table.dtype == np.float32
    assert table[0, 0] == pytest.approx(1, abs=1e-5)
    assert table[2, 0] == pytest.approx(-1, abs=1e-5)
    assert people.nearest_other(ann) == ("Bob", pytest.approx(float(table[0, 1]), abs=1e-5))
    assert People("net", "00" * 32).likeness(table[:, :1]).shape == (3, 0)
    assert People("net", "00" * 32, (ann,)).nearest_other(ann) is None


def test_a_stated_threshold_holds_for_all() -> None:
    people = People("net", "", (person_of("Ann", shots(1, 3, 0.2)),))
    assert people.thresholds(0.3) == [0.3]
    assert people.thresholds() == [people.members[0].threshold]


def test_the_one_who_does_not_belong_is_found() -> None:
    vectors = [*shots(1, 5, 0.3), *shots(2, 1, 0.0)]
    assert most_alike(vectors, 0.45) == [True] * 5 + [False]
    assert most_alike([vectors[0], vectors[5]], 0.45).count(True) == 1
    assert most_alike([], 0.45) == []


@pytest.mark.parametrize(
    "name", ["", " Ann", "Ann ", "a\nb", "a\x1b[2J", "-x", "x" * 65, "\u202eAnn"]
)
def test_names_that_nobody_can_type_or_that_change_a_terminal_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a usable name"):
        check_name(name)


@pytest.mark.parametrize("name", ["Ann", "A", "Ann-Marie O'Neil", "李雷", "x" * 64])
def test_ordinary_names_are_fine(name: str) -> None:
    assert check_name(name) == name


def test_nothing_biometric_is_printed() -> None:
    person = person_of("Ann", shots(1, 3, 0.2))
    people = People("net", "00" * 32, (person,))
    for text in (repr(person), str(person), repr(people), f"{people}"):
        assert "array" not in text
        assert str(float(person.direction[0]))[:5] not in text


def test_another_models_people_are_refused() -> None:
    people = People("net", "00" * 32, (person_of("Ann", shots(1, 3, 0.2)),))
    people.check_model("renamed", "00" * 32)
    with pytest.raises(ConfigError, match="belong to model net") as caught:
        people.check_model("other", "11" * 32)
    assert "Enrol them anew" in str(caught.value)
    People("", "").check_model("any", "22" * 32)


def test_people_that_make_no_sense_are_refused() -> None:
    good = person_of("Ann", shots(1, 3, 0.2))
    with pytest.raises(ValueError, match="same name"):
        People("net", "", (good, good))
    with pytest.raises(ValueError, match="length"):
        People("net", "", (good, Person("Bob", np.array([1, 0], np.float32), 0.5, 1)))
    with pytest.raises(ValueError, match="length 1"):
        Person("Ann", np.full(D, np.nan, np.float32), 0.5, 1)
    with pytest.raises(ValueError, match="no mean"):
        person_of("Ann", np.stack([good.direction, -good.direction]))


def test_adding_replaces_and_removing_removes() -> None:
    ann, again = person_of("Ann", shots(1, 3, 0.2)), person_of("Ann", shots(2, 4, 0.2))
    people = People("net", "").with_person(ann).with_person(again)
    assert people.members == (again,)
    assert not people.without("Ann").members
    with pytest.raises(ConfigError, match="not enrolled"):
        people.without("Bob")
