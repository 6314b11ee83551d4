"""Ultralytics' YOLO as it comes out of training: v5u, v8 to v12, v26; boxes, turned boxes, corners.

A .pt is a pickle. Ultralytics from 8.4 on can read one that holds only its own classes and
PyTorch's (weights_only, with a list of what is allowed): that is how it is read here. What needs
more is read only where the user says that the file can be trusted, since it then runs what it
likes.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.config_yaml import printable
from edge.detection import Detections
from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.lanes import yolo
from edge.lanes.letterbox import Framing, LetterboxBuffer, Placement
from edge.lanes.yolo_card import Card, means_plate, read_card
from edge.lanes.yolo_head import Head, understand
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import DetectorPart
from export.families import frameworks
from export.family import Axis, Family, Part, Port, Source

_INPUT: Final = "images"
_OUTPUT: Final = "output0"
_OPSET: Final = 17
_LONG_SIDE: Final = 640
"""What Ultralytics trains with, and the plate lane's default, in pixels."""
_TYPICAL: Final = (384, 640)
_MOST: Final = 1280
_GREY: Final = 114
_TASKS: Final = ("detect", "obb", "pose", "segment")
_ZIP_MEMBER: Final = "/data.pkl"
"""What torch.save() writes into every file, after a folder's name."""
_SPREAD: Final = 1.5
"""Standard deviation of random logits: as wide as those of trained detectors."""
_SHARE_OF_CELLS: Final = 0.005
"""Of which random weights see something: a few dozen boxes in a picture."""
_SURE: Final = float(np.log(yolo.DEFAULT_CONF / (1 - yolo.DEFAULT_CONF)))
_SIDES: Final = 4.0
_SIDES_SPREAD: Final = 0.6
"""Mean and deviation of random sides, in cells."""
_SETTLED: Final = 0.9
"""How far batch norms go towards what random weights let through. All the way, those that see next
to nothing would blow up rounding errors."""


class YoloPart(DetectorPart):
    """One detector, without a selection of its own: the runtime drops doubles."""

    name = ""
    kind = "plates"
    opset = _OPSET
    conf = yolo.DEFAULT_CONF
    weakest = TrackerSettings(conf=yolo.DEFAULT_CONF).weak

    def __init__(self, network: Any, source: Source) -> None:
        """network: an Ultralytics model in evaluation mode. Raises ModelError for other tasks."""
        task = str(getattr(network, "task", ""))
        if task not in _TASKS:
            raise ModelError(
                f"{source.name} is a YOLO for the task {printable(task, 30)}, which finds no "
                f"boxes. Use one for {', '.join(_TASKS)}."
            )
        # v10 and v26 have a second head that drops doubles itself, by a sort that TensorRT is slow
        # at and that lower precisions upset; Ultralytics' default is the first head as well.
        if hasattr(network, "end2end"):
            network.end2end = False
        self._network = network
        self._name = source.name
        stride = int(max(network.stride))
        self.metadata = _metadata(network, stride)
        self._card = read_card(self.metadata, source.name)
        plates = any(means_plate(one) for one in (self._card.names or {}).values())
        # Random weights find no plates to count: how they agree is what there is to know of them.
        self.kind = "plates" if plates and source.weights != "random" else ""
        self._compared = self._card if plates else _all_wanted(self._card)
        height = Axis("height", stride, _up(_TYPICAL[0], stride), _up(_MOST, stride))
        width = Axis("width", stride, _up(_TYPICAL[1], stride), _up(_MOST, stride))
        self.inputs = (Port(_INPUT, (1, 3, height, width)),)
        framing = Framing(
            height=None,
            width=None,
            long_side=_LONG_SIDE,
            multiple=self._card.stride,
            centred=True,
            enlarge=True,
            grey=_GREY,
        )
        self._buffer = LetterboxBuffer(framing, order=(0, 1, 2))
        self._heads: dict[tuple[int, int], Head] = {}

    def to_onnx(self, out: Path) -> None:
        """Write the graph with its batch norms folded in."""
        import torch

        example = torch.zeros(self.inputs[0].sides("usual"))
        frameworks.write_onnx(
            _Boxes.of(_prepared(self._network)),
            (example,),
            out,
            inputs=self.inputs,
            outputs=(_OUTPUT,),
            opset=self.opset,
        )

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Placement]:
        """Feed a picture as the runtime does."""
        tensor, place = self._buffer.load(picture)
        return {_INPUT: tensor}, place

    def read(self, outputs: Tensors, context: Placement) -> Detections:
        """Return the plates, or all things where no class is one. Raises InferenceError."""
        size = context.width, context.height
        if size not in self._heads:
            self._heads[size] = understand(outputs, (_OUTPUT,), self._compared, size, self._name)
        return yolo.decode(outputs, self._heads[size], context, self.weakest)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the network as it was loaded, not as it is exported."""
        import torch

        with torch.no_grad():
            answer: Any = self._network(torch.from_numpy(feeds[_INPUT]))
        return {_OUTPUT: _first(answer).numpy()}


class _Boxes:
    """Makes a module of which only the first output is left: masks are of no use here."""

    @staticmethod
    def of(network: Any) -> Any:
        from torch import nn

        class Boxes(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, images: Any) -> Any:
                return _first(self.network(images))

        return Boxes()


def _first(answer: Any) -> Any:
    """The table of boxes; masks and raw feature maps follow it."""
    while isinstance(answer, tuple | list):
        answer = answer[0]
    return answer


def _prepared(network: Any) -> Any:
    """Return a copy that traces into a clean graph of any size, as Ultralytics' exporter does."""
    from ultralytics.nn.modules import C2f, Detect

    copy = deepcopy(network).eval().float()
    for parameter in copy.parameters():
        parameter.requires_grad = False
    copy = copy.fuse(verbose=False)
    for module in copy.modules():
        if isinstance(module, Detect):
            # Cells follow from the input's sides at run time.
            module.dynamic, module.export, module.format, module.shape = True, True, "onnx", None
        elif isinstance(module, C2f):
            module.forward = module.forward_split
    return copy


def _metadata(network: Any, stride: int) -> dict[str, str]:
    """Return what Ultralytics' own export writes: edge/lanes/yolo_card.py reads it."""
    names = network.names
    named = dict(enumerate(names)) if isinstance(names, list | tuple) else dict(names)
    stated = {
        "names": str({int(index): str(name) for index, name in named.items()}),
        "stride": str(stride),
        "task": str(network.task),
        "end2end": str(bool(getattr(network, "end2end", False))),
        "args": str({"nms": None, "dynamic": True}),
    }
    shape = getattr(network.model[-1], "kpt_shape", None)
    if network.task == "pose" and shape is not None:
        stated["kpt_shape"] = str([int(one) for one in shape])
    return stated


def _all_wanted(card: Card) -> Card:
    """Return a card by which every class counts: here they are compared, not hidden."""
    return replace(card, names=dict.fromkeys(card.names or {0: ""}, "plate"))


def _up(side: int, stride: int) -> int:
    return -(-side // stride) * stride


class YoloFamily(Family):
    """Ultralytics .pt files."""

    name = "yolo-pt"
    decoder = "yolo"
    requires = ("torch", "torchvision", "ultralytics")
    random_variants = tuple(
        Source(
            name=f"{variant}-random",
            path=None,
            weights="random",
            licence="AGPL-3.0 (Ultralytics)",
            origin=f"Ultralytics {variant}.yaml, random weights",
            family="yolo-pt",
            options={"variant": variant},
        )
        for variant in ("yolov5n", "yolov8n", "yolo11n", "yolo26n", "yolo11n-obb", "yolo26n-pose")
    )

    def can_load(self, source: Source) -> bool:
        """Tell by the file's name and the names in its archive."""
        if source.path is None:
            return source.family == self.name and "variant" in source.options
        if source.path.suffix != ".pt" or not source.path.is_file():
            return False
        try:
            with zipfile.ZipFile(source.path) as archive:
                return any(name.endswith(_ZIP_MEMBER) for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a checkpoint, or make random weights. Raises ModelError."""
        frameworks.load("ultralytics")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = _random(source) if source.path is None else _load(source, source.path)
        return (YoloPart(network, source),)


def _load(source: Source, path: Path) -> Any:
    """Read a checkpoint by the list of allowed classes, or freely where it is trusted."""
    from ultralytics.nn import tasks

    trusted = source.options.get("trust") == "yes"
    # Where its list cannot be used it falls back to plain unpickling without a word.
    if not trusted and not getattr(getattr(tasks, "_SafeLoad", None), "SUPPORTED", False):
        raise ModelError(
            "this Ultralytics reads checkpoints only by running what is in them. Install "
            "ultralytics>=8.4, or add --trust for a file whose origin you know."
        )
    tasks.SAFE_LOAD = not trusted
    try:
        network, _ = tasks.load_checkpoint(str(path))
    except Exception as error:  # pickle's, zip's, Ultralytics' own of many kinds
        remedy = (
            "Save it again with a current Ultralytics."
            if trusted
            else "If you know where it comes from, --trust lets it run its own code while it is "
            "read; never do that with a file from a stranger."
        )
        raise ModelError(
            f"{path.name} cannot be read as an Ultralytics checkpoint of known classes "
            f"({type(error).__name__}). {remedy}"
        ) from error
    finally:
        tasks.SAFE_LOAD = False
    return network.float().eval()


def _random(source: Source) -> Any:
    """Make an architecture with random weights."""
    from ultralytics import YOLO

    frameworks.seed()
    network = YOLO(f"{source.options['variant']}.yaml").model.float()
    settle(network)
    return network


def settle(network: Any) -> None:
    """Scale random weights so that they see a few things in most pictures.

    As they are drawn, weights let nothing through to the end: all pictures would get one answer,
    and a comparison would say nothing.
    """
    import torch
    from torch import nn

    # Coarse and fine structure, as pictures have.
    pictures = nn.functional.interpolate(torch.rand(4, 3, 12, 12), (192, 192), mode="bilinear")
    pictures = (0.8 * pictures + 0.2 * torch.rand(4, 3, 192, 192)).clamp(0, 1)
    head = network.model[-1]
    scores = [branch[-1] for branch in head.cv3]
    # Where sides come as they are and not as a distribution, they must not be negative.
    sides = [branch[-1] for branch in head.cv2] if int(head.reg_max) == 1 else []
    seen: dict[Any, Any] = {}
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _SETTLED
        network.train()
        network(pictures)
        network.eval()
        for last in (*scores, *sides):
            last.register_forward_hook(lambda at, _inputs, out: seen.__setitem__(at, out))
        network(pictures)
        for last in (*scores, *sides):
            last._forward_hooks.clear()
            spread = seen[last] - last.bias[:, None, None]
            deviation = _SPREAD if last in scores else _SIDES_SPREAD
            factor = deviation / float(spread.std())
            last.weight *= factor
            rare = float((spread * factor).amax(1).quantile(1 - _SHARE_OF_CELLS))
            mean = float(spread.mean()) * factor
            last.bias[:] = _SURE - rare if last in scores else _SIDES - mean
