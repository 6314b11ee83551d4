"""Write a checkpoint's averaged network as ONNX, and check that ONNX Runtime agrees with PyTorch.

With --valid its scores are calibrated on drawn scenes before (calibrate.py). Prints what
configs/models.yaml has to state: SHA-256 and size.

example:
  python -m export.train.plates.publish --checkpoint run/checkpoint.npz --valid scenes/valid \\
      edge/lanes/weights/plates-own.onnx
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from torch import nn

from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from edge.lanes.plate_own import OUTPUTS
from export.train.plates import calibrate, state
from export.train.plates.evaluate import validate
from export.train.plates.shelf import Shelf

OPSET: Final = 17
ALLOWED: Final = {"Conv", "Relu", "Add", "Resize", "Constant"}
"""All that INT8 calibration and TensorRT have to understand."""
MAX_BYTES: Final = 2_000_000
_TOLERANCE: Final = 2e-3
_SIZES: Final = ((384, 640), (352, 288))
INPUT: Final = "picture"


def as_onnx(network: nn.Module) -> bytes:
    """Return a network as an ONNX file with a free height and width.

    Raises ModelError where it needs other layers than ALLOWED, is larger than MAX_BYTES, or where
    ONNX Runtime and PyTorch differ.
    """
    axes = {INPUT: {2: "height", 3: "width"}}
    for name in OUTPUTS:
        axes[name] = {2: f"{name}_rows", 3: f"{name}_columns"}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "plates.onnx"
        # The new exporter needs a package that nothing else here does.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(), (torch.zeros(1, 3, *_SIZES[0]),), held, input_names=[INPUT],
            output_names=list(OUTPUTS), dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        proto = onnx.load_model(held)
    onnx.checker.check_model(proto, full_check=True)
    other = {node.op_type for node in proto.graph.node} - ALLOWED
    if other:
        raise ModelError(f"the network needs {', '.join(sorted(other))}. Use only known layers.")
    data = bytes(proto.SerializeToString(deterministic=True))
    if len(data) > MAX_BYTES:
        raise ModelError(f"the network takes {len(data)} bytes. At most {MAX_BYTES} are allowed.")
    _compare(network, data)
    return data


def _compare(network: nn.Module, data: bytes) -> None:
    engine = OnnxEngine(data, "plates-own", threads=1)
    rng = np.random.default_rng(0)
    for height, width in _SIZES:
        picture = rng.random((1, 3, height, width), dtype=np.float32)
        ours = engine.run({INPUT: picture})
        with torch.no_grad():
            theirs = network(torch.from_numpy(picture))
        for name, wanted in zip(OUTPUTS, theirs, strict=True):
            worst = float(np.abs(ours[name] - wanted.numpy()).max())
            if worst > _TOLERANCE:
                raise ModelError(f"{name} differs by {worst:.1g}. Update ONNX Runtime or PyTorch.")


def main() -> int:
    """Run the command."""
    words = argparse.ArgumentParser(
        prog="python -m export.train.plates.publish",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("out", type=Path, metavar="ONNX")
    words.add_argument("--checkpoint", type=Path, required=True, metavar="NPZ")
    words.add_argument("--valid", type=Path, metavar="DIR", help="of render, to calibrate by")
    args = words.parse_args()
    torch.set_num_threads(1)
    try:
        network = state.load_average(args.checkpoint)
        if args.valid is not None:
            shelf = Shelf.open(args.valid)
            judged = validate(network, shelf, len(shelf.drawn()), "cpu")
            slope, shift = calibrate.fit(*calibrate.answers(judged))
            calibrate.apply(network, slope, shift)
            print(f"slope {slope:.3f}, shift {shift:.3f}", file=sys.stderr)
        data = as_onnx(network)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        part = args.out.with_suffix(".part")
        part.write_bytes(data)
        part.replace(args.out)
    except (ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"sha256: {hashlib.sha256(data).hexdigest()}\nsize: {len(data)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
