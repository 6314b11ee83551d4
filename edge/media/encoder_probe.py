"""Which encoders work here: each is opened once and encodes a few small pictures.

In a process of its own: a driver that does not fit its library may crash or hang. FFmpeg's log,
which says why an encoder does not open, is switched on there too; in the main process that would
make the fifo muxer hang.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType

from edge.media.codecs import VideoSettings, has_encoder
from edge.media.encoders import JETSON, PREFERENCE, SOFTWARE, EncoderState, encoder_setup
from edge.media.gst import is_jetson
from edge.media.normalise import ColourTags
from edge.media.picture import plane_views
from edge.media.picture_encoder import VIDEO_CLOCK, EncoderFailed, open_picture_encoder

TIMEOUT_S: Final = 10.0
"""A driver's first call may start a daemon; one that takes longer is no use to a live stream."""
_REAP_S: Final = 1.0
_PICTURES: Final = 4
_BITRATE: Final = 1_000_000


@dataclass(frozen=True)
class _Pictures:
    """Small, but not under what hardware takes."""

    width: int = 320
    height: int = 240
    fps: Fraction = Fraction(30)
    pixel_format: str = "yuv420p"
    sample_aspect: Fraction = Fraction(1)
    colour: ColourTags = field(default_factory=ColourTags)


def probe_encoders(
    names: Iterable[str] = PREFERENCE, timeout_s: float = TIMEOUT_S
) -> dict[str, EncoderState]:
    """Try encoders, all at the same time. Takes under a second where no driver hangs.

    Never raises for an encoder that does not work: its state says why.
    """
    states: dict[str, EncoderState] = {}
    running: dict[str, subprocess.Popen[str]] = {}
    wanted = tuple(names)
    for name in wanted:
        absent = _absent(name)
        if absent is not None:
            states[name] = EncoderState("missing", absent)
        elif name == SOFTWARE:
            # No driver that could crash or hang; opening it later says what is wrong with it.
            states[name] = EncoderState("works")
        else:
            try:
                running[name] = _start(name)
            except OSError as error:
                states[name] = EncoderState("does not open here", f"no process: {error.strerror}")
    deadline = time.monotonic() + timeout_s
    for name, process in running.items():
        states[name] = _outcome(process, deadline, timeout_s)
    return {name: states[name] for name in wanted}


def try_encoder(name: str) -> EncoderState:
    """Open an encoder and encode some pictures, in this process."""
    info, settings = _Pictures(), VideoSettings(codec=name, bitrate=_BITRATE)
    try:
        encoder = open_picture_encoder(info, encoder_setup(name, info, settings, steady=True))
        try:
            packets: list[Packet[Any]] = []
            for number in range(_PICTURES):
                frame = av.VideoFrame(info.width, info.height, info.pixel_format)
                for plane in plane_views(frame):
                    plane[:] = np.uint8(128)
                frame.pts, frame.time_base = number * VIDEO_CLOCK // 30, Fraction(1, VIDEO_CLOCK)
                frame.pict_type = PictureType.NONE if number else PictureType.I
                packets += encoder.encode(frame)
            packets += encoder.flush()
        finally:
            encoder.close()
    except EncoderFailed as error:
        return EncoderState("does not open here", str(error))
    if len(packets) != _PICTURES or not packets[0].is_keyframe:
        return EncoderState("does not open here", f"it made {len(packets)} of {_PICTURES} pictures")
    return EncoderState("works")


def _absent(name: str) -> str | None:
    """Say why an encoder need not even be tried."""
    if name == JETSON:
        return None if is_jetson() else "this is no Jetson"
    return None if has_encoder(name) else "this FFmpeg was built without it"


def _start(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", __name__, name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _outcome(process: subprocess.Popen[str], deadline: float, timeout_s: float) -> EncoderState:
    try:
        said, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        # One that is stuck in its driver does not even die.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_REAP_S)
        return EncoderState("does not open here", f"its driver did not answer in {timeout_s:g} s")
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return EncoderState("does not open here", f"its driver crashed ({name})")
    try:
        answer = json.loads(said.splitlines()[-1])
        return EncoderState(answer["state"], str(answer["reason"]))
    except (IndexError, KeyError, TypeError, ValueError):
        return EncoderState("does not open here", "trying it failed without a word")


def _main(name: str) -> None:
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as logs:
        state = try_encoder(name)
    if state.state != "works" and logs:
        # The first message is the cause; those after it are what came of it.
        state = EncoderState(state.state, logs[0][2].strip().rstrip("."))
    print(json.dumps({"state": state.state, "reason": state.reason}))


if __name__ == "__main__":
    _main(sys.argv[1])
