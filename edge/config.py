"""Settings: what can be chosen, in which bounds, and what each choice means.

Pure models: nothing here reads a file. config_io.py loads, merges and dumps them. Every field has
a description with its unit, of which the JSON Schema for editors (configs/schema.json) is made.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field, model_validator

from edge.config_lanes import Audio, FaceModel, OwnDetectors, PlateModel, TextModel, Whitelist
from edge.config_types import Bitrate, Looks, Paths, Section

DEFAULT_CRF: Final = 20
"""x264's rate factor where neither crf nor bitrate is set: visually transparent for most pictures
(x264's own default is 23), since a redacted clip is often encoded again by whoever receives it."""


PICTURE_DELAY_S: Final = 2.0
SPEECH_MARGIN_S: Final = 2.0
"""Beside a chunk of speech: the pause at its end, padding, and the time to recognise it in."""


class Scheduler(Section):
    """Which frames the detectors look at."""

    target_fps: float = Field(
        default=4.0,
        ge=0.5,
        le=60,
        description="Samples per second that are guaranteed. More finds short appearances sooner "
        "and costs detector time in proportion.",
    )
    max_fps: float = Field(
        default=15.0,
        ge=0.5,
        le=120,
        description="Upper bound of samples per second, extra ones included. "
        "At least scheduler.target_fps.",
    )
    max_travel: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Fraction of the picture's width that the camera may pan between two samples "
        "before an extra one is taken.",
    )
    refine: Looks = Field(
        default=1,
        description="Extra looks between two samples when something new appears there "
        "(true is 1, false is 0).",
    )


class Delay(Section):
    """The broadcast delay that lets masks start on the first frame of an appearance."""

    seconds: float | None = Field(
        default=None,
        ge=0.1,
        le=60,
        description="Seconds that every frame and sound sample waits; null takes "
        f"{PICTURE_DELAY_S:g}, or more where that is too little for what has to be seen and heard. "
        "At least stabilization.lookahead_s + 2 / scheduler.target_fps, and with audio.enabled "
        f"audio.chunk_seconds + {SPEECH_MARGIN_S:g}; memory grows with it.",
    )
    storage: Literal["frames", "packets"] = Field(
        default="frames",
        description="What waits. frames: decoded pictures, some 700 MB for 7 s of 1080p at 30 fps. "
        "packets: what the source sent, decoded a second time when it leaves: far less memory, "
        "and the CPU time of another decoder.",
    )
    stall_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=600,
        description="Seconds after which a detector that does not answer counts as dead; "
        "what it should have judged is masked whole.",
    )


class VideoModels(Section):
    """What is looked for in the picture."""

    face: FaceModel = FaceModel()
    plate: PlateModel = PlateModel()
    text: TextModel = TextModel()
    own: OwnDetectors = Field(
        default=(),
        description="Further detectors, which installed packages offer as entry points of the "
        "group privaedge.detectors; what they see is hidden.",
    )


class VideoEncoder(Section):
    """How the redacted picture is compressed."""

    codec: Literal["auto", "libx264", "libx265", "h264_nvenc", "nvv4l2h264enc", "h264_v4l2m2m"] = (
        Field(
            default="auto",
            description="Which encoder. auto: for live output the best one for H.264 that works "
            "here (h264_nvenc, a Jetson's nvv4l2h264enc, h264_v4l2m2m, else libx264); for a file "
            "libx264. A hardware encoder's name: that one, or libx264 where it does not work; for "
            "live output only. libx265 gives H.265, for files only: fewer bits, several times the "
            "CPU time. WebM always gets VP9.",
        )
    )
    preset: Literal[
        "ultrafast",
        "superfast",
        "veryfast",
        "faster",
        "fast",
        "medium",
        "slow",
        "slower",
        "veryslow",
    ] = Field(
        default="veryfast",
        description="The encoder's speed: slower ones need more CPU time and fewer bits for the "
        "same picture.",
    )
    crf: int | None = Field(
        default=None,
        ge=0,
        le=51,
        description="Constant quality, 0 (lossless) to 51 (worst). Excludes video.encoder.bitrate; "
        f"{DEFAULT_CRF} where both are null.",
    )
    bitrate: Bitrate = Field(
        default=None,
        description="Constrained bitrate in bits per second, or as 4M, 2500k. Excludes "
        "video.encoder.crf. What a livestream wants.",
    )
    keyframe_interval_s: float = Field(
        default=2.0,
        ge=0.1,
        le=30,
        description="Seconds between keyframes at most. Streaming services ask for 2.",
    )
    threads: int = Field(
        default=0, ge=0, le=128, description="Threads of the encoder; 0 lets x264 choose."
    )

    @property
    def rate_factor(self) -> int | None:
        """The crf to encode with, or None where a bitrate is set."""
        if self.bitrate is not None:
            return None
        return DEFAULT_CRF if self.crf is None else self.crf

    @model_validator(mode="after")
    def _one_rate_control(self) -> VideoEncoder:
        if self.crf is not None and self.bitrate is not None:
            raise ValueError(
                "video.encoder.crf and video.encoder.bitrate exclude each other. "
                "Remove one of them or set it to null."
            )
        return self


class Video(Section):
    """Everything about the picture but its redaction."""

    models: VideoModels = VideoModels()
    whitelist: Whitelist = Whitelist()
    encoder: VideoEncoder = VideoEncoder()


class Stabilization(Section):
    """How single detections become masks that neither flicker nor end too soon."""

    k_confirm: int = Field(
        default=2,
        ge=1,
        le=10,
        description="Sightings after which a mask exists. It then begins at the first of them; "
        "more sightings mean fewer false alarms and more missed glimpses. For lines of text one "
        "is enough, always.",
    )
    k_hold: int = Field(
        default=8,
        ge=0,
        le=300,
        description="Frames that a mask stays after the last sighting.",
    )
    iou_thresh: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="Intersection over union (0..1) from which two boxes, after camera motion is "
        "taken out, are the same face.",
    )
    lookahead_s: float = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Seconds that a frame waits for later samples to say what was in it.",
    )


class Blur(Section):
    """How a region is made unrecognisable."""

    type: Literal["mosaic", "gaussian", "solid"] = Field(
        default="mosaic",
        description="mosaic: coarse tiles. gaussian: the same mosaic, smoothed. solid: one colour, "
        "which keeps nothing of the face.",
    )
    shape: Literal["ellipse", "rectangle"] = Field(
        default="ellipse", description="Shape of the hidden region inside its padded box."
    )
    pad: float = Field(
        default=0.15,
        ge=0,
        le=2,
        description="Padding on each side of a box, as a fraction of its width and height.",
    )
    min_pad_px: int = Field(
        default=5,
        ge=0,
        le=200,
        description="Padding on each side of a box in pixels at least: what motion gets wrong "
        "weighs most on small faces.",
    )
    cells: int = Field(
        default=8,
        ge=2,
        le=8,
        description="Tiles across the longer side of a face at most, whatever its size; small "
        "faces get fewer. More than 8 would leave a face recognisable.",
    )
    watermark: bool = Field(
        default=False, description="Write 'Privacy Filter ON' into the picture."
    )


class Models(Section):
    """Where models come from."""

    search_paths: Paths = Field(
        default=(),
        description="Folders in which models are looked for before they are fetched; "
        "~ is the home folder.",
    )
    fetch: bool = Field(
        default=True,
        description="Fetch a missing model from its catalogued source. With false only models "
        "that are on disk are used.",
    )


class Runtime(Section):
    """What the detectors run on."""

    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Threads of one detector; 0 chooses by the cores at hand.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="What detectors run on. auto: each on the fastest device that it can use here. "
        "cpu: never a GPU. cuda: all on the GPU, and regions are hidden there, too; nothing starts "
        "where one of them cannot, or the GPU does not give the CPU's pixels.",
    )


class Settings(Section):
    """Settings of one stream. What a file does not state comes from the profile it builds on."""

    model_config = ConfigDict(title="privaedge settings")

    profile: str = Field(
        default="balanced",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="Name of the profile that these settings build on.",
    )
    scheduler: Scheduler = Scheduler()
    delay: Delay = Delay()
    video: Video = Video()
    stabilization: Stabilization = Stabilization()
    blur: Blur = Blur()
    audio: Audio = Audio()
    models: Models = Models()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _rates_in_order(self) -> Settings:
        target, most = self.scheduler.target_fps, self.scheduler.max_fps
        if most < target:
            raise ValueError(
                f"scheduler.max_fps ({most:g}) is below scheduler.target_fps ({target:g}). "
                f"Raise scheduler.max_fps to at least {target:g} or lower scheduler.target_fps."
            )
        return self

    @model_validator(mode="after")
    def _delay_covers_lookahead(self) -> Settings:
        least = self.least_delay_s
        if self.delay_s < least:
            raise ValueError(
                f"delay.seconds ({self.delay_s:g}) is below stabilization.lookahead_s + "
                f"2 / scheduler.target_fps ({least:.6g}), so frames would leave before they are "
                f"judged. Raise delay.seconds to at least {least:.6g}, or lower lookahead_s, or "
                "raise target_fps."
            )
        return self

    @model_validator(mode="after")
    def _delay_covers_text(self) -> Settings:
        least = self._least_text_delay_s
        if self.video.models.text.enabled and self.delay_s < least:
            raise ValueError(
                f"delay.seconds ({self.delay_s:g}) is below 1 / video.models.text.target_fps "
                f"+ 2 / scheduler.target_fps ({least:.6g}), so frames would leave before they are "
                f"read. Raise delay.seconds to at least {least:.6g}, or raise target_fps, or set "
                "video.models.text.enabled to false."
            )
        return self

    @model_validator(mode="after")
    def _delay_covers_speech(self) -> Settings:
        least = self.audio.chunk_seconds + SPEECH_MARGIN_S
        if self.audio.enabled and self.delay_s < least:
            raise ValueError(
                f"delay.seconds ({self.delay_s:g}) is below audio.chunk_seconds + "
                f"{SPEECH_MARGIN_S:g} ({least:.6g}), so words would leave before they are judged. "
                f"Raise delay.seconds to at least {least:.6g}, lower chunk_seconds, or set "
                "audio.enabled to false."
            )
        return self

    @property
    def delay_s(self) -> float:
        """Seconds that every frame and sound sample waits."""
        if self.delay.seconds is not None:
            return self.delay.seconds
        speech_s = self.audio.chunk_seconds + SPEECH_MARGIN_S if self.audio.enabled else 0.0
        return max(self.picture_delay_s, speech_s)

    @property
    def picture_delay_s(self) -> float:
        """Seconds that a file's frames are held at most: those need not wait for words."""
        if self.delay.seconds is not None:
            return self.delay.seconds
        text_s = self._least_text_delay_s if self.video.models.text.enabled else 0.0
        return max(PICTURE_DELAY_S, self.least_delay_s, text_s)

    @property
    def _least_text_delay_s(self) -> float:
        """The same as `least_delay_s` for text, which does without look-ahead where it must."""
        interval = max(1 / self.video.models.text.target_fps, 1 / self.scheduler.target_fps)
        return interval + 2 / self.scheduler.target_fps

    @property
    def least_delay_s(self) -> float:
        """Seconds of delay below which a frame would leave before it is judged.

        A frame waits for the look-ahead, then for the sample at the end of it (one sampling
        interval away at most), and the detector gets another interval to answer.
        """
        return self.stabilization.lookahead_s + 2 / self.scheduler.target_fps

    @property
    def text_lookahead_s(self) -> float:
        """Seconds that a frame waits for later looks for text: less than for faces where text is
        looked for seldom, so that both fit into the delay."""
        interval = max(1 / self.video.models.text.target_fps, 1 / self.scheduler.target_fps)
        room = self.delay_s - interval - 2 / self.scheduler.target_fps
        return max(0.0, min(self.stabilization.lookahead_s, room))

    @property
    def text_delay_s(self) -> float:
        """Seconds that a frame waits for text at most; more than `picture_delay_s` where words take
        so long that text is given a longer look-ahead."""
        return self.text_lookahead_s + self._least_text_delay_s
