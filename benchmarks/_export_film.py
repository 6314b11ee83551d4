"""What exported detectors hide in a film of which every frame is labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InferenceError
from edge.inference.manifest import load_manifest, read_vouched
from edge.inference.onnx import OnnxEngine
from export.detection import DetectorPart, host_picture
from export.family import Sample, Source, Tally
from export.material import film_frames
from export.registry import family_of


@dataclass(frozen=True, slots=True)
class Hidden(Tally):
    """Labelled boxes of all frames that a detector hides, of so many."""

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % of {self.of:,}"


def hidden_in(
    film: Path, folder: Path, source: Source, say: Callable[[str], None]
) -> dict[str, dict[str, Hidden]]:
    """Run each graph of a source that is in an engines folder over a film.

    Returns tallies by network and precision; nothing of networks that find no labelled boxes.
    Raises ModelError.
    """
    found: dict[str, dict[str, Hidden]] = {}
    for part in family_of(source).open(source):
        if not isinstance(part, DetectorPart) or not part.kind:
            continue
        graphs = {
            file.precision: OnnxEngine(read_vouched(folder, file), source.name, threads=0)
            for file in load_manifest(folder).of(source.name, "onnx")
            if file.part == part.name
        }
        tallies = dict.fromkeys(graphs, Tally(0, 0))
        for photo in film_frames(film):
            if not len(truth := photo.labels.get(part.kind, ())):
                continue
            feeds, context = part.load(host_picture(photo.rgb))
            sample = Sample(feeds, truth, context)
            for precision, engine in graphs.items():
                try:
                    right = part.correct(engine.run(feeds), sample)
                except InferenceError:
                    right = None
                tallies[precision] += right or Tally(0, len(truth))
        name = f"{source.name}-{part.name}" if part.name else source.name
        if any(tally.of for tally in tallies.values()):
            found[name] = {p: Hidden(tally.right, tally.of) for p, tally in tallies.items()}
            say(f"  {name} hides " + ", ".join(f"{p} {h}" for p, h in found[name].items()))
    return found
