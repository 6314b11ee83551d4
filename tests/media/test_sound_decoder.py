"""SoundDecoder: samples at 48 kHz in stereo, each block where it is heard."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.media.sound import LIVE_RATE, SoundDecoder
from edge.media.source import FileSource, SoundPacket
from tests.media.clips import CLICK_EVERY_S, CLICK_FIRST_S, Sound, make_clip


def blocks_of(path: Path, change=lambda packets: packets):
    with FileSource(path) as source:
        decoder = SoundDecoder(source.info.sound)
        packets = [item for item in source.read() if isinstance(item, SoundPacket)]
    # The file is closed by now, as a connection may be that was lost.
    blocks = [block for packet in change(packets) for block in decoder.decode(packet)]
    blocks += decoder.decode(None)
    for at, samples in blocks:
        assert isinstance(at, float)
        assert samples.dtype == np.float32
        assert samples.shape[0] == 2
        assert np.abs(samples).max() <= 1
    return blocks, decoder


def gaps(blocks) -> list[float]:
    steps = [(b[0] - a[0] - a[1].shape[1] / LIVE_RATE, b[0]) for a, b in pairwise(blocks)]
    assert all(gap > -1e-6 for gap, _ in steps), "blocks overlap"
    return [gap for gap, _ in steps if gap > 1e-6]


def clicks(blocks) -> list[float]:
    heard, silent_since = [], -1.0
    for at, samples in blocks:
        for i in np.flatnonzero(np.abs(samples[0]) > 0.2):
            time = at + i / LIVE_RATE
            if time - silent_since > 0.1:
                heard.append(time)
            silent_since = time
    return heard


@pytest.mark.parametrize(
    ("codec", "rate", "layout", "ext"),
    [
        ("aac", 48000, "stereo", "mp4"),
        ("aac", 44100, "mono", "mp4"),
        ("libmp3lame", 32000, "stereo", "mkv"),
        ("libopus", 48000, "mono", "mkv"),
        ("pcm_s16le", 96000, "mono", "mkv"),
        ("flac", 16000, "stereo", "mkv"),
        ("aac", 48000, "5.1", "mp4"),
    ],
)
def test_every_sound_becomes_48k_stereo_in_its_place(tmp_path, codec, rate, layout, ext):
    sound = Sound(codec, rate, layout, duration_s=2.0)
    blocks, decoder = blocks_of(make_clip(tmp_path / f"a.{ext}", sound=sound))
    assert decoder.damage == 0
    assert gaps(blocks) == []
    heard = clicks(blocks)
    expected = [CLICK_FIRST_S + i * CLICK_EVERY_S for i in range(5)]
    assert heard == pytest.approx(expected, abs=0.015)
    assert blocks[-1][0] + blocks[-1][1].shape[1] / LIVE_RATE == pytest.approx(2.0, abs=0.1)


def test_lost_packets_leave_a_gap_and_the_rest_in_place(tmp_path):
    path = make_clip(tmp_path / "a.mp4", sound=Sound(duration_s=2.0))
    blocks, _ = blocks_of(path, lambda packets: packets[:20] + packets[40:])
    (gap,) = gaps(blocks)
    assert gap == pytest.approx(20 * 1024 / 48000, abs=0.03)
    expected = {CLICK_FIRST_S + i * CLICK_EVERY_S for i in range(5)}
    assert all(min(abs(h - e) for e in expected) < 0.015 for h in clicks(blocks)[-2:])


def test_damaged_packets_are_counted(tmp_path):
    def damage(packets):
        for packet in packets[10:13]:
            memory = np.frombuffer(packet.packet, np.uint8)
            memory.flags.writeable or memory.setflags(write=True)
            memory[:] = 255
        return packets

    blocks, decoder = blocks_of(make_clip(tmp_path / "a.mp4", sound=Sound(duration_s=2.0)), damage)
    assert decoder.damage >= 1
    gaps(blocks)
    assert clicks(blocks)[-1] == pytest.approx(CLICK_FIRST_S + 4 * CLICK_EVERY_S, abs=0.015)


def test_times_that_jump_back_do_not_overlap(tmp_path):
    def early(packets):
        for packet in packets[30:]:
            packet.packet.pts -= 9600  # 0.2 s
        return packets

    blocks, _ = blocks_of(make_clip(tmp_path / "a.mp4", sound=Sound(duration_s=2.0)), early)
    assert gaps(blocks) == []
