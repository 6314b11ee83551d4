"""What a stream notices of its operators: 20 dashboards and 500 requests a second.

    python -m benchmarks.api_load [CLIP] [--seconds 60] [--rate 500] [--dashboards 20]

One service streams a clip over and over to UDP, at first in peace and then under load; the load
comes from processes of their own. Printed are the stream's own counters for both halves and what
the clients got. Frames masked or dropped in peace are the machine's; what is more under load is
the API's.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.appliance.box import Box  # the clients' processes import this file, too

_PATHS = ("/api/v1/status", "/health", "/api/v1/session", "/metrics")
"""Asked in turn; metrics least often, as they are."""
_WORKERS = 2
_SETTLE_S = 8.0


@dataclass(frozen=True)
class Half:
    """What the stream did in one half."""

    seconds: float
    frames: int
    masked: int
    dropped: int
    slates: int
    cpu_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", nargs="?", type=Path, help="default: the tests' film")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each half")
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--dashboards", type=int, default=20)
    arguments = parser.parse_args()
    from tests.appliance.box import boxed
    from tests.command import blind_yunet
    from tests.harness import film
    from tests.live.servers import UdpReceiver
    from tests.support import SHARED

    real = SHARED / "models" / "face_yunet_n.onnx"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = arguments.clip or film(folder / "film.mp4")
        model = real if real.exists() else blind_yunet(folder / "blind.onnx")
        with (
            UdpReceiver(folder / "out.ts") as receiver,
            boxed(folder, clip.resolve(), model, output=receiver.url) as box,
        ):
            _measure(box, arguments)


def _measure(box: Box, arguments: argparse.Namespace) -> None:
    box.await_on_air()
    time.sleep(_SETTLE_S)
    quiet = _half(box, arguments.seconds)
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    end = time.time() + arguments.seconds + 4
    clients = [
        context.Process(
            target=_ask, args=(box.netloc, box.token, arguments.rate / _WORKERS, end, results)
        )
        for _ in range(_WORKERS)
    ]
    clients.append(
        context.Process(
            target=_watch, args=(box.netloc, box.token, arguments.dashboards, end, results)
        )
    )
    for client in clients:
        client.start()
    time.sleep(3)
    loaded = _half(box, arguments.seconds)
    told = [results.get(timeout=60) for _ in clients]
    for client in clients:
        client.join()
    _print(quiet, loaded, told)
    if box.process.poll() is not None:
        sys.exit("the service ended")


def _half(box: Box, seconds: float) -> Half:
    before, cpu, began = box.stream(), _cpu_s(box), time.monotonic()
    time.sleep(seconds)
    after, took = box.stream(), time.monotonic() - began
    return Half(
        took,
        after["frames_out"] - before["frames_out"],
        after["frames_masked"] - before["frames_masked"],
        after["frames_dropped"] - before["frames_dropped"],
        after["slates"] - before["slates"],
        _cpu_s(box) - cpu,
    )


def _cpu_s(box: Box) -> float:
    fields = Path(f"/proc/{box.process.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(subprocess.check_output(["getconf", "CLK_TCK"]))
    return (int(fields[11]) + int(fields[12])) / ticks


def _ask(netloc: str, token: str, rate: float, end: float, results: Any) -> None:
    """Send requests at a steady rate over one connection, and note how long each took."""
    connection = http.client.HTTPConnection(netloc, timeout=30)
    headers = {"Authorization": f"Bearer {token}"}
    took, failed, due, n = [], 0, time.time(), 0
    while (now := time.time()) < end:
        if now < due:
            time.sleep(due - now)
        due = max(due + 1 / rate, time.time() - 1)
        path = _PATHS[3] if n % 100 == 0 else _PATHS[n % 3]
        n += 1
        began = time.monotonic()
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            failed += answer.status not in (200, 503)
        except (OSError, http.client.HTTPException):
            failed += 1
            connection.close()
        took.append(time.monotonic() - began)
    results.put(("requests", took, failed))


def _watch(netloc: str, token: str, count: int, end: float, results: Any) -> None:
    """Keep dashboards open, and count what each is told."""
    from websockets.asyncio.client import connect

    async def one() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        told = 0
        async with connect(f"ws://{netloc}/api/v1/events", additional_headers=headers) as socket:
            while (left := end - time.time()) > 0:
                try:
                    text = await asyncio.wait_for(socket.recv(), min(left, 5.0))
                except TimeoutError:
                    continue
                told += json.loads(text)["type"] == "status"
        return told

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(count)))

    results.put(("dashboards", asyncio.run(all_of_them()), 0))


def _print(quiet: Half, loaded: Half, told: list[Any]) -> None:
    print(f"{'':22}{'in peace':>12}{'under load':>12}")
    for label, field in (("frames out", "frames"), ("masked", "masked"), ("dropped", "dropped"),
                         ("slates", "slates")):  # fmt: skip
        print(f"{label:22}{getattr(quiet, field):12d}{getattr(loaded, field):12d}")
    print(f"{'frames a second':22}{quiet.frames / quiet.seconds:12.2f}"
          f"{loaded.frames / loaded.seconds:12.2f}")  # fmt: skip
    print(f"{'cores':22}{quiet.cpu_s / quiet.seconds:12.2f}{loaded.cpu_s / loaded.seconds:12.2f}")
    took = sorted(ms * 1000 for kind, values, _ in told if kind == "requests" for ms in values)
    failed = sum(count for kind, _, count in told if kind == "requests")
    seen = [n for kind, values, _ in told if kind == "dashboards" for n in values]
    print(
        f"\n{len(took) / (loaded.seconds + 4):.0f} requests a second, {failed} failed; "
        f"median {statistics.median(took):.1f} ms, 99 % {took[int(len(took) * 0.99)]:.1f} ms"
    )
    print(f"{len(seen)} dashboards, {min(seen)} to {max(seen)} updates each")


if __name__ == "__main__":
    main()
