"""A run of an engine as one CUDA graph: recorded once, compared with what was recorded, replayed
from then on.

The host then queues one thing instead of a hundred. Nothing of it is needed: whatever goes wrong
with recording leaves the engine as it is without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import DeviceError, InferenceError
from edge.inference.bound import CudaMemory, Slot, tensor_bytes
from edge.inference.onnx import first_line

_log = logging.getLogger(__name__)
_GIVEN_UP: Final[set[str]] = set()
"""Names of models whose runs are not replayed any more in this process. An engine that is set up
again after a failure would try what has failed, and fail thrice."""
_NOISE: Final = 2.0
"""How many times as far as two runs differ a replay may be from a run: kernels that add up in
whatever order threads come do not repeat a sum's last bits."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run writes one of its outputs."""

    slot: Slot
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return tensor_bytes(self.shape, self.dtype)

    def read(self) -> NDArray[Any]:
        """Return a copy of what has come to the host."""
        return self.slot.view(self.shape, self.dtype).copy()

    def invert(self) -> None:
        """Queue inverting every bit, on both sides: what is not written afterwards shows."""
        there = self.slot.view((self.size,), np.dtype(np.uint8))
        np.invert(there, out=there)
        self.slot.send(self.size)


class RunGraph:
    """The graph of one engine. Used by the thread that uses the engine."""

    def __init__(self, memory: CudaMemory, name: str) -> None:
        """memory: of the engine, on whose stream its runs are queued. name: of the model."""
        self._memory = memory
        self._name = name
        self._graph: int | None = None
        self._inputs: Mapping[str, int] | None = None
        self._outputs: list[tuple[Output, int]] = []

    @property
    def given_up(self) -> bool:
        """Whether runs of this model are neither recorded nor replayed."""
        return self._name in _GIVEN_UP

    def holds(self, inputs: Mapping[str, int]) -> list[Output] | None:
        """Return what a replay writes. None where nothing is recorded yet, or with other addresses
        than these of the inputs and those that the outputs have now."""
        if self._inputs != inputs:
            return None
        if any(output.slot.address != address for output, address in self._outputs):
            return None
        return [output for output, _ in self._outputs]

    def record(
        self,
        inputs: Mapping[str, int],
        queue: Callable[[], None],
        outputs: Sequence[Output],
        wanted: Sequence[NDArray[Any]],
        capturable: Callable[[], bool],
    ) -> None:
        """Record what `queue` queues, and believe it when its replay gives the same. Raises
        nothing: it is given up where anything fails.

        inputs: where they lie, by name. wanted: what a run has just given for them, which are
        still there. capturable: asks the engine whether it can be recorded.
        """
        try:
            if not capturable():
                raise InferenceError("TensorRT does not let this engine be recorded")
            self._drop()
            cuda, stream = self._memory.cuda, self._memory.stream
            self._graph = graph = cuda.capture(stream, queue)
            found = self._outcome(lambda: cuda.replay(graph, stream), outputs)
            if not _same(found, wanted) and not _alike(
                found, wanted, self._outcome(queue, outputs)
            ):
                raise InferenceError("its replay gives something else than a run")
        except Exception as error:  # noqa: BLE001 - TensorRT's too; the run itself has been well
            self.give_up(first_line(error))
        else:
            self._inputs = dict(inputs)
            self._outputs = [(output, output.slot.address) for output in outputs]

    def replay(self) -> None:
        """Do all of it again on what the inputs are now, and wait. Raises DeviceError; an engine
        of this model that is set up after that queues its runs itself."""
        try:
            assert self._graph is not None
            self._memory.cuda.replay(self._graph, self._memory.stream)
            self._memory.wait()
        except DeviceError as error:
            self.give_up(first_line(error))
            raise

    def give_up(self, why: str) -> None:
        """Go without, for as long as this process lasts. why: a clause."""
        if not self.given_up:
            _log.info("%s runs without a CUDA graph: %s", self._name, why.rstrip("."))
        _GIVEN_UP.add(self._name)
        self.close()

    def close(self) -> None:
        """Give the graph back. What a lost device refuses to take is lost with it."""
        with suppress(DeviceError):
            self._memory.enter()
            self._drop()

    def _drop(self) -> None:
        graph, self._graph, self._inputs = self._graph, None, None
        if graph is not None:
            self._memory.cuda.drop_graph(graph)

    def _outcome(self, queue: Callable[[], None], outputs: Sequence[Output]) -> list[NDArray[Any]]:
        for output in outputs:
            output.invert()
        queue()
        self._memory.wait()
        return [output.read() for output in outputs]


def _same(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> bool:
    return all(map(np.array_equal, found, wanted))


def _alike(
    found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], again: Sequence[NDArray[Any]]
) -> bool:
    """Whether a replay is as near to a run as another run is."""
    return all(
        _distance(one, run) <= _NOISE * _distance(other, run)
        for one, run, other in zip(found, wanted, again, strict=True)
    )


def _distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the largest difference; NaN where one has it, which is not less than anything."""
    with np.errstate(all="ignore"):
        return float(np.abs(one.astype(np.float64) - other).max(initial=0))
