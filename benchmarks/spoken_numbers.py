"""Are spoken numbers inaudible? Real speakers, real models, measured on the output's samples.

Each sentence is a number of 10 to 16 digits, said by one of three speakers, between two utterances
of read speech. It goes through the same run as `privaedge run in.wav out.wav`.

  hidden     time of the digits, as they were said, in which the output is not the input
  touched    time of the speech around the number in which it is not, further than padding reaches
  muted      time that was silenced since nobody could judge it; it counts as hidden, and as touched

examples:
  python -m benchmarks.spoken_numbers ../shared/media/speech
  python -m benchmarks.spoken_numbers ../shared/media/speech --sentences 200 --seed 2 --json
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._spoken import Spoken, SpokenCorpus
from edge.build import prepare_process
from edge.config import Settings
from edge.config_io import load_config
from edge.errors import PrivaedgeError
from edge.lane_models import LaneModels, load_lane_models
from edge.sound_run import SoundRun
from edge.speech.words import SAMPLE_RATE, Samples

_FRAME = SAMPLE_RATE // 100
_SAME = 1e-3
"""Largest difference of a frame that was left alone: 16 bits are 30 times finer."""
_PADDING_S = 0.6
"""Sound this near to the number is neither: it is the padding that was asked for."""


@dataclass
class Tally:
    """Seconds."""

    digits: float = 0.0
    hidden: float = 0.0
    ordinary: float = 0.0
    touched: float = 0.0
    muted: float = 0.0

    @property
    def figures(self) -> dict[str, float]:
        """Per cent, and the seconds that they are of."""
        return {
            **{name: round(value, 2) for name, value in asdict(self).items()},
            "hidden_pct": round(100 * self.hidden / max(self.digits, 1e-9), 2),
            "touched_pct": round(100 * self.touched / max(self.ordinary, 1e-9), 2),
        }


def measure(tally: Tally, spoken: Spoken, heard: Samples, muted_s: float) -> None:
    """Add one sentence; heard: what came out."""
    n = len(spoken.samples) // _FRAME
    if len(heard) < n * _FRAME:
        raise SystemExit("the output is shorter than the input: nothing can be measured")
    difference = np.abs(heard[: n * _FRAME] - spoken.samples[: n * _FRAME]).reshape(n, _FRAME)
    changed = difference.max(axis=1) > _SAME
    time = (np.arange(n) + 0.5) * _FRAME / SAMPLE_RATE
    said = np.zeros(n, bool)
    for word in spoken.digits:
        said |= (time >= word.start) & (time < word.end)
    first, last = spoken.digits[0].start, spoken.digits[-1].end
    ordinary = (time < first - _PADDING_S) | (time > last + _PADDING_S)
    seconds = _FRAME / SAMPLE_RATE
    tally.digits += said.sum() * seconds
    tally.hidden += (said & changed).sum() * seconds
    tally.ordinary += ordinary.sum() * seconds
    tally.touched += (ordinary & changed).sum() * seconds
    tally.muted += muted_s


def run(
    settings: Settings, models: LaneModels, spoken: Spoken, folder: Path
) -> tuple[Samples, float]:
    """Send a sentence through; return the samples that came out, and the seconds muted."""
    source, output = folder / "in.wav", folder / "out.wav"
    _write(source, spoken.samples)
    summary = SoundRun(settings, source, output, models, overwrite=True).execute()
    with av.open(str(output)) as container:
        blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(blocks).astype(np.float32) / 32768, summary.stats.muted_s


def _write(path: Path, samples: Samples) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        whole = np.round(samples * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], "s16", "mono")
        frame.sample_rate = SAMPLE_RATE
        out.mux([*stream.encode(frame), *stream.encode(None)])


def main() -> None:
    """Run and print."""
    words = argparse.ArgumentParser(
        prog="python -m benchmarks.spoken_numbers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words.add_argument("folder", type=Path, help="a folder with digits/ and utterances")
    words.add_argument("--sentences", type=int, default=60)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    words.add_argument("--json", action="store_true")
    args = words.parse_args()
    off = [f"video.models.{lane}.enabled=false" for lane in ("face", "plate", "text")]
    try:
        settings = load_config(None, None, ["audio.enabled=true", *off, *args.overrides])
        prepare_process()
        models = load_lane_models(settings)
    except PrivaedgeError as error:
        sys.exit(f"{error}")
    corpus, rng, tally = (
        SpokenCorpus.load(args.folder),
        np.random.default_rng(args.seed),
        Tally(),
    )
    with TemporaryDirectory() as folder:
        for _ in range(args.sentences):
            digits = rng.integers(0, 10, int(rng.integers(10, 17))).tolist()
            spoken = corpus.sentence(rng, digits)
            heard, muted_s = run(settings, models, spoken, Path(folder))
            measure(tally, spoken, heard, muted_s)
    if args.json:
        print(json.dumps(tally.figures, indent=1))
        return
    table = Table("measure", "value", title=f"{args.sentences} numbers, seed {args.seed}, {models}")
    for name, value in tally.figures.items():
        table.add_row(name, f"{value:g}")
    Console().print(table)


if __name__ == "__main__":
    main()
