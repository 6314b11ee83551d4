"""What lanes cost in ONNX Runtime on the GPU: pictures that lie there already, inputs made by our
kernels, networks, and decoders on the host. Decoding and encoding of video are left out.

The picture is soft noise, in which there is nothing to find.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, cast

import cv2
import numpy as np
from rich.table import Table

from benchmarks.redact import face_boxes
from edge.config import Settings
from edge.errors import ModelError
from edge.frame import Picture
from edge.inference.bound import CudaMemory, DeviceType
from edge.inference.cuda import Cuda
from edge.inference.engine import Engine, Tensors
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.inference.picture import DevicePicture
from edge.inference.pool import Pool
from edge.inference.preprocess import InputSpec, Preprocessor
from edge.lanes.families import face_family
from edge.lanes.lane import Detector
from edge.lanes.plate_families import plate_family
from edge.lanes.ppocr_det import DEFAULT_CONF, PpocrDetector
from edge.model_store import store_of
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle

REGIONS: Final = 50
_FACE_PX: Final = 128
_WARM_UP: Final = 5


@dataclass(frozen=True)
class Network:
    """A lane's network. build: makes its detector of an engine."""

    lane: str
    name: str
    data: bytes
    build: Callable[[Engine], Detector]


def networks(settings: Settings) -> tuple[list[Network], list[str]]:
    """Return the detectors that the settings choose, and why some are missing, one line each."""
    video, store = settings.video.models, store_of(settings)
    found, missing = [], []

    def add(lane: str, preference: Sequence[str], prepare: Callable[..., Network]) -> None:
        try:
            found.append(prepare(lane, store.resolve(preference, settings.models.fetch)))
        except ModelError as error:
            missing.append(f"{lane}: {error}")

    def boxes(find: Callable[..., Any], input_size: int) -> Callable[..., Network]:
        """Return what prepares a detector of faces or plates. find: its family."""

        def prepare(lane: str, resolved: Any) -> Network:
            data = resolved.read_bytes()
            family = find(resolved.family, data, resolved.name)
            return Network(
                lane, resolved.name, family.prepare(data, resolved.name),
                lambda engine: family.build(engine, input_size=input_size,
                                            weakest=family.conf / 2),
            )  # fmt: skip

        return prepare

    def text(lane: str, resolved: Any) -> Network:
        return Network(
            lane, resolved.name, resolved.read_bytes(),
            lambda engine: PpocrDetector(engine, input_size=video.text.input_size,
                                         weakest=DEFAULT_CONF / 2),
        )  # fmt: skip

    add("faces", video.face.model, boxes(face_family, video.face.input_size))
    add("plates", video.plate.model, boxes(plate_family, video.plate.input_size))
    add("text", video.text.detector, text)
    return found, missing


class _Watched(CudaMemory):
    """Counts the CPU time of waiting: the driver spins meanwhile, and other threads could work."""

    waited_s = 0.0

    def wait(self) -> None:
        """Wait for the stream."""
        begun = time.thread_time()
        super().wait()
        self.waited_s += time.thread_time() - begun


class _Resident:
    """An engine that sees one picture, which stays in the GPU's memory."""

    def __init__(self, network: Network, memory: _Watched, image: bytes) -> None:
        self._engine = engine = OnnxCudaEngine(network.data, network.name, memory=memory)
        self.memory, self._image = memory, image
        self.shown: DevicePicture | None = None
        self._eye: Preprocessor | None = None
        self._event = memory.cuda.event()
        self.name = engine.name
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.input_specs, self.output_specs = engine.input_specs, engine.output_specs
        self.metadata = engine.metadata
        self.size = ""

    def run(self, feeds: Tensors) -> Tensors:
        return self._engine.run(feeds)

    def see(self, picture: Picture, spec: InputSpec) -> Tensors:
        cuda = self.memory.cuda
        if self._eye is None:
            self._eye = Preprocessor(cuda, self._image, [spec], analysis=(2, 2))
            self.size = f"{spec.width}×{spec.height}"
        assert self.shown is not None
        self._eye.load(self.shown)
        cuda.record(self._event, self._eye.stream)
        return self._engine.run_device({self.inputs[0]: self._eye.tensor(0)}, after=self._event)

    def close(self) -> None:
        self._engine.close()
        if self._eye is not None:
            self._eye.close()
        self.memory.cuda.drop_event(self._event)


@dataclass(frozen=True)
class _Size:
    """All that a detector asks of a picture that its engine sees."""

    width: int
    height: int


def measure_lanes(
    cuda: Cuda, image: bytes, found: Sequence[Network], size: tuple[int, int], *,
    device_type: DeviceType = "cuda", repeats: int = 200,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return a row for each lane by itself, and one for all of them side by side with redaction.

    ms: wall time of a frame. host_ms: CPU time of this process for it without that of waiting,
    nearly all of it Python's. device_type: as for CudaMemory. Raises ModelError, InferenceError.
    """
    cuda.enter()
    width, height = size
    memory, shown = _picture(cuda, width, height)
    engines = [_Resident(one, _Watched(cuda, device_type=device_type), image) for one in found]
    detectors = [one.build(engine) for one, engine in zip(found, engines, strict=True)]
    picture = cast(Picture, _Size(width, height))
    for engine in engines:
        engine.shown = shown
    redactor = CudaRedactor(RedactionStyle(), cuda, image, width, height)
    boxes = face_boxes(REGIONS, _FACE_PX, width, height)
    queue = _Watched(cuda, stream=redactor.stream, device_type=device_type)
    watched = [queue, *(engine.memory for engine in engines)]
    rows = []
    for one, engine, detector in zip(found, engines, detectors, strict=True):
        row = _timed(lambda d=detector: d.infer(0, picture), repeats, watched)  # type: ignore[misc]
        rows.append({"what": f"{one.lane}: {one.name}, {engine.size}", **row})
    with ThreadPoolExecutor(len(detectors)) as threads:

        def frame() -> None:
            looks = [threads.submit(detector.infer, 0, picture) for detector in detectors]
            cuda.enter()
            redactor.redact_device(shown, boxes)
            queue.wait()
            for look in looks:
                look.result()

        lanes = " + ".join(one.lane for one in found)
        row = _timed(frame, repeats, watched)
        rows.append({"what": f"{lanes} + {REGIONS} regions", **row})
    redactor.close()
    for engine in engines:
        engine.close()
    memory.close()
    return rows


def bottleneck(rows: Sequence[dict[str, Any]]) -> str:
    """Say what the last row, all lanes together, waits for."""
    *lanes, together = rows
    if together["host_ms"] > 0.8 * together["ms"]:
        return "the host's Python"
    return f"the slowest lane, {max(lanes, key=lambda row: row['ms'])['what']}"


def lanes_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lay the rows out."""
    title = f"lanes in ONNX Runtime on the GPU; the bottleneck is {bottleneck(rows)}"
    table = Table(title=title, title_justify="left")
    for heading in ("lane", "ms", "frames/s", "host ms a frame"):
        table.add_column(heading, justify="left" if heading == "lane" else "right")
    for row in rows:
        table.add_row(row["what"], f"{row['ms']:.2f}", f"{row['fps']:.0f}", f"{row['host_ms']:.2f}")
    return table


def _timed(
    action: Callable[[], object], repeats: int, watched: Sequence[_Watched]
) -> dict[str, float]:
    for _ in range(_WARM_UP):
        action()
    times = []
    waited = sum(one.waited_s for one in watched)
    cpu = time.process_time()
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    cpu = time.process_time() - cpu - (sum(one.waited_s for one in watched) - waited)
    return {
        "ms": 1e3 * statistics.median(times),
        "fps": repeats / sum(times),
        "host_ms": 1e3 * max(0.0, cpu) / repeats,
    }


def _picture(cuda: Cuda, width: int, height: int) -> tuple[Pool, DevicePicture]:
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 200, (height * 3 // 2, width)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 12), np.float32)
    samples = np.clip(soft, 16, 235).astype(np.uint8).reshape(-1)
    memory = Pool(cuda, 1, samples.size, pinned=False)
    staging = Pool(cuda, 1, samples.size, pinned=True)
    at, piece, stream = memory.take().address, staging.take(), cuda.stream()
    assert piece.host is not None
    np.copyto(piece.host, samples)
    cuda.upload(at, piece.host_address, samples.size, stream)
    cuda.wait(stream)
    cuda.drop_stream(stream)
    staging.close()
    chroma = at + width * height
    return memory, DevicePicture("nv12", width, height, at, chroma, chroma + 1, width, width)
