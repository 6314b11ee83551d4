"""What is measured on synthesised speech, and when its words are said."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("faker", reason="Faker is not installed (extra 'export')")

from benchmarks._common import BenchmarkError
from benchmarks._espeak import Speaker, Voice
from benchmarks._synthesised import PATTERNS, Sentence, ordinary_sentence, private_sentence
from benchmarks.synthesised_speech import VOICES, Scene, Tally, compose, measure, table
from edge.speech.words import SAMPLE_RATE, Samples, Word

VOICE = Voice("gmw/en-US", 160, 50)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    try:
        return Speaker()
    except BenchmarkError as error:
        pytest.skip(f"{error}")


def scene(seconds: float = 4.0) -> Scene:
    """Four words of a second each, the second of them a name."""
    samples = np.full(int(seconds * SAMPLE_RATE), 0.2, np.float32)
    said = ("hello", "ada", "how", "nice")
    words = tuple(Word(text, float(n), n + 0.9) for n, text in enumerate(said))
    return Scene(samples, words, ((1, 1, "name"),), ())


def measured(heard: Samples, muted_s: float = 0.0) -> Tally:
    tally = Tally()
    measure(tally, scene(), heard, muted_s)
    return tally


def test_what_is_hidden_is_covered_and_the_rest_is_not_touched() -> None:
    heard = scene().samples.copy()
    heard[SAMPLE_RATE : 2 * SAMPLE_RATE] = 0
    figures = measured(heard).figures()
    assert figures["types"]["name"] == {
        "values": 1, "seconds": 0.9, "covered_pct": 100.0, "whole_pct": 100.0,
    }  # fmt: skip
    assert figures["touched_pct"] == 0
    # 0.6 s on both sides of the name are neither.
    assert figures["ordinary_s"] == pytest.approx(0.4 + 0.4 + 0.9, abs=0.03)


def test_what_stays_as_it_was_is_a_leak() -> None:
    heard = scene().samples.copy()
    heard[round(1.0 * SAMPLE_RATE) : round(1.45 * SAMPLE_RATE)] = 0  # half of the name
    heard[3 * SAMPLE_RATE :] *= 0.5
    figures = measured(heard, 1.5).figures()
    assert figures["types"]["name"]["covered_pct"] == pytest.approx(50, abs=2)
    assert figures["types"]["name"]["whole_pct"] == 0
    assert figures["touched_pct"] == pytest.approx(100 * 0.9 / 1.7, abs=2)
    assert figures["muted_s"] == 1.5


def test_output_that_is_too_short_measures_nothing() -> None:
    with pytest.raises(BenchmarkError, match="shorter"):
        measured(scene().samples[: 2 * SAMPLE_RATE])


def test_every_type_comes_and_values_are_where_it_is_said() -> None:
    rng = random.Random(3)
    kinds = set()
    for number in range(60):
        sentence = private_sentence(rng, number)
        ((first, last, kind),) = sentence.values
        kinds.add(kind)
        frames = [pattern.split() for pattern in PATTERNS[kind]]
        outside = [*sentence.words[:first], "{}", *sentence.words[last + 1 :]]
        assert outside in frames
        assert all(word == word.lower() and word.isascii() for word in sentence.words)
    assert kinds == set(PATTERNS)
    assert not ordinary_sentence(rng).values


def test_same_seed_same_sentences() -> None:
    one, other = ([private_sentence(random.Random(7), n) for n in range(12)] for _ in range(2))
    assert [s.words for s in one] == [s.words for s in other]


def test_words_are_said_one_after_the_other(speaker: Speaker) -> None:
    text = ["my", "number", "is", "nine", "one", "two", "and", "that", "of", "the", "house", "four"]
    samples, words = speaker.say(text, VOICE)
    assert samples.dtype == np.float32
    assert [word.text for word in words] == text
    assert words[0].start < 0.2
    assert len(samples) / SAMPLE_RATE - 0.6 < words[-1].end <= len(samples) / SAMPLE_RATE
    for before, after in pairwise(words):
        assert before.start < before.end
        assert before.start <= after.start
    nine = samples[round(words[3].start * SAMPLE_RATE) : round(words[3].end * SAMPLE_RATE)]
    assert np.abs(nine).max() > 0.05
    # A slower voice takes longer, and says the same.
    slow, later = speaker.say(text, Voice("gmw/en-US", 110, 50))
    assert len(slow) > 1.2 * len(samples)
    assert later[-1].start > words[-1].start


@pytest.mark.parametrize("name", VOICES)
def test_voices_are_there(speaker: Speaker, name: str) -> None:
    samples, _ = speaker.say(["hello"], Voice(name, 160, 50))
    assert np.abs(samples).max() > 0.05


def test_unknown_voice_is_refused(speaker: Speaker) -> None:
    with pytest.raises(BenchmarkError, match="no voice"):
        speaker.say(["hello"], Voice("gmw/none-such", 160, 50))


def test_sentences_become_one_sound_with_their_times(speaker: Speaker) -> None:
    sentences = [
        Sentence(("we", "are", "late")),
        Sentence(("i", "am", "ada", "king"), ((2, 3, "name"),)),
    ]
    made = compose(speaker, random.Random(1), sentences)
    assert made.values == ((5, 6, "name"),)
    assert [made.words[n].text for n in (5, 6)] == ["ada", "king"]
    start, end = (round(t * SAMPLE_RATE) for t in (made.words[5].start, made.words[6].end))
    assert np.abs(made.samples[start:end]).max() > 0.05
    between = slice(round((made.words[2].end + 0.1) * SAMPLE_RATE),
                    round((made.words[3].start - 0.05) * SAMPLE_RATE))  # fmt: skip
    assert np.abs(made.samples[between]).max() < 0.02
    tally = Tally()
    measure(tally, made, np.zeros_like(made.samples), 0.0)
    figures = tally.figures()
    assert figures["types"]["name"]["covered_pct"] > 99
    assert table(figures).row_count == 3
