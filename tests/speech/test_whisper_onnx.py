"""Whisper as ONNX: when an answer counts as complete, what it is fed, and what is refused."""

from __future__ import annotations

import json
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.inference.engine import TensorSpec
from edge.speech.circles import goes_in_circles
from edge.speech.whisper_onnx import MAX_POSITIONS, WhisperOnnx, WhisperOnnxTranscriber
from edge.speech.words import SAMPLE_RATE, Word
from tests.speech.spoken import quiet

tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")

MARKS = ("endoftext", "startoftranscript", "en", "de", "transcribe", "notimestamps")
WORDS = ("Ġcall", "Ġnine", "Ġone", ",", "Ġto", "day")


def tokenizer_of(marks=MARKS):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *WORDS])
    made = Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([f"<|{mark}|>" for mark in marks])
    return made


TOKENIZER = tokenizer_of()
END, START, EN, DE, TASK, NO_TIMES = (TOKENIZER.token_to_id(f"<|{mark}|>") for mark in MARKS)
TOKENS = NO_TIMES + 101  # and marks of time
FACTS = {"bins": 80, "multilingual": True, "suppress": []}
PROMPT = [START, EN, TASK, NO_TIMES]
CALL, NINE, ONE, COMMA, TO, DAY = (TOKENIZER.token_to_id(word) for word in WORDS)


class Encoder:
    name = "encoder"
    inputs = ("mel",)
    outputs = ("cross.0.key", "cross.0.value")
    input_specs = output_specs = ()
    metadata = MappingProxyType({})

    def run(self, feeds):
        assert feeds["mel"].shape == (1, 80, 3000)
        return {name: np.ones((1, 2, 1500, 4), np.float32) for name in self.outputs}


class Decoder:
    """Says a script, and checks what it is fed against what it put out."""

    name = "decoder"
    outputs = ("logits", "present.0.key", "present.0.value")
    output_specs = ()
    input_specs = (
        TensorSpec("token", np.dtype("i8"), (1, 1)),
        TensorSpec("position", np.dtype("i8"), (1,)),
        *(TensorSpec(f"past.0.{k}", np.dtype("f4"), (1, 2, None, 4)) for k in ("key", "value")),
        *(TensorSpec(f"cross.0.{k}", np.dtype("f4"), (1, 2, 1500, 4)) for k in ("key", "value")),
    )
    inputs = tuple(spec.name for spec in input_specs)

    def __init__(self, script, tokenizer=TOKENIZER, prompt=PROMPT, **facts) -> None:
        self.script, self.prompt, self.steps = script, prompt, 0
        self.metadata = MappingProxyType(
            {"tokenizer": tokenizer.to_str(), "whisper": json.dumps({**FACTS, **facts})}
        )

    def run(self, feeds):
        step = self.steps
        self.steps += 1
        assert set(feeds) == set(self.inputs)
        assert feeds["position"].tolist() == [step]
        assert feeds["past.0.key"].shape == (1, 2, step, 4)
        assert feeds["cross.0.value"].all()
        said = step - len(self.prompt)
        expected = self.prompt[step] if said < 0 else self.script(said)
        assert feeds["token"].tolist() == [[expected]]
        logits = np.zeros((1, 1, TOKENS), np.float32)
        # Louder than any text: what must never be chosen.
        logits[0, 0, [START, DE, TOKENS - 1]] = 99
        logits[0, 0, self.script(said + 1)] = 9
        kept = np.zeros((1, 2, step + 1, 4), np.float32)
        return {"logits": logits, "present.0.key": kept, "present.0.value": kept}


def says(tokens, **others) -> WhisperOnnx:
    tokens = list(tokens)
    script = lambda at: tokens[at] if 0 <= at < len(tokens) else END  # noqa: E731
    return WhisperOnnx(Encoder(), Decoder(script, **others), language="en")


@given(st.lists(st.integers(0, END - 1), max_size=50), st.floats(0.1, 3))
@settings(max_examples=25, deadline=None)
def test_an_answer_is_complete_only_with_its_end(tokens, seconds):
    answer = says(tokens).listen(quiet(seconds))
    limit = int(np.ceil(12 * len(quiet(seconds)) / SAMPLE_RATE)) + 32
    ends = len(tokens) < limit and not any(
        goes_in_circles(tokens[: n + 1]) for n in range(len(tokens))
    )
    assert answer.complete == ends
    assert len(answer.tokens) == len(answer.probabilities) <= limit
    assert list(answer.tokens) == tokens[: len(answer.tokens)]
    assert all(0 < p <= 1 for p in answer.probabilities)


def test_a_model_without_an_end_stays_within_its_positions():
    model = says(i % 40 for i in range(1000))
    answer = model.listen(quiet(30))
    assert not answer.complete
    assert len(answer.tokens) == 12 * 30 + 32
    assert len(answer.tokens) + len(PROMPT) <= MAX_POSITIONS


def test_suppressed_tokens_are_never_said():
    model = says([CALL, NINE], suppress=[ONE])
    model._decoder.script = lambda at: (CALL, NINE, END)[min(at, 2)]
    louder = model._decoder.run

    def run(feeds):
        outputs = louder(feeds)
        outputs["logits"][0, 0, ONE] = 50
        return outputs

    model._decoder.run = run
    assert model.listen(quiet(1)).tokens == (CALL, NINE)


def test_an_english_model_has_a_shorter_prompt():
    model = says([CALL], prompt=[START, NO_TIMES], multilingual=False)
    assert model.listen(quiet(1)).tokens == (CALL,)
    with pytest.raises(ModelError, match="language de"):
        WhisperOnnx(Encoder(), Decoder(lambda _: END, multilingual=False), language="de")


class Everywhere:
    """An aligner that puts every word on all of the sound."""

    def align(self, samples, words):
        return [Word(w.text, 0.0, len(samples) / SAMPLE_RATE, w.confidence) for w in words]


def test_tokens_become_words():
    model = says([CALL, NINE, COMMA, TO, DAY])
    words = WhisperOnnxTranscriber(model, Everywhere()).transcribe(quiet(1.0))
    assert [word.text for word in words] == ["call", "nine,", "today"]
    assert all(0 < word.confidence <= 1 for word in words)
    assert "nine" not in repr(words)


def test_bytes_of_one_character_are_read_together():
    tokens = TOKENIZER.encode("é", add_special_tokens=False).ids
    assert len(tokens) == 2
    words = WhisperOnnxTranscriber(says([CALL, *tokens]), Everywhere()).transcribe(quiet(1.0))
    assert [word.text for word in words] == ["callé"]


def test_an_answer_that_goes_in_circles_gives_no_words():
    model = WhisperOnnx(Encoder(), _Endless(lambda _: NINE), language="en")
    with pytest.raises(InferenceError, match="may be missing") as caught:
        WhisperOnnxTranscriber(model, Everywhere()).transcribe(quiet(1.0))
    assert "nine" not in str(caught.value)


class _Endless(Decoder):
    def run(self, feeds):
        if feeds["position"][0] == 0:
            self.steps = 0  # each part of the sound begins anew
        return super().run(feeds)


@pytest.mark.parametrize(
    "samples",
    [np.full(800, np.nan, np.float32), quiet(30.1), np.zeros(800, np.float64)],
)
def test_what_is_no_sound_is_an_error(samples):
    with pytest.raises(InferenceError):
        WhisperOnnxTranscriber(says([]), Everywhere()).transcribe(samples)


def test_no_samples_have_no_words():
    assert WhisperOnnxTranscriber(says([CALL]), Everywhere()).transcribe(quiet(0)) == []


@pytest.mark.parametrize(
    "logits",
    [
        np.full((1, 1, TOKENS), np.nan, np.float32),
        np.zeros((1, 1, END), np.float32),
        np.zeros((1, TOKENS), np.float32),
        np.zeros((1, 2, TOKENS), np.float32),
    ],
)
def test_logits_that_cannot_be_trusted_are_an_error(logits):
    model = says([CALL])
    kept = np.zeros((1, 2, 1, 4), np.float32)
    model._decoder.run = lambda feeds: {
        "logits": logits, "present.0.key": kept, "present.0.value": kept,
    }  # fmt: skip
    with pytest.raises(InferenceError, match="Whisper"):
        model.listen(quiet(1))


def test_other_models_are_refused():
    with pytest.raises(ModelError, match="not a Whisper"):
        WhisperOnnx(Encoder(), Encoder(), language="en")
    broken = Encoder()
    broken.outputs = ("cross.0.key",)
    with pytest.raises(ModelError, match="not a Whisper"):
        WhisperOnnx(broken, Decoder(lambda _: END), language="en")


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({}, "tokenizer"),
        ({"tokenizer": "{}"}, "tokenizer"),
        ({"tokenizer": TOKENIZER.to_str()}, "how it is fed"),
        ({"tokenizer": TOKENIZER.to_str(), "whisper": "[]"}, "how it is fed"),
        ({"tokenizer": TOKENIZER.to_str(), "whisper": json.dumps({**FACTS, "bins": 0})}, "numbers"),
        ({"tokenizer": tokenizer_of(MARKS[:1]).to_str(), "whisper": json.dumps(FACTS)}, "has no"),
    ],
)
def test_a_decoder_that_does_not_say_what_it_is_is_refused(metadata, match):
    decoder = Decoder(lambda _: END)
    decoder.metadata = MappingProxyType(metadata)
    with pytest.raises(ModelError, match=match):
        WhisperOnnx(Encoder(), decoder, language="en")


def test_an_unknown_language_is_named():
    with pytest.raises(ModelError, match="language fr"):
        WhisperOnnx(Encoder(), Decoder(lambda _: END), language="fr")
