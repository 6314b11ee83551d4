"""Packets decoded twice: the same pictures come out, or none at all."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge.frame import Frame
from edge.media import gst, replay, streams
from edge.media.decoders import PictureDecoder
from edge.media.gst import GstMissing
from edge.media.gst_decoder import SOFTWARE_DECODER, DecoderFailed, GstDecoder
from edge.media.paced import PacedFile
from edge.media.picture import HostPicture, plane_views
from edge.media.replay import Changed, second_context
from edge.media.slate import fit
from edge.media.source import FileSource
from tests.harness import film
from tests.media.clips import make_clip, read_number
from tests.support import shared_file

REORDERED = {"preset": "veryfast", "bf": "3", "b-pyramid": "normal", "refs": "4"}
SIZE = (320, 240)

Take = Callable[[Frame], HostPicture | None]


def clip(path: Path, frames: int = 60, **changes: Any) -> Path:
    given: dict[str, Any] = {"size": SIZE, "options": REORDERED}
    return make_clip(path, frames=frames, **given | changes)


def samples(picture: Any) -> tuple[bytes, ...]:
    return tuple(view.tobytes() for view in plane_views(picture.frame))


def frames_of(source: FileSource) -> Iterator[Frame]:
    return (item for item in source.read() if isinstance(item, Frame))


def take(frame: Frame) -> HostPicture | None:
    assert frame.kept is not None
    picture = frame.kept.take()
    assert picture is None or isinstance(picture, HostPicture)
    return picture


def replayed(path: Path, waiting: int = 20) -> Iterator[tuple[Frame, Any]]:
    """Each frame with its picture as it was read, and what it is after a line of others."""
    with FileSource(path, keep_packets=True) as source:
        line: list[tuple[Frame, tuple[bytes, ...]]] = []
        for frame in frames_of(source):
            line.append((frame.without_picture(), samples(frame.picture)))
            if len(line) > waiting:
                oldest, before = line.pop(0)
                yield oldest, (before, take(oldest))
        for oldest, before in line:
            yield oldest, (before, take(oldest))


def lost(path: Path, waiting: int = 20) -> list[int]:
    """Frames that were not to be had again. All others are the same to the last sample."""
    missing = []
    for frame, (before, picture) in replayed(path, waiting):
        if picture is None:
            missing.append(frame.frame_id)
        else:
            assert samples(picture) == before
    return missing


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, Any], list[Any]]], None]:
    """Let the second decoder do something else: told each of its frames' number and the frame."""

    def plant(what: Callable[[int, Any], list[Any]]) -> None:
        class Faulty:
            def __init__(self, stream: av.VideoStream) -> None:
                self._context, self._count = second_context(stream), itertools.count()

            def decode(self, packet: Any) -> list[Any]:
                found = self._context.decode(packet)
                return [other for one in found for other in what(next(self._count), one)]

        monkeypatch.setattr(streams, "second_context", Faulty)

    return plant


# -- the same -----------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [0, 1, 25, 1000])
def test_reordered_pictures_come_again(tmp_path: Path, waiting: int) -> None:
    assert lost(clip(tmp_path / "a.mp4"), waiting) == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a.ts", {}),
        ("a.mkv", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
        ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("a.mkv", {"codec": "mjpeg", "pix_fmt": "yuvj422p", "options": {}}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "bgr0", "options": {}, "frames": 12}),
        ("a.mp4", {"size": (321, 239), "pix_fmt": "yuv444p"}),
        ("a.mp4", {"orientation": (90, False, False)}),
        ("a.mkv", {"pts": [0, 40, 41, 90, 91, 92, 400, 800], "time_base": Fraction(1, 1000)}),
    ],
)
def test_all_kinds_of_pictures_come_again(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    assert lost(clip(tmp_path / name, **changes)) == []


def test_a_real_film_comes_again() -> None:
    path = shared_file("media/video/car-detection.mp4")
    seen = itertools.islice(replayed(path, 60), 150)
    assert all(picture is not None and samples(picture) == b for _, (b, picture) in seen)


def test_times_and_numbers_are_those_without_packets(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    with FileSource(path) as source:
        plain = [(f.frame_id, f.pts, f.ticks, samples(f.picture)) for f in frames_of(source)]
    twice = [(f.frame_id, f.pts, f.ticks, samples(p)) for f, (_, p) in replayed(path)]
    assert twice == plain


def test_a_picture_that_is_edited_changes_no_other(tmp_path: Path) -> None:
    """The second decoder predicts later pictures from those that are redacted by then."""
    for _, (before, picture) in replayed(clip(tmp_path / "a.mp4")):
        assert samples(picture) == before
        planes = picture.edit()
        for plane in (planes.y, *planes.chroma):
            plane[...] = 0


def test_a_source_that_changes_its_size(tmp_path: Path) -> None:
    parts = [clip(tmp_path / f"{n}.ts", size=size) for n, size in enumerate([SIZE, (160, 120)])]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert lost(joined) == []


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    for at in random.integers(len(data) // 10, len(data), 40):
        damaged[at] ^= int(random.integers(1, 256))
    return bytes(damaged)


def holed(data: bytes, random: np.random.Generator) -> bytes:
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    gone = set(random.integers(len(packets) // 10, len(packets), 20).tolist())
    return b"".join(packet for number, packet in enumerate(packets) if number not in gone)


@pytest.mark.parametrize("damage", [flipped, holed])
@pytest.mark.parametrize("seed", range(3))
def test_damaged_packets_are_as_damaged_the_second_time(
    tmp_path: Path, seed: int, damage: Callable[[bytes, np.random.Generator], bytes]
) -> None:
    path = film(tmp_path / "a.ts", sound=False)
    path.write_bytes(damage(path.read_bytes(), np.random.default_rng(seed)))
    with FileSource(path) as source:
        count = sum(1 for _ in frames_of(source))
        assert source.damage + source.concealed > 0
    assert count > 50
    assert lost(path) == []


def test_pictures_are_to_be_had_after_the_source_was_closed(tmp_path: Path) -> None:
    with FileSource(clip(tmp_path / "a.mp4"), keep_packets=True) as source:
        frames = [(frame.without_picture(), samples(frame.picture)) for frame in frames_of(source)]
    del source
    gc.collect()
    assert all(samples(take(frame)) == before for frame, before in frames)


def test_a_film_that_begins_anew_while_its_last_pass_still_waits(tmp_path: Path) -> None:
    numbers = []
    with PacedFile(clip(tmp_path / "a.mp4", frames=20, fps=100), True, keep_packets=True) as paced:
        frames = (item for item in paced.read() if isinstance(item, Frame))
        line: list[Frame] = []
        for frame in itertools.islice(frames, 60):
            line.append(frame.without_picture())
            if len(line) > 10:
                picture = take(line.pop(0))
                assert picture is not None
                numbers.append(read_number(picture.luma))
    assert numbers == [n % 20 for n in range(50)]


def test_one_thread_reads_while_another_takes(tmp_path: Path) -> None:
    line: list[Frame | None] = []
    more = threading.Semaphore(0)

    def read() -> None:
        with FileSource(clip(tmp_path / "a.mp4", frames=200), keep_packets=True) as source:
            for frame in frames_of(source):
                line.append(frame.without_picture())
                more.release()
        line.append(None)
        more.release()

    reader = threading.Thread(target=read)
    reader.start()
    numbers = []
    while True:
        assert more.acquire(timeout=30)
        frame = line.pop(0)
        if frame is None:
            break
        picture = take(frame)
        assert picture is not None
        numbers.append(read_number(picture.luma))
    reader.join()
    assert numbers == list(range(200))


def test_working_ahead_changes_nothing(tmp_path: Path) -> None:
    with FileSource(clip(tmp_path / "a.mp4"), keep_packets=True) as source:
        frames = list(frames_of(source))
    for frame in frames:
        assert frame.kept is not None
        while frame.kept.prepare():
            pass
        before, picture = samples(frame.picture), take(frame)
        assert picture is not None
        assert samples(picture) == before
        assert take(frame) is None, "a picture is to be had once"


def test_pictures_made_to_fit_are_made_so_again(tmp_path: Path) -> None:
    with (
        FileSource(clip(tmp_path / "small.mp4", size=(160, 90)), keep_packets=True) as source,
        FileSource(clip(tmp_path / "large.mp4", frames=1)) as other,
    ):
        for frame in frames_of(source):
            assert frame.kept is not None
            assert isinstance(frame.picture, HostPicture)
            kept = Changed(frame.kept, lambda picture: fit(picture, other.info))
            shown = kept.take()
            assert samples(shown) == samples(fit(frame.picture, other.info))
            blank = kept.blank()
            assert (blank.width, blank.height) == SIZE


# -- not the same -------------------------------------------------------------------------------


def test_a_picture_that_is_left_out_is_lost_alone(tmp_path: Path, fault: Any) -> None:
    fault(lambda number, frame: [] if number == 30 else [frame])
    assert lost(clip(tmp_path / "a.mp4")) == [30]


def test_a_picture_that_is_repeated_takes_no_other_place(tmp_path: Path, fault: Any) -> None:
    fault(lambda number, frame: [frame, frame] if number == 30 else [frame])
    assert lost(clip(tmp_path / "a.mp4")) == []


def test_one_sample_that_differs_is_enough(tmp_path: Path, fault: Any) -> None:
    def alter(number: int, frame: Any) -> list[Any]:
        if number == 30:
            frame.make_writable()
            plane_views(frame)[1][-1, -1] ^= 1
        return [frame]

    fault(alter)
    assert lost(clip(tmp_path / "a.mp4")) == [30]


def test_a_time_that_differs_is_enough(tmp_path: Path, fault: Any) -> None:
    def delay(number: int, frame: Any) -> list[Any]:
        if number in (10, 30):
            frame.pts += 1
        return [frame]

    fault(delay)
    assert lost(clip(tmp_path / "a.mp4")) == [10, 30]


def test_pictures_in_another_order_are_lost(tmp_path: Path, fault: Any) -> None:
    held: list[Any] = []

    def swap(number: int, frame: Any) -> list[Any]:
        if number == 30:
            held.append(frame)
            return []
        return [frame, *(held.pop() for _ in held[:])]

    fault(swap)
    assert lost(clip(tmp_path / "a.mp4")) == [30]


def test_a_second_decoder_that_fails_shows_nothing(tmp_path: Path, fault: Any) -> None:
    def fail(number: int, frame: Any) -> list[Any]:
        if number >= 30:
            raise MemoryError
        return [frame]

    fault(fail)
    assert lost(clip(tmp_path / "a.mp4")) == list(range(30, 60))


def test_a_lost_picture_has_a_grey_one_of_its_kind(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", pix_fmt="yuvj420p")
    with FileSource(path, keep_packets=True) as source:
        frame = next(frames_of(source))
        assert frame.kept is not None
        blank, real = frame.kept.blank(), frame.picture
        assert isinstance(blank, HostPicture)
        assert isinstance(real, HostPicture)
        same = ("width", "height", "color_range", "colorspace", "color_primaries")
        assert all(getattr(blank.frame, n) == getattr(real.frame, n) for n in same)
        assert blank.frame.format.name == real.frame.format.name
        assert all((view == 128).all() for view in plane_views(blank.frame))


# -- how much is kept ---------------------------------------------------------------------------


def tape_of(source: FileSource) -> int:
    assert source._replay is not None
    return len(source._replay._tape)


def test_the_tape_is_no_longer_than_the_line(tmp_path: Path) -> None:
    with FileSource(clip(tmp_path / "a.mp4", frames=300), keep_packets=True) as source:
        line: list[Frame] = []
        for frame in frames_of(source):
            line.append(frame.without_picture())
            if len(line) > 40:
                take(line.pop(0))
            assert tape_of(source) <= 40 + 20


@pytest.mark.parametrize("how", ["drop", "ignore"])
def test_the_tape_does_not_grow_where_nobody_takes(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "ignore":  # as while a server's backlog is left out: nothing is given out
        monkeypatch.setattr(replay.Replay, "keep", lambda *_: None)
    with FileSource(clip(tmp_path / "a.mp4", frames=300), keep_packets=True) as source:
        for frame in frames_of(source):
            if frame.kept is not None:
                frame.kept.drop()
            assert tape_of(source) <= 66


def test_after_dropped_pictures_the_next_one_is_right(tmp_path: Path) -> None:
    with FileSource(clip(tmp_path / "a.mp4"), keep_packets=True) as source:
        frames = list(frames_of(source))
    for frame in frames:
        assert frame.kept is not None
        if frame.frame_id % 3 == 1:
            frame.kept.drop()
            assert frame.kept.take() is None
        elif frame.frame_id % 3 == 0:
            assert samples(take(frame)) == samples(frame.picture)


def test_uncompressed_pictures_are_kept_as_they_are(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.avi", codec="rawvideo", pix_fmt="yuv420p", options={}, frames=5)
    with FileSource(path, keep_packets=True) as source:
        assert any("uncompressed" in note for note in source.notes)
        assert all(frame.kept is None for frame in frames_of(source))


# -- hardware, whose pictures come when they are ready ------------------------------------------


@pytest.fixture
def by_gstreamer(monkeypatch: pytest.MonkeyPatch) -> list[GstDecoder]:
    """The second decoder is GStreamer's, behind the code that drives the Jetson's."""
    try:
        for names in SOFTWARE_DECODER.names.values():
            gst.require_elements(names)
    except GstMissing as error:
        pytest.skip(f"{error}; .ci/packages.sh installs it")
    made: list[GstDecoder] = []

    def opener(stream: av.VideoStream) -> GstDecoder:
        made.append(GstDecoder(stream, SOFTWARE_DECODER))
        return made[-1]

    monkeypatch.setattr(streams, "_no_hardware", opener)
    monkeypatch.setattr(PictureDecoder, "_failures", 0)
    return made


@pytest.mark.parametrize("waiting", [20, 1000])
def test_hardware_gives_the_same_pictures(
    tmp_path: Path, by_gstreamer: list[GstDecoder], waiting: int
) -> None:
    assert lost(clip(tmp_path / "a.mp4", frames=100), waiting) == []
    assert len(by_gstreamer) == 1


def test_hardware_that_fails_is_replaced_and_shows_nothing_else_meanwhile(
    tmp_path: Path, by_gstreamer: list[GstDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(tmp_path / "a.mp4", frames=100)
    pushed = itertools.count()
    push = GstDecoder._push

    def fail(self: GstDecoder, packet: Any) -> None:
        if next(pushed) == 50:
            raise DecoderFailed("it was unplugged")
        push(self, packet)

    monkeypatch.setattr(GstDecoder, "_push", fail)
    missing = lost(path)
    # FFmpeg begins with the next keyframe, 12 pictures later at most.
    assert 1 <= len(missing) <= 30
    assert missing == list(range(missing[0], missing[-1] + 1))


def test_hardware_is_let_go_of_with_the_last_picture(
    tmp_path: Path, by_gstreamer: list[GstDecoder]
) -> None:
    closed = threading.Event()
    with FileSource(clip(tmp_path / "a.mp4"), keep_packets=True) as source:
        frames = list(frames_of(source))
    close = by_gstreamer[0].close
    by_gstreamer[0].close = lambda: (close(), closed.set())  # type: ignore[method-assign,func-returns-value]
    del source
    gc.collect()
    assert not closed.is_set()
    del frames
    gc.collect()
    assert closed.wait(10)
