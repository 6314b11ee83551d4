"""What does the host copy of every frame, with pictures in ordinary and in page-locked memory?

Decodes a clip, shows some of its frames to detectors' eyes and hides faces in all of them after a
delay, as a stream on a GPU does. The GPU is this CPU: the shipped kernels, compiled by g++, behind
a stand-in for the driver, either as a card with memory of its own or as one that shares the host's.
What it does (kernels, and copies over the bus) is counted apart. Times are what is left to the
host's thread: compare them within one run only.

examples:
  python -m benchmarks.frame_copies
  python -m benchmarks.frame_copies clip.mp4 --looks 1 --json
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final
from unittest import mock

import av
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks.host_time import Clock
from benchmarks.redact import face_boxes
from edge.delay import Judgement, Verdict
from edge.frame import Frame
from edge.inference.cuda import Cuda
from edge.inference.frame_pool import FrameLayout, FramePool
from edge.inference.picture import SharedPicture
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.inference.stage import PictureStage
from edge.media.picture import LAYOUTS, HostPicture
from edge.media.pinned import PinnedPicture
from edge.redact.cuda import CudaRedactor
from edge.redact.cuda_planes import Staged
from edge.redact.effects import RedactionStyle
from edge.release import Releaser
from tests.harness import film
from tests.redact.emulator import Device, build, emulated

FRAMES: Final = 36
EVERY: Final = 6
"""Frames from look to look: 4 per second at 25 fps."""
LOOKS: Final = 4
"""At such a frame: faces, plates twice, text."""
FACES: Final = (0, 1, 10)
FACE_PX: Final = 120
_DELAY: Final = 24
"""Frames that wait: by then no decoder predicts from them any more. A multiple of EVERY."""
_EYE: Final = InputSpec(320, 192, 0, 0, 320, 180)
_SCALE: Final = 3.0
"""Of the film of the tests to 1080p."""
_MB: Final = 1e6
_GPU: Final = "gpu"
_HOST: Final = "host"
_BUS: Final = "bus"


class Eye:
    """What one lane does with a picture before its network. It has a Cuda of its own."""

    def __init__(self, device: Device) -> None:
        """device: on the CPU."""
        self._cuda = Cuda(device.emulator._name if device.emulator is not None else None)
        self._inputs = Preprocessor(self._cuda, device.image, [_EYE], analysis=(0, 0))
        self._stage = PictureStage(self._cuda, self._inputs.stream)

    def look(self, picture: HostPicture) -> None:
        """Make a network's input of a picture."""
        if not isinstance(picture, SharedPicture):
            self._inputs.load(self._stage.load(picture))
            self._cuda.wait(self._inputs.stream)
            return
        with picture.lend() as there:
            self._inputs.load(self._stage.load(picture) if there is None else there)
            self._cuda.wait(self._inputs.stream)

    def close(self) -> None:
        """Give all memory back."""
        self._inputs.close()
        self._stage.close()


class Watch:
    """Bytes that the host copies, and that go over the bus; CPU time of the GPU's stand-in."""

    def __init__(self) -> None:
        self.clock, self.bytes = Clock(), Counter[str]()

    def put_on(self, stack: ExitStack) -> None:
        """Watch until the stack is left."""
        for name in ("launch", "upload", "download", "copy", "clear"):
            self._wrap(stack, Cuda, name, self._gpu(name))
        self._wrap(stack, HostPicture, "copy_planes", self._host(_picture_bytes))
        # Where a picture's samples move to, they were copied.
        self._wrap(stack, HostPicture, "edit", self._moving)
        self._wrap(stack, PinnedPicture, "_move", self._moving)
        for name in ("__enter__", "finish"):
            self._wrap(stack, Staged, name, self._host(lambda s: sum(p.size for p in s._parts)))

    @staticmethod
    def _wrap(stack: ExitStack, owner: type, name: str, wrap: Callable[..., Any]) -> None:
        wrapped = wrap(getattr(owner, name))
        stack.enter_context(mock.patch.object(owner, name, wrapped))

    def _gpu(self, name: str) -> Callable[..., Any]:
        def wrap(call: Callable[..., None]) -> Callable[..., None]:
            def counted(*args: Any) -> None:
                if name in ("upload", "download"):
                    self.bytes[_BUS] += args[3]
                with self.clock.spent_on(_GPU):
                    call(*args)

            return counted

        return wrap

    def _host(self, size: Callable[[Any], int]) -> Callable[..., Any]:
        def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(owner: Any, *args: Any) -> Any:
                self.bytes[_HOST] += size(owner)
                return call(owner, *args)

            return counted

        return wrap

    def _moving(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(picture: HostPicture) -> Any:
            before = picture.frame.planes[0].buffer_ptr
            answer = call(picture)
            if picture.frame.planes[0].buffer_ptr != before:
                self.bytes[_HOST] += _picture_bytes(picture)
            return answer

        return counted


def measure(clip: Path, looks: int, frames: int = FRAMES) -> list[dict[str, Any]]:
    """Return one row for each device, kind of memory and number of faces."""
    if shutil.which("g++") is None:
        raise BenchmarkError("the kernels cannot be run on the CPU: g++ is missing. Install it.")
    rows = []
    with tempfile.TemporaryDirectory(prefix="privaedge-copies-") as folder:
        library = build(Path(folder))
        for integrated in (False, True):
            device = emulated(library, integrated=integrated)
            for faces in FACES:
                for page_locked in (False, True):
                    row = run_stream(device, clip, looks, faces, frames, page_locked=page_locked)
                    rows.append({"shares_memory": integrated, "faces": faces,
                                 "page_locked": page_locked, **row})  # fmt: skip
    return rows


def run_stream(
    device: Device, clip: Path, looks: int, faces: int, frames: int, *, page_locked: bool
) -> dict[str, float]:
    """Run one stream; return MB that the host copied and MB over the bus for a frame, and
    milliseconds of the host's CPU time."""
    watch, waiting = Watch(), deque[Frame]()
    with av.open(str(clip)) as container, ExitStack() as stack:
        decoded = _decode(container, watch.clock)
        first = next(decoded)
        layout, size = LAYOUTS[first.format.name], (first.width, first.height)
        gpu = CudaRedactor(RedactionStyle(), device.cuda, device.image, *size)
        eyes = [Eye(device) for _ in range(looks)]
        pool = FramePool(device.cuda, FrameLayout(layout, *size), _DELAY + 4)
        releaser, judgement = Releaser(gpu), Judgement(Verdict.RELEASE)
        boxes = face_boxes(faces, FACE_PX, *size)

        def take(number: int, frame: av.VideoFrame) -> None:
            picture = PinnedPicture(frame, pool) if page_locked else HostPicture(frame)
            if number % EVERY == 0:
                for eye in eyes:
                    eye.look(picture)
            waiting.append(Frame(number, number / 25, number, picture))

        watch.put_on(stack)
        for number, frame in enumerate(islice(decoded, frames + _DELAY)):
            if number == _DELAY:  # from here on one leaves for each that comes
                watch.bytes.clear()
                watch.clock.seconds.clear()
            with watch.clock.spent_on(_HOST):
                take(number, frame)
                if len(waiting) > _DELAY:
                    releaser.clear(waiting.popleft(), judgement, boxes, range(faces))
        for eye in eyes:
            eye.close()
        gpu.close()
    return {
        "host_mb": watch.bytes[_HOST] / frames / _MB,
        "bus_mb": watch.bytes[_BUS] / frames / _MB,
        "host_ms": 1000 * watch.clock.seconds[_HOST] / frames,
    }


def _decode(container: av.container.InputContainer, clock: Clock) -> Iterator[av.VideoFrame]:
    frames = container.decode(video=0)
    while True:
        with clock.spent_on("decoder"):
            frame = next(frames, None)
        if frame is None:
            return
        if frame.format.name not in LAYOUTS:
            raise BenchmarkError("the clip is not 8-bit 4:2:0. Convert it to yuv420p first.")
        yield frame


def _picture_bytes(picture: HostPicture) -> int:
    return picture.width * picture.height * 3 // 2


def table(rows: list[dict[str, Any]], looks: int) -> Table:
    """Lay the rows out, and what page-locked memory makes of the ordinary's figures."""
    laid = Table(title=f"for each frame; {looks} looks at every {EVERY}th", title_justify="left")
    laid.add_column("GPU's memory", no_wrap=True)
    laid.add_column("faces", justify="right")
    laid.add_column("pictures in", no_wrap=True)
    for name in ("host copies, MB", "bus, MB", "CPU time, ms", "ratio"):
        laid.add_column(name, justify="right")
    before: dict[str, Any] = {}
    for row in rows:
        memory = "page-locked" if row["page_locked"] else "ordinary"
        ratio = f"{row['host_ms'] / before['host_ms']:.2f}" if row["page_locked"] else "1"
        figures = (f"{row[key]:.2f}" for key in ("host_mb", "bus_mb", "host_ms"))
        owner = "the host's" if row["shares_memory"] else "its own"
        laid.add_row(owner, str(row["faces"]), memory, *figures, ratio)
        before = row
    return laid


def run(argv: list[str]) -> int:
    options = parser("frame_copies", __doc__)
    options.add_argument("clip", type=Path, nargs="?", help="without it, a film of 1080p is made")
    options.add_argument("--looks", type=int, default=LOOKS, help="at every sixth frame")
    options.add_argument("--frames", type=int, default=FRAMES)
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = options.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="privaedge-copies-") as folder:
        clip = args.clip
        if clip is None:
            clip = film(Path(folder) / "film.mp4", args.frames + _DELAY + 1, sound=False,
                        scale=_SCALE)  # fmt: skip
        rows = measure(clip, args.looks, args.frames)
    emit({"looks": args.looks, "every": EVERY, "rows": rows}, [table(rows, args.looks)],
         as_json=args.json)  # fmt: skip
    return 0


if __name__ == "__main__":
    main(run)
