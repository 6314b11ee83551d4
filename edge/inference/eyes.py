"""Engines that see for themselves: a picture goes to the GPU as it is, and kernels make the
detector's input of it there.

The host only copies the picture; it neither scales nor converts nor normalises, and no tensor
crosses the bus.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from edge.errors import DeviceError, ModelError
from edge.frame import Picture
from edge.inference.cuda import Cuda
from edge.inference.engine import DeviceTensor, Engine, Tensors
from edge.inference.eyes_proof import prove
from edge.inference.kernels import load_kernels
from edge.inference.picture import DevicePicture, SharedPicture
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.inference.stage import PictureStage

_log = logging.getLogger(__name__)
_MOST_SPECS: Final = 4
"""A detector looks once or twice at a picture; more are left from pictures of another size."""
_sighted: weakref.WeakSet[SightedEngine] = weakref.WeakSet()


class DeviceEngine(Engine, Protocol):
    """An engine that reads inputs which lie in the GPU's memory already."""

    def run_device(self, feeds: Mapping[str, DeviceTensor], *, after: int = 0) -> Tensors:
        """Run once, when the event `after` has happened. Raises InferenceError."""

    def close(self) -> None:
        """Give everything back."""


class SightedEngine:
    """An engine on the GPU with eyes. Implements edge.inference.engine.Engine, and SeeingEngine.

    Eyes are opened, and compared with the CPU's arithmetic, when the first picture comes. Without
    kernels for this GPU, or with some that see something else, pictures are shown as tensors.
    """

    def __init__(self, engine: DeviceEngine, cuda: Cuda, folder: Path | None = None) -> None:
        """engine: belongs to this one from then on. cuda: the object through which it uses the GPU,
        which alone knows its events. folder: of the manifest that vouches for the kernels."""
        self._engine = engine
        self._cuda = cuda
        self._folder = folder
        self._blind = False
        # Whoever drops the engine drops its eyes as well: streams come and go for months.
        self._eyes: list[_Eyes] = []
        self._shut = weakref.finalize(self, _shut, self._eyes)
        self._shut.atexit = False
        self.name = engine.name
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.input_specs, self.output_specs = engine.input_specs, engine.output_specs
        self.metadata = engine.metadata
        _sighted.add(self)

    def run(self, feeds: Tensors) -> Tensors:
        """Run once. Raises InferenceError when it fails or an output is not finite."""
        return self._engine.run(feeds)

    def see(self, picture: Picture, spec: InputSpec) -> Tensors | None:
        """Run once on a picture. None where it has to be shown as a tensor. Raises as `run`."""
        if self._blind:
            return None
        if not self._eyes:
            try:
                image = load_kernels(self._cuda.target, self._folder)
                self._eyes.append(_Eyes(self._cuda, image))
            except ModelError as error:
                self._blind = True
                _log.info("%s: the CPU scales pictures: %s", self.name, str(error))
                return None
        if not isinstance(picture, SharedPicture):
            return self._run_on(*self._eyes[0].look(picture, spec))
        with picture.lend() as lent:
            shown = picture if lent is None else lent
            return self._run_on(*self._eyes[0].look(shown, spec))

    def close(self) -> None:
        """Give everything back."""
        self._shut()
        self._engine.close()

    def _run_on(self, tensor: DeviceTensor, event: int) -> Tensors:
        return self._engine.run_device({self.inputs[0]: tensor}, after=event)


def anybody_sees() -> bool:
    """Return whether there is an engine in this process that may look at pictures on the GPU."""
    return bool(_sighted)


class _Eyes:
    """Memory and kernels for one detector's input, made anew where its size changes."""

    def __init__(self, cuda: Cuda, image: bytes) -> None:
        prove(cuda, image)
        self._cuda, self._image = cuda, image
        self._event = cuda.event()
        self._inputs: dict[InputSpec, tuple[Preprocessor, PictureStage]] = {}

    def look(self, picture: Picture | DevicePicture, spec: InputSpec) -> tuple[DeviceTensor, int]:
        """Queue filling the input; return it, and the event after which it is filled.

        A picture of the host is brought to the GPU first.

        The picture before has been looked at by then. Raises InferenceError.
        """
        self._cuda.enter()
        if spec not in self._inputs:
            if len(self._inputs) >= _MOST_SPECS:
                self._drop_inputs()
            made = Preprocessor(self._cuda, self._image, [spec], analysis=(0, 0))
            self._inputs[spec] = made, PictureStage(self._cuda, made.stream)
        preprocessor, stage = self._inputs[spec]
        there = picture if isinstance(picture, DevicePicture) else stage.load(picture)
        preprocessor.load(there)
        self._cuda.record(self._event, preprocessor.stream)
        return preprocessor.tensor(0), self._event

    def close(self) -> None:
        """Give everything back. Raises DeviceError."""
        self._cuda.enter()
        self._drop_inputs()
        self._cuda.drop_event(self._event)

    def _drop_inputs(self) -> None:
        while self._inputs:
            _, (preprocessor, stage) = self._inputs.popitem()
            preprocessor.close()  # waits for its stream, on which the picture is brought, too
            stage.close()


def _shut(eyes: list[_Eyes]) -> None:
    while eyes:
        try:
            eyes.pop().close()
        except DeviceError:  # of a lost device nothing can be given back
            _log.debug("an engine's eyes could not be closed", exc_info=True)
