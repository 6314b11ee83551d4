"""Builds small real clips whose pictures carry their number and whose sound carries clicks.

So a test can tell from a decoded file which frames it holds, when, and how the sound lies to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

BITS = 8
CLICK_S = 0.02
CLICK_EVERY_S = 0.4
CLICK_FIRST_S = 0.2


@dataclass(frozen=True)
class Sound:
    """Clicks of CLICK_S every CLICK_EVERY_S, the first CLICK_FIRST_S after `start_s`."""

    codec: str = "aac"
    rate: int = 48000
    layout: str = "stereo"
    start_s: float = 0.0
    duration_s: float = 1.5


def numbered_luma(number: int, width: int, height: int) -> np.ndarray:
    """(height, width) uint8: BITS vertical stripes, dark or bright as the number's bits say."""
    bits = [(number >> (BITS - 1 - i)) & 1 for i in range(BITS)]
    columns = np.minimum(np.arange(width) * BITS // width, BITS - 1)
    row = np.where(np.array(bits)[columns], 200, 50).astype(np.uint8)
    return np.tile(row, (height, 1))


def read_number(luma: np.ndarray) -> int:
    """Read the number in a picture of numbered_luma that may have been through an encoder."""
    width = luma.shape[1]
    edges = [width * i // BITS for i in range(BITS + 1)]
    means = [luma[:, a:b].mean() for a, b in pairwise(edges)]
    return sum(int(mean > 125) << (BITS - 1 - i) for i, mean in enumerate(means))


def numbered_frame(number: int, width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """A frame of any pixel format and size with a number in it."""
    luma = numbered_luma(number, width, height)
    rgb = np.ascontiguousarray(np.repeat(luma[:, :, None], 3, axis=2))
    if pix_fmt == "pal8":
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
        palette[:, 0] = 255  # alpha, red, green, blue
        return av.VideoFrame.from_ndarray((luma, palette), format="pal8")
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    return frame.reformat(format=pix_fmt) if pix_fmt != "rgb24" else frame


def make_clip(
    path: Path,
    *,
    frames: int = 30,
    size: tuple[int, int] = (64, 48),
    fps: Fraction | int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: Sound | None = None,
    orientation: tuple[int, bool, bool] | None = None,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Encode `frames` numbered frames at `pts` (ticks of time_base; else one each 1/fps)."""
    out = av.open(str(path), "w", format=container, container_options=dict(container_options or {}))
    out.metadata.update(metadata or {})
    if options is None:
        options = {"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}
    time_base = time_base or 1 / Fraction(fps)
    video = out.add_stream(codec, rate=Fraction(fps), options=options, time_base=time_base)
    video.width, video.height = size
    video.pix_fmt = pix_fmt
    video.gop_size = 12
    if orientation is not None:
        video.set_display_rotation(*orientation)
    audio = _add_sound(out, sound) if sound else None
    # Sound first, then pictures: the muxer interleaves them.
    if audio is not None and sound is not None:
        for frame in sound_frames(sound, audio.codec_context.format.name):
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    ticks = list(pts) if pts is not None else [round(i / fps / time_base) for i in range(frames)]
    for number, tick in enumerate(ticks):
        frame = numbered_frame(number, *size, pix_fmt)
        frame.pts, frame.time_base = tick, time_base
        out.mux(video.encode(frame))
    out.mux(video.encode(None))
    out.close()
    return path


def make_sound(path: Path, sound: Sound) -> Path:
    """A file with sound only."""
    out = av.open(str(path), "w")
    audio = _add_sound(out, sound)
    for frame in sound_frames(sound, audio.codec_context.format.name):
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))
    out.close()
    return path


def _add_sound(out, sound: Sound):
    audio = out.add_stream(sound.codec, rate=sound.rate)
    audio.layout = sound.layout
    if sound.codec in ("aac", "libopus", "libmp3lame"):
        audio.bit_rate = 96_000
    if sound.codec in ("vorbis", "opus"):
        audio.codec_context.options = {"strict": "experimental"}
    return audio


def click_track(sound: Sound) -> np.ndarray:
    """(samples,) float32 with 1 kHz bursts."""
    time = np.arange(round(sound.duration_s * sound.rate)) / sound.rate
    phase = time - CLICK_FIRST_S
    on = (phase >= 0) & (phase % CLICK_EVERY_S < CLICK_S)
    return np.where(on, 0.7 * np.sin(2 * np.pi * 1000 * phase), 0).astype(np.float32)


def sound_frames(sound: Sound, fmt: str):
    """The click track as frames of 1024 samples in an encoder's format."""
    track = click_track(sound)
    channels = av.AudioLayout(sound.layout).nb_channels
    resampler = av.AudioResampler(fmt, sound.layout, sound.rate)
    first = round(sound.start_s * sound.rate)
    for at in range(0, len(track), 1024):
        part = np.repeat(track[None, at : at + 1024], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", sound.layout)
        frame.sample_rate = sound.rate
        frame.pts, frame.time_base = first + at, Fraction(1, sound.rate)
        yield from resampler.resample(frame)


@dataclass(frozen=True)
class Decoded:
    """What a player would show: frame numbers, their times, and when clicks are heard."""

    numbers: list[int]
    times: list[float]
    clicks: list[float]
    size: tuple[int, int]
    pix_fmt: str

    @property
    def sync(self) -> list[float]:
        """Click times, counted from the first frame."""
        return [click - self.times[0] for click in self.clicks]


def decode(path: Path) -> Decoded:
    """Decode a file with plain PyAV, independent of the code under test."""
    numbers, times, size, pix_fmt = [], [], (0, 0), ""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = frame.to_ndarray(format="gray")
            numbers.append(read_number(luma))
            times.append(frame.time if frame.time is not None else -1.0)
            size, pix_fmt = (frame.width, frame.height), frame.format.name
    return Decoded(numbers, times, clicks_in(path), size, pix_fmt)


def clicks_in(path: Path) -> list[float]:
    """Times at which the bursts of a click track begin."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        onsets, quiet_since = [], -1.0
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)
            if not frame.format.is_planar:
                samples = samples.reshape(-1, frame.layout.nb_channels).T
            scale = {"s16": 32768, "s32": 2**31, "flt": 1}[frame.format.name.rstrip("p")]
            loud = np.abs(samples).max(axis=0) / scale > 0.25
            for index in np.flatnonzero(loud):
                at = frame.time + index / frame.sample_rate
                if at - quiet_since > 2 * CLICK_S:
                    onsets.append(at)
                quiet_since = at
    return onsets


def pipe(source, sink) -> None:
    """Pass everything from a source to a sink, as a pipeline that redacts nothing would."""
    from edge.frame import Frame

    for item in source.read():
        if isinstance(item, Frame):
            sink.write_frame(item.picture, item.ticks)
        else:
            sink.write_sound(item)
