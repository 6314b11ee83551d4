"""Sends a clip to an address in a loop and in real time, from a process of its own."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from tests.live.processes import ROOT, ServerProcess

_ON_AIR = "on air"


class Publisher(ServerProcess):
    """A program that publishes `clip` as it is, to rtmp:// or udp://, until it is ended."""

    def __init__(self, clip: Path, url: str, log: Path) -> None:
        super().__init__(log, folder=ROOT)
        self._clip, self._url = clip, url

    def command(self) -> list[str]:
        self.log.write_bytes(b"")
        return [sys.executable, "-m", __name__, str(self._clip), self._url]

    def is_ready(self) -> bool:
        return _ON_AIR in self.log.read_text(errors="replace")


def _period_s(source: InputContainer) -> float:
    """How long the pictures last."""
    packets = [p for p in source.demux(video=0) if p.pts is not None]
    end_s = max(float((p.pts or 0) + (p.duration or 0)) * float(p.time_base) for p in packets)
    source.seek(0)
    return end_s


def _endless(source: InputContainer, streams: Sequence[Any]) -> Iterator[av.Packet[Any]]:
    """Packets of one turn after the other, with times that go on."""
    period_s = _period_s(source)
    for turn in itertools.count():
        for packet in source.demux(*streams):
            base = packet.time_base
            # Before 0 lies an encoder's priming; sound longer than the pictures would overlap the
            # next turn.
            if packet.pts is None or packet.dts is None or packet.pts < 0:
                continue
            if float((packet.pts + (packet.duration or 0) / 2) * base) > period_s:
                continue
            shift = round(turn * period_s / base)
            packet.pts += shift
            packet.dts += shift
            yield packet
        source.seek(0)


def _publish(clip: Path, url: str) -> None:
    kind = "mpegts" if url.startswith("udp") else "flv"
    with av.open(str(clip)) as source, av.open(url, "w", format=kind) as out:
        streams = [*source.streams.video[:1], *source.streams.audio[:1]]
        outputs = {stream.index: out.add_stream_from_template(stream) for stream in streams}
        began: float | None = None
        for packet in _endless(source, streams):
            assert packet.dts is not None
            due_s = float(packet.dts * packet.time_base)
            if began is not None:
                time.sleep(max(began + due_s - time.monotonic(), 0.0))
            packet.stream = outputs[packet.stream.index]
            out.mux(packet)
            if began is None:
                began = time.monotonic()
                print(_ON_AIR, file=sys.stderr, flush=True)


if __name__ == "__main__":
    _publish(Path(sys.argv[1]), sys.argv[2])
