"""The face lane: a lane of boxes whose things are faces."""

from __future__ import annotations

from edge.lanes.boxes import BoxLane
from edge.lanes.lane import Detector
from edge.track import TrackerSettings


class FaceLane(BoxLane):
    """Looks for faces, follows them, and hides them all."""

    def __init__(
        self,
        detector: Detector,
        settings: TrackerSettings,
        width: int,
        height: int,
        *,
        lookahead_s: float,
        refine: int,
    ) -> None:
        """Arguments as for BoxLane."""
        super().__init__(
            "faces", detector, settings, width, height, lookahead_s=lookahead_s, refine=refine
        )
