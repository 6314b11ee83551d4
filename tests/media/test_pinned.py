"""Pictures in page-locked memory: the same samples, and nobody is shown what was hidden."""

from __future__ import annotations

import gc
import logging
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Planes
from edge.inference.frame_pool import FrameLayout, FramePool, leave_lost_gpu
from edge.inference.picture import DevicePicture, PictureLeftError, SharedPicture
from edge.media.picture import HostPicture
from edge.media.pinned import PinnedPicture, PinnedPictures
from tests.redact.emulator import Device, emulated, separate

FORMATS = ["yuv420p", "yuvj420p", "nv12"]
EVEN = st.integers(1, 100).map(lambda n: 2 * n)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return separate(tmp_path_factory.mktemp("pinned"))


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def device(request: pytest.FixtureRequest, library: Path) -> Device:
    return emulated(library, integrated=request.param)


def noise(width: int, height: int, name: str = "yuv420p", seed: int = 0) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    planes = HostPicture(frame).edit()
    rng = np.random.default_rng(seed)
    for plane in (planes.y, *planes.chroma):
        plane[...] = rng.integers(0, 256, plane.shape, np.uint8)
    return frame


def pool_of(device: Device, frame: av.VideoFrame, count: int = 2) -> FramePool:
    layout = "nv12" if frame.format.name == "nv12" else "yuv420p"
    return FramePool(device.cuda, FrameLayout(layout, frame.width, frame.height), count)


def placed(frame: av.VideoFrame, pool: FramePool) -> PinnedPicture:
    """A picture that somebody has looked at."""
    picture = PinnedPicture(frame, pool)
    with picture.lend() as there:
        assert there is not None
    return picture


def same(one: Planes, other: Planes) -> bool:
    pairs = zip((one.y, *one.chroma), (other.y, *other.chroma), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def seen(device: Device, there: DevicePicture | None) -> np.ndarray:
    """The first row of luma that kernels would read."""
    assert there is not None
    row = np.zeros(there.width, np.uint8)
    stream = device.cuda.stream()
    device.cuda.download(int(row.ctypes.data), there.y, row.size, stream)
    device.cuda.wait(stream)
    return row


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(FORMATS), EVEN, EVEN)
def test_it_shows_what_the_frame_shows(library, name, width, height):
    device = emulated(library)
    frame = noise(width, height, name)
    frame.pts, frame.time_base = 1234, Fraction(1, 90_000)
    frame.color_range, frame.colorspace = 2, 1
    frame.color_primaries, frame.color_trc = 9, 16
    pool = pool_of(device, frame)
    picture, plain = placed(frame, pool), HostPicture(frame)
    assert (picture.width, picture.height, picture.layout) == (width, height, plain.layout)
    assert picture.full_range == plain.full_range
    np.testing.assert_array_equal(picture.luma, plain.luma)
    np.testing.assert_array_equal(picture.shrink(16, 16), plain.shrink(16, 16))
    made = picture.frame
    assert (made.format.name, made.pts, made.time_base) == (name, 1234, Fraction(1, 90_000))
    assert (made.color_range, made.colorspace, made.color_primaries, made.color_trc) == (
        2,
        1,
        9,
        16,
    )
    assert same(picture.edit(), plain.edit())
    frame.make_writable()
    del picture, made
    assert pool.free == 2


@pytest.mark.parametrize("name", FORMATS)
def test_editing_stays_in_the_slot_and_tells_where_that_is(device: Device, name):
    frame = noise(150, 90, name)
    pool = pool_of(device, frame)
    picture = placed(frame, pool)
    where = picture.frame.planes[0].buffer_ptr
    planes = picture.edit()
    assert picture.edit() is planes
    assert picture.frame.planes[0].buffer_ptr == where
    assert planes.memory is not None
    assert planes.memory.address(planes.y) == planes.memory.device
    planes.y[...] = 77
    assert (picture.luma == 77).all()
    assert (HostPicture(frame).luma != 77).any()


def test_others_sizes_and_layouts_are_left_to_others(device: Device):
    pool = pool_of(device, noise(64, 48))
    pictures = PinnedPictures(pool)
    make = pictures.before(HostPicture)
    assert isinstance(make(noise(64, 48)), PinnedPicture)
    assert isinstance(make(noise(64, 48, "yuvj420p")), PinnedPicture)
    for other in (noise(64, 50), noise(66, 48), noise(64, 48, "nv12")):
        assert type(make(other)) is HostPicture
    with pytest.raises(ValueError, match="another than"):
        PinnedPicture(noise(64, 50), pool)


def test_with_all_slots_in_use_pictures_are_ordinary_ones(device: Device, caplog):
    frame = noise(64, 48)
    pool = pool_of(device, frame, 3)
    pictures = PinnedPictures(pool)
    make = pictures.before(HostPicture)
    allocated = device.cuda.allocations
    held = [make(frame) for _ in range(5)]
    for number, picture in enumerate(held):
        assert isinstance(picture, PinnedPicture)
        with picture.lend() as there:
            assert (there is not None) == (number < 3)
    assert all(same(one.edit(), HostPicture(frame).edit()) for one in held)
    assert [one.edit().memory is not None for one in held] == [True] * 3 + [False] * 2
    assert (pool.lent, pool.refused) == (3, 2)
    del held[0], picture
    again = make(frame)
    assert isinstance(again, PinnedPicture)
    with again.lend() as there:
        assert there is not None
    assert device.cuda.allocations == allocated
    with caplog.at_level(logging.INFO):
        pictures.close()
    assert "2 of 6 pictures found all 3 slots in use" in caplog.text
    assert type(make(frame)) is HostPicture
    late = PinnedPicture(frame, pool)  # made before, looked at after
    with late.lend() as there:
        assert there is None


def test_an_encoder_that_holds_a_frame_keeps_its_slot(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame)
    picture = placed(frame, pool)
    graph = av.filter.Graph()  # holds references to FFmpeg's buffers, as hardware encoders do
    source = graph.add_buffer(width=64, height=48, format="yuv420p", time_base=Fraction(1, 25))
    sink = graph.add("buffersink")
    source.link_to(sink)
    graph.configure()
    picture.frame.pts = 0
    graph.push(picture.frame)
    before = picture.luma.copy()
    del picture
    assert pool.free == 1
    pulled = graph.pull()
    np.testing.assert_array_equal(HostPicture(pulled).luma, before)
    del graph, source, sink, pulled
    assert pool.free == 2


def test_an_encoder_gives_slots_back_and_reads_them_right(device: Device, tmp_path):
    """Lossless H.264 of what lies in the slots, more of them than there are."""
    frames = [noise(130, 70, seed=seed) for seed in range(12)]
    pool = pool_of(device, frames[0], 4)
    path = tmp_path / "out.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 130, 70, "yuv420p"
        for number, frame in enumerate(frames):
            picture = placed(frame, pool)
            picture.frame.pts = number
            out.mux(stream.encode(picture.frame))
            del picture
        out.mux(stream.encode(None))
    assert pool.free == 4
    with av.open(str(path)) as back:
        for found, frame in zip(back.decode(video=0), frames, strict=True):
            assert same(HostPicture(found).edit(), HostPicture(frame).edit())


def test_a_view_outlives_picture_pool_and_edits(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame)
    picture = placed(frame, pool)
    view, wanted = picture.luma, HostPicture(frame).luma.copy()
    planes = picture.edit()  # somebody looks: the samples are copied first
    assert planes.memory is None
    planes.y[...] = 0
    assert pool.free == 1
    del picture, planes, pool
    np.testing.assert_array_equal(view, wanted)


def test_it_is_lent_where_the_gpu_has_it(device: Device):
    frame = noise(150, 90)
    picture = placed(frame, pool_of(device, frame))
    assert isinstance(picture, SharedPicture)
    with picture.lend() as there, picture.lend() as again:
        assert there == again
        np.testing.assert_array_equal(seen(device, there), picture.luma[0])
        assert there is not None
        in_place = there.y == picture.frame.planes[0].buffer_ptr
    assert in_place == device.cuda.integrated
    assert picture.edit().memory is not None  # a loan that has ended is no reason to copy


def test_what_is_lent_does_not_change_and_what_was_edited_is_not_lent(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame)
    picture = placed(frame, pool)
    wanted = picture.luma[0].copy()
    with picture.lend() as there:
        planes = picture.edit()
        assert planes.memory is None
        planes.y[...] = 0
        np.testing.assert_array_equal(seen(device, there), wanted)
        assert pool.free == 1
        with pytest.raises(PictureLeftError, match="has left"), picture.lend():
            raise AssertionError("it was lent")
    assert pool.free == 2  # it is a picture like any other from here on
    assert (picture.luma == 0).all()
    other = placed(frame, pool)
    other.edit()
    with pytest.raises(PictureLeftError), other.lend():
        raise AssertionError("it was lent")


def test_a_picture_that_was_moved_by_others_is_not_looked_for_in_its_slot(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame)
    picture = placed(frame, pool)
    wanted = picture.luma[0].copy()
    view = picture.luma
    picture.frame.make_writable()
    del view
    assert pool.free == 2
    other = placed(noise(64, 48, seed=1), pool)
    with picture.lend() as there:
        np.testing.assert_array_equal(seen(device, there), wanted)
        assert pool.free == 0
    del other


def test_what_nobody_looks_at_is_copied_by_nobody(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame)
    picture = PinnedPicture(frame, pool)
    where = frame.planes[0].buffer_ptr
    planes = picture.edit()
    assert (planes.memory, pool.free) == (None, 2)
    assert picture.frame.planes[0].buffer_ptr == where
    with pytest.raises(PictureLeftError), picture.lend():
        raise AssertionError("it was lent")


def test_moving_into_a_slot_leaves_the_decoders_frame_as_it_is(device: Device):
    frame = noise(64, 48)
    before = HostPicture(frame).luma.copy()
    picture = PinnedPicture(frame, pool_of(device, frame))
    view, held = picture.luma, picture.frame
    with picture.lend():
        pass
    assert picture.frame is not held
    picture.edit().y[...] = 0
    np.testing.assert_array_equal(view, before)
    np.testing.assert_array_equal(HostPicture(held).luma, before)


def test_late_lanes_never_see_what_was_hidden(device: Device):
    """Loans race with edits: each shows the whole original, or is refused."""
    frames = [noise(64, 48, seed=seed) for seed in range(60)]
    pool = pool_of(device, frames[0], len(frames))
    pictures = [PinnedPicture(frame, pool) for frame in frames]
    rows = [HostPicture(frame).luma[0].copy() for frame in frames]
    failures: list[str] = []
    counts = [0, 0]
    started = threading.Barrier(4)

    def look() -> None:
        device.cuda.enter()
        started.wait()
        for picture, row in zip(pictures, rows, strict=True):
            try:
                with picture.lend() as there:
                    shown = [seen(device, there) for _ in range(3)]
                    failures.extend("another" for one in shown if not np.array_equal(one, row))
                    counts[0] += 1
            except PictureLeftError:
                counts[1] += 1

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    for picture in pictures:
        planes = picture.edit()
        for plane in (planes.y, *planes.chroma):
            plane[...] = 0
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(counts) == 3 * len(frames)
    assert all((picture.luma == 0).all() for picture in pictures)
    pictures.clear()
    del picture, planes, plane
    assert pool.free == len(frames)


def test_a_lost_gpu_is_let_go_of_and_pictures_stay_what_they_are(tmp_path):
    lost = emulated(separate(tmp_path))
    emulator = lost.emulator
    assert emulator is not None
    frames = [noise(64, 48, seed=seed) for seed in range(4)]
    pool = pool_of(lost, frames[0], 4)
    waiting, edited, looked_at, idle = (PinnedPicture(frame, pool) for frame in frames)
    for picture in (waiting, edited, looked_at):
        with picture.lend():
            pass
    planes, view = edited.edit(), looked_at.luma
    del lost
    leave_lost_gpu()
    assert pool.free == 1  # it was not lost yet
    emulator.lose_device()
    leave_lost_gpu()
    assert pool.free == 0
    with waiting.lend() as there, idle.lend() as other:
        assert (there, other) == (None, None)
    for picture, frame in zip((waiting, edited, looked_at, idle), frames, strict=True):
        np.testing.assert_array_equal(picture.luma, HostPicture(frame).luma)
    assert waiting.edit().memory is None
    assert planes.memory is not None
    planes.y[...] = 5
    assert (edited.luma == 5).all()
    assert emulator.count_live() > 0  # the edited one, and a view of the one that moved
    del picture, planes, edited, view
    gc.collect()
    assert (emulator.count_live(), emulator.count_holders()) == (0, 0)
    np.testing.assert_array_equal(looked_at.luma, HostPicture(frames[2]).luma)


def test_a_copy_apart_takes_another_slot_where_there_is_one(device: Device):
    frame = noise(64, 48)
    pool = pool_of(device, frame, 2)
    picture = placed(frame, pool)
    first, second = picture.apart(), picture.apart()
    assert (type(first), type(second)) == (PinnedPicture, HostPicture)
    assert first.edit().memory is not None
    for copied in (first, second):
        copied.edit().y[...] = 0
    assert (picture.luma == HostPicture(frame).luma).all()
    with picture.lend() as there:
        np.testing.assert_array_equal(seen(device, there), HostPicture(frame).luma[0])
