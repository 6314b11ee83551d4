"""Redacts one uploaded file, as a program of its own: `python -m` this.

Takes one line of JSON on stdin: settings, source, output, most_s (seconds it may last). Tells on
stdout, one line of JSON each, {"progress": 0..1} and at the end {"done": …} or {"error": …}.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import av

from edge.appliance.aside import step_aside
from edge.config import Settings
from edge.errors import PrivaedgeError
from edge.lane_models import load_lane_models
from edge.runner import Run, listened_to
from edge.stats import Stats

FORMATS: Final = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,h264,hevc,mjpeg,gif,ivf,yuv4mpegpipe,dv,3gp"
)
"""Containers that hold what they show. Playlists and the like name other files and addresses, and
an upload must not make the box open those."""
_TELL_S: Final = 0.5
_LARGEST: Final = 8
"""A result may have this many times the upload's size, and never less than the least."""
_LEAST_BYTES: Final = 256 << 20


class Refused(Exception):  # noqa: N818 - what happened, not a mistake
    """The upload will not be processed. str() is `cause. Remedy.`"""


def check(source: Path, most_s: float) -> None:
    """Raise Refused for what is not one video of this length at most."""
    try:
        with av.open(
            str(source), options={"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        ) as found:
            if not found.streams.video:
                raise Refused("There is no picture in it. Upload a video.")
            lasts_s = (found.duration or 0) / av.time_base
    except (av.FFmpegError, ValueError, OSError):
        raise Refused("This is no video that can be read. Upload an MP4, MKV or the like.") \
            from None  # fmt: skip
    if lasts_s > most_s:
        raise Refused(
            f"It lasts {lasts_s / 60:.1f} minutes, and {most_s / 60:g} are allowed. Cut it."
        )


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Redact a file; return figures. Raises Refused, PrivaedgeError."""
    source, output, most_s = Path(order["source"]), Path(order["output"]), float(order["most_s"])
    check(source, most_s)
    limit = max(_LEAST_BYTES, _LARGEST * source.stat().st_size)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    settings = Settings.model_validate_json(order["settings"])
    settings = settings.model_copy(
        update={"runtime": settings.runtime.model_copy(update={"threads": 1})}
    )
    models = load_lane_models(listened_to(settings, source))
    told = 0.0

    def on_frame(stats: Stats) -> None:
        nonlocal told
        if stats.pts_out > most_s:
            run.stop()
        now = time.monotonic()
        if now - told >= _TELL_S:
            told = now
            _say({"progress": min(0.999, stats.pts_out / lasts_s) if lasts_s else None})

    run = Run(settings, source, output, models, on_frame=on_frame)
    lasts_s = run.source.info.duration_s
    summary = run.execute()
    if not summary.complete:
        raise Refused(f"It lasts longer than the {most_s / 60:g} minutes that are allowed. Cut it.")
    stats = summary.stats
    return {
        "frames": stats.frames_out,
        "frames_masked": stats.frames_masked,
        "hidden": dict(stats.found),
        "muted_s": round(stats.muted_s, 2),
        "damaged": summary.damaged,
    }


def main() -> None:
    """Do what stdin says."""
    step_aside()
    order = json.loads(sys.stdin.readline())
    try:
        _say({"done": work(order)})
    except (Refused, PrivaedgeError) as error:
        told = str(error)
        for private, shown in ((order["source"], "The upload"), (order["output"], "the result")):
            told = told.replace(str(private), shown)
        _say({"error": told, "refused": isinstance(error, Refused)})


def _say(answer: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
