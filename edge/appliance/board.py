"""Makes the picture of a service that its operators see, from what its streams count.

Belongs to the service's thread. Streams are read without a lock: each number is one that they
had, though not all of them at the same moment.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.appliance.stream import Stream
from edge.appliance.totals import Totals, less
from edge.appliance.views import LaneView, OutputView, StreamView
from edge.config import Settings
from edge.stats import RECOGNISER, Stats

LANES: Final = ("faces", "plates", "text", "speech")
_MINUTE_S: Final = 60.0
_FPS_S: Final = 3.0
"""Time over which the frame rate is taken."""
_STILL_S: Final = 5.0
"""Nothing has left for this long: frames do not move."""
_LATE_S: Final = 3.0
"""A lane that is late for this long is a problem; a moment's lateness is what the delay is for."""
_STARTING_S: Final = 10.0


@dataclass(slots=True)
class _Past:
    """What a stream was like before."""

    totals: deque[tuple[float, Totals]] = field(default_factory=deque)
    moved: float = field(default_factory=time.monotonic)
    count: int = 0
    late: dict[str, float] = field(default_factory=dict)
    run: object = None
    since: float = field(default_factory=time.monotonic)


class Board:
    """Remembers what is needed to tell rates from counters."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def look(self, streams: Iterable[Stream], frozen: Iterable[str] = ()) -> tuple[StreamView, ...]:
        """Look at all streams now. frozen: those that the watchdog found standing still."""
        views = tuple(self._stream(one, one.name in set(frozen)) for one in streams)
        for gone in self._past.keys() - {view.name for view in views}:
            del self._past[gone]
        return views

    def _stream(self, stream: Stream, frozen: bool) -> StreamView:
        now, run, spec = time.monotonic(), stream.run, stream.plan.spec
        stats = (run.stats if run is not None else None) or Stats()
        totals = stream.totals.plus(stats)
        past = self._past.setdefault(stream.name, _Past())
        self._remember(past, now, totals, run)
        sink = run.sink if run is not None else None
        info = run.info if run is not None else None
        on_air = stream.state in ("on air", "masked")
        lanes = self._lanes(stream, stats, totals, past, now, on_air=on_air)
        problems = self._problems(stream, past, now, lanes, frozen=frozen, on_air=on_air)
        return StreamView(
            name=stream.name,
            source=str(spec.source),
            state="frozen" if frozen else stream.state,
            healthy=not problems,
            problems=problems,
            on_air=on_air,
            width=info.width if info else None,
            height=info.height if info else None,
            source_fps=round(float(info.fps), 3) if info else None,
            fps=_rate(past, now),
            delay_s=spec.settings.delay_s,
            waiting_frames=stats.waiting,
            frames_in=totals.frames_in,
            frames_out=totals.frames_out,
            frames_redacted=totals.frames_redacted,
            frames_masked=totals.frames_masked,
            masked_by=dict(totals.masked_by),
            frames_dropped=totals.frames_dropped,
            slates=totals.slates,
            connections=totals.connections,
            recogniser_failures=totals.failures.get(RECOGNISER, 0),
            restarts=max(0, stream.runs - 1),
            spoken_s=round(totals.spoken_s, 2),
            muted_s=round(totals.muted_s, 2),
            effect=spec.settings.blur.type,
            encoder=sink.encoder if sink is not None else None,
            lanes=lanes,
            outputs=tuple(
                OutputView(
                    address=one.name,
                    state=one.state,
                    connections=one.connections,
                    sent=one.sent,
                    dropped=one.dropped,
                    last_error=one.last_error,
                )
                for one in (sink.status if sink is not None else ())
            ),
            notes=stream.plan.models.notes,
        )

    def _remember(self, past: _Past, now: float, totals: Totals, run: object) -> None:
        if past.run is not run:
            past.run, past.since = run, now
        left = totals.frames_out + totals.slates
        if left != past.count:
            past.count, past.moved = left, now
        past.totals.append((now, totals))
        while len(past.totals) > 2 and past.totals[1][0] <= now - _MINUTE_S:
            past.totals.popleft()

    def _lanes(
        self, stream: Stream, stats: Stats, totals: Totals, past: _Past, now: float, *, on_air: bool
    ) -> tuple[LaneView, ...]:
        spec, models = stream.plan.spec, stream.plan.models.names
        recent = less(totals.found, past.totals[0][1].found)
        lags = dict(stats.lags)
        views = []
        for name, on in lanes_of(spec.settings).items():
            lag = lags.get(name)
            late = on_air and lag is not None and lag > spec.settings.delay_s
            if late and on:
                past.late.setdefault(name, now)
            else:
                past.late.pop(name, None)
            missing = on and name not in models
            state = "starting" if lag is None else "late" if late else "ok"
            views.append(
                LaneView(
                    name=name,
                    on=on,
                    state="off" if not on else "missing" if missing else state,  # type: ignore[arg-type]
                    model=models.get(name) if on else None,
                    lag_s=round(lag, 3) if lag is not None and on else None,
                    found=totals.found.get(name, 0),
                    found_per_minute=recent.get(name, 0),
                    failures=totals.failures.get(name, 0),
                    masked_frames=totals.masked_by.get(name, 0),
                )
            )
        return tuple(views)

    def _problems(
        self,
        stream: Stream,
        past: _Past,
        now: float,
        lanes: Iterable[LaneView],
        *,
        frozen: bool,
        on_air: bool,
    ) -> tuple[str, ...]:
        found = []
        if frozen or (now - past.moved > _STILL_S and now - past.since > _STARTING_S):
            found.append("no frames leave")
        if not on_air and stream.state != "starting":
            found.append(stream.state)
        if stream.recogniser_fails:
            found.append("the face recogniser fails: enrolled people are hidden")
        found += [
            f"the {lane.name} lane does not judge in time"
            for lane in lanes
            if now - past.late.get(lane.name, now) > _LATE_S
        ]
        return tuple(dict.fromkeys(found))


def lanes_of(settings: Settings) -> dict[str, bool]:
    """Return every lane that there is, and whether it is switched on."""
    models = settings.video.models
    known = (models.face.enabled, models.plate.enabled, models.text.enabled, settings.audio.enabled)
    return dict(zip(LANES, known, strict=True)) | {own.name: True for own in models.own}


def _rate(past: _Past, now: float) -> float:
    before = next((one for one in past.totals if one[0] >= now - _FPS_S), past.totals[0])
    last_at, last = past.totals[-1]
    seconds = last_at - before[0]
    return round((last.frames_out - before[1].frames_out) / seconds, 2) if seconds > 0.2 else 0.0


def found_by_kind(before: Totals, now: Totals) -> Mapping[str, int]:
    """Return what each lane found from one look to the next."""
    return less(now.found, before.found)
