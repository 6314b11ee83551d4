"""Moonshine: when an answer counts as complete, by hand, and the real model on real speech."""

from __future__ import annotations

import itertools
import logging
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.inference.engine import TensorSpec
from edge.speech.align import times_guessed
from edge.speech.circles import goes_in_circles
from edge.speech.moonshine import (
    MAX_SECONDS,
    Answer,
    Moonshine,
    MoonshineTranscriber,
    token_limit,
    words_of,
)
from edge.speech.pronounce import Reading, speak
from edge.speech.tokens import Vocabulary
from edge.speech.words import SAMPLE_RATE, Word
from tests.speech.spoken import (
    quiet,
    read_sound,
    real_moonshine,
    real_transcriber,
    spoken_corpus,
)
from tests.support import shared_file

TOKENS = 50
END = 2


class Encoder:
    name = "encoder"
    inputs = ("input_values", "attention_mask")
    outputs = ("last_hidden_state",)
    input_specs = output_specs = ()
    metadata = MappingProxyType({})
    answer = np.zeros((1, 3, 8), np.float32)

    def run(self, feeds):
        assert feeds["input_values"].shape == feeds["attention_mask"].shape
        return {"last_hidden_state": self.answer}


class Decoder:
    """Says a script, token by token, and checks what it is fed against what it put out."""

    name = "decoder"
    inputs = (
        "input_ids", "encoder_hidden_states", "use_cache_branch",
        "past_key_values.0.decoder.key", "past_key_values.0.encoder.key",
    )  # fmt: skip
    outputs = ("logits", "present.0.decoder.key", "present.0.encoder.key")
    input_specs = tuple(
        TensorSpec(name, np.dtype("f4"), (None, 4, None, 6)) for name in inputs if "past" in name
    )
    output_specs = ()
    metadata = MappingProxyType({})

    def __init__(self, script) -> None:
        self.script = script
        self.steps = 0

    def run(self, feeds):
        step = self.steps
        self.steps += 1
        assert feeds["use_cache_branch"].tolist() == [step > 0]
        # What the decoder put out came back; of the encoder's, only the first.
        assert feeds["past_key_values.0.decoder.key"].shape == (1, 4, step, 6)
        assert feeds["past_key_values.0.encoder.key"].shape == (1, 4, 3 if step else 0, 6)
        assert feeds["input_ids"].tolist() == [[self.script(step - 1) if step else 1]]
        logits = np.zeros((1, 1, TOKENS), np.float32)
        logits[0, 0, self.script(step)] = 9
        return {
            "logits": logits,
            "present.0.decoder.key": np.zeros((1, 4, step + 1, 6), np.float32),
            "present.0.encoder.key": np.zeros((1, 4, 0 if step else 3, 6), np.float32),
        }


def says(tokens) -> Moonshine:
    tokens = list(tokens)
    return Moonshine(Encoder(), Decoder(lambda step: tokens[step] if step < len(tokens) else END))


@given(st.lists(st.integers(3, TOKENS - 1), max_size=60), st.floats(0.1, 8))
@settings(max_examples=80)
def test_an_answer_is_complete_only_with_its_end(tokens: list[int], seconds: float) -> None:
    answer = says(tokens).listen(quiet(seconds))
    limit = token_limit(len(quiet(seconds)) / SAMPLE_RATE)
    ends = len(tokens) < limit and not any(
        goes_in_circles(tokens[: n + 1]) for n in range(len(tokens))
    )
    assert answer.complete == ends
    assert len(answer.tokens) == len(answer.probabilities) <= limit
    assert list(answer.tokens) == tokens[: len(answer.tokens)]
    assert all(0 < p <= 1 for p in answer.probabilities)
    if ends:
        assert list(answer.tokens) == tokens


def test_a_model_without_an_end_is_stopped() -> None:
    answer = says(3 + i % 40 for i in range(1000)).listen(quiet(5))
    assert not answer.complete
    assert len(answer.tokens) == token_limit(5) == 37


@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(8, 10),
)
def test_circles_are_noticed(before: list[int], circle: list[int], times: int) -> None:
    assert goes_in_circles(before + circle * times)


@given(st.lists(st.integers(0, 1_000_000), max_size=100, unique=True))
def test_what_never_repeats_is_no_circle(tokens: list[int]) -> None:
    assert not goes_in_circles(tokens)
    # "no, no, no": three times is a way of speaking.
    assert not goes_in_circles([*tokens, *[-1, -2] * 3])
    assert goes_in_circles([*tokens, *[-1, -2] * 4])


def broken(name, value):
    class Broken(Decoder):
        def run(self, feeds):
            return {**super().run(feeds), name: value}

    return Broken(lambda _: 5)


@pytest.mark.parametrize(
    "logits",
    [
        np.full((1, 1, TOKENS), np.nan, np.float32),
        np.zeros((1, 1, 2), np.float32),
        np.zeros((1, TOKENS), np.float32),
        np.zeros((2, 1, TOKENS), np.float32),
    ],
)
def test_logits_that_cannot_be_trusted_are_an_error(logits) -> None:
    with pytest.raises(InferenceError):
        Moonshine(Encoder(), broken("logits", logits)).listen(quiet(1))


def test_a_broken_encoder_is_an_error() -> None:
    encoder = Encoder()
    for wrong in (np.full((1, 3, 8), np.nan, np.float32), np.zeros((3, 8), np.float32)):
        encoder.answer = wrong
        with pytest.raises(InferenceError):
            Moonshine(encoder, Decoder(lambda _: END)).listen(quiet(1))


def test_other_models_are_refused() -> None:
    with pytest.raises(ModelError, match="Moonshine"):
        Moonshine(Encoder(), Encoder())
    decoder = Decoder(lambda _: END)
    decoder.outputs = ("logits",)
    with pytest.raises(ModelError, match="Moonshine"):
        Moonshine(Encoder(), decoder)


VOCABULARY = Vocabulary(
    [b"<unk>", b"<s>", b"</s>", "▁call".encode(), "▁ni".encode(), b"ne", b",", "▁".encode(), b"5",
     b"<<ST_1>>"]
)  # fmt: skip


def test_tokens_become_words_with_the_probability_of_all_their_letters() -> None:
    answer = Answer((3, 4, 5, 6, 7, 8, 8, 9), (0.9, 0.8, 0.5, 0.1, 0.3, 0.5, 0.5, 0.2), True)
    words = words_of(answer, VOCABULARY)
    assert [word.text for word in words] == ["call", "nine,", "55"]
    assert [word.confidence for word in words] == pytest.approx([0.9, 0.4, 0.25])
    assert "nine" not in repr(words)
    assert "(3, 4" not in repr(answer)


def test_a_token_beyond_the_vocabulary_is_an_error() -> None:
    with pytest.raises(InferenceError):
        words_of(Answer((10,), (1.0,), True), VOCABULARY)


class Everywhere:
    """An aligner that puts every word on all of the sound."""

    def align(self, samples, words):
        return [Word(w.text, 0.0, len(samples) / SAMPLE_RATE, w.confidence) for w in words]


def test_an_answer_that_never_ends_gives_no_words() -> None:
    """Whatever is cut, it goes in circles: an error, and none of the words that came before."""
    model = Moonshine(Encoder(), Decoder(lambda _: 8))
    with pytest.raises(InferenceError, match="may be missing") as caught:
        MoonshineTranscriber(model, VOCABULARY, Everywhere()).transcribe(quiet(1.0))
    assert "5" not in str(caught.value).replace("1.0", "")


@pytest.mark.parametrize(
    "samples",
    [np.full(800, np.nan, np.float32), quiet(MAX_SECONDS + 0.1), np.zeros(800, np.float64)],
)
def test_what_is_no_sound_is_an_error(samples) -> None:
    with pytest.raises(InferenceError):
        MoonshineTranscriber(says([]), VOCABULARY, Everywhere()).transcribe(samples)


def test_no_samples_have_no_words() -> None:
    assert MoonshineTranscriber(says([5]), VOCABULARY, Everywhere()).transcribe(quiet(0)) == []


# -- The real model ----------------------------------------------------------------------------


def test_real_speech() -> None:
    transcriber = real_transcriber()
    sound = read_sound(shared_file("media/speech/jfk.flac"))
    words = transcriber.transcribe(sound)
    said = " ".join(part for word in words for part in speak(word.text, Reading.DIGITS))
    assert said == (
        "and so my fellow americans ask not what your country can do for you "
        "ask what you can do for your country"
    )
    # "ask not", after the pause: known to lie from 3.3 s on.
    assert words[5].text.lower() == "ask"
    assert words[5].start == pytest.approx(3.3, abs=0.4)
    assert not any(times_guessed(word) for word in words)
    assert all(a.start <= b.start for a, b in itertools.pairwise(words))


def test_the_same_sound_has_the_same_words() -> None:
    transcriber = real_transcriber()
    sound = spoken_corpus().utterances[1].samples
    words = transcriber.transcribe(sound)
    transcriber.transcribe(sound[16_000:])
    assert transcriber.transcribe(sound) == words


def test_spoken_numbers_come_out_or_are_an_error() -> None:
    """Fast digits are what the model goes in circles on."""
    transcriber, corpus = real_transcriber(), spoken_corpus()
    rng = np.random.default_rng(2)
    heard = errors = 0
    digit_s = placed_s = 0.0
    for _ in range(3):
        spoken = corpus.sentence(rng, [int(d) for d in rng.integers(0, 10, 10)])
        start = spoken.digits[0].start - 1.0
        first = round(start * SAMPLE_RATE)
        try:
            words = transcriber.transcribe(spoken.samples[first : first + 5 * SAMPLE_RATE])
        except InferenceError:
            errors += 1
            continue
        heard += 1
        for digit in spoken.digits:
            if digit.end - start <= 5:
                digit_s += digit.end - digit.start
                middle = (digit.start + digit.end) / 2 - start
                covered = any(w.start - 0.4 <= middle <= w.end + 0.2 for w in words)
                placed_s += covered * (digit.end - digit.start)
    assert heard >= 1
    assert placed_s >= 0.95 * digit_s


@pytest.mark.parametrize("seconds", [0.001, 0.02, 0.3])
def test_short_sound_is_heard_too(seconds: float) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    for word in real_transcriber().transcribe(noise):
        assert 0 <= word.start < word.end


def test_nothing_said_is_logged(caplog: pytest.LogCaptureFixture, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    utterance = spoken_corpus().utterances[1]
    words = real_transcriber().transcribe(utterance.samples)
    out, err = capfd.readouterr()
    told = (caplog.text + out + err + repr(words)).lower()
    assert "belly" in " ".join(word.text for word in words).lower()
    assert not any(word in told for word in ("belly", "stuff", "counsel"))


def test_one_engine_serves_any_length() -> None:
    model = real_moonshine()
    for seconds in (0.2, 3.0, 1.0):
        assert model.listen(quiet(seconds)).tokens is not None
