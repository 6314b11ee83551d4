"""Are licence plates hidden, and is anything else taken for one?

A plate counts as hidden where at least 80 % of its true box is painted over, by the regions that
the redactor is really given: padded, with their outlines, in the default style.

  stills     every photograph looked at once, as a detector sees it
  video      every photograph shown for a second under a slowly panning camera, through the whole
             pipeline: cadence, motion, tracks, confirm and hold. frames: share of all appearances
             of a plate in a frame that are hidden. always: plates hidden in every frame
  false      photographs without any plate in which one is seen (stills), or in which anything is
             hidden in any frame (video; the text lane hides other private text, too)

  detector   the plate model alone      text   the text lane alone      both   the two together

examples:
  python -m benchmarks.plates
  python -m benchmarks.plates --by detector --model ~/best.onnx --stills
  python -m benchmarks.plates --by detector both --model plates-own     what a fresh machine has
  python -m benchmarks.plates --clip wall.mp4 wall.json        what is left to be read of a clip?

Photographs are looked for in $PRIVAEDGE_SHARED, or in ../shared beside the checkout.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks._common import BenchmarkError, emit, main, parser
from benchmarks._stills import (
    CLIP_SIZE,
    SHOWN_FRAMES,
    Slideshow,
    Still,
    as_frame,
    hidden_shares,
    labelled,
    unlabelled,
)
from benchmarks.leak import score
from benchmarks.reid import shared
from edge.build import cadence, prepare_process, releaser, video_settings
from edge.config import Settings
from edge.crew import WorkerFactory
from edge.detection import FloatArray
from edge.frame import Frame
from edge.lane_models import LaneModels
from edge.lane_workers import lane_workers
from edge.lanes.lane import Detector
from edge.lanes.plate_text import TextPlates
from edge.media.codecs import AudioPolicy
from edge.media.sink import FileSink
from edge.media.source import FileSource
from edge.pii.classifier import TextClassifier
from edge.pii.lines import LineJudge
from edge.pipeline import Pipeline
from edge.plate_model import load_plate_model
from edge.redact.effects import RedactionStyle
from edge.text_model import load_text_model

HIDDEN_SHARE: Final = 0.8
"""Of a plate's true box: with less, a character or two can be read."""
BY: Final = {"detector": ("plates",), "text": ("text",), "both": ("plates", "text")}
STYLE: Final = RedactionStyle()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way of looking did to one kind of material.

    plates: true plates. hidden_pct: of them in stills; in video of their appearances in frames.
    always_pct: of plates that are hidden in every frame; None for stills. false_pct: of `others`,
    the pictures without plates. masked: frames that could not be judged and were masked whole.
    """

    by: str
    material: str
    plates: int
    hidden_pct: float
    always_pct: float | None
    others: int
    false_pct: float
    masked: int


class Lanes:
    """Makes detectors and workers as the settings say."""

    def __init__(self, settings: Settings, model: str | None, by: Sequence[str]) -> None:
        """model: another plate model, by name or path. Raises ModelError."""
        if model is not None:
            settings = _with_plate_model(settings, model)
        self.settings = settings
        wanted = {lane for one in by for lane in BY[one]}
        self._plate = load_plate_model(settings).model if "plates" in wanted else None
        self._text = load_text_model(settings) if "text" in wanted else None
        self._lines = TextClassifier.load() if "text" in wanted else None
        if "plates" in wanted and self._plate is None:
            raise BenchmarkError("there is no plate model. Name one by --model.")

    def detectors(self, by: str) -> list[tuple[Detector, float]]:
        """Return what finds plates in one picture, and the score from which each counts."""
        found: list[tuple[Detector, float]] = []
        if "plates" in BY[by]:
            assert self._plate is not None
            found.append((self._plate.make(), self._plate.conf))
        if "text" in BY[by]:
            assert self._text is not None
            reader = TextPlates(self._text.make_detector(), self._text.make_reader())
            found.append((reader, 0.0))  # it applies a threshold of its own
        return found

    def workers(self, by: str, width: int, height: int) -> list[WorkerFactory]:
        """Return the lanes of a stream, as the product has them."""
        lanes, text = BY[by], "text" in BY[by]
        models = LaneModels(
            plate=self._plate if "plates" in lanes else None,
            text=self._text if text else None,
            make_judge=self._judge if text else None,
        )
        return lane_workers(self.settings, models, width, height)

    def _judge(self) -> LineJudge:
        rules = self.settings.video.models.text
        return LineJudge(self._lines, hide=rules.hide, threshold=rules.threshold)


def _with_plate_model(settings: Settings, model: str) -> Settings:
    data = settings.model_dump()
    data["video"]["models"]["plate"]["model"] = (model,)
    return Settings.model_validate(data)


class _Nowhere:
    """A sink for what is judged before it is painted over."""

    def write_frame(self, picture: Any, ticks: int) -> None:
        """Drop it."""

    def write_sound(self, sound: Any) -> None:
        """Drop it."""


def judge_stills(lanes: Lanes, by: str, cars: Sequence[Still], others: Sequence[Still]) -> Outcome:
    """Look once at every photograph."""
    detectors = lanes.detectors(by)

    def plates(still: Still) -> FloatArray:
        picture = as_frame(still.picture)
        seen = [(detector.infer(0, picture)[1], conf) for detector, conf in detectors]
        return np.concatenate([s.boxes[s.scores >= conf] for s, conf in seen])

    shares = [
        share
        for still in cars
        for share in hidden_shares(plates(still), still.boxes, still.size, STYLE)
    ]
    false = [len(plates(still)) > 0 for still in others]
    return Outcome(
        by, "stills", len(shares), _pct([s >= HIDDEN_SHARE for s in shares]), None,
        len(others), _pct(false), 0,
    )  # fmt: skip


def judge_video(lanes: Lanes, by: str, cars: Sequence[Still], others: Sequence[Still]) -> Outcome:
    """Show every photograph for a second, all in one clip."""
    show = Slideshow([*cars, *others])
    hidden: dict[tuple[int, int], list[bool]] = {}
    touched: set[int] = set()

    def see(frame: Frame, boxes: FloatArray, tracks: Sequence[int]) -> None:
        number = frame.frame_id // SHOWN_FRAMES
        true = show.boxes_at(frame.frame_id)
        for plate, share in enumerate(hidden_shares(boxes, true, CLIP_SIZE, STYLE)):
            hidden.setdefault((number, plate), []).append(share >= HIDDEN_SHARE)
        if len(boxes):
            touched.add(number)

    masked = _run(lanes, by, show, _Nowhere(), size=CLIP_SIZE, see=see)
    every = [one for frames in hidden.values() for one in frames]
    false = [len(cars) + k in touched for k in range(len(others))]
    return Outcome(
        by, "video", len(hidden), _pct(every), _pct([all(f) for f in hidden.values()]),
        len(others), _pct(false), masked,
    )  # fmt: skip


def judge_clip(lanes: Lanes, by: str, clip: Path, truth: Path) -> dict[str, Any]:
    """Redact a labelled clip and have benchmarks.leak say which plates can still be read."""
    source = FileSource(clip)
    size = source.info.width, source.info.height
    with tempfile.TemporaryDirectory() as folder:
        redacted = Path(folder) / "redacted.mp4"
        video = video_settings(lanes.settings)
        sink = FileSink(redacted, source.info, video, AudioPolicy.DROP)
        try:
            masked = _run(lanes, by, source, sink, size=size)
            sink.finish()
        finally:
            source.close()
        report = score(clip, redacted, truth).to_json()
    return {"by": by, "masked": masked, "over_pct": report["over_redaction_pct"],
            **report["kinds"].get("plate", {})}  # fmt: skip


def _run(
    lanes: Lanes,
    by: str,
    source: Any,
    sink: Any,
    *,
    size: tuple[int, int],
    see: Callable[[Frame, FloatArray, Sequence[int]], None] | None = None,
) -> int:
    """Run a pipeline; return how many frames could not be judged."""
    settings = lanes.settings
    pipeline = Pipeline(
        source,
        sink,
        lanes.workers(by, *size),
        releaser(settings, *size, show_boxes=False),
        size=size,
        cadence=cadence(settings),
        delay_s=settings.picture_delay_s,
        on_look=see,
    )
    return pipeline.run().frames_masked


def _pct(which: Sequence[bool]) -> float:
    return 100 * float(np.mean(which)) if len(which) else 0.0


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """Return the table of photographs, still and moving."""
    table = Table(title="licence plates hidden (80 % of the true box)", title_justify="left")
    for column in ("by", "material"):
        table.add_column(column)
    for column in ("plates", "hidden", "always", "pictures\nwithout", "false", "masked\nframes"):
        table.add_column(column, justify="right")
    for one in outcomes:
        always = "–" if one.always_pct is None else f"{one.always_pct:.1f} %"
        table.add_row(
            one.by, one.material, str(one.plates), f"{one.hidden_pct:.1f} %", always,
            str(one.others), f"{one.false_pct:.1f} %", str(one.masked),
        )  # fmt: skip
    return table


def clip_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the table of a clip."""
    table = Table(title="plates that can still be read in the clip", title_justify="left")
    table.add_column("by")
    columns = ("boxes", "leak_pct", "onset_leak_pct", "small_leak_pct", "things_ever_exposed_pct",
               "over_pct", "masked")  # fmt: skip
    for column in columns:
        table.add_column(column.replace("_pct", " %").replace("_", "\n"), justify="right")
    for row in rows:
        table.add_row(row["by"], *(f"{row.get(column, '–')}" for column in columns))
    return table


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("plates", __doc__)
    data = shared() / "media"
    words.add_argument("--by", nargs="+", choices=list(BY), default=list(BY), help="who looks")
    words.add_argument("--model", help="plate model: a name in the catalogue or an .onnx file")
    words.add_argument(
        "--stills", action="store_true", help="leave the video out: ten times faster"
    )
    words.add_argument(
        "--cars", type=Path, default=data / "plates", metavar="DIR", help="folder with labels.json"
    )
    words.add_argument(
        "--others",
        type=Path,
        nargs="+",
        default=[data / "faces", data / "people"],
        metavar="DIR",
        help="folders with photographs in which there is no plate",
    )
    words.add_argument(
        "--clip",
        type=Path,
        nargs=2,
        metavar=("CLIP", "TRUTH"),
        help="redact a labelled clip instead",
    )
    words.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = words.parse_args(argv)
    prepare_process()
    lanes = Lanes(Settings(), args.model, args.by)
    if args.clip:
        rows = [judge_clip(lanes, by, *args.clip) for by in args.by]
        emit({"clip": rows}, [clip_table(rows)], as_json=args.json)
        return 0
    cars, others = labelled(args.cars), unlabelled(args.others)
    ways = [judge_stills] if args.stills else [judge_stills, judge_video]
    outcomes = [judge(lanes, by, cars, others) for by in args.by for judge in ways]
    result = {"outcomes": [asdict(one) for one in outcomes]}
    emit(result, [outcome_table(outcomes)], as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
