"""Engines on a GPU: without one every way in is a clear error, and what they do with memory is
tried on a device that is this CPU's memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edge.errors import DeviceError, InferenceError, ModelError
from edge.inference.bound import CudaMemory
from edge.inference.engine import DeviceTensor
from edge.inference.gpu import gpu_here
from edge.inference.onnx import OnnxEngine
from edge.inference.tensorrt import TensorRtEngine
from export.dynamic import make_dynamic
from tests.inference import trt_on_cpu
from tests.inference.test_onnx import FLOAT, model, reciprocal
from tests.inference.trt_on_cpu import opened
from tests.redact.emulator import Device
from tests.support import shared_file


@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_gpu_an_engine_is_refused_before_it_is_deserialised():
    with pytest.raises(ModelError, match=r"no NVIDIA GPU answers .* runtime\.device to cpu"):
        TensorRtEngine(b"not a plan", "net", flavour="tensorrt")


# -- memory, shapes and addresses, on a stand-in for TensorRT ------------------------------------


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def device(request, tmp_path: Path) -> Iterator[Device]:
    """A device of its own, which has to have all its memory back at the end."""
    with trt_on_cpu.installed(tmp_path, integrated=request.param) as device:
        yield device


def doubled() -> bytes:
    nodes = [helper.make_node("Add", ["x", "x"], ["twice"])]
    return model(nodes, [("x", FLOAT, ["n"])], [("twice", FLOAT, ["n"])])


def test_a_real_network_gives_what_it_gives_elsewhere(device: Device):
    data = make_dynamic(shared_file("models/face_yunet_n.onnx").read_bytes(), "yunet")
    engine, plain = opened(device, data), OnnxEngine(data, "plain")
    assert engine.inputs == plain.inputs
    assert engine.input_specs == plain.input_specs
    assert set(engine.outputs) == set(plain.outputs)
    rng = np.random.default_rng(3)
    for shape in [(1, 3, 96, 160), (1, 3, 64, 64), (1, 3, 96, 160)]:
        feeds = {plain.inputs[0]: rng.uniform(0, 255, shape).astype(np.float32)}
        wanted, found = plain.run(feeds), engine.run(feeds)
        for name in plain.outputs:
            np.testing.assert_array_equal(found[name], wanted[name])


def test_what_is_on_the_device_already_is_read_where_it_lies(device: Device):
    engine = opened(device, doubled())
    cuda, values = device.cuda, np.arange(5, dtype=np.float32)
    address, stream, event = cuda.allocate(values.nbytes), cuda.stream(), cuda.event()
    cuda.upload(address, values.ctypes.data, values.nbytes, stream)
    cuda.record(event, stream)
    tensor = DeviceTensor(address, values.shape, values.dtype)
    for _ in range(2):
        found = engine.run_device({"x": tensor}, after=event)
        np.testing.assert_array_equal(found["twice"], 2 * values)
    np.testing.assert_array_equal(engine.run({"x": values + 1})["twice"], 2 * values + 2)
    np.testing.assert_array_equal(engine.run_device({"x": tensor})["twice"], 2 * values)
    cuda.wait(stream)
    cuda.free(address)
    cuda.drop_event(event)
    cuda.drop_stream(stream)


def test_a_size_that_has_come_costs_neither_memory_nor_calls(device: Device):
    engine = opened(device, doubled())
    assert device.emulator is not None
    for length in (300, 7):
        engine.run({"x": np.zeros(length, np.float32)})
    allocations = device.emulator.count_allocations()
    told = engine._parts.context.told
    for _ in range(3):
        engine.run({"x": np.zeros(7, np.float32)})
    assert engine._parts.context.told == told
    engine.run({"x": np.zeros(200, np.float32)})
    assert device.emulator.count_allocations() == allocations


def test_what_it_was_not_built_for_is_an_error_and_the_next_run_is_well(device: Device):
    engine = opened(device, doubled())
    fine = {"x": np.ones(4, np.float32)}
    engine.run(fine)
    with pytest.raises(InferenceError, match=r"shape \(2000,\) is beyond what the engine was"):
        engine.run({"x": np.ones(2000, np.float32)})
    with pytest.raises(InferenceError, match="input x is float64, expected float32"):
        engine.run({"x": np.ones(4)})
    tensor = DeviceTensor(4096, (4,), np.dtype(np.float16))
    with pytest.raises(InferenceError, match="input x is float16"):
        engine.run_device({"x": tensor})
    np.testing.assert_array_equal(engine.run(fine)["twice"], 2 * np.ones(4))


def test_nan_is_an_error(device: Device):
    data = reciprocal()
    plain = OnnxEngine(data, "plain")
    engine = opened(device, data)
    with pytest.raises(InferenceError, match="NaN or infinity"):
        engine.run({plain.inputs[0]: np.zeros(4, np.float32)})


def test_a_damaged_plan_and_short_memory_are_told(device: Device):
    with pytest.raises(ModelError, match="the engine is damaged, or was built for another GPU"):
        opened(device, b"not a plan")
    engine = opened(device, doubled())
    assert device.emulator is not None
    device.emulator.limit_memory(0)
    with pytest.raises(DeviceError):
        engine.run({"x": np.zeros(4, np.float32)})
    device.emulator.limit_memory(-1)
    engine.run({"x": np.zeros(4, np.float32)})


def test_a_closed_engine_has_given_everything_back(device: Device):
    engine = opened(device, doubled())
    engine.run({"x": np.zeros(4, np.float32)})
    engine.close()
    assert device.emulator is not None
    assert device.emulator.count_live() == 0


def test_without_the_package_it_says_what_to_do(device: Device):
    with pytest.raises(ModelError, match=r"tensorrt_rtx_no is not installed\. Install it"):
        TensorRtEngine(
            b"", "net", flavour="tensorrt_rtx_no",
            memory=CudaMemory(device.cuda, device_type="cpu"),
        )  # fmt: skip


def test_outputs_of_an_unknown_size_are_an_error(device: Device, monkeypatch):
    engine = opened(device, doubled())
    monkeypatch.setattr(trt_on_cpu.Context, "get_tensor_shape", lambda *_: (-1,))
    with pytest.raises(InferenceError, match="the size of output twice is not known"):
        engine.run({"x": np.zeros(4, np.float32)})
