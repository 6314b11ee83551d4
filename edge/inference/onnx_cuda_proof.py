"""Whether ONNX Runtime computes on this machine's GPU, found out by having it do so."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from edge.errors import ModelError, PrivaedgeError
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.inference.onnx_provider import REMEDY, why_not_installed

_NAME: Final = "a test"


def cuda_trouble() -> str | None:
    """Return why ONNX Runtime cannot use the GPU here, as a clause; None where it can.

    Takes a second or two the first time that it can. What is wrong is looked for again at every
    call: a process lives for months, and a GPU whose memory was full may be free by then.
    """
    if (missing := why_not_installed()) is not None:
        return missing
    try:
        prove()
    except PrivaedgeError as error:
        text = str(error).removeprefix(f"{_NAME}: ")
        return text.rpartition(". ")[0] or text  # without the remedy
    return None


@cache
def prove() -> None:
    """Have the GPU do a small convolution, whose result is known: the provider loads without cuDNN,
    and on a GPU that it has no kernels for. Raises ModelError, InferenceError."""
    engine = OnnxCudaEngine(_small_model(), _NAME)
    try:
        picture = np.arange(75, dtype=np.float32).reshape(1, 3, 5, 5)
        (answer,) = engine.run({"x": picture}).values()
    finally:
        engine.close()
    # Sums of 27 whole numbers: exact in any order.
    wanted = [picture[0, :, y : y + 3, x : x + 3].sum() for y in range(3) for x in range(3)]
    if not np.array_equal(answer.reshape(-1), wanted):
        raise ModelError(f"{_NAME}: ONNX Runtime computes nonsense on this GPU. {REMEDY}")


def _small_model() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "ones"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3, 3])],
        [numpy_helper.from_array(np.ones((1, 3, 3, 3), np.float32), "ones")],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(model.SerializeToString())
