"""Takes a clip apart into what a camera sends: coded pictures and sound, each with its time."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.bitstream import BitStreamFilterContext

_NS = 1_000_000_000


def write_elementary(clip: Path, folder: Path) -> Path:
    """Write the clip's H.264 (and AAC, if any) into `folder`, for rtsp_server.py to send.

    index.json: period_ns, the length of one turn of the loop; tracks, each with `caps` (what
    GStreamer calls the format) and `units`: [pts_ns, dts_ns, offset, size, is_key] into data.bin,
    in the order in which they are sent. Times begin at 0. Raises ValueError for other codecs.
    """
    folder.mkdir(parents=True)
    with av.open(str(clip)) as source, (folder / "data.bin").open("wb") as data:
        video = source.streams.video[0]
        if video.codec_context.name != "h264":
            raise ValueError(f"{clip.name} is {video.codec_context.name}, a camera sends H.264")
        units = _video_units(source, video, data)
        rate = video.average_rate or video.guessed_rate
        assert rate is not None
        period_ns = max(unit[0] for unit in units) + round(_NS / rate)
        caps = "video/x-h264,stream-format=byte-stream,alignment=au"
        tracks = [{"caps": caps, "units": units}]
        if source.streams.audio:
            tracks.append(_audio_track(source, data, period_ns))
    (folder / "index.json").write_text(json.dumps({"period_ns": period_ns, "tracks": tracks}))
    return folder


def _ns(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * _NS)


def _video_units(source: Any, video: Any, data: BinaryIO) -> list[list[Any]]:
    to_annex_b = BitStreamFilterContext("h264_mp4toannexb", video)
    packets = [p for p in source.demux(video) if p.size and p.pts is not None]
    first = min(p.pts for p in packets)
    units = []
    for packet in packets:
        # The filter takes the packet's content, its times and flags with it.
        pts, dts, key = packet.pts - first, packet.dts - first, bool(packet.is_keyframe)
        for part in to_annex_b.filter(packet):
            at = data.tell()
            size = data.write(bytes(part))
            times = [_ns(pts, video.time_base), _ns(dts, video.time_base)]
            units.append([*times, at, size, key])
    return units


def _audio_track(source: Any, data: BinaryIO, period_ns: int) -> dict[str, Any]:
    source.seek(0)
    audio = source.streams.audio[0]
    context = audio.codec_context
    if context.name != "aac":
        raise ValueError(f"the sound is {context.name}, a camera sends AAC")
    units = []
    for packet in source.demux(audio):
        # Before 0 lies the encoder's priming; what reaches into the next turn would overlap it.
        if not packet.size or packet.pts is None or packet.pts < 0:
            continue
        pts = _ns(packet.pts, audio.time_base)
        if pts + _ns(packet.duration, audio.time_base) // 2 > period_ns:
            continue
        at = data.tell()
        units.append([pts, pts, at, data.write(bytes(packet)), True])
    caps = (
        f"audio/mpeg,mpegversion=4,stream-format=raw,rate={context.sample_rate},"
        f"channels={context.layout.nb_channels},codec_data=(buffer){context.extradata.hex()}"
    )
    return {"caps": caps, "units": units}
