"""Lines for the text benchmark: typed sentences as print, generated signs, photographed words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks._common import BenchmarkError
from edge.pii.lines import ReadLine
from edge.pii.spans import Kind

BARE_NUMBER: Final = "ADDRESS, bare number"
"""A house number or a postal code on a line of its own, as sentences like "I live at number 91"
give it: nothing says what it is but an address beside it."""
KINDS: Final[dict[str, Kind]] = {
    "PERSON": Kind.NAME,
    "ADDRESS": Kind.ADDRESS,
    BARE_NUMBER: Kind.ADDRESS,
    "PHONE_NUMBER": Kind.PHONE,
    "EMAIL_ADDRESS": Kind.EMAIL,
    "DOMAIN_NAME": Kind.URL,
    "CREDIT_CARD": Kind.CARD,
    "IBAN_CODE": Kind.ID,
    "US_SSN": Kind.ID,
    "US_DRIVER_LICENSE": Kind.ID,
    "IP_ADDRESS": Kind.ID,
}
"""Types of the labelled sentences that are private, and what they are here."""
OTHER_TYPES: Final = ("LOCATION", "ORGANIZATION", "DATE_TIME", "TITLE", "PREFIX")
"""Types that are not hidden by default: towns, companies, dates, jobs."""
_SAME_BLOCK_GAP: Final = 4
"""Characters between two spans of one sentence that make them parts of one printed address."""
_LINE_HEIGHT: Final = 24.0
_FAR: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Page:
    """Lines that are seen together, with the type of each. Its text is not shown."""

    lines: tuple[ReadLine, ...] = field(repr=False)
    types: tuple[str, ...]


def line(text: str, x: float, y: float) -> ReadLine:
    """Return a line of 24 px as a reader gives it, with letters half as wide as high."""
    return ReadLine(text, 1.0, (x, y, x + _LINE_HEIGHT * 0.5 * max(1, len(text)), y + _LINE_HEIGHT))


def labelled_pages(path: Path) -> list[Page]:
    """Spans of labelled sentences as printed lines, a page for each sentence.

    Every line break within a span begins a new line below; an address whose parts stand side by
    side in the sentence is one block; everything else is far from everything else.
    """
    try:
        sentences = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read as JSON. Name labelled sentences.") from error
    return [page for sentence in sentences if (page := _page(sentence)).lines]


def _page(sentence: dict[str, Any]) -> Page:
    lines: list[ReadLine] = []
    types: list[str] = []
    x, y, end = 0.0, 0.0, -_SAME_BLOCK_GAP
    for span in sorted(sentence["spans"], key=lambda span: span["start_position"]):
        if span["start_position"] - end > _SAME_BLOCK_GAP or span["entity_type"] != "ADDRESS":
            x, y = x + _FAR * 10, 0.0
        for text in span["entity_value"].split("\n"):
            stripped = text.strip(" ,")
            if stripped:
                lines.append(line(stripped, x, y))
                is_bare = not any(character.isalpha() for character in stripped)
                is_number = is_bare and span["entity_type"] == "ADDRESS"
                types.append(BARE_NUMBER if is_number else span["entity_type"])
                y += _LINE_HEIGHT * 1.5
        end = span["end_position"]
    return Page(tuple(lines), tuple(types))


def misread_pages(pages: list[Page], seed: int) -> list[Page]:
    """The same, as a reader of print might read them: two characters in a hundred are wrong."""
    misread = _export("noise").misread
    rng = random.Random(seed)
    return [
        Page(
            tuple(ReadLine(misread(a.text, rng, 0.02), 0.9, a.box) for a in page.lines), page.types
        )
        for page in pages
    ]


def written_signs(*, misread: bool, seed: int) -> list[Page]:
    """Signs and notices of signs.txt as they are, and in capitals."""
    noise = _export("noise").misread if misread else None
    rng = random.Random(seed)
    rows = (Path(__file__).parent / "signs.txt").read_text(encoding="utf-8").splitlines()
    texts = [form for row in rows if row[:1] != "#" for form in (row, row.upper())]
    return [
        Page((line(noise(text, rng, 0.02) if noise else text, 0, 0),), ("sign",)) for text in texts
    ]


def generated_signs(count: int, seed: int, *, misread: bool) -> list[Page]:
    """Signs and notices from the part of the vocabulary that the classifier never learnt from."""
    generator = _export("generate").Generator(seed, held_out=True)
    noise = _export("noise").misread
    rng = random.Random(seed)
    texts = [generator.ordinary() for _ in range(count)]
    return [
        Page((line(noise(text, rng, 0.02) if misread else text, 0, 0),), ("made-up sign",))
        for text in texts
    ]


def _export(module: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"export.train.lines.{module}")
    except ImportError as error:
        raise BenchmarkError(
            f"lines cannot be generated ({error}). Install what training needs: pip install Faker"
        ) from error


def photographed_words(folder: Path) -> list[Page]:
    """Read the labelled words of street scenes, one page a picture; unreadable ones are left out.

    folder: with textdet_test.json and the pictures it names. Fetches the reader's model.
    """
    from edge.catalogue import load_catalogue
    from edge.inference.onnx import OnnxEngine
    from edge.lanes.ppocr_rec import PpocrReader, dictionary
    from edge.media.picture import HostPicture
    from edge.model_store import ModelStore

    name = "ppocr-v4-rec"
    engine = OnnxEngine(ModelStore(load_catalogue()).fetch(name).read_bytes(), name)
    reader = PpocrReader(engine, dictionary(engine.metadata.get("character"), name), None)
    labels = json.loads((folder / "textdet_test.json").read_text(encoding="utf-8"))
    pages = []
    for entry in labels["data_list"]:
        quads = np.array(
            [word["polygon"] for word in entry["instances"] if not word["ignore"]], np.float32
        ).reshape(-1, 4, 2)
        picture = HostPicture(_still(folder / entry["img_path"]))
        lines = tuple(
            ReadLine(read.text, read.confidence, _bounds(quad))
            for read, quad in zip(reader.read(picture, quads), quads, strict=True)
            if any(character.isalnum() for character in read.text)
        )
        pages.append(Page(lines, ("word",) * len(lines)))
    return pages


def _still(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            return frame.reformat(format="yuv420p")
    raise BenchmarkError(f"{path} holds no picture. Name a folder of labelled pictures.")


def _bounds(quad: NDArray[np.float32]) -> tuple[float, float, float, float]:
    (x1, y1), (x2, y2) = quad.min(0).tolist(), quad.max(0).tolist()
    return x1, y1, x2, y2


def counted(pages: list[Page]) -> Iterator[str]:
    """Yield the type of every line."""
    for page in pages:
        yield from page.types
