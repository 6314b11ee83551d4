"""A film with speech from file to file: words hidden, sound in sync, the picture unaffected."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge import runner
from edge.crew import WorkerFactory
from edge.detection import FloatArray
from edge.errors import ExitCode, SourceError
from edge.face_model import FaceModel
from edge.frame import Frame
from edge.lane_models import LaneModels
from edge.lanes.boxes import BoxLane
from edge.lanes.worker import LaneWorker
from edge.media.output import partial_path
from edge.media.source import FileSource
from edge.redact.mouth import mouth_boxes
from edge.runner import Run
from edge.sound import Samples
from edge.speech.words import Word
from edge.track import TrackerSettings
from tests.harness import (
    FPS,
    FRAMES,
    HIDDEN,
    SIZE,
    VISIBLE,
    Script,
    Seen,
    decode,
    fine_detail,
    likeness,
    settings_with,
    times,
    true_face,
)
from tests.lanes.talk import EnergyVoice, private
from tests.sounds import PAD_S, Ear, around, read_sound, say, speech_models

pytestmark = pytest.mark.timeout(120)

RATE = 48_000
QUIET = 0.02
"""What is left of a tone of 0.4 where AAC has to do without it: its windows are 40 ms."""
EDGE_S = 0.05


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), f"{thread.name} is left"


def with_speech(
    clip: Path,
    path: Path,
    sound: Samples,
    begins_s: float = 0.0,
    rate: int = RATE,
    layout: str | None = None,
) -> Path:
    """Put (channels, n) speech beside the clip's pictures, beginning at a time."""
    with av.open(str(path), "w") as out, av.open(str(clip)) as source:
        picture = source.streams.video[0]
        video = out.add_stream_from_template(picture)
        layout = layout or ("mono" if len(sound) == 1 else "stereo")
        audio = out.add_stream("pcm_s16le", rate=rate, layout=layout)
        first = round(begins_s * rate)
        packets = [packet for packet in source.demux(picture) if packet.dts is not None]
        for n, packet in enumerate(packets):
            packet.stream = video
            out.mux(packet)
            at = n * rate // FPS
            part = sound[:, at : at + rate // FPS]
            if part.shape[1]:
                wave = np.ascontiguousarray((part.T * 32_767).astype(np.int16).reshape(1, -1))
                block = av.AudioFrame.from_ndarray(wave, "s16", layout)
                block.sample_rate, block.pts = rate, first + at
                out.mux(audio.encode(block))
    return path


def three_words(channels: int = 1) -> tuple[Samples, list[Word]]:
    """3 s; the second word is private."""
    return say([("word1", 0.4), ("alice", 0.4), ("word2", 0.4)], [0.2, 0.7, 0.7],
               RATE, channels, 0.2)  # fmt: skip


@pytest.fixture(scope="module")
def spoken(
    clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Samples, list[Word]]:
    sound, words = three_words()
    path = tmp_path_factory.mktemp("film") / "spoken.mkv"
    return with_speech(clip, path, sound), sound, words


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


def make_run(source: Path, output: Path, models: LaneModels | None = None, *overrides: str) -> Run:
    models = models or speech_models(face=FaceModel("scripted", "test", 0.3, Script().detector))
    settings = settings_with("audio.enabled=true", "audio.effect=silence", *overrides)
    return Run(settings, source, output, models)


def faces(script: Script | None = None) -> FaceModel:
    return FaceModel("scripted", "test", 0.3, (script or Script()).detector)


def heard_in(path: Path) -> Samples:
    """The sound from the first picture on, at its own place in time: (channels, n)."""
    sound, rate, start = read_sound(path)
    assert rate == RATE
    offset = round((start - times(path)[0]) * RATE)
    assert offset >= -RATE // FPS
    return np.pad(sound, ((0, 0), (max(0, offset), 0)))[:, max(0, -offset) :]


def assert_heard(heard: Samples, sound: Samples, word: Word, begins_s: float = 0.0) -> None:
    """The word is heard within a frame of where it was said."""
    start = round((word.start + begins_s) * RATE)
    n = round((word.end - word.start) * RATE)
    said = sound[0, start - round(begins_s * RATE) :][:n]
    reach = RATE // 10
    around_it = np.pad(heard[0], (reach, reach + n))[start : start + n + 2 * reach]
    products = np.correlate(around_it, said, "valid")
    likes = products.max() / (np.linalg.norm(said) ** 2)
    assert likes > 0.9, "it is not heard"
    envelope = np.abs(around_it) > 0.05
    first = int(np.argmax(envelope)) - reach
    assert abs(first) <= RATE / FPS, f"out of sync by {first / RATE:.3f} s"


def assert_hidden(heard: Samples, words: list[Word], begins_s: float = 0.0) -> None:
    stretches = [(a + begins_s, b + begins_s) for a, b in private(words)]
    said = around(stretches, heard.shape[1], RATE, -EDGE_S)
    assert said.any()
    assert np.abs(heard[:, said]).max() < QUIET


# --- what comes out -------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_private_words_are_hidden_and_all_stays_in_sync(
    clip: Path, spoken: tuple[Path, Samples, list[Word]], tmp_path: Path, suffix: str
) -> None:
    source, sound, words = spoken
    output = tmp_path / f"out{suffix}"
    summary = make_run(source, output).execute()
    assert summary.exit_code is ExitCode.OK, summary.stats.reasons
    if suffix == ".mp4":
        assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    assert len(times(output)) == FRAMES
    heard = heard_in(output)
    assert heard.shape[1] / RATE == pytest.approx(3.0, abs=2 / FPS)
    assert_hidden(heard, words)
    assert_heard(heard, sound, words[0])
    assert_heard(heard, sound, words[2])
    stats = summary.stats
    assert stats.found == {"faces": 1, "speech": 1}
    assert stats.spoken_s > 0.4
    assert stats.muted_s == 0
    assert not any("unheard" in warning for warning in summary.warnings)


@pytest.mark.parametrize(
    ("layout", "suffix", "kept"),
    [("3.0", ".mp4", "3.0"), ("4.0", ".mkv", "4.0"), ("quad", ".mkv", "quad"),
     ("5.1(side)", ".mp4", "5.1"), ("3.0", ".webm", "3.0"), ("4.0", ".webm", "quad")],
)  # fmt: skip
def test_channels_of_a_film_are_not_mixed(
    clip: Path, tmp_path: Path, layout: str, suffix: str, kept: str
) -> None:
    """Each channel is told apart by its tone. Opus has no 4.0: there it is mixed to quad."""
    seconds = np.arange(3 * RATE) / RATE
    hz = 500 * np.arange(1, av.AudioLayout(layout).nb_channels + 1)
    sound = (0.3 * np.sin(2 * np.pi * hz[:, None] * seconds)).astype(np.float32)
    lfe = [n for n, one in enumerate(av.AudioLayout(layout).channels) if one.name == "LFE"]
    sound[lfe] = 0.3 * np.sin(2 * np.pi * 60 * seconds)  # what an encoder keeps of it
    source = with_speech(clip, tmp_path / "in.mov", sound, layout=layout)
    output = tmp_path / f"out{suffix}"
    make_run(source, output).execute()
    with av.open(str(output)) as container:
        assert container.streams.audio[0].codec_context.layout.name == kept
    if layout == "4.0" and kept == "quad":
        return
    heard = heard_in(output)[:, RATE:][:, :RATE]  # a whole second: tones are lines
    lines = np.abs(np.fft.rfft(heard))
    pitches = [60 if n in lfe else int(one) for n, one in enumerate(hz)]
    for channel, pitch in enumerate(pitches):
        others = [lines[channel, one] for one in pitches if one != pitch]
        assert lines[channel, pitch] > 0.2 * RATE / 2
        assert max(others) < 0.03 * lines[channel, pitch], f"channel {channel} is mixed"


@pytest.mark.parametrize("begins_s", [0.48, 1.2])
def test_sound_that_begins_late_stays_late(
    clip: Path, tmp_path: Path, output: Path, begins_s: float
) -> None:
    sound, words = three_words(2)
    source = with_speech(clip, tmp_path / "late.mkv", sound, begins_s)
    summary = make_run(source, output).execute()
    assert summary.exit_code is ExitCode.OK, summary.stats.reasons
    heard = heard_in(output)
    assert_hidden(heard, words, begins_s)
    assert_heard(heard, sound, words[0], begins_s)


def test_same_film_gives_the_same_bytes_however_slow_the_ear_is(
    spoken: tuple[Path, Samples, list[Word]], tmp_path: Path
) -> None:
    """How sound and pictures are interleaved may depend on who was quicker; what they say not."""
    written = set()
    for turn, nap in enumerate((0.0, 0.4)):
        output = tmp_path / f"{turn}.mp4"
        ear = Ear(every=lambda nap=nap: time.sleep(nap))  # type: ignore[misc]
        make_run(spoken[0], output, speech_models(ear, face=faces())).execute()
        with av.open(str(output)) as container:
            streams: dict[int, bytes] = {}
            for packet in container.demux():
                streams[packet.stream_index] = streams.get(packet.stream_index, b"") + bytes(packet)
        written.add(tuple(streams[n] for n in sorted(streams)))
    assert len(written) == 1


# --- a lane that fails ----------------------------------------------------------------------


def test_speech_that_cannot_be_judged_is_muted_and_the_picture_goes_on(
    clip: Path, spoken: tuple[Path, Samples, list[Word]], output: Path
) -> None:
    def fail() -> None:
        raise MemoryError("alice")

    source, _, _ = spoken
    summary = make_run(source, output, speech_models(Ear(every=fail), face=faces())).execute()
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    assert np.abs(heard_in(output)).max() < QUIET
    assert summary.exit_code is ExitCode.MASKED
    assert summary.stats.frames_masked == 0
    assert summary.stats.muted_s > 1
    assert "alice" not in " ".join(summary.stats.reasons)


def test_lane_that_dies_mutes_from_there_on(
    clip: Path, spoken: tuple[Path, Samples, list[Word]], output: Path
) -> None:
    released = threading.Event()

    class Stuck(EnergyVoice):
        samples = 0

        def listen(self, samples: Samples) -> list[tuple[float, float]]:
            Stuck.samples += len(samples)
            if Stuck.samples > 18_000:
                released.wait(30)
            return super().listen(samples)

    models = speech_models(voice=Stuck, face=faces())
    summary = make_run(spoken[0], output, models, "delay.stall_timeout_s=0.4").execute()
    released.set()
    heard = heard_in(output)
    assert np.abs(heard[:, round(1.2 * RATE) :]).max() < QUIET, "nobody listens any more"
    assert Seen.between(clip, output).frames == FRAMES
    assert Seen.between(clip, output).faces == set()
    assert summary.exit_code is ExitCode.MASKED
    assert any("given up" in reason for reason in summary.stats.reasons)


# --- order and ends -------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["sound first", "sound last", "random"])
@pytest.mark.parametrize("mouths", [False, True])
def test_badly_interleaved_files_do_not_lock_up(
    clip: Path,
    spoken: tuple[Path, Samples, list[Word]],
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    mouths: bool,
) -> None:
    real = FileSource.read

    def shuffled(self: FileSource) -> Iterator[Any]:
        items = list(real(self))
        pictures = [item for item in items if isinstance(item, Frame)]
        sound = [item for item in items if not isinstance(item, Frame)]
        if order == "sound first":
            yield from sound
            yield from pictures
        elif order == "sound last":
            yield from pictures
            yield from sound
        else:
            rng = random.Random(4)
            while pictures or sound:
                queue = rng.choice([one for one in (pictures, sound) if one])
                for _ in range(rng.randint(1, 20)):
                    if queue:
                        yield queue.pop(0)

    monkeypatch.setattr(FileSource, "read", shuffled)
    monkeypatch.setattr(runner, "mouths", lambda *_: mouths)
    source, sound, words = spoken
    summary = make_run(source, output).execute()
    assert summary.exit_code is ExitCode.OK, summary.stats.reasons
    assert Seen.between(clip, output) == Seen(FRAMES, set(), set())
    heard = heard_in(output)
    assert_hidden(heard, words)
    assert_heard(heard, sound, words[2])


def test_stopped_run_keeps_pictures_and_sound_that_were_judged(
    spoken: tuple[Path, Samples, list[Word]], output: Path
) -> None:
    source, _, words = spoken
    job = make_run(source, output)
    job.pipeline._on_frame = lambda stats: job.stop() if stats.frames_out == 20 else None
    summary = job.execute()
    assert summary.exit_code is ExitCode.INTERRUPTED
    assert not output.exists()
    partial = partial_path(output)
    assert len(times(partial)) >= 20
    heard = heard_in(partial)
    said = around(private(words), heard.shape[1], RATE, -EDGE_S)
    assert np.abs(heard[:, said]).max(initial=0) < QUIET


def test_failing_source_leaves_nothing(
    spoken: tuple[Path, Samples, list[Word]], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileSource.read

    def broken(self: FileSource) -> Iterator[Any]:
        for n, item in enumerate(real(self)):
            if n == 60:
                raise SourceError("the disk failed. Check it.")
            yield item

    monkeypatch.setattr(FileSource, "read", broken)
    with pytest.raises(SourceError, match="the disk failed"):
        make_run(spoken[0], output).execute()
    assert not output.exists()
    assert not partial_path(output).exists()


def test_sound_that_nobody_can_listen_to_is_refused_in_words(
    clip: Path, tmp_path: Path, output: Path
) -> None:
    sound, _ = three_words()
    source = with_speech(clip, tmp_path / "low.mkv", sound[:, ::24], rate=2_000)
    with pytest.raises(SourceError, match=r"2000 Hz cannot be listened to\. Convert") as caught:
        make_run(source, output).execute()
    assert "\n" not in str(caught.value)
    assert not output.exists()
    assert not partial_path(output).exists()


def test_film_without_sound_needs_no_ear(clip: Path, tmp_path: Path, output: Path) -> None:
    silent = tmp_path / "silent.mp4"
    with av.open(str(clip)) as source, av.open(str(silent), "w") as out:
        video = source.streams.video[0]
        stream = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    ear = Ear()
    summary = make_run(silent, output, speech_models(ear, face=faces())).execute()
    assert summary.exit_code is ExitCode.OK
    assert ear.asked == 0
    with av.open(str(output)) as container:
        assert not container.streams.audio


# --- mouths ---------------------------------------------------------------------------------


class Friends(BoxLane):
    """Faces that all stay visible, as those do that a whitelist knows."""

    def regions(self, frame_id: int, *, unsure: bool = False) -> tuple[FloatArray, list[int]]:
        return np.zeros((0, 4), np.float32), []

    def spared(self, frame_id: int) -> tuple[FloatArray, list[int]]:
        return super().regions(frame_id)


def friends(*_: Any) -> list[WorkerFactory]:
    script = Script()
    lane = Friends(
        "faces", script.detector(), TrackerSettings(conf=0.3), *SIZE, lookahead_s=1.0, refine=0
    )
    return [
        lambda findings, event: LaneWorker(
            lane, on_findings=findings, on_event=event, stall_timeout_s=10
        )
    ]


def parts(clip: Path, output: Path) -> tuple[set[int], set[int]]:
    """Frames in which the mouth cannot be made out, and those in which the eyes can."""
    hidden, eyes = set(), set()
    for n, (before, after) in enumerate(zip(decode(clip), decode(output), strict=True)):
        a, b = fine_detail(before), fine_detail(after)
        face = true_face(n)
        x1, y1, x2, y2 = face[0].astype(int)
        if likeness(a[y1 : y1 + (y2 - y1) // 2, x1:x2], b[y1 : y1 + (y2 - y1) // 2, x1:x2]) > 0.7:
            eyes.add(n)
        x1, y1, x2, y2 = mouth_boxes(face)[0].astype(int)
        x1, x2 = x1 + 25, x2 - 25
        alike = likeness(a[y1:y2, x1:x2], b[y1:y2, x1:x2])
        assert alike < HIDDEN + 0.1 or alike > VISIBLE - 0.15, f"frame {n}: {alike:.2f}"
        if alike < HIDDEN + 0.1:
            hidden.add(n)
    return hidden, eyes


@pytest.mark.parametrize("listens", ["well", "fails", "says nothing private"])
def test_mouths_of_visible_faces_are_hidden_while_private_words_are_said(
    clip: Path,
    tmp_path: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    listens: str,
) -> None:
    monkeypatch.setattr(runner, "lane_workers", friends)
    monkeypatch.setattr(runner, "mouths", lambda settings, _: settings.audio.mouth_blur)
    text = "word3" if listens == "says nothing private" else "alice"
    sound, words = say([("word1", 0.3), (text, 0.3), ("word2", 0.3)], [0.1, 0.85, 0.85],
                       RATE, 1, 0.3)  # fmt: skip
    source = with_speech(clip, tmp_path / "spoken.mkv", sound)

    def fail() -> list[Word] | None:
        if listens == "fails":
            raise MemoryError
        return None

    models = speech_models(Ear(every=fail), face=faces())
    make_run(source, output, models).execute()
    hidden, eyes = parts(clip, output)
    assert eyes == set(range(FRAMES)), "only mouths are hidden"
    if listens == "says nothing private":
        assert hidden == set()
        return
    if listens == "fails":
        said = {n for word in words for n in range(round(word.start * FPS) + 1,
                                                   round(word.end * FPS))}  # fmt: skip
        assert said <= hidden, "nobody knows what is said"
        return
    ((start, end),) = private(words)
    said = {n for n in range(FRAMES) if start - 0.2 <= n / FPS <= end + 0.2}
    near = {n for n in range(FRAMES) if start - PAD_S - 0.25 <= n / FPS <= end + PAD_S + 0.25}
    assert said <= hidden <= near


def test_mouths_stay_where_that_is_switched_off(
    clip: Path,
    spoken: tuple[Path, Samples, list[Word]],
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "lane_workers", friends)
    monkeypatch.setattr(runner, "mouths", lambda settings, _: settings.audio.mouth_blur)
    make_run(spoken[0], output, None, "audio.mouth_blur=false").execute()
    hidden, eyes = parts(clip, output)
    assert (hidden, eyes) == (set(), set(range(FRAMES)))
