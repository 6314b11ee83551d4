"""Word times: the rules by hand, and pocketsphinx on real digits."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.speech.align import (
    GUESSED_CONFIDENCE,
    HeardWord,
    claim_unheard,
    place,
    regroup,
    spread,
    times_guessed,
)
from edge.speech.words import SAMPLE_RATE, Word
from tests.speech.spoken import quiet, real_aligner, spoken_corpus

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@given(COUNTS)
def test_tokens_map_back_to_their_words(counts: list[int]) -> None:
    tokens = [(float(i), i + 0.5) for i in range(sum(counts))]
    joined = regroup(tokens, counts)
    assert len(joined) == len(counts)
    at = 0
    for count, times in zip(counts, joined, strict=True):
        if count == 0:
            assert times is None
        else:
            assert times == (float(at), at + count - 1 + 0.5)
        at += count


@given(COUNTS)
def test_words_without_times_get_the_gap_between_their_neighbours(counts: list[int]) -> None:
    seconds = float(sum(counts) + 1)
    times = regroup([(i + 0.25, i + 0.75) for i in range(sum(counts))], counts)
    words = place([HeardWord(str(i), 0.9) for i in range(len(counts))], times, seconds)
    assert [word.text for word in words] == [str(i) for i in range(len(counts))]
    for index, (word, known) in enumerate(zip(words, times, strict=True)):
        assert 0 <= word.start < word.end <= seconds
        assert times_guessed(word) == (known is None)
        if known is not None:
            assert (word.start, word.end) == known
            continue
        earlier = [t[1] for t in times[:index] if t]
        later = [t[0] for t in times[index + 1 :] if t]
        assert word.start == (earlier[-1] if earlier else 0.0)
        assert word.end == (later[0] if later else seconds)
    assert all(a.start <= b.start for a, b in itertools.pairwise(words))


@given(
    st.lists(st.text(max_size=12), min_size=1, max_size=20),
    st.lists(st.booleans(), min_size=10, max_size=300),
)
@settings(max_examples=60)
def test_guesses_cover_all_that_is_loud(texts: list[str], loud: list[bool]) -> None:
    frames = np.array(loud)
    seconds = len(loud) / 100
    words = spread([HeardWord(text) for text in texts], frames, seconds)
    assert [word.text for word in words] == texts
    assert all(times_guessed(word) for word in words)
    assert all(-1e-9 <= word.start < word.end <= seconds + 1e-9 for word in words)
    assert all(a.start <= b.start + 1e-9 for a, b in itertools.pairwise(words))
    for frame in np.flatnonzero(frames):
        middle = (frame + 0.5) / 100
        assert any(word.start <= middle <= word.end for word in words)


def test_loud_stretches_without_a_word_belong_to_both_neighbours() -> None:
    loud = np.zeros(500, np.bool_)
    loud[20:60] = loud[100:150] = loud[200:205] = loud[300:340] = loud[400:450] = True
    words = [Word("a", 1.0, 1.5), Word("b", 2.5, 2.9), Word("c", 4.0, 4.2)]
    before, middle, last = claim_unheard(words, loud, 5.0)
    assert (before.start, before.end) == (pytest.approx(0.2), 1.5)
    # 50 ms at 2.0 s are no word; 400 ms at 3.0 s are.
    assert (middle.start, middle.end) == (2.5, pytest.approx(3.4))
    assert (last.start, last.end) == (pytest.approx(3.0), pytest.approx(4.5))


def test_no_word_claims_nothing() -> None:
    assert claim_unheard([], np.ones(100, np.bool_), 1.0) == []


def test_digits_are_found_where_they_were_said() -> None:
    aligner, corpus = real_aligner(), spoken_corpus()
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(6):
        spoken = corpus.sentence(rng, [int(d) for d in rng.integers(0, 10, 10)])
        first = spoken.digits[0].start - 0.2
        cut = spoken.samples[
            round(first * SAMPLE_RATE) : round((spoken.digits[-1].end + 0.2) * SAMPLE_RATE)
        ]
        words = aligner.align(cut, [HeardWord(d.text) for d in spoken.digits])
        assert [w.text for w in words] == [d.text for d in spoken.digits]
        assert not any(times_guessed(word) for word in words)
        for word, true in zip(words, spoken.digits, strict=True):
            errors += [abs(word.start + first - true.start), abs(word.end + first - true.end)]
    assert np.median(errors) < 0.06
    assert np.quantile(errors, 0.9) < 0.2


@pytest.mark.parametrize("written", ["9123 4567", "91234567", "9123-4567."])
def test_digits_as_figures_get_the_times_of_the_spoken_ones(written: str) -> None:
    aligner, corpus = real_aligner(), spoken_corpus()
    number = corpus.number(np.random.default_rng(5), [9, 1, 2, 3, 4, 5, 6, 7], "jackson")
    samples = np.concatenate([quiet(0.3), number.samples, quiet(0.3)])
    words = aligner.align(samples, [HeardWord(text) for text in written.split()])
    assert words[0].start == pytest.approx(0.3 + number.digits[0].start, abs=0.15)
    assert words[-1].end == pytest.approx(0.3 + number.digits[-1].end, abs=0.25)
    if len(words) == 2:
        assert words[0].end == pytest.approx(0.3 + number.digits[3].end, abs=0.25)
        assert words[1].start == pytest.approx(0.3 + number.digits[4].start, abs=0.25)


def test_unknown_words_and_signs_keep_their_places() -> None:
    aligner, corpus = real_aligner(), spoken_corpus()
    utterance = next(u for u in corpus.utterances if "paced" in u.text)
    true = [HeardWord(t, 0.9) for t in utterance.text.split()]
    known = aligner.align(utterance.samples, true)
    # "paced" and "waiting" as no dictionary has them; a note that nobody says.
    odd = {"paced": "Paste'd", "waiting": "wayteeng"}
    strange = [HeardWord(odd.get(w.text, w.text), 0.9) for w in true]
    strange.insert(6, HeardWord("♪", 0.9))
    found = aligner.align(utterance.samples, strange)
    note = found.pop(6)
    assert times_guessed(note)
    for a, b in zip(known, found, strict=True):
        assert b.start == pytest.approx(a.start, abs=0.12)
        assert b.end == pytest.approx(a.end, abs=0.12)
        assert b.confidence == 0.9


def test_the_same_sound_gets_the_same_times_whatever_came_before() -> None:
    aligner, corpus = real_aligner(), spoken_corpus()
    utterance = corpus.utterances[0]
    words = [HeardWord(t) for t in utterance.text.split()]
    once = aligner.align(utterance.samples, words)
    aligner.align(corpus.utterances[1].samples * np.float32(0.05), words[:3])
    assert aligner.align(utterance.samples, words) == once


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.05, 0.3])
def test_where_alignment_fails_times_are_guessed(seconds: float) -> None:
    """Far more words than the sound has room for."""
    words = [HeardWord(text, 0.95) for text in ("one", "two", "three", "four", "five", "six")]
    placed = real_aligner().align(quiet(seconds), words)
    assert [word.text for word in placed] == [word.text for word in words]
    assert all(word.confidence == GUESSED_CONFIDENCE for word in placed)


def test_no_words_take_no_time_and_no_sound_is_an_error() -> None:
    aligner = real_aligner()
    assert aligner.align(quiet(1.0), []) == []
    with pytest.raises(InferenceError):
        aligner.align(np.full(100, np.nan, np.float32), [HeardWord("a")])


def test_words_are_private() -> None:
    assert "secret" not in repr(HeardWord("secret"))


def test_the_aligner_writes_nothing_and_does_not_grow() -> None:
    """In a process of its own: what native code prints does not pass through Python."""
    real_aligner()
    code = """
import numpy as np
from edge.speech.align import HeardWord, SphinxAligner
aligner = SphinxAligner()
rng = np.random.default_rng(0)
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4
def work(count):
    for index in range(count):
        noise = rng.normal(0, 0.1, 8000).astype(np.float32)
        name = "zyqx" + "".join(rng.choice(list("abcdefghij"), 6))
        aligner.align(noise, [HeardWord("hello"), HeardWord(name), HeardWord("<sil>")])
        aligner.align(noise[:400], [HeardWord(name)] * 9)
work(40)
before = rss()
work(120)
print(rss() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert int(done.stdout) < 2048  # KiB
