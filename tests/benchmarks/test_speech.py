"""The speech benchmark: its counting by hand, and a short run on real speech."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import speech
from benchmarks._common import BenchmarkError
from edge.speech.words import SAMPLE_RATE, Word
from tests.speech.spoken import model_bytes, real_aligner, spoken_corpus
from tests.support import shared_file


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a", "", 1),
        ("", "a b", 2),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert speech.word_errors(said.split(), heard.split()) == errors


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_word_errors_are_a_distance(said: list[str], heard: list[str]) -> None:
    errors = speech.word_errors(said, heard)
    assert errors == speech.word_errors(heard, said)
    assert abs(len(said) - len(heard)) <= errors <= max(len(said), len(heard))
    assert (errors == 0) == (said == heard)


def test_digits_written_as_figures_are_judged_like_words() -> None:
    digits = [Word("nine", 0.0, 0.5), Word("one", 0.6, 1.0), Word("two", 1.2, 1.5)]
    hearing = speech.Hearing("by hand")
    speech.judge_chunk(hearing, [Word("91", 0.1, 0.9), Word("Oh,", 1.2, 1.5)], digits)
    assert (hearing.digits_said, hearing.digits_heard) == (3, 2)
    assert hearing.start_errors_s == pytest.approx([0.1])
    assert hearing.end_errors_s == pytest.approx([0.1])
    assert hearing.digit_s == pytest.approx(1.2, abs=0.02)
    assert hearing.placed_s == pytest.approx(1.0, abs=0.02)


def test_sentences_are_what_they_say_and_the_same_for_a_seed() -> None:
    corpus = spoken_corpus()
    digits = [9, 1, 2, 3, 4, 5, 6, 7]
    spoken = corpus.sentence(np.random.default_rng(7), digits)
    again = corpus.sentence(np.random.default_rng(7), digits)
    assert np.array_equal(spoken.samples, again.samples)
    assert [w.text for w in spoken.digits] == "nine one two three four five six seven".split()  # noqa: SIM905
    assert spoken.text.split()[len(spoken.before.split())] == "nine"
    assert spoken.samples.dtype == np.float32
    assert np.abs(spoken.samples).max() <= 1.01
    end = 0.0
    for word in spoken.digits:
        assert end < word.start < word.end < len(spoken.samples) / SAMPLE_RATE
        loud = spoken.samples[round(word.start * SAMPLE_RATE) : round(word.end * SAMPLE_RATE)]
        assert np.sqrt(np.mean(loud**2)) > 0.005
        end = word.end


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    model_bytes("moonshine-tiny-en-decoder")
    real_aligner()
    folder = shared_file("media/speech/digits").parent
    argv = [str(folder), "--model", "moonshine-tiny-en", "--numbers", "1", "--no-fetch"]
    assert speech.run([*argv, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    (model,) = result["models"]
    assert model["wer_pct"] <= 12
    assert model["rtf"] > 0
    assert model["chunks"] >= 1
    assert result["vad"]["recall_pct"]["0.1"] > 80
    assert result["aligner"]["start_error_ms"]["median"] < 100


def test_a_folder_without_speech_is_told_of(tmp_path) -> None:
    with pytest.raises(BenchmarkError, match="librispeech"):
        speech.run([str(tmp_path)])
