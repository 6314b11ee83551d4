"""What a stream and its viewers notice of each other: HLS on one machine.

    python -m benchmarks.viewers [CLIP] [--viewers 200] [--seconds 60]

privaedge plays a clip over and over to nginx by RTMP (examples/viewers/nginx.conf); viewers take
the playlist and every new segment, each on its own. In the first half nobody watches, in the
second all do.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.command import command_line
from tests.live.viewers import MediaServer

_POLL_S = 1.0
_SETTLE_S = 15.0
_PROCESSES = 2


@dataclass(frozen=True)
class Watched:
    """What viewers got. longest_s: the longest time between two segments of one viewer."""

    segments: int
    failures: int
    bytes: int
    longest_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", nargs="?", type=Path, help="default: the tests' film")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each half")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = arguments.clip
        if clip is None:
            from tests.harness import film

            clip = film(folder / "clip.mp4")
        with MediaServer(folder / "nginx") as server:
            alone, crowd = (
                _half(server, clip, seconds=arguments.seconds, viewers=viewers,
                      overrides=arguments.overrides)
                for viewers in (0, arguments.viewers)
            )  # fmt: skip
    if arguments.json:
        print(json.dumps({"alone": alone, "watched": crowd}, indent=1))
        return
    print(f"{'':24}{'nobody watches':>16}{f'{arguments.viewers} viewers':>16}")
    for key in alone:
        print(f"{key:24}{alone[key]:>16.6g}{crowd[key]:>16.6g}")


def _half(
    server: MediaServer, clip: Path, *, seconds: float, viewers: int, overrides: list[str]
) -> dict[str, float]:
    stats = server.folder / f"{viewers}.json"
    box = subprocess.Popen(
        [*command_line("run", clip, f"{server.rtmp}/front", "--loop", "-q", "--stats", stats),
         *(f"--set={one}" for one in overrides)],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(_SETTLE_S)
        watched = _watch(server.http_port, viewers, seconds)
    finally:
        box.send_signal(signal.SIGINT)
        box.wait(30)
    told = json.loads(stats.read_text())
    return {
        "frames out": told["frames_out"],
        "frames masked": told["frames_masked"],
        "frames dropped": told["frames_dropped"],
        "slates": told["slates"],
        "segments": watched.segments,
        "failed requests": watched.failures,
        "megabit/s": watched.bytes * 8 / 1e6 / seconds,
        "longest wait, s": watched.longest_s,
    }


def _watch(port: int, viewers: int, seconds: float) -> Watched:
    if not viewers:
        time.sleep(seconds)
        return Watched(0, 0, 0, 0.0)
    shares = [viewers // _PROCESSES + (n < viewers % _PROCESSES) for n in range(_PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        parts = pool.starmap(_crowd, [(port, share, seconds) for share in shares])
    return Watched(
        sum(part.segments for part in parts),
        sum(part.failures for part in parts),
        sum(part.bytes for part in parts),
        max(part.longest_s for part in parts),
    )


def _crowd(port: int, viewers: int, seconds: float) -> Watched:
    async def all_of_them() -> list[Watched]:
        loop = asyncio.get_running_loop()
        from concurrent.futures import ThreadPoolExecutor

        loop.set_default_executor(ThreadPoolExecutor(32))
        return await asyncio.gather(
            *(_viewer(port, seconds, n / viewers * _POLL_S) for n in range(viewers))
        )

    told = asyncio.run(all_of_them())
    return Watched(
        sum(one.segments for one in told),
        sum(one.failures for one in told),
        sum(one.bytes for one in told),
        max(one.longest_s for one in told),
    )


async def _viewer(port: int, seconds: float, after_s: float) -> Watched:
    await asyncio.sleep(after_s)
    ends = time.monotonic() + seconds
    seen: set[str] = set()
    segments = failures = size = 0
    last, longest = time.monotonic(), 0.0
    while time.monotonic() < ends:
        playlist = await asyncio.to_thread(_get, port, "/hls/front.m3u8")
        if playlist is None:
            failures += 1
        for name in (playlist or b"").decode().splitlines():
            if name.startswith("#") or name in seen:
                continue
            seen.add(name)
            data = await asyncio.to_thread(_get, port, f"/hls/{name}")
            failures += data is None
            segments += data is not None
            size += len(data or b"")
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        await asyncio.sleep(_POLL_S)
    return Watched(segments, failures, size, max(longest, time.monotonic() - last))


def _get(port: int, path: str) -> bytes | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read()
        return data if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


if __name__ == "__main__":
    main()
