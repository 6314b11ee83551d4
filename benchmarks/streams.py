"""How many streams does one process carry when something else runs the networks?

Answers of all networks are recorded once, on the CPU. Then N pipelines play the same clip in one
process at the same time, as fast as they can, with all lanes that are switched on. In place of a
network each waits for its turn on the one GPU that they share, and then for as long as the network
would take there, without the interpreter's lock; then it gives the recorded answer.

Real: motion (on the host's pictures), scheduling, decoders of answers, tracks, cutting out and
judging lines of text, the voice detector and the judges of words (networks that stay on the CPU),
the decoder of sound, the aligner of words, gate and delay line, and working out what a redactor's
kernels are given.
Left out: reading and decoding of pictures, detectors' inputs, pixels that are hidden, all encoders,
and everything of a live source and its outputs.

examples:
  python -m benchmarks.streams clip.mp4
  python -m benchmarks.streams clip.mp4 --streams 4 --engine-ms 3 --set audio.enabled=false
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest import mock

from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from edge.build import cadence, prepare_process
from edge.config import Settings
from edge.config_io import load_config
from edge.detection import FloatArray
from edge.frame import Frame, Planes
from edge.inference.engine import Tensors
from edge.inference.onnx import OnnxEngine
from edge.lane_models import LaneModels, load_lane_models
from edge.lane_workers import lane_workers
from edge.listen_build import listening, mouths
from edge.media.picture import HostPicture, plane_views
from edge.media.sound import SoundDecoder, own_layout
from edge.media.source import FileSource, SourceInfo
from edge.media.streams import SoundPacket
from edge.pipeline import Pipeline, SoundCheck
from edge.redact.effects import RedactionStyle, make_regions
from edge.redact.packing import pack
from edge.release import Releaser
from edge.runner import line_length, listened_to
from edge.sound import Samples, SoundBlock

_FPS: Final = 30.0
_SMALL: Final = frozenset({"lines.onnx", "tagger.onnx"})
"""What judges text that was read or heard: always on the CPU, as the voice detector."""


Items: TypeAlias = list[Frame | SoundPacket]
"""A file with its pictures decoded, held in memory."""


def read(path: Path) -> Items:
    """Decode all pictures of a file. Raises SourceError."""
    items: Items = []
    with FileSource(path) as source:
        for item in source.read():
            if isinstance(item, Frame) and isinstance(item.picture, HostPicture):
                item.picture = _SharedPicture(item.picture.frame)
            items.append(item)
    return items


class _SharedPicture(HostPicture):
    """A picture of several streams: nobody changes it, so nobody needs a copy."""

    __slots__ = ()

    def edit(self) -> Planes:
        """Return the planes that all have."""
        views = plane_views(self._frame)
        return Planes(self.layout, views[0], views[1:], self.full_range)


class _Packing:
    """A redactor up to where its kernels begin."""

    def redact(self, planes: Planes, boxes: FloatArray) -> None:
        """Work out what kernels are given."""
        height, width = planes.y.shape
        pack(make_regions(boxes, RedactionStyle(), width, height))

    def mask_whole(self, planes: Planes) -> None:
        """Leave everything to a kernel."""


class _Nowhere:
    """A sink that takes all and keeps nothing."""

    def write_frame(self, picture: Any, ticks: int) -> None:
        """Take a picture."""

    def write_sound(self, sound: Any) -> None:
        """Take sound as the source gave it."""

    def write_samples(self, samples: Samples, pts: float) -> None:
        """Take judged sound."""


@dataclass(slots=True)
class _Source:
    items: Items

    def read(self) -> Iterator[Frame | SoundPacket]:
        """Yield what was decoded, each frame as one of this stream's own."""
        for item in self.items:
            if isinstance(item, Frame):
                yield Frame(item.frame_id, item.pts, item.ticks, item.picture)
            else:
                yield item


@dataclass(slots=True)
class Tape:
    """Answers of networks in the order in which each lane asked for them."""

    answers: dict[tuple[str, str], list[Tensors]] = field(default_factory=dict)
    """By thread and model: a lane has one engine of each of its models."""

    @contextmanager
    def recording(self, live: frozenset[str]) -> Iterator[None]:
        """Keep what engines answer in this block, but those of the models named by `live`."""
        real = OnnxEngine.run

        def run(engine: OnnxEngine, feeds: Tensors) -> Tensors:
            answer = real(engine, feeds)
            if engine.name not in live:
                key = threading.current_thread().name, engine.name
                self.answers.setdefault(key, []).append(answer)
            return answer

        with mock.patch.object(OnnxEngine, "run", run):
            yield

    @contextmanager
    def playing(self, live: frozenset[str], engine_s: float) -> Iterator[None]:
        """Give recorded answers in this block, each after its time on the one GPU."""
        real, gpu = OnnxEngine.run, threading.Lock()

        def answer(engine: OnnxEngine) -> Tensors:
            answers = self.answers[threading.current_thread().name, engine.name]
            asked = engine.__dict__["asked"] = engine.__dict__.get("asked", -1) + 1
            if asked >= len(answers):
                raise BenchmarkError(
                    f"{engine.name} was asked more often than when its answers were recorded. "
                    "Run it again on a machine with less to do."
                )
            with gpu:
                time.sleep(engine_s)
            return answers[asked]

        def run(engine: OnnxEngine, feeds: Tensors) -> Tensors:
            return real(engine, feeds) if engine.name in live else answer(engine)

        with ExitStack() as patched:
            patched.enter_context(mock.patch.object(OnnxEngine, "run", run))
            # With eyes, so that no detector's input is made on the host.
            eyes = mock.patch.object(
                OnnxEngine, "see", lambda engine, *_: answer(engine), create=True
            )
            patched.enter_context(eyes)
            yield


def build(settings: Settings, info: SourceInfo, items: Items, models: LaneModels) -> Pipeline:
    """Make one stream, as edge.runner does, with its source and sink in memory.

    info: of a FileSource that nobody else uses: the decoder of sound is part of it.
    """
    make, sound = listening(settings, models, live=False), info.sound
    check = None
    if make is not None and sound is not None:
        decoder = SoundDecoder(sound, rate=sound.rate, layout=own_layout(sound))
        check = SoundCheck(partial(_blocks, decoder), make, mouths(settings, models))
    delay_s, most = line_length(settings, float(info.fps), check)
    return Pipeline(
        _Source(items),
        _Nowhere(),
        lane_workers(settings, models, info.width, info.height),
        Releaser(_Packing()),
        size=(info.width, info.height),
        cadence=cadence(settings),
        delay_s=delay_s,
        max_frames=most,
        sound=check,
    )


def _blocks(decoder: SoundDecoder, item: SoundPacket | None) -> list[SoundBlock]:
    return [SoundBlock(pts, samples, decoder.rate) for pts, samples in decoder.decode(item)]


def measure(
    settings: Settings, path: Path, counts: list[int], engine_s: float
) -> list[dict[str, Any]]:
    """Play a clip in 1 process as N streams, for each N; return one row for each.

    Raises BenchmarkError, SourceError, ModelError.
    """
    prepare_process()
    settings = listened_to(settings, path)
    live = _SMALL.union(settings.audio.vad)
    models, items, tape = load_lane_models(settings), read(path), Tape()
    with tape.recording(live), FileSource(path) as file:
        recorded = build(settings, file.info, items, models).run()
    rows = []
    for count in counts:
        with tape.playing(live, engine_s), ExitStack() as opened:
            files = [opened.enter_context(FileSource(path)) for _ in range(count)]
            streams = [build(settings, file.info, items, models) for file in files]
            wall_s, cpu_s = _together([stream.run for stream in streams])
        for stream in streams:
            same = (stream.stats.regions, stream.stats.found) == (recorded.regions, recorded.found)
            if not same or stream.stats.frames_masked:
                raise BenchmarkError("a stream did not find what was recorded. Run it again.")
        frames = sum(stream.stats.frames_out for stream in streams)
        rows.append({
            "streams": count,
            "fps_each": frames / count / wall_s,
            "cores": cpu_s / wall_s,
            "cpu_ms_per_frame": 1000 * cpu_s / frames,
            "streams_at_30_fps": frames / wall_s / _FPS,
        })  # fmt: skip
    return rows


def _together(jobs: list[Callable[[], Any]]) -> tuple[float, float]:
    """Run jobs at the same time; return wall seconds, and CPU seconds of the whole process."""
    threads = [threading.Thread(target=job, name=f"stream-{i}") for i, job in enumerate(jobs)]
    begun, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun, time.process_time() - cpu


def table(rows: list[dict[str, Any]], engine_s: float) -> Table:
    """Lay the result out."""
    title = f"networks: {1000 * engine_s:g} ms each on one GPU; pictures' codecs left out"
    laid = Table(title=title, title_justify="left")
    for name in ("streams", "fps of each", "cores used", "CPU ms a frame", "streams at 30 fps"):
        laid.add_column(name, justify="right")
    for row in rows:
        laid.add_row(
            str(row["streams"]), f"{row['fps_each']:.1f}", f"{row['cores']:.2f}",
            f"{row['cpu_ms_per_frame']:.2f}", f"{row['streams_at_30_fps']:.1f}",
        )  # fmt: skip
    return laid


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least one stream is needed")
    return value


def run(argv: list[str]) -> int:
    options = parser("streams", __doc__)
    options.add_argument("clip", type=Path)
    options.add_argument("--streams", type=_positive, nargs="+", default=[1, 2, 4, 8], metavar="N")
    options.add_argument("--engine-ms", type=float, default=2.0, help="of each run of a network")
    options.add_argument("--profile", default="balanced")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = options.parse_args(argv)
    settings = load_config(args.profile, None, args.set)
    rows = measure(settings, args.clip, args.streams, args.engine_ms / 1000)
    emit({"streams": rows}, [table(rows, args.engine_ms / 1000)], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
