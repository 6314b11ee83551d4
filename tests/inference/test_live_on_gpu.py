"""A live stream that stays on the GPU: on the driver on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redact.by_name import passes


@pytest.mark.live
def test_a_stream_stays_on_the_gpu_and_goes_on_without_it(driver: Path):
    passes(driver, "", "tests/inference/live_on_cuda.py", least=3)
