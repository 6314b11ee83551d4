"""The training of the classifier of lines, on a handful of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inference.onnx import OnnxEngine
from edge.pii import ngrams

pytest.importorskip("sklearn", reason="training needs scikit-learn")
pytest.importorskip("faker", reason="training needs Faker")

from export.train.lines import network, vocabulary
from export.train.lines.noise import misread

LINES = {
    0: ["exit", "no parking", "fresh juice", "open daily", "sale", "mind the gap", "tickets",
        "wet floor"],
    1: ["Jane Doe", "Tan Wei Ming", "Maria Lopez", "John Smith", "Anna Berg", "Omar Khan", "Li Na"],
    2: ["12 Elm Street", "5 Oak Road", "Blk 3 Bedok Ave 2", "77 Hill Lane", "9 Mill Close",
        "4 Park Way"],
}  # fmt: skip
TEXTS = [text for texts in LINES.values() for text in texts] * 200
LABELS = [label for label, texts in LINES.items() for _ in texts] * 200


@pytest.fixture(scope="module")
def weights() -> network.Weights:
    return network.fit(TEXTS, LABELS, hidden=8, epochs=20, seed=1)


def test_it_learns_what_it_is_shown(weights: network.Weights) -> None:
    assert (weights.logits(TEXTS).argmax(1) == LABELS).mean() > 0.95


def test_the_onnx_file_computes_the_same(weights: network.Weights) -> None:
    calibrated = network.calibrate(weights, TEXTS, LABELS, false_alarms=0.05)
    engine = OnnxEngine(network.to_onnx(calibrated), "lines")
    texts = [*LINES[0], *LINES[1], *LINES[2], "", "something new"]
    ids, scale = ngrams.batch(texts)
    found = engine.run({"ids": ids, "weights": scale})["probabilities"]
    logits = calibrated.logits(texts)
    expected = np.exp(logits - logits.max(1, keepdims=True))
    assert np.allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-4)


def test_calibration_sets_the_share_of_false_alarms(weights: network.Weights) -> None:
    ordinary = [f"{a} {b}" for a in LINES[0] for b in (*LINES[0], "street", "doe")]
    texts = [*ordinary, *LINES[1], *LINES[2]]
    labels = [0] * len(ordinary) + [1] * len(LINES[1]) + [2] * len(LINES[2])
    logits = network.calibrate(weights, texts, labels, false_alarms=0.25).logits(ordinary)
    private = np.logaddexp.reduce(logits[:, 1:], axis=1) >= logits[:, 0]
    assert abs(private.mean() - 0.25) < 0.05


@given(st.text(min_size=1), st.integers(0, 99))
def test_misreading_leaves_something(text: str, seed: int) -> None:
    assert misread(text, random.Random(seed), 0.5)


def test_the_vocabulary_is_split_once_and_for_all() -> None:
    words = [entry for entries in vocabulary.signs().values() for entry in entries]
    assert len(words) > 3000
    held_out = vocabulary.split(words, held_out=True)
    known = vocabulary.split(words, held_out=False)
    assert len(held_out) + len(known) == len(words)
    assert not set(held_out) & set(known)
    assert 0.02 < len(held_out) / len(words) < 0.1


def test_names_of_a_locale() -> None:
    names = vocabulary.names_of("en_GB")
    assert "Smith" in names.last
    assert len(names.first) > 300
