"""docTR's text detectors (Differentiable Binarization) and recognisers (PARSeq, CRNN).

A source is a file of tensors named after its architecture, as docTR's own are
(`parseq-56125471.pt`), or a folder as docTR's push_to_hf_hub() writes it: config.json with "arch"
and "vocab", and model.safetensors or pytorch_model.bin. For a file, characters other than docTR's
default stand in FILE.vocab.txt beside it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from edge.config_yaml import printable
from edge.detection import Detections
from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors
from edge.lanes import doctr_det
from edge.lanes.doctr_card import (
    ARCHITECTURE,
    CTC_ARCHITECTURES,
    DETECTION,
    RECOGNITION,
    VOCABULARY,
    Norm,
    read_norm,
)
from edge.lanes.doctr_rec import HEIGHT_PX, MAX_BATCH, WIDTH_PX, cut_parts, read_logits, to_tensor
from edge.lanes.geometry import Fit, InputBuffer
from edge.media.picture import HostPicture
from edge.track import TrackerSettings
from export.detection import LONG_SIDE, DetectorPart, picture_port
from export.families import frameworks
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.material import Material

_INPUT: Final = "input"
_OUTPUT: Final = "logits"
_OPSET: Final = 17
_MULTIPLE: Final = 32
_DETECTORS: Final = ("db_resnet50", "db_mobilenet_v3_large", "db_resnet34")
_RECOGNISERS: Final = (
    "parseq", "crnn_mobilenet_v3_large", "crnn_mobilenet_v3_small", "crnn_vgg16_bn",
)  # fmt: skip
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")
_LICENCE: Final = "Apache-2.0 (docTR)"
_SPREAD: Final = 4.0
"""Standard deviation of random logits: as wide as those of trained networks."""
_FEW_CORES: Final = 0.1
"""Share of pixels that random weights take for text."""


class DoctrDetPart(DetectorPart):
    """A text detector: logits of the cores of words."""

    name = ""
    opset = _OPSET
    conf = doctr_det.DEFAULT_CONF
    weakest = TrackerSettings(conf=doctr_det.DEFAULT_CONF).weak

    def __init__(self, model: Any, architecture: str) -> None:
        self.inputs = (picture_port(_INPUT),)
        self.metadata = _metadata(model, architecture, DETECTION)
        self._model = model
        self._mean, self._std = read_norm(self.metadata, DETECTION, architecture)
        self._buffer = InputBuffer(LONG_SIDE, multiple=_MULTIPLE, order=(0, 1, 2))

    def to_onnx(self, out: Path) -> None:
        """Write the graph."""
        import torch

        example = torch.zeros(self.inputs[0].sides("usual"))
        _write(_logits_of(self._model), example, out, self)

    def load(self, picture: HostPicture) -> tuple[Mapping[str, NDArray[Any]], Fit]:
        """Feed a picture as the runtime does."""
        tensor, fit = self._buffer.load(picture)
        normal = (tensor / 255 - self._mean[:, None, None]) / self._std[:, None, None]
        return {_INPUT: normal.astype(np.float32)}, fit

    def read(self, outputs: Tensors, context: Fit) -> Detections:
        """Return the lines. Raises InferenceError."""
        return doctr_det.decode(np.asarray(outputs[_OUTPUT]), context, self.weakest)

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run docTR's network."""
        return _reference(self._model, feeds)


class DoctrRecPart(Part):
    """A recogniser: a word to logits of its characters."""

    name = ""
    opset = _OPSET

    def __init__(self, model: Any, architecture: str) -> None:
        batch = Axis("batch", 1, 4, MAX_BATCH)
        self.inputs = (Port(_INPUT, (batch, 3, HEIGHT_PX, WIDTH_PX)),)
        self.metadata = _metadata(model, architecture, RECOGNITION) | {VOCABULARY: model.vocab}
        self._model, self._vocabulary = model, str(model.vocab)
        self._ctc = architecture.startswith(CTC_ARCHITECTURES)
        # ONNX Runtime 1.31 crashes when it loads an LSTM that AutoCast has been at, whether the
        # LSTM itself stays FP32 or not. Eight bits are not for reading to the letter.
        self.precisions = ("fp32",) if self._ctc else ("fp32", "fp16")
        self._mean, self._std = read_norm(self.metadata, RECOGNITION, architecture)
        self._cached = architecture == "parseq"

    def to_onnx(self, out: Path) -> None:
        """Write the graph."""
        import torch

        if self._cached:
            from export.families.parseq_graph import CachedParseq

            module: Any = CachedParseq(self._model)
        else:
            module = _logits_of(self._model)
        _write(module, torch.zeros(2, 3, HEIGHT_PX, WIDTH_PX), out, self)

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return strips of photographs, as high as lines of text, four at a time."""
        samples: list[Sample] = []
        waiting: list[NDArray[np.uint8]] = []
        for photo in material.pictures(count):
            waiting += [part for strip in _strips(photo.rgb) for part in cut_parts(strip)]
            while len(waiting) >= 4 and len(samples) < count:
                batch, waiting = waiting[:4], waiting[4:]
                samples.append(Sample({_INPUT: to_tensor(batch, self._mean, self._std)}))
        return samples

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run docTR's network."""
        return _reference(self._model, feeds)

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count words that are read the same to the letter."""
        count = len(sample.feeds[_INPUT])
        before = self._read(wanted, count)
        try:
            after = self._read(got, count)
        except InferenceError:
            return Tally(0, count)
        return Tally(sum(a == b for a, b in zip(before, after, strict=True)), count)

    def _read(self, outputs: Tensors, count: int) -> list[str]:
        logits = np.asarray(outputs[_OUTPUT], np.float32)
        return [r.text for r in read_logits(logits, count, self._vocabulary, ctc=self._ctc)]


class _Doctr(Family):
    """What both families share."""

    requires = ("torch", "torchvision", "doctr")
    architectures: ClassVar[tuple[str, ...]]

    def can_load(self, source: Source) -> bool:
        """Tell by the architecture that a file's name or a folder's config.json states."""
        return _architecture(source, self.architectures) is not None

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load weights, or draw them. Raises ModelError."""
        frameworks.load("doctr")
        architecture = _architecture(source, self.architectures)
        if architecture is None:
            raise ModelError(
                f"{source.name} names no architecture of docTR. Begin the file's name with one of "
                f"{', '.join(self.architectures)}."
            )
        return (self._part(_build(source, architecture), architecture),)

    @abstractmethod
    def _part(self, model: Any, architecture: str) -> Part:
        """Return what a model of an architecture consists of."""


def _random_variants(family: str, architectures: tuple[str, ...]) -> tuple[Source, ...]:
    return tuple(
        Source(
            name=f"doctr-{architecture.replace('_', '-')}-random",
            path=None,
            weights="random",
            licence=_LICENCE,
            origin=f"docTR's {architecture}, random weights",
            family=family,
            options={"variant": architecture},
        )
        for architecture in architectures
    )


class DoctrDetFamily(_Doctr):
    """Detectors."""

    name = "doctr-det"
    architectures = _DETECTORS
    random_variants = _random_variants("doctr-det", _DETECTORS[:2])

    def _part(self, model: Any, architecture: str) -> Part:
        return DoctrDetPart(model, architecture)


class DoctrRecFamily(_Doctr):
    """Recognisers."""

    name = "doctr-rec"
    architectures = _RECOGNISERS
    random_variants = _random_variants("doctr-rec", _RECOGNISERS[:2])

    def _part(self, model: Any, architecture: str) -> Part:
        return DoctrRecPart(model, architecture)


# -- sources ---------------------------------------------------------------------------------------


def _architecture(source: Source, known: tuple[str, ...]) -> str | None:
    if source.path is None:
        stated = source.options.get("variant", "")
    elif source.path.is_dir():
        stated = str(_config(source.path).get("arch", ""))
    elif source.path.suffix in (".pt", ".pth", ".bin", ".safetensors"):
        stem = source.path.name.replace("-", ".").partition(".")[0]
        stated = source.options.get("variant", stem)
    else:
        return None
    return stated if stated in known else None


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _build(source: Source, architecture: str) -> Any:
    """Return docTR's network in evaluation mode, with the source's weights or random ones."""
    from doctr import models

    path, arguments = source.path, {}
    if path is not None and path.is_dir():
        config = _config(path)
        vocabulary, weights = config.get("vocab"), _weights_in(path)
    elif path is not None:
        beside = path.with_name(f"{path.name}.vocab.txt")
        vocabulary = beside.read_text("utf-8").strip("\n") if beside.is_file() else None
        weights = path
    else:
        vocabulary, weights = None, None
    if vocabulary:
        arguments["vocab"] = str(vocabulary)
    frameworks.seed()
    make = getattr(models, architecture)
    model = make(pretrained=False, pretrained_backbone=False, **arguments).eval()
    if weights is None:
        _spread(model, architecture)
    else:
        tensors = frameworks.state_dict(weights, source.name)
        try:
            missing, unknown = model.load_state_dict(tensors, strict=False)
        except RuntimeError as error:  # other shapes: another vocabulary, in most cases
            raise ModelError(
                f"{source.name}: the weights do not fit {architecture} with "
                f"{len(arguments.get('vocab', '')) or 'docTR-s default'} characters. Put its "
                f"characters, in order, into {weights.name}.vocab.txt beside it."
            ) from error
        # docTR < 0.11 had two more layers in PARSeq, which did nothing.
        foreign = [key for key in unknown if "attention_norm" not in key]
        if missing or foreign:
            raise ModelError(
                f"{source.name} is not {architecture}: {len(missing)} tensors are missing, "
                f"{len(foreign)} unknown ({printable((list(missing) + foreign)[0], 60)}). Name the "
                "file after its architecture."
            )
    model.exportable = True  # logits alone, and no text
    return model


def _weights_in(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder.name} has no weights. Put {' or '.join(_WEIGHTS)} there.")


def _spread(model: Any, architecture: str) -> None:
    """Scale the last layer so that random weights answer differently to different pictures."""
    import torch

    is_detector = architecture in _DETECTORS
    coarse = torch.rand(2, 3, 12, 16)  # what normalised pictures range over
    size = (192, 256) if is_detector else (HEIGHT_PX, WIDTH_PX)
    pictures = torch.nn.functional.interpolate(coarse, size, mode="bilinear") * 3.8 - 3
    model.exportable = True
    with torch.no_grad():
        last = model.prob_head[-1] if is_detector else getattr(model, "head", None)
        last = model.linear if last is None else last
        logits = model(pictures)["logits"]
        factor = _SPREAD / float(logits.std())
        last.weight *= factor
        if is_detector:
            high = (logits * factor).flatten().quantile(1 - _FEW_CORES)
            last.bias[:] = last.bias * factor - float(high)


def _metadata(model: Any, architecture: str, published: Norm) -> dict[str, str]:
    config = model.cfg or {}
    return {
        ARCHITECTURE: architecture,
        "mean": json.dumps([float(v) for v in config.get("mean", published[0])]),
        "std": json.dumps([float(v) for v in config.get("std", published[1])]),
    }


# -- running ---------------------------------------------------------------------------------------


def _logits_of(model: Any) -> Any:
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pictures: Any) -> Any:
            return self.model(pictures)[_OUTPUT]

    return Logits()


def _write(module: Any, example: Any, out: Path, part: Part) -> None:
    frameworks.write_onnx(
        module, (example,), out, inputs=part.inputs, outputs=(_OUTPUT,), opset=part.opset
    )


def _reference(model: Any, feeds: Tensors) -> dict[str, NDArray[Any]]:
    import torch

    with torch.no_grad():
        return {_OUTPUT: model(torch.from_numpy(feeds[_INPUT]))[_OUTPUT].numpy()}


def _strips(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Cut luma into strips as high as a line of text: real pixels, whatever they show."""
    luma = np.asarray(rgb @ np.array([0.299, 0.587, 0.114]), np.uint8)
    height = max(16, min(luma.shape[0] // 8, 48))
    return [
        np.ascontiguousarray(luma[top : top + height, left : left + 4 * height])
        for top in range(0, luma.shape[0] - height, 3 * height)
        for left in range(0, luma.shape[1] - 4 * height, 6 * height)
    ]
