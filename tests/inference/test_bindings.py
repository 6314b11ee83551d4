"""Every binding of the CUDA driver, over the driver on the CPU: the same calls, numbers, ends."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from edge.errors import InferenceError, ModelError
from edge.inference.binding import ENVIRONMENT
from edge.inference.bound import CudaSlot
from edge.inference.cuda import Cuda
from edge.inference.driver import Parameters
from edge.inference.gpu import gpu_here
from edge.inference.picture import DevicePicture
from edge.redact.cuda import KERNELS
from tests.redact.by_name import passes, python, said
from tests.redact.emulator import emulated, shipped

PACKAGES = ("pycuda", "cuda-bindings")
MEMORY_AND_KERNELS = ("tests/redact/test_cuda.py", "tests/inference/test_pool.py",
                      "tests/inference/test_preprocess.py",
                      "tests/inference/test_graphs.py")  # fmt: skip
RUNS = ("tests/inference/test_run_graph.py",)
FAULTS = ("tests/redact/test_failover.py",)
PROOF = ("tests/redact/test_cuda_proof.py", "-k", "not refused and not does_not_agree")
QUICK = "cpu and not backwards and not any_size and not gives_the_samples and not real_frames"
NO_GPU = "no NVIDIA GPU answers (CUDA error {}). Install its driver, or set runtime.device to cpu."
without_gpu = pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")


def need(package: str) -> None:
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed (it is in the extras gpu and cuda-bindings)")


@pytest.mark.parametrize("binding", PACKAGES)
def test_what_holds_for_the_driver_itself_holds_through(driver: Path, binding: str):
    need(binding)
    passes(driver, binding, *MEMORY_AND_KERNELS, "-k", QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("tests", [MEMORY_AND_KERNELS, RUNS, FAULTS, PROOF])
@pytest.mark.parametrize("binding", [*PACKAGES, "ctypes"])
def test_all_that_holds_for_the_driver_itself_holds_through(driver: Path, binding: str, tests):
    if binding != "ctypes":
        need(binding)
    passes(driver, binding, *tests)


PRELUDE = """
import ctypes, gc, threading
from edge.errors import PrivaedgeError
from tests.redact.emulator import shipped
from edge.inference.bound import CudaSlot
from edge.inference.cuda import Cuda
from edge.redact.cuda import KERNELS
api = ctypes.CDLL(str(shipped()))
"""
NUMBERS = """
cuda = Cuda()
cuda.enter()
kernel = cuda.kernels(b"\\0", KERNELS)["whole_fill"]
stream = cuda.stream()
def told(call, *arguments):
    try:
        call(*arguments)
    except PrivaedgeError as error:
        print(error)
def short():
    api.limit_memory(4096)
    CudaSlot(cuda, stream).reserve(4096)  # as much on the host, then as much on the device
told(short)
told(cuda.allocate_pinned, 8192)
print(api.count_live())
api.limit_memory(-1)
told(cuda.kernels, b"\\0", {"none": "i"})
api.fail_launches(0, 1)
told(cuda.launch, kernel, (1, 1, 1), (1, 1, 1), (0, 0), stream)
told(cuda.launch, kernel, (1, 1, 1), (2048, 1, 1), (0, 0), stream)
told(cuda.launch, kernel, (1, 1, 1), (1, 1, 1), (0, 0, 0), stream)
told(cuda.upload, 64, cuda.allocate_pinned(64)[0], 64, stream)
api.lose_device()
told(cuda.wait, stream)
del cuda
gc.collect()
again = Cuda()
again.enter()
again.wait(again.stream())
print(api.count_holders(), api.count_live(), api.count_handles())
"""
EXPECTED = [
    "CUDA's cuMemAlloc failed with error 2",
    "CUDA's cuMemHostAlloc failed with error 2",
    "0",
    "CUDA's cuModuleGetFunction failed with error 500",
    "CUDA's cuLaunchKernel failed with error 719",
    "CUDA's cuLaunchKernel failed with error 1",
    "a kernel takes other arguments: pack expected 2 items for packing (got 3)",
    "CUDA's cuMemcpyHtoDAsync failed with error 700",
    "CUDA's cuStreamQuery failed with error 719",
    "1 0 1",
]


@pytest.mark.parametrize("binding", [*PACKAGES, "ctypes"])
def test_errors_are_ours_with_the_drivers_number_and_a_lost_device_comes_back(
    driver: Path, binding: str
):
    if binding != "ctypes":
        need(binding)
    done = python(driver, "-c", PRELUDE + NUMBERS, binding=binding)
    assert done.stdout.splitlines() == EXPECTED, done.stderr
    assert done.returncode == 0
    if binding != "pycuda":  # which tells of every piece that a lost device does not take back
        assert done.stderr == ""


ENDS = """
def work():
    cuda = Cuda()
    cuda.enter()
    made = [cuda.stream(), cuda.event(), cuda.allocate(64), cuda.allocate_pinned(64)]
    cuda.kernels(b"\\0", KERNELS)
    return cuda, made
api.cuCtxSetCurrent(None)
depth = api.count_contexts()
held, _ = work()
threads = [threading.Thread(target=lambda: held.drop_stream(held.stream())) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
def other():
    global held
    held = None  # the last reference goes in a thread that made nothing
    gc.collect()
thread = threading.Thread(target=other)
thread.start()
thread.join()
print(api.count_holders(), api.count_live(), api.count_handles())
for _ in range(3):
    cuda, made = work()
    del cuda
    gc.collect()
print(api.count_holders(), api.count_live(), api.count_handles(), api.count_contexts() - depth)
kept = work()  # until Python ends
apart = []
def last():
    apart.append(work())
thread = threading.Thread(target=last, daemon=True)
thread.start()
thread.join()
print(api.count_holders())
"""


@pytest.mark.parametrize("binding", [*PACKAGES, "ctypes"])
def test_everything_is_given_back_in_whatever_thread_and_at_the_end(driver: Path, binding: str):
    if binding != "ctypes":
        need(binding)
    done = python(driver, "-c", PRELUDE + ENDS.replace("held.drop", "held.enter() or held.drop"),
                  binding=binding)  # fmt: skip
    assert said(done).splitlines() == ["0 0 0", "0 0 0 0", "2"]


WHICH = "print(Cuda().binding.split()[0], *Cuda().passed_over)"


def test_pycuda_comes_first_then_cuda_bindings_then_the_driver_itself(driver: Path, tmp_path: Path):
    installed = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        installed.append(name)
    assert said(python(driver, "-c", PRELUDE + WHICH)) == [*installed, "ctypes"][0]


def break_package(folder: Path, error: str) -> Path:
    """A pycuda that was built for another driver."""
    (folder / "pycuda").mkdir()
    (folder / "pycuda/__init__.py").write_text('VERSION_TEXT = "2024.1"\n')
    (folder / "pycuda/driver.py").write_text(error)
    metadata = folder / "pycuda-2024.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pycuda\nVersion: 2024.1\n")
    return folder


@pytest.mark.parametrize(
    "error",
    [
        "raise ImportError('_driver.so: undefined symbol: cuEventElapsedTime_v2')",
        # What pycuda does in such a case, where warnings are errors.
        "import warnings\nwarnings.warn('undefined symbol: cuEventElapsedTime_v2', stacklevel=1)",
    ],
)
def test_a_package_for_another_driver_is_passed_over_and_told_of(driver, tmp_path, error):
    broken = break_package(tmp_path, error)
    told = said(python(driver, "-c", PRELUDE + WHICH, path=broken))
    binding, _, passed_over = told.partition(" ")
    assert binding in ("cuda-bindings", "ctypes")
    assert passed_over.startswith("pycuda cannot be used: ")
    assert passed_over.endswith("undefined symbol: cuEventElapsedTime_v2")

    named = f"try: {WHICH}\nexcept PrivaedgeError as error: print(type(error).__name__, error)"
    told = said(python(driver, "-c", PRELUDE + named, path=broken, binding="pycuda"))
    assert told.startswith(f"ModelError pycuda, which {ENVIRONMENT} names, cannot be loaded: ")
    assert told.endswith(f"Build it for the CUDA of the driver here, or unset {ENVIRONMENT}.")


DOCTOR = """
import dataclasses
from edge import probe
from edge.doctor_gpu import binding_use
without = dataclasses.replace(probe.probe_machine(), gpus=(), gpu_trouble=None)
print(binding_use(without))
print(binding_use(dataclasses.replace(without, gpu_trouble="timed out")))
here = dataclasses.replace(without, gpus=(probe.Gpu("Ada", "12.8", 8192),))
print(binding_use(here))
api.remove_device(1)
print(binding_use(here))
"""


def test_doctor_says_what_is_used_and_what_cannot_be(driver: Path, tmp_path: Path):
    broken = break_package(tmp_path, "raise ImportError('it is for another CUDA')")
    none, hung, works, gone = said(python(driver, "-c", PRELUDE + DOCTOR, path=broken)).splitlines()
    assert none == "none: no NVIDIA GPU is here"
    assert hung == "none: the NVIDIA driver does not answer"
    binding, _, passed_over = works.partition("; ")
    assert binding.split()[0] in ("cuda-bindings", "ctypes")
    assert passed_over == "pycuda cannot be used: it is for another CUDA"
    assert gone == "none: " + NO_GPU.format(100)


@without_gpu
@pytest.mark.parametrize("binding", [*PACKAGES, "ctypes", ""])
def test_without_a_driver_all_say_the_same(monkeypatch: pytest.MonkeyPatch, binding: str):
    if binding in PACKAGES:
        need(binding)
    monkeypatch.setenv(ENVIRONMENT, binding)
    with pytest.raises(ModelError) as told:
        Cuda()
    assert str(told.value) == NO_GPU.format(-1)


@pytest.mark.parametrize("binding", [*PACKAGES, "ctypes", ""])
def test_without_a_gpu_all_say_the_same(driver: Path, binding: str):
    if binding in PACKAGES:
        need(binding)
    script = "api.remove_device(1)\ntry: Cuda()\nexcept PrivaedgeError as error: print(error)"
    assert said(python(driver, "-c", PRELUDE + script, binding=binding)) == NO_GPU.format(100)


def test_a_name_that_is_none_and_a_package_that_is_not_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENVIRONMENT, "cupy")
    with pytest.raises(ModelError, match=r"is none of pycuda, cuda-bindings, ctypes\. Name one"):
        Cuda()

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("edge.inference.binding.version", missing)
    monkeypatch.setenv(ENVIRONMENT, "pycuda")
    with pytest.raises(ModelError, match=r"pycuda, which .* names, is not installed\. Install it"):
        Cuda()


LISTED = """
from edge import probe
from edge.inference.gpu import gpu_here
print(gpu_here())
print(probe._ask_libcuda())
"""


def test_the_gpu_is_known_without_a_context(driver: Path):
    here, listed = said(python(driver, "-c", LISTED)).splitlines()
    assert here == "GpuIdentity(name='a GPU on the CPU', target='sm_89', driver='13.0')"
    assert listed == "(Gpu(name='a GPU on the CPU', driver='CUDA 13.0', memory_mib=8192),)"


def test_a_slot_grows_and_carries_both_ways():
    device = emulated(shipped())
    assert device.emulator is not None
    device.cuda.enter()
    before, stream = device.emulator.count_live(), device.cuda.stream()
    slot = CudaSlot(device.cuda, stream)
    for count in (3, 300, 200):
        slot.reserve(4 * count)
        sent = np.arange(count, dtype=np.float32)
        np.copyto(slot.view((count,), sent.dtype), sent)
        slot.send(sent.nbytes)
        slot.view((count,), sent.dtype)[:] = 0
        slot.fetch(sent.nbytes)
        device.cuda.wait(stream)
        np.testing.assert_array_equal(slot.view((count,), sent.dtype), sent)
    assert device.emulator.count_live() == before + 2, "on the host and on the device"
    slot.close()
    slot.close()
    device.cuda.drop_stream(stream)
    assert device.emulator.count_live() == before


def test_parameters_lie_as_the_compiler_puts_them():
    class Planes(ctypes.Structure):
        _fields_ = [
            *((name, ctypes.c_void_p) for name in "yuv"),
            *((name, ctypes.c_int64) for name in ("y_pitch", "chroma_pitch")),
            *((name, ctypes.c_int32) for name in ("width", "height", "step", "black")),
        ]

    kinds = {"P": ctypes.c_void_p, "i": ctypes.c_int, "f": ctypes.c_float}
    for words in (*KERNELS.values(), "i P i f P", "6f P", "P i"):
        fields = [
            (f"p{i}", Planes if len(word) > 2 else kinds[word[-1]] * int(word[:-1] or 1))
            for i, word in enumerate(words.split())
        ]
        whole = type("Whole", (ctypes.Structure,), {"_fields_": fields})
        parameters = Parameters(words)
        assert parameters.offsets == [getattr(whole, name).offset for name, _ in fields]
        count = sum(len(w) if len(w) > 2 else int(w[:-1] or 1) for w in words.split())
        packed = parameters.pack(*range(count))
        assert 0 <= ctypes.sizeof(whole) - len(packed) < 8


def test_a_picture_is_as_many_members_as_its_declaration():
    picture = DevicePicture("nv12", 64, 32, 256, 4096, 4097, 64, 64)
    device = emulated(shipped())
    device.cuda.enter()
    kernel = device.cuda.kernels(device.image, KERNELS)["paint"]
    assert len(kernel.parameters.pack(*picture.argument(), 1, 2, 3, 4, 5)) == 56 + 8 + 8 + 24
    with pytest.raises(InferenceError, match="takes other arguments"):
        device.cuda.launch(kernel, (1, 1, 1), (1, 1, 1), picture.argument(), 0)
