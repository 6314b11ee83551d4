"""HostPicture: views without copies, a small RGB copy, editing that touches no other frame."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from edge.frame import Picture
from edge.media.picture import HostPicture
from tests.media.clips import make_clip


def solid(y: int, u: int, v: int, size=(64, 48), fmt="yuv420p", color_range=1) -> HostPicture:
    frame = av.VideoFrame(*size, fmt)
    picture = HostPicture(frame)
    frame.color_range = color_range
    planes = picture.edit()
    planes.y[:] = y
    if fmt == "nv12":
        planes.chroma[0][:] = (u, v)
    else:
        planes.chroma[0][:], planes.chroma[1][:] = u, v
    return picture


@pytest.mark.parametrize("fmt", ["yuv420p", "yuvj420p", "nv12"])
@pytest.mark.parametrize("width", [16, 34, 64, 130])  # rows are padded for some of these
def test_views_show_the_planes_and_write_through(fmt, width):
    frame = av.VideoFrame(width, 20, fmt)
    picture: Picture = HostPicture(frame)
    planes = picture.edit()
    assert planes.y.shape == (20, width)
    shapes = [(10, width // 2, 2)] if fmt == "nv12" else [(10, width // 2)] * 2
    assert [plane.shape for plane in planes.chroma] == shapes
    assert planes.layout == ("nv12" if fmt == "nv12" else "yuv420p")
    assert planes.full_range == (fmt == "yuvj420p")
    planes.y[:] = np.arange(width, dtype=np.uint8)
    for plane in planes.chroma:
        plane[:] = 7
    assert np.array_equal(picture.luma, planes.y)
    assert picture.edit() is planes
    raw = frame.to_ndarray()
    assert np.array_equal(raw[:20, :width], planes.y)
    assert (raw[20:] == 7).all()


def test_luma_is_read_only_and_shares_the_memory():
    frame = av.VideoFrame(64, 48, "yuv420p")
    luma = HostPicture(frame).luma
    assert luma.__array_interface__["data"][0] == frame.planes[0].buffer_ptr
    with pytest.raises(ValueError, match="read-only"):
        luma[0, 0] = 1


def test_a_view_outlives_the_picture_and_edits():
    picture = solid(50, 128, 128)
    before = picture.luma
    fresh = HostPicture(picture.frame)  # has not been edited: the view above is another owner
    fresh.edit().y[:] = 200
    assert (before == 50).all()
    assert (fresh.luma == 200).all()
    del picture, fresh
    gc.collect()
    assert (before == 50).all()


@pytest.mark.parametrize(
    ("fmt", "size"), [("rgb24", (16, 16)), ("yuv420p", (15, 16)), ("nv12", (16, 9))]
)
def test_other_pictures_are_refused(fmt, size):
    with pytest.raises(ValueError, match="even 8-bit"):
        HostPicture(av.VideoFrame(*size, fmt))


@pytest.mark.parametrize("fmt", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(64, 48), (32, 16), (40, 24), (96, 80), (33, 17)])
@pytest.mark.parametrize(
    ("yuv", "color_range", "rgb"),
    [
        ((81, 90, 240), 1, (255, 0, 0)),
        ((145, 54, 34), 1, (0, 255, 0)),
        ((41, 240, 110), 1, (0, 0, 255)),
        ((235, 128, 128), 1, (255, 255, 255)),
        ((16, 128, 128), 1, (0, 0, 0)),
        ((255, 128, 128), 2, (255, 255, 255)),
        ((0, 128, 128), 2, (0, 0, 0)),
        ((76, 85, 255), 2, (255, 0, 0)),
    ],
)
def test_shrink_gives_rgb_in_that_order(fmt, size, yuv, color_range, rgb):
    small = solid(*yuv, fmt=fmt, color_range=color_range).shrink(*size)
    assert small.shape == (3, size[1], size[0])
    assert small.dtype == np.uint8
    assert small.flags.c_contiguous
    assert np.abs(small.astype(int) - np.array(rgb)[:, None, None]).max() <= 4


def test_shrink_writes_every_pixel_at_every_width():
    picture = solid(81, 90, 240)
    for width in range(2, 140):
        small = picture.shrink(width, 20).astype(int)
        assert np.abs(small - np.array((255, 0, 0))[:, None, None]).max() <= 4, width


def test_shrink_averages_areas_and_keeps_places():
    picture = solid(16, 128, 128, (128, 96))
    luma = picture.edit().y
    luma[:, 64:] = 235
    luma[::2, :64] = 235  # every other line: the mean of black and white, whatever the phase
    small = picture.shrink(32, 24).astype(int)
    assert small[:, :, 18:].min() >= 250
    assert np.abs(small[:, 2:-2, :14] - 127).max() < 20


def test_shrink_leaves_the_frame_as_it_is():
    picture = solid(90, 100, 110)
    picture.frame.color_trc, picture.frame.color_primaries = 1, 9
    picture.shrink(32, 24)
    assert (picture.frame.color_trc, picture.frame.color_primaries) == (1, 9)
    assert (picture.luma == 90).all()


def test_editing_while_others_look_is_safe():
    """A lane that is late still scales the picture while the redactor takes hold of it."""
    clip = [HostPicture(av.VideoFrame(320, 180, "yuv420p")) for _ in range(40)]
    views = [picture.luma for picture in clip]  # makes every edit() move the pixels

    def look() -> None:
        for picture in clip:
            picture.shrink(160, 96)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    for picture in clip:
        picture.edit().y[:] = 200
    for looker in lookers:
        looker.join()
    assert all((picture.luma == 200).all() for picture in clip)
    assert len(views) == 40


@pytest.mark.parametrize("threads", ["FRAME", "SLICE"])
def test_editing_in_place_does_not_alter_later_frames(tmp_path, threads):
    """The decoder predicts from the very memory that a frame shows: B-frames, several references.

    Frames are destroyed as soon as they come out; none that is left alone may differ.
    """
    path = make_clip(
        tmp_path / "clip.mp4",
        frames=60,
        size=(160, 96),
        options={"preset": "medium", "bf": "3", "refs": "4", "crf": "20"},
    )

    def decoded():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type = threads
            stream.codec_context.thread_count = 4
            yield from container.decode(stream)

    truth = [HostPicture(frame).luma.copy() for frame in decoded()]
    moved = 0
    noise = np.random.default_rng(1).integers(0, 255, (96, 160), np.uint8)
    for number, frame in enumerate(decoded()):
        picture = HostPicture(frame)
        assert np.array_equal(picture.luma, truth[number]), f"frame {number} was altered"
        if number % 3:
            where = frame.planes[0].buffer_ptr
            planes = picture.edit()
            planes.y[:] = noise
            planes.chroma[0][:] = planes.chroma[1][:] = 1
            moved += frame.planes[0].buffer_ptr != where
    assert len(truth) == 60
    # Without this the test would show nothing: some frames were still the decoder's.
    assert moved > 0


def test_memory_stays_flat_over_many_frames():
    def rss() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def work(count: int) -> None:
        for _ in range(count):
            picture = HostPicture(av.VideoFrame(640, 360, "yuv420p"))
            picture.shrink(320, 192)
            assert picture.luma.shape == (360, 640)
            picture.edit().y[:8] = 0

    gc.disable()  # nothing may depend on the cycle collector: frames are large
    try:
        work(50)
        before = rss()
        work(400)
        assert rss() - before < 20e6  # one frame that stays would be 0.35 MB, all of them 138
    finally:
        gc.enable()
