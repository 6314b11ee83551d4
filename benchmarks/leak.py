"""What could a viewer of the redacted clip still recognise?

Reads only pixels and true labels: nothing that the program under test claims counts. For every
labelled box of every frame, the fine detail of the original is correlated with that of the
redacted picture on a 4 × 4 grid; a box is exposed when more than a quarter of its textured cells
still show the original's detail.

  leak         exposed boxes of all judged boxes
  onset        the same in the first 8 frames of each appearance: does the mask start in time?
  small        the same for boxes narrower than 40 px
  ever         things (one face in one scene) that are exposed in at least one frame
  clear        exposed boxes in which the detail is at least half as strong as in the original:
               no mask, or one with very fine tiles. The others are masked, and what is left of the
               mask's tiles and edges follows the face by chance; common on faces of 20 to 30 px
  over         share of the picture outside all labelled boxes that was changed

examples:
  python -m benchmarks.leak clip.mp4 redacted.mp4 clip.json
  python -m benchmarks.leak clip.mp4 redacted.mp4 clip.json --contact-sheet leaks.png
  python -m benchmarks.leak clip.mp4 redacted.mp4 clip.json --json | jq .kinds.face.leak_pct

The contact sheet shows exposed boxes, original beside redacted, with frame number and size: look at
it before believing a number. The breakdown says where to look for the cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from benchmarks._common import BenchmarkError, decode, emit, main, parser
from benchmarks._contact import contact_sheet
from benchmarks._exposure import TrueBox, Truth, changed_share, detail, expose
from benchmarks._leak_report import LeakReport, Verdict, tables

DEFAULT_SCENE_S: Final = 4.0
"""Ids of the labelled clips are unique within one scene, and their scenes last 4 s."""


def camera_speed(
    now: Iterable[TrueBox], before: Iterable[TrueBox], width: int, height: int
) -> float | None:
    """Return the median shift in pixels of the boxes that two neighbouring frames share.

    Boxes at the border are left out: they are cut, so their centres move otherwise. None where
    nothing is left.
    """
    centres = {
        (box.kind, box.ident): ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
        for box in before
        if not box.touches_border(width, height)
    }
    shifts = [
        np.hypot((box.x1 + box.x2) / 2 - old[0], (box.y1 + box.y2) / 2 - old[1])
        for box in now
        if not box.touches_border(width, height) and (old := centres.get((box.kind, box.ident)))
    ]
    return float(np.median(shifts)) if shifts else None


def _speeds(truth: Truth, scene_frames: int) -> list[float | None]:
    """Camera speed of every frame; a scene's first frame takes the next one's."""
    speeds: list[float | None] = [None] * len(truth.frames)
    for n in range(1, len(truth.frames)):
        if n % scene_frames:
            pair = truth.frames[n], truth.frames[n - 1]
            speeds[n] = camera_speed(*pair, truth.width, truth.height)
    for n in range(0, len(speeds) - 1, scene_frames):
        speeds[n] = speeds[n + 1]
    return speeds


def score(
    original: Path, redacted: Path, truth: Path, *, scene_s: float = DEFAULT_SCENE_S
) -> LeakReport:
    """Judge every labelled box of every frame that both clips and the labels have.

    scene_s: seconds after which the labels' ids mean other things.
    BenchmarkError where a file cannot be read or the picture sizes differ.
    """
    labels = Truth.load(truth)
    scene_frames = max(1, round(scene_s * labels.fps))
    speeds = _speeds(labels, scene_frames)
    verdicts: list[Verdict] = []
    changed: list[float] = []
    last_seen: dict[tuple[int, str, int], int] = {}
    age: dict[tuple[int, str, int], int] = {}
    originals, redacteds = decode(original, "gray"), decode(redacted, "gray")
    n_original = n_redacted = 0
    while True:
        before, after = next(originals, None), next(redacteds, None)
        if before is None and after is None:
            break
        frame = max(n_original, n_redacted)
        n_original += before is not None
        n_redacted += after is not None
        if before is None or after is None or frame >= len(labels.frames):
            continue
        if not before.shape == after.shape == (labels.height, labels.width):
            raise BenchmarkError(
                f"picture sizes differ (original {_size(before.shape)}, redacted "
                f"{_size(after.shape)}, labels {labels.width}x{labels.height}). "
                "Compare clips that belong together, unscaled."
            )
        boxes = labels.frames[frame]
        scene = frame // scene_frames
        detail_before, detail_after = detail(before), detail(after)
        for box in boxes:
            thing = scene, box.kind, box.ident
            came_back = last_seen.get(thing, -2) < frame - 1
            age[thing] = 1 if came_back else age[thing] + 1
            last_seen[thing] = frame
            exposure = expose(detail_before, detail_after, box)
            if exposure is not None:
                at_border = box.touches_border(labels.width, labels.height)
                verdicts.append(
                    Verdict(frame, scene, box, exposure, age[thing], speeds[frame], at_border)
                )
        changed.append(changed_share(before, after, boxes))
    if not changed:
        raise BenchmarkError("there is no frame to judge. Compare clips that have pictures.")
    return LeakReport(
        frames_judged=len(changed),
        frames_original=n_original,
        frames_redacted=n_redacted,
        frames_labelled=len(labels.frames),
        over_redaction=float(np.mean(changed)),
        verdicts=tuple(verdicts),
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    words = parser("leak", __doc__)
    words.add_argument("original", type=Path, help="the clip before redaction")
    words.add_argument("redacted", type=Path, help="the clip to be judged")
    words.add_argument("truth", type=Path, help="the original's labels, JSON")
    words.add_argument("--kind", action="append", help="show only this kind (repeatable)")
    words.add_argument(
        "--scene-s",
        type=float,
        default=DEFAULT_SCENE_S,
        metavar="SECONDS",
        help="length of a scene, after which ids mean other things (default: %(default)s)",
    )
    words.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="PNG",
        help="write a picture of exposed boxes. It shows faces as they are: mind where it goes",
    )
    words.add_argument(
        "--tiles", type=int, default=60, help="boxes on the sheet at most (default: %(default)s)"
    )
    words.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = words.parse_args(argv)
    if args.contact_sheet and args.contact_sheet.suffix.lower() != ".png":
        words.error(f"--contact-sheet {args.contact_sheet}: the name must end in .png")
    report = score(args.original, args.redacted, args.truth, scene_s=args.scene_s)
    if args.contact_sheet:
        shown = [
            v for v in report.verdicts if v.exposed and v.box.kind in (args.kind or v.box.kind)
        ]
        sheet = contact_sheet(args.original, args.redacted, shown, args.tiles)
        if not cv2.imwrite(str(args.contact_sheet), sheet):
            raise BenchmarkError(
                f"{args.contact_sheet} cannot be written. Name a .png in an existing folder."
            )
    emit(report.to_json(), tables(report, args.kind), as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
