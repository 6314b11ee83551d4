"""Moonshine, published in ONNX Runtime's own format with int8 weights: turned back into ONNX.

Its operators are ONNX Runtime's own (com.microsoft), so no engine can be built of it; it costs
0.05 s of a CPU core for a second of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.speech.moonshine import MAX_SECONDS, Moonshine
from edge.speech.words import SAMPLE_RATE
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.material import FloatArray, Material
from export.onnx_source import OnnxOriginal, PublishedPart, Recorder

_SECONDS = (1.5, 3.0, 6.0)
"""Lengths that recordings are cut to, in turn."""
_MOST = int(MAX_SECONDS * SAMPLE_RATE)
_MOST_HIDDEN = 1280
"""Hidden states of 30 s, about 42 a second, and more."""
_MOST_TOKENS = 208
_LOG_ERRORS = 3


class MoonshinePart(PublishedPart):
    """One half of it."""

    name = ""
    opset = 18
    precisions: Sequence[str] = ("fp32",)
    """As published: int8 weights."""

    def __init__(self, source: Source, encoder: OnnxOriginal, decoder: OnnxOriginal) -> None:
        """encoder, decoder: both halves, whichever is to be exported; samples need both."""
        self._encoder, self._decoder = encoder, decoder
        self._original = encoder if _is_encoder(source) else decoder
        self._source = source
        self.inputs = tuple(_port(spec.name, spec.shape, spec.dtype)
                            for spec in self._original.engine.input_specs)  # fmt: skip

    def to_onnx(self, out: Path) -> None:
        """Write the graph as ONNX. Raises ModelError where ONNX Runtime cannot."""
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = _LOG_ERRORS
        options.optimized_model_filepath = str(out)
        options.add_session_config_entry("session.save_model_format", "ONNX")
        try:
            ort.InferenceSession(self._original.data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own types
            raise ModelError(
                f"{self._source.name} cannot be turned into ONNX ({str(error)[:120]}). Use another "
                "version of onnxruntime."
            ) from error
        model = onnx.load_model(str(out))
        model.graph.name = model.graph.name or self._source.name
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g") and not attribute.g.name:
                    attribute.g.name = attribute.name
        onnx.save_model(model, str(out))

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return what each half is fed while recordings are recognised, spread evenly."""
        encoder, decoder = Recorder(self._encoder.engine), Recorder(self._decoder.engine)
        model = Moonshine(encoder, decoder)
        half = encoder if _is_encoder(self._source) else decoder
        for sound in _pieces(material, count):
            model.listen(sound)
            if half is encoder and len(encoder.fed) >= count:
                break
        step = max(1, len(half.fed) // count)
        return [Sample(fed) for fed in half.fed[::step][:count]]

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Compare the next token; of hidden states, that nearly all of each is the same."""
        if "logits" in wanted:
            a, b = (int(np.asarray(outputs["logits"])[0, -1].argmax()) for outputs in (wanted, got))
            return Tally(int(a == b), 1)
        before, after = (np.asarray(next(iter(o.values())))[0] for o in (wanted, got))
        if before.shape != after.shape:
            return Tally(0, len(before))
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        cosines = (before * after).sum(axis=1) / np.maximum(norms, 1e-12)
        return Tally(int((cosines >= 0.999).sum()), len(before))


class MoonshineFamily(Family):
    """The encoder and the merged decoder as they are in moonshine-voice's wheel."""

    name = "moonshine"

    def can_load(self, source: Source) -> bool:
        """Tell by the ending, and by the name of the half."""
        path = source.path
        return path is not None and path.suffix == ".ort" and "tokenizer" not in path.name

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load both halves: the other one has to lie beside. Raises ModelError."""
        assert source.path is not None
        encoder, decoder = _halves(source.path)
        if not (encoder.is_file() and decoder.is_file()):
            raise ModelError(
                f"{source.name}: Moonshine's halves belong together, and {encoder.name} or "
                f"{decoder.name} is missing. Put both into one folder: privaedge models fetch."
            )
        halves = (
            OnnxOriginal(Source(f"{source.name} ({path.name})", path, source.weights))
            for path in (encoder, decoder)
        )
        return (MoonshinePart(source, *halves),)


def _is_encoder(source: Source) -> bool:
    return source.path is not None and "encoder" in source.path.name


def _halves(path: Path) -> tuple[Path, Path]:
    if "encoder" in path.name:
        other = path.name.replace("encoder_model", "decoder_model_merged")
        return path, path.with_name(other)
    return path.with_name(path.name.replace("decoder_model_merged", "encoder_model")), path


def _port(name: str, shape: Sequence[int | None], dtype: np.dtype[Any] | None) -> Port:
    """State the free axes by what they count; the published names of them are formulas."""
    sides: tuple[int | Axis, ...]
    if name in ("input_values", "attention_mask", "encoder_attention_mask"):
        sides = (1, Axis("samples", 8000, 5 * SAMPLE_RATE, _MOST))
    elif name == "encoder_hidden_states":
        sides = (1, Axis("hidden", 1, 208, _MOST_HIDDEN), shape[2] or 1)
    elif name == "input_ids":
        sides = (1, 1)
    elif ".decoder." in name:
        sides = (1, shape[1] or 1, Axis("past", 0, 16, _MOST_TOKENS), shape[3] or 1)
    elif ".encoder." in name:
        sides = (1, shape[1] or 1, Axis("past_hidden", 0, 208, _MOST_HIDDEN), shape[3] or 1)
    else:
        sides = tuple(side or 1 for side in shape)
    return Port(name, sides, dtype or np.float32)


def _pieces(material: Material, count: int) -> list[FloatArray]:
    pieces = []
    for at, (_, sound) in enumerate(material.sounds()):
        length = int(_SECONDS[at % len(_SECONDS)] * SAMPLE_RATE)
        starts = range(0, max(1, len(sound) - length // 2), length)
        pieces += [sound[start : start + length] for start in starts]
    return pieces[:count]
