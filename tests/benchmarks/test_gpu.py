from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from benchmarks import _gpu_lanes, gpu, gpu_budget
from benchmarks._common import BenchmarkError
from edge.config import Models, Settings
from edge.inference.gpu import GpuIdentity, gpu_here
from export.kernels import Compiled
from tests.redact.emulator import emulated, shipped

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "gpu_budget.md"


def test_the_page_holds_the_table_that_the_script_computes():
    page = DOCS.read_text("utf-8")
    assert gpu_budget.markdown() in page
    assert "Computed, not measured" in page


def test_nothing_takes_less_time_than_its_bytes():
    for device, row in zip(gpu_budget.DEVICES, gpu_budget.rows(), strict=True):
        floor_ms = 2 * gpu_budget.NV12_BYTES / (device.bandwidth * 1e9) * 1e3
        assert row.whole_ms > floor_ms
        assert row.gaussian_ms >= row.mosaic_ms
        assert 0 < row.share < 1


@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_gpu_it_says_so_in_one_line():
    with pytest.raises(BenchmarkError, match=r"no NVIDIA GPU .*\. Run it") as told:
        gpu.run([])
    assert "\n" not in str(told.value)


def test_every_measurement_runs(capsys):
    """On the CPU, where its times mean nothing; so that it works when a GPU is at hand."""
    device = emulated(shipped())
    rows = gpu.measure(device.cuda, device.image, (128, 72), repeats=1, copy_bytes=1 << 16)
    assert {row["what"] for row in rows} >= {"copy", "50 regions, mosaic", "whole mosaic"}
    assert all(row["ms"] >= 0 for row in rows)
    json.dumps(rows)


def test_it_all_ends_in_a_page_that_says_what_was_measured_on(
    monkeypatch, tmp_path, capsys: pytest.CaptureFixture[str]
):
    """On the CPU again."""
    device = emulated(shipped())
    live = device.emulator.count_live() if device.emulator else 0
    monkeypatch.setattr(gpu, "gpu_here", lambda: GpuIdentity("a CPU", "sm_89", "13.0"))
    monkeypatch.setattr(gpu, "Cuda", lambda: device.cuda)
    monkeypatch.setattr(
        gpu, "compile_kernels", lambda targets: [Compiled(device.image, "fatbin", targets, "g++")]
    )
    monkeypatch.setattr(gpu, "cuda_trouble", lambda: "onnxruntime-gpu is not installed")
    assert gpu.run(["--quick", "--json", "--markdown", str(tmp_path / "gpu.md")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["largest_error"] == 0
    by_name = {row["what"]: row for row in result["ways"]}
    assert by_name["decoder's surface into a slot"]["bytes"] == 2 * 320 * 180 * 3 // 2
    assert all(row["ms"] > 0 and row["share"] > 0 for row in by_name.values())
    assert {row["what"] for row in result["calls"]} >= {"launch a kernel", "record an event"}
    assert all(row["us"] > 0 for row in result["calls"])
    gc.collect()
    assert device.emulator is None or device.emulator.count_live() == live
    page = (tmp_path / "gpu.md").read_text("utf-8")
    assert page.startswith("## a CPU\n")
    assert "| kernels | compiled by g++, called through " in page
    assert "- left out: lanes in ONNX Runtime on the GPU: onnxruntime-gpu is not" in page
    tables = [part for part in page.split("\n\n") if part.startswith("|")]
    assert len(tables) == 4
    for part in tables:
        assert len({line.count("|") for line in part.splitlines()}) == 1


def test_lanes_are_measured_with_their_detectors(monkeypatch, tmp_path, blind_model):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PRIVAEDGE_MODELS", raising=False)
    monkeypatch.setattr("edge.model_store.SYSTEM_DIR", tmp_path / "none")
    settings = Settings(models=Models(fetch=False))
    face = settings.video.models.face.model_copy(update={"model": (str(blind_model),)})
    models = settings.video.models.model_copy(update={"face": face})
    video = settings.video.model_copy(update={"models": models})
    found, missing = _gpu_lanes.networks(settings.model_copy(update={"video": video}))
    assert [one.lane for one in found] == ["faces", "plates"]
    (line,) = missing
    assert line.startswith("text: ")
    device = emulated(shipped())
    rows = _gpu_lanes.measure_lanes(
        device.cuda, device.image, found, (128, 72), device_type="cpu", repeats=2
    )
    assert len(rows) == 3
    assert rows[-1]["what"] == "faces + plates + 50 regions"
    assert all(row["ms"] > 0 and row["fps"] > 0 and row["host_ms"] >= 0 for row in rows)
    json.dumps(rows)
    assert _gpu_lanes.bottleneck([{"what": "a", "ms": 2.0}, {"ms": 3.0, "host_ms": 1.0}]) == (
        "the slowest lane, a"
    )
    assert _gpu_lanes.bottleneck([{"ms": 3.0, "host_ms": 2.9}]) == "the host's Python"
    _gpu_lanes.lanes_table(rows)


def test_lanes_that_cannot_be_measured_say_why(monkeypatch):
    monkeypatch.setattr(gpu, "cuda_trouble", lambda: "onnxruntime-gpu is not installed")
    device = emulated(shipped())
    assert gpu.look(device.cuda, device.image) == (
        [], ["lanes in ONNX Runtime on the GPU: onnxruntime-gpu is not installed"]
    )  # fmt: skip
