"""From the dump button's press to the first masked frame: at the sink, and in what it sends.

    python -m benchmarks.panic [CLIP]

A clip is played in real time through a whole live run, detectors and encoder included, and the
button is pressed at random moments. `sink`: until the first masked picture was handed to the sink;
`packet`: until its encoded form was handed to the outputs, from where only the network follows.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from edge.build import prepare_process
from edge.config_io import load_config
from edge.dump import DumpSwitch
from edge.lane_models import load_lane_models
from edge.live_runner import LiveOptions, LiveRun
from edge.media import live_sink
from edge.media.address import Address

PRESSES = 20
WARM_UP_S = 4.0


class Watched(live_sink.LiveSink):
    """A sink that notes when masked pictures come and go."""

    switch: DumpSwitch
    pressed = 0.0
    at_sink: float | None = None
    at_packet: float | None = None

    def write_frame(self, picture: Any, pts_s: float) -> None:
        """Note the first picture after a press that is masked: all of them are from there on."""
        if Watched.pressed and Watched.at_sink is None and _is_masked(picture):
            Watched.at_sink = time.monotonic()
        super().write_frame(picture, pts_s)

    def _send(self, packet: Any) -> None:
        super()._send(packet)
        if Watched.at_sink is not None and Watched.at_packet is None and packet.is_key:
            Watched.at_packet = time.monotonic()


def _is_masked(picture: Any) -> bool:
    """Whether neighbouring pixels are the same nearly everywhere."""
    luma = picture.luma[::7]
    same: float = (luma[:, 1:] == luma[:, :-1]).mean()
    return same > 0.9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", nargs="?", type=Path, help="default: the tests' film")
    arguments = parser.parse_args()
    prepare_process()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = arguments.clip
        if clip is None:
            from tests.harness import film

            clip = film(folder / "film.mp4")
        _measure(clip, folder)
    sys.stdout.flush()
    os._exit(0)  # as the command does: libraries' threads may not outlive an orderly end


def _measure(clip: Path, folder: Path) -> None:
    settings = load_config(
        "streaming", None, ["audio.enabled=false", "video.models.text.enabled=false",
                            "video.models.plate.enabled=false", "runtime.threads=1"],
    )  # fmt: skip
    import edge.live_runner as runner

    runner.LiveSink = Watched  # type: ignore[misc]
    switch = DumpSwitch()
    output = Address.parse(f"udp://127.0.0.1:{random.randrange(20_000, 60_000)}?pkt_size=1316")
    models = load_lane_models(settings)
    run = LiveRun(settings, Address.parse(str(clip)), [output], models,
                  options=LiveOptions(loop=True), dump=switch)  # fmt: skip
    run.connect(print)
    thread = threading.Thread(target=run.execute, daemon=True)
    thread.start()
    time.sleep(WARM_UP_S)
    sink, packet = [], []
    for turn in range(PRESSES):
        Watched.at_sink = Watched.at_packet = None
        Watched.pressed = time.monotonic()
        switch.on = True
        while Watched.at_packet is None and time.monotonic() - Watched.pressed < 5:
            time.sleep(0.001)
        if Watched.at_sink is None or Watched.at_packet is None:
            sys.exit("nothing was masked within 5 s")
        sink.append((Watched.at_sink - Watched.pressed) * 1000)
        packet.append((Watched.at_packet - Watched.pressed) * 1000)
        Watched.pressed = 0.0
        switch.on = False
        time.sleep(random.Random(turn).uniform(0.3, 0.9))
    run.stop()
    thread.join(10)
    info = run.info
    assert info is not None
    print(f"{info.width}x{info.height} at {float(info.fps):g} fps, {PRESSES} presses, ms")
    print(f"{'':10}{'median':>8}{'largest':>9}")
    for label, values in (("sink", sink), ("packet", packet)):
        print(f"{label:10}{statistics.median(values):8.1f}{max(values):9.1f}")


if __name__ == "__main__":
    main()
