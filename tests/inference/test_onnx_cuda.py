"""ONNX Runtime with its tensors in memory of ours: on the CPU for real, on a GPU where one is.

What test_onnx.py says of all engines holds for this one, too, and is tested there.
"""

from __future__ import annotations

import ctypes
import gc
import shutil

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge.errors import DeviceError, InferenceError, ModelError
from edge.inference import onnx_cuda, onnx_cuda_proof, onnx_provider
from edge.inference.bound import CudaMemory, HostMemory, Memory
from edge.inference.cuda import Cuda
from edge.inference.engine import DeviceTensor
from edge.inference.gpu import gpu_here
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.inference.onnx_cuda_proof import cuda_trouble
from edge.inference.onnx_provider import (
    CPU,
    NOT_INSTALLED,
    OVERWRITTEN,
    PROVIDER,
    why_not_installed,
)
from edge.inference.preprocess import InputSpec, Preprocessor
from tests.inference.test_onnx import FLOAT, model, reciprocal
from tests.redact.emulator import Device, Resident, emulated, onnx_memory, real, shipped
from tests.redact.test_cpu import noise
from tests.support import shared_file

MODELS = {
    "face_yunet_n.onnx": [(1, 3, 192, 320), (1, 3, 96, 160), (1, 3, 192, 320)],
    "plate_hyperlpr.onnx": [(1, 3, 192, 320), (1, 3, 320, 320)],
    "plate_yolov8n_int8.onnx": [(1, 3, 320, 320)],
    "face_embed_mobilefacenet.onnx": [(1, 3, 112, 112)],
}


def memories() -> list[Memory]:
    return [
        HostMemory(),
        CudaMemory(emulated(shipped()).cuda, device_type="cpu"),
        CudaMemory(emulated(shipped(), integrated=True).cuda, device_type="cpu"),
    ]


def shared_model(name: str) -> bytes:
    return shared_file(f"models/{name}").read_bytes()


def nonzero() -> bytes:
    """Where x is not zero, and how much of that there is; and x doubled."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    outputs = [("where", TensorProto.INT64, [1, "k"]), ("twice", FLOAT, ["n"])]
    return model(nodes, [("x", FLOAT, ["n"])], outputs)


def reshape() -> bytes:
    """A model of which one input is read by the CPU wherever it runs."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    inputs = [("x", FLOAT, ["n"]), ("shape", TensorProto.INT64, [2])]
    return model([node], inputs, [("y", FLOAT, ["h", "w"])])


def convolutions(count: int, channels: int = 64, side: int = 56) -> bytes:
    """So small that one of them leaves most of a large GPU idle, and many of them."""
    rng = np.random.default_rng(1)
    shape = (channels, channels, 3, 3)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.04, shape).astype(np.float32), f"w{i}")
        for i in range(count)
    ]
    nodes = [
        helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], pads=[1, 1, 1, 1])
        for i in range(count)
    ]
    size = [1, channels, side, side]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", FLOAT, size)],
        [helper.make_tensor_value_info(f"x{count}", FLOAT, size)],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


@pytest.mark.parametrize("name", MODELS)
def test_real_models_answer_bit_for_bit_as_without_binding(name):
    data = shared_model(name)
    plain = OnnxEngine(data, name)
    for memory in memories():
        engine = OnnxCudaEngine(data, name, memory=memory)
        assert engine.input_specs == plain.input_specs
        assert engine.output_specs == plain.output_specs
        assert engine.metadata == plain.metadata
        rng = np.random.default_rng(5)
        for shape in MODELS[name]:
            for _ in range(3):  # learnt, bound, bound already
                feeds = {plain.inputs[0]: (255 * rng.random(shape)).astype(np.float32)}
                wanted, found = plain.run(feeds), engine.run(feeds)
                assert list(found) == list(wanted)
                for key, value in wanted.items():
                    np.testing.assert_array_equal(found[key], value)
        engine.close()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 2), min_size=0, max_size=6), max_size=8))
def test_outputs_that_depend_on_what_is_in_the_inputs_are_never_those_of_another_run(rows):
    data = nonzero()
    plain = OnnxEngine(data, "nonzero")
    engine = OnnxCudaEngine(data, "nonzero", memory=memories()[1])
    for row in rows:
        x = np.array(row, np.float32)
        wanted, found = plain.run({"x": x}), engine.run({"x": x})
        for key, value in wanted.items():
            np.testing.assert_array_equal(found[key], value)
    engine.close()


@pytest.mark.parametrize("integrated", [False, True])
def test_nothing_is_allocated_once_every_shape_has_come_twice(integrated):
    driver = emulated(shipped(), integrated=integrated).cuda
    name = "face_yunet_n.onnx"
    memory = CudaMemory(driver, device_type="cpu")
    engine = OnnxCudaEngine(shared_model(name), name, memory=memory)
    pictures = [np.ones(shape, np.float32) for shape in ((1, 3, 192, 320), (1, 3, 96, 160))]
    before = driver.allocations
    for picture in (*pictures, *pictures):
        engine.run({"input": picture})
    # Page-locked and the GPU's own; where they share it, only the former.
    assert driver.allocations - before == (1 if integrated else 2) * (1 + len(engine.outputs))
    before = driver.allocations
    for picture in pictures * 3:
        engine.run({"input": picture})
    assert driver.allocations == before
    engine.close()


def test_memory_is_given_back_by_closing_and_by_forgetting():
    device = emulated(shipped())
    assert device.emulator is not None
    gc.collect()
    live = device.emulator.count_live()
    for close in (True, False):
        engine = OnnxCudaEngine(
            reciprocal(), "reciprocal", memory=CudaMemory(device.cuda, device_type="cpu")
        )
        for _ in range(2):
            engine.run({"x": np.ones(1000, np.float32)})
        assert device.emulator.count_live() > live
        if close:
            engine.close()
            engine.close()
        del engine
        gc.collect()
        assert device.emulator.count_live() == live


def test_a_run_that_nobody_asked_for_changes_nothing_of_the_next():
    engine = OnnxCudaEngine(reciprocal(), "reciprocal", memory=memories()[1])
    with pytest.raises(InferenceError, match="reciprocal: nothing was begun"):
        engine.collect()
    for _ in range(3):
        engine.queue({"x": np.full(3, 5, np.float32)})
        engine.queue({"x": np.full(3, 2, np.float32)})
        assert engine.collect()["inverse"].tolist() == [0.5] * 3
        with pytest.raises(InferenceError, match="nothing was begun"):
            engine.collect()
    engine.queue({"x": np.full(3, 5, np.float32)})
    with pytest.raises(InferenceError, match="input x is float64"):
        engine.queue({"x": np.ones(3)})
    with pytest.raises(InferenceError, match="nothing was begun"):
        engine.collect()
    engine.close()


def test_what_is_no_tensor_of_numbers_is_refused():
    node = helper.make_node("Identity", ["words"], ["same"])
    text = model([node], [("words", TensorProto.STRING, ["n"])],
                 [("same", TensorProto.STRING, ["n"])])  # fmt: skip
    with pytest.raises(ModelError, match="words is no tensor of numbers"):
        OnnxCudaEngine(text, "text", memory=HostMemory())


# --- tensors that are on the device already ---------------------------------------------------


@pytest.mark.parametrize("graph", [False, True])
def test_tensors_on_the_device_are_read_where_they_are(graph):
    """With a graph, whose addresses are fixed, they are copied there."""
    driver = emulated(shipped()).cuda
    data = convolutions(2, 4, 8)
    engine = OnnxCudaEngine(
        data, "chain", memory=CudaMemory(driver, device_type="cpu"), graph=graph
    )
    plain = OnnxEngine(data, "chain")
    rng = np.random.default_rng(2)
    places = [driver.allocate(4 * 4 * 64) for _ in range(2)]
    for turn in range(6):
        x = rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
        driver.upload(places[turn % 2], x.ctypes.data, x.nbytes, engine.stream)
        tensor = DeviceTensor(places[turn % 2], x.shape, x.dtype)
        event = driver.event()
        driver.record(event, engine.stream)
        np.testing.assert_array_equal(
            engine.run_device({"x0": tensor}, after=event)["x2"], plain.run({"x0": x})["x2"]
        )
        assert (engine._bound["x0"][0] == places[turn % 2]) == (not graph)
        driver.drop_event(event)
    np.testing.assert_array_equal(engine.run({"x0": x})["x2"], plain.run({"x0": x})["x2"])
    with pytest.raises(InferenceError, match="x0 is float16, expected float32"):
        engine.run_device({"x0": DeviceTensor(places[0], x.shape, np.dtype(np.float16))})
    with pytest.raises(InferenceError, match="it takes x0, not nothing"):
        engine.run_device({})
    engine.close()
    for place in places:
        driver.free(place)


def test_a_graph_is_not_made_of_what_has_free_shapes():
    with pytest.raises(ModelError, match="reciprocal has free shapes"):
        OnnxCudaEngine(reciprocal(), "reciprocal", memory=HostMemory(), graph=True)


def close_to(found, wanted) -> None:
    """Rounding, in another order of sums: of what a tensor's values are as a rule."""
    for key, value in wanted.items():
        scale = np.abs(value).max(initial=1e-3)
        assert np.abs(found[key] - value).max(initial=0) <= 1e-3 * scale, key


def test_a_picture_goes_from_the_preprocessor_to_the_answer_without_the_host(device: Device):
    name = "face_yunet_n.onnx"
    data = shared_model(name)
    memory = onnx_memory(device)
    spec = InputSpec(160, 96, 0, 0, 160, 90, order=(2, 1, 0))
    eye = Preprocessor(device.cuda, device.image, [spec], analysis=(32, 18))
    engine, plain = OnnxCudaEngine(data, name, memory=memory), OnnxEngine(data, name)
    event = device.cuda.event()
    for turn in range(3):
        resident = Resident(device, noise(320, 180, seed=turn))
        eye.load(resident.picture)
        device.cuda.record(event, eye.stream)
        found = engine.run_device({"input": eye.tensor(0)}, after=event)
        host = np.empty(spec.size // 4, np.float32)
        device.cuda.download(host.ctypes.data, eye.outputs[0], spec.size, eye.stream)
        resident.fetch(eye.stream)
        close_to(found, plain.run({"input": host.reshape(1, 3, 96, 160)}))
    device.cuda.drop_event(event)
    engine.close()
    eye.close()


# --- faults -----------------------------------------------------------------------------------


def test_short_memory_is_an_error_and_room_later_is_enough(tmp_path):
    library = shutil.copy(shipped(), tmp_path / "libcuda_short.so")
    api, driver = ctypes.CDLL(str(library)), Cuda(str(library))
    engine = OnnxCudaEngine(
        reciprocal(), "reciprocal", memory=CudaMemory(driver, device_type="cpu")
    )
    x = np.full(100, 4, np.float32)

    def run_twice() -> None:
        """The first run of a shape finds out how large outputs are, the second makes room."""
        for _ in range(2):
            engine.run({"x": x})

    for room in (0, 600, 1200):  # nothing; page-locked memory alone; no room for outputs
        api.limit_memory(ctypes.c_longlong(room))
        with pytest.raises(InferenceError, match="failed with error 2"):
            run_twice()
    api.limit_memory(ctypes.c_longlong(-1))
    assert (engine.run({"x": x})["inverse"] == 0.25).all()
    engine.close()
    assert api.count_live() == 0


def test_a_lost_device_is_an_error_and_closing_is_none(tmp_path):
    library = shutil.copy(shipped(), tmp_path / "libcuda_lost.so")
    api, driver = ctypes.CDLL(str(library)), Cuda(str(library))
    engine = OnnxCudaEngine(
        reciprocal(), "reciprocal", memory=CudaMemory(driver, device_type="cpu")
    )
    for _ in range(2):
        engine.run({"x": np.ones(3, np.float32)})
    api.lose_device()
    for _ in range(2):
        with pytest.raises(DeviceError, match="cuStreamQuery failed with error 719"):
            engine.run({"x": np.ones(3, np.float32)})
    engine.close()


@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_gpu_it_is_refused():
    with pytest.raises(ModelError, match=r"no NVIDIA GPU answers .* runtime\.device to cpu"):
        OnnxCudaEngine(reciprocal(), "net")


# --- the trap: ONNX Runtime that goes over to the CPU in silence ------------------------------


def test_without_onnxruntime_gpu_it_is_refused_by_name(monkeypatch):
    if why_not_installed() != NOT_INSTALLED:
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(ModelError, match=f"net: {NOT_INSTALLED}\\. Run `pip uninstall -y onnx"):
        OnnxCudaEngine(reciprocal(), "net", memory=CudaMemory(emulated(shipped()).cuda))
    assert cuda_trouble() == NOT_INSTALLED
    monkeypatch.setattr(onnx_provider, "version", lambda name: "1.31.1")
    assert cuda_trouble() == OVERWRITTEN


def needs_trap() -> None:
    if (missing := why_not_installed()) is not None:
        pytest.skip(missing)
    session = ort.InferenceSession(reciprocal(), providers=[PROVIDER, CPU])
    if session.get_providers()[0] == PROVIDER:
        pytest.skip("ONNX Runtime's CUDA provider loads here")


def test_a_provider_that_does_not_load_is_an_error_and_no_engine_on_the_cpu(monkeypatch, capfd):
    needs_trap()
    capfd.readouterr()
    with pytest.raises(ModelError) as caught:
        OnnxCudaEngine(reciprocal(), "net", memory=CudaMemory(emulated(shipped()).cuda))
    assert "net: ONNX Runtime's CUDA provider does not load (lib" in str(caught.value)
    assert "cannot open shared object file" in str(caught.value)
    assert "runtime.device to cpu" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr("edge.inference.onnx_cuda.Cuda", lambda: emulated(shipped()).cuda)
    trouble = cuda_trouble()
    assert trouble is not None
    assert trouble.startswith("ONNX Runtime's CUDA provider does not load (lib")
    assert trouble.endswith(")")


def test_a_gpu_that_computes_nonsense_is_not_used(monkeypatch):
    """The test itself, on the CPU, with an engine that gives what a broken GPU might."""

    def bound(data: bytes, name: str) -> OnnxCudaEngine:
        return OnnxCudaEngine(data, name, memory=HostMemory())

    class Broken(OnnxCudaEngine):
        def run(self, feeds):
            return {key: value + 1 for key, value in super().run(feeds).items()}

    monkeypatch.setattr(onnx_cuda_proof, "why_not_installed", lambda: None)
    for make, said in (
        (lambda data, name: Broken(data, name, memory=HostMemory()), "computes nonsense"),
        (bound, None),
    ):
        onnx_cuda_proof.prove.cache_clear()
        monkeypatch.setattr(onnx_cuda_proof, "OnnxCudaEngine", make)
        trouble = cuda_trouble()
        assert trouble == (said and f"ONNX Runtime {said} on this GPU")
    onnx_cuda_proof.prove.cache_clear()


# --- on a real GPU ----------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch) -> Device:
    device = real()
    onnx_memory(device)  # or skip
    monkeypatch.setattr(onnx_cuda, "CudaMemory", lambda _: onnx_memory(device))
    return device


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_the_gpu_answers_as_the_cpu_does(gpu, name):
    data = shared_model(name)
    plain, engine = OnnxEngine(data, name), OnnxCudaEngine(data, name)
    rng = np.random.default_rng(5)
    for shape in MODELS[name]:
        for _ in range(3):
            feeds = {plain.inputs[0]: (255 * rng.random(shape)).astype(np.float32)}
            close_to(engine.run(feeds), plain.run(feeds))
    engine.close()


@pytest.mark.gpu
def test_the_gpu_allocates_nothing_after_warm_up(gpu):
    data = shared_model("face_yunet_n.onnx")
    engine = OnnxCudaEngine(data, "yunet", memory=onnx_memory(gpu))
    picture = np.ones((1, 3, 192, 320), np.float32)
    for _ in range(2):
        engine.run({"input": picture})
    before = gpu.cuda.allocations
    for _ in range(50):
        engine.run({"input": picture})
    assert gpu.cuda.allocations == before
    engine.close()


@pytest.mark.gpu
def test_an_input_that_the_cpu_reads_is_not_that_of_the_first_run(gpu):
    engine = OnnxCudaEngine(reshape(), "reshape")
    x = np.arange(12, dtype=np.float32)
    for _ in range(2):
        for height in (3, 4, 6):
            y = engine.run({"x": x, "shape": np.array([height, 12 // height])})["y"]
            np.testing.assert_array_equal(y, x.reshape(height, -1))
    engine.close()


@pytest.mark.gpu
def test_outputs_of_any_size_come_back_from_the_gpu(gpu):
    engine, plain = OnnxCudaEngine(nonzero(), "nonzero"), OnnxEngine(nonzero(), "nonzero")
    for row in ([1, 0, 2], [0, 0, 0], [1, 1, 1], [0, 1, 0]):
        x = np.array(row, np.float32)
        close_to(engine.run({"x": x}), plain.run({"x": x}))
    engine.close()


@pytest.mark.gpu
def test_a_graph_of_fixed_shapes_answers_as_without(gpu):
    data = convolutions(3, 8, 16)
    engine, plain = OnnxCudaEngine(data, "chain", graph=True), OnnxEngine(data, "chain")
    rng = np.random.default_rng(3)
    for _ in range(5):
        feeds = {"x0": rng.normal(0, 1, (1, 8, 16, 16)).astype(np.float32)}
        close_to(engine.run(feeds), plain.run(feeds))
    engine.close()


@pytest.mark.gpu
def test_two_engines_on_two_streams_overlap(gpu):
    """Each leaves most of a large GPU idle; so both take less than one after the other."""
    if gpu.is_cpu:
        pytest.skip("nothing runs side by side on the CPU")
    cuda, data = gpu.cuda, convolutions(60)
    engines = [OnnxCudaEngine(data, "chain", memory=CudaMemory(cuda)) for _ in range(2)]
    size = 4 * 64 * 56 * 56
    tensors = [
        DeviceTensor(cuda.allocate(size), (1, 64, 56, 56), np.dtype(np.float32)) for _ in engines
    ]
    for tensor in tensors:
        cuda.clear(tensor.address, size, engines[0].stream)
    cuda.wait(engines[0].stream)
    start, end, joined = cuda.event(), cuda.event(), cuda.event()

    def both(first: OnnxCudaEngine, second: OnnxCudaEngine) -> float:
        cuda.enter()
        cuda.record(start, first.stream)
        first.queue_device({"x0": tensors[0]})
        if first is second:
            first.collect()
        second.queue_device({"x0": tensors[1]})
        cuda.record(joined, second.stream)
        cuda.follow(first.stream, joined)
        cuda.record(end, first.stream)
        for engine in {first, second}:
            engine.collect()
        cuda.wait_event(end)
        return cuda.milliseconds(start, end)

    for _ in range(3):
        both(*engines), both(engines[0], engines[0])
    apart = min(both(engines[0], engines[0]) for _ in range(5))
    together = min(both(*engines) for _ in range(5))
    assert together < 0.9 * apart
    for engine in engines:
        engine.close()
    for tensor in tensors:
        cuda.free(tensor.address)
