"""Engines whose runs are replayed beside the same ones without: on a stand-in for TensorRT, over a
driver that records."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from onnx import helper

from edge.errors import InferenceError
from edge.inference.cuda import Cuda
from edge.inference.engine import DeviceTensor, Engine
from edge.inference.eyes import SightedEngine
from edge.inference.failover import FailoverEngine
from edge.inference.onnx import OnnxEngine
from edge.inference.preprocess import InputSpec
from edge.inference.tensorrt import TensorRtEngine
from edge.media.picture import HostPicture
from tests.inference import trt_on_cpu
from tests.inference.test_onnx import FLOAT, model
from tests.inference.trt_on_cpu import Context, opened
from tests.redact.emulator import Device
from tests.redact.test_cuda_proof import vouch

LENGTH = 6
OUT_OF_MEMORY, LAUNCH_FAILED, UNSUPPORTED = 2, 719, 900


@pytest.fixture(params=[False, True], ids=["cpu", "cpu-integrated"])
def device(request, tmp_path: Path) -> Iterator[Device]:
    with trt_on_cpu.installed(tmp_path, integrated=request.param) as device:
        yield device


def network(length: int | str = LENGTH) -> bytes:
    """Twice x, and one over x, of a fixed or a free length."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Reciprocal", ["x"], ["inverse"]),
    ]
    outputs = [("twice", FLOAT, [length]), ("inverse", FLOAT, [length])]
    return model(nodes, [("x", FLOAT, [length])], outputs)


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 2, LENGTH).astype(np.float32)


def check(engine: Engine, found: object, x: np.ndarray) -> None:
    wanted = OnnxEngine(network(), "wanted").run({"x": x})
    assert isinstance(found, dict)
    for name in engine.outputs:
        np.testing.assert_array_equal(found[name], wanted[name])


def look(engine: TensorRtEngine, seed: int) -> None:
    """Run on an input of the host, and compare."""
    x = values(seed)
    check(engine, engine.run({"x": x}), x)


def context(engine: TensorRtEngine) -> Context:
    found = engine._parts.context
    assert isinstance(found, Context)
    return found


class There:
    """Inputs in the device's memory, each somewhere else, filled on another stream."""

    def __init__(self, device: Device) -> None:
        self._cuda = device.cuda
        self._cuda.enter()
        self._stream, self._event = self._cuda.stream(), self._cuda.event()
        self._addresses = [self._cuda.allocate(4 * LENGTH) for _ in range(2)]

    def look(self, engine: TensorRtEngine, seed: int) -> None:
        """Run on one of them, and compare."""
        x, address = values(seed), self._addresses[seed % 2]
        self._cuda.upload(address, x.ctypes.data, x.nbytes, self._stream)
        self._cuda.record(self._event, self._stream)
        tensor = DeviceTensor(address, x.shape, x.dtype)
        check(engine, engine.run_device({"x": tensor}, after=self._event), x)

    def close(self) -> None:
        for address in self._addresses:
            self._cuda.free(address)
        self._cuda.drop_event(self._event)
        self._cuda.drop_stream(self._stream)


@pytest.mark.parametrize("first", ["host", "device"])
def test_one_graph_serves_the_host_and_the_device_wherever_inputs_lie(device: Device, first: str):
    engine, there = opened(device, network()), There(device)
    ways: list[Callable[[TensorRtEngine, int], None]] = [look, there.look]
    for seed in range(8):
        ways[(seed // 2 + (first == "device")) % 2](engine, seed)
        assert engine.graph is not None
        assert context(engine).runs == 2, "one run, which was then recorded"
    told = context(engine).told
    look(engine, 9)
    assert context(engine).told == told
    assert device.emulator is not None
    allocations = device.emulator.count_allocations()
    there.look(engine, 10)
    assert device.emulator.count_allocations() == allocations
    there.close()


def test_events_of_others_are_followed_before_and_never_within(device: Device, monkeypatch):
    calls: list[str] = []

    def watch(name: str) -> None:
        real = getattr(Cuda, name)

        def called(*arguments: object) -> object:
            calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(Cuda, name, called)

    for name in ("follow", "copy", "capture", "replay"):
        watch(name)
    engine, there = opened(device, network()), There(device)
    there.look(engine, 0)
    assert calls == ["follow", "copy", "capture", "replay"]
    calls.clear()
    there.look(engine, 1)
    assert calls == ["follow", "copy", "replay"]
    there.close()


def test_where_an_axis_is_free_or_it_is_not_wanted_nothing_is_recorded(device: Device):
    there = There(device)
    for engine in (opened(device, network("n")), opened(device, network(), graph=False)):
        for seed in range(2):
            look(engine, seed)
            there.look(engine, seed)
        assert engine.graph is None
        assert context(engine).runs == 4
    there.close()


def test_memory_of_the_engine_that_lies_elsewhere_is_recorded_anew(device: Device):
    engine = opened(device, network())
    look(engine, 0)
    for name in ("x", "twice"):
        slot = engine._slots[name]
        before = slot.address
        slot.reserve(1 << 20)
        assert slot.address != before
        look(engine, 1)
        look(engine, 2)
    assert engine.graph is not None
    assert context(engine).runs == 2 + 2 + 2


def waits(self: Context, stream: int) -> bool:
    return not self.api.cuStreamSynchronize(ctypes.c_void_p(stream)) and queues(self, stream)


def allocates(self: Context, stream: int) -> bool:
    address = ctypes.c_uint64()
    if self.api.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(64)):
        return False
    self.api.cuMemFree_v2(address)
    return queues(self, stream)


def recorded(self: Context, stream: int) -> bool:
    status = ctypes.c_int()
    assert not self.api.cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(status))
    return bool(status.value)


def raises(self: Context, stream: int) -> bool:
    if recorded(self, stream):
        raise RuntimeError("of TensorRT's")
    return queues(self, stream)


def leaves_out(self: Context, stream: int) -> bool:
    return recorded(self, stream) or queues(self, stream)


def ignores_the_stream(self: Context, stream: int) -> bool:
    if recorded(self, stream):
        self.work()()
        return True
    return queues(self, stream)


queues = Context.execute_async_v3


@pytest.mark.parametrize("device", [False], ids=["cpu"], indirect=True)
@pytest.mark.parametrize(
    ("how", "why"),
    [
        (waits, "failed on the GPU"),
        (allocates, "failed on the GPU"),
        (raises, "of TensorRT's"),
        (leaves_out, "gives something else than a run"),
        (ignores_the_stream, "gives something else than a run"),
        ("cuStreamBeginCapture", "failed with error 900"),
        ("cuGraphInstantiate", "failed with error 2"),
        ("cuGraphLaunch", "failed with error 719"),
        ("is_stream_capturable", "does not let this engine be recorded"),
    ],
)
def test_where_recording_fails_runs_are_queued_and_that_is_told_once(
    device: Device, monkeypatch, caplog, how, why
):
    api = device.emulator
    assert api is not None
    errors = {"cuStreamBeginCapture": UNSUPPORTED, "cuGraphInstantiate": OUT_OF_MEMORY,
              "cuGraphLaunch": LAUNCH_FAILED}  # fmt: skip
    if how == "is_stream_capturable":
        monkeypatch.setattr(Context, how, lambda *_: False, raising=False)
    elif callable(how):
        monkeypatch.setattr(Context, "execute_async_v3", how)
    else:
        api.plant_error(how.encode(), errors[how])
    there = There(device)
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            engine = opened(device, network())
            for seed in range(3):
                look(engine, seed)
                there.look(engine, seed)
            assert engine.graph is None
            engine.close()
    (told,) = [r for r in caplog.records if "without a CUDA graph" in r.getMessage()]
    assert told.levelno == logging.INFO
    assert why in told.getMessage()
    if isinstance(how, str):
        api.plant_error(how.encode(), 0)
    there.close()


@pytest.mark.parametrize(("noise", "believed"), [(1e-6, True), (0.0, False)])
def test_a_replay_may_differ_from_a_run_as_runs_differ_and_no_more(
    device: Device, monkeypatch, noise, believed
):
    """In a network whose sums end in other bits each time, or always in the same ones."""
    done = []
    work = Context.work

    def noisy(self: Context) -> Callable[[], None]:
        really, address, replayed = work(self), self._addresses["twice"], self.runs == 2

        def disturbed() -> None:
            really()
            done.append(None)
            twice = trt_on_cpu.memory(address, (LENGTH,), np.float32)
            twice += noise * len(done) + (0 if believed or not replayed else 1e-6)

        return disturbed

    monkeypatch.setattr(Context, "work", noisy)
    engine = opened(device, network())
    for seed in range(3):
        x = values(seed)
        np.testing.assert_allclose(engine.run({"x": x})["twice"], 2 * x, atol=1e-4)
    assert (engine.graph is not None) == believed


def test_a_replay_that_fails_is_a_run_that_fails_and_the_next_engine_queues_its_runs(
    device: Device, caplog
):
    api = device.emulator
    assert api is not None
    engine = FailoverEngine(lambda: opened(device, network()), lambda: OnnxEngine(network(), "cpu"))
    x = values(0)
    for _ in range(2):
        check(engine, engine.run({"x": x}), x)
    api.plant_error(b"cuGraphLaunch", LAUNCH_FAILED)
    with caplog.at_level(logging.INFO), pytest.raises(InferenceError, match="cuGraphLaunch"):
        engine.run({"x": x})
    assert "runs without a CUDA graph" in caplog.text
    for _ in range(4):
        check(engine, engine.run({"x": x}), x)
    assert (engine.failures, engine.on_cpu) == (1, False)
    api.plant_error(b"cuGraphLaunch", 0)
    engine.close()


def test_what_a_replay_gives_is_looked_at_like_any_other(device: Device):
    engine = opened(device, network())
    with pytest.raises(InferenceError, match="NaN or infinity"):
        engine.run({"x": np.zeros(LENGTH, np.float32)})
    assert context(engine).runs == 1, "nothing is recorded that has not gone well"
    look(engine, 0)
    for seed in (1, 2):
        with pytest.raises(InferenceError, match="NaN or infinity"):
            engine.run({"x": np.zeros(LENGTH, np.float32)})
        with pytest.raises(InferenceError, match="beyond what the engine was built for"):
            engine.run({"x": np.zeros(LENGTH + 1, np.float32)})
        look(engine, seed)
    assert engine.graph is not None
    assert context(engine).runs == 3


def test_a_closed_engine_has_given_its_graph_back(device: Device):
    api = device.emulator
    assert api is not None
    before, live = api.count_handles(), api.count_live()
    engine = opened(device, network())
    look(engine, 0)
    assert api.count_handles() == before + 2, "its stream and its graph"
    engine.close()
    assert (api.count_handles(), api.count_live()) == (before, live)


def test_pictures_that_the_device_scales_are_what_is_replayed_on(device: Device, tmp_path: Path):
    nodes = [helper.make_node("Neg", ["picture"], ["negative"])]
    shape = [1, 3, 48, 64]
    data = model(nodes, [("picture", FLOAT, shape)], [("negative", FLOAT, shape)])
    vouch(tmp_path, device)
    spec = InputSpec(64, 48, 0, 0, 64, 48)
    engines = [opened(device, data), opened(device, data, graph=False)]
    sighted = [SightedEngine(engine, device.cuda, tmp_path) for engine in engines]
    rng, results = np.random.default_rng(5), []
    for size in (128, 128, 96, 128):
        pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")
        seen = [one.see(HostPicture(frame), spec) for one in sighted]
        assert seen[0] is not None
        assert seen[1] is not None
        np.testing.assert_array_equal(seen[0]["negative"], seen[1]["negative"])
        results.append(seen[0]["negative"])
    assert not np.array_equal(results[0], results[1])
    assert [context(engine).runs for engine in engines] == [2, 4]
    for one in sighted:
        one.close()


def test_two_engines_record_and_replay_at_once(device: Device):
    engines = [opened(device, network(), name) for name in ("one", "other")]
    together, trouble = threading.Barrier(2), []

    def work(engine: TensorRtEngine, seeds: range) -> None:
        try:
            together.wait(20)
            for seed in seeds:
                look(engine, seed)
        except BaseException as error:
            trouble.append(error)
            raise

    threads = [threading.Thread(target=work, args=(engine, range(100 * at, 100 * at + 40)))
               for at, engine in enumerate(engines)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    for engine in engines:
        assert engine.graph is not None
        assert context(engine).runs == 2
