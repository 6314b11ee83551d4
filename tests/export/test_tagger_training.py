"""What the tagger learns from, and that what is trained is what runs."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("faker", reason="Faker is not installed (extra 'export')")

from edge.pii.spans import Kind
from edge.pii.tagger import LABELS, WordTagger
from edge.pii.word_features import features
from export.train.tagger import heldout
from export.train.tagger.generate import OUTSIDE, Generator, Sample
from export.train.tagger.sentences import Grammar

PROSE = ["the quick brown fox jumps over the lazy dog", "this is how we do it every day here"]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(Generator(5, sentences=PROSE).samples(800))


def test_labels_are_begin_inside_outside(samples: list[Sample]) -> None:
    for sample in samples:
        assert len(sample.words) == len(sample.labels) > 0
        before = OUTSIDE
        for word, label in zip(sample.words, sample.labels, strict=True):
            assert word
            assert word == word.strip()
            part, _, kind = label.partition("-")
            assert label == OUTSIDE or (part in "BI" and kind in set(Kind))
            if part == "I":
                # A filler, a doubled or a lost word may stand between.
                assert before != OUTSIDE or f"B-{kind}" in sample.labels
            before = label


def test_every_kind_and_both_hands_are_there(samples: list[Sample]) -> None:
    kinds = {label.partition("-")[2] for sample in samples for label in sample.labels}
    assert kinds == {"", *Kind}
    texts = [" ".join(sample.words) for sample in samples]
    lower = sum(text == text.lower() for text in texts)
    assert 0.5 < lower / len(texts) < 0.95


def test_ordinary_speech_is_a_good_part(samples: list[Sample]) -> None:
    labels = [label for sample in samples for label in sample.labels]
    assert 0.4 < labels.count(OUTSIDE) / len(labels) < 0.9


def test_same_seed_same_samples() -> None:
    one, other = (list(Generator(9, sentences=PROSE).samples(50)) for _ in range(2))
    assert one == other


def test_patterns_resolve() -> None:
    grammar = Grammar(random.Random(1), PROSE)
    for _ in range(500):
        for text in (grammar.private(), grammar.ordinary()):
            assert not set("[]<>|") & set(text), text


def test_heldout_sentences_are_marked_well() -> None:
    kinds = {kind for _, kinds in heldout.sentences() for kind in kinds}
    assert kinds <= {"", *Kind}
    assert len(heldout.sentences()) > 50


def test_the_onnx_graph_is_the_trained_network() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'export')")
    from edge.inference.onnx import OnnxEngine
    from export.train.tagger.__main__ import LABELS as NAMES
    from export.train.tagger.network import Network, to_onnx

    torch.manual_seed(3)
    network = Network(len(NAMES)).eval()
    words = ["Hello,", "my", "name", "is", "Tan", "Wei", "Ming.", "Call", "9123", "4567", "x"]
    with torch.no_grad():
        logits = network(torch.from_numpy(features(words))[None])
        expected = logits.softmax(-1)[0].numpy()
    engine = OnnxEngine(to_onnx(network, NAMES), "untrained")
    scores = engine.run({"features": features(words)})["scores"]
    assert len(NAMES) == len(LABELS)
    # Weights are stored as float16.
    np.testing.assert_allclose(scores, expected, atol=1e-3)
    assert WordTagger(engine).scores(words).shape == scores.shape
