"""The GPU hides faces only where it was asked to, and gives the CPU's pixels."""

from __future__ import annotations

import gc
import hashlib

import numpy as np
import pytest

from edge.build import releaser
from edge.config import Settings
from edge.errors import ModelError
from edge.inference.cuda import Cuda
from edge.inference.gpu import gpu_here
from edge.inference.kernels import source_sha256
from edge.inference.manifest import KernelFile
from edge.live_runner import changes_in_place
from edge.redact import cuda_proof
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda_proof import largest_error, open_redactor
from edge.redact.effects import Effect, RedactionStyle, Shape
from export.place import place
from tests.harness import Script, decode, run
from tests.redact.emulator import Device, build, emulated

STYLE = RedactionStyle()


def vouch(folder, device: Device, **changes) -> KernelFile:
    """Put a device's kernels where the runtime looks."""
    folder.mkdir(exist_ok=True)
    record = KernelFile(
        format="fatbin", file="kernels/test.fatbin", size=len(device.image),
        sha256=hashlib.sha256(device.image).hexdigest(), targets=(device.cuda.target,),
        source_sha256=source_sha256(), compiler="test",
    ).model_copy(update=changes)  # fmt: skip
    place(folder, record, device.image)
    return record


@pytest.mark.parametrize(
    "style",
    [STYLE, RedactionStyle(Effect.SOLID, Shape.RECTANGLE, pad=0.4)],
)
def test_what_agrees_with_the_cpu_is_used(device: Device, tmp_path, style):
    vouch(tmp_path, device)
    redactor = open_redactor(style, 320, 180, cuda=device.cuda, folder=tmp_path)
    assert redactor.style == style
    assert largest_error(redactor) == 0
    redactor.close()


def test_what_does_not_agree_is_refused(tmp_path):
    wrong = build(tmp_path, {"sum += area / 2;": "sum += 3 * area;"})
    device = emulated(wrong)
    vouch(tmp_path / "engines", device)
    with pytest.raises(ModelError, match=r"differs by [23] levels, 1 is allowed\. Set"):
        open_redactor(STYLE, 320, 180, cuda=device.cuda, folder=tmp_path / "engines")


def test_kernels_that_fail_are_refused(tmp_path, capfd):
    barrier = "if (thread == 0) found = 0;"
    device = emulated(build(tmp_path, {barrier: "if (thread == 9) return;"}))
    vouch(tmp_path / "engines", device)
    with pytest.raises(ModelError, match=r"the GPU cannot hide faces: .*cuLaunchKernel.*Set"):
        open_redactor(STYLE, 320, 180, cuda=device.cuda, folder=tmp_path / "engines")
    assert "barrier" in capfd.readouterr().err


def test_nothing_is_loaded_that_the_manifest_does_not_vouch_for(device: Device, tmp_path):
    def refused(cause: str) -> None:
        with pytest.raises(ModelError, match=cause) as told:
            open_redactor(STYLE, 320, 180, cuda=device.cuda, folder=tmp_path)
        assert "\n" not in str(told.value)
        assert "privaedge export kernels" in str(told.value)

    refused("not been compiled for this GPU")
    vouch(tmp_path, device, targets=("sm_99",))
    refused("not been compiled for this GPU")
    vouch(tmp_path, device, source_sha256="0" * 64)
    refused("another version's sources")
    record = vouch(tmp_path, device)
    (tmp_path / record.file).write_bytes(device.image + b"\0")
    refused("not what manifest.json vouches for")
    (tmp_path / record.file).unlink()
    refused("cannot be read")


def test_a_dropped_redactor_gives_everything_back(device: Device, tmp_path):
    if device.emulator is None:
        pytest.skip("memory is counted on the CPU only")
    vouch(tmp_path, device)
    gc.collect()  # of tests before
    before = device.emulator.count_live()
    for _ in range(2):
        open_redactor(STYLE, 320, 180, cuda=device.cuda, folder=tmp_path)
    gc.collect()
    assert device.emulator.count_live() == before


def test_the_gpu_is_used_only_where_it_is_asked_for(monkeypatch, tmp_path):
    for device in ("auto", "cpu"):
        made = releaser(_settings(device), 320, 180, show_boxes=False)
        assert isinstance(made._redactor, CpuRedactor)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path))
    if gpu_here() is not None:
        pytest.skip("a GPU is here")
    with pytest.raises(ModelError, match=r"no NVIDIA GPU answers .* runtime\.device to cpu"):
        releaser(_settings("cuda"), 320, 180, show_boxes=False)
    with pytest.raises(ModelError, match="no NVIDIA GPU"):
        Cuda("libthere-is-none.so")


def test_a_film_comes_out_the_same_as_from_the_cpu(device: Device, clip, tmp_path, monkeypatch):
    """The whole pipeline, with runtime.device as a user would set it."""
    vouch(tmp_path / "engines", device)
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(cuda_proof, "_first_gpu", lambda: device.cuda)
    films = []
    for name in ("cpu", "cuda"):
        out = tmp_path / f"{name}.mp4"
        run(Script(), clip, out, f"runtime.device={name}")
        films.append(np.stack(decode(out)))
    np.testing.assert_array_equal(*films)


def test_a_running_stream_does_not_go_over_to_the_gpu():
    """What fails then has to end the start of a stream, not the thread that reloads settings."""
    assert changes_in_place(_settings("auto"), _settings("cpu"))
    assert not changes_in_place(_settings("auto"), _settings("cuda"))
    assert not changes_in_place(_settings("cuda"), _settings("auto"))


def _settings(device: str) -> Settings:
    settings = Settings()
    runtime = settings.runtime.model_copy(update={"device": device})
    return settings.model_copy(update={"runtime": runtime})
