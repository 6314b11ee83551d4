"""What operators are shown of a service: plain, whole and frozen, so that threads can share it.

Nothing here is private: counters, states and addresses without their secrets.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class View(BaseModel):
    """Base of what is shown."""

    model_config = ConfigDict(frozen=True)


class LaneView(View):
    """One kind of looking or listening."""

    name: str = Field(description="faces, plates, text, speech, or an own detector's name.")
    on: bool
    state: Literal["off", "starting", "ok", "late", "missing"] = Field(
        description="late: it does not judge in time, so that frames leave masked. missing: it is "
        "switched on, and nothing does its work."
    )
    model: str | None = Field(description="What looks; null where nothing does.")
    lag_s: float | None = Field(description="Seconds from the present back to its horizon.")
    found: int = Field(description="Things that it found, since the service started.")
    found_per_minute: int = Field(description="The same within the last minute.")
    failures: int = Field(description="Times that it threw, stalled or answered nonsense.")
    masked_frames: int = Field(description="Frames that left masked whole because of it.")


class OutputView(View):
    """One destination."""

    address: str = Field(description="Without its secrets.")
    state: Literal["connecting", "connected", "stalled", "waiting", "closed"]
    connections: int
    sent: int = Field(description="Packets that were taken.")
    dropped: int = Field(description="Packets that it never got.")
    last_error: str | None


class StreamView(View):
    """One stream."""

    name: str
    source: str = Field(description="Without its secrets.")
    state: str = Field(description="In a few words.")
    healthy: bool
    problems: tuple[str, ...]
    on_air: bool = Field(description="Pictures of the source leave, masked or not.")
    width: int | None
    height: int | None
    source_fps: float | None = Field(description="As announced.")
    fps: float = Field(description="Pictures that left per second, of late; slates do not count.")
    delay_s: float
    waiting_frames: int = Field(description="Frames in the delay line.")
    frames_in: int
    frames_out: int
    frames_redacted: int
    frames_masked: int
    masked_by: dict[str, int] = Field(
        description="Masked frames by cause: a lane's name, panic, or redaction where that failed."
    )
    frames_dropped: int
    slates: int
    connections: int
    recogniser_failures: int = Field(
        default=0, description="Looks in which enrolled people were hidden, for want of a verdict."
    )
    restarts: int
    spoken_s: float = Field(description="Seconds of sound in which private words were hidden.")
    muted_s: float = Field(description="Seconds of sound that left silent, unjudged.")
    effect: str
    encoder: str | None
    lanes: tuple[LaneView, ...]
    outputs: tuple[OutputView, ...]
    notes: tuple[str, ...] = Field(description="Remarks on the models that are at hand.")


class PanicView(View):
    """The dump button."""

    on: bool
    since: float | None = Field(description="Seconds since 1970, where that is known.")
    durable: bool = Field(description="Whether it would still be pressed after a power cut.")


class MachineView(View):
    """The machine. What it does not tell is null."""

    load_1m: float | None
    cores: int
    memory_bytes: int | None = Field(description="Resident memory of this process.")
    memory_free_bytes: int | None = Field(description="Memory that the machine could still give.")
    temperatures_c: dict[str, float]


class AuditView(View):
    """The record of what was done."""

    enabled: bool
    working: bool = Field(description="False: filters cannot be switched off, nor panic ended.")
    records: int


class StatusView(View):
    """All of a service."""

    version: str
    at: float = Field(description="Seconds since 1970.")
    uptime_s: float
    ready: bool = Field(description="Every stream has been on air, or waits for its source.")
    healthy: bool
    problems: tuple[str, ...]
    panic: PanicView
    revision: int = Field(description="Number of the last change of settings through the API.")
    refused: str | None = Field(description="Why the last configuration was not taken.")
    preview: bool
    webrtc: bool = Field(description="Whether the preview can come by WebRTC, too.")
    jobs: bool
    streams: tuple[StreamView, ...]
    machine: MachineView
    audit: AuditView
