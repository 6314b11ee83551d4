"""The sound of one stream on its way: bounded, never locked up, and never out unjudged."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge.errors import SourceError
from edge.lanes.sound_worker import SoundWorker
from edge.lanes.speech import SpeechEngines, SpeechLane
from edge.lanes.spoken import SpeechSettings
from edge.lanes.worker import LaneEvent
from edge.listening import Listening
from edge.sound import Samples, SoundBlock
from edge.sound_gate import ClearedSound, SoundLine
from edge.speech.words import Word
from tests.lanes.talk import EnergyVoice, FormTagger, private
from tests.sounds import PAD_S, Ear, around, private_line, say

pytestmark = pytest.mark.timeout(60)

RATE = 48_000
LONG_S = 30.0


@dataclass
class Bench:
    """A listening with a real worker and line, and an ear on command."""

    ear: Ear = field(default_factory=Ear)
    line_s: float = 12.2
    queue_s: float = 10.0
    stall_s: float = 20.0
    window_s: float = 0.4
    settings: SpeechSettings = field(default_factory=SpeechSettings)
    events: list[LaneEvent] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    longest: float = 0.0
    """Most seconds that were ever held."""

    def __post_init__(self) -> None:
        self.line = SoundLine("silence", self.line_s, mouth_window_s=self.window_s)
        self.listening = Listening(
            self._worker, self.line, self.changed, on_event=self.events.append
        )
        self.listening.start()

    def _worker(
        self, on_findings: Callable[..., None], on_event: Callable[..., None]
    ) -> SoundWorker:
        return SoundWorker(
            SpeechLane(self._engines(), self.settings),
            on_findings=on_findings,
            on_event=on_event,
            stall_timeout_s=self.stall_s,
            revive=lambda lane: lane.renew(self._engines()),
            queue_s=self.queue_s,
        )

    def _engines(self) -> SpeechEngines:
        return SpeechEngines(EnergyVoice, self.ear, FormTagger())

    def play(self, sound: list[SoundBlock], *, slow: float = 0.0) -> list[ClearedSound]:
        """Take a file's blocks in one thread, and let them out in this one."""
        done = threading.Event()

        def read() -> None:
            for block in sound:
                self.listening.take(block, lambda: False)
            self.listening.end(lambda: False)
            done.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        left: list[ClearedSound] = []
        end = time.monotonic() + LONG_S
        while True:
            with self.changed:
                self.longest = max(self.longest, self.line.seconds)
                cleared = self.listening.release()
                if not cleared:
                    if done.is_set() and not self.listening.waiting:
                        break
                    assert time.monotonic() < end, "locked up"
                    self.changed.wait(0.02)
            left += cleared
            self.listening.worker.check()
            if cleared:
                self.listening.leave(cleared[-1].pts)
            time.sleep(slow)
        return left

    def settle(self, until: Callable[[], bool]) -> None:
        """Wait until the worker has come so far."""
        end = time.monotonic() + LONG_S
        while not until():
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.005)

    def quiet(self, horizon: float) -> None:
        """Wait until all that was put has been judged."""
        self.settle(lambda: self.line._horizon >= horizon)

    def stop(self) -> None:
        self.listening.worker.stop()
        self.listening.worker.join(10)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: object) -> Bench:
        made.append(Bench(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


def cut(samples: Samples, sizes: Callable[[], int], rate: int = RATE) -> list[SoundBlock]:
    blocks, at = [], 0
    while at < samples.shape[1]:
        n = sizes()
        blocks.append(SoundBlock(at / rate, samples[:, at : at + n], rate))
        at += n
    return blocks


def joined(left: list[ClearedSound]) -> Samples:
    for one, after in itertools.pairwise(left):
        assert after.pts == pytest.approx(one.pts + one.samples.shape[1] / one.rate, abs=1e-6)
    return np.concatenate([one.samples for one in left], axis=1)


def assert_hidden(sound: Samples, heard: Samples, words: list[Word], rate: int = RATE) -> None:
    said = around(private(words), sound.shape[1], rate, 0.0)
    assert not heard[:, said].any()
    public = ~around(private(words), sound.shape[1], rate, PAD_S + 0.02)
    assert np.array_equal(heard[:, public], sound[:, public])


# --- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_files_sound_leaves_complete_however_it_is_cut(
    bench: Callable[..., Bench], seed: int
) -> None:
    rng = random.Random(seed)
    sound, words = private_line(RATE, 2)
    most = rng.choice([480, 4_800, 48_000, 10 * 48_000])
    nap = rng.choice([0.0, 0.01])
    one = bench(ear=Ear(every=lambda: time.sleep(nap)), queue_s=rng.choice([0.1, 1.0, 10.0]))
    left = one.play(cut(sound, lambda: rng.randint(1, most) if most > 480 else most))
    heard = joined(left)
    assert heard.shape == sound.shape
    assert_hidden(sound, heard, words)
    assert sum(part.muted_s for part in left) == 0
    assert not one.events


@pytest.mark.parametrize("block_s", [0.02, 3.0, 13.0])
def test_words_that_stay_open_lock_nothing_up(bench: Callable[..., Bench], block_s: float) -> None:
    """Digits without end are open for as long as the lane may wait: the horizon lags most then."""
    rate = 16_000
    digits = [(str(n % 10), 0.5) for n in range(60)]
    sound, words = say(digits, [0.1] * 60, rate)
    settings = SpeechSettings()
    one = bench(line_s=settings.lag_s + 4.0, settings=settings)
    left = one.play(cut(sound, lambda: round(block_s * rate), rate))
    heard = joined(left)
    assert heard.shape == sound.shape
    said = around(private(words), sound.shape[1], rate, 0.0)
    assert not heard[:, said].any()
    assert one.longest <= settings.lag_s + 4.0 + 0.5


def test_what_is_held_is_bounded(bench: Callable[..., Bench]) -> None:
    sound = np.zeros((1, 90 * RATE), np.float32)
    one = bench(line_s=3.0, queue_s=1.0)
    left = one.play(cut(sound, lambda: 4_800), slow=0.001)
    assert joined(left).shape == sound.shape
    assert one.longest <= 3.5


def test_taking_ends_when_it_is_given_up(bench: Callable[..., Bench]) -> None:
    one = bench(line_s=1.0)
    given_up = threading.Event()
    ended = threading.Event()

    def read() -> None:
        for n in range(100):
            block = SoundBlock(n / 10, np.zeros((1, 4_800), np.float32), RATE)
            one.listening.take(block, given_up.is_set)
        one.listening.end(given_up.is_set)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert not ended.wait(0.3), "nobody takes it out: there is no room"
    given_up.set()
    assert ended.wait(LONG_S)


def test_nothing_leaves_before_it_is_judged(bench: Callable[..., Bench]) -> None:
    asked = threading.Event()
    go = threading.Event()

    def wait() -> None:
        asked.set()
        go.wait(LONG_S)

    sound, words = say([("alice", 0.5)], [1.0], RATE, rest_s=3.0)
    one = bench(ear=Ear({0: wait}))
    for block in cut(sound, lambda: 4_800):
        one.listening.take(block, lambda: False)
    one.listening.end(lambda: False)
    assert asked.wait(LONG_S)
    with one.changed:
        early = one.listening.release()
        assert one.listening.waiting
    assert all(part.pts < words[0].start for part in early)
    assert not any(part.samples.any() for part in early)
    go.set()
    one.quiet(math.inf)
    with one.changed:
        left = early + one.listening.release()
        assert not one.listening.waiting
    assert_hidden(sound, joined(left), words)


def test_hole_in_a_files_sound_stays_a_hole(bench: Callable[..., Bench]) -> None:
    sound, words = private_line(RATE)
    hole_s = 5.0
    blocks = cut(sound, lambda: 4_800)
    middle = next(n for n, block in enumerate(blocks) if block.pts > 2.4)
    blocks[middle:] = [SoundBlock(b.pts + hole_s, b.samples, RATE) for b in blocks[middle:]]
    one = bench()
    left = one.play(blocks)
    heard = np.concatenate([part.samples for part in left], axis=1)
    assert heard.shape == sound.shape
    said = around(private(words), sound.shape[1], RATE, 0.0)
    assert not heard[:, said].any()
    late = [part.pts for part in left if part.pts >= blocks[middle].pts - 0.01]
    assert late[0] == pytest.approx(blocks[middle].pts, abs=0.03)


def test_rate_that_nobody_can_listen_to_is_refused_in_words(bench: Callable[..., Bench]) -> None:
    one = bench()
    block = SoundBlock(0.0, np.zeros((1, 200), np.float32), 2_000)
    for take in (lambda: one.listening.take(block, lambda: False),
                 lambda: one.listening.take_live(block)):  # fmt: skip
        with pytest.raises(SourceError, match=r"2000 Hz cannot be listened to\. Convert"):
            take()


# --- live -----------------------------------------------------------------------------------


def live(
    one: Bench, blocks: list[SoundBlock], delay_s: float, *, wait: bool = True
) -> list[ClearedSound]:
    """Play blocks as they come, with the clock at the end of each; the ear keeps up if `wait`."""
    left: list[ClearedSound] = []
    for block in blocks:
        one.listening.take_live(block)
        if wait:
            one.settle(lambda: one.listening.worker.backlog_s < 1e-6)
        on_air = block.end - delay_s
        with one.changed:
            one.longest = max(one.longest, one.line.seconds)
            left += one.listening.due(on_air)
        one.listening.leave(on_air)
    return left


def test_live_sound_leaves_after_the_delay_with_private_words_hidden(
    bench: Callable[..., Bench],
) -> None:
    sound, words = private_line(RATE, 2)
    one = bench(line_s=11.0)
    blocks = cut(sound, lambda: 960)
    left = live(one, blocks, 7.0)
    assert left[-1].pts + 0.02 == pytest.approx(blocks[-1].end - 7.0, abs=0.03)
    one.listening.pause()
    one.quiet(blocks[-1].end - 1e-3)
    with one.changed:
        left += one.listening.due(math.inf)
    heard = joined(left)
    assert heard.shape == sound.shape
    assert_hidden(sound[:, :-960], heard[:, :-960], words)
    assert not one.events


def test_live_sound_that_is_not_judged_in_time_leaves_silent(bench: Callable[..., Bench]) -> None:
    go = threading.Event()
    sound, words = private_line(RATE)
    one = bench(ear=Ear({0: lambda: go.wait(LONG_S) and None}))
    left = live(one, cut(sound, lambda: 960), 3.0, wait=False)
    with one.changed:
        left += one.listening.due(math.inf)
    heard = joined(left)
    assert heard.shape == sound.shape
    loud = around([(word.start, word.end) for word in words], sound.shape[1], RATE, 0.0)
    assert np.abs(heard[:, loud]).max() < 1e-6
    assert sum(part.muted_s for part in left) > 4
    go.set()


def test_live_sound_is_dropped_when_nobody_takes_it(bench: Callable[..., Bench]) -> None:
    one = bench(line_s=2.0, queue_s=1.0)
    for block in cut(np.zeros((1, 20 * RATE), np.float32), lambda: 3 * RATE):
        begun = time.monotonic()
        one.listening.take_live(block)
        assert time.monotonic() - begun < 5
        with one.changed:
            assert one.line.seconds <= 2.5
    assert one.listening.dropped_s == pytest.approx(18.0, abs=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_private_leaves_live_whatever_happens(
    bench: Callable[..., Bench], seed: int
) -> None:
    """Blocks of any size, lost signals, an ear that is slow, throws or stalls, any delay."""
    rng = random.Random(seed)

    def misbehave() -> None:
        what = rng.random()
        if what < 0.2:
            raise OSError("no memory")
        time.sleep(rng.choice([0.0, 0.05, 0.4]))

    one = bench(ear=Ear(every=misbehave), queue_s=rng.choice([0.5, 10.0]), stall_s=0.3)
    left: list[ClearedSound] = []
    said: list[tuple[float, float]] = []
    start = 0.0
    delay_s = rng.choice([1.0, 3.0, 7.0])
    for _ in range(3):
        sound, words = private_line(RATE)
        sound = sound[:, : rng.randint(3 * RATE, sound.shape[1])]
        said += [(start + a, start + b) for a, b in private(words)]
        blocks = cut(sound, lambda: rng.randint(200, 20_000))
        shifted = [SoundBlock(start + b.pts, b.samples, RATE) for b in blocks]
        left += live(one, shifted, delay_s, wait=rng.random() < 0.5)
        one.listening.worker.check()
        if rng.random() < 0.7:
            one.listening.pause()
        start = shifted[-1].end + rng.choice([0.0, 0.0, 2.0])
    with one.changed:
        left += one.listening.due(math.inf)
    total = 0
    for part in left:
        marked = around(
            [(a - part.pts, b - part.pts) for a, b in said], part.samples.shape[1], RATE, -0.015
        )
        total += int(marked.sum())
        assert np.abs(part.samples[:, marked]).max(initial=0) < 1e-6
    assert total > RATE, "something private was said"


def test_sound_comes_back_after_the_signal(bench: Callable[..., Bench]) -> None:
    sound, words = private_line(RATE)
    one = bench(line_s=11.0)
    left = live(one, cut(sound, lambda: 960), 7.0)
    one.listening.pause()
    gap = 30.0
    again = [SoundBlock(b.pts + gap, b.samples, RATE) for b in cut(sound, lambda: 960)]
    left += live(one, again, 7.0)
    one.listening.pause()
    one.quiet(again[-1].end - 1e-3)
    with one.changed:
        left += one.listening.due(math.inf)
    second = [part for part in left if part.pts >= gap - 1e-6]
    assert_hidden(sound[:, :-960], joined(second)[:, :-960], words)


def test_mouths_are_known_with_the_words(bench: Callable[..., Bench]) -> None:
    sound, words = private_line(RATE)
    one = bench()
    for block in cut(sound, lambda: 4_800):
        one.listening.take(block, lambda: False)
    one.listening.end(lambda: False)
    one.quiet(math.inf)
    with one.changed:
        for start, end in private(words):
            assert one.listening.mouths((start + end) / 2, overdue=False) is True
        assert one.listening.mouths(0.2, overdue=False) is False
        assert one.listening.mouths(words[-1].end + 0.5, overdue=False) is False
        assert one.listening.mouths(100.0, overdue=False) is not True, "no sound, no words"
