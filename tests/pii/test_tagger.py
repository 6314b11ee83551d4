"""The small tagger: its features, its weights, and what it does when something is wrong."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.pii import tagger as module
from edge.pii import word_features
from edge.pii.spans import Kind
from edge.pii.tagger import LABELS, WordTagger, load_word_tagger


@pytest.fixture(scope="module")
def tagger() -> WordTagger:
    return load_word_tagger()


def _kinds(tagger: WordTagger, text: str) -> list[Kind | None]:
    return [LABELS[at].kind for at in tagger.scores(text.split()).argmax(axis=1)]


def test_knows_names_places_and_addresses_in_lower_case(tagger: WordTagger) -> None:
    text = "yesterday rachel cooper moved from chicago to fourteen maple street"
    kinds = _kinds(tagger, text)
    assert kinds[:3] == [None, Kind.NAME, Kind.NAME]
    assert kinds[5] is Kind.PLACE
    assert kinds[-3:] == [Kind.ADDRESS] * 3


@pytest.mark.parametrize(
    "text",
    [
        "i was shopping and typing all day that is my opinion",
        "and so my fellow americans ask not what your country can do for you",
        "let me show you how to cook the best pasta in ten minutes",
    ],
)
def test_leaves_ordinary_speech(tagger: WordTagger, text: str) -> None:
    assert set(_kinds(tagger, text)) == {None}


def test_rows_are_probabilities_for_any_number_of_words(tagger: WordTagger) -> None:
    assert tagger.scores([]).shape == (0, len(LABELS))
    for count in (1, 2, 50):
        scores = tagger.scores(["tuesday"] * count)
        assert scores.shape == (count, len(LABELS))
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)


def test_same_words_same_scores(tagger: WordTagger) -> None:
    words = ["my", "name", "is", "anna", "and", "i", "live", "in", "oslo"]
    np.testing.assert_array_equal(tagger.scores(words), tagger.scores(words))


def test_weights_are_what_the_code_expects() -> None:
    path = module.resources.files("edge.pii") / "weights" / module.FILE
    data = path.read_bytes()
    assert len(data) < 5_000_000
    stated = {p.key: p.value for p in onnx.load_model_from_string(data).metadata_props}
    assert stated["features"] == word_features.SCHEME
    names = ["O" if x.kind is None else f"{'B' if x.begins else 'I'}-{x.kind}" for x in LABELS]
    assert json.loads(stated["labels"]) == names


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"wrong SHA-256.*Install"):
        load_word_tagger()


def test_missing_weights_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE", "none.onnx")
    with pytest.raises(ModelError, match=r"missing.*Install"):
        load_word_tagger()


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, len(LABELS)), np.float32),
        np.full((2, len(LABELS)), np.nan, np.float32),
        np.ones((3, len(LABELS)), np.float32) / len(LABELS),
        np.ones((2, 4), np.float32) / 4,
    ],
)
def test_scores_that_are_none_close_the_gate(scores: np.ndarray) -> None:
    class Engine:
        inputs = ("features",)
        outputs = ("scores",)

        def run(self, feeds: object) -> dict[str, np.ndarray]:
            return {"scores": scores}

    with pytest.raises(InferenceError):
        WordTagger(Engine()).scores(["two", "words"])


@given(st.lists(st.text(max_size=40), max_size=8))
def test_features_stay_in_their_tables(words: list[str]) -> None:
    rows = word_features.features(words)
    assert rows.shape == (len(words), word_features.WIDTH)
    assert (rows[:, 0] > 0).all()
    assert (rows[:, 0] < word_features.WORD_BUCKETS).all()
    assert (rows[:, 1] >= 0).all()
    assert (rows[:, 1] < word_features.SHAPES).all()
    assert (rows[:, 2:] >= 0).all()
    assert (rows[:, 2:] < word_features.PART_BUCKETS).all()


def test_features_are_those_of_training() -> None:
    # A change here means that the weights have to be trained again.
    row = word_features.word_features("Müller's,", begins=True)
    assert row[:5] == [11204, 29, 2376, 10019, 14315]
    assert word_features.fnv1a("") == 0x811C9DC5
    assert word_features.fnv1a("a") == 0xE40C292C  # the authors' own test vectors
    assert word_features.fnv1a("foobar") == 0xBF9CF968


def test_names_with_other_numbers_look_alike() -> None:
    one, other = (word_features.word_features(word, begins=False) for word in ("9123", "4567"))
    assert one == other
