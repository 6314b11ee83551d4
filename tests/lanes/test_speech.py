"""The speech lane: private words are found whole, and nothing leaves before that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InferenceError
from edge.lanes.lane import Findings
from edge.lanes.speech import Listen, Recognise, SpeechEngines, SpeechLane, Task
from edge.lanes.spoken import SNAP_S, SpeechSettings
from edge.pii.spans import Kind
from edge.sound import Samples, SoundBlock, SoundSpan
from edge.sound_gate import ClearedSound, SoundLine
from edge.speech.chunker import Chunker
from edge.speech.words import SAMPLE_RATE, SpokenSpan, Word
from tests.lanes.talk import (
    EnergyVoice,
    FormTagger,
    ToneTranscriber,
    blocks,
    private,
    speak,
)

Fails = Callable[[Task], bool]


@dataclass
class Session:
    """A lane with a line of sound behind it: what leaves, and what was said of it."""

    settings: SpeechSettings = field(default_factory=SpeechSettings)
    fails: Fails = lambda task: False
    effect: str = "silence"

    def __post_init__(self) -> None:
        self.transcriber = ToneTranscriber()
        self.lane = SpeechLane(
            SpeechEngines(EnergyVoice, self.transcriber, FormTagger()), self.settings
        )
        self.line = SoundLine(self.effect, 120.0)
        self.findings: list[Findings] = []
        self.lags: list[float] = []
        self.left: list[ClearedSound] = []
        self.end = 0.0

    def feed(self, sound: Sequence[SoundBlock]) -> None:
        for block in sound:
            self.end = block.end
            self.line.append(block)
            self.lane.enter(block)
            self.work()
            self.lags.append(block.end - self.findings[-1].horizon)

    def work(self) -> None:
        while (task := self.lane.task()) is not None:
            evidence = None if self.fails(task) else self.lane.look(task)
            self.hear(self.lane.absorb(task, evidence))

    def hear(self, findings: Findings) -> None:
        if self.findings:
            assert findings.horizon >= self.findings[-1].horizon, "it never goes back"
            assert max(findings.firm, findings.horizon) >= self.findings[-1].firm
        before = self.findings[-1].horizon if self.findings else -math.inf
        assert all(end > before for _, end in findings.blind), "it was told in time"
        self.findings.append(findings)
        self.line.learn(findings)
        self.left += self.line.release(self.lane)

    def finish(self) -> None:
        self.lane.close()
        self.work()
        self.line.end()
        self.hear(self.lane.finish())

    def run(self, samples: Samples, size: int = 1_600) -> Samples:
        self.feed(blocks(samples, size))
        self.finish()
        return self.heard

    @property
    def heard(self) -> Samples:
        return np.concatenate([piece.samples[0] for piece in self.left])

    @property
    def blind(self) -> list[tuple[float, float]]:
        return [
            (a, min(b, self.end)) for one in self.findings for a, b in one.blind if a < self.end
        ]


def at(samples: Samples, start: float, end: float) -> Samples:
    return samples[math.ceil(start * SAMPLE_RATE) : math.floor(end * SAMPLE_RATE)]


def assert_silent(heard: Samples, stretches: Sequence[tuple[float, float]]) -> None:
    for start, end in stretches:
        assert not at(heard, start, end).any(), f"{start} to {end} can be heard"


DIGITS = [(str(n % 10), 0.25) for n in range(12)]


def test_number_is_found_whole_over_many_chunks() -> None:
    words = [("word1", 0.4), ("word2", 0.4), *DIGITS, ("word3", 0.4), ("word4", 0.4)]
    samples, said = speak(words, [0.08] * len(words))
    for chunk_s in (1.0, 1.5, 2.0, 3.1, 5.0):
        session = Session(SpeechSettings(chunk_s=chunk_s, max_wait_s=10))
        heard = session.run(samples)
        assert len(session.transcriber.seconds) > 1 or chunk_s == 5.0
        assert_silent(heard, private(said))
        assert not session.blind
        assert np.array_equal(at(heard, 0, said[0].end), at(samples, 0, said[0].end))
        assert np.array_equal(
            at(heard, said[-1].start, said[-1].end), at(samples, said[-1].start, said[-1].end)
        )
        assert session.lane.found == 1


@st.composite
def talks(draw: st.DrawFn) -> tuple[Samples, list[Word]]:
    text = st.sampled_from([*"0123456789", "pin", "alice", "word1", "word2", "word3"])
    number = st.lists(st.sampled_from("0123456789"), min_size=5, max_size=14)
    parts = draw(st.lists(st.one_of(st.lists(text, min_size=1, max_size=6), number), max_size=4))
    texts = [one for part in parts for one in part] or ["word1"]
    lengths = st.sampled_from([0.1, 0.2, 0.3, 0.5])
    pauses = st.sampled_from([0.04, 0.08, 0.08, 0.15, 0.5, 0.9, 1.6, 3.0])
    n = len(texts)
    seconds = draw(st.lists(lengths, min_size=n, max_size=n))
    waits = draw(st.lists(pauses, min_size=n, max_size=n))
    return speak(list(zip(texts, seconds, strict=True)), waits)


def once_settled(said: Sequence[Word], settle_s: float) -> list[tuple[float, float]]:
    """What is private where words more than settle_s apart have nothing to do with each other."""
    groups: list[list[Word]] = [[]]
    for word in said:
        if groups[-1] and word.start - groups[-1][-1].end > settle_s:
            groups.append([])
        groups[-1].append(word)
    return [stretch for group in groups for stretch in private(group)]


@given(talks(), st.sampled_from([1.0, 1.7, 3.0, 5.0]), st.sampled_from([700, 1_600, 9_000]))
@settings(max_examples=60, deadline=None)
def test_private_words_are_silent_and_the_rest_is_not(
    talk: tuple[Samples, list[Word]], chunk_s: float, size: int
) -> None:
    samples, said = talk
    ours = SpeechSettings(chunk_s=chunk_s, max_wait_s=30)
    session = Session(ours)
    heard = session.run(samples, size)
    assert len(heard) == len(samples), "no sample is lost or added"
    assert_silent(heard, once_settled(said, ours.settle_s))
    assert not session.blind
    spans = session.lane.spans(-1, 1_000)
    for span in spans:
        near = [
            (a, b) for a, b in private(said)
            if span.start <= b + ours.pad_after_s + SNAP_S and span.end >= a - ours.reach_s
        ]  # fmt: skip
        assert near, "nothing is hidden without a cause"
        assert span.start >= min(a for a, _ in near) - ours.reach_s - 1e-6
    assert max(session.transcriber.seconds) <= chunk_s + 0.1
    # What is neither private nor beside it is as it was.
    touched = np.zeros(len(samples), bool)
    for span in spans:
        a, b = (
            max(0, round((t + d) * SAMPLE_RATE)) for t, d in ((span.start, -0.02), (span.end, 0.02))
        )
        touched[a:b] = True
    assert np.array_equal(heard[~touched], samples[~touched])


@given(
    talks(),
    st.sampled_from([1.0, 3.0, 5.0]),
    st.sets(st.integers(0, 60), max_size=6),
    st.sets(st.integers(0, 8), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_whatever_fails_is_silent(
    talk: tuple[Samples, list[Word]], chunk_s: float, deaf: set[int], dumb: set[int]
) -> None:
    """The marks of what was not judged are in no output, wherever engines fail."""
    samples, said = talk
    counts = {Listen: 0, Recognise: 0}
    failed: list[tuple[float, float]] = []

    def fails(task: Task) -> bool:
        number = counts[type(task)]
        counts[type(task)] += 1
        if isinstance(task, Listen) and number in deaf:
            failed.append((task.block.pts, task.block.end))
            return True
        if isinstance(task, Recognise) and number in dumb:
            failed.append((task.chunk.own_from, task.chunk.own_to))
            return True
        return False

    session = Session(SpeechSettings(chunk_s=chunk_s, max_wait_s=30), fails)
    heard = session.run(samples)
    assert len(heard) == len(samples)
    assert_silent(heard, failed)
    assert_silent(heard, session.blind)
    if not failed:
        assert_silent(heard, once_settled(said, 2.0))


def test_forced_decision_hides_what_is_open() -> None:
    """A number that is longer than may be waited for never comes out, not even in parts."""
    words = [("word1", 0.4), *[(str(n % 10), 0.3) for n in range(40)], ("word2", 0.4)]
    samples, said = speak(words, [0.08] * len(words))
    ours = SpeechSettings(chunk_s=2, max_wait_s=4)
    session = Session(ours)
    heard = session.run(samples)
    assert_silent(heard, private(said))
    assert max(session.lags) <= ours.max_wait_s + 0.2
    assert any(span.kind is None for span in session.lane.spans(0, 100))


@given(talks(), st.sampled_from([1.0, 2.0, 5.0]))
@settings(max_examples=30, deadline=None)
def test_lag_is_bounded(talk: tuple[Samples, list[Word]], chunk_s: float) -> None:
    ours = SpeechSettings(chunk_s=chunk_s, max_wait_s=chunk_s + 2)
    session = Session(ours)
    session.run(talk[0])
    assert max(session.lags) <= ours.lag_s


def test_silence_costs_nothing_and_moves_the_horizon_at_once() -> None:
    session = Session()
    quiet = np.zeros(20 * SAMPLE_RATE, np.float32)
    session.feed(blocks(quiet))
    assert not session.transcriber.seconds
    assert max(session.lags[5:]) < 1.2
    assert session.lane.looks == session.lane.found == 0


def test_memory_stays_bounded_over_an_hour_of_quiet_and_ten_minutes_of_talk() -> None:
    words = [(f"word{n % 20}", 0.3) for n in range(100)]
    samples, _ = speak(words, [0.08] * 100)
    chunker = Chunker(0.0, 5.0, 0.5)
    sizes = []
    lane = SpeechLane(SpeechEngines(EnergyVoice, ToneTranscriber(), FormTagger()), SpeechSettings())
    pts = 0.0
    for _ in range(12):
        for block in blocks(samples, 16_000, pts):
            lane.enter(block)
            while (task := lane.task()) is not None:
                if isinstance(task, Recognise):
                    sizes.append(len(task.context))
                lane.absorb(task, lane.look(task))
            pts = block.end
    assert max(sizes) <= 32
    for _ in range(3_600):
        chunker.feed(np.zeros(SAMPLE_RATE, np.float32))
        chunker.mark([(chunker.heard, 0.0)])
        assert len(chunker._tape) < 2 * SAMPLE_RATE
        assert len(chunker._windows) < 100


def test_gap_in_the_sound_ends_a_chunk_and_numbers_go_on_over_it() -> None:
    words = [("word1", 0.4), *DIGITS[:8]]
    samples, said = speak(words, [0.08] * 9)
    cut = round((said[4].end + 0.04) * SAMPLE_RATE)
    session = Session()
    session.feed(blocks(samples[:cut]))
    session.feed(blocks(samples[cut:], start=cut / SAMPLE_RATE + 0.5))
    session.finish()
    hole = session.blind
    assert len(hole) == 1
    assert hole[0] == pytest.approx((cut / SAMPLE_RATE, cut / SAMPLE_RATE + 0.5))
    pieces = session.left
    loud = sum(np.abs(p.samples).max() > 0.1 for p in pieces if p.pts > said[0].end + 0.1)
    assert not loud, "both halves of the number are silent, though neither is one by itself"


def test_lost_sound_makes_what_goes_on_from_it_blind() -> None:
    """Four digits alone are no number; after digits that nobody heard they may be half of one."""
    samples, said = speak([*DIGITS[:4], ("word1", 0.3)], [0.01, 0.08, 0.08, 0.08, 2.5])
    session = Session()
    first = blocks(samples)[0]
    lost = SoundBlock(5.0, first.samples, first.rate, lost=True)
    session.feed(blocks(np.zeros(2 * SAMPLE_RATE, np.float32)))
    session.feed([lost, *blocks(samples[1_600:], start=lost.end)])
    session.finish()
    assert any(a <= 5.0 and b >= 5.0 + said[3].end for a, b in session.blind)
    clear = [p for p in session.left if p.pts >= 5.0 + said[4].start - 0.1]
    assert max(np.abs(p.samples).max() for p in clear) > 0.3


def test_pause_settles_what_was_said() -> None:
    samples, said = speak([("pin", 0.3), *DIGITS[:3]], [0.1, 0.08, 0.08, 0.08])
    session = Session()
    session.feed(blocks(samples))
    assert session.findings[-1].horizon < said[0].start
    session.lane.close()
    session.work()
    session.hear(session.lane.pause())
    assert session.findings[-1].horizon == pytest.approx(len(samples) / SAMPLE_RATE)
    assert [s.kind for s in session.lane.spans(0, 10)] == [Kind.SECRET]
    assert session.lane._ledger.context == ()


def test_unsure_words_are_told_of_up_to_the_firm_time() -> None:
    samples, said = speak([("word1", 0.3), *DIGITS[:3]], [0.1, 0.08, 0.08, 0.08])
    quiet = np.zeros(SAMPLE_RATE, np.float32)
    session = Session()
    session.feed(blocks(np.concatenate([samples, quiet])))
    last = session.findings[-1]
    assert last.horizon < said[1].start
    assert last.firm > said[3].end
    assert not session.lane.spans(said[1].start, said[3].end)
    (unsure,) = session.lane.spans(said[1].start, said[3].end, unsure=True)
    assert unsure.start < said[1].start
    assert unsure.end > said[3].end
    session.feed(blocks(np.zeros(3 * SAMPLE_RATE, np.float32), start=session.end))
    assert not session.lane.spans(0, 10, unsure=True), "three digits and silence are nothing"


def test_kinds_and_scores_that_do_not_count_are_not_hidden() -> None:
    samples, said = speak([("alice", 0.3), ("word1", 0.3), *DIGITS[:6]], [0.5] * 8)
    hidden = Session(SpeechSettings(hide=frozenset({Kind.PHONE})))
    heard = hidden.run(samples)
    assert at(heard, said[0].start, said[0].end).any()
    assert_silent(heard, [(said[2].start, said[7].end)])
    unsure = Session(SpeechSettings(threshold=0.95))
    assert np.array_equal(unsure.run(samples), samples)


@pytest.mark.parametrize("at_word", [0, 3])
def test_padding_ends_between_words(at_word: int) -> None:
    words = [("word1", 0.3), ("word2", 0.3), ("alice", 0.3), ("word3", 0.3), ("word4", 0.3)]
    samples, said = speak(words, [0.05] * 5)
    session = Session()
    session.run(samples)
    (span,) = session.lane.spans(0, 10)
    assert span.start <= said[2].start - 0.2
    assert span.end >= said[2].end + 0.1
    word = said[at_word]
    for edge in (span.start, span.end):
        assert not word.start + 0.01 < edge < word.end - 0.01, "half a word is heard"


class Broken:
    """Engines that answer nonsense."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def listen(self, samples: Samples) -> object:
        return self.answer

    transcribe = tag = listen

    def open_end(self, words: Sequence[Word]) -> object:
        return 0


NAN = float("nan")


@pytest.mark.parametrize(
    "answer",
    [
        [(NAN, 0.1)],
        [(0.032, NAN)],
        [(0.032, 1.5)],
        [(0.2, 0.1)],
        [(0.064, 0.1), (0.032, 0.1)],
        [(math.inf, 0.1)],
    ],
)
def test_voice_detector_that_makes_no_sense_is_refused(answer: object) -> None:
    engines = SpeechEngines(lambda: Broken(answer), ToneTranscriber(), FormTagger())  # type: ignore[arg-type,return-value]
    lane = SpeechLane(engines, SpeechSettings())
    lane.enter(blocks(np.zeros(1_600, np.float32))[0])
    task = lane.task()
    assert task is not None
    with pytest.raises(InferenceError):
        lane.look(task)
    findings = lane.absorb(task, None)
    assert findings.blind[-1] == (0.0, 0.1)


def test_voice_detector_that_says_nothing_is_refused() -> None:
    engines = SpeechEngines(lambda: Broken([]), ToneTranscriber(), FormTagger())  # type: ignore[arg-type,return-value]
    session = Session()
    session.lane = SpeechLane(engines, SpeechSettings())
    with pytest.raises(InferenceError, match="left sound out"):
        session.feed(blocks(np.zeros(SAMPLE_RATE, np.float32)))


@pytest.mark.parametrize(
    ("words", "spans", "open_end"),
    [
        ([Word("a", NAN, 0.5)], [], 0),
        ([Word("a", 0.5, 0.2)], [], 0),
        ([Word("a", 0.5, 99.0)], [], 0),
        ([Word("a", 0.0, 0.1)] * 500, [], 0),
        ([Word("a", 0.1, 0.2)], [SpokenSpan(0, 3, 0.1, 0.2, Kind.NAME, 1.0)], 0),
        ([Word("a", 0.1, 0.2)], [SpokenSpan(-1, 0, 0.1, 0.2, Kind.NAME, 1.0)], 0),
        ([Word("a", 0.1, 0.2)], [SpokenSpan(0, 0, NAN, 0.2, Kind.NAME, 1.0)], 0),
        ([Word("a", 0.1, 0.2)], [SpokenSpan(0, 0, 0.1, 0.2, Kind.NAME, NAN)], 0),
        ([Word("a", 0.1, 0.2)], [], 7),
        ([Word("a", 0.1, 0.2)], [], -1),
    ],
)
def test_recogniser_or_tagger_that_makes_no_sense_is_refused(
    words: list[Word], spans: list[SpokenSpan], open_end: int
) -> None:
    tagger = Broken(spans)
    tagger.open_end = lambda words: open_end  # type: ignore[method-assign]
    session = Session()
    session.lane = SpeechLane(SpeechEngines(EnergyVoice, Broken(words), tagger), SpeechSettings())  # type: ignore[arg-type]
    samples, said = speak([("word1", 0.3)], [0.5])
    refused: list[Task] = []

    def fails(task: Task) -> bool:
        if isinstance(task, Listen):
            return False
        with pytest.raises(InferenceError):
            session.lane.look(task)
        refused.append(task)
        return True

    session.fails = fails
    heard = session.run(samples)
    assert refused
    assert_silent(heard, [(said[0].start, said[0].end)])


def test_samples_that_are_not_numbers_are_blind() -> None:
    samples, _ = speak([("word1", 0.3)], [0.5])
    sound = blocks(samples)
    bad = sound[2].samples.copy()
    bad[0, 5] = NAN
    lane = SpeechLane(SpeechEngines(EnergyVoice, ToneTranscriber(), FormTagger()), SpeechSettings())
    lane.enter(SoundBlock(0.0, bad, SAMPLE_RATE))
    task = lane.task()
    assert task is not None
    with pytest.raises(InferenceError, match="not numbers"):
        lane.look(task)


def test_sound_that_does_not_fit_is_refused() -> None:
    lane = SpeechLane(SpeechEngines(EnergyVoice, ToneTranscriber(), FormTagger()), SpeechSettings())
    quiet = np.zeros((1, 1_600), np.float32)
    with pytest.raises(ValueError, match="were not expected"):
        lane.enter(SoundBlock(0.0, quiet, 48_000))
    lane.enter(SoundBlock(5.0, quiet, SAMPLE_RATE))
    with pytest.raises(RuntimeError, match="task"):
        lane.enter(SoundBlock(5.1, quiet, SAMPLE_RATE))
    task = lane.task()
    assert task is not None
    lane.absorb(task, lane.look(task))
    with pytest.raises(ValueError, match="came after"):
        lane.enter(SoundBlock(1.0, quiet, SAMPLE_RATE))


def test_nothing_that_was_said_is_in_a_repr() -> None:
    samples, _ = speak([("alice", 0.3), ("pin", 0.3), *DIGITS[:8]], [0.1] * 10)
    shown: list[str] = []
    session = Session()

    def look_at(task: Task) -> bool:
        evidence = session.lane.look(task) if isinstance(task, Recognise) else None
        shown.extend((repr(task), repr(evidence), repr(session.lane), repr(session.lane._ledger)))
        return False

    session.fails = look_at
    session.run(samples)
    shown += [repr(session.findings), repr(session.lane.spans(0, 100)), repr(session.left)]
    assert shown
    assert not any("alice" in text or "pin" in text.replace("spin", "") for text in shown)


def test_spans_are_forgotten() -> None:
    samples, _ = speak([("alice", 0.3)], [0.5])
    session = Session()
    session.run(samples)
    assert session.lane.spans(0, 10)
    session.lane.forget(3.0)
    assert session.lane.spans(0, 10), "mouths are still hidden"
    session.lane.forget(30.0)
    assert not session.lane.spans(0, 10)
    assert isinstance(session.lane.spans(0, 10), list)
    assert SoundSpan(0, 1, None, 0.0).kind is None
