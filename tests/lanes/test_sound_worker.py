"""The sound worker: engines that throw, stall, die or talk late leave their sound unjudged."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge.inference.news import tell
from edge.lanes.lane import Findings
from edge.lanes.sound_worker import SoundWorker
from edge.lanes.speech import SpeechEngines, SpeechLane
from edge.lanes.spoken import SpeechSettings
from edge.lanes.worker import MAX_FAILURES, LaneEvent
from edge.sound import Samples, SoundBlock
from edge.sound_gate import ClearedSound, SoundLine
from edge.speech.words import SAMPLE_RATE, Word
from edge.stats import ENGINE
from tests.lanes.talk import EnergyVoice, FormTagger, ToneTranscriber, blocks, private, speak

TIMEOUT_S = 5.0
LONG_S = 30.0
"""How long a test waits for another thread before it fails."""

Transcribe = Callable[[Samples], list[Word]]


class Scripted:
    """A recogniser whose answers can be replaced, one by one."""

    def __init__(self, script: dict[int, Callable[[], None]] | None = None) -> None:
        self.script = script or {}
        self.asked = 0
        self.real = ToneTranscriber()

    def transcribe(self, samples: Samples) -> list[Word]:
        number = self.asked
        self.asked += 1
        self.script.get(number, lambda: None)()
        return self.real.transcribe(samples)


@dataclass
class Bench:
    """A worker and a line of sound that hears its findings; the clock is moved by hand."""

    transcriber: Scripted = field(default_factory=Scripted)
    revives: bool = True
    queue_s: float = 1_000.0
    voice: Callable[[], EnergyVoice] = EnergyVoice
    settings: SpeechSettings = field(default_factory=SpeechSettings)
    now: float = 0.0
    line: SoundLine = field(default_factory=lambda: SoundLine("silence", 1_000.0))
    findings: list[Findings] = field(default_factory=list)
    events: list[LaneEvent] = field(default_factory=list)
    left: list[ClearedSound] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    revived: int = 0

    def __post_init__(self) -> None:
        self.lane = SpeechLane(self.engines(), self.settings)
        self.worker = SoundWorker(
            self.lane,
            on_findings=self._hear,
            on_event=self.events.append,
            stall_timeout_s=TIMEOUT_S,
            revive=self._revive if self.revives else None,
            queue_s=self.queue_s,
            clock=lambda: self.now,
        )
        self.worker.start()

    def engines(self) -> SpeechEngines:
        return SpeechEngines(self.voice, self.transcriber, FormTagger())

    def _revive(self, lane: SpeechLane) -> None:
        self.revived += 1
        lane.renew(self.engines())

    def _hear(self, lane: str, findings: Findings) -> None:
        assert lane == "speech"
        with self.changed:
            self.line.learn(findings)
            self.findings.append(findings)
            self.changed.notify_all()

    def feed(self, sound: Sequence[SoundBlock]) -> None:
        for one in sound:
            with self.changed:
                self.line.append(one)
            self.worker.submit(one, lambda: False)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            end = time.monotonic() + LONG_S
            while not condition():
                assert time.monotonic() < end, "nothing happened"
                self.changed.wait(0.01)

    def finish(self) -> Samples:
        self.line.end()
        self.worker.end()
        self.wait_for(lambda: bool(self.findings) and self.findings[-1].horizon == math.inf)
        with self.changed:
            self.left += self.line.release(self.worker)
        return np.concatenate([piece.samples[0] for piece in self.left])

    def stall(self) -> None:
        """Let more time pass than an engine is given."""
        self.now += TIMEOUT_S + 1
        self.worker.check()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What stuck engines wait for; set when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def at(samples: Samples, start: float, end: float) -> Samples:
    return samples[math.ceil(start * SAMPLE_RATE) : math.floor(end * SAMPLE_RATE)]


def three_sentences() -> tuple[Samples, list[Word]]:
    """Three words with pauses that end a chunk after each."""
    return speak([("word1", 0.5), ("word2", 0.5), ("word3", 0.5)], [1.0, 2.5, 2.5])


def test_sound_is_judged_and_then_all_is_final() -> None:
    samples, said = speak([("word1", 0.4), ("alice", 0.3), ("word2", 0.4)], [0.5] * 3)
    bench = Bench()
    bench.feed(blocks(samples))
    out = bench.finish()
    assert not at(out, said[1].start, said[1].end).any()
    assert at(out, said[0].start, said[0].start + 0.1).any()
    assert not bench.events
    assert (bench.worker.looks, bench.worker.found) == (1, 1)
    assert bench.worker.tasks > bench.worker.looks


@pytest.mark.parametrize(
    "error",
    [RuntimeError("secret"), MemoryError(), SystemExit(1), KeyboardInterrupt(), StopIteration()],
    ids=lambda e: type(e).__name__,
)
def test_recogniser_that_throws_leaves_its_chunk_silent_and_goes_on(error: BaseException) -> None:
    def fail() -> None:
        raise error

    samples, said = three_sentences()
    bench = Bench(Scripted({1: fail}))
    bench.feed(blocks(samples))
    out = bench.finish()
    assert at(out, said[0].start, said[0].end).any()
    assert not at(out, said[1].start, said[1].end).any()
    assert at(out, said[2].start, said[2].end).any()
    (event,) = bench.events
    assert event.start < said[1].start < said[1].end < event.end
    assert event.reason == f"speech recognition failed: {type(error).__name__}"
    assert "secret" not in repr(event)


def test_what_an_engine_tells_while_it_is_run_becomes_an_event() -> None:
    samples, _ = three_sentences()
    bench = Bench(Scripted({1: lambda: tell("the CPU takes over")}))
    bench.feed(blocks(samples))
    bench.finish()
    (event,) = bench.events
    assert (event.lane, event.reason) == (ENGINE, "the CPU takes over")


def test_voice_detector_that_throws_is_replaced() -> None:
    made: list[EnergyVoice] = []

    class Fails(EnergyVoice):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

        def listen(self, samples: Samples) -> list[tuple[float, float]]:
            if len(made) == 1 and self._windows > 100:
                raise RuntimeError("x")
            return super().listen(samples)

    samples, said = three_sentences()
    bench = Bench(voice=Fails)
    bench.feed(blocks(samples))
    out = bench.finish()
    assert len(made) == 2
    assert at(out, said[0].start, said[0].end).any()
    assert at(out, said[2].start, said[2].end).any()
    assert bench.events[0].start <= 3.25 <= bench.events[0].end
    assert bench.events[-1].end < said[2].start, "what follows at once may go on from it"


def test_stall_leaves_its_chunk_silent_and_fresh_engines_go_on(released: threading.Event) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    samples, said = three_sentences()
    bench = Bench(Scripted({1: stall}))
    bench.feed(blocks(samples))
    assert stuck.wait(LONG_S)
    bench.now += TIMEOUT_S - 1
    bench.worker.check()
    assert not bench.revived, "it had time left"
    bench.stall()
    out = bench.finish()
    assert bench.revived == 1
    assert not at(out, said[1].start, said[1].end).any()
    assert at(out, said[2].start, said[2].end).any()
    assert "did not answer for 5 s" in bench.events[0].reason


def test_answer_that_comes_too_late_is_not_heard(released: threading.Event) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    samples, said = speak([("word1", 0.5), ("alice", 0.5), ("word3", 0.5)], [1.0, 2.5, 2.5])
    bench = Bench(Scripted({1: stall}))
    bench.feed(blocks(samples))
    assert stuck.wait(LONG_S)
    threads = [t for t in threading.enumerate() if t.name == "lane-speech"]
    bench.stall()
    released.set()
    for thread in threads:
        if thread is not bench.worker._thread:
            thread.join(LONG_S)
    bench.finish()
    assert bench.worker.found == 0
    assert not at(bench.left[0].samples[0], said[1].start, said[1].end).any()


def test_stalls_of_a_recogniser_kill_the_lane_though_its_voice_detector_answers(
    released: threading.Event,
) -> None:
    """Each leaves a thread behind that cannot be ended."""
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    words = [(f"word{n}", 0.5) for n in range(8)]
    samples, said = speak(words, [2.5] * 8)
    bench = Bench(Scripted(dict.fromkeys(range(1, 50), stall)))
    bench.feed(blocks(samples))
    for _ in range(MAX_FAILURES):
        assert stuck.wait(LONG_S)
        stuck.clear()
        bench.stall()
    out = bench.finish()
    assert f"{MAX_FAILURES} times; it was given up" in bench.events[-1].reason
    assert at(out, said[0].start, said[0].end).any()
    assert not at(out, said[1].start, samples.shape[0] / SAMPLE_RATE).any()
    bench.stall()
    assert bench.revived == MAX_FAILURES - 1
    bench.worker.submit(blocks(samples)[0], lambda: False)  # waits for nobody


@pytest.mark.parametrize("revives", [False, True])
def test_stall_without_a_replacement_kills_the_lane(
    revives: bool, released: threading.Event
) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    samples, said = three_sentences()
    bench = Bench(Scripted({1: stall}), revives=revives)

    def fail() -> SpeechEngines:
        raise OSError("the model is gone")

    bench.engines = fail  # type: ignore[method-assign]
    bench.feed(blocks(samples))
    assert stuck.wait(LONG_S)
    bench.stall()
    out = bench.finish()
    assert at(out, said[0].start, said[0].end).any()
    assert not at(out, said[1].start, said[2].end).any()


@pytest.mark.parametrize("step", ["enter", "absorb", "finish"])
def test_lane_that_fails_outside_of_its_engines_is_blind_from_there_on(step: str) -> None:
    samples, said = three_sentences()
    bench = Bench()
    sound = blocks(samples)
    bench.feed(sound[:30])
    bench.wait_for(lambda: bool(bench.findings) and bench.findings[-1].horizon > 1.6)

    def fail(*_: object) -> None:
        raise RuntimeError("x")

    with bench.worker._changed:
        setattr(bench.lane, step, fail)
    bench.feed(sound[30:])
    out = bench.finish()
    assert not at(out, said[-1].start, said[-1].end).any() or step == "finish"
    assert not out[-10:].any()
    assert [event.reason for event in bench.events] == ["the lane failed: RuntimeError"]
    bench.stall()  # a dead lane is not found stalled, nor does it come alive again
    assert len(bench.events) == 1


def test_file_waits_while_the_queue_is_full(released: threading.Event) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    samples, said = three_sentences()
    bench = Bench(Scripted({0: stall}), queue_s=1.0)
    sound = blocks(samples)
    ends_first = round((said[0].end + 1.2) * 10)
    bench.feed(sound[:ends_first])
    assert stuck.wait(LONG_S)
    asked: list[int] = []

    def give_up() -> bool:
        asked.append(1)
        return len(asked) >= 3

    at_most = 0
    for one in sound[ends_first:]:
        if asked:
            break
        bench.worker.submit(one, give_up)
        at_most += 1
    assert len(asked) == 3
    assert at_most <= 11
    assert bench.worker.backlog_s <= 1.0 + 1e-6


def test_live_sound_is_left_out_when_the_queue_is_full_and_stays_silent(
    released: threading.Event,
) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    words = [(f"word{n}", 0.5) for n in range(6)]
    samples, said = speak(words, [2.5] * 6)
    bench = Bench(Scripted({0: stall}), queue_s=2.0)
    taken: list[tuple[SoundBlock, bool]] = []
    sound = blocks(samples)
    for one in sound[:100]:
        if one.pts < said[0].end + 1.0:
            bench.wait_for(lambda: bench.worker.backlog_s == 0)
        else:
            assert stuck.wait(LONG_S)
        bench.line.append(one)
        taken.append((one, bench.worker.put(one)))
    lost = [one for one, was_taken in taken if not was_taken]
    assert lost
    assert len([e for e in bench.events if "too slowly" in e.reason]) == 1, "said once"
    released.set()
    bench.wait_for(lambda: bench.worker.backlog_s == 0)
    for one in sound[100:]:
        bench.line.append(one)
        bench.wait_for(lambda: bench.worker.backlog_s < 1)
        assert bench.worker.put(one)
    out = bench.finish()
    assert not at(out, lost[0].pts, lost[-1].end).any()
    assert at(out, said[-1].start, said[-1].end).any()


def test_pause_publishes_what_is_known_and_sound_goes_on_later() -> None:
    samples, said = speak([("word1", 0.3), ("pin", 0.3), ("1", 0.3)], [0.1] * 3)
    samples = samples[: round(said[-1].end * SAMPLE_RATE)]
    bench = Bench()
    bench.feed(blocks(samples))
    bench.worker.pause()
    bench.wait_for(
        lambda: bool(bench.findings) and bench.findings[-1].horizon > said[-1].end - 0.01
    )
    assert bench.worker.found == 1
    bench.feed(blocks(samples, start=60.0))
    out = bench.finish()
    assert bench.worker.found == 2
    assert len(out) == 2 * len(samples)
    assert [(e.start, e.end) for e in bench.events] == [
        (pytest.approx(said[-1].end), pytest.approx(60.0))
    ]


def test_stopped_worker_says_nothing_more(released: threading.Event) -> None:
    stuck = threading.Event()

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    samples, _ = three_sentences()
    bench = Bench(Scripted({0: stall}))
    bench.feed(blocks(samples))
    assert stuck.wait(LONG_S)
    thread = bench.worker._thread
    assert thread is not None
    bench.worker.stop()
    bench.worker.join(0.01)
    assert thread.is_alive()
    said = len(bench.findings)
    released.set()
    bench.worker.join(LONG_S)
    assert not thread.is_alive()
    assert len(bench.findings) == said


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_let_nothing_private_out(seed: int, released: threading.Event) -> None:
    """Delays, errors and stalls at random: what leaves is redacted, or it is silent."""
    rng = random.Random(seed)
    stuck = threading.Event()

    def throw() -> None:
        raise RuntimeError("x")

    def stall() -> None:
        stuck.set()
        released.wait(LONG_S)

    def dawdle() -> None:
        time.sleep(rng.random() / 50)

    script = {n: rng.choice([dawdle, dawdle, throw, stall]) for n in range(200)}
    texts = [rng.choice([*"0123456789", "alice", "word1", "word2"]) for _ in range(30)]
    texts[10:20] = list("0123456789")
    words = [(text, rng.choice([0.2, 0.3])) for text in texts]
    samples, said = speak(words, [rng.choice([0.08, 0.08, 0.3, 1.2]) for _ in words])
    bench = Bench(Scripted(script), settings=SpeechSettings(chunk_s=2.0, max_wait_s=20.0))
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            if stuck.is_set():
                stuck.clear()
                bench.stall()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        bench.feed(blocks(samples))
        out = bench.finish()
    finally:
        over.set()
        watcher.join(LONG_S)
    # A number that was cut by a fault may be found in parts only; whole words never are.
    judged = np.ones(len(samples), bool)
    for one in bench.findings:
        for start, end in one.blind:
            a, b = (round(min(max(t, 0), 1e6) * SAMPLE_RATE) for t in (start, end))
            judged[a:b] = False
    assert not out[~judged].any()
    if judged.all():
        for start, end in private(said):
            assert not at(out, start, end).any()
    names = [word for word in said if word.text == "alice"]
    for word in names:
        assert not at(out, word.start, word.end).any(), "a name needs no neighbours to be found"
