"""A file of sound from end to end: what is private cannot be heard, and all else is as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError, ExitCode, SinkError, SourceError
from edge.lane_models import LaneModels
from edge.media.output import partial_path
from edge.media.sound_file import SoundFileSink, SoundFileSource
from edge.redact.audio import FADE_S
from edge.sound import Samples, SoundBlock
from edge.sound_run import SoundRun, SoundSummary
from edge.speech.words import Word
from edge.stats import Stats
from tests.harness import settings_with
from tests.lanes.talk import EnergyVoice, private
from tests.sounds import (
    PAD_S,
    Ear,
    around,
    private_line,
    read_sound,
    say,
    speech_models,
    write_sound,
)

pytestmark = pytest.mark.timeout(60)

ROUNDING = 1e-4
"""What 16 bits and the way to float32 and back cost."""
SILENCE = 1e-3


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), f"{thread.name} is left"


def make_run(
    source: Path, output: Path, models: LaneModels | None = None, *overrides: str, **options: bool
) -> SoundRun:
    settings = settings_with("audio.enabled=true", "audio.effect=silence", *overrides)
    return SoundRun(settings, source, output, models or speech_models(), **options)


def run(
    source: Path, output: Path, models: LaneModels | None = None, *overrides: str
) -> SoundSummary:
    return make_run(source, output, models, *overrides).execute()


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Samples, list[Word]]:
    """48 kHz stereo, as .wav."""
    sound, words = private_line(48_000, 2)
    path = tmp_path_factory.mktemp("spoken") / "in.wav"
    return write_sound(path, sound, 48_000, "pcm_s16le", "stereo"), sound, words


def assert_hidden(before: Samples, after: Samples, rate: int, words: list[Word]) -> None:
    """Nothing of the private words is left; all that is farther from them is as it was."""
    assert after.shape == before.shape
    stretches = private(words)
    said = around(stretches, before.shape[1], rate, 0.0)
    assert np.abs(after[:, said]).max() < SILENCE
    public = ~around(stretches, before.shape[1], rate, PAD_S + FADE_S)
    assert np.abs(before[:, public]).max() > 0.1, "something else is said"
    assert np.abs(after - before)[:, public].max() < ROUNDING


# --- what comes out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ext", "codec", "rate", "layout"),
    [
        (".wav", "pcm_s16le", 48_000, "stereo"),
        (".flac", "flac", 44_100, "mono"),
        (".mka", "flac", 16_000, "mono"),
        (".wav", "pcm_s16le", 48_000, "5.1"),
        (".wav", "pcm_s16le", 8_000, "mono"),
    ],
)
def test_private_words_cannot_be_heard_and_the_rest_is_as_it_was(
    tmp_path: Path, ext: str, codec: str, rate: int, layout: str
) -> None:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    sound, words = private_line(rate, channels)
    source = write_sound(tmp_path / f"in{ext}", sound, rate, codec, layout)
    summary = run(source, tmp_path / f"out{ext}")
    heard, new_rate, _ = read_sound(summary.output)
    assert new_rate == rate
    assert_hidden(sound, heard, rate, words)
    assert summary.exit_code is ExitCode.OK
    assert summary.complete
    assert summary.stats.found == {"speech": 2}
    assert summary.stats.spoken_s == pytest.approx(2 * 0.6 + 0.9, abs=1.0)
    assert summary.stats.muted_s == 0
    assert summary.stats.pts_out == pytest.approx(sound.shape[1] / rate, abs=0.01)
    assert summary.as_dict()["models"] == {"speech": "scripted"}


def test_a_beep_is_heard_in_their_place(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    source, sound, words = spoken
    run(source, tmp_path / "out.wav", None, "audio.effect=beep")
    heard, rate, _ = read_sound(tmp_path / "out.wav")
    for start, end in private(words):
        part = heard[0, round(start * rate) : round(end * rate)]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
        power = spectrum**2 / (spectrum**2).sum()
        near = np.abs(np.fft.rfftfreq(len(part), 1 / rate) - 1000) < 20
        assert power[near].sum() > 0.999, "nothing but 1000 Hz"
    assert sound.shape == heard.shape


def test_a_number_over_several_chunks_is_hidden_whole(tmp_path: Path) -> None:
    digits = [(str(n % 10), 0.6) for n in range(20)]
    sound, words = say([("word1", 0.4), *digits, ("word2", 0.4)], [0.5] * 21 + [2.5], 16_000)
    source = write_sound(tmp_path / "in.wav", sound, 16_000, "pcm_s16le", "mono")
    ear = Ear()
    summary = run(source, tmp_path / "out.wav", speech_models(ear))
    assert ear.asked >= 4
    heard, _, _ = read_sound(summary.output)
    for start, end in private(words):
        assert np.abs(heard[:, round(start * 16_000) : round(end * 16_000)]).max() < SILENCE
    last = words[-1]
    part = slice(round((last.start + 0.1) * 16_000), round((last.end - 0.1) * 16_000))
    assert np.abs(heard[:, part] - sound[:, part]).max() < ROUNDING


def test_same_file_gives_the_same_bytes_however_slow_the_ear_is(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    written = set()
    for turn, nap in enumerate((0.0, 0.0, 0.15)):
        ear = Ear(every=lambda nap=nap: time.sleep(nap))  # type: ignore[misc]
        run(spoken[0], tmp_path / f"{turn}.flac", speech_models(ear))
        written.add((tmp_path / f"{turn}.flac").read_bytes())
    assert len(written) == 1


def test_progress_is_told(tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]) -> None:
    told: list[float] = []

    def note(stats: Stats) -> None:
        told.append(stats.pts_out)

    settings = settings_with("audio.enabled=true")
    SoundRun(settings, spoken[0], tmp_path / "o.wav", speech_models(), on_sound=note).execute()
    assert told == sorted(told)
    assert told[-1] == pytest.approx(spoken[1].shape[1] / 48_000, abs=0.01)


def test_blocks_as_long_as_the_line_do_not_lock_up(tmp_path: Path) -> None:
    """FLAC may put 8 s into one frame at 8 kHz, raw sound in Matroska any length."""
    digits = [(str(n % 10), 0.6) for n in range(40)]
    sound, words = say(digits, [0.1] * 40, 8_000)
    import av

    source = tmp_path / "in.mka"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((sound * 32767).astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 8_000, 0
        out.mux(stream.encode(frame))
    with SoundFileSource(source) as opened:
        assert max(block.end - block.pts for block in opened.read()) > 25
    summary = run(source, tmp_path / "out.wav")
    heard, _, _ = read_sound(summary.output)
    for start, end in private(words):
        assert np.abs(heard[:, round(start * 8_000) : round(end * 8_000)]).max() < SILENCE


# --- engines that fail ----------------------------------------------------------------------


def stuck(released: threading.Event) -> None:
    released.wait(30)


@pytest.mark.parametrize("fault", ["throws", "exits", "nan", "outside", "flood"])
def test_what_could_not_be_judged_is_muted_and_the_code_says_so(tmp_path: Path, fault: str) -> None:
    def misbehave() -> list[Word]:
        if fault == "throws":
            raise MemoryError("alice said pin 1")
        if fault == "exits":
            raise SystemExit(0)
        if fault == "nan":
            return [Word("word1", float("nan"), 0.5)]
        if fault == "outside":
            return [Word("word1", 5.0, 99.0)]
        return [Word("word1", 0.1, 0.2)] * 1000

    sound, words = say([("word1", 0.5), ("alice", 0.5), ("word2", 0.5)], [1.0, 2.0, 2.0], 48_000)
    source = write_sound(tmp_path / "in.wav", sound, 48_000, "pcm_s16le", "mono")
    summary = run(source, tmp_path / "out.wav", speech_models(Ear({1: misbehave})))
    heard, _, _ = read_sound(summary.output)
    assert heard.shape == sound.shape
    said = around([(words[1].start, words[1].end)], sound.shape[1], 48_000, 0.0)
    assert np.abs(heard[:, said]).max() < SILENCE
    for word in (words[0], words[2]):
        part = slice(round((word.start + 0.05) * 48_000), round((word.end - 0.05) * 48_000))
        assert np.abs(heard[:, part] - sound[:, part]).max() < ROUNDING
    assert summary.exit_code is ExitCode.MASKED
    assert 0.5 <= summary.stats.muted_s <= 2.5
    assert summary.stats.reasons
    assert "alice" not in " ".join(summary.stats.reasons)


def test_voice_detector_that_throws_mutes(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    class Deaf(EnergyVoice):
        def listen(self, samples: Samples) -> list[tuple[float, float]]:
            return [(end, float("nan")) for end, _ in super().listen(samples)]

    summary = run(spoken[0], tmp_path / "out.wav", speech_models(voice=Deaf))
    heard, _, _ = read_sound(summary.output)
    assert np.abs(heard).max() < SILENCE
    assert summary.exit_code is ExitCode.MASKED
    assert summary.stats.muted_s == pytest.approx(spoken[1].shape[1] / 48_000, abs=0.1)


def test_samples_that_are_not_numbers_do_not_get_through(tmp_path: Path) -> None:
    sound, words = private_line(16_000)
    source = write_sound(tmp_path / "in.wav", sound, 16_000, "pcm_f32le", "mono")
    data = bytearray(source.read_bytes())
    at = len(data) // 2 // 4 * 4
    data[at : at + 400] = np.full(100, np.nan, np.float32).tobytes()
    source.write_bytes(data)
    summary = run(source, tmp_path / "out.wav")
    heard, _, _ = read_sound(summary.output)
    assert np.isfinite(heard).all()
    said = around(private(words), heard.shape[1], 16_000, 0.0)
    assert np.abs(heard[:, said]).max() < SILENCE
    assert summary.exit_code is ExitCode.MASKED


@pytest.mark.parametrize("first", [0, 1])
def test_stuck_ear_is_left_behind(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]], first: int
) -> None:
    released = threading.Event()
    source, sound, words = spoken
    # Stuck for ever: the lane is given up, and what follows is silent.
    every = lambda: stuck(released)  # noqa: E731
    ear = Ear({n: lambda: None for n in range(first)}, every=every)
    begun = time.monotonic()
    summary = run(source, tmp_path / "out.wav", speech_models(ear), "delay.stall_timeout_s=0.3")
    released.set()
    assert time.monotonic() - begun < 20
    heard, _, _ = read_sound(summary.output)
    assert heard.shape == sound.shape
    said = around(private(words), sound.shape[1], 48_000, 0.0)
    assert np.abs(heard[:, said]).max() < SILENCE
    loud = around([(word.start + 0.02, word.end - 0.02) for word in words], *heard.shape[1:],
                  48_000, 0.0)  # fmt: skip
    after = np.arange(sound.shape[1]) > (0 if first == 0 else words[5].start * 48_000)
    assert np.abs(heard[:, loud & after]).max() < SILENCE, "nobody has judged it"
    assert summary.exit_code is ExitCode.MASKED


def test_failing_redaction_mutes(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.redact.audio import SoundRedactor

    def fail(*_: object, **__: object) -> Samples:
        raise MemoryError

    monkeypatch.setattr(SoundRedactor, "redact", fail)
    summary = run(spoken[0], tmp_path / "out.wav")
    assert np.abs(read_sound(summary.output)[0]).max() == 0
    assert summary.exit_code is ExitCode.MASKED


# --- every way to end -----------------------------------------------------------------------


def assert_nothing_left(output: Path) -> None:
    assert not output.exists()
    assert not partial_path(output).exists()


@pytest.mark.parametrize("ext", [".wav", ".flac", ".m4a", ".mp3", ".opus"])
def test_stopped_run_keeps_a_playable_part_that_was_judged(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]], ext: str
) -> None:
    source, sound, words = spoken
    output = tmp_path / f"out{ext}"
    job = make_run(source, output, speech_models(Ear(every=lambda: time.sleep(0.05))))
    job._on_sound = lambda stats: job.stop() if stats.pts_out > 1.5 else None
    summary = job.execute()
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert summary.output == partial_path(output)
    assert not output.exists()
    heard, rate, _ = read_sound(summary.output)
    assert 1.5 <= heard.shape[1] / rate <= sound.shape[1] / 48_000 + 0.1
    said = around(private(words), heard.shape[1], rate, -0.05)
    most = SILENCE if ext in (".wav", ".flac") else 0.03  # pre-echo of a lossy codec
    assert not said.any() or np.abs(heard[:, said]).max() < most


def test_run_stopped_before_it_begins_ends(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    job = make_run(spoken[0], tmp_path / "out.wav")
    job.stop()
    assert job.execute().exit_code is ExitCode.INTERRUPTED


def test_second_stop_drops_what_waits_for_a_verdict(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    released = threading.Event()
    job = make_run(spoken[0], tmp_path / "out.wav", speech_models(Ear(every=released.wait)))  # type: ignore[arg-type]
    threading.Timer(0.5, lambda: (job.stop(), job.stop())).start()
    begun = time.monotonic()
    threading.Timer(1.5, released.set).start()
    summary = job.execute()
    assert time.monotonic() - begun < 8
    assert summary.exit_code is ExitCode.INTERRUPTED
    heard, _, _ = read_sound(summary.output)
    loud = np.abs(heard).max() if heard.size else 0
    assert loud < SILENCE, "only the silence before the first word has been judged"


def test_failing_source_leaves_nothing(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SoundFileSource.read

    def broken(self: SoundFileSource) -> Iterator[SoundBlock]:
        for block in real(self):
            if block.pts > 2:
                raise SourceError("the disk failed. Check it.")
            yield block

    monkeypatch.setattr(SoundFileSource, "read", broken)
    output = tmp_path / "out.wav"
    with pytest.raises(SourceError, match="the disk failed"):
        run(spoken[0], output)
    assert_nothing_left(output)


def test_failing_sink_leaves_nothing(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SoundFileSink.write_samples

    def broken(self: SoundFileSink, samples: Samples, pts: float) -> None:
        if pts > 1:
            raise SinkError("No space left. Free some.")
        real(self, samples, pts)

    monkeypatch.setattr(SoundFileSink, "write_samples", broken)
    output = tmp_path / "out.wav"
    with pytest.raises(SinkError, match="No space left"):
        run(spoken[0], output)
    assert_nothing_left(output)


def test_sound_that_nobody_can_listen_to_is_refused_in_words(tmp_path: Path) -> None:
    sound, _ = private_line(16_000)
    source = write_sound(tmp_path / "in.wav", sound[:, ::8], 2_000, "pcm_s16le", "mono")
    with pytest.raises(SourceError, match=r"2000 Hz cannot be listened to\. Convert") as caught:
        run(source, tmp_path / "out.wav")
    assert "\n" not in str(caught.value)
    assert_nothing_left(tmp_path / "out.wav")


def test_without_the_lane_nothing_runs(
    tmp_path: Path, spoken: tuple[Path, Samples, list[Word]]
) -> None:
    settings = settings_with()
    assert not settings.audio.enabled
    with pytest.raises(ConfigError, match=r"audio\.enabled is false.+\. Set it to true") as caught:
        SoundRun(settings, spoken[0], tmp_path / "out.wav", LaneModels())
    assert "\n" not in str(caught.value)
    assert_nothing_left(tmp_path / "out.wav")


def test_damaged_source_is_told_of(tmp_path: Path) -> None:
    sound, _ = private_line(48_000)
    source = write_sound(tmp_path / "in.mp3", sound, 48_000, "libmp3lame", "mono")
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(5)
    for at in range(len(data) // 3, len(data) // 2, 90):
        data[at : at + 6] = rng.bytes(6)
    source.write_bytes(data)
    summary = run(source, tmp_path / "out.wav")
    assert summary.damaged
    assert summary.exit_code in (ExitCode.DAMAGED, ExitCode.MASKED)
    assert any("damaged" in warning for warning in summary.warnings)
