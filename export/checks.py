"""Comparing what a model became with what it was: numbers first, then what follows from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.inference.engine import Tensors
from edge.inference.manifest import Check
from export.family import Part, Sample, Tally, largest_error

MOST_FALL: Final = 0.01
"""How far the task's metric may fall below FP32's: one point."""

Run = Callable[[Tensors], Tensors]
Answers = list[dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of running the same inputs through two things.

    accuracy, accuracy_before: of labelled answers; None where nothing is labelled.
    """

    inputs: int
    error: float
    agreement: float
    accuracy: float | None
    accuracy_before: float | None
    milliseconds: float

    @property
    def fall(self) -> float:
        """How far the task's metric fell: labelled answers decide where FP32 gives any."""
        if self.accuracy is not None and self.accuracy_before:
            return self.accuracy_before - self.accuracy
        return 1.0 - self.agreement

    def check(self, against: str, tolerance: float | None) -> Check:
        """Return it as the manifest has it."""
        return Check(
            against=against,
            inputs=self.inputs,
            error=self.error,
            tolerance=tolerance,
            agreement=self.agreement,
            accuracy=self.accuracy,
            accuracy_fp32=self.accuracy_before,
            milliseconds=self.milliseconds,
        )


def references(part: Part, samples: Sequence[Sample]) -> Answers:
    """Run the source framework on real inputs. Raises InferenceError."""
    return [dict(part.reference(sample.feeds)) for sample in samples]


def compare(part: Part, samples: Sequence[Sample], wanted: Answers, run: Run) -> Compared:
    """Run something on the same inputs. An input that it fails on has no right answer."""
    kept: list[tuple[Tensors, Tensors]] = []
    failed, times = False, []
    same = right = right_before = Tally(0, 0)
    for sample, before in zip(samples, wanted, strict=True):
        started = time.perf_counter()
        try:
            outputs = run(sample.feeds)
            after = {name: outputs[name] for name in before}
        except (InferenceError, KeyError):
            # NaN, a crash, an output that is gone: nothing of it can be used.
            after = None
        times.append(time.perf_counter() - started)
        truth = part.correct(before, sample)
        right_before += truth or Tally(0, 0)
        if after is None:
            failed = True
            same += Tally(0, 1)
            right += Tally(0, truth.of if truth else 0)
            continue
        kept.append((before, after))
        same += part.agreement(before, after, sample)
        right += part.correct(after, sample) or Tally(0, 0)
    labelled = right_before.of > 0
    return Compared(
        inputs=len(samples),
        error=float("inf") if failed else largest_error(*zip(*kept, strict=True)),
        agreement=same.share,
        accuracy=right.share if labelled else None,
        accuracy_before=right_before.share if labelled else None,
        milliseconds=statistics.median(times) * 1000 if times else 0.0,
    )


def insist_equal(compared: Compared, part: Part, name: str) -> None:
    """Raise ModelError where an FP32 graph is not the model that it was made from."""
    if compared.error > part.tolerance or compared.agreement < 1.0:
        raise ModelError(
            f"{name}: the ONNX file is not the model it was made from: error "
            f"{compared.error:.2g} (at most {part.tolerance:g}), "
            f"{100 * compared.agreement:.1f} % of answers the same, on {compared.inputs} inputs. "
            "Nothing was replaced; try another opset or another version of its framework."
        )
