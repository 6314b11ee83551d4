"""An engine on the GPU that is set up again when it fails, and given up for one on the CPU when it
goes on failing.

A run that fails raises in any case: what was looked at stays unjudged, and is masked.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from edge.errors import InferenceError
from edge.frame import GonePicture, Picture
from edge.inference.budget import FailureBudget
from edge.inference.engine import Engine, Tensors, TensorSpec
from edge.inference.news import tell
from edge.inference.onnx import first_line
from edge.inference.picture import PictureLeftError
from edge.inference.preprocess import InputSpec
from edge.inference.sight import seeing

T = TypeVar("T")
_log = logging.getLogger(__name__)
_STUCK_S: Final = 1.0
"""Of a run, half of what a live lane has patience for. A GPU whose engine takes longer is not given
another one: making that would take as long."""


class EngineMaker:
    """Makes engines of one model: one for each lane, and another for a lane whose engine hangs,
    which then runs on the CPU."""

    def __init__(self, on_gpu: Callable[[], Engine], on_cpu: Callable[[], Engine]) -> None:
        """on_gpu, on_cpu: make an engine from scratch, or raise."""
        self._on_gpu, self._on_cpu = on_gpu, on_cpu
        self._lock = threading.Lock()
        self._made: weakref.WeakSet[FailoverEngine] = weakref.WeakSet()
        self._worked = False

    def __call__(self) -> Engine:
        """Return an engine. Raises what the first one raises that is to run on the GPU."""
        with self._lock:
            stuck = any(engine.stuck for engine in self._made)
        if not stuck:
            try:
                engine = FailoverEngine(self._on_gpu, self._on_cpu)
            except Exception as error:
                if not self._worked:
                    raise
                _log.warning("an engine cannot be made on the GPU: %s", first_line(error))
            else:
                with self._lock:
                    self._made.add(engine)
                self._worked = True
                return engine
        _log.warning("the GPU does not answer, the CPU takes over")
        return self._on_cpu()


class FailoverEngine:
    """Runs on the GPU, on the CPU once the GPU has failed for good. Implements Engine.

    Whatever raises counts, NaN too: a picture on which 16 bits overflow is one for the CPU. The
    CPU takes longer, and its lane is given fewer looks by the feed, which goes by how long they
    take.
    """

    def __init__(self, on_gpu: Callable[[], Engine], on_cpu: Callable[[], Engine]) -> None:
        """on_gpu, on_cpu: make an engine from scratch, or raise. Raises what the first raises."""
        self._make_gpu, self._make_cpu = on_gpu, on_cpu
        first = on_gpu()
        self._gpu: Engine | None = first
        self._cpu: Engine | None = None
        self._budget = FailureBudget()
        self._asked: float | None = None
        self._warm = False
        self.on_cpu = False
        """The CPU has taken over, as long as this engine lasts."""
        self.name = first.name
        self.inputs, self.outputs = first.inputs, first.outputs
        self.input_specs: tuple[TensorSpec, ...] = first.input_specs
        self.output_specs: tuple[TensorSpec, ...] = first.output_specs
        self.metadata: Mapping[str, str] = first.metadata

    @property
    def failures(self) -> int:
        """Of the GPU, in all."""
        return self._budget.failures

    @property
    def stuck(self) -> bool:
        """Whether the GPU has been at one run for longer than any takes but the first, in which
        libraries may try what is fastest. From any thread."""
        asked = self._asked
        return self._warm and asked is not None and time.monotonic() - asked > _STUCK_S

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        if self.on_cpu:
            return self._on_cpu().run(feeds)
        results = self._attempt(lambda gpu: gpu.run(feeds))
        self._budget.worked()
        return results

    def see(self, picture: Picture, spec: InputSpec) -> Tensors | None:
        """Run once on a picture. None where it has to be shown as a tensor: to the CPU, and to a
        GPU's engine that has no eyes. Raises as `run`."""
        # Of a picture that has left no tensor can be made either: that raises, and counts for
        # nothing here.
        if self.on_cpu or isinstance(picture, GonePicture):
            return None

        def look(gpu: Engine) -> Tensors | None:
            sighted = seeing(gpu)
            return sighted.see(picture, spec) if sighted is not None else None

        results = self._attempt(look)
        if results is not None:
            self._budget.worked()
        return results

    def close(self) -> None:
        """Give everything back."""
        for engine in (self._gpu, self._cpu):
            _close(engine)
        self._gpu = self._cpu = None

    def _attempt(self, work: Callable[[Engine], T]) -> T:
        """Have the GPU do something, set up again where it has failed before. Raises
        InferenceError, and PictureLeftError, which is not its fault."""
        try:
            if self._gpu is None:
                self._gpu = self._make_gpu()
            self._asked = time.monotonic()
            results = work(self._gpu)
            self._warm = True
            return results
        except PictureLeftError:
            raise
        except Exception as error:
            self._give_up(error)
            if isinstance(error, InferenceError):
                raise
            raise InferenceError(f"model {self.name} failed: {first_line(error)}") from error
        finally:
            self._asked = None

    def _on_cpu(self) -> Engine:
        if self._cpu is None:
            try:
                self._cpu = self._make_cpu()
            except Exception as error:
                raise InferenceError(f"model {self.name} failed: {first_line(error)}") from error
        return self._cpu

    def _give_up(self, error: Exception) -> None:
        """Count a failure, and drop an engine that cannot be trusted any more."""
        self._budget.failed()
        self.on_cpu = self._budget.spent
        old, self._gpu = self._gpu, None
        if self.on_cpu:
            line = f"{self.name} failed {self._budget.recent} times on the GPU, the CPU takes over"
        else:
            line = f"{self.name} failed on the GPU, it is set up again"
        _log.warning("%s: %s", line, first_line(error).rstrip("."))
        tell(line)
        _close(old)


def _close(engine: Engine | None) -> None:
    """Let go of an engine; those that hold memory of a GPU can be told to."""
    close = getattr(engine, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception:  # noqa: BLE001 - it has failed already, and is gone
        _log.debug("an engine could not be closed", exc_info=True)
