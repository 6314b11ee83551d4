"""FileSource into FileSink: what comes out, in sync; what must not; and how writing fails."""

from __future__ import annotations

import os
import resource
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from edge.errors import SinkError
from edge.frame import Frame
from edge.media.codecs import (
    CONTAINERS,
    ENCODERS,
    AudioPolicy,
    VideoSettings,
    can_copy,
    inventory,
)
from edge.media.output import check_output, partial_path
from edge.media.picture import HostPicture, plane_views
from edge.media.sink import FileSink
from edge.media.source import FileSource
from tests.media.clips import Sound, decode, make_clip, pipe
from tests.support import shared_file

SECRET = b"my sister lives at 12 Elm Street"


def transcode(source: Path, target: Path, **options) -> FileSink:
    with FileSource(source) as opened:
        sink = FileSink(target, opened.info, **options)
        pipe(opened, sink)
        assert sink.finish() == target
    return sink


def compare(source: Path, target: Path, *, tick_s: float = 0.0) -> None:
    """Frames out = frames in, at the same times; clicks at the same distance to the picture."""
    before, after = decode(source), decode(target)
    assert after.numbers == before.numbers
    then = np.array(before.times) - before.times[0]
    now = np.array(after.times) - after.times[0]
    assert np.abs(then - now).max() <= tick_s / 2 + 1e-6
    assert len(after.clicks) == len(before.clicks)
    if before.clicks:
        assert np.abs(np.array(before.sync) - np.array(after.sync)).max() <= 0.002


KINDS = {
    "plain.mp4": {"sound": Sound()},
    "b-frames.mp4": {"sound": Sound(), "options": {"preset": "medium", "bf": "3"}},
    "b-frames.ts": {"sound": Sound(), "options": {"preset": "medium", "bf": "3"}},
    "opus.mkv": {"sound": Sound("libopus")},
    "flac.mkv": {"sound": Sound("flac", 44100, "mono")},
    "pcm.mov": {"sound": Sound("pcm_s16le", 44100, "mono")},
    "vorbis.mkv": {"sound": Sound("vorbis")},
    "mp3-surround-less.mkv": {"sound": Sound("libmp3lame")},
    "surround.mkv": {"sound": Sound("flac", layout="5.1")},
    "low-rate.mkv": {"sound": Sound("pcm_s16le", 8000, "mono")},
    "sound-late.mkv": {"sound": Sound("pcm_s16le", start_s=0.3)},
    "not-at-zero.mkv": {"pts": range(250, 280), "sound": Sound(start_s=10.1)},
    "not-at-zero.ts": {"pts": range(250, 280), "sound": Sound(start_s=10.1)},
    "vfr.mkv": {
        "pts": [0, 40, 45, 120, 300, 301, 555, 1000],
        "time_base": Fraction(1, 1000),
        "sound": Sound(),
    },
    "ntsc.mp4": {"fps": Fraction(30000, 1001), "sound": Sound()},
    "10-bit-422.mp4": {"pix_fmt": "yuv422p10le", "sound": Sound()},
    "16-wide.mp4": {"size": (16, 16)},
    "odd.mp4": {"size": (67, 49), "pix_fmt": "yuv444p"},
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "motion-jpeg.mkv": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "sound": Sound("pcm_s16le")},
    "anim.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


RARER = ("plain.mp4", "vfr.mkv", "vorbis.mkv", "surround.mkv", "sound-late.mkv", "16-wide.mp4")
PAIRS = [(kind, ext) for kind in KINDS for ext in (".mp4", ".mkv", ".ts")]
PAIRS += [(kind, ext) for kind in RARER for ext in (".mov", ".flv", ".webm")]
PAIRS += [("motion-jpeg.mkv", ".webm")]


@pytest.mark.parametrize(("kind", "ext"), PAIRS)
def test_frames_out_are_frames_in_and_sound_stays_in_sync(tmp_path, kind, ext):
    source = make_clip(tmp_path / kind, **KINDS[kind])
    target = tmp_path / f"out{ext}"
    sink = transcode(source, target)
    coarse = {".mkv": 1e-3, ".flv": 1e-3, ".webm": 1e-3, ".ts": 1 / 90_000}
    compare(source, target, tick_s=coarse.get(ext, 0.0))
    assert sink.frames == len(decode(source).numbers)
    assert sink.sound == (
        "none"
        if "sound" not in KINDS[kind]
        else "copied"
        if can_copy(
            KINDS[kind]["sound"].codec.replace("libopus", "opus").replace("libmp3lame", "mp3"),
            bytes(34),
            CONTAINERS[ext],
        )
        else "encoded"
    )
    assert not list(tmp_path.glob("*.partial.*"))


def test_rotated_film_comes_out_upright(tmp_path):
    source = make_clip(tmp_path / "a.mp4", size=(96, 64), orientation=(-90, False, False))
    target = tmp_path / "out.mp4"
    transcode(source, target)
    with av.open(str(target)) as container:
        frames = list(container.decode(video=0))
    assert {(f.width, f.height, f.rotation) for f in frames} == {(64, 96, 0)}
    # Upright, the stripes lie: the top bit of frame 29 (00011101) is the dark row at the top.
    last = frames[29].to_ndarray(format="gray")
    assert [int(last[12 * i + 6].mean() > 125) for i in range(8)] == [0, 0, 0, 1, 1, 1, 0, 1]


def test_the_same_input_gives_the_same_bytes(tmp_path):
    source = make_clip(tmp_path / "a.mkv", frames=60, sound=Sound("vorbis"), size=(320, 180))
    for ext in (".mp4", ".mkv", ".ts", ".mov", ".flv"):
        outputs = []
        for number in range(2):
            target = tmp_path / f"{number}{ext}"
            transcode(source, target)
            outputs.append(target.read_bytes())
        assert outputs[0] == outputs[1], ext


def test_keyframes_follow_the_setting_not_the_source(tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=60, options={"preset": "ultrafast", "g": "5"})
    target = tmp_path / "out.mp4"
    settings = VideoSettings(keyframe_interval_s=1.0)
    transcode(source, target, video=settings)
    with av.open(str(target)) as container:
        keys = [p.pts * p.time_base for p in container.demux(video=0) if p.size and p.is_keyframe]
    # x264 adds some where the picture changes; those of the source come every 0.2 s.
    assert max(b - a for a, b in pairwise([*keys, Fraction(60, 25)])) <= 1
    assert len(keys) < 12


def test_full_range_levels_stay_where_the_encoder_wants_another_format(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p", size=(320, 180))
    levels = []
    for path in (source, tmp_path / "out.webm", tmp_path / "out.mp4"):
        if path is not source:
            transcode(source, path)
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            levels.append(np.median(plane_views(frame)[0]))
            assert frame.color_range == 2
    assert max(levels) - min(levels) <= 2


def test_bitrate_and_threads_are_taken(tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=50, size=(320, 180))
    sizes = []
    for bitrate in (100_000, 1_000_000):
        target = tmp_path / f"{bitrate}.mp4"
        transcode(source, target, video=VideoSettings(bitrate=bitrate, crf=None, threads=1))
        sizes.append(target.stat().st_size)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("codec", ENCODERS)
def test_every_encoder_works(tmp_path, codec):
    source = make_clip(tmp_path / "a.mp4", sound=Sound())
    target = tmp_path / "out.mkv"
    transcode(source, target, video=VideoSettings(codec=codec))
    compare(source, target, tick_s=1e-3)


def test_colour_tags_and_pixel_shape_stay(tmp_path):
    path = tmp_path / "a.mp4"
    out = av.open(str(path), "w")
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height = 64, 48
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
    context.color_range = 2
    context.sample_aspect_ratio = Fraction(4, 3)
    for number in range(5):
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts = number
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    out.close()
    transcode(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        video = container.streams.video[0]
        frame = next(container.decode(video))
        assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)
        assert frame.color_range == 2
        assert video.sample_aspect_ratio == Fraction(4, 3)


def test_sound_can_be_left_out_or_encoded(tmp_path):
    source = make_clip(tmp_path / "a.mp4", sound=Sound())
    sink = transcode(source, tmp_path / "mute.mp4", audio=AudioPolicy.DROP)
    assert sink.sound == "none"
    with av.open(str(tmp_path / "mute.mp4")) as container:
        assert not container.streams.audio
    sink = transcode(source, tmp_path / "new.mp4", audio=AudioPolicy.ENCODE)
    assert sink.sound == "encoded"
    compare(source, tmp_path / "new.mp4")


def test_sound_with_a_hole_is_filled_so_that_what_follows_is_on_time(tmp_path):
    source = make_clip(tmp_path / "a.mkv", frames=75, sound=Sound("pcm_s16le", duration_s=3))
    holed = tmp_path / "holed.mkv"
    with av.open(str(source)) as given, av.open(str(holed), "w") as out:
        pairs = {s.index: out.add_stream_from_template(s, opaque=True) for s in given.streams}
        for packet in given.demux():
            kept = packet.stream.type == "video" or not 0.9 < float(packet.pts or 0) / 1000 < 1.5
            if packet.dts is not None and kept:
                packet.stream = pairs[packet.stream_index]
                out.mux(packet)
    assert 0 < len(decode(holed).clicks) < len(decode(source).clicks)
    transcode(holed, tmp_path / "out.mp4")
    compare(holed, tmp_path / "out.mp4")


# What must not pass


def sei(kind: int, payload: bytes) -> bytes:
    """An H.264 SEI unit (ITU-T H.264, 7.3.2.3); the payloads here need no escaping."""
    assert len(payload) < 255
    return b"\x00\x00\x00\x01\x06" + bytes([kind, len(payload)]) + payload + b"\x80"


def captions(text: bytes) -> bytes:
    """ATSC A/53 captions: each pair of letters is one CEA-608 triplet."""
    text += b" " * (len(text) % 2)
    pairs = b"".join(b"\xfc" + text[i : i + 2] for i in range(0, len(text), 2))
    head = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(text) // 2]) + b"\xff"
    return sei(4, head + pairs + b"\xff")


def with_captions(path: Path) -> Path:
    """A clip with captions and a camera's text in every frame."""
    out = av.open(str(path), "w", format="mpegts")
    stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
    stream.width, stream.height = 64, 48
    hidden = captions(SECRET) + sei(5, bytes(range(1, 17)) + SECRET)
    for number in [*range(10), None]:
        frame = None
        if number is not None:
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
        for packet in stream.encode(frame):
            data = bytes(packet)
            at = max(data.find(b"\x00\x00\x01\x65"), data.find(b"\x00\x00\x01\x41"))
            told = av.Packet(data[: at - 1] + hidden + data[at - 1 :])
            told.pts, told.dts, told.time_base = packet.pts, packet.dts, packet.time_base
            told.is_keyframe = packet.is_keyframe
            told.stream = stream
            out.mux(told)
    out.close()
    return path


@pytest.mark.parametrize("ext", [".mp4", ".ts", ".mkv", ".webm"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_captions_and_camera_text_stay_behind(tmp_path, ext, codec):
    source = with_captions(tmp_path / "a.ts")
    with av.open(str(source)) as container:
        kinds = {d.type.name for f in container.decode(video=0) for d in f.side_data}
    assert {"A53_CC", "SEI_UNREGISTERED"} <= kinds  # the clip really carries them
    target = tmp_path / f"out{ext}"
    transcode(source, target, video=VideoSettings(codec=codec))
    with av.open(str(target)) as container:
        frames = list(container.decode(video=0))
        kinds = {d.type.name for f in frames for d in f.side_data}
    assert len(frames) == 10
    assert not kinds & {"A53_CC", "SEI_UNREGISTERED"}
    data = target.read_bytes()
    assert SECRET not in data
    assert b"GA94" not in data
    assert b"x264" not in data
    assert b"x265" not in data


@pytest.mark.parametrize("ext", [".mp4", ".mkv", ".mov", ".ts", ".flv", ".webm"])
def test_titles_places_chapters_and_dates_stay_behind(tmp_path, ext):
    path = tmp_path / "a.mkv"
    clip = make_clip(
        tmp_path / "b.mkv",
        sound=Sound("vorbis"),
        metadata={"title": SECRET.decode(), "location": "+48.8577+002.295/", "artist": "Jane Roe"},
    )
    with av.open(str(clip)) as given, av.open(str(path), "w") as out:
        out.metadata.update(given.metadata)
        pairs = {}
        for stream in given.streams:
            pairs[stream.index] = out.add_stream_from_template(stream, opaque=True)
            pairs[stream.index].metadata["title"] = SECRET.decode()
            pairs[stream.index].metadata["language"] = "fin"
        out.add_attachment("a.txt", "text/plain", SECRET)
        out.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 1000,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": SECRET.decode()},
                }
            ]
        )
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = pairs[packet.stream_index]
                out.mux(packet)
    data = path.read_bytes()
    assert data.count(SECRET) >= 3
    target = tmp_path / f"out{ext}"
    transcode(path, target)
    data = target.read_bytes()
    for text in (SECRET, b"48.8577", b"Jane Roe", b"Lavc", b"fin\0"):
        assert text not in data, text
    with av.open(str(target)) as container:
        assert not container.chapters()
        assert len(container.streams) == 2
        assert "creation_time" not in container.metadata


def test_flac_with_comments_in_its_header_is_not_copied():
    assert can_copy("flac", bytes(34), CONTAINERS[".mkv"])
    assert not can_copy("flac", bytes(34) + b"comment", CONTAINERS[".mkv"])
    assert not any("vorbis" in container.copied for container in CONTAINERS.values())


# The life of the file


def started(tmp_path: Path, name: str = "out.mp4", **options) -> tuple[FileSource, FileSink]:
    clip = make_clip(tmp_path / "a.mp4", frames=50, sound=Sound())
    source = FileSource(clip)
    return source, FileSink(tmp_path / name, source.info, **options)


def test_the_name_appears_only_when_complete(tmp_path):
    source, sink = started(tmp_path)
    target = tmp_path / "out.mp4"
    pipe(source, sink)
    assert not target.exists()
    assert partial_path(target).exists()
    assert sink.finish() == target
    assert target.exists()
    assert not partial_path(target).exists()
    with av.open(str(target)) as container:
        assert container.streams.video[0].frames == 50
    data = target.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it downloads


@pytest.mark.parametrize("ext", [".mp4", ".mkv", ".ts", ".mov"])
def test_an_interrupted_run_leaves_a_playable_file(tmp_path, ext):
    source, sink = started(tmp_path, f"out{ext}")
    for item in source.read():
        if isinstance(item, Frame):
            sink.write_frame(item.picture, item.ticks)
            if item.frame_id == 19:
                break
        else:
            sink.write_sound(item)
    partial = sink.interrupt()
    assert partial == tmp_path / f"out.partial{ext}"
    assert not (tmp_path / f"out{ext}").exists()
    assert decode(partial).numbers == list(range(20))


def test_an_aborted_run_leaves_nothing(tmp_path):
    source, sink = started(tmp_path)
    pipe(source, sink)
    sink.abort()
    sink.abort()
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}
    with pytest.raises(RuntimeError, match="ended"):
        sink.finish()


def test_without_a_single_frame_nothing_breaks(tmp_path):
    _, sink = started(tmp_path)
    assert sink.finish().exists()


def test_a_foreign_picture_is_a_mistake_of_the_caller(tmp_path):
    _, sink = started(tmp_path)
    with pytest.raises(ValueError, match="does not belong"):
        sink.write_frame(HostPicture(av.VideoFrame(32, 32, "yuv420p")), 0)
    sink.abort()


def refused(path: Path, source: Path | None = None, *, overwrite: bool = False) -> str:
    with pytest.raises(SinkError) as caught:
        check_output(path, source, overwrite=overwrite)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(". ") >= 1, "cause. Remedy."
    return message


def test_an_existing_file_is_kept_unless_forced(tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"dear to me")
    assert "--force" in refused(target)
    source, sink = started(tmp_path, overwrite=True)
    pipe(source, sink)
    assert target.read_bytes() == b"dear to me"
    sink.finish()
    assert decode(target).numbers == list(range(50))


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    source, sink = started(tmp_path)
    pipe(source, sink)
    (tmp_path / "out.mp4").write_bytes(b"dear to me")
    with pytest.raises(SinkError, match="appeared"):
        sink.finish()
    assert (tmp_path / "out.mp4").read_bytes() == b"dear to me"
    assert decode(tmp_path / "out.partial.mp4").numbers == list(range(50))


def test_the_input_is_never_overwritten(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    for path in (clip, link, tmp_path / "." / "a.mp4"):
        assert "input itself" in refused(path, clip, overwrite=True)
    clip.rename(tmp_path / "out.partial.mp4")
    assert "Rename" in refused(tmp_path / "out.mp4", tmp_path / "out.partial.mp4", overwrite=True)


def test_places_that_cannot_be_written(tmp_path):
    assert "does not exist" in refused(tmp_path / "no" / "a.mp4")
    (tmp_path / "dir.mp4").mkdir()
    assert "is a directory" in refused(tmp_path / "dir.mp4", overwrite=True)
    assert "not a regular file" in refused_device(tmp_path)


def refused_device(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe.mp4")
    return refused(tmp_path / "pipe.mp4", overwrite=True)


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.avi", ".mp4"])
def test_unknown_extensions_name_the_known_ones(tmp_path, name):
    assert ".mp4 .m4v .mov .mkv" in refused(tmp_path / name)


def test_a_read_only_directory(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() == 0:
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", str(folder)],
            capture_output=True,
        )
        if mount.returncode:
            pytest.skip("root may write everywhere, and mounting is not allowed here")
    else:
        folder.chmod(0o555)
    try:
        clip = make_clip(tmp_path / "a.mp4", frames=2)
        with FileSource(clip) as source, pytest.raises(SinkError, match=r"read-only|cannot be"):
            FileSink(folder / "a.mp4", source.info)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(folder)], check=True)


def noisy_clip(path: Path) -> Path:
    """A clip that does not compress."""
    rng = np.random.default_rng(5)
    out = av.open(str(path), "w")
    stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "5"})
    stream.width, stream.height = 320, 240
    for number in range(60):
        luma = rng.integers(0, 256, (360, 320), np.uint8)
        frame = av.VideoFrame.from_ndarray(luma, format="yuv420p")
        frame.pts = number
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))
    out.close()
    return path


def run_to_the_end(source: FileSource, sink: FileSink) -> None:
    pipe(source, sink)
    sink.finish()


@pytest.mark.parametrize("ext", [".mp4", ".mkv", ".ts"])
def test_a_full_disk(tmp_path, ext):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with FileSource(noisy_clip(tmp_path / "a.mkv")) as source:
            sink = FileSink(folder / f"out{ext}", source.info)
            with pytest.raises(SinkError, match=r"No space left in .*small"):
                run_to_the_end(source, sink)
            sink.abort()
        assert not list(folder.iterdir())
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_size_limit(tmp_path):
    clip = noisy_clip(tmp_path / "a.mkv")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FileSource(clip) as source:
        sink = FileSink(tmp_path / "out.mkv", source.info)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(SinkError, match="size limit"):
                run_to_the_end(source, sink)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == {"a.mkv"}


def test_two_runs_do_not_write_the_same_file(tmp_path):
    source, sink = started(tmp_path)
    with pytest.raises(SinkError, match="Another run"):
        FileSink(tmp_path / "out.mp4", source.info)
    pipe(source, sink)
    assert decode(sink.finish()).numbers == list(range(50))


def test_settings_that_do_not_work_leave_nothing(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=2)
    with FileSource(clip) as source:
        for settings in (VideoSettings(preset="warp"), VideoSettings(codec="libtheora")):
            with pytest.raises(SinkError):
                FileSink(tmp_path / "out.mp4", source.info, settings)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}


def test_the_inventory_is_of_this_machine():
    found = inventory()
    assert "libx264" in found.video_encoders
    assert {"h264", "hevc"} <= set(found.decoders)
    assert ".mp4" in found.containers
    assert "aac" in found.sound_encoders


def test_the_wall(tmp_path):
    source = shared_file("media/video/wall.mp4")
    target = tmp_path / "wall.mp4"
    sink = transcode(source, target, video=VideoSettings(preset="ultrafast"))
    assert (sink.frames, sink.sound) == (480, "copied")
    with av.open(str(target)) as after, av.open(str(source)) as before:
        times = [[p.pts * p.time_base for p in c.demux(video=0) if p.size] for c in (before, after)]
        assert sorted(times[0]) == sorted(times[1])
    with av.open(str(target)) as after, av.open(str(source)) as before:
        sound = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert sound[0] == sound[1]
