"""A GPU's redactor that is rebuilt when the GPU fails, and given up for the CPU's when it goes on
failing.

A frame on which the GPU fails is masked whole: part of it may be hidden, part not. So between the
first failure and the CPU's first frame nothing leaves that was not hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from numpy.typing import ArrayLike

from edge.errors import DeviceError, InferenceError
from edge.frame import Planes
from edge.inference.budget import FailureBudget
from edge.inference.picture import DevicePicture
from edge.redact.cpu import CpuRedactor
from edge.redact.effects import RedactionStyle

_log = logging.getLogger(__name__)


class GpuRedactor(Protocol):
    """What CudaRedactor does here. All may raise. What raises has let go of the planes, of which a
    part may have changed: they can be masked by the CPU, and have to be."""

    def redact(self, planes: Planes, boxes: ArrayLike) -> None:
        """Hide the boxes."""

    def mask_by_gpu(self, planes: Planes) -> None:
        """Pixelate the whole picture."""

    def redact_surface(self, picture: DevicePicture, boxes: ArrayLike) -> None:
        """Hide the boxes of a picture that lives on the GPU."""

    def close(self) -> None:
        """Give everything back."""


class FailoverRedactor:
    """Hides regions on the GPU, on the CPU once the GPU has failed for good. Not thread-safe.

    on_cpu: the CPU has taken over, until the stream ends.
    """

    def __init__(
        self,
        style: RedactionStyle,
        gpu: GpuRedactor,
        rebuild: Callable[[], GpuRedactor],
        budget: FailureBudget | None = None,
    ) -> None:
        """gpu: proven. rebuild: makes one like it from scratch, proven, or raises. budget: how
        often it may fail; a new one where None."""
        self._cpu = CpuRedactor(style)
        self._gpu: GpuRedactor | None = gpu
        self._rebuild = rebuild
        self._budget = budget or FailureBudget()
        self._troubles: list[str] = []
        self.on_cpu = False

    @property
    def failures(self) -> int:
        """Of the GPU, in all."""
        return self._budget.failures

    def redact(self, planes: Planes, boxes: ArrayLike) -> None:
        """Hide the boxes, as CpuRedactor.redact.

        Raises what the GPU or the attempt to rebuild it raised, and ValueError for boxes or planes
        that make no sense: the caller then masks the whole picture.
        """
        if self.on_cpu:
            self._cpu.redact(planes, boxes)
        else:
            self._attempt(lambda gpu: gpu.redact(planes, boxes))

    def redact_surface(self, picture: DevicePicture, boxes: ArrayLike) -> None:
        """Hide the boxes of a picture that lives on the GPU, complete when this returns.

        Not once the CPU has taken over. Raises as `redact`; a part may have been hidden then.
        """
        self._attempt(lambda gpu: gpu.redact_surface(picture, boxes))

    def mask_whole(self, planes: Planes) -> None:
        """Pixelate the whole picture: on the CPU where the GPU does not."""
        if self._gpu is not None:
            try:
                self._gpu.mask_by_gpu(planes)
            except Exception as error:  # noqa: BLE001 - a picture that must be masked is
                self._judge(error)
            else:
                return
        self._cpu.mask_whole(planes)

    def take_troubles(self) -> list[str]:
        """Return what went wrong since the last call: a line for each failure."""
        troubles, self._troubles = self._troubles, []
        return troubles

    def _attempt(self, work: Callable[[GpuRedactor], None]) -> None:
        try:
            if self._gpu is None:
                self._gpu = self._rebuild()
            work(self._gpu)
        except Exception as error:
            self._judge(error)
            raise
        self._budget.worked()

    def _judge(self, error: Exception) -> None:
        """Count what was the GPU's fault, and drop a redactor that cannot be trusted any more."""
        if self._gpu is not None and not _is_fault(error):
            return
        self._budget.failed()
        old, self._gpu = self._gpu, None
        self.on_cpu = self._budget.spent
        cause = str(error).split("\n", 1)[0].rstrip(".")
        if self.on_cpu:
            trouble = f"the GPU failed {self._budget.recent} times, the CPU hides from now on"
        else:
            trouble = "the GPU failed, a frame was masked, it is set up again"
        self._troubles.append(trouble)
        _log.warning("%s: %s", trouble, cause)
        if old is not None:
            try:
                old.close()
            except Exception:  # noqa: BLE001 - it has failed already, and is gone
                _log.debug("a redactor could not be closed", exc_info=True)


def _is_fault(error: Exception) -> bool:
    """Whether the GPU is to blame, not a picture with more regions than its tables hold."""
    return isinstance(error, DeviceError) or not isinstance(error, (InferenceError, ValueError))
