"""Engines on a GPU: without one every way in is a clear error."""

from __future__ import annotations

import pytest

from edge.errors import ModelError
from edge.inference.gpu import gpu_here
from edge.inference.tensorrt import TensorRtEngine


@pytest.mark.skipif(gpu_here() is not None, reason="a GPU is here")
def test_without_a_gpu_an_engine_is_refused_before_it_is_deserialised():
    with pytest.raises(ModelError, match=r"no NVIDIA GPU answers .* runtime\.device to cpu"):
        TensorRtEngine(b"not a plan", "net", flavour="tensorrt")
