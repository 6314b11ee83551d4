"""All models of a stream's lanes, loaded before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config import Settings
from edge.face_model import FaceModel, load_face_model
from edge.fetch import Progress, ignore_progress


@dataclass(frozen=True, slots=True)
class LaneModels:
    """What looks and listens; None where a lane is off. notes: remarks for the user."""

    face: FaceModel | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """The model of each lane that is on."""
        lanes = {"faces": self.face}
        return {lane: model.name for lane, model in lanes.items() if model is not None}

    def __str__(self) -> str:
        return ", ".join(f"{lane} by {name}" for lane, name in self.names.items()) or "nobody"


def load_lane_models(settings: Settings, progress: Progress = ignore_progress) -> LaneModels:
    """Choose, fetch and load what the settings ask for. Raises ModelError."""
    return LaneModels(face=load_face_model(settings, progress))
