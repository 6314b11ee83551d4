from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_budget
from benchmarks._common import BenchmarkError
from edge.inference.gpu import gpu_here
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
