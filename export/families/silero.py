"""Silero VAD, published as ONNX: one window of 32 ms at a time, with a state handed on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edge.config_lanes import Audio
from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.speech.vad import SileroVad
from edge.speech.words import SAMPLE_RATE
from export.family import Part, Port, Sample, Source, Tally
from export.material import Material
from export.onnx_source import OnnxOriginal, PublishedFamily, PublishedPart, Recorder

_WINDOW = 576
_RATE = "sr"
_THRESHOLD = Audio().vad_threshold
_SECONDS = 6.0
"""Of each recording."""


class SileroPart(PublishedPart):
    """The probability that somebody speaks, and the next state."""

    name = ""
    opset = 17
    inputs = (Port("input", (1, _WINDOW)), Port("state", (2, 1, 128)))
    precisions: Sequence[str] = ("fp32",)
    """A state that is handed on adds errors up, and the network is 0.3 ms on a CPU core."""

    def __init__(self, source: Source) -> None:
        """Load the file. Raises ModelError."""
        self._original = OnnxOriginal(source)

    def to_onnx(self, out: Path) -> None:
        """Write the branch for 16 kHz, without the choice by `sr` that no engine's shapes survive.

        Raises ModelError where the graph makes no such choice.
        """
        model = onnx.load_model_from_string(self._original.data)
        choices = [node for node in model.graph.node if node.op_type == "If"]
        branches = {a.name: a.g for node in choices for a in node.attribute}
        if len(choices) != 1 or "then_branch" not in branches:
            raise ModelError(
                f"{self._original.name} does not choose by its sampling rate. Use silero-vad of "
                "the catalogue."
            )
        # "sr is 16000" is what it asks.
        branch = branches["then_branch"]
        renamed = zip(branch.output, choices[0].output, strict=True)
        nodes = [
            *branch.node,
            *(helper.make_node("Identity", [mine.name], [theirs]) for mine, theirs in renamed),
            *(n for n in model.graph.node if n.op_type == "Identity"),
        ]
        model.graph.initializer.extend(branch.initializer)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        kept = [value for value in model.graph.input if value.name != _RATE]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        onnx.save_model(model, str(out))

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return windows of sound with the states that the runtime has at them, spread evenly."""
        recorder = Recorder(self._original.engine)
        for _, sound in material.sounds():
            SileroVad(recorder).listen(sound[: int(_SECONDS * SAMPLE_RATE)])
        step = max(1, len(recorder.fed) // count)
        kept = recorder.fed[::step][:count]
        return [Sample({n: v for n, v in fed.items() if n != _RATE}) for fed in kept]

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the published file in ONNX Runtime."""
        return self._original.run({**feeds, _RATE: np.array(SAMPLE_RATE, np.int64)})

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count windows that the runtime takes for speech, or not, in both."""
        a, b = (float(np.ravel(outputs["output"])[0]) >= _THRESHOLD for outputs in (wanted, got))
        return Tally(int(a == b), 1)


class SileroFamily(PublishedFamily):
    """Files with Silero's state."""

    name = "silero"

    def knows(self, name: str, data: bytes, inputs: set[str], outputs: set[str]) -> bool:
        """Tell by the names of inputs and outputs."""
        return (inputs, outputs) == ({"input", "state", _RATE}, {"output", "stateN"})

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a file. Raises ModelError."""
        return (SileroPart(source),)
