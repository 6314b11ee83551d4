"""Files of sound: every sample in its place through every container, and nothing half written."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import SinkError, SourceError
from edge.media.codecs import SOUND_FORMATS
from edge.media.output import partial_path
from edge.media.sound_file import SoundFileInfo, SoundFileSink, SoundFileSource
from edge.sound import Samples, SoundBlock
from tests.sounds import read_sound, write_sound

CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".m4a": "aac",
    ".mp3": "libmp3lame",
    ".opus": "libopus",
    ".mka": "flac",
}
LOSSLESS = {".wav", ".flac", ".mka"}
FRAME_S = {".m4a": 1024, ".mp3": 1152, ".opus": 960}
"""Samples in a codec's frame; lossless ones keep every sample."""


def clicks(rate: int, channels: int, seconds: float = 2.0) -> Samples:
    """A burst of noise in every half second, at another time on each channel."""
    rng = np.random.default_rng(rate + channels)
    sound = np.zeros((channels, round(seconds * rate)), np.float32)
    length = rate // 50
    for channel in range(channels):
        for n in range(int(2 * seconds)):
            at = round((0.5 * n + 0.1 + 0.03 * channel) * rate)
            window = np.hanning(length)
            tone = np.sin(2 * np.pi * 1000 * np.arange(length) / rate)
            sound[channel, at : at + length] = 0.5 * window * (tone + 0.1 * rng.normal(size=length))
    return sound.clip(-1, 1)


def lag_s(before: Samples, after: Samples, rate: int) -> float:
    """By how much one channel came later, from the peak of the correlation."""
    n = min(len(before), len(after))
    spectrum = np.fft.rfft(after[:n], 2 * n) * np.conj(np.fft.rfft(before[:n], 2 * n))
    at = int(np.argmax(np.fft.irfft(spectrum)))
    return (at - 2 * n if at > n else at) / rate


def read(path: Path) -> tuple[SoundFileInfo, list[SoundBlock]]:
    with SoundFileSource(path) as source:
        return source.info, list(source.read())


def write(path: Path, info: SoundFileInfo, sound: list[SoundBlock], **options: bool) -> Path:
    sink = SoundFileSink(path, info, overwrite=options.get("overwrite", False))
    for block in sound:
        sink.write_samples(block.samples, block.pts)
    return sink.finish()


def joined(sound: list[SoundBlock]) -> Samples:
    """The samples of blocks, which have to follow one another."""
    end = sound[0].pts
    for block in sound:
        assert block.pts == pytest.approx(end, abs=1e-6)
        end = block.end
    return np.concatenate([block.samples for block in sound], axis=1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "in.wav", clicks(48_000, 2), 48_000, "pcm_s16le", "stereo")


# --- every container ------------------------------------------------------------------------


@pytest.mark.parametrize("ext", CODECS)
@pytest.mark.parametrize(
    ("rate", "layout"), [(48_000, "stereo"), (44_100, "mono"), (8_000, "mono"), (24_000, "stereo")]
)
def test_each_kind_is_read_with_its_rate_and_channels(
    tmp_path: Path, ext: str, rate: int, layout: str
) -> None:
    if ext == ".opus" and rate == 44_100:
        rate = 16_000
    channels = 1 if layout == "mono" else 2
    sound = clicks(rate, channels)
    path = write_sound(tmp_path / f"in{ext}", sound, rate, CODECS[ext], layout)
    info, blocks = read(path)
    wanted = 48_000 if ext == ".opus" else rate
    assert (info.rate, info.channels, info.layout) == (wanted, channels, layout)
    assert info.duration_s == pytest.approx(2.0, abs=FRAME_S.get(ext, 1) / wanted + 0.01)
    heard = joined(blocks)
    assert blocks[0].pts == 0
    spare = FRAME_S.get(ext, 0)
    assert abs(heard.shape[1] - 2 * wanted) <= spare
    if ext in LOSSLESS:
        assert np.abs(heard - sound).max() < 1e-4
    elif wanted == rate:
        for channel in range(channels):
            assert abs(lag_s(sound[channel], heard[channel], rate)) <= 1e-3


@pytest.mark.parametrize("ext", SOUND_FORMATS)
@pytest.mark.parametrize(
    ("rate", "layout"),
    [(48_000, "stereo"), (44_100, "mono"), (96_000, "stereo"), (11_025, "mono")],
)
def test_each_kind_is_written_in_sync_and_at_full_length(
    tmp_path: Path, ext: str, rate: int, layout: str
) -> None:
    channels = 1 if layout == "mono" else 2
    sound = clicks(rate, channels)
    info, blocks = read(write_sound(tmp_path / "in.wav", sound, rate, "pcm_s16le", layout))
    heard, new_rate, start = read_sound(write(tmp_path / f"out{ext}", info, blocks))
    kept = SOUND_FORMATS[ext].rate is None and (ext not in (".m4a", ".mp3") or rate <= 48_000)
    assert new_rate == (rate if kept else 48_000)
    assert heard.shape[0] == channels
    if ext != ".mp3":  # whose clock begins with the encoder's delay
        assert start == pytest.approx(0, abs=0.03)
    assert abs(heard.shape[1] - 2 * new_rate) <= FRAME_S.get(ext, 0) + (not kept) * 8
    if ext in LOSSLESS:
        assert np.abs(heard - sound).max() < 1e-4
        return
    at = np.arange(heard.shape[1]) * rate / new_rate
    for channel in range(channels):
        there = np.interp(np.arange(2 * rate), at * 1.0, heard[channel])
        # Where a frame is 20 ms, sound that is one frame late or early would show.
        assert abs(lag_s(sound[channel], there.astype(np.float32), rate)) <= 2e-3


@pytest.mark.parametrize("layout", ["3.0", "4.0", "quad", "5.1", "5.1(side)", "6.1", "7.1"])
@pytest.mark.parametrize("ext", [".wav", ".flac", ".mka"])
def test_channels_are_not_mixed(tmp_path: Path, layout: str, ext: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    sound = clicks(48_000, channels, 1.0)
    path = write_sound(tmp_path / "in.wav", sound, 48_000, "pcm_s16le", layout)
    info, blocks = read(path)
    assert (info.channels, info.layout) == (channels, layout)
    assert np.abs(joined(blocks) - sound).max() < 1e-4
    heard, _, _ = read_sound(write(tmp_path / f"out{ext}", info, blocks))
    assert np.abs(heard - sound).max() < 1e-4


@pytest.mark.parametrize("layout", ["3.0", "quad", "5.1", "5.1(side)"])
@pytest.mark.parametrize("ext", [".m4a", ".opus", ".mp3"])
def test_more_than_two_channels_are_kept_or_refused_in_words(
    tmp_path: Path, layout: str, ext: str
) -> None:
    channels = av.AudioLayout(layout).nb_channels
    sound = clicks(48_000, channels, 1.0)
    info, blocks = read(write_sound(tmp_path / "in.wav", sound, 48_000, "pcm_s16le", layout))
    if ext == ".mp3":
        with pytest.raises(SinkError, match=r"takes 2 channels at most\. Use"):
            write(tmp_path / "out.mp3", info, blocks)
        assert not partial_path(tmp_path / "out.mp3").exists()
        return
    heard, _, _ = read_sound(write(tmp_path / f"out{ext}", info, blocks))
    assert heard.shape[0] == channels


def test_too_many_channels_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "in.wav"
    write_sound(path, clicks(48_000, 16, 0.2), 48_000, "pcm_s16le", "hexadecagonal")
    with pytest.raises(SourceError, match=r"16 channels of sound, more than 8\. Mix"):
        SoundFileSource(path)


# --- what is beside the sound ---------------------------------------------------------------


def jpeg() -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), "rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("ext", [".mp3", ".m4a"])
def test_a_cover_picture_is_not_passed_on(tmp_path: Path, ext: str) -> None:
    sound = clicks(44_100, 2)
    path = write_sound(tmp_path / f"in{ext}", sound, 44_100, CODECS[ext], "stereo", jpeg())
    with av.open(str(path)) as container:
        assert container.streams.video, "the cover is there"
    info, blocks = read(path)
    assert joined(blocks).shape[1] / 44_100 == pytest.approx(2.0, abs=0.03)
    output = write(tmp_path / f"out{ext}", info, blocks)
    with av.open(str(output)) as container:
        assert not container.streams.video
    assert jpeg() not in output.read_bytes()


def test_names_and_places_are_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "in.mka"
    with av.open(str(path), "w") as out:
        out.metadata["artist"] = "Jane Roe of Springfield"
        stream = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        stream.metadata["title"] = "call with Jane Roe"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert b"Jane Roe" in path.read_bytes()
    info, blocks = read(path)
    for ext in SOUND_FORMATS:
        assert b"Jane Roe" not in write(tmp_path / f"out{ext}", info, blocks).read_bytes()


def test_the_sound_of_a_film_is_read(clip: Path) -> None:
    info, blocks = read(clip)
    assert (info.codec, info.rate, info.layout) == ("aac", 48_000, "mono")
    assert joined(blocks).shape[1] / 48_000 == pytest.approx(3.0, abs=0.03)


def test_same_sound_gives_the_same_bytes(tmp_path: Path, source: Path) -> None:
    info, blocks = read(source)
    for ext in SOUND_FORMATS:
        first = write(tmp_path / f"a{ext}", info, blocks)
        second = write(tmp_path / f"b{ext}", info, blocks)
        assert first.read_bytes() == second.read_bytes(), ext


# --- damage ---------------------------------------------------------------------------------


def test_what_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    empty, noise, silent = (tmp_path / name for name in ("empty.wav", "noise.mp3", "silent.mp4"))
    empty.touch()
    noise.write_bytes(np.random.default_rng(1).bytes(20_000))
    with av.open(str(silent), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))
    header = tmp_path / "header.wav"
    write_sound(tmp_path / "whole.wav", clicks(8_000, 1), 8_000, "pcm_s16le", "mono")
    header.write_bytes((tmp_path / "whole.wav").read_bytes()[:70])
    for path in (tmp_path / "none.wav", tmp_path, empty, noise, silent):
        with pytest.raises(SourceError) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="holds no sound that can be decoded"):
        read(silent)
    short = tmp_path / "short.wav"
    short.write_bytes((tmp_path / "whole.wav").read_bytes()[:44])
    with pytest.raises(SourceError):
        read(short)


@pytest.mark.parametrize("ext", [".mp3", ".flac", ".m4a", ".opus"])
def test_damage_is_survived_counted_and_keeps_the_rest_in_place(tmp_path: Path, ext: str) -> None:
    sound = clicks(48_000, 1, 6.0)
    whole = write_sound(tmp_path / f"in{ext}", sound, 48_000, CODECS[ext], "mono")
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(2).bytes(300)
    path = tmp_path / f"damaged{ext}"
    path.write_bytes(data)
    with SoundFileSource(path) as source:
        blocks = list(source.read())
    ends = [block.end for block in blocks]
    assert all(b.pts >= end - 1e-6 for b, end in zip(blocks[1:], ends, strict=False))
    heard, rate, _ = read_sound(write(tmp_path / f"out{ext}", source.info, blocks))
    assert heard.shape[1] / rate == pytest.approx(6.0, abs=0.15)
    tail = slice(round(4.5 * rate), round(5.9 * rate))
    # Nothing in an .mp3 says when a frame is heard: those that are lost are missing.
    most = 0.1 if ext == ".mp3" else 0.02
    assert abs(lag_s(sound[0, tail], heard[0, tail], rate)) <= most


@pytest.mark.parametrize("ext", [".mp3", ".flac", ".wav", ".mka"])
def test_a_file_that_was_cut_off_gives_what_it_has(tmp_path: Path, ext: str) -> None:
    whole = write_sound(tmp_path / f"in{ext}", clicks(48_000, 1, 4.0), 48_000, CODECS[ext], "mono")
    data = whole.read_bytes()
    path = tmp_path / f"cut{ext}"
    path.write_bytes(data[: len(data) * 3 // 5])
    heard = joined(read(path)[1])
    assert 0.8 < heard.shape[1] / 48_000 < 3.9


# --- the output file ------------------------------------------------------------------------


def test_final_name_appears_at_the_end_only(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.flac"
    info, blocks = read(source)
    sink = SoundFileSink(output, info, overwrite=False)
    for block in blocks:
        sink.write_samples(block.samples, block.pts)
        assert not output.exists()
    assert partial_path(output).exists()
    assert sink.finish() == output
    assert not partial_path(output).exists()
    sink.abort()
    assert output.exists(), "to abort what has ended does nothing"


def test_interrupted_file_is_playable_under_its_partial_name(tmp_path: Path, source: Path) -> None:
    info, blocks = read(source)
    for ext in SOUND_FORMATS:
        output = tmp_path / f"out{ext}"
        sink = SoundFileSink(output, info, overwrite=False)
        for block in blocks[: len(blocks) // 2]:
            sink.write_samples(block.samples, block.pts)
        assert sink.interrupt() == partial_path(output)
        assert not output.exists()
        heard, rate, _ = read_sound(partial_path(output))
        assert heard.shape[1] / rate == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("ext", SOUND_FORMATS)
@pytest.mark.parametrize("end", ["finish", "interrupt"])
def test_file_without_a_sample_can_be_ended(
    tmp_path: Path, source: Path, ext: str, end: str
) -> None:
    info, _ = read(source)
    sink = SoundFileSink(tmp_path / f"out{ext}", info, overwrite=False)
    assert getattr(sink, end)().stat().st_size > 0


def test_aborted_file_leaves_nothing(tmp_path: Path, source: Path) -> None:
    info, blocks = read(source)
    for ext in SOUND_FORMATS:
        sink = SoundFileSink(tmp_path / f"out{ext}", info, overwrite=False)
        sink.write_samples(blocks[0].samples, blocks[0].pts)
        sink.abort()
    assert not list(tmp_path.glob("out*"))


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.wav"
    output.write_bytes(b"precious")
    info, blocks = read(source)
    with pytest.raises(SinkError, match="already exists"):
        write(output, info, blocks)
    assert output.read_bytes() == b"precious"
    assert not partial_path(output).exists()
    assert write(output, info, blocks, overwrite=True) == output
    assert np.abs(read_sound(output)[0] - clicks(48_000, 2)).max() < 1e-4
    with pytest.raises(SinkError, match="is the input itself"):
        write(source, info, blocks, overwrite=True)
    assert source.stat().st_size > 100_000


def test_file_that_appears_meanwhile_is_not_lost(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.wav"
    info, blocks = read(source)
    sink = SoundFileSink(output, info, overwrite=False)
    for block in blocks:
        sink.write_samples(block.samples, block.pts)
    output.write_bytes(b"precious")
    with pytest.raises(SinkError, match="appeared while this run was working"):
        sink.finish()
    sink.abort()
    assert output.read_bytes() == b"precious"
    assert partial_path(output).exists(), "the result is kept"


@pytest.mark.parametrize("ext", SOUND_FORMATS)
def test_full_disk_is_told_of_and_leaves_nothing(tmp_path: Path, source: Path, ext: str) -> None:
    import resource
    import signal

    info, blocks = read(source)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(SinkError, match=r"\. \w") as caught:
            write(tmp_path / f"out{ext}", info, blocks * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert "file size limit" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_folder_that_cannot_be_written_is_told_of(tmp_path: Path, source: Path) -> None:
    info, _ = read(source)
    with pytest.raises(SinkError, match="does not exist"):
        SoundFileSink(tmp_path / "none" / "out.wav", info, overwrite=False)
    with pytest.raises(SinkError, match=r"no file of sound\. Use one of \.wav"):
        SoundFileSink(tmp_path / "out.mp4", info, overwrite=False)
