"""Identification and its statistics against scipy, and on galleries where the answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from benchmarks._attack import Attack, identify, tail


@given(st.integers(0, 120), st.floats(0.001, 0.9))
def test_tail_is_the_binomial_where_all_are_equal(trials, probability):
    expected = binom.sf(np.arange(trials + 1) - 1, trials, probability)
    assert tail([probability] * trials) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1), max_size=10))
def test_tail_of_unequal_chances_has_their_mean(probabilities):
    at_least = tail(probabilities)
    assert at_least[0] == pytest.approx(1)
    assert at_least[1:].sum() == pytest.approx(sum(probabilities), abs=1e-9)


def test_verdicts():
    people = 50
    guessing = Attack(1, (1 / people,) * 50, people)
    assert guessing.at_chance
    assert guessing.rate == guessing.chance == pytest.approx(0.02)
    assert guessing.chance_limit == 3
    assert Attack(guessing.chance_limit, guessing.guesses, people).at_chance
    assert not Attack(guessing.chance_limit + 1, guessing.guesses, people).at_chance
    nobody = Attack(0, (), people)
    assert (nobody.rate, nobody.chance, nobody.chance_limit, nobody.at_chance) == (0, 0, 0, True)
    together = guessing + Attack(2, (0.5, 0.5), people)
    assert (together.hits, together.probes) == (3, 52)
    assert set(together.to_json()) >= {"hits", "probes", "top1", "chance", "p_value", "at_chance"}


def test_identify():
    gallery = np.eye(4, dtype=np.float32)
    names = ["ann", "bob", "cho", "ann"]
    probes = np.array([[0.9, 0.4, 0, 0], [0, 0.9, 0.4, 0], [0.8, 0, 0.6, 0], [1, 0, 0, 0]])
    attack = identify(gallery, names, probes.astype(np.float32), ["ann", "bob", "cho", "stranger"])
    assert (attack.hits, attack.probes, attack.identities) == (2, 3, 3)
    # Two of four pictures show ann: a random pick names her half of the time.
    assert attack.guesses == (0.5, 0.25, 0.25)


def test_noise_is_at_chance_and_copies_are_not():
    rng = np.random.default_rng(3)
    gallery = rng.standard_normal((60, 128)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    names = [f"p{i}" for i in range(60)]
    noise = rng.standard_normal((60, 128)).astype(np.float32)
    assert identify(gallery, names, noise, names).at_chance
    assert identify(gallery, names, gallery, names).hits == 60
