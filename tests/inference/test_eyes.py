"""Detectors whose engines see for themselves beside the same ones that are shown tensors."""

from __future__ import annotations

import ctypes
import gc
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from edge.catalogue import load_catalogue
from edge.errors import InferenceError, ModelError
from edge.frame import GonePicture, Picture
from edge.inference.budget import MAX_FAILURES
from edge.inference.cuda import Cuda
from edge.inference.engine import Engine
from edge.inference.eyes import SightedEngine
from edge.inference.eyes_proof import prove
from edge.inference.failover import FailoverEngine
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.inference.picture import PictureLeftError
from edge.lanes.hyperlpr import HyperLpr
from edge.lanes.lane import Detector
from edge.lanes.plate_own import OwnPlates
from edge.lanes.ppocr_det import PpocrDetector
from edge.lanes.yunet import YuNet
from edge.media.picture import HostPicture
from edge.media.pinned import PinnedPicture
from edge.model_store import ModelStore
from export.dynamic import make_dynamic
from tests.redact.emulator import Device, build, emulated, onnx_memory, separate, shipped
from tests.redact.test_cuda_proof import vouch
from tests.support import SHARED

SIZE = 640


class UnscaledPicture(HostPicture):
    """A picture of which nobody may ask the CPU for a smaller one."""

    def shrink(self, width: int, height: int) -> np.ndarray:
        raise AssertionError("the CPU scaled a picture")


def weights(name: str) -> bytes:
    """A model of the catalogue, of any size, or skip."""
    store = ModelStore(load_catalogue(), [SHARED / "models"])
    try:
        resolved = store.resolve([name], fetch=True)
    except ModelError as error:
        pytest.skip(f"{name} is not here: {error}")
    data = resolved.read_bytes()
    return make_dynamic(data, name) if name == "yunet-n" else data


def yunet() -> bytes:
    return weights("yunet-n")


def sighted(device: Device, data: bytes, folder: Path) -> SightedEngine:
    """A detector's engine on a device, which computes on the CPU where that stands for the GPU."""
    engine = OnnxCudaEngine(data, "sighted", memory=onnx_memory(device))
    return SightedEngine(engine, device.cuda, folder)


@pytest.fixture(scope="module")
def frames(clip) -> list[av.VideoFrame]:
    with av.open(str(clip)) as container:
        return [f for i, f in enumerate(container.decode(video=0)) if i in (0, 40)]


@pytest.fixture
def faults(tmp_path: Path) -> Iterator[Device]:
    """A device that faults can be planted in, and which has to have all its memory back."""
    library = shutil.copy(shipped(), tmp_path / "libcuda_with_faults.so")
    device = emulated(Path(library))
    assert isinstance(device.emulator, ctypes.CDLL)
    vouch(tmp_path / "engines", device)
    before = device.emulator.count_live()
    yield device
    gc.collect()
    assert device.emulator.count_live() == before


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
@pytest.mark.parametrize(
    ("model", "detector", "size"),
    [
        ("yunet-n", YuNet, SIZE),
        ("plate-hyperlpr", HyperLpr, SIZE),
        ("ppocr-v4-det", PpocrDetector, 480),
        ("plates-own", OwnPlates, SIZE),
    ],
)
def test_what_is_found_is_the_same_as_on_the_cpu(
    device: Device, frames, tmp_path, layout, model, detector, size
):
    data = weights(model)
    vouch(tmp_path, device)
    engine = sighted(device, data, tmp_path)
    weakest = 0.3
    seeing: Detector = detector(engine, input_size=size, weakest=weakest)
    shown: Detector = detector(OnnxEngine(data, "shown"), input_size=size, weakest=weakest)
    for number, frame in enumerate(frames):
        picture = frame if layout == "yuv420p" else frame.reformat(format="nv12")
        found_id, found = seeing.infer(number, UnscaledPicture(picture))
        _, wanted = shown.infer(number, HostPicture(picture))
        assert found_id == number
        assert len(found) == len(wanted)
        order, other = (np.argsort(one.boxes[:, 0]) for one in (found, wanted))
        # Beside other scaling (swscale's is off by 1.3 levels on average), nothing differs.
        np.testing.assert_allclose(found.boxes[order], wanted.boxes[other], atol=4)
        np.testing.assert_allclose(found.scores[order], wanted.scores[other], atol=0.05)
    if detector is YuNet:
        assert len(wanted) > 0
    engine.close()


def test_nothing_is_allocated_once_a_size_has_come(faults: Device, frames, tmp_path):
    engine = sighted(faults, yunet(), tmp_path / "engines")
    detector = YuNet(engine, input_size=320, weakest=0.3)
    assert faults.emulator is not None
    for _ in range(2):
        detector.infer(0, UnscaledPicture(frames[0]))
    before = faults.emulator.count_allocations()
    for _ in range(3):
        detector.infer(0, UnscaledPicture(frames[0]))
    assert faults.emulator.count_allocations() == before
    large = frames[0].reformat(width=800, height=450)
    detector.infer(0, UnscaledPicture(large))
    detector.infer(0, UnscaledPicture(frames[0]))


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
@pytest.mark.parametrize("integrated", [False, True])
def test_a_page_locked_picture_is_brought_once_for_all_looks(
    frames, tmp_path, monkeypatch, layout, integrated
):
    """HyperLPR looks twice, and another lane once more."""
    device = emulated(separate(tmp_path), integrated=integrated)
    vouch(tmp_path, device)
    frame = frames[1] if layout == "yuv420p" else frames[1].reformat(format="nv12")
    shape = FrameLayout(layout, frame.width, frame.height)
    pool = FramePool(device.cuda, shape, 1)
    plates = HyperLpr(sighted(device, weights("plate-hyperlpr"), tmp_path), input_size=SIZE,
                      weakest=0.3)  # fmt: skip
    faces = YuNet(sighted(device, yunet(), tmp_path), input_size=SIZE, weakest=0.3)
    wanted = [detector.infer(0, HostPicture(frame))[1] for detector in (plates, faces)]
    uploads: list[int] = []
    upload = Cuda.upload

    def counted(cuda: Cuda, to: int, host: int, size: int, stream: int) -> None:
        uploads.append(size)
        upload(cuda, to, host, size, stream)

    monkeypatch.setattr(Cuda, "upload", counted)
    monkeypatch.setattr(HostPicture, "copy_planes", None)  # what a stage copies by
    picture = PinnedPicture(frame, pool)
    found = [detector.infer(0, picture)[1] for detector in (plates, faces)]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
    assert uploads.count(shape.size) == (0 if integrated else 1)
    assert pool.lent == 1


def test_a_picture_that_was_hidden_is_not_looked_at_and_not_the_gpus_fault(
    faults: Device, frames, tmp_path
):
    data = yunet()
    engine = FailoverEngine(
        lambda: sighted(faults, data, tmp_path / "engines"), lambda: OnnxEngine(data, "cpu")
    )
    frame = frames[0]
    pool = FramePool(faults.cuda, FrameLayout("yuv420p", frame.width, frame.height), 1)
    picture = PinnedPicture(frame, pool)
    detector = YuNet(engine, input_size=320, weakest=0.3)
    _, found = detector.infer(0, picture)
    assert len(found) == 1
    picture.edit()
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(PictureLeftError):
            detector.infer(0, picture)
    assert (engine.failures, engine.on_cpu) == (0, False)


def test_without_kernels_the_cpu_scales(faults: Device, frames, tmp_path, caplog):
    engine = sighted(faults, yunet(), tmp_path / "no engines")
    detector = YuNet(engine, input_size=320, weakest=0.3)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            _, found = detector.infer(0, HostPicture(frames[0]))
    assert len(found) == 1
    (told,) = [r.getMessage() for r in caplog.records if "scales pictures" in r.getMessage()]
    assert "have not been compiled for this GPU" in told


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("rgb[t.channel[plane]] * t.scale[plane]", "rgb[plane] * t.scale[plane]"),
        ("rgb[0] = clamped(luma + colour.red_v * v)", "rgb[0] = clamped(luma)"),
        ("int outer_x = t.left + (t.left & 1)", "int outer_x = t.left"),
        (": t.border[plane]", ": 0.0f"),
    ],
)
def test_kernels_that_see_something_else_are_not_believed(frames, tmp_path, caplog, right, wrong):
    device = emulated(build(tmp_path, {right: wrong}))
    vouch(tmp_path / "engines", device)
    detector = YuNet(sighted(device, yunet(), tmp_path / "engines"), input_size=320, weakest=0.3)
    with caplog.at_level(logging.INFO):
        _, found = detector.infer(0, HostPicture(frames[0]))
    assert len(found) == 1
    assert "scales pictures otherwise than it should" in caplog.text


def test_shipped_kernels_are_believed(device: Device):
    prove(device.cuda, device.image)


def test_a_gpu_that_fails_leaves_pictures_unjudged_until_the_cpu_takes_over(
    faults: Device, frames, tmp_path
):
    data = yunet()

    def on_gpu() -> Engine:
        return sighted(faults, data, tmp_path / "engines")

    engine = FailoverEngine(on_gpu, lambda: OnnxEngine(data, "cpu"))
    detector = YuNet(engine, input_size=320, weakest=0.3)
    _, wanted = detector.infer(0, UnscaledPicture(frames[0]))
    assert len(wanted) == 1
    assert faults.emulator is not None
    faults.emulator.fail_launches(0, -1)
    for _ in range(MAX_FAILURES):
        assert not engine.on_cpu
        with pytest.raises(InferenceError):
            detector.infer(0, HostPicture(frames[0]))
    assert engine.on_cpu
    _, found = detector.infer(0, HostPicture(frames[0]))
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=3)
    faults.emulator.fail_launches(-1, 0)


def test_an_engine_without_eyes_behind_a_failover_is_shown_tensors(frames):
    data = yunet()
    engine = FailoverEngine(lambda: OnnxEngine(data, "one"), lambda: OnnxEngine(data, "other"))
    picture: Picture = HostPicture(frames[0])
    _, found = YuNet(engine, input_size=320, weakest=0.3).infer(0, picture)
    assert len(found) == 1
    assert engine.failures == 0


def test_a_picture_that_has_left_is_not_the_gpus_fault(faults: Device, tmp_path):
    data = yunet()
    engine = FailoverEngine(
        lambda: sighted(faults, data, tmp_path / "engines"), lambda: OnnxEngine(data, "cpu")
    )
    detector = YuNet(engine, input_size=320, weakest=0.3)
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(LookupError, match="this picture has left"):
            detector.infer(0, GonePicture(640, 360))
    assert (engine.failures, engine.on_cpu) == (0, False)
