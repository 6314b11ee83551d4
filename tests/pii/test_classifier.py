from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors
from edge.pii import classifier as module
from edge.pii import ngrams
from edge.pii.classifier import CLASSES, MAX_BATCH, MAX_BYTES, TextClassifier, read_weights


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return TextClassifier.load()


def test_the_file_is_small_and_the_released_one() -> None:
    assert len(read_weights()) <= MAX_BYTES


@pytest.mark.parametrize("damage", ["one bit", "cut short", "too long", "missing"])
def test_a_damaged_file_is_told_of(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(read_weights())
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / module.WEIGHTS
    if damage == "one bit":
        data[len(data) // 2] ^= 1
    elif damage == "cut short":
        data = data[: len(data) // 2]
    elif damage == "too long":
        data += bytes(MAX_BYTES)
    if damage != "missing":
        path.write_bytes(data)
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match="Install privaedge again"):
        TextClassifier.load()


@given(st.lists(st.text(max_size=60), max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_lines_get_probabilities(classifier: TextClassifier, lines: list[str]) -> None:
    result = classifier.classify(lines)
    assert result.shape == (len(lines), len(CLASSES))
    assert result.dtype == np.float32
    assert np.allclose(result.sum(1), 1, atol=1e-3)


def test_a_line_gets_the_same_alone_and_among_others(classifier: TextClassifier) -> None:
    lines = ["Jane Doe", "EXIT", "12 Baker Street", "a much longer line of quite ordinary words"]
    together = classifier.classify(lines * (MAX_BATCH // 2))[: len(lines)]
    alone = np.concatenate([classifier.classify([line]) for line in lines])
    assert np.allclose(together, alone, atol=1e-5)


def test_lines_without_letters_or_digits_are_ordinary(classifier: TextClassifier) -> None:
    assert classifier.classify(["", "---", "★ ★"]).tolist() == [[1, 0, 0]] * 3


@pytest.mark.parametrize(
    "answer",
    [
        np.full((1, 3), np.nan, np.float32),
        np.full((1, 3), 0.9, np.float32),
        np.zeros((1, 2), np.float32),
        np.zeros((3,), np.float32),
    ],
)
def test_nonsense_is_refused(answer: np.ndarray) -> None:
    class Engine:
        inputs = ("ids", "weights")
        outputs = ("probabilities",)

        def run(self, feeds: Tensors) -> Tensors:
            return {"probabilities": answer}

    with pytest.raises(InferenceError):
        TextClassifier(Engine()).classify(["x"])


@given(st.text(max_size=200))
def test_buckets_are_sorted_unique_and_never_padding(text: str) -> None:
    found = ngrams.buckets(text)
    assert (np.diff(found) > 0).all()
    assert len(found) == 0 or (found[0] > 0 and found[-1] < ngrams.N_BUCKETS)


def test_the_hash_is_the_same_on_every_machine() -> None:
    assert ngrams.buckets("Jane").tolist()[:3] == [1350, 7407, 8790]


def test_numbers_cannot_be_learnt_by_heart() -> None:
    assert ngrams.buckets("12 Elm").tolist() == ngrams.buckets("73 Elm").tolist()
    assert ngrams.buckets("12 Elm").tolist() != ngrams.buckets("123 Elm").tolist()


def test_batches_are_padded_with_the_empty_bucket() -> None:
    ids, weights = ngrams.batch(["a", "", "a longer line"])
    assert ids.shape[0] == 3
    assert ids[1].tolist() == [0] * ids.shape[1]
    assert weights.shape == (3, 1)
    assert ngrams.batch([])[0].shape == (0, 1)
