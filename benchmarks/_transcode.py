"""The floor under every figure: decode, encode, copy the sound, and nothing between.

Run as a script in a process of its own, which imports nothing but PyAV, so that what it costs is
the cost of the codecs. usage: _transcode.py SOURCE OUTPUT SETTINGS, where SETTINGS is JSON:
{"encoder": name, "options": {…}, "container": {…}, "gop_s": s, "bitrate": bit/s or null,
"threads": n}.
"""

from __future__ import annotations

import json
import sys
from typing import Any, cast

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream


def transcode(source: str, output: str, settings: dict[str, Any]) -> int:
    """Encode the first picture stream of source anew, copy its first sound; return the frames."""
    frames = 0
    with (
        av.open(source) as read,
        av.open(output, "w", container_options=settings["container"]) as write,
    ):
        picture = read.streams.video[0]
        picture.thread_type = "AUTO"
        rate = picture.average_rate or 30
        video = cast(
            VideoStream,
            write.add_stream(settings["encoder"], rate=rate, options=settings["options"]),
        )
        context = video.codec_context
        context.width, context.height = picture.width, picture.height
        context.pix_fmt = "yuv420p"
        if picture.time_base is not None:
            context.time_base = picture.time_base
        context.gop_size = max(1, round(settings["gop_s"] * float(rate)))
        context.thread_count = settings["threads"]
        if settings["bitrate"]:
            context.bit_rate = settings["bitrate"]
        sounds = list(read.streams.audio[:1])
        sound = write.add_stream_from_template(sounds[0]) if sounds else None
        for packet in read.demux(picture, *sounds):
            if sound is not None and packet.stream.type == "audio":
                if packet.dts is not None:
                    packet.stream = sound
                    write.mux(packet)
                continue
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frame.pict_type = PictureType.NONE  # the encoder chooses keyframes anew
                    write.mux(video.encode(frame))
                    frames += 1
        write.mux(video.encode(None))
    return frames


if __name__ == "__main__":
    print(transcode(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
