"""FileSource against real files: kinds, timestamps, damage, and what it must not let pass."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import SourceError
from edge.frame import Frame
from edge.media.normalise import Orientation, orientation_from_matrix
from edge.media.source import FileSource, SoundPacket
from tests.media.clips import (
    Sound,
    make_clip,
    make_sound,
    numbered_luma,
    read_number,
)
from tests.support import shared_file


def read(path: Path):
    with FileSource(path) as source:
        items = list(source.read())
        frames = [item for item in items if isinstance(item, Frame)]
        sound = [item for item in items if isinstance(item, SoundPacket)]
        return source, frames, sound


def numbers(frames: list[Frame]) -> list[int]:
    return [read_number(frame.picture.luma) for frame in frames]


def test_a_plain_clip(tmp_path):
    path = make_clip(tmp_path / "a.mp4", sound=Sound(rate=44100, layout="mono"))
    source, frames, sound = read(path)
    info = source.info
    assert (info.width, info.height, info.fps) == (64, 48, 25)
    assert (info.codec, info.pixel_format, info.rotation) == ("h264", "yuv420p", 0)
    assert info.frame_count == 30
    assert info.duration_s == pytest.approx(1.2)
    assert info.has_sound
    assert (info.sound.codec, info.sound.rate, info.sound.layout) == ("aac", 44100, "mono")
    assert info.dropped == ()
    assert numbers(frames) == list(range(30))
    assert [frame.frame_id for frame in frames] == list(range(30))
    assert [frame.pts for frame in frames] == pytest.approx([i / 25 for i in range(30)])
    assert [frame.ticks * info.time_base for frame in frames] == [
        Fraction(i, 25) for i in range(30)
    ]
    assert sound[-1].pts == pytest.approx(1.5, abs=0.03)
    assert (source.damage, source.repaired, source.truncated, source.notes) == (0, 0, False, [])


def test_the_same_file_gives_the_same_items(tmp_path):
    path = make_clip(tmp_path / "a.mkv", sound=Sound(), options={"preset": "medium", "bf": "3"})

    def summary():
        _, frames, sound = read(path)
        return (
            [(f.frame_id, f.ticks, f.picture.luma.tobytes()) for f in frames],
            [(s.pts, bytes(s.packet)) for s in sound],
        )

    assert summary() == summary()


def test_frames_and_sound_come_in_the_order_of_the_file(tmp_path):
    path = make_clip(tmp_path / "a.mkv", frames=100, sound=Sound(duration_s=4))
    with FileSource(path) as source:
        ahead = 0.0
        seen = {Frame: 0.0, SoundPacket: 0.0}
        for item in source.read():
            seen[type(item)] = item.pts
            ahead = max(ahead, abs(seen[Frame] - seen[SoundPacket]))
    assert ahead < 1.0  # decoder and muxer delay, not the length of the file


def test_variable_frame_rate_keeps_its_ticks(tmp_path):
    pts = [0, 40, 45, 120, 300, 301, 555, 1000]
    path = make_clip(tmp_path / "a.mkv", pts=pts, time_base=Fraction(1, 1000))
    source, frames, _ = read(path)
    assert [frame.ticks for frame in frames] == pts
    assert source.info.time_base == Fraction(1, 1000)
    assert source.repaired == 0


@pytest.mark.parametrize("ext", ["mkv", "ts", "mp4"])
def test_a_late_start_becomes_zero_and_sound_keeps_its_distance(tmp_path, ext):
    path = make_clip(
        tmp_path / f"a.{ext}", pts=range(250, 280), sound=Sound("libmp3lame", start_s=10.3)
    )
    source, frames, sound = read(path)
    assert frames[0].pts == pytest.approx(0, abs=1e-3)
    # The encoder's delay (1105 samples of MP3) is part of where the sound begins.
    assert sound[0].pts == pytest.approx(0.3, abs=0.03)
    assert not source.truncated


def test_avi_frames_follow_in_order_although_it_has_no_timestamps(tmp_path):
    path = make_clip(tmp_path / "a.avi", options={"preset": "medium", "bf": "3"})
    source, frames, _ = read(path)
    assert numbers(frames) == list(range(30))
    assert [frame.ticks for frame in frames] == list(range(30))
    assert source.repaired == 0


def test_a_bare_stream_without_timestamps(tmp_path):
    path = make_clip(tmp_path / "a.h264", container="h264")
    _, frames, _ = read(path)
    assert numbers(frames) == list(range(30))
    assert [frame.pts for frame in frames] == pytest.approx([i / 25 for i in range(30)])


def test_a_stream_whose_clock_restarts(tmp_path):
    """Two recordings joined byte by byte, as cameras and `cat` do."""
    first = make_clip(tmp_path / "1.ts", pts=range(5000, 5030), sound=Sound(start_s=200))
    second = make_clip(tmp_path / "2.ts", sound=Sound())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    source, frames, sound = read(joined)
    assert numbers(frames) == [*range(30), *range(30)]
    times = [frame.pts for frame in frames]
    assert np.diff(times).min() > 0
    assert times[-1] == pytest.approx(2.4, abs=0.6)
    assert sound[-1].pts == pytest.approx(times[-1], abs=0.6)
    assert source.repaired >= 1


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "ext"),
    [
        ("libx264", "yuv422p10le", "mp4"),
        ("libx264", "yuv444p", "mp4"),
        ("libx265", "yuv420p10le", "mp4"),
        ("mjpeg", "yuvj420p", "avi"),
        ("mjpeg", "yuvj422p", "avi"),
        ("png", "rgb24", "mov"),
        ("png", "pal8", "mov"),
        ("png", "gray", "mov"),
        ("ffv1", "bgr0", "mkv"),
        ("ffv1", "gray", "mkv"),
        ("gif", "rgb8", "gif"),
        ("prores_ks", "yuv422p10le", "mov"),
    ],
)
def test_every_pixel_format_becomes_420_with_its_levels_kept(tmp_path, codec, pix_fmt, ext):
    path = make_clip(
        tmp_path / f"a.{ext}",
        codec=codec,
        pix_fmt="rgb8" if codec == "gif" else pix_fmt,
        options={"x265-params": "log-level=none"} if codec == "libx265" else None,
        frames=13,
    )
    source, frames, _ = read(path)
    assert source.info.pixel_format in ("yuv420p", "yuvj420p")
    assert numbers(frames) == list(range(13))
    luma = frames[5].picture.luma.astype(int)
    full = source.info.colour.full_range
    expected = numbered_luma(5, 64, 48).astype(float)
    expected = expected if full else 16 + expected * 219 / 255
    error = np.abs(luma - expected)[:, 2:-2]
    assert np.median(error) <= (20 if codec == "gif" else 4), np.median(error)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((0, False, False), Orientation()),
        ((-90, False, False), Orientation(True, True, False)),
        ((90, False, False), Orientation(True, False, True)),
        ((180, False, False), Orientation(False, True, True)),
        ((0, True, False), Orientation(False, True, False)),
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_a_turned_picture_is_given_upright(tmp_path, orientation, expected, pix_fmt):
    path = make_clip(
        tmp_path / "a.mp4", size=(96, 64), orientation=orientation, frames=8, pix_fmt=pix_fmt
    )
    source, frames, _ = read(path)
    turn = {
        Orientation(): lambda a: a,
        Orientation(True, True, False): lambda a: np.rot90(a, -1),
        Orientation(True, False, True): lambda a: np.rot90(a, 1),
        Orientation(False, True, True): lambda a: np.rot90(a, 2),
        Orientation(False, True, False): np.fliplr,
    }[expected]
    size = (64, 96) if expected.transpose else (96, 64)
    assert (source.info.width, source.info.height) == size
    for number, frame in enumerate(frames):
        upright = turn(numbered_luma(number, 96, 64)).astype(int) > 125
        seen = frame.picture.luma.astype(int) > 125
        assert seen.shape == upright.shape
        assert (seen != upright).mean() < 0.02
        assert (frame.picture.width, frame.picture.height) == size


def test_orientations_that_are_no_right_angle():
    assert orientation_from_matrix(46341, 46341, -46341, 46341) is None
    assert orientation_from_matrix(0, 0, 0, 0) is None
    assert orientation_from_matrix(3, 65536, -65536, 3) == Orientation(True, True, False)


@pytest.mark.parametrize("turn", [None, (-90, False, False)])
@pytest.mark.parametrize("size", [(65, 49), (64, 49), (17, 16)])
def test_odd_sizes_are_cropped(tmp_path, size, turn):
    path = make_clip(tmp_path / "a.mp4", size=size, pix_fmt="yuv444p", frames=5, orientation=turn)
    source, frames, _ = read(path)
    even = (size[0] & ~1, size[1] & ~1)
    assert (source.info.width, source.info.height) == (even[::-1] if turn else even)
    assert (source.info.coded_width, source.info.coded_height) == size
    assert any("cropped" in note for note in source.notes)
    assert len(frames) == 5


def test_a_size_that_changes_is_scaled_and_said(tmp_path):
    first = make_clip(tmp_path / "1.ts", frames=10)
    second = make_clip(tmp_path / "2.ts", frames=10, size=(128, 96), pts=range(10, 20))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    source, frames, _ = read(joined)
    assert numbers(frames) == [*range(10), *range(10)]
    assert {(f.picture.width, f.picture.height) for f in frames} == {(64, 48)}
    assert any("size changes" in note for note in source.notes)


def test_a_frame_count_of_one(tmp_path):
    _, frames, _ = read(
        make_clip(tmp_path / "a.png", frames=1, codec="png", pix_fmt="rgb24", container="image2")
    )
    assert len(frames) == 1


def test_only_one_picture_and_one_sound_stream_pass(tmp_path):
    path = tmp_path / "many.mkv"
    out = av.open(str(path), "w")
    streams = [out.add_stream("libx264", rate=25) for _ in range(2)]
    for stream, size in zip(streams, (32, 64), strict=True):
        stream.width = stream.height = size
    out.add_attachment("secret.txt", "text/plain", b"home address")
    for number in range(5):
        for stream in streams:
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
    for stream in streams:
        out.mux(stream.encode(None))
    out.close()
    source, frames, sound = read(path)
    assert source.info.width == 64  # the larger one
    assert len(frames) == 5
    assert not sound
    assert len(source.info.dropped) == 2
    assert "home address" not in str(source.info)


# Damage


@pytest.mark.parametrize("ext", ["ts", "mkv", "mp4", "avi"])
def test_a_damaged_stretch_is_passed_over(tmp_path, ext):
    path = make_clip(
        tmp_path / f"a.{ext}",
        frames=120,
        size=(160, 96),
        sound=Sound(duration_s=4) if ext != "avi" else None,
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    rng = np.random.default_rng(3)
    data[middle : middle + 3000] = rng.integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(data)
    source, frames, _ = read(path)
    assert source.damage + source.concealed > 0
    assert len(frames) > 60
    assert np.diff([frame.pts for frame in frames]).min() > 0
    assert frames[-1].pts > 4 or source.truncated  # it went on behind the hole, or says so


@pytest.mark.parametrize("ext", ["mkv", "mp4", "ts"])
def test_a_file_that_broke_off(tmp_path, ext):
    path = make_clip(
        tmp_path / f"a.{ext}",
        frames=200,
        size=(160, 96),
        container_options={"movflags": "faststart"} if ext == "mp4" else None,
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    source, frames, _ = read(path)
    assert 50 < len(frames) < 150
    assert numbers(frames)[:50] == list(range(50))
    assert source.truncated == (ext != "ts")  # a transport stream does not say how long it is


def test_a_whole_file_with_longer_sound_is_not_called_truncated(tmp_path):
    for ext in ("mp4", "mkv", "ts"):
        path = make_clip(tmp_path / f"a.{ext}", sound=Sound(duration_s=5))
        source, _, _ = read(path)
        assert not source.truncated, ext


# What cannot be opened


def refused(path: Path | str) -> str:
    with pytest.raises(SourceError) as caught:
        FileSource(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(". ") >= 1, "cause. Remedy."
    return message


def test_missing_file(tmp_path):
    assert "does not exist" in refused(tmp_path / "no.mp4")


def test_directory(tmp_path):
    assert "is a directory" in refused(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    assert "is empty" in refused(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    path.chmod(0)
    assert "permission" in refused(path)


@pytest.mark.parametrize("content", [b"hello, this is text\n" * 50, bytes(10_000), b"\xff"])
def test_not_media(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    refused(path)


def test_mp4_without_index(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=100)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov") - 4])
    assert "moov" in refused(path)


def test_sound_only(tmp_path):
    assert "no picture" in refused(make_sound(tmp_path / "a.m4a", Sound()))
    assert "no picture" in refused(make_sound(tmp_path / "a.wav", Sound("pcm_s16le")))


@pytest.mark.parametrize("size", [(64, 48), (7680, 4320)])
@pytest.mark.parametrize("ext", ["mkv", "avi"])
def test_a_header_without_frames(tmp_path, size, ext):
    path = tmp_path / f"a.{ext}"
    out = av.open(str(path), "w")
    stream = out.add_stream("ffv1" if ext == "mkv" else "mjpeg", rate=25)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p" if ext == "mkv" else "yuvj420p"
    out.start_encoding()
    out.close()
    refused(path)


def test_an_encrypted_picture(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=3)
    data = path.read_bytes()
    assert data.count(b"avc1") >= 1
    at = data.rindex(b"avc1")  # the sample entry, not the brand
    path.write_bytes(data[:at] + b"encv" + data[at + 4 :])
    assert "encrypted" in refused(path)


def test_live_addresses_are_refused_without_repeating_the_key():
    message = refused("rtmp://user:streamkey@example.org/live")
    assert "rtmp:// names a stream" in message
    assert "`privaedge run` takes live sources" in message
    assert "streamkey" not in message
    assert "example.org" not in message


def test_a_playlist_cannot_reach_out(tmp_path):
    path = tmp_path / "list.m3u8"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    refused(path)


def test_a_name_that_looks_like_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "a.mp4", frames=2).rename(tmp_path / "concat:x%d.mp4")
    source, frames, _ = read(Path("concat:x%d.mp4"))
    assert len(frames) == 2
    assert source.info.codec == "h264"


def test_reading_twice_is_a_mistake_of_the_caller(tmp_path):
    with FileSource(make_clip(tmp_path / "a.mp4", frames=2)) as source:
        list(source.read())
        with pytest.raises(RuntimeError, match="only once"):
            list(source.read())


def test_the_wall():
    source, frames, sound = 0, 0, 0
    with FileSource(shared_file("media/video/wall.mp4")) as wall:
        source = wall
        for item in wall.read():
            if isinstance(item, Frame):
                assert item.ticks * wall.info.time_base == Fraction(frames, 30)
                frames += 1
            else:
                sound += 1
    assert (frames, sound, source.damage, source.repaired) == (480, 251, 0, 0)
