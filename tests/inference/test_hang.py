"""A GPU that neither does what it is asked to nor says that it failed: on the driver on the CPU."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edge.errors import DeviceError, InferenceError, ModelError
from edge.inference import cuda as cuda_module
from edge.inference.bound import CudaMemory
from edge.inference.cuda import Cuda
from edge.inference.engine import Engine
from edge.inference.failover import EngineMaker, FailoverEngine
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle
from edge.redact.failover import FailoverRedactor
from edge.release import Releaser
from tests.harness import HIDDEN, likeness
from tests.inference.test_onnx_cuda import convolutions
from tests.redact.emulator import Device, emulated, shipped
from tests.test_release import BOX, RELEASE, frame, luma

SIZE = (320, 192)
PATIENCE_S = 1.0


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """One that nobody else has, and that may hang for good."""
    monkeypatch.setattr(cuda_module, "PATIENCE_S", PATIENCE_S)
    device = emulated(Path(shutil.copy(shipped(), tmp_path / "libcuda_that_hangs.so")))
    monkeypatch.setattr(cuda_module, "_HANGING", set())
    monkeypatch.setattr(cuda_module, "_LEFT", [])
    return device


def hang(device: Device) -> Any:
    assert device.emulator is not None
    device.emulator.hang_device(1)
    return device.emulator


def test_a_wait_ends_and_nothing_is_asked_of_the_gpu_any_more(gpu: Device):
    gpu.cuda.enter()
    stream = gpu.cuda.stream()
    gpu.cuda.wait(stream)
    other = Cuda(gpu.cuda._library)
    other.enter()
    api = hang(gpu)
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="has not answered"):
        gpu.cuda.wait(stream)
    assert PATIENCE_S <= time.monotonic() - begun < 10 * PATIENCE_S
    begun = time.monotonic()
    calls: list[Callable[[], object]] = [
        lambda: gpu.cuda.wait(stream), gpu.cuda.enter, lambda: gpu.cuda.drop_stream(stream),
        lambda: gpu.cuda.allocate(64), other.enter, lambda: other.allocate(64),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(DeviceError, match="has not answered"):
            call()
    with pytest.raises(ModelError, match=r"stopped answering\. Restart"):
        Cuda(gpu.cuda._library)
    calls.clear()
    other = None
    gc.collect()
    assert time.monotonic() - begun < 3 * PATIENCE_S, "nothing waits a second time"
    assert api.count_blocked() == 0


def test_frames_are_masked_while_it_is_found_out_and_then_hidden_by_the_cpu(gpu: Device):
    library = gpu.cuda._library

    def make() -> CudaRedactor:
        return CudaRedactor(RedactionStyle(), Cuda(library), gpu.image, *SIZE)

    redactor = FailoverRedactor(RedactionStyle(), make(), make)
    releaser = Releaser(redactor)
    assert not releaser.clear(frame(), RELEASE, BOX, [1]).masked
    api = hang(gpu)
    begun = time.monotonic()
    cleared = [releaser.clear(frame(), RELEASE, BOX, [1]) for _ in range(6)]
    assert time.monotonic() - begun < 5 * PATIENCE_S, "it is waited for once"
    assert [one.masked for one in cleared] == [True] * 3 + [False] * 3
    assert redactor.on_cpu
    original = luma(frame())
    for one in cleared:
        x1, y1, x2, y2 = BOX[0].astype(int)
        seen = luma(one)[y1:y2, x1:x2]
        assert likeness(original[y1:y2, x1:x2], seen) < HIDDEN
    del redactor, releaser
    gc.collect()
    assert api.count_blocked() == 0


def test_an_engine_whose_gpu_hangs_is_left_where_it_is(gpu: Device):
    library = gpu.cuda._library
    model = convolutions(1, channels=2, side=4)
    made: list[Engine] = []

    def on_gpu() -> Engine:
        memory = CudaMemory(Cuda(library), device_type="cpu")
        made.append(OnnxCudaEngine(model, "convolution", memory=memory))
        return made[-1]

    engine = EngineMaker(on_gpu, lambda: OnnxEngine(model, "convolution", threads=1))()
    feeds = {engine.inputs[0]: np.ones((1, 2, 4, 4), np.float32)}
    wanted = engine.run(feeds)
    api = hang(gpu)
    for _ in range(3):
        with pytest.raises(InferenceError):
            engine.run(feeds)
    again = engine.run(feeds)
    assert isinstance(engine, FailoverEngine)
    assert engine.on_cpu
    for name, values in wanted.items():
        np.testing.assert_array_equal(again[name], values)
    made.clear()
    gc.collect()
    assert cuda_module._LEFT, "its session is not destroyed, which would not end"
    assert api.count_blocked() == 0


class Stuck:
    """An engine that answers once, and then never."""

    name = "stuck"
    inputs, outputs = ("x",), ("y",)
    input_specs = output_specs = ()
    metadata: ClassVar[dict[str, str]] = {}

    def __init__(self, released: threading.Event) -> None:
        self._released, self._runs = released, 0

    def run(self, feeds: Any) -> Any:
        self._runs += 1
        if self._runs > 1:
            self._released.wait(20)
        return {"y": np.zeros(1, np.float32)}


class Plain(Stuck):
    def run(self, feeds: Any) -> Any:
        return {"y": np.ones(1, np.float32)}


def test_a_lane_whose_engine_is_stuck_gets_one_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edge.inference.failover._STUCK_S", 0.2)
    released = threading.Event()
    maker = EngineMaker(lambda: Stuck(released), lambda: Plain(released))  # type: ignore[arg-type]
    first = maker()
    assert isinstance(first, FailoverEngine)
    first.run({})
    assert isinstance(maker(), FailoverEngine)
    thread = threading.Thread(target=first.run, args=({},), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not first.stuck and time.monotonic() < deadline:
        time.sleep(0.02)
    assert first.stuck
    assert isinstance(maker(), Plain)
    released.set()
    thread.join(10)
    assert not first.stuck
    assert isinstance(maker(), FailoverEngine)


def test_where_the_first_engine_cannot_be_made_that_is_told():
    def fails() -> Engine:
        raise ModelError("no memory. Get some.")

    with pytest.raises(ModelError, match="no memory"):
        EngineMaker(fails, fails)()
