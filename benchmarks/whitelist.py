"""Is a stranger ever shown, and is an enrolled person hidden?

Photographs of faces move over a wall, in several sizes and lights and past each other, as H.264
video; the face lane runs over it with the settings of a profile. People of whom there are several
photographs are enrolled without the one that is filmed, and without any that is the same shot in
another size. Of the others there is one photograph: what is filmed is a stand-in for another one
(mirrored, rolled, darker), which flatters the recogniser, so that it is listed apart.

  shown       part of the frames in which the enrolled face is whole, nobody before it, from the
              front and at least 60 px wide, in which it can be seen
  exposed     frames in which anybody else's face can be seen because the whitelist let it: the one
              figure that has to be 0
  accuracy    of single looks: the enrolled person known, everybody else not, both weighted alike
  false looks looks that took somebody else for an enrolled person; votes must make up for them

A face that no look finds at all is not the whitelist's fault: benchmarks.leak measures that.

examples:
  python -m benchmarks.whitelist
  python -m benchmarks.whitelist --set video.whitelist.votes=1 --set video.whitelist.threshold=0.4
  python -m benchmarks.whitelist --json | jq .exposed_frames

Photographs and models are looked for in $PRIVAEDGE_SHARED, or in ../shared beside the checkout.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks._cast import Cast, Play, plays
from benchmarks._common import emit, main, parser
from benchmarks._portraits import Portrait
from benchmarks._stage import TrueFace, film
from benchmarks.reid import shared
from edge.audition import audition
from edge.build import cadence, prepare_process
from edge.config import Settings
from edge.config_io import load_config
from edge.detection import FloatArray
from edge.enrolment import Shot, ShotJudge
from edge.frame import Frame
from edge.inference.onnx import OnnxEngine
from edge.lanes.faces import FaceLane
from edge.lanes.whitelist import Vote
from edge.lanes.yunet import DEFAULT_CONF, YuNet
from edge.media.source import FileSource
from edge.media.still import to_picture
from edge.people import People
from edge.recognition import EmbeddingModel, RecognitionModel, load_embedding_model
from edge.track import TrackerSettings

LEAST_WIDTH_PX: Final = 60.0
_COVERED: Final = 0.5
_FOUND: Final = 0.5
_OPEN: Final = 0.1
"""Part of a face of which somebody else stands before the rest, from which on it can be exposed."""


@dataclass(slots=True)
class Tally:
    """Frames and looks, counted."""

    owner_frames: int = 0
    owner_shown: int = 0
    other_frames: int = 0
    other_exposed: int = 0
    owner_looks: int = 0
    owner_known: int = 0
    other_looks: int = 0
    other_taken: int = 0
    genuine: list[float] = field(default_factory=list)
    highest_other: float = -1.0

    def __iadd__(self, other: Tally) -> Tally:
        for name in ("owner_frames", "owner_shown", "other_frames", "other_exposed", "owner_looks",
                     "owner_known", "other_looks", "other_taken"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.genuine += other.genuine
        self.highest_other = max(self.highest_other, other.highest_other)
        return self

    @property
    def shown(self) -> float | None:
        """Part of the enrolled person's frames in which they can be seen."""
        return self.owner_shown / self.owner_frames if self.owner_frames else None

    @property
    def accuracy(self) -> float | None:
        """Mean of the parts of right looks at the enrolled and at others."""
        parts = []
        if self.owner_looks:
            parts.append(self.owner_known / self.owner_looks)
        if self.other_looks:
            parts.append(1 - self.other_taken / self.other_looks)
        return float(np.mean(parts)) if parts else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return {
            "owner_frames": self.owner_frames,
            "owner_shown": self.owner_shown,
            "other_frames": self.other_frames,
            "exposed_frames": self.other_exposed,
            "owner_looks": self.owner_looks,
            "owner_known": self.owner_known,
            "other_looks": self.other_looks,
            "other_taken": self.other_taken,
            "lowest_genuine": round(min(self.genuine), 3) if self.genuine else None,
            "highest_other": round(self.highest_other, 3) if self.other_looks else None,
        }


class Bench:
    """The face lane, with whom it may show, over scenes."""

    def __init__(self, settings: Settings, models: Path) -> None:
        self._settings = settings
        self._finder = (models / "face_yunet_n.onnx").read_bytes()
        self._model: EmbeddingModel = load_embedding_model(settings)
        self._judge = ShotJudge(self._detector(), self._model.make())

    def shot(self, portrait: Portrait) -> Shot:
        """Judge a portrait as enrolment does."""
        return self._judge.judge(to_picture(portrait.picture), portrait.photo)

    def show(self, play: Play, folder: Path) -> Tally:
        """Film a scene, run the lane over it, and count."""
        clip = folder / "scene.mp4"
        truth = film(play.scene, clip)
        model = RecognitionModel(
            self._model, People(self._model.name, self._model.sha256, play.people)
        )
        tally, names = Tally(), model.people.names
        votes: dict[int, Sequence[Vote]] = {}
        settings, stable = self._settings, self._settings.stabilization

        def make(width: int, height: int, on_votes: Any) -> FaceLane:
            del on_votes
            return FaceLane(
                self._detector(),
                TrackerSettings(DEFAULT_CONF, stable.k_confirm, stable.k_hold, stable.iou_thresh),
                width,
                height,
                lookahead_s=stable.lookahead_s,
                refine=settings.scheduler.refine,
                recogniser=model.recogniser(settings, DEFAULT_CONF),
                whitelist=model.whitelist(settings),
                on_votes=lambda frame_id, seen: votes.update({frame_id: seen}),
            )

        def judge(frame: Frame, boxes: FloatArray, tracks: list[int], visible: set[int]) -> None:
            seen = np.array([track in visible for track in tracks], bool)
            for face in truth[frame.frame_id]:
                _count(face, boxes, seen, names, tally)
            for vote in votes.pop(frame.frame_id, ()):
                own = [box for box, track in zip(boxes, tracks, strict=True)
                       if track == vote.track_id]  # fmt: skip
                _count_vote(vote, own, truth[frame.frame_id], names, tally)

        with FileSource(clip) as source:
            frames: Iterator[Frame] = (f for f in source.read() if isinstance(f, Frame))
            audition(frames, make, cadence(settings), judge)
        gc.collect()  # lanes refer to who listens to them; each holds two networks
        return tally

    def _detector(self) -> YuNet:
        size = self._settings.video.models.face.input_size
        weakest = TrackerSettings(DEFAULT_CONF).weak
        return YuNet(OnnxEngine(self._finder, "yunet-n"), input_size=size, weakest=weakest)


def _count(
    face: TrueFace,
    boxes: FloatArray,
    seen: NDArray[np.bool_],
    names: Sequence[str],
    tally: Tally,
) -> None:
    """Count one true face in one frame. seen: which of the boxes stay visible."""
    part = _covered(face.box, boxes)
    hidden = bool((part[~seen] >= _COVERED).any())
    let = bool((part[seen] >= _COVERED).any()) and not hidden
    if face.name not in names:
        if face.open >= _OPEN:
            tally.other_frames += 1
            tally.other_exposed += let
    elif face.clear and face.box[2] - face.box[0] >= LEAST_WIDTH_PX:
        tally.owner_frames += 1
        tally.owner_shown += let


def _count_vote(
    vote: Vote,
    boxes: list[FloatArray],
    truth: Sequence[TrueFace],
    names: Sequence[str],
    tally: Tally,
) -> None:
    """Count one look at one track, if it is clear whose face that is."""
    whose = [
        face for face in truth if any(_covered(face.box, box[None])[0] >= _FOUND for box in boxes)
    ]
    if len(whose) != 1 or not whose[0].clear:
        return
    face = whose[0]
    named = None if vote.person is None else names[vote.person]
    if face.name in names:
        if face.box[2] - face.box[0] >= LEAST_WIDTH_PX:
            tally.owner_looks += 1
            tally.owner_known += named == face.name
            if names[vote.nearest] == face.name:
                tally.genuine.append(vote.likeness)
        tally.other_taken += named not in (None, face.name)
    else:
        tally.other_looks += 1
        tally.other_taken += named is not None
        tally.highest_other = max(tally.highest_other, vote.likeness)


def _covered(face: FloatArray, boxes: FloatArray) -> FloatArray:
    """Part of a face's box, (4,), that each of some boxes (N, 4) covers: (N,)."""
    if not len(boxes):
        return np.zeros(0, np.float32)
    common = np.minimum(face[2:], boxes[:, 2:]) - np.maximum(face[:2], boxes[:, :2])
    part: FloatArray = np.maximum(common, 0).prod(axis=1) / (face[2:] - face[:2]).prod()
    return part


def _table(title: str, tallies: dict[str, Tally], *, looks: bool) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    columns = ["own\nframes", "shown", "others'\nframes", "ex-\nposed"]
    columns += ["accu-\nracy", "false\nlooks", "least\nown", "nearest\nother"] if looks else []
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, one in tallies.items():
        cells = [
            str(one.owner_frames),
            "–" if one.shown is None else f"{one.shown:.1%}",
            str(one.other_frames),
            f"[bold red]{one.other_exposed}[/]" if one.other_exposed else "0",
            "–" if one.accuracy is None else f"{one.accuracy:.1%}",
            str(one.other_taken),
            f"{min(one.genuine):.2f}" if one.genuine else "–",
            f"{one.highest_other:.2f}" if one.other_looks else "–",
        ]
        table.add_row(name, *cells[: len(columns)])
    return table


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("whitelist", __doc__)
    words.add_argument("--profile", default=None)
    words.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    words.add_argument("--data", type=Path, default=shared(), metavar="DIR")
    words.add_argument("--only", default="", metavar="TEXT", help="scenes with this in their name")
    words.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = words.parse_args(argv)
    prepare_process()
    models = [f'models.search_paths=["{args.data / "models"}"]']
    settings = load_config(args.profile, None, [*models, *args.overrides])
    bench = Bench(settings, args.data / "models")
    rows: dict[str, Tally] = {}
    scenes: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for play in plays(Cast(bench.shot, args.data)):
            if args.only not in f"{play.kind}: {play.scene.title}":
                continue
            tally = bench.show(play, Path(folder))
            rows.setdefault(play.kind, Tally())
            rows[play.kind] += tally
            title = f"{play.kind}: {play.scene.title}"
            scenes.setdefault(title, Tally())
            scenes[title] += tally
    total = Tally()
    for one in rows.values():
        total += one
    rows["all"] = total
    result = {
        "exposed_frames": total.other_exposed,
        "accuracy": total.accuracy,
        "rows": {name: one.to_json() for name, one in rows.items()},
        "scenes": {name: one.to_json() for name, one in scenes.items()},
    }
    tables = [
        _table("by scene", scenes, looks=False),
        _table("whitelist", rows, looks=True),
    ]
    emit(result, tables, as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
